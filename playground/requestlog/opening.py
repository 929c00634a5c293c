"""All that opening a log comes to, on the writer's thread: files, lock, runs that another process left unfinished."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from playground.requestlog import purging
from playground.requestlog.files import Opened, open_files, unavailable
from playground.requestlog.owners import Owner, sweep
from playground.requestlog.records import LogUnavailable
from playground.requestlog.writer import interrupt_orphans

PURGE_S = 0.2
"""Seconds that opening may take over what an earlier process deleted."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The opened files and this process's lock; no lock where the log may only be read."""

    files: Opened
    owner: Owner | None


def finish_purge(connection: sqlite3.Connection) -> None:
    """Go on with a purge that a process did not live to end, for a moment: the rest is for the next opening."""
    until = time.monotonic() + PURGE_S
    while purging.needed(connection) and time.monotonic() < until and not purging.step(connection):
        pass


def open_log(folder: Path) -> Ready:
    """Open, check and tidy the log in a folder. Raises LogUnavailable."""
    files = open_files(folder)
    if files.writer is None:
        return Ready(files, None)
    try:
        sweep(folder)
        owner = Owner(folder)
        interrupt_orphans(files.writer, folder)
        finish_purge(files.writer)
    except (OSError, sqlite3.Error) as error:
        files.writer.close()
        files.reader.close()
        raise LogUnavailable(unavailable(folder, error)) from error
    return Ready(files, owner)
