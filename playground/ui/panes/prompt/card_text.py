"""The text editor of a message or a field: as high as its text, with variables as chips and a gap for the boundary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from operator import attrgetter
from time import monotonic
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QMimeData, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QHelpEvent,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPalette,
    QResizeEvent,
    QShowEvent,
    QTextBlock,
    QTextCharFormat,
    QTextCursor,
)
from PySide6.QtWidgets import QTextEdit, QToolTip, QWidget

from playground.ui.panes.prompt.axis_paint import RIGHT_PX, SIDE_PX
from playground.ui.panes.prompt.marks import (
    Advised,
    TextGeometry,
    TextMark,
    gap_px,
    ink,
    marks_between,
    marks_near,
    marks_of,
    paint_mark,
    tip_of,
)
from playground.ui.theme import Recolored, current_theme
from playground.ui.widgets.form import cursor_over, marked
from playground.ui.widgets.layouts import single_timer
from playground.ui.widgets.lossless_text import Splice
from playground.ui.widgets.lossless_text_edit import ExactEdit
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from PySide6.QtGui import QTextLayout

_LOOK = attrgetter("kind", "subject")
"""What a mark looks like, wherever it is."""
LINE_CHARACTERS = 100
"""Longest line of text, whatever the width of the pane."""
LONG_BLOCKS = 300
LONG_CHARACTERS = 30_000
"""Blocks and characters from which on a text is long: its visible blocks are painted, and their marks found, here."""
_PAGES = (
    (QKeySequence.StandardKey.MoveToNextPage, 1, QTextCursor.MoveMode.MoveAnchor),
    (QKeySequence.StandardKey.MoveToPreviousPage, -1, QTextCursor.MoveMode.MoveAnchor),
    (QKeySequence.StandardKey.SelectNextPage, 1, QTextCursor.MoveMode.KeepAnchor),
    (QKeySequence.StandardKey.SelectPreviousPage, -1, QTextCursor.MoveMode.KeepAnchor),
)
TYPED_S = 0.5
"""Time after a typed character during which the cursor does not blink, in seconds."""


class CardText(Recolored, ExactEdit):
    """Never scrolls inside; the cost of painting depends on the visible part only."""

    height_changed = Signal()
    moved = Signal()
    """The cursor moved."""
    import_pasted = Signal(str)
    """Text that appears to be a prompt in another format was pasted or dropped; keys in it are masked."""

    def __init__(self, parent: QWidget | None = None, sides: tuple[int, int] = (SIDE_PX, RIGHT_PX)) -> None:
        self._left, self._right = sides
        self._lines = self.geometry_of_text = TextGeometry(self)
        """Positions of characters in the viewport's coordinates."""
        self._gaps: dict[str, int] = {}
        self._typed_at = -TYPED_S
        self._opaque = False
        self.paint_ground: Callable[[QPainter], object] = lambda _painter: None
        """Paints the background in the viewport's coordinates; called if the viewport is opaque."""
        super().__init__(parent)
        self._refit = single_timer(self, 0, self.laid_out)
        self._marks: list[TextMark] = []
        """All marks of a text that is not long."""
        self._found: tuple[tuple[int, int], list[TextMark]] | None = None
        """The span of a long text that was painted last, in units, and its marks."""
        self._values: Mapping[str, str] = {}
        self._advised: Advised = ()
        self.setProperty("zoned", True)
        self.setViewportMargins(self._left, 0, self._right, 0)
        self.cursorPositionChanged.connect(self.moved)
        # Qt scrolls by a line when it computes the last line to be below the viewport by a fraction of a pixel.
        bar = self.verticalScrollBar()
        bar.valueChanged.connect(lambda value: bar.setValue(0) if value else None)
        self.colored()

    def recolor(self) -> None:
        self._color_marks()
        self.viewport().update()

    def set_exact(self, text: str) -> None:
        """Show another text; places of advice are of the one before."""
        self._advised = ()
        super().set_exact(text)

    def show_exact(self, text: str) -> None:
        """Show a text by its smallest change, which keeps the cursor if possible."""
        splice = self.exact.whole(text)
        if splice.removed or splice.inserted:
            self._advised = ()
            self.apply(splice, select=False)

    def types_itself(self) -> bool:
        """Return whether the text is painted, and so also typed, here."""
        return self.blockCount() >= LONG_BLOCKS or self.document().characterCount() >= LONG_CHARACTERS

    def insert_shown(self, cursor: QTextCursor, displayed: str) -> None:
        """Replace the selection of `cursor`; in a long text without the layout's signals.

        For each of them Qt measures every block above the cursor, to repaint and to scroll. This widget never scrolls
        and has the heights, so it repaints the changed blocks by itself.
        """
        # Only for typing: beside the layout of several blocks, the signals cost little.
        document = self.document()
        one_block = document.findBlock(cursor.selectionStart()) == document.findBlock(cursor.selectionEnd())
        if not (self.types_itself() and one_block and displayed.isprintable()):
            super().insert_shown(cursor, displayed)
            return
        layout, start = self.document().documentLayout(), cursor.selectionStart()
        height, count = self._lines.height(), self.blockCount()
        blocked = layout.blockSignals(True)
        cursor.insertText(displayed)
        layout.blockSignals(blocked)
        self._typed_at = monotonic()
        tops, first = self._lines.tops(), self.document().findBlock(start).blockNumber()
        same = tops[-1] == height and self.blockCount() == count
        bottom = tops[self.document().findBlock(cursor.position()).blockNumber() + 1] if same else self.height()
        self.viewport().update(QRectF(0, tops[first], self.width(), bottom - tops[first]).toAlignedRect())

    def set_opaque(self, opaque: bool) -> None:
        """Set whether `paint_ground` covers the viewport: then no widget below is painted with it."""
        if opaque != self._opaque:
            self._opaque = opaque
            self._set_opaque()

    def _set_opaque(self) -> None:
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent, self._opaque)
        self.viewport().update()

    def ensureCursorVisible(self) -> None:
        """Do nothing: the page scrolls, not the text."""

    @property
    def marks(self) -> list[TextMark]:
        """Chips, odd characters and places of advice, in order."""
        return marks_of(self.exact, self._values, self._advised) if self.types_itself() else self._marks

    def _marks_between(self, start: int, end: int) -> list[TextMark]:
        """Return the marks in units [start, end); of a long text only these are searched."""
        if not self.types_itself():
            return marks_between(self._marks, start, end)
        if self._found is None or self._found[0] != (start, end):
            self._found = (start, end), marks_near(self.exact, (start, end), self._values, self._advised)
        return marks_between(self._found[1], start, end)

    def changing(self, position: int, removed: int, added: int) -> None:
        """Gaps follow their lines until the axes are known again."""
        self._found = None
        self._lines.note_change(position, removed, added)
        for name, gap in self._gaps.items():
            if position < gap:
                self._gaps[name] = max(gap + added - removed, position)

    def laid_out(self) -> None:
        """Lines may have come or gone."""
        # To find its scroll range, Qt lays out every block that fits in the viewport: here all. Not if it may center.
        self.setCenterOnScroll(self.types_itself())
        self._lines.open_gaps(list(self._gaps.values()))
        self._fit()

    def settled(self) -> None:
        """Find the marks again; Qt's cursors have moved those that are colored along with the text.

        Those of a long text are searched when they are painted: Qt repaints the lines that have changed.
        """
        self._found = None
        if self.types_itself():
            self._marks = []
            if self.extraSelections():
                self._color_marks()
            return
        marks = marks_of(self.exact, self._values, self._advised)
        before, self._marks = self._marks, marks
        if list(map(_LOOK, marks)) != list(map(_LOOK, before)):
            self._color_marks()
            self.viewport().update()
        elif marks and not self._is_colored():
            self._color_marks()

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Insert plain text. API keys in a command or program are masked before they reach prompt and draft."""
        # Imported here: the first frame does not need them.
        from playground.client.redact import redact
        from playground.prompt.import_formats import import_kind, mask_secrets

        text = source.text() if source.hasText() and not self.isReadOnly() else ""
        if not import_kind(text):
            super().insertFromMimeData(source)
            return
        masked = QMimeData()
        masked.setText(redact(mask_secrets(text), None))
        super().insertFromMimeData(masked)
        self.import_pasted.emit(masked.text())

    def set_gap(self, name: str, unit: int | None) -> None:
        """Leave room for a row above the line of UTF-16 unit `unit`; None: close the gap of that name."""
        if unit != self._gaps.get(name):
            self._gaps.pop(name, None)
            if unit is not None:
                self._gaps[name] = unit
            self.laid_out()
            self.viewport().update()

    def gap_top(self, name: str) -> float | None:
        """Return the top of a gap in the viewport's coordinates; None if there is none."""
        unit = self._gaps.get(name)
        if unit is None:
            return None
        above = [other for other, gap in self._gaps.items() if gap == unit]
        return self._lines.spot(unit).top - gap_px() * (len(above) - above.index(name))

    def set_values(self, values: Mapping[str, str]) -> None:
        """Set the variables that have a value."""
        if values != self._values:
            self._values = values
            self._marks_changed()

    def set_advised(self, advised: Advised) -> None:
        """Mark the places of advice, in code points of the present text."""
        if advised != self._advised:
            self._advised = advised
            self._marks_changed()

    def _marks_changed(self) -> None:
        self.settled()
        if self.types_itself():
            self.viewport().update()

    def shift_advised(self, splice: Splice, moved: Callable[[int], int]) -> None:
        """Let the places follow the text until the adviser has looked again; one that was changed is let go."""
        gone_end = splice.at + len(splice.removed)
        kept = (
            (moved(start), moved(end), words)
            for start, end, words in self._advised
            if end <= splice.at or start >= gone_end
        )
        before, self._advised = self._advised, tuple(kept)
        if len(before) == len(self._advised):
            self.settled()  # they have moved with their lines
        else:
            self._marks_changed()

    def _fit(self) -> None:
        height = max(ceil(self._lines.height()), 1)
        if height != self.height() or self.minimumHeight() != height:
            # At once, not with the next layout: Qt would scroll the text to show the cursor.
            self.resize(self.width(), height)
            self.setFixedHeight(height)
            # Places the viewport: Qt does not if this follows from a change of the width, while it places it for that.
            self.setViewportMargins(self.viewportMargins())
            self.height_changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks lines elsewhere."""
        super().resizeEvent(event)
        self._limit_lines()
        if event.size().width() != event.oldSize().width():
            self._lines.reflow()
            if self.types_itself():
                self._refit.start()  # a panel that opens gives several widths in one turn of the event loop
            else:
                self.laid_out()

    def showEvent(self, event: QShowEvent) -> None:
        """Break lines again that Qt has broken at another width, before the margins: it does not while it is hidden."""
        super().showEvent(event)
        first = self.document().firstBlock().layout()
        if first.lineCount() and round(first.lineAt(0).width()) != self.viewport().width():
            super().resizeEvent(QResizeEvent(self.viewport().size(), QSize()))
            self._lines.reflow()
            self.laid_out()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange and self._opaque:
            self._set_opaque()  # the style sheet has removed the attribute
        if event.type() == QEvent.Type.FontChange:
            self._limit_lines()
            self._lines.forget()
            self.laid_out()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Page Up and Page Down move by what is visible of the text: for Qt, a page is the whole text."""
        for key, step, mode in _PAGES:
            if event.matches(key):
                self._move_by_page(step, mode)
                return
        super().keyPressEvent(event)

    def _move_by_page(self, step: int, mode: QTextCursor.MoveMode) -> None:
        cursor = self.textCursor()
        before, height = cursor.position(), self.viewport().visibleRegion().boundingRect().height()
        by_line = QTextCursor.MoveOperation.Down if step > 0 else QTextCursor.MoveOperation.Up
        begin = self._lines.spot(before)
        page = height - (begin.bottom - begin.top)  # a line of the page before stays visible
        while cursor.movePosition(by_line, mode) and abs(self._lines.spot(cursor.position()).top - begin.top) < page:
            pass
        if cursor.position() != before:
            self.setTextCursor(cursor)
            self.caret_moved.emit()
        elif mode == QTextCursor.MoveMode.MoveAnchor:
            self.leave_requested.emit(step)

    def _limit_lines(self) -> None:
        most = ceil(LINE_CHARACTERS * self.fontMetrics().horizontalAdvance("n"))
        right = max(self.width() - SIDE_PX - most, self._right)
        if self.viewportMargins().right() != right:
            self.setViewportMargins(self._left, 0, right, 0)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Make room for a composition before it is text."""
        super().inputMethodEvent(event)
        self._lines.forget_block(self.textCursor().blockNumber())
        self.laid_out()

    def _is_colored(self) -> bool:
        cursors = (selection.cursor for selection in self.extraSelections())
        spans = [(cursor.selectionStart(), cursor.selectionEnd()) for cursor in cursors]
        return spans == [(mark.start, mark.end) for mark in self._marks]

    def _color_marks(self) -> None:
        """Color the text of the marks; in a long text, the lines on display are colored when they are painted."""
        self.setExtraSelections([] if self.types_itself() else [self._colored_mark(mark) for mark in self._marks])

    def _colored_mark(self, mark: TextMark) -> QTextEdit.ExtraSelection:
        over = cursor_over(self.document(), mark.start, mark.end)
        return marked(over, ink=ink(current_theme(), mark.kind))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the grounds of the visible marks, then the text."""
        if self._marks or self._opaque or self.types_itself():
            painter = QPainter(self.viewport())
            painter.setClipRect(event.rect())
            if self._opaque:
                self.paint_ground(painter)
            for mark, area in self._areas(event.rect().top(), event.rect().bottom()):
                if area.intersects(QRectF(event.rect())):
                    paint_mark(painter, current_theme(), mark.kind, area)
            painter.end()
        if self.types_itself():
            self._paint_visible_blocks(event.rect())
        else:
            super().paintEvent(event)

    def _paint_visible_blocks(self, area: QRect) -> None:
        """Paint the blocks in `area` as QPlainTextEdit does, which walks from the first block to it."""
        painter, context, offset = QPainter(self.viewport()), self.getPaintContext(), self.contentOffset()
        painter.setClipRect(area)
        painter.setPen(context.palette.text().color())
        first, last = self._lines.blocks_between(area.top() - offset.y(), area.bottom() - offset.y())
        tops, document = self._lines.tops(), self.document()
        block = document.findBlockByNumber(first)
        ranges = self._format_ranges(block.position(), document.findBlockByNumber(last))
        caret = context.cursorPosition
        if caret == -1 and self.hasFocus() and monotonic() - self._typed_at < TYPED_S:
            caret = self.textCursor().position()  # as Qt does: the cursor is visible after a key
        for number in range(first, last + 1):
            layout, position = self._lines.lay_out(block), block.position()
            place = QPointF(offset.x(), offset.y() + tops[number])
            layout.draw(painter, place, _within(ranges, position, block.length()), QRectF(area))
            if position <= caret < position + block.length():
                layout.drawCursor(painter, place, caret - position, self.cursorWidth())
            elif caret < -1 and layout.preeditAreaText() and not self.isReadOnly():
                # Qt gives the place inside a composition as -2 - place.
                layout.drawCursor(painter, place, layout.preeditAreaPosition() - caret - 2, self.cursorWidth())
            block = block.next()
        painter.end()

    def _format_ranges(self, start: int, last: QTextBlock) -> list[QTextLayout.FormatRange]:
        """Return the formats of marks and selection in UTF-16 units of the document, from `start` to a last block."""
        marks = self._marks_between(start, last.position() + last.length())
        found = []
        for mark in marks:
            colored = QTextCharFormat()
            colored.setForeground(ink(current_theme(), mark.kind))
            found.append(_format_range(mark.start, mark.end, colored))
        cursor, context = self.textCursor(), self.getPaintContext()
        if cursor.hasSelection():
            group = QPalette.ColorGroup.Active if self.hasFocus() else QPalette.ColorGroup.Inactive
            selected = QTextCharFormat()
            selected.setBackground(context.palette.brush(group, QPalette.ColorRole.Highlight))
            selected.setForeground(context.palette.brush(group, QPalette.ColorRole.HighlightedText))
            found.append(_format_range(cursor.selectionStart(), cursor.selectionEnd(), selected))
        return found

    def _areas(self, top: float, bottom: float) -> list[tuple[TextMark, QRectF]]:
        start, end = self._lines.units_between(top, bottom)
        return [
            (mark, area) for mark in self._marks_between(start, end) for area in self._lines.areas(mark.start, mark.end)
        ]

    def viewportEvent(self, event: QEvent) -> bool:
        """Explain the mark under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), plain_tip(self.tip_at(event.pos())), self)
            return True
        return super().viewportEvent(event)

    def tip_at(self, place: QPoint) -> str:
        """Return the explanation of the mark at a place of the viewport, or an empty text."""
        for mark, area in self._areas(place.y(), place.y()):
            if area.contains(place.toPointF()):
                return tip_of(mark, self._values)
        return ""


def _format_range(start: int, end: int, text_format: QTextCharFormat) -> QTextLayout.FormatRange:
    from PySide6.QtGui import QTextLayout

    found = QTextLayout.FormatRange()
    found.start, found.length, found.format = start, end - start, text_format
    return found


def _within(ranges: Sequence[QTextLayout.FormatRange], position: int, length: int) -> list[QTextLayout.FormatRange]:
    """Return the ranges that touch a block, relative to its position."""
    return [
        _format_range(one.start - position, one.start + one.length - position, one.format)
        for one in ranges
        if one.start < position + length and one.start + one.length > position
    ]
