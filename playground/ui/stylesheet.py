"""The application's style sheet: one template over the theme's roles, which are colors of the application's palette.

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

_TEMPLATE = Template("""
QMainWindow, QDialog { background: $window; }
QFrame[look="pane"] QDialog { background: $surface; }
QDialog[look="popup"] { background: $surface; border: 1px solid $muted; }
QWidget { color: $text; placeholder-text-color: $muted; }
QToolTip { background: $surface; color: $text; border: 1px solid $line; padding: 4px 6px; }
QLabel { background: transparent; }
QLabel[tone="muted"] { color: $muted; font-size: 12px; }
QLabel[tone="caption"] { color: $muted; font-size: 11px; font-weight: 600; }
QLabel[tone="headline"] { font-size: 20px; font-weight: 600; }
QLabel[tone="title"] { font-size: 16px; font-weight: 600; }
QLabel[tone="failure"] { color: $failure; }
QLabel[tone="warm"] { color: $warm_edge; }
QLabel[tone="variable"] { color: $variable_edge; }
QLabel[tone="boundary"] { color: $variable_edge; font-size: 12px; font-weight: 600; }
QLabel[tone="output"] { color: $output; }
QLabel[tone="accent"] { color: $accent; }
QLabel[tone="link"] { color: $accent; }

QFrame[look="menurow"] { background: $window; border: none; border-bottom: 1px solid $line; }
QFrame[look="bar"] { background: $surface; border: none; border-bottom: 1px solid $line; }
QFrame[look="notice"] { background: $selection; border: none; border-bottom: 1px solid $line; }
QFrame[look="footer"] { background: $sunk; border: none; border-top: 1px solid $line; }
QFrame[small="true"] QLabel { font-size: 12px; }
QFrame[look="detail"] { background: $surface; border: none; border-top: 1px solid $line; }
QFrame[look="checks"] { background: $surface; border: none; border-top: 1px solid $line; }
QFrame[look="hairline"] { background: $line; border: none; max-height: 1px; min-height: 1px; }
QFrame[look="card"] { background: $surface; border: 1px solid $line; border-radius: 6px; }
QFrame[look="callout"] { background: $variable; border: none; border-left: 3px solid $variable_edge; }
QFrame[look="pane"] { background: $surface; border: none; }
QFrame[look="aside"] { background: $sunk; border: none; border-left: 3px solid $muted; }
QFrame[row="figure"] { border: 1px solid transparent; border-radius: 3px; }
QLabel[look="step"] { border: 1px solid $button_border; border-radius: 11px; font-size: 11px; font-weight: 600; }
QLabel[mono="true"] { font-size: 12px; }
QLabel[tone="strong"] { font-weight: 600; }
QFrame[look="error"] { background: $surface; border: none; border-left: 3px solid $failure; }

