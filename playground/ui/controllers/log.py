"""Connects the log pane with the actions on logged requests; menus and saved layout of the pane."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QHeaderView, QMenu, QWidget

from playground.runs.metrics import counted, received_tokens
from playground.services import AppServices
from playground.storage.settings import Settings
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.panes.log.details import LiveRequests
from playground.ui.panes.log.filter_line import FilterLine
from playground.ui.panes.log.pane import LogPane
from playground.ui.theme import scaled, zoom_factor
from playground.ui.widgets.labels import add_choice, passing_menu
from playground.ui.widgets.layouts import repeating_timer, single_timer
from playground.ui.widgets.task_dialog import ask_text

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog
    from playground.runs.run import Run
    from playground.ui.controllers.log_actions import LogWork
    from playground.ui.controllers.request import PaintClock


KEEP_MS = 400
"""After the last drag of a column's edge."""


NARROW_DROPS = ("answer", "cost", "total", "TTFT", "out", "prefix", "in", "cached")
"""Columns that a log too narrow for all leaves out, the first one first; the tooltip of the time has their figures."""
STATUS_PX = 140
"""Width with room for its usual words to which the status gives way before a column of KEPT is left out."""
KEPT = ("prefix", "in", "cached")
NARROW_WIDTHS = {"status": 96, "time": 82}
"""Widths of columns where even the fewest columns do not fit: the request_id is whole in any case."""
_NUMBERS = {column.title: number for number, column in enumerate(COLUMNS)}
LEAST_WIDTHS = {"prefix": 130, "answer": 160}
"""Widths that suffice for the last column: it takes the remaining room."""


