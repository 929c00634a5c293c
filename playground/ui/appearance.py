"""Light or dark: the system's, or the user's choice; the whole application follows at once."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from playground.storage.settings import Settings
from playground.ui.theme import PROMPT_PX, Theme, apply_theme, dress, load_theme


class Appearance(QObject):
    """Holds the theme in use."""

    changed = Signal()

    def __init__(self, application: QApplication, settings: Settings) -> None:
        super().__init__()
        self._application, self._settings = application, settings
        self._theme = load_theme(self._wanted())
        application.setProperty(PROMPT_PX, int(settings.number("font_size")))
        dress(application, self._theme)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self.refresh)
        settings.listen(lambda name: self.refresh() if name == "theme" else None)

    def apply(self) -> None:
        """Dress the application. Cheapest once, when the window has been built: under a style sheet each widget that
        is put into another is styled anew with all that is in it."""
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

    def toggle(self) -> None:
        """The other one, and keep it."""
        self._settings.set("theme", "light" if self._theme.dark else "dark")
        self.refresh()
