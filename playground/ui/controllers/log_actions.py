"""Actions on logged requests: mark, tag, comment, compare, open, export, import, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace
from PySide6.QtWidgets import QFileDialog, QInputDialog, QWidget

from playground.experiments.comparison import LETTERS, read_tags
from playground.export.log_files import export, format_of, import_file
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import EVERYTHING, LogFilter
from playground.requestlog.records import clean_tags
from playground.runs.metrics import counted
from playground.services import AppServices
from playground.ui.panes.log.pane import LogPane
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.task_dialog import ask_open, ask_save, ask_text, asked, open_once, watched

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import StoredRun
    from playground.ui.controllers.log import LogPaths
    from playground.ui.dialogs.settings import LogSizeDialog
    from playground.ui.dialogs.ticket import TicketDialog


EXPORTS = {
    "JSONL, can be imported again (*.jsonl)": "jsonl",
    "Table for spreadsheets (*.csv)": "csv",
    "HTTP archive (*.har)": "har",
}
IMPORTS = "Exported requests (*.jsonl *.har);;All files (*)"
MOST_IN_A_TICKET = 100
DELETED_AT_ONCE = 1_000
"""Number of requests up to which a deletion shows no progress."""
MOST_SHOWN = 200
"""Maximum number of selected rows that an action reads from the table model."""


T = TypeVar("T")


class LogWork:
    """Each task reads which rows are chosen when it begins; rows that come meanwhile change nothing."""

    def __init__(self, paths: LogPaths, window: QWidget, workspace: AppServices, pane: LogPane) -> None:
        """Connect to the signals of `paths`, which tell what is found or asked for."""
        self._window, self._workspace, self._pane = window, workspace, pane
        self._notice, self._open_requested = paths.notice, paths.open_requested
        self._compare_requested = paths.compare_requested
        self.dialog: TicketDialog | LogSizeDialog | QFileDialog | QInputDialog | None = None
        """The one that was opened last."""

    @property
    def _log(self) -> RequestLog:
        log = self._workspace.log
        assert log is not None, "asked for without a log"
        return log

    def do(self, name: str) -> None:
        tasks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "mark": self._mark,
            "tag": self._tag,
            "comment": self._comment,
            "earlier": self._earlier,
            "compare": self._compare,
            "ticket": self._ticket,
            "copy_ticket": self._copy_ticket,
            "export": self._export,
            "export_shown": lambda: self._export_of(self._pane.model.filter.matching),
            "import": self._import,
            "delete": self._delete,
            "delete_shown": self._delete_shown,
            "size": self._size,
        }
        self._start(tasks[name](), f"log: {name}")

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task that says why a file cannot be read or written."""

        async def see_through() -> None:
            try:
                await work
            except InputError as bad:
                self._notice.emit(str(bad.problems[0]))
            except OSError as error:
                self._notice.emit(f"{error.filename or 'The file'}: {error.strerror or error}.")

        self._workspace.tasks.start(see_through(), name)

    async def chosen(self) -> list[str]:
        """Return the run_ids of the selected rows, the newest first."""
        numbers = await self._pane.chosen_numbers()
        return list(reversed(await self._log.run_ids(numbers))) if numbers else []

    async def _runs(self, run_ids: list[str]) -> list[StoredRun]:
        found = [await self._log.get(run_id) for run_id in run_ids]
        return [stored for stored in found if stored is not None]

    async def _mark(self) -> None:
        ids = await self.chosen()
        rows = await self._log.rows_of(ids[:MOST_SHOWN])
        await self._log.mark(ids, marked=not all(row.marked for row in rows))

    async def _tag(self) -> None:
        ids = await self.chosen()
        if not ids:
            return
        first = await self._log.get(ids[0])
        before = first.tags if first is not None and len(ids) == 1 else ()
        label = "Tags, separated by commas" if len(ids) == 1 else f"Tags to put on {len(ids):,} requests"
        self._ask_text("Tags", label, ", ".join(before), lambda text: self._retag(ids, before, text))

    def _retag(self, ids: list[str], before: tuple[str, ...], text: str) -> None:
        tags = clean_tags(text.split(","))
        gone = [tag for tag in before if tag not in tags]
        self._workspace.tasks.start(self._log.set_tags(ids, tags, gone), "tag requests")

    async def _comment(self) -> None:
        ids = await self.chosen()
        stored = await self._log.get(ids[0]) if ids else None
        if stored is not None:
            run_id = stored.record.run_id
            self._ask_text(
                "Comment",
                "A comment on this request; it is found by the filter",
                stored.comment,
                lambda text: self._workspace.tasks.start(self._log.set_comment(run_id, text.strip()), "comment"),
            )

    def _ask_text(self, title: str, label: str, text: str, take: Callable[[str], object]) -> None:
        self.dialog = ask_text(self._window, title, label, take, text)
        self.dialog.resize(420, self.dialog.height())

    async def _earlier(self) -> None:
        runs = await self._runs((await self.chosen())[:1])
        forecast = runs[0].record.forecast if runs else None
        if forecast is None or forecast.run_id is None:
            self._notice.emit("This request shares its prefix with none before it that this program knows of.")
            return
        if await self._log.get(forecast.run_id) is None:
            self._notice.emit("The request that it shares its prefix with is no longer in the log.")
            return
        model = self._pane.model
        place = await self._log.place_of(forecast.run_id, model.filter)
        if place is None and model.filter.terms:
            self._pane.filter_line.clear()
            place = await self._log.place_of(forecast.run_id, replace(EVERYTHING, folding=model.filter.folding))
        if place is not None:  # else it is in a collapsed group
            self._pane.table.go_to(place)
        self._open_requested.emit(forecast.run_id)

    async def _compare(self) -> None:
        ids = (await self.chosen())[::-1]
        known = [(row.run_id, read_tags(row.tags)) for row in await self._log.rows_of(ids[:MOST_SHOWN])]
        comparison = {found[0] for _, found in known if found is not None}
        if len(comparison) == 1 and (len(ids) == 1 or self._pane.heading() is not None):
            ids = [run_id for run_id, found in known if found is not None][:1]
        elif not 2 <= len(ids) <= len(LETTERS):
            self._notice.emit("Choose two to four requests to compare, or one request of an earlier comparison.")
            return
        self._compare_requested.emit(ids)

    async def _ticket(self) -> None:
        ids = await self._chosen_for_ticket()
        if ids:
            await self.ticket_of(ids)

    async def _copy_ticket(self) -> None:
        from playground.export.ticket import tickets

        runs = await self._runs(await self._chosen_for_ticket())
        if runs:
            copy_text(await asyncio.to_thread(tickets, runs))
            self._notice.emit(
                f"Copied as a support ticket of {counted(len(runs), 'request')}. Message contents are left out; "
                "a hash and a length stand for each."
            )

    async def _chosen_for_ticket(self) -> list[str]:
        """Return the run_ids of the selected rows, the newest first; none, with a notice, if they are too many."""
        ids = await self.chosen()
        if len(ids) <= MOST_IN_A_TICKET:
            return ids
        self._notice.emit(f"A ticket takes {MOST_IN_A_TICKET} requests at most; {len(ids):,} are chosen.")
        return []

    async def ticket_of(self, run_ids: list[str]) -> None:
        """Open the ticket of these requests for review before it is passed on."""
        runs = await self._runs(run_ids)
        if not runs:
            self._notice.emit("There is no request for a ticket yet.")
            return
        from playground.ui.dialogs.ticket import TicketDialog

        self.dialog = TicketDialog(runs, self._workspace.settings, self._window)
        open_once(self.dialog)

    async def _export(self) -> None:
        await self._export_of(await self._pane.chosen_numbers())

    async def _export_of(self, chosen: LogFilter | Sequence[int]) -> None:
        self.dialog = ask_save(
            self._window, "Export requests", EXPORTS, lambda path: self.export_to(path, chosen), "requests.jsonl"
        )

    def export_to(self, path: Path, chosen: LogFilter | Sequence[int]) -> None:
        """Export the filtered or the given rows; the window shows the progress."""
        self._start(self._exported(path, chosen), "export requests")

    async def _exported(self, path: Path, chosen: LogFilter | Sequence[int]) -> None:
        kind = format_of(path)
        if kind is None:
            self._notice.emit(f"{path.name} ends in none of .jsonl, .csv and .har, so its form is not known.")
            return
        total = (await self._log.count(chosen, None)).n if isinstance(chosen, LogFilter) else len(chosen)
        title = f"Export to {path.name}"
        done = await watched(
            self._window, title, total, lambda progress: export(self._log, chosen, path, kind, progress)
        )
        if done is None:
            self._notice.emit(f"Stopped: nothing was exported, and {path.name} is unchanged.")
        else:
            self._notice.emit(f"{counted(done, 'request')} {'is' if done == 1 else 'are'} in {path}.")

    async def _import(self) -> None:
        self.dialog = ask_open(self._window, "Import requests", IMPORTS, self.import_from)

    def import_from(self, path: Path) -> None:
        """Take up a file, all or nothing."""
        self._start(self._imported(path), "import requests")

    async def _imported(self, path: Path) -> None:
        if self._log.read_only_reason is not None:
            self._notice.emit(self._log.read_only_reason)
            return
        try:
            imported = await watched(
                self._window, f"Import {path.name}", None, lambda progress: import_file(self._log, path, progress)
            )
            self._notice.emit(imported.sentence if imported else "Stopped: nothing was imported.")
        except InputError as bad:
            self._notice.emit(f"{path.name} was not imported: {bad.problems[0]}")

    async def _delete(self) -> None:
        ids = await self.chosen()
        if ids and await self._agreed(len(ids)):
            await self._stoppable(len(ids), lambda progress: self._log.delete(ids, progress))

    async def _delete_shown(self) -> None:
        chosen = self._pane.model.filter.matching
        count = (await self._log.count(chosen, None)).n
        if count and await self._agreed(count):
            await self._delete_matching(chosen, count)

    async def _delete_matching(self, chosen: LogFilter, count: int) -> None:
        deleted = await self._stoppable(count, lambda progress: self._log.delete_matching(chosen, progress))
        self._notice.emit(
            "Stopped: the remaining requests stay."
            if deleted is None
            else f"{counted(deleted, 'request')} {'was' if deleted == 1 else 'were'} deleted."
        )

    async def _stoppable(self, count: int, work: Callable[[Callable[[int], None]], Awaitable[T]]) -> T | None:
        """Run a deletion; a long one shows its progress, and returns None if the user stops it."""
        if count <= DELETED_AT_ONCE:
            return await work(lambda _done: None)
        return await watched(self._window, "Delete requests", count, work)

    async def _agreed(self, count: int) -> bool:
        many = "this request" if count == 1 else f"these {count:,} requests"
        return await asked(
            self._window,
            "Delete requests",
            f"Delete {many}, with prompts and completions? They are overwritten in the file and cannot come back. "
            "Requests in progress are kept.",
            "Delete",
        )

    async def _size(self) -> None:
        from playground.ui.dialogs.settings import LogSizeDialog

        dialog = LogSizeDialog(self._log, self._workspace, await self._log.size(), self._window)
        dialog.everything.clicked.connect(
            lambda: self._workspace.tasks.start(self._delete_all(), "delete all requests")
        )
        self.dialog = dialog
        open_once(dialog)

    async def _delete_all(self) -> None:
        count = (await self._log.count(EVERYTHING, None)).n
        if count and await self._agreed(count):
            await self._delete_matching(EVERYTHING, count)
