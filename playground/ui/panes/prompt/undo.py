"""One undo history for the whole prompt: every change of the document and of the file that it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from playground.prompt.document import Document
from playground.prompt.files import PROMPT_FORMAT, FileFormat, dump
from playground.ui.widgets.lossless_text import Splice

if TYPE_CHECKING:
    from playground.ui.panes.prompt.field_text import FieldLine
    from playground.ui.widgets.lossless_text_edit import ExactEdit

_TYPING = 1
_FIELD = 2


class PromptFile(Struct, eq=False):
    """The file that Save writes. Saving changes it in place: every undo step of the file refers to one object.

    Attributes:
        path: None if the prompt has no file yet.
        saved: the document in the file, or the one that was opened without a file.
        digest: identifies the file's bytes when it was opened or saved; None if it has no file.
        kept: digest of a newer file on disk that the user decided to overwrite.
    """

    path: Path | None = None
    format: FileFormat = PROMPT_FORMAT
    saved: Document = field(default_factory=Document)
    digest: str | None = None
    kept: str | None = None
    _dumped: tuple[Document, str] | None = None

    @property
    def saved_text(self) -> str:
        """`saved` as a prompt file's text."""
        if self._dumped is None or self._dumped[0] is not self.saved:
            self._dumped = (self.saved, dump(self.saved))
        return self._dumped[1]


class PromptPage(Struct, eq=False, weakref=True):
    """One open prompt: document, file, undo steps, cursor (message, code point), and which messages are collapsed."""

    document: Document = field(default_factory=Document)
    file: PromptFile = field(default_factory=PromptFile)
    stack: QUndoStack = field(default_factory=QUndoStack)
    cursor: tuple[int, int] = (0, 0)
    collapsed: frozenset[int] = frozenset()
    fixed: Document | None = None
    """Set by an automatic fix until the next request: the prompt after it."""
    restored: bool = False
    """Whether it is from an earlier session and was not displayed in this one."""

    def __post_init__(self) -> None:
        self.stack.setUndoLimit(2_000)

    @property
    def dirty(self) -> bool:
        """Whether the prompt differs from its file, or from the prompt that was opened."""
        return self.document != self.file.saved

    @property
    def name(self) -> str:
        """The prompt's name: its file's name, otherwise its own."""
        path = self.file.path
        return path.name.removesuffix(".json").removesuffix(".prompt") if path is not None else self.document.name


class UndoHistory(QObject):
    """The prompt on display. Text changes as splices, everything else as a new document; both with undo."""

    changed = Signal(object)
    """The Document, after every change, synchronously."""
    spliced = Signal(int, object, bool)
    """(message, Splice, whether it came from the widget that shows that message)."""
    replaced = Signal(object, object)
    """(the document before, the document after): anything but one message's text changed."""

    file_changed = Signal()
    """Another file belongs to the document, also by undo and redo."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.page = PromptPage()

    @property
    def document(self) -> Document:
        return self.page.document

    @property
    def file(self) -> PromptFile:
        return self.page.file

    @property
    def stack(self) -> QUndoStack:
        return self.page.stack

    def undo(self) -> None:
        self.stack.undo()

    def redo(self) -> None:
        self.stack.redo()

    def serve(self, text: ExactEdit | FieldLine) -> None:
        """Undo and redo steps of the prompt when a text asks for it."""
        text.undo_requested.connect(self.undo)
        text.redo_requested.connect(self.redo)

    def show_page(self, page: PromptPage) -> None:
        """Display another prompt with its own undo steps."""
        before, self.page = self.page, page
        self.file_changed.emit()
        self.replaced.emit(before.document, page.document)
        self.changed.emit(page.document)
        if page.restored:
            page.restored = False
            self.offer_saved()

    def offer_saved(self) -> None:
        """Let undo lead from a prompt that was restored with unsaved changes to the saved one, in one step."""
        if self.page.dirty:
            before, after = (self.file.saved, self.file), (self.document, self.file)
            self.stack.push(_Replacing(self, before, after, "Changes before the restart", ""))

    def set_file(self, file: PromptFile) -> None:
        if file is not self.page.file:
            self.page.file = file
            self.file_changed.emit()

    def reset(self, document: Document, file: PromptFile | None = None) -> None:
        """Start again with `document`, without an undo history."""
        self.stack.clear()
        self.set_file(file or self.page.file)
        self._put(document)

    def splice(self, message: int, splice: Splice, *, shown: bool) -> None:
        """One message's text changed; `shown` says that its widget shows it already."""
        self.stack.push(_Typing(self, message, splice, shown))

    def replace(self, document: Document, label: str, merge: str = "", file: PromptFile | None = None) -> None:
        """Replace the document, and its file if given. Successive changes with the same `merge` are one step."""
        if document != self.document or file is not None:
            after = (document, file or self.page.file)
            self.stack.push(_Replacing(self, (self.document, self.page.file), after, label, merge))

    def seal(self) -> None:
        """Begin a new step with what is typed next."""
        top = self.stack.command(self.stack.count() - 1) if self.stack.index() == self.stack.count() else None
        if isinstance(top, _Typing | _Replacing):
            top.sealed = True

    def apply_splice(self, message: int, splice: Splice, *, shown: bool, empty: str | None) -> None:
        """For the commands: change the text, and say so. `empty` is the content where no character is left."""
        old = self.document.messages[message]
        text = splice.applied(old.content or "")
        self.page.document = self.document.with_message(message, replace(old, content=text or empty))
        self.spliced.emit(message, splice, shown)
        self.changed.emit(self.document)

    def apply_document(self, document: Document, file: PromptFile | None) -> None:
        """For the commands: replace the document, and its file if given, and emit the changes."""
        if file is not None:
            self.set_file(file)
        self._put(document)
        self.changed.emit(self.document)

    def _put(self, document: Document) -> None:
        before, self.page.document = self.document, document
        self.replaced.emit(before, document)


class _Typing(QUndoCommand):
    """A change of one message's text; typing in a row is one step a word or so."""

    def __init__(self, history: UndoHistory, message: int, splice: Splice, shown: bool) -> None:
        super().__init__("Typing" if splice.inserted else "Deleting")
        self._history, self._message, self._splice, self._shown = history, message, splice, shown
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
        merged = self._splice.joined(other._splice)
        self._splice = merged or self._splice
        return merged is not None


_State = tuple[Document, PromptFile]


class _Replacing(QUndoCommand):
    """Any other change. Both documents share memory; the file changes only if the step changed it."""

    def __init__(self, history: UndoHistory, before: _State, after: _State, label: str, merge: str) -> None:
        super().__init__(label)
        self._history, self._before, self._after, self._merge = history, before, after, merge
        self.sealed = False

    def redo(self) -> None:
        self._show(self._after)

    def undo(self) -> None:
        self._show(self._before)

    def _show(self, state: _State) -> None:
        document, file = state
        self._history.apply_document(document, file if self._before[1] is not self._after[1] else None)

    def id(self) -> int:
        return _FIELD

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Replacing) or not self._merge or other._merge != self._merge or self.sealed:
            return False
        self._after = other._after
        return True
