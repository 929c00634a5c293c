"""What kind of value stands where two texts first differ: a date, a time, a number, an identifier, a name.

Both texts must hold a value of one kind that begins at the same place; or one of them holds it and the other goes on
without it. Later differences do not matter: it is the first that ends a prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Literal

from playground.prefix_cache.text_compare import common_prefix

ValueKind = Literal["date", "time", "number", "uuid", "name"]
REACH = 80
"""Code points on each side of the difference that are searched."""
RESYNC = 8
"""Code points that must agree after a value, for the texts to go on alike."""

_MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?|जनवरी|फ़?रवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|सितम्बर|अक्टूबर|नवंबर|नवम्बर|दिसंबर|दिसम्बर"
    r"|يناير|فبراير|مارس|أبريل|مايو|يونيو|يوليو|أغسطس|سبتمبر|أكتوبر|نوفمبر|ديسمبر)"
)
_DAYS = (
    r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?|सोमवार|मंगलवार|बुधवार|गुरुवार|शुक्रवार|शनिवार|रविवार"
    r"|الاثنين|الثلاثاء|الأربعاء|الخميس|الجمعة|السبت|الأحد|(?:星期|周)[一二三四五六日天])"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE = (
    rf"(?:(?<!\w){_DAYS}\.?,? )?"
    r"(?:(?<!\d)\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?!\d)|(?<!\d)\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?!\d)"
    r"|\d{4}年\d{1,2}月(?:\d{1,2}[日号])?"
    rf"|(?<!\w){_DAY}(?: of)? {_MONTHS}\.?(?:,? \d{{4}})?(?!\w)|(?<!\w){_MONTHS}\.? {_DAY}(?!\w)(?:,? \d{{4}})?"
    rf"|(?<!\w){_MONTHS}(?:,? \d{{4}})?(?!\w))|(?<!\w){_DAYS}(?!\w)"
)
_TIME = (
    r"(?<![\d:])\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\b\.?)?(?: ?(?:Z|[+-]\d{2}:?\d{2}|UTC|GMT|IST)\b)?"
    r"|(?<!\d)\d{1,2} ?[ap]\.?m\b\.?|(?<!\d)\d{1,2}[点时](?:\d{1,2}分)?"
    r"|(?<![\w.])1[4-9]\d{8}(?:\d{3}|\d{6}|\.\d+)?(?![\w.])"
)
_UUID = (
    r"(?<!\w)[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?!\w)|(?<!\w)(?=[a-f]*\d)[0-9a-f]{16,64}(?!\w)"
    r"|(?<!\w)[0-7][0-9a-hjkmnp-tv-z]{25}(?!\w)"
)
_LOOSE_ID = r"(?<![\w-])(?=[\w-]*[a-z])(?=(?:[\w-]*?\d){3})[a-z0-9_-]{8,80}(?![\w-])"
_NUMBER = r"(?<!\d)\d+(?:[.,:/\u00a0\u202f-]\d+)*"
_GAP = r"[\s,.;:|\]\[()\-–—]*"


@cache
def _kinds() -> tuple[tuple[ValueKind, re.Pattern[str]], ...]:
    # Compiled when first asked for: it takes longer than the rest of the room's import.
    sources: tuple[tuple[ValueKind, str], ...] = (
        ("uuid", _UUID),
        ("time", _TIME),
        ("date", _DATE),
        ("uuid", _LOOSE_ID),
        ("number", _NUMBER),
    )
    return tuple((kind, re.compile(source, re.IGNORECASE)) for kind, source in sources)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value that is another one in the earlier text; one of both may be empty, where it was put in or taken out."""

    kind: ValueKind
    before: str
    after: str


def value_change(now: str, earlier: str, offset: int) -> ValueChange | None:
    """The value that the first difference, at code point `offset` of both texts, lies in."""
    start = max(offset - REACH, 0)
    mine, theirs = now[start : offset + REACH], earlier[start : offset + REACH]
    at = offset - start
    return _both(mine, theirs, at) or _one(mine, theirs, at) or _name(mine, theirs, at)


