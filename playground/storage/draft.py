"""The draft: typed text is on disk shortly after, and restored after a crash. Each window has a separate slot."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import PROMPT_FORMAT, FileFormat, dump, load
from playground.storage.json_file import JsonFile
from playground.storage.paths import advised
from playground.tasks import Subscribers

if TYPE_CHECKING:
    from playground.tasks import Tasks


MAX_SLOTS = 64


class _Lock(Protocol):
    def release(self) -> object: ...


class Slot(Struct):
    """A held slot. Only its window writes `path`."""

    path: Path
    _lock: _Lock | None

    def release(self) -> None:
        """Give the slot back, marked as closed in order."""
        if self._lock is not None:
            with suppress(OSError):
                _open_mark(self.path).unlink()
            self._lock.release()
            self._lock = None


def take(folder: Path) -> Slot:
    """Take a slot of `folder` that no running window holds.

    The slot of a crashed window first, then the slot that was written last, then a new one: the draft is what the user
    worked on last. Raises InputError if all slots are in use, OSError if the folder cannot be written.
    """
    free = _free(folder)
    if not free:
        raise InputError.of(
            (), f"there are {MAX_SLOTS} windows on this data folder.", "Close one, or give another --data-dir."
        )
    path, lock = max(free, key=lambda slot: _rank(slot[0]))
    for _, other in free:
        if other is not lock:
            other.release()
    try:
        _open_mark(path).touch(mode=0o600)
    except OSError:
        lock.release()
        raise
    return Slot(path, lock)


def _open_mark(path: Path) -> Path:
    """Return the file that exists while a window is open: after a crash it is still there."""
    return path.with_suffix(".open")


def _free(folder: Path) -> list[tuple[Path, _Lock]]:
    """Return the free slots, each locked now, or one new slot."""
    free: list[tuple[Path, _Lock]] = []
    for path in _paths(folder):
        lock_path = path.with_suffix(".lock")
        if free and not lock_path.exists() and not path.exists():
            break
        lock = _locked(lock_path)
        if lock is not None:
            free.append((path, lock))
    return free


def _paths(folder: Path) -> Iterator[Path]:
    yield folder / "draft.json"
    for number in range(2, MAX_SLOTS + 1):
        yield folder / f"draft-{number}.json"


def _locked(path: Path) -> _Lock | None:
    """Return the lock, or None if another window holds it or the file cannot be used as a lock."""
    if not path.parent.is_dir():
        raise FileNotFoundError(None, "The data folder was deleted")
    try:
        return _lock(path)
    except (PermissionError, IsADirectoryError):
        return None  # another user's, or a folder in its place
    except OSError:
        if path.is_symlink():
            return None  # links are not followed
        raise


if sys.platform == "win32":

    def _lock(path: Path) -> _Lock | None:
        from filelock import Timeout

        from playground.storage.file_lock import acquired

        try:
            return acquired(path)
        except Timeout:
            return None

else:
    # The same lock as filelock's, whose import takes a tenth of the time to the first frame.
    import fcntl

    class _Flock:
        def __init__(self, handle: int) -> None:
            self._handle = handle

        def release(self) -> None:
            os.close(self._handle)

    def _lock(path: Path) -> _Lock | None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:
            os.close(handle)
            raise
        return _Flock(handle)


def _rank(path: Path) -> tuple[bool, float]:
    try:
        written_unix = path.stat().st_mtime
    except OSError:
        return False, 0.0
    return _open_mark(path).exists(), written_unix


DELAY_S = 0.25
"""Longest time that typed text is in memory only, in addition to the write itself."""


class DraftState(Struct, frozen=True):
    """The prompt in the editor.

    `file` is the path that it was opened from or saved to, `format` the format of that file, and `saved` the saved
    document, as a prompt file's text. `others` are the prompts in other tabs; this one is at `place` among them.
    """

    document: Document
    file: str | None = None
    saved: str = ""
    format: FileFormat = PROMPT_FORMAT
    others: tuple[DraftState, ...] = ()
    place: int = 0


_MOST_ROWS = 64
"""Number of tabs whose rows are cached."""


class Draft:
    """The draft of one window. Two windows on one folder get two slots; the slot of a closed window is used again.

    If no slot can be taken (a full disk, 64 windows) the window works without a draft on disk, and `notice` says so.
    `notice` is a sentence if the draft was damaged or cannot be written, otherwise empty; `on_notice` is called with
    it when a write fails, once until a write succeeds again.
    """

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        self._tasks = tasks
        self._slot: Slot | None = None
        self._file: JsonFile | None = None
        self._writing = threading.Lock()
        self._newest: DraftState | None = None
        self._written: DraftState | None = None
        self._waiting = False
        self.on_notice: Subscribers[[str]] = Subscribers()
        self.notice = ""
        self._error = ""
        self._rows: dict[tuple[int, int], tuple[DraftState, dict[str, Json]]] = {}
        try:
            self._slot = take(folder)
        except InputError as error:
            self.notice = f"What is typed is not saved as a draft: {error.problems[0]}"
        except OSError as error:
            advice = advised(error, "Save prompts to files elsewhere.")
            self.notice = f"What is typed is not saved as a draft: {error.strerror or error}. {advice}"
        else:
            self._remove_temporary_files(self._slot.path)
            self._file = JsonFile(self._slot.path, "The draft", recover=_recovered)

    def _remove_temporary_files(self, path: Path) -> None:
        for temporary in path.parent.glob(f".{path.name}.*"):
            with suppress(OSError):
                temporary.unlink()

    def load(self) -> DraftState | None:
        """Return the saved draft, or None. A damaged draft is set aside, and `notice` says so."""
        if self._file is None:
            return None
        state = self._file.read(_state)
        self.notice = self._file.notice
        return state

    def note(self, state: DraftState) -> None:
        """Save this state within DELAY_S and the duration of a write."""
        self._newest = state
        if not self._waiting:
            self._waiting = True
            self._tasks.start(self._write_soon(), "save the draft")

    async def _write_soon(self) -> None:
        try:
            await asyncio.sleep(DELAY_S)
        finally:
            self._waiting = False
        await self.flush()

    async def flush(self) -> None:
        """Write everything noted so far, in a thread. Reports errors through `on_notice`; never raises."""
        self._report(await asyncio.to_thread(self._write_newest))

    def _write_newest(self) -> str:
        """Return why the write failed, as a sentence, or an empty text."""
        # One writer at a time, always with the newest state: a slow write cannot replace a newer one.
        with self._writing:
            state = self._newest
            if state is None or state is self._written or self._file is None:
                return ""
            row = _row(state)
            row.update(others=[self._row_of(other) for other in state.others], place=state.place)
            try:
                self._file.write(row)
            except OSError as error:
                advice = advised(error, "Save the prompt to a file elsewhere.")
                return f"The draft cannot be saved: {error.strerror or error}. {advice}"
            self._written = state
            return ""

    def _row_of(self, state: DraftState) -> dict[str, Json]:
        """Return the row of another tab. Cached, so that a write converts only the text that is being edited."""
        key = (id(state.document), id(state.saved))
        kept = self._rows.get(key)
        if kept is None or kept[0].document is not state.document or kept[0].file != state.file:
            if len(self._rows) > _MOST_ROWS:
                self._rows.clear()
            self._rows[key] = kept = (state, _row(state))
        return kept[1]

    def _report(self, error: str) -> None:
        new, self._error = error != self._error, error
        if error and new:
            self.notice = error
            self.on_notice(error)

    @property
    def is_deleted(self) -> bool:
        """Whether the slot's lock file is gone: the data folder was deleted. Reads the disk."""
        return self._slot is not None and not self._slot.path.with_suffix(".lock").exists()

    def restore(self) -> None:
        """Create the deleted data folder again, take a slot there and write the draft. Reports through `on_notice`."""
        slot = self._slot
        if slot is None:
            return
        with self._writing:
            slot.release()
            try:
                slot.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._slot = take(slot.path.parent)
            except (InputError, OSError):
                self._slot = self._file = None
                return
            self._file, self._written = JsonFile(self._slot.path, "The draft", recover=_recovered), None
        self._error = self._write_newest()

    def close(self) -> None:
        """Give the slot back. Flush first: unwritten states are lost."""
        if self._slot is not None:
            self._slot.release()


