"""The cache lab against real simulators: it determines their configured block size, minimum and lifetime."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import pytest
from aiohttp import web
from msgspec.structs import replace

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.experiments.lab import (
    Findings,
    Lab,
    LabPlan,
    LabProgress,
    Reading,
    csv_rows,
    findings,
    from_json,
    plan_blocks,
    plan_first_token,
    plan_lifetime,
    plan_repeats,
    sentences,
    to_json,
)
from playground.prompt.document import Document, Json
from playground.prompt.request import to_request
from playground.runs.state import RunState
from playground.simulator.engine import CacheOptions
from playground.simulator.process import SimulatorProcess
from playground.simulator.server import Options, Simulator
from tests.conftest import FAST, figures

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


def _read(plan: LabPlan, cached: Sequence[int | None], *, ttft_s: list[float] | None = None) -> LabProgress:
    """Return a progress in which step n reported `cached[n]`; every prompt was 900 tokens long."""
    readings, before = list[Reading](), dict[int, float]()
    for number, count in enumerate(cached):
        step = plan.steps[number]
        at = before[step.prompt] + (step.gap_s or 0.5) if step.prompt in before else 1_000.0 + number
        gap = at - before[step.prompt] if step.prompt in before else None
        time_s = None if ttft_s is None else ttft_s[number]
        readings.append(Reading(number, at, "done", None, 900, count, time_s, gap))
        before[step.prompt] = at
    return LabProgress(plan, "lab", tuple(readings))


@pytest.mark.parametrize(
    ("at_once", "later", "said", "lifetime"),
    [
        ([0, 0, 0], [0, 0, 0], "No prompt was served from the cache, not even 500 ms after it was sent.", None),
        ([896, 896, 896], [896, 896, 0], "An unused prefix stayed cached for 30.0 s and was gone after 60.0 s.", 30.0),
        ([896, 0, 896], [896, 0, 0], "time is not the only cause.", None),
        ([896, 896, 896], [0, 0, 0], "stayed cached for 500 ms and was gone after 15.0 s.", 0.5),
    ],
    ids=["no cache", "a lifetime", "several caches", "a short lifetime"],
)
def test_a_lifetime_is_stated_only_if_prompts_are_served_when_sent_again_at_once(
    at_once: list[int], later: list[int], said: str, lifetime: float | None
) -> None:
    progress = _read(plan_lifetime((15.0, 30.0, 60.0)), [n for hit in at_once for n in (0, hit)] + later)
    assert "\n".join(sentences(progress)).endswith(said)
    assert findings(progress).lifetime_s == lifetime


def test_waits_are_left_out_if_cached_tokens_are_not_reported() -> None:
    plan = plan_lifetime((15.0, 30.0))
    assert not _read(plan, [None, None, None]).done
    assert _read(plan, [None, None, None, None]).done
    assert not _read(plan, [0, 0, None, None]).done


def test_the_tokens_of_a_plan_follow_the_reports() -> None:
    plan = plan_lifetime((15.0, 30.0))
    sent = sum(map(plan.tokens_of, range(2)))
    assert _read(plan, []).tokens == pytest.approx(plan.tokens)
    assert _read(plan, [0, 0]).tokens == pytest.approx(plan.tokens * 1_800 / sent)


@pytest.mark.parametrize(
    ("warm", "said"),
    [
        ([0.1] * 10, "The cache saves 400 ms of the time to first token, by the median of the pairs."),
        ([0.1] * 7 + [0.9] * 3, "Not clear: the cached prompt was faster in 7 of 10 pairs."),
        ([0.9] * 10, "The cache costs 400 ms of the time to first token, by the median of the pairs."),
    ],
)
def test_a_difference_of_times_is_stated_if_chance_does_not_explain_it(warm: list[float], said: str) -> None:
    times = [time for each in warm for time in (0.5, each)]
    progress = _read(plan_first_token(10), [0, 896] * 10, ttft_s=times)
    assert list(sentences(progress))[-1] == said


def test_it_counts_hits_and_times_first_tokens(make_simulator: Start) -> None:
    simulator = make_simulator(*FAST)
    found = findings(_run(simulator.base_url, plan_repeats(6)))
    assert (found.hits, found.again) == (5, 5)
    progress = _run(simulator.base_url, plan_first_token(3))
    found = findings(progress)
    assert len(found.pairs) == 3
    assert [sentence.split(":")[0] for sentence in sentences(progress)] == ["cold", "warm", "Not clear"]


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
    assert list(map(figures, sentences(made))) == [[]]
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
