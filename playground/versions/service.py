"""Version histories of the window and the commands: what to store and when; reading and figures in workers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field

from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document
from playground.prompt.files import OpenedPrompt, load
from playground.prompt.json_text import MAX_BYTES
from playground.storage.json_file import FileWriter, read_regular
from playground.storage.paths import write_private, write_shared
from playground.storage.settings import Settings
from playground.versions.commits import Commit, commits, opened_commit
from playground.versions.comparison import VersionComparison, compare, summary
from playground.versions.export import VersionFigures, VersionForm, export_versions, version_figures
from playground.versions.history import (
    MAX_LABEL_CHARS,
    MAX_NOTE_CHARS,
    History,
    Named,
    Reason,
    Record,
    SentVersion,
    Version,
    encode_record,
    version_id,
)

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import LogRow


FOLDER = "versions"
_CACHED = 4
"""Number of histories in memory."""


def history_key(file: Path | None, document_id: str) -> str:
    """Return what identifies a prompt: the path of its file; without a file, the document's id."""
    return f"file:{os.path.realpath(file)}" if file is not None else f"id:{document_id}"


class VersionStore:
    """Histories in a folder. Not thread-safe: one worker at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._read: OrderedDict[Path, tuple[int, History]] = OrderedDict()

    def path(self, key: str) -> Path:
        """Return the file of a prompt's history."""
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.jsonl"

    def load(self, key: str) -> History:
        """Return the history of a prompt; empty if there is none. Raises OSError."""
        path = self.path(key)
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return History()
        known = self._read.get(path)
        if known is not None and known[0] == size:
            return known[1]
        data = read_regular(path)
        if len(data) > MAX_BYTES:
            raise OSError(None, f"The version history has more than {MAX_BYTES:,} bytes")
        lines = data.split(b"\n")
        history = History.of(line for line in lines if line)
        history.damaged += not data  # a history has at least a line
        self._keep(path, len(data), history)
        return history

    def record(
        self,
        key: str,
        document: Document,
        reason: Reason,
        *,
        run_ids: Sequence[str] = (),
        label: str = "",
        note: str = "",
        at: float | None = None,
    ) -> str:
        """Store a version if its content is new, and that it was sent as `run_ids` or labelled. Returns its id.

        Raises OSError; the history is then as before.
        """
        moment = round(time.time() if at is None else at, 3)
        history, id_ = self.load(key), version_id(document)
        records: list[Record] = []
        if id_ not in history.contents:
            newest = history.newest()
            before = load(newest[1]) if newest else None
            first, run_ids = (run_ids[0], run_ids[1:]) if run_ids else ("", ())
            records.append(history.content(document, moment, reason, summary(before, document), first))
        known = {one.run_id for one in history.sent.get(id_, ())}
        records += [SentVersion(id_, moment, run_id) for run_id in run_ids if run_id not in known]
        if label or note:
            records.append(Named(id_, label[:MAX_LABEL_CHARS], note[:MAX_NOTE_CHARS]))
        self._append(key, history, records)
        return id_

    def annotate(self, key: str, id_: str, label: str, note: str) -> None:
        """Set label and note of a version. Raises OSError."""
        named = Named(id_, label[:MAX_LABEL_CHARS], note[:MAX_NOTE_CHARS])
        self._append(key, self.load(key), [named])

    def adopt(self, old_key: str, new_key: str) -> None:
        """Copy a prompt's history to a prompt that has none: it was saved to a file. Raises OSError."""
        old, new = self.path(old_key), self.path(new_key)
        if old != new and old.exists() and not new.exists():
            write_private(new, read_regular(old))

    def delete(self, key: str) -> None:
        """Delete a prompt's history. Raises OSError."""
        self._read.pop(self.path(key), None)
        self.path(key).unlink(missing_ok=True)

    def _append(self, key: str, history: History, records: list[Record]) -> None:
        if not records:
            return
        path = self.path(key)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = b"".join(map(encode_record, records))
        if _torn(path):
            data = b"\n" + data  # a process was killed while it appended
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            size = os.fstat(handle).st_size
            if size + len(data) > MAX_BYTES:
                raise OSError(
                    None, f"The version history would have more than {MAX_BYTES:,} bytes; delete it to begin again"
                )
            _write_all(handle, data, size)
            os.fsync(handle)
        finally:
            os.close(handle)
        known = self._read.pop(path, (0, history))
        if known == (size, history) or not size:  # else another process appended: read again
            for record in records:
                history.add(record)
            self._keep(path, size + len(data), history)

    def _keep(self, path: Path, size: int, history: History) -> None:
        self._read[path] = (size, history)
        self._read.move_to_end(path)
        while len(self._read) > _CACHED:
            self._read.popitem(last=False)


def _torn(path: Path) -> bool:
    """Return whether a file's last line has no line end."""
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _write_all(handle: int, data: bytes, size: int) -> None:
    """Append all of `data`, or nothing: `size` is the size before. Raises OSError."""
    done = 0
    try:
        while done < len(data):
            done += os.write(handle, data[done:])
    except OSError:
        with suppress(OSError):
            if done and os.fstat(handle).st_size == size + done:
                os.ftruncate(handle, size)
        raise


SETTING = "versions"
MAX_ROWS = 5_000
"""Number of the newest requests from which figures are computed."""
MAX_SENT = 500
"""Requests of one batch that are noted for a version."""


