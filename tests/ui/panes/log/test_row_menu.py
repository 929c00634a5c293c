"""The rows: what their menu offers for the number of selected requests, and what is painted."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QMenu, QTableView

from playground.client.events import Usage
from playground.experiments.comparison import LETTERS
from tests.requestlog.samples import answered, keep, record
from tests.ui.panes.log.conftest import Stage


@pytest.mark.parametrize("selected", [1, 2, 3, 4, 5])
async def test_compare_is_in_the_menu_for_as_many_rows_as_compare_mode_has_columns(stage: Stage, selected: int) -> None:
    for number in range(5):
        name = f"run-{number}"
        await keep(stage.log, record(name, minute=number), answered(name, f"{number}-x", Usage(100, 5, 105, 20)))
    await stage.shown(5)
    table = stage.pane.table
    table.setSelectionMode(QTableView.SelectionMode.MultiSelection)
    table.clearSelection()
    for row in range(selected):
        table.selectRow(row)
    assert table.chosen_requests() == selected
    table.customContextMenuRequested.emit(QPoint(5, 5))
    labels = [action.text() for menu in table.findChildren(QMenu) for action in menu.actions()]
    assert "Delete…\tDel" in labels
    assert ("Compare selected\tC" in labels) == (2 <= selected <= len(LETTERS))


@pytest.mark.parametrize("beyond", [0, 7, 15, 24])
async def test_no_part_of_a_row_is_shown(stage: Stage, beyond: int) -> None:
    for number in range(9):
        name = f"run-{number}"
        await keep(stage.log, record(name, minute=number), answered(name, f"{number}-x", Usage(100, 5, 105, 20)))
    await stage.shown(9)
    table = stage.pane.table
    row = table.rowHeight(5)
    header = table.horizontalHeader().height()
    stage.pane.resize(stage.pane.width(), stage.pane.height() + header + 5 * row + beyond - table.height())
    await stage.until(lambda: table.height() == header + 5 * row + beyond, "the new height")
    assert table.viewport().height() in (4 * row, 5 * row)  # a bar to scroll sideways takes room
    for chosen in (8, 0):
        table.selectRow(chosen)
        table.scrollTo(table.currentIndex())
        assert table.viewport().rect().contains(table.visualRect(table.currentIndex()))
