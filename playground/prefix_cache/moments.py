"""Patterns for dates and times in 45 languages, from CLDR names and a list of words in `resources/phrases`.

Everything is loaded when first used. Patterns are for `re.IGNORECASE`; `\\d` matches the digits of every script.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import cast

from msgspec import Struct

from playground import asset

INDIC = "\u0900-\u0963\u0966-\u0dff"
"""Scripts whose vowel signs are marks, which `\\w` does not match."""
_WORD_END = rf"(?![\w{INDIC}])"
_ALONE = r"(?!\d|[-/.:]\d)"
_CJK_DAY = r"(?:(?:星期|周|週)[一二三四五六日天]|[月火水木金土日]曜日?|[월화수목금토일]요일)"
_CHINESE = (
    r"(?:[〇零一二三四五六七八九]{4}年[一二三四五六七八九十]{1,3}月(?:[一二三四五六七八九十]{1,3}[日号])?"
    r"|(?:令和|民国|民國)(?:\d{1,3}|元)年 ?\d{1,2} ?月(?: ?\d{1,2} ?日)?)"
)
_NUMERIC = (
    rf"\d{{4}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\. ?\d{{1,2}}\. ?)\d{{1,2}}{_ALONE}"
    rf"|\d{{1,2}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\. ?\d{{1,2}}\. ?)\d{{4}}{_ALONE}"
    r"|\d{4} ?[年년] ?\d{1,2} ?[月월](?: ?\d{1,2} ?[日号號일])?"
    r"|\d{1,2} tháng \d{1,2},? (?:năm )?\d{4}"
)
_TH = r"(?:st|nd|rd|th|er|º|\.)?"
_OF = r"(?:[ \-](?:of |de |di |ta |ที่ )?)"
_YEAR = r"[.,،]?[ \-](?:de |del |năm |พ\.ศ\. ?|ค\.ศ\. ?|г\. )?\d{4}(?!\w)"
_ZONE = r"(?: ?(?:z|[+-]\d{2}:?\d{2}|utc|gmt|ist|cet|cest|est|edt|pst|pdt|jst|uhr)\b)?"
_TO = (
    r"(?! ?(?:-|–|—|to|until|bis|à|a|do|tot|til|till|się|se|से|ते"
    r"|থেকে|నుండి|నుంచి|ರಿಂದ|മുതൽ|થી|ਤੋਂ|ରୁ|سے|முதல்|إلى|至|到|から|〜|~"
    r"|đến|ถึง|sampai|hingga|부터|до|дo|по) ?\d)"
)
_DAY_PART = r"(?: ?[ap]\.? ?m\b| ?(?:ص|م|[πμ]μ)(?!\w)| ?(?:baje|बजे|বাজে|টা|వద్ద|గంటల|மணி|वाजता|वाजले|ਵਜੇ|વાગ્યે|بجے|น\.))?"


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for any of the words, longest first, as a tree by first letters: few branches per position."""
    return _tree(sorted(set(words), key=lambda word: (-len(word), word)))


def _tree(words: list[str]) -> str:
    by_letter: dict[str, list[str]] = {}
    for word in words:
        by_letter.setdefault(word[:1], []).append(word[1:])
    ends = "" in by_letter
    # The empty rest comes last: a longer word is preferred.
    branches = [re.escape(letter) + _tree(rest) for letter, rest in by_letter.items() if letter]
    if not branches:
        return ""
    if len(branches) == 1 and not ends:
        return branches[0]
    return f"(?:{'|'.join(branches)}{'|' if ends else ''})"


@cache
def _file(name: str) -> Mapping[str, object]:
    return cast("Mapping[str, object]", json.loads((asset("phrases") / name).read_text("utf-8")))


def _flat(entry: object) -> tuple[str, ...]:
    lists = entry.values() if isinstance(entry, dict) else (entry,)
    return tuple(dict.fromkeys(word for words in lists for word in cast("list[str]", words)))


@cache
def words(kind: str, *, ascii_only: bool = False) -> tuple[str, ...]:
    """Return the words of one kind in moments.json, of all languages, in lower case. Raises KeyError."""
    return _selected(_flat(_file("moments.json")[kind]), ascii_only=ascii_only)


def _selected(names: tuple[str, ...], *, ascii_only: bool) -> tuple[str, ...]:
    return tuple(name for name in names if name.isascii()) if ascii_only else names


@cache
def months(*, ascii_only: bool = False) -> tuple[str, ...]:
    names = _flat(_file("calendar.json")["months"])
    # Few keyboards write the zero-width non-joiners (Malayalam തിങ്കളാഴ്‌ച).
    joined = (name.replace("\u200c", "") for name in names if "\u200c" in name)
    return _selected((*names, *joined, *_EXTRA_MONTHS), ascii_only=ascii_only)


