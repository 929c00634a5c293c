"""Rows of a batch in the window, from a file, the clipboard or the request log; and its results as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QInputDialog, QPlainTextEdit, QWidget

from playground.experiments.batch_results import format_results
from playground.experiments.batch_rows import MAX_DATA_BYTES, BatchRow, read_pasted, read_rows, rows_of_requests
from playground.export.terminal import visible_line
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.requestlog.filter import parse
from playground.runs.metrics import counted
from playground.services import AppServices
from playground.storage.json_file import read_regular
from playground.storage.paths import write_shared
from playground.ui.theme import mono_font
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import words, write_errors
from playground.ui.widgets.task_dialog import ask_open, ask_save, button_box, fill_dialog, open_once, read_watched

MAX_LOG_ROWS = 10_000
MAX_EDITED = 100_000
"""Characters of pasted rows that the field shows and edits."""
DATA_FILTER = "Tables (*.csv *.tsv *.jsonl *.ndjson *.json);;All files (*)"
EXPORT_SUFFIXES = {"CSV (*.csv)": "csv", "JSON lines (*.jsonl)": "jsonl"}


class PasteRowsDialog(QDialog):
    """A field for rows with a header line. Calls `take` with the dialog and the text; stays open after an error."""

    def __init__(
        self, text: str, take: Callable[[PasteRowsDialog, str], object], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Paste rows")
        self._original = text
        self._take = take
        example = "caller_name,question\nPriya Sharma,When is my next bill due?"
        self.text = TextBox("Rows with a header line", example, mono_font())
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._displayed = text[:MAX_EDITED].removeprefix("\ufeff").replace("\r\n", "\n")
        self.text.set_exact(self._displayed)
        self.text.setReadOnly(len(text) > MAX_EDITED)
        self.error = words("", "failure")
        self.error.hide()
        self.use = push_button("Use rows", "primary", lambda: self._take(self, self._rows_text()))
        self.text.textChanged.connect(self._show_edited)
        buttons = button_box(self.reject, self.use, label="Cancel")
        note = f"The first {MAX_EDITED:,} of {len(text):,} characters are visible. The whole text becomes rows."
        notes = (words(note, "muted"),) if len(text) > MAX_EDITED else ()
        head = words("CSV or TSV with a header line, or JSON lines. Columns fill the variables of the same name.")
        fill_dialog(self, (640, 420), head, (self.text, 1), *notes, self.error, buttons)
        self._show_edited()

    def _rows_text(self) -> str:
        """Return the pasted text, exact to the character unless it was edited."""
        text = self.text.exact.text
        return self._original if text == self._displayed else text

    def _show_edited(self) -> None:
        self.use.setEnabled(bool(self.text.exact.text.strip()))
        self.error.hide()

    def show_error(self, message: str) -> None:
        self.error.setText(visible_line(message))
        self.error.show()
        self.text.setFocus()


class BatchFiles(QObject):
    """Reads rows and writes results in a worker."""

    rows_read = Signal(object, str)
    """The BatchRows and the name of their source."""
    said = Signal(str)
    """A message: why no rows were read, or that results were written."""

    def __init__(self, window: QWidget, services: AppServices) -> None:
        super().__init__(window)
        self._window, self._services = window, services

    def ask_for_file(self) -> None:
        ask_open(self._window, "Open the rows of a batch", DATA_FILTER, self.open_file)

    def open_file(self, path: Path) -> None:
        self._services.tasks.start(self._open_file(path), "read rows")

    def paste(self) -> None:
        """Open a field with the clipboard's text; its rows are read when the user confirms them."""
        dialog = PasteRowsDialog(
            QGuiApplication.clipboard().text(),
            lambda dialog, text: self._services.tasks.start(self._read_pasted(dialog, text), "read rows"),
            self._window,
        )
        open_once(dialog)

    async def _read_pasted(self, dialog: PasteRowsDialog, text: str) -> None:
        try:
            rows = await asyncio.to_thread(read_pasted, text)
        except InputError as bad:
            dialog.show_error(str(bad.problems[0]))
        else:
            if dialog.isVisible():  # not closed in the meantime
                dialog.accept()
                self.rows_read.emit(rows, "pasted rows")

    def ask_for_filter(self) -> None:
        """Ask for a filter of the request log and use the matching requests as rows."""
        dialog = QInputDialog(self._window)
        dialog.setWindowTitle("Use logged requests")
        dialog.setLabelText(f"Filter of the request log (empty: the newest {MAX_LOG_ROWS:,} requests):")
        dialog.textValueSelected.connect(self.open_log)
        open_once(dialog)

    def open_log(self, text: str) -> None:
        self._services.tasks.start(self._open_log(text), "read rows from the log")

    async def _open_log(self, text: str) -> None:
        log = self._services.log
        if log is None:
            self.said.emit("The request log is not available.")
            return
        try:
            numbers = await log.numbers(parse(text, datetime.now().astimezone()))
            stored = await log.stored(numbers[-MAX_LOG_ROWS:])
            rows = await asyncio.to_thread(
                lambda: rows_of_requests((one.state().request_id, load(one.record.document)) for one in stored)
            )
        except InputError as bad:
            self.said.emit(str(bad.problems[0]))
        else:
            self.rows_read.emit(rows, f"log: {text}" if text else "request log")

    async def _open_file(self, path: Path) -> None:
        def read() -> tuple[BatchRow, ...]:
            return read_rows(read_regular(path, MAX_DATA_BYTES), path.name)

        if (rows := await read_watched(self._window, path, read, self.said.emit)) is not None:
            self.rows_read.emit(rows, path.name)

    def ask_for_export(self, results: Mapping[int, dict[str, Json]]) -> None:
        ask_save(self._window, "Export the results", EXPORT_SUFFIXES, lambda path: self.export(path, results))

    def export(self, path: Path, results: Mapping[int, dict[str, Json]]) -> None:
        """Write results by row number in the order of the data: a table for .csv, else JSON lines."""
        self._services.tasks.start(self._export(path, dict(results)), "export results")

    async def _export(self, path: Path, results: Mapping[int, dict[str, Json]]) -> None:
        def write() -> None:
            write_shared(path, format_results((results[number] for number in sorted(results)), path))

        with write_errors(path.name, self.said.emit):
            await asyncio.to_thread(write)
            self.said.emit(f"Exported {counted(len(results), 'row')} to {path.name}.")
