"""Contrast of both themes: text at 4.5:1, borders of fields and graphical marks at 3:1 (WCAG)."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor

from playground.ui.theme import Theme, load_theme
from playground.ui.widgets.icons import shapes, svg

TEXT = (
    ("text", "window"), ("text", "surface"), ("text", "sunk"), ("text", "stable"), ("text", "variable"),
    ("text", "selection"), ("muted", "window"), ("muted", "surface"), ("muted", "sunk"), ("muted", "stable"),
    ("muted", "variable"), ("muted", "selection"), ("accent", "surface"), ("accent", "sunk"), ("accent", "window"),
    ("accent", "selection"), ("on_accent", "accent"), ("variable_edge", "surface"), ("variable_edge", "variable"),
    ("variable_edge", "chip"), ("warm_edge", "surface"), ("warm_edge", "sunk"), ("warm_edge", "stable"),
    ("warm_edge", "variable"), ("output", "surface"), ("failure", "surface"), ("failure", "sunk"),
)  # fmt: skip
GRAPHICS = (
    ("fresh_outline", "surface"), ("fresh_outline", "window"), ("stable_edge", "surface"), ("warm_edge", "stable"),
    ("warm_edge", "variable"), ("accent", "surface"), ("failure", "surface"), ("output", "surface"),
)  # fmt: skip


def ratio(one: QColor, other: QColor) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(color: QColor) -> float:
        parts = [color.redF(), color.greenF(), color.blueF()]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [load_theme("light"), load_theme("dark")], ids=lambda theme: theme.name)
@pytest.mark.parametrize(("pairs", "least"), [(TEXT, 4.5), (GRAPHICS, 3.0)], ids=["text", "graphics"])
def test_contrast_reaches_the_level_of_its_use(theme: Theme, pairs: tuple[tuple[str, str], ...], least: float) -> None:
    found = {(front, back): ratio(getattr(theme, front), getattr(theme, back)) for front, back in pairs}
    assert {pair: round(value, 2) for pair, value in found.items() if value < least} == {}


def test_every_icon_is_drawn_in_the_color_it_is_given() -> None:
    for name in shapes():
        assert b"currentColor" not in svg(name, QColor("#123456"))
        assert b"#123456" in svg(name, QColor("#123456"))
