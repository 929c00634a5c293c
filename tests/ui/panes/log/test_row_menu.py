"""The rows: what their menu offers for the number of selected requests, and what is painted."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QMenu, QTableView

from playground.client.events import Usage
from playground.experiments.comparison import LETTERS
from playground.ui.panes.log.table import TEXT_PX
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


async def test_a_row_whose_text_would_be_cut_has_none(stage: Stage) -> None:
    for number in range(6):
        name = f"run-{number}"
        await keep(stage.log, record(name, minute=number), answered(name, f"{number}-x", Usage(100, 5, 105, 20)))
    await stage.shown(6)
    table = stage.pane.table

    async def colors(shown_px: int) -> int:
        """Return the number of colors in the row at the lower end, of which so much is in view."""
        top = table.rowViewportPosition(3)
        stage.pane.resize(stage.pane.width(), stage.pane.height() + top + shown_px - table.viewport().height())
        await stage.until(lambda: table.viewport().height() == top + shown_px, "the new height")
        picture = table.viewport().grab().toImage()
        return len({picture.pixel(x, y) for x in range(picture.width()) for y in range(top, top + shown_px)})

    assert await colors(TEXT_PX) > 10
    assert await colors(TEXT_PX - 2) == 1
