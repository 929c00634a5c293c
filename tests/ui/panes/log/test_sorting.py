"""Sorting by a column: header, indicator, menu, accessible name, selection."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from playground.client.events import Usage
from playground.requestlog.filter import Order
from playground.ui.panes.log.columns import COLUMNS
from tests.requestlog.samples import answered, keep, record
from tests.ui.panes.log.conftest import TITLES, Stage

CACHED = TITLES.index("cached")


async def _three(stage: Stage) -> None:
    for number, cached in enumerate((10, 30, 20)):
        usage = Usage(100, 5, 105, cached)
        await keep(stage.log, record(f"q{number}", minute=number), answered(f"a{number}", f"{number}-x", usage))
    await stage.shown(3)


def _click(stage: Stage, number: int) -> None:
    header = stage.pane.table.horizontalHeader()
    at = header.viewport().rect().center()
    at.setX(header.sectionViewportPosition(number) + 20)
    QTest.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=at)


def _column(stage: Stage) -> list[str]:
    return [stage.cell(row, "cached") for row in range(stage.pane.model.rowCount())]


async def test_click_on_a_header_sorts_reverses_and_returns_to_newest_first(stage: Stage) -> None:
    await _three(stage)
    table = stage.pane.table
    assert _column(stage) == ["20", "30", "10"]
    _click(stage, CACHED)
    await stage.until(lambda: _column(stage) == ["30", "20", "10"], "largest first")
    assert table.horizontalHeader().isSortIndicatorShown()
    assert table.horizontalHeader().sortIndicatorSection() == CACHED
    assert table.accessibleName().endswith("sorted by Cached, descending")
    _click(stage, CACHED)
    await stage.until(lambda: _column(stage) == ["10", "20", "30"], "smallest first")
    assert table.accessibleName().endswith("sorted by Cached, ascending")
    _click(stage, CACHED)
    await stage.until(lambda: _column(stage) == ["20", "30", "10"], "newest first")
    assert not table.horizontalHeader().isSortIndicatorShown()


async def test_every_column_can_be_chosen_in_the_menu(stage: Stage) -> None:
    await _three(stage)
    actions = stage.pane.table.order_menu().actions()
    for column, action in zip(COLUMNS, actions[1:], strict=True):
        action.trigger()
        order = stage.pane.model.filter.order
        assert order is not None
        assert order.key == column.title
        await stage.until(lambda: stage.pane.model.shows_filter, "the rows")
        assert sorted(_column(stage)) == ["10", "20", "30"]


async def test_a_new_request_comes_in_at_its_place_and_the_selected_request_stays(stage: Stage) -> None:
    await _three(stage)
    table = stage.pane.table
    table.show_order(Order("cached"))
    await stage.until(lambda: _column(stage) == ["30", "20", "10"], "the order")
    table.go_to(2)
    chosen = stage.pane.current_run_id()
    await keep(stage.log, record("late", minute=9), answered("late", "9-x", Usage(100, 5, 105, 25)))
    await stage.until(lambda: _column(stage) == ["30", "25", "20", "10"], "the new row")
    assert stage.pane.current_run_id() == chosen
    assert table.currentIndex().row() == 3


async def test_copied_ids_are_those_of_the_selected_rows_of_a_sorted_list(stage: Stage) -> None:
    await _three(stage)
    stage.pane.table.show_order(Order("cached"))
    await stage.until(lambda: _column(stage) == ["30", "20", "10"], "the order")
    numbers = await stage.log.numbers(stage.pane.model.filter)
    ids = await stage.log.run_ids([numbers[-1]])
    assert ids == [stage.pane.model.row(0).run_id]  # type: ignore[union-attr]
