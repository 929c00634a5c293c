"""Preview of a support ticket: its contents and redactions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from PySide6.QtWidgets import QDialog, QLabel, QPlainTextEdit, QWidget

from playground.export.ticket import CHOICES, Contents, TicketContents, bundle, tickets
from playground.requestlog.records import StoredRun
from playground.storage.paths import write_shared
from playground.storage.settings import Settings
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.form import combo_box, line_edit
from playground.ui.widgets.labels import copy_text, push_button
from playground.ui.widgets.layouts import Space, row_of, single_timer
from playground.ui.widgets.notice import words, write_errors
from playground.ui.widgets.task_dialog import ask_save, button_box, fill_dialog

REST_MS = 150
"""After the last letter of the workspace id."""
SHOWN = 400_000
"""Characters of a ticket that the preview shows; it is copied and saved whole."""


class TicketDialog(QDialog):
    """Of one request or more."""

    def __init__(self, runs: Sequence[StoredRun], settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs, self._settings = runs, settings
        self.setWindowTitle("Support ticket" if len(runs) == 1 else f"Support ticket of {len(runs)} requests")
        self.contents = combo_box("What people and models wrote", list(CHOICES))
        self.contents.setCurrentText(settings.text("ticket_contents"))
        known = settings.text("ticket_workspace")
        self.workspace = line_edit("Workspace id", "workspace id, if you have one", known)
        self.preview = QPlainTextEdit()
        self.preview.setReadOnly(True)
        self.preview.setFont(mono_font(12))
        self.preview.setTabChangesFocus(True)
        self.preview.setAccessibleName("The ticket")
        self.message = words("", "muted")
        self._lay_out()
        self.contents.currentTextChanged.connect(lambda _text: self._show())
        # Building a ticket of many requests takes too long for every keystroke.
        self._rest = single_timer(self, REST_MS, self._show)
        self.workspace.textChanged.connect(lambda _text: self._rest.start())
        self._show()

    def _lay_out(self) -> None:
        row = row_of(QLabel("Contents"), self.contents, Space(GRID), QLabel("Workspace"), (self.workspace, 1))
        self.copy = push_button("Copy", "primary", self._copy)
        self.save = push_button("Save as Markdown…", clicked=lambda: self._ask("ticket.md", "Markdown (*.md)"))
        zipped = push_button("Save as zip…", clicked=lambda: self._ask("ticket.zip", "Zip (*.zip)"))
        for button in (self.copy, self.save, zipped):
            button.setAutoDefault(False)
        buttons = button_box(self.close, self.copy, self.save, zipped)
        fill_dialog(self, (820, 640), row, (self.preview, 1), self.message, buttons)

    @property
    def choice(self) -> TicketContents:
        return TicketContents(cast("Contents", self.contents.currentText()), self.workspace.text().strip())

    def _show(self) -> None:
        self._settings.set("ticket_contents", self.contents.currentText())
        self._settings.set("ticket_workspace", self.workspace.text().strip())
        self._text = tickets(self._runs, self.choice)
        more = len(self._text) - SHOWN
        self.preview.setPlainText(self._text[:SHOWN] + (f"\n… {more:,} characters more" if more > 0 else ""))
        self.message.setText(f"{len(self._text):,} characters. The zip also holds each request's body and events.")

    def _catch_up(self) -> None:
        if self._rest.isActive():
            self._rest.stop()
            self._show()

    def _copy(self) -> None:
        self._catch_up()
        copy_text(self._text)
        self.message.setText("Copied.")

    def _ask(self, name: str, kind: str) -> None:
        ask_save(self, "Save the ticket", {kind: name.rpartition(".")[2]}, self.save_to, name)

    def save_to(self, path: Path) -> None:
        """Write the ticket: as a zip where the name ends so, else as Markdown."""
        self._catch_up()
        zipped = path.suffix.lower() == ".zip"
        data = bundle(self._runs, self.choice) if zipped else self._text.encode("utf-8", "replace")
        with write_errors(path, self.message.setText):
            write_shared(path, data)
            self.message.setText(f"Saved as {path}.")
