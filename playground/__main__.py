"""`python -m playground` is `electron-playground`."""

import gc
import os
import signal
import sys

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # While modules are imported, Ctrl+C ends the process at once, when nothing has been done yet: a KeyboardInterrupt
    # would print a traceback, or crash msgspec. `playground.cli.main` sets Python's own handler again when the command
    # begins. 130 is `playground.cli.STOPPED`.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

# Imports leave no garbage to collect; `playground.cli.main` enables the collector when all is imported.
gc.disable()
from playground.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
