"""The hairline that separates, instead of boxes in boxes."""

from __future__ import annotations

from PySide6.QtWidgets import QFrame


def hairline() -> QFrame:
    """A line of one pixel in the theme's line colour, as wide as its place."""
    line = QFrame()
    line.setProperty("look", "hairline")
    return line
