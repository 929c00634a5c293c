"""Columns and values of Compare mode from the editor, files and the request log; the comparison as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from playground.experiments.batch_rows import MAX_DATA_BYTES, read_rows
from playground.experiments.comparison import LETTERS, ComparisonReport, Variant
from playground.experiments.comparison_session import ComparisonSession
from playground.export.pages import Form, export_comparison
from playground.export.terminal import visible_line
from playground.prompt.files import MAX_FILE_BYTES
from playground.prompt.import_formats import open_any_bytes
from playground.requestlog.filter import EVERYTHING
from playground.services import AppServices
from playground.storage.json_file import read_regular
from playground.storage.paths import write_shared
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.task_dialog import ANY_FILE, ask_open, ask_save, read_watched

MOST_LISTED = 12
"""Logged requests offered as a column."""


class CompareFiles(QObject):
    """Fills the menu *Add column*, and reads and writes files in a worker."""

    notice = Signal(str)
    variant_chosen = Signal(object)
    """A Variant for a new column."""
    rows_read = Signal(object, str)
    """The BatchRows of a data file, and its name."""

    def __init__(
        self,
        window: QWidget,
        services: AppServices,
        session: ComparisonSession,
        menu: QMenu,
        from_editor: Callable[[], Variant],
    ) -> None:
        super().__init__(window)
        self._window, self._services, self._session, self._menu = window, services, session, menu
        self._from_editor, self._start = from_editor, services.tasks.start
        self.dialog: QFileDialog | None = None
        """The dialog that was opened last."""
        # One submenu for the life of the window: QMenu.clear does not delete submenus.
        self.logged = QMenu("From a logged request", menu)
        menu.aboutToShow.connect(self.fill)
        self.logged.aboutToShow.connect(lambda: self._start(self.list_logged(), "list logged requests"))

    def fill(self) -> None:
        menu = self._menu
        menu.clear()
        choose = self.variant_chosen.emit
        menu.addAction("Copy of the prompt in the editor", lambda: choose(self._from_editor()))
        for letter, slot in zip(LETTERS, self._session.slots, strict=False):
            menu.addAction(f"Copy of {letter}", partial(choose, slot.variant))
        menu.addAction("From a file…", partial(self._ask, "Add a prompt file as a column", self.add_file, ANY_FILE))
        self.logged.clear()
        self.logged.addAction("Reading the log…").setEnabled(False)
        menu.addMenu(self.logged)

    async def list_logged(self) -> None:
        log = self._services.log
        rows = await log.page(EVERYTHING, limit=MOST_LISTED) if log is not None else []
        self.logged.clear()
        for row in rows:
            label = f"{row.started_utc.astimezone():%H:%M:%S}  {row.request_id or row.phase}  {row.question[:40]}"
            self.logged.addAction(visible_line(label).replace("&", "&&"), partial(self._add, row.run_id))
        if not rows:
            self.logged.addAction("The log has no requests").setEnabled(False)

    def _add(self, run_id: str) -> None:
        self._start(self.add_logged(run_id), "add a logged request")

    async def add_logged(self, run_id: str) -> None:
        variant = await self._session.read_variant(run_id, self._services.endpoints.all())
        if variant is None:
            self.notice.emit("That request is no longer in the log.")
        else:
            self.variant_chosen.emit(variant)

    def ask_rows(self) -> None:
        self._ask("Open rows with values", self.read_values, "Tables (*.csv *.tsv *.jsonl *.ndjson *.json)")

    def _ask(self, title: str, take: Callable[[Path], Coroutine[Any, Any, None]], name_filter: str) -> None:
        self.dialog = ask_open(self._window, title, name_filter, lambda path: self._start(take(path), "read a file"))

    async def add_file(self, path: Path) -> None:
        """Add a prompt file, or a prompt in the format of another tool, as a column."""
        opened = await read_watched(
            self._window, path, lambda: open_any_bytes(read_regular(path, MAX_FILE_BYTES), path.name), self.notice.emit
        )
        if opened is not None:
            document = replace(opened.document, name=opened.document.name or path.name.partition(".")[0])
            self.variant_chosen.emit(Variant(document, self._services.endpoint))

    async def read_values(self, path: Path) -> None:
        rows = await read_watched(
            self._window, path, lambda: read_rows(read_regular(path, MAX_DATA_BYTES), path.name), self.notice.emit
        )
        if rows is not None:
            self.rows_read.emit(rows, path.name)

    def ask_export(self, form: Form, report: Callable[[], ComparisonReport]) -> None:
        suffix = "html" if form == "html" else "md"
        self.dialog = ask_save(
            self._window,
            "Export the comparison",
            {ANY_FILE: suffix},
            lambda path: self._start(self.export(path, form, report()), "export the comparison"),
            f"comparison.{suffix}",
        )

    async def export(self, path: Path, form: Form, report: ComparisonReport) -> None:
        def write() -> None:
            write_shared(path, export_comparison(report, form).encode("utf-8", "backslashreplace"))

        with write_errors(path, self.notice.emit):
            await asyncio.to_thread(write)
            self.notice.emit(f"The comparison is in {path}.")
