"""The Probabilities tab: the tokens as tinted text and as a table with their alternatives."""

from __future__ import annotations

import math
import re
from bisect import bisect_right

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QColor, QFont, QHelpEvent, QTextCharFormat, QTextCursor
from PySide6.QtWidgets import QAbstractItemView, QTableView, QToolTip

from playground.client.events import TokenProbability
from playground.runs.metrics import counted
from playground.runs.state import RunState
from playground.ui.panes.response.live_text import SlowSteps
from playground.ui.theme import GRID, Recolored, current_theme, mono_font, ui_font
from playground.ui.widgets.form import ReadOnlyText, cursor_over
from playground.ui.widgets.layouts import Panel, column_of, single_timer, split_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import plain_tip, set_list_look
from playground.ui.widgets.row_table import GrowingModel

UNKNOWN = "—"
LONGEST = 80
_VISIBLE = {" ": "␣", "\n": "⏎", "\r": "␍", "\t": "⇥", "\u00a0": "⍽"}


def visible(token: str) -> str:
    """Return the token with every character visible; an empty one (the end of the answer) is ∅."""
    shown = "".join(
        _VISIBLE.get(char, char if char.isprintable() else f"\\u{ord(char):04x}") for char in token[:LONGEST]
    )
    return (shown or "∅") + ("…" if len(token) > LONGEST else "")


def probability(logprob: float | None) -> float | None:
    """Return the probability, 0 to 1; None if unknown."""
    return None if logprob is None else math.exp(logprob)


def percent_text(logprob: float | None) -> str:
    """Format a probability as `87.3 %`. Only exactly 1 gives 100 %, only exactly 0 gives 0 %."""
    share = probability(logprob)
    if share is None:
        return UNKNOWN
    if share < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def others(token: TokenProbability) -> str:
    """Return the alternatives, the most probable first, without the token itself."""
    found = [other for other in token.alternatives if other.token != token.token]
    found.sort(key=lambda other: -math.inf if other.logprob is None else other.logprob, reverse=True)
    return "   ".join(f"{visible(other.token)} {percent_text(other.logprob)}" for other in found)


def sentence(token: TokenProbability, index: int) -> str:
    """Describe a token in one line; `index` from 0."""
    rest = others(token)
    return f"token {index + 1:,}: {visible(token.token)} {percent_text(token.logprob)}" + (
        f" · instead: {rest}" if rest else " · no alternatives were sent"
    )


def summary(tokens: list[TokenProbability], came: int) -> str:
    """How many, and how sure the model was on the whole: the geometric mean, which is 1 ÷ perplexity."""
    count = counted(came, "token")
    if came > len(tokens):
        count = f"the first {len(tokens):,} of {count}"
    known = [token.logprob for token in tokens if token.logprob is not None]
    if not known:
        return f"{count} · no probability was sent with them"
    return f"{count} · {percent_text(sum(known) / len(known))} a token (geometric mean)"