def _row(state: DraftState) -> dict[str, Json]:
    """Return the prompt of one tab as its file has it."""
    row: dict[str, Json] = msgspec.to_builtins(
        _StoredDraft(dump(state.document), state.file, state.saved, state.format)
    )
    return row


def _recovered(data: bytes) -> Json:
    """Return a draft with the prompts that can be read in a damaged one. Raises IndexError if there are none."""
    from playground.storage.damaged_files import prompts  # rarely needed

    rows: list[dict[str, Json]] = [{"document": text, "file": None, "saved": ""} for text in prompts(data)]
    return {**rows[0], "others": [*rows[1:]]}


class _StoredDraft(Struct):
    """A draft as its file has it: the prompt of the selected tab, and those of the `others`."""

    document: str
    file: str | None
    saved: str
    format: FileFormat | None = None
    others: list[_StoredDraft] = []
    place: int = 0


def _state(value: Json) -> DraftState:
    """Return the state in a draft file's value. Raises ValueError if it has another shape."""
    return _loaded(msgspec.convert(value, _StoredDraft))


def _loaded(draft: _StoredDraft) -> DraftState:
    others = tuple(map(_loaded, draft.others))
    place = max(0, min(draft.place, len(others)))
    return DraftState(load(draft.document), draft.file, draft.saved, draft.format or PROMPT_FORMAT, others, place)
