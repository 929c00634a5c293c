"""The cache lab against real simulators: it determines their configured block size, minimum and lifetime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiohttp import web
from msgspec.structs import replace

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.experiments.lab import (
    Lab,
    LabPlan,
    LabProgress,
    Reading,
    csv_rows,
    from_json,
    plan_blocks,
    plan_first_token,
    plan_lifetime,
    plan_repeats,
    to_json,
)
from playground.experiments.lab_findings import Findings, findings, sentences
from playground.prompt.document import Document, Json
from playground.prompt.request import to_request
from playground.runs.state import RunState
from playground.simulator.engine import CacheOptions
from playground.simulator.process import SimulatorProcess
from playground.simulator.server import Options, Simulator
from tests.conftest import FAST

Start = Callable[..., SimulatorProcess]


async def _state(connection: Connection, endpoint: Endpoint, document: Document) -> RunState:
    state = RunState()
    request = to_request(document, endpoint.model)
    async for event in connection.stream(endpoint, None, request, time.monotonic):
        state.apply(event)
    return state


def _run(base_url: str, plan: LabPlan, stop_after: int | None = None) -> LabProgress:
    async def story() -> LabProgress:
        connection = Connection()
        endpoint = Endpoint("lab", "Lab", base_url, needs_key=False)
        kept: list[LabProgress] = []
        enough = asyncio.Event()

        def keep(progress: LabProgress) -> None:
            kept.append(progress)
            if len(kept) == stop_after:
                enough.set()

        lab = Lab(LabProgress(plan, "lab"), lambda document: _state(connection, endpoint, document), keep)
        task = asyncio.ensure_future(lab.run())
        if stop_after is not None:
            await enough.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            # A later session has only the state on disk.
            lab = Lab(from_json(to_json(kept[-1])), lambda d: _state(connection, endpoint, d), kept.append)
            task = asyncio.ensure_future(lab.run())
        progress = await task
        await connection.aclose()
        return progress

    return asyncio.run(story())


@pytest.mark.parametrize("block", [16, 64, 128])
def test_it_finds_the_block_size_and_the_minimum(make_simulator: Start, block: int) -> None:
    simulator = make_simulator(*FAST, "--block-size", str(block))
    progress = _run(simulator.base_url, plan_blocks(seed=1))
    found = findings(progress)
    assert found.block is not None
    assert found.block % block == 0
    assert found.block <= 2 * block
    missed, hit = found.minimum
    assert hit is not None
    assert hit >= block
    assert missed is None or missed <= hit
    assert any(f"{found.block:,} tokens" in sentence for sentence in sentences(progress))


def _progress_with(counts: list[int]) -> LabProgress:
    """Return a plan of blocks in which the second request of each size reported one of these cached counts."""
    plan = plan_blocks([2 * count for count in counts], seed=1)
    readings = []
    for number, count in enumerate(counts):
        readings.append(Reading(2 * number, 0.0, "done", None, 2 * count, 0, None, None))
        readings.append(Reading(2 * number + 1, 1.0, "done", None, 2 * count, count, None, 1.0))
    return LabProgress(plan, "lab", tuple(readings))


@pytest.mark.parametrize(
    ("step", "divisor", "end"), [(1, 48, "is the block size."), (10, 10, "is not known."), (100, 100, "is not known.")]
)
def test_counts_that_may_be_rounded_down_prove_no_block_size(step: int, divisor: int, end: str) -> None:
    progress = _progress_with([48 * blocks // step * step for blocks in (3, 5, 7, 10, 14)])
    assert findings(progress).block == divisor
    assert next(sentences(progress)).endswith(end)


def test_counts_without_a_common_divisor_show_no_blocks() -> None:
    assert "no blocks" in next(sentences(_progress_with([97, 104, 118, 131])))


def test_it_finds_the_lifetime() -> None:
    now = 1_000.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def story() -> LabProgress:
        options = Options(plan="none", cache=CacheOptions(lifetime_s=100.0), ttft_ms=0.0, token_ms=0.0)
        runner = web.AppRunner(Simulator(options, lambda: now).application())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = Endpoint("lab", "Lab", f"http://127.0.0.1:{runner.addresses[0][1]}/waves/v1", needs_key=False)
        connection = Connection()
        progress = await Lab(
            LabProgress(plan_lifetime((40.0, 99.0, 101.0, 160.0)), "lab"),
            lambda document: _state(connection, endpoint, document),
            lambda _progress: None,
            clock=lambda: now,
            sleep=sleep,
        ).run()
        await connection.aclose()
        await runner.cleanup()
        return progress

    found = findings(asyncio.run(story()))
    assert found.lifetime == (99.0, 101.0)
    assert found.lifetime_s == 99.0


def test_it_counts_hits_and_times_first_tokens(make_simulator: Start) -> None:
    simulator = make_simulator(*FAST)
    found = findings(_run(simulator.base_url, plan_repeats(6)))
    assert (found.hits, found.again) == (5, 5)
    progress = _run(simulator.base_url, plan_first_token(3))
    found = findings(progress)
    assert (len(found.cold_ttft), len(found.warm_ttft)) == (3, 3)
    assert any(sentence.startswith("The cache ") for sentence in sentences(progress))


def test_stopped_in_the_middle_it_goes_on_where_it_was(make_simulator: Start) -> None:
    simulator = make_simulator(*FAST)
    progress = _run(simulator.base_url, plan_repeats(8), stop_after=3)
    assert progress.done
    assert [reading.step for reading in progress.readings] == list(range(8))
    assert findings(progress).hits == 7


def test_a_request_that_fails_ends_it_and_its_step_is_left(simulator: SimulatorProcess) -> None:
    async def story() -> LabProgress:
        calls = 0
        connection = Connection()
        endpoint = Endpoint("lab", "Lab", simulator.base_url, needs_key=False)

        async def send(document: Document) -> RunState:
            nonlocal calls
            calls += 1
            broken = replace(document, parameters={"temperature": 9})
            return await _state(connection, endpoint, broken if calls == 3 else document)

        progress = await Lab(LabProgress(plan_repeats(5), "lab"), send, lambda _: None).run()
        await connection.aclose()
        return progress

    progress = asyncio.run(story())
    assert len(progress.readings) == 2
    assert not progress.done


def test_the_cost_is_known_before_and_no_prompt_begins_like_another() -> None:
    plan = plan_blocks()
    assert len({prompt[:17] for prompt in plan.prompts}) == len(plan.prompts)
    assert plan.tokens == pytest.approx(2 * sum(len(p) / 4.6 for p in plan.prompts))
    assert plan_lifetime((1.0, 5.0)).idle_s == 5.0


def test_what_is_not_reported_is_not_found() -> None:
    plan = plan_repeats(2)
    made = from_json(
        {
            **to_json(LabProgress(plan, "lab")),  # type: ignore[dict-item]
            "readings": [
                {"step": n, "at": float(n), "phase": "done", "request_id": None, "prompt_tokens": 9,
                 "cached_tokens": None, "ttft_s": None, "gap_s": None if n == 0 else 1.0}
                for n in range(2)
            ],
        }
    )  # fmt: skip
    assert findings(made) == Findings(unreported=True)
    assert list(sentences(made)) == [
        "This server does not report cached tokens: nothing can be found out about its cache."
    ]
    assert csv_rows(made)[1][5:8] == (9, "", "")


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": "other"},
        {"prompts": 7},
        {"steps": [[9, 0.0]]},
        {"steps": [[0, 1e300]]},
        {"readings": [{"step": "0"}]},
        {"readings": [{"step": 5, "at": 1.0, "phase": "done", "request_id": None, "prompt_tokens": None,
                       "cached_tokens": None, "ttft_s": None, "gap_s": None}]},
        {"unknown": 1},
    ],
)  # fmt: skip
def test_from_json_invalid_field_raises_value_error(change: dict[str, Json]) -> None:
    stored = to_json(LabProgress(plan_repeats(2), "lab"))
    assert isinstance(stored, dict)
    from_json(stored)
    with pytest.raises(ValueError, match=r"\w"):
        from_json({**stored, **change})
