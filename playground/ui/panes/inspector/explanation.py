"""Explains the cache result: a message, the differing characters, and a link to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from html import escape

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QLabel, QMenu, QPushButton, QVBoxLayout

from playground.prefix_cache.miss_explanation import MissExplanation as Why
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.notice import words

_TITLES = {
    "differs": "What ended the prefix",
    "order": "What ended the prefix",
    "tools": "What ended the prefix",
    "first": "Why nothing was cached yet",
    "served": "Why the cache served it",
    "unreported": "Why nothing can be said of the cache",
}


class WhyBox(QFrame):
    """Hidden while there is nothing to say."""

    place_requested = Signal(int, int)
    """(message, code point offset in the sent text)."""
    compare_requested = Signal(str)
    """A run_id: be held against that earlier request."""

    def __init__(self) -> None:
        super().__init__()
        self._why: Why | None = None
        self._title = QLabel()
        self._title.setProperty("tone", "strong")
        self._title.setWordWrap(True)
        self._sentence = words("")
        self._before, self._after = (words("") for _ in range(2))
        self._captions = (QLabel("before"), QLabel("now"))
        self._button = QPushButton("Show the place")
        self._button.clicked.connect(self._go)
        self.comparable: Callable[[], Sequence[tuple[str, str]]] = tuple
        """Names the earlier requests to choose from: (run_id, words)."""
        self.compare = QPushButton("Compare with ▾")
        self.compare.setProperty("look", "link")
        self.compare.setToolTip("Hold this request against another earlier one")
        self.choices = QMenu(self)
        self.choices.aboutToShow.connect(self._fill)
        self.compare.setMenu(self.choices)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + 4, GRID, GRID, GRID)
        column.setSpacing(GRID // 2)
        column.addWidget(self._title)
        column.addWidget(self._sentence)
        for caption, snippet in zip(self._captions, (self._before, self._after), strict=True):
            caption.setProperty("tone", "muted")
            snippet.setFont(mono_font())
            snippet.setProperty("mono", True)
            snippet.setTextFormat(Qt.TextFormat.RichText)
            column.addWidget(caption)
            column.addWidget(snippet)
        for button in (self._button, self.compare):
            column.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        self.setVisible(False)

    @property
    def sentence(self) -> str:
        """Return the visible text; "" while hidden."""
        return self._why.sentence if self._why else ""

    @property
    def snippets(self) -> tuple[str, str]:
        """The characters before and now."""
        return (self._why.before, self._why.after) if self._why else ("", "")

    def show_why(self, why: Why | None) -> None:
        """Say it, or hide."""
        if why == self._why:
            return
        self._why = why
        self.setVisible(why is not None)
        if why is None:
            return
        self._title.setText(why.title or _TITLES.get(why.kind, "Why the cache did not serve it"))
        self._sentence.setText(why.sentence)
        self.setAccessibleName(f"Why: {why.sentence}")
        head = _shared(why.before, why.after)
        tail = _shared(why.before[head:][::-1], why.after[head:][::-1])
        for label, snippet in ((self._before, why.before), (self._after, why.after)):
            label.setText(_marked(snippet, head, len(snippet) - tail))
        for widget in (*self._captions, self._before, self._after):
            widget.setVisible(bool(why.before or why.after))
        self._button.setVisible(why.message is not None)
        self.setProperty("look", "callout" if why.kind in ("differs", "order", "tools") else "aside")
        restyle(self)

    def _fill(self) -> None:
        self.choices.clear()
        for run_id, label in self.comparable():
            action = self.choices.addAction(label.replace("&", "&&"))
            action.triggered.connect(partial(self._chose, run_id))
        if self.choices.isEmpty():
            self.choices.addAction("No other request is remembered").setEnabled(False)

    def _chose(self, run_id: str, _checked: bool = False) -> None:
        self.compare_requested.emit(run_id)

    def _go(self) -> None:
        if self._why is not None and self._why.message is not None:
            self.place_requested.emit(self._why.message, self._why.offset)


def _shared(before: str, after: str) -> int:
    """How many characters both snippets begin with."""
    pairs = zip(before, after, strict=False)
    return next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))


def _marked(snippet: str, begin: int, end: int) -> str:
    """Rich text: what differs is bold and underlined, so that colour is not needed to see it."""
    if not snippet:
        return "<i>nothing</i>"
    head, other, tail = (escape(part) for part in (snippet[:begin], snippet[begin:end], snippet[end:]))
    return f'<span style="white-space:pre-wrap">{head}<b><u>{other}</u></b>{tail}</span>'
