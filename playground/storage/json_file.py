"""JSON files of the data folder: read within bounds, set aside if damaged, written by one worker thread."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from playground.prompt.document import Json
from playground.prompt.json_text import MAX_BYTES, loads
from playground.storage.file_lock import locked
from playground.storage.paths import free_name_aside, set_aside, write_private

T = TypeVar("T")
LOCK_TIMEOUT_S = 5.0
"""Longest wait for another process that writes the same file."""

_DAMAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, ArithmeticError, RecursionError)
"""What a reader raises for a file of another shape. InputError and JsonBoundsError are ValueErrors."""


class JsonFile:
    """One JSON file. `label` names it at the beginning of a sentence ("The settings file")."""

    def __init__(
        self, path: Path, label: str, *, masked: bool = False, recover: Callable[[bytes], Json] | None = None
    ) -> None:
        """Take a file that need not exist.

        Args:
            masked: a damaged file is kept without the passwords and keys in it.
            recover: returns a value with what can be read of a damaged file. NaN and Infinity are numbers then.
        """
        self._masked, self._recover = masked, recover
        self._path = path
        self._label = label
        self._unreadable: OSError | None = None
        self.notice = ""
        """Why the file could not be used when it was last read, as a sentence; otherwise empty."""
        self.recovered = False
        """Whether the value that was read last is what could be recovered of a damaged file, which was set aside."""

    def read(self, reader: Callable[[Json], T]) -> T | None:
        """Return `reader` of the file's value. Returns None without a usable file (see `notice`)."""
        self._unreadable, self.recovered = None, False
        data = b""
        try:
            data = read_regular(self._path)
            return reader(loads(data, finite=self._recover is None))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable = error
            self.notice = f"{self._label} cannot be read: {error.strerror or error}. It was left unchanged."
        except _DAMAGE:
            self.notice = self.set_aside()
            return self._read_recovered(reader, data)
        return None

    def _read_recovered(self, reader: Callable[[Json], T], data: bytes) -> T | None:
        if self._recover is None or not data:
            return None
        try:
            value = reader(self._recover(data))
        except _DAMAGE:
            return None
        self.recovered = True
        return value

    def exclusive(self) -> AbstractContextManager[None]:
        """Let one process, and one thread of it, at a time read the file and replace it. Raises OSError."""
        return locked(self._path.with_suffix(".lock"), LOCK_TIMEOUT_S)

    def stamp(self) -> tuple[int, ...] | None:
        """Return what changes with each write of the file; None without one."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        # Two writes within one tick of the file system's clock may have the same time, and one may reuse an inode.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size

    def keep_copy(self) -> Path:
        """Copy the file, as `set_aside` would rename it. Returns the path of the copy. Raises OSError."""
        from playground.storage.damaged_files import without_secrets

        aside, data = free_name_aside(self._path), self._path.read_bytes()
        write_private(aside, without_secrets(data) if self._masked else data)
        return aside

    def copies(self) -> list[Path]:
        """Return the damaged files that were set aside."""
        return sorted(self._path.parent.glob(f"{self._path.stem}.damaged*{self._path.suffix}"))

    def set_aside(self) -> str:
        """Rename the file: it is damaged. Returns the notice."""
        try:
            return f"{self._label} was damaged; it was renamed to {self._renamed().name}."
        except OSError as error:
            self._unreadable = error
            reason = error.strerror or error
            return f"{self._label} is damaged and cannot be renamed: {reason}. It was left unchanged."

    def _renamed(self) -> Path:
        if not self._masked:
            return set_aside(self._path)
        # Imported here: most starts find no damaged file.
        from playground.storage.damaged_files import set_aside_without_secrets

        aside = free_name_aside(self._path)
        set_aside_without_secrets(self._path, aside, self._path.read_bytes())
        return aside

    def clean_set_aside(self) -> str:
        """Mask the secrets in files that earlier versions set aside. Returns why that failed, as a sentence."""
        copies = self.copies()
        if not copies:
            return ""
        from playground.storage.damaged_files import clean_copies

        return clean_copies(copies)

    def write(self, value: Json) -> None:
        """Replace the file. Raises OSError, also if the present file could not be read: it may be the user's."""
        if self._unreadable is not None:
            raise self._unreadable
        # ASCII: a lone surrogate (a file name that is not UTF-8) survives as its escape.
        write_private(self._path, json.dumps(value, indent=1).encode())


