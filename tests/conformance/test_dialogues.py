"""Dialogues: what a server says, attempt after attempt, and what a run makes of it. All on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from playground.client.connection import Connection, Timeouts
from playground.client.events import AnyEvent, RetryScheduled, Usage
from playground.client.framer import MAX_EVENT_BYTES
from playground.client.retry import LONGEST_ASKED_S, RetryPolicy
from playground.runs.run import Run
from playground.simulator.launch import SimulatorProcess
from tests.client import servers
from tests.client.servers import DONE, ENDS, LAST, USAGE, Peer, chunk, event, head, says, whole
from tests.conformance.talk import (
    Conversation,
    Step,
    converse,
    hang_up,
    new,
    queue_faults,
    reset,
    see_through,
    silence,
    stats,
    talk,
)

Make = Callable[..., SimulatorProcess]

HELLO = head() + says("Hello") + ENDS + USAGE + DONE + LAST
HALF = head() + says("half")
SHORT = Timeouts(connect=5, first_byte=0.2, idle=0.2, write=5)
OVERLOADED = "503 Service Unavailable"
LIMITED = "429 Too Many Requests"
REFUSAL = json.dumps({"error": {"message": "Not now", "type": "some_error", "request_id": "of-the-body"}}).encode()


def _refusal(status: str, *headers: str) -> bytes:
    return whole(REFUSAL, status=status, extra="".join(f"{header}\r\n" for header in headers))


def _delta(**fields: object) -> bytes:
    return event(json.dumps({"id": "c1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}))


def _call(index: int | None, arguments: str, **fields: str) -> bytes:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    place = {} if index is None else {"index": index}
    return _delta(tool_calls=[{**place, **fields, "function": function}])


def _usage(prompt: int, *, choices: object = ()) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": prompt + 2}
    return event(json.dumps({"id": "c1", "choices": choices, "usage": usage}, default=list))


# An error that passes, in every shape a body can have; then an answer.

PASSING: dict[str, tuple[tuple[Step, ...], str]] = {
    "an envelope": ((_refusal(OVERLOADED),), "Not now"),
    "502": ((_refusal("502 Bad Gateway"),), "Not now"),
    "a page of HTML": (
        (whole(b"<html><head><title>502 Bad Gateway</title></head>nginx</html>", "text/html", "502 Bad Gateway"),),
        "502 Bad Gateway",
    ),
    "nothing": ((whole(b"", status=OVERLOADED),), "said no more"),
    "no length and no body": (
        (f"HTTP/1.1 {OVERLOADED}\r\nX-Request-Id: req-1\r\n\r\n".encode(), hang_up),
        "said no more",
    ),
    "half of an envelope": (
        (head("application/json", OVERLOADED, len(REFUSAL)) + REFUSAL[:30], hang_up),
        '{"error": {"message": "Not now',
    ),
    "half of a chunk": ((head("text/plain", OVERLOADED) + b"20\r\nover", hang_up), "over"),
    "bytes that are no text": ((whole(b"\xff\xfe\x00\x80", "text/plain", OVERLOADED),), "\ufffd"),
    "bytes that do not unpack": (
        (whole(b"not gzip", "text/plain", OVERLOADED, "Content-Encoding: gzip\r\n"),),
        "said no more",
    ),
    "megabytes": ((whole(b"x" * 5_000_000, "text/plain", OVERLOADED),), "xxx"),
    "an event stream": ((head("text/event-stream", OVERLOADED) + event("{}") + LAST,), "data: {}"),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_error_that_passes_is_followed_by_an_answer(name: str) -> None:
    steps, words = PASSING[name]
    told = talk(steps, (HELLO,))
    assert (told.state.phase, told.state.text, told.state.trouble) == ("done", "Hello", None)
    assert told.statuses[1] == 200
    assert told.ids == ["req-1", "req-2"]
    first = told.state.attempts[0].trouble
    assert first is not None
    assert words in first.detail
    assert first.status == told.statuses[0]
    assert len(first.body) <= 65_536
    assert len(told.waits) == 1


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 408, 409, 413, 418, 422, 500, 501, 504, 529])
def test_no_other_status_is_sent_again(status: int) -> None:
    told = talk((_refusal(f"{status} Some reason"),))
    assert (told.state.phase, told.statuses, told.ids) == ("failed", [status], ["req-1"])
    assert told.state.trouble is not None
    assert told.state.trouble.body_request_id == "of-the-body"
    assert told.waits == []


# How a stream can end before its answer does. It is never sent again, and nothing that came is lost.

DEATHS: dict[str, tuple[tuple[Step, ...], str, str]] = {
    "the server hangs up": ((HALF, hang_up), "cut", "half"),
    "the connection breaks": ((HALF, reset), "cut", "half"),
    "before the first word": ((head(), hang_up), "cut", ""),
    "within a word": ((HALF + b"40\r\ndata: {", hang_up), "cut", "half"),
    "with an end that is none": ((HALF + LAST,), "cut", "half"),
    "with less than was promised": (
        (head(length=9999) + b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n', hang_up),
        "cut",
        "half",
    ),
    "with chunks that are none": ((HALF + b"zz\r\n", silence), "cut", "half"),
    "with nothing at all": ((head() + LAST,), "cut", ""),
    "in silence": ((HALF, silence), "timeout", "half"),
    "in silence, before a word": ((head(), silence), "timeout", ""),
    "in silence, without headers": ((silence,), "timeout", ""),
    "with an error": ((HALF + event('{"error":{"message":"stopped","code":503}}') + LAST,), "stream_error", "half"),
    "with an error at once": (
        (head() + event('{"error":{"message":"overloaded","code":503}}') + LAST,),
        "stream_error",
        "",
    ),
    "with an error that is a word": ((HALF + event('{"error":"stopped"}') + LAST,), "stream_error", "half"),
    "with an error object": ((HALF + event('{"object":"error","message":"stopped"}') + LAST,), "stream_error", "half"),
    "with an error of another kind": (
        (HALF + chunk(b'event: error\ndata: {"error":{"type":"x"}}\n\n') + LAST,),
        "stream_error",
        "half",
    ),
    "with a page": ((HALF + event("<html>") + LAST,), "protocol", "half"),
    "with an event without end": ((HALF, chunk(b"data: " + b"x" * (MAX_EVENT_BYTES + 1)), silence), "protocol", "half"),
    "with bytes that do not unpack": (
        (head(extra="Content-Encoding: gzip\r\n") + chunk(b"not gzip"), silence),
        "protocol",
        "",
    ),
}


@pytest.mark.parametrize("name", DEATHS)
def test_a_stream_that_dies_keeps_all_that_came_and_is_not_sent_again(name: str) -> None:
    steps, kind, text = DEATHS[name]
    told = talk(steps, timeouts=SHORT if silence in steps and kind == "timeout" else Timeouts())
    assert (told.state.phase, told.state.text, told.kinds) == ("failed", text, [kind])
    assert told.ids == [None if steps == (silence,) else "req-1"]
    assert told.waits == []
    assert told.state.usage is None
    assert told.state.finish_reason is None


def test_a_failure_then_a_stream_that_dies_then_nothing_more() -> None:
    told = talk((_refusal(OVERLOADED),), (_refusal(LIMITED, "Retry-After: 0"),), (HALF, hang_up))
    assert (told.statuses, told.kinds) == ([503, 429, 200], ["http", "http", "cut"])
    assert (told.state.text, told.ids) == ("half", ["req-1", "req-2", "req-3"])


# How a stream can say the same in other ways. `text`, `finish_reason`, prompt tokens, whether [DONE] was seen.

WAYS: dict[str, tuple[bytes, tuple[str, str | None, int | None, bool]]] = {
    "as usual": (HELLO, ("Hello", "stop", 9, True)),
    "without an end mark": (head() + says("Hello") + ENDS + USAGE + LAST, ("Hello", "stop", 9, False)),
    "without a reason": (head() + says("Hello") + USAGE + DONE + LAST, ("Hello", None, 9, True)),
    "without usage": (head() + says("Hello") + ENDS + DONE + LAST, ("Hello", "stop", None, True)),
    "usage first": (head() + USAGE + says("Hello") + ENDS + DONE + LAST, ("Hello", "stop", 9, True)),
    "usage before the reason": (head() + says("Hello") + USAGE + ENDS + DONE + LAST, ("Hello", "stop", 9, True)),
    "usage all along": (
        head() + _usage(1) + says("Hello") + _usage(2) + ENDS + _usage(3) + DONE + LAST,
        ("Hello", "stop", 3, True),
    ),
    "usage with a word": (
        head()
        + _usage(7, choices=[{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}])
        + DONE
        + LAST,
        ("Hello", "stop", 7, True),
    ),
    "usage without choices": (
        head() + says("Hello") + ENDS + event('{"usage":{"prompt_tokens":4}}') + DONE + LAST,
        ("Hello", "stop", 4, True),
    ),
    "choices of null": (
        head() + says("Hello") + event('{"choices":null,"usage":null}') + ENDS + DONE + LAST,
        ("Hello", "stop", None, True),
    ),
    "no error is no error": (
        head() + event('{"error":null,"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}') + DONE + LAST,
        ("Hello", "stop", None, True),
    ),
    "a second choice": (
        head()
        + says("Hello")
        + event('{"choices":[{"index":1,"delta":{"content":"other"},"finish_reason":"length"}]}')
        + ENDS
        + DONE
        + LAST,
        ("Hello", "stop", None, True),
    ),
    "words after the end": (
        head() + says("Hello") + ENDS + DONE + says("more") + USAGE + LAST,
        ("Hello", "stop", None, True),
    ),
    "an error after the end": (
        head() + says("Hello") + ENDS + DONE + event('{"error":{"message":"late"}}') + LAST,
        ("Hello", "stop", None, True),
    ),
    "chunks that break after the end": (
        head() + says("Hello") + ENDS + DONE + b"zz\r\n",
        ("Hello", "stop", None, True),
    ),
    "foreign fields and events": (
        head()
        + event('{"choices":[{"delta":{"content":"Hello","mood":7},"x":[]}],"y":{}}')
        + event('{"ping":1}')
        + ENDS
        + DONE
        + LAST,
        ("Hello", "stop", None, True),
    ),
    "comments, names, ids and blank lines": (
        head()
        + chunk(b"\xef\xbb\xbf:\n\n: hello\nretry: 10\n\n\n\nid: 7\nevent: message\n")
        + says("Hello")
        + ENDS
        + chunk(b"data:[DONE]\n\n")
        + LAST,
        ("Hello", "stop", None, True),
    ),
    "lines of two kinds": (
        head()
        + chunk(b'data: {"choices":[{"delta":\rdata: {"content":"Hello"},\r\ndata: "finish_reason":"stop"}]}\r\r')
        + chunk(b"data: [DONE]\r\n\r\n")
        + LAST,
        ("Hello", "stop", None, True),
    ),
    "an end mark on the last line": (
        head() + says("Hello") + chunk(b"data: [DONE]") + LAST,
        ("Hello", None, None, True),
    ),
    "packed": (
        head(extra="Content-Encoding: gzip\r\n")
        + chunk(gzip.compress(b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\ndata: [DONE]\n\n'))
        + LAST,
        ("Hello", None, None, True),
    ),
    "after hints": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Request-Id: early\r\n\r\n" + HELLO,
        ("Hello", "stop", 9, True),
    ),
    "not streamed": (
        whole(b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5}}'),
        ("Hello", "stop", 5, True),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_the_same_answer_said_in_another_way(name: str) -> None:
    answer, expected = WAYS[name]
    state = talk((answer,)).state
    prompt = state.usage.prompt_tokens if state.usage else None
    assert (state.phase, state.request_id) == ("done", "req-1")
    assert (state.text, state.finish_reason, prompt, state.saw_done) == expected


@pytest.mark.parametrize("name", ["finish", "none"])
def test_a_server_of_the_old_kind_ends_by_hanging_up(name: str) -> None:
    """HTTP/1.0 has no chunks: the body ends with its connection, and [DONE] tells whether it is whole."""
    start = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: req-1\r\n\r\n"
    said = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
    told = talk((start + said + (b"data: [DONE]\n\n" if name == "finish" else b""), hang_up))
    assert told.state.text == "Hello"
    assert told.kinds == [None if name == "finish" else "cut"]


def test_calls_are_put_together_by_their_index() -> None:
    answer = (
        _delta(role="assistant", content="One moment")
        + _call(1, "", id="b", name="second")
        + _call(0, '{"city":', id="a", name="first")
        + _call(1, '{"n"')
        + _call(0, '"Zürich 🙂"}', id="a")
        + _call(2, "{}", id="c", name="third")
        + _call(1, ":2}")
    )
    ended = event('{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}')
    state = talk((head() + answer + ended + DONE + LAST,)).state
    calls = {index: (call.id, call.name, call.arguments) for index, call in state.tool_calls.items()}
    assert calls == {
        0: ("a", "first", '{"city":"Zürich 🙂"}'),
        1: ("b", "second", '{"n":2}'),
        2: ("c", "third", "{}"),
    }
    assert (state.text, state.finish_reason) == ("One moment", "tool_calls")


def test_calls_of_a_stream_that_died_are_kept_as_far_as_they_came() -> None:
    told = talk((head() + _call(0, '{"city":"Par', id="a", name="find"), hang_up))
    assert told.kinds == ["cut"]
    assert told.state.tool_calls[0].arguments == '{"city":"Par'
    assert told.ids == ["req-1"]


def test_an_event_of_many_megabytes_comes_through() -> None:
    text = "0123456789abcdef" * 500_000
    said = f'data: {{"choices":[{{"delta":{{"content":"{text}"}}}}]}}\n\n'.encode()
    pieces = [chunk(said[start : start + 700_000]) for start in range(0, len(said), 700_000)]
    told = talk((head(), *pieces, ENDS + DONE + LAST))
    assert told.state.phase == "done"
    assert told.state.text == text


def test_a_farewell_on_an_idle_connection_is_not_taken_for_the_next_answer() -> None:
    """Some proxies say 408 to a connection that has been idle for too long, and close it."""

    async def main() -> list[Conversation]:
        ended, said = asyncio.Event(), asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(HELLO)
            if len(server.requests) == 1:
                await ended.wait()
                await peer.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
                peer.hang_up()
                await peer.writer.wait_closed()
                said.set()

        async with servers.serve(script) as server:
            connection = Connection()
            first = await see_through(new(connection, server.base_url))
            ended.set()
            await said.wait()
            second = await see_through(new(connection, server.base_url))
            await connection.aclose()
            assert server.connections == 2
            return [first, second]

    assert [(told.state.text, told.statuses) for told in asyncio.run(main())] == [("Hello", [200])] * 2


def test_a_server_that_talks_on_after_its_end_is_left() -> None:
    async def main() -> Conversation:
        left = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(HELLO.removesuffix(LAST))
            try:
                while True:
                    await peer.send(says("and on"))
                    await asyncio.sleep(0)
            finally:
                left.set()

        async with servers.serve(script) as server:
            connection = Connection()
            told = await see_through(new(connection, server.base_url))
            await asyncio.wait_for(left.wait(), 30)
            await connection.aclose()
            return told

    assert asyncio.run(main()).state.text == "Hello"


# How long is waited.


def _stop_when_waiting(run: Run, heard: AnyEvent) -> None:
    if isinstance(heard, RetryScheduled):
        asyncio.get_running_loop().call_soon(run.stop)


def _asked_to_wait(status: str, *headers: str) -> Conversation:
    """A refusal with these headers, and the run stopped as soon as it waits, so that nobody has to."""

    async def main() -> Conversation:
        async def script(peer: Peer) -> None:
            await peer.send(_refusal(status, *headers))

        async with servers.serve(script) as server:
            connection = Connection()
            told = new(connection, server.base_url, retries=RetryPolicy(jitter=0.0))
            told.run.listen(_stop_when_waiting)
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
    """The server's name leads through a proxy whose port is taken and silent, until the first attempt was refused."""
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
        told.run.listen(lambda _, heard: server.begin() if isinstance(heard, RetryScheduled) else None)
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
    assert told.state.trouble is not None
    assert told.state.trouble.body_request_id == told.ids[1]
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
    refused = fourth.state.attempts[0].trouble
    assert refused is not None
    assert "Concurrency limit reached: 3" in refused.detail
    assert refused.retry_after_s is None
    assert len({told.state.text for told in (*three, fourth)}) == 1
