"""The list of programs, and the snippets that connect one."""

from __future__ import annotations

import ast
import builtins

import pytest
from pytestqt.qtbot import QtBot

from playground.recorder.programs import Analysis, Program, figures
from playground.ui.recorder.bars import SNIPPETS
from playground.ui.recorder.programs import ProgramList
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
