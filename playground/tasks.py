"""Background tasks of a session, callbacks that subscribe to an object's events, and consents.

`Tasks` is the only helper that starts tasks: it keeps a reference, reports errors and cancels at shutdown.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, ParamSpec

OnError = Callable[[str, BaseException], None]
Start = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]
"""Starts a task under a name: `Tasks.start`."""
Begin = Callable[[Coroutine[Any, Any, None], str], object]
"""The same for callers that do not keep the task."""
P = ParamSpec("P")


class Subscribers(Generic[P]):
    """The callbacks of one event. Calling it calls each of them, in the order in which they subscribed."""

    def __init__(self) -> None:
        self._callbacks: tuple[Callable[P, object], ...] = ()

    def subscribe(self, callback: Callable[P, object]) -> Callable[[], None]:
        """Add a callback, which must return at once. Returns the function that unsubscribes it."""
        own = partial(callback)  # distinct, if the same callback subscribes twice
        self._callbacks += (own,)

        def unsubscribe() -> None:
            self._callbacks = tuple(one for one in self._callbacks if one is not own)

        return unsubscribe

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call the callbacks that are subscribed now."""
        for callback in self._callbacks:
            callback(*args, **kwargs)


class Consents:
    """What the user has agreed to. Callers that ask for the same at once get the answer to one question."""

    def __init__(self) -> None:
        self._given: set[Hashable] = set()
        self._refusals: Counter[Hashable] = Counter()
        self._locks: defaultdict[Hashable, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def given(self, key: Hashable, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether the user agrees; `ask` asks. A refusal holds for the callers that waited for it."""
        refusals = self._refusals[key]
        async with self._locks[key]:
            if key not in self._given and self._refusals[key] == refusals:
                if await ask():
                    self._given.add(key)
                else:
                    self._refusals[key] += 1
            return key in self._given


class _BegunTask(asyncio.Task[None]):
    """A task whose coroutine always begins, so that its `finally` runs also after a cancellation in the same turn."""

    _has_begun = False

    def __init__(self, coroutine: Coroutine[Any, Any, None], *, loop: asyncio.AbstractEventLoop, name: str) -> None:
        super().__init__(self._begin(coroutine), loop=loop, name=name)

    async def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._has_begun = True
        await coroutine

    def cancel(self, msg: Any | None = None) -> bool:
        """Request cancellation, after the first step if that has not run yet."""
        if self._has_begun or self.done():
            return super().cancel(msg)
        self.get_loop().call_soon(super().cancel, msg)
        return True


class Tasks:
    """Tasks of one session. `on_error(name, error)` is called with every error that a task did not handle."""

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self.on_end: Subscribers[[str, float, bool]] = Subscribers()
        """At the end of each task: its name, its seconds, and whether it ran to its end."""
        self._running: set[asyncio.Task[None]] = set()

    def start(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a coroutine as a task. Raises RuntimeError if no event loop runs."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            coroutine.close()
            raise
        task = _BegunTask(coroutine, loop=loop, name=name)
        self._running.add(task)
        task.add_done_callback(partial(self._ended, loop.time()))
        return task

    def _ended(self, began: float, task: asyncio.Task[None]) -> None:
        seconds = task.get_loop().time() - began
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        self.on_end(task.get_name(), seconds, not task.cancelled() and error is None)
        if error is not None:
            self._on_error(task.get_name(), error)

    async def close(self) -> None:
        """Cancel every running task, and every task that those start while they end, and wait until all have ended.

        The calling task is neither cancelled nor waited for: a task may close its own session.
        """
        while running := self._running - {asyncio.current_task()}:
            for task in running:
                task.cancel()
            # `asyncio.gather` of tasks that have all ended does not give the loop a turn on Python 3.12 and later, so
            # `_ended` would never be called. `asyncio.wait` always does.
            await asyncio.wait(running)
