"""The bars at the window's top and bottom: menus, where requests go, use of the plan's limits, a message, two keys."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QRect
from PySide6.QtGui import QAction, QShortcut
from PySide6.QtWidgets import QFrame, QLabel, QMenu, QMenuBar, QSizePolicy, QToolButton, QWidget
from shiboken6 import isValid

from playground.client.endpoint import PlanLimits
from playground.export.terminal import visible_line
from playground.prompt.document import Json
from playground.runs.metrics import counted
from playground.storage.settings import Settings
from playground.ui.theme import GRID, restyle
from playground.ui.widgets.icons import IconLabel, set_icon
from playground.ui.widgets.labels import ElidedLabel, push_button
from playground.ui.widgets.layouts import STRETCH, Panel, row_of

if TYPE_CHECKING:
    from playground.client.retry import Load
    from playground.requestlog.records import RecoveryProgress
    from playground.tasks import Tasks


STATUS_HEIGHT_PX = 24


class StatusBar(Panel):
    """Labels only; their texts are their accessible names."""

    def __init__(self) -> None:
        super().__init__("footer")
        self.setProperty("small", "true")
        self.setFixedHeight(STATUS_HEIGHT_PX)
        self._in_flight = QLabel()
        self._minute = ElidedLabel("Requests", focus=False)
        self._minute.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self._error = ElidedLabel("Error", focus=False)
        self._recovery = QLabel()
        self.saved = QLabel()
        self._hint = ElidedLabel("Keys", focus=False)  # in a narrow window it gives room to the others
        self._hint.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        row = row_of(on=self, margins=(GRID + 4, 0, GRID + 4, 0), spacing=GRID * 2)
        for label in (self._in_flight, self._minute, self._recovery, self._error, self.saved, self._hint):
            label.setProperty("tone", "muted")
            label.setSizePolicy(label.sizePolicy().horizontalPolicy(), QSizePolicy.Policy.Fixed)  # one line of text
            row.addWidget(label, 1 if label is self._error else 0)

    def show_load(self, load: Load, plan: PlanLimits) -> None:
        """Show requests in flight and in this minute, with the plan's limits if it has any."""
        self._in_flight.setText(_used(load.in_flight, plan.in_flight, "in flight"))
        limit = plan.requests_per_minute
        used = _used(load.this_minute, limit, "this minute")
        full = limit is not None and load.this_minute >= limit
        tip = "Requests of your windows, your commands and recorded programs. The account's other programs count too."
        if limit is not None and load.this_minute > limit:
            tip += " More requests than the plan allows: recorded programs are never delayed, or the plan was changed."
        tip += " The next request of this program is queued." if full else ""
        self._minute.set_full_text(used, f"{used}. {tip}")
        restyle(self._minute, tone="variable" if full else "muted")

    def show_hint(self, words: str) -> None:
        self._hint.set_full_text(words)

    def show_recovery(self, progress: RecoveryProgress) -> None:
        """Show how much of a damaged log is recovered; nothing at the end, unless requests could not be read."""
        lost = f", {progress.damaged:,} could not be read" if progress.damaged else ""
        if progress.finished:
            self._recovery.setText(f"Log recovered: {counted(progress.done, 'request')}{lost}" if lost else "")
        else:
            self._recovery.setText(
                f"Recovering the log: {progress.done:,} of {counted(progress.total, 'request')}{lost}"
            )

    def show_error(self, sentence: str) -> None:
        """Show a message that does not stop the work, such as a log that cannot be written."""
        self._error.set_full_text(sentence, sentence)
        self._hint.setVisible(not sentence)  # the sentence needs the room
        restyle(self._error, tone="failure" if sentence else "muted")


def _used(count: int, limit: int | None, what: str) -> str:
    """Return a count with its limit, for example "3 of 10 this minute". Recorded programs can exceed it."""
    if limit is None:
        return f"{count} {what}"
    return f"{count} of {limit} {what}" if count <= limit else f"{count} {what}, more than the plan's {limit}"


HEIGHT_PX = 30
MAX_RECENT = 10


