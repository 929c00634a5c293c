"""What the keyboard, the clipboard and an input method do to the exact text, through the real widget."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from PySide6.QtCore import QEvent, QMimeData, QObject, QRect, Qt
from PySide6.QtGui import QGuiApplication, QInputMethodEvent, QKeyEvent, QPaintEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.logging import _QtMessageCapture
from pytestqt.qtbot import QtBot

from playground.prompt.document import Document, Message
from playground.ui.panes.prompt.card_text import LONG_BLOCKS, CardText
from playground.ui.panes.prompt.marks import marks_between, marks_near, marks_of
from playground.ui.theme import current_theme
from playground.ui.widgets.labels import release_clipboard
from playground.ui.widgets.lossless_text import ExactText, Splice, image_of
from tests.ui.panes.prompt.conftest import OpenPane

ODD = "a\u00a0b\u2028c\r\nd\u2029e\x00f\ud83dg\u200bh 😀 ₹ आपका"
Key = Qt.Key


@pytest.fixture
def text(qtbot: QtBot, themed: QApplication) -> CardText:
    widget = CardText()
    qtbot.addWidget(widget)
    widget.resize(400, 20)
    widget.show()
    return widget


def told(text: CardText) -> list[Splice]:
    splices: list[Splice] = []
    text.typed.connect(splices.append)
    return splices


def shown(text: CardText) -> str:
    return text.document().toRawText().replace("\u2029", "\n")


def test_what_is_shown_is_the_image(text: CardText) -> None:
    text.set_exact(ODD)
    assert text.exact.text == ODD
    assert shown(text) == image_of(ODD)


def test_typing_between_odd_characters_keeps_them(text: CardText) -> None:
    text.set_exact(ODD)
    text.select(2, 2)
    QTest.keyClicks(text, "xy")
    assert text.exact.text == ODD[:2] + "xy" + ODD[2:]
    assert shown(text) == image_of(text.exact.text)


def test_typing_behind_a_pair_goes_behind_it(text: CardText) -> None:
    text.set_exact("😀😁")
    text.select(1, 1)
    QTest.keyClicks(text, "x")
    QTest.keyClick(text, Key.Key_Right)
    QTest.keyClick(text, Key.Key_Backspace)
    assert text.exact.text == "😀x"


def test_deleting_takes_the_odd_character_alone(text: CardText) -> None:
    text.set_exact("a\r\nb")
    text.select(1, 1)
    QTest.keyClick(text, Key.Key_Delete)
    assert text.exact.text == "a\nb"


@pytest.mark.parametrize("line", [0, 150, LONG_BLOCKS])
def test_keys_in_a_long_text_are_typed_at_the_cursor_and_repainted(text: CardText, qtbot: QtBot, line: int) -> None:
    lines = [f"{number} a\u00a0b" for number in range(LONG_BLOCKS + 1)]
    text.set_exact("\n".join(lines))
    place = len("\n".join(lines[: line + 1]))
    text.select(place, place)
    QApplication.processEvents()
    moves: list[int] = []
    text.moved.connect(lambda: moves.append(text.textCursor().position()))
    painted = PaintedAreas(text.viewport())
    QTest.keyClicks(text, "xy")
    assert moves == [text.exact.unit(place + 1), text.exact.unit(place + 2)]
    qtbot.waitUntil(lambda: bool(painted.areas))
    spot = text.geometry_of_text.spot(text.exact.unit(place))
    assert painted.cover(spot.top, spot.bottom)
    assert not painted.cover(spot.top, spot.bottom + 20)
    QTest.keyClick(text, Key.Key_Return)
    qtbot.waitUntil(lambda: painted.cover(spot.top, text.geometry_of_text.height()))
    QTest.keyClicks(text, "z")
    QTest.keyClick(text, Key.Key_Backspace)
    lines[line] += "xy\n"
    assert text.exact.text == "\n".join(lines)
    assert shown(text) == image_of(text.exact.text)
    assert text.selection() == (place + 3, place + 3)
    assert text.height() == math.ceil(text.geometry_of_text.height())
    assert text.verticalScrollBar().value() == 0


class PaintedAreas(QObject):
    """Records which heights of a widget are painted."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.areas: list[QRect] = []
        widget.installEventFilter(self)

    def eventFilter(self, _widget: QObject, event: QEvent) -> bool:
        if isinstance(event, QPaintEvent):
            self.areas.append(event.rect())
        return False

    def cover(self, top: float, bottom: float) -> bool:
        """Return whether one paint event covered these heights."""
        return any(area.top() <= top and area.bottom() + 1 >= bottom for area in self.areas)


