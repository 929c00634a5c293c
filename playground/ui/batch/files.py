"""Rows of a batch in the window, from a file, the clipboard or the request log; and its results as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QInputDialog, QWidget

from playground.experiments.batch_results import format_results
from playground.experiments.batch_rows import MAX_DATA_BYTES, BatchRow, read_pasted, read_rows, rows_of_requests
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import load
from playground.requestlog.filter import parse
from playground.services import AppServices
from playground.storage.json_file import read_regular
from playground.storage.paths import write_shared
from playground.ui.widgets.task_dialog import open_once

MAX_LOG_ROWS = 10_000
DATA_FILTER = "Tables (*.csv *.tsv *.jsonl *.ndjson *.json);;All files (*)"
EXPORT_FILTER = "CSV (*.csv);;JSON lines (*.jsonl)"


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
        """Ask for a data file and read it."""
        dialog = QFileDialog(self._window, "Open the rows of a batch")
        dialog.setNameFilter(DATA_FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self.open_file(Path(path)))
        open_once(dialog)

    def open_file(self, path: Path) -> None:
        """Read rows from a file."""
        self._start(path.name, lambda: read_rows(read_regular(path, MAX_DATA_BYTES), path.name))

    def paste(self) -> None:
        """Read rows from the clipboard."""
        text = QGuiApplication.clipboard().text()
        if text.strip():
            self._start("pasted rows", lambda: read_pasted(text))
        else:
            self.said.emit("The clipboard has no text. Copy rows with their header line first.")

    def ask_for_filter(self) -> None:
        """Ask for a filter of the request log and use the matching requests as rows."""
        dialog = QInputDialog(self._window)
        dialog.setWindowTitle("Use logged requests")
        dialog.setLabelText(f"Filter of the request log (empty: the newest {MAX_LOG_ROWS:,} requests):")
        dialog.textValueSelected.connect(self.open_log)
        open_once(dialog)

    def open_log(self, text: str) -> None:
        """Use the logged requests that match a filter as rows."""
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

    def _start(self, name: str, read: Callable[[], tuple[BatchRow, ...]]) -> None:
        self._services.tasks.start(self._read(name, read), "read rows")

    async def _read(self, name: str, read: Callable[[], tuple[BatchRow, ...]]) -> None:
        try:
            rows = await asyncio.to_thread(read)
        except InputError as bad:
            self.said.emit(f"{name}: {bad.problems[0]}")
        except OSError as error:
            self.said.emit(f"{name} cannot be read: {error.strerror or error}.")
        else:
            self.rows_read.emit(rows, name)

    def ask_for_export(self, results: Mapping[int, dict[str, Json]]) -> None:
        """Ask for a file and write the results to it."""
        dialog = QFileDialog(self._window, "Export the results")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(EXPORT_FILTER)
        dialog.setDefaultSuffix("csv")
        dialog.filterSelected.connect(lambda text: dialog.setDefaultSuffix("csv" if "csv" in text else "jsonl"))
        dialog.fileSelected.connect(lambda path: self.export(Path(path), results))
        open_once(dialog)

    def export(self, path: Path, results: Mapping[int, dict[str, Json]]) -> None:
        """Write results by row number in the order of the data: a table for .csv, else JSON lines."""
        self._services.tasks.start(self._export(path, dict(results)), "export results")

    async def _export(self, path: Path, results: Mapping[int, dict[str, Json]]) -> None:
        def write() -> None:
            write_shared(path, format_results((results[number] for number in sorted(results)), path))

        try:
            await asyncio.to_thread(write)
        except OSError as error:
            self.said.emit(f"{path.name} cannot be written: {error.strerror or error}.")
        else:
            self.said.emit(f"Exported {len(results):,} rows to {path.name}.")
