"""Retries: the policy (repeated failures and waits), and runs that repeat attempts."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.errors import http_error
from playground.client.events import AnyEvent, ApiError, AttemptFailed, RetryScheduled
from playground.client.retry import NO_RETRIES, RetryPolicy
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.runs.state import fold
from playground.runs.summary import summary
from playground.simulator.process import SimulatorProcess

QUICK = RetryPolicy(first_s=0.01, longest_s=0.02)
Make = Callable[..., SimulatorProcess]


def _queue(simulator: SimulatorProcess, fault: str, times: int) -> None:
    root = simulator.base_url.removesuffix("/waves/v1")
    body = json.dumps({"fault": fault, "times": times}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{root}/simulator/faults", body)) as answer:
        assert answer.status == 200


def _run(
    simulator: SimulatorProcess, connection: Connection, retries: RetryPolicy, limit_s: float | None = None
) -> Run:
    document = Document(messages=(Message("user", "hello"),))
    return Run(
        id="run",
        document=document,
        request=to_request(document, "electron"),
        endpoint=Endpoint("s", "Simulator", simulator.base_url, needs_key=False),
        forecast=None,
        started_utc=datetime.now(UTC),
        connection=connection,
        key=None,
        retries=retries,
        limit_s=limit_s,
    )


def _converse(simulator: SimulatorProcess, retries: RetryPolicy) -> tuple[Run, list[AnyEvent]]:
    events: list[AnyEvent] = []

    async def story() -> Run:
        connection = Connection()
        run = _run(simulator, connection, retries)
        run.subscribe(lambda _run, event: events.append(event))
        await run.execute()
        await connection.aclose()
        return run

    return asyncio.run(story()), events


def test_503_502_wait_200(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
    _queue(simulator, "503", 1)
    _queue(simulator, "502", 1)
    run, events = _converse(simulator, QUICK)
    state = run.state
    assert state.phase == "done"
    assert [attempt.status for attempt in state.attempts] == [503, 502, 200]
    assert len({attempt.request_id for attempt in state.attempts}) == 3
    assert [attempt.error is None for attempt in state.attempts] == [False, False, True]
    assert state.error is None
    assert fold(events) == state
    waits = [event.wait_s for event in events if isinstance(event, RetryScheduled)]
    assert len(waits) == 2
    rows = summary(run)["attempts"]
    assert isinstance(rows, list)
    assert [row["error_type"] for row in rows if isinstance(row, dict)] == ["overloaded_error", "upstream_error", None]


def test_a_server_that_stays_down_is_asked_five_times(make_simulator: Make) -> None:
    simulator = make_simulator("--plan", "none")
    _queue(simulator, "503", 9)
    run, events = _converse(simulator, QUICK)
    assert run.state.phase == "failed"
    assert [attempt.status for attempt in run.state.attempts] == [503] * 5
    assert sum(isinstance(event, AttemptFailed) for event in events) == 5


def test_a_stream_that_dies_midway_keeps_its_text_and_is_not_sent_again(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "1", "--plan", "none")
    _queue(simulator, "cut=9", 1)
    run, _ = _converse(simulator, QUICK)
    assert run.state.phase == "failed"
    assert len(run.state.attempts) == 1
    assert run.state.text
    assert run.state.request_id


async def test_a_turn_that_takes_too_long_ends_and_keeps_its_text(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "1", "--plan", "none")
    _queue(simulator, "stall=9", 1)

    connection = Connection()
    run = _run(simulator, connection, QUICK, limit_s=1.0)
    await run.execute()
    await connection.aclose()
    state = run.state
    assert state.phase == "failed"
    assert state.error is not None
    assert state.error.title == "The turn took too long"
    assert state.text
    assert state.request_id


async def test_a_stop_ends_the_wait(make_simulator: Make) -> None:
    simulator = make_simulator("--plan", "none")
    _queue(simulator, "429=60", 1)

    connection = Connection()
    run = _run(simulator, connection, QUICK)

    def heard(run: Run, event: AnyEvent) -> None:
        if isinstance(event, RetryScheduled):
            assert event.wait_s == 60
            asyncio.get_running_loop().call_soon(run.stop)

    run.subscribe(heard)
    async with asyncio.timeout(20):
        await run.execute()
    await connection.aclose()
    assert run.state.phase == "stopped"
    assert run.state.attempts[0].status == 429
    assert run.state.attempts[0].request_id


URL = "https://example.com/v1"
STEADY = RetryPolicy(jitter=0.0)


def _answer(status: int, **headers: str) -> ApiError:
    return http_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, "", None)


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=10, jitter=0.0)
    waits = [policy.wait_s(attempt, _answer(503), URL) for attempt in range(1, 10)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_the_last_attempt_is_the_last() -> None:
    assert STEADY.wait_s(4, _answer(502), URL) == 2.0
    assert STEADY.wait_s(5, _answer(502), URL) is None
    assert NO_RETRIES.wait_s(1, _answer(502), URL) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 504, 529])
def test_nothing_else_is_sent_again(status: int) -> None:
    assert STEADY.wait_s(1, _answer(status), URL) is None


def test_what_the_server_asks_for_is_waited_exactly() -> None:
    assert RetryPolicy().wait_s(1, _answer(429, retry_after="7"), URL, chance=lambda: 0.0) == 7.0
    assert RetryPolicy().wait_s(1, _answer(429), URL, chance=lambda: 0.5) == 0.25


def test_a_wait_of_an_hour_is_the_users_to_decide() -> None:
    assert STEADY.wait_s(1, _answer(429, retry_after="3600"), URL) is None


def test_chance_moves_a_wait_by_a_fifth_at_most() -> None:
    policy = RetryPolicy()
    assert policy.wait_s(3, _answer(503), URL, chance=lambda: 0.0) == pytest.approx(0.8)
    assert policy.wait_s(3, _answer(503), URL, chance=lambda: 1.0) == pytest.approx(1.2)


def test_no_connection_is_tried_again_elsewhere_but_not_here() -> None:
    error = ApiError("connect", "Nothing answers there")
    assert STEADY.wait_s(1, error, URL) == 0.25
    assert STEADY.wait_s(1, error, "http://127.0.0.1:8080/v1") is None


def test_a_stream_that_was_cut_is_not_sent_again() -> None:
    assert STEADY.wait_s(1, ApiError("cut", "The stream was cut"), URL) is None
