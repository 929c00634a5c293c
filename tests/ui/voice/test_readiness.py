"""Voice readiness in the window: repeats over a real socket, judged as distributions."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message, Tool
from playground.requestlog.filter import EVERYTHING
from playground.ui.session import Session
from playground.ui.voice.readiness_tab import Spread, rows, smallness, verdict
from playground.voice.timeline import Distribution, cold, readiness
from tests.voice.sample import times


async def test_repeats_cold_and_warm_are_in_the_log(session: Session, hand: UiDriver) -> None:
    text = "You are Mira. " + "Be brief and kind to whoever calls. " * 40
    session.window.prompt.set_document(Document(messages=(Message("system", text), Message("user", "Hello?"))))
    dialog = session.window.voicing.open()
    tab = dialog.readiness
    dialog.tabs.setCurrentWidget(tab)
    assert "10 requests" in tab.cost.text()
    assert "Nothing measured yet" in tab.said.text()
    tab.times.setValue(6)
    tab.cold.setChecked(True)
    tab.go.click()
    await hand.until(lambda: not tab.running, "six requests")
    assert session.workspace.log is not None
    assert (await session.workspace.log.count(EVERYTHING)).n == 6
    assert "6 of 6 (100.0 %)" in tab.said.text()
    assert "6 turns are few" in tab.small.text()
    found = {(row[0], row[1]): row for row in (_cells(tab.table, n) for n in range(tab.table.rowCount()))}
    turns = {group: int(row[2]) for (what, group), row in found.items() if what == "Time to first token"}
    # Three had a unique prefix; of the others, the first was the first of its kind.
    assert turns == {"all": 6, "cold": 4, "warm": 2}
    tab.limit.setValue(1)
    assert session.workspace.settings.number("voice_limit_s") == 1
    tab.copy.click()
    assert "First speakable clause\tcold\t4" in QGuiApplication.clipboard().text()
    dialog.close()


async def test_a_stop_keeps_what_has_come(session: Session, hand: UiDriver) -> None:
    dialog = session.window.voicing.open()
    tab = dialog.readiness
    dialog.tabs.setCurrentWidget(tab)
    tab.times.setValue(200)
    tab.go.click()
    await hand.until(lambda: tab.progress.value() >= 2, "two")
    tab.go.click()
    await hand.until(lambda: not tab.running, "the stop")
    assert tab.table.rowCount() > 0
    assert tab.go.text() == "Start"
    dialog.close()


def _cells(table: object, row: int) -> list[str]:
    return [item.text() if (item := table.item(row, column)) else "" for column in range(8)]  # type: ignore[attr-defined]


def test_what_was_not_measured_is_not_drawn_as_0(qtbot: QtBot) -> None:
    found = readiness([times(calls=[(100, 0)], ends=200)])
    clause = next(row for row in rows(found) if row[0] == "First speakable clause")
    assert clause == ("First speakable clause", "all", "1", "—", "—", "—", "—", "1")
    spread = Spread("First speakable clause")
    qtbot.addWidget(spread)
    spread.show_rows((("unknown", found.unknown.first_clause),))
    assert spread.accessibleDescription() == "nothing measured"
    spread.show_rows([("cold", Distribution.of([0.1, 0.3])), ("unknown", Distribution.of([0.2] * 9))])
    spread.grab()
    assert "cold: 2, from 100 ms to 300 ms, median 200 ms" in spread.accessibleDescription()


def test_a_small_number_is_said_to_be_small_and_a_large_one_not() -> None:
    turn = times((100, "Yes."), ends=200, cached=5)
    assert "shares move by 25.0 % a turn" in smallness(readiness([turn] * 4))
    assert smallness(readiness([turn] * 20)) == ""
    assert smallness(readiness([])) == ""
    assert "0 of 3" in verdict(readiness([times((100, "Yes."), ends=12_000)] * 3))


def test_a_cold_prompt_differs_from_its_first_token_on() -> None:
    tool = Tool.of({"type": "function", "function": {"name": "look", "description": "Looks."}})
    document = Document(messages=(Message("system", "You are Mira."),), tools=(tool, tool))
    one, two = cold(document), cold(document)
    assert one.messages[0].content != two.messages[0].content
    assert str(one.messages[0].content).endswith("] You are Mira.")
    assert one.tools[0] != two.tools[0]
    assert one.tools[1] == tool
