"""The draft: what is typed, on disk shortly after, and back after a crash. Each window has a slot of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from playground.prompt.document import Document, Json
from playground.prompt.files import dump, load
from playground.storage.json_file import JsonFile
from playground.storage.window_slot import take

if TYPE_CHECKING:
    from playground.tasks import Tasks

DELAY_S = 0.25
"""How long what was typed may be only in memory, besides the write itself."""


@dataclass(frozen=True, slots=True)
class DraftState:
    """The prompt in hand. `file` is the path it was opened from or saved to; `saved` what that file holds."""

    document: Document
    file: str | None = None
    saved: str = ""


class Draft:
    """One window's draft. Two windows on one folder get two slots; a slot whose window is gone is taken up again.

    `notice` is a sentence where the draft was damaged or could not be kept, else empty; `on_trouble` is called with
    one when a write fails, once until a write succeeds again.
    """

    def __init__(self, folder: Path, tasks: Tasks) -> None:
        """Raises InputError where too many windows are open on the folder, OSError where it cannot be written."""
        self._tasks = tasks
        self._slot = take(folder)
        self._sweep()
        self._file = JsonFile(self._slot.path, "The draft")
        self._writing = threading.Lock()
        self._newest: DraftState | None = None
        self._written: DraftState | None = None
        self._waiting = False
        self.on_trouble: Callable[[str], None] = lambda _sentence: None
        self.notice = ""
        self._trouble = ""

    def _sweep(self) -> None:
        """Remove what a write left that the crashed window of this slot was at."""
        path = self._slot.path
        for left in path.parent.glob(f".{path.name}.*"):
            with suppress(OSError):
                left.unlink()

    @property
    def owned(self) -> bool:
        """Whether no other window was open on the folder when this one opened."""
        return self._slot.alone

    def load(self) -> DraftState | None:
        """The draft as it was kept; None where there is none. A damaged one is set aside, and `notice` says so."""
        state = self._file.read(_state)
        self.notice = self._file.notice
        return state

    def note(self, state: DraftState) -> None:
        """Keep this; on disk within DELAY_S and the time that a write takes."""
        self._newest = state
        if not self._waiting:
            self._waiting = True
            self._tasks.start(self._write_soon(), "keep the draft")

    async def _write_soon(self) -> None:
        try:
            await asyncio.sleep(DELAY_S)
        finally:
            self._waiting = False
        await self.flush()

    async def flush(self) -> None:
        """Have everything noted on disk when it returns. Writes off the event loop; trouble is told, not raised."""
        self._tell(await asyncio.to_thread(self._write_newest))

    def flush_now(self) -> None:
        """As `flush`, at once and on this thread: for an end that cannot wait for the event loop."""
        self._tell(self._write_newest())

    def _write_newest(self) -> str:
        """Returns what went wrong in a sentence, or nothing."""
        # One writer at a time, each the newest state: a slow write cannot put an older one over it.
        with self._writing:
            state = self._newest
            if state is None or state is self._written:
                return ""
            row: dict[str, Json] = {"document": dump(state.document), "file": state.file, "saved": state.saved}
            try:
                self._file.write(row)
            except OSError as error:
                return f"The draft cannot be kept: {error.strerror or error}. Save the prompt to a file elsewhere."
            self._written = state
            return ""

    def _tell(self, trouble: str) -> None:
        new, self._trouble = trouble != self._trouble, trouble
        if trouble and new:
            self.notice = trouble
            self.on_trouble(trouble)

    def close(self) -> None:
        """Give the slot back. What is noted and not flushed is lost: flush first."""
        self._slot.release()


def _state(row: Json) -> DraftState:
    if not isinstance(row, dict):
        raise TypeError("a draft is a table")
    document, file, saved = row["document"], row["file"], row["saved"]
    if not (isinstance(document, str) and isinstance(saved, str) and (file is None or isinstance(file, str))):
        raise TypeError("a draft is text, and the name of a file")
    return DraftState(load(document), file, saved)
