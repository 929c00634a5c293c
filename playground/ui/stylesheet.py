"""The application's style sheet: one template over the theme's roles.

Widgets ask for a look by dynamic property, never by a colour of their own:
  QLabel      tone = "muted" | "caption" | "headline" | "strong" | "failure" | "warm" | "variable" | "output" | "link"
  QPushButton look = "primary" | "stop" | "menu" | "quiet" | "link" | "role" (none: outlined)
              mono = "true": an id or a snippet, in the size that stands beside body text
  QFrame      look = "bar" (top bar) | "notice" (slim bar) | "footer" | "hairline" | "card" | "pane" |
                     "callout" (amber edge) | "aside" (grey edge) | "trouble" (red edge); row = "figure"
  QPlainTextEdit zoned = "true" (its card paints the ground) | boxed = "true"
  QTabBar     is drawn as plain words with an underline under the chosen one
After changing a property at run time call `restyle(widget)`.
"""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtWidgets import QWidget

_TEMPLATE = Template("""
QMainWindow, QDialog { background: $window; }
QDialog[look="popup"] { background: $surface; border: 1px solid $muted; }
QWidget { color: $text; font-size: 13px; }
QToolTip { background: $surface; color: $text; border: 1px solid $line; padding: 4px 6px; }
QLabel { background: transparent; }
QLabel[tone="muted"] { color: $muted; font-size: 12px; }
QLabel[tone="caption"] { color: $muted; font-size: 11px; font-weight: 600; letter-spacing: 0.6px; }
QLabel[tone="headline"] { font-size: 20px; font-weight: 600; }
QLabel[tone="failure"] { color: $failure; }
QLabel[tone="warm"] { color: $warm_edge; }
QLabel[tone="stable"] { color: $stable_edge; }
QLabel[tone="variable"] { color: $variable_edge; }
QLabel[tone="boundary"] { color: $variable_edge; font-size: 12px; font-weight: 600; }
QLabel[tone="output"] { color: $output; }
QLabel[tone="link"] { color: $accent; }

QFrame[look="bar"] { background: $surface; border: none; border-bottom: 1px solid $line; }
QFrame[look="notice"] { background: $stable; border: none; border-bottom: 1px solid $line; }
QFrame[look="footer"] { background: $sunk; border: none; border-top: 1px solid $line; }
QFrame[look="checks"] { background: $surface; border: none; border-top: 1px solid $line; }
QFrame[look="hairline"] { background: $line; border: none; max-height: 1px; min-height: 1px; }
QFrame[look="card"] { background: $surface; border: 1px solid $line; border-radius: 6px; }
QFrame[look="callout"] { background: $variable; border: none; border-left: 3px solid $variable_edge; }
QFrame[look="pane"] { background: $surface; border: none; }
QFrame[look="aside"] { background: $sunk; border: none; border-left: 3px solid $muted; }
QFrame[row="figure"] { border: 1px solid transparent; border-radius: 3px; }
QFrame[row="figure"]:focus { border-color: $accent; }
QLabel[mono="true"] { font-size: 12px; }
QLabel[tone="strong"] { font-weight: 600; }
QFrame[look="trouble"] { background: $surface; border: none; border-left: 3px solid $failure; }

QPushButton { background: $surface; border: 1px solid $line; border-radius: 6px; padding: 5px 12px; min-height: 16px; }
QPushButton:hover { border-color: $muted; }
QPushButton:pressed { background: $sunk; }
QPushButton:disabled { color: $muted; }
QPushButton:focus { border: 1px solid $accent; }
QPushButton[look="primary"] { background: $accent; color: $on_accent; border: 1px solid $accent; font-weight: 600; }
QPushButton[look="primary"]:focus { border: 2px solid $text; padding: 4px 11px; }
QPushButton[look="primary"]:disabled { background: $line; border-color: $line; color: $muted; }
QPushButton[look="quiet"] { background: transparent; border: 1px solid transparent; padding: 3px 8px; color: $muted; }
QPushButton[look="quiet"]:hover { color: $text; border-color: $line; }
QPushButton[look="quiet"]:focus { border: 1px solid $accent; color: $text; }
QPushButton[look="link"] {
    background: transparent; border: 1px solid transparent; padding: 1px 4px; color: $accent; font-weight: 600;
}
QPushButton[look="link"]::menu-indicator { image: none; width: 0; }
QPushButton[look="link"]:hover { text-decoration: underline; }
QPushButton[look="link"]:disabled { color: $muted; }
QPushButton[look="link"]:focus { border: 1px solid $accent; border-radius: 4px; }
QPushButton[look="role"] {
    background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 1px 4px; font-weight: 600;
}
QPushButton[look="role"]:hover { border-color: $line; }
QPushButton[look="role"]:focus { border: 1px solid $accent; }
QPushButton[look="role"]::menu-indicator { image: none; width: 0; }
QPushButton[look="menu"] { padding: 4px 10px; }
QPushButton[look="menu"]::menu-indicator { image: none; width: 0; }
QPushButton[look="stop"] { background: $surface; color: $failure; border: 1px solid $failure; font-weight: 600; }
QToolButton {
    background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 2px 5px; color: $muted;
}
QToolButton:hover { color: $text; border-color: $line; }
QToolButton:focus { border: 1px solid $accent; color: $text; }
QToolButton[tone="role"] { color: $text; font-weight: 600; }
QToolButton::menu-indicator { image: none; }

QLineEdit, QComboBox, QSpinBox, QDoubleSpinBox {
    background: $surface; border: 1px solid $line; border-radius: 6px; padding: 4px 8px; min-height: 18px;
    selection-background-color: $accent; selection-color: $on_accent;
}
QLineEdit:focus, QComboBox:focus, QSpinBox:focus, QDoubleSpinBox:focus { border: 1px solid $accent; }
QLineEdit:disabled, QComboBox:disabled, QSpinBox:disabled, QDoubleSpinBox:disabled { color: $muted; background: $sunk; }
QLineEdit[bad="true"], QComboBox[bad="true"], QPlainTextEdit[bad="true"] { border: 1px solid $failure; }
QComboBox::drop-down { border: none; width: 22px; }
QComboBox::down-arrow { image: url("$chevron"); width: 12px; height: 12px; }
QSpinBox::up-button, QSpinBox::down-button { width: 0; border: none; }
QDoubleSpinBox::up-button, QDoubleSpinBox::down-button { width: 0; border: none; }
QListWidget::item { padding: 6px 8px; }
QListView[look="completions"] { background: $surface; border: 1px solid $accent; outline: none; }
QListView[look="completions"]::item { padding: 4px 8px; }
QListView[look="completions"]::item:selected { background: $selection; color: $text; }
QComboBox QAbstractItemView {
    background: $surface; border: 1px solid $line; outline: none;
    selection-background-color: $selection; selection-color: $text;
}
QPlainTextEdit, QTextEdit, QTextBrowser {
    background: $surface; border: none; selection-background-color: $accent; selection-color: $on_accent;
}
QPlainTextEdit[zoned="true"] { background: transparent; padding: 0; }
QFrame[look="field"] { background: $surface; border: 1px solid $line; border-radius: 6px; }
QFrame[look="field"][bad="true"] { border: 1px solid $failure; }
QPlainTextEdit[boxed="true"], QTextEdit[boxed="true"] { border: 1px solid $line; border-radius: 6px; padding: 4px; }
QPlainTextEdit[boxed="true"]:focus, QTextEdit[boxed="true"]:focus { border: 1px solid $accent; }

QTabWidget::pane { border: none; border-top: 1px solid $line; top: -1px; background: $surface; }
QTabWidget > QWidget { background: $surface; }
QTabBar { background: $surface; border: none; qproperty-drawBase: 0; }
QTabBar::tab {
    background: transparent; color: $muted; border: none; border-bottom: 2px solid transparent;
    padding: 8px 1px 6px 1px; margin: 0 8px; min-height: 18px;
}
QTabBar::tab:first { margin-left: 15px; }
QTabBar::tab:selected { color: $text; font-weight: 600; border-bottom: 2px solid $accent; }
QTabBar::tab:hover { color: $text; }
QTabBar::tab:focus { color: $accent; }

QHeaderView { background: $surface; border: none; }
QHeaderView::section {
    background: $surface; color: $muted; border: none; border-bottom: 1px solid $line;
    padding: 4px 11px; font-size: 11px; font-weight: 600;
}
QTableView, QTreeView, QListView {
    background: $surface; alternate-background-color: $sunk; border: none; gridline-color: $line; outline: none;
    selection-background-color: $selection; selection-color: $text;
}
QTableView::item, QListView::item { padding: 0 8px; }
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
QScrollBar::add-line, QScrollBar::sub-line { width: 0; height: 0; }
QScrollBar::add-page, QScrollBar::sub-page { background: transparent; }

QMenu { background: $surface; border: 1px solid $line; padding: 4px; }
QMenu::item { padding: 5px 24px 5px 12px; border-radius: 4px; }
QMenu::item:selected { background: $selection; color: $text; }
QMenu::item:disabled { color: $muted; }
QMenu::separator { height: 1px; background: $line; margin: 4px 8px; }
QMenuBar { background: $surface; border-bottom: 1px solid $line; }
QMenuBar::item { padding: 4px 10px; background: transparent; }
QMenuBar::item:selected { background: $selection; }
QStatusBar { background: $window; border-top: 1px solid $line; color: $muted; }
QStatusBar::item { border: none; }
QCheckBox, QRadioButton { spacing: 8px; }
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
QCheckBox:focus, QRadioButton:focus { color: $accent; }
""")


def style_sheet(colors: Mapping[str, str], chevron: str, check: str) -> str:
    """The style sheet with `colors` (role to #RRGGBB) in place, and the paths of the arrow in lists and of the tick.

    Raises KeyError where a role is missing.
    """
    return _TEMPLATE.substitute(colors, chevron=chevron, check=check)


def restyle(widget: QWidget) -> None:
    """Apply the style sheet to a widget again after one of its dynamic properties changed."""
    style = widget.style()
    style.unpolish(widget)
    style.polish(widget)
