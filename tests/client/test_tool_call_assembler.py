"""Tool calls in pieces, from servers that leave out or repeat `index`."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest

from playground.client.chunks import ChunkDecoder
from playground.client.events import ToolCallDelta
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
