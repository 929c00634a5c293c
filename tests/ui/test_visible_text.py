"""Direction and control characters in ids and names are visible wherever they are shown, and copied exactly."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.ui.widgets.elided_label import ElidedLabel
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.notice import Notice

ID = "6301\u202ed429\x07"
SHOWN = "6301\\u202ed429\\x07"


def test_elided_label_with_a_bidi_control_shows_an_escape_and_copies_the_exact_text(qtbot: QtBot) -> None:
    label = ElidedLabel("request_id")
    qtbot.addWidget(label)
    label.set_full_text(ID)
    assert label.text() == SHOWN
    assert SHOWN in label.accessibleName()
    QTest.keyClick(label, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == ID


def test_figure_row_with_a_bidi_control_names_the_escape(qtbot: QtBot) -> None:
    row = FigureRow("request_id")
    qtbot.addWidget(row)
    row.show_value(ID)
    assert "\u202e" not in row.accessibleName()
    assert "\u202e" not in row.toolTip()
    assert row.value == ID


def test_notice_with_a_bidi_control_shows_an_escape(qtbot: QtBot) -> None:
    notice = Notice("trouble", "Refused", f"id {ID}")
    qtbot.addWidget(notice)
    assert SHOWN in notice.accessibleName()
