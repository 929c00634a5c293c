"""Classify a value that differs between two requests: a date, a time, a number, an identifier, a name, in any language.

`kind_of` classifies two values that are given; `value_change` finds the values around the first difference of two
texts. Pure functions; patterns are compiled at the first call.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from msgspec import Struct

from playground.prefix_cache.moments import INDIC, any_of, moment_patterns, words
from playground.prefix_cache.text_compare import common_prefix

ValueKind = Literal["date", "time", "number", "uuid", "identifier", "counter", "name", "contact", "whitespace", "text"]
REACH = 80
"""Code points on each side of a difference that are searched for the value."""
RESYNC = 8
"""Code points that must be equal behind the two values."""
_CONTEXT = 60
"""Number of code points before a value that decide its kind."""

_UUID = (
    r"(?<!\w)(?:[a-z]{1,16}[-_])?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?!\w)|(?<!\w)(?=[a-f]*\d)[0-9a-f]{16,64}(?!\w)"
    r"|(?<!\w)[0-7][0-9a-hjkmnp-tv-z]{25}(?!\w)|(?<!\w)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(?!\w)"
    r"|eyj[\w-]{8,}\.eyj[\w-]{8,}(?:\.[\w-]{8,})?"
)
_IDENTIFIER = r"(?<![\w-])(?=[\w-]*[a-z])(?=(?:[\w-]*?\d){3})[a-z0-9_-]{6,80}(?![\w-])"
_CONTACT = r"[\w.+-]{1,64}@[\w.-]{1,120}\w|(?<!\w)\+\d[\d ()-]{6,18}\d"
_NUMBER = r"(?:[$€£₹¥] ?)?(?<!\d)[-−]?\d+(?:[.,:/\u00a0\u202f' -]\d+)*(?: ?(?:%|°[cf]?|[€₹$£¥]|°))?"
# The alternatives exclude each other: a letter that both match would make a failing match exponential.
_LETTER = rf"(?:[^\W\d_]|(?![^\W\d_])[{INDIC}\u0e00-\u0e7f'’.-])"
_NAME = rf"{_LETTER}{{1,40}}(?: {_LETTER}{{1,40}}){{0,4}}"
_ID_CUE = (
    r"(?:\bids?|identifier|#|№|\b(?:order|ticket|account|kunden|sitzungs|आईडी|编号|單號|订单号|번호|番号)[\w-]*)"
    r"[\s:=#\"“'.]*$"
)
_NAME_CUE = (
    r"(?:\bnamed?|\bcaller|\bcustomer|\buser|\bclient|\bpatient|\bguest|\bdear|\bhello|\bhi|\bhey|\bmrs?|\bms|\bdr"
    r"|\bspeak(?:ing)? (?:to|with)|\btalk(?:ing)? (?:to|with)|\bnombre|\bnome|\bnama|\bimię|\badı"
    r"|नाम|नाव|ग्राहक|श्री|श्रीमती|নাম|పేరు|ಹೆಸರು|പേര്|નામ|ਨਾਮ|ନାମ|نام|பெயர்|ชื่อ|اسم|العميل|السيد|السيدة|姓名|名字|お名前"
    r"|客户|来电者|이름|имя|ім['’]я|tên|heißt|s['’]appelle|se llama)"
    r"[\"”’']?(?:[ ,.:：=]+|\b|$)(?:is |was |called |है |هو |هي |是|叫|:)?[\s:：=\"“'‘-]*$"
)


class ValueChange(Struct, frozen=True):
    """A value that differs; one side is empty if the value was inserted or removed."""

    kind: ValueKind
    before: str
    after: str


class _Patterns(Struct, frozen=True):
    by_kind: tuple[tuple[ValueKind, re.Pattern[str]], ...]
    date_with_rest: re.Pattern[str]
    counter_cue: re.Pattern[str]
    counter: re.Pattern[str]
    date_cue: re.Pattern[str]
    time_cue: re.Pattern[str]
    id_cue: re.Pattern[str]
    name_cue: re.Pattern[str]
    name: re.Pattern[str]


def compile_patterns() -> None:
    """Compile the patterns, which takes 0.1 s or more: call it in a worker before the first use in the window."""
    _patterns()


@cache
def _patterns() -> _Patterns:
    moment = moment_patterns()
    date = rf"(?<![\da-z]){moment.date}(?:[,، ]{{0,2}}[（(]?{moment.day}[)）]?)?"
    date += rf"|(?<!\w){moment.month}(?:,? \d{{4}})?(?![\w{INDIC}])"
    date += r"|(?<!\d)20\d\d[01]\d[0-3]\d(?!\d)"
    time = rf"(?<!\d){moment.stamp}|(?<![\d:]){moment.time}|(?<![\w.]){moment.unix}(?!\w)"
    both = rf"(?<!\d)(?:{moment.full}|{moment.month_first}){moment.at_time}"
    turns = any_of(words("counter"))
    sources: tuple[tuple[ValueKind, str], ...] = (
        ("uuid", _UUID),
        ("contact", _CONTACT),
        ("time", time),
        ("date", date),
        ("identifier", _IDENTIFIER),
        ("number", _NUMBER),
    )
    compiled = tuple((kind, re.compile(source, re.IGNORECASE)) for kind, source in sources)
    return _Patterns(
        compiled,
        re.compile(both, re.IGNORECASE),
        re.compile(rf"(?:{turns}|第|turn)[ \t]*(?:number|no\.?|nr\.?|n[º°]|#|№)?[\s:#]*$", re.IGNORECASE),
        re.compile(r"第 ?\d{1,9} ?(?:轮|輪|条消息|回目?|次|ターン|通目)"),
        re.compile(
            rf"(?:{any_of(words('now'))})[\s:：,]*(?:(?:{any_of(words('link'))})[\s:：,]*){{0,4}}$", re.IGNORECASE
        ),
        re.compile(
            r"(?:time|uhrzeit|heure|hora|समय|वेळ|সময়|సమయం|ಸಮಯ|സമയം|સમય|ਸਮਾਂ|وقت|நேரம்|saat|godzina|เวลา|時刻|时间|시각)[\s:：=]*$",
            re.IGNORECASE,
        ),
        re.compile(_ID_CUE, re.IGNORECASE),
        re.compile(
            rf"(?:{any_of((*words('person'), *words('person_cased')))})(?: {any_of(words('copula_before'))})?"
            rf"[\s:：=\"“'-]*$|{_NAME_CUE}",
            re.IGNORECASE,
        ),
        re.compile(_NAME, re.IGNORECASE),
    )


def kind_of(before: str, after: str, context: str = "") -> ValueKind:
    """Return what kind of value `before` and `after` both are.

    Args:
        before, after: the two values, in either order; whole values give better answers than parts of them.
        context: the text in front of both, at least the rest of their line ("Heute ist der "). It decides what plain
            figures and words are: a day of the month, a counter, an identifier, a name.

    Returns:
        The kind that both have in common, "whitespace" if only white space differs, else "text".
    """
    old, new = _plain(before.strip()), _plain(after.strip())
    if "".join(before.split()) == "".join(after.split()):
        return "whitespace"
    head = context.rsplit("\n", 1)[-1][-_CONTEXT:]
    patterns = _patterns()
    if patterns.date_with_rest.fullmatch(old) and patterns.date_with_rest.fullmatch(new):
        return "date" if _date_of(old) != _date_of(new) else "time"
    if patterns.counter.fullmatch(old) and patterns.counter.fullmatch(new):
        return "counter"
    found = next(
        (kind for kind, pattern in patterns.by_kind if pattern.fullmatch(old) and pattern.fullmatch(new)), None
    )
    if found == "number":
        return _kind_of_number(head, old, new)
    if found == "identifier" and _is_word(old) and _is_word(new):
        found = None
    if found is not None:
        return found
    return "name" if _is_name(head, old) and _is_name(head, new) else "text"


_SPACES = {ord(character): " " for character in "\u00a0\u202f\u2009"}


def _plain(text: str) -> str:
    """Return the text with plain spaces in place of narrow and fixed ones, as in 9:04\u202fAM; as long as before."""
    return text if text.isascii() else text.translate(_SPACES)


def _date_of(text: str) -> str:
    found = re.search(rf"(?:{moment_patterns().full}|{moment_patterns().month_first})", text, re.IGNORECASE)
    return found.group() if found else text


def _kind_of_number(head: str, old: str, new: str) -> ValueKind:
    patterns = _patterns()
    whole = old.isdecimal() and new.isdecimal()
    if whole and patterns.id_cue.search(head):
        return "identifier"
    if whole and patterns.counter_cue.search(head) and len(old) < 7:
        return "counter"
    if whole and max(len(old), len(new)) <= 2 and patterns.date_cue.search(head):
        return "date"
    if patterns.time_cue.search(head) and whole and len(old) <= 2:
        return "time"
    return "number"


def _is_word(text: str) -> bool:
    return not any(character.isdigit() for character in text)


def _is_name(head: str, value: str) -> bool:
    """Whether words are a name: the words in front announce one, or all begin with a capital inside a sentence."""
    if not value or not _patterns().name.fullmatch(value):
        return False
    parts = value.split()
    cased = any(character.islower() or character.isupper() for character in value)
    if _patterns().name_cue.search(head):
        return not cased or all(not part[0].islower() for part in parts)
    if not cased or not all(part[0].isupper() and not (part.isupper() and len(part) > 1) for part in parts):
        return False
    return not _starts_sentence(head) or len(parts) > 1


_SENTENCE_END = frozenset('.!?:;\n•*-#।。！？\x1e"“>')


def _starts_sentence(head: str) -> bool:
    head = head.rstrip(" \t")
    return not head or head[-1] in _SENTENCE_END


def value_change(now: str, earlier: str, offset: int) -> ValueChange | None:
    """Return the value around the first difference of two texts, at code point `offset` of both; None if it is text.

    Both texts must have a value of one kind that begins at the same offset, or one has it and the other continues
    without it. Later differences do not matter: the first one ends a prefix.
    """
    start = max(offset - REACH, 0)
    mine, theirs = _plain(now[start : offset + REACH]), _plain(earlier[start : offset + REACH])
    at = offset - start
    return _in_both(mine, theirs, at) or _in_one(mine, theirs, at) or _name_change(mine, theirs, at)


def _in_both(now: str, earlier: str, at: int) -> ValueChange | None:
    for kind, pattern in _patterns().by_kind:
        mine, theirs = _touching(pattern, now, at), _touching(pattern, earlier, at)
        if mine and theirs and mine[0] == theirs[0] and at < max(mine[1], theirs[1]):
            old, new = earlier[slice(*theirs)], now[slice(*mine)]
            if kind == "identifier" and _is_word(old + new):
                continue
            return ValueChange(_kind_of_number(now[: mine[0]], old, new) if kind == "number" else kind, old, new)
    return None


def _touching(pattern: re.Pattern[str], text: str, at: int) -> tuple[int, int] | None:
    found = (match.span() for match in pattern.finditer(text))
    return next((span for span in found if span[0] <= at <= span[1]), None)


def _in_one(now: str, earlier: str, at: int) -> ValueChange | None:
    after, before = _inserted(now, earlier, at), _inserted(earlier, now, at)
    if after:
        return ValueChange(after[0], "", after[1])
    return ValueChange(before[0], before[1], "") if before else None


_GAP = re.compile(r"[\s,.;:|\]\[()\-–—]*")


def _inserted(longer: str, other: str, at: int) -> tuple[ValueKind, str] | None:
    for kind, pattern in _patterns().by_kind:
        # What was inserted may begin like the text behind it: "2026-11-23 2 rules".
        for match in pattern.finditer(longer):
            begin, end = match.span()
            if begin <= at < end and _continues(longer, end, other, begin):
                return kind, match.group()
    return None


def _continues(longer: str, end: int, other: str, begin: int) -> bool:
    gap = _GAP.match(longer, end)
    ends = {end, gap.end() if gap else end}
    return any(_resync(longer[position:], other[begin:]) for position in ends)


def _resync(left: str, right: str) -> bool:
    same = common_prefix(left, right)
    return same >= RESYNC or same == len(left) == len(right)


_ACTS = re.compile(r"[ ](?:is|was|has|had|wants|asks|asked|calls|called|lives|works|needs|said|says|speaks)\b")
_NAME_WORD = r"[^\W\d_][^\s,.;:!?()\[\]{}<>\"“”/\\|।،]*"
_NAME_RUN = re.compile(rf"{_NAME_WORD}(?: {_NAME_WORD}){{0,3}}")


def _name_change(now: str, earlier: str, at: int) -> ValueChange | None:
    begin = at
    while begin and (now[begin - 1].isalpha() or now[begin - 1] in "'’" or "\u0900" <= now[begin - 1] <= "\u0e7f"):
        begin -= 1
    for after in _runs(now, begin, at):
        for before in _runs(earlier, begin, at):
            alike = _resync(now[begin + len(after) :], earlier[begin + len(before) :])
            if alike and after != before and _named(now, begin, before, after):
                return ValueChange("name", before, after)
    return None


def _runs(text: str, begin: int, at: int) -> list[str]:
    """Return one to four words from `begin`, those that reach the difference."""
    found = _NAME_RUN.match(text, begin)
    parts = found.group().split(" ") if found else []
    runs = [" ".join(parts[: n + 1]) for n in range(len(parts))]
    return [run for run in runs if begin + len(run) >= at]


def _named(text: str, begin: int, before: str, after: str) -> bool:
    head = text[:begin]
    if _patterns().name_cue.search(head):
        return all(not word[0].islower() for run in (before, after) for word in run.split(" "))
    parts = [*before.split(" "), *after.split(" ")]
    if not all(part[0].isupper() and not part.isupper() for part in parts):
        return False
    return not _starts_sentence(head) or bool(_ACTS.match(text, begin + len(after)))


def typed_values(text: str) -> tuple[tuple[int, int], ...]:
    """Return code points [start, end) of dates, times, identifiers and numbers in a short text; they may overlap."""
    return tuple(
        match.span()
        for kind, pattern in _patterns().by_kind
        for match in pattern.finditer(_plain(text))
        if match.group().strip()
    )
