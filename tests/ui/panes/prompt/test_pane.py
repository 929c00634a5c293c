"""The prompt pane: display of a forecast, navigation, and documents that pass through it unchanged."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRect, Qt
from PySide6.QtGui import QColor, QContextMenuEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QMenu, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from playground import asset
from playground.prompt.document import Document, Message, Tool, ToolCall
from playground.prompt.field_errors import FieldError
from playground.prompt.files import dump, parse_bytes
from playground.prompt.request import missing_variables
from playground.ui.panes.prompt import variables_table
from playground.ui.panes.prompt.marks import marks_of
from playground.ui.panes.prompt.pane import BODY, PARAMETERS, PROMPT, TOOLS
from playground.ui.theme import apply_theme, load_theme
from playground.ui.widgets.lossless_text import ExactText
from tests.ui.panes.prompt.conftest import OpenPane

Open = Callable[[Document], OpenPane]
TOOL = Tool.of({"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}})
SYSTEM = (
    "You are brief.\nYou answer in the language of the caller, and you read numbers aloud as words.\n"
    "You are kind.\nYou never guess."
)
DOCUMENT = Document(
    tools=(TOOL,),
    messages=(Message("system", SYSTEM), Message("user", "{{name}} asks:\n{{question}}")),
    variables={"name": "Priya", "question": "Why is my parcel late again, and when will it be at my door?"},
)


def pixel(widget: QWidget, x: int, y: int) -> QColor:
    return widget.grab().toImage().pixelColor(x, y)


def test_the_sample_goes_through_unharmed(open_pane: Open) -> None:
    document = parse_bytes(asset("prompts/acme-phone-agent.prompt.json").read_bytes()).document
    pane = open_pane(document).pane
    assert pane.document() is document
    for index in range(4):
        pane.tabs.setCurrentIndex(index)
    assert dump(pane.document()) == dump(document)
    assert not pane.history.stack.canUndo()


def test_fill_shows_structure_and_edge_shows_the_cache(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    theme = load_theme("light")
    cards = opened.pane.prompt_tab.cards

    def fills() -> list[QColor]:
        return [pixel(card, 200, card.height() - 2) for card in cards]

    def edges() -> list[QColor]:
        return [pixel(card, 2, card.height() - 4) for card in cards]

    assert fills() == [theme.stable, theme.variable]
    assert edges() == [theme.surface, theme.surface]
    opened.sent(DOCUMENT)
    assert fills() == [theme.stable, theme.variable]
    assert edges() == [theme.warm_edge, theme.warm_edge]
    opened.pane.set_forecast(None)
    assert cards[0].axes is None


def test_an_edit_ends_the_edge_and_leaves_the_fill(open_pane: Open) -> None:
    # Longer than a block before the edit: of less, nothing is expected from the cache.
    text = "You always answer in one short and friendly sentence.\n" * 12 + SYSTEM
    document = replace(DOCUMENT, messages=(Message("system", text), *DOCUMENT.messages[1:]))
    opened = open_pane(document)
    opened.sent(document)
    theme = load_theme("light")
    card = opened.pane.prompt_tab.cards[0]
    opened.pane.show_place(0, text.index("kind"))
    QTest.keyClicks(card.text, "very ")
    assert card.axes is not None
    assert 0 < card.axes.warm_to <= text.index("kind")
    assert card.axes.variable_from is None
    assert pixel(card, 2, 10) == theme.warm_edge
    assert pixel(card, 2, card.height() - 4) == theme.surface
    assert pixel(card, 200, card.height() - 2) == theme.stable
    assert opened.pane.axes is not None
    assert opened.pane.axes.stable_end is not None
    assert (opened.pane.axes.stable_end.message, opened.pane.axes.stable_end.name) == (1, "name")


def test_the_boundary_is_before_the_card_or_inside_its_text(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    tab = opened.pane.prompt_tab
    row = tab.boundary_row
    QTest.qWait(0)
    assert not row.isHidden()
    assert "name" in row.accessibleName()
    assert tab.cards[0].geometry().bottom() < row.y() < tab.cards[1].y()
    height = tab.cards[1].text.height()
    opened.pane.show_place(1, 0)
    QTest.keyClicks(tab.cards[1].text, "x")
    assert row.isHidden()
    assert tab.cards[1].text.height() > height + 20
    assert "stable prefix ends" in tab.cards[1].text.accessibleDescription()


def test_without_variables_there_is_no_boundary(open_pane: Open) -> None:
    opened = open_pane(Document(messages=(Message("user", "hello"),)))
    assert opened.pane.prompt_tab.boundary_row.isHidden()
    assert pixel(opened.pane.prompt_tab.cards[0], 200, 3) == load_theme("light").stable
    assert opened.pane.axes is not None
    assert opened.pane.axes.variable_tokens == 0


def test_an_empty_prompt_is_neutral(open_pane: Open) -> None:
    opened = open_pane(Document(messages=(Message("system", ""), Message("user", ""))))
    assert [card.axes for card in opened.pane.prompt_tab.cards] == [None, None]
    assert opened.pane.footer.structure == ("stable —", "variable —")
    assert opened.pane.prompt_tab.ruler.stretches == ()


def test_an_outlook_of_an_older_document_is_ignored(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    old = opened.forecaster.look(Document(messages=(Message("user", "x"),)), "endpoint", "electron")
    before = opened.pane.axes
    opened.pane.set_forecast(old)
    assert opened.pane.axes is before


def test_axes_follow_the_text_until_the_next_look(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    opened.sent(DOCUMENT)
    opened.pane.edited.disconnect(opened.edited)
    opened.pane.show_place(1, len("{{name}}"))
    card = opened.pane.prompt_tab.cards[1]
    QTest.keyClicks(card.text, "abc")
    assert card.axes is not None
    assert card.axes.warm_to == len("{{name}}")
    assert card.axes.variable_from == 0


def test_figures_add_up_to_the_total(open_pane: Open) -> None:
    document = parse_bytes(asset("prompts/acme-billing-agent.prompt.json").read_bytes()).document
    opened = open_pane(document)
    for reported in (None, 531, 777):
        opened.pane.set_reported(0 if reported else None, reported)
        opened.pane.paint_forecast()
        axes = opened.pane.axes
        assert axes is not None
        assert reported in (None, axes.total)
        assert axes.tools_tokens + sum(message.tokens for message in axes.messages) == axes.total
        assert axes.stable_tokens + axes.variable_tokens == axes.total


def test_the_footer_names_both_forecasts_if_values_matter(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    assert opened.pane.footer.state == "cache: no answer yet"
    opened.sent(DOCUMENT)
    axes = opened.pane.axes
    assert axes is not None
    assert axes.new_values <= axes.stable_tokens < axes.same_values
    assert f"same values ≈ {axes.same_values:,}" in opened.pane.footer.forecast
    assert f"new values ≈ {axes.new_values:,}" in opened.pane.footer.forecast


def test_nothing_turns_warm_while_a_request_runs(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    opened.pane.set_running(True)
    opened.sent(DOCUMENT)
    assert opened.pane.axes is not None
    assert {message.warm_to for message in opened.pane.axes.messages} == {-1}
    assert (opened.pane.axes.warm, opened.pane.footer.state) == (False, "cache: no answer yet")
    opened.pane.set_running(False)
    assert opened.pane.axes.warm
    assert opened.pane.axes.messages[0].warm_to == len(SYSTEM)


def test_collapse_to_fit_collapses_no_more_messages_than_necessary(open_pane: Open) -> None:
    long = Message("system", "Be kind.\n" * 40)
    document = Document(messages=(long, Message("user", "Be brief."), Message("user", "Why?\n" * 40)))
    tab = open_pane(document).pane.prompt_tab
    tab.area.resize(500, 2_000)
    tab.collapse_to_fit()
    assert [card.collapsed for card in tab.cards] == [False, False, False]
    tab.area.resize(500, 1_000)
    tab.collapse_to_fit()
    assert [card.collapsed for card in tab.cards] == [True, False, False]
    tab.area.resize(500, 100)
    tab.collapse_to_fit()
    assert [card.collapsed for card in tab.cards] == [True, True, False]


def test_the_served_rule_goes_with_the_first_edit_before_it(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    pane = opened.pane
    assert pane.axes is not None
    total, system = pane.axes.total, pane.axes.tools_tokens + pane.axes.messages[0].tokens
    pane.set_reported(system - 2, total)
    pane.paint_forecast()
    assert str(system - 2) in pane.prompt_tab.ruler.accessibleDescription()
    # After that place: the rule stays.
    pane.show_place(1, 0)
    QTest.keyClicks(pane.prompt_tab.cards[1].text, "x")
    assert pane.prompt_tab.ruler.accessibleDescription() != ""
    pane.show_place(0, 0)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "x")
    assert pane.prompt_tab.ruler.accessibleDescription() == ""
    pane.undo()
    assert pane.prompt_tab.ruler.accessibleDescription() != ""
    pane.set_reported(None, total)
    pane.paint_forecast()
    assert pane.prompt_tab.ruler.accessibleDescription() == ""


def test_a_refusals_count_replaces_the_estimate_and_marks_nothing_as_served(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.set_reported(None, 33_517)
    pane.paint_forecast()
    assert pane.axes is not None
    assert pane.axes.total == 33_517
    assert "served" not in pane.prompt_tab.ruler.accessibleDescription()


def test_the_ruler_leads_to_the_place(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    ruler = pane.prompt_tab.ruler
    QTest.mouseClick(ruler, Qt.MouseButton.LeftButton, pos=QPoint(5, ruler.height() - 2))
    assert pane.prompt_tab.cards[1].text.hasFocus()


def test_a_missing_variable_is_gone_to_and_named(open_pane: Open) -> None:
    document = replace(DOCUMENT, variables={"name": "Priya"})
    pane = open_pane(document).pane
    pane.tabs.setCurrentIndex(BODY)
    (problem,) = missing_variables(document)
    pane.show_problem(problem)
    assert pane.tabs.currentIndex() == PROMPT
    assert "{{question}} has no value" in pane.problem_bar.words.text()
    assert not any(word in pane.problem_bar.words.text() for word in ("--var", "messages[", "variables."))
    assert [mark.kind for mark in pane.prompt_tab.cards[1].text.marks] == ["value", "missing"]
    value = pane.variables.rows["question"]
    assert value.edit.hasFocus()
    assert [value.value.missing] == [True]
    asked = value.edit.placeholderText()
    QTest.keyClicks(value.edit, "x")
    assert not pane.problem_bar.isVisible()
    QTest.keyClick(value.edit, Qt.Key.Key_Backspace)
    assert pane.document().variables["question"] == ""
    assert missing_variables(pane.document()) == ()
    assert [value.value.missing] == [False]
    assert value.edit.placeholderText() not in ("", asked)


@pytest.mark.parametrize(
    ("path", "tab"),
    [
        (("tools", 0), TOOLS),
        (("temperature",), PARAMETERS),
        (("variables", "name"), PROMPT),
        (("messages",), PROMPT),
        (("messages", 99, "role"), PROMPT),
    ],
)
def test_a_problem_leads_to_its_tab(open_pane: Open, path: tuple[str | int, ...], tab: int) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.tabs.setCurrentIndex(BODY)
    pane.show_problem(FieldError(path, "is wrong."))
    assert pane.tabs.currentIndex() == tab
    assert "is wrong." in pane.problem_bar.words.text()


def test_a_name_in_the_prompt_is_asked_for_under_variables(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 0)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "{{today}} ")
    assert pane.variables.head.count == 3
    QTest.keyClick(pane.prompt_tab.cards[0].text, Qt.Key.Key_Backspace)
    pane.undo()
    pane.undo()
    assert pane.variables.head.count == 2


def test_roles_carry_only_the_fields_that_they_may(open_pane: Open) -> None:
    calls = (ToolCall("call_1", "look_up", "{}"),)
    pane = open_pane(Document(messages=(Message("assistant", None, calls),))).pane
    card = pane.prompt_tab.cards[0]
    card.role_chosen.emit("tool")
    assert pane.document().messages == (Message("tool", "", (), ""),)
    assert card.calls.answers.isVisible()
    card.calls.answers.setFocus()
    QTest.keyClicks(card.calls.answers, "call_1")
    assert pane.document().messages == (Message("tool", "", (), "call_1"),)
    card.role_chosen.emit("user")
    assert pane.document().messages == (Message("user", ""),)
    pane.undo()
    pane.undo()
    assert pane.document().messages[0].tool_call_id == ""


def test_tool_calls_change_only_when_they_can_be_read(open_pane: Open) -> None:
    calls = (ToolCall("call_1", "look_up", '{"a": 1}'),)
    pane = open_pane(Document(messages=(Message("assistant", "Let me see.", calls),))).pane
    fields = pane.prompt_tab.cards[0].calls
    fields.calls.setPlainText("[{")
    assert pane.document().messages[0].tool_calls == calls
    assert "not JSON" in fields.error.text()
    fields.calls.setPlainText('[{"id": "call_2", "name": "look_up", "arguments": "{}"}]')
    assert pane.document().messages[0].tool_calls == (ToolCall("call_2", "look_up", "{}"),)
    assert fields.error.isHidden()


def test_collapsing_is_a_matter_of_looks(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    card = pane.prompt_tab.cards[0]
    card.set_collapsed(True)
    assert card.text.isHidden()
    assert card.head.note.startswith("You are brief.")
    assert pane.document() is DOCUMENT
    pane.show_place(0, 3)
    assert card.text.isVisible()


def test_the_card_menu_opens_by_key_and_does_what_it_says(open_pane: Open, qtbot: QtBot) -> None:
    pane = open_pane(DOCUMENT).pane
    card = pane.prompt_tab.cards[0]
    card.text.setFocus()
    card.text.selectAll()
    QTest.keyClick(card.text, Qt.Key.Key_F2)
    (menu,) = [menu for menu in card.findChildren(QMenu) if menu.isVisible()]
    actions = {action.text().split("\t")[0]: action for action in menu.actions()}
    assert {"Undo", "Cut", "Copy", "Paste", "Duplicate", "Delete"} <= set(actions)
    actions["Cut"].trigger()
    menu.close()
    assert pane.document().messages[0].content == ""
    pane.undo()
    QTest.keyClick(card.text, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert len(pane.document().messages) == 3
    QTest.keyClick(pane.prompt_tab.cards[0].text, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert pane.history.stack.undoText() == "Move message"


def test_an_added_message_has_the_keyboard(open_pane: Open) -> None:
    pane = open_pane(Document()).pane
    QTest.mouseClick(pane.prompt_tab.add, Qt.MouseButton.LeftButton)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "hi")
    assert pane.document().messages == (Message("user", "hi"),)
    assert pane.prompt_tab.cards[0].text.hasFocus()


def test_the_cursor_is_kept_in_sight(open_pane: Open) -> None:
    long = "\n".join(f"line {number}" for number in range(400))
    tab = open_pane(Document(messages=(Message("system", long), Message("user", "last")))).pane.prompt_tab
    for message, offset in ((0, len(long)), (0, 0), (0, len(long) // 2), (1, 4)):
        tab.go_to(message, offset)
        QTest.qWait(0)
        text = tab.cards[message].text
        cursor = text.viewport().mapTo(tab.area.viewport(), text.cursorRect().center())
        assert tab.area.viewport().rect().contains(cursor), (message, offset)
    tab.go_to(0, len(long))
    QTest.keyClick(tab.cards[0].text, Qt.Key.Key_Return)
    QTest.keyClick(tab.cards[0].text, Qt.Key.Key_Return)
    QTest.qWait(0)
    cursor = tab.cards[0].text.viewport().mapTo(tab.area.viewport(), tab.cards[0].text.cursorRect().center())
    assert tab.area.viewport().rect().contains(cursor)


def test_everything_that_takes_the_keyboard_has_a_name(open_pane: Open) -> None:
    document = replace(DOCUMENT, messages=(*DOCUMENT.messages, Message("tool", "x", (), "call_1")))
    pane, named = open_pane(document).pane, 0
    for index in range(4):
        pane.tabs.setCurrentIndex(index)
        for widget in pane.findChildren(QWidget):
            if widget.isVisible() and widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
                if isinstance(widget.parentWidget(), QComboBox):
                    continue  # A box's line is read out under the box's name.
                text = widget.text() if isinstance(widget, QAbstractButton) else ""
                if isinstance(widget, QAbstractButton | QLineEdit | QPlainTextEdit):
                    assert widget.accessibleName() or text, (index, widget, widget.parentWidget())
                    named += 1
    assert named >= 20


def test_a_theme_change_repaints(open_pane: Open, qapp: QApplication) -> None:
    pane = open_pane(DOCUMENT).pane
    dark = load_theme("dark")
    apply_theme(qapp, dark)
    card = pane.prompt_tab.cards[0]
    assert pixel(card, 200, card.height() - 2) == dark.stable
    colors = [
        selection.format.foreground().color()
        for card in pane.prompt_tab.cards
        for selection in card.text.extraSelections()
    ]
    assert set(map(QColor.name, colors)) == {dark.variable_edge.name()}


def test_the_context_menu_of_a_text_is_the_cards(open_pane: Open) -> None:
    card = open_pane(DOCUMENT).pane.prompt_tab.cards[0]
    place = card.text.mapToGlobal(QPoint(20, 5))
    QApplication.sendEvent(card.text, QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, QPoint(20, 5), place))
    (menu,) = [menu for menu in card.findChildren(QMenu) if menu.isVisible()]
    assert "Duplicate" in [action.text() for action in menu.actions()]
    menu.close()


def test_variables_beyond_the_limit_have_a_row_when_they_are_gone_to(
    open_pane: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables_table, "MOST_ROWS", 3)
    text = " ".join(f"{{{{v{number}}}}}" for number in range(9))
    table = open_pane(replace(DOCUMENT, messages=(Message("user", text),), variables={})).pane.variables
    assert (table.head.count, [*table.rows]) == (9, ["v0", "v1", "v2"])
    table.go_to("v7")
    assert [*table.rows] == ["v0", "v1", "v2", "v7"]


def test_marks_of_many_variables_with_advice_take_linear_time() -> None:
    text = "{{a}} bc " * 10_000
    advised = (*((at, at + 7, "why") for at in range(0, len(text), 9)), (6, 8, "free"))
    begun = time.process_time()
    marks = marks_of(ExactText(text), {"a": "x"}, advised)
    assert time.process_time() - begun < 2
    assert [(mark.start, mark.end) for mark in marks if mark.kind == "advice"] == [(6, 8)]


def test_pane_text_that_becomes_longer_than_the_pane_keeps_its_width(
    qtbot: QtBot, open_pane: Callable[[Document], OpenPane]
) -> None:
    pane = open_pane(Document(messages=(Message("user", "one line"),))).pane
    text, bar = pane.prompt_tab.cards[0].text, pane.prompt_tab.area.verticalScrollBar()
    before = text.width()
    assert bar.maximum() == 0
    text.insert_exact("\n".join("more lines" for _ in range(200)))
    qtbot.waitUntil(lambda: bar.maximum() > 0)
    assert text.width() == before


def test_variable_without_the_focus_shows_its_first_line_and_no_part_of_the_next(open_pane: Open) -> None:
    document = replace(DOCUMENT, messages=(Message("user", "{{v}}"),), variables={"v": "one line\nanother line"})
    value = open_pane(document).pane.variables.rows["v"].value
    # The lower edge of the row cuts the second line; its pixels would be the text's color.
    row = value.grab(QRect(0, 3 + value.first_line_px, value.width() - 20, 24)).toImage()
    drawn = {row.pixel(x, y) for x in range(4, row.width()) for y in range(row.height() - 3)}
    assert len(drawn) == 1
    value.text.setFocus()
    assert value.text.mask().isEmpty()
