"""One undo history for the whole prompt: undone text returns to the character, with the cursor."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from playground.prompt.document import Document, Message, Tool, ToolCall
from playground.ui.panes.prompt.pane import PARAMETERS, PROMPT
from tests.ui.panes.prompt.conftest import OpenPane

Open = Callable[[Document], OpenPane]
TOOL = Tool.of({"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}})
DOCUMENT = Document(
    tools=(TOOL,),
    messages=(Message("system", "Be\u00a0brief.\r\nAlways."), Message("user", "{{question}}")),
    variables={"question": "Why?"},
)


def test_typing_is_undone_a_word_at_a_time(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 3)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "very very")
    contents = []
    while pane.history.stack.canUndo():
        pane.undo()
        contents.append(pane.document().messages[0].content)
    assert contents == ["Be\u00a0very brief.\r\nAlways.", DOCUMENT.messages[0].content]
    assert pane.document() == DOCUMENT
    assert pane.prompt_tab.cards[0].text.selection() == (3, 3)


def test_each_change_is_told_at_once_also_by_undo_and_redo(open_pane: Open) -> None:
    opened = open_pane(DOCUMENT)
    pane = opened.pane
    pane.show_place(1, 0)
    QTest.keyClicks(pane.prompt_tab.cards[1].text, "a")
    pane.undo()
    pane.redo()
    assert [document.messages[1].content for document in opened.told] == [
        "a{{question}}",
        "{{question}}",
        "a{{question}}",
    ]
    assert opened.told[-1] is pane.document()


def test_typing_elsewhere_is_another_step(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    for message in (0, 1, 0):
        pane.show_place(message, 0)
        QTest.keyClicks(pane.prompt_tab.cards[message].text, "x")
    assert pane.history.stack.count() == 3
    pane.undo()
    pane.undo()
    assert pane.document().messages[1] == DOCUMENT.messages[1]
    assert pane.prompt_tab.cards[1].text.hasFocus()


def test_keys_for_undo_and_redo_work_in_a_text(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 0)
    text = pane.prompt_tab.cards[0].text
    QTest.keyClicks(text, "x")
    QTest.keyClick(text, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert pane.document() == DOCUMENT
    QTest.keyClick(text, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert pane.document().messages[0].content == "x" + str(DOCUMENT.messages[0].content)


@pytest.mark.parametrize("name", ["add", "duplicate", "delete", "up", "down"])
def test_what_a_card_does_can_be_undone(open_pane: Open, name: str) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.prompt_tab.act(1 if name == "up" else 0, name)
    changed = pane.document()
    assert changed.messages != DOCUMENT.messages
    pane.undo()
    assert pane.document() == DOCUMENT
    assert [card.text.exact.text for card in pane.prompt_tab.cards] == [m.content for m in DOCUMENT.messages]
    pane.redo()
    assert pane.document() == changed


def test_a_logged_prompt_put_in_place_is_one_step(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 0)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "mine ")
    mine = pane.document()
    other = Document(messages=(Message("user", "other"),), parameters={"seed": 7}, stream=False)
    pane.set_document(other, undoable=True, label="Use a logged prompt")
    assert pane.document() == other
    assert pane.history.stack.undoText() == "Use a logged prompt"
    pane.undo()
    assert pane.document() == mine


def test_opening_a_file_begins_anew(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 0)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "x")
    pane.set_document(Document(messages=(Message("user", "new"),)))
    assert not pane.history.stack.canUndo()
    assert pane.document().messages == (Message("user", "new"),)


def test_content_null_beside_calls_comes_back(open_pane: Open) -> None:
    calls = (ToolCall("call_1", "look_up", "{}"),)
    document = replace(DOCUMENT, messages=(Message("assistant", None, calls), Message("assistant", "", calls)))
    pane = open_pane(document).pane
    for index in (0, 1):
        pane.show_place(index, 0)
        QTest.keyClicks(pane.prompt_tab.cards[index].text, "x")
        QTest.keyClick(pane.prompt_tab.cards[index].text, Qt.Key.Key_Backspace)
        assert pane.document().messages[index].content is None
    while pane.history.stack.canUndo():
        pane.undo()
    assert pane.document() == document


def test_undo_from_another_tab_shows_what_it_did(open_pane: Open) -> None:
    pane = open_pane(DOCUMENT).pane
    pane.show_place(0, 0)
    QTest.keyClicks(pane.prompt_tab.cards[0].text, "x")
    pane.tabs.setCurrentIndex(PARAMETERS)
    pane.undo()
    assert pane.tabs.currentIndex() == PROMPT


def test_any_sequence_undone_is_the_document_from_before(open_pane: Open) -> None:
    """Random edits in random cards; every state on the way back is one that was there on the way forth."""
    chance = random.Random(11)
    pane = open_pane(DOCUMENT).pane
    seen = [pane.document()]
    pane.edited.connect(seen.append)
    for _ in range(150):
        cards = pane.prompt_tab.cards
        index = chance.randrange(len(cards)) if cards else 0
        choice = chance.random()
        if not cards or choice < 0.05:
            pane.prompt_tab.insert(index)
        elif choice < 0.15:
            pane.prompt_tab.act(index, chance.choice(["duplicate", "up", "down", "delete"]))
        elif choice < 0.3:
            cards[index].text.insert_exact(chance.choice(["\u00a0", "😀{{x}}", "\r\n", "two\nlines"]))
        elif choice < 0.4:
            ends = sorted(chance.randrange(len(cards[index].text.exact.text) + 1) for _ in range(2))
            cards[index].text.select(*ends)
        else:
            key = chance.choice([Qt.Key.Key_A, Qt.Key.Key_Space, Qt.Key.Key_Backspace, Qt.Key.Key_Delete])
            QTest.keyClick(cards[index].text, key)
    last = pane.document()
    forth = list(seen)
    while pane.history.stack.canUndo():
        pane.undo()
        assert pane.document() in forth
        assert [c.text.exact.text for c in pane.prompt_tab.cards] == [m.content for m in pane.document().messages]
    assert pane.document() == DOCUMENT
    while pane.history.stack.canRedo():
        pane.redo()
    assert pane.document() == last