A_STEP = 1_000
"""Tokens added at once: no more than a frame's time (measured: about 5 µs a token)."""
UNSURE = 0.5
"""Tokens less probable than this are underlined as well: color is not the only sign."""
STRONGEST = 0.6
LONG_PARAGRAPH = 2_000
"""Qt slows down on longer paragraphs; here they are broken for display."""
_BREAKS = re.compile("\r\n|[\n\r\u2029\ufdd0\ufdd1]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class TintedText(ReadOnlyText):
    """One hue; the stronger, the less probable. The caret is on a token: arrow keys step through them."""

    token_chosen = Signal(int)
    """The token (from 0) that the caret came to."""

    def __init__(self) -> None:
        super().__init__("Tokens by probability")
        self._tokens: list[TokenProbability] = []
        self._ends: list[int] = []
        self._paragraph = 0
        self._showing = False
        self.cursorPositionChanged.connect(self._emit_token)

    @property
    def shown(self) -> int:
        return len(self._ends)

    def show_tokens(self, tokens: list[TokenProbability]) -> None:
        """Begin with another run's tokens; `grow` adds them."""
        self._tokens, self._ends, self._paragraph = tokens, [], 0
        self._showing = True
        self.clear()
        self._showing = False

    def grow(self) -> bool:
        """Add up to A_STEP tokens. Returns whether there are more."""
        if fresh := self._tokens[self.shown : self.shown + A_STEP]:
            self._showing = True
            with self.appending() as cursor:
                for token in fresh:
                    self._add(cursor, token)
            self._showing = False
        return self.shown < len(self._tokens)

    def token_at(self, position: int) -> int | None:
        """Return the token (from 0) at a position of the document."""
        index = bisect_right(self._ends, position)
        return index if index < len(self._ends) else None

    def mark(self, index: int) -> None:
        if not 0 <= index < self.shown:
            return
        self._showing = True
        self.setTextCursor(cursor_over(self.document(), self._ends[index - 1] if index else 0, self._ends[index]))
        self._showing = False
        self.ensureCursorVisible()

    def event(self, event: QEvent) -> bool:
        """Show the number on hover."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            place = self.viewport().mapFrom(self, event.pos())
            index = self.token_at(self.cursorForPosition(place).position())
            tip = "" if index is None else sentence(self._tokens[index], index)
            QToolTip.showText(event.globalPos(), plain_tip(tip), self)
            return True
        return super().event(event)

    def _emit_token(self) -> None:
        if not self._showing and not self.textCursor().hasSelection():
            index = self.token_at(self.textCursor().position())
            if index is not None:
                self.token_chosen.emit(index)

    def _add(self, cursor: QTextCursor, token: TokenProbability) -> None:
        text = _BREAKS.sub("\u2029", _SURROGATE.sub("\ufffd", token.token))
        last = text.rfind("\u2029")
        self._paragraph = len(text) - last - 1 if last >= 0 else self._paragraph + len(text)
        if self._paragraph >= LONG_PARAGRAPH:
            text, self._paragraph = text + "\u2029", 0
        cursor.insertText(text, self._form(token))
        self._ends.append(cursor.position())

    def _form(self, token: TokenProbability) -> QTextCharFormat:
        form, share = QTextCharFormat(), probability(token.logprob)
        if share is not None:
            tint = QColor(current_theme().output)
            tint.setAlphaF(STRONGEST * (1 - share))
            form.setBackground(tint)
        if share is not None and share < UNSURE:
            form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.DotLine)
            form.setUnderlineColor(current_theme().text)
        return form


class TokenModel(GrowingModel[TokenProbability]):
    titles = ("#", "token", "probability", "alternatives")
    right = (0, 2)

    def __init__(self) -> None:
        super().__init__()
        self._mono, self._figures = mono_font(12), ui_font(12, tabular=True)

    def text(self, row: int, column: int) -> str:
        token = self.rows[row]
        texts = (lambda: f"{row + 1:,}", lambda: visible(token.token), lambda: percent_text(token.logprob))
        return texts[column]() if column < len(texts) else others(token)

    def tip(self, row: int, _column: int) -> str:
        return sentence(self.rows[row], row)

    def font(self, column: int) -> QFont | None:
        return self._figures if column in self.right else self._mono


LEGEND = "The stronger the tint, the less probable the token; underlined: below 50 %"
ROW_PX = 24


class ProbabilitiesTab(Recolored, Panel):
    """Text and table share one selected token; a line between them shows its numbers."""

    def __init__(self) -> None:
        super().__init__("pane")
        self.text = TintedText()
        self.model = TokenModel()
        self.table = QTableView()
        self.table.setModel(self.model)
        set_list_look(self.table, "Token probabilities", ROW_PX, (56, 120, 88))
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._state: RunState | None = None
        self._labels = SlowSteps()
        self._from_text = False
        self.summary = words("", "muted")
        self.chosen = words(LEGEND, "muted")
        self._more = single_timer(self, 0, self._grow)
        for label in (self.summary, self.chosen):
            label.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID // 2)
        split = split_of(Qt.Orientation.Vertical, self.text, self.table, sizes=(260, 240))
        column_of(self.summary, (split, 1), self.chosen, on=self, margins=0, spacing=0)
        self.text.token_chosen.connect(self._choose_row)
        self.table.selectionModel().currentRowChanged.connect(lambda now, _before: self._choose_token(now.row()))
        self.colored()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        if state is not self._state:
            self._state = state
            self._labels = SlowSteps()
            tokens = state.probabilities if state else []
            self.model.show_rows(tokens)
            self.text.show_tokens(tokens)
            self.chosen.setText(LEGEND)
        self.model.grow()
        self._grow()
        self._labels.run(self._sum_up, now=state is None or state.ended)

    def recolor(self) -> None:
        if self.text.shown and self._state is not None:
            self.text.show_tokens(self._state.probabilities)
            if self.isVisible():
                self._grow()

    def _grow(self) -> None:
        if self.text.grow():
            # The rest after the next frame: a long answer must not hold the window.
            self._more.start()

    def _sum_up(self) -> None:
        state = self._state
        line = summary(state.probabilities, state.probabilities_came) if state and state.probabilities else ""
        self.summary.setText(line)

    def _choose_row(self, index: int) -> None:
        self._from_text = True
        self.table.selectRow(index)
        self._from_text = False
        self._update_text(index)

    def _choose_token(self, index: int) -> None:
        if index >= 0 and not self._from_text:
            self._update_text(index)
            self.text.mark(index)

    def _update_text(self, index: int) -> None:
        if self._state is not None and index < len(self._state.probabilities):
            self.chosen.setText(sentence(self._state.probabilities[index], index))
