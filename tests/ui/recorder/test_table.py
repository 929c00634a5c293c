"""The table of recorded requests: rows that come and go leave the others where they are."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from PySide6.QtCore import QPersistentModelIndex

from playground.requestlog.records import LogRow
from playground.ui.recorder.table import RecordedModel


def rows(first: int, last: int) -> list[LogRow]:
    """Return rows, newest first; the model reads number and run_id only until a cell is asked for."""
    made = [SimpleNamespace(number=number, run_id=f"run-{number}") for number in range(last, first - 1, -1)]
    return cast("list[LogRow]", made)


def test_show_rows_at_the_limit_keeps_the_selected_row() -> None:
    model = RecordedModel()
    model.show_rows(rows(1, 10), {})
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    chosen = QPersistentModelIndex(model.index(3, 0))
    assert model.rows[chosen.row()].run_id == "run-7"
    model.show_rows(rows(3, 12), {})
    assert resets == []
    assert model.rows[chosen.row()].run_id == "run-7"
    assert chosen.row() == 5
    assert model.rowCount() == 10
    model.show_rows(rows(20, 25), {})
    assert len(resets) == 1
