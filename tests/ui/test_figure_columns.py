"""Figures in tables are displayed whole: "≈ 1,…" or "$0.0000…" would read as another figure."""

from __future__ import annotations

from functools import partial

import pytest
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from playground.prefix_cache.difference import TITLES, Cause
from playground.prefix_cache.miss_explanation import MissExplanation, MissPosition
from playground.prefix_cache.miss_sentences import Reason
from playground.ui.batch.model import WIDTHS
from playground.ui.batch.page import BatchBar
from playground.ui.controllers.log import NARROW_DROPS
from playground.ui.panes.inspector.sections import CostSection
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


def _is_below(value: QWidget, name: QWidget, below: bool) -> bool:
    return (value.y() > name.y()) == below


def test_a_figure_without_room_beside_its_name_is_below_it_and_whole(qtbot: QtBot) -> None:
    section = CostSection()
    qtbot.addWidget(section)
    section.rows["saved"].show_value("$0.000384")
    section.rows["output"].show_value("not priced")
    for width, below in ((290, False), (170, True)):
        section.setFixedWidth(width)
        section.show()
        value, name = section.rows["saved"]._value, section.rows["saved"]._caption
        qtbot.waitUntil(partial(_is_below, value, name, below))
        for row in section.rows.values():
            assert row._value.width() >= QFontMetrics(row._value.font()).horizontalAdvance(row.value)
        assert section.minimumSizeHint().width() <= 170


def test_legend_of_a_batch_leaves_out_what_would_be_over_the_words_beside_it(qtbot: QtBot) -> None:
    bar = BatchBar()
    qtbot.addWidget(bar)
    bar.headline.setText("12 of 12")
    bar.eta.setText("finished")
    bar.show_counts({"done": 12})
    bar.show()
    for width, names in ((800, ["finished", "failed", "running", "queued"]), (380, ["finished"]), (120, [])):
        bar.setFixedWidth(width)
        layout = bar.layout()
        assert layout is not None
        layout.activate()
        assert [name for name, *_ in bar.legend(bar.fontMetrics())] == names
    assert bar.toolTip() == "12 finished, 0 failed, 0 running, 0 queued"


def test_log_keeps_input_and_cached_tokens_longer_than_the_cause() -> None:
    assert NARROW_DROPS[-3:] == ("prefix", "in", "cached")


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
