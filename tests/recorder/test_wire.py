"""Heads and bodies of HTTP/1.1: where a body ends, and which heads are refused."""

from __future__ import annotations

import pytest

from playground.recorder.wire import BodyFramer, FramingError, HttpError, encode_head, parse_request, parse_response

CHUNKED = b"5;ext=1\r\nhello\r\n1\r\n!\r\n00A\r\n0123456789\r\n0\r\nX-Sum: abc\r\nX-More: 1\r\n\r\n"
PAYLOAD = b"hello!0123456789"


@pytest.mark.parametrize("size", range(1, len(CHUNKED) + 6))
def test_body_framer_chunked_body_in_pieces_of_any_size_ends_at_its_last_byte(size: int) -> None:
    data = CHUNKED + b"GET /"
    framer, payload, used = BodyFramer(chunked=True), b"", 0
    while not framer.ended:
        piece = data[used : used + size]
        payload += framer.feed(piece)
        used += len(piece)
    assert payload == PAYLOAD
    assert used - len(framer.rest) == len(CHUNKED)


@pytest.mark.parametrize(
    "body", [b"x\r\n", b"-1\r\n", b"+1\r\n", b"1_0\r\n", b"\r\n", b"1\r\nab\r\n", b"f" * 17 + b"\r\n", b"0x1\r\n"]
)
def test_body_framer_invalid_chunk_raises(body: bytes) -> None:
    with pytest.raises(FramingError):
        BodyFramer(chunked=True).feed(body)


def test_body_framer_endless_size_line_raises() -> None:
    framer = BodyFramer(chunked=True)
    framer.feed(b"1" + b" " * 60_000)
    with pytest.raises(FramingError):
        framer.feed(b" " * 10_000)


def test_body_framer_length_gives_the_rest_back() -> None:
    framer = BodyFramer(chunked=False, length=5)
    assert framer.feed(b"abc") == b"abc"
    assert not framer.ended
    assert framer.feed(b"defgh") == b"de"
    assert (framer.ended, framer.rest) == (True, b"fgh")


@pytest.mark.parametrize(("chunked", "length"), [(True, None), (False, 3)])
def test_body_framer_connection_closed_before_the_end_raises(chunked: bool, length: int | None) -> None:
    framer = BodyFramer(chunked=chunked, length=length)
    framer.feed(b"1\r" if chunked else b"1")
    with pytest.raises(FramingError):
        framer.end()


def test_body_framer_without_length_ends_with_the_connection() -> None:
    framer = BodyFramer(chunked=False)
    assert framer.feed(b"abc") == b"abc"
    framer.end()
    assert framer.ended


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : space\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
    ],
)
def test_parse_request_ambiguous_or_invalid_head_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(HttpError) as raised:
        parse_request(head).framer()
    assert raised.value.status == status


def test_parse_request_fields_keep_case_order_and_repetition() -> None:
    head = parse_request(b"POST /v1?q=%20 HTTP/1.1\r\nhost: a\r\nX-ONE:  1 \r\nx-one: 2\r\nEmpty:\r\n\r\n")
    assert (head.method, head.target) == (b"POST", b"/v1?q=%20")
    assert head.fields == [(b"host", b"a"), (b"X-ONE", b"1"), (b"x-one", b"2"), (b"Empty", b"")]
    assert head.values[b"x-one"] == [b"1", b"2"]


def test_parse_response_folded_field_is_forwarded_in_one_line_and_missing_reason_is_read() -> None:
    head = parse_response(b"HTTP/1.0 200\r\nX: a\r\n  b\r\n\r\n")
    assert head.end_to_end() == [(b"x", b"X: a b")]
    assert (head.version, head.status, head.reason, head.fields) == (b"1.0", 200, b"", [(b"X", b"a b")])


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_response_framer_response_without_body_has_ended(method: bytes, status: int) -> None:
    head = parse_response(b"HTTP/1.1 %d x\r\nContent-Length: 9\r\n\r\n" % status)
    assert head.framer(method).ended


def test_end_to_end_drops_hop_by_hop_fields_and_those_that_connection_names() -> None:
    data = b"HTTP/1.1 200 x\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: a\r\nX: y\r\n\r\n"
    lines = [line for _, line in parse_response(data).end_to_end()]
    assert encode_head(b"s", lines) == b"s\r\nX: y\r\n\r\n"
