"""A failed request in place: what happened and what to do. Its request_id is in the inspector, once."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QGridLayout

from playground.client.error_body import parse, path_of, steps_of
from playground.client.events import ApiError
from playground.prompt.field_errors import FieldError
from playground.runs.state import RunState
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.notice import Notice, field_link, shortened, words

MOST_DETAILS = 6


def problems_of(trouble: ApiError) -> list[FieldError]:
    """Each detail as a problem with its path, as the server wrote it; the `param` of OpenAI's errors is one too."""
    problems = [FieldError(path_of(item), _message(item)) for item in trouble.details]
    param = parse(trouble.body).param if trouble.body and not any(p.path for p in problems) else None
    if param:
        problems.append(FieldError(steps_of(param), "is the field that the server names"))
    return problems


def details_grid(problems: list[FieldError], chosen: Callable[[FieldError], object]) -> QGridLayout:
    """One row per field error: the path as a button, then the message. Calls `chosen` on a click."""
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


MOST_LINES = 7
MOST_CHARS = 1_000
_KEY_STATUSES = (401, 403)


def trouble_notice(state: RunState, go_to: Callable[[FieldError], object]) -> Notice | None:
    """Return the error banner for a failed run; None for other runs. Its buttons trigger actions of the window.

    `go_to` is called with the clicked field.
    """
    trouble = state.trouble
    if trouble is None or state.phase != "failed":
        return None
    problems = problems_of(trouble)
    notice = Notice("trouble", trouble.title, _cut(_head(trouble, problems)), trouble.advice, _buttons(trouble))
    # Under the words, over the buttons.
    if problems:
        notice.column.insertLayout(notice.column.count() - 1, details_grid(problems, go_to))
    if facts := _facts(trouble):
        label = words(facts, "muted")
        label.setFont(mono_font())
        notice.column.insertWidget(notice.column.count() - 1, label)
    return notice


def _buttons(trouble: ApiError) -> tuple[tuple[str, str], ...]:
    again = ("Send again", "send")
    if trouble.kind == "key" or trouble.status in _KEY_STATUSES:
        return (("Set the key…", "connect"), again)
    if trouble.kind in ("connect", "tls", "setup", "protocol"):
        return (again, ("Check the endpoint…", "connect"))
    return (again,)


def _facts(trouble: ApiError) -> str:
    """Status and type, and the wait that the server asks for."""
    facts = [
        f"status {trouble.status}" if trouble.status is not None else "",
        f"type {trouble.error_type}" if trouble.error_type else "",
        f"Retry-After {trouble.retry_after_s:g} s" if trouble.retry_after_s is not None else "",
    ]
    return " · ".join(fact for fact in facts if fact)


def _head(trouble: ApiError, problems: list[FieldError]) -> str:
    """Return the detail without the lines that are shown as separate rows."""
    rows = {str(problem) for problem in problems}
    return "\n".join(line for line in trouble.detail.split("\n") if line not in rows)


def _cut(detail: str) -> str:
    lines = detail.split("\n")
    text = "\n".join(lines[:MOST_LINES])[:MOST_CHARS]
    return text if text == detail else f"{text} … (all of it: see JSON)"
