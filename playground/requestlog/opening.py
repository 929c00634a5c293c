"""All that opening a log comes to, on the writer's thread: files, lock, runs that another process left unfinished."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from playground.requestlog.files import Opened, open_files, unavailable
from playground.requestlog.owners import Owner, sweep
from playground.requestlog.records import LogUnavailable
from playground.requestlog.writer import interrupt_orphans


@dataclass(frozen=True, slots=True)
class Ready:
    """The opened files and this process's lock; no lock where the log may only be read."""

    files: Opened
    owner: Owner | None


def open_log(folder: Path) -> Ready:
    """Open, check and tidy the log in a folder. Raises LogUnavailable."""
    files = open_files(folder)
    if files.writer is None:
        return Ready(files, None)
    try:
        sweep(folder)
        owner = Owner(folder)
        interrupt_orphans(files.writer, folder)
    except (OSError, sqlite3.Error) as error:
        files.writer.close()
        files.reader.close()
        raise LogUnavailable(unavailable(folder, error)) from error
    return Ready(files, owner)
