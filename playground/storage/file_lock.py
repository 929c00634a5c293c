"""Locks between processes: around the replacing of one file, around each opening of the request log, and one per
process that writes runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock


_POLL_S = 0.01


def acquired(path: Path, wait_s: float = 0.0) -> BaseFileLock:
    """Return a lock file's lock, which any thread may release. The system releases it when the process dies.

    Raises OSError. filelock's Timeout is one: another process holds the lock for longer than `wait_s`.
    """
    # Imported on first use: most starts of the program write nothing.
    from filelock import FileLock

    lock = FileLock(path, mode=0o600, thread_local=False)
    lock.acquire(timeout=wait_s, poll_interval=_POLL_S)
    return lock


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file's lock."""
    from filelock import Timeout

    if not path.exists():
        return False
    try:
        lock = acquired(path)
    except Timeout:
        return True
    except OSError:
        return False
    with suppress(OSError):
        lock.release()
    return False


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file at `path`, which is removed at the end. The system releases it when the process dies.

    Raises TimeoutError if others hold it for longer, OSError if the folder is missing or cannot be written.
    """
    from filelock import Timeout

    if not path.parent.is_dir():
        # FileLock would recreate the folder.
        raise FileNotFoundError(None, "The data folder was deleted")
    try:
        lock = acquired(path, timeout_s)
    except Timeout:
        raise TimeoutError(None, f"Another process has been writing it for {timeout_s:.0f} s") from None
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release: a waiting process then locks a new file
        with suppress(OSError):
            lock.release()


_PREFIX, _SUFFIX = "request-log.", ".lock"
_OPENING = "request-log-opening.lock"
"""Not one of the names above: `sweep` must not remove it."""
OPENING_S = 60.0
"""Longest wait for other processes that open the log: one of them may upgrade a large file."""


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Let one process at a time create, check, upgrade and sweep the log in a folder. Raises TimeoutError.

    Without this, a process could take a file that another one is creating for a damaged one, and remove the new lock
    file of another one. In a folder without write access nothing is locked.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder / _OPENING, OPENING_S))
        except TimeoutError:
            raise TimeoutError(None, f"Other processes have been opening it for {OPENING_S:.0f} s") from None
        except OSError:  # the folder is read-only
            pass
        yield


class Owner:
    """This process's lock in a folder. The system releases it when the process dies."""

    def __init__(self, folder: Path) -> None:
        """Take a new lock. Raises OSError if the folder cannot be written."""
        self.id, self.folder = uuid.uuid4().hex, folder
        self._path = _path(folder, self.id)
        if not folder.is_dir():
            # FileLock would recreate the folder.
            raise FileNotFoundError(None, "The data folder was deleted")
        self._lock = acquired(self._path)

    def release(self) -> None:
        """Release the lock and remove its file. The system releases a lock that cannot be released here."""
        with suppress(OSError):
            self._lock.release()
        with suppress(OSError):
            self._path.unlink()


def is_alive(folder: Path, owner: str) -> bool:
    """Return whether the process that took this lock still runs."""
    return is_held(_path(folder, owner))


def sweep(folder: Path) -> bool:
    """Remove the lock files of dead processes; return whether there was one, which means an unclean exit."""
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
