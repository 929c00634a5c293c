"""Rows whose output tokens are estimated."""

from __future__ import annotations

from typing import Any

import pytest

from playground.cli.log import _line
from playground.runs.metrics import Figure
from playground.ui.panes.log.columns import COLUMNS, cell_of
from playground.ui.panes.log.details import RowDetail
from tests.recorder.rows import row


@pytest.mark.parametrize(
    ("fields", "estimated"),
    [
        ({"answer": "Hello"}, True),
        ({"called": "get_balance", "phase": "failed"}, True),
        ({"answer": "Hello", "phase": "interrupted"}, True),
        ({"answer": "Hello", "completion_tokens": 0}, False),
        ({"answer": "Hello", "phase": "streaming"}, False),
        ({}, False),
    ],
)
def test_output_of_an_ended_row_with_text_and_no_report_is_estimated(fields: dict[str, Any], estimated: bool) -> None:
    assert row(1, **{"completion_tokens": None, **fields}).is_output_estimated == estimated


def test_row_of_the_log_and_line_of_the_list_have_the_same_estimate() -> None:
    one = row(1, completion_tokens=None, answer="Hello")
    cell = cell_of(next(column for column in COLUMNS if column.title == "out"), one, RowDetail(output_estimated=70.2))
    assert cell.text == "≈ 70"
    assert f"out {cell.text:>5}" in _line(one, Figure.estimated(70.2))
