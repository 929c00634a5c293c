"""One history for the whole prompt: the document as it is, every change of it, and the way back."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from playground.prompt.document import Document
from playground.ui.widgets.lossless_text import Splice

_TYPING = 1
_FIELD = 2


class History(QObject):
    """Holds the Document. Text goes in as splices, everything else as a new document; both can be undone."""

    changed = Signal(object)
    """The Document, after every change, synchronously."""
    spliced = Signal(int, object, bool)
    """(message, Splice, whether it came from the widget that shows that message)."""
    replaced = Signal(object, object)
    """(the document before, the document after): anything but one message's text changed."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = Document()
        self.stack = QUndoStack(self)
        self.stack.setUndoLimit(2_000)

    @property
    def document(self) -> Document:
        """The document as it is now."""
        return self._document

    def reset(self, document: Document) -> None:
        """Start anew with `document`; there is nothing to undo."""
        self.stack.clear()
        self._put(document)

    def splice(self, message: int, splice: Splice, *, shown: bool) -> None:
        """One message's text changed; `shown` says that its widget shows it already."""
        self.stack.push(_Typing(self, message, splice, shown))

    def replace(self, document: Document, label: str, merge: str = "") -> None:
        """Put `document` in place. Changes in a row with the same `merge` are one step."""
        if document != self._document:
            self.stack.push(_Replacing(self, self._document, document, label, merge))

    def seal(self) -> None:
        """What is typed from here on is a step of its own."""
        top = self.stack.command(self.stack.count() - 1) if self.stack.index() == self.stack.count() else None
        if isinstance(top, _Typing | _Replacing):
            top.sealed = True

    def apply_splice(self, message: int, splice: Splice, *, shown: bool, empty: str | None = "") -> None:
        """For the commands: change the text, and say so. `empty` is the content where no character is left."""
        old = self._document.messages[message]
        text = splice.applied(old.content or "")
        self._document = self._document.with_message(message, replace(old, content=text or empty))
        self.spliced.emit(message, splice, shown)
        self.changed.emit(self._document)

    def apply_document(self, document: Document) -> None:
        """For the commands: put the document in place, and say so."""
        self._put(document)
        self.changed.emit(self._document)

    def _put(self, document: Document) -> None:
        before, self._document = self._document, document
        self.replaced.emit(before, document)


class _Typing(QUndoCommand):
    """A change of one message's text; typing in a row is one step a word or so."""

    def __init__(self, history: History, message: int, splice: Splice, shown: bool) -> None:
        super().__init__("Typing" if splice.inserted else "Deleting")
        self._history = history
        self._message = message
        self._splice = splice
        self._shown = shown
        old = history.document.messages[message]
        self._was_none = old.content is None
        # An assistant's calls may come without any text: content is null then, not "" (electron-api.md).
        self._empty = None if old.tool_calls else ""
        self.sealed = False

    def redo(self) -> None:
        self._history.apply_splice(self._message, self._splice, shown=self._shown, empty=self._empty)
        self._shown = False

    def undo(self) -> None:
        empty = None if self._was_none else ""
        self._history.apply_splice(self._message, self._splice.inverse, shown=False, empty=empty)

    def id(self) -> int:
        return _TYPING

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Typing) or other._message != self._message or self.sealed:
            return False
        merged = _joined(self._splice, other._splice)
        if merged is None:
            return False
        self._splice = merged
        return True


def _joined(first: Splice, second: Splice) -> Splice | None:
    """Both as one, where they are one stretch of typing or of deleting."""
    if not second.removed and len(second.inserted) == 1 and first.inserted:
        if second.at != first.at + len(first.inserted) or _starts_a_word(first.inserted[-1], second.inserted):
            return None
        return Splice(first.at, first.removed, first.inserted + second.inserted)
    if first.inserted or second.inserted or len(second.removed) != 1:
        return None
    if second.at + 1 == first.at:
        return Splice(second.at, second.removed + first.removed, "")
    return Splice(first.at, first.removed + second.removed, "") if second.at == first.at else None


def _starts_a_word(before: str, typed: str) -> bool:
    return typed == "\n" or (before.isspace() and not typed.isspace())


class _Replacing(QUndoCommand):
    """Anything else: both documents are kept; what they share is shared in memory."""

    def __init__(self, history: History, before: Document, after: Document, label: str, merge: str) -> None:
        super().__init__(label)
        self._history = history
        self._before = before
        self._after = after
        self._merge = merge
        self.sealed = False

    def redo(self) -> None:
        self._history.apply_document(self._after)

    def undo(self) -> None:
        self._history.apply_document(self._before)

    def id(self) -> int:
        return _FIELD

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Replacing) or not self._merge or other._merge != self._merge or self.sealed:
            return False
        self._after = other._after
        return True
