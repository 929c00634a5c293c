"""Sends the rows of a batch: prefixes warm first, within a number of requests at once; pauses and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from playground.experiments.batch_plan import MINUTE_S, PlannedRow
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.runs.state import RunState
from playground.simulator.launch import SimulatorError

Send = Callable[[PlannedRow, Callable[[Run], None]], Awaitable[RunState]]
"""Sends a row and returns how it ended. The callback receives the run before its first byte is sent."""


@dataclass(slots=True)
class BatchProgress:
    """How far a batch is. `eta_s` is an estimate from the rows so far; None before the first."""

    total: int
    done: int = 0
    failed: int = 0
    running: int = 0
    eta_s: float | None = None


@dataclass
class BatchRunner:
    """Runs a plan once. Always sends the ready row that is first in the plan, so that a prefix is used while warm.

    Args:
        on_result: receives each row with its run, or with the exception that kept it from being sent. It writes to
            disk and may raise OSError, which ends the batch.
        on_start: receives a row's run before its first byte is sent.
        requests_per_minute: the plan's limit, a lower bound of the estimated time that is left.
    """

    plan: Sequence[PlannedRow]
    concurrency: int
    send: Send
    on_result: Callable[[PlannedRow, RunState | Exception], Awaitable[None]]
    on_progress: Callable[[BatchProgress], None] = lambda _progress: None
    on_start: Callable[[PlannedRow, Run], None] = lambda _item, _run: None
    requests_per_minute: int | None = None
    _runs: dict[int, Run] = field(init=False, default_factory=dict)
    _stopping: bool = field(init=False, default=False)
    _paused_s: float = field(init=False, default=0.0)
    _paused_at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._ready: asyncio.PriorityQueue[int] = asyncio.PriorityQueue()
        self._followers: dict[int, list[int]] = {}
        for position, item in enumerate(self.plan):
            if item.after is None:
                self._ready.put_nowait(position)
            else:
                self._followers.setdefault(item.after, []).append(position)
        self._left = len(self.plan)
        self._resumed = asyncio.Event()
        self._resumed.set()
        self.progress = BatchProgress(len(self.plan))

    @property
    def paused(self) -> bool:
        """Whether no further row is sent until `resume`."""
        return not self._resumed.is_set()

    def pause(self) -> None:
        """Send no further row until `resume`; requests in flight continue."""
        if not self.paused:
            self._resumed.clear()
            self._paused_at = asyncio.get_running_loop().time()

    def resume(self) -> None:
        """Continue after `pause`."""
        if self._paused_at is not None:
            self._paused_s += asyncio.get_running_loop().time() - self._paused_at
            self._paused_at = None
        self._resumed.set()

    def stop(self) -> None:
        """Stop requests in flight and send no further row."""
        self._stopping = True
        self.resume()
        self._wake_all()
        for run in list(self._runs.values()):
            run.stop()

    async def execute(self) -> BatchProgress:
        """Send every row. Cancelling stops the requests in flight."""
        self._started = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(self.plan))):
                    group.create_task(self._work())
        except* (OSError, SimulatorError) as failed:
            raise failed.exceptions[0] from None
        return self.progress

    async def _work(self) -> None:
        while self._left and not self._stopping:
            position = await self._ready.get()
            await self._resumed.wait()
            if self._stopping or position == len(self.plan):
                return
            await self._finish(position)
            self._left -= 1
            if not self._left:
                self._wake_all()

    def _wake_all(self) -> None:
        """Let every worker that waits for a row end. The position after the last row is the signal."""
        for _ in range(self.concurrency):
            self._ready.put_nowait(len(self.plan))

    async def _finish(self, position: int) -> None:
        item = self.plan[position]
        self.progress.running += 1
        self.on_progress(self.progress)
        outcome = await self._sent(position, item)
        self.progress.running -= 1
        stopped = isinstance(outcome, RunState) and outcome.phase == "stopped"
        if not stopped:  # a stopped row is sent again when the batch is resumed
            await self.on_result(item, outcome)
            self._count(outcome)
        self._lead_on(position)

    async def _sent(self, position: int, item: PlannedRow) -> RunState | Exception:
        def began(run: Run) -> None:
            self._runs[position] = run
            run.listen(lambda seen, _event: self._release_followers(position, seen))
            self.on_start(item, run)

        try:
            return await self.send(item, began)
        except InputError as error:
            return error
        finally:
            self._runs.pop(position, None)

    def _release_followers(self, position: int, run: Run) -> None:
        """The prefix is in the cache once the first token of the leader has arrived."""
        if run.state.first_token_at is not None:
            for follower in self._followers.pop(position, ()):
                self._ready.put_nowait(follower)

    def _lead_on(self, position: int) -> None:
        """If a row ended before its prefix was cached, let the next row with that prefix lead the others."""
        waiting = self._followers.pop(position, [])
        if waiting:
            first = waiting[0]
            self._followers.setdefault(first, []).extend(waiting[1:])
            self._ready.put_nowait(first)

    def _count(self, outcome: RunState | Exception) -> None:
        progress = self.progress
        if isinstance(outcome, RunState) and outcome.phase == "done":
            progress.done += 1
        else:
            progress.failed += 1
        finished = progress.done + progress.failed
        elapsed = asyncio.get_running_loop().time() - self._started - self._paused_s
        left = progress.total - finished
        at_least = left * MINUTE_S / self.requests_per_minute if self.requests_per_minute else 0.0
        progress.eta_s = max(elapsed / finished * left, at_least)
        self.on_progress(progress)
