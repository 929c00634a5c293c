"""What the dialog of a chain is made of, and where it stands."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from playground.chains.chain import DEFAULT_LIMIT, MOST_REQUESTS
from playground.ui.chain.answers_pane import AnswersPane
from playground.ui.chain.ask_bar import AskBar
from playground.ui.chain.turn_card import stretch
from playground.ui.theme import GRID
from playground.ui.widgets.notice import words
from playground.ui.widgets.number_box import padded


class ChainView(QDialog):
    """The turns and what the caller says next at the left, what the tools return at the right."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run until answer")
        self._build()
        self._lay_out()

    def _build(self) -> None:
        self.go = QPushButton("Run until answer")
        self.go.setProperty("look", "primary")
        self.go.setAutoDefault(False)
        self.limit = padded(QSpinBox())
        self.limit.setRange(1, MOST_REQUESTS)
        self.limit.setValue(DEFAULT_LIMIT)
        self.limit.setAccessibleName("Requests at most")
        self.branch = QComboBox()
        self.branch.setAccessibleName("Branch of the conversation")
        self.branch.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.state = words(
            "Runs the prompt in hand: request, tool calls, results, next request, until there is an answer."
        )
        self.totals = words("", "muted")
        self.ask = AskBar()
        self.say = QLineEdit()
        self.say.setPlaceholderText("What the caller says next")
        self.say.setAccessibleName("What the caller says next")
        self.say_go = QPushButton("Say it, and run on")
        self.say_go.setAutoDefault(False)
        self.answers = AnswersPane()
        self.ways = {
            name: self._button(label)
            for name, label in (
                ("prompt", "Make this the prompt"),
                ("save", "Save as a prompt file…"),
                ("code", "Copy as Python"),
                ("timeline", "Voice timeline…"),
                ("trim", "Trim the branch"),
                ("new", "Start over"),
            )
        }

    def _button(self, label: str) -> QPushButton:
        button = QPushButton(label)
        button.setAutoDefault(False)
        button.setProperty("look", "quiet")
        return button

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.go)
        head.addWidget(QLabel("at most"))
        head.addWidget(self.limit)
        head.addWidget(QLabel("requests"))
        head.addStretch(1)
        head.addWidget(self.branch)
        inside = QWidget()
        self.column = QVBoxLayout(inside)
        self.column.setContentsMargins(0, 0, GRID, 0)
        self.column.setSpacing(GRID)
        self.empty = words(
            "Each turn will stand here: what was said and called, what the calls returned, its request_id and usage, "
            "and what it adds to the prefix.",
            "muted",
        )
        self.empty.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        self.column.addWidget(self.empty)
        self.column.addWidget(stretch(), 1)
        self.view = QScrollArea()
        self.view.setWidget(inside)
        self.view.setWidgetResizable(True)
        self.view.setAccessibleName("The conversation")
        next_line = QHBoxLayout()
        next_line.addWidget(self.say, 1)
        next_line.addWidget(self.say_go)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, GRID, 0)
        for widget in (self.state, self.totals):
            column.addWidget(widget)
        column.addWidget(self.view, 1)
        column.addWidget(self.ask)
        column.addLayout(next_line)
        halves = QSplitter()
        halves.addWidget(left)
        halves.addWidget(self.answers)
        halves.setSizes([640, 360])
        halves.setChildrenCollapsible(False)
        row = QHBoxLayout()
        for button in self.ways.values():
            row.addWidget(button)
        row.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        whole.addLayout(head)
        whole.addWidget(halves, 1)
        whole.addLayout(row)
        self.resize(1060, 720)
