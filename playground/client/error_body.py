"""Parsing of error bodies: the envelopes of Electron, OpenAI, FastAPI and other servers, plain text and HTML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import unescape

from msgspec import Struct

from playground import asset
from playground.client import tolerant_json
from playground.client.tolerant_json import count, text_of
from playground.prompt.field_errors import FieldError, Path

_NUMBER = r"(?P<\1>\\d[\\d,_]*)"
_REFUSALS = {
    kind: [re.sub(r"<(\w+)>", _NUMBER, pattern) for pattern in patterns]
    for kind, patterns in json.loads(asset("length_refusals.json").read_bytes()).items()
}
"""Patterns of the servers' refusals for length, with groups: `limit`, `wanted`, or the parts `prompt` and `output`."""


class TooLong(Struct, frozen=True):
    """Context length and requested tokens as the server counts them; None if its message does not say."""

    limit: int | None
    wanted: int | None
    output: int | None = None
    """The part of `wanted` that is for the answer."""

    @property
    def prompt(self) -> int | None:
        """The tokens of the prompt; None if unknown."""
        return None if self.wanted is None or self.output is None else self.wanted - self.output

    @property
    def over(self) -> int | None:
        """The number of excess tokens; None if unknown."""
        if self.limit is None or self.wanted is None or self.wanted <= self.limit:
            return None
        return self.wanted - self.limit


def too_long(message: str) -> TooLong | None:
    """Parse the figures of a refusal for length; None if the message is about something else."""
    text = " ".join(message.split())
    limit = _figures("limit", text).get("limit")
    if limit is None:
        return None
    if parts := _figures("parts", text):
        return TooLong(limit, parts["prompt"] + parts["output"], parts["output"])
    return TooLong(limit, _figures("wanted", text).get("wanted"))


def _figures(kind: str, text: str) -> dict[str, int]:
    """Return the figures that the first matching pattern finds; empty if none matches."""
    matches = (re.search(pattern, text, re.IGNORECASE) for pattern in _REFUSALS[kind])
    found = next(filter(None, matches), None)
    return {name: int(re.sub("[,_]", "", digits)) for name, digits in found.groupdict().items()} if found else {}


