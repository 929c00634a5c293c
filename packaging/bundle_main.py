"""Entry point of the bundle."""

import sys

from playground.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
