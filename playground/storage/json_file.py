"""A JSON file of ours: read without trusting it, set aside where it is damaged, never overwritten unread."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from playground.prompt.document import Json
from playground.storage.paths import set_aside, write_private

T = TypeVar("T")

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What JSON and a reader raise over a file that is not what it should be; BadInput is a ValueError."""


class JsonFile:
    """One JSON file. `what` names it at the head of a sentence ("The settings file")."""

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what
        self._unreadable: OSError | None = None
        self.notice = ""
        """What was wrong when it was last read, in a sentence; empty where nothing was."""

    def read(self, reader: Callable[[Json], T]) -> T | None:
        """What `reader` makes of the file's value; None where there is no file or `notice` says what is wrong."""
        self._unreadable = None
        try:
            return reader(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except OSError as error:
            self._unreadable = error
            self.notice = f"{self._what} cannot be read: {error.strerror or error}. It is left as it is."
        except _DAMAGE:
            self.notice = self._aside()
        return None

    def _aside(self) -> str:
        try:
            return f"{self._what} was damaged; it is kept as {set_aside(self._path).name}."
        except OSError as error:
            self._unreadable = error
            return f"{self._what} is damaged and cannot be renamed: {error.strerror or error}. It is left as it is."

    def write(self, value: Json) -> None:
        """Replace the file. Raises OSError, also where what is there could not be read: it is not ours to drop."""
        if self._unreadable is not None:
            raise self._unreadable
        # Escaped throughout: a lone surrogate (a file name that is not UTF-8) survives.
        write_private(self._path, json.dumps(value, indent=1).encode())