MOST_SHOWN = 400
"""Maximum number of displayed characters of a body without a message."""
_INVISIBLE = re.compile(r"<(script|style)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>")
_HTML = re.compile(r"\s*<(!doctype\s+html|html|head|body|title|h1|center)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.DOTALL | re.IGNORECASE)


class Envelope(Struct, frozen=True):
    """The contents of an error body. `message` is readable text, "" for an empty body; `details` are unchanged."""

    message: str
    type: str | None = None
    details: tuple[dict[str, object], ...] = ()
    request_id: str | None = None
    param: str | None = None
    code: str | None = None
    context_length: int | None = None
    prompt_tokens: int | None = None

    @property
    def names_a_field(self) -> bool:
        """Whether the body names the faulty field of the request."""
        return bool(self.param) or any(path_of(item) for item in self.details)

    @property
    def lines(self) -> list[str]:
        """Return the message, then one line per detail, such as `messages[3].role: message`."""
        head = f"{self.param}: {self.message}" if self.param and self.param not in self.message else self.message
        return [line for line in (head, *(_line(item) for item in self.details)) if line]


def parse(body: str) -> Envelope:
    """Parse an error body. Never raises: a body of an unknown shape is its own message."""
    try:
        value = tolerant_json.loads(body)
    except ValueError:
        return Envelope(_plain(body))
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return Envelope(_plain(body))
    envelope = _flat(value)
    for error in _errors_in(value):
        envelope = _of_object(error) if isinstance(error, dict) else _flat(value, error)
        if envelope.message or envelope.details:
            break
    if envelope.message or envelope.details:
        return envelope
    return Envelope(_plain(body), envelope.type, (), envelope.request_id, code=envelope.code)


_ERROR_FIELDS = ("error", "errors", "error_message", "error_msg", "errorMessage")
_MESSAGE_FIELDS = ("message", "msg", "detail", *_ERROR_FIELDS[2:], "status_msg", "description")
_ERROR_WORDS = frozenset(("error", "failed", "failure", "fail"))
_ERROR_NAME = re.compile(r"(^|[._:-])(error|failed|failure|exception)$", re.IGNORECASE)


def is_error_name(name: str) -> bool:
    """Whether the name of a server-sent event announces an error: `error`, `response.failed` and so on."""
    return _ERROR_NAME.search(name) is not None


def is_error(value: Mapping[str, object]) -> bool:
    """Whether an object in a 200 response reports an error, in the shapes that servers use.

    An empty error (`""`, `{}`, false, or an object of only empty values) is none.
    """
    if any(_says_something(error) for error in _errors_in(value)):
        return True
    if value.get("choices"):
        return False
    if any(_is_error_word(value.get(name)) for name in ("object", "type", "status", "event")):
        return True
    message = next((text for name in _MESSAGE_FIELDS if (text := value.get(name))), None)
    if value.get("success") is False or (message and value.get("ok") is False):
        return True
    if _status(value) is not None or value.get("error_code"):
        return True
    return message is not None and (value.get("code") not in _GOOD_CODES or "detail" in value)


_GOOD_CODES = (None, 0, 200, "", "0", "200", "ok", "OK", "success")


def _errors_in(value: Mapping[str, object]) -> Iterator[object]:
    """Yield the error objects at the top, inside `response` and `data`, in each choice, its delta and message."""
    for name in _ERROR_FIELDS:
        if name in value:
            error = value[name]
            yield from error if isinstance(error, list) and name == "errors" else (error,)
    status = value.get("base_resp")  # MiniMax
    if isinstance(status, dict) and status.get("status_code"):
        yield {"message": status.get("status_msg"), "code": status.get("status_code")}
    for place in ("response", "data"):
        inner = value.get(place)
        if isinstance(inner, dict) and "error" in inner:
            yield inner["error"]
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            for part in (choice, choice.get("delta"), choice.get("message")):
                if isinstance(part, dict) and "error" in part:
                    yield part["error"]


def _says_something(error: object) -> bool:
    if isinstance(error, dict):
        return any(_says_something(item) for item in error.values())
    return error is not None and error is not False and error != "" and error != [] and error != 0


def _is_error_word(value: object) -> bool:
    return isinstance(value, str) and (value.lower() in _ERROR_WORDS or is_error_name(value))


def _status(value: Mapping[str, object]) -> int | None:
    """Return an HTTP error status inside the body."""
    for name in ("status", "statusCode", "status_code", "code"):
        status = count(found) if not isinstance(found := value.get(name), str) else _digits(found)
        if status is not None and 400 <= status < 600:
            return status
    return None


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else None


def _of_object(error: dict[str, object]) -> Envelope:
    """{"message", "type", "details", "request_id"}; OpenAI adds param and code; FastAPI has only "detail"."""
    details = _objects(error.get("details")) or _objects(error.get("detail"))
    message = next((text for name in _MESSAGE_FIELDS if (text := text_of(error.get(name)))), "")
    return Envelope(
        message,
        text_of(error.get("type")),
        details,
        text_of(error.get("request_id")),
        text_of(error.get("param")),
        _code(error.get("code")),
        count(error.get("n_ctx")),
        count(error.get("n_prompt_tokens")),
    )


def _flat(value: dict[str, object], error: object = None) -> Envelope:
    """{"error": text, "message": text}: the speech services; Ollama without the message; {"message"}, {"detail"}."""
    found = _of_object(value)
    if not isinstance(error, str) or not error:
        return found
    kind = error if found.message else found.type
    return Envelope(found.message or error, kind, found.details, found.request_id, found.param, found.code)


def _code(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _objects(value: object) -> tuple[dict[str, object], ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def path_of(detail: dict[str, object]) -> Path:
    """Return the field that a detail names; FastAPI calls it `loc` and begins it with "body"."""
    path = detail.get("path", detail.get("loc"))
    if isinstance(path, str):
        return steps_of(path)
    steps = tuple(step for step in path if isinstance(step, str | int)) if isinstance(path, list) else ()
    return steps[1:] if "loc" in detail and steps[:1] == ("body",) else steps


def steps_of(text: str) -> Path:
    """Parse a written path: messages[3].role, messages.3.role or $.messages[3].role."""
    steps = re.findall(r"[^.\[\]]+", text.strip().removeprefix("$"))
    return tuple(int(step) if step.isascii() and step.isdigit() and len(step) < 10 else step for step in steps)


def _line(detail: dict[str, object]) -> str:
    message = text_of(detail.get("message")) or text_of(detail.get("msg")) or "not accepted"
    return str(FieldError(path_of(detail), message))


def _plain(body: str) -> str:
    """Return the text of a body that is not JSON; for HTML its title, or else its text."""
    if _HTML.match(body):
        title = _TITLE.search(body)
        body = title.group(1) if title and title.group(1).strip() else _TAG.sub(" ", _INVISIBLE.sub(" ", body))
        body = " ".join(unescape(body).split())
    body = body.strip()
    return body if len(body) <= MOST_SHOWN else body[:MOST_SHOWN] + " …"