class Destination(QFrame):
    """Where requests go, with at most one action; hidden if there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Destination of requests")
        self.text = ElidedLabel("Destination", "muted", focus=False)
        self.text.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.text.setMinimumWidth(1)  # the action is whole in the narrowest window
        self._button = push_button("", "link", lambda: self._run())
        self._run: Callable[[], object] = lambda: None
        row_of(IconLabel("bolt"), self.text, self._button, on=self, margins=(0, 0, GRID, 0), spacing=6)
        self.hide()

    def show_message(self, text: str, actions: Sequence[tuple[str, Callable[[], object]]] = ()) -> None:
        """Show a text with an optional action (label, handler)."""
        self.text.set_full_text(text)
        self._button.setVisible(bool(actions))
        if actions:
            label, self._run = actions[0]
            self._button.setText(label)
        self.show()


class RecentFilesMenu(QMenu):
    """The prompt files that were opened or saved last, newest first. `open_file` receives the chosen one."""

    def __init__(self, settings: Settings, open_file: Callable[[Path], None], tasks: Tasks, parent: QWidget) -> None:
        super().__init__("Open recent", parent)
        self._settings, self._open, self._tasks = settings, open_file, tasks
        self.aboutToShow.connect(self._fill)
        self._show_enabled()

    @property
    def paths(self) -> list[Path]:
        """The stored files, newest first; some may no longer exist."""
        stored = self._settings.get("recent_files")
        return [Path(str(item)) for item in stored] if isinstance(stored, list) else []

    def add(self, path: Path) -> None:
        path = path.absolute()
        others = [other for other in self.paths if other != path]
        names: list[Json] = [str(item) for item in (path, *others)]
        self._settings.set("recent_files", names[:MAX_RECENT])
        self._show_enabled()

    def clear_files(self) -> None:
        self._settings.set("recent_files", [])
        self._show_enabled()

    def _show_enabled(self) -> None:
        self.menuAction().setEnabled(bool(self.paths))

    def _fill(self) -> None:
        self.clear()
        for number, path in enumerate(self.paths, 1):
            # A & would be taken for a mnemonic.
            name = visible_line(f"{path.name} — {path.parent}").replace("&", "&&")
            self.addAction(f"&{number} {name}" if number < 10 else name, partial(self._open, path))
        files = list(zip(self.actions(), self.paths, strict=True))
        self.addSeparator()
        self.addAction("Clear this list", self.clear_files)
        self._tasks.start(self._mark_missing(files), "look for the recent files")

    async def _mark_missing(self, files: Sequence[tuple[QAction, Path]]) -> None:
        """Mark files that no longer exist. A file on a network drive may take seconds; the menu may close meanwhile."""
        for action, path in files:
            if not await asyncio.to_thread(path.exists) and isValid(action):
                action.setText(f"{action.text()} (missing)")


MORE_PX = 28
"""Width of the button of the menus that have no room, which Qt makes 12 pixels wide."""


class _Menus(QMenuBar):
    def __init__(self) -> None:
        super().__init__()
        for more in self.findChildren(QToolButton):
            more.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Give the button its width whenever Qt has placed it."""
        if isinstance(watched, QToolButton) and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            place = QRect(self.width() - MORE_PX, 0, MORE_PX, self.height())
            if watched.geometry() != place:
                watched.setGeometry(place)
        return super().eventFilter(watched, event)


class MenuRow(Panel):
    """A menu bar that is part of the window; on macOS the system's menu bar has the menus."""

    def __init__(self) -> None:
        super().__init__("menurow")
        self.setFixedHeight(HEIGHT_PX)
        self.menus = _Menus()
        self.menus.setNativeMenuBar(sys.platform == "darwin")
        # All menus keep their room; the destination is elided first.
        self.menus.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        for more in self.menus.findChildren(QToolButton):  # displayed where the menus have no room
            more.setAccessibleName("More menus")
            set_icon(more, "more", "text")
        QShortcut("F10", self, lambda: self.menus.setActiveAction(self.menus.actions()[0]))
        self.destination = Destination()
        row_of(self.menus, STRETCH, self.destination, on=self, margins=(4, 0, 0, 0), spacing=0)

    def set_menus(self, menus: Sequence[QMenu]) -> None:
        self.menus.clear()
        for menu in menus:
            self.menus.addMenu(menu)
