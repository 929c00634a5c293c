"""Marks in a message's text: `{{name}}` as a chip, invisible characters, and places of advice."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen

from playground.prompt.document import places
from playground.ui.theme import Theme
from playground.ui.widgets.lossless_text import ExactText, name_of, utf16_length

MarkKind = Literal["value", "missing", "odd", "advice"]
_TIP_CHARACTERS = 200
_NEAR = 4_000
"""Code points of a line that are searched beside a span; longer lines are displayed in pieces."""


class TextMark(Struct, frozen=True):
    """UTF-16 units [start, end) of a text that are marked.

    `subject` is the variable's name, the odd character, or what the adviser has to say.
    """

    kind: MarkKind
    start: int
    end: int
    subject: str


Advised = tuple[tuple[int, int, str], ...]
"""Places of advice: code points [start, end) of the text, and the advice."""


def marks_of(exact: ExactText, values: Mapping[str, str], advised: Advised = ()) -> list[TextMark]:
    """Return every mark of a text, in order."""
    return _marks_in(exact, (0, len(exact.text)), values, advised)


def marks_near(exact: ExactText, span: tuple[int, int], values: Mapping[str, str], advised: Advised) -> list[TextMark]:
    """Return the marks that lie wholly or partly in units [start, end), and others of the same lines.

    The time depends on the length of the span, not on the text.
    """
    start, end = exact.index(span[0]), exact.index(span[1])
    while near := [place for place in advised if place[0] < end and place[1] > start]:
        reach = min(start, *(place[0] for place in near)), max(end, *(place[1] for place in near))
        if reach == (start, end):
            break
        start, end = reach
    text = exact.text
    start = max(text.rfind("\n", 0, start) + 1, start - _NEAR)
    line_end = text.find("\n", end)
    end = min(len(text) if line_end < 0 else line_end, end + _NEAR)
    return _marks_in(exact, (start, end), values, near)


def _marks_in(
    exact: ExactText, span: tuple[int, int], values: Mapping[str, str], advised: Iterable[tuple[int, int, str]]
) -> list[TextMark]:
    """Return the marks in code points [start, end), which cut no variable."""
    start, end = span
    found: list[tuple[int, int, MarkKind, str]] = [
        (start + place.start, start + place.end, "value" if place.name in values else "missing", place.name)
        for place in places(exact.text[start:end])
    ]
    found += [(at, at + 1, "odd", odd) for at, odd in exact.oddities(start, end)]
    chips = sorted((start, end) for start, end, _, _ in found)
    starts, reached = [start for start, _ in chips], [0, *accumulate((end for _, end in chips), max)]
    # A chip is a mark already; advice about a variable is in the chip's tooltip.
    found += [
        (start, end, "advice", words) for start, end, words in advised if reached[bisect_left(starts, end)] <= start
    ]
    found.sort()
    if exact.units - len(exact.breaks) == len(exact.image):  # as many UTF-16 units as code points
        marks = [TextMark(kind, start, end, subject) for start, end, kind, subject in found]
    else:
        marks = _in_units(exact.image, found)
    if exact.breaks:
        marks = [
            replace(mark, start=exact.unit_of(mark.start), end=exact.unit_of(mark.end, before=True)) for mark in marks
        ]
    return marks


def _in_units(image: str, found: list[tuple[int, int, MarkKind, str]]) -> list[TextMark]:
    marks = []
    seen = units = 0
    for start, end, kind, subject in found:
        # An odd character inside a chip's braces starts before the chip's end; count from where this one starts.
        if start < seen:
            units -= utf16_length(image[start:seen])
        else:
            units += utf16_length(image[seen:start])
        width = utf16_length(image[start:end])
        marks.append(TextMark(kind, units, units + width, subject))
        seen, units = end, units + width
    return marks


def marks_between(marks: list[TextMark], start: int, end: int) -> list[TextMark]:
    """Return the marks that lie wholly or partly in units [start, end); chips are short."""
    first = bisect_left(marks, start, key=lambda mark: mark.start)
    while first > 0 and marks[first - 1].end > start:
        first -= 1
    last = bisect_left(marks, end, key=lambda mark: mark.start)
    return marks[first:last]


def tip_of(mark: TextMark, values: Mapping[str, str]) -> str:
    """Return a mark's tooltip."""
    if mark.kind == "odd":
        return name_of(mark.subject)
    if mark.kind == "advice":
        return mark.subject
    if mark.kind == "missing":
        return f"{{{{{mark.subject}}}}} has no value. Give it one in the Variables table."
    value = values.get(mark.subject, "")
    shown = value if len(value) <= _TIP_CHARACTERS else value[:_TIP_CHARACTERS] + " …"
    return f"{{{{{mark.subject}}}}} = {shown}" if value else f"{{{{{mark.subject}}}}} is an empty text"


def ink(theme: Theme, kind: MarkKind) -> QColor:
    """Return the color of marked text."""
    return {"value": theme.variable_edge, "missing": theme.failure, "odd": theme.output, "advice": theme.text}[kind]


def paint_mark(painter: QPainter, theme: Theme, kind: MarkKind, area: QRectF) -> None:
    """Paint the background of one mark, before the text."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if kind == "advice":
        pen = QPen(theme.variable_edge, 2, Qt.PenStyle.DotLine)
        painter.setPen(pen)
        painter.drawLine(area.bottomLeft() + QPointF(0, -1), area.bottomRight() + QPointF(0, -1))
    elif kind == "odd":
        painter.setPen(QPen(theme.output, 0.8))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(area.adjusted(0.5, 1.5, -0.5, -1.5), 2, 2)
    else:
        painter.setPen(QPen(theme.failure, 1) if kind == "missing" else Qt.PenStyle.NoPen)
        painter.setBrush(theme.chip if kind == "value" else theme.surface)
        painter.drawRoundedRect(area.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        if kind == "missing":
            _wave(painter, theme.failure, area)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


def _wave(painter: QPainter, color: QColor, area: QRectF) -> None:
    path = QPainterPath(QPointF(area.left() + 4, area.bottom() - 2))
    x, up = area.left() + 4, True
    while x < area.right() - 6:
        x += 3
        path.lineTo(x, area.bottom() - (4 if up else 2))
        up = not up
    painter.setPen(QPen(color, 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)
