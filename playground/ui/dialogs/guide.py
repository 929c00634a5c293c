"""The guide: each rule in two sentences with its source, and an example to load and send on the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PySide6.QtCore import Qt, Signal, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QWidget

from playground.lint.engine import RULES
from playground.lint.model import LintRule
from playground.prompt.document import Document
from playground.ui.startup_checks import program_versions
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.form import list_box
from playground.ui.widgets.labels import copy_text, push_button, toned
from playground.ui.widgets.layouts import STRETCH, FittedScroll, column_of, split_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.task_dialog import button_box, fill_dialog


def versions(folder: Path) -> str:
    """Return the versions as lines of text. Contains no key and no content of a prompt."""
    lines = [f"{name} {version}" for name, version in program_versions().items()]
    lines += [f"Qt {qVersion()}, platform plugin {QGuiApplication.platformName()}", f"Data folder {folder}"]
    return "\n".join(lines)


class AboutDialog(QDialog):
    """Shows the versions; Copy puts them on the clipboard."""

    def __init__(self, folder: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("About Electron Playground")
        self.text = versions(folder)
        title = toned("Electron Playground", "title")
        shown = words(self.text)
        shown.setFont(mono_font(12))
        self.copy = push_button("Copy versions", clicked=lambda: copy_text(self.text))
        buttons = button_box(self.accept, self.copy)
        fill_dialog(self, (520, 0), title, FittedScroll(shown), buttons, spacing=GRID)


class GuideDialog(QDialog):
    """A list of rules, and the one that is chosen."""

    example_requested = Signal(object)
    """A Document to put into the editor."""

    def __init__(self, examples: Mapping[str, Document], parent: QWidget | None = None) -> None:
        """`examples`: a document on which the rule of that name speaks."""
        super().__init__(parent)
        self.setWindowTitle("Guide")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._examples = examples
        self.list = list_box("Rules", [rule.title for rule in RULES], wraps=True)
        self.title, self.reason, self.source = words("", "strong"), words(""), words("", "muted")
        self.example = push_button("Load an example into the editor", clicked=self._load)
        self.recall = push_button("Give dismissed advice again")
        self._lay_out()
        self.list.currentRowChanged.connect(self._show)
        self.list.setCurrentRow(0)

    def _lay_out(self) -> None:
        right = QWidget()
        column_of(
            self.title,
            self.reason,
            self.source,
            (self.example, 0, Qt.AlignmentFlag.AlignLeft),
            STRETCH,
            on=right,
            margins=(0, GRID, 0, 0),
            spacing=GRID,
        )
        split = split_of(Qt.Orientation.Vertical, self.list, right, sizes=(280, 300))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.addButton(self.recall, QDialogButtonBox.ButtonRole.ResetRole)
        buttons.rejected.connect(self.reject)
        fill_dialog(self, (800, 560), (split, 1), buttons)

    def show_rule(self, name: str) -> None:
        for row, rule in enumerate(RULES):
            if rule.name == name:
                self.list.setCurrentRow(row)

    def _rule(self) -> LintRule:
        return RULES[max(self.list.currentRow(), 0)]

    def _show(self) -> None:
        rule = self._rule()
        self.title.setText(rule.title)
        self.reason.setText(rule.reason)
        self.source.setText(f"{rule.section}: {rule.sentence}")
        self.example.setVisible(rule.name in self._examples)

    def _load(self) -> None:
        self.example_requested.emit(self._examples[self._rule().name])