QPushButton {
    background: $surface; border: 1px solid $button_border; border-radius: 6px; padding: 4px 12px; min-height: 18px;
}
QPushButton:hover { border-color: $muted; }
QPushButton:pressed { background: $sunk; }
QPushButton:disabled { color: $muted; background: $window; border-color: $line; }
QPushButton:focus { border: 2px solid $accent; padding: 3px 11px; }
QPushButton[look="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; }
QPushButton[look="primary"]:disabled { background: $window; border-color: $button_border; color: $muted; }
QPushButton[look="quiet"] { background: transparent; border: 1px solid transparent; padding: 3px 8px; color: $muted; }
QPushButton[look="quiet"]:hover { color: $text; border-color: $line; }
QPushButton[look="quiet"]:focus { border: 2px solid $accent; padding: 2px 7px; color: $text; }
QPushButton[look="link"] {
    background: transparent; border: 1px solid transparent; padding: 1px 4px; color: $accent; min-height: 20px;
}
QPushButton[look="link"][flush="true"] { padding-left: 0; }
QPushButton[look="link"]::menu-indicator { image: none; width: 0; }
QPushButton[look="link"]:hover { text-decoration: underline; }
QPushButton[look="link"]:disabled { color: $muted; }
QPushButton[look="link"]:focus { border: 2px solid $accent; padding: 0 3px; border-radius: 4px; }
QPushButton[look="role"] {
    background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 0 4px; font-weight: 600;
    min-height: 22px;
}
QPushButton[look="role"]:hover { border-color: $button_border; }
QPushButton[look="role"]:focus { border: 2px solid $accent; padding: 0 3px; }
QPushButton[look="role"]::menu-indicator { image: none; width: 0; }
QPushButton[look="menu"] { padding: 4px 24px 4px 4px; }
QPushButton[look="menu"]:focus { padding: 3px 23px 3px 3px; }
QPushButton[look="menu"]::menu-indicator {
    image: url("$chevron"); width: 12px; height: 12px; subcontrol-origin: padding; subcontrol-position: right center;
    right: 8px;
}
QPushButton[look="stop"] { background: $surface; color: $failure; border: 1px solid $failure; font-weight: 600; }
QPushButton[look="stop"]:focus { border: 2px solid $failure; padding: 3px 11px; }
QPushButton[look="mode"] {
    background: transparent; border: 1px solid transparent; border-radius: 5px; padding: 3px 8px; color: $muted;
}
QPushButton[look="mode"]:hover { color: $text; }
QPushButton[look="mode"]:checked { background: $selection; color: $accent; font-weight: 600; }
QPushButton[look="toggle"]:checked { background: $selection; color: $accent; border-color: $accent; }
QPushButton[look="mode"]:focus { border: 2px solid $accent; padding: 2px 7px; }
QFrame[look="modes"] { background: $surface; border: 1px solid $button_border; border-radius: 6px; }
QToolButton {
    background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 2px 5px; color: $muted;
}
QToolButton:hover { color: $text; border-color: $button_border; }
QToolButton:focus { border: 2px solid $accent; padding: 1px 4px; color: $text; }
QToolButton[look="icon"] { padding: 0; }
QToolButton[look="icon"]:focus { padding: 0; }
QToolButton[look="more"] { background: $surface; border: none; border-radius: 0; padding: 0; }
QToolButton[look="more"]:focus { border: 2px solid $accent; padding: 0; }
QToolButton[look="icon"]:checked { background: $selection; }
QToolButton[tone="role"] { color: $text; font-weight: 600; }
QToolButton::menu-indicator { image: none; }

QLineEdit, QComboBox, QSpinBox, QDoubleSpinBox {
    background: $surface; border: 1px solid $fresh_outline; border-radius: 6px; padding: 4px 8px; min-height: 18px;
    selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit:focus, QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus { border: 2px solid $accent; padding: 3px 7px; }
QComboBox { padding-left: 10px; }
QComboBox:focus { padding-left: 9px; }
QSpinBox, QDoubleSpinBox { padding: 3px 8px 2px 11px; }
QSpinBox:focus, QDoubleSpinBox:focus { padding: 2px 7px 1px 10px; }
QLineEdit:disabled, QComboBox:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled { color: $muted; background: $sunk; }
QLineEdit[bad="true"], QComboBox[bad="true"], QPlainTextEdit[bad="true"], QSpinBox[bad="true"],
QDoubleSpinBox[bad="true"] { border: 2px solid $failure; padding: 3px 7px; }
QSpinBox[bad="true"], QDoubleSpinBox[bad="true"] { padding: 2px 7px 1px 10px; }
QComboBox { combobox-popup: 0; }
QComboBox::drop-down { border: none; width: 22px; }
QComboBox::down-arrow { image: url("$chevron"); width: 12px; height: 12px; }
QSpinBox::up-button, QSpinBox::down-button { width: 0; border: none; }
QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 0; border: none; }
QDialogButtonBox { dialogbuttonbox-buttons-have-icons: 0; }
QListView[look="completions"] { background: $surface; border: 1px solid $accent; outline: none; }
QListView[look="completions"]::item { padding: 4px 8px; }
QListView[look="completions"]::item:selected { background: $selection; color: $text; }
QComboBox QAbstractItemView::item { min-height: 24px; }
QComboBox QAbstractItemView {
    background: $surface; border: 1px solid $fresh_outline; outline: none;
    selection-background-color: $selection; selection-color: $text;
}
QPlainTextEdit, QTextEdit, QTextBrowser {
    background: $surface; border: none; selection-background-color: $accent; selection-color: $on_accent;
}
QPlainTextEdit[zoned="true"] { background: transparent; padding: 0; }
QFrame[look="field"] { background: $surface; border: 1px solid $fresh_outline; border-radius: 6px; }
QFrame[look="field"][bad="true"] { border: 2px solid $failure; }
QPlainTextEdit[boxed="true"], QTextEdit[boxed="true"] {
    border: 1px solid $fresh_outline; border-radius: 6px; padding: 4px;
}
QPlainTextEdit[boxed="true"]:focus, QTextEdit[boxed="true"]:focus { border: 2px solid $accent; padding: 3px; }

QTabWidget::pane { border: none; border-top: 1px solid $line; top: -1px; background: $surface; }
QTabWidget > QWidget { background: $surface; }
QTabWidget[look="inside"]::pane { border-top: none; }
QTabWidget[look="inside"] > QTabBar::tab:first { margin-left: 0; }
QTabBar { background: $surface; border: none; qproperty-drawBase: 0; font-weight: 600; }
QTabBar::tab {
    background: transparent; color: $muted; border: none; border-bottom: 2px solid transparent; font-weight: 400;
    padding: 7px 1px 7px 1px; margin: 0 9px; min-height: 18px;
}
QTabBar::tab:first { margin-left: 14px; }
QTabBar::tab:selected { color: $text; font-weight: 600; border-bottom: 2px solid $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { color: $accent; border: 2px solid $accent; border-radius: 4px; padding: 5px 0 6px 0; }

QTabBar[look="documents"]::tab { padding: 2px 1px; margin: 0 6px; min-height: 26px; max-height: 26px; }
QTabBar[look="documents"]::tab:first { margin-left: 12px; }
QTabBar[look="documents"]::tab:selected { border-bottom: 2px solid $accent; }

QHeaderView { background: $surface; border: none; }
QHeaderView::section {
    background: $surface; color: $muted; border: none; border-bottom: 1px solid $line;
    padding: 4px 11px; font-size: 11px; font-weight: 500;
}
QTableView[rows="true"] QHeaderView::section:first { padding-left: 14px; }
QTableView, QTreeView, QListView {
    background: $surface; alternate-background-color: $sunk; border: none; gridline-color: $line; outline: none;
    selection-background-color: $selection; selection-color: $text;
}
QTableView::item, QListView::item { padding: 0 8px; }
QListWidget::item { padding: 4px 8px; min-height: 16px; }
QTableView::item:selected, QListView::item:selected { background: $selection; color: $text; }

QSplitter::handle { background: $line; }
QSplitter::handle:horizontal { width: 1px; }
QSplitter::handle:vertical { height: 1px; }
QSplitter::handle:hover { background: $accent; }

QScrollArea { border: none; background: $surface; }
QScrollArea > QWidget > QWidget { background: transparent; }
QScrollBar:vertical { background: transparent; width: 10px; margin: 0; }
QScrollBar:horizontal { background: transparent; height: 10px; margin: 0; }
QScrollBar::handle { background: $line; border-radius: 4px; margin: 1px; min-height: 28px; min-width: 28px; }
QScrollBar::handle:hover { background: $muted; }
QAbstractScrollArea::corner { background: transparent; border: none; }
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QMenu { background: $surface; border: 1px solid $fresh_outline; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $selection; color: $text; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }
QMenuBar { background: $window; border: none; }
QMenuBar::item { padding: 4px 10px; background: transparent; }
QMenuBar::item:selected { background: $selection; }
QProgressBar { background: $line; border: none; border-radius: 2px; max-height: 4px; }
QProgressBar::chunk { background: $accent; border-radius: 2px; }
QCheckBox, QRadioButton { spacing: 8px; min-height: 24px; }
QCheckBox::indicator:unchecked, QRadioButton::indicator:unchecked {
    background: $surface; border: 1px solid $muted; width: 12px; height: 12px;
}
QCheckBox::indicator:unchecked { border-radius: 3px; }
QRadioButton::indicator:unchecked { border-radius: 7px; }
QCheckBox::indicator:checked {
    background: $surface; border: 1px solid $accent; border-radius: 3px; width: 12px; height: 12px; image: url($check);
}
QRadioButton::indicator:checked {
    background: $surface; border: 4px solid $accent; border-radius: 7px; width: 6px; height: 6px;
}
""")


def style_sheet(chevron: str, check: str, zoom: float = 1.0) -> str:
    """Return the style sheet; `chevron` and `check` are the paths of the list arrow and the check mark.

    `zoom` is the factor of sizes of text, and of the controls that hold it.
    """
    roles = {role: f"palette({name})" for role, name in PALETTE_ROLES.items()}
    made = _TEMPLATE.substitute(roles, chevron=chevron, check=check)
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
