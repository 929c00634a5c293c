"""Timeline tab of one run or conversation: its main figures, the drawing, and a table."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QScrollBar, QSplitter, QVBoxLayout, QWidget

from playground.ui.theme import GRID
from playground.ui.voice.canvas import Canvas
from playground.ui.voice.picture import EMPTY, Picture, milliseconds, picture, rows
from playground.ui.widgets.id_label import copy_text
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.voice.timeline import MeasuredTurn, Timeline

COLUMNS = ("at", "length", "lane", "what", "known")
TABLE_S = 0.5
"""Minimum interval between updates of the table during a run."""
LEGEND = "Solid edge: measured. Dashed edge and ≈: computed from text and speech settings. Arrow keys move, + − 0 zoom."


class TimelineTab(QWidget):
    """Accepts `show_timeline` once per frame."""

    def __init__(self) -> None:
        super().__init__()
        self._picture = EMPTY
        self._filled_at = 0.0
        self.figures = words("", "strong")
        self.canvas = Canvas("Voice timeline")
        self.moment = words(LEGEND, "muted")
        self.bar = QScrollBar(Qt.Orientation.Horizontal)
        self.bar.setAccessibleName("Visible part of the timeline")
        self.table = plain_table("The timeline's figures", COLUMNS, 3, {0: 84, 1: 84, 2: 108, 4: 108})
        self.copy = QPushButton("Copy the table")
        self.copy.clicked.connect(self._copy)
        self.canvas.chosen.connect(lambda said: self.moment.setText(said or LEGEND))
        self.canvas.view_changed.connect(self._show_view)
        self.bar.valueChanged.connect(lambda value: self.canvas.look_from(value / 1000))
        self._lay_out()

    def _lay_out(self) -> None:
        scroll = QScrollArea()
        scroll.setWidget(self.canvas)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Focus belongs to the canvas, not to the scroll area.
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        upper = QWidget()
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, 0)
        above.setSpacing(GRID // 2)
        above.addWidget(scroll, 1)
        above.addWidget(self.bar)
        above.addWidget(self.moment)
        halves = QSplitter(Qt.Orientation.Vertical)
        halves.addWidget(upper)
        halves.addWidget(self.table)
        halves.setChildrenCollapsible(False)
        halves.setSizes([370, 150])
        head = QHBoxLayout()
        head.addWidget(self.figures, 1)
        head.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID, 0, 0)
        column.addLayout(head)
        column.addWidget(halves, 1)
        self._show_view()

    def show_timeline(self, timeline: Timeline, turns: tuple[MeasuredTurn, ...], *, live: bool) -> None:
        """Draw a timeline. The table is updated less often, and at the end."""
        self._picture = picture(timeline, turns) if turns else EMPTY
        self.figures.setText(headline(timeline) if turns else "No run yet.")
        self.canvas.show_picture(self._picture)
        if not live or time.monotonic() - self._filled_at >= TABLE_S:
            self._filled_at = time.monotonic()
            fill_table(self.table, rows(self._picture))
        self.copy.setEnabled(bool(turns))

    @property
    def picture(self) -> Picture:
        """Return the drawing."""
        return self._picture

    def _show_view(self) -> None:
        begins, length, whole = (round(value * 1000) for value in self.canvas.view)
        self.bar.blockSignals(True)
        self.bar.setRange(0, max(whole - length, 0))
        self.bar.setPageStep(max(length, 1))
        self.bar.setSingleStep(max(length // 10, 1))
        self.bar.setValue(begins)
        self.bar.blockSignals(False)
        self.bar.setVisible(whole > length)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [COLUMNS, *rows(self._picture)]))


def headline(timeline: Timeline) -> str:
    """Return the four main figures."""
    first = milliseconds(timeline.first_sound_at, computed=True)
    answer = milliseconds(timeline.answer_heard_at, computed=True)
    longest = milliseconds(timeline.longest_silence_s, computed=True)
    total = milliseconds(timeline.total_silence_s, computed=True)
    return f"First sound {first}  ·  answer heard {answer}  ·  longest silence {longest}  ·  total silence {total}"
