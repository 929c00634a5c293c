"""The causes that a miss can have, and a title for each that the user reads first."""

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
    "unknown",
]

TITLES: dict[Cause, str] = {
    "edited": "The text was edited",
    "spacing": "White space, case or something unseen differs",
    "date": "A date varies",
    "time": "A time varies",
    "number": "A number varies",
    "uuid": "An identifier varies",
    "name": "A name varies",
    "variable": "A variable has another value",
    "order": "The messages are in another order",
    "removed": "Messages were removed: the history is shorter",
    "added": "Messages were inserted",
    "tools": "The tools changed",
    "parameters": "Parameters that may matter changed",
    "first": "First request",
    "idle": "Idle for too long",
    "minimum": "Below what this server caches",
    "server": "Identical bytes: the server’s doing",
    "unreported": "This server does not report it",
    "unknown": "Unknown",
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
