"""Positions of a text widget's characters, and the marks there: `{{name}}` as a chip, invisible characters, advice.

Heights are stored per block: a keystroke measures one block. Qt finds a block's position by walking from the first
visible block, which would be most of the time of a keystroke in a prompt of thousands of lines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil, inf
from operator import attrgetter
from typing import Literal, cast

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QPainter,
    QPainterPath,
    QPen,
    QTextBlock,
    QTextCursor,
    QTextLayout,
    QTextLine,
)
from PySide6.QtWidgets import QPlainTextEdit

from playground.prompt.document import places
from playground.ui.theme import Theme, scaled
from playground.ui.widgets.form import aligned
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
    first = bisect_left(marks, start, key=attrgetter("start"))
    while first > 0 and marks[first - 1].end > start:
        first -= 1
    last = bisect_left(marks, end, key=attrgetter("start"))
    return marks[first:last]


def tip_of(mark: TextMark, values: Mapping[str, str]) -> str:
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
    return {"value": theme.variable_edge, "missing": theme.failure, "odd": theme.output, "advice": theme.text}[kind]


def paint_mark(painter: QPainter, theme: Theme, kind: MarkKind, area: QRectF) -> None:
    """Paint the background of one mark, before the text."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if kind == "advice":
        painter.setPen(QPen(theme.variable_edge, 2, Qt.PenStyle.DotLine))
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
    x, rise = area.left() + 4, 4
    path = QPainterPath(QPointF(x, area.bottom() - 2))
    while x < area.right() - 6:
        x += 3
        path.lineTo(x, area.bottom() - rise)
        rise = 6 - rise
    painter.setPen(QPen(color, 1))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPath(path)


_KEEP = QTextCursor.MoveMode.KeepAnchor
_MANY = 300
"""Blocks from which on those of one line are measured without a layout."""
GAP_PX = 22
"""Height of a row (boundary, served rule) inside a text of 100 %."""


def gap_px() -> int:
    return scaled(GAP_PX)


class TextSpot(Struct, frozen=True):
    """A character's left (or, right to left, right) side: `x`, and the `top` and `bottom` of its line, in pixels of the
    widget's viewport."""

    x: float
    top: float
    bottom: float
    rtl: bool


