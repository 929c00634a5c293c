"""`python -m playground` is `electron-playground`."""

import sys

from playground.cli import main

sys.exit(main())
