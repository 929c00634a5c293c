"""The fields that an error names: each path a button that leads to its place in the prompt."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QGridLayout

from playground.client.envelope import parse, path_of, steps_of
from playground.client.events import Trouble
from playground.prompt.problems import Problem
from playground.ui.theme import GRID
from playground.ui.widgets.field_link import field_link, shortened
from playground.ui.widgets.notice import words

MOST_DETAILS = 6


def problems_of(trouble: Trouble) -> list[Problem]:
    """Each detail as a problem with its path, as the server wrote it; the `param` of OpenAI's errors is one too."""
    problems = [Problem(path_of(item), _message(item)) for item in trouble.details]
    param = parse(trouble.body).param if trouble.body and not any(p.path for p in problems) else None
    if param:
        problems.append(Problem(steps_of(param), "is the field that the server names"))
    return problems


def details_grid(problems: list[Problem], chosen: Callable[[Problem], object]) -> QGridLayout:
    """A row a problem: the path as a button, then what is wrong. `chosen` hears of a click."""
    grid = QGridLayout()
    grid.setHorizontalSpacing(GRID)
    grid.setVerticalSpacing(0)
    grid.setColumnStretch(1, 1)
    for row, problem in enumerate(problems[:MOST_DETAILS]):
        if problem.path:
            grid.addWidget(field_link(problem, chosen), row, 0)
        grid.addWidget(words(shortened(problem.message)), row, 1)
    if len(problems) > MOST_DETAILS:
        grid.addWidget(words(f"and {len(problems) - MOST_DETAILS} more: see JSON", "muted"), MOST_DETAILS, 1)
    return grid


def _message(detail: dict[str, object]) -> str:
    found = detail.get("message") or detail.get("msg")
    return found if isinstance(found, str) else "not accepted"
