"""The draft: what is typed, on disk shortly after, and back after a crash. Each window has a slot of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from playground.folders import set_aside, write_private
from playground.prompt.document import Document
from playground.prompt.files import dump, load
from playground.prompt.problems import BadInput

if TYPE_CHECKING:
    from playground.tasks import Tasks

DELAY_S = 0.25
"""How long what was typed may be only in memory, besides the write itself."""
MAX_SLOTS = 64


@dataclass(frozen=True, slots=True)
class DraftState:
    """The prompt in hand. `file` is the path it was opened from or saved to; `saved` what that file holds."""

    document: Document
    file: str | None = None
    saved: str = ""


class Draft:
    """One window's draft. Two windows on one folder get two slots; a slot whose window is gone is taken up again."""

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        self._tasks = tasks
        self.notice = ""
        self._lock, self._path = _own_slot(folder)
        self._newest: DraftState | None = None
        self._writing: asyncio.Task[None] | None = None

    def load(self) -> DraftState | None:
        """The draft as it was kept; None where there is none. A damaged one is set aside, and `notice` says so."""
        try:
            row = json.loads(self._path.read_bytes())
            return DraftState(load(row["document"]), row["file"], row["saved"])
        except FileNotFoundError:
            return None
        except OSError as error:
            self.notice = f"The draft cannot be read: {error.strerror or error}."
        except (ValueError, KeyError, TypeError, BadInput):
            self.notice = f"The draft was damaged; it is kept as {set_aside(self._path).name}."
        return None

    def note(self, state: DraftState) -> None:
        """Keep this; on disk within DELAY_S and the time that a write takes."""
        self._newest = state
        if self._writing is None:
            self._writing = self._tasks.start(self._write_soon(), "keep the draft")

    async def _write_soon(self) -> None:
        try:
            await asyncio.sleep(DELAY_S)
        finally:
            self._writing = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is not on disk yet, off the event loop."""
        state, self._newest = self._newest, None
        if state is None:
            return
        try:
            await asyncio.to_thread(self._write, state)
        except OSError as error:
            self.notice = f"The draft cannot be kept: {error.strerror or error}."

    def _write(self, state: DraftState) -> None:
        row = {"document": dump(state.document), "file": state.file, "saved": state.saved}
        write_private(self._path, json.dumps(row, ensure_ascii=True).encode())

    def close(self) -> None:
        """Give the slot back."""
        self._lock.close()


def _own_slot(folder: Path) -> tuple[BinaryIO, Path]:
    """The first slot that no living window holds. The lock ends with the process, however that ends."""
    for path in _slots(folder):
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        file = os.fdopen(handle, "r+b")
        if _locked(file):
            return file, path
        file.close()
    raise BadInput()


def _slots(folder: Path) -> Iterator[Path]:
    yield folder / "draft.json"
    for number in range(2, MAX_SLOTS):
        yield folder / f"draft-{number}.json"


def _locked(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ModuleNotFoundError:
        return _locked_on_windows(file)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _locked_on_windows(file: BinaryIO) -> bool:
    import msvcrt

    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True
