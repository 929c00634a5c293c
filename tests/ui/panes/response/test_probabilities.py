"""The Probabilities tab: tinted text, table, and the summary of the selected token."""

from __future__ import annotations

import math

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QHelpEvent, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QToolTip
from pytestqt.qtbot import QtBot

from playground.client.chunks import token_probabilities
from playground.client.events import AnyEvent, ContentDelta, TokenProbabilities, TokenProbability
from playground.runs.state import RunState
from playground.simulator.wire import logprobs
from playground.ui.panes.response.pane import PROBABILITIES, TEXT, ResponsePane
from playground.ui.panes.response.probabilities_tab import A_STEP, LEGEND, TintedText, percent_text, summary, visible
from playground.ui.theme import apply_theme, load_theme
from tests.ui import runs_on_show as runs

WORDS = ["One", " moment", "\n", "please", "🙂"]


@pytest.fixture
def pane(qtbot: QtBot) -> ResponsePane:
    """A pane on the screen."""
    pane = ResponsePane()
    qtbot.addWidget(pane)
    pane.resize(620, 560)
    pane.show()
    qtbot.waitExposed(pane)
    return pane


def _pieces(words: list[str], top: int = 3) -> list[AnyEvent]:
    """What the simulator sends for these tokens, as events."""
    events: list[AnyEvent] = []
    for word in words:
        events += [ContentDelta(0.3, word), TokenProbabilities(0.3, token_probabilities(logprobs([word], top)))]
    return events


def _done(words: list[str] = WORDS) -> RunState:
    return runs.grown(RunState(), [*runs.sent(), *_pieces(words), *runs.ending()])


def test_the_tab_is_there_only_where_any_came(pane: ResponsePane) -> None:
    pane.show_state(runs.done())
    assert not pane.tabs.isTabVisible(PROBABILITIES)
    pane.show_state(_done())
    assert pane.tabs.isTabVisible(PROBABILITIES)
    assert pane.tabs.tabText(PROBABILITIES) == "Probabilities 5"
    pane.show_tab(PROBABILITIES)
    pane.show_state(runs.done())
    assert not pane.tabs.isTabVisible(PROBABILITIES)
    assert pane.tabs.currentIndex() != PROBABILITIES


def test_nothing_is_selected_by_what_is_added(pane: ResponsePane) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    text = pane.findChild(TintedText)
    assert text is not None
    assert text.shown == 5
    assert not text.textCursor().hasSelection()


def test_who_looks_at_it_stays_while_the_next_answer_is_awaited(pane: ResponsePane) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    state = runs.grown(RunState(), runs.sent())
    pane.show_state(state)
    assert pane.tabs.currentIndex() == PROBABILITIES
    runs.grown(state, _pieces(WORDS))
    pane.refresh()
    assert pane.probabilities_tab.model.rowCount() == 5


def test_text_and_table_say_the_same(pane: ResponsePane) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    tab = pane.probabilities_tab
    assert tab.text.toPlainText() == "One moment\nplease🙂"
    rows = [[tab.model.index(row, column).data() for column in range(4)] for row in range(tab.model.rowCount())]
    assert rows[1] == ["2", "␣moment", "71.7 %", "␣~1 22.0 %   ␣~2 4.9 %"]
    assert rows[2][1] == "⏎"
    assert tab.summary.text().startswith("5 tokens · ")
    assert tab.chosen.text() == LEGEND


def test_choosing_in_either_chooses_in_both(pane: ResponsePane) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    tab = pane.probabilities_tab
    tab.table.selectRow(4)
    assert tab.text.textCursor().selectedText() == "🙂"
    assert tab.chosen.text().startswith("token 5: 🙂 63.3 % · instead: ")
    cursor = QTextCursor(tab.text.document())
    cursor.setPosition(5)
    tab.text.setTextCursor(cursor)
    assert tab.table.currentIndex().row() == 1
    assert tab.chosen.text().startswith("token 2: ␣moment 71.7 %")
    QTest.keyClick(tab.text, Qt.Key.Key_Home, Qt.KeyboardModifier.ControlModifier)
    assert tab.table.currentIndex().row() == 0


