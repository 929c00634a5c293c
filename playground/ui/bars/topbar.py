"""The top bar: where requests go, which prompt this is, how full the context is, and Send."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QToolButton, QWidget

from playground.client.endpoint import Endpoint
from playground.ui.bars.context_meter import ContextMeter
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, Theme


class TopBar(QFrame):
    """Shows; decides nothing."""

    send_clicked = Signal()
    endpoint_chosen = Signal(str)
    """An endpoint's id."""

    def __init__(self, theme: Theme, connect: QAction, verify: QAction) -> None:
        super().__init__()
        self.setProperty("look", "bar")
        self._connect = connect
        self._endpoint = _menu_button("Endpoint: where requests are sent")
        self._model = QLabel()
        self._model.setToolTip("The model that requests name")
        self._model.setProperty("tone", "muted")
        self._file = _menu_button("Prompt file")
        self.context = ContextMeter(theme)
        self._send = QPushButton()
        self._send.setProperty("look", "primary")
        self._send.clicked.connect(self.send_clicked)
        self._verify = QPushButton("Verify caching")
        self._verify.setToolTip("Send the prompt twice; the second shows whether the cache works")
        self._verify.clicked.connect(verify.trigger)
        self._menu = QToolButton()
        self._menu.setText("☰")
        self._menu.setAccessibleName("All menus")
        self._menu.setToolTip("All menus")
        self._menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        row = QHBoxLayout(self)
        row.setContentsMargins(GRID + 4, GRID - 1, GRID + 4, GRID - 1)
        row.setSpacing(GRID)
        left: tuple[QWidget, ...] = (self._endpoint, self._file, self._model)
        right: tuple[QWidget, ...] = (self.context, self._verify, self._send, self._menu)
        for widget in left:
            row.addWidget(widget)
        row.addStretch(1)
        for widget in right:
            row.addWidget(widget)

    def set_menus(self, file_menu: QMenu, main_menu: QMenu) -> None:
        """The menus that the prompt's name and the last button open."""
        self._file.setMenu(file_menu)
        self._menu.setMenu(main_menu)

    def show_endpoints(self, endpoints: Sequence[Endpoint], chosen: Endpoint) -> None:
        """All endpoints in a menu, with the chosen one's name on the button."""
        menu = QMenu(self._endpoint)
        for endpoint in endpoints:
            action = menu.addAction(endpoint.name)
            action.setCheckable(True)
            action.setChecked(endpoint.id == chosen.id)
            action.triggered.connect(lambda _checked, key=endpoint.id: self.endpoint_chosen.emit(key))
        menu.addSeparator()
        menu.addAction(self._connect)
        self._endpoint.setMenu(menu)
        self._endpoint.setText(f"{chosen.name} ▾")
        self._model.setText(f"{chosen.model} · {chosen.plan.name}")

    def show_file(self, name: str, changed: bool) -> None:
        """The prompt's name; a dot and a word say that it has changes not yet in its file."""
        self._file.setText(f"{name or 'untitled'}{' ●' if changed else ''} ▾")
        self._file.setToolTip("Changed since it was saved; the draft is kept" if changed else "Saved")

    @property
    def file_label(self) -> str:
        """The text of the button with the prompt's name."""
        return self._file.text()

    def show_running(self, running: bool, shortcut: str) -> None:
        """Send, or Stop while a request runs."""
        self._verify.setEnabled(not running)
        word = "Stop" if running else "Send"
        self._send.setText(f"{word}   {shortcut}")
        self._send.setAccessibleName(f"{word} the prompt" if not running else "Stop the request")
        _set_property(self._send, "look", "stop" if running else "primary")


def _menu_button(name: str) -> QPushButton:
    button = QPushButton()
    button.setProperty("look", "menu")
    button.setAccessibleName(name)
    button.setToolTip(name)
    return button


def _set_property(widget: QLabel | QPushButton, name: str, value: str) -> None:
    if widget.property(name) != value:
        widget.setProperty(name, value)
        restyle(widget)
