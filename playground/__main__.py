"""`python -m playground` is `electron-playground`."""

import gc
import os
import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until a command begins: an exception in the middle of an import prints a traceback, or ends msgspec with a fault
    # of memory. Nothing has been done yet. 130 is `playground.cli.STOPPED`.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

# Imports leave no garbage; `playground.cli.main` enables collections when all is imported.
gc.disable()
from playground.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
