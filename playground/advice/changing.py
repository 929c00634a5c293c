"""What changes from request to request in a prompt: its variables, and values typed in whose words say so.

Fewer kinds than `prefix.volatile` finds: here a false alarm fails a build, and all rules together have 50 ms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from playground.prompt.document import Document, Message
from playground.prompt.variables import places

Kind = Literal["variable", "moment", "id", "date"]
_MOMENT = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\b\d{1,2}[:.]\d\d(?::\d\d)?\s*(?:[ap]\.?m\.?|uhr|ist|utc|gmt)?\b"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b(?=[a-z_-]*\d)[0-9a-z_-]{12,}\b"
_DAY = (
    r"\d{4}-\d\d-\d\d|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b\d{1,2}(?:st|nd|rd|th)?\.? \w{3,9},? \d{4}\b|"
    r"\b\w{3,9} \d{1,2},? \d{4}\b"
)
_NOW = (
    r"now\b|current (?:date and )?time|time (?:is|now)|timestamp|hora actual|fecha y hora|heure actuelle|date et heure|"
    r"aktuelle (?:uhr)?zeit|uhrzeit|hora atual|data e hora|ora attuale|текущее время|वर्तमान समय|अभी का समय|अभी समय|"
    r"现在时间|当前时间|現在時刻|現在の時刻|현재 시각|현재 시간|الوقت الحالي|waktu sekarang|şu anki saat|தற்போதைய நேரம்"
)
_IDS = r"(?:session|request|call|trace|conversation|correlation|ticket|transaction)[ _-]?id|request_id|session"
_TODAY = (
    r"today(?:'s date)?|current date|fecha actual|hoy es|aujourd'hui|date du jour|heutiges datum|heute ist|"
    r"data de hoje|oggi è|сегодня|आज|今天|今日|오늘"
)
_LITERAL = re.compile(
    rf"(?:{_NOW})[^\n\d.;]{{0,24}}(?P<moment>{_MOMENT})|(?:{_IDS})\s*(?:is|:|=|#)?\s*(?P<id>{_UUID})|"
    rf"(?:{_TODAY})[^\n\d.;]{{0,24}}?(?P<date>{_DAY})",
    re.IGNORECASE,
)
_HINTS = re.compile("\\d")
_EXAMPLE = re.compile(
    r"example|e\.g\.|such as|for instance|format|looks? like|ejemplo|exemple|beispiel|exemplo|उदाहरण|例"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Code points [start, end) in a message's template. `name` is the variable's, or the text itself."""

    message: int
    start: int
    end: int
    name: str
    kind: Kind


def spots(document: Document) -> Iterator[Spot]:
    """All of them, in the order that the cache sees. Typed-in values only in system messages."""
    for index, message in enumerate(document.messages):
        yield from sorted(_of(index, message), key=lambda spot: spot.start)


def _of(index: int, message: Message) -> Iterator[Spot]:
    text = message.content or ""
    for place in places(text):
        yield Spot(index, place.start, place.end, place.name, "variable")
    if message.role == "system" and _HINTS.search(text):
        yield from _literals(index, text)


def _literals(index: int, text: str) -> Iterator[Spot]:
    for match in _LITERAL.finditer(text):
        kind = match.lastgroup
        line = text[text.rfind("\n", 0, match.start()) + 1 : match.end() + 24].lower()
        if kind in ("moment", "id", "date") and not _EXAMPLE.search(line):
            yield Spot(index, *match.span(kind), match[kind], kind)  # type: ignore[arg-type]  # one of the three
