"""The one map between code points and UTF-16 units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playground.ui.widgets.lossless_text import from_utf16, is_flat, to_utf16, utf16_length

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@given(ANY_TEXT)
def test_length_agrees_with_the_codec(text: str) -> None:
    assert utf16_length(text) == units(text)
    assert is_flat(text) == (units(text) == len(text))


@given(ANY_TEXT)
def test_every_place_maps_there_and_back(text: str) -> None:
    for index in range(len(text) + 1):
        assert to_utf16(text, index) == units(text[:index])
        assert from_utf16(text, to_utf16(text, index)) == index


def test_inside_a_pair_belongs_to_its_character() -> None:
    assert from_utf16("a\U0001f600b", 2) == 1
    assert from_utf16("a\U0001f600b", 99) == 3
