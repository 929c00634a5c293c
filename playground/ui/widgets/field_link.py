"""A field's path as a button that leads to it."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QPushButton, QSizePolicy

from playground.prompt.problems import Problem

MOST_CHARS = 400


def field_link(problem: Problem, chosen: Callable[[Problem], object]) -> QPushButton:
    """The path of `problem`, which must have one; `chosen` hears of a click."""
    # A & in a button's text is Qt's mark of a shortcut.
    button = QPushButton(shortened(problem.field).replace("&", "&&"))
    button.setProperty("look", "link")
    button.setAccessibleName(f"Go to {problem.field}")
    button.setAccessibleDescription(problem.message)
    button.setToolTip("Put the cursor there")
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    button.clicked.connect(lambda: chosen(problem))
    return button


def shortened(text: str) -> str:
    """At most MOST_CHARS of what a server wrote."""
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + " …"
