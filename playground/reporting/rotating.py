"""A file of lines that is held to a size, shared by all processes on one data folder."""

from __future__ import annotations

import io
import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from playground.filelock import wait_lock

FILE = "requests.jsonl"
"""In the data folder; the ones before it are requests.jsonl.1 and so on, the last the oldest."""
MOST_BYTES = 10_000_000
BEFORE = 4
"""How many earlier files are kept."""


class _Handler(RotatingFileHandler):
    """For the user's eyes only, and with errors for the caller instead of on the terminal."""

    def _open(self) -> io.TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return io.TextIOWrapper(io.FileIO(handle, "a"), encoding="utf-8", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exception()
        assert error is not None
        raise error


class RotatingLines:
    """Appends lines. Blocking: use it in a thread."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = folder / FILE, most_bytes

    def append(self, line: str) -> None:
        """Add a line. Raises OSError.

        The file is opened anew each time, under a lock: another process may have moved it aside.
        """
        with self._path.with_suffix(".lock").open("ab") as lock:
            wait_lock(lock.fileno())
            handler = _Handler(self._path, maxBytes=self._most_bytes, backupCount=BEFORE, encoding="utf-8")
            try:
                handler.emit(logging.LogRecord("playground", logging.INFO, "", 0, line, (), None))
            finally:
                handler.close()
