"""Commands without a window, each imported only when it runs; their exit statuses, and masking of their tracebacks."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TextIO

FINISHED = 0
FAILED = 1
"""The request, or a step of the self-test, failed, or an output cannot be written."""
BAD_INPUT = 2
"""The input is invalid; nothing was done."""
NOT_LOGGED = 3
"""The request succeeded, but the request log does not hold it (full disk, damaged file, lock)."""
STOPPED = 130
"""The user stopped it."""
MOST_SHOWN = 100
"""Maximum number of requests in one ticket or one `log show`."""
LOCK_WAIT_S = 60.0
"""Longest wait of a command for another program that holds the request log."""
STOPPED_WAIT_S = 5.0
"""The same for a command that was stopped: what stopped it may kill it ten seconds later."""
_LOOK_S = 0.5
"""Seconds between two looks at whether the process still waits."""


@contextmanager
def ends_soon(is_waiting: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Let Ctrl+C end the process within a second while it waits for the lock of another program.

    Nothing interrupts that wait of SQLite. Anything else ends by itself: an import deletes what it has added.
    """
    before = signal.getsignal(signal.SIGINT)

    def look_later(*, waited: bool) -> None:
        timer = threading.Timer(_LOOK_S, look, kwargs={"waited": waited})
        timer.daemon = True
        timer.start()

    def look(*, waited: bool) -> None:
        waits = is_waiting()
        if waits and waited:
            os._exit(STOPPED)
        look_later(waited=waits)

    def end(number: int, frame: FrameType | None) -> None:
        look_later(waited=False)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def discard_output() -> None:
    """Discard the rest of standard output: its reader has closed the pipe, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def with_output(run: Callable[[], int | None]) -> int:
    """Run a function whose whole output has to be written. Returns its status; FAILED if the output is cut."""
    try:
        status = run() or 0
        if sys.stdout is not None:
            # Otherwise the interpreter writes the rest after the status is decided.
            _flush()
        return status
    except (OSError, ExceptionGroup) as error:
        failed = _output_error(error)
        if failed is None:
            raise
        from playground.export.terminal import print_error

        discard_output()
        if failed.errno != errno.EPIPE:  # a reader that wants no more, as `head`, needs no sentence
            print_error(f"the output cannot be written: {failed.strerror}.")
        return FAILED


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


_OUTPUT_ERRORS = frozenset((errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.EPIPE))


def _output_error(error: BaseException) -> OSError | None:
    """Return the error of a write to a full disk or closed pipe, also from a group of tasks; None for any other."""
    if isinstance(error, BaseExceptionGroup):
        found = [_output_error(one) for one in error.exceptions]
        return None if None in found else found[0]
    return error if isinstance(error, OSError) and error.errno in _OUTPUT_ERRORS and error.filename is None else None


def ignore_signals() -> None:
    """Let SIGINT and SIGTERM no longer end the process: everything is written, and its exit status is decided."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which child processes would inherit.
        signal.signal(number, lambda *_: None)


def install_masking() -> None:
    """Mask the keys of this process in standard error, and every secret in the tracebacks of threads and loggers, too.

    A message may repeat an argument, which the user may have mistaken for the one of the key.
    """
    if sys.stderr is not None:
        sys.stderr = _MaskingStream(sys.stderr)
    sys.excepthook = _print_error
    threading.excepthook = _print_thread_error
    sys.unraisablehook = _print_unraisable
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_MaskingFormatter())


def without_keys(text: str) -> str:
    """Return a text with the keys of this process, and everything that looks like a key, masked."""
    # Imported here: an error is rare, and every command starts with this module.
    from playground.client.redact import redact
    from playground.storage.credentials import known_secrets

    return redact(text, "\n".join(known_secrets()))


def masked_report(text: str) -> str:
    """Return a report without keys, nor what stands where secrets do."""
    from playground.prompt.secret_texts import masked_secrets

    return masked_secrets(without_keys(text))


class _MaskingStream(io.TextIOWrapper):
    """Standard error without keys."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.buffer, stream.encoding, stream.errors, line_buffering=True)

    def write(self, text: str) -> int:
        super().write(text if text.isspace() else without_keys(text))
        return len(text)


class _MaskingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked_report(super().format(record))


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _write("".join(traceback.format_exception(kind, error, trace)))


def _print_thread_error(found: threading.ExceptHookArgs) -> None:
    if found.exc_type is SystemExit:
        return
    name = found.thread.name if found.thread is not None else "unknown"
    lines = traceback.format_exception(found.exc_type, found.exc_value, found.exc_traceback)
    _write(f"Exception in thread {name}:\n{''.join(lines)}")


def _print_unraisable(found: sys.UnraisableHookArgs) -> None:
    lines = traceback.format_exception(found.exc_type, found.exc_value, found.exc_traceback)
    _write(f"{found.err_msg or 'Exception ignored in'}: {found.object!r}\n{''.join(lines)}")


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(masked_report(text))
        sys.stderr.flush()
