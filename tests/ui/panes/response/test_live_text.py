"""The live text on a real widget: exact when copied, followed only at its end, selection kept."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import current_theme

LINES = "".join(f"line {number}\n" for number in range(300))


def _shown(qtbot: QtBot) -> LiveText:
    text = LiveText("Completion")
    qtbot.addWidget(text)
    text.resize(300, 200)
    text.show()
    qtbot.waitExposed(text)
    return text


def test_copy_gives_what_came_not_what_qt_made_of_it(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    exact = "a\u00a0b\r\nc\u2028d\re 😀\u2029f" + "x" * 5_000
    for end in range(1, 20):
        text.show_text(exact[:end], final=False)
    text.show_text(exact)
    text.selectAll()
    text.copy()
    assert QGuiApplication.clipboard().text() == exact
    assert text.exact_text == exact


def test_a_part_is_copied_exactly(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    text.show_text("😀\u00a0one\r\ntwo")
    cursor = text.textCursor()
    cursor.setPosition(2)
    cursor.setPosition(9, QTextCursor.MoveMode.KeepAnchor)
    text.setTextCursor(cursor)
    assert text.selected_exact_text() == "\u00a0one\r\ntw"


@pytest.mark.parametrize("exact", ["\ufeffbom", "\ufeff\ufeffabc", "a\ufeff", "\ufffeabc"])
def test_selecting_all_of_a_text_with_byte_order_marks_gives_all_of_it(qtbot: QtBot, exact: str) -> None:
    text = _shown(qtbot)
    text.show_text(exact)
    text.selectAll()
    assert text.selected_exact_text() == exact
    assert len(text.toPlainText()) == len(exact)


def test_it_follows_at_the_end_and_only_there(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    bar = text.verticalScrollBar()
    text.show_text("begin\n", final=False)
    text.show_text("begin\n" + LINES, final=False)
    assert bar.value() == bar.maximum() > 0
    QTest.keyClick(text.viewport(), Qt.Key.Key_PageUp)
    qtbot.waitUntil(lambda: not text.follow.following)
    place = bar.value()
    assert place < bar.maximum()
    text.show_text("begin\n" + LINES * 2, final=False)
    assert bar.value() == place
    for _ in range(60):
        QTest.keyClick(text.viewport(), Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: text.follow.following)
    text.show_text("begin\n" + LINES * 3, final=False)
    assert bar.value() == bar.maximum()


def test_live_text_rows_that_wrap_when_the_scroll_bar_appears_still_follow(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    words = ""
    for number in range(200):
        words += f"word{number} "
        text.show_text(words, final=False)
        qtbot.wait(0)
        assert text.follow.following
    bar = text.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    text.resize(200, 150)
    assert bar.value() == bar.maximum()


def test_a_whole_text_is_read_from_its_top(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    text.show_text(LINES)
    assert text.verticalScrollBar().value() == 0


def test_a_selection_stays_while_text_comes(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    text.show_text("one two", final=False)
    text.selectAll()
    text.show_text("one two three", final=False)
    assert text.selected_exact_text() == "one two"


def test_another_text_replaces_the_first(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    text.show_text("one")
    text.show_text("two")
    assert text.exact_text == text.toPlainText() == "two"


def test_live_text_with_direction_controls_shows_them_and_copies_the_exact_text(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    exact = "pay \u202e001 RNI\u202c now\x1b[31m\u0007"
    text.show_text(exact)
    assert text.toPlainText() == "pay ⇤001 RNI⇹ now␛[31m␇"
    text.selectAll()
    text.copy()
    assert QGuiApplication.clipboard().text() == exact


@pytest.mark.parametrize(("text", "left"), [("The late fee", False), ("مرحبا بكم", True)])
def test_live_text_streaming_marks_its_end_until_it_is_final(qtbot: QtBot, text: str, left: bool) -> None:
    view = LiveText("Completion")
    qtbot.addWidget(view)
    view.resize(300, 80)
    view.show()
    view.show_text(text, final=False)
    block = view.caret_rect()
    assert view.viewport().grab().toImage().pixelColor(block.center()) == current_theme().output
    assert (block.center().x() < view.cursorRect(QTextCursor(view.document())).center().x()) == left
    view.show_text(text)
    assert view.caret_rect().isEmpty()


def test_live_text_paragraphs_are_at_the_side_of_their_first_letter(qtbot: QtBot) -> None:
    text = _shown(qtbot)
    paragraphs = {"abc שלום": False, "שלום abc": True, "1. مرحبا abc": True, "नमस्ते": False}
    text.show_text("\n".join(paragraphs))
    text.resize(text.width() + 100, text.height())
    text.grab()
    block, sides = text.document().firstBlock(), []
    while block.isValid():
        sides.append(block.layout().lineAt(0).naturalTextRect().left() > text.viewport().width() / 2)
        block = block.next()
    assert sides == list(paragraphs.values())
