"""The filter field of the log, with completions and saved filters."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import QEvent, QObject, QStringListModel, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QCompleter, QLineEdit, QListView

from playground import asset
from playground.requestlog.filter import GROUP_KINDS, HAS_WORDS, IS_WORDS, KEYS, SOURCE_WORDS, Words
from playground.ui.widgets.lossless_text import from_utf16, to_utf16

_SPACES = " \t\n,;"
_KEY_HELP: dict[str, str] = json.loads(asset("filter_keys.json").read_text("utf-8"))
_VALUES = {
    "status": ("200", "4xx", "429", "5xx", "none"),
    "cached": ("0", ">0", "unknown"),
    "since": ("10m", "1h", "1d", "7d"),
    "until": ("1h", "1d", "7d"),
    "source": SOURCE_WORDS,
    "group": (*GROUP_KINDS, "none"),
    "is": IS_WORDS,
    "has": HAS_WORDS,
}


class Completion(Struct, frozen=True):
    """`text` in place of [start, end) of the filter, in code points; `help` describes it."""

    start: int
    end: int
    text: str
    help: str = ""

    @property
    def label(self) -> str:
        """The line of the list."""
        return f"{self.text}   {self.help}" if self.help else self.text


def complete(text: str, cursor: int, words: Words) -> list[Completion]:
    """Return completions of the word before the cursor; none for a phrase in quotation marks, or for plain text that
    begins no key.
    """
    start = _start(text, cursor)
    word = text[start:cursor]
    negation = "-" * word.startswith("-")
    key, colon, value = word.removeprefix("-").partition(":")
    if not colon:
        return [
            Completion(start, cursor, f"{negation}{known}:", _KEY_HELP[known])
            for known in KEYS
            if known.startswith(key.lower()) and (key or not word)
        ]
    if '"' in value and not value.startswith('"'):
        return []
    begun = value.removeprefix('"').casefold()
    found = [one for one in _values(key.lower(), words) if one.casefold().startswith(begun) and one.casefold() != begun]
    return [Completion(start, cursor, f"{negation}{key}:{_quoted(one)}") for one in found]


def _start(text: str, cursor: int) -> int:
    """Return the offset of the word at the cursor; a space within quotation marks does not end a word."""
    start, quoted = 0, False
    for place, character in enumerate(text[:cursor]):
        if character == '"' and not (quoted and text[place - 1] == "\\"):
            quoted = not quoted
        elif character in _SPACES and not quoted:
            start = place + 1
    return start


def _values(key: str, words: Words) -> Sequence[str]:
    read = {"finish": words.finish_reasons, "endpoint": words.endpoints, "model": words.models}
    return (*words.tags, "none") if key == "tag" else read.get(key) or _VALUES.get(key, ())


def _quoted(value: str) -> str:
    return f'"{value}"' if any(space in value for space in _SPACES) else value


HINT = "Filter: status:429 cached:0 since:1h, any text, or paste request_ids"


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
        return self._model.stringList() if self.popup.isVisible() else []

    def offer(self) -> None:
        """Show what the word at the cursor could become."""
        self._found = complete(self.text(), from_utf16(self.text(), self.cursorPosition()), self.words)
        if not self._found or not self.text():
            self.popup.hide()
            return
        self._model.setStringList([found.label for found in self._found])
        self.popup.setCurrentIndex(self._model.index(-1, 0))
        self._completer.complete()

    def _take(self, label: str) -> None:
        found = next((one for one in self._found if one.label == label), None)
        if found is None:
            return
        text = self.text()
        done, rest = text[: found.start] + found.text, text[found.end :]
        ended = not done.endswith(":")
        self.setText(done + (" " if ended and not rest.startswith(" ") else "") + rest)
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
