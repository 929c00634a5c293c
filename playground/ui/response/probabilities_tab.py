"""The Probabilities tab: the tokens as tinted text, and as a table with what might have stood there."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QSplitter, QTableView, QVBoxLayout

from playground.runs.state import RunState
from playground.ui.response.steps import SlowSteps
from playground.ui.response.tinted_text import TintedText
from playground.ui.response.token_model import TokenModel
from playground.ui.response.token_words import sentence, summary
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.notice import words

LEGEND = "The stronger the tint, the less probable the token; underlined: below 50 %"
ROW_PX = 24


class ProbabilitiesTab(QFrame):
    """Text and table show the same token as chosen; its numbers stand in words between them."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self.text = TintedText(theme)
        self.model = TokenModel()
        self.table = _table(self.model)
        self._state: RunState | None = None
        self._labels = SlowSteps()
        self._from_text = False
        self._summary = words("", "muted")
        self._chosen = words(LEGEND, "muted")
        self._more = QTimer(self)
        self._more.setSingleShot(True)
        self._more.setInterval(0)
        self._more.timeout.connect(self._grow)
        for label in (self._summary, self._chosen):
            label.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID // 2)
        split = QSplitter(Qt.Orientation.Vertical)
        split.setChildrenCollapsible(False)
        split.addWidget(self.text)
        split.addWidget(self.table)
        split.setSizes([260, 240])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        for widget in (self._summary, split, self._chosen):
            column.addWidget(widget, 1 if widget is split else 0)
        self.text.token_chosen.connect(self._choose_row)
        self.table.selectionModel().currentRowChanged.connect(lambda now, _before: self._choose_token(now.row()))

    @property
    def summary_shown(self) -> str:
        """How many tokens, and how sure."""
        return self._summary.text()

    @property
    def chosen_shown(self) -> str:
        """The chosen token in words; the legend while none is chosen."""
        return self._chosen.text()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Show what is new."""
        if state is not self._state:
            self._state = state
            self._labels = SlowSteps()
            tokens = state.probabilities if state else []
            self.model.show_tokens(tokens)
            self.text.show_tokens(tokens)
            self._chosen.setText(LEGEND)
        self.model.grow()
        self._grow()
        self._labels.run(self._sum_up, now=state is None or state.ended)

    def set_theme(self, theme: Theme) -> None:
        """Tint in the new theme's hue."""
        self.text.set_theme(theme)
        if self.isVisible():
            self._grow()

    def _grow(self) -> None:
        if self.text.grow():
            # The rest after the next frame: a long answer must not hold the window.
            self._more.start()

    def _sum_up(self) -> None:
        state = self._state
        line = summary(state.probabilities, state.probabilities_came) if state and state.probabilities else ""
        if line != self._summary.text():
            self._summary.setText(line)

    def _choose_row(self, index: int) -> None:
        self._from_text = True
        self.table.selectRow(index)
        self._from_text = False
        self._say(index)

    def _choose_token(self, index: int) -> None:
        if index >= 0 and not self._from_text:
            self._say(index)
            self.text.mark(index)

    def _say(self, index: int) -> None:
        if self._state is not None and index < len(self._state.probabilities):
            self._chosen.setText(sentence(self._state.probabilities[index], index))


def _table(model: TokenModel) -> QTableView:
    table = QTableView()
    table.setProperty("look", "pane")
    table.setModel(model)
    table.setAccessibleName("Token probabilities")
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    table.setTabKeyNavigation(False)
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    table.verticalHeader().setDefaultSectionSize(ROW_PX)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    for column, width in enumerate((56, 120, 88)):
        header.resizeSection(column, width)
    header.setStretchLastSection(True)
    return table
