"""Finds volatile values in one text. Linear in its length."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from typing import Literal, NamedTuple, cast

from playground.prefix_cache.moments import any_of
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.volatile_patterns import (
    ARTICLES,
    DIGITS,
    EXAMPLE_SEPARATORS,
    NOT_AN_ID,
    Patterns,
    PatternSource,
    patterns,
)

SHORT = 4096
"""Code points up to which a text is simply remembered whole."""
MAX_SHORT, MAX_LONG = 256, 6
"""How many are remembered: long ones are whole versions of a prompt."""


class LineMemory:
    """Cached results of `read`, whose matches in a line must not depend on other lines.

    Safe to ask from several threads: at worst one reads again.
    """

    def __init__(self, read: Callable[[str], tuple[VolatileSpan, ...]]) -> None:
        self._read = read
        self._short: dict[str, tuple[VolatileSpan, ...]] = {}
        self._long: tuple[tuple[str, tuple[VolatileSpan, ...]], ...] = ()

    def of(self, text: str) -> tuple[VolatileSpan, ...]:
        """Return the matches in `text`, in order."""
        if len(text) <= SHORT:
            return self._of_short(text)
        known = next((found for other, found in self._long if other == text), None)
        if known is None:
            known = self._by_difference(text)
            self._long = ((text, known), *self._long[: MAX_LONG - 1])
        return known

    def _of_short(self, text: str) -> tuple[VolatileSpan, ...]:
        known = self._short.get(text)
        if known is None:
            known = self._read(text)
            if len(self._short) >= MAX_SHORT:
                self._short = {}
            self._short[text] = known
        return known

    def _by_difference(self, text: str) -> tuple[VolatileSpan, ...]:
        """Scan only lines that differ from the most similar earlier text, if that saves half."""
        versions = [(*_same_lines(other, text), other, found) for other, found in self._long]
        start, end, other, found = max(versions, key=lambda version: version[0] + version[1], default=(0, 0, "", ()))
        if start + end < len(text) // 2:
            return self._read(text)
        shift = len(text) - len(other)
        between = (_moved(one, start) for one in self._read(text[start : len(text) - end]))
        before = (one for one in found if one.end <= start)
        after = (_moved(one, shift) for one in found if one.start >= len(other) - end)
        return (*before, *between, *after)


def _moved(span: VolatileSpan, by: int) -> VolatileSpan:
    return span._replace(start=span.start + by, end=span.end + by)


def _same_lines(other: str, text: str) -> tuple[int, int]:
    """How many code points of whole lines both begin with, and end with (there with the line feed before them)."""
    start = common_prefix(other, text)
    start = text.rfind("\n", 0, start) + 1
    end = common_suffix(other[start:], text[start:])
    feed = text.find("\n", len(text) - end) if end else -1
    return start, 0 if feed < 0 else len(text) - feed


VolatileKind = Literal[
    "date", "time", "timestamp", "identifier", "counter", "placeholder", "person", "contact", "reading", "location"
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
def _memory() -> LineMemory:
    return LineMemory(read)


def read(text: str) -> tuple[VolatileSpan, ...]:
    """As `spans`, read again. No value reaches over a line's end, nor do the words that decide about it."""
    found, taken = [], 0
    scanner = _scanner(ascii_only=text.isascii())
    # The one capital whose small letter is two characters long would shift the following offsets.
    lower = text.replace("İ", "i").lower()
    history = _History(scanner.lasting, text, lower)
    for span in sorted(scanner.all(text, lower), key=lambda span: (span.start, -span.end, not span.sure)):
        if span.start >= taken:
            # An excluded value takes its place too: the time inside of an example's timestamp is not a value either.
            taken = span.end
            if not scanner.excluded(text, lower, span) and not (span.kind in _MOMENTS and history.covers(span)):
                found.append(span._replace(sure=False) if span.sure and scanner.is_event(text, span) else span)
    return tuple(found)


def prepare() -> None:
    """Compile every pattern (about 0.4 s of CPU time): for a worker thread, so that the first scan does not wait."""
    for ascii_only in (True, False):
        _scanner(ascii_only=ascii_only).prepare()


