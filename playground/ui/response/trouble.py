"""Trouble in place: what went wrong, what to do, and the request_id to quote."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel

from playground.client.events import Trouble
from playground.runs.state import RunState
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.copy_button import CopyButton
from playground.ui.widgets.elided_label import ElidedLabel
from playground.ui.widgets.notice import Notice, words

MOST_DETAILS = 6
MOST_CHARS = 1_000
_KEY_STATUSES = (401, 403)


def trouble_notice(state: RunState) -> Notice | None:
    """The notice for a run that failed; None for any other. Its buttons name the window's actions."""
    trouble = state.trouble
    if trouble is None or state.phase != "failed":
        return None
    notice = Notice("trouble", trouble.title, _cut(trouble.detail), trouble.advice, _buttons(trouble))
    # Under the words, over the buttons.
    place = notice.column.count() - 1
    for line in reversed(_facts(trouble)):
        label = words(line, "muted")
        label.setFont(mono_font())
        notice.column.insertWidget(place, label)
    request_id = state.request_id or trouble.body_request_id
    if request_id:
        notice.column.insertLayout(notice.column.count() - 1, _id_row(request_id))
    return notice


def _buttons(trouble: Trouble) -> tuple[tuple[str, str], ...]:
    again = ("Send again", "send")
    if trouble.kind == "key" or trouble.status in _KEY_STATUSES:
        return (("Set the key…", "connect"), again)
    if trouble.kind in ("connect", "tls", "setup", "protocol"):
        return (again, ("Check the endpoint…", "connect"))
    return (again,)


def _facts(trouble: Trouble) -> list[str]:
    """Status and type, the wait that the server asks for, then each detail with its path."""
    head = [
        f"status {trouble.status}" if trouble.status is not None else "",
        f"type {trouble.error_type}" if trouble.error_type else "",
    ]
    if trouble.retry_after_s is not None:
        head.append(f"Retry-After {trouble.retry_after_s:g} s")
    lines = [" · ".join(part for part in head if part)]
    # The detail's words may name the fields already.
    named = [line for line in map(_detail, trouble.details) if line not in trouble.detail]
    lines += named[:MOST_DETAILS]
    if len(named) > MOST_DETAILS:
        lines.append(f"and {len(named) - MOST_DETAILS} more: see JSON")
    return [line for line in lines if line]


def _cut(detail: str) -> str:
    lines = detail.split("\n")
    text = "\n".join(lines[: MOST_DETAILS + 1])[:MOST_CHARS]
    return text if text == detail else f"{text} … (all of it: see JSON)"


def _detail(detail: dict[str, object]) -> str:
    path = detail.get("path", "")
    place = _path(path) if isinstance(path, list | tuple) else str(path)
    message = str(detail.get("message", detail.get("msg", "")))
    return f"{place}: {message}" if place else message


def _path(steps: list[object] | tuple[object, ...]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else str(step))
    return text


def _id_row(request_id: str) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(GRID)
    caption = QLabel("request_id")
    caption.setProperty("tone", "muted")
    shown = ElidedLabel("request_id of the failed request")
    shown.setFont(mono_font())
    shown.setProperty("mono", True)
    shown.set_full_text(request_id)
    copy = CopyButton("the failed request's request_id")
    copy.set_text_to_copy(request_id)
    row.addWidget(caption)
    row.addWidget(shown, 1)
    row.addWidget(copy)
    return row
