"""A lock between processes around the reading and replacing of one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL_S = 0.01


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file at `path`, which is removed at the end. The system releases it when the process dies.

    Raises TimeoutError if others hold it for longer, OSError if the folder is missing or cannot be written.
    """
    # Imported on first use: most starts of the program write nothing.
    from filelock import FileLock, Timeout

    if not path.parent.is_dir():
        # FileLock would recreate the folder.
        raise FileNotFoundError(None, "The data folder was deleted")
    lock = FileLock(path, mode=0o600, thread_local=False)
    try:
        lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
    except Timeout:
        raise TimeoutError(None, f"Another process has been writing it for {timeout_s:.0f} s") from None
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before the release: a waiting process then locks a new file
        with suppress(OSError):
            lock.release()
