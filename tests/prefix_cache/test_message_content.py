"""The content of a message as one text, and positions in lists of parts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.message_content import (
    NEXT_PART,
    content_text,
    joined,
    offset_with_marks,
    text_before,
)
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json

WORDS = ["seal", "weight", "harbour", "crate", "repaired", "dawn", "origin", "ledger"]
TEXT = " ".join(WORDS[n * 7 % len(WORDS)] + str(n) for n in range(600))
PICTURE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def text_part(text: str, kind: str = "text") -> Json:
    return {"type": kind, "text": text}


@pytest.mark.parametrize("kind", ["text", "input_text", "output_text"])
def test_content_text_one_text_part_same_as_string(kind: str) -> None:
    assert content_text([text_part('a "b"\nc', kind)]) == content_text('a "b"\nc')
    assert content_text([{"type": kind, "text": "a", "cache_control": {"type": "ephemeral"}}]) == "a"


def test_text_before_parts_and_pictures_each_on_lines_of_their_own() -> None:
    content = content_text([text_part('a "b"\nc'), PICTURE, text_part("d\té🙂", "input_text")])
    assert text_before(content, content.index("c")) == 'a "b"\n'
    assert text_before(content, content.index("é") + 1) == 'a "b"\nc\n\nd\té'
    assert text_before(content, content.index("base64")) == 'a "b"\nc\n'
    assert text_before("plain", 3) == "pla"


def test_content_text_irregular_values_are_compact_json() -> None:
    for odd in ({"a": 1}, [1, "x"], [], 7):
        assert content_text(odd) == json.dumps(odd, separators=(",", ":"))  # type: ignore[arg-type]
    assert '"text":5' in content_text([text_part(5)])  # type: ignore[arg-type]


@given(st.lists(st.text(alphabet="ab\n", max_size=4), min_size=1, max_size=5))
def test_offset_with_marks_finds_the_same_character_in_joined_text(texts: list[str]) -> None:
    content = content_text([text_part(text) for text in texts])
    plain = joined(content)
    assert plain == "".join(texts)
    for offset in range(len(plain)):
        at = offset_with_marks(content, offset)
        assert content[at] == plain[offset]
        assert content[:at].replace(NEXT_PART, "") == plain[:offset]


def explained(before: Json, after: Json, cached: int, prompt: int = 1_500) -> MissExplanation | None:
    """Send a prompt with one content, then another, and return the explanation of the second report."""
    forecaster = CacheForecaster(clock=lambda: 1_000.0)
    for number, (content, served) in enumerate(((before, 0), (after, cached))):
        view = view_of_fields({"messages": [{"role": "user", "content": content}]})
        forecaster.record("e", "m", Sent(f"r{number}", None, 1_000.0 + number, view.text, view, fields={}))
        settled = forecaster.settle("e", "m", f"r{number}", CacheUsage(prompt, served))
    assert settled is not None
    return settled.explanation


def test_boundary_of_parts_that_moves_is_no_edit_if_all_was_served() -> None:
    before, after = ([text_part(TEXT[:cut]), text_part(TEXT[cut:])] for cut in (900, 1_700))
    assert explained(before, after, 1_488) is None


def test_boundary_of_parts_that_moves_is_named_if_the_prefix_ends_there() -> None:
    before, after = ([text_part(TEXT[:cut]), text_part(TEXT[cut:])] for cut in (900, 1_700))
    found = explained(before, after, 1_500 * 900 // len(TEXT) // 16 * 16)
    assert found is not None
    assert found.cause == "spacing"
    assert found.position is not None
    assert (found.position.line, found.position.column) == (1, 901)
