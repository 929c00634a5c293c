"""Finds volatile values in one text. Linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property
from typing import Literal, NamedTuple, cast

from playground.prefix_cache.moments import any_of
from playground.prefix_cache.volatile_memory import LineMemory
from playground.prefix_cache.volatile_patterns import ARTICLES, DIGITS, NOT_AN_ID, Patterns, PatternSource, patterns

VolatileKind = Literal[
    "date",
    "time",
    "timestamp",
    "identifier",
    "counter",
    "placeholder",
    "person",
    "contact",
    "reading",
    "location",
]
LONG_ID = 24
"""Code points from which on an identifier is one by its looks alone."""
_BEFORE, _LINK = 24, 200
"""Code points searched before a value for words and for the start of a link."""


_MOMENTS = ("date", "time", "timestamp")
_OPENING = ' \t\n[("“*#-'


class VolatileSpan(NamedTuple):
    """A value: code points [start, end) of the text. `sure`: its words say that it varies; else it only may."""

    kind: VolatileKind
    start: int
    end: int
    sure: bool


def spans(text: str) -> tuple[VolatileSpan, ...]:
    """Every value, in order and without overlaps; remembered, also where only a few lines of a long text changed.

    A date or a time at the start of a text is sure: it is usually the current date.
    """
    found = _memory().of(text)
    if found and found[0].kind in _MOMENTS and not text[: found[0].start].strip(_OPENING):
        return (found[0]._replace(sure=True), *found[1:])
    return found


@cache
def _memory() -> LineMemory[VolatileSpan]:
    return LineMemory(read, lambda span, by: span._replace(start=span.start + by, end=span.end + by))


def read(text: str) -> tuple[VolatileSpan, ...]:
    """As `spans`, read again. No value reaches over a line's end, nor do the words that decide about it."""
    found, taken = [], 0
    scanner = _scanner(ascii_only=text.isascii())
    for span in sorted(scanner.all(text), key=lambda span: (span.start, -span.end, not span.sure)):
        if span.start >= taken:
            # What is excluded takes its place too: the time inside of an example's timestamp is none either.
            taken = span.end
            if not scanner.excluded(text, span):
                found.append(span._replace(sure=False) if span.sure and scanner.is_event(text, span) else span)
    return tuple(found)


def prepare() -> None:
    """Compile every pattern (about 0.4 s of CPU time): for a worker thread, so that the first scan does not wait."""
    for ascii_only in (True, False):
        _scanner(ascii_only=ascii_only).prepare()


class _Rule:
    """A source whose pattern is compiled when one of its words is first met."""

    def __init__(self, source: PatternSource, flags: re.RegexFlag) -> None:
        self._source, self._flags = source, flags
        self.sure = source.sure

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(self._source.pattern, self._flags)