def test_a_stand_in_typed_over_what_it_stands_for_is_taken(text: CardText) -> None:
    text.set_exact("a\u00a0b")
    text.select(1, 2)
    # QTest types Latin-1 only.
    QApplication.sendEvent(text, QKeyEvent(QEvent.Type.KeyPress, 0, Qt.KeyboardModifier.NoModifier, "⍽"))
    assert text.exact.text == "a⍽b"


@pytest.mark.parametrize("modifier", [Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier])
def test_enter_is_a_newline_with_and_without_shift(text: CardText, modifier: Qt.KeyboardModifier) -> None:
    text.set_exact("ab")
    text.select(1, 1)
    QTest.keyClick(text, Key.Key_Return, modifier)
    assert text.exact.text == "a\nb"


def test_copy_gives_the_exact_text_and_paste_takes_it(text: CardText) -> None:
    exact = ODD.replace("\ud83d", "")  # A clipboard holds text, and half a pair is none.
    text.set_exact(exact)
    text.selectAll()
    QTest.keyClick(text, Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == exact
    splices = told(text)
    QTest.keyClick(text, Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(text, Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert text.exact.text == exact * 2
    assert splices == [Splice(len(exact), "", exact)]
    assert shown(text) == image_of(exact * 2)


def test_cut_puts_the_exact_text_on_the_clipboard(text: CardText) -> None:
    text.set_exact("a\u00a0\u2028b")
    text.select(1, 3)
    QTest.keyClick(text, Key.Key_X, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "\u00a0\u2028"
    assert text.exact.text == "ab"


def test_rich_text_is_pasted_as_plain_text(text: CardText) -> None:
    data = QMimeData()
    data.setHtml("<img src='file:///etc/passwd'><b>bold</b>")
    data.setText("bold")
    text.insertFromMimeData(data)
    assert text.exact.text == "bold"
    picture = QMimeData()
    picture.setData("image/png", b"x")
    assert not text.canInsertFromMimeData(picture)


def test_a_no_break_space_from_an_input_method_is_kept_and_shown(text: CardText) -> None:
    text.set_exact("ab")
    text.select(1, 1)
    event = QInputMethodEvent()
    event.setCommitString("\u00a0\u200b")
    QApplication.sendEvent(text, event)
    assert text.exact.text == "a\u00a0\u200bb"
    assert shown(text) == image_of("a\u00a0\u200bb")
    assert text.textCursor().position() == 3


def test_a_composition_is_no_text_until_it_is_committed(text: CardText) -> None:
    text.set_exact("ab")
    splices = told(text)
    sent: list[bool] = []
    text.send_requested.connect(lambda: sent.append(True))
    QApplication.sendEvent(text, QInputMethodEvent("か", []))
    assert [text.composing] == [True]
    QTest.keyClick(text, Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert (splices, sent, text.exact.text) == ([], [], "ab")
    done = QInputMethodEvent()
    done.setCommitString("蚊")
    QApplication.sendEvent(text, done)
    assert (text.composing, text.exact.text) == (False, "蚊ab")
    QTest.keyClick(text, Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert sent == [True]


def test_a_marked_character_says_what_it_is(text: CardText) -> None:
    text.set_exact("x\u00a0y {{a}} {{b}}")
    text.set_values({"a": "Priya"})
    kinds = [(mark.kind, mark.subject) for mark in text.marks]
    assert kinds == [("odd", "\u00a0"), ("value", "a"), ("missing", "b")]
    tips = [
        text.tip_at(area.center().toPoint())
        for mark in text.marks
        for area in text.geometry_of_text.areas(mark.start, mark.end)
    ]
    assert tips[0] == "U+00A0 NO-BREAK SPACE"
    assert tips[1] == "{{a}} = Priya"
    assert "{{b}} has no value" in tips[2]


def test_marks_follow_the_text(text: CardText) -> None:
    text.set_exact("😀 {{a}}\u00a0")
    text.select(0, 0)
    QTest.keyClicks(text, "zz")
    mark = text.marks[0]
    assert text.exact.image[text.exact.index(mark.start) : text.exact.index(mark.end)] == "{{a}}"
    selections = text.extraSelections()
    cursor: QTextCursor = selections[0].cursor
    assert (cursor.selectionStart(), cursor.selectionEnd()) == (mark.start, mark.end)


def test_card_text_long_text_colors_its_marks_when_painted(text: CardText, qtbot: QtBot) -> None:
    text.set_exact("{{a}}\n" * LONG_BLOCKS)
    text.set_values({"a": "Priya"})
    assert not text.extraSelections()
    ink = current_theme().variable_edge.rgb()
    image = text.grab(QRect(0, 0, 200, 100)).toImage()
    assert any(image.pixel(x, y) == ink for x in range(image.width()) for y in range(image.height()))
    text.select(0, len("{{a}}\n") * 2)
    QTest.keyClick(text, Key.Key_Delete)
    assert len(text.extraSelections()) == len(text.marks) == LONG_BLOCKS - 2


def test_card_text_long_text_of_few_lines_is_marked_where_it_is_painted(text: CardText) -> None:
    text.set_exact("x{{a}}\u00a0 " * 5_000)
    text.set_values({"a": "Priya"})
    assert text.blockCount() < LONG_BLOCKS
    assert not text.extraSelections()
    area = text.geometry_of_text.areas(1, 6)[0]
    assert text.tip_at(area.center().toPoint()) == "{{a}} = Priya"
    text.set_values({})
    assert "has no value" in text.tip_at(area.center().toPoint())
    text.select(0, 1)
    QTest.keyClicks(text, "yy")
    moved = text.geometry_of_text.areas(2, 7)[0]
    assert "{{a}} has no value" in text.tip_at(moved.center().toPoint())
    text.set_advised(((0, 2, "advice"),))
    assert text.tip_at(text.geometry_of_text.areas(0, 1)[0].center().toPoint()) == "advice"


def test_gap_follows_its_line_through_edits_above_it_and_closes_without_a_trace(text: CardText) -> None:
    """The place of a gap is a number: a QTextCursor kept for it ended the process after changes of the theme."""
    text.set_exact("one\ntwo\nthree\nfour")
    plain = text.geometry_of_text.height()
    text.set_gap("boundary", len("one\ntwo\nth"))
    for splice in (Splice(0, "", "zero\n"), Splice(0, "zero\none\n", ""), Splice(0, "", "😀\nb\nc\n")):
        text.apply(splice)
    line = text.exact.text.index("three")
    top = text.gap_top("boundary")
    assert top is not None
    assert top < text.geometry_of_text.spot(text.exact.unit(line)).top
    text.set_gap("boundary", None)
    assert text.geometry_of_text.height() == plain / 4 * text.blockCount()
    text.set_gap("boundary", 0)
    kept = [value for value in vars(text.geometry_of_text).values() if isinstance(value, list)]
    assert not any(isinstance(one, QTextCursor) for value in kept for one in value)


@pytest.mark.parametrize("now", ["", "{{x", "other text", "😀"])
@pytest.mark.parametrize("exactly", [True, False])
def test_another_text_has_no_marks_of_the_advice_on_the_one_before(
    text: CardText, now: str, exactly: bool, qtlog: _QtMessageCapture
) -> None:
    text.set_exact("{{x}} at 2026-11-30 12:00")
    text.set_advised(((9, 25, "advice"),))
    assert len(text.extraSelections()) == 2
    (text.set_exact if exactly else text.show_exact)(now)
    text.set_values({"x": "1"})
    assert not text.extraSelections()
    assert [record.message for record in qtlog.records if "out of range" in (record.message or "")] == []


def test_marks_near_a_span_are_those_of_the_whole_text() -> None:
    """Random texts with variables, odd characters, advice, surrogate pairs and lines in pieces."""
    chance = random.Random(11)
    pieces = ("{{a}}", "{{ b }}", "{{", "}}", "\u00a0", "\u200b", "😀", "word ", "\n", "आपका ", "y" * 700)
    for _ in range(200):
        exact = ExactText("".join(chance.choices(pieces, k=chance.randrange(1, 60))))
        places = sorted(chance.sample(range(len(exact.text) + 1), k=min(6, len(exact.text) // 2 * 2)))
        advised = tuple((start, end, "why") for start, end in zip(places[::2], places[1::2], strict=True))
        whole = marks_of(exact, {"a": "x"}, advised)
        start = chance.randrange(exact.units + 1)
        end = chance.randrange(start, exact.units + 1)
        found = marks_between(marks_near(exact, (start, end), {"a": "x"}, advised), start, end)
        assert found == marks_between(whole, start, end), (exact.text, advised, start, end)


def test_any_sequence_of_keys_leaves_image_and_height_right(text: CardText) -> None:
    """Random keys against the displayed image, and heights stored per piece against heights measured again."""
    chance = random.Random(7)
    text.set_exact(ODD * 3)
    keys = [Key.Key_Left, Key.Key_Right, Key.Key_Up, Key.Key_Down, Key.Key_Backspace, Key.Key_Delete, Key.Key_Return]
    for step in range(400):
        choice = chance.random()
        if choice < 0.5:
            QTest.keyClick(text, chance.choice(keys))
        elif choice < 0.8:
            QTest.keyClicks(text, chance.choice("ab{} "))
        elif choice < 0.9:
            text.insert_exact(chance.choice(["\u00a0", "😀", "\r\n", "{{x}}", "a\nb\nc"]))
        else:
            ends = sorted(chance.randrange(len(text.exact.text) + 1) for _ in range(2))
            text.select(*ends)
        assert shown(text) == image_of(text.exact.text), step
        kept = text.geometry_of_text.tops()
        text.geometry_of_text.forget()
        assert kept == text.geometry_of_text.tops(), step
        assert text.verticalScrollBar().value() == 0


def test_the_gap_stands_over_its_line_through_edits(text: CardText) -> None:
    text.set_exact("first line\nsecond line\nthird line")
    without = text.geometry_of_text.height()
    second = text.exact.text.index("second")
    before = text.geometry_of_text.spot(second).top
    text.set_gap("end", second)
    opened = text.geometry_of_text.spot(second).top - before
    assert opened > 20
    assert text.geometry_of_text.height() == without + opened
    QTest.keyClicks(text, "x")
    assert text.geometry_of_text.spot(second + 1).top == before + opened
    text.select(second + 3, second + 3)
    QTest.keyClicks(text, "y")
    assert text.geometry_of_text.height() == without + opened
    text.set_gap("end", None)
    assert text.geometry_of_text.height() == without


def test_right_to_left_paragraphs_begin_at_the_right(text: CardText) -> None:
    text.resize(400, 40)
    text.set_exact("left\nمرحبا بكم")
    assert text.geometry_of_text.spot(0).x < 10
    spot = text.geometry_of_text.spot(text.exact.text.index("م"))
    assert spot.rtl
    assert spot.x > 300


def test_cursor_keys_leave_at_the_ends(open_pane: Callable[[Document], OpenPane]) -> None:
    cards = open_pane(
        Document(messages=(Message("system", "one\ntwo"), Message("user", "three")))
    ).pane.prompt_tab.cards
    cards[0].text.setFocus()
    cards[0].text.select(7, 7)
    QTest.keyClick(cards[0].text, Key.Key_Down)
    assert cards[1].text.hasFocus()
    QTest.keyClick(cards[1].text, Key.Key_Up)
    assert cards[0].text.hasFocus()
    assert cards[0].text.textCursor().position() == 7


def test_release_clipboard_copied_selection_is_replaced_by_data_of_qt(text: CardText) -> None:
    text.set_exact(ODD)
    text.selectAll()
    text.copy()
    copied, before = QGuiApplication.clipboard().mimeData(), QGuiApplication.clipboard().text()
    release_clipboard()
    assert QGuiApplication.clipboard().mimeData() is not copied
    assert QGuiApplication.clipboard().text() == before != ""
