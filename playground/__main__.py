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
if "typing_extensions" not in sys.modules:
    # Without it, which takes 3 ms, msgspec has the same functions from Python's own typing.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    import msgspec  # noqa: F401

    del sys.modules["typing_extensions"]

from playground.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
