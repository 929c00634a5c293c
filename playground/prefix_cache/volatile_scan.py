"""Finds volatile values in one text. Linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple, cast

from playground.prefix_cache.volatile_memory import LineMemory
from playground.prefix_cache.volatile_patterns import (
    ANNOUNCED,
    AS_TYPED,
    BY_DIGIT,
    DIGITS,
    IF,
    IN_LOWER,
    NOT_AN_ID,
    NOT_ONE,
    Source,
)
from playground.prefix_cache.volatile_words import ARTICLES, any_of

VolatileKind = Literal["date", "time", "timestamp", "identifier", "counter", "placeholder", "person", "contact"]
LONG_ID = 24
"""Code points from which on an identifier is one by its looks alone."""
_BEFORE, _LINK = 24, 200
"""Code points before a value that are looked at for words, and for the beginning of a link."""


_MOMENTS = ("date", "time", "timestamp")
_OPENING = ' \t\n[("“*#-'


class Span(NamedTuple):
    """A value: code points [start, end) of the text. `sure`: its words say that it varies; else it only may."""

    kind: VolatileKind
    start: int
    end: int
    sure: bool


def spans(text: str) -> tuple[Span, ...]:
    """Every value, in order and without overlaps; remembered, also where only a few lines of a long text changed.

    A date or a time that a text begins with is sure: what stands before everything else was put there for today.
    """
    found = _memory().of(text)
    if found and found[0].kind in _MOMENTS and not text[: found[0].start].strip(_OPENING):
        return (found[0]._replace(sure=True), *found[1:])
    return found


@cache
def _memory() -> LineMemory[Span]:
    return LineMemory(read, lambda span, by: span._replace(start=span.start + by, end=span.end + by))


def read(text: str) -> tuple[Span, ...]:
    """As `spans`, read anew. No value reaches over a line's end, nor do the words that decide about it."""
    found, taken = [], 0
    scanner = _scanner()
    for span in sorted(scanner.all(text), key=lambda span: (span.start, -span.end, not span.sure)):
        if span.start >= taken:
            # What is excluded takes its place too: the time inside of an example's timestamp is none either.
            taken = span.end
            if not scanner.excluded(text, span):
                found.append(span)
    return tuple(found)


class _Rule(NamedTuple):
    sure: bool
    pattern: re.Pattern[str]


class _Scanner:
    """The patterns, compiled."""

    def __init__(self) -> None:
        self._by_word: dict[str, list[_Rule]] = {}
        for source in ANNOUNCED:
            rule = _compiled(source, re.IGNORECASE)
            for word in source.words:
                self._by_word.setdefault(word, []).append(rule)
        ascii_words = [word for word in self._by_word if word.isascii()]
        self._ascii_words, self._words = re.compile(any_of(ascii_words)), re.compile(any_of(self._by_word))
        self._digits = re.compile(DIGITS)
        self._by_digit = [_compiled(source, re.IGNORECASE) for source in BY_DIGIT]
        self._in_lower = [_compiled(source) for source in IN_LOWER]
        self._as_typed = [_compiled(source) for source in AS_TYPED]
        self._not_one, self._not_an_id = re.compile(NOT_ONE, re.IGNORECASE), re.compile(NOT_AN_ID, re.IGNORECASE)
        self._if = re.compile(IF, re.IGNORECASE)

    def all(self, text: str) -> Iterator[Span]:
        """What the patterns find, in no order; values may overlap."""
        # The one capital whose small letter is two characters long would shift what follows it.
        lower = text.replace("İ", "i").lower()
        words = self._ascii_words if text.isascii() else self._words
        for word in words.finditer(lower):
            found = _at(text, word.start(), self._by_word[word.group()])
            yield from (span for match, span in found if self._says_so(text, match))
        for digits in self._digits.finditer(lower):
            yield from (span for _, span in _at(text, digits.start(), self._by_digit))
        for rules, where in ((self._in_lower, lower), (self._as_typed, text)):
            for rule in rules:
                yield from (span for match in rule.pattern.finditer(where) if (span := _span(match, rule.sure)))

    def _says_so(self, text: str, match: re.Match[str]) -> bool:
        """Whether the word before does not make something else of it: a closing date, a condition."""
        before = text[max(match.start() - _BEFORE, 0) : match.start()]
        if match.lastgroup in ("date", "time", "timestamp") and self._if.search(before):
            return False
        if "weak" not in match.re.groupindex or match["weak"] is None:
            return True
        words = before.split("\n")[-1].split()
        return not words or not words[-1][-1].isalpha() or words[-1].lower() in ARTICLES

    def excluded(self, text: str, span: Span) -> bool:
        """Whether what stands around it says that the value stays, or is an example."""
        before = text[max(span.start - _BEFORE, 0) : span.start]
        if self._not_one.search(before) or text[span.end : span.end + 1] == "%":
            return True
        if span.kind != "identifier":
            return False
        return bool(self._not_an_id.search(text[max(span.start - _LINK, 0) : span.start]))


@cache
def _scanner() -> _Scanner:
    # Made when first asked for: the first frame does not need it.
    return _Scanner()


def _compiled(source: Source, flags: re.RegexFlag = re.NOFLAG) -> _Rule:
    return _Rule(source.sure, re.compile(source.pattern, flags))


def _at(text: str, start: int, rules: list[_Rule]) -> Iterator[tuple[re.Match[str], Span]]:
    """What these rules find at one place."""
    for rule in rules:
        match = rule.pattern.match(text, start)
        if match and (span := _span(match, rule.sure)):
            yield match, span


def _span(match: re.Match[str], sure: bool) -> Span | None:
    """The value that was found; None where its figures are no date, no time, no identifier."""
    kind = match.lastgroup
    if kind is None or not _plausible(kind, match[kind]):
        return None
    return Span(cast(VolatileKind, kind), *match.span(kind), sure)


_FIGURES = re.compile(r"\d+")
_DAY = re.compile(r"(\d+) ?[-/.年년] ?(\d+) ?[-/.月월] ?(\d+)")


def _plausible(kind: str, value: str) -> bool:
    figures = [int(figure) for figure in _FIGURES.findall(value)]
    if kind == "identifier":
        # A long number alone, or a long word, is none; a short one is here because of the word before it.
        return len(value) < LONG_ID or (bool(figures) and not value.isdecimal())
    if kind == "time":
        return all(figure < 60 for figure in figures[:3]) and (not figures or figures[0] <= 24)
    day = _DAY.match(value) if kind in ("date", "timestamp") else None
    return day is None or _is_day([int(figure) for figure in day.groups()])


def _is_day(figures: list[int]) -> bool:
    """Whether three figures are a day, in any order; a year of two figures is any."""
    years = [figure for figure in figures if figure >= 1000]
    days = [figure for figure in figures if figure < 1000]
    if years:
        return 1900 <= years[0] < 2200 and 0 < min(days) <= 12 and max(days) <= 31
    return max(days) < 100 and min(days[:2]) > 0
