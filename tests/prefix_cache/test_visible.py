"""Characters that cannot be seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix_cache.text_compare import quoted, same_to_the_eye, snippet, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words", "plain words"),
        ("a\u00a0b", "a⍽b"),
        ("a\r\n\tb", "a␍⏎⇥b"),
        ("\ufeff", "⟨byte-order mark⟩"),
        ("a\u2028", "a⟨line separator⟩"),
        ("\u202ea", "⟨U+202E⟩a"),
        ("\x00", "⟨U+0000⟩"),
        ("\ud83d", "⟨U+D83D⟩"),
        ("❤\ufe0f", "❤⟨U+FE0F⟩"),
        ("\u3164", "⟨U+3164⟩"),
        ("\u0301e", "◌\u0301e"),
        ("\u093f", "◌\u093f"),
        ("हिन्दी 😀 中", "हिन्दी 😀 中"),
    ],
)
def test_signs(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_all_can_be_seen(text: str) -> None:
    assert all(character.isprintable() for character in visible(text))


def test_a_snippet_says_that_it_was_cut() -> None:
    assert snippet("abcdef", 3) == "abc…"
    assert snippet("abc", 3) == "abc"


def test_right_to_left_is_isolated() -> None:
    assert quoted("שלום") == "“\u2068שלום\u2069”"
    assert quoted("hello") == "“hello”"


def test_look_alikes() -> None:
    assert same_to_the_eye("é", "e\u0301")
    assert same_to_the_eye("ab", "a\u200bb")
    assert not same_to_the_eye("a", "a")
    assert not same_to_the_eye("a", "b")