class TextGeometry:
    """The heights of a QPlainTextEdit's blocks, kept up to date by what its document reports."""

    def __init__(self, edit: QPlainTextEdit) -> None:
        self._edit = edit
        self._heights: list[float] = []
        self._widths: list[float] = []
        """For each block a width in which it is one line; infinite if none is known."""
        self._room = 0
        """Width at which the heights were measured; negative: it may be another now."""
        self._tops: list[float] | None = None
        self._changed: tuple[int, int] | None = None
        self._gap_units: list[int] = []
        """Where the blocks with gaps begin. No QTextCursor: one that lives as long as its document ends in a crash."""

    def note_change(self, position: int, removed: int, added: int) -> None:
        """Note a change that Qt reported; it is measured on the next request."""
        self._gap_units = [
            max(unit + added - removed, position) if position < unit else unit for unit in self._gap_units
        ]
        # Heights of another width would be measured again for the blocks before the change.
        if self._changed is not None or self._room < 0:
            self.forget()
        else:
            self._changed = (position, added)

    def forget(self) -> None:
        self._heights, self._widths = [], []
        self._tops = self._changed = None

    def reflow(self) -> None:
        """Discard the heights that another width of the widget may have changed; the font is the same."""
        if self._changed is not None:
            self.forget()
        self._room = -abs(self._room)

    def forget_block(self, number: int) -> None:
        if number < len(self._heights) and self._changed is None:
            block = self._edit.document().findBlockByNumber(number)
            self._changed = (block.position(), 0)

    def height(self) -> float:
        """Height of the whole text in pixels."""
        return self.tops()[-1]

    def tops(self) -> list[float]:
        """Return the top of each block, and the bottom of the last."""
        self._bring_up_to_date()
        if self._tops is None:
            self._tops = list(accumulate(self._heights, initial=0.0))
        return self._tops

    def blocks_between(self, top: float, bottom: float) -> tuple[int, int]:
        """First and last block that show anything between two heights."""
        tops = self.tops()
        last = len(tops) - 2
        first = bisect_right(tops, top) - 1
        return min(max(first, 0), last), min(max(bisect_right(tops, bottom) - 1, 0), last)

    def lay_out(self, block: QTextBlock) -> QTextLayout:
        """Return the layout of a block, which Qt lays out if it has not."""
        self._edit.document().documentLayout().blockBoundingRect(block)
        return aligned(block)

    def spot(self, unit: int) -> TextSpot:
        """Return the position of the character at UTF-16 unit `unit`."""
        block = self._edit.document().findBlock(unit)
        if not block.isValid():
            block = self._edit.document().lastBlock()
        tops = self.tops()
        top = tops[block.blockNumber()]
        inside = unit - block.position()
        rtl = block.textDirection() == Qt.LayoutDirection.RightToLeft
        layout = self.lay_out(block)
        line = layout.lineForTextPosition(min(inside, block.length() - 1))
        if not line.isValid():
            return TextSpot(0.0, top, tops[block.blockNumber() + 1], rtl)
        return TextSpot(x_of(line, inside), top + line.y(), top + line.y() + line.height(), rtl)

    def areas(self, start: int, end: int) -> list[QRectF]:
        """Return the rectangles that UTF-16 units [start, end) of one block cover: one for each line."""
        block = self._edit.document().findBlock(start)
        if not block.isValid():
            return []
        top, layout = self.tops()[block.blockNumber()], self.lay_out(block)
        start, end = start - block.position(), end - block.position()
        found = []
        for number in range(layout.lineCount()):
            line = layout.lineAt(number)
            first, last = max(start, line.textStart()), min(end, line.textStart() + line.textLength())
            if first < last:
                one, other = x_of(line, first), x_of(line, last)
                found.append(QRectF(min(one, other), top + line.y(), abs(other - one), line.height()))
        return found

    def units_between(self, top: float, bottom: float) -> tuple[int, int]:
        """UTF-16 units of the blocks that show anything between two heights."""
        first, last = self.blocks_between(top, bottom)
        document = self._edit.document()
        end = document.findBlockByNumber(last)
        return document.findBlockByNumber(first).position(), end.position() + end.length()

    def open_gaps(self, units: Sequence[int]) -> None:
        """Move the lines of these units, and those below them, down by a gap each; no units: close all gaps.

        QPlainTextEdit has no space between lines, but it takes a line's position from its layout, so the position is
        changed there. It forgets that whenever it lays a block out again: call this after every change.
        """
        document = self._edit.document()
        blocks: dict[int, tuple[QTextBlock, list[int]]] = {}
        for unit in sorted(units):
            block = document.findBlock(unit)
            if block.isValid():
                blocks.setdefault(block.blockNumber(), (block, []))[1].append(unit - block.position())
        kept = [block for block, _ in blocks.values()]
        for unit in self._gap_units:  # a stored QTextBlock would dangle once its text is removed
            block = document.findBlock(unit)
            if block.isValid() and block not in kept:
                self._place_lines(block, ())
        self._gap_units = [block.position() for block in kept]
        for block, inside in blocks.values():
            self._place_lines(block, inside)

    def _place_lines(self, block: QTextBlock, inside: Sequence[int]) -> None:
        layout = self.lay_out(block)
        numbers = [layout.lineForTextPosition(unit).lineNumber() for unit in inside]
        y, moved = 0.0, False
        for index in range(layout.lineCount()):
            line = layout.lineAt(index)
            y += gap_px() * numbers.count(index)
            if line.y() != y:
                line.setPosition(QPointF(line.x(), y))
                moved = True
            y += line.height()
        if moved:
            self._bring_up_to_date()
            self._changed = (block.position(), 0)

    def next_line(self, unit: int) -> int | None:
        """Return the first unit of the line after the one that `unit` is in; None: it is in the last line."""
        block = self._edit.document().findBlock(unit)
        if not block.isValid():
            return None
        layout = self.lay_out(block)
        line = layout.lineForTextPosition(min(unit - block.position(), block.length() - 1))
        if line.isValid() and line.lineNumber() + 1 < layout.lineCount():
            return block.position() + layout.lineAt(line.lineNumber() + 1).textStart()
        following = block.next()
        return following.position() if following.isValid() else None

    def _bring_up_to_date(self) -> None:
        document = self._edit.document()
        if not self._widths:
            self._widths, self._room = self._room_of(0, document.blockCount()), 0
            self._heights, self._changed = [0.0] * len(self._widths), None
        if self._room <= 0:
            known = zip(self._heights, self._widths, strict=True)
            self._heights = [height if width <= -self._room else 0.0 for height, width in known]
            self._room, self._tops = self._edit.viewport().width(), None
            self._measure(0, self._heights, self._widths)
        if self._changed is None:
            return
        (position, added), self._changed = self._changed, None
        end = min(position + added, document.characterCount() - 1)
        start = document.findBlock(position).blockNumber()
        count = document.findBlock(end).blockNumber() - start + 1
        before = count - (document.blockCount() - len(self._heights))
        if before < 1 or start + before > len(self._heights):
            self.forget()
            self._bring_up_to_date()
            return
        widths, heights = self._room_of(start, count), [0.0] * count
        self._measure(start, heights, widths)
        self._widths[start : start + before] = widths
        if heights != self._heights[start : start + before]:
            self._heights[start : start + before] = heights
            self._tops = None

    def _room_of(self, start: int, count: int) -> list[float]:
        """Return for each block a width in which it certainly is one line; infinite: it has to be laid out."""
        if count < _MANY:  # all are laid out
            return [inf] * count
        document = self._edit.document()
        selection = QTextCursor(document.findBlockByNumber(start))
        selection.setPosition(document.findBlockByNumber(start + count - 1).position(), _KEEP)
        selection.movePosition(QTextCursor.MoveOperation.EndOfBlock, _KEEP)
        metrics = QFontMetricsF(self._edit.font())
        widest = ceil(max(metrics.horizontalAdvance(chr(character)) for character in range(32, 127)))
        return [
            (len(text) + 1) * widest if text.isascii() and text.isprintable() else inf
            for text in selection.selectedText().split("\u2029")
        ]

    def _measure(self, start: int, heights: list[float], widths: list[float]) -> None:
        """Fill in heights that are 0, from block `start` on. Of many blocks, lines of ASCII are not laid out."""
        document = self._edit.document()
        gaps = {document.findBlock(unit).blockNumber() - start for unit in self._gap_units}
        room, line = self._room if len(heights) >= _MANY else 0, 0.0
        for index, width in enumerate(widths):
            if width <= room and index not in gaps and (heights[index] or line):
                heights[index] = heights[index] or line
                continue
            block = document.findBlockByNumber(start + index)
            layout = self.lay_out(block)
            if width <= room:
                line = layout.lineAt(0).height()
            heights[index] = document.documentLayout().blockBoundingRect(block).height()
            if layout.lineCount() == 1:
                widths[index] = ceil(layout.lineAt(0).naturalTextWidth()) + 1
            elif not block.text().isascii():
                widths[index] = inf


def x_of(line: QTextLine, unit: int) -> float:
    """Return the x of a block's UTF-16 unit in its line."""
    # Qt hands back the unit beside its x, as it may have had to choose another.
    x, _unit = cast("tuple[float, int]", line.cursorToX(unit))
    return x
