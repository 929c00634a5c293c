"""Contents of exports: included, hashed or left out, as the user chooses."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator
from typing import Literal, cast, get_args

import msgspec

from playground.client.events import ApiError
from playground.prompt.document import Json
from playground.runs.metrics import counted

Contents = Literal["included", "hashed", "left out"]
CHOICES: tuple[Contents, ...] = get_args(Contents)
"""included: unchanged · hashed: a keyed hash and a length replace each text · left out: only a length does."""

_KEPT = frozenset(
    (
        *("role", "type", "model", "tool_choice", "format", "tool_call_id", "id", "object", "reasoning_effort"),
        *("event", "reason", "finish_reason", "request_id", "content_type", "headers", "kind", "error_type"),
    )
)
"""Fields with protocol values. Every other text is content of the user or the model."""
_SHAPES = frozenset(
    (
        *(
            "",
            "messages",
            "further_choices",
            "message",
            "content",
            "image_url",
            "input_audio",
            "file",
            "tool_calls",
            "function",
            "tools",
            "tool_choice",
        ),
        *("response_format", "json_schema", "stream_options", "usage", "parameters", "schema", "items", "prefixItems"),
        *("additionalProperties", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "contains", "propertyNames"),
    )
)
"""Fields whose objects have member names of the protocol or of JSON Schema."""
_NAMED = frozenset(("properties", "$defs", "definitions", "patternProperties", "dependentSchemas"))
"""Objects of schemas whose member names are the user's."""
_VALUES = frozenset(("default", "enum", "const", "examples", "example"))
"""Fields of a schema whose numbers are the user's too."""
_SERVERS_WORDS = frozenset(("http", "stream_error"))
"""Kinds of errors whose body is the server's error. The body of other kinds may contain a part of the completion."""
LEAST_QUOTED = 6
"""Minimum length of a request text that is searched in an error; shorter ones are common words."""


LEAST_QUOTATION = 12
"""Minimum length of a part of a request or completion that is replaced in an error."""
_WINDOW = 6
"""Length of the pieces of the contents that are searched: each quotation has a whole one."""


class Outline:
    """Includes, hashes or removes texts, and counts the replaced ones.

    Hashes have a random key that is not stored: equal texts of one outline have equal hashes, and no text can be
    guessed from its hash.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._key = secrets.token_bytes(32)
        self._texts = self._characters = self._errors = 0
        self._seen: set[str] = set()

    @property
    def note(self) -> str:
        """Return the explanation of replaced contents for the reader."""
        return {
            "included": "Contents are included.",
            "hashed": "Contents are left out: `hash` is equal for equal texts of this file, `chars` is the length.",
            "left out": "Contents are left out: `chars` is the length of each text.",
        }[self._contents]

    def of(self, value: Json, field: str = "") -> Json:
        """Return a value of the same shape, with its texts replaced as chosen."""
        if self._contents == "included":
            return value
        if isinstance(value, dict):
            return self._object(value, field)
        if isinstance(value, list):
            return [self.of(item, "name" if field == "required" else field) for item in value]
        if isinstance(value, str):
            return value if field in _KEPT else self._text(value)
        return self._text(json.dumps(value)) if field in _VALUES else value

    def _object(self, value: dict[str, Json], field: str) -> Json:
        if field in _NAMED:
            return {self._name(name): self.of(item, "schema") for name, item in value.items()}
        if field in _SHAPES:
            return {name: self.of(item, name) for name, item in value.items()}
        return {self._name(name): self.of(item, "default") for name, item in value.items()}

    def _name(self, name: str) -> str:
        self._count(name)
        return f"hash:{self._digest(name)}" if self._contents == "hashed" else f"name {self._texts}"

    def _text(self, text: str) -> Json:
        self._count(text)
        fields: dict[str, Json] = {"chars": len(text)}
        return {"hash": self._digest(text), **fields} if self._contents == "hashed" else fields

    def _digest(self, text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8).hexdigest()

    def _count(self, text: str) -> None:
        self._texts += 1
        self._characters += len(text)
        self._seen.update(line.strip() for line in (text, *text.splitlines()))

    def error_texts(self, error: ApiError) -> tuple[str, str]:
        """Return an error's detail and body. The server's message stays, since support needs it; texts that it repeats
        from calls of `of` are replaced. Of a broken answer only the length stays.
        """
        detail, body = error.detail, error.body
        if self._contents == "included" or not (detail or body):
            return detail, body
        if error.kind in _SERVERS_WORDS:
            self._errors += 1
            return self.unquoted(detail), self.unquoted(body)
        if body:
            self._count(body)
            body = f"({len(body):,} characters of the answer)"
        return self.unquoted(detail), body

    def api_error(self, error: ApiError) -> Json:
        """Return the error with all fields redacted like its texts."""
        if self._contents == "included":
            return cast("Json", msgspec.to_builtins(error))
        detail, body = self.error_texts(error)
        # The envelope's details are in the body too.
        shown = msgspec.structs.replace(error, title=self.unquoted(error.title), detail=detail, body=body, details=())
        return cast("Json", msgspec.to_builtins(shown))

    def unquoted(self, text: str) -> str:
        """Return a server's text without the parts that it repeats from replaced texts."""
        if self._contents == "included":
            return text
        for quoted in sorted(self._seen, key=len, reverse=True):
            if len(quoted) < LEAST_QUOTED:
                break
            for form in (quoted, *_escaped(quoted)):
                text = text.replace(form, _left_out(len(quoted)))
        return self._without_quotations(text)

    def _without_quotations(self, text: str) -> str:
        """Replace each part of LEAST_QUOTATION or more characters that also occurs in a replaced text."""
        contents = "\0".join(form for seen in self._seen for form in (seen, *_escaped(seen)) if len(form) >= _WINDOW)
        windows = {contents[at : at + _WINDOW]: at for at in range(0, len(contents) - _WINDOW + 1, _WINDOW)}
        parts, at, done = [], 0, 0
        while at + _WINDOW <= len(text):
            place = windows.get(text[at : at + _WINDOW])
            if place is None:
                at += 1
                continue
            start, end, behind = at, at + _WINDOW, place + _WINDOW
            while start > done and place and text[start - 1] == contents[place - 1] != "\0":
                start, place = start - 1, place - 1
            while end < len(text) and behind < len(contents) and text[end] == contents[behind] != "\0":
                end, behind = end + 1, behind + 1
            if end - start >= LEAST_QUOTATION:
                parts += [text[done:start], _left_out(end - start)]
                done = end
            at = max(end, at + 1)
        return "".join((*parts, text[done:]))

    def taken_out(self) -> list[str]:
        """Return one line per kind of removed content, and per kind of content that the reader should know about."""
        lines = ["The API key: it is never kept; anything that looks like one is masked."]
        if self._contents != "included":
            lines.append(
                f"{counted(self._texts, 'text')} of {self._characters:,} characters: messages, tool definitions, "
                "arguments, the completion."
            )
        if self._errors:
            lines.append(
                "The parts of the server's error that repeat the request word for word; the rest is unchanged."
            )
        return lines


def _left_out(characters: int) -> str:
    return f"[{characters:,} characters of the request]"


def _escaped(text: str) -> Iterator[str]:
    """Yield the escaped forms of a text in JSON errors and Python errors, also in JSON that is quoted in JSON."""
    once = json.dumps(text)[1:-1]
    yield once
    yield json.dumps(once)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
