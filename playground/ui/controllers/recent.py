"""Recently opened and saved prompt files, in the settings: newest first, at most `MOST`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu
from shiboken6 import isValid

from playground.export.terminal import visible_line
from playground.prompt.field_errors import InputError
from playground.storage.settings import Settings
from playground.ui.widgets.plain_tip import plain_tip

if TYPE_CHECKING:
    from playground.tasks import Tasks

SETTING = "recent_files"
MOST = 12


class RecentFiles:
    """The setting is a table of paths with the time of use. Nothing here waits for a disk."""

    def __init__(self, settings: Settings, tasks: Tasks) -> None:
        self._settings, self._tasks = settings, tasks
        self.open: Callable[[Path], object] = lambda _path: None
        """Opens a file that the user chose."""

    @property
    def paths(self) -> list[Path]:
        """Return the files, newest first."""
        kept = self._settings.get(SETTING)
        rows = kept.items() if isinstance(kept, dict) else ()
        return [Path(path) for path, _at in sorted(rows, key=lambda row: str(row[1]), reverse=True)]

    def add(self, path: Path) -> None:
        """Put a file first. Names that are not Unicode text are left out."""
        kept = [other for other in self.paths if other != path][: MOST - 1]
        times = self._settings.get(SETTING)
        assert isinstance(times, dict), "the setting's default is a table"
        now = datetime.now(UTC).isoformat()
        with suppress(InputError):
            self._keep({str(path): now, **{str(other): str(times[str(other)]) for other in kept}})

    def remove(self, path: Path) -> None:
        """Remove a file."""
        times = self._settings.get(SETTING)
        if isinstance(times, dict) and str(path) in times:
            self._keep({name: str(at) for name, at in times.items() if name != str(path)})

    def clear(self) -> None:
        """Remove all files."""
        self._keep({})

    def _keep(self, rows: dict[str, str]) -> None:
        self._settings.set(SETTING, dict(rows))

    def fill(self, menu: QMenu) -> None:
        """List the files whenever the menu opens; files that no longer exist are marked as missing soon after."""
        menu.aboutToShow.connect(lambda: self._fill(menu))
        self._fill(menu)

    def _fill(self, menu: QMenu) -> None:
        menu.clear()
        paths = self.paths
        for path in paths:
            action = menu.addAction(label(path))
            action.setToolTip(plain_tip(visible_line(str(path))))
            action.triggered.connect(lambda _checked, path=path: self.open(path))
        if not paths:
            menu.addAction("No files yet").setEnabled(False)
            return
        menu.addSeparator()
        menu.addAction("Clear this list").triggered.connect(lambda _checked: self.clear())
        self._tasks.start(self._mark_missing(paths, menu.actions()), "look for recent files")

    async def _mark_missing(self, paths: list[Path], actions: list[QAction]) -> None:
        for action, path in zip(actions, paths, strict=False):
            # A file on a network drive may take seconds; the menu may be filled again meanwhile.
            if not await asyncio.to_thread(path.exists) and isValid(action):
                action.setText(f"{label(path)}  (missing)")


def label(path: Path) -> str:
    """Return a file's name and folder for a menu."""
    return visible_line(f"{path.name}   {path.parent}").replace("&", "&&")
