"""Answers of other servers: token counts under other names, tool calls in pieces without `index`."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest

from playground.client.chunks import ChunkDecoder
from playground.client.events import ToolCallDelta, Usage, UsageReported
from playground.runs.state import fold

Piece = dict[str, object]


def piece(index: int | str | None = None, id: str | None = None, name: str | None = None, arguments: str = "") -> Piece:
    fields: Piece = {"type": "function", "function": {"arguments": arguments, **({"name": name} if name else {})}}
    return {**fields, **({} if index is None else {"index": index}), **({} if id is None else {"id": id})}


def assembled(*chunks: list[Piece]) -> list[tuple[str, str, str]]:
    decoder = ChunkDecoder()
    events = []
    for calls in chunks:
        events += decoder.events(json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}), 1.0)
    state = fold([event for event in events if isinstance(event, ToolCallDelta)])
    return [(call.id, call.name, call.arguments) for _, call in sorted(state.tool_calls.items())]


TWO = [("a", "f", '{"p":1}'), ("b", "g", '{"p":2}')]


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([[piece(0, "a", "f", '{"p":1}')], [piece(1, "b", "g", '{"p":2}')]], id="by index"),
        pytest.param([[piece(None, "a", "f", '{"p":1}')], [piece(None, "b", "g", '{"p":2}')]], id="Gemini"),
        pytest.param([[piece(None, "a", "f", '{"p":1}'), piece(None, "b", "g", '{"p":2}')]], id="Gemini, one chunk"),
        pytest.param([[piece(0, "a", "f", '{"p":1}')], [piece(0, "b", "g", '{"p":2}')]], id="Ollama"),
        pytest.param([[piece(0, "a", "f", '{"p":1}'), piece(0, "b", "g", '{"p":2}')]], id="Ollama, one chunk"),
        pytest.param([[piece("0", "a", "f", '{"p":1}')], [piece("1", "b", "g", '{"p":2}')]], id="index as text"),
        pytest.param(
            [
                [piece(0, "a", "f"), piece(1, "b", "g")],
                [piece(1, None, None, '{"p"')],
                [piece(0, None, None, '{"p":')],
                [piece(1, None, None, ":2}"), piece(0, None, None, "1}")],
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                [piece(0, "a", "f")],
                [piece(0, None, None, '{"p":')],
                [piece(0, None, None, "1}")],
                [piece(0, "b", "g")],
                [piece(0, None, None, '{"p":2}')],
            ],
            id="index repeated, in pieces",
        ),
        pytest.param(
            [[piece(None, "a", "f")], [piece(None, None, None, '{"p":1}')], [piece(None, "b", "g", '{"p":2}')]],
            id="no index, in pieces",
        ),
        pytest.param(
            [
                [piece(None, "a", "f", '{"p"')],
                [piece(None, "b", "g", '{"p"')],
                [piece(None, "a", None, ":1}")],
                [piece(None, "b", None, ":2}")],
            ],
            id="no index, ids repeated",
        ),
        pytest.param(
            [[piece(0, "a", "f", '{"p"')], [piece(0, "a", "f", ":1}")], [piece(1, "b", "g", '{"p":2}')]],
            id="id and name repeated in each piece",
        ),
        pytest.param(
            [[piece(0, "a", "f", '{"p"')], [piece(0, "z", None, ":1}")], [piece(1, "b", "g", '{"p":2}')]],
            id="another id for each piece",
        ),
    ],
)
def test_assembler_two_calls_stay_two(chunks: list[list[Piece]]) -> None:
    assert assembled(*chunks) == TWO


def test_assembler_calls_without_ids_are_divided_by_name_and_by_complete_arguments() -> None:
    named = [[piece(0, None, "f", '{"p":1}')], [piece(0, None, "g", '{"p":2}')]]
    assert assembled(*named) == [("", "f", '{"p":1}'), ("", "g", '{"p":2}')]
    same = [[piece(None, None, "f", '{"p":1}')], [piece(None, None, "f", '{"p":2}')]]
    assert assembled(*same) == [("", "f", '{"p":1}'), ("", "f", '{"p":2}')]


def test_assembler_name_repeated_within_unfinished_arguments_is_the_same_call() -> None:
    assert assembled([piece(0, "a", "f", '{"x":"{')], [piece(0, None, "f", '}"}')]) == [("a", "f", '{"x":"{}"}')]


def test_assembler_name_after_the_id_belongs_to_the_call_and_a_further_name_does_not() -> None:
    late = [[piece(None, "a")], [piece(None, "a", "f", '{"p":1}')]]
    assert assembled(*late) == [("a", "f", '{"p":1}')]
    assert assembled(*late, [piece(None, None, "g", '{"p":2}')]) == [("a", "f", '{"p":1}'), ("", "g", '{"p":2}')]
    assert assembled(
        [piece(0, "a")], [piece(0, None, "f")], [piece(0, None, "f", '{"p":')], [piece(0, None, "f", "1}")]
    ) == [("a", "f", '{"p":1}')]


def test_assembler_index_beyond_and_holes_keep_their_order() -> None:
    assert assembled([piece(7, "b", "g", "{}")], [piece(2, "a", "f", "{}")]) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_assembler_arguments_cut_anywhere_are_one_call() -> None:
    chance = Random(5)
    for _ in range(300):
        strings = [chance.choice(('"', "\\", "{", "}", "[", "é")) * chance.randint(0, 3) for _ in range(3)]
        text = json.dumps({"a": strings, "b": {}, "c": [{}, {"d": "x"}]})
        cuts = sorted({0, len(text), *(chance.randint(0, len(text)) for _ in range(10))})
        pieces = [text[a:b] for a, b in itertools.pairwise(cuts)]
        assert assembled([piece(0, "a", "f")], *([piece(0, None, None, part)] for part in pieces)) == [("a", "f", text)]


BASE = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
ANTHROPIC = {"input_tokens": 30, "output_tokens": 5, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 6}


def reported(*chunks: dict[str, object]) -> list[Usage]:
    decoder = ChunkDecoder()
    events = [event for chunk in chunks for event in decoder.events(json.dumps({"choices": [], **chunk}), 1.0)]
    return [event.usage for event in events if isinstance(event, UsageReported)]


def inside(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **fields}]}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([{"usage": {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}}], id="OpenAI"),
        pytest.param([{"usage": {**BASE, "input_tokens_details": {"cached_tokens": 64}}}], id="Responses"),
        pytest.param([{"usage": {**BASE, "prompt_cache_hit_tokens": 64}}], id="DeepSeek"),
        pytest.param([{"usage": {**BASE, "cached_tokens": 64}}], id="Moonshot"),
        pytest.param([inside(usage={**BASE, "cached_tokens": 64})], id="Moonshot, in the choice"),
        pytest.param([{"x_groq": {"usage": {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}}}], id="Groq"),
        pytest.param([{"usage": {**BASE, "cache_read_input_tokens": 64}}], id="LiteLLM"),
        pytest.param([{"usage": ANTHROPIC, "id": "c"}], id="Anthropic"),
        pytest.param(
            [{**inside(), "timings": {"cache_n": 64, "prompt_n": 36, "predicted_n": 5}}, {"usage": BASE}],
            id="llama.cpp",
        ),
        pytest.param([{**inside(), "timings": {"cache_n": 64, "prompt_n": 36}, "usage": BASE}], id="llama.cpp, one"),
        pytest.param([{"usage": BASE, "timings": {"cache_n": 64}}], id="llama.cpp, last"),
    ],
)
def test_usage_cached_tokens_of_each_server_are_known(chunks: list[dict[str, object]]) -> None:
    usage = reported(*chunks)[-1]
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (100, 5, 64)


@pytest.mark.parametrize(
    "later",
    [BASE, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}, {"completion_tokens": 5}, None, []],
)
def test_usage_later_poorer_report_erases_nothing(later: object) -> None:
    full = {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}
    assert reported({"usage": full}, {"usage": later}) == [Usage(100, 5, 105, 64)]


def test_usage_later_counts_replace_earlier_ones() -> None:
    first = {"prompt_tokens": 9, "completion_tokens": 1}
    assert reported({"usage": first}, {"usage": BASE})[-1] == Usage(100, 5, 105, None)


@pytest.mark.parametrize(
    "details", [[], 7, "64", {"cached_tokens": -1}, {"cached_tokens": "64"}, {"cached_tokens": True}]
)
def test_usage_odd_details_leave_cached_tokens_unknown(details: object) -> None:
    assert reported({"usage": {**BASE, "prompt_tokens_details": details}}) == [Usage(100, 5, 105, None)]