_EXTRA_MONTHS = (
    *("sept", "फरवरी", "सितम्बर", "अक्तूबर", "नवम्बर", "दिसम्बर", "सप्टेंबर", "सप्टेम्बर", "নভেম্বার", "ডিসেম্বার", "ابريل"),
    *("ਫਰਵਰੀ", "ଫେବ୍ରୁଆରୀ", "ઓક્ટોબર", "ഒക്ടോബർ", "styczen", "kasim", "subat", "agustos", "eylul"),
)


@cache
def days(*, ascii_only: bool = False) -> tuple[str, ...]:
    more = ("segunda", "terça", "quarta", "quinta", "sexta", "सोम", "திங்கட்கிழமை")
    return _selected((*_flat(_file("calendar.json")["days"]), *more), ascii_only=ascii_only)


class MomentPatterns(Struct, frozen=True):
    """Regular expressions without groups.

    `full`: a date with its year · `written`: also without the year, or in short numbers · `date`: also a weekday, alone
    or in front · `at_time`: what joins a time to a date · `time`: a clock time that does not begin a range.
    """

    month: str
    day: str
    full: str
    month_first: str
    written: str
    date: str
    time: str
    at_time: str
    chinese: str = _CHINESE
    stamp: str = (
        r"(?:(?:mon|tue|wed|thu|fri|sat|sun) (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec) [ \d]\d "
        r"\d{2}:\d{2}:\d{2}(?: [a-z]{3,5}| [+-]\d{4})? \d{4}(?!\d)|20\d{2}[01]\d[0-3]\dt[0-2]\d[0-5]\d(?:[0-5]\d)?"
        r"(?:[.,]\d{1,9})?(?:z|[+-]\d{2}:?\d{2})?(?!\w))"
    )
    unix: str = r"1[4-9]\d{8}(?:\d{3}|\d{6}|\d{9}|\.\d{1,6})?(?!\d)"


@cache
def moment_patterns(*, ascii_only: bool = False) -> MomentPatterns:
    """Return the patterns; built once. `ascii_only`: smaller ones that find the same in ASCII text."""
    month, named_day = any_of(months(ascii_only=ascii_only)), any_of(days(ascii_only=ascii_only))
    short_months = _selected(_flat(_file("calendar.json")["short_months"]), ascii_only=ascii_only)
    day = rf"(?:{named_day}|{_CJK_DAY})"
    day_first = rf"\d{{1,2}}{_TH}{_OF}{month}"
    month_first = rf"{month}\.?[ \-]\d{{1,2}}(?:st|nd|rd|th)?[,،]?[ \-]\d{{4}}(?!\d)"
    year_first = rf"\d{{4}}[,.]?[ \-]{month}[ \-]\d{{1,2}}(?!\d)"
    # Abbreviations that are common words elsewhere count only in front of a year.
    short_first = rf"\d{{1,2}}{_TH}{_OF}{any_of(short_months)}{_YEAR}"
    full = rf"(?:{_NUMERIC}|{year_first}|{day_first}{_YEAR}|{short_first})"
    written = (
        rf"(?:{_NUMERIC}|{year_first}|{short_first}|{day_first}(?:{_YEAR})?(?![^\W\d_])"
        rf"|{month}\.?[ \-]\d{{1,2}}(?:st|nd|rd|th)?(?:[,،]?[ \-]\d{{4}})?(?!\w)|{_CHINESE}"
        rf"|\d{{1,2}} ?[月월] ?\d{{1,2}} ?[日号號일]|\d{{1,2}} tháng \d{{1,2}}(?!\d)"
        rf"|\d{{1,2}}(?:-\d{{1,2}}-|/\d{{1,2}}/|\.\d{{1,2}}\.)\d{{2}}{_ALONE})"
    )
    before_date = r"[,،]?[ \t]?(?:the |den |der |le |el |ที่ ?|ngày )?"
    date = rf"(?:(?:{day}{before_date})?{written}|{day}{_WORD_END})"
    time = (
        rf"(?:(?:오전 ?|오후 ?|午前|午後|上午|下午)?"
        rf"\d{{1,2}}:\d{{2}}(?!\d)(?::\d{{2}}(?:[.,]\d{{1,9}})?)?{_TO}{_DAY_PART}{_ZONE}|\d{{1,2}} ?[ap]\.?m\b"
        r"|(?:오전 |오후 |午前|午後|上午|下午)?\d{1,2} ?[点點時时시](?!間|间) ?(?:\d{1,2} ?[分분]|半)?"
        r"|\d{1,2} giờ(?: \d{1,2}(?: phút)?)?|\d{1,2} ?h ?\d{2}(?!\w)|\d{1,2} uhr\b)"
    )
    joint = r"(?:[t ]|[,،] ?| at | um | à | a las | को | o | в |, um |(?<=[日号일]))"
    return MomentPatterns(month, day, full, month_first, written, date, time, f"{joint}{time}")
