"""asyncio's own event loop, turned by Qt's: one thread, one loop, for the window and the network.

Qt watches one descriptor, the selector's own (epoll or kqueue), and one timer; every turn is asyncio's. qasync gives Qt
a timer for each callback and a notifier for each read instead. That costs several times as much a step, and a timer
that is cancelled stays with Qt until it is due: 20 streams, each read with its limit of 120 s, left 131,000 timers
after a minute, and the loop was slower for each of them (bench_parallel). Where a selector has no descriptor of its own
(Windows), the loop is qasync's.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import time
from asyncio import Handle, TimerHandle
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication, QSocketNotifier, Qt, QTimer

TURN_S = 0.004
"""How long asyncio goes on, while it has something to do, before it is the window's turn again."""
_MOST_MS = 60 * 60 * 1000


def make_loop(application: QCoreApplication) -> asyncio.AbstractEventLoop:
    """The loop for this platform."""
    if sys.platform == "win32":
        from qasync import QEventLoop

        return QEventLoop(application)
    return QtLoop(application)


class _Selector(selectors.DefaultSelector):
    """Never waits: waiting is Qt's part."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(0)


class QtLoop(asyncio.SelectorEventLoop):
    """Runs inside `application.exec()`. All of asyncio but the waiting is asyncio's own.

    A turn never begins within another: a dialog's own loop, opened from a coroutine with exec(), holds asyncio up until
    it is closed, and breaks nothing.
    """

    if TYPE_CHECKING:
        # asyncio's own, the same in every version since 3.4, and not in its type stubs.
        _ready: deque[Handle]
        _scheduled: list[TimerHandle]
        _stopping: bool

    def __init__(self, application: QCoreApplication) -> None:
        selector = _Selector()
        self._application = application
        self._turning = False
        self._armed_for = math.inf
        self._timer = QTimer(singleShot=True, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._due)
        super().__init__(selector)
        self._notifier = QSocketNotifier(selector.fileno(), QSocketNotifier.Type.Read)
        self._notifier.activated.connect(self._turn)

    def _run_once(self) -> None:
        """Called by `run_forever`, once: Qt's loop, in which the turns are, until `stop`."""
        self._arm(0.0)
        self._application.exec()
        # Also where it was Qt's loop that was told to end.
        self._stopping = True

    def _pass(self) -> None:
        super()._run_once()  # type: ignore[misc]

    def _due(self) -> None:
        self._armed_for = math.inf
        self._turn()

    def _turn(self) -> None:
        if self._turning:
            self._notifier.setEnabled(False)  # it would be told again and again
            return
        self._turning = True
        try:
            until = time.monotonic() + TURN_S
            self._pass()
            while self._ready and not self._stopping and time.monotonic() < until:
                self._pass()
        finally:
            self._turning = False
            self._notifier.setEnabled(True)
            self._arm_next()

    def _arm_next(self) -> None:
        if self._stopping:
            self._application.exit()
        elif self._ready:
            self._arm(0.0)
        elif self._scheduled:
            self._arm(self._scheduled[0].when())

    def _arm(self, when: float) -> None:
        """Have a turn by then (this loop's time), or earlier."""
        if when >= self._armed_for:
            return
        self._armed_for = when
        wait_ms = math.ceil((when - self.time()) * 1000) if when else 0
        self._timer.start(min(max(wait_ms, 0), _MOST_MS))

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Handle:  # type: ignore[override]
        """As asyncio's."""
        handle = super().call_soon(callback, *args, context=context)
        if not self._turning:
            self._arm(0.0)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """As asyncio's."""
        handle = super().call_at(when, callback, *args, context=context)
        if not self._turning:
            self._arm(when)
        return handle

    def stop(self) -> None:
        """As asyncio's: end `run_forever` after the turn that is due."""
        super().stop()
        self._arm(0.0)

    def close(self) -> None:
        """As asyncio's."""
        if not self.is_running():
            self._timer.stop()
            self._notifier.setEnabled(False)
        super().close()
