"""What the check of a prompt says in the pane: under the text, at the parameter, and where a click leads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget

from playground.prompt.document import Document, Message, ToolCall
from playground.prompt.field_errors import FieldError, Path
from playground.prompt.limits import check
from playground.ui.panes.prompt.pane import PARAMETERS, PROMPT, PromptPane
from tests.ui.panes.prompt.conftest import OpenPane

Open = Callable[[Document], OpenPane]
CALL = ToolCall("call_1", "look_up", "{}")
TALK = Document(
    messages=(
        Message("user", "Where is it?"),
        Message("assistant", "One moment.", (CALL,)),
        Message("tool", "in Pune", tool_call_id="call_7"),
    )
)


def checked(pane: PromptPane) -> None:
    """As the window does after every change."""
    pane.set_findings(check(pane.document()))


def links(pane: PromptPane) -> list[QPushButton]:
    """The fields that are named."""
    buttons = pane.check_bar.findChildren(QPushButton)
    return [button for button in buttons if button.isVisible() and button.accessibleName().startswith("Go to")]


def test_nothing_is_said_of_a_good_prompt(open_pane: Open) -> None:
    pane = open_pane(Document(messages=(Message("user", "Hello"),))).pane
    checked(pane)
    assert not pane.check_bar.isVisible()


def test_a_refused_value_is_said_at_once_and_at_its_field(open_pane: Open) -> None:
    pane = open_pane(Document(messages=(Message("user", "Hello"),), parameters={"temperature": 3, "n": 2})).pane
    checked(pane)
    assert [link.text() for link in links(pane)] == ["temperature", "n"]
    signs = {label.accessibleName() for label in pane.check_bar.findChildren(QLabel) if label.text() == "✗"}
    assert signs == {"The server refuses this"}
    links(pane)[0].click()
    assert pane.tabs.currentIndex() == PARAMETERS
    focus = pane.parameters_tab.focusWidget()
    assert focus is not None
    assert focus.accessibleName() == "temperature"
    said = [label.text() for label in pane.parameters_tab.findChildren(QLabel) if label.isVisibleTo(pane)]
    assert "temperature: must be a number from 0 to 2." in said
    assert any(words.startswith("n: is refused by Electron.") for words in said)
    focus.clear()  # type: ignore[attr-defined]
    QTest.keyClicks(focus, "1")
    checked(pane)
    assert [link.text() for link in links(pane)] == ["n"]
    said = [label.text() for label in pane.parameters_tab.findChildren(QLabel) if label.isVisibleTo(pane)]
    assert "temperature: must be a number from 0 to 2." not in said


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (("messages", 2, "tool_call_id"), lambda pane: pane.prompt_tab.cards[2].calls.answers),
        (("messages", 1, "tool_calls", 0, "id"), lambda pane: pane.prompt_tab.cards[1].calls.calls),
        (("messages", 0, "role"), lambda pane: pane.prompt_tab.cards[0].head.role),
        (("messages", 0, "content"), lambda pane: pane.prompt_tab.cards[0].text),
    ],
)
def test_a_path_leads_to_the_widget_of_its_field(
    open_pane: Open, path: Path, target: Callable[[PromptPane], QWidget]
) -> None:
    pane = open_pane(TALK).pane
    pane.tabs.setCurrentIndex(PARAMETERS)
    pane.go_to(FieldError(path, "is wrong."))
    assert pane.tabs.currentIndex() == PROMPT
    assert target(pane).hasFocus()


def test_many_findings_fold_and_unfold(open_pane: Open) -> None:
    parameters = {"temperature": 9, "top_p": 9, "seed": 0.5, "max_tokens": 0}
    pane = open_pane(Document(messages=(Message("user", "Hello"),), parameters=parameters)).pane
    checked(pane)
    assert len(links(pane)) == 2
    assert pane.check_bar.more.text() == "and 2 more"
    pane.check_bar.more.click()
    assert len(links(pane)) == 4
    pane.check_bar.more.click()
    assert len(links(pane)) == 2


def test_not_sent_is_said_and_can_be_overruled(open_pane: Open) -> None:
    pane = open_pane(TALK).pane
    sent: list[bool] = []
    pane.refuse(FieldError(("temperature",), "is wrong."), lambda: sent.append(True))
    assert "was not sent" in pane.problem_bar.words.text()
    assert pane.problem_bar.anyway.isVisible()
    pane.problem_bar.anyway.click()
    assert sent == [True]
    assert not pane.problem_bar.isVisible()
    pane.show_problem(FieldError(("temperature",), "is wrong."))
    assert not pane.problem_bar.anyway.isVisible()


def test_a_tool_message_chooses_among_the_open_calls(open_pane: Open) -> None:
    pane = open_pane(TALK).pane
    checked(pane)
    assert "no unanswered call" in pane.check_bar.text
    fields = pane.prompt_tab.cards[2].calls
    fields.choices.aboutToShow.emit()
    assert [action.text() for action in fields.choices.actions()] == ["call_1   look_up({})"]
    fields.choices.actions()[0].trigger()
    assert pane.document().messages[2].tool_call_id == "call_1"
    checked(pane)
    assert not pane.check_bar.isVisible()


def test_a_call_is_added_from_the_card_and_taken_away_with_an_empty_list(open_pane: Open) -> None:
    pane = open_pane(Document(messages=(Message("user", "Hi"), Message("assistant", "")))).pane
    words = "Add a tool call"
    by_role = [
        next(action for action in card.menu.actions() if action.text() == words) for card in pane.prompt_tab.cards
    ]
    assert [action.isVisible() for action in by_role] == [False, True]
    by_role[1].trigger()
    message = pane.document().messages[1]
    assert message.content is None
    assert message.tool_calls == (ToolCall("call_1", "tool_name", "{}"),)
    fields = pane.prompt_tab.cards[1].calls
    assert fields.calls.hasFocus()
    fields.calls.setPlainText("[]")
    assert pane.document().messages[1] == Message("assistant", "")
    pane.undo()
    pane.undo()
    assert pane.document().messages[1] == Message("assistant", "")


def test_the_links_are_reached_by_the_keyboard(open_pane: Open) -> None:
    pane = open_pane(Document(messages=(Message("user", "Hello"),), parameters={"temperature": 3})).pane
    checked(pane)
    link = links(pane)[0]
    link.setFocus()
    QTest.keyClick(link, Qt.Key.Key_Space)
    assert pane.tabs.currentIndex() == PARAMETERS
