"""Chunks as Electron and as other OpenAI-compatible servers send them."""

from __future__ import annotations

import json

import pytest

from playground.client.chunks import ChunkDecoder, NotAChunk, StreamError
from playground.client.events import (
    AnyEvent,
    BodyIdReceived,
    ContentDelta,
    Finished,
    ToolCallDelta,
    Usage,
    UsageReported,
)


def _events(*chunks: object) -> list[AnyEvent]:
    decoder = ChunkDecoder()
    texts = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return [event for text in texts for event in decoder.events(text, 1.0)]


def _delta(**delta: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def test_a_stream_as_electron_sends_it() -> None:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "electron"}
    assert _events(
        {**head, **_delta(role="assistant")},
        {**head, **_delta(content="Hel")},
        {**head, **_delta(content="lo")},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {
            **head,
            "choices": [],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "total_tokens": 12,
                "prompt_tokens_details": {"cached_tokens": 8},
            },
        },
    ) == [
        BodyIdReceived(1.0, "c1", "electron"),
        ContentDelta(1.0, "Hel"),
        ContentDelta(1.0, "lo"),
        Finished(1.0, "stop"),
        UsageReported(1.0, Usage(10, 2, 12, 8)),
    ]


def test_a_whole_completion_with_a_filler_and_two_calls() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "find", "arguments": '{"q":1}'}},
        {"id": "b", "type": "function", "function": {"name": "book", "arguments": "{}"}},
    ]
    message = {"role": "assistant", "content": "One moment.", "tool_calls": calls}
    assert _events({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}) == [
        BodyIdReceived(1.0, "c", None),
        ContentDelta(1.0, "One moment."),
        ToolCallDelta(1.0, 0, "a", "find", '{"q":1}'),
        ToolCallDelta(1.0, 1, "b", "book", "{}"),
        Finished(1.0, "tool_calls"),
    ]


def test_pieces_of_calls_go_to_their_index_and_a_missing_one_is_the_first() -> None:
    assert _events(
        _delta(content=None, tool_calls=[{"index": 1, "id": "b", "function": {"name": "book", "arguments": ""}}]),
        _delta(tool_calls=[{"index": 1, "function": {"arguments": '{"a"'}}]),
        _delta(tool_calls=[{"function": {"arguments": "{}"}}]),
        _delta(tool_calls=[{"index": None, "id": "x"}]),
    ) == [
        ToolCallDelta(1.0, 1, "b", "book", ""),
        ToolCallDelta(1.0, 1, None, None, '{"a"'),
        ToolCallDelta(1.0, 0, None, None, "{}"),
        ToolCallDelta(1.0, 0, "x", None, ""),
    ]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}, Usage(5, 1, 6, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, Usage(5, None, None, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {}}, Usage(5, None, None, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": None}}, Usage(5, None, None, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(5, None, None, 0)),
        ({"prompt_tokens": 5.0, "completion_tokens": "2", "total_tokens": True}, Usage(5, None, None, None)),
        ({"prompt_tokens": -1, "completion_tokens": 10**30, "total_tokens": 1.5}, Usage(None, None, None, None)),
    ],
)
def test_what_is_not_reported_is_none_and_never_zero(usage: object, expected: Usage) -> None:
    assert _events({"choices": [], "usage": usage}) == [UsageReported(1.0, expected)]


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        ({**_delta(content="a"), "usage": None, "error": None, "timings": {"n": 1}}, [ContentDelta(1.0, "a")]),
        ({"choices": [{"delta": {"content": "a", "reasoning_content": None}}]}, [ContentDelta(1.0, "a")]),
        ({"choices": [{"index": None, "delta": {"content": "a"}, "finish_reason": ""}]}, [ContentDelta(1.0, "a")]),
        (_delta(content=[{"type": "text", "text": "a"}, {"type": "image"}, "?"]), [ContentDelta(1.0, "a")]),
        (_delta(content=7), []),
        ({"choices": [{"index": 0}]}, []),
        ({"id": 5, "model": None, "choices": []}, []),
        ({"id": "", "choices": []}, []),
        ({"choices": [{"index": 1, "delta": {"content": "another choice"}}]}, []),
        (
            _delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": {"é": 1}}}]),
            [ToolCallDelta(1.0, 0, None, "f", '{"é": 1}')],
        ),
        (_delta(tool_calls=[{"index": 10**40, "id": 3}]), [ToolCallDelta(1.0, 0, None, None, "")]),
    ],
)
def test_other_servers_ways(chunk: object, expected: list[AnyEvent]) -> None:
    assert _events(chunk) == expected


def test_a_lone_surrogate_becomes_a_replacement_and_a_pair_stays_a_character() -> None:
    text = '{"choices":[{"delta":{"content":"%s"}}]}'
    assert _events(text % "\\ud83d") == [ContentDelta(1.0, "\ufffd")]
    assert _events(text % "a\\ude42\\ud83db") == [ContentDelta(1.0, "a\ufffd\ufffdb")]
    assert _events(text % "\\ud83d\\ude42 \\ud83d") == [ContentDelta(1.0, "🙂 \ufffd")]
    assert _events(text % "\ud83d") == [ContentDelta(1.0, "\ufffd")]


def test_raw_line_separators_in_a_chunk_are_text() -> None:
    assert _events('{"choices":[{"delta":{"content":"a\u2028b\u0085c"}}]}') == [ContentDelta(1.0, "a\u2028b\u0085c")]


@pytest.mark.parametrize(
    "data",
    ["", "[DONE", "null", "[]", "7", '"x"', "{}", '{"choices": 1}', "<html>", "{'choices': []}", "[" * 100_000],
)
def test_what_is_no_chunk_is_refused(data: str) -> None:
    with pytest.raises(NotAChunk):
        _events(data)


def test_a_foreign_object_is_passed_over_once_a_chunk_has_come() -> None:
    assert _events(_delta(content="a"), {"type": "ping"}, _delta(content="b")) == [
        ContentDelta(1.0, "a"),
        ContentDelta(1.0, "b"),
    ]


@pytest.mark.parametrize(
    "chunk",
    [{"error": {"message": "m"}}, {"error": "m"}, {"object": "error", "message": "m"}, {**_delta(), "error": {}}],
)
def test_an_error_object_is_an_error_wherever_it_stands(chunk: object) -> None:
    with pytest.raises(StreamError):
        _events(_delta(content="a"), chunk)
