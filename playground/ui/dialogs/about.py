"""About: versions of the program and its parts, to copy into a report."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QPushButton, QVBoxLayout, QWidget

from playground.ui.startup_checks import program_versions
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.copy_button import copy_text
from playground.ui.widgets.notice import words


def versions(folder: Path) -> str:
    """Return the versions as lines of text. Contains no key and no content of a prompt."""
    lines = [f"{name} {version}" for name, version in program_versions().items()]
    lines += [f"Qt {qVersion()}, platform plugin {QGuiApplication.platformName()}", f"Data folder {folder}"]
    return "\n".join(lines)


class AboutDialog(QDialog):
    """Shows the versions; Copy puts them on the clipboard."""

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("About Electron Playground")
        self.text = versions(folder)
        title = QLabel("Electron Playground")
        title.setProperty("tone", "title")
        shown = words(self.text)
        shown.setFont(mono_font(12))
        self.copy = QPushButton("Copy versions")
        self.copy.clicked.connect(lambda: copy_text(self.text))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.copy, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.accept)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.setSpacing(GRID)
        for widget in (title, shown, buttons):
            column.addWidget(widget)
        self.resize(520, self.sizeHint().height())
