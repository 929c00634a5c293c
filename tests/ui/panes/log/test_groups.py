"""Headings of groups in the log pane: text, keys, mouse, selection and actions on the whole group."""

from __future__ import annotations

from msgspec.structs import replace
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from playground.client.events import Usage
from tests.requestlog.samples import answered, keep, record, refused
from tests.ui.panes.log.conftest import Stage

IDS = [f"{number}0000000-1111-4222-8333-444455556666" for number in range(1, 6)]


async def fill(stage: Stage) -> None:
    """Log a request, a batch of three of which one failed, and a newer request."""
    stage.pane.model.fold_groups(True)
    await keep(stage.log, record(), answered(request_id=IDS[0]))
    for number in range(1, 4):
        made = replace(record(minute=number), tags=("batch:a1",))
        events = refused(request_id=IDS[3]) if number == 3 else answered(request_id=IDS[number])
        await keep(stage.log, made, events)
    await keep(stage.log, record(minute=5), answered(request_id=IDS[4], usage=Usage(10, 1, 11, 0)))
    await stage.shown(3)


async def test_heading_shows_count_sums_and_outcome(stage: Stage) -> None:
    await fill(stage)
    assert stage.cell(1, "status") == "Batch · 3"
    assert stage.cell(1, "request_id") == "group:batch:a1"
    assert stage.cell(1, "in") == "≥ 2,408"
    assert stage.cell(1, "cached") == "≥ 2,304"
    assert stage.cell(1, "cost").startswith("≥ $")
    assert stage.cell(1, "prefix") == "1 failed · 2 finished"
    spoken = stage.cell(1, "time", Qt.ItemDataRole.AccessibleTextRole)
    assert spoken.endswith("group of 3 requests, collapsed")
    assert stage.cell(1, "in", Qt.ItemDataRole.AccessibleTextRole) == "in: at least 2,408"


async def test_heading_right_and_left_expand_and_collapse_and_keep_the_selection(stage: Stage) -> None:
    await fill(stage)
    table = stage.pane.table
    table.go_to(1)
    QTest.keyClick(table, Qt.Key.Key_Right)
    await stage.rows(6)
    assert table.currentIndex().row() == 1
    assert [stage.cell(row, "request_id") for row in range(6)] == [
        *(IDS[4], "group:batch:a1", IDS[3], IDS[2], IDS[1], IDS[0])
    ]
    table.go_to(3)
    QTest.keyClick(table, Qt.Key.Key_Left)
    assert table.currentIndex().row() == 1
    QTest.keyClick(table, Qt.Key.Key_Left)
    await stage.rows(3)
    assert table.currentIndex().row() == 1
    assert stage.cell(1, "request_id") == "group:batch:a1"


async def test_heading_click_on_its_mark_and_double_click_toggle(stage: Stage) -> None:
    await fill(stage)
    table = stage.pane.table
    place = QPoint(table.columnViewportPosition(0) + 10, table.rowViewportPosition(1) + 8)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    await stage.rows(6)
    opened: list[str] = []
    stage.pane.table.open_asked.connect(opened.append)
    wide = QPoint(table.columnViewportPosition(2) + 30, table.rowViewportPosition(1) + 8)
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=wide)
    QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=wide)
    await stage.rows(3)
    assert opened == []


async def test_heading_selected_copies_and_names_all_its_requests(stage: Stage) -> None:
    await fill(stage)
    pane = stage.pane
    previewed: list[str] = []
    pane.previewed.connect(previewed.append)
    pane.table.go_to(1)
    assert previewed == []
    assert pane.current_run_id() is None
    assert pane.copy_button.text() == "Copy 3 request_ids"
    assert pane.copy_request_id()
    wanted = "\n".join((IDS[3], IDS[2], IDS[1]))
    await stage.until(lambda: QGuiApplication.clipboard().text() == wanted, "three ids")
    assert len(await pane.chosen_numbers()) == 3
    QTest.keyClick(pane.table, Qt.Key.Key_Right)
    await stage.rows(6)
    pane.table.selectAll()
    assert pane.table.chosen_requests() == 5
    assert len(await pane.chosen_numbers()) == 5


async def test_heading_new_request_of_an_expanded_group_is_listed_at_once(stage: Stage) -> None:
    await fill(stage)
    stage.pane.model.expand_group("batch:a1", True)
    await stage.rows(6)
    await keep(stage.log, replace(record(minute=9), tags=("batch:a1",)), answered())
    await stage.rows(7)
    await stage.until(lambda: stage.cell(0, "status") == "Batch · 4", "the group first")
    stage.pane.model.fold_groups(False)
    await stage.rows(6)
    assert stage.cell(0, "status") == "200 finished"
