"""What people and models wrote, treated as the person who hands it on has chosen."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from playground.prompt.document import Json

Contents = Literal["included", "hashed", "left out"]
CHOICES: tuple[Contents, ...] = get_args(Contents)
"""included: as it was · hashed: a hash and a length stand for each text · left out: only a length does."""

_TEXTS = frozenset(
    ("content", "arguments", "description", "name", "user", "stop", "text", "title", "default", "enum", "const")
)
"""Fields whose text is the user's own, or the model's."""
_NAMED = frozenset(("properties", "$defs", "definitions", "patternProperties", "logit_bias"))
"""Objects whose names are the user's own."""


class Outline:
    """Treats one text after another, and counts what it took out."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._texts = self._characters = self._errors = 0

    @property
    def note(self) -> str:
        """What stands in place of contents, for the reader."""
        return {
            "included": "Contents are included.",
            "hashed": "Contents are left out: `sha256` is the start of each text's hash, `chars` its length.",
            "left out": "Contents are left out: `chars` is the length of each text.",
        }[self._contents]

    def of(self, value: Json, field: str = "") -> Json:
        """A value with its shape, and what was chosen where its texts were."""
        if self._contents == "included":
            return value
        if isinstance(value, dict):
            named = field in _NAMED
            return {
                self._name(name) if named else name: self.of(item, "schema" if named else name)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.of(item, "name" if field == "required" else field) for item in value]
        if isinstance(value, str) and field in _TEXTS:
            return self._text(value)
        return value

    def _name(self, name: str) -> str:
        self._count(name)
        return f"sha256:{_digest(name)}" if self._contents == "hashed" else f"name {self._texts}"

    def _text(self, text: str) -> Json:
        self._count(text)
        fields: dict[str, Json] = {"chars": len(text)}
        return {"sha256": _digest(text), **fields} if self._contents == "hashed" else fields

    def _count(self, text: str) -> None:
        self._texts += 1
        self._characters += len(text)

    def error(self, body: str) -> str:
        """An error's body: as it came. It is the server's own, and what support needs most."""
        self._errors += 1
        return body

    def taken_out(self) -> list[str]:
        """A line for each kind of thing that is not in it, or that the reader should know is."""
        lines = ["The API key: it is never kept; anything that looks like one is masked."]
        if self._contents != "included":
            lines.append(
                f"{self._texts:,} texts of {self._characters:,} characters: messages, tool definitions, arguments, "
                "the completion."
            )
        if self._errors:
            lines.append("Nothing of the error's body: it is the server's own text, and may quote the prompt.")
        return lines


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
