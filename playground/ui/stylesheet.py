"""The application's style sheet: `resources/themes/window.qss`, with the theme's roles as colors of the palette.

It is the same in every theme: a change of theme sets the palette and polishes the widgets (`theme.apply_theme`).
Widgets choose a look by dynamic property and set no colors:
  QLabel      tone = "muted" | "caption" (section head) | "title" (empty state) | "headline" (the one figure) |
                     "strong" | "failure" | "warm" | "variable" | "output" | "link"
              mono = "true": an id or a snippet at 12 px
  QPushButton look = "primary" (one per mode) | "stop" | "menu" (chevron) | "mode" (mode switch) | "quiet" | "link" |
                     "role" (none: outlined)
  QToolButton look = "icon"
  QLineEdit   bad = "true": invalid value
  QFrame      look = "menurow" | "bar" (toolbar) | "modes" | "notice" (banner) | "footer" | "hairline" | "card" |
                     "pane" | "callout" (amber edge) | "aside" (grey edge) | "error" (red edge); row = "figure"
  QPlainTextEdit zoned = "true" (the card paints the fill) | boxed = "true"
At run time, change a property with `restyle(widget, property=value)`.
"""

from __future__ import annotations

import re
from string import Template
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt

from playground import asset

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

PALETTE_ROLES = {
    "window": "window",
    "surface": "base",
    "sunk": "alternate-base",
    "line": "mid",
    "text": "text",
    "muted": "placeholder-text",
    "accent": "highlight",
    "on_accent": "highlighted-text",
    "selection": "midlight",
    "button_border": "dark",
    "fresh_outline": "shadow",
    "output": "link-visited",
    "failure": "bright-text",
    "variable": "tooltip-base",
    "variable_edge": "tooltip-text",
    "warm_edge": "light",
}
"""The palette's color, by its name in style sheets, that has the color of a theme's role."""


def style_sheet(chevron: str, check: str, zoom: float = 1.0) -> str:
    """Return the style sheet; `chevron` and `check` are the paths of the list arrow and the check mark.

    `zoom` is the factor of sizes of text, and of the controls that hold it.
    """
    roles = {role: f"palette({name})" for role, name in PALETTE_ROLES.items()}
    template = Template(asset("themes/window.qss").read_text("utf-8"))
    made = template.substitute(roles, chevron=chevron, check=check)
    if zoom == 1.0:
        return made

    def scaled(found: re.Match[str]) -> str:
        return f"{found[1]}{round(int(found[2]) * zoom)}px"

    made = _OF_MARK.sub(lambda rule: _LENGTH.sub(scaled, rule[0]), made)
    made = _OF_MENU.sub(lambda found: f"{found[1]}{round(int(found[2]) + MARK_PX * (zoom - 1))}px", made)
    return _OF_TEXT.sub(scaled, made)


MARK_PX = 12
_OF_TEXT = re.compile(r"((?:font-size|min-height): )(\d+)px")
_OF_MENU = re.compile(r'(QPushButton\[look="menu"\](?::focus)? { padding: \dpx )(\d+)px')
"""The room at the right of a button with a menu, in which its arrow of MARK_PX is."""
_OF_MARK = re.compile(r"::(?:indicator|menu-indicator|down-arrow|drop-down)[^{}]*{[^}]*}")
"""The rule of a mark beside text: a check box, or the arrow of a list."""
_LENGTH = re.compile(r"(\b(?:width|height|border-radius|border): )(\d+)px")


def restyle(widget: QWidget, **properties: str | bool) -> None:
    """Set properties that the style sheet selects by, and apply it to the widget again if one has changed."""
    changed = False
    for name, value in properties.items():
        selected = str(value).lower() if isinstance(value, bool) else value
        if (widget.property(name) or "") != selected:
            widget.setProperty(name, selected)
            changed = True
    # Qt polishes a widget before it is first displayed.
    if changed and widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):
        style = widget.style()
        style.unpolish(widget)
        style.polish(widget)
