"""Files of the version histories: one per prompt, appended to, read within bounds. Blocking: call in a worker."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from playground.prompt.document import Document
from playground.prompt.files import load
from playground.prompt.json_bounds import MAX_BYTES
from playground.storage.json_file import read_regular
from playground.storage.paths import write_private
from playground.versions.comparison import summary
from playground.versions.history import (
    MAX_LABEL_CHARS,
    MAX_NOTE_CHARS,
    History,
    Named,
    Reason,
    Record,
    SentVersion,
    encode_record,
    version_id,
)

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
