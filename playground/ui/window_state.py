"""Where the window is and how its room is shared out, kept from one start to the next."""

from __future__ import annotations

from PySide6.QtWidgets import QMainWindow, QSplitter

from playground.storage.settings import Settings
from playground.ui.controllers.dialogs import DialogController

COLUMNS = (560, 440, 280)
"""First widths of prompt, response and inspector, in device-independent pixels at 1280."""
ROWS = (560, 200)
"""First heights of the panes and of the log."""


class Places:
    """Of one window: `columns` holds prompt, response and inspector, `rows` these and the log."""

    def __init__(
        self, window: QMainWindow, columns: QSplitter, rows: QSplitter, settings: Settings, program: DialogController
    ) -> None:
        self._window, self._columns, self._rows = window, columns, rows
        self._settings, self._program = settings, program

    def keep(self) -> None:
        """Remember them."""
        self._settings.set("splitter_sizes", list(self._columns.sizes()))
        self._settings.set("log_height", min(self._rows.sizes()[1], 10_000))
        self._program.keep_geometry()

    def restore(self) -> None:
        """Put everything where it was; as it is made where nothing is kept."""
        self._program.restore_geometry()
        widths = self._settings.get("splitter_sizes")
        if isinstance(widths, list) and len(widths) == len(COLUMNS):
            self._columns.setSizes([int(width) for width in widths if isinstance(width, int)])
        log_height = int(self._settings.number("log_height"))
        if log_height:
            self._rows.setSizes([max(self._window.height() - log_height, 1), log_height])
