"""The leaks of a program: what varies in front of stable text, its price, and a preview of the rewrite."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QWidget,
)

from playground.export.terminal import visible
from playground.prompt.diff import DiffRow, changes
from playground.prompt.document import Document
from playground.recorder.programs import ADVICE, Leak, Rewrite, Savings
from playground.runs.metrics import UNKNOWN, Figure, counted, dollars, percent
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, Theme, mono_font, ui_font
from playground.ui.widgets.highlight import DifferenceView
from playground.ui.widgets.icons import set_icon
from playground.ui.widgets.layouts import FlowLayout, column_of, row_of
from playground.ui.widgets.notice import shortened, words

WHY_UNKNOWN = "A request reported no cached tokens, or the endpoint has no rates."
_SENTENCE_END = re.compile(r"(?<=[.!?。！？]) +")
_SAMPLES, _SAMPLE_CHARS = 3, 60
MAX_CARDS = 30
"""Most expensive leaks that are listed."""
MAX_PREVIEW_CHARS = 400_000
"""Code points of a body up to which a rewrite is compared with it."""
NONE_YET = "No leaks found. Text that differs between requests of one program is listed here, with its price."


class LeaksPanel(QScrollArea):
    """One card per leak, the most expensive first, and totals after all fixes."""

    preview_wanted = Signal(object)
    """A Leak."""
    requests_wanted = Signal(object)
    """A Leak whose requests are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Leaks")
        self.leaks: tuple[Leak, ...] = ()
        self.cards: list[LeakCard] = []
        self.none = words(NONE_YET, "muted")
        self.title, self.lost, self.basis = words("", "strong"), words("", "headline"), words("", "muted")
        self.more = words("", "muted")
        self.totals = _TotalsBox()
        holder = QWidget()
        self._column = column_of(on=holder, margins=(GRID, GRID * 2, GRID, GRID * 2), spacing=GRID // 2)
        for widget in (self.none, self.title, self.lost, self.basis):
            widget.setContentsMargins(GRID, 0, 0, 0)
            self._column.addWidget(widget)
        self.more.setContentsMargins(GRID, 0, 0, 0)
        self._cards_at = self._column.count()
        self._column.addWidget(self.more)
        self._column.addWidget(self.totals)
        self._column.addStretch(1)
        self.setWidget(holder)
        self.show_leaks((), None, 0)

    def show_leaks(self, leaks: Sequence[Leak], saved: Savings | None, requests: int) -> None:
        """Show these; `saved`: what fixing all of them saves, `requests`: how many were compared."""
        self.leaks = tuple(leaks)
        shown = self.leaks[:MAX_CARDS]
        self.none.setVisible(not leaks)
        for widget in (self.title, self.lost, self.basis):
            widget.setVisible(bool(leaks))
        self.title.setText(f"Leaks found in {counted(requests, 'request')}")
        price = None if saved is None else saved.per_1000(saved.saved_dollars)
        self.lost.setText(UNKNOWN if price is None else f"≈ {dollars(price)}")
        basis = "no rates are set for this endpoint" if price is None else "at the rates of the endpoint"
        self.basis.setText(f"lost per 1,000 requests, {basis}")
        while len(self.cards) < len(shown):
            card = LeakCard()
            card.preview_wanted.connect(self.preview_wanted)
            card.requests_wanted.connect(self.requests_wanted)
            self._column.insertWidget(self._cards_at + len(self.cards), card)
            self.cards.append(card)
        for card, leak in zip(self.cards, shown, strict=False):
            card.show_leak(leak, saved)
        for place, card in enumerate(self.cards):
            card.setVisible(place < len(shown))
        self.more.setVisible(len(leaks) > MAX_CARDS)
        self.more.setText(f"{len(leaks) - MAX_CARDS:,} leaks that cost less are not listed.")
        self.totals.setVisible(bool(leaks) and saved is not None)
        if leaks and saved is not None:
            self.totals.show_savings(saved, len(leaks))

    def show_chosen(self, leak: Leak | None) -> None:
        """Mark the card of the leak whose requests are listed."""
        for card in self.cards:
            card.show_chosen(leak is not None and card.leak is not None and card.leak.key == leak.key)


class LeakCard(QFrame):
    """One leak."""

    preview_wanted = Signal(object)
    requests_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.leak: Leak | None = None
        self._state: object = None
        line = QFrame()
        line.setProperty("look", "hairline")
        self.title, self.price = words("", "variable"), QLabel()
        self.title.setFont(ui_font(13, bold=True))
        self.samples, self.place, self.tokens, self.blocked = words(""), *(words("", "muted") for _ in range(3))
        self.samples.setFont(mono_font(12))
        self.preview, self.requests = QPushButton("Preview fix…"), QPushButton("Show requests")
        set_icon(self.preview, "fix", "text")
        self.requests.setProperty("look", "link")
        self.preview.clicked.connect(lambda _checked: self.preview_wanted.emit(self.leak))
        self.requests.clicked.connect(lambda _checked: self.requests_wanted.emit(self.leak))
        head, foot = row_of((self.title, 1), (self.price, 0, Qt.AlignmentFlag.AlignTop)), FlowLayout()
        foot.setContentsMargins(0, 4, 0, 0)
        foot.add_all((self.preview, self.requests))
        column_of(
            line,
            head,
            self.samples,
            self.place,
            self.tokens,
            self.blocked,
            foot,
            on=self,
            margins=(GRID, GRID, GRID // 2, GRID // 2),
            spacing=2,
        )

    def show_leak(self, leak: Leak, saved: Savings | None) -> None:
        """Show a leak with its price per 1,000 of the requests that `saved` is about."""
        if (leak, saved) == self._state:
            return
        self._state, self.leak = (leak, saved), leak
        price = None if saved is None else saved.per_1000(leak.dollars)
        self.title.setText(visible(leak.title))
        self.price.setText(UNKNOWN if price is None else f"≈ {dollars(price)}")
        rates = "No rates are set for this endpoint" if price is None else "Per 1,000 requests, at the endpoint's rates"
        self.price.setToolTip(rates)
        self.samples.setText(_samples(leak.span.samples))
        places = f" and {leak.span.places - 1:,} more places" if leak.span.places > 1 else ""
        self.place.setText(visible(f"{leak.place}{places}"))
        behind = f"{Figure.estimated(leak.span.tokens_behind).text} tokens each"
        self.tokens.setText(f"{leak.span.changes:,} of {leak.span.comparisons:,} requests · {behind}")
        self.tokens.setToolTip("Requests that differ here from the one before · tokens behind it that both have")
        self.blocked.setVisible(bool(leak.blocked_by))
        self.blocked.setText(f"Behind “{leak.blocked_by}”: this is saved once that is fixed.")
        self.preview.setText("How to fix…" if leak.span.history else "Preview fix…")
        self.preview.setAccessibleName(f"{self.preview.text().rstrip('…')}: {leak.title}, {leak.place}")
        self.requests.setAccessibleName(f"Show the requests in which {leak.title}, {leak.place}, differs")
        self.setAccessibleName(f"{leak.title}, {leak.place}, {self.price.text()} per 1,000 requests")

    def show_chosen(self, chosen: bool) -> None:
        """Mark the card, or remove the mark."""
        restyle(self, look="callout" if chosen else "")


class _TotalsBox(QFrame):
    """Hit rate, fresh tokens and input cost, as reported and ≈ after all fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.caption, self.note = QLabel(), words("", "muted")
        self.caption.setProperty("tone", "caption")
        self.figures: dict[str, QLabel] = {}
        line = QFrame()
        line.setProperty("look", "hairline")
        column = column_of(line, self.caption, on=self, margins=(GRID, GRID, GRID // 2, 0), spacing=GRID // 2)
        for name in ("served from cache", "fresh per request", "cost per 1,000"):
            figure = self.figures[name] = QLabel()
            figure.setFont(ui_font(13, tabular=True))
            row = row_of((words(name), 1), figure)
            column.addLayout(row)
        column.addWidget(self.note)

    def show_savings(self, saved: Savings, leaks: int) -> None:
        """Show reported figures and the estimates for after the fixes."""
        fixes = "After the fix" if leaks == 1 else f"After the {leaks:,} fixes"
        self.caption.setText(fixes)
        cost, less = saved.per_1000(saved.dollars), saved.per_1000(saved.saved_dollars)
        after = None if cost is None or less is None else cost - less
        fresh = None
        if saved.prompt_tokens is not None and saved.cached_tokens is not None:
            fresh = float(saved.prompt_tokens - saved.cached_tokens)
        pairs = {
            "served from cache": (percent(saved.hit_rate), percent(saved.hit_rate_after)),
            "fresh per request": (
                _each(fresh, saved.requests),
                _each(None if fresh is None else fresh - saved.saved_cached, saved.requests),
            ),
            "cost per 1,000": (dollars(cost), dollars(after)),
        }
        for name, (before, later) in pairs.items():
            known = UNKNOWN not in (before, later)
            self.figures[name].setText(f"{before} → ≈ {later}" if known else before)
            self.figures[name].setToolTip("" if known else WHY_UNKNOWN)
            self.figures[name].setAccessibleName(f"{name}: {before}, {fixes.lower()} about {later}")
        self.note.setText(
            f"Estimated from {saved.requests:,} requests"
            + (" with reported tokens." if saved.prompt_tokens is not None else "; no cached tokens were reported.")
            + " A fix is a preview; make the change in your program."
        )


def _each(value: float | None, requests: int) -> str:
    return UNKNOWN if value is None or not requests else f"{round(value / requests):,}"


def _samples(samples: Sequence[str]) -> str:
    shown = [" ".join(sample.split())[:_SAMPLE_CHARS] or "nothing" for sample in samples[:_SAMPLES]]
    return visible(shortened(" → ".join(shown)))


class PreviewedRewrite(Struct, frozen=True):
    """A rewrite with its difference; no rows if the body is too long."""

    rewrite: Rewrite
    rows: tuple[DiffRow, ...]


def previews(options: Sequence[Rewrite]) -> tuple[PreviewedRewrite, ...]:
    """Compare each rewrite with the recorded body, sentence by sentence. Slow for long prompts: call it in a worker."""
    return tuple(PreviewedRewrite(option, _rows(option)) for option in options)


def _rows(option: Rewrite) -> tuple[DiffRow, ...]:
    if sum(len(message.content or "") for message in option.before.messages) > MAX_PREVIEW_CHARS:
        return ()
    return changes(_by_sentence(option.before), _by_sentence(option.after))


def _by_sentence(document: Document) -> Document:
    """Return a document with a line for each sentence, so that the diff of a long line is not all of it."""
    messages = (
        message if message.content is None else replace(message, content=_SENTENCE_END.sub("\n", message.content))
        for message in document.messages
    )
    return replace(document, messages=tuple(messages))


class LeakDialog(QDialog):
    """Shows each rewrite of a recorded body as a diff. The user makes the change in the other program."""

    def __init__(
        self, theme: Theme, leak: Leak, options: Sequence[PreviewedRewrite], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Fix: {leak.title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._options = tuple(options)
        self.choice = QComboBox()
        self.choice.setAccessibleName("Rewrites")
        self.choice.addItems([option.rewrite.title for option in options])
        self.difference = DifferenceView()
        self.too_long = words("This body is too long for a preview.", "muted")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        column = column_of(
            words(f"{leak.place[:1].upper()}{leak.place[1:]}. {ADVICE[leak.span.rewrite]}"), on=self, margins=GRID * 2
        )
        if options:
            column.addWidget(self.choice)
            column.addWidget(self.too_long)
            column.addWidget(self.difference, 1)
            column.addWidget(words("The diff of a recorded request. Make the change in your program.", "muted"))
        else:
            samples = words(_samples(leak.span.samples))
            samples.setFont(mono_font(12))
            column.addWidget(samples)
            column.addWidget(
                words("No edit of one request shows this fix: it is in how the next one is made.", "muted")
            )
            column.addStretch(1)
        column.addWidget(buttons)
        self.choice.currentIndexChanged.connect(self._show)
        self._show(0)
        self.resize(*((820, 520) if options else (560, 180)))

    def _show(self, index: int) -> None:
        rows = self._options[index].rows if 0 <= index < len(self._options) else ()
        # Without options it is in no layout: shown, it would be a window.
        self.too_long.setVisible(bool(self._options) and not rows)
        self.difference.setVisible(bool(rows))
        self.difference.show_rows(rows)
