"""A lock on an open file, held by its process and let go of with it, however that ends."""

from __future__ import annotations

import errno
import sys

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
"""What `try_lock` fails with where another process holds the lock; anything else: the file system has no locks."""

if sys.platform == "win32":
    import msvcrt

    def try_lock(handle: int) -> None:
        """Lock at once. Raises OSError where that cannot be done."""
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def wait_lock(handle: int) -> None:
        """Lock, and wait for whoever holds it (blocking). Raises OSError where the file system has no locks."""
        msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def try_lock(handle: int) -> None:
        """Lock at once. Raises OSError where that cannot be done."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def wait_lock(handle: int) -> None:
        """Lock, and wait for whoever holds it (blocking). Raises OSError where the file system has no locks."""
        fcntl.flock(handle, fcntl.LOCK_EX)
