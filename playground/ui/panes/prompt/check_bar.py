"""Findings about the prompt while it is typed: input the server refuses, and probable mistakes."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from playground.prompt.limits import LimitFinding
from playground.ui.theme import GRID
from playground.ui.widgets.notice import field_link, shortened, words


class ProblemBar(QFrame):
    """A message with Dismiss, and with "Send anyway" if the check can be overruled."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "error")
        self._words = words("")
        self._overrule: Callable[[], object] | None = None
        self.anyway = QPushButton("Send anyway")
        self.anyway.setToolTip("To see what the server says")
        self.anyway.clicked.connect(self._go_on)
        dismiss = QPushButton("Dismiss")
        dismiss.setProperty("look", "quiet")
        dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, GRID // 2, GRID, GRID // 2)
        row.addWidget(self._words, 1)
        row.addWidget(self.anyway)
        row.addWidget(dismiss)
        self.hide()

    @property
    def text(self) -> str:
        """The message on display."""
        return self._words.text()

    def say(self, sentence: str, anyway: Callable[[], object] | None = None) -> None:
        """Show a message; `anyway` is offered as a button."""
        self._overrule = anyway
        self.anyway.setVisible(anyway is not None)
        self._words.setText(sentence)
        self.setAccessibleName(f"Not sent: {sentence}")
        self.show()

    def _go_on(self) -> None:
        overrule, self._overrule = self._overrule, None
        self.hide()
        if overrule is not None:
            overrule()


FEW = 2
MOST = 8


class CheckBar(QFrame):
    """One row per finding: severity, the field as a link, the message. Hidden without findings."""

    chosen = Signal(object)
    """The Problem whose field was clicked."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "checks")
        self.setAccessibleName("Checks of the prompt")
        self._findings: tuple[LimitFinding, ...] = ()
        self._unfolded = False
        self._rows = QWidget()
        self.more = QPushButton()
        self.more.setProperty("look", "link")
        self.more.clicked.connect(self._fold)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + 2, GRID // 2, GRID, GRID // 2)
        column.setSpacing(0)
        column.addWidget(self._rows)
        column.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self.hide()

    @property
    def text(self) -> str:
        """All findings, one per line."""
        return "\n".join(f"{_sign(finding)} {finding.problem}" for finding in self._findings)

    def show_findings(self, findings: tuple[LimitFinding, ...]) -> None:
        """Show these findings."""
        if findings != self._findings:
            self._findings = findings
            self._build()

    def _fold(self) -> None:
        self._unfolded = not self._unfolded
        self._build()

    def _build(self) -> None:
        rows = QWidget()
        grid = QGridLayout(rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(GRID - 2)
        grid.setVerticalSpacing(0)
        grid.setColumnStretch(2, 1)
        for row, finding in enumerate(self._findings[: MOST if self._unfolded else FEW]):
            self._add(grid, row, finding)
        layout = self.layout()
        assert layout is not None
        layout.replaceWidget(self._rows, rows)
        self._rows.hide()
        self._rows.deleteLater()
        rows.show()
        self._rows = rows
        self._say()

    def _add(self, grid: QGridLayout, row: int, finding: LimitFinding) -> None:
        sign = QLabel(_sign(finding))
        sign.setProperty("tone", "failure" if finding.refused else "muted")
        sign.setToolTip("The server refuses this" if finding.refused else "Likely a mistake")
        sign.setAccessibleName(sign.toolTip())
        top = Qt.AlignmentFlag.AlignTop
        problem = finding.problem
        link = field_link(problem, self.chosen.emit)
        sign.setFixedHeight(link.sizeHint().height())
        said = words(shortened(f"{problem.message} {problem.hint}".strip()))
        said.setContentsMargins(0, 2, 0, 2)
        grid.addWidget(sign, row, 0, top)
        grid.addWidget(link, row, 1, top)
        grid.addWidget(said, row, 2, top)

    def _say(self) -> None:
        left = len(self._findings) - FEW
        self.more.setVisible(left > 0)
        hidden = max(len(self._findings) - MOST, 0) if self._unfolded else left
        if self._unfolded:
            self.more.setText("Show fewer" + (f" ({hidden} more are not shown)" if hidden else ""))
        else:
            self.more.setText(f"and {left} more")
        self.setAccessibleDescription(self.text)
        self.setVisible(bool(self._findings))


def _sign(finding: LimitFinding) -> str:
    return "✗" if finding.refused else "⚠"
