"""Versions of one prompt, and the line counts that follow a prompt from edit to edit."""

from __future__ import annotations

import random

import pytest

from playground.prefix_cache.index import PromptFamilyMatcher, Sent, _count, _Lines
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message

PIECES = ("a", "b", "ab", "\n", "\r\n", "\r", "\x1e", "\u2028", "abc\n", "x")


def _counted(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    _count(found, text, 1)
    return found


def _shared(text: str, other: str) -> int:
    mine, theirs = _counted(text), _counted(other)
    return sum(min(size, theirs.get(piece, 0)) for piece, size in mine.items())


@pytest.mark.parametrize("seed", range(60))
def test_lines_random_edits_count_as_from_the_start(seed: int) -> None:
    chance = random.Random(seed)
    lines = _Lines("".join(chance.choices(PIECES, k=chance.randrange(40))))
    others = ["".join(chance.choices(PIECES, k=30)) for _ in range(3)]
    parts = [_counted(other) for other in others]
    for _ in range(25):
        text, at = lines.text, chance.randrange(len(lines.text) + 1)
        added = "".join(chance.choices(PIECES, k=chance.randrange(4)))
        lines.change_to(text[:at] + added + text[at + chance.randrange(4) :])
        for other, theirs in zip(others, parts, strict=True):
            assert lines.shared_with(other, theirs) == _shared(lines.text, other)


def _sent(text: str) -> Sent:
    view = view_of_document(Document(messages=(Message("system", text),))).view
    return Sent("run", "id", 1.0, view.text, view)


def test_first_edited_at_both_ends_and_reordered_is_a_version() -> None:
    lines = [f"{number}. A rule with a number." for number in range(100)]
    earlier = _sent("\n".join(lines))
    matcher = PromptFamilyMatcher()
    changed = ["now at the top", *lines[50:], *lines[:50], "now at the end"]
    assert matcher.first(_sent("\n".join(changed)).view, [earlier]) is earlier
    others = [f"Another text {number * 7}" for number in range(100)]
    assert matcher.first(_sent("\n".join(others)).view, [earlier]) is None
    assert matcher.first(_sent("\n".join(changed)).view, [earlier]) is earlier
