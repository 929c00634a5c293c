"""The command line: reads the words, runs the command or opens the window, and says why it could not."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from playground.cli import BAD_INPUT, FAILED, STOPPED, ignore_signals, install_masking, with_output
from playground.prompt.field_errors import InputError, UnwritableOutputError

if TYPE_CHECKING:
    from argparse import Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status: 0 finished, 1 failed, 2 bad input, 3 not logged, 130 stopped."""
    is_own = arguments is None  # the process is this program's own
    if is_own:
        install_masking()
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get("TZ"):
        _check_time_zone()
    try:
        return _run(options) if options.command is None else with_output(lambda: _run(options))
    except InputError as error:
        from playground.export.terminal import print_error

        print_error(str(error))
        return FAILED if isinstance(error, UnwritableOutputError) else BAD_INPUT
    except KeyboardInterrupt:
        return STOPPED
    finally:
        if is_own and options.command is not None:
            ignore_signals()


def parse_arguments(arguments: Sequence[str]) -> Namespace | SimpleNamespace:
    options = _window_options(arguments)
    if options is not None:
        return options
    from playground.cli.arguments import parse

    return parse(arguments)


def _window_options(words: Sequence[str]) -> SimpleNamespace | None:
    """Return the options of a window if the words are only these; None: they need argparse, which takes 8 ms."""
    found = SimpleNamespace(command=None, data_dir=None, open_file=None, exit_after_first_paint=False)
    rest = iter(words)
    for word in rest:
        option, joined, value = word.partition("=")
        if word == "--exit-after-first-paint":
            found.exit_after_first_paint = True
        elif option == "--data-dir":
            found.data_dir = value if joined else next(rest, None)
            if found.data_dir is None or (found.data_dir.startswith("-") and not joined):
                return None  # the value is missing
        elif not word.startswith("-") and has_path_or_suffix(word) and found.open_file is None:
            found.open_file = Path(word)
        else:
            return None
    return found


def has_path_or_suffix(word: str) -> bool:
    """Return whether a word is a file for certain: no command has a path or a suffix."""
    return bool(Path(word).suffix) or os.sep in word


def _check_time_zone() -> None:
    """Use UTC if TZ has an offset of a day or more, which Python's local times cannot have."""
    import time
    from datetime import datetime

    try:
        datetime.now().astimezone()
    except (ValueError, OverflowError):
        from playground.export.terminal import print_error

        print_error(f"TZ={os.environ['TZ']} has an offset of 24 hours or more. Times are in UTC.")
        os.environ["TZ"] = "UTC"
        if hasattr(time, "tzset"):
            time.tzset()


def _run(options: Namespace | SimpleNamespace) -> int:
    target = "playground.app:run_window"
    if options.command is not None:
        from playground.cli.arguments import RUN

        target = RUN[options.command]
    module, _, function = target.partition(":")
    run = getattr(importlib.import_module(module), function)
    gc.enable()
    if callable(signal.getsignal(signal.SIGINT)):  # the handler of `playground.__main__`, which ends the process
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return int(run(options))


if __name__ == "__main__":
    sys.exit(main())