class SharedFile:
    """Named values in a file that several windows share: each writes only what it changes, and `submit` runs the write.

    A class that inherits this sets `_subject`, `_consequence`, and `_write`, which raises OSError.
    """

    _subject = ""
    """Names the values at the beginning of a sentence."""
    _consequence = ""

    def __init__(self, file: JsonFile, submit: Submit, on_error: Callable[[str], None]) -> None:
        self._file, self._submit, self._on_error = file, submit, on_error
        self._lock = threading.Lock()
        self._unsaved: dict[str, Any] = {}
        self._writing = False
        self.notice = ""
        """What was wrong with the file, or why it cannot be written; a sentence, or empty."""

    def _end_reading(self) -> None:
        """Write what reading has changed, and clean the copies of earlier versions."""
        if self._unsaved:
            self._submit(self._save, self._report)
        self._submit(self._file.clean_set_aside, self._report)

    def _put(self, changed: Mapping[str, Any], *, older: bool = False) -> None:
        """Write values soon. `older`: not in place of values that wait to be written."""
        with self._lock:
            self._unsaved = {**changed, **self._unsaved} if older else {**self._unsaved, **changed}
        self._submit(self._save, self._report)

    def _save(self) -> str:
        """Write the unsaved changes into the present file. Returns why that failed."""
        with self._lock:
            changed, self._unsaved = self._unsaved, {}
            self._writing = True
        try:
            if not changed:
                return ""
            with self._file.exclusive():
                return self._write(changed)
        except OSError as error:
            with self._lock:
                self._unsaved = {**changed, **self._unsaved}
            return f"{self._subject} cannot be saved: {error.strerror or error}.{self._consequence}"
        finally:
            self._writing = False

    def _write(self, changed: dict[str, Any]) -> str:
        raise NotImplementedError

    def _report(self, error: str) -> None:
        self.notice = error
        self._on_error(error)


def read_regular(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return at most `max_bytes` + 1 bytes of a regular file. Raises OSError; never waits for a pipe or a device."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        mode = os.fstat(handle).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(None, "Is a directory")
        if not stat.S_ISREG(mode):
            raise OSError(None, "It is not a regular file")
        return file.read(max_bytes + 1)


Write = Callable[[], str]
"""Writes to the disk, and returns why that failed, as a sentence; otherwise an empty text."""
Submit = Callable[[Write, Callable[[str], None]], None]


def write_now(write: Write, on_error: Callable[[str], None]) -> None:
    """Write in the calling thread: for programs without an event loop."""
    error = write()
    if error:
        on_error(error)


class FileWriter:
    """Runs writes one after the other in a worker thread, so that the event loop never waits for a disk."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "files")

    def submit(self, write: Write, on_error: Callable[[str], None]) -> None:
        """Run `write` soon. `on_error` is called with its error, in the event loop if one is running now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None

        def run() -> None:
            error = write()
            if error and loop is not None:
                with suppress(RuntimeError):  # the loop was closed
                    loop.call_soon_threadsafe(on_error, error)
            elif error:
                on_error(error)

        self._executor.submit(run)

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` after everything submitted before, and return its result. Raises what it raises."""
        return await asyncio.wrap_future(self._executor.submit(function))

    async def flush(self) -> None:
        """Return when everything submitted before has been written."""
        await asyncio.wrap_future(self._executor.submit(lambda: None))
        # The errors of these writes were scheduled before: let them be reported.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Write everything submitted before, then end the thread. Nothing can be submitted afterwards."""
        await self.flush()
        self._executor.shutdown()
