"""The foot of the prompt in a narrow pane."""

from __future__ import annotations

from PySide6.QtGui import QFontMetricsF
from pytestqt.qtbot import QtBot

from playground.ui.panes.prompt.footer import NOTHING_VARIABLE, PromptFooter
from playground.ui.theme import ui_font


def test_footer_without_room_leaves_out_that_nothing_is_variable(qtbot: QtBot) -> None:
    footer, metrics = PromptFooter(), QFontMetricsF(ui_font(12, tabular=True))
    qtbot.addWidget(footer)
    footer.structure, footer.state = ("stable ≈ 28,391", NOTHING_VARIABLE), "warm, lifetime not known"
    footer.show_marked(1)
    footer.resize(1000, 30)
    assert footer.displayed_structure(metrics) == footer.structure
    footer.resize(int(metrics.horizontalAdvance("".join((*footer.structure, footer.may_vary, footer.state)))), 30)
    assert footer.displayed_structure(metrics) == ("stable ≈ 28,391",)
    footer.structure = ("stable ≈ 28,391", "variable ≈ 3")
    assert footer.displayed_structure(metrics) == footer.structure


def test_footer_state_without_room_is_its_first_part(qtbot: QtBot) -> None:
    footer, metrics = PromptFooter(), QFontMetricsF(ui_font(12, tabular=True))
    qtbot.addWidget(footer)
    footer.state = "warm, lifetime not known"
    whole = metrics.horizontalAdvance(footer.state)
    assert footer.displayed_state(metrics, whole) == "warm, lifetime not known"
    assert footer.displayed_state(metrics, whole - 1) == "warm"
    assert footer.displayed_state(metrics, 2) == ""
