"""Worker thread that runs calls in sequence, so that the event loop never waits for the disk."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class _Call(Generic[T]):
    def __init__(self, function: Callable[[], T]) -> None:
        self.function = function
        self.future: Future[T] = Future()

    def __call__(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.function())
        except BaseException as error:
            self.future.set_exception(error)


class Worker:
    """Calls and timers on one thread, in the order given."""

    def __init__(self, name: str) -> None:
        self._queue: queue.SimpleQueue[Callable[[], None] | tuple[float, Callable[[], None]] | None]
        self._queue = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._stopped = False
        self._order = itertools.count()
        # A daemon thread, so that a program without close() can exit. Flushed data is safe.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def call(self, function: Callable[[], T]) -> T:
        """Run `function` on the thread and return its result. A queued call runs even if the caller stops waiting."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(function)))

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run `function` like `call`, without an event loop."""
        if self._stopped:
            raise RuntimeError("the request log is closed")
        call = _Call(function)
        self._queue.put(call)
        return call.future

    def later(self, seconds: float, function: Callable[[], None]) -> None:
        """Run `function` on the thread in `seconds`. Dropped at `stop`."""
        self._queue.put((time.monotonic() + seconds, function))

    def stop(self) -> None:
        """Stop after the queued calls. Returns when the thread has ended."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            try:
                job = self._queue.get(timeout=self._wait())
            except queue.Empty:
                self._timer(heapq.heappop(self._timers)[2])
                continue
            if job is None:
                return
            if isinstance(job, tuple):
                heapq.heappush(self._timers, (job[0], next(self._order), job[1]))
            else:
                job()

    @staticmethod
    def _timer(function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:  # a bug: reported as for any thread, but the thread continues with the queued calls
            kind, error, trace = sys.exc_info()
            if kind is not None:
                threading.excepthook(threading.ExceptHookArgs((kind, error, trace, threading.current_thread())))

    def _wait(self) -> float | None:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
