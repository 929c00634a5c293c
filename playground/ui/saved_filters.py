"""Filters of the log that the user keeps under names."""

from __future__ import annotations

from PySide6.QtWidgets import QInputDialog, QMenu

from playground.settings import Settings
from playground.ui.logview.filter_line import FilterLine

SETTING = "saved_filters"


class SavedFilters:
    """In the settings: a name, and the filter's text."""

    def __init__(self, settings: Settings, line: FilterLine) -> None:
        self._settings, self._line = settings, line

    @property
    def all(self) -> dict[str, str]:
        """Name to text, by name."""
        kept = self._settings.get(SETTING)
        pairs = kept.items() if isinstance(kept, dict) else ()
        return {name: str(text) for name, text in sorted(pairs, key=lambda pair: pair[0].casefold())}

    def keep(self, name: str) -> None:
        """Keep the filter that is typed under a name; an earlier one of that name is replaced."""
        if name.strip() and self._line.text().strip():
            self._settings.set(SETTING, {**self.all, name.strip(): self._line.text().strip()})

    def remove(self, name: str) -> None:
        """Forget a filter."""
        self._settings.set(SETTING, {other: text for other, text in self.all.items() if other != name})

    def use(self, name: str) -> None:
        """Type a kept filter."""
        self._line.setText(self.all[name])
        self._line.setFocus()

    def add_to(self, menu: QMenu) -> None:
        """Offer them."""
        keep = menu.addAction("Save this filter…")
        keep.setEnabled(bool(self._line.text().strip()))
        keep.triggered.connect(lambda _checked: self.ask_name())
        filters = self.all
        for name in filters:
            menu.addAction(name.replace("&", "&&")).triggered.connect(lambda _checked, name=name: self.use(name))
        if filters:
            forget = menu.addMenu("Remove a filter")
            for name in filters:
                forget.addAction(name.replace("&", "&&")).triggered.connect(
                    lambda _checked, name=name: self.remove(name)
                )

    def ask_name(self) -> None:
        """Ask what to call the filter that is typed."""
        dialog = QInputDialog(self._line)
        dialog.setWindowTitle("Save this filter")
        dialog.setLabelText(f"A name for {self._line.text().strip()[:80]}")
        dialog.textValueSelected.connect(self.keep)
        dialog.finished.connect(lambda _result: dialog.deleteLater())
        dialog.open()
