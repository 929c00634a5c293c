"""Progress bar of Batch mode, and the selected row below its table."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRect, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from playground.experiments.batch_lines import BatchLine
from playground.export.terminal import visible, visible_line
from playground.runs.metrics import dollars, finish_text, seconds
from playground.ui.theme import GRID, current_theme, mono_font, ui_font
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.labels import ElidedLabel, IdLabel

DETAIL_PX = 132
VALUE_CHARS = 60
"""Characters of a variable's value in the detail of a row."""


class BatchBar(QWidget):
    """Headline, legend and bar of the rows that are finished, failed, running and queued."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Mapping[str, int] = {}
        self.setFixedHeight(42)
        self.headline = QLabel()
        self.headline.setProperty("tone", "headline")
        self.eta = QLabel()
        self.eta.setProperty("tone", "muted")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 14)
        row.setSpacing(GRID * 2)
        row.addWidget(self.headline)
        row.addWidget(self.eta)
        row.addStretch(1)

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Show the number of rows by status."""
        self._counts = dict(counts)
        self.setAccessibleName(", ".join(f"{count:,} {name}" for name, _tone, count in self._parts()))
        self.update()

    def _parts(self) -> list[tuple[str, str, int]]:
        names = (
            ("finished", "accent", "done"),
            ("failed", "failure", "failed"),
            ("running", "fresh_outline", "running"),
            ("queued", "line", "queued"),
        )
        return [(name, tone, self._counts.get(status, 0)) for name, tone, status in names]

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the legend at the right and the bar below it."""
        painter, theme = QPainter(self), current_theme()
        painter.setFont(ui_font(12, tabular=True))
        right, metrics = self.width(), painter.fontMetrics()
        for name, tone, count in reversed(self._parts()):
            text = f"{name} {count:,}"
            right -= metrics.horizontalAdvance(text)
            failed = name == "failed" and count
            painter.setPen(theme.failure if failed else theme.muted)
            painter.drawText(QRect(right, 4, self.width(), 18), int(Qt.AlignmentFlag.AlignVCenter), text)
            right -= 14
            painter.fillRect(QRect(right, 9, 9, 9), getattr(theme, tone))
            right -= GRID * 2
        total, left, width = sum(count for *_, count in self._parts()) or 1, 0, self.width()
        done = 0
        for _name, tone, count in self._parts():
            done += count
            end = round(width * done / total)
            painter.fillRect(QRect(left, 31, end - left, 8), getattr(theme, tone))
            left = end


class BatchDetail(QFrame):
    """The selected row: its values and completion, and the figures of its request."""

    open_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "detail")
        self.setMinimumHeight(DETAIL_PX)
        self._title = ElidedLabel("Row", Qt.TextElideMode.ElideRight)
        self.open = QPushButton("Open in Prompt")
        self.open.setProperty("look", "link")
        self.open.clicked.connect(self.open_asked)
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("Completion of the row")
        self.text.setProperty("textZoom", True)
        self.text.setFont(mono_font())
        self.id = IdLabel("request_id")
        self._figures = {
            name: FigureRow(name) for name in ("status", "cached", "input cost", "time to first token", "output")
        }
        left, right = QVBoxLayout(), QVBoxLayout()
        head = QHBoxLayout()
        head.addWidget(self._title, 1)
        head.addWidget(self.open)
        left.addLayout(head)
        left.addWidget(self.text, 1)
        right.setSpacing(2)
        right.addWidget(self.id)
        for figure in self._figures.values():
            right.addWidget(figure)
        right.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, GRID, 14, GRID)
        row.setSpacing(GRID * 2)
        self._right = QWidget()
        self._right.setLayout(right)
        right.setContentsMargins(0, 0, 0, 0)
        row.addLayout(left, 3)
        row.addWidget(self._right, 1)
        self.show_line(None)

    def show_line(self, line: BatchLine | None) -> None:
        """Show a row; None clears the display."""
        result = (line.result if line else None) or {}
        self.open.setVisible(line is not None)
        self.open.setEnabled(line is not None and line.run_id is not None)
        self._right.setVisible(line is not None)
        self.id.show_id(line.request_id or "" if line else "", "" if line else "no row is selected")
        values = line.item.document.variables if line else {}
        title = [f"Row {line.item.row.number:,}"] if line else ["Select a row to see its completion."]
        title += [f"{name}: {_first_line(value)}" for name, value in values.items()]
        self._title.set_full_text("  ·  ".join(title))
        shown = visible(line.output) if line else ""
        if self.text.toPlainText() != shown:
            self.text.setPlainText(shown)
        prompt, cached = (line.prompt_tokens.text, line.cached_tokens.text) if line else ("—", "—")
        status, finish, ttft, usage = (result.get(key) for key in ("status", "finish_reason", "ttft_ms", "usage"))
        completion = usage.get("completion_tokens") if isinstance(usage, dict) else None
        ended = finish_text(finish) if isinstance(finish, str) else ""
        known = [visible_line(str(value)) for value in (status, ended) if value]
        texts = {
            "status": " ".join(known) or "—",
            "cached": f"{cached} of {prompt}",
            "input cost": dollars(line.cost) if line else "—",
            "time to first token": seconds(ttft / 1000) if isinstance(ttft, (int, float)) else "—",
            "output": f"{completion:,} tokens" if isinstance(completion, int) else "—",
        }
        for name, figure in self._figures.items():
            figure.show_value(texts[name], "no result yet" if line and not result else "")


def _first_line(value: str) -> str:
    line = value.partition("\n")[0]
    return value if len(value) <= VALUE_CHARS and line == value else line[:VALUE_CHARS] + " …"
