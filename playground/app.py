"""Composition root of the window: checks the machine, builds the session, runs the event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playground.prompt.field_errors import InputError
from playground.storage.paths import data_folder
from playground.ui.startup_checks import missing_qt, obstacle, skip_unused_imports

if TYPE_CHECKING:
    from argparse import Namespace
    from types import SimpleNamespace

    from PySide6.QtWidgets import QApplication

NO_WINDOW = 2
"""Exit status if no window can be opened."""


def run_window(options: Namespace | SimpleNamespace) -> int:
    """Open the window and run until it closes. Raises InputError if there is no such file, or no usable data folder."""
    file = options.open_file
    if file is not None and not os.path.exists(file):  # noqa: PTH110 - False for a name that is too long
        raise InputError.of(("FILE",), f"{file} does not exist.")
    sentence = obstacle(os.environ)
    if sentence is not None:
        print(sentence, file=sys.stderr)
        return NO_WINDOW
    folder = data_folder(options.data_dir, os.environ)
    # Collections while modules are imported find no garbage; the session collects between events.
    gc.disable()
    try:
        skip_unused_imports()
        from playground.ui.session import make_application, make_runner
    except ImportError:
        sentence = missing_qt()
        if sentence is None:
            raise
        print(sentence, file=sys.stderr)
        return NO_WINDOW
    application = make_application()
    with make_runner(application) as runner:
        status = runner.run(_session(application, folder, options))
    return _leave(status)


async def _session(application: QApplication, folder: Path, options: Namespace | SimpleNamespace) -> int:
    from playground.ui.session import Session

    session = Session(application, folder, os.environ, file=options.open_file)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(session.end))
    return await session.run(exit_after_first_paint=options.exit_after_first_paint)


def _leave(status: int) -> int:
    """End the process. Everything has been closed in order; taking ten thousand objects apart one by one would only
    keep the user waiting."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
