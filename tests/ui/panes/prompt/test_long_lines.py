"""Paragraphs too long for one layout: displayed in pieces, exact to the character, and fast."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from playground.prompt.document import Document, Message
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.marks import GAP_PX
from playground.ui.widgets.lossless_text import LONG, ExactText, Splice, breaks_in, image_of
from tests.ui.panes.prompt.conftest import OpenPane

Key = Qt.Key
LINE = "".join(random.Random(7).choice("abcdefg 😀₹\u00a0{}") for _ in range(12_000))


@pytest.fixture
def text(qtbot: QtBot, themed: QApplication) -> CardText:
    widget = CardText()
    qtbot.addWidget(widget)
    widget.resize(500, 20)
    widget.show()
    return widget


def assert_consistent(text: CardText) -> None:
    """The widget's text without its display breaks is the image, and positions map both ways."""
    shown = ""
    breaks = []
    block = text.document().firstBlock()
    plain = 0
    while block.isValid():
        if block.blockNumber() and block.userState() != 1:
            shown += "\n"
            plain += 1
        elif block.blockNumber():
            breaks.append(plain)
        shown += block.text()
        plain += block.length() - 1
        assert block.length() - 1 <= LONG * 2
        block = block.next()
    assert shown == image_of(text.exact.text)
    assert text.exact.breaks == breaks
    assert text.exact.units == text.document().characterCount() - 1


