"""Commands without a window, each imported only when it runs; and their exit statuses."""

from __future__ import annotations

import os
import sys

FINISHED = 0
FAILED = 1
"""The request, or a step of the self-test, failed, or an output cannot be written."""
BAD_INPUT = 2
"""The input is invalid; nothing was done."""
NOT_LOGGED = 3
"""The request succeeded, but the request log does not hold it (full disk, damaged file, lock)."""
STOPPED = 130
"""The user stopped it."""


def discard_output() -> None:
    """Discard what is left of standard output: its reader has closed the pipe, as `head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
