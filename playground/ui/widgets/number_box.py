"""Room before a spin box's figure: the style sheet's padding does not reach the line inside one without buttons."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox

from playground.ui.theme import GRID

Box = TypeVar("Box", QSpinBox, QDoubleSpinBox)


def padded(box: Box) -> Box:
    """The same box, with its figure as far from the edge as in any other field."""
    box.lineEdit().setTextMargins(GRID - 2, 0, 0, 0)
    return box
