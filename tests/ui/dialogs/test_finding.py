"""The command palette and the sheet of keys: found by a few letters, run by the keyboard alone."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from pytestqt.qtbot import QtBot

from playground.ui.actions import ACTIONS
from playground.ui.dialogs.palette import CommandPalette, KeysSheet, Rebound, score
from playground.ui.theme import apply_theme, load_theme

ROWS = [(spec.group, spec.label, spec.shortcut) for spec in ACTIONS]


@pytest.fixture
def host(qtbot: QtBot) -> QWidget:
    """The window that a palette opens over."""
    found = QWidget()
    qtbot.addWidget(found)
    found.show()
    return found


def _palette(host: QWidget, ran: list[str]) -> CommandPalette:
    labels = ["Save", "Save as…", "Settings…", "Copy request_id"]
    entries = [(label, "", lambda label=label: ran.append(label)) for label in labels]
    palette = CommandPalette(entries, host)
    palette.open_at(host)
    return palette


def test_palette_has_the_whole_height_of_the_letters(qapp: QApplication, host: QWidget) -> None:
    apply_theme(qapp, load_theme("light"))
    palette = _palette(host, [])
    labels = [label for label in palette.list.findChildren(QLabel) if label.text()]
    assert len(labels) == 4
    assert [label.text() for label in labels if label.height() < label.sizeHint().height()] == []


def test_a_few_letters_and_enter_run_a_command(qtbot: QtBot, host: QWidget) -> None:
    ran: list[str] = []
    palette = _palette(host, ran)
    QTest.keyClicks(palette.line, "crid")
    assert palette.list.count() == 1
    assert palette.line.accessibleDescription() == "Copy request_id"
    QTest.keyClick(palette.line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran == ["Copy request_id"])


def test_arrows_go_round(qtbot: QtBot, host: QWidget) -> None:
    ran: list[str] = []
    palette = _palette(host, ran)
    QTest.keyClick(palette.line, Qt.Key.Key_Up)
    assert palette.line.accessibleDescription() == "Copy request_id"
    QTest.keyClick(palette.line, Qt.Key.Key_Down)
    QTest.keyClick(palette.line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ran == ["Save"])


def test_nothing_found_is_said_and_enter_stays(host: QWidget) -> None:
    ran: list[str] = []
    palette = _palette(host, ran)
    QTest.keyClicks(palette.line, "zzz")
    assert palette.nothing.isVisible()
    QTest.keyClick(palette.line, Qt.Key.Key_Return)
    assert palette.isVisible()
    palette.line.clear()
    assert not palette.nothing.isVisible()
    QTest.keyClick(palette.line, Qt.Key.Key_Escape)
    assert ran == []


def test_letters_at_the_beginning_of_words_count_most() -> None:
    assert score("sa", "Save as…") is not None
    assert score("as", "Send") is None
    first, inside = score("cr", "Copy request_id"), score("cr", "Descriptor")
    assert first is not None
    assert inside is not None
    assert first > inside


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        ("vers", ["Versions of the prompt", "Show versions", "Conversation: new", "Verify caching: send twice"]),
        ("set", ["Settings…", "Zoom: reset, then set", "Reset zoom", "Verify caching: send twice"]),
        ("of the", ["Of the prompt", "Versions of the prompt", "Roof therein", "Offer that hue"]),
    ],
)
def test_a_label_that_begins_with_the_text_is_first_and_letters_in_order_last(wanted: str, labels: list[str]) -> None:
    ranks = [score(wanted, label) or (-1, 0) for label in labels]
    assert ranks == sorted(set(ranks), reverse=True)
    assert ranks[-1] >= (0, 0)


def test_the_sheet_lists_every_action_and_finds(qtbot: QtBot) -> None:
    sheet = KeysSheet(ROWS, lambda _row, key: Rebound(key or ""))
    qtbot.addWidget(sheet)
    sheet.show()
    assert sheet.table.rowCount() == len(ACTIONS)
    QTest.keyClicks(sheet.line, "ctrl+k")
    shown = [row for row in range(sheet.table.rowCount()) if not sheet.table.isRowHidden(row)]
    assert [sheet.table.model().index(row, 1).data() for row in shown] == ["All commands…"]
    sheet.line.setText("zzz")
    assert sheet.nothing.isVisible()
    sheet.line.clear()
    assert not sheet.nothing.isVisible()


def test_tab_leaves_the_table(qtbot: QtBot) -> None:
    sheet = KeysSheet(ROWS, lambda _row, key: Rebound(key or ""))
    qtbot.addWidget(sheet)
    sheet.show()
    sheet.activateWindow()
    sheet.table.setFocus()
    qtbot.waitUntil(sheet.table.hasFocus)
    QTest.keyClick(sheet.table, Qt.Key.Key_Tab)
    assert not sheet.table.hasFocus()


def test_of_equal_matches_the_most_used_command_is_first(host: QWidget) -> None:
    entries = [(label, "", lambda: None) for label in ("Save one", "Save two")]
    palette = CommandPalette(entries, host, use={"Save two": 3})
    palette.open_at(host)
    QTest.keyClicks(palette.line, "save")
    assert palette.line.accessibleDescription() == "Save two"