def _both(now: str, earlier: str, at: int) -> ValueChange | None:
    for kind, pattern in _kinds():
        mine, theirs = _touching(pattern, now, at), _touching(pattern, earlier, at)
        if mine and theirs and mine[0] == theirs[0] and at < max(mine[1], theirs[1]):
            return ValueChange(kind, earlier[slice(*theirs)], now[slice(*mine)])
    return None


def _touching(pattern: re.Pattern[str], text: str, at: int) -> tuple[int, int] | None:
    found = (match.span() for match in pattern.finditer(text))
    return next((span for span in found if span[0] <= at <= span[1]), None)


def _one(now: str, earlier: str, at: int) -> ValueChange | None:
    """A value that only one of both has, while what follows it goes on alike."""
    after, before = _put_in(now, earlier, at), _put_in(earlier, now, at)
    if after:
        return ValueChange(after[0], "", after[1])
    return ValueChange(before[0], before[1], "") if before else None


def _put_in(longer: str, other: str, at: int) -> tuple[ValueKind, str] | None:
    for kind, pattern in _kinds():
        # What was put in may begin like what follows it: "2026-11-23 2 rules".
        for match in pattern.finditer(longer):
            begin, end = match.span()
            if begin <= at < end and _goes_on(longer, end, other, begin):
                return kind, match.group()
    return None


def _goes_on(longer: str, end: int, other: str, begin: int) -> bool:
    gap = re.compile(_GAP).match(longer, end)
    places = {end, gap.end() if gap else end}
    return any(_resync(longer[place:], other[begin:]) for place in places)


def _resync(left: str, right: str) -> bool:
    same = common_prefix(left, right)
    return same >= RESYNC or same == len(left) == len(right)


_WORD = r"[^\W\d_][^\s,.;:!?()\[\]{}<>\"“”/\\|।،]*"
_RUN = rf"{_WORD}(?: {_WORD}){{0,2}}"
_CUE = (
    r"(?:\bnamed?|\bcaller|\bcustomer|\buser|\bclient|\bpatient|\bguest|\bdear|\bhello|\bhi|\bhey|\bmrs?|\bms|\bdr"
    r"|\bspeaking (?:to|with)|\bnombre|\bname|नाम|ग्राहक|श्री|श्रीमती|اسم|العميل|السيد|السيدة|姓名|名字|客户|来电者)"
    r"[\"”’']?(?:[ ,.:=]+|\b)(?:is |was |called |है |هو |هي |是|叫)?[\s:=\"“'‘-]*$"
)
_ACTS = r"[ ](?:is|was|has|had|wants|asks|asked|calls|called|lives|works|needs|said|says|speaks)\b"
_SENTENCE_END = frozenset('.!?:;\n•*-#।。！？\x1e"“>')


def _name(now: str, earlier: str, at: int) -> ValueChange | None:
    begin = at
    while begin and (now[begin - 1].isalpha() or now[begin - 1] in "'’"):
        begin -= 1
    for after in _runs(now, begin, at):
        for before in _runs(earlier, begin, at):
            alike = _resync(now[begin + len(after) :], earlier[begin + len(before) :])
            if alike and after != before and _named(now, begin, before, after):
                return ValueChange("name", before, after)
    return None


def _runs(text: str, begin: int, at: int) -> list[str]:
    """One word from `begin` on, two, three; those that reach the difference."""
    found = re.compile(_RUN).match(text, begin)
    words = found.group().split(" ") if found else []
    runs = [" ".join(words[: n + 1]) for n in range(len(words))]
    return [run for run in runs if begin + len(run) >= at]


def _named(text: str, begin: int, before: str, after: str) -> bool:
    """Whether what changed looks like a name: it is called one, or has capitals where a usual word has none."""
    if re.search(_CUE, text[:begin], re.IGNORECASE):
        return all(not word[0].islower() for run in (before, after) for word in run.split(" "))
    words = [*before.split(" "), *after.split(" ")]
    if not all(word[0].isupper() and not word.isupper() for word in words):
        return False
    if not _starts_sentence(text, begin):
        return True
    return bool(re.compile(_ACTS).match(text, begin + len(after)))


def _starts_sentence(text: str, begin: int) -> bool:
    head = text[:begin].rstrip(" \t")
    return not head or head[-1] in _SENTENCE_END
