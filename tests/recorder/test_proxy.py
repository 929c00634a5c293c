"""The Recorder forwards bytes unchanged, on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from playground.recorder.feed import ObservedExchange, RecordingFeed
from playground.recorder.proxy import ExchangeOutcome, Recorder
from playground.recorder.upstream import AccessPolicy, Upstream, UpstreamError
from playground.recorder.wire import RawHeaders, parse_request
from tests.recorder.raw_server import RawServer, exchange, hang_up, raw_server

LIMIT_S = 30
"""Of each test; see conftest. Only a hang reaches it."""
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]


class Seen(ObservedExchange):
    """Keeps what the observer received of one exchange."""

    def __init__(self) -> None:
        self.request, self.response = b"", b""
        self.status: int | None = None
        self.headers: RawHeaders = []
        self.outcome: ExchangeOutcome | None = None
        self.ended = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()

    def request_data(self, data: bytes) -> None:
        self.request += data

    def request_end(self) -> None:
        assert self.status is None or self.response == b"", "the request ended after its response"

    def response_head(self, status: int, headers: RawHeaders) -> None:
        self.status, self.headers = status, headers

    def response_data(self, data: bytes) -> None:
        self.response += data

    def end(self, outcome: ExchangeOutcome, detail: str) -> None:
        if self.outcome is None:
            self.outcome = outcome
            self.ended.set()

    async def handed_over(self) -> None:
        await self.held.wait()


class Observer(RecordingFeed):
    """Keeps all exchanges."""

    def __init__(self) -> None:
        self.exchanges: list[Seen] = []
        self.next_is_held = False
        """The next exchange counts as recorded only after its `held` is set."""

    def begin(self, method: str, target: str, headers: RawHeaders) -> Seen:
        self.exchanges.append(Seen())
        if self.next_is_held:
            self.exchanges[-1].held.clear()
        return self.exchanges[-1]


@asynccontextmanager
async def recording(
    answer: Answer, *, access: AccessPolicy | None = None, key: str | None = None
) -> AsyncIterator[tuple[int, RawServer, Observer]]:
    """Run a server behind a Recorder; yields the Recorder's port, the server and the observer."""
    async with raw_server(answer) as server:
        observer = Observer()
        upstream = Upstream(f"http://127.0.0.1:{server.port}/v1")
        recorder = Recorder(upstream, access or AccessPolicy("/v1"), observer, key)
        port = await recorder.start()
        try:
            yield port, server, observer
        finally:
            await recorder.close()


def always(response: bytes, *, keep: bool = False) -> Answer:
    """Answer each request with the same bytes."""

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(response)
        await writer.drain()
        return keep

    return answer


END = b"0\r\n\r\n"
POST = (
    b"POST /v1/chat/completions?q=%20x HTTP/1.1\r\nHost: 127.0.0.1\r\nauthorization: Bearer sk_test_1234567890\r\n"
    b"X-Custom-CASE: Value\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 5\r\n\r\nhello"
)
OK = b"HTTP/1.1 200 Fine\r\nX-Request-Id: req-1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


async def test_request_target_headers_and_body_are_forwarded_without_hop_by_hop_fields() -> None:
    async with recording(always(OK)) as (port, server, observer):
        got = await exchange(port, POST, until=b"{}")
        sent = bytes(server.received[0])
        assert sent.startswith(b"POST /v1/chat/completions?q=%20x HTTP/1.1\r\n")
        assert b"X-Custom-CASE: Value\r\n" in sent
        assert b"authorization: Bearer sk_test_1234567890\r\n" in sent
        assert f"Host: 127.0.0.1:{server.port}\r\n".encode() in sent
        assert b"X-Hop" not in sent
        assert b"Connection" not in sent
        assert sent.endswith(b"\r\n\r\nhello")
        assert got == OK
        (seen,) = observer.exchanges
        await seen.ended.wait()
        assert (seen.outcome, seen.status, seen.request, seen.response) == ("complete", 200, b"hello", b"{}")


