"""Which process writes a run: a lock file each, held as long as the process lives, however it ends."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from playground.storage.file_lock import try_lock

_PREFIX, _SUFFIX = "request-log.", ".lock"


class Owner:
    """This process's lock in a folder. The system lets go of it when the process dies."""

    def __init__(self, folder: Path) -> None:
        """Take a new lock. Raises OSError where the folder cannot be written."""
        while True:
            self.id = uuid.uuid4().hex
            self._path = _path(folder, self.id)
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            if self._taken():
                return
            os.close(self._handle)

    def _taken(self) -> bool:
        # Between creation and lock another process may have taken this file for a dead one's and removed it.
        try:
            try_lock(self._handle)
            return os.path.samestat(os.fstat(self._handle), self._path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock up and remove its file."""
        os.close(self._handle)
        with suppress(OSError):
            self._path.unlink()


def is_alive(folder: Path, owner: str) -> bool:
    """Whether the process that took this lock still runs."""
    try:
        handle = os.open(_path(folder, owner), os.O_RDWR)
    except OSError:
        return False
    try:
        try_lock(handle)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def sweep(folder: Path) -> bool:
    """Remove the lock files of processes that are gone; returns whether there was one: an unclean end."""
    found = False
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        owner = path.name[len(_PREFIX) : -len(_SUFFIX)]
        if not is_alive(folder, owner):
            found = True
            with suppress(OSError):
                path.unlink()
    return found


def _path(folder: Path, owner: str) -> Path:
    return folder / f"{_PREFIX}{owner}{_SUFFIX}"