class ColumnLayout(QObject):
    """Layout of one header. Calls `keep` with the serialised layout after each change; "" is the default layout.

    Columns that do not fit are hidden while the header is narrow; the layout has them as visible.
    """

    def __init__(self, header: QHeaderView, keep: Callable[[str], object]) -> None:
        super().__init__(header)
        self._header, self._keep = header, keep
        self._settling = False
        self._dropped: set[int] = set()
        self._squeezed: dict[int, int] = {}
        """Chosen widths of the columns that are narrower now."""
        self._sizes: dict[int, int] = {}
        """Newest widths of the columns while they were not the last one, which takes the room that is left."""
        self._zoom = zoom_factor()
        self._timer = single_timer(self, KEEP_MS, lambda: self._keep(self.text()))
        header.setSectionsMovable(True)
        header.setStretchLastSection(True)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(lambda place: self.menu().popup(header.mapToGlobal(QPoint(place))))
        self.reset()
        header.sectionMoved.connect(lambda *_: self._changed())
        header.sectionResized.connect(lambda *_: self._changed())
        header.installEventFilter(self)

    def reset(self) -> None:
        self._header.setProperty("zoomApplied", zoom_factor())
        self._apply([(column.title, column.width, column.shown) for column in COLUMNS])
        self._changed()

    def _apply(self, rows: Sequence[tuple[str, int, bool]]) -> None:
        """Lay out columns in this order, each with its title, its width at 100 % and whether it is shown."""
        self._settling = True
        for place, (title, width, shown) in enumerate(rows):
            number = _NUMBERS[title]
            self._header.moveSection(self._header.visualIndex(number), place)
            self._header.setSectionHidden(number, not shown)
            self._header.resizeSection(number, scaled(width))
        self._dropped.clear()
        self._squeezed.clear()
        self._settling = False
        self._drop()

    def show_zoom(self) -> None:
        """Fit the columns after a change of the text size, which has scaled the visible ones."""
        factor, self._zoom = zoom_factor() / self._zoom, zoom_factor()
        for widths in (self._squeezed, self._sizes):
            widths.update({number: round(width * factor) for number, width in widths.items()})
        self._drop()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._drop()
        return super().eventFilter(watched, event)

    def _drop(self) -> None:
        """Hide columns of NARROW_DROPS until the rest fits, then squeeze others; restore them in a wider header."""
        chosen = [number for number in range(len(COLUMNS)) if self._is_chosen(number)]
        widths = {number: self._squeezed.get(number, self._header.sectionSize(number)) for number in chosen}
        last = self._last()
        for number in chosen:
            if number == last or number in self._dropped:
                widths[number] = scaled(COLUMNS[number].width)
        dropped: set[int] = set()
        spare = max(widths.get(_NUMBERS["status"], 0) - scaled(STATUS_PX), 0)
        for title in NARROW_DROPS:
            number = _NUMBERS[title]
            fits = self._needed(widths, dropped) - (spare if title in KEPT else 0) <= self._header.width()
            if not fits and number in widths and len(dropped) + 1 < len(chosen):
                dropped.add(number)
        for number in chosen:
            if number not in (last, *self._dropped):
                self._sizes[number] = widths[number]
        if dropped != self._dropped:
            self._hide(dropped, last)
        self._squeeze(widths, self._needed(widths, dropped) - self._header.width())
        self._fill()

    def _hide(self, dropped: set[int], last: int | None) -> None:
        """Hide these columns and no others. `last`: the column that took the room that was left."""
        self._settling, changed = True, dropped ^ self._dropped
        self._dropped = dropped
        for number in changed:
            self._header.setSectionHidden(number, number in dropped)
            if number not in dropped and number in self._sizes:  # hidden at another text size, perhaps
                self._header.resizeSection(number, self._sizes[number])
        if last is not None and last != self._last():
            self._header.resizeSection(last, self._sizes.get(last, scaled(COLUMNS[last].width)))
        self._settling = False

    def _fill(self) -> None:
        """Give the last column the room that is left: Qt does not make it narrower than it was."""
        last = self._last()
        room = self._header.width() - self._header.length()
        if last is not None and room < 0:
            self._settling = True
            least = scaled(LEAST_WIDTHS.get(COLUMNS[last].title, COLUMNS[last].width))
            self._header.resizeSection(last, max(self._header.sectionSize(last) + room, least))
            self._settling = False

    def _needed(self, widths: dict[int, int], dropped: set[int]) -> int:
        """Return the width of the columns that are not dropped, with the last one as narrow as it may be."""
        shown = {number: width for number, width in widths.items() if number not in dropped}
        last = max(shown, key=self._header.visualIndex)
        least = LEAST_WIDTHS.get(COLUMNS[last].title)
        return sum(shown.values()) - (max(shown[last] - scaled(least), 0) if least else 0)

    def _squeeze(self, widths: dict[int, int], excess: int) -> None:
        """Make the columns of NARROW_WIDTHS narrower by the excess, and restore those that need not be."""
        self._settling = True
        for title, narrow in NARROW_WIDTHS.items():
            number = _NUMBERS[title]
            cut = max(min(excess, widths.get(number, 0) - scaled(narrow)), 0)
            if cut:
                self._squeezed.setdefault(number, widths[number])
                self._header.resizeSection(number, widths[number] - cut)
                excess -= cut
            elif number in self._squeezed:
                self._header.resizeSection(number, self._squeezed.pop(number))
        self._settling = False

    def _is_chosen(self, number: int) -> bool:
        return number in self._dropped or not self._header.isSectionHidden(number)

    def _changed(self) -> None:
        if not self._settling:
            self._timer.start()

    def text(self) -> str:
        """Return the layout as JSON: [title, width, visible] per column, in visual order; "" for the default layout."""
        rows = []
        for place in range(len(COLUMNS)):
            number = self._header.logicalIndex(place)
            shown = self._is_chosen(number)
            stretched = self._header.isSectionHidden(number) or number == self._last()
            size = self._squeezed.get(number, self._header.sectionSize(number))
            width = 0 if stretched else round(size / zoom_factor())
            rows.append([COLUMNS[number].title, width or COLUMNS[number].width, shown])
        made = [[column.title, column.width, column.shown] for column in COLUMNS]
        return "" if rows == made else json.dumps(rows)

    def _last(self) -> int | None:
        """Return the column that takes the room that is left."""
        shown = [number for number in range(len(COLUMNS)) if not self._header.isSectionHidden(number)]
        return max(shown, key=self._header.visualIndex, default=None)

    def restore(self, text: str) -> None:
        """Apply a serialised layout. Ignores invalid text; columns missing from it follow the listed ones."""
        try:
            rows = [(str(title), int(width), bool(shown)) for title, width, shown in json.loads(text or "[]")]
        except (ValueError, TypeError, OverflowError, RecursionError):
            return
        known = [(title, min(max(width, 40), 2_000), shown) for title, width, shown in rows if title in _NUMBERS]
        if any(shown for _, _, shown in known):
            self._apply(known)

    def menu(self) -> QMenu:
        """Return a menu with one checkable entry per column; the last visible column cannot be hidden."""
        menu = passing_menu(self._header)
        for number, column in enumerate(COLUMNS):
            shown = self._is_chosen(number)
            show = partial(self.show_column, number, not shown)
            add_choice(menu, column.header, checked=shown, chosen=show).setToolTip(column.hint)
        menu.addSeparator()
        menu.addAction("Reset columns", self.reset)
        return menu

    def show_column(self, number: int, shown: bool) -> None:
        """Show or hide a column; one always stays."""
        others = any(self._is_chosen(other) for other in range(len(COLUMNS)) if other != number)
        if shown or others:
            self._dropped.discard(number)
            self._header.setSectionHidden(number, not shown)
            self._drop()
            self._changed()


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
        self._settings.set(SETTING, {other: text for other, text in self.all.items() if other != name})

    def use(self, name: str) -> None:
        self._line.setText(self.all[name])
        self._line.setFocus()

    def add_to(self, menu: QMenu) -> None:
        menu.addAction("Save this filter…", self.ask_name).setEnabled(bool(self._line.text().strip()))
        filters = self.all
        for name in filters:
            menu.addAction(name.replace("&", "&&"), partial(self.use, name))
        if filters:
            forget = menu.addMenu("Remove a filter")
            for name in filters:
                forget.addAction(name.replace("&", "&&"), partial(self.remove, name))

    def ask_name(self) -> None:
        ask_text(self._line, "Save this filter", f"A name for {self._line.text().strip()[:80]}", self.keep)


