"""One numbered slot a window in a shared folder, held by a lock that ends with its process, however that ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playground.prompt.field_errors import FieldError, InputError
from playground.storage.file_lock import HELD, try_lock

MAX_SLOTS = 64

_OPEN, _CLOSED = b"open", b"shut"


@dataclass(slots=True)
class Slot:
    """A held slot: `path` is its window's alone. `alone`: no other window held one when this was taken."""

    path: Path
    alone: bool
    _handle: int

    def release(self) -> None:
        """Give the slot back, with a mark that its window ended by its own will."""
        if self._handle >= 0:
            _mark(self._handle, _CLOSED)
            os.close(self._handle)
            self._handle = -1


def take(folder: Path) -> Slot:
    """Take a slot of `folder` that no living window holds.

    First one whose window crashed, then the one written last, then a new one: so that what is picked up is what
    was worked on last. Raises InputError where every slot is held, OSError where the folder cannot be written.
    """
    free, held = _free(folder)
    if not free:
        raise InputError(
            FieldError(
                (), f"there are {MAX_SLOTS} windows on this data folder.", "Close one, or give another --data-dir."
            )
        )
    path, handle = max(free, key=lambda slot: _rank(*slot))
    for _, other in free:
        if other != handle:
            os.close(other)
    _mark(handle, _OPEN)
    return Slot(path, not held, handle)


def _free(folder: Path) -> tuple[list[tuple[Path, int]], int]:
    """The slots that are free, each locked by now, or where there is none a new one; and how many others hold."""
    free: list[tuple[Path, int]] = []
    held = 0
    for path in _paths(folder):
        lock = path.with_suffix(".lock")
        if free and not lock.exists():
            break
        handle = _taken(lock)
        if handle is None:
            held += 1
        else:
            free.append((path, handle))
    return free, held


def _paths(folder: Path) -> Iterator[Path]:
    yield folder / "draft.json"
    for number in range(2, MAX_SLOTS + 1):
        yield folder / f"draft-{number}.json"


def _taken(lock: Path) -> int | None:
    try:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError:
        # Another user's, of a time when the program ran as that one.
        return None
    try:
        try_lock(handle)
    except OSError as error:
        if error.errno in HELD:
            os.close(handle)
            return None
        # A file system without locks (some network folders): better no lock than no window.
    return handle


def _rank(path: Path, handle: int) -> tuple[bool, float]:
    os.lseek(handle, 0, os.SEEK_SET)
    crashed = os.read(handle, len(_OPEN)) == _OPEN
    try:
        written = path.stat().st_mtime
    except FileNotFoundError:
        return False, 0.0
    return crashed, written


def _mark(handle: int, word: bytes) -> None:
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, word)
