"""The status bar: a long error is elided, and whole in the tooltip."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from playground.ui.edges import StatusBar

FULL = "The disk is full: the request log is not being saved. Free some room. Requests continue and stay in memory."


def test_status_bar_error_takes_the_room_of_the_hint_and_has_a_tooltip(qtbot: QtBot) -> None:
    bar = StatusBar()
    qtbot.addWidget(bar)
    bar.show_hint("Ctrl+K Commands")
    bar.resize(500, bar.height())
    bar.show()
    assert bar._hint.isVisible()
    bar.show_error(FULL)
    assert not bar._hint.isVisible()
    assert bar._error.full_text == FULL
    assert FULL in bar._error.toolTip().replace("\n", " ")
    bar.show_error("")
    assert bar._hint.isVisible()
