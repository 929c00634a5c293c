"""A plain text widget that displays the image of an exact text and applies each edit of the image to the text."""

from __future__ import annotations

import sys
from functools import partial

from PySide6.QtCore import QEvent, QMimeData, QPoint, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QDragEnterEvent,
    QDragMoveEvent,
    QDropEvent,
    QFocusEvent,
    QFont,
    QHideEvent,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QTextBlock,
    QTextCursor,
    QTextOption,
    QWheelEvent,
)
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QWidget

from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.form import PlainEdit
from playground.ui.widgets.labels import text_data
from playground.ui.widgets.lossless_text import LONG, PIECE, ExactText, Splice, breaks_in, image_of, units_at

_CONTINUED = 1
"""User state of a block that continues the paragraph of the block before it."""
_WHOLE = -1
_DELETIONS = {Qt.Key.Key_Backspace: -1, Qt.Key.Key_Delete: 1}
_LEAVING = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}


class ExactEdit(PlainEdit):
    """`exact` is the text; the widget displays it. Qt's undo is off: the whole prompt has one history."""

    typed = Signal(object)
    """Splice: the user changed the text (already displayed and applied)."""
    leave_requested = Signal(int)
    """The cursor keys would leave the text: -1 above its first line, 1 below its last."""
    undo_requested = Signal()
    redo_requested = Signal()
    send_requested = Signal()
    menu_requested = Signal(QPoint)
    """A menu is requested at this global position."""
    caret_moved = Signal()
    """The user moved the cursor without a change of the text, or left the text."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.exact = ExactText()
        self._muted = 0
        self.composing = False
        """Whether an input method is in the middle of a composition."""
        self._pending: list[Splice] = []
        self._known_viewport = self.findChild(QWidget, "qt_scrollarea_viewport")
        """Makes `viewport()` return at once. PySide would import every class of widgets to find its type (15 ms)."""
        self._apply_colors()
        self.document().contentsChange.connect(self._on_contents_change)
        self.document().contentsChanged.connect(self._on_contents_changed)

    def _apply_colors(self) -> None:
        self.setFont(mono_font())
        self.setProperty("textZoom", True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setUndoRedoEnabled(False)
        # The keyboard must be able to leave; a tab character can be pasted.
        self.setTabChangesFocus(True)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(0)

    def set_exact(self, text: str) -> None:
        """Show `text` from its start, without emitting `typed`."""
        self.exact = ExactText(text)
        self._muted += 1
        self.setPlainText(self.exact.displayed)
        self._muted -= 1
        if self.exact.breaks:
            self._mark_breaks(0, self.exact.units)
        self.settled()

    def apply(self, splice: Splice, *, select: bool = True) -> None:
        """Apply an edit of the exact text from elsewhere; `select` moves the cursor to its end."""
        cursor = self.cursor_over(splice.at, splice.at + len(splice.removed))
        start, broken = cursor.selectionStart(), bool(self.exact.breaks)
        displayed = self.exact.apply(splice)
        self._muted += 1
        self.insert_shown(cursor, displayed)
        self._muted -= 1
        if broken or self.exact.breaks:
            self._mark_breaks(start, cursor.position())
        self._rebreak(start, cursor.position())
        self.settled()
        own = self.textCursor()
        # Qt measures the text up to the cursor several times when it is given a cursor.
        if select and (own.hasSelection() or own.position() != cursor.position()):
            self.setTextCursor(cursor)

    def insert_shown(self, cursor: QTextCursor, displayed: str) -> None:
        """Replace the selection of `cursor` in the widget."""
        cursor.insertText(displayed)

    def types_itself(self) -> bool:
        """Return whether typed characters are inserted with `insert_shown` instead of by Qt."""
        return False

    def insert_exact(self, text: str) -> None:
        """Replace the selection by `text`, like typing."""
        start, end = self.selection()
        splice = Splice(start, self.exact.text[start:end], text)
        if splice.removed != splice.inserted:
            self.apply(splice)
            self.typed.emit(splice)

    def selection(self) -> tuple[int, int]:
        """Return the selection in code points of the exact text; empty at the cursor."""
        cursor = self.textCursor()
        return self.exact.index(cursor.selectionStart()), self.exact.index(cursor.selectionEnd())

    def select(self, start: int, end: int) -> None:
        """Select code points [start, end) with the cursor at `end`."""
        self.setTextCursor(self.cursor_over(start, end))

    def cursor_over(self, start: int, end: int) -> QTextCursor:
        """Return a separate cursor that selects code points [start, end)."""
        cursor = QTextCursor(self.document())
        cursor.setPosition(self.exact.unit(start))
        cursor.setPosition(self.exact.unit(end), QTextCursor.MoveMode.KeepAnchor)
        return cursor

    def changing(self, position: int, removed: int, added: int) -> None:
        """For the subclass: Qt reports a change; the layout does not know of it yet."""

    def laid_out(self) -> None:
        """For the subclass: the change is laid out."""

    def settled(self) -> None:
        """For the subclass: the exact text and the display agree again."""

    def _on_contents_change(self, position: int, removed: int, added: int) -> None:
        self.changing(position, removed, added)
        if self._muted:
            return
        start, end = self.exact.range_of(position, removed)
        # In whole code points: the text before `start` and after `end` has not changed.
        first, tail = self.exact.unit(start, before=True), self.exact.units - self.exact.unit(end)
        last = self.document().characterCount() - 1 - tail
        breaks = self.exact.breaks
        if breaks:
            self._mark_breaks(position, position)
        before, after = self.exact.plain(first), self.exact.plain(self.exact.unit(end))
        length = self.exact.units - len(breaks)
        splice = self.exact.typed(start, end, self._shown(first, last))
        if breaks:
            shift = self.exact.units - len(self.exact.breaks) - length
            self._read_breaks(breaks, (before, after, shift), (first, last))
        if splice is not None:
            self._pending.append(splice)

    def _read_breaks(self, old: list[int], plain: tuple[int, int, int], region: tuple[int, int]) -> None:
        """Take the breaks inside the changed region from the widget, which has kept or removed them itself."""
        before, after, shift = plain
        kept = [unit for unit in old if unit < before]
        found = [block.position() - 1 - len(kept) - number for number, block in enumerate(self._continued(*region))]
        self.exact.breaks = [*kept, *found, *(unit + shift for unit in old if unit > after)]

    def _continued(self, first: int, last: int) -> list[QTextBlock]:
        """Return the blocks that begin in (first, last] and continue the paragraph before them."""
        found = []
        block = self.document().findBlock(first).next()
        while block.isValid() and block.position() <= last:
            if block.userState() == _CONTINUED:
                found.append(block)
            block = block.next()
        return found

    def _shown(self, start: int, end: int) -> str:
        pieces = []
        for block in self._continued(start, end) if self.exact.breaks else ():
            pieces.append(self._text_between(start, block.position() - 1))
            start = block.position()
        return "".join((*pieces, self._text_between(start, end)))

    def _text_between(self, start: int, end: int) -> str:
        cursor = QTextCursor(self.document())
        cursor.setPosition(start)
        cursor.setPosition(max(start, end), QTextCursor.MoveMode.KeepAnchor)
        return cursor.selectedText().replace("\u2029", "\n")

    def _mark_breaks(self, start: int, end: int) -> None:
        """Set the state of the blocks from one position to another; Qt gives it to the wrong block at times."""
        at_break = {plain + number + 1 for number, plain in enumerate(self.exact.breaks)}
        block = self.document().findBlock(start)
        while block.isValid() and block.position() <= end:
            block.setUserState(_CONTINUED if block.position() in at_break else _WHOLE)
            block = block.next()

    def _rebreak(self, start: int, end: int) -> None:
        """Break paragraphs that have become too long for one layout, and join pieces that fit into one again."""
        document = self.document()
        if not self.exact.breaks:
            bounds = document.findBlock(start).position(), document.findBlock(end)
            text = self._text_between(bounds[0], bounds[1].position() + bounds[1].length() - 1)
            if max(map(len, text.split("\n"))) <= LONG:
                return
        number, last = document.findBlock(start).blockNumber(), document.findBlock(end).blockNumber() + 1
        while number <= last:
            block = document.findBlockByNumber(number)
            if not block.isValid():
                return
            before = block.previous()
            if block.userState() == _CONTINUED and before.length() + block.length() - 2 <= PIECE:
                self._join(block)
                last -= 1
                continue
            # Breaks are counted in code points, of which UTF-16 may have up to twice as many units.
            if block.length() - 1 > LONG and len(block.text()) > LONG:
                added = self._break(block)
                number, last = number + added, last + added
            number += 1

    def _join(self, block: QTextBlock) -> None:
        position = block.position() - 1
        self.exact.breaks.remove(self.exact.plain(position))
        cursor = QTextCursor(self.document())
        cursor.setPosition(position)
        self._muted += 1
        cursor.deleteChar()
        self._muted -= 1
        self._mark_breaks(position, position)

    def _break(self, block: QTextBlock) -> int:
        """Break one block into pieces; returns how many breaks were added."""
        text, start = block.text(), block.position()
        cursor = QTextCursor(self.document())
        cuts = units_at(text, breaks_in(text))
        plain = self.exact.plain(start)
        self._muted += 1
        cursor.beginEditBlock()
        for cut in reversed(cuts):
            cursor.setPosition(start + cut)
            cursor.insertBlock()
        cursor.endEditBlock()
        self._muted -= 1
        self.exact.breaks = sorted((*self.exact.breaks, *(plain + cut for cut in cuts)))
        self._mark_breaks(start, start + cuts[-1] + len(cuts))
        return len(cuts)

    def _on_contents_changed(self) -> None:
        self.laid_out()
        if self._muted:
            return
        pending, self._pending = self._pending, []
        try:
            for splice in pending:
                image = image_of(splice.inserted)
                if image != splice.inserted:
                    self._show_image(splice.at, image)
                start = self.exact.unit(splice.at, before=True)
                self._rebreak(start, self.exact.unit(splice.at + len(splice.inserted)))
            self.settled()
        finally:
            for splice in pending:  # an error of the display must not lose typed text
                self.typed.emit(splice)

    def _show_image(self, at: int, image: str) -> None:
        """Replace typed odd characters by their substitutes; the cursor does not move."""
        cursor = self.cursor_over(at, at + len(image))
        kept = self.textCursor().position()
        self._muted += 1
        cursor.insertText(image)
        self._muted -= 1
        own = self.textCursor()
        own.setPosition(kept)
        self.setTextCursor(own)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Qt's own, noting whether a composition is open."""
        self.composing = bool(event.preeditString())
        super().inputMethodEvent(event)

    def event(self, event: QEvent) -> bool:
        """Undo and redo are the prompt's, not this widget's: leave their keys to the window."""
        if event.type() == QEvent.Type.ShortcutOverride and is_key_of_undo(event):
            event.ignore()
            return False
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Typing; what belongs to the card or the prompt is passed on."""
        if is_menu_key(event):
            event.ignore()
            return
        if self._is_passed_on(event) or self._is_typed_exactly(event):
            event.accept()
            return
        self._step_over_break(event)
        before, revision = self.textCursor().position(), self.document().revision()
        super().keyPressEvent(event)
        if self.textCursor().position() != before and self.document().revision() == revision:
            self.caret_moved.emit()
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain and event.key() in _LEAVING and self.textCursor().position() == before:
            self.leave_requested.emit(_LEAVING[Qt.Key(event.key())])

    def _step_over_break(self, event: QKeyEvent) -> None:
        """Before a deletion at a break of the display, move to the break's other side, where the character is."""
        cursor = self.textCursor()
        if not self.exact.breaks or cursor.hasSelection():
            return
        direction = _DELETIONS.get(Qt.Key(event.key()), 0)
        block = cursor.block() if direction < 0 else cursor.block().next()
        at_break = cursor.atBlockStart() if direction < 0 else cursor.atBlockEnd()
        if direction and at_break and block.userState() == _CONTINUED:
            cursor.setPosition(cursor.position() + direction)
            self.setTextCursor(cursor)

    def _is_passed_on(self, event: QKeyEvent) -> bool:
        held = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.matches(QKeySequence.StandardKey.Undo):
            self.undo_requested.emit()
        elif event.matches(QKeySequence.StandardKey.Redo):
            self.redo_requested.emit()
        elif held == Qt.KeyboardModifier.ControlModifier and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            if not self.composing:
                self.send_requested.emit()
        elif event.key() == Qt.Key.Key_F2:
            self.menu_requested.emit(self.viewport().mapToGlobal(self.cursorRect().bottomLeft()))
        else:
            return False
        return True

    def _is_typed_exactly(self, event: QKeyEvent) -> bool:
        if self.isReadOnly():
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            # Qt would insert U+2028 for Shift+Enter.
            self.insert_exact("\n")
        elif self.textCursor().hasSelection() and _is_text(event):
            # A substitute overwritten by the same character would look unchanged to Qt.
            self.insert_exact(event.text())
        elif self.types_itself() and _is_text(event):
            self.insert_shown(self.textCursor(), event.text())
        else:
            return False
        self.ensureCursorVisible()
        return True

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the whole page scroll, never one text."""
        event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the card's menu, or Qt's if `menu_requested` is not connected."""
        if self.receivers("2menu_requested(QPoint)"):
            self.menu_requested.emit(event.globalPos())
        else:
            super().contextMenuEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """End a composition with the focus, whether or not the input method says so."""
        super().focusOutEvent(event)
        self.composing = False
        if event.reason() != Qt.FocusReason.PopupFocusReason:
            self.caret_moved.emit()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.composing = False

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        self.caret_moved.emit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Text is dropped here; files are left to the window, which opens them."""
        if has_files(event.mimeData()):
            event.ignore()
        else:
            super().dragEnterEvent(event)

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        if has_files(event.mimeData()):
            event.ignore()
        else:
            super().dragMoveEvent(event)

    def dropEvent(self, event: QDropEvent) -> None:
        if has_files(event.mimeData()):
            event.ignore()
        else:
            super().dropEvent(event)

    def createMimeDataFromSelection(self) -> QMimeData:
        """Copy the exact text, not its image."""
        start, end = self.selection()
        return text_data(self.exact.text[start:end])

    def canInsertFromMimeData(self, source: QMimeData) -> bool:
        return source.hasText()

    def insertFromMimeData(self, source: QMimeData) -> None:
        if source.hasText() and not self.isReadOnly():
            self.insert_exact(source.text())


class TextBox(ExactEdit):
    """A bordered field for several lines, with undo steps of its own. Qt lays out a line of 1 MB in minutes."""

    def __init__(self, name: str, placeholder: str = "", font: QFont | None = None) -> None:
        super().__init__()
        self._done: list[Splice] = []
        self._undone: list[Splice] = []
        self._typing = False
        self.setProperty("textZoom", False)
        self.setProperty("boxed", "true")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.document().setDocumentMargin(GRID // 2)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setFont(font or QFont())
        self.setAccessibleName(name)
        self.setPlaceholderText(placeholder)
        self.typed.connect(self._note)
        self.undo_requested.connect(partial(self._step, self._done, self._undone))
        self.redo_requested.connect(partial(self._step, self._undone, self._done))

    def set_exact(self, text: str) -> None:
        super().set_exact(text)
        self._done.clear()
        self._undone.clear()

    def _note(self, splice: Splice) -> None:
        self._undone.clear()
        joined = self._done[-1].joined(splice) if self._done and self._typing else None
        self._typing = len(splice.inserted) <= 1  # after a paste, a new step begins
        self._done[-1 if joined else len(self._done) :] = [joined or splice]

    def _step(self, source: list[Splice], target: list[Splice]) -> None:
        if source:
            inverse = source.pop().inverse
            target.append(inverse)
            self.apply(inverse)

    def event(self, event: QEvent) -> bool:
        """Take the keys of undo and redo: the window's would change the prompt."""
        if event.type() == QEvent.Type.ShortcutOverride and is_key_of_undo(event):
            event.accept()
            return True
        return super().event(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        QPlainTextEdit.wheelEvent(self, event)


def has_files(data: QMimeData) -> bool:
    """Whether dropped data names files on this computer."""
    return any(url.isLocalFile() for url in data.urls())


def is_key_of_undo(event: QEvent) -> bool:
    """Return whether an event is about a key of undo or redo, which are the prompt's, not a field's."""
    keys = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo
    return isinstance(event, QKeyEvent) and any(event.matches(key) for key in keys)


def _is_text(event: QKeyEvent) -> bool:
    held = event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.MetaModifier)
    return bool(event.text()) and event.text().isprintable() and not held


def is_menu_key(event: QKeyEvent) -> bool:
    """Return whether Alt and a character was pressed, which opens a menu; AltGr is no Alt, or Ctrl and Alt."""
    both = event.modifiers() & (Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ControlModifier)
    return (
        sys.platform != "darwin"
        and both == Qt.KeyboardModifier.AltModifier
        and event.text().isprintable()
        and bool(event.text())
    )
