"""Light or dark: the system's, or the user's choice; the whole application follows at once."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from playground.storage.settings import Settings
from playground.ui.theme import BASE_PX, PROMPT_PX, Theme, apply_theme, dress, load_theme

ZOOM_PX = (11, 22)
"""Smallest and largest text of prompts and completions; the bounds of the setting."""


class Appearance(QObject):
    """Holds the theme in use."""

    changed = Signal()
    zoomed = Signal()
    """The size of text has changed."""

    def __init__(self, application: QApplication, settings: Settings) -> None:
        super().__init__()
        self._application, self._settings = application, settings
        self._theme = load_theme(self._wanted())
        application.setProperty(PROMPT_PX, int(settings.number("font_size")))
        dress(application, self._theme)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self.refresh)
        settings.listen(self._on_setting)

    def _on_setting(self, name: str) -> None:
        if name == "theme":
            self.refresh()
        elif name == "font_size":
            self._scale_text()

    def apply(self) -> None:
        """Apply the theme to the application. Call it once after the window is built: under a style sheet, each widget
        that gets a parent is styled again with all its children."""
        apply_theme(self._application, self._theme)

    @property
    def theme(self) -> Theme:
        """The theme in use."""
        return self._theme

    def _wanted(self) -> str:
        chosen = str(self._settings.get("theme"))
        if chosen != "system":
            return chosen
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return "dark" if dark else "light"

    def refresh(self) -> None:
        """Follow the setting, or the system."""
        wanted = self._wanted()
        if wanted != self._theme.name:
            self._theme = load_theme(wanted)
            self.apply()
            self.changed.emit()

    def zoom(self, step: int) -> None:
        """Make prompts and completions larger (1) or smaller (-1), or reset them (0), and keep the size."""
        size = int(self._settings.number("font_size"))
        self._settings.set("font_size", min(max(size + step, ZOOM_PX[0]), ZOOM_PX[1]) if step else BASE_PX)

    def _scale_text(self) -> None:
        size = int(self._settings.number("font_size"))
        if size != self._application.property(PROMPT_PX):
            self._application.setProperty(PROMPT_PX, size)
            self.zoomed.emit()

    def toggle(self) -> None:
        """The other one, and keep it."""
        self._settings.set("theme", "light" if self._theme.dark else "dark")
        self.refresh()
