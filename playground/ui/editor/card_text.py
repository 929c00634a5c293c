"""The text of one message: a plain text widget as high as its text, showing the image of an exact text."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from PySide6.QtCore import QEvent, QMimeData, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QHelpEvent,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QTextCharFormat,
    QTextCursor,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QTextEdit, QToolTip, QWidget

from playground.ui.editor.exact import ExactText, Splice, image_of
from playground.ui.editor.geometry import TextGeometry
from playground.ui.editor.marks import Mark, ink, marks_between, marks_of, paint_mark, tip_of
from playground.ui.theme import Theme, mono_font

SIDE_PX = 14
"""Room left and right of the text; Qt's document margin is the same above and below, which the card takes back."""


class CardText(QPlainTextEdit):
    """Shows one message's content. It never holds the truth: `exact` does."""

    typed = Signal(object)
    """Splice: the person changed the text (already shown and taken in)."""
    height_changed = Signal()
    leave_requested = Signal(int)
    """The cursor keys left the text: -1 above its first line, 1 below its last."""
    focused = Signal()
    undo_requested = Signal()
    redo_requested = Signal()
    send_requested = Signal()
    menu_requested = Signal(QPoint)
    """The card's menu is wanted at this global place."""
    moved = Signal()
    """The cursor stands elsewhere."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.exact = ExactText()
        self._muted = 0
        self._composing = False
        self._pending: list[Splice] = []
        self._lines = TextGeometry(self)
        self._gap: int | None = None
        self._marks: list[Mark] = []
        self._values: Mapping[str, str] = {}
        self._dress()
        self.document().contentsChange.connect(self._on_contents_change)
        self.document().contentsChanged.connect(self._on_contents_changed)
        self.cursorPositionChanged.connect(self.moved)

    def _dress(self) -> None:
        self.setProperty("zoned", True)
        self.setFont(mono_font())
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        option = self.document().defaultTextOption()
        option.setTextDirection(Qt.LayoutDirection.LayoutDirectionAuto)
        self.document().setDefaultTextOption(option)
        self.document().setDocumentMargin(0)
        self.setViewportMargins(SIDE_PX, 0, SIDE_PX, 0)

    # -- text ---------------------------------------------------------------------------------------------------------

    def set_exact(self, text: str) -> None:
        """Show `text` from now on, from its beginning; nobody is told that it was typed."""
        self.exact = ExactText(text)
        self._muted += 1
        self.setPlainText(self.exact.image)
        self._muted -= 1
        self._refresh_marks()

    def apply(self, splice: Splice, *, select: bool = True) -> None:
        """Mirror an edit of the exact text that was made elsewhere; `select` moves the cursor to its end."""
        cursor = self._cursor_over(splice.at, splice.at + len(splice.removed))
        self.exact.apply(splice)
        self._muted += 1
        cursor.insertText(image_of(splice.inserted))
        self._muted -= 1
        self._refresh_marks()
        if select:
            self.setTextCursor(cursor)

    def insert_exact(self, text: str) -> None:
        """Put `text` in place of the selection, as if it were typed."""
        start, end = self.selection()
        splice = Splice(start, self.exact.text[start:end], text)
        if splice.removed != splice.inserted:
            self.apply(splice)
            self.typed.emit(splice)

    def selection(self) -> tuple[int, int]:
        """The selection in code points of the exact text; empty at the cursor."""
        cursor = self.textCursor()
        return self.exact.index(cursor.selectionStart()), self.exact.index(cursor.selectionEnd())

    def select(self, start: int, end: int) -> None:
        """Select code points [start, end); the cursor stands at `end`."""
        self.setTextCursor(self._cursor_over(start, end))

    def _cursor_over(self, start: int, end: int) -> QTextCursor:
        cursor = QTextCursor(self.document())
        cursor.setPosition(self.exact.unit(start))
        cursor.setPosition(self.exact.unit(end), QTextCursor.MoveMode.KeepAnchor)
        return cursor

    def _on_contents_change(self, position: int, removed: int, added: int) -> None:
        self._lines.note_change(position, added)
        self._shift_gap(position, removed, added)
        if self._muted:
            return
        start, end = self.exact.range_of(position, removed)
        # The widget's report in whole code points: what lies before `start` and after `end` has not moved.
        first, tail = self.exact.unit(start), self.exact.units - self.exact.unit(end)
        splice = self.exact.typed(start, end, self._shown(first, self.document().characterCount() - 1 - tail))
        if splice is not None:
            self._pending.append(splice)

    def _shift_gap(self, position: int, removed: int, added: int) -> None:
        """Let the gap follow its line until the boundary is known anew."""
        if self._gap is not None and position < self._gap:
            self._gap = max(self._gap + added - removed, position)

    def _shown(self, start: int, end: int) -> str:
        cursor = QTextCursor(self.document())
        cursor.setPosition(start)
        cursor.setPosition(max(start, end), QTextCursor.MoveMode.KeepAnchor)
        return cursor.selectedText().replace("\u2029", "\n")

    def _on_contents_changed(self) -> None:
        self._lines.open_gap(self._gap)
        self._fit()
        if not self._muted:
            self._refresh_marks()
        pending, self._pending = self._pending, []
        for splice in pending:
            image = image_of(splice.inserted)
            if image != splice.inserted:
                self._show_image(splice.at, image)
            self.typed.emit(splice)

    def _show_image(self, at: int, image: str) -> None:
        """Let stand-ins take the place of odd characters that were typed; the cursor stays where it is."""
        cursor = self._cursor_over(at, at + len(image))
        kept = self.textCursor().position()
        self._muted += 1
        cursor.insertText(image)
        self._muted -= 1
        own = self.textCursor()
        own.setPosition(kept)
        self.setTextCursor(own)

    # -- height ---------------------------------------------------------------------------------------------------------

    @property
    def geometry_of_text(self) -> TextGeometry:
        """Where each character stands, in this widget's own coordinates."""
        return self._lines

    def set_gap(self, unit: int | None) -> None:
        """Leave room for the boundary's words over the line of UTF-16 unit `unit`; None: nowhere."""
        if unit != self._gap:
            self._gap = unit
            self._lines.open_gap(unit)
            self._fit()
            self.viewport().update()

    def _fit(self) -> None:
        height = ceil(self._lines.height())
        if height != self.height() or self.minimumHeight() != height:
            # At once, not with the next layout: Qt would scroll the text to show the cursor.
            self.resize(self.width(), height)
            self.setFixedHeight(height)
            self.height_changed.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks lines elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._lines.forget()
            self._lines.open_gap(self._gap)
            self._fit()

    # -- marks ----------------------------------------------------------------------------------------------------------

    @property
    def marks(self) -> list[Mark]:
        """Chips and odd characters, in order."""
        return self._marks

    def set_values(self, values: Mapping[str, str]) -> None:
        """The variables that have a value."""
        if values != self._values:
            self._values = values
            self._refresh_marks()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self._color_marks()
        self.viewport().update()

    def _refresh_marks(self) -> None:
        """Find the marks again; Qt's cursors have moved those that are colored along with the text."""
        marks = marks_of(self.exact, self._values)
        same_kinds = [(mark.kind, mark.subject) for mark in marks] == [
            (mark.kind, mark.subject) for mark in self._marks
        ]
        self._marks = marks
        if not same_kinds or not self._colored_rightly():
            self._color_marks()
            self.viewport().update()

    def _colored_rightly(self) -> bool:
        spans = [(s.cursor.selectionStart(), s.cursor.selectionEnd()) for s in self.extraSelections()]
        return spans == [(mark.start, mark.end) for mark in self._marks]

    def _color_marks(self) -> None:
        self.setExtraSelections([self._selection(mark) for mark in self._marks])

    def _selection(self, mark: Mark) -> QTextEdit.ExtraSelection:
        selection = QTextEdit.ExtraSelection()
        cursor = QTextCursor(self.document())
        cursor.setPosition(mark.start)
        cursor.setPosition(mark.end, QTextCursor.MoveMode.KeepAnchor)
        colored = QTextCharFormat()
        colored.setForeground(ink(self._theme, mark.kind))
        # The stubs leave out the fields of this plain structure.
        selection.cursor = cursor  # type: ignore[attr-defined]
        selection.format = colored  # type: ignore[attr-defined]
        return selection

    def paintEvent(self, event: QPaintEvent) -> None:
        """The grounds of the marks that are in sight, then the text."""
        if self._marks:
            painter = QPainter(self.viewport())
            for mark, area in self._areas(event.rect().top(), event.rect().bottom()):
                paint_mark(painter, self._theme, mark.kind, area)
            painter.end()
        super().paintEvent(event)

    def _areas(self, top: float, bottom: float) -> list[tuple[Mark, QRectF]]:
        start, end = self._lines.units_between(top, bottom)
        return [
            (mark, area)
            for mark in marks_between(self._marks, start, end)
            for area in self._lines.areas(mark.start, mark.end)
        ]

    def viewportEvent(self, event: QEvent) -> bool:
        """What a mark means, where the pointer rests on one."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self._tip_at(event.pos()), self)
            return True
        return super().viewportEvent(event)

    def _tip_at(self, place: QPoint) -> str:
        found = (m for m, area in self._areas(place.y(), place.y()) if area.contains(place.toPointF()))
        mark = next(found, None)
        return tip_of(mark, self._values) if mark else ""

    # -- keys and mouse -------------------------------------------------------------------------------------------------

    @property
    def composing(self) -> bool:
        """Whether an input method is in the middle of a composition."""
        return self._composing

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Qt's own, noting whether a composition is open."""
        self._composing = bool(event.preeditString())
        super().inputMethodEvent(event)
        self._lines.forget_block(self.textCursor().blockNumber())
        self._lines.open_gap(self._gap)
        self._fit()

    def event(self, event: QEvent) -> bool:
        """Undo and redo are the prompt's, not this widget's: leave the keys to the window."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and _is_history(event):
            event.ignore()
            return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Typing; what belongs to the card or the prompt is passed on."""
        if not self._handled(event):
            self._type(event)

    def _handled(self, event: QKeyEvent) -> bool:
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo_requested.emit()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo_requested.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and control:
            if not self._composing:
                self.send_requested.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            # Qt would put U+2028 for Shift+Enter: nobody wants that in a prompt.
            self.insert_exact("\n")
        elif event.key() == Qt.Key.Key_F2:
            self.menu_requested.emit(self.mapToGlobal(self.cursorRect().bottomLeft()))
        elif self.textCursor().hasSelection() and _is_text(event):
            # A stand-in that is overwritten by the very sign it is shown as would look unchanged to Qt.
            self.insert_exact(event.text())
        else:
            return False
        event.accept()
        return True

    def _type(self, event: QKeyEvent) -> None:
        before = self.textCursor().position()
        super().keyPressEvent(event)
        steps = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and event.key() in steps and self.textCursor().position() == before:
            self.leave_requested.emit(steps[Qt.Key(event.key())])

    def wheelEvent(self, event: QWheelEvent) -> None:
        """The whole prompt scrolls, never one message."""
        event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The card's menu."""
        self.menu_requested.emit(event.globalPos())

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Qt's own, and the card is told."""
        super().focusInEvent(event)
        self.focused.emit()

    # -- clipboard ------------------------------------------------------------------------------------------------------

    def createMimeDataFromSelection(self) -> QMimeData:
        """The exact text, not its image."""
        data = QMimeData()
        start, end = self.selection()
        data.setText(self.exact.text[start:end])
        return data

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        """Plain text only."""
        return source.hasText()

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Pasted and dropped text, to the character."""
        if source.hasText() and not self.isReadOnly():
            self.insert_exact(source.text())


def _is_history(event: QKeyEvent) -> bool:
    return event.matches(QKeySequence.StandardKey.Undo) or event.matches(QKeySequence.StandardKey.Redo)


def _is_text(event: QKeyEvent) -> bool:
    held = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.MetaModifier)
    return bool(event.text()) and event.text().isprintable() and not held
