"""Version histories: what to store and when, figures and export of all versions, Git commits of a prompt's file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct, field

from playground.client.redact import redact_value
from playground.export.masking import masked_text
from playground.export.terminal import fenced, markdown_line, visible, visible_line
from playground.prefix_cache.forecaster import PromptForecast
from playground.prompt.diff import changes
from playground.prompt.document import Document, Json
from playground.prompt.files import MAX_FILE_BYTES, OpenedPrompt, dump, load
from playground.prompt.import_formats import open_any_bytes
from playground.prompt.json_text import MAX_BYTES
from playground.requestlog.records import LogRow
from playground.runs.metrics import counted, dollars, percent
from playground.storage.json_file import FileWriter, read_regular
from playground.storage.paths import append_whole, write_private, write_shared
from playground.storage.settings import Settings
from playground.versions.comparison import VersionComparison, compare, summary
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


class VersionFigures(Struct, frozen=True):
    """`cached` is the share of input tokens reported as cached, 0 to 1, without the version's first request.

    `per_thousand` is the input cost of 1,000 such requests in dollars. None: not reported, or no rate is set.
    """

    requests: int = 0
    cached: float | None = None
    per_thousand: float | None = None


def version_figures(version: Version, rows: Mapping[str, LogRow]) -> VersionFigures:
    """Return the figures of a version; `rows` holds the logged requests by run_id."""
    found = [rows[run_id] for run_id in version.run_ids if run_id in rows]
    prompt = cached = 0
    costs: list[float] = []
    for row in found[1:]:
        if row.prompt_tokens is None or row.cached_tokens is None or row.cached_tokens > row.prompt_tokens:
            continue
        prompt, cached = prompt + row.prompt_tokens, cached + row.cached_tokens
        if row.cost.input is not None:
            costs.append(row.cost.input)
    per_thousand = sum(costs) / len(costs) * 1_000 if costs else None
    return VersionFigures(len(found), cached / prompt if prompt else None, per_thousand)


VersionForm = Literal["jsonl", "markdown"]
MOST_LINES = 400
"""Lines of one difference in Markdown."""
_SIGNS = {"head": "@@ ", "same": "  ", "gone": "- ", "come": "+ ", "skipped": "  … "}


def export_versions(
    history: History, figures: Mapping[str, VersionFigures], form: VersionForm, name: str = "Prompt"
) -> bytes:
    """Return a history as a file, oldest version first. Keys are masked. Takes long for many versions."""
    documents = _documents(history)
    lines = _json_lines(documents, figures) if form == "jsonl" else _markdown(documents, figures, name)
    return "".join(lines).encode("utf-8", "backslashreplace")


def _documents(history: History) -> Iterator[tuple[Version, Document | None]]:
    """Yield every version with its content; None if it is damaged."""
    texts = history.texts()
    id_, text = next(texts, ("", ""))
    for version in history.versions():
        document = None
        if id_ == version.id:
            found = load(text)
            document = found if version_id(found) == version.id else None
            id_, text = next(texts, ("", ""))
        yield version, document


def _json_lines(
    documents: Iterator[tuple[Version, Document | None]], figures: Mapping[str, VersionFigures]
) -> Iterator[str]:
    for version, document in documents:
        known = figures.get(version.id, VersionFigures())
        prompt: Json = None if document is None else redact_value(json.loads(dump(document)), None)
        line: dict[str, Json] = {
            "version": version.number,
            "id": version.id,
            "created_utc": _utc(version.at),
            "reason": version.reason,
            "summary": masked_text(version.summary),
            "label": masked_text(version.label),
            "note": masked_text(version.note),
            "run_ids": list(version.run_ids),
            "requests": known.requests,
            "cached_share": known.cached,
            "input_cost_per_1000": known.per_thousand,
            "prompt": prompt,
        }
        yield json.dumps(line, ensure_ascii=True) + "\n"


def _markdown(
    documents: Iterator[tuple[Version, Document | None]], figures: Mapping[str, VersionFigures], name: str
) -> Iterator[str]:
    yield f"# Versions of {_line(name)}\n"
    before: Document | None = None
    for version, document in documents:
        known = figures.get(version.id, VersionFigures())
        yield f"\n## Version {version.number}: {_line(version.title)}\n\n"
        yield f"{_utc(version.at)}, {version.reason}, {counted(known.requests, 'request')}, "
        yield f"{percent(known.cached)} cached, {dollars(known.per_thousand)} per 1,000 requests (input). "
        yield f"Id `{version.id}`.\n"
        if version.note:
            yield f"\n{_fenced(version.note)}\n"
        if document is None:
            yield "\nThis version is damaged.\n"
            continue
        yield f"\n{_fenced(_difference(before, document), 'diff' if before is not None else '')}\n"
        before = document


def _difference(before: Document | None, document: Document) -> str:
    """Return the lines that changed; of the first version, its messages."""
    if before is None:
        lines = [f"{message.role}: {message.content or ''}" for message in document.messages]
    else:
        lines = [f"{_SIGNS[row.sign]}{row.text}" for row in changes(before, document)] or ["No text changed"]
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES:,} more lines"]
    return "\n".join(lines)


def _utc(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _line(text: str) -> str:
    return markdown_line(masked_text(visible_line(text)))


def _fenced(text: str, language: str = "") -> str:
    return fenced(masked_text(visible(text)), language)


TIMEOUT_S = 5.0
MAX_COMMITS = 500
# The repository is untrusted. Its configuration must not start a program: no hook, fsmonitor, pager, textconv, external
# diff, signature check or fetch. Only `log` and `cat-file` are used, which read objects and never the index.
_OPTIONS = (
    *("--no-optional-locks", "--no-pager", "--no-replace-objects", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", "-c", "log.showSignature=false"),
    *("-c", "diff.external=", "-c", "core.pager=cat", "-c", "protocol.allow=never", "-c", "log.mailmap=false"),
)
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Commit(Struct, frozen=True):
    """One commit that changed the file. `at`: Unix seconds."""

    id: str
    at: float
    subject: str


def commits(file: Path) -> list[Commit]:
    """Return the commits of a file, newest first. Empty without Git, outside a repository, or after TIMEOUT_S."""
    out = _git(file, "log", f"--max-count={MAX_COMMITS}", "-z", "--format=%H%x1f%ct%x1f%s", "--", file.name)
    found = []
    for entry in (out or b"").decode("utf-8", "replace").split("\0"):
        parts = entry.strip("\n").split("\x1f", 2)
        if len(parts) == 3 and _HASH.fullmatch(parts[0]) and parts[1].isdigit():
            found.append(Commit(parts[0], float(parts[1]), parts[2][:200]))
    return found


def opened_commit(file: Path, commit: str) -> OpenedPrompt | None:
    """Return the prompt in a commit; None if the commit does not have the file. Raises InputError for other content."""
    if not _HASH.fullmatch(commit):
        return None
    size = _git(file, "cat-file", "-s", f"{commit}:./{file.name}")
    if size is None or not size.strip().isdigit() or int(size) > MAX_FILE_BYTES:
        return None
    data = _git(file, "cat-file", "blob", f"{commit}:./{file.name}")
    return None if data is None else open_any_bytes(data, file.name)


def _git(file: Path, *arguments: str) -> bytes | None:
    """Return the output of a Git command in the folder of `file`; None if it fails."""
    # An absolute path: on Windows a name alone would also be looked up in the current folder.
    program = shutil.which("git", path=os.environ.get("PATH", os.defpath))
    folder = Path(os.path.realpath(file.parent))
    if program is None or not Path(program).is_absolute() or folder in Path(program).parents:
        return None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            [program, *_OPTIONS, "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout if done.returncode == 0 else None


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
            append_whole(handle, data)
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

    async def compare(
        self, old: Document, new: Document, look: Callable[[Document], PromptForecast]
    ) -> VersionComparison:
        """Compare two versions in a worker."""
        return await asyncio.to_thread(compare, old, new, look)

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
