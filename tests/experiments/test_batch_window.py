"""Order of sending against caches of different sizes: the real runner and runs, and the simulator's cache."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

import pytest

from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, AttemptStarted, Completed, ContentDelta, Usage, UsageReported
from playground.experiments.batch_job import (
    HOPELESS_ROWS,
    BatchRunner,
    PrefixWindow,
    leads,
    opens_prefix,
    prefixes_held,
)
from playground.experiments.batch_plan import PlannedRow, plan_rows
from playground.experiments.batch_rows import BatchRow
from playground.prompt.document import Document, Message
from playground.prompt.request import Request
from playground.runs.run import Run
from playground.runs.state import RunState
from playground.simulator.engine import CacheOptions, PrefixCache
from tests.virtual_time import run_in_virtual_time

PROMPT = Document(messages=(Message("system", "Agent. {{sheet}}"), Message("user", "{{question}}")))
COLUMNS = {"sheet": "sheet", "question": "question"}
ENDPOINT = Endpoint("e", "E", "http://127.0.0.1:1/v1", needs_key=False)
BLOCK = 16


def tokens_of(item: PlannedRow) -> list[str]:
    return "".join(item.parts).split()


class Server:
    """The cache of the simulator behind runs without a network.

    `step_s` is the time to the first token; with a seed, half to one and a half of it.
    """

    def __init__(
        self, capacity: int | None, *, step_s: float = 0.004, reports: bool = True, seed: int | None = None
    ) -> None:
        self.cache, self.step_s, self.reports = PrefixCache(CacheOptions(BLOCK, capacity=capacity)), step_s, reports
        self.cached = self.prompt = self.requests = 0
        self.random = None if seed is None else random.Random(seed)
        self.slow = ""
        """A text; a prompt with it gets its first token after a minute."""
        self.item: dict[str, PlannedRow] = {}

    async def stream(
        self, _endpoint: Endpoint, _key: str | None, request: Request, clock: Callable[[], float], attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        item = self.item[request.body.decode()]
        yield AttemptStarted(clock(), attempt)
        tokens = tokens_of(item)
        cached = self.cache.serve(tokens)
        self.cached, self.prompt, self.requests = self.cached + cached, self.prompt + len(tokens), self.requests + 1
        step_s = self.step_s * (self.random.uniform(0.5, 1.5) if self.random else 1)
        await asyncio.sleep(60 if self.slow and self.slow in "".join(item.parts) else step_s)
        yield ContentDelta(clock(), "yes")
        await asyncio.sleep(step_s * 3)
        known = cached if self.reports else None
        yield UsageReported(clock(), Usage(len(tokens), 1, len(tokens) + 1, known))
        yield Completed(clock())

    async def send(self, item: PlannedRow, began: Callable[[Run], None]) -> RunState:
        body = f"{item.row.number}".encode()
        self.item[body.decode()] = item
        run = Run(
            id=body.decode(),
            document=item.document,
            request=Request(body, "m", True),
            endpoint=ENDPOINT,
            forecast=None,
            started_utc=datetime.now(UTC),
            connection=self,
            key=None,
        )
        began(run)
        return await run.execute()


def rows(prefixes: int, each: int, words: int = 200) -> tuple[BatchRow, ...]:
    sheets = [" ".join(f"s{sheet}w{word}" for word in range(words)) for sheet in range(prefixes)]
    return tuple(
        BatchRow(number, {"sheet": sheets[number % prefixes], "question": f"question {number} ?"})
        for number in range(prefixes * each)
    )


def best(plan: tuple[PlannedRow, ...]) -> int:
    """Return the cached tokens of a cache without a limit that gets one request at a time."""
    cache = PrefixCache(CacheOptions(BLOCK))
    return sum(cache.serve(tokens_of(item)) for item in plan)


def run(plan: tuple[PlannedRow, ...], server: Server, at_once: int, prefixes: int = 1) -> BatchRunner:
    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        await asyncio.sleep(0)

    async def main() -> BatchRunner:
        runner = BatchRunner(plan, at_once, server.send, keep, prefixes=prefixes)
        progress = await runner.execute()
        assert progress.done == len(plan)
        return runner

    return run_in_virtual_time(main())


@pytest.mark.parametrize(("holds", "at_once"), [(1, 4), (2, 4), (2, 12), (5, 4)])
def test_runner_cache_that_holds_fewer_prefixes_than_requests_serves_98_percent_of_the_best(
    holds: int, at_once: int
) -> None:
    plan = plan_rows(PROMPT, rows(10, 10), COLUMNS, "warm")
    capacity = holds * (max(len(tokens_of(item)) for item in plan) + at_once * BLOCK)
    server = Server(capacity)
    run(plan, server, at_once)
    assert server.cached >= 0.98 * best(plan)


def test_runner_large_cache_and_small_prefixes_raises_the_limit_at_no_loss() -> None:
    plan = plan_rows(PROMPT, rows(900, 2, 60), COLUMNS, "warm")
    server = Server(None, step_s=0.001)
    runner = run(plan, server, 4)
    assert runner.window.limit > 1
    assert server.cached == best(plan)


@pytest.mark.parametrize("seed", [None, *range(8)])
def test_runner_limit_that_is_too_high_for_the_cache_is_lowered(seed: int | None) -> None:
    plan = plan_rows(PROMPT, rows(40, 5), COLUMNS, "warm")
    longest = max(len(tokens_of(item)) for item in plan)
    server = Server(3 * longest, seed=seed)
    runner = run(plan, server, 8, prefixes=8)
    assert runner.window.limit <= 3
    assert server.cached >= 0.95 * best(plan)


def test_window_first_rows_all_miss_at_a_known_limit_lowers_it_and_then_takes_the_server_to_cache_nothing() -> None:
    plan = plan_rows(PROMPT, rows(2, 40), COLUMNS, "warm")
    follower = next(item for item in plan if not opens_prefix(item))
    state = RunState(phase="done", usage=Usage(400, 1, 401, 0))
    window = PrefixWindow(8, 8)
    limits = []
    for _row in range(HOPELESS_ROWS + 3):
        window.learn(follower, state, window.limit)
        limits.append(window.limit)
    assert limits == [4, 2, 1] + [1] * (HOPELESS_ROWS - 1) + [8]
    window.learn(follower, state, 8)
    assert window.limit == 8


def test_runner_server_that_caches_nothing_is_not_slowed_down() -> None:
    plan = plan_rows(PROMPT, rows(40, 5), COLUMNS, "warm")
    assert run(plan, Server(0), 4).window.limit == 4


def test_runner_leader_without_an_answer_does_not_hold_up_the_batch() -> None:
    plan = plan_rows(PROMPT, rows(6, 3), COLUMNS, "warm")
    server = Server(None)
    server.slow = "s3w0 "
    finished: list[int] = []

    async def keep(item: PlannedRow, _outcome: RunState | Exception) -> None:
        finished.append(item.row.number)
        if len(finished) == 15:
            runner.stop()

    async def main() -> BatchRunner:
        async with asyncio.timeout(30):
            await runner.execute()
        return runner

    runner = BatchRunner(plan, 4, server.send, keep)
    run_in_virtual_time(main())
    assert sorted(finished) == [number for number in range(18) if number % 6 != 3]


def test_leads_counts_rows_whose_prefix_others_need() -> None:
    plan = plan_rows(PROMPT, rows(3, 3), COLUMNS, "warm")
    assert leads(plan) == {0, 3, 6}
    assert leads(plan_rows(PROMPT, rows(9, 1), COLUMNS, "warm")) == frozenset()
    assert leads(plan_rows(PROMPT, rows(3, 3), COLUMNS, "file")) == frozenset()


@pytest.mark.parametrize(("capacity", "prompt", "held"), [(0, 100, 1), (800, 100, 4), (float("inf"), 100, 1_000_000)])
def test_prefixes_held_never_less_than_one(capacity: float, prompt: float, held: int) -> None:
    assert prefixes_held(capacity, prompt) == held


def test_window_report_without_cached_tokens_changes_nothing() -> None:
    plan = plan_rows(PROMPT, rows(3, 30), COLUMNS, "warm")
    window = PrefixWindow(4)
    server = Server(0, reports=False)
    assert run(plan, server, 4).window.limit == window.limit == 1


@pytest.mark.parametrize("end", ["stop", "resume"])
def test_runner_paused_batch_ends_after_stop_and_after_resume(end: str) -> None:
    plan = plan_rows(PROMPT, rows(2, 6), COLUMNS, "warm")
    server = Server(None)

    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        if not runner.paused and server.requests == 3:
            runner.pause()
            asyncio.get_running_loop().call_later(0.1, getattr(runner, end))

    async def main() -> None:
        async with asyncio.timeout(20):
            await runner.execute()

    runner = BatchRunner(plan, 3, server.send, keep)
    run_in_virtual_time(main())
    least, most = (12, 12) if end == "resume" else (3, 11)
    assert least <= runner.progress.done <= most


def test_runner_paused_with_the_last_rows_in_flight_ends() -> None:
    plan = plan_rows(PROMPT, rows(1, 3), COLUMNS, "warm")
    server = Server(None)

    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        if server.requests == 3:
            runner.pause()

    async def main() -> None:
        async with asyncio.timeout(20):
            await runner.execute()

    runner = BatchRunner(plan, 3, server.send, keep)
    run_in_virtual_time(main())
    assert runner.progress.done == 3