LOOK_S = 0.08
COUNT_S = 0.5
"""Recounting the tokens of a long text costs as much as painting a screen of rows."""


class LiveRows:
    """What this process is sending, by run_id."""

    def __init__(self, workspace: AppServices, paint_clock: PaintClock) -> None:
        self._workspace, self._paint_clock = workspace, paint_clock
        self._seen: dict[str, tuple[float, tuple[object, ...], LiveRequests]] = {}
        self._counted: dict[str, tuple[float, float]] = {}

    def of(self, run_id: str) -> LiveRequests | None:
        """Return a recent snapshot of a running request, another one if it differs; None if this window is not sending
        it."""
        run = self._workspace.sender.running.get(run_id)
        if run is None:
            self._seen.pop(run_id, None)
            self._counted.pop(run_id, None)
            return None
        now, state = time.monotonic(), run.state
        at, waited, live = self._seen.get(run_id, (0.0, (), None))
        shown_s, waits = self._paint_clock.elapsed_s(run), (state.phase, state.queued)
        old = (now - at >= LOOK_S and not state.waits) or waits != waited
        if live is None or old or live.elapsed_s != shown_s:
            live = LiveRequests(state, shown_s, self._tokens(run, now), state.text[-TAIL:])
            self._seen[run_id] = now, waits, live
        return live

    def _tokens(self, run: Run, now: float) -> float:
        at, tokens = self._counted.get(run.id, (0.0, 0.0))
        if now - at >= COUNT_S:
            tokens = received_tokens(run.state) or 0.0
            self._counted[run.id] = now, tokens
        return tokens


TAIL = 400
"""Characters of a text that still comes: more than a row shows of its end."""


CLOCKS = (("local", "Local time"), ("utc", "UTC"), ("relative", "Relative time"))
AGO_MS = 5_000
HOUR_MS = 3_600_000


