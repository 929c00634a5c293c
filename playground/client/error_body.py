"""An error body, taken apart: Electron's envelope, OpenAI's, FastAPI's, two flat shapes, plain text and HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape

from playground.client import tolerant_json
from playground.prompt.field_errors import FieldError, Path

_NUMBER = r"(\d[\d,_]*)"
_LIMIT = (
    rf"maximum context length (?:is|of) {_NUMBER}",
    rf"maximum model length (?:is|of) {_NUMBER}",
    rf"context (?:size|length|window)(?: is| of)? \(?{_NUMBER}",
    rf"(?:are|is) more than {_NUMBER}",
    rf"> {_NUMBER} (?:tokens )?maximum",
)
_WANTED = (
    rf"total of (?:at least )?{_NUMBER} tokens",
    rf"you requested (?:about )?{_NUMBER} tokens",
    rf"resulted in {_NUMBER} tokens",
    rf"prompt is too long: {_NUMBER} tokens",
    rf"\(length {_NUMBER}\)",
    rf"request \({_NUMBER} tokens\)",
    rf"has {_NUMBER} input tokens",
)
_IN_TWO = (
    rf"{_NUMBER} prompt tokens and max_tokens {_NUMBER}",
    rf"'?max_(?:completion_)?tokens'?[^.]*?: {_NUMBER}\..*?has {_NUMBER} input tokens",
)


@dataclass(frozen=True, slots=True)
class TooLong:
    """Tokens as the server counted them; each is None where its message does not say."""

    limit: int | None
    wanted: int | None

    @property
    def over(self) -> int | None:
        """By how many tokens it is too long; None where that is not known."""
        if self.limit is None or self.wanted is None or self.wanted <= self.limit:
            return None
        return self.wanted - self.limit


def too_long(message: str) -> TooLong | None:
    """What a refusal says of the context's length; None where it is about something else."""
    text = " ".join(message.split())
    limit = _first(_LIMIT, text)
    wanted = _both(text) or _first(_WANTED, text)
    return None if limit is None else TooLong(limit, wanted)


def _first(patterns: tuple[str, ...], text: str) -> int | None:
    found = next((match for pattern in patterns if (match := re.search(pattern, text, re.IGNORECASE))), None)
    return _number(found.group(1)) if found else None


def _both(text: str) -> int | None:
    found = next((match for pattern in _IN_TWO if (match := re.search(pattern, text, re.IGNORECASE))), None)
    return _number(found.group(1)) + _number(found.group(2)) if found else None


def _number(text: str) -> int:
    return int(text.replace(",", "").replace("_", ""))


MOST_SHOWN = 400
"""Characters of a body that has no message of its own."""
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_HTML = re.compile(r"\s*<(!doctype\s+html|html|head|body|title|h1|center)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What an error body says. `details` as they came; `message` is what a person can read, "" for an empty body."""

    message: str
    type: str | None = None
    details: tuple[dict[str, object], ...] = ()
    request_id: str | None = None
    param: str | None = None

    @property
    def names_a_field(self) -> bool:
        """Whether the body says which field of the request is at fault."""
        return bool(self.param) or any(path_of(item) for item in self.details)

    @property
    def lines(self) -> list[str]:
        """The message, then a line for each detail: messages[3].role: what is wrong."""
        head = f"{self.param}: {self.message}" if self.param and self.param not in self.message else self.message
        return [line for line in (head, *(_line(item) for item in self.details)) if line]


def parse(body: str) -> Envelope:
    """Take a body apart. Raises nothing: what has no shape that is known is its own message."""
    try:
        value = tolerant_json.loads(body)
    except ValueError:
        return Envelope(_plain(body))
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return Envelope(_plain(body))
    error = value.get("error", value)
    envelope = _of_object(error) if isinstance(error, dict) else _flat(value, error)
    if envelope.message or envelope.details:
        return envelope
    return Envelope(_plain(body), envelope.type, (), envelope.request_id)


def _of_object(error: dict[str, object]) -> Envelope:
    """{"message", "type", "details", "request_id"}; OpenAI adds param; FastAPI has only "detail"."""
    said = error.get("detail")
    details = _objects(error.get("details")) or _objects(said)
    message = _text(error.get("message")) or _text(said) or ""
    return Envelope(
        message, _text(error.get("type")), details, _text(error.get("request_id")), _text(error.get("param"))
    )


def _flat(value: dict[str, object], error: object) -> Envelope:
    """{"error": text, "message": text}: the speech services' shape, and Ollama's without the message."""
    message = _text(value.get("message"))
    kind = _text(error) if message else None
    return Envelope(message or _text(error) or "", kind, _objects(value.get("details")), _text(value.get("request_id")))


def _objects(value: object) -> tuple[dict[str, object], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def path_of(detail: dict[str, object]) -> Path:
    """The field that a detail points at; FastAPI calls it `loc` and begins it with "body"."""
    path = detail.get("path", detail.get("loc"))
    if isinstance(path, str):
        return steps_of(path)
    steps = tuple(step for step in path if isinstance(step, str | int)) if isinstance(path, list) else ()
    return steps[1:] if "loc" in detail and steps[:1] == ("body",) else steps


def steps_of(text: str) -> Path:
    """A path that is written out: messages[3].role, messages.3.role or $.messages[3].role."""
    steps = re.findall(r"[^.\[\]]+", text.strip().removeprefix("$"))
    return tuple(int(step) if step.isascii() and step.isdigit() and len(step) < 10 else step for step in steps)


def _line(detail: dict[str, object]) -> str:
    message = _text(detail.get("message")) or _text(detail.get("msg")) or "not accepted"
    return str(FieldError(path_of(detail), message))


def _plain(body: str) -> str:
    """The text of a body that is no JSON; of a page of HTML, its title or else its words."""
    if _HTML.match(body):
        title = _TITLE.search(body)
        body = title.group(1) if title and title.group(1).strip() else _TAG.sub(" ", _INVISIBLE.sub(" ", body))
        body = " ".join(unescape(body).split())
    body = body.strip()
    return body if len(body) <= MOST_SHOWN else body[:MOST_SHOWN] + " …"
