"""The section of lint findings, most severe first, each with its figures and its fix."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QMenu, QPushButton, QSizePolicy

from playground.lint.model import Evidence, Finding
from playground.ui.panes.inspector.sections import Section
from playground.ui.theme import GRID
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.notice import words

FEW = 3
SIGNS = {"serious": "✗ serious", "warning": "⚠ warning", "hint": "· hint"}


class AdviceSection(Section):
    """A box a piece of advice. Hidden while there is none."""

    place_requested = Signal(object)
    """The Finding whose place is to be shown."""
    fix_requested = Signal(object)
    dismissed = Signal(object, bool)
    """(Finding, for good)."""
    guide_requested = Signal(str)
    """A rule's name."""
    counted = Signal(int)
    """How many pieces of advice there are now."""

    def __init__(self) -> None:
        super().__init__("Advice")
        self._advice: tuple[Finding, ...] = ()
        self._unfolded = False
        self.boxes: list[AdviceBox] = []
        """What is on show."""
        self.more = push_button("", "link", self._fold)
        self._list = column_of(spacing=GRID)
        self.column.addLayout(self._list)
        self.column.addWidget(self.more)
        self.hide()

    def show_advice(self, advice: Sequence[Finding]) -> None:
        """Show these findings; no effect if unchanged."""
        if tuple(advice) != self._advice:
            self._advice = tuple(advice)
            self._build()
            self.counted.emit(len(self._advice))

    def _fold(self) -> None:
        self._unfolded = not self._unfolded
        self._build()

    def _build(self) -> None:
        for box in self.boxes:
            self._list.removeWidget(box)
            box.hide()
            box.deleteLater()
        self.boxes = [self._box(advice) for advice in self._advice[: None if self._unfolded else FEW]]
        left = len(self._advice) - FEW
        self.more.setText("Show fewer" if self._unfolded else f"and {left} more")
        self.more.setVisible(left > 0)
        self.setVisible(bool(self._advice))

    def _box(self, advice: Finding) -> AdviceBox:
        box = AdviceBox(advice)
        box.show_place.clicked.connect(lambda: self.place_requested.emit(advice))
        box.fix.clicked.connect(lambda: self.fix_requested.emit(advice))
        box.why.clicked.connect(lambda: self.guide_requested.emit(advice.rule))
        box.once.triggered.connect(lambda: self.dismissed.emit(advice, False))
        box.for_good.triggered.connect(lambda: self.dismissed.emit(advice, True))
        self._list.addWidget(box)
        box.show()
        return box


class AdviceBox(QFrame):
    """One piece of advice."""

    def __init__(self, advice: Finding) -> None:
        super().__init__()
        self.advice = advice
        self.setProperty("look", "error" if advice.severity == "serious" else "callout")
        if advice.severity == "hint":
            self.setProperty("look", "aside")
        self.setAccessibleName(f"{advice.severity}: {advice.title}")
        self.setAccessibleDescription(advice.detail)
        column = column_of(
            words(SIGNS[advice.severity], "muted"),
            words(advice.title, "strong"),
            words(advice.detail),
            on=self,
            margins=(GRID + 2, GRID // 2, GRID, GRID // 2),
            spacing=2,
        )
        if figures := " · ".join(_figure(item) for item in advice.evidence):
            column.addWidget(words(figures, "muted"))
        self.show_place, self.fix, self.why, self.dismiss = (_link(text) for text in ("Show", "Fix…", "Why", "Dismiss"))
        menu = QMenu(self)
        self.once = menu.addAction("On this prompt")
        self.for_good = menu.addAction("For good")
        self.dismiss.setMenu(menu)
        row = row_of(spacing=0)
        for button in (self.show_place, self.fix, self.why, self.dismiss):
            button.setAccessibleDescription(advice.title)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        # Only after layout: a visible widget without a parent becomes a separate window.
        self.show_place.setVisible(any(place.path for place in advice.places))
        self.fix.setVisible(advice.fix is not None)


def _link(text: str) -> QPushButton:
    button = push_button(text, "link")
    # As narrow as its word: the inspector is a narrow column.
    button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(1)
    return button


def _figure(item: Evidence) -> str:
    unit = " tokens" if item.unit == "tokens" and item.value is not None else ""
    return f"{item.label} {item.text}{unit}"
