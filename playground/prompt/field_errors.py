"""Input errors as values: the field, the error, the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

from msgspec import Struct

T = TypeVar("T")
Path = tuple[str | int, ...]


class FieldError(Struct, frozen=True):
    """One error in the user's input.

    `path` names the field as the server's own `details.path` does, e.g. ("messages", 3, "role").
    `offset` is a position in that field's text, in code points, or None.
    """

    path: Path
    message: str
    hint: str = ""
    offset: int | None = None

    @property
    def field(self) -> str:
        """The path as text: messages[3].role."""
        text = ""
        for step in self.path:
            text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
        return text

    def __str__(self) -> str:
        head = f"{self.field}: {self.message}" if self.path else self.message
        return f"{head} {self.hint}" if self.hint else head


class InputError(ValueError):
    """Invalid input. Carries every error found."""

    def __init__(self, *problems: FieldError) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    @classmethod
    def of(cls, path: Path, message: str, hint: str = "", offset: int | None = None) -> Self:
        """Return an InputError with one FieldError."""
        return cls(FieldError(path, message, hint, offset))


class UnwritableOutputError(InputError):
    """An output that cannot be written. Commands end with status 1, not with the 2 of invalid input."""


@contextmanager
def writing_to(option: str, name: object) -> Iterator[None]:
    """Raise the OSError of a file that is written, which an option names, as UnwritableOutputError."""
    try:
        yield
    except OSError as error:
        message = f"{name} cannot be written: {error.strerror or error}."
        raise UnwritableOutputError(FieldError((option,), message)) from None


class FieldReader:
    """Reads fields of JSON and collects the errors, so that the user sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[FieldError] = []

    def wrong(self, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(FieldError(path, message, hint))

    def check(self) -> None:
        """Raise InputError if there were errors."""
        if self.problems:
            raise InputError(*self.problems)

    def text(self, value: Any, path: Path) -> str:
        """Return a text; for any other value an empty one, and note the error."""
        return self._of_kind(value, path, "", "text")

    def flag(self, value: Any, path: Path) -> bool:
        """Return true or false, and note an error for any other value."""
        return self._of_kind(value, path, False, "true or false")

    def items(self, value: Any, path: Path) -> list[Any]:
        """Return a list; for any other value an empty one, and note the error."""
        return self._of_kind(value, path, [], "a list")

    def mapping(self, value: Any, path: Path) -> dict[str, Any]:
        """Return an object; for any other value an empty one, and note the error."""
        return self._of_kind(value, path, {}, "an object")

    def _of_kind(self, value: Any, path: Path, empty: T, kind: str) -> T:
        if isinstance(value, type(empty)):
            return value
        self.wrong(path, f"should be {kind}, but is {_kind(value)}.")
        return empty


def _kind(value: object) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")
