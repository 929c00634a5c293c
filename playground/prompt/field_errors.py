"""Input errors as values: the field, the error, the remedy."""

from __future__ import annotations

from msgspec import Struct

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


class UnwritableOutputError(InputError):
    """An output that cannot be written. Commands end with status 1, not with the 2 of invalid input."""