class PromptIdentity(Struct, frozen=True):
    """A prompt with a history: its file, or without a file its document id."""

    file: Path | None
    document_id: str

    @property
    def key(self) -> str:
        """Return the key of the history. Resolves the file's path on the disk: call it in a worker."""
        return history_key(self.file, self.document_id)


class Overview(Struct, frozen=True):
    """Versions of a prompt, oldest first, with the logged requests that sent them and their figures.

    `damaged` counts lines of the history that could not be read. `current_id` is the version in the editor.
    """

    versions: tuple[Version, ...] = ()
    damaged: int = 0
    rows: Mapping[str, LogRow] = field(default_factory=dict)
    figures: Mapping[str, VersionFigures] = field(default_factory=dict)
    current_id: str = ""


class VersionService:
    """Stores and reads versions. `on_error` is called with the message of a version that could not be stored."""

    def __init__(
        self, folder: Path, settings: Settings, writer: FileWriter, on_error: Callable[[str], None] = lambda _: None
    ) -> None:
        self._store = VersionStore(folder)
        self._settings, self._writer, self._on_error = settings, writer, on_error
        self._failed = ""

    def note(
        self,
        prompt: PromptIdentity,
        document: Document,
        reason: Reason,
        run_ids: Sequence[str] = (),
        previous: PromptIdentity | None = None,
    ) -> None:
        """Store a version soon, if versions are enabled and its content is new, and that `run_ids` sent it.

        `previous`: the prompt before it was saved to a file; its history is continued.
        """
        if not self._settings.flag(SETTING):
            return

        def write() -> str:
            try:
                key = prompt.key
                if previous is not None:
                    self._store.adopt(previous.key, key)
                path, damaged = self._store.path(key), self._store.load(key).damaged
                self._store.record(key, document, reason, run_ids=run_ids[:MAX_SENT])
            except OSError as error:
                return f"The version was not stored: {error.strerror or error}."
            if damaged:
                return f"Earlier versions of this prompt could not be read: {path.name} in {FOLDER} is damaged."
            self._failed = ""
            return ""

        self._writer.submit(write, self._report)

    def _report(self, message: str) -> None:
        if message != self._failed:  # once per cause: a full disk would report at every request
            self._failed = message
            self._on_error(message)

    async def overview(self, prompt: PromptIdentity, current: Document, log: RequestLog | None) -> Overview:
        """Return the versions of a prompt with their figures. Raises OSError."""

        def read() -> tuple[tuple[Version, ...], int]:
            history = self._store.load(prompt.key)
            return tuple(history.versions()), history.damaged

        versions, damaged = await self._writer.call(read)
        rows = await _rows(versions, log)

        def compute() -> Overview:
            figures = {version.id: version_figures(version, rows) for version in versions}
            return Overview(versions, damaged, rows, figures, version_id(current))

        return await asyncio.to_thread(compute)

    async def search(self, prompt: PromptIdentity, text: str) -> set[str]:
        """Return the ids of the versions whose prompt has a text. Raises OSError."""
        return await self._writer.call(lambda: self._store.load(prompt.key).search(text))

    async def document(self, prompt: PromptIdentity, id_: str) -> Document | None:
        """Return the content of a version; None if it is damaged. Raises OSError."""
        return await self._writer.call(lambda: self._store.load(prompt.key).document(id_))

    async def save(self, prompt: PromptIdentity, document: Document, label: str, note: str = "") -> str:
        """Store the document as a version with a label; return its id. Raises OSError."""
        return await self._writer.call(
            lambda: self._store.record(prompt.key, document, "named", label=label, note=note)
        )

    async def annotate(self, prompt: PromptIdentity, id_: str, label: str, note: str) -> None:
        """Set label and note of a version. Raises OSError."""
        await self._writer.call(lambda: self._store.annotate(prompt.key, id_, label, note))

    async def delete(self, prompt: PromptIdentity) -> None:
        """Delete the history of a prompt. Raises OSError."""
        await self._writer.call(lambda: self._store.delete(prompt.key))

    async def export(self, prompt: PromptIdentity, path: Path, form: VersionForm, name: str, overview: Overview) -> int:
        """Write all versions to a file. Returns their number. Raises OSError."""

        def write() -> int:
            history = self._store.load(prompt.key)
            write_shared(path, export_versions(history, overview.figures, form, name))
            return len(history.contents)

        return await self._writer.call(write)

    async def compare(self, old: Document, new: Document, estimator: TokenEstimator) -> VersionComparison:
        """Compare two versions in a worker."""
        return await asyncio.to_thread(compare, old, new, estimator)

    async def commits(self, file: Path | None) -> list[Commit]:
        """Return the Git commits of a prompt's file, newest first; empty without a file or without Git."""
        return [] if file is None else await asyncio.to_thread(commits, file)

    async def opened_commit(self, file: Path, commit: str) -> OpenedPrompt | None:
        """Return the prompt in a commit; None if it is not there. Raises InputError."""
        return await asyncio.to_thread(opened_commit, file, commit)


async def _rows(versions: Sequence[Version], log: RequestLog | None) -> dict[str, LogRow]:
    """Return the logged requests that sent these versions, by run_id: the newest MAX_ROWS."""
    if log is None:
        return {}
    newest = sorted(versions, key=lambda version: version.last_at, reverse=True)
    run_ids = [run_id for version in newest for run_id in reversed(version.run_ids)][:MAX_ROWS]
    return {row.run_id: row for row in await log.rows_of(run_ids)} if run_ids else {}
