"""The causes that a miss can have, and the words for each."""

from __future__ import annotations

from typing import Literal

Cause = Literal[
    "edited",
    "spacing",
    "date",
    "time",
    "number",
    "uuid",
    "name",
    "variable",
    "order",
    "removed",
    "added",
    "tools",
    "parameters",
    "first",
    "idle",
    "minimum",
    "server",
    "unreported",
    "implausible",
    "unknown",
]

TITLES: dict[Cause, str] = {
    "edited": "Edit",
    "spacing": "White space or case",
    "date": "Date",
    "time": "Time",
    "number": "Number",
    "uuid": "Identifier",
    "name": "Name",
    "variable": "Value",
    "order": "Messages reordered",
    "removed": "Messages removed",
    "added": "Messages inserted",
    "tools": "Tools changed",
    "parameters": "Parameters changed",
    "first": "First request: nothing cached",
    "idle": "Idle for too long",
    "minimum": "Below what this server caches",
    "server": "The server, not the text",
    "unreported": "Cached not reported",
    "implausible": "The report cannot be right",
    "unknown": "Cause not known",
}

IN_THE_PROMPT: frozenset[Cause] = frozenset(
    (
        "edited",
        "spacing",
        "date",
        "time",
        "number",
        "uuid",
        "name",
        "variable",
        "order",
        "removed",
        "added",
        "tools",
        "parameters",
    )
)
"""Causes that the author of the prompt can fix."""
