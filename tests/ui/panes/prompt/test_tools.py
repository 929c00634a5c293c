"""The tool catalogue: form and JSON of one value, one history, paste, templates, order and its cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.prompt.document import Document, Message, Tool
from playground.prompt.limits import check
from playground.tools.schema import check_parameters
from playground.ui.panes.prompt.pane import TOOLS
from playground.ui.panes.prompt.tools_card import JSON, ToolForm
from playground.ui.panes.prompt.tools_json import PasteDialog, ToolJson, templates
from playground.ui.panes.prompt.tools_tab import ToolsTab
from tests.ui.panes.prompt.conftest import OpenPane

Open = Callable[[Document], OpenPane]


def tool(name: str, **properties: Any) -> Tool:
    parameters: dict[str, Any] = {"type": "object", "properties": properties or {"query": {"type": "string"}}}
    return Tool.of({"type": "function", "function": {"name": name, "description": "D.", "parameters": parameters}})


def open_tools(open_pane: Open, *names: str) -> tuple[OpenPane, ToolsTab]:
    messages = (Message("system", "Be brief. " * 40),)
    opened = open_pane(Document(tools=tuple(tool(name) for name in names), messages=messages))
    opened.pane.tabs.setCurrentIndex(TOOLS)
    return opened, opened.pane.tools_tab


def names_of(opened: OpenPane) -> list[str]:
    return [one.name for one in opened.pane.document().tools]


def form_of(tab: ToolsTab, index: int) -> ToolForm:
    tab.go_to(index)
    form = tab.cards[index].form
    assert form is not None
    return form


def json_of(tab: ToolsTab, index: int) -> ToolJson:
    tab.cards[index].set_expanded(True)
    tab.cards[index].views.setCurrentIndex(JSON)
    view = tab.cards[index].json
    assert view is not None
    return view


def test_every_template_is_a_right_tool_and_can_be_added_twice(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane)
    assert tab.empty.isVisible()
    for title, template in (*templates(), *templates()):
        assert title
        tab.add_tool(template)
    assert len(set(names_of(opened))) == len(names_of(opened)) == 12
    for one in opened.pane.document().tools:
        function: Any = one.definition["function"]
        assert check_parameters(function["parameters"]) == ()
        # The guide's own rule: one sentence of intent a tool.
        assert function["description"].count(".") == 1
    assert not tab.empty.isVisible()


def test_form_and_json_are_one_value_and_one_history(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "get")
    before = opened.pane.document()
    view, form = json_of(tab, 0), form_of(tab, 0)
    form.name.setFocus()
    form.name.selectAll()
    QTest.keyClicks(form.name, "fetch")
    assert names_of(opened) == ["fetch"]
    assert '"name": "fetch"' in view.edit.exact
    view.edit.text.insert_exact("")
    changed = view.edit.exact.replace('"query"', '"question"')
    view.edit.text.select(0, len(view.edit.exact))
    view.edit.text.insert_exact(changed)
    assert form.rows[0].name.text() == "question"
    QTest.keyClick(form.name, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert form.rows[0].name.text() == "query"
    assert '"query"' in view.edit.exact
    while opened.pane.history.stack.canUndo():
        opened.pane.undo()
    assert opened.pane.document() == before
    assert form.name.text() == "get"


def test_a_form_edits_parameters(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "get")
    form = form_of(tab, 0)
    form.add.click()
    assert form.rows[1].name.hasFocus()
    QTest.keyClicks(form.rows[1].name, "count")
    form.rows[1].required.click()
    form.rows[1].kind.setCurrentText("integer")
    form.rows[1].kind.activated.emit(1)
    QTest.keyClicks(form.rows[1].choices, "1, 2")
    function: Any = opened.pane.document().tools[0].definition["function"]
    assert function["parameters"]["properties"]["count"] == {"type": "integer", "enum": [1, 2]}
    assert function["parameters"]["required"] == ["count"]
    QTest.keyClicks(form.rows[1].choices, ", x")
    assert form.rows[1].choices.bad
    assert form.wrong.isVisible()
    assert form.rows[1].choices.text() == "1, 2, x"
    function = opened.pane.document().tools[0].definition["function"]
    assert function["parameters"]["properties"]["count"]["enum"] == [1, 2]


def test_wrong_json_is_marked_at_its_place_and_the_last_right_one_kept(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "get")
    before = opened.pane.document()
    view = json_of(tab, 0)
    at = view.edit.exact.index('"string"')
    view.edit.text.select(at, at + 8)
    view.edit.text.insert_exact('"text"')
    assert opened.pane.document() == before
    assert [view.text.exact.text[start:end] for start, end in view.text.faults] == ['"text"']
    assert "function.parameters.properties.query.type" in view.wrong.text()
    assert "✗" in tab.cards[0].head.note
    tab.cards[0].views.setCurrentIndex(0)
    form = tab.cards[0].form
    assert form is not None
    assert not form.isEnabled()
    tab.cards[0].views.setCurrentIndex(JSON)
    view.anyway.click()
    assert opened.pane.document() != before
    assert view.wrong.isVisible()
    view.edit.text.select(0, 1)
    view.edit.text.insert_exact("")
    assert "Not JSON" in view.wrong.text()
    assert not view.anyway.isVisible()


def test_a_card_follows_its_tool_with_what_is_typed_in_it(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a", "b", "c")
    card = tab.cards[2]
    view = json_of(tab, 2)
    view.edit.text.insert_exact("x")
    tab.move_tool(2, 0)
    assert names_of(opened) == ["c", "a", "b"]
    assert tab.cards[0] is card
    assert view.edit.exact.endswith("x")
    tab.act(1, "delete")
    assert tab.cards[0] is card
    opened.pane.undo()
    opened.pane.undo()
    assert tab.cards[2] is card
    assert view.edit.exact.endswith("x")


def test_a_move_says_what_was_warm(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a", "b", "c")
    assert "Nothing of it is warm" in tab.bar.hint.text()
    opened.sent(opened.pane.document())
    assert "warm tokens fresh" in tab.bar.hint.text()
    assert tab.cards[0].head.count.startswith("warm · ≈ ")
    tab.cards[1].take_focus()
    QTest.keyClick(tab.cards[1].head.role, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert names_of(opened) == ["a", "c", "b"]
    assert "b is number 3 now" in tab.bar.moved.text()
    assert "tokens that were warm will be fresh" in tab.bar.moved.text()
    tab.bar.undo.click()
    assert names_of(opened) == ["a", "b", "c"]
    assert tab.bar.moved.text() == ""


def test_a_card_is_dragged_by_its_handle(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a", "b", "c")
    handle = tab.cards[0].handle
    below = tab.cards[2].mapToGlobal(QPoint(5, tab.cards[2].height() - 1))
    QTest.mousePress(handle, Qt.MouseButton.LeftButton)
    handle.dragged.emit(below)
    assert not tab._line.isHidden()
    QTest.mouseRelease(handle, Qt.MouseButton.LeftButton, pos=handle.mapFromGlobal(below))
    assert names_of(opened) == ["b", "c", "a"]
    assert tab._line.isHidden()


def test_64_tools_are_heads_until_one_is_open_tools(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, *(f"tool_{n}" for n in range(64)))
    assert all(card.form is None and card.json is None for card in tab.cards)
    tab.go_to(63)
    assert [card.form is not None for card in tab.cards].count(True) == 1
    # Only Electron has a limit, and the check of the whole prompt names it.
    tab.act(3, "duplicate")
    assert tab.bar.add.isEnabled()
    tab.add_tool(tool("more"))
    assert len(names_of(opened)) == 66
    assert "has 66; Electron takes 1 to 64." in [finding.problem.message for finding in check(opened.pane.document())]
    assert not check(opened.pane.document(), electron=False)


def test_what_a_tool_returns_is_offered_where_somebody_shows_it(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a", "b")
    tab.go_to(1)
    assert not tab.cards[1].answers.isVisible()
    wanted: list[str] = []
    opened.pane.answers_wanted.connect(wanted.append)
    tab.go_to(1)
    tab.cards[1].answers.click()
    assert wanted == ["b"]


@pytest.fixture
def dialog(qtbot: QtBot, themed: object) -> PasteDialog:
    made = PasteDialog(lambda: (tool("get"),))
    qtbot.addWidget(made)
    with qtbot.waitExposed(made):
        made.show()
    return made


def test_pasted_text_is_told_what_becomes_of_it(dialog: PasteDialog) -> None:
    added: list[tuple[Tool, ...]] = []
    dialog.added.connect(added.append)
    assert not dialog.add.isEnabled()
    dialog.text.setPlainText('[{"name": "get", "annotations": {}}, {"name": "other"}]')
    dialog.look()
    assert dialog.add.text() == "Add 2 tools"
    assert "annotations" in dialog.notes.text()
    assert "added as get_2" in dialog.notes.text()
    dialog.add.click()
    assert [one.name for one in added[0]] == ["get_2", "other"]


def test_what_cannot_be_read_is_marked_and_not_added(dialog: PasteDialog) -> None:
    dialog.text.setPlainText('{"name": "get", "parameters": }')
    dialog.look()
    assert "not JSON" in dialog.wrong.text()
    (marked,) = dialog.text.extraSelections()
    assert marked.cursor.selectedText() == "}"
    assert not dialog.add.isEnabled()


def test_more_tools_than_electron_takes_are_pasted_all(dialog: PasteDialog) -> None:
    dialog.text.setPlainText(json.dumps([{"name": f"n{number}"} for number in range(65)]))
    dialog.look()
    assert dialog.add.text() == "Add 65 tools"
    assert dialog.add.isEnabled()


def test_the_pane_opens_the_paste_dialog_and_takes_its_tools(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a")
    tab.bar.paste.click()
    assert tab.paste_dialog is not None
    tab.paste_dialog.text.setPlainText('{"functions": [{"name": "b"}, {"name": "a"}]}')
    tab.paste_dialog.look()
    tab.paste_dialog.add.click()
    assert names_of(opened) == ["a", "b", "a_2"]


def test_a_tools_menu_does_what_it_says_and_greys_what_it_cannot(open_pane: Open) -> None:
    opened, tab = open_tools(open_pane, "a", "b")
    offered = {action.text(): action for action in tab.menu_of(tab.cards[0]).actions()}
    assert not offered["Move up"].isEnabled()
    assert "What it returns…" not in offered
    offered["Duplicate"].trigger()
    assert names_of(opened) == ["a", "a_2", "b"]
    opened.pane.answers_wanted.connect(lambda _name: None)
    menu = tab.menu_of(tab.cards[2])
    assert "What it returns…" in [action.text() for action in menu.actions()]
    next(action for action in menu.actions() if action.text() == "Delete").trigger()
    assert names_of(opened) == ["a", "a_2"]
    assert tab.cards[1].head.role.hasFocus()


def test_undo_in_a_fields_menu_is_the_prompts(open_pane: Open, qtbot: QtBot) -> None:
    opened, tab = open_tools(open_pane, "get")
    name = form_of(tab, 0).name
    QTest.keyClicks(name, "x")
    assert names_of(opened) == ["xget"]
    menu = name.menu()
    menu.actions()[0].trigger()
    assert names_of(opened) == ["get"]
    assert name.text() == "get"
    menu.actions()[1].trigger()
    assert names_of(opened) == ["xget"]
    menu.deleteLater()