class _Scanner:
    """The patterns, compiled."""

    def __init__(self, found: Patterns) -> None:
        self._by_word: dict[str, list[_Rule]] = {}
        self._patterns = found
        for source in found.announced:
            rule = _compiled(source, re.IGNORECASE)
            for word in source.words:
                self._by_word.setdefault(word, []).append(rule)
        self._words = re.compile(any_of(self._by_word))
        self._digits = re.compile(DIGITS)
        self._by_digit = [_compiled(source, re.IGNORECASE) for source in found.by_digit]
        self._in_lower = [_compiled(source) for source in found.in_lower]
        self._as_typed = [_compiled(source) for source in found.as_typed]
        self._not_an_id = re.compile(NOT_AN_ID, re.IGNORECASE)

    def prepare(self) -> None:
        """Compile the lazily compiled patterns."""
        announced = (rule for rules in self._by_word.values() for rule in rules)
        for rule in (*announced, *self._by_digit, *self._in_lower, *self._as_typed):
            _ = rule.pattern

    def all(self, text: str) -> Iterator[VolatileSpan]:
        """What the patterns find, in no order; values may overlap."""
        # The one capital whose small letter is two characters long would shift the following offsets.
        lower = text.replace("İ", "i").lower()
        for word in self._words.finditer(lower):
            found = _at(text, word.start(), self._by_word[word.group()])
            yield from (span for match, span in found if self._says_so(text, match))
        for digits in self._digits.finditer(lower):
            yield from (span for _, span in _at(text, digits.start(), self._by_digit))
        for rules, where in ((self._in_lower, lower), (self._as_typed, text)):
            for rule in rules:
                yield from (span for match in rule.pattern.finditer(where) if (span := _span(match, rule.sure)))

    def _says_so(self, text: str, match: re.Match[str]) -> bool:
        """Whether the words around it do not make something else of it: a closing date, a condition."""
        before = text[max(match.start() - _BEFORE, 0) : match.start()]
        if match.lastgroup in _MOMENTS and self._is_condition(text, before, match.end()):
            return False
        if "weak" not in match.re.groupindex or match["weak"] is None:
            return True
        words = before.split("\n")[-1].split()
        return not words or not words[-1][-1].isalpha() or words[-1].lower() in ARTICLES

    def _is_condition(self, text: str, before: str, end: int) -> bool:
        if self._patterns.condition_before.search(before):
            return True
        return not text.isascii() and bool(self._patterns.condition_after.match(text, end, end + _BEFORE))

    def excluded(self, text: str, span: VolatileSpan) -> bool:
        """Whether the text around it says that the value stays, or is an example."""
        before = text[max(span.start - _BEFORE, 0) : span.start]
        if self._patterns.example_before.search(before) or text[span.end : span.end + 1] == "%":
            return True
        if span.kind in _MOMENTS and self._patterns.example_behind.match(text, span.end):
            return True
        if span.kind in _MOMENTS and self._is_history(text, span):
            return True
        if span.kind != "identifier":
            return False
        return bool(self._not_an_id.search(text[max(span.start - _LINK, 0) : span.start]))

    def is_event(self, text: str, span: VolatileSpan) -> bool:
        """Whether a date with a time of day, without seconds, is that of an event: it only may vary."""
        if span.kind != "timestamp" or _SECONDS.search(text, span.start, span.end):
            return False
        return bool(self._patterns.event_before.search(text[max(span.start - _BEFORE, 0) : span.start]))

    def _is_history(self, text: str, span: VolatileSpan) -> bool:
        """Whether a date is long past, belongs to a name (gpt-4o-2024-08-06), or is a past event in its sentence."""
        value = text[span.start : span.end]
        year = next((int(figures) for figures in _YEAR.findall(value)), None)
        if year is not None and (year if year < _BUDDHIST else year - 543) < _RECENT:
            return True
        if span.sure:
            return False
        if _JOINED.search(text[max(span.start - 2, 0) : span.start]) or text[span.end : span.end + 1] == "-":
            return True
        line_start = max(text.rfind("\n", 0, span.start) + 1, span.start - _SENTENCE)
        line_end = text.find("\n", span.end)
        line_end = min(len(text) if line_end < 0 else line_end, span.end + _SENTENCE)
        return bool(self._patterns.lasting.search(text, line_start, line_end))


_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_JOINED = re.compile(r"\w[-_@.]$")
_SECONDS = re.compile(r"\d:\d\d:\d\d|\dt\d|\d{10}", re.IGNORECASE)
_BUDDHIST, _RECENT = 2400, 2015
"""The Thai calendar is 543 years ahead. A date before 2015 is history, and no date of a request."""
_SENTENCE = 60
"""Code points on each side of a date in which words like “founded” explain it."""


@cache
def _scanner(*, ascii_only: bool) -> _Scanner:
    # Made when first asked for: the first frame does not need it.
    return _Scanner(patterns(ascii_only=ascii_only))


def _compiled(source: PatternSource, flags: re.RegexFlag = re.NOFLAG) -> _Rule:
    return _Rule(source, flags)


def _at(text: str, start: int, rules: list[_Rule]) -> Iterator[tuple[re.Match[str], VolatileSpan]]:
    """What these rules find at one place."""
    for rule in rules:
        match = rule.pattern.match(text, start)
        if match and (span := _span(match, rule.sure)):
            yield match, span


def _span(match: re.Match[str], sure: bool) -> VolatileSpan | None:
    """The value that was found; None if its figures are no date, no time, no identifier."""
    kind = match.lastgroup
    if kind is None or not _plausible(kind, match[kind]):
        return None
    return VolatileSpan(cast(VolatileKind, kind), *match.span(kind), sure)


_FIGURES = re.compile(r"\d+")
_DAY = re.compile(r"(\d+) ?[-/.年년] ?(\d+) ?[-/.月월] ?(\d+)")


def _plausible(kind: str, value: str) -> bool:
    figures = [int(figure) for figure in _FIGURES.findall(value)]
    if kind == "person":
        return not any(word[0].islower() for word in value.split())
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
        year = years[0] if years[0] < _BUDDHIST else years[0] - 543
        return 1900 <= year < 2200 and 0 < min(days) <= 12 and max(days) <= 31
    return max(days) < 100 and min(days[:2]) > 0
