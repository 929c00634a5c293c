"""Sends the rows of a batch: leaders first, within a number of requests at once; stops and resumes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from playground.experiments.batch_plan import PlannedRow
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.runs.state import RunState

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
    """Runs a plan once.

    Args:
        on_result: receives each row with its run, or with the exception that kept it from being sent. It writes to
            disk and may raise OSError, which ends the batch.
    """

    plan: Sequence[PlannedRow]
    concurrency: int
    send: Send
    on_result: Callable[[PlannedRow, RunState | Exception], Awaitable[None]]
    on_progress: Callable[[BatchProgress], None] = lambda _progress: None
    skip: frozenset[int] = frozenset()
    _ended: list[asyncio.Event] = field(init=False)
    _runs: dict[int, Run] = field(init=False, default_factory=dict)
    _stopping: bool = field(init=False, default=False)
    _resumed: asyncio.Event = field(init=False)

    def __post_init__(self) -> None:
        self._ended = [asyncio.Event() for _ in self.plan]
        self._resumed = asyncio.Event()
        self._resumed.set()
        self.progress = BatchProgress(sum(item.row.number not in self.skip for item in self.plan))

    def pause(self) -> None:
        """Send no further row until `resume`; requests in flight continue."""
        self._resumed.clear()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._resumed.set()

    def stop(self) -> None:
        """Stop requests in flight and send no further row."""
        self._stopping = True
        self._resumed.set()
        for run in list(self._runs.values()):
            run.stop()

    async def execute(self) -> BatchProgress:
        """Send every row that is not skipped. Cancelling stops the requests in flight."""
        slots = asyncio.Semaphore(self.concurrency)
        started = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                for position, item in enumerate(self.plan):
                    if item.row.number in self.skip:
                        self._ended[position].set()
                        continue
                    # A row takes its slot only when its leader was answered, so that waiting rows block no others.
                    group.create_task(self._row(position, item, slots, started))
        except* OSError as failed:
            raise failed.exceptions[0] from None
        return self.progress

    async def _row(self, position: int, item: PlannedRow, slots: asyncio.Semaphore, started: float) -> None:
        if item.after is not None:
            await self._ended[item.after].wait()
        async with slots:
            await self._resumed.wait()
            if not self._stopping:
                await self._finish(position, item, started)
            self._ended[position].set()

    async def _finish(self, position: int, item: PlannedRow, started: float) -> None:
        self.progress.running += 1
        outcome = await self._sent(position, item)
        self.progress.running -= 1
        stopped = isinstance(outcome, RunState) and outcome.phase == "stopped"
        if not stopped:  # a stopped row is sent again when the batch is resumed
            await self.on_result(item, outcome)
            self._count(outcome, started)

    async def _sent(self, position: int, item: PlannedRow) -> RunState | Exception:
        def began(run: Run) -> None:
            self._runs[position] = run
            run.listen(lambda seen, _event: self._release_followers(position, seen))

        try:
            return await self.send(item, began)
        except InputError as error:
            return error
        finally:
            self._runs.pop(position, None)

    def _release_followers(self, position: int, run: Run) -> None:
        """The prefix is in the cache once the first token of the leader has arrived."""
        if run.state.first_token_at is not None:
            self._ended[position].set()

    def _count(self, outcome: RunState | Exception, started: float) -> None:
        progress = self.progress
        if isinstance(outcome, RunState) and outcome.phase == "done":
            progress.done += 1
        else:
            progress.failed += 1
        finished = progress.done + progress.failed
        elapsed = asyncio.get_running_loop().time() - started
        progress.eta_s = elapsed / finished * (progress.total - finished)
        self.on_progress(progress)
