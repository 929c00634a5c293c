"""Where a text widget's characters stand. Heights are kept block by block, so that a keystroke measures one block.

Qt can tell a block's place only by walking there from the first visible one; in a prompt of thousands of lines that
walk would be most of a keystroke.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QTextBlock, QTextLine
from PySide6.QtWidgets import QPlainTextEdit

GAP_PX = 26
"""Room for the words of the boundary inside a text."""


@dataclass(frozen=True, slots=True)
class Spot:
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
        self._tops: list[float] | None = None
        self._changed: tuple[int, int] | None = None
        self._gap_block: QTextBlock | None = None

    def note_change(self, position: int, added: int) -> None:
        """Contents changed as Qt reports it; measured when next asked for."""
        if self._changed is not None:
            self.forget()
        else:
            self._changed = (position, added)

    def forget(self) -> None:
        """Measure everything anew."""
        self._heights = []
        self._tops = None
        self._changed = None

    def forget_block(self, number: int) -> None:
        """Measure one block anew."""
        if number < len(self._heights) and self._changed is None:
            block = self._edit.document().findBlockByNumber(number)
            self._changed = (block.position(), 0)

    def height(self) -> float:
        """Height of the whole text in pixels."""
        return self.tops()[-1]

    def tops(self) -> list[float]:
        """The top of each block, and the bottom of the last."""
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

    def spot(self, unit: int) -> Spot:
        """Where the character at UTF-16 unit `unit` stands."""
        block = self._edit.document().findBlock(unit)
        if not block.isValid():
            block = self._edit.document().lastBlock()
        tops = self.tops()
        top = tops[block.blockNumber()]
        inside = unit - block.position()
        rtl = block.textDirection() == Qt.LayoutDirection.RightToLeft
        layout = block.layout()
        line = layout.lineForTextPosition(min(inside, block.length() - 1))
        if not line.isValid():
            return Spot(0.0, top, tops[block.blockNumber() + 1], rtl)
        return Spot(x_of(line, inside), top + line.y(), top + line.y() + line.height(), rtl)

    def areas(self, start: int, end: int) -> list[QRectF]:
        """The rectangles that UTF-16 units [start, end) of one block cover: one a line."""
        block = self._edit.document().findBlock(start)
        if not block.isValid():
            return []
        top, layout = self.tops()[block.blockNumber()], block.layout()
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

    def open_gap(self, unit: int | None) -> None:
        """Move the line that unit `unit` stands in, and those below it, down by GAP_PX; None: no gap.

        QPlainTextEdit knows no room between lines, but it takes a line's place from its layout, so the place is
        changed there. It forgets that whenever it lays a block out again: call this after every change.
        """
        block = self._edit.document().findBlock(unit) if unit is not None else QTextBlock()
        if self._gap_block is not None and self._gap_block.isValid() and self._gap_block != block:
            self._place_lines(self._gap_block, None)
        self._gap_block = block if block.isValid() else None
        if unit is not None and block.isValid():
            self._place_lines(block, unit - block.position())

    def _place_lines(self, block: QTextBlock, inside: int | None) -> None:
        # Asking for its size lays the block out where that has not happened yet.
        self._edit.document().documentLayout().blockBoundingRect(block)
        layout = block.layout()
        number = layout.lineForTextPosition(inside).lineNumber() if inside is not None else layout.lineCount()
        y, moved = 0.0, False
        for index in range(layout.lineCount()):
            line = layout.lineAt(index)
            y += GAP_PX if index == number else 0
            if line.y() != y:
                line.setPosition(QPointF(line.x(), y))
                moved = True
            y += line.height()
        if moved:
            self._bring_up_to_date()
            self._changed = (block.position(), 0)

    def _bring_up_to_date(self) -> None:
        if not self._heights:
            self._heights = self._measured(self._edit.document().firstBlock(), self._edit.blockCount())
            self._tops = self._changed = None
        if self._changed is None:
            return
        (position, added), self._changed = self._changed, None
        document = self._edit.document()
        first = document.findBlock(position)
        end = min(position + added, document.characterCount() - 1)
        count = document.findBlock(end).blockNumber() - first.blockNumber() + 1
        start = first.blockNumber()
        before = count - (document.blockCount() - len(self._heights))
        if before < 1 or start + before > len(self._heights):
            self.forget()
            self._bring_up_to_date()
            return
        measured = self._measured(first, count)
        if measured != self._heights[start : start + before]:
            self._heights[start : start + before] = measured
            self._tops = None

    def _measured(self, block: QTextBlock, count: int) -> list[float]:
        layout = self._edit.document().documentLayout()
        heights = []
        for _ in range(count):
            heights.append(layout.blockBoundingRect(block).height())
            if block.textDirection() == Qt.LayoutDirection.RightToLeft:
                _align_right(block)
            block = block.next()
        return heights


def x_of(line: QTextLine, unit: int) -> float:
    """Where in its line a block's UTF-16 unit begins."""
    # Qt hands back the unit beside its x, as it may have had to choose another.
    x, _unit = cast("tuple[float, int]", line.cursorToX(unit))
    return x


def _align_right(block: QTextBlock) -> None:
    """A paragraph from right to left begins at the right; QPlainTextEdit by itself leaves it at the left."""
    layout = block.layout()
    option = layout.textOption()
    option.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignAbsolute)
    layout.setTextOption(option)
