"""The API's documented parameters, and typed texts as their values.

Allowed values are in `limits`. Source: electron-api.md, Request fields. Unset means not sent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.json_bounds import MAX_DIGITS, JsonBoundsError, loads
from playground.prompt.limits import CHOICES, COUNTS, OWN_PLACE, number

Kind = Literal["number", "whole", "stop", "choice", "switch", "text", "object"]


class Parameter(Struct, frozen=True):
    """One field of the request."""

    name: str
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()


PARAMETERS = (
    Parameter("max_tokens", "whole", "Caps the output, and so its cost. At least 1."),
    Parameter("temperature", "number", "0 to 2; the default is 1. For test fixtures prefer 0."),
    Parameter("top_p", "number", "0 to 1; the default is 1."),
    Parameter("seed", "whole", "Best effort only: deployments, batching and updates cause drift."),
    Parameter("stop", "stop", "Up to 4 strings, one per line."),
    Parameter("response_format", "choice", "json_object asks for JSON.", choices=CHOICES["response_format"]),
    Parameter("tool_choice", "choice", "auto, none, required, or a tool's name.", choices=CHOICES["tool_choice"]),
    Parameter("presence_penalty", "number", "-2 to 2."),
    Parameter("frequency_penalty", "number", "-2 to 2."),
    Parameter("logprobs", "switch", "Send the tokens' probabilities.", choices=("true", "false")),
    Parameter("top_logprobs", "whole", "0 to 20; needs logprobs."),
    Parameter("logit_bias", "object", "JSON: token id to bias."),
    Parameter("user", "text", "Opaque, for your own logs."),
)
NAMES = frozenset(parameter.name for parameter in PARAMETERS)
EXTRA_FIELDS = "extra fields"
"""Key of the undocumented fields in `Document.invalid`."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def with_typed(document: Document, parameter: Parameter, text: str) -> tuple[Document, FieldError | None]:
    """Set a parameter to a typed text. Stores an invalid text in `Document.invalid` and returns its error."""
    name = parameter.name
    others = {key: value for key, value in document.parameters.items() if key != name}
    invalid = {key: value for key, value in document.invalid.items() if key != name}
    try:
        value = parse(parameter, text)
    except InputError as error:
        return replace(document, parameters=others, invalid={**invalid, name: text}), error.problems[0]
    if value is None:
        return replace(document, parameters=others, invalid=invalid), None
    # A parameter that is set already keeps its position: the body changes only at its value.
    return replace(document, parameters={**document.parameters, name: value}, invalid=invalid), None


def with_typed_extra(document: Document, text: str) -> tuple[Document, FieldError | None]:
    """Set the undocumented fields to a typed text; see `with_typed`."""
    documented = {key: value for key, value in document.parameters.items() if key in NAMES}
    invalid = {key: value for key, value in document.invalid.items() if key != EXTRA_FIELDS}
    try:
        fields = extra_fields(text)
    except InputError as error:
        return replace(document, parameters=documented, invalid={**invalid, EXTRA_FIELDS: text}), error.problems[0]
    return replace(document, parameters={**documented, **fields}, invalid=invalid), None


def invalid_errors(invalid: Mapping[str, str]) -> tuple[FieldError, ...]:
    """Return the error of each text in `Document.invalid`, by what would be typed now."""
    found = []
    known = {parameter.name: parameter for parameter in PARAMETERS}
    for name, text in invalid.items():
        try:
            if name in known:
                parse(known[name], text)
            else:
                extra_fields(text)
        except InputError as error:
            found.append(FieldError((name,), error.problems[0].message, error.problems[0].hint))
        else:
            found.append(
                FieldError((name,), f"{_short(text)} was not taken over.", "Type it again, or clear the field.")
            )
    return tuple(found)


def parse(parameter: Parameter, text: str) -> Json:
    """Return a typed text as the parameter's value; None for an empty text (not sent). Raises InputError."""
    if not text.strip():
        return None
    if parameter.kind in ("number", "whole"):
        return _number(parameter, text.strip())
    if parameter.kind == "stop":
        return _stop(text)
    if parameter.kind == "object":
        return parse_object(parameter.name, text)
    if parameter.kind == "switch":
        return _switch(parameter, text.strip())
    return _choice(parameter, text.strip()) if parameter.kind == "choice" else text


def show(parameter: Parameter, value: Json) -> str:
    """Return the text that `parse` turns into this value, if there is one; otherwise the value as JSON."""
    if value is None:
        return ""
    text = _text(parameter, value)
    try:
        same = text is not None and parse(parameter, text) == value
    except InputError:
        same = False
    if same and text is not None:
        return text
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(parameter: Parameter, value: Json) -> str | None:
    if parameter.kind == "stop" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    inner = value.get("type") if isinstance(value, dict) else None
    if parameter.name == "tool_choice" and isinstance(value, dict):
        function = value.get("function")
        inner = function.get("name") if isinstance(function, dict) else None
    return inner if isinstance(inner, str) else None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _bad(name: str, message: str, hint: str = "Leave it empty to not send it.") -> InputError:
    return InputError(FieldError((name,), message, hint))


def _number(parameter: Parameter, text: str) -> Json:
    whole = parameter.kind == "whole"
    if not (_WHOLE if whole else _NUMBER).fullmatch(text) or len(text) > MAX_DIGITS:
        hint = "Write it with a point, without spaces." if "," in text else "Leave it empty to not send it."
        raise _bad(parameter.name, f"{_short(text)} is not a {'whole ' if whole else ''}number.", hint)
    value: int | float = int(text) if whole else float(text)
    if not math.isfinite(value):
        raise _bad(parameter.name, "must be a finite number.")
    for problem in number(parameter.name, value):
        raise _bad(parameter.name, problem.message)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stop(text: str) -> Json:
    lines: list[Json] = [line for line in text.split("\n") if line]
    if len(lines) > (COUNTS["stop"].high or 0):
        raise _bad("stop", f"has more than {COUNTS['stop'].high:g} strings.")
    return lines[0] if len(lines) == 1 else lines


def _switch(parameter: Parameter, text: str) -> Json:
    if text not in ("true", "false"):
        raise _bad(parameter.name, "is true or false.")
    return text == "true"


def _choice(parameter: Parameter, text: str) -> Json:
    if parameter.name == "tool_choice":
        return text if text in parameter.choices else {"type": "function", "function": {"name": text}}
    if text not in parameter.choices:
        raise _bad(parameter.name, f"is one of {', '.join(parameter.choices)}.")
    return {"type": text}


def parse_object(name: str, text: str) -> dict[str, Json]:
    """Parse a typed JSON object. Raises InputError with the offset of the error."""
    if not text.strip():
        return {}
    try:
        value = loads(text)
    except json.JSONDecodeError as error:
        problem = FieldError((name,), f"is not JSON: {error.msg} in line {error.lineno}.", offset=error.pos)
        raise InputError(problem) from error
    except JsonBoundsError as error:
        raise _bad(name, f"cannot be used: {error}") from error
    if not isinstance(value, dict):
        raise _bad(name, "is not a JSON object.", "Write it as {…}.")
    return value


def extra_fields(text: str) -> dict[str, Json]:
    """Parse undocumented fields typed as JSON. Raises InputError, also for a field that has its own input."""
    fields = parse_object(EXTRA_FIELDS, text)
    for name in fields:
        if name in OWN_PLACE or name in NAMES:
            raise _bad(name, "has its own input.", "Set it there.")
    return fields
