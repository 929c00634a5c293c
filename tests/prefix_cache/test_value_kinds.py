"""The kind of a value that differs, in the languages of prompts."""

from __future__ import annotations

import pytest

from playground import asset
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.value_kinds import kind_of, value_change
from tests.prefix_cache.cldr import text as calendar_text
from tests.prefix_cache.volatile_cases import KIND_PAIRS

BEHIND = " and the rest of the line is the same."
FOUND_IN_TEXT = [pair for pair in KIND_PAIRS if pair[0] not in ("text", "whitespace")]


@pytest.mark.parametrize(("kind", "before", "after", "context"), KIND_PAIRS)
def test_kind_of_two_values_returns_their_kind(kind: str, before: str, after: str, context: str) -> None:
    assert kind_of(before, after, context) == kind
    assert kind_of(after, before, context) == kind


@pytest.mark.parametrize(("kind", "before", "after", "context"), FOUND_IN_TEXT)
def test_value_change_at_first_difference_returns_the_kind(kind: str, before: str, after: str, context: str) -> None:
    earlier, now = f"{context}{before}{BEHIND}", f"{context}{after}{BEHIND}"
    found = value_change(now, earlier, common_prefix(now, earlier))
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Answer in English.", "Answer in short sentences."),
        ("Always be kind to callers.", "Never be rude to callers."),
        ("हमेशा विनम्र रहें।", "कभी असभ्य न हों।"),
    ],
)
def test_value_change_of_an_edit_returns_none(before: str, after: str) -> None:
    assert value_change(after, before, common_prefix(after, before)) is None


def test_calendar_file_equals_cldr() -> None:
    assert (asset("phrases") / "calendar.json").read_text("utf-8") == calendar_text()
