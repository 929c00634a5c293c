"""Every shortcut in every place that can have the focus: it does one thing, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from PySide6.QtCore import QKeyCombination
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from playground.cli.selftest import UiDriver
from playground.ui.actions import ACTIONS
from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS
from playground.ui.session import Session


def _combination(shortcut: str) -> QKeyCombination:
    keys: Sequence[QKeyCombination] = QKeySequence(shortcut)  # type: ignore[assignment]  # the stubs lack __getitem__
    return keys[0]


def test_shortcuts_are_unique() -> None:
    keys = [spec.shortcut for spec in ACTIONS if spec.shortcut] + [key for _, _, key in CARD_ACTIONS if key]
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def contexts(session: Session) -> Iterator[tuple[str, QWidget]]:
    window = session.window
    window.prompt.tabs.setCurrentIndex(0)
    yield "message text", window.prompt.prompt_tab.cards[0].text
    window.prompt.show_find()
    yield "find line", window.prompt.find_bar.line
    window.prompt.tabs.setCurrentIndex(0)
    window.log.focus_filter()
    filter_line = window.focusWidget()
    assert filter_line is not None
    yield "log filter", filter_line
    for name, pane in (("response", window.response), ("inspector", window.inspector), ("log", window.log)):
        pane.take_focus()
        focus = window.focusWidget()
        if focus is not None:
            yield name, focus


async def test_each_shortcut_triggers_its_action_once_in_every_focus_context(session: Session, hand: UiDriver) -> None:
    window = session.window
    triggered: list[str] = []
    for spec in ACTIONS:
        action = window.actions_table[spec.id]
        action.triggered.disconnect()
        action.triggered.connect(lambda _checked=False, name=spec.id: triggered.append(name))
    window.prompt.send_requested.disconnect()
    window.prompt.send_requested.connect(lambda: triggered.append("send"))
    for card in window.prompt.prompt_tab.cards:
        card.text.undo_requested.disconnect()
        card.text.undo_requested.connect(lambda: triggered.append("undo"))
        card.text.redo_requested.disconnect()
        card.text.redo_requested.connect(lambda: triggered.append("redo"))
    wrong = []
    for name, widget in contexts(session):
        for spec in ACTIONS:
            if not spec.shortcut or (spec.id in ("undo", "redo") and name != "message text"):
                continue  # a single line keeps its own undo
            widget.setFocus()
            triggered.clear()
            combination = _combination(spec.shortcut)
            QTest.keyClick(widget, combination.key(), combination.keyboardModifiers())
            if triggered != [spec.id]:
                wrong.append((name, spec.id, spec.shortcut, list(triggered)))
    assert wrong == []


async def test_each_shortcut_of_a_message_works_in_its_text(session: Session) -> None:
    card = session.window.prompt.prompt_tab.cards[1]
    seen: list[str] = []
    for (name, _, _), action in zip(CARD_ACTIONS, card.menu.actions(), strict=True):
        action.triggered.disconnect()
        action.triggered.connect(lambda _checked=False, name=name: seen.append(name))
    card.set_collapsed(False)
    card.text.setFocus()
    for name, _, key in CARD_ACTIONS:
        if key:
            combination = _combination(key)
            seen.clear()
            QTest.keyClick(card.text, combination.key(), combination.keyboardModifiers())
            assert seen == [name]
