"""Forms of streamed answers and of broken streams, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from playground.client.connection import Connection, Timeouts
from playground.client.sse import MAX_EVENT_BYTES
from tests.client import servers
from tests.client.servers import DONE, ENDS, LAST, USAGE, Peer, chunk, event, head, says, whole
from tests.conformance.talk import (
    Conversation,
    Step,
    hang_up,
    new,
    reset,
    see_through,
    silence,
    talk,
)

HELLO = head() + says("Hello") + ENDS + USAGE + DONE + LAST
HALF = head() + says("half")
SHORT = Timeouts(connect=5, first_byte=0.2, idle=0.2, write=5)


def _delta(**fields: object) -> bytes:
    return event(json.dumps({"id": "c1", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]}))


def _call(index: int | None, arguments: str, **fields: str) -> bytes:
    function = {"arguments": arguments, **({"name": fields.pop("name")} if "name" in fields else {})}
    place = {} if index is None else {"index": index}
    return _delta(tool_calls=[{**place, **fields, "function": function}])


def _usage(prompt: int, *, choices: object = ()) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": 2, "total_tokens": prompt + 2}
    return event(json.dumps({"id": "c1", "choices": choices, "usage": usage}, default=list))


# How a stream can end before its answer does. It is never sent again, and nothing that came is lost.

DEATHS: dict[str, tuple[tuple[Step, ...], str, str]] = {
    "the server hangs up": ((HALF, hang_up), "cut", "half"),
    "the connection breaks": ((HALF, reset), "cut", "half"),
    "before the first word": ((head(), hang_up), "cut", ""),
    "within a word": ((HALF + b"40\r\ndata: {", hang_up), "cut", "half"),
    "with an invalid final chunk": ((HALF + LAST,), "cut", "half"),
    "with less than was promised": (
        (head(length=9999) + b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n', hang_up),
        "cut",
        "half",
    ),
    "with invalid chunk sizes": ((HALF + b"zz\r\n", silence), "cut", "half"),
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
        ("Hello", "stop", None, False),
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
    text = "zyxwvutsrqponmlk" * 500_000  # has no part of the key
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
                    await asyncio.sleep(0.001)
            finally:
                left.set()

        async with servers.serve(script) as server:
            connection = Connection()
            told = await see_through(new(connection, server.base_url))
            await asyncio.wait_for(left.wait(), 30)
            await connection.aclose()
            return told

    assert asyncio.run(main()).state.text == "Hello"
