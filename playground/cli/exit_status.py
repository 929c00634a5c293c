"""Exit statuses of the command line."""

from __future__ import annotations

FINISHED = 0
FAILED = 1
"""The request, or a step of the self-test, failed."""
BAD_INPUT = 2
"""What was given cannot be taken; nothing was done."""
STOPPED = 130
"""The user stopped it."""
