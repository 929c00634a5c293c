"""The list of programs, and the snippets that connect one."""

from __future__ import annotations

import ast
import builtins
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetrics
from pytestqt.qtbot import QtBot

from playground.recorder.programs import Analysis, Program, figures
from playground.ui.recorder.bars import SNIPPETS, RecorderTools
from playground.ui.recorder.page import RecorderPage, Shown
from playground.ui.recorder.programs import ANALYSING, NONE_YET, ProgramList
from tests.recorder.rows import row


def test_show_programs_newer_analysis_without_the_first_request_keeps_the_current_program(qtbot: QtBot) -> None:
    programs, rows = ProgramList(), [row(number, 1_000, 500) for number in range(4, 0, -1)]
    qtbot.addWidget(programs)
    other = Program("other", ("run-4",), {})
    programs.show_programs(rows, figures(rows), Analysis((Program("agent", ("run-1", "run-2"), {}), other)))
    item = programs.topLevelItem(1)
    assert item is not None
    programs.setCurrentItem(item)
    key = programs.key()
    chosen: list[int] = []
    programs.chosen.connect(lambda: chosen.append(1))
    programs.show_programs(rows, figures(rows), Analysis((Program("agent", ("run-2", "run-3"), {}), other)))
    assert programs.key() == key
    assert programs.program() == 0
    assert programs.topLevelItemCount() == 3
    assert chosen == []
    programs.show_programs(rows, figures(rows), Analysis((other,)))
    assert programs.topLevelItemCount() == 2


@pytest.mark.parametrize("name", ["openai-python", "Pipecat", "LiveKit Agents"])
def test_snippets_in_python_bind_every_name(name: str) -> None:
    tree = ast.parse(SNIPPETS[name].format(url="http://127.0.0.1:8788/waves/v1"))
    bound = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    assert {node.id for node in names} <= bound | set(dir(builtins))


def test_page_says_that_requests_are_analysed_until_all_ended_ones_are(qtbot: QtBot) -> None:
    page, rows = RecorderPage(), [row(number, 1_000, 500) for number in range(4, 0, -1)]
    qtbot.addWidget(page)
    assert page.leaks.none.text() == NONE_YET
    page.show_requests(Shown(rows[1:]))
    assert page.leaks.none.text() == ANALYSING
    found = Analysis((Program("agent", ("run-1", "run-2", "run-3"), {}),))
    page.show_analysis(found, frozenset(("run-1", "run-2", "run-3")))
    assert page.leaks.none.text() == NONE_YET
    page.show_requests(Shown(rows))
    assert page.leaks.none.text() == ANALYSING
    running: Any = row(5, None, None, phase="streaming")
    page.show_analysis(found, frozenset(one.run_id for one in rows))
    page.show_requests(Shown([running, *rows]))
    assert page.leaks.none.text() == NONE_YET


def test_list_counts_every_listed_request_of_a_program(qtbot: QtBot) -> None:
    programs = ProgramList()
    qtbot.addWidget(programs)
    refused = [row(number, None, None, phase="failed", status=400) for number in (3, 2, 1)]
    programs.show_programs(refused, figures(refused), Analysis((Program("agent", ("run-1", "run-2", "run-3"), {}),)))
    items = [programs.topLevelItem(number) for number in range(2)]
    assert [item and item.data(0, Qt.ItemDataRole.UserRole + 1)[3] for item in items] == ["3 requests"] * 2


def test_tools_in_a_narrow_window_give_up_the_room_of_the_address(qtbot: QtBot) -> None:
    tools = RecorderTools()
    qtbot.addWidget(tools)
    tools.show_state("Recording 12 s", "http://127.0.0.1:46297/waves/v1", "Simulator", running=True, busy=False)
    needed = QFontMetrics(tools.url.font()).horizontalAdvance(tools.url.text())
    widths = []
    for level in (1, 2):
        tools.show_compact(level)
        widths.append(tools.url.minimumWidth())
    assert widths[0] >= needed + 24  # whole, until the window is too narrow for that
    assert widths[1] <= widths[0] / 2
    assert tools.copy.isVisibleTo(tools)
