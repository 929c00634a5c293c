"""The framer against the standard: the same events for every split of the bytes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.client.sse import FrameTooLarge, SseFramer

CASES: list[tuple[bytes, list[str]]] = [
    (b"data: one\n\ndata: two\n\n", ["one", "two"]),
    (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
    (b"data: one\r\rdata: two\r\r", ["one", "two"]),
    (b"data: one\r\n\ndata: two\n\r\n", ["one", "two"]),
    (b"data:one\n\ndata:  two\n\n", ["one", " two"]),
    (b"\xef\xbb\xbfdata: after a mark\n\n", ["after a mark"]),
    (b"data: \xef\xbb\xbfinside\n\n", ["\ufeffinside"]),
    (b": comment\n\n:\n\ndata: x\n: within\n\n", ["x"]),
    (b"data: a\ndata: b\ndata\ndata:\n\n", ["a\nb\n\n"]),
    (b"id: 7\n\nretry: 100\n\nevent: ping\n\ndata: x\n\n", ["x"]),
    (b"event: message\nid: 1\ndata: x\nretry: 5\n\n", ["x"]),
    (b"data\n\n", [""]),
    (b"data:\n\n", [""]),
    (b"datax: no\nDATA: no\n data: no\n\n", []),
    (b"data: a:b: c\n\n", ["a:b: c"]),
    ("data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(), ["a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"]),
    ("data: नमस्ते 你好 🙂\n\n".encode(), ["नमस्ते 你好 🙂"]),
    (b"data: \xff\xf0\x9f\n\ndata: \xe2\x82\n\n", ["\ufffd\ufffd", "\ufffd"]),
    (b"\n\n\r\r\ndata: x\n\n\n\n", ["x"]),
    (b"data: whole\n\ndata: cut in the mid", ["whole"]),
    (b"data: whole\n\ndata: line ended, event not\n", ["whole"]),
    (b"", []),
    (b"\xef\xbb", []),
    (b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n\n', ['{"a":1}', '{"b":2}', "[DONE]"]),
    (b'data: {"a":\ndata: {"b":2}\ndata: }\n\n', ['{"a":\n{"b":2}\n}']),
    (b'data: {"a":1} \r\ndata:{"b":2}\r\n\r\n', ['{"a":1} ', '{"b":2}']),
    (b"data: {a}\ndata: b\n\n", ["{a}\nb"]),
]


def _all(pieces: list[bytes]) -> list[str]:
    framer = SseFramer()
    return [event for piece in pieces for event in framer.feed(piece)]


@pytest.mark.parametrize(("stream", "expected"), CASES)
def test_events_are_the_same_cut_at_every_byte(stream: bytes, expected: list[str]) -> None:
    assert _all([stream]) == expected
    assert _all([stream[i : i + 1] for i in range(len(stream))]) == expected
    for cut in range(len(stream) + 1):
        assert _all([stream[:cut], b"", stream[cut:]]) == expected


@given(
    st.lists(
        st.sampled_from([b"data: x", b"data", b"\r", b"\n", b"\r\n", b":", b"id: 1", b"\xef\xbb\xbf", b"\xe2\x80\xa8"])
    ),
    st.lists(st.integers(0, 200)),
)
def test_any_cut_of_any_stream_gives_what_the_uncut_stream_gives(tokens: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(tokens)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    assert _all([stream[a:b] for a, b in itertools.pairwise(places)]) == _all([stream])


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))))
def test_any_data_comes_through_as_it_was(texts: list[str]) -> None:
    stream = b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)
    assert _all([stream]) == texts


def test_an_event_is_there_with_its_last_byte() -> None:
    """A stream of bare CRs must not hold its last event back until more comes."""
    framer = SseFramer()
    assert framer.feed(b"data: now\r\r") == ["now"]
    assert framer.feed(b"\ndata: next\r\n\r") == ["next"]
    assert framer.feed(b"\n") == []


def test_what_was_not_ended_can_be_looked_at() -> None:
    framer = SseFramer()
    framer.feed(b"data: whole\n\ndata: begun\ndata: and c")
    assert framer.rest == "begun\ndata: and c"
    framer = SseFramer()
    framer.feed(b"\xef\xbb")
    assert framer.rest == "\ufffd"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_an_event_without_end_is_refused(line_end: bytes) -> None:
    framer = SseFramer(limit=1000)
    assert framer.feed(b"data: " + b"x" * 900 + line_end * 2) == ["x" * 900]
    stream = b"data: 12345" + line_end
    with pytest.raises(FrameTooLarge):
        [framer.feed(stream) for _ in range(200)]


def test_a_line_without_end_is_refused_also_where_it_is_a_comment() -> None:
    framer = SseFramer(limit=1000)
    with pytest.raises(FrameTooLarge):
        [framer.feed(b":" + b"x" * 100) for _ in range(200)]
