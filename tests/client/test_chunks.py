"""Chunks as Electron and as other OpenAI-compatible servers send them."""

from __future__ import annotations

import json

import pytest

from playground.client.chunks import ChunkDecoder, NotAChunk, StreamError, is_done
from playground.client.errors import stream_error
from playground.client.events import (
    AnyEvent,
    BodyIdReceived,
    ContentDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.prompt.json_text import JsonBoundsError


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


def test_decoder_tool_call_pieces_go_to_their_index_and_without_one_to_the_last_call() -> None:
    assert _events(
        _delta(content=None, tool_calls=[{"index": 1, "id": "b", "function": {"name": "book", "arguments": ""}}]),
        _delta(tool_calls=[{"index": 1, "function": {"arguments": '{"a"'}}]),
        _delta(tool_calls=[{"function": {"arguments": ":1}"}}]),
        _delta(tool_calls=[{"index": None, "id": "x"}]),
    ) == [
        ToolCallDelta(1.0, 1, "b", "book", ""),
        ToolCallDelta(1.0, 1, None, None, '{"a"'),
        ToolCallDelta(1.0, 1, None, None, ":1}"),
        ToolCallDelta(1.0, 2, "x", None, ""),
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
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 3}},
            Usage(5, None, None, None),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 10, "reasoning_tokens": 3},
            Usage(5, 2, 10, None),
        ),
        ({"prompt_tokens": -1, "completion_tokens": 10**30, "total_tokens": 6}, Usage(None, None, 6, None)),
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
        (_delta(content=[{"type": "text", "text": "a"}, {"type": "image"}, "?"]), [ContentDelta(1.0, "a?")]),
        (_delta(content=7), [ContentDelta(1.0, "7")]),
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
    decoder = ChunkDecoder()
    assert decoder.events(text % "\\ud83d", 1.0) == []
    assert decoder.end(2.0) == [ContentDelta(2.0, "\ufffd")]
    assert _events(text % "a\\ude42\\ud83db") == [ContentDelta(1.0, "a\ufffd\ufffdb")]
    assert _events(text % "\\ud83d\\ude42 \\ud83d", text % "x") == [
        ContentDelta(1.0, "🙂 "),
        ContentDelta(1.0, "\ufffdx"),
    ]


def test_raw_line_separators_in_a_chunk_are_text() -> None:
    assert _events('{"choices":[{"delta":{"content":"a\u2028b\u0085c"}}]}') == [ContentDelta(1.0, "a\u2028b\u0085c")]


@pytest.mark.parametrize("data", ["", "null", "[7]", "7", '"x"', "{}", '{"choices": 1}', "<html>", "ping"])
def test_decoder_data_that_is_no_chunk_is_passed_over_before_the_first_one(data: str) -> None:
    decoder = ChunkDecoder()
    assert decoder.events(data, 1.0) == []
    assert not decoder.begun
    assert decoder.passed_over == data
    assert decoder.events(json.dumps(_delta(content="a")), 1.0) == [ContentDelta(1.0, "a")]


@pytest.mark.parametrize("data", ["[DONE", "{'choices': []}", '{"choices":[{"delta":{"content":"a"'])
def test_decoder_broken_json_is_refused(data: str) -> None:
    with pytest.raises(NotAChunk):
        _events(data)


@pytest.mark.parametrize("data", ["<html>", "upstream gone", "nul"])
def test_decoder_text_after_a_chunk_is_refused_and_a_ping_is_not(data: str) -> None:
    with pytest.raises(NotAChunk):
        _events(_delta(content="a"), data)
    assert _events(_delta(content="a"), "ping", ": keep-alive", "7", "null") == [ContentDelta(1.0, "a")]


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 980 + "1" + "}" * 980])
def test_decoder_json_nested_too_deep_raises_bounds_error(deep: str) -> None:
    with pytest.raises(JsonBoundsError):
        _events(_delta(content="a"), deep)


def test_a_foreign_object_is_passed_over_once_a_chunk_has_come() -> None:
    assert _events(_delta(content="a"), {"type": "ping"}, _delta(content="b")) == [
        ContentDelta(1.0, "a"),
        ContentDelta(1.0, "b"),
    ]


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"message": "m"}},
        {"error": "m"},
        {"object": "error", "message": "m"},
        {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
        {"type": "response.failed", "response": {"error": {"message": "m"}}},
        {"message": "m", "code": 500},
        {"message": "m", "status": "500"},
        {"msg": "m", "code": "rate_limit"},
        {"detail": "m"},
        {"errors": [{"message": "m"}]},
        {"status": "error", "message": "m"},
        {"success": False, "message": "m"},
        {"error_code": 17, "error_msg": "m"},
        {"base_resp": {"status_code": 1004, "status_msg": "m"}},
        {"choices": [{"index": 0, "delta": {}, "error": {"message": "m", "code": 502}}]},
        {"choices": [{"index": 0, "delta": {"error": "m"}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}], "error": {"message": "m"}},
    ],
)
def test_decoder_error_object_raises_stream_error_with_the_message(chunk: object) -> None:
    with pytest.raises(StreamError) as raised:
        _events(_delta(content="a"), chunk)
    assert stream_error(raised.value.body, None).detail == "m"


