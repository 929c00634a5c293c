"""One numbered slot per window in a shared folder, held by a file lock that ends with its process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from playground.prompt.field_errors import FieldError, InputError

MAX_SLOTS = 64


class _Lock(Protocol):
    def release(self) -> object: ...


@dataclass(slots=True)
class Slot:
    """A held slot. Only its window writes `path`. `alone`: no other window held a slot at that time."""

    path: Path
    alone: bool
    _lock: _Lock | None

    def release(self) -> None:
        """Give the slot back, marked as closed in order."""
        if self._lock is not None:
            with suppress(OSError):
                _open_mark(self.path).unlink()
            self._lock.release()
            self._lock = None


def take(folder: Path) -> Slot:
    """Take a slot of `folder` that no running window holds.

    The slot of a crashed window first, then the slot that was written last, then a new one: the draft is what the user
    worked on last. Raises InputError if all slots are in use, OSError if the folder cannot be written.
    """
    free, held = _free(folder)
    if not free:
        raise InputError(
            FieldError(
                (), f"there are {MAX_SLOTS} windows on this data folder.", "Close one, or give another --data-dir."
            )
        )
    path, lock = max(free, key=lambda slot: _rank(slot[0]))
    for _, other in free:
        if other is not lock:
            other.release()
    try:
        _open_mark(path).touch(mode=0o600)
    except OSError:
        lock.release()
        raise
    return Slot(path, not held, lock)


def _open_mark(path: Path) -> Path:
    """The file that exists while a window is open: after a crash it is still there."""
    return path.with_suffix(".open")


def _free(folder: Path) -> tuple[list[tuple[Path, _Lock]], int]:
    """Return the free slots, each locked now, or one new slot; and the number of slots that others hold."""
    free: list[tuple[Path, _Lock]] = []
    held = 0
    for path in _paths(folder):
        lock_path = path.with_suffix(".lock")
        if free and not lock_path.exists() and not path.exists():
            break
        lock = _locked(lock_path)
        if lock is None:
            held += 1
        else:
            free.append((path, lock))
    return free, held


def _paths(folder: Path) -> Iterator[Path]:
    yield folder / "draft.json"
    for number in range(2, MAX_SLOTS + 1):
        yield folder / f"draft-{number}.json"


def _locked(path: Path) -> _Lock | None:
    """Return the lock, or None if another window holds it or the file cannot be used as a lock."""
    if not path.parent.is_dir():
        raise FileNotFoundError(None, "The data folder was deleted")
    try:
        return _lock(path)
    except (PermissionError, IsADirectoryError):
        return None  # another user's, or a folder in its place
    except OSError:
        if path.is_symlink():
            return None  # links are not followed
        raise


if sys.platform == "win32":

    def _lock(path: Path) -> _Lock | None:
        from filelock import FileLock, Timeout

        lock = FileLock(path, mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        return lock

else:
    # The same lock as filelock's, whose import takes a tenth of the time to the first frame.
    import fcntl

    class _Flock:
        def __init__(self, handle: int) -> None:
            self._handle = handle

        def release(self) -> None:
            os.close(self._handle)

    def _lock(path: Path) -> _Lock | None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return _Flock(handle)


def _rank(path: Path) -> tuple[bool, float]:
    try:
        written_unix = path.stat().st_mtime
    except OSError:
        return False, 0.0
    return _open_mark(path).exists(), written_unix
