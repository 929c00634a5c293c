"""Completion of words in the filter."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from playground.requestlog.filter import KEYS, Words, parse
from playground.ui.panes.log.filter_line import complete

WORDS = Words(("Electron", "My server"), ("electron",), ("billing", "to do"), ("stop", "length"))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("st", "status:"),
        ("cached:0 f", "finish:"),
        ("-i", "-in:"),
        ("status:4", "status:4xx"),
        ("is:fa", "is:failed"),
        ("-is:ma", "-is:marked"),
        ("finish:le", "finish:length"),
        ("endpoint:my", 'endpoint:"My server"'),
        ('endpoint:"my s', 'endpoint:"My server"'),
        ("tag:TO", 'tag:"to do"'),
        ("tag:n", "tag:none"),
        ('"a b" has:t', "has:tools"),
    ],
)
def test_a_begun_word_is_completed(text: str, first: str) -> None:
    found = complete(text, len(text), WORDS)[0]
    assert found.text == first
    whole = text[: found.start] + found.text + text[found.end :]
    assert whole.endswith(first)


@pytest.mark.parametrize("text", ["hello wor", '"st', "status:429", "http://x", "id:9d", 'tag:a"b'])
def test_plain_text_and_whole_words_are_left_alone(text: str) -> None:
    assert complete(text, len(text), WORDS) == []


def test_every_key_is_offered_and_says_what_it_is_and_every_value_is_taken() -> None:
    offered = complete("", 0, WORDS)
    assert [one.text for one in offered] == [f"{key}:" for key in KEYS]
    assert all(one.help for one in offered)
    for key in offered:
        for value in complete(key.text, len(key.text), WORDS):
            parse(value.text, datetime.now(UTC))


def test_only_the_word_at_the_cursor_changes() -> None:
    (found,) = complete("is:fai status:200", 6, WORDS)
    assert (found.start, found.end, found.text) == (0, 6, "is:failed")