@pytest.mark.parametrize("empty", ["", {}, [], False, None, 0, {"message": "", "code": None}])
def test_decoder_empty_error_is_none(empty: object) -> None:
    chunk = {**_delta(content="a"), "error": empty}
    assert _events(chunk, {"type": "ping"}, {"code": 0, "message": "ok"}) == [ContentDelta(1.0, "a")]


def test_decoder_text_beside_an_error_is_kept() -> None:
    with pytest.raises(StreamError) as raised:
        _events({**_delta(content="half"), "error": {"message": "m"}})
    assert raised.value.events == [ContentDelta(1.0, "half")]


def test_decoder_finish_reason_error_is_an_error() -> None:
    with pytest.raises(StreamError):
        _events({"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]})


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": [], "id": 7},
        {"usage": {"prompt_tokens": "many"}, "created": "now"},
        {"usage": "none", "timings": 5, "x_groq": []},
        {"model": ["m"], "system_fingerprint": 7},
    ],
)
def test_decoder_odd_field_beside_text_keeps_the_text(odd: dict[str, object]) -> None:
    chunk = {**_delta(content="fine"), **odd}
    assert [event for event in _events(chunk) if isinstance(event, ContentDelta)] == [ContentDelta(1.0, "fine")]


@pytest.mark.parametrize(
    "choice",
    [
        {"index": "0", "delta": {"content": "fine"}},
        {"delta": {"content": "fine", "tool_calls": "none"}},
        {"delta": {"content": "fine", "tool_calls": [7, None]}, "finish_reason": 3},
        {"delta": {"content": "fine", "function_call": []}, "logprobs": 1},
        {"delta": "fine"},
        {"text": "fine"},
        {"message": {"content": {"type": "text", "text": "fine"}}},
    ],
)
def test_decoder_odd_field_in_a_choice_keeps_the_text(choice: object) -> None:
    events = _events({"choices": [choice]})
    assert [event for event in events if not isinstance(event, Finished)] == [ContentDelta(1.0, "fine")]


@pytest.mark.parametrize(("content", "text"), [(42, "42"), (0, "0"), (-1.5, "-1.5"), ([1, "x"], "1x")])
def test_decoder_content_that_is_a_number_is_text(content: object, text: str) -> None:
    assert _events(_delta(content=content)) == [ContentDelta(1.0, text)]


@pytest.mark.parametrize("content", [None, True, False, {}, [], [None], {"type": "image_url"}])
def test_decoder_content_without_text_is_no_event(content: object) -> None:
    assert _events(_delta(content=content)) == []


def test_decoder_nan_beside_text_is_not_reported() -> None:
    events = _events('{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":NaN,"completion_tokens":3}}')
    assert events == [ContentDelta(1.0, "a"), UsageReported(1.0, Usage(None, 3, None, None))]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm", "content": None},
        {"thinking": "hm", "content": ""},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
    ],
)
def test_decoder_reasoning_under_each_name_is_reported_once(delta: dict[str, object]) -> None:
    assert _events(_delta(**delta)) == [ReasoningDelta(1.0, "hm")]


def test_decoder_refusal_is_reported_as_refusal() -> None:
    assert _events(_delta(content=None, refusal="I cannot.")) == [RefusalDelta(1.0, "I cannot.")]


def test_decoder_emoji_in_two_halves_is_one_character() -> None:
    high = '{"choices":[{"delta":{"content":"a\\ud83d"}}]}'
    low = '{"choices":[{"delta":{"content":"\\ude42b"}}]}'
    assert _events(high, low) == [ContentDelta(1.0, "a"), ContentDelta(1.0, "🙂b")]
    call = '{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"%s"}}]}}]}'
    pieces = _events(call % "\\ud83d", call % "\\ude42")
    assert "".join(piece.arguments for piece in pieces if isinstance(piece, ToolCallDelta)) == "🙂"


def test_decoder_half_before_the_finish_reason_comes_before_it() -> None:
    high = '{"choices":[{"delta":{"content":"\\ud83d"}}]}'
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert _events(high, end) == [ContentDelta(1.0, "\ufffd"), Finished(1.0, "stop")]


def test_decoder_chunks_in_a_list_and_a_doubled_field_name_are_read() -> None:
    assert _events([_delta(content="a"), _delta(content="b")]) == [ContentDelta(1.0, "a"), ContentDelta(1.0, "b")]
    assert _events("data: " + json.dumps(_delta(content="a"))) == [ContentDelta(1.0, "a")]


@pytest.mark.parametrize(
    ("data", "expected"),
    [("[DONE]", True), (" [DONE] ", True), ('"[DONE]"', True), ("[done]", True), ("[DONE", False), ("DONE", False)],
)
def test_is_done_spellings(data: str, expected: bool) -> None:
    assert is_done(data) is expected