class LogPaths(QObject):
    """One a window. What takes dialogs or files is in `work`, made when it is first asked for."""

    notice = Signal(str)
    open_requested = Signal(str)
    request_asked = Signal(str, str)
    """"resend" or the form of a copy, and the run_id."""
    compare_requested = Signal(list)
    """Logged requests are to be compared: their run_ids, oldest first."""

    def __init__(self, window: QWidget, workspace: AppServices, pane: LogPane, paint_clock: PaintClock) -> None:
        super().__init__(window)
        self._window, self._workspace, self._pane = window, workspace, pane
        self.start = workspace.tasks.start
        settings = workspace.settings
        self.layout = ColumnLayout(pane.table.horizontalHeader(), lambda text: settings.set("log_columns", text))
        self.layout.restore(settings.text("log_columns"))
        pane.zoomed.connect(self.layout.show_zoom)
        self.filters = SavedFilters(settings, pane.filter_line)
        self._work: LogWork | None = None
        pane.model.live = LiveRows(workspace, paint_clock).of
        pane.table.asked.connect(self.ask)
        pane.ids_pasted.connect(lambda ids: self.start(self._find(ids), "look for pasted ids"))
        pane.filter_line.words_wanted.connect(lambda: self.start(self._read_words(), "read the filter's words"))
        self._ago = repeating_timer(self, AGO_MS, pane.model.repaint_rows)
        self._bounds = repeating_timer(self, HOUR_MS, self.keep_bounds)
        self._bounds.start()
        pane.displayed.connect(lambda _shown: self._follow_clock())
        self.set_clock(settings.text("log_clock"))
        pane.model.fold_groups(settings.flag("log_groups"))
        menu = QMenu(pane.menu_button)
        menu.aboutToShow.connect(lambda: self._fill(menu))
        self._fill(menu)
        pane.menu_button.setMenu(menu)

    @property
    def log(self) -> RequestLog | None:
        return self._workspace.log

    @property
    def work(self) -> LogWork:
        if self._work is None:
            # Deferred import: only needed on demand.
            from playground.ui.controllers.log_actions import LogWork

            self._work = LogWork(self, self._window, self._workspace, self._pane)
        return self._work

    def keep_bounds(self) -> None:
        """Apply the retention settings; delete nothing unless they set a limit."""
        self.start(self._keep_bounds(), "keep the log within bounds")

    async def _keep_bounds(self) -> None:
        if deleted := await self._workspace.keep_bounds():
            were = "was" if deleted == 1 else "were"
            self.notice.emit(f"{counted(deleted, 'old request')} {were} deleted from the log, as the settings say.")

    def ask(self, name: str) -> None:
        """Do something with the chosen rows."""
        run_id = self._pane.current_run_id()
        if self.log is None:
            self.notice.emit("There is no request log.")
        elif name in ("resend", "curl", "python", "httpx", "javascript"):
            if run_id is not None:
                self.request_asked.emit(name, run_id)
        else:
            self.work.do(name)

    def import_from(self, path: Path) -> None:
        if self.log is None:
            self.notice.emit(f"{path.name} was not imported: there is no request log.")
        else:
            self.work.import_from(path)

    def show_written(self) -> None:
        """Show what was written to the log, also by other windows and commands."""
        self._pane.model.details.forget_unexplained("")
        self._pane.model.refresh()

    async def _read_words(self) -> None:
        if self.log is not None:
            self._pane.filter_line.words = await self.log.words()

    async def _find(self, ids: tuple[str, ...]) -> None:
        if self.log is not None:
            found = await self.log.find_many(ids)
            self._pane.show_missing(found.missing, len(dict.fromkeys(ids)))

    def set_clock(self, clock: str) -> None:
        """Show times as of here, in UTC, or as how long ago."""
        self._workspace.settings.set("log_clock", clock)
        self._pane.model.clock = clock  # type: ignore[assignment]  # the setting's choices are the clocks
        self._pane.table.fit_rows()
        self._follow_clock()

    def _follow_clock(self) -> None:
        """Repaint now, and again at an interval while visible rows have relative times."""
        self._pane.model.repaint_rows()
        if self._pane.model.clock == "relative" and self._pane.isVisible():
            self._ago.start()
        else:
            self._ago.stop()

    def fold_groups(self, folded: bool) -> None:
        """List the requests of an experiment as one row, or each of them."""
        self._workspace.settings.set("log_groups", folded)
        self._pane.model.fold_groups(folded)

    def _fill(self, menu: QMenu) -> None:
        menu.clear()
        self.filters.add_to(menu)
        menu.addSeparator()
        group = QActionGroup(menu)
        for clock, label in CLOCKS:
            checked = self._pane.model.clock == clock
            group.addAction(add_choice(menu, label, checked=checked, chosen=partial(self.set_clock, clock)))
        folded = self._pane.model.filter.folding is not None
        fold = partial(self.fold_groups, not folded)
        add_choice(menu, "Group requests of experiments", checked=folded, chosen=fold)
        columns = self.layout.menu()
        columns.setTitle("Columns")
        menu.addMenu(columns)
        menu.addMenu(self._pane.table.order_menu())
        menu.addSeparator()
        for name, label in (
            ("export_shown", "Export shown requests…"),
            ("import", "Import requests…"),
            ("delete_shown", "Delete shown requests…"),
            ("size", "Size and retention…"),
        ):
            menu.addAction(label, partial(self.ask, name))

    def shut_down(self) -> None:
        self._ago.stop()
        self._bounds.stop()
