"""A limit on each wait for a stream's next bytes.

`asyncio.timeout` round each read makes and cancels a timer every time, which costs more than reading a chunk; and Qt
keeps a timer of qasync's until it is due, also when it was cancelled. Here one timer serves all reads: it looks when
the wait that it saw would be too long, and goes on from the one that it finds.
"""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType


class SilenceLimit:
    """Raises TimeoutError out of its `with` block where a wait, from `begins` to `ends`, lasts over its limit.

    What happens between `ends` and the next `begins` has no limit; whoever has the bytes may take their time.
    """

    def __init__(self) -> None:
        self._limit_s = math.inf
        self._waiting: asyncio.Task[object] | None = None
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._broken: asyncio.Task[object] | None = None
        self._cancelling = 0

    def begins(self, limit_s: float) -> None:
        """The wait begins, in the task that calls; it may last `limit_s` seconds."""
        self._waiting, self._since = asyncio.current_task(), time.monotonic()
        if self._timer is None or limit_s != self._limit_s:
            self._stop_timer()
            self._limit_s = limit_s
            if limit_s < math.inf:
                self._timer = asyncio.get_running_loop().call_later(limit_s, self._look)

    def ends(self) -> None:
        """What was waited for has come."""
        self._waiting = None

    def _look(self) -> None:
        self._timer = None
        if self._waiting is None:
            return  # the next wait has a timer of its own
        left_s = self._since + self._limit_s - time.monotonic()
        if left_s > 0:
            self._timer = asyncio.get_running_loop().call_later(left_s, self._look)
            return
        self._broken, self._cancelling = self._waiting, self._waiting.cancelling()
        self._broken.cancel()

    def __enter__(self) -> SilenceLimit:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_timer()
        # As asyncio.timeout does it: where somebody else has cancelled the task too, it stays cancelled.
        if self._broken is not None and self._broken.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
