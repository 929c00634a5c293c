"""Runs against scripted servers over several attempts, on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from playground.client.connection import Connection
from playground.client.events import AnyEvent, RetryScheduled, Usage
from playground.client.retry import LONGEST_ASKED_S, RetryPolicy
from playground.runs.run import Run
from playground.simulator.process import SimulatorProcess
from tests.client import servers
from tests.client.servers import DONE, ENDS, LAST, USAGE, Peer, event, head, says, whole
from tests.conformance.talk import (
    Conversation,
    Step,
    converse,
    hang_up,
    new,
    queue_faults,
    see_through,
    stats,
    talk,
)

Make = Callable[..., SimulatorProcess]

HELLO = head() + says("Hello") + ENDS + USAGE + DONE + LAST
HALF = head() + says("half")
OVERLOADED = "503 Service Unavailable"
LIMITED = "429 Too Many Requests"
REFUSAL = json.dumps({"error": {"message": "Not now", "type": "some_error", "request_id": "of-the-body"}}).encode()


def _refusal(status: str, *headers: str) -> bytes:
    return whole(REFUSAL, status=status, extra="".join(f"{header}\r\n" for header in headers))


# An error that passes, in every shape a body can have; then an answer.

PASSING: dict[str, tuple[tuple[Step, ...], str]] = {
    "an envelope": ((_refusal(OVERLOADED),), "Not now"),
    "502": ((_refusal("502 Bad Gateway"),), "Not now"),
    "a page of HTML": (
        (whole(b"<html><head><title>502 Bad Gateway</title></head>nginx</html>", "text/html", "502 Bad Gateway"),),
        "502 Bad Gateway",
    ),
    "nothing": ((whole(b"", status=OVERLOADED),), "without an explanation"),
    "no length and no body": (
        (f"HTTP/1.1 {OVERLOADED}\r\nX-Request-Id: req-1\r\n\r\n".encode(), hang_up),
        "without an explanation",
    ),
    "half of an envelope": (
        (head("application/json", OVERLOADED, len(REFUSAL)) + REFUSAL[:30], hang_up),
        '{"error": {"message": "Not now',
    ),
    "half of a chunk": ((head("text/plain", OVERLOADED) + b"20\r\nover", hang_up), "over"),
    "bytes that are no text": ((whole(b"\xfa\xfe\x00\x80", "text/plain", OVERLOADED),), "\ufffd"),
    "bytes that do not unpack": (
        (whole(b"not gzip", "text/plain", OVERLOADED, "Content-Encoding: gzip\r\n"),),
        "without an explanation",
    ),
    "megabytes": ((whole(b"x" * 5_000_000, "text/plain", OVERLOADED),), "xxx"),
    "an event stream": ((head("text/event-stream", OVERLOADED) + event("{}") + LAST,), "data: {}"),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_error_that_passes_is_followed_by_an_answer(name: str) -> None:
    steps, words = PASSING[name]
    told = talk(steps, (HELLO,))
    assert (told.state.phase, told.state.text, told.state.error) == ("done", "Hello", None)
    assert told.statuses[1] == 200
    assert told.ids == ["req-1", "req-2"]
    first = told.state.attempts[0].error
    assert first is not None
    assert words in first.detail
    assert first.status == told.statuses[0]
    assert len(first.body) <= 65_536
    assert len(told.waits) == 1


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 408, 409, 413, 418, 422, 500, 501, 504, 529])
def test_no_other_status_is_sent_again(status: int) -> None:
    told = talk((_refusal(f"{status} Some reason"),))
    assert (told.state.phase, told.statuses, told.ids) == ("failed", [status], ["req-1"])
    assert told.state.error is not None
    assert told.state.error.body_request_id == "of-the-body"
    assert told.waits == []


def test_a_failure_then_a_stream_that_dies_then_nothing_more() -> None:
    told = talk((_refusal(OVERLOADED),), (_refusal(LIMITED, "Retry-After: 0"),), (HALF, hang_up))
    assert (told.statuses, told.kinds) == ([503, 429, 200], ["http", "http", "cut"])
    assert (told.state.text, told.ids) == ("half", ["req-1", "req-2", "req-3"])


# How long is waited.


def _stop_when_waiting(run: Run, heard: AnyEvent) -> None:
    if isinstance(heard, RetryScheduled):
        asyncio.get_running_loop().call_soon(run.stop)


def _asked_to_wait(status: str, *headers: str) -> Conversation:
    """Refuse a request with these headers, and stop the run as soon as it waits."""

    async def main() -> Conversation:
        async def script(peer: Peer) -> None:
            await peer.send(_refusal(status, *headers))

        async with servers.serve(script) as server:
            connection = Connection()
            told = new(connection, server.base_url, retries=RetryPolicy(jitter=0.0))
            told.run.subscribe(_stop_when_waiting)
            await see_through(told)
            await connection.aclose()
            assert len(server.requests) == 1
            return told

    return asyncio.run(main())


@pytest.mark.parametrize("status", [LIMITED, OVERLOADED, "502 Bad Gateway"])
@pytest.mark.parametrize(
    ("header", "waits"),
    [
        ("Retry-After: 7", [7.0]),
        ("Retry-After: 0.5", [0.5]),
        ("retry-after:  30 ", [30.0]),
        ("Retry-After: -3", [0.0]),
        ("Retry-After: soon", [0.25]),
        ("Retry-After: nan", [0.25]),
        ("Retry-After:", [0.25]),
        ("X-Other: 9", [0.25]),
        (f"Retry-After: {LONGEST_ASKED_S:.0f}", [LONGEST_ASKED_S]),
        (f"Retry-After: {LONGEST_ASKED_S + 1:.0f}", []),
        ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", [0.0]),
        ("Retry-After: Fri, 31 Dec 9999 23:59:59 GMT", []),
    ],
)
def test_the_wait_is_what_the_server_asks_for(status: str, header: str, waits: list[float]) -> None:
    told = _asked_to_wait(status, header)
    assert told.waits == waits
    assert told.state.phase == ("stopped" if waits else "failed")
    assert told.ids == ["req-1"]


def test_a_date_to_wait_for_is_waited_for() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    (wait,) = _asked_to_wait(LIMITED, f"Retry-After: {date}").waits
    assert 0 < wait <= 60


def test_waits_double_when_nothing_is_asked_for() -> None:
    policy = RetryPolicy(attempts=4, first_s=0.01, longest_s=0.02, jitter=0.0)
    told = talk(*[(_refusal(LIMITED),)] * 4, retries=policy)
    assert told.waits == [0.01, 0.02, 0.02]
    assert (told.state.phase, told.statuses) == ("failed", [429] * 4)
    assert told.ids == ["req-1", "req-2", "req-3", "req-4"]


# No server, and then one.


def test_a_refused_connection_is_tried_again_and_then_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is behind a proxy whose port is bound but does not listen until the first attempt was refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{taken.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        told, asked = asyncio.run(_refused_then_up(taken))
    assert (told.kinds, told.statuses) == (["connect", None], [None, 200])
    assert (told.state.phase, told.state.text, told.ids) == ("done", "Hello", [None, "req-1"])
    assert asked == ["POST http://electron.invalid/v1/chat/completions HTTP/1.1"]


async def _refused_then_up(taken: socket.socket) -> tuple[Conversation, list[str]]:
    async def script(peer: Peer) -> None:
        await peer.send(HELLO)

    async with servers.serve(script, taken, listening=False) as server:
        connection = Connection()
        told = new(connection, "http://electron.invalid/v1", key=None)
        told.run.subscribe(lambda _, heard: server.begin() if isinstance(heard, RetryScheduled) else None)
        await see_through(told)
        await connection.aclose()
        return told, [peer.line for peer in server.requests]


def test_after_a_refusal_on_this_machine_the_next_send_goes_through() -> None:
    """Here nothing is waited for, since waiting starts no server; the connection is none the worse for it."""

    async def main() -> list[Conversation]:
        async def script(peer: Peer) -> None:
            await peer.send(HELLO)

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            connection = Connection()
            async with servers.serve(script, taken, listening=False) as server:
                first = await see_through(new(connection, server.base_url))
                server.begin()
                second = await see_through(new(connection, server.base_url))
                await connection.aclose()
            return [first, second]

    first, second = asyncio.run(main())
    assert (first.kinds, first.waits) == (["connect"], [])
    assert second.state.text == "Hello"


# The same with the simulator.


def test_the_simulator_fails_in_every_way_and_then_answers(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "0", "--plan", "none")
    queue_faults(simulator, "503", "429=0", "502", "429")
    told = converse(simulator.base_url)
    assert told.statuses == [503, 429, 502, 429, 200]
    assert len(set(told.ids)) == 5
    assert None not in told.ids
    assert told.waits[1] == 0.0
    assert (told.state.phase, told.state.finish_reason) == ("done", "stop")
    assert isinstance(told.state.usage, Usage)
    queue_faults(simulator, "503", "cut=5")
    told = converse(simulator.base_url)
    assert (told.statuses, told.kinds) == ([503, 200], ["http", "cut"])
    assert told.state.text
    queue_faults(simulator, "503", "stream_error=0")
    told = converse(simulator.base_url)
    assert (told.statuses, told.kinds, told.state.text) == ([503, 200], ["http", "stream_error"], "")
    assert told.state.error is not None
    assert told.state.error.body_request_id == told.ids[1]
    queue_faults(simulator, "503", "no_request_id")
    told = converse(simulator.base_url)
    assert (told.ids[0] is None, told.ids[1], told.state.phase) == (False, None, "done")
    queue_faults(simulator, "503", "not_sse")
    assert converse(simulator.base_url).kinds == ["http", "protocol"]
    assert stats(simulator)["in_flight"] == 0


def test_a_fourth_at_once_is_refused_waits_and_gets_its_answer(make_simulator: Make) -> None:
    simulator = make_simulator("--ttft-ms", "1", "--token-ms", "15", "--plan", "standard")

    async def main() -> list[Conversation]:
        connection = Connection()
        patient = RetryPolicy(first_s=0.3)
        three = [new(connection, simulator.base_url) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for told in three:
                group.create_task(see_through(told))
            for told in three:
                await told.content.wait()
            fourth = await see_through(new(connection, simulator.base_url, retries=patient))
        await connection.aclose()
        return [*three, fourth]

    *three, fourth = asyncio.run(main())
    assert [told.statuses for told in three] == [[200]] * 3
    assert (fourth.statuses[0], fourth.statuses[-1], fourth.state.phase) == (429, 200, "done")
    refused = fourth.state.attempts[0].error
    assert refused is not None
    assert "Concurrency limit reached: 3" in refused.detail
    assert refused.retry_after_s is None
    assert len({told.state.text for told in (*three, fourth)}) == 1