@given(st.text(st.sampled_from("ab 😀\u0947\u200d{}\n"), max_size=200), st.integers(0, 4_000), st.integers(0, 4_000))
def test_positions_map_across_breaks_both_ways(tail: str, before: int, after: int) -> None:
    exact = ExactText("x" * before + tail + "y" * after)
    for index in {0, before, before + len(tail), len(exact.text), len(exact.text) // 2}:
        assert exact.index(exact.unit(index)) == index
        assert exact.index(exact.unit(index, before=True)) == index


def test_breaks_avoid_variables_and_combined_characters() -> None:
    name = "{{" + "n" * 40 + "}}"
    for shift in range(0, 60, 3):
        image = "x" * (1_480 + shift) + name + "y" * 4_000
        assert not any(len("x" * (1_480 + shift)) < cut < 1_480 + shift + len(name) for cut in breaks_in(image))
    virama = "क्ष" * 2_000
    assert all(virama[cut] == "क" for cut in breaks_in(virama))


@pytest.mark.parametrize("seed", range(6))
def test_random_keys_across_breaks_match_a_plain_string(text: CardText, seed: int) -> None:
    chance = random.Random(seed)
    text.set_exact(LINE + "\n" + LINE[:5_000])
    wanted = text.exact.text

    def typed(splice: Splice) -> None:
        nonlocal wanted
        assert wanted[splice.at : splice.at + len(splice.removed)] == splice.removed
        wanted = splice.applied(wanted)

    text.typed.connect(typed)
    for _ in range(60):
        near = [text.exact.index(text.exact.unit_of(unit)) for unit in text.exact.breaks]
        place = chance.choice(near) + chance.choice((-1, 0, 0, 1)) if near and chance.random() < 0.7 else 0
        place = min(max(place or chance.randrange(len(wanted) + 1), 0), len(wanted))
        text.select(place, place)
        if chance.random() < 0.4:
            text.moveCursor(QTextCursor.MoveOperation.Left)
        if chance.random() < 0.3:
            text.select(place, min(place + chance.choice((1, 5, 2_000)), len(wanted)))
        key = chance.choice((Key.Key_A, Key.Key_Backspace, Key.Key_Delete, Key.Key_Return, Key.Key_Space))
        held = Qt.KeyboardModifier.ControlModifier if chance.random() < 0.2 and key != Key.Key_A else None
        if key == Key.Key_Return or held is None:
            QTest.keyClick(text, key)
        else:
            QTest.keyClick(text, key, held)
        assert text.exact.text == wanted
        assert_consistent(text)


@pytest.mark.parametrize(("key", "wanted"), [(Key.Key_Backspace, -1), (Key.Key_Delete, 0)])
@pytest.mark.parametrize("side", [0, -1])
def test_deletion_at_a_break_removes_a_character_not_the_break(
    text: CardText, key: Qt.Key, wanted: int, side: int
) -> None:
    chance = random.Random(1)
    line = "".join(chance.choice("abcdef") for _ in range(9_000))
    text.set_exact(line)
    cut = text.exact.breaks[0]
    cursor = text.textCursor()
    cursor.setPosition(text.exact.unit(cut) + side)
    text.setTextCursor(cursor)
    QTest.keyClick(text, key)
    assert text.exact.text == line[: cut + wanted] + line[cut + wanted + 1 :]
    assert_consistent(text)


def test_a_paragraph_that_became_short_is_displayed_whole(text: CardText) -> None:
    text.set_exact("a" * 4_000)
    assert text.exact.breaks
    text.select(100, 4_000)
    QTest.keyClick(text, Key.Key_Delete)
    assert text.exact.breaks == []
    assert text.blockCount() == 1


def test_copy_of_a_long_line_has_no_display_breaks(text: CardText) -> None:
    text.set_exact(LINE)
    text.selectAll()
    text.copy()
    assert QGuiApplication.clipboard().text() == LINE


def test_a_keystroke_in_a_line_of_300_kb_takes_less_than_a_frame(open_pane: Callable[[Document], OpenPane]) -> None:
    pane = open_pane(Document(messages=(Message("user", "a" * 300_000),))).pane
    pane.show_place(0, 150_000)
    text = pane.prompt_tab.cards[0].text
    QApplication.processEvents()
    times = []
    for _ in range(40):
        started = time.process_time()
        QTest.keyClick(text, Key.Key_X)
        QApplication.processEvents()
        times.append(time.process_time() - started)
    assert sorted(times)[len(times) // 2] <= 0.0167


def test_pasting_two_megabytes_takes_less_than_a_second(open_pane: Callable[[Document], OpenPane]) -> None:
    opened = open_pane(Document(messages=(Message("user", ""),)))
    pane = opened.pane
    # The forecast of a text is measured in bench_prefix; here it is the editor alone.
    pane.edited.disconnect(opened.edited)
    text = pane.prompt_tab.cards[0].text
    QGuiApplication.clipboard().setText("lorem ipsum \u20b9" * 160_000)
    started = time.process_time()
    text.paste()
    QApplication.processEvents()
    # 0.8 s on an idle machine; the CPU time grows when other processes share the core.
    assert time.process_time() - started <= 2.0
    assert len(text.exact.text) == 13 * 160_000


@pytest.mark.parametrize("count", [LONG // 2, LONG // 2 + 1, LONG - 1, LONG, LONG + 1])
def test_typing_in_a_line_with_more_units_than_characters_is_sent(text: CardText, count: int) -> None:
    typed: list[Splice] = []
    text.typed.connect(typed.append)
    text.set_exact("😀" * count)
    QTest.keyClicks(text, "A")
    QGuiApplication.clipboard().setText("\n" + "😀" * (LONG // 2 + 9))
    text.paste()
    expected = "A\n" + "😀" * (LONG // 2 + 9) + "😀" * count
    assert text.exact.text == expected
    assert "".join(splice.inserted for splice in typed) == expected.removesuffix("😀" * count)
    assert_consistent(text)


def test_line_from_right_to_left_stays_at_the_right_after_a_selection_in_front_of_it_is_deleted(text: CardText) -> None:
    text.set_exact("abc\nשלום\nשלוםם\nabc")
    cursor = text.textCursor()
    cursor.setPosition(2)
    cursor.setPosition(6, QTextCursor.MoveMode.KeepAnchor)
    text.setTextCursor(cursor)
    QTest.keyClick(text, Key.Key_Delete)
    text.grab()  # a paragraph is aligned when it is painted
    line = text.document().findBlockByNumber(1).layout().lineAt(0)
    assert line.naturalTextRect().right() > text.viewport().width() - 10


def _laid_out(text: CardText) -> int:
    block, found = text.document().firstBlock(), 0
    while block.isValid():
        found += block.layout().lineCount() > 0
        block = block.next()
    return found


def test_another_width_of_many_short_lines_lays_out_only_those_that_need_it(text: CardText) -> None:
    text.set_exact("\n".join(["short"] * 2_000 + ["wide " * 60, "", "नमस्ते " * 9] + ["short"] * 2_000))
    for width in (400, 700, 300, 700):
        text.resize(width, text.height())
        assert _laid_out(text) < 100  # before it is painted, here as a whole
        measure = text.document().documentLayout().blockBoundingRect
        tops, block = [0.0], text.document().firstBlock()
        while block.isValid():
            tops.append(tops[-1] + measure(block).height())
            block = block.next()
        assert text.geometry_of_text.tops() == pytest.approx(tops)


@pytest.mark.parametrize("line", [0, 1, 1_500, 3_999])
def test_gap_in_a_long_text_keeps_its_room_at_other_widths(text: CardText, line: int) -> None:
    text.set_exact("\n".join(["short"] * 4_000))
    text.set_gap("end", text.document().findBlockByNumber(line).position())
    for width in (400, 700, 900, 600):
        text.resize(width, text.height())
        QApplication.processEvents()
        tops = text.geometry_of_text.tops()
        heights = {round(below - top) for number, (top, below) in enumerate(pairwise(tops)) if number != line}
        assert len(heights) == 1
        assert tops[line + 1] - tops[line] == pytest.approx(heights.pop() + GAP_PX, abs=1)
        assert text.height() == ceil(tops[-1])


def test_page_keys_move_by_the_visible_part_of_a_long_text(open_pane: Callable[[Document], OpenPane]) -> None:
    lines = "\n".join(f"line {number}" for number in range(2_000))
    pane = open_pane(Document(name="long", messages=(Message("system", lines), Message("user", "question")))).pane
    first, second = (card.text for card in pane.prompt_tab.cards)
    pane.prompt_tab.go_to(0, 0)
    QApplication.processEvents()
    page = pane.prompt_tab.area.viewport().height()

    def moved(key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> float:
        before = first.geometry_of_text.spot(first.textCursor().position()).top
        QTest.keyClick(first, key, held)
        QApplication.processEvents()
        return (first.geometry_of_text.spot(first.textCursor().position()).top - before) / page

    moved(Key.Key_PageDown)
    assert 0.7 < moved(Key.Key_PageDown) <= 1
    assert 0.7 < -moved(Key.Key_PageUp) <= 1
    assert 0.7 < moved(Key.Key_PageDown, Qt.KeyboardModifier.ShiftModifier) <= 1
    assert first.textCursor().hasSelection()
    pane.prompt_tab.go_to(0, len(lines))
    assert not second.hasFocus()
    QTest.keyClick(first, Key.Key_PageDown)
    assert second.hasFocus()


def test_several_widths_in_one_turn_lay_out_a_long_text_once(text: CardText, monkeypatch: pytest.MonkeyPatch) -> None:
    text.set_exact("\n".join(f"{number} " + "words " * 20 for number in range(400)))
    QApplication.processEvents()
    before, counted = text.height(), 0
    fit = CardText._fit

    def _fit(self: CardText) -> None:
        nonlocal counted
        counted += 1
        fit(self)

    monkeypatch.setattr(CardText, "_fit", _fit)
    for width in (400, 300, 250):
        text.resize(width, text.height())
    QApplication.processEvents()
    assert counted == 1
    assert text.height() == ceil(text.geometry_of_text.height()) > before


def test_another_text_is_displayed_with_the_cursor_at_its_start(open_pane: Callable[[Document], OpenPane]) -> None:
    pane = open_pane(Document(messages=(Message("system", "a\nb"), Message("user", "c")))).pane
    pane.set_document(Document(messages=(Message("system", "one\ntwo"), Message("user", "three"))))
    cards = pane.prompt_tab.cards
    assert [card.text.textCursor().position() for card in cards] == [0, 0]
    assert [card.text.exact.text for card in cards] == ["one\ntwo", "three"]
