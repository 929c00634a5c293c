"""Figures in tables are displayed whole: "≈ 1,…" or "$0.0000…" would read as another figure."""

from __future__ import annotations

from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QApplication

from playground.ui.batch.table import WIDTHS
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.recorder.table import _IN, _TTFT, _WIDTHS
from playground.ui.theme import ui_font
from playground.ui.widgets.row_table import FIGURE_PAD_PX, PAD_PX

LONGEST = {
    "in": "≈ 32,768",
    "out": "≈ 4,096",
    "TTFT": "999 ms",
    "total": "12 m 30 s",
    "cost": "≥ $0.000762",
}
"""The longest usual text of each column: estimated tokens of a full context, part of a group's cost."""


def test_the_log_has_room_for_its_figures(qapp: QApplication) -> None:
    widths = {column.title: column.width for column in COLUMNS}
    for title, text in LONGEST.items():
        assert _advance(text, ui_font(12, tabular=True)) <= widths[title] - FIGURE_PAD_PX - PAD_PX, title


def test_the_recorder_has_room_for_its_figures(qapp: QApplication) -> None:
    for column, text in ((_IN, "32,768"), (_IN, "≈ 1,281"), (_TTFT, "999 ms")):
        assert _advance(text, ui_font(12, tabular=True)) <= _WIDTHS[column] - FIGURE_PAD_PX - PAD_PX, text


def test_a_batch_has_room_for_its_figures(qapp: QApplication) -> None:
    for column, text in (("in", "≈ 32,768"), ("cost", "≈ $0.0000636")):
        assert _advance(text, ui_font(12, tabular=True)) <= WIDTHS[column] - FIGURE_PAD_PX - PAD_PX, text


def _advance(text: str, font: QFont) -> int:
    return QFontMetrics(font).horizontalAdvance(text)