class _Rule:
    """A source whose pattern is compiled when one of its words is first met."""

    def __init__(self, source: PatternSource, flags: re.RegexFlag = re.NOFLAG) -> None:
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
            rule = _Rule(source, re.IGNORECASE)
            for word in source.words:
                self._by_word.setdefault(word, []).append(rule)
        self._words = re.compile(any_of(self._by_word))
        self._digits = re.compile(DIGITS)
        self._by_digit = [_Rule(source, re.IGNORECASE) for source in found.by_digit]
        self._in_lower = [_Rule(source) for source in found.in_lower]
        self._as_typed = [_Rule(source) for source in found.as_typed]
        self._not_an_id = re.compile(NOT_AN_ID, re.IGNORECASE)

    def prepare(self) -> None:
        """Compile the lazily compiled patterns."""
        announced = (rule for rules in self._by_word.values() for rule in rules)
        for rule in (*announced, *self._by_digit, *self._in_lower, *self._as_typed):
            _ = rule.pattern

    @property
    def lasting(self) -> re.Pattern[str]:
        """Words of a sentence about the past, in lower case."""
        return self._patterns.lasting

    def all(self, text: str, lower: str) -> Iterator[VolatileSpan]:
        """Yield the matches of all patterns in no order; values may overlap."""
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

    def excluded(self, text: str, lower: str, span: VolatileSpan) -> bool:
        """Return whether the text around a value says that it does not vary, or is an example."""
        before = text[max(span.start - _BEFORE, 0) : span.start]
        if text[span.end : span.end + 1] == "%" or self._is_example(before):
            return True
        if span.kind in _MOMENTS and self._patterns.example_behind.search(lower, span.end, _behind(lower, span.end)):
            return True
        if span.kind != "identifier":
            return False
        return bool(self._not_an_id.search(text[max(span.start - _LINK, 0) : span.start]))

    def _is_example(self, before: str) -> bool:
        """Return whether `before` ends with words like “for example”. None of them ends with a digit."""
        words = before.rstrip(EXAMPLE_SEPARATORS)
        return bool(words) and not words[-1].isdigit() and bool(self._patterns.example_before.search(before))

    def is_event(self, text: str, span: VolatileSpan) -> bool:
        """Whether a date with a time of day, without seconds, is that of an event: it only may vary."""
        if span.kind != "timestamp" or _SECONDS.search(text, span.start, span.end):
            return False
        return bool(self._patterns.event_before.search(text[max(span.start - _BEFORE, 0) : span.start]))


class _History:
    """Decides which dates of one text are history. Ask in the order of the text: each part is searched once."""

    def __init__(self, lasting: re.Pattern[str], text: str, lower: str) -> None:
        self._lasting, self._text, self._lower = lasting, text, lower
        self._word = (-1, -1)
        """The last word that was found: code points [start, end)."""
        self._searched = 0
        """No word starts between the last found one and this code point."""

    def covers(self, span: VolatileSpan) -> bool:
        """Return whether a date is long past, belongs to a name (gpt-4o-2024-08-06), or is a past event."""
        text = self._text
        year = next((int(figures) for figures in _YEAR.findall(text, span.start, span.end)), None)
        if year is not None and (year if year < _BUDDHIST else year - 543) < _RECENT:
            return True
        if span.sure:
            return False
        if text[span.end : span.end + 1] == "-" or _JOINED.search(text, max(span.start - 2, 0), span.start):
            return True
        line_start = max(text.rfind("\n", max(span.start - _SENTENCE, 0), span.start) + 1, span.start - _SENTENCE, 0)
        line_end = text.find("\n", span.end, span.end + _SENTENCE)
        return self._has_word(line_start, min(len(text), span.end + _SENTENCE) if line_end < 0 else line_end)

    def _has_word(self, start: int, end: int) -> bool:
        if start <= self._word[0] and self._word[1] <= end:
            return True
        found = self._lasting.search(self._lower, max(start, self._searched), end)
        if found:
            self._word, self._searched = found.span(), found.start()
        else:
            # A longer word may start just before the end.
            self._searched = max(self._searched, end - _LONGEST_WORD)
        return found is not None


_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")
_JOINED = re.compile(r"\w[-_@.]$")
_SECONDS = re.compile(r"\d:\d\d:\d\d|\dt\d|\d{10}", re.IGNORECASE)
_BUDDHIST, _RECENT = 2400, 2015
"""The Thai calendar is 543 years ahead. A date before 2015 is history, and no date of a request."""
_LONGEST_WORD = 40
"""Code points: more than the longest word about the past has."""
_SENTENCE = 60
"""Code points on each side of a date in which words like “founded” explain it."""


@cache
def _scanner(*, ascii_only: bool) -> _Scanner:
    # Made when first asked for: the first frame does not need it.
    return _Scanner(patterns(ascii_only=ascii_only))


_BEHIND, _EXAMPLE = 24, 9
"""Code points searched for a word like “example” behind a value, and the length of the longest such word."""


def _behind(lower: str, end: int) -> int:
    """Return where the search behind a value that ends at `end` stops."""
    line_end = lower.find("\n", end, end + _BEHIND + _EXAMPLE)
    return end + _BEHIND + _EXAMPLE if line_end < 0 else line_end


def _at(text: str, start: int, rules: list[_Rule]) -> Iterator[tuple[re.Match[str], VolatileSpan]]:
    """Yield what these rules find at one place."""
    for rule in rules:
        match = rule.pattern.match(text, start)
        if match and (span := _span(match, rule.sure)):
            yield match, span


def _span(match: re.Match[str], sure: bool) -> VolatileSpan | None:
    """Return the value that was found; None if its figures are no date, no time, no identifier."""
    kind = match.lastgroup
    if kind is None or not _plausible(kind, match[kind]):
        return None
    return VolatileSpan(cast(VolatileKind, kind), *match.span(kind), sure)


_FIGURES = re.compile(r"\d+")
_DAY = re.compile(r"(\d+) ?[-/.年년] ?(\d+) ?[-/.月월] ?(\d+)")


def _plausible(kind: str, value: str) -> bool:
    if kind == "person":
        return not any(word[0].islower() for word in value.split())
    if kind == "identifier":
        # A long number alone, or a long word, is none; a short one is here because of the word before it.
        return len(value) < LONG_ID or (_FIGURES.search(value) is not None and not value.isdecimal())
    if kind == "time":
        figures = [int(figure) for figure in _FIGURES.findall(value)]
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
