"""Retries against a server that fails first: recorded attempts, and text without duplicates."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime

from playground.client.connection import Connection
from playground.client.endpoint import Endpoint
from playground.client.events import AnyEvent, AttemptFailed, RetryScheduled
from playground.client.retry import RetryPolicy
from playground.prompt.document import Document, Message
from playground.prompt.request import to_request
from playground.runs.run import Run
from playground.runs.state import fold
from playground.runs.summary import summary
from playground.simulator.launch import SimulatorProcess

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


def test_a_turn_that_takes_too_long_ends_and_keeps_its_text(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "1", "--plan", "none")
    _queue(simulator, "stall=9", 1)

    async def story() -> Run:
        connection = Connection()
        run = _run(simulator, connection, QUICK, limit_s=1.0)
        await run.execute()
        await connection.aclose()
        return run

    state = asyncio.run(story()).state
    assert state.phase == "failed"
    assert state.error is not None
    assert state.error.title == "The turn took too long"
    assert state.text
    assert state.request_id


def test_a_stop_ends_the_wait(make_simulator: Make) -> None:
    simulator = make_simulator("--plan", "none")
    _queue(simulator, "429=60", 1)

    async def story() -> Run:
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
        return run

    run = asyncio.run(story())
    assert run.state.phase == "stopped"
    assert run.state.attempts[0].status == 429
    assert run.state.attempts[0].request_id
