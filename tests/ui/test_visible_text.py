"""Direction and control characters in ids and names are visible wherever they are displayed, and copied exactly."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from playground.agent.conversation import Turn
from playground.prompt.document import Document, ToolCall
from playground.runs.state import RunState
from playground.ui.agent.view import CallRow, TurnCard
from playground.ui.panes.response.pane import ResponseFooter
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.labels import ElidedLabel
from playground.ui.widgets.notice import Notice
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.row_table import RowFont, paint_text

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
    notice = Notice("Refused", f"id {ID}")
    qtbot.addWidget(notice)
    assert SHOWN in notice.accessibleName()


MARKUP = f"<b>x</b><img src='x.png'>{ID}"


def test_response_footer_with_markup_as_finish_reason_shows_it_literally(qtbot: QtBot) -> None:
    footer = ResponseFooter()
    qtbot.addWidget(footer)
    footer.show_state(RunState(phase="done", finish_reason=MARKUP), 1.0)
    assert footer.line.startswith(f"<b>x</b><img src='x.png'>{SHOWN}")
    assert {label.textFormat() for label in footer.findChildren(QLabel)} == {Qt.TextFormat.PlainText}


def test_agent_turn_with_controls_in_texts_and_ids_shows_escapes(qtbot: QtBot) -> None:
    card, row = TurnCard(1, "t"), CallRow(ToolCall("c", ID, "{}"))
    qtbot.addWidget(card)
    qtbot.addWidget(row)
    turn = Turn("t", None, Document(), text=ID, request_id=MARKUP, finish_reason=ID, phase="done")
    card.show_turn(turn, figures="", prefix="", added=ID, coming="", now=0, running=False)
    assert (card.text.text(), card.added.text(), card.state.text()) == (SHOWN, SHOWN, SHOWN)
    assert "<b>" not in card.request_id.id.toolTip()
    assert SHOWN in row.head.text()
    assert SHOWN in row.edit.accessibleName()


def test_table_cell_with_a_bidi_control_shows_an_escape(qtbot: QtBot) -> None:
    table = plain_table("cells", ["a"], 0, {})
    qtbot.addWidget(table)
    fill_table(table, [[ID]])
    assert table.model().index(0, 0).data() == SHOWN


@pytest.mark.parametrize(("width", "painted"), [(80, "finished"), (400, "14:02:11 · finished")])
def test_elided_label_paints_its_short_text_where_the_whole_has_no_room(qtbot: QtBot, width: int, painted: str) -> None:
    label, other = ElidedLabel("Status"), ElidedLabel("Status")
    for each in (label, other):
        qtbot.addWidget(each)
        each.resize(width, 20)
    label.set_full_text("14:02:11 · finished", short="finished")
    other.set_full_text(painted)
    assert label.grab().toImage() == other.grab().toImage()
    assert label.full_text == "14:02:11 · finished"


class _Cell(QWidget):
    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self.resize(400, 24)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.white)
        paint_text(painter, self.rect(), self._text, RowFont(), QColor("black"), right=False)


@pytest.mark.parametrize(("text", "at_start"), [("א   WWWWWW", False), ("W   אאאאאא", True)])
def test_a_cell_has_the_direction_of_its_text(qapp: QApplication, text: str, at_start: bool) -> None:
    """Else the end of a shortened Arabic answer, with its dots, is where its beginning belongs."""
    image = _Cell(text).grab().toImage()
    ink = [x for x in range(400) if any(image.pixelColor(x, y).lightness() < 128 for y in range(24))]
    widest = max(range(1, len(ink)), key=lambda at: ink[at] - ink[at - 1])
    assert (ink[widest] < (ink[0] + ink[-1]) / 2) == at_start, "the place of the spaces"
