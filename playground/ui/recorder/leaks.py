"""The leaks of a program: what varies in front of stable text, its price, and a preview of the rewrite."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from playground.prompt.diff import changes
from playground.prompt.document import Document
from playground.recorder.programs import ADVICE, Leak, Rewrite
from playground.runs.metrics import dollars
from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.widgets.diff_view import DifferenceView
from playground.ui.widgets.notice import shortened, words

_SENTENCE_END = re.compile(r"(?<=[.!?。！？]) +")
_SAMPLES, _SAMPLE_CHARS = 3, 60
NONE_YET = "No leaks found. Text that differs between requests of one program is listed here, with its price."


class LeaksPanel(QScrollArea):
    """One card a leak, the most expensive first."""

    preview_wanted = Signal(object)
    """A Leak."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Leaks")
        self.leaks: tuple[Leak, ...] = ()
        self._shown: object = None
        self.show_leaks((), None, 0)

    def show_leaks(self, leaks: Sequence[Leak], lost: float | None, requests: int) -> None:
        """Show these; `lost`: dollars per 1,000 requests at least, `requests`: how many were compared."""
        state = (tuple(leaks), lost, requests)
        if state == self._shown:
            return
        self._shown, self.leaks = state, tuple(leaks)
        scrolled = self.verticalScrollBar().value()
        holder = QWidget()
        column = QVBoxLayout(holder)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.setSpacing(GRID // 2)
        if not leaks:
            column.addWidget(words(NONE_YET, "muted"))
        else:
            column.addWidget(words(f"Leaks found in {requests:,} requests", "strong"))
            if lost is not None:
                column.addWidget(words(f"≈ {dollars(lost)}", "headline"))
                column.addWidget(words("lost per 1,000 requests, at the rates of the endpoint", "muted"))
            for leak in leaks:
                column.addWidget(self._card(leak))
        column.addStretch(1)
        self.setWidget(holder)
        self.verticalScrollBar().setValue(scrolled)

    def _card(self, leak: Leak) -> QWidget:
        span = leak.span
        card = QFrame()
        column = QVBoxLayout(card)
        column.setContentsMargins(0, GRID, 0, 0)
        column.setSpacing(2)
        line = QFrame()
        line.setProperty("look", "hairline")
        column.addWidget(line)
        head = QHBoxLayout()
        title = words(leak.title, "variable")
        title.setFont(ui_font(13, bold=True))
        price = QLabel("—" if leak.dollars is None else f"≈ {dollars(leak.dollars)} per 1,000")
        price.setToolTip("No rates are set for this endpoint" if leak.dollars is None else "At the endpoint's rates")
        head.addWidget(title, 1)
        head.addWidget(price)
        column.addLayout(head)
        column.addWidget(words(_samples(span.samples)))
        column.addWidget(words(leak.place, "muted"))
        tokens = f"≈ {span.tokens_per_request:,.0f} tokens per request"
        column.addWidget(words(f"{span.changes} of {span.comparisons} requests · {tokens}", "muted"))
        if leak.blocked_by:
            column.addWidget(words(f"Behind “{leak.blocked_by}”: it costs this once that is fixed.", "muted"))
        button = QPushButton("Preview the rewrite…")
        button.setAccessibleName(f"Preview the rewrite for {leak.title}, {leak.place}")
        button.clicked.connect(lambda _checked: self.preview_wanted.emit(leak))
        column.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        card.setAccessibleName(f"{leak.title}, {leak.place}, {price.text()}")
        return card


def _samples(samples: Sequence[str]) -> str:
    shown = [" ".join(sample.split())[:_SAMPLE_CHARS] or "nothing" for sample in samples[:_SAMPLES]]
    return shortened(" → ".join(shown))


class LeakDialog(QDialog):
    """Shows each rewrite of a recorded body as a diff. It changes nothing: the change is made in the other program."""

    def __init__(self, theme: Theme, leak: Leak, options: Sequence[Rewrite], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Rewrite: {leak.title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._options = tuple(options)
        self.choice = QComboBox()
        self.choice.setAccessibleName("Rewrites")
        self.choice.addItems([option.title for option in options])
        self.difference = DifferenceView(theme)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.addWidget(words(f"{leak.place}. {ADVICE[leak.span.rewrite]}"))
        if options:
            column.addWidget(self.choice)
            column.addWidget(self.difference, 1)
            column.addWidget(words("The change is shown on a recorded request. Nothing is changed by itself.", "muted"))
        column.addWidget(buttons)
        self.choice.currentIndexChanged.connect(self._show)
        self._show(0)
        self.resize(820, 520 if options else 140)

    def _show(self, index: int) -> None:
        if 0 <= index < len(self._options):
            option = self._options[index]
            self.difference.show_rows(changes(_by_sentence(option.before), _by_sentence(option.after)))


def _by_sentence(document: Document) -> Document:
    """Return a document with a line for each sentence, so that the diff of a long line is not all of it."""
    messages = (
        message if message.content is None else replace(message, content=_SENTENCE_END.sub("\n", message.content))
        for message in document.messages
    )
    return replace(document, messages=tuple(messages))
