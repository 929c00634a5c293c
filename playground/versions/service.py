"""Version histories in the program: stored by a worker thread, so that the event loop never waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document
from playground.prompt.files import OpenedPrompt
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow
from playground.storage.json_file import FileWriter
from playground.storage.settings import Settings
from playground.versions.comparison import VersionComparison, compare
from playground.versions.figures import VersionFigures, version_figures
from playground.versions.git_commits import Commit, commits, opened_commit
from playground.versions.history import Reason, Version
from playground.versions.store import VersionStore

SETTING = "versions"
MAX_ROWS = 5_000
"""Number of the newest requests from which figures are computed."""


@dataclass(frozen=True, slots=True)
class Overview:
    """Versions of a prompt, oldest first. `damaged` counts lines of the history that could not be read."""

    versions: tuple[Version, ...] = ()
    damaged: int = 0


class VersionService:
    """Stores and reads versions. `on_error` is called with the message of a version that could not be stored."""

    def __init__(
        self, folder: Path, settings: Settings, writer: FileWriter, on_error: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = VersionStore(folder)
        self._settings, self._writer, self._on_error = settings, writer, on_error
        self._failed = ""

    def note(self, key: str, document: Document, reason: Reason, run_id: str = "", previous_key: str = "") -> None:
        """Store a version soon, if versions are enabled and its content is new, and that `run_id` sent it.

        `previous_key`: the prompt's key before it was saved to a file; its history is continued.
        """
        if not self._settings.flag(SETTING):
            return

        def write() -> str:
            try:
                if previous_key:
                    self._store.adopt(previous_key, key)
                self._store.record(key, document, reason, run_id=run_id)
            except OSError as error:
                return f"The version was not stored: {error.strerror or error}."
            self._failed = ""
            return ""

        self._writer.submit(write, self._report)

    def _report(self, message: str) -> None:
        if message != self._failed:  # once per cause: a full disk would report at every request
            self._failed = message
            self._on_error(message)

    async def overview(self, key: str) -> Overview:
        """Return the versions of a prompt. Raises OSError."""

        def read() -> Overview:
            history = self._store.load(key)
            return Overview(tuple(history.versions()), history.damaged)

        return await self._writer.call(read)

    async def document(self, key: str, id_: str) -> Document | None:
        """Return the content of a version; None if it is damaged. Raises OSError."""
        return await self._writer.call(lambda: self._store.load(key).document(id_))

    async def save(self, key: str, document: Document, label: str, note: str = "") -> str:
        """Store the document as a version with a label; return its id. Raises OSError."""
        return await self._writer.call(partial(self._store.record, key, document, "named", label=label, note=note))

    async def annotate(self, key: str, id_: str, label: str, note: str) -> None:
        """Set label and note of a version. Raises OSError."""
        await self._writer.call(partial(self._store.annotate, key, id_, label, note))

    async def delete(self, key: str) -> None:
        """Delete the history of a prompt. Raises OSError."""
        await self._writer.call(partial(self._store.delete, key))

    async def compare(self, old: Document, new: Document, estimator: TokenEstimator) -> VersionComparison:
        """Compare two versions in a worker."""
        return await asyncio.to_thread(compare, old, new, estimator)

    async def rows(self, versions: Sequence[Version], log: RequestLog | None) -> dict[str, LogRow]:
        """Return the logged requests that sent these versions, by run_id: the newest MAX_ROWS."""
        if log is None:
            return {}
        newest = sorted(versions, key=lambda version: version.last_at, reverse=True)
        run_ids = [run_id for version in newest for run_id in reversed(version.run_ids)][:MAX_ROWS]
        return {row.run_id: row for row in await log.rows_of(run_ids)} if run_ids else {}

    def figures(self, version: Version, rows: dict[str, LogRow]) -> VersionFigures:
        """Return the reported figures of a version."""
        return version_figures(version, rows)

    async def commits(self, file: Path | None) -> list[Commit]:
        """Return the Git commits of a prompt's file, newest first; empty without a file or without Git."""
        return [] if file is None else await asyncio.to_thread(commits, file)

    async def opened_commit(self, file: Path, commit: str) -> OpenedPrompt | None:
        """Return the prompt in a commit; None if it is not there. Raises InputError."""
        return await asyncio.to_thread(opened_commit, file, commit)