def test_the_number_is_told_on_hover(pane: ResponsePane, qtbot: QtBot) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    text = pane.probabilities_tab.text
    place = text.cursorRect(text.textCursor()).center() + QPoint(2, 0)
    at = text.viewport().mapTo(text, place)
    QApplication.sendEvent(text, QHelpEvent(QHelpEvent.Type.ToolTip, at, text.mapToGlobal(at)))
    qtbot.waitUntil(lambda: QToolTip.text().startswith("token 1: One 80.0 %"))
    QToolTip.hideText()


def test_the_less_probable_the_stronger_and_underlined(qtbot: QtBot) -> None:
    text = TintedText()
    qtbot.addWidget(text)
    text.show_tokens(
        [TokenProbability("a", math.log(share)) for share in (0.99, 0.6, 0.2)] + [TokenProbability("?", None)]
    )
    text.grow()
    forms = []
    for index in range(4):
        text.mark(index)
        forms.append(text.textCursor().charFormat())
    alphas = [form.background().color().alphaF() for form in forms[:3]]
    assert alphas == sorted(alphas)
    assert alphas[0] < 0.01 < 0.4 < alphas[2]
    assert [form.fontUnderline() or form.underlineStyle() != form.UnderlineStyle.NoUnderline for form in forms] == [
        False,
        False,
        True,
        False,
    ]
    assert forms[3].background().style() == Qt.BrushStyle.NoBrush


def test_a_long_answer_comes_in_steps(pane: ResponsePane, qtbot: QtBot) -> None:
    state = _done(["word "] * (A_STEP * 2 + 7))
    pane.show_state(state)
    pane.show_tab(PROBABILITIES)
    tab = pane.probabilities_tab
    assert tab.text.shown == A_STEP
    qtbot.waitUntil(lambda: tab.text.shown == A_STEP * 2 + 7)
    assert "".join(tab.text.toPlainText().split("\n")) == state.text
    assert tab.text.textCursor().position() == 0
    tab.table.selectRow(A_STEP * 2)
    assert tab.text.textCursor().selectedText() == "word "


def test_it_is_not_touched_while_hidden(pane: ResponsePane) -> None:
    pane.show_state(_done())
    assert pane.tabs.currentIndex() == TEXT
    assert pane.probabilities_tab.model.rowCount() == 0
    assert pane.probabilities_tab.text.shown == 0


def test_probabilities_another_theme_gives_other_tints(pane: ResponsePane, qapp: QApplication) -> None:
    pane.show_state(_done())
    pane.show_tab(PROBABILITIES)
    text = pane.probabilities_tab.text

    def tint() -> str:
        text.mark(0)
        return text.textCursor().charFormat().background().color().name()

    light, dark = load_theme("light"), load_theme("dark")
    assert tint() == light.output.name()
    apply_theme(qapp, dark)
    assert text.toPlainText() == "One moment\nplease🙂"
    assert tint() == dark.output.name()
    apply_theme(qapp, light)


@pytest.mark.parametrize(
    ("share", "said"),
    [(1.0, "100.0 %"), (0.99999, "> 99.9 %"), (0.5, "50.0 %"), (0.0001, "< 0.1 %"), (None, "—")],
)
def test_percentages_are_not_rounded_to_certainty(share: float | None, said: str) -> None:
    assert percent_text(None if share is None else math.log(share)) == said


def test_tokens_are_made_visible() -> None:
    assert [visible(token) for token in (" a", "\r\n", "\t", "", "\u200b", "x" * 100)] == [
        "␣a",
        "␍⏎",
        "⇥",
        "∅",
        "\\u200b",
        "x" * 80 + "…",
    ]


def test_the_summary_says_what_is_left_out() -> None:
    tokens = [TokenProbability("a", math.log(0.25)), TokenProbability("b", 0.0)]
    assert summary(tokens, 2) == "2 tokens · 50.0 % a token (geometric mean)"
    assert summary(tokens, 9).startswith("the first 2 of 9 tokens")
    assert summary([TokenProbability("a", None)], 1) == "1 token · no probability was sent with them"