async def test_unusual_heads_are_forwarded_byte_by_byte_except_folds() -> None:
    fold = b"X-Fold:one\r\n\t two  \r\n"
    response = b"HTTP/1.1 200\r\nX-Odd:  a \r\n" + fold + b"Content-Length: 2\r\n\r\n{}"
    async with recording(always(response, keep=True)) as (port, server, observer):
        request = POST.replace(b"?q=%20x", "?q=é".encode()).replace(b"X-Hop: 1\r\n", fold)
        unfolded = fold.replace(b"\r\n\t ", b" ")
        assert await exchange(port, request, until=b"{}") == response.replace(fold, unfolded)
        sent = bytes(server.received[0])
        assert sent.startswith("POST /v1/chat/completions?q=é HTTP/1.1\r\nHost: ".encode())
        assert unfolded in sent
        assert (b"X-Fold", b"one two") in observer.exchanges[0].headers
        bare = response.replace(b" 200\r", b" 200 \r").replace(fold, unfolded)
        server.answer = always(bare)
        assert await exchange(port, POST, until=b"{}") == bare


@pytest.mark.skipif(sys.platform != "linux", reason="a closed caller and a half-closed one are the same elsewhere")
async def test_caller_that_closes_its_sending_side_gets_its_response() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        asked.set()
        await go_on.wait()
        writer.write(OK)
        return True

    async with recording(answer) as (port, _server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        writer.write_eof()
        await asked.wait()
        go_on.set()
        assert await reader.read() == OK
        assert observer.exchanges[0].outcome == "complete"
        await hang_up(writer)


async def test_caller_that_closes_its_sending_side_inside_the_body_is_gone() -> None:
    async with recording(always(OK)) as (port, _server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST[:-2])
        writer.write_eof()
        assert await reader.read() == b""
        await observer.exchanges[0].ended.wait()
        assert observer.exchanges[0].outcome == "caller_gone"
        await hang_up(writer)


async def test_response_chunks_are_flushed_as_they_arrive_and_trailers_pass() -> None:
    go_on = asyncio.Event()

    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nfirst\r\n")
        await writer.drain()
        await go_on.wait()
        writer.write(b"6\r\nsecond\r\n0\r\nX-Sum: abc\r\n\r\n")
        await writer.drain()
        return False

    async with recording(answer) as (port, _server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        first = await reader.readuntil(b"first\r\n")
        assert b"second" not in first
        go_on.set()
        rest = await reader.readuntil(b"0\r\nX-Sum: abc\r\n\r\n")
        assert rest.startswith(b"6\r\nsecond\r\n")
        assert observer.exchanges[0].response == b"firstsecond"
        await hang_up(writer)


async def test_stream_that_breaks_off_is_not_ended_towards_the_caller() -> None:
    cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
    async with recording(always(cut)) as (port, _server, observer):
        got = await exchange(port, POST)
        assert got.endswith(b"4\r\nhalf\r\n")
        assert observer.exchanges[0].outcome == "upstream_cut"


@pytest.mark.parametrize("fault", [b"zz\r\nmore\r\n", b"1\r\nlonger\r\n"])
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
async def test_text_before_a_chunk_that_is_not_valid_is_forwarded_and_recorded(fault: bytes, version: bytes) -> None:
    chunks = b"4\r\nhalf\r\n" + fault
    async with recording(always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)) as one:
        port, _, observer = one
        got = await exchange(port, POST.replace(b"HTTP/1.1", version))
        text = b"half" if fault.startswith(b"zz") else b"halfl"
        assert got.endswith(b"\r\n\r\n" + (chunks if version == b"HTTP/1.1" else text))
        assert (observer.exchanges[0].outcome, observer.exchanges[0].response) == ("upstream_cut", text)


async def test_caller_that_leaves_cancels_the_upstream_request() -> None:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await writer.drain()
        return True  # keeps the connection open and waits for the next request

    async with recording(answer) as (port, server, observer):
        await exchange(port, POST, until=b"x\r\n")
        await server.closed.wait()
        await observer.exchanges[0].ended.wait()
        assert observer.exchanges[0].outcome == "caller_gone"


async def test_caller_that_leaves_before_the_headers_cancels_the_upstream_request() -> None:
    arrived = asyncio.Event()

    async def answer(_request: bytes, _writer: asyncio.StreamWriter) -> bool:
        arrived.set()
        return True

    async with recording(answer) as (port, server, observer):
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await arrived.wait()
        await hang_up(writer)
        await server.closed.wait()
        await observer.exchanges[0].ended.wait()
        assert observer.exchanges[0].outcome == "caller_gone"


async def test_connections_are_kept_alive_on_both_sides() -> None:
    async with recording(always(OK, keep=True)) as (port, server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(POST)
            await reader.readuntil(b"{}")
        assert len(server.received) == 1
        await observer.exchanges[-1].ended.wait()
        assert [seen.outcome for seen in observer.exchanges] == ["complete"] * 3
        await hang_up(writer)


async def test_reused_connection_that_was_closed_is_replaced_without_the_caller_noticing() -> None:
    async with recording(always(OK, keep=False)) as (port, server, _observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(POST)
            await reader.readuntil(b"{}")
        assert len(server.received) == 3
        await hang_up(writer)


@pytest.mark.parametrize(("method", "times"), [(b"POST", 1), (b"PUT", 1), (b"GET", 2), (b"HEAD", 2)])
async def test_post_that_a_reused_connection_may_have_delivered_is_not_sent_again(method: bytes, times: int) -> None:
    requests: list[bytes] = []

    async def answer(request: bytes, writer: asyncio.StreamWriter) -> bool:
        requests.append(request)
        if len(requests) == 2:  # the endpoint has read all of it, and fails
            return False
        writer.write(OK if request.startswith(b"POST") else b"HTTP/1.1 204 No Content\r\n\r\n")
        return True

    async with recording(answer) as (port, _server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await reader.readuntil(b"{}")
        writer.write(POST.replace(b"POST", method))
        assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == (b"502" if times == 1 else b"204")
        assert [request.split()[0] for request in requests] == [b"POST", *[method] * times]
        assert observer.exchanges[-1].outcome == ("upstream_invalid" if times == 1 else "complete")
        await hang_up(writer)


async def test_post_of_a_caller_with_a_new_connection_goes_to_a_new_connection() -> None:
    async with recording(always(OK, keep=True)) as (port, server, _observer):
        for method, connections in ((b"POST", 1), (b"GET", 1), (b"POST", 2)):
            await exchange(port, POST.replace(b"POST", method), until=b"{}")
            assert len(server.received) == connections


async def test_idle_connection_whose_end_has_arrived_is_not_used() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        upstream = Upstream(f"http://127.0.0.1:{listening.getsockname()[1]}")
        first = await upstream.acquire()
        far, _ = listening.accept()
        first.reusable = True
        upstream.release(first)
        far.close()  # the event loop runs not once until the connection is wanted again
        second = await upstream.acquire()
        assert second is not first
        second.close()


@pytest.mark.parametrize("steps", range(7))  # at 2, it is accepted, and no connection yet
async def test_no_exchange_begins_or_goes_on_after_the_recorder_was_closed(steps: int) -> None:
    """A connection that was accepted a moment before the port was closed is not served."""
    async with raw_server(always(OK)) as server:
        observer = Observer()
        recorder = Recorder(Upstream(f"http://127.0.0.1:{server.port}/v1"), AccessPolicy("/v1"), observer)
        port = await recorder.start()
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(POST)
            for _ in range(steps):
                await asyncio.sleep(0)
            await recorder.close()
            at_close = [seen.outcome for seen in observer.exchanges]
            for _ in range(3):  # what went on would have ended now
                await exchange(server.port, POST, until=b"{}")
            assert [seen.outcome for seen in observer.exchanges] == at_close
            assert None not in at_close
            caller.setblocking(False)
            with suppress(ConnectionError):  # a caller that still waits would get BlockingIOError
                assert caller.recv(65_536) == b""


@pytest.mark.parametrize(
    "response",
    [
        OK,
        b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"e\r\ndata: [DONE]\n\n\r\n",
    ],
    ids=["body", "empty", "stream"],
)
async def test_caller_has_what_the_record_says_if_the_recorder_is_stopped_in_the_handover(response: bytes) -> None:
    async with raw_server(always(response, keep=True)) as server:
        observer = Observer()
        observer.next_is_held = True
        recorder = Recorder(Upstream(f"http://127.0.0.1:{server.port}/v1"), AccessPolicy("/v1"), observer)
        port = await recorder.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        while not observer.exchanges:  # noqa: ASYNC110 - the Recorder sets no event
            await asyncio.sleep(0)
        await observer.exchanges[0].ended.wait()
        await recorder.close()
        assert observer.exchanges[0].outcome == "complete"
        assert await reader.read() == response
        await hang_up(writer)


async def test_expect_100_continue_is_relayed() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        await writer.drain()
        await hang_up(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    recorder = Recorder(Upstream(base), AccessPolicy("/v1"), Observer())
    port = await recorder.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST.replace(b"\r\n\r\nhello", b"\r\nExpect: 100-continue\r\n\r\n"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.write(b"hello")
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    await hang_up(writer)
    await recorder.close()
    server.close()


async def test_encoded_body_passes_encoded() -> None:
    body = gzip.compress(b'{"a": 1}')
    response = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    async with recording(always(response + body)) as (port, _server, observer):
        assert (await exchange(port, POST, until=body)).endswith(body)
        assert observer.exchanges[0].response == body


async def test_unreachable_upstream_is_a_marked_502() -> None:
    observer = Observer()
    recorder = Recorder(Upstream("http://127.0.0.1:9/v1"), AccessPolicy("/v1"), observer)
    port = await recorder.start()
    got = await exchange(port, POST)
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"X-Electron-Playground: recorder\r\n" in got
    assert b'"type": "recorder_upstream_error"' in got
    await observer.exchanges[0].ended.wait()
    assert observer.exchanges[0].outcome == "upstream_unreachable"
    assert observer.exchanges[0].request == POST.split(b"\r\n\r\n", 1)[1]
    await recorder.close()


async def test_http_error_and_repeated_headers_pass_unchanged() -> None:
    response = (
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Length: 2\r\n\r\nno"
    )
    async with recording(always(response)) as (port, _server, _observer):
        assert await exchange(port, POST, until=b"\r\n\r\nno") == response


async def test_web_pages_and_other_hosts_are_refused_and_nothing_is_forwarded() -> None:
    async with recording(always(OK)) as (port, server, observer):
        for change in (
            (b"Host: 127.0.0.1", b"Host: evil.example"),
            (b"X-Hop: 1", b"Origin: https://evil.example"),
            (b"X-Hop: 1", b"Sec-Fetch-Site: cross-site"),
        ):
            assert (await exchange(port, POST.replace(*change))).startswith(b"HTTP/1.1 403 ")
        assert (await exchange(port, POST.replace(b"/v1/chat", b"/admin"))).startswith(b"HTTP/1.1 404 ")
        assert server.received == []
        assert observer.exchanges == []


async def test_path_token_is_required_and_not_forwarded() -> None:
    access = AccessPolicy("/v1", token="t0ken")
    async with recording(always(OK), access=access) as (port, server, _observer):
        got = await exchange(port, POST)
        assert got.startswith(b"HTTP/1.1 404 ")
        assert b"t0ken" not in got
        await exchange(port, POST.replace(b"POST /v1", b"POST /t0ken/v1"), until=b"{}")
        assert bytes(server.received[0]).startswith(b"POST /v1/chat")


@pytest.mark.parametrize("path", [b"/v1/../admin", b"/v1/%2e%2E/admin", b"/v1/.%2e%2fadmin", b"/v1/..\\admin"])
async def test_path_out_of_the_base_by_dot_segments_is_refused(path: bytes) -> None:
    async with recording(always(OK), key="sk_own_1234567890") as (port, server, _observer):
        got = await exchange(port, POST.replace(b"/v1/chat/completions", path))
        assert got.startswith(b"HTTP/1.1 404 ")
        assert server.received == []


@pytest.mark.parametrize(
    ("accepted", "forwarded"),
    [
        (b"accept-encoding: gzip, deflate, br, zstd", b"accept-encoding: gzip, deflate"),
        (b"Accept-Encoding:br;q=1.0, GZIP;q=0.8, *;q=0.1", b"Accept-Encoding: GZIP;q=0.8"),
        (b"Accept-Encoding: br", b"Accept-Encoding: br"),
        (b"Accept-Encoding: br;q=1, identity", b"Accept-Encoding: identity"),
        (b"Accept-Encoding:  gzip", b"Accept-Encoding:  gzip"),
    ],
)
async def test_codings_that_cannot_be_read_are_not_asked_for_in_recorded_requests(
    accepted: bytes, forwarded: bytes
) -> None:
    async with recording(always(OK)) as (port, server, _):
        for path, expected in ((b"chat/completions", forwarded), (b"responses", accepted)):
            request = POST.replace(b"chat/completions", path).replace(b"X-Hop: 1", accepted)
            await exchange(port, request, until=b"{}")
            assert b"\r\n%b\r\n" % expected in bytes(server.received[-1])


async def test_key_of_the_recorder_replaces_the_callers() -> None:
    async with recording(always(OK), key="sk_real_0987654321") as (port, server, _observer):
        await exchange(port, POST, until=b"{}")
        sent = bytes(server.received[0])
        assert b"sk_real_0987654321" in sent
        assert b"sk_test_1234567890" not in sent


async def test_chunked_request_is_forwarded_chunked() -> None:
    async with recording(always(OK)) as (port, server, observer):
        request = (
            b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        await exchange(port, request, until=b"{}")
        assert b"Transfer-Encoding: chunked" in bytes(server.received[0])
        assert observer.exchanges[0].request == b"abcde"


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@pytest.mark.parametrize(
    ("response", "last"),
    [
        (OK, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n2\r\n{}\r\n0\r\n\r\n", END),
        (b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 503"),
        (b"HTTP/1.1 204 X\r\n\r\n", b"HTTP/1.1 204"),
        # Its end never comes: callers stop reading at the last event.
        (STREAM_HEAD + b"Transfer-Encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n", b"[DONE]"),
        (STREAM_HEAD + b"\r\ndata: {}\n\ndata: [DONE]\n\n", b"[DONE]"),
    ],
    ids=["length", "chunked", "empty", "no content", "done before its chunk", "until the connection is closed"],
)
async def test_last_bytes_of_a_response_wait_until_the_exchange_is_recorded(response: bytes, last: bytes) -> None:
    async with recording(always(response, keep=True)) as (port, _, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        observer.next_is_held = True
        writer.write(POST)
        while not observer.exchanges:  # noqa: ASYNC110 - the observer of this test sets no event
            await asyncio.sleep(0.001)
        (seen,) = observer.exchanges
        await seen.ended.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.readuntil(last)
        seen.held.set()
        await reader.readuntil(last)
        assert seen.outcome == "complete"
        writer.close()


@pytest.mark.parametrize(
    ("response", "after", "outcome"),
    [
        (b"Content-Length: 99\r\n\r\ndata: [DONE]\n\n", b"", "upstream_cut"),
        (b"Transfer-Encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n", b"", "upstream_cut"),
        (b"Transfer-Encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n", b"zz\r\n", "upstream_cut"),
        (b"Transfer-Encoding: chunked\r\n\r\ne\r\ndata: [DONE]\n\n\r\n", b"0\r\n\r\n", "complete"),
        (b"\r\ndata: [DONE]\n\n", b"data: more\n\n", "complete"),
    ],
)
async def test_what_follows_the_last_event_of_a_stream_is_recorded_and_forwarded(
    response: bytes, after: bytes, outcome: str
) -> None:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(STREAM_HEAD + response)
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(after)
        return False

    async with recording(answer) as (port, _, observer):
        got = await exchange(port, POST, until=after or b"[DONE]\n\n")
        assert got.endswith(b"data: [DONE]\n\n" + (b"\r\n" if b"chunked" in response else b"") + after)
        (seen,) = observer.exchanges
        await seen.ended.wait()
        assert seen.outcome == outcome
        assert seen.response == b"data: [DONE]\n\n" + (after if b"chunked" not in response else b"")


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with recording(always(OK, keep=True)) as (port, server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        get = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
        writer.write(POST + get + POST)
        for _ in range(3):
            assert await reader.readuntil(b"{}") == OK
        assert [seen.request for seen in observer.exchanges] == [b"hello", b"", b"hello"]
        assert len(server.received) == 1
        await hang_up(writer)


async def test_body_that_ends_with_the_connection_passes_and_closes_the_callers() -> None:
    async with recording(always(b"HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end")) as (port, _, observer):
        got = await exchange(port, POST)
        assert got == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nuntil the end"
        assert observer.exchanges[0].outcome == "complete"


async def test_reset_of_a_body_without_a_length_resets_the_callers_connection() -> None:
    async def answer(_request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await writer.drain()
        await read_half.wait()
        one = writer.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    read_half = asyncio.Event()
    async with recording(answer) as (port, _server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST)
        await reader.readuntil(b"half")
        read_half.set()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert observer.exchanges[0].outcome == "upstream_cut"
        writer.close()


async def test_http_1_0_caller_gets_a_chunked_body_without_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n2\r\n{}\r\n0\r\n\r\n"
    async with recording(always(chunked)) as (port, _, _observer):
        got = await exchange(port, POST.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst{}"


@pytest.mark.parametrize("host", [b"", b"Host: LOCALHOST:1\r\n"])
async def test_http_1_0_caller_needs_no_host_and_gets_no_informational_response(host: bytes) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with recording(always(early + OK)) as (port, server, _):
        got = await exchange(port, b"GET /v1/models HTTP/1.0\r\n%b\r\n" % host)
        assert got == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert bytes(server.received[0]) == b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % server.port


async def test_http_1_0_caller_that_keeps_its_connection_sends_a_second_request() -> None:
    old = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
    kept = OK.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n")
    async with recording(always(kept.replace(b"HTTP/1.1", b"HTTP/1.0"), keep=True)) as (port, server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(old)
            assert await reader.readuntil(b"{}") == kept
        writer.write(old.replace(b"keep-alive, X-Hop", b"X-Hop"))
        assert await reader.read() == OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        assert len(server.received) == 1  # the connection to the endpoint is used again, too
        await hang_up(writer)


@pytest.mark.parametrize(
    ("url", "token", "status"),
    [
        (b"http://localhost:%(here)d/v1/x?q=1#f", "", 200),
        (b"HTTP://user:word@[::1]:%(here)d/v1/x?q=1", "", 200),
        (b"http://127.0.0.1:%(endpoint)d/v1/x?q=1", "", 200),
        (b"http://localhost:%(here)d/t0ken/v1/x?q=1", "t0ken", 200),
        (b"http://127.0.0.1:%(endpoint)d/v1/x?q=1", "t0ken", 404),
        (b"http://localhost:%(here)d", "", 404),
        (b"http://localhost:%(here)d/v1/../x", "", 404),
        (b"https://localhost:%(here)d/v1/x", "", 403),
        (b"http://localhost:9/v1/x", "", 403),
        (b"http://other.test:%(here)d/v1/x", "", 403),
        (b"http://localhost:x/v1/x", "", 400),
        (b"ftp://localhost:%(here)d/v1/x", "", 400),
        (b"*", "", 400),
    ],
)
async def test_absolute_target_is_served_for_the_recorder_and_the_endpoint_only(
    url: bytes, token: str, status: int
) -> None:
    async with recording(always(OK), access=AccessPolicy("/v1", token)) as (port, server, _):
        target = url % {b"here": port, b"endpoint": server.port}
        head = b"GET %b HTTP/1.1\r\nHost: ignored.test\r\nProxy-Connection: keep-alive\r\nX-A: 1\r\n\r\n" % target
        got = await exchange(port, head, until=b"{}" if status == 200 else b"")
        assert int(got.split(b" ")[1]) == status
        expected = b"GET /v1/x?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-A: 1\r\n\r\n" % server.port
        assert [bytes(one) for one in server.received] == ([expected] if status == 200 else [])
        if status == 403:
            assert b"it forwards to 127.0.0.1:%d only. Use its base URL instead of HTTP_PROXY" % server.port in got


async def test_tunnel_of_a_proxys_client_is_refused_with_the_variable() -> None:
    async with recording(always(OK)) as (port, server, _):
        got = await exchange(port, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % server.port)
        assert got.startswith(b"HTTP/1.1 405 ")
        assert b"use its base URL instead of HTTPS_PROXY" in got
        assert server.received == []


async def test_websocket_passes_in_both_directions() -> None:
    head = (
        b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(switch + b"first")
        got.append(await reader.readexactly(6))
        writer.write(b"last")
        await hang_up(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint = server.sockets[0].getsockname()[1]
    recorder = Recorder(Upstream(f"http://127.0.0.1:{endpoint}/v1"), AccessPolicy("/v1"), Observer())
    assert await exchange(await recorder.start(), head + b"second") == switch + b"firstlast"
    assert got == [head.replace(b"localhost", b"127.0.0.1:%d" % endpoint), b"second"]
    await recorder.close()
    server.close()


async def test_websocket_sides_that_send_nothing_more_still_receive() -> None:
    head = b"GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    switch = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    late = b"late" * 100_000

    @asynccontextmanager
    async def tunnel(
        serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Observer]]:
        server, observer = await asyncio.start_server(serve, "127.0.0.1", 0), Observer()
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        recorder = Recorder(Upstream(base), AccessPolicy("/v1"), observer)
        reader, writer = await asyncio.open_connection("127.0.0.1", await recorder.start())
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == switch
        yield reader, writer, observer
        await hang_up(writer)
        await observer.exchanges[0].ended.wait()
        await recorder.close()
        server.close()

    got = asyncio.get_running_loop().create_future()

    async def read_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(switch)
        assert await reader.read() == late
        writer.write(late)
        await hang_up(writer)

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(switch)
        writer.write_eof()
        got.set_result(await reader.read())
        await hang_up(writer)

    if sys.platform == "linux":  # a closed caller and a half-closed one are the same elsewhere
        async with tunnel(read_first) as (reader, writer, _):
            writer.write(late)
            writer.write_eof()
            assert await reader.read() == late
    async with tunnel(end_first) as (reader, writer, _):
        assert await reader.read() == b""
        writer.write(late)
        writer.write_eof()
        assert await got == late


@pytest.mark.parametrize("user", ["", "u:p%40@"])
async def test_proxy_gets_requests_for_plain_http_in_absolute_form(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    async with raw_server(always(OK, keep=True)) as proxy:
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://{user}127.0.0.1:{proxy.port}")
        recorder = Recorder(Upstream("http://models.test:81/v1"), AccessPolicy("/v1"), Observer())
        port = await recorder.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(POST)
            assert await reader.readuntil(b"{}") == OK
        await hang_up(writer)
        (sent,) = (bytes(one) for one in proxy.received)
        assert sent.count(b"POST http://models.test:81/v1/chat/completions?q=%20x HTTP/1.1\r\n") == 2
        assert sent.count(b"Host: models.test:81\r\n") == 2
        assert sent.count(b"Proxy-Authorization: Basic dTpwQA==\r\n") == (2 if user else 0)
        await recorder.close()


async def test_head_request_gets_the_head_only() -> None:
    head = b"HTTP/1.1 200 Fine\r\nContent-Length: 700\r\n\r\n"
    async with recording(always(head, keep=True)) as (port, server, _observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == head
        assert len(server.received) == 1
        await hang_up(writer)


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_ambiguous_request_is_refused_and_not_forwarded(request_head: bytes) -> None:
    async with recording(always(OK)) as (port, server, observer):
        got = await exchange(port, request_head)
        assert got.startswith(b"HTTP/1.1 400 ")
        assert b"X-Electron-Playground: recorder\r\n" in got
        assert server.received == []
        assert observer.exchanges == []


async def test_large_bodies_pass_in_both_directions_while_the_other_side_is_slow() -> None:
    size = 3_000_000
    body = bytes(range(256)) * (size // 256)
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with recording(always(response, keep=True)) as (port, server, observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_000)
        writer.write(b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        assert bytes(server.received[0]).endswith(body)
        (seen,) = observer.exchanges
        await seen.ended.wait()
        assert (seen.request, seen.response) == (body, body)
        await hang_up(writer)


async def test_unreachable_upstream_is_recorded_with_a_late_body_before_the_502() -> None:
    observer = Observer()
    recorder = Recorder(Upstream("http://127.0.0.1:9/v1"), AccessPolicy("/v1"), observer)
    port = await recorder.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST[:-5])
    while not observer.exchanges:  # noqa: ASYNC110 - the observer sets no event
        await asyncio.sleep(0)
    writer.write(POST[-5:])
    assert (await reader.readline()).startswith(b"HTTP/1.1 502 ")
    seen = observer.exchanges[0]
    assert (seen.outcome, seen.request) == ("upstream_unreachable", b"hello")
    await hang_up(writer)
    await recorder.close()


async def test_refusal_of_a_large_body_reaches_the_caller() -> None:
    async with recording(always(OK)) as (port, _server, _observer):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /other HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8000000\r\n\r\n")
        writer.write(bytes(8_000_000))
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        await hang_up(writer)


async def test_upload_after_an_early_refusal_prints_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    recorder = Recorder(
        Upstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"), AccessPolicy("/v1"), Observer()
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", await recorder.start())
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    for _ in range(40):
        writer.write(bytes(100_000))
        await writer.drain()
    await hang_up(writer)
    await recorder.close()
    server.close()
    assert caplog.messages == []


@pytest.mark.parametrize("excepted", ["example.invalid", "*.invalid", "10.0.0.0/8"])
def test_proxy_of_the_environment_is_chosen_as_for_own_requests(monkeypatch: pytest.MonkeyPatch, excepted: str) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "127.0.0.1:3128")
    monkeypatch.setenv("no_proxy", excepted)
    host = "10.1.2.3" if excepted.startswith("10.") else "example.invalid"
    assert Upstream(f"http://{host}/v1")._proxy() is None
    proxy = Upstream("http://other.test/v1")._proxy()
    assert proxy is not None
    assert proxy.url == "http://127.0.0.1:3128"
    assert Upstream("http://127.0.0.1:1/v1")._proxy() is None


async def test_socks_proxy_is_refused_with_its_variable_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5h://user:word@127.0.0.1:1080")

    recorder = Recorder(Upstream("http://models.test/v1"), AccessPolicy("/v1"), Observer())
    got = await exchange(await recorder.start(), POST)
    assert got.startswith(b"HTTP/1.1 502 ")
    assert b"ALL_PROXY names socks5h://127.0.0.1:1080" in got
    assert b"set HTTP_PROXY to an HTTP proxy, or list models.test in NO_PROXY" in got
    await recorder.close()


async def test_upstream_that_cannot_be_reached_is_named_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = iter((OSError(113, "No route to host"), OSError("all attempts failed"), TimeoutError()))

    async def refuse(self: Upstream) -> None:
        raise next(reasons)

    monkeypatch.setattr(Upstream, "_open", refuse)

    upstream = Upstream("http://models.test:81/v1")
    for words in ("No route to host", "all attempts failed", "did not complete a connection"):
        with pytest.raises(UpstreamError, match=rf"models\.test:81 .*{words}"):
            await upstream.acquire()


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        (b"/waves/v1", OK, "POST /waves/v1 "),
        (b"/v1/completions", OK.replace(b"200 Fine", b"404 No"), "POST /v1/completions "),
        (b"/v1/completions", OK, ""),
        (b"/v1/chat/completions", OK.replace(b"200 Fine", b"404 No"), ""),  # it is listed
    ],
)
async def test_path_that_is_not_listed_and_answered_with_404_is_reported(path: bytes, answer: bytes, told: str) -> None:
    sentences: list[str] = []
    async with raw_server(always(answer)) as server:
        upstream = Upstream(f"http://127.0.0.1:{server.port}/v1")
        recorder = Recorder(upstream, AccessPolicy("/v1"), Observer(), on_wrong_path=sentences.append)
        port = await recorder.start()
        try:
            await exchange(port, POST.replace(b"/v1/chat/completions", path), until=b"}")
        finally:
            await recorder.close()
    assert len(sentences) == bool(told)
    assert "".join(sentences).startswith(told)


async def test_wrong_paths_are_counted_and_not_reported_for_ever() -> None:
    sentences: list[str] = []
    upstream = Upstream("http://127.0.0.1:1/v1")
    recorder = Recorder(upstream, AccessPolicy("/v1"), Observer(), on_wrong_path=sentences.append)
    for path in (*["favicon.ico"] * 250, *map(str, range(2_000))):
        recorder.tell_wrong_path(parse_request(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 404, "")
    icons = [sentence for sentence in sentences if "favicon" in sentence]
    assert ["10 " in icon for icon in icons] == [False, True, False]
    assert "100 " in icons[-1]
    others = [sentence for sentence in sentences if "other paths" in sentence]
    assert len(sentences) == len(icons) + 4 + len(others)
    assert len(others) == 4  # the 1st, 10th, 100th and 1,000th
    await recorder.close()
    assert sentences[len(icons) + 4 + len(others) :] == [f"{others[0]} (1,996 such requests in total.)"]
