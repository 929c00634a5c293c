"""Find and replace, through the pane."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QInputMethodEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDoubleSpinBox
from pytestqt.qtbot import QtBot

from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.ui.panes.prompt.find import FindBar, folded, matches
from playground.ui.panes.prompt.pane import BODY, PromptPane
from playground.ui.theme import apply_theme, load_theme
from tests.ui.panes.prompt.conftest import OpenPane

Open = Callable[[Document], OpenPane]
Key = Qt.Key
TEXTS = ("one two one", "İstanbul ONE", "none")


@pytest.fixture
def pane(open_pane: Open) -> PromptPane:
    return open_pane(Document(messages=tuple(Message("user", text) for text in TEXTS))).pane


def selected(pane: PromptPane) -> tuple[tuple[int, int], str]:
    for index, card in enumerate(pane.prompt_tab.cards):
        start, end = card.text.selection()
        if start != end:
            return (index, start), card.text.exact.text[start:end]
    return (0, 0), ""


def test_find_bar_is_created_on_first_use_above_the_footer(pane: PromptPane) -> None:
    assert not pane.findChildren(FindBar)
    pane.show_find()
    bar, column = pane.find_bar, pane.layout()
    assert column is not None
    assert pane.findChildren(FindBar) == [bar]
    assert column.indexOf(bar) + 1 == column.indexOf(pane.footer)


def test_find_starts_at_the_cursor_and_wraps(pane: PromptPane) -> None:
    pane.show_place(0, 4)
    pane.show_find()
    QTest.keyClicks(pane.find_bar.line, "one")
    assert pane.find_bar.count == "2 of 4"
    assert selected(pane)[0] == (0, 8)
    seen = []
    for _ in range(4):
        QTest.keyClick(pane.find_bar.line, Key.Key_Return)
        seen.append(pane.find_bar.count)
    assert seen == ["3 of 4", "4 of 4", "1 of 4", "2 of 4"]


def test_find_uses_the_selection(pane: PromptPane) -> None:
    pane.prompt_tab.go_to(0, 4, 7)
    pane.show_find()
    assert pane.find_bar.line.text() == "two"
    assert pane.find_bar.count == "1 of 1"


def test_find_ignores_case_also_beside_letters_that_grow(pane: PromptPane) -> None:
    assert len(folded("İstanbul ONE")) == len("İstanbul ONE")
    pane.show_find()
    QTest.keyClicks(pane.find_bar.line, "istan")
    assert pane.find_bar.count == "1 of 1"
    assert selected(pane) == ((1, 0), "İstan")


def test_replace_changes_the_current_match_and_goes_on(pane: PromptPane) -> None:
    pane.show_place(0, 0)
    pane.show_find(replacing=True)
    pane.find_bar.line.setText("one")
    pane.find_bar.replacement.setText("1")
    pane.find_bar.replacement.setFocus()
    QTest.keyClick(pane.find_bar.replacement, Key.Key_Return)
    assert pane.document().messages[0].content == "1 two one"
    assert pane.find_bar.count == "1 of 3"
    pane.find_bar.replace()
    assert pane.document().messages[0].content == "1 two 1"
    pane.undo()
    assert pane.document().messages[0].content == "1 two one"


def test_replace_all_is_one_step(pane: PromptPane) -> None:
    pane.show_find(replacing=True)
    pane.find_bar.line.setText("one")
    pane.find_bar.replacement.setText("oneone")
    pane.find_bar.replace_all()
    assert [message.content for message in pane.document().messages] == [
        "oneone two oneone",
        "İstanbul oneone",
        "noneone",
    ]
    assert pane.find_bar.count == "4 replaced"
    pane.find_bar.step(1)
    assert pane.find_bar.count.endswith(" of 8")
    pane.undo()
    assert tuple(message.content for message in pane.document().messages) == TEXTS
    assert pane.find_bar.count.endswith(" of 4")
    pane.find_bar.replacement.setText("")
    pane.find_bar.replace_all()
    assert pane.find_bar.count == "4 replaced"
    assert pane.find_bar.line.property("bad") == "false"
    pane.find_bar.line.setText("xyz")
    assert pane.find_bar.count == "no match"


def test_undo_does_not_join_typing_across_a_caret_move(pane: PromptPane) -> None:
    pane.show_place(0, 0)
    text = pane.prompt_tab.cards[0].text
    QTest.keyClicks(text, "ab")
    QTest.keyClick(text, Key.Key_Left)
    QTest.keyClick(text, Key.Key_Right)
    QTest.keyClicks(text, "cd")
    pane.undo()
    assert pane.document().messages[0].content == "abone two one"


def test_a_composition_ends_with_a_change_of_tab(pane: PromptPane) -> None:
    pane.show_place(0, 0)
    text = pane.prompt_tab.cards[0].text
    QApplication.sendEvent(text, QInputMethodEvent("に", []))
    assert pane.composing()
    pane.tabs.setCurrentIndex(BODY)
    assert not pane.composing()


def test_numbers_are_english_whatever_the_system(qapp: QApplication) -> None:
    from PySide6.QtCore import QLocale

    QLocale.setDefault(QLocale("de_DE"))
    apply_theme(qapp, load_theme("light"))
    box = QDoubleSpinBox()
    box.setMaximum(2_000.0)
    box.setValue(1_000.5)
    assert box.text() == "1000.50"


def test_find_matches_case_only_if_asked_for(pane: PromptPane) -> None:
    pane.show_find()
    bar = pane.find_bar
    bar.line.setText("ONE")
    assert bar.count.endswith("of 4")
    QTest.keyClick(bar.line, Key.Key_C, Qt.KeyboardModifier.AltModifier)
    assert bar.case.isChecked()
    assert bar.case.accessibleName() == "Match case (Alt+C)"
    assert bar.count == "1 of 1"
    assert pane.prompt_tab.cards[1].text.selection() == (9, 12)


def test_find_regular_expression_selects_by_code_points_and_names_its_faults(open_pane: Open) -> None:
    content = "😀 id 12, 😀😀 id 345\nid 6"
    pane = open_pane(Document(messages=(Message("user", content), Message("user", "a" * 60 + "b")))).pane
    pane.show_find()
    bar = pane.find_bar
    bar.line.setText(r"id \d+$")
    assert bar.count == "no match"
    QTest.keyClick(bar.line, Key.Key_X, Qt.KeyboardModifier.AltModifier)
    assert bar.regex.isChecked()
    assert bar.count == "1 of 2"
    assert selected(pane) == ((0, content.index("id 345")), "id 345")
    bar.open_bar((0, 0), "", replacing=True)
    bar.replacement.setText("X")
    bar.replace_all()
    assert pane.document().messages[0].content == "😀 id 12, 😀😀 X\nX"
    bar.line.setText("(a")
    assert bar.count == "not a regular expression: missing closing parenthesis"
    assert bar.line.accessibleDescription() == bar.count
    bar.line.setText("z*")  # empty matches are none
    assert bar.count == "no match"
    bar.line.setText("(a+)+$")
    assert bar.count == "too slow: simplify the expression"
    assert not bar.all.isEnabled()


@pytest.mark.parametrize("pattern", [r"id \d+", "x|é", "😀+", r"\b", "a*", r"(\w)\1", r"(?<=e)\s+i", "^.*$"])
def test_matches_of_regular_expression_are_those_of_python_in_a_long_text(pattern: str) -> None:
    text = "".join(f"aab 😀😀 the id {n} é\n" if n % 7 else "😀" * 1_030 + "ee  i" for n in range(60))
    expected = [(0, one.start(), one.end() - one.start()) for one in re.finditer(pattern, text, re.M) if one.group()]
    found = matches((Message("user", text),), pattern, case=True, regex=True)
    assert [match for match in found if match] == expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 300_000 + "b"),
        ("(a+)+$", ("a" * 22 + "b") * 13_000),
        ("^b|(a+)+$", "b\n" + "a" * 60 + "b"),  # the first match does not hide the fault
        ("a*a*a*c", "a" * 300_000),
        (r"(.*)\1z", "a" * 300_000),
    ],
)
def test_regular_expression_that_is_too_slow_ends_in_one_huge_line(pattern: str, text: str) -> None:
    with pytest.raises(InputError, match="too slow"):
        list(matches((Message("user", text),), pattern, regex=True))


def test_long_search_goes_on_between_events_and_replaces_all_at_its_end(open_pane: Open, qtbot: QtBot) -> None:
    text = "ab" * 20_000
    pane = open_pane(Document(messages=(Message("user", text),))).pane
    pane.show_find(replacing=True)
    bar = pane.find_bar
    bar.regex.setChecked(True)
    bar.replacement.setText("c")
    bar.line.setText("a|b")
    assert re.fullmatch(r"1 of [1-9][\d,]*\+", bar.count)
    assert selected(pane) == ((0, 0), "a")
    assert not bar.all.isEnabled()
    bar.step(1)
    qtbot.waitUntil(bar.all.isEnabled, timeout=60_000)
    assert bar.count == "2 of 40,000"
    bar.line.setText("a.|x")
    bar.close_bar()
    assert not bar._turn.isActive()
    pane.show_find(replacing=True)
    qtbot.waitUntil(bar.all.isEnabled, timeout=60_000)
    bar.replace_all()
    assert pane.document().messages[0].content == "c" * 20_000


def test_replace_all_replaces_each_match_of_each_message(pane: PromptPane) -> None:
    pane.show_find(replacing=True)
    bar = pane.find_bar
    bar.line.setText("one")
    bar.replacement.setText("1!")
    before = [message.content or "" for message in pane.document().messages]
    bar.replace_all()
    after = [message.content for message in pane.document().messages]
    assert after == [re.sub("one", "1!", text, flags=re.I) for text in before]
    assert after != before


def test_find_options_and_faults_are_seen(pane: PromptPane) -> None:
    pane.show_find()
    bar = pane.find_bar
    bar.line.setText("(a")
    plain = bar.regex.grab().toImage()
    bar.regex.setChecked(True)
    assert bar.regex.grab().toImage() != plain
    QApplication.sendPostedEvents()
    assert bar._wrong.isVisible()
    assert bar._wrong.text() == "not a regular expression: missing closing parenthesis"
    assert bar._count.text() == ""
    assert bar.line.width() > bar.width() / 3
