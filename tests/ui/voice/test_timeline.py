"""Voice timeline in the window: the drawing equals the computed timeline, during and after a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.requestlog.filter import EVERYTHING
from playground.runs.state import TurnTimes
from playground.storage.settings import Settings
from playground.ui.session import Session
from playground.ui.voice.canvas import Scale, pack
from playground.ui.voice.dialog import SideBySideTab, SpeechForm, TimelineTab, VoiceDialog
from playground.ui.voice.picture import CALLS, HEARD, TEXT, TOOLS, picture, rows
from playground.voice.speech import DEFAULTS
from playground.voice.timeline import MeasuredTool, MeasuredTurn, timeline
from tests.voice.sample import times, turn
from tests.voice.test_timeline import VENDOR

VENDORS_MS = ["250 first content", "280 get_balance starts", "≈ 600 heard"]
LATER_MS = ["800 get_balance back", "850 first content", "≈ 1,200 heard"]


@pytest.fixture
def tab(qtbot: QtBot) -> Iterator[TimelineTab]:
    made = TimelineTab()
    qtbot.addWidget(made)
    made.resize(1000, 600)
    made.show()
    yield made
    made.close()


def _shown(dialog: VoiceDialog) -> list[str]:
    return [item.label.split(" · turn")[0] for item in dialog.timeline.picture.moments]


async def test_the_vendors_example_is_one_click(session: Session, hand: UiDriver) -> None:
    session.window.actions_table["voice"].trigger()
    dialog = session.window.voicing.dialog
    assert dialog is not None
    assert dialog.timeline.figures.text() == "No run yet."
    dialog.example.click()
    await hand.until(dialog.example.isEnabled, "the example's end")
    shown = _shown(dialog)
    assert [label for label in shown if label in (*VENDORS_MS, *LATER_MS)] == [*VENDORS_MS, *LATER_MS]
    assert "First sound ≈ 600 ms" in dialog.timeline.figures.text()
    assert "answer heard ≈ 1,200 ms" in dialog.timeline.figures.text()
    assert "On this machine they came at" in dialog.note.text()
    assert session.workspace.log is not None
    assert (await session.workspace.log.count(EVERYTHING)).n == 2
    dialog.tabs.setCurrentWidget(dialog.beside)
    assert "≈ 853 ms earlier" in dialog.beside.said.text()
    assert "≈ 580 ms earlier" in dialog.beside.said.text()
    dialog.close()


async def test_the_run_in_hand_is_followed_and_a_logged_one_is_the_same(session: Session, hand: UiDriver) -> None:
    window = session.window
    dialog = window.voicing.open()
    window.requests.send_or_stop()
    await hand.until(lambda: dialog.title.text() == "The newest request", "the picture of the end")
    live = rows(dialog.timeline.picture)
    assert any("Answer heard" in row[3] for row in live)
    first = window.requests.shown_run_id
    assert first is not None
    await hand.until(lambda: not window.requests.running, "the end")  # Send would still be Stop
    document = window.prompt.document()
    window.prompt.set_document(replace(document, parameters={"simulate": "stall=9"}))
    window.requests.send_or_stop()
    await hand.until(lambda: dialog.title.text().endswith("running"), "the title of a run that does not end")
    await hand.until(lambda: any(bar.lane == TEXT for bar in dialog.timeline.picture.bars), "its text so far")
    assert window.requests.running
    window.requests.send_or_stop()
    await hand.until(lambda: dialog.title.text() == "The newest request", "the picture of the stopped run")
    window.requests.open_logged(first)
    await hand.until(lambda: dialog.title.text() == "A logged request", "the logged one")
    assert rows(dialog.timeline.picture) == live
    dialog.close()
    assert window.voicing.open() is not dialog


async def test_timeline_opened_after_a_run_has_the_times_of_its_events(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None and not window.requests.running, "the end")
    dialog = window.voicing.open()
    shown = rows(dialog.timeline.picture)
    assert dialog.title.text() == "The newest request"
    assert any("Answer heard" in row[3] for row in shown)
    dialog.close()
    assert rows(window.voicing.open().timeline.picture) == shown


def test_what_is_drawn_is_what_was_computed() -> None:
    shown = picture(timeline(VENDOR), VENDOR)
    assert shown.lanes == ("Caller hears", "Request", "Text", "Tool calls", "Tools")
    heard = [(round(bar.starts_at * 1000), bar.style, bar.computed) for bar in shown.bars if bar.lane == HEARD]
    assert heard[:3] == [(0, "silence", True), (600, "speech", True), (1133, "silence", True)]
    assert [bar.label for bar in shown.bars if bar.style == "silence"] == ["≈ 600 ms", "≈ 67 ms"]
    assert [bar.label for bar in shown.bars if bar.lane == TEXT] == ["One sec!", "It is ₹412! Anything else?"]
    calls = next(bar for bar in shown.bars if bar.lane == CALLS)
    assert [round(at * 1000) for at in calls.ticks] == [270, 280]
    assert not any(bar.computed for bar in shown.bars if bar.lane >= TEXT)
    # The same run as it would have gone is computed throughout.
    after = picture(timeline(VENDOR, variant="after_speech"), VENDOR)
    assert all(item.computed for item in after.items)


def test_tools_side_by_side_stand_under_one_another() -> None:
    first = turn(0, times((100, "Wait!"), calls=[(110, 0), (120, 1)], ends=130), (140, 240), (140, 640), (300, 400))
    shown = picture(timeline((first,)), (first,))
    tools = [(bar.lane - TOOLS, bar.label) for bar in shown.bars if bar.style == "tool"]
    assert sorted(tools) == [(0, "tool_0"), (0, "tool_2"), (1, "tool_1")]


def test_a_turn_without_tools_has_no_lanes_for_them_and_nothing_yet_is_said(tab: TimelineTab) -> None:
    said = (turn(0, times((100, "Yes."), ends=200)),)
    assert picture(timeline(said), said).lanes == ("Caller hears", "Request", "Text")
    for turns in ((), (turn(0, TurnTimes()),)):
        tab.show_timeline(timeline(turns), turns, live=False)
        tab.grab()
        assert tab.table.rowCount() == 0


def test_what_goes_on_is_said_to_go_on(tab: TimelineTab) -> None:
    filler = times((100, "Wait!"), calls=[(110, 0)], ends=120)
    running = (MeasuredTurn(0.0, filler, (MeasuredTool("tool_0", 0.12, None),)),)
    tab.show_timeline(timeline(running, now=2.0), running, live=False)
    tab.grab()
    row = next(row for row in rows(tab.picture) if "tool tool_0 runs" in row[3])
    assert row[1] == "goes on"


def test_the_arrows_walk_through_everything_and_tell_it(tab: TimelineTab) -> None:
    tab.show_timeline(timeline(VENDOR), VENDOR, live=False)
    canvas = tab.canvas
    told: list[str] = []
    canvas.chosen.connect(told.append)
    QTest.keyClick(canvas, Qt.Key.Key_Home)
    for _ in tab.picture.items[1:]:
        QTest.keyClick(canvas, Qt.Key.Key_Right)
        tab.grab()
    assert len([text for text in told if text]) == len(tab.picture.items) == tab.table.rowCount()
    assert any(text.startswith("≈ 0 ms to ≈ 600 ms (≈ 600 ms). Silence") for text in told)
    QTest.keyClick(canvas, Qt.Key.Key_End)
    QTest.keyClick(canvas, Qt.Key.Key_Plus)
    QTest.keyClick(canvas, Qt.Key.Key_Plus)
    begins, length, whole = canvas.view
    assert length < whole / 2
    assert tab.bar.isVisible()
    tab.bar.setValue(0)
    assert canvas.view[0] == 0.0 < begins
    QTest.keyClick(canvas, Qt.Key.Key_0)
    assert canvas.view[1] == whole


def test_the_table_is_copied(tab: TimelineTab) -> None:
    tab.show_timeline(timeline(VENDOR), VENDOR, live=False)
    tab.copy.click()
    lines = QGuiApplication.clipboard().text().split("\n")
    assert lines[0] == "at\tlength\tlane\twhat\tknown"
    assert "250 ms\t\tRequest\tturn 1: The first text of the turn arrived.\tmeasured" in lines
    assert any(line.startswith("≈ 600 ms\t≈ 533 ms\tCaller hears") for line in lines)


@given(st.lists(st.tuples(st.floats(0, 900), st.floats(1, 200)), max_size=30))
def test_labels_never_lie_over_one_another(wanted: list[tuple[float, float]]) -> None:
    placed = pack(wanted, 0, 1000)
    boxes = [(place.row, place.x, place.x + width) for place, (_, width) in zip(placed, wanted, strict=True)]
    for number, (row, left, right) in enumerate(boxes):
        assert left >= 0
        assert right <= 1000 + 1e-6
        assert all(row != other or right < start or end < left for other, start, end in boxes[:number])


@given(st.floats(0, 100), st.floats(0.001, 500), st.floats(100, 3000))
def test_ticks_are_round_few_and_in_view(begins: float, length: float, width: float) -> None:
    scale = Scale(begins, begins + length, 90, width)
    ticks = scale.ticks()
    assert len(ticks) <= width / 80 + 1
    assert all(begins - length * 1e-6 <= at <= begins + length * 1.000001 for at in ticks)
    assert scale.at(scale.x(begins + length / 3)) == pytest.approx(begins + length / 3)


def test_the_speech_settings_are_checked_and_remembered(qtbot: QtBot, tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.json")
    form = SpeechForm(settings)
    qtbot.addWidget(form)
    heard: list[object] = []
    form.changed.connect(heard.append)
    assert form.value == DEFAULTS
    assert "vendor's figures" in form.said.text()
    form.delay.setValue(400)
    assert "at least 400 ms" in form.said.text()
    assert heard == []
    form.pipeline.setValue(650)
    form.unit.setCurrentIndex(form.unit.findData("words"))
    form.unit.activated.emit(1)
    assert form.value == replace(DEFAULTS, engine_start_s=0.4, path_s=0.25, rate=2.5, unit="words")
    again = SpeechForm(Settings(tmp_path / "settings.json"))
    qtbot.addWidget(again)
    assert again.value == form.value
    assert "yours" in again.said.text()
    again.defaults.click()
    assert again.value == DEFAULTS


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        ((), "No run yet."),
        ((turn(0, times((100, "Yes."), ends=200)),), "No tool was called"),
        ((turn(0, times(calls=[(100, 0)], ends=200), (210, 300)),), "No turn spoke before its call"),
    ],
)
def test_side_by_side_says_when_there_is_nothing_to_compare(
    qtbot: QtBot, turns: tuple[MeasuredTurn, ...], said: str
) -> None:
    tab = SideBySideTab()
    qtbot.addWidget(tab)
    tab.show_turns(turns, DEFAULTS)
    tab.grab()
    assert said in tab.said.text()


def test_side_by_side_gives_the_gain_as_numbers(qtbot: QtBot) -> None:
    tab = SideBySideTab()
    qtbot.addWidget(tab)
    tab.show_turns(VENDOR, DEFAULTS)
    cells = [[item.text() if (item := tab.table.item(row, column)) else "" for column in range(6)] for row in range(4)]
    assert cells[0] == ["first sound", "≈ 600 ms", "≈ 600 ms", "≈ 0 ms", "≈ 1,180 ms", "≈ +580 ms"]
    assert cells[1] == ["answer heard", "≈ 1,200 ms", "≈ 2,053 ms", "≈ +853 ms", "≈ 1,180 ms", "≈ −20 ms"]
