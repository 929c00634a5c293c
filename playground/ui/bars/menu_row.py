"""The top row of the window: the menus, and where requests go."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QMenuBar, QPushButton, QSizePolicy

from playground.ui.theme import GRID, current_theme
from playground.ui.widgets.icons import ICON_PX, icon
from playground.ui.widgets.plain_tip import plain_tip

HEIGHT_PX = 30


class Destination(QFrame):
    """Where requests go, with at most one action; hidden if there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Destination of requests")
        self._icon = QLabel()
        self._text = QLabel()
        self._text.setProperty("tone", "muted")
        self._text.setMinimumWidth(40)
        self._button = QPushButton()
        self._button.setProperty("look", "link")
        self._run: Callable[[], object] = lambda: None
        self._button.clicked.connect(lambda: self._run())
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, GRID, 0)
        row.setSpacing(6)
        for widget in (self._icon, self._text, self._button):
            row.addWidget(widget)
        self.hide()

    @property
    def words(self) -> str:
        """The text on display."""
        return self._text.text()

    def say(self, text: str, actions: Sequence[tuple[str, Callable[[], object]]] = ()) -> None:
        """Show a text with an optional action (label, handler)."""
        self._text.setText(text)
        self._text.setToolTip(plain_tip(text))
        self.set_theme()
        self._button.setVisible(bool(actions))
        if actions:
            label, self._run = actions[0]
            self._button.setText(label)
        self.show()

    def set_theme(self) -> None:
        """Apply the theme in use."""
        self._icon.setPixmap(icon("bolt", current_theme().muted).pixmap(ICON_PX, ICON_PX))


class MenuRow(QFrame):
    """A menu bar that is part of the window; on macOS the system's menu bar has the menus."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "menurow")
        self.setFixedHeight(HEIGHT_PX)
        self.menus = QMenuBar()
        self.menus.setNativeMenuBar(sys.platform == "darwin")
        self.menus.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.destination = Destination()
        row = QHBoxLayout(self)
        row.setContentsMargins(4, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.menus)
        row.addStretch(1)
        row.addWidget(self.destination)

    def set_menus(self, menus: Sequence[QMenu]) -> None:
        """Replace the menus."""
        self.menus.clear()
        for menu in menus:
            self.menus.addMenu(menu)
