"""Connections on real sockets: received bytes, and connections that stay open."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from playground import __version__
from playground.client import exchange
from playground.client.connection import Connection, Timeouts
from playground.client.credentials import credentials
from playground.client.endpoint import Endpoint
from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RawEvent,
    Usage,
    UsageReported,
)
from playground.client.redact import MASK
from playground.prompt.request import Request
from tests.client import servers
from tests.client.servers import Peer, Script, Server, serve
from tests.virtual_time import run_in_virtual_time

KEY = "sk_secret_0123456789"
REQUEST = Request(b'{"model":"m","messages":[],"stream":true}', "m", True)
WHOLE_REQUEST = Request(b'{"model":"m","messages":[]}', "m", False)
USUAL = Timeouts()
SHORT = Timeouts(connect=5, first_byte=0.2, idle=0.2, write=5)


@asynccontextmanager
async def connected(timeouts: Timeouts = USUAL) -> AsyncIterator[Connection]:
    connection = Connection(timeouts)
    try:
        yield connection
    finally:
        await connection.aclose()


async def _exchange(
    connection: Connection, endpoint: Endpoint, key: str | None = KEY, request: Request = REQUEST
) -> list[AnyEvent]:
    ticks = itertools.count()
    async with aclosing(connection.stream(endpoint, key, request, lambda: float(next(ticks)))) as events:
        return [event async for event in events]


def _run(script: Script, key: str | None = KEY, request: Request = REQUEST, timeouts: Timeouts = USUAL) -> Told:
    async def main() -> Told:
        async with serve(script) as server, connected(timeouts) as connection:
            events = await _exchange(connection, server.endpoint, key, request)
            return Told(events, server)

    return run_in_virtual_time(main())


class Told:
    """What one exchange told."""

    def __init__(self, events: list[AnyEvent], server: Server) -> None:
        self.events, self.server = events, server

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ContentDelta))

    @property
    def error(self) -> ApiError:
        assert isinstance(self.events[-1], AttemptFailed), self.events
        return self.events[-1].error

    @property
    def headers(self) -> HeadersReceived:
        return next(event for event in self.events if isinstance(event, HeadersReceived))


def _sends(*pieces: bytes, hang_up: bool = False) -> Script:
    async def script(peer: Peer) -> None:
        for piece in pieces:
            await peer.send(piece)
        if hang_up:
            peer.hang_up()

    return script


def test_a_stream_from_headers_to_done() -> None:
    told = _run(
        _sends(
            servers.head(),
            servers.says("Hel"),
            servers.says("lo"),
            servers.ENDS,
            servers.USAGE,
            servers.DONE,
            servers.LAST,
        )
    )
    kept = [event for event in told.events if not isinstance(event, RawEvent)]
    assert [type(event) for event in kept] == [
        AttemptStarted,
        HeadersReceived,
        BodyIdReceived,
        ContentDelta,
        ContentDelta,
        Finished,
        UsageReported,
        Completed,
    ]
    assert told.text == "Hello"
    assert told.headers.status == 200
    assert told.headers.request_id == servers.REQUEST_ID
    assert kept[-2] == UsageReported(kept[-2].at, Usage(9, 2, 11, None))
    assert kept[-1] == Completed(kept[-1].at, saw_done=True)
    assert sum(isinstance(event, RawEvent) for event in told.events) == 4
    assert [event.at for event in told.events] == sorted(event.at for event in told.events)


def test_the_request_is_sent_byte_for_byte_with_the_headers_it_needs() -> None:
    body = '{"model":"m","messages":[{"role":"user","content":"न\u00a0\u2028"}],"stream":true}'.encode()
    peer = _run(_sends(servers.whole(b"{}")), request=Request(body, "m", True)).server.requests[0]
    assert peer.line == "POST /v1/chat/completions HTTP/1.1"
    assert peer.body == body
    assert peer.headers["authorization"] == f"Bearer {KEY}"
    assert peer.headers["accept"] == "text/event-stream"
    assert peer.headers["accept-encoding"] == "identity"
    assert peer.headers["content-type"] == "application/json"
    assert peer.headers["user-agent"] == f"electron-playground/{__version__}"
    bare = _run(_sends(servers.whole(b"{}")), key=None, request=WHOLE_REQUEST).server.requests[0]
    assert "authorization" not in bare.headers
    assert bare.headers["accept"] == "application/json"


def test_a_cookie_that_the_server_sets_is_not_sent_with_the_next_request() -> None:
    """The log and the ticket state what was sent, and a server may repeat it."""

    async def script(peer: Peer) -> None:
        answer = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
        head = f"HTTP/1.1 200 OK\r\nSet-Cookie: session=abc; Path=/\r\nContent-Length: {len(answer)}\r\n"
        await peer.send(f"{head}Content-Type: application/json\r\n\r\n".encode() + answer)

    async def main() -> Server:
        async with serve(script) as server, connected() as connection:
            for _ in range(2):
                await _exchange(connection, server.endpoint, KEY, WHOLE_REQUEST)
            return server

    first, second = asyncio.run(main()).requests
    assert second.headers == first.headers
    assert "cookie" not in {name.lower() for name in second.headers}


def test_headers_are_told_before_any_byte_of_the_body() -> None:
    async def main() -> AnyEvent:
        first_seen = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.send(servers.head())
            await asyncio.wait_for(first_seen.wait(), 10)
            await peer.send(servers.says("late") + servers.DONE + servers.LAST)

        async with serve(script) as server, connected() as connection:
            async for event in connection.stream(server.endpoint, KEY, REQUEST, float):
                if isinstance(event, HeadersReceived):
                    first_seen.set()
            return event

    assert isinstance(asyncio.run(main()), Completed)


def test_secret_headers_and_the_key_are_not_told() -> None:
    extra = f"Set-Cookie: a=b\r\nX-Echo: Bearer {KEY}\r\nX-Plain: kept\r\n"
    told = _run(_sends(servers.whole(b"{}", extra=extra)))
    assert "set-cookie" not in dict(told.headers.headers)
    assert dict(told.headers.headers)["x-plain"] == "kept"
    assert KEY not in repr(told.events)


@pytest.mark.parametrize("addresses", [0, 12_000])
def test_secret_of_a_parameter_is_searched_in_a_thread_and_masked(
    monkeypatch: pytest.MonkeyPatch, addresses: int
) -> None:
    threads: list[int] = []

    def noted(*values: Any) -> str | None:
        threads.append(threading.get_ident())
        return credentials(*values)

    monkeypatch.setattr(exchange, "credentials", noted)
    secret = "xoA7k2Lm9Qp4Zt8v"
    metadata = {"seen": [f"https://api.example/v1/users/{n}?page={n}" for n in range(addresses)], "api_key": secret}
    body = json.dumps({"model": "m", "messages": [], "metadata": metadata}).encode()
    told = _run(_sends(servers.whole(b"{}", extra=f"X-Echo: {secret}\r\n")), request=Request(body, "m", False))
    assert secret not in repr(told.events)
    assert dict(told.headers.headers)["x-echo"] == MASK
    assert [thread != threading.get_ident() for thread in threads] == [True]


def test_a_stream_cut_at_every_byte_tells_the_same() -> None:
    answer = '{"choices":[{"delta":{"content":"न🙂\u2028"},"finish_reason":"stop"}]}'
    stream = f"data: {answer}\r\n\r\ndata: [DONE]\r\n\r\n".encode()
    pieces = [servers.chunk(stream[i : i + 1]) for i in range(len(stream))]
    told = _run(_sends(servers.head("text/event-stream; charset=latin-1"), *pieces, servers.LAST))
    assert told.text == "न🙂\u2028"
    assert isinstance(told.events[-1], Completed)


@pytest.mark.parametrize("how", ["hang up", "reset", "end"])
def test_a_stream_that_ends_before_its_answer_is_cut(how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.head() + servers.says("half") + servers.chunk(b'data: {"choi'))
        if how == "end":
            await peer.send(servers.LAST)
        elif how == "reset":
            peer.reset()
        else:
            peer.hang_up()

    told = _run(script)
    assert told.error.kind == "cut"
    if how != "reset":  # what a reset overtakes may never be read
        assert told.text == "half"
    assert isinstance(told.events[-1], AttemptFailed)
    assert told.events[-1].request_id == servers.REQUEST_ID


def test_a_finish_reason_without_done_is_an_answer_that_is_whole() -> None:
    told = _run(_sends(servers.head(), servers.says("whole"), servers.ENDS, servers.LAST))
    assert told.events[-1] == Completed(told.events[-1].at, saw_done=False)


def test_done_counts_where_no_empty_line_follows_it() -> None:
    told = _run(_sends(servers.head(), servers.says("a"), servers.chunk(b"data: [DONE]"), servers.LAST))
    assert told.events[-1] == Completed(told.events[-1].at, saw_done=True)


@pytest.mark.parametrize("how", ["hang up", "reset"])
def test_how_the_connection_ends_after_done_is_no_error(how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.head() + servers.says("a") + servers.DONE)
        if how == "reset":
            await asyncio.wait_for(seen.wait(), 10)
            peer.reset()
        else:
            peer.hang_up()

    async def main() -> list[AnyEvent]:
        told: list[AnyEvent] = []
        async with serve(script) as server, connected() as connection:
            async for event in connection.stream(server.endpoint, KEY, REQUEST, float):
                told.append(event)
                if isinstance(event, Completed):
                    seen.set()
        return told

    seen = asyncio.Event()
    told = asyncio.run(main())
    assert isinstance(told[-1], Completed)
    assert not any(isinstance(event, AttemptFailed) for event in told)


def test_one_connection_serves_one_request_after_another() -> None:
    answer = servers.head() + servers.says("a") + servers.ENDS + servers.DONE + servers.LAST
    bad = servers.whole(b'{"error":{"message":"no"}}', status="400 Bad Request")
    answers = [answer, bad, answer]

    async def script(peer: Peer) -> None:
        await peer.send(answers.pop(0))

    async def main() -> Server:
        async with serve(script) as server, connected() as connection:
            for _ in range(3):
                await _exchange(connection, server.endpoint)
            return server

    server = asyncio.run(main())
    assert (server.connections, len(server.requests)) == (1, 3)


def test_comments_and_empty_events_are_passed_over() -> None:
    odd = servers.chunk(b"\xef\xbb\xbf: hello\n\n:\n\nevent: ping\n\ndata:\n\n")
    told = _run(_sends(servers.head(), odd, servers.says("a"), servers.DONE, servers.LAST))
    assert told.text == "a"
    assert isinstance(told.events[-1], Completed)


def test_json_where_a_stream_was_asked_for_is_an_answer() -> None:
    body = b'\xef\xbb\xbf{"id":"c","choices":[{"message":{"content":"whole"},"finish_reason":"stop"}],"usage":null}'
    told = _run(_sends(servers.whole(body, "application/json; charset=utf-8")))
    assert told.text == "whole"
    assert isinstance(told.events[-1], Completed)


def test_a_stream_where_json_was_asked_for_is_an_answer() -> None:
    told = _run(_sends(servers.head(), servers.says("a"), servers.DONE, servers.LAST), request=WHOLE_REQUEST)
    assert told.text == "a"


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (servers.whole(b"<html><h1>Welcome</h1></html>", "text/html"), "text/html: <html>"),
        (servers.whole(b"", "application/json"), "empty answer"),
        (servers.whole(b"", "text/html"), "text/html"),
        (servers.whole(b'{"status":"ok"}'), '{"status":"ok"}'),
        (servers.whole(b"[1, 2", "application/json"), "[1, 2"),
        (servers.whole(b"hello", ""), "hello"),
        (servers.head() + servers.event("not json") + servers.LAST, "not json"),
        (servers.head() + servers.event("7") + servers.LAST, "7"),
    ],
)
def test_what_is_no_completion_is_told_with_what_came(response: bytes, words: str) -> None:
    error = _run(_sends(response)).error
    assert error.kind == "protocol"
    assert words in error.detail
    assert error.advice


def test_an_error_in_the_stream_keeps_what_came_and_is_seen_as_it_came() -> None:
    error = f'{{"error":{{"message":"overloaded: {KEY}","type":"overloaded_error","request_id":"r2"}}}}'
    told = _run(_sends(servers.head(), servers.says("half"), servers.event(error), servers.LAST))
    assert told.text == "half"
    assert (told.error.kind, told.error.error_type) == ("stream_error", "overloaded_error")
    assert told.error.body_request_id == "r2"
    assert isinstance(told.events[-2], RawEvent)
    assert "overloaded" in told.events[-2].data
    assert KEY not in repr(told.events)


def test_an_error_status_is_told_with_its_body_and_without_the_key() -> None:
    body = {
        "error": {
            "message": f"bad key {KEY}",
            "type": "invalid_request_error",
            "details": [{"code": "x", "message": f"not {KEY}", "path": ["messages", 3, "role"]}],
            "request_id": "r9",
        }
    }
    told = _run(_sends(servers.whole(json.dumps(body).encode(), status="400 Bad Request")))
    assert told.error.status == 400
    assert "messages[3].role: not" in told.error.detail
    assert told.error.body_request_id == "r9"
    assert KEY not in repr(told.events)


def test_an_error_body_that_breaks_off_does_not_hide_the_status() -> None:
    start = servers.head("text/plain", "503 Service Unavailable", 1000, "Retry-After: 7\r\n") + b"overloaded, try"
    told = _run(_sends(start, hang_up=True))
    assert (told.error.kind, told.error.status, told.error.retry_after_s) == ("http", 503, 7.0)
    assert "overloaded, try" in told.error.detail


def test_an_endless_error_body_is_cut() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(servers.head("text/plain", "500 Oops"))
        while not peer.writer.is_closing():
            await peer.send(servers.chunk(b"x" * 10_000))

    told = _run(script)
    assert told.error.status == 500
    assert len(told.error.body) == 65_536


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(status: int) -> None:
    async def main() -> tuple[Told, Server]:
        async with serve(_sends(servers.whole(b"{}"))) as other:
            elsewhere = f"Location: {other.base_url}/chat/completions?key={KEY}\r\n"
            async with (
                serve(_sends(servers.whole(b"", status=f"{status} Moved", extra=elsewhere))) as server,
                connected() as connection,
            ):
                return Told(await _exchange(connection, server.endpoint), server), other

    told, other = asyncio.run(main())
    assert told.error.status == status
    assert other.base_url in told.error.advice
    assert (other.requests, other.connections) == ([], 0)
    assert KEY not in repr(told.events)


@pytest.mark.parametrize("key", ["", "a b", "kéy", "key\n", "\u202ekey"])
def test_a_key_that_no_header_can_carry_is_not_sent(key: str) -> None:
    told = _run(_sends(servers.whole(b"{}")), key=key)
    assert told.error.kind == "key"
    assert told.server.connections == 0


def test_a_key_does_not_travel_in_the_clear() -> None:
    async def main() -> list[AnyEvent]:
        async with connected() as connection:
            return await _exchange(connection, Endpoint(id="x", name="X", base_url="http://192.0.2.1:8080/v1"))

    events = asyncio.run(main())
    assert isinstance(events[-1], AttemptFailed)
    assert events[-1].error.kind == "key"
    assert [type(event) for event in events] == [AttemptStarted, AttemptFailed]


def test_a_server_that_hangs_up_without_an_answer() -> None:
    error = _run(_sends(hang_up=True)).error
    assert error.kind == "protocol"
    assert "hung up" in error.title


def test_a_server_that_is_no_web_server() -> None:
    error = _run(_sends(b"+OK ready\r\n\r\n")).error
    assert error.kind == "protocol"
    assert "does not speak HTTP" in error.title


def test_nothing_answers() -> None:
    async def main() -> tuple[list[AnyEvent], Endpoint]:
        async with serve(_sends()) as closed:
            pass
        async with connected() as connection:
            return await _exchange(connection, closed.endpoint), closed.endpoint

    events, endpoint = asyncio.run(main())
    assert isinstance(events[-1], AttemptFailed)
    assert events[-1].error.kind == "connect"
    assert endpoint.base_url in events[-1].error.detail


@pytest.mark.parametrize(
    ("start", "title"),
    [
        (b"", "No answer in time"),
        (servers.head(), "The stream stalled"),
        (servers.head() + servers.says("half"), "The stream stalled"),
    ],
)
def test_a_server_that_falls_silent(start: bytes, title: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(start)
        await peer.gone()

    told = _run(script, timeouts=SHORT)
    assert (told.error.kind, told.error.title) == ("timeout", title)
    assert told.text == ("half" if b"half" in start else "")


async def _until_gone(start: bytes) -> None:
    """Cancel an exchange with a server that sent `start` and waits; the server must see the client go."""
    reached, left = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(start)
        reached.set()
        await peer.gone()
        left.set()

    async with serve(script) as server, connected() as connection:
        task = asyncio.create_task(_exchange(connection, server.endpoint))
        await asyncio.wait_for(reached.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Before the client as a whole is closed.
        await asyncio.wait_for(left.wait(), 10)


@pytest.mark.parametrize("start", [b"", servers.head(), servers.head() + servers.says("half")])
async def test_cancelling_closes_the_connection_at_once(start: bytes) -> None:
    await _until_gone(start)


async def test_closing_the_generator_closes_the_connection_at_once() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(servers.head() + servers.says("a") + servers.says("b"))
        await peer.gone()
        left.set()

    async with serve(script) as server, connected() as connection:
        events = connection.stream(server.endpoint, KEY, REQUEST, float)
        async for event in events:
            if isinstance(event, ContentDelta):
                break
        await events.aclose()
        await asyncio.wait_for(left.wait(), 10)


def test_a_proxy_is_not_asked_about_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    answer = b'{"choices":[{"message":{"content":"direct"}}]}'
    assert _run(_sends(servers.whole(answer))).text == "direct"


def test_a_certificate_file_that_is_not_there_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "not-there.pem")

    async def main() -> list[AnyEvent]:
        async with connected() as connection:
            await connection.warm()
            return await _exchange(connection, Endpoint(id="x", name="X", base_url="https://192.0.2.1/v1"))

    events = asyncio.run(main())
    assert isinstance(events[-1], AttemptFailed)
    assert events[-1].error.kind == "setup"
    assert "SSL_CERT_FILE names not-there.pem" in events[-1].error.detail


def test_httpx_is_imported_on_first_use_only() -> None:
    """It takes longer to import than the window has to its first paint."""
    code = "import sys, playground.client.connection, playground.runs.run; print('httpx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_many_streams_at_once_do_not_wait_for_each_other() -> None:
    together = asyncio.Event()
    count = 120

    async def script(peer: Peer) -> None:
        await peer.send(servers.head())
        if len(server.requests) == count:
            together.set()
        await asyncio.wait_for(together.wait(), 20)
        await peer.send(servers.says("a") + servers.DONE + servers.LAST)

    async with serve(script) as server, connected() as connection:
        exchanges = [_exchange(connection, server.endpoint) for _ in range(count)]
        for events in await asyncio.gather(*exchanges):
            assert isinstance(events[-1], Completed)
