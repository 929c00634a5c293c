"""The line that a filter is typed into: it offers completions, and keeps filters under names."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, QStringListModel, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QCompleter, QLineEdit, QListView

from playground.prompt.text_offsets import from_utf16, to_utf16
from playground.requestlog.filter_completion import Completion, complete
from playground.requestlog.log_queries import Words

HINT = "status:429 cached:0 since:1h, or any text, or paste request_ids"


class FilterLine(QLineEdit):
    """Filter input. Down moves to the rows or open completions; Escape closes completions, then clears the text."""

    down = Signal()
    cleared = Signal()
    settled = Signal()
    """Emitted when the completions close: the typed text is final."""
    words_wanted = Signal()
    """Emitted on keyboard focus: the values in the log may have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.setPlaceholderText(HINT)
        self.setAccessibleName("Filter the request log")
        self.setClearButtonEnabled(True)
        self.words = Words()
        self._found: list[Completion] = []
        self._model = QStringListModel(self)
        self._completer = QCompleter(self._model, self)
        self._completer.setWidget(self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self.popup = QListView()
        self.popup.setAccessibleName("Completions")
        self.popup.setProperty("look", "completions")
        self._completer.setPopup(self.popup)
        self.popup.installEventFilter(self)
        self._completer.activated[str].connect(self._take)  # type: ignore[index]  # the signal's form with a text
        self.textEdited.connect(lambda _text: self.offer())

    @property
    def offered(self) -> list[str]:
        """Return the visible completions."""
        return self._model.stringList() if self.popup.isVisible() else []

    def offer(self) -> None:
        """Show what the word at the cursor could become."""
        self._found = complete(self.text(), from_utf16(self.text(), self.cursorPosition()), self.words)
        if not self._found or not self.text():
            self.popup.hide()
            return
        self._model.setStringList([_label(found) for found in self._found])
        self.popup.setCurrentIndex(self._model.index(-1, 0))
        self._completer.complete()

    def _take(self, label: str) -> None:
        found = next((one for one in self._found if _label(one) == label), None)
        if found is None:
            return
        text = self.text()
        done = text[: found.start] + found.text
        ended = not done.endswith(":")
        self.setText(done + (" " if ended and not text[found.end :].startswith(" ") else "") + text[found.end :])
        self.setCursorPosition(to_utf16(self.text(), len(done) + int(ended)))
        if not ended:
            self.offer()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.words_wanted.emit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.popup and event.type() == QEvent.Type.Hide:
            self.settled.emit()
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.cleared.emit()
        elif event.key() == Qt.Key.Key_Down and not self.popup.isVisible():
            self.down.emit()
        elif event.key() == Qt.Key.Key_Space and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.offer()
        else:
            super().keyPressEvent(event)


def _label(found: Completion) -> str:
    return f"{found.text}   {found.help}" if found.help else found.text
