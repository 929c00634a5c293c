"""The API's documented parameters: which there are, and a text that was typed as a value.

What each may be is in `limits`. Source: electron-api.md, Request fields. Unset means not sent.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.limits import CHOICES, COUNTS, OWN_PLACE, number

Kind = Literal["number", "whole", "stop", "choice", "switch", "text", "object"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of the request."""

    name: str
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()


PARAMETERS = (
    Parameter("max_tokens", "whole", "Caps the output, and so its cost. At least 1."),
    Parameter("temperature", "number", "0 to 2; 1 where it is not sent. For test fixtures prefer 0."),
    Parameter("top_p", "number", "0 to 1; 1 where it is not sent."),
    Parameter("seed", "whole", "Best effort only: deployments, batching and updates cause drift."),
    Parameter("stop", "stop", "Up to 4 strings, one a line."),
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


def parse(parameter: Parameter, text: str) -> Json:
    """A typed text as the parameter's value; None where it is empty: not sent. Raises InputError."""
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
    """A value as the text that `parse` takes back."""
    if value is None:
        return ""
    if parameter.kind == "stop" and isinstance(value, list):
        return "\n".join(str(item) for item in value)
    if parameter.name == "response_format" and isinstance(value, dict):
        return str(value.get("type", ""))
    if parameter.name == "tool_choice" and isinstance(value, dict):
        function = value.get("function")
        return str(function.get("name", "")) if isinstance(function, dict) else ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bad(name: str, message: str, hint: str = "Leave it empty to not send it.") -> InputError:
    return InputError(FieldError((name,), message, hint))


def _number(parameter: Parameter, text: str) -> Json:
    try:
        value: int | float = int(text) if parameter.kind == "whole" else float(text)
    except ValueError:
        raise _bad(
            parameter.name, f"{text!r} is not a {'whole ' if parameter.kind == 'whole' else ''}number."
        ) from None
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
    """A JSON object that was typed. Raises InputError with the place of the error."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        problem = FieldError((name,), f"is not JSON: {error.msg} in line {error.lineno}.", offset=error.pos)
        raise InputError(problem) from error
    except (ValueError, RecursionError) as error:
        raise _bad(name, f"is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise _bad(name, "is not a JSON object.", "Write it as {…}.")
    return value


def _no_constant(text: str) -> Json:
    raise ValueError(f"{text} is not JSON")


def extra_fields(text: str) -> dict[str, Json]:
    """Undocumented fields that were typed as JSON. Raises InputError for one that has a place of its own."""
    fields = parse_object("extra fields", text)
    for name in fields:
        if name in OWN_PLACE or name in NAMES:
            raise _bad(name, "has a place of its own.", "Set it there.")
    return fields
