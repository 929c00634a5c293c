"""Completion of the word at the cursor of the filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from playground.requestlog.filter import GROUP_KINDS, HAS_WORDS, IS_WORDS, KEYS, SOURCE_WORDS
from playground.requestlog.log_queries import Words

_SPACES = " \t\n,;"
_KEY_HELP = {
    "status": "HTTP status: 429, 4xx, none",
    "finish": "finish reason",
    "cached": "cached tokens: 0, >100, unknown",
    "in": "prompt tokens: >1000",
    "out": "output tokens: <50",
    "tokens": "tokens in all: 100..200",
    "id": "any part of an id",
    "endpoint": "part of the endpoint's name",
    "model": "part of the model's name",
    "since": "begun since: 30m, 2h, 2026-11-23",
    "until": "begun before: 1h, 2026-11-23",
    "tag": "one of your tags",
    "group": "requests of experiments: batch, repeat",
    "source": "who made it: window, command, recorder",
    "conversation": "a conversation's id",
    "is": "what became of it",
    "has": "what it has",
}
_VALUES = {
    "status": ("200", "4xx", "429", "5xx", "none"),
    "cached": ("0", ">0", "unknown"),
    "since": ("10m", "1h", "1d", "7d"),
    "until": ("1h", "1d", "7d"),
    "source": SOURCE_WORDS,
    "group": (*GROUP_KINDS, "none"),
    "is": IS_WORDS,
    "has": HAS_WORDS,
}


@dataclass(frozen=True, slots=True)
class Completion:
    """`text` in place of [start, end) of the filter, in code points; `help` describes it."""

    start: int
    end: int
    text: str
    help: str = ""


def complete(text: str, cursor: int, words: Words) -> list[Completion]:
    """Return completions of the word before the cursor; none for a phrase in quotation marks, or for plain text that
    begins no key.
    """
    start = _start(text, cursor)
    word = text[start:cursor]
    negation = "-" if word.startswith("-") else ""
    key, colon, value = word[len(negation) :].partition(":")
    if not colon:
        return [
            Completion(start, cursor, f"{negation}{known}:", _KEY_HELP[known])
            for known in KEYS
            if known.startswith(key.lower()) and (key or not word)
        ]
    if '"' in value and not value.startswith('"'):
        return []
    begun = value.removeprefix('"').casefold()
    found = [one for one in _values(key.lower(), words) if one.casefold().startswith(begun) and one.casefold() != begun]
    return [Completion(start, cursor, f"{negation}{key}:{_quoted(one)}") for one in found]


def _start(text: str, cursor: int) -> int:
    """Return the offset of the word at the cursor; a space within quotation marks does not end a word."""
    start, quoted = 0, False
    for place, character in enumerate(text[:cursor]):
        if character == '"':
            quoted = not quoted
        elif character in _SPACES and not quoted:
            start = place + 1
    return start


def _values(key: str, words: Words) -> Iterator[str]:
    yield from _VALUES.get(key, ())
    yield from {
        "finish": words.finish_reasons,
        "endpoint": words.endpoints,
        "model": words.models,
        "tag": (*words.tags, "none"),
    }.get(key, ())


def _quoted(value: str) -> str:
    return f'"{value}"' if any(space in value for space in _SPACES) else value
