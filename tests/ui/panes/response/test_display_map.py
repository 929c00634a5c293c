"""The exact text behind the displayed text, for any pieces and line ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from playground.ui.panes.response.live_text import LONG_PARAGRAPH, DisplayMap

TEXTS = st.lists(
    st.sampled_from(["a", "é", "😀", "\r", "\n", "\r\n", "\u2028", "\u2029", "\u00a0", " ", "कि"]), max_size=60
)


def _fed(pieces: list[str]) -> tuple[DisplayMap, list[str]]:
    shown = DisplayMap()
    lines = [""]
    text = ""
    for piece in pieces:
        text += piece
        first, *more = shown.take(text, final=False)
        lines[-1] += first
        lines += more
    first, *more = shown.take(text, final=True)
    lines[-1] += first
    return shown, [*lines, *more]


@given(TEXTS)
def test_in_pieces_and_at_once_show_the_same(pieces: list[str]) -> None:
    shown, lines = _fed(pieces)
    assert shown.text == "".join(pieces)
    assert lines == DisplayMap().take("".join(pieces), final=True)
    assert len(lines) == len(shown.starts)


@given(TEXTS)
def test_every_paragraph_is_its_stretch_of_the_exact_text(pieces: list[str]) -> None:
    shown, lines = _fed(pieces)
    for start, end, line in zip(shown.starts, shown.ends, lines, strict=True):
        assert shown.text[start:end] == line


@given(TEXTS)
def test_a_place_and_back(pieces: list[str]) -> None:
    shown, _ = _fed(pieces)
    for start, end in zip(shown.starts, shown.ends, strict=True):
        for offset in range(start, end):
            assert shown.exact_offset(*shown.place(offset)) == offset


def test_a_long_paragraph_is_broken_for_display_only() -> None:
    text = "word " * 3_000
    shown, lines = _fed([text[at : at + 7] for at in range(0, len(text), 7)])
    assert max(map(len, lines)) <= LONG_PARAGRAPH + 200
    assert len(lines) > 5
    assert "".join(lines) == text
    assert shown.text == text


def test_without_blanks_no_mark_is_torn_from_its_letter() -> None:
    text = "कि" * 4_000
    lines = DisplayMap().take(text, final=True)
    assert len(lines) > 2
    assert not any(line.startswith("\u093f") for line in lines)


def test_a_cr_waits_for_its_lf() -> None:
    shown = DisplayMap()
    assert shown.take("a\r", final=False) == ["a"]
    assert shown.take("a\r\nb", final=False) == ["", "b"]
