"""Figures in tables are displayed whole: "≈ 1,…" or "$0.0000…" would read as another figure."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QApplication

from playground.prefix_cache.difference import TITLES, Cause
from playground.prefix_cache.miss_explanation import MissExplanation, MissPosition
from playground.prefix_cache.miss_sentences import Reason
from playground.ui.batch.model import WIDTHS
from playground.ui.panes.log.columns import COLUMNS, cause_cell
from playground.ui.recorder.table import _IN, _TTFT, _WIDTHS
from playground.ui.theme import ui_font
from playground.ui.widgets.row_table import FIGURE_PAD_PX, PAD_PX

PREFIX_PX_AT_1280 = (
    1_280 - 10 - sum(column.width for column in COLUMNS if column.shown and column.title not in ("prefix", "answer"))
)
"""Width of the column that takes the rest of a window of 1,280 pixels, beside the scroll bar."""
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


@pytest.mark.parametrize("cause", sorted(TITLES))
@pytest.mark.parametrize("after_fix", [False, True])
def test_the_log_has_room_for_each_cause_without_a_place(qapp: QApplication, cause: Cause, after_fix: bool) -> None:
    found = MissExplanation("differs", "A sentence.", cause=cause, after_fix=after_fix)
    assert _advance(cause_cell(found).text, ui_font(12)) <= PREFIX_PX_AT_1280 - 2 * PAD_PX


@pytest.mark.parametrize("cause", ["edited", "date", "time", "number", "uuid", "name", "variable"])
def test_the_log_has_room_for_each_usual_cause_with_its_place(qapp: QApplication, cause: Cause) -> None:
    place = MissPosition("message", 11, 34, 7, "2")
    found = MissExplanation("differs", "A sentence.", cause=cause, position=place)
    text = cause_cell(found).text
    assert text.endswith(" in message 12, line 34")
    assert _advance(text, ui_font(12)) <= PREFIX_PX_AT_1280 - 2 * PAD_PX


def test_the_recorder_has_room_for_its_figures(qapp: QApplication) -> None:
    for column, text in ((_IN, "32,768"), (_IN, "≈ 1,281"), (_TTFT, "999 ms")):
        assert _advance(text, ui_font(12, tabular=True)) <= _WIDTHS[column] - FIGURE_PAD_PX - PAD_PX, text


def test_a_batch_has_room_for_its_figures(qapp: QApplication) -> None:
    for column, text in (("in", "≈ 32,768"), ("cost", "≈ $0.0000636")):
        assert _advance(text, ui_font(12, tabular=True)) <= WIDTHS[column] - FIGURE_PAD_PX - PAD_PX, text


def _advance(text: str, font: QFont) -> int:
    return QFontMetrics(font).horizontalAdvance(text)


@pytest.mark.parametrize(("reason", "nothing"), [("", True), ("first_beside_other", False), ("foreign_tokens", False)])
def test_the_first_request_of_a_kind_with_cached_tokens_has_another_cell(reason: Reason, nothing: bool) -> None:
    plain = cause_cell(MissExplanation("first", "A sentence.", cause="first"))
    found = cause_cell(MissExplanation("first", "A sentence.", cause="first", reason=reason))
    assert (found == plain) is nothing
