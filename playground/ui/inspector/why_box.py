"""Why the cache did what it did: the sentence, the characters, and the way to them."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout

from playground.prefix.why import Why
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.notice import words

_TITLES = {"served": "Why it was served from the cache", "unreported": "Why nothing can be said"}


class WhyBox(QFrame):
    """Hidden while there is nothing to say."""

    place_requested = Signal(int, int)
    """(message, code point in what was sent)."""

    def __init__(self) -> None:
        super().__init__()
        self._why: Why | None = None
        self._title = QLabel()
        font = self._title.font()
        font.setBold(True)
        self._title.setFont(font)
        self._sentence = words("")
        self._before, self._after = (words("") for _ in range(2))
        self._captions = (QLabel("before"), QLabel("now"))
        self._button = QPushButton("Show the place")
        self._button.clicked.connect(self._go)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + 4, GRID, GRID, GRID)
        column.setSpacing(GRID // 2)
        column.addWidget(self._title)
        column.addWidget(self._sentence)
        for caption, snippet in zip(self._captions, (self._before, self._after), strict=True):
            caption.setProperty("tone", "muted")
            snippet.setFont(mono_font(12))
            column.addWidget(caption)
            column.addWidget(snippet)
        column.addWidget(self._button)
        self.setVisible(False)

    @property
    def sentence(self) -> str:
        """What is said; empty while hidden."""
        return self._why.sentence if self._why else ""

    @property
    def snippets(self) -> tuple[str, str]:
        """The characters before and now."""
        return self._before.text(), self._after.text()

    def show_why(self, why: Why | None) -> None:
        """Say it, or hide."""
        if why == self._why:
            return
        self._why = why
        self.setVisible(why is not None)
        if why is None:
            return
        self._title.setText(_TITLES.get(why.kind, "Why it was not served from the cache"))
        self._sentence.setText(why.sentence)
        self.setAccessibleName(f"Why: {why.sentence}")
        self._before.setText(why.before or "(nothing)")
        self._after.setText(why.after or "(nothing)")
        for widget in (*self._captions, self._before, self._after):
            widget.setVisible(bool(why.before or why.after))
        self._button.setVisible(why.message is not None)
        self.setProperty("look", "callout" if why.kind in ("differs", "order", "tools") else "aside")
        restyle(self)

    def _go(self) -> None:
        if self._why is not None and self._why.message is not None:
            self.place_requested.emit(self._why.message, self._why.offset)
