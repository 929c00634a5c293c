"""The API's parameters: the server's limits as one table, the check of a document, and typed texts as values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import ROLES, Document, Json, Message, Tool, names, render
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.json_text import MAX_DIGITS, JsonBoundsError, loads

CONTEXT_TOKENS = 32_768
"""Input and output together."""
EMPTY = "The prompt is empty: type it, or open one."


_VISIBLE = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""A character that is displayed: no space, control or blank (U+2800), and none that Unicode calls ignorable."""
_NO_CONTENT = frozenset(("name", "cache_control"))
"""Undocumented fields of a message that the model does not read as its content."""
_MOST_NAMES = 5


def empty_prompt(document: Document) -> FieldError | None:
    """Return an error that says what is empty if the prompt, with its values, has nothing to send; otherwise None.

    A visible character in any message is enough, and so is a tool call, a tool's result, or a picture or other content
    in an undocumented field. A variable without a value is another error.
    """
    if any(_has_content(message, document.variables) for message in document.messages):
        return None
    if blank := [f"{{{{{name}}}}}" for name in names(document.messages)]:
        more = [f"{len(blank) - _MOST_NAMES:,} more"] if len(blank) > _MOST_NAMES else []
        *most, last = (*blank[:_MOST_NAMES], *more)
        words = f"{', '.join(most)} and {last} have" if most else f"{last} has"
        return FieldError((), f"The prompt is empty: {words} no visible text.", f"Give {blank[0]} a value.")
    if any(message.content for message in document.messages):
        return FieldError((), "The prompt is empty: it has only spaces and invisible characters.")
    return FieldError((), EMPTY)


def _has_content(message: Message, variables: Mapping[str, str]) -> bool:
    if message.tool_calls or message.tool_call_id or is_visible(render(message.content or "", variables).text):
        return True
    fields = loads(message.extra) if message.extra else None
    return isinstance(fields, dict) and any(_is_given(v) for name, v in fields.items() if name not in _NO_CONTENT)


def _is_given(value: object) -> bool:
    return is_visible(value) if isinstance(value, str) else bool(value)


def is_visible(text: str) -> bool:
    """Return whether a text has a character that is displayed."""
    return _VISIBLE.search(text) is not None


def refuse_empty(document: Document) -> None:
    """Raise InputError if there is nothing to send."""
    if problem := empty_prompt(document):
        raise InputError(problem)


class Limit(Struct, frozen=True):
    """One field's rule: an inclusive range of its value, or of how many it may have; None is no bound."""

    low: float | None = None
    high: float | None = None
    whole: bool = False
    """Whether only whole numbers are allowed (counts always are whole)."""

    @property
    def words(self) -> str:
        """The range as text."""
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        return f"from {self.low or 0:g} on"

    def admits(self, value: float) -> bool:
        """Whether a number lies in the range."""
        return not (self.low is not None and value < self.low) and not (self.high is not None and value > self.high)


COUNTS: Mapping[str, Limit] = {
    "messages": Limit(1, 200),
    "tools": Limit(1, 64),
    "stop": Limit(1, 4),
}
NUMBERS: Mapping[str, Limit] = {
    "max_tokens": Limit(1, None, whole=True),
    "temperature": Limit(0, 2),
    "top_p": Limit(0, 1),
    "presence_penalty": Limit(-2, 2),
    "frequency_penalty": Limit(-2, 2),
    "top_logprobs": Limit(0, 20, whole=True),
    "seed": Limit(None, None, whole=True),
}
CHOICES: Mapping[str, tuple[str, ...]] = {
    "response_format": ("text", "json_object"),
    "tool_choice": ("auto", "none", "required"),
}
REFUSED: Mapping[str, str] = {
    "n": "Electron makes one completion a request; send the request again for another.",
    "prompt_logprobs": "Electron gives no probabilities of the prompt; logprobs gives the completion's.",
}
"""Known fields that are answered with HTTP 400, and what to do instead."""
OWN_PLACE = frozenset(("model", "messages", "tools", "stream", "stream_options"))
"""Fields that are no parameters: each has a place of its own in a document or an endpoint."""


class LimitFinding(Struct, frozen=True):
    """One finding of the check. `refused`: the server will answer with HTTP 400; otherwise a warning."""

    problem: FieldError
    refused: bool


def check(document: Document, *, electron: bool = True) -> tuple[LimitFinding, ...]:
    """Return everything that the server refuses, then likely mistakes. About 0.3 ms at 200 messages.

    Not `electron`: another vendor's server, whose limits are not known. Only what no server can read is found.
    """
    refused = _refusals(document) if electron else iter(invalid_errors(document.invalid))
    found = [LimitFinding(problem, True) for problem in refused]
    return (*found, *(LimitFinding(problem, False) for problem in _warnings(document)))


def context_finding(prompt_tokens: float, max_tokens: Json, context_tokens: int | None) -> LimitFinding | None:
    """Return a warning if ≈ prompt and `max_tokens` do not fit together. None: they fit, or the limit is not known."""
    if context_tokens is None:
        return None
    room = max_tokens if isinstance(max_tokens, int) and not isinstance(max_tokens, bool) else 0
    over = prompt_tokens + room - context_tokens
    if over <= 0 and prompt_tokens < context_tokens:
        return None
    asked = f" and max_tokens {room:,}" if room else ""
    hint = "Shorten the prompt" + (" or lower max_tokens." if room else ".")
    words = (
        f"≈ {prompt_tokens:,.0f} tokens of prompt{asked} do not fit into {context_tokens:,}: "
        f"≈ {max(over, 1):,.0f} too many."
    )
    return LimitFinding(FieldError(("max_tokens",) if room else ("messages",), words, hint), False)


def _refusals(document: Document) -> Iterator[FieldError]:
    yield from _count("messages", len(document.messages))
    for index, message in enumerate(document.messages):
        yield from _message(message, ("messages", index))
    if document.tools:
        yield from _count("tools", len(document.tools))
    for index, tool in enumerate(document.tools):
        if not tool.name:
            yield FieldError(("tools", index, "function", "name"), "a function needs a name.")
    yield from _parameters(document)
    for name in document.invalid:
        yield FieldError((name,), "has a text that is not valid.", "Correct it, or leave it empty to not send it.")


def _count(name: str, count: int) -> Iterator[FieldError]:
    if not COUNTS[name].admits(count):
        yield FieldError((name,), f"has {count:,}; Electron takes {COUNTS[name].words.removeprefix('from ')}.")


def _message(message: Message, path: Path) -> Iterator[FieldError]:
    if message.role not in ROLES:
        yield FieldError(
            (*path, "role"), f"{message.role} is not a role of Electron.", f"It accepts {', '.join(ROLES)}."
        )
    if message.content is None and not (message.role == "assistant" and message.tool_calls):
        hint = "Only an assistant message with tool calls may have none."
        yield FieldError((*path, "content"), "there is no text.", hint)
    if message.role == "tool" and not message.tool_call_id:
        hint = "Give the id of the call that this message answers."
        yield FieldError((*path, "tool_call_id"), "is required on a tool message.", hint)
    for index, call in enumerate(message.tool_calls):
        for name in ("id", "name"):
            if not getattr(call, name):
                steps = ("id",) if name == "id" else ("function", "name")
                yield FieldError((*path, "tool_calls", index, *steps), "is empty.", "Every call has one.")


def _parameters(document: Document) -> Iterator[FieldError]:
    for name, value in document.parameters.items():
        if value is None:
            continue
        if name in OWN_PLACE:
            yield FieldError((name,), "has a place of its own, and cannot be a parameter.", "Remove it here.")
        elif name in REFUSED:
            if name != "n" or value != 1 or isinstance(value, bool):
                yield FieldError((name,), "is refused by Electron.", REFUSED[name])
        elif name in NUMBERS:
            yield from number(name, value)
        else:
            yield from _other(name, value, document)
    top = document.parameters.get("top_logprobs")
    if top is not None and document.parameters.get("logprobs") is not True:
        yield FieldError(("top_logprobs",), "needs logprobs.", "Set logprobs to true, or leave top_logprobs empty.")


def number(name: str, value: Json) -> Iterator[FieldError]:
    """Return what is wrong with a number of the table."""
    limit = NUMBERS[name]
    kind = "a whole number" if limit.whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int if limit.whole else int | float):
        yield FieldError((name,), f"must be {kind}.")
    elif not limit.admits(value):
        yield FieldError((name,), f"must be {kind} {limit.words}.")


def _other(name: str, value: Json, document: Document) -> Iterator[FieldError]:
    if name == "stop" and not _is_stop(value):
        yield FieldError((name,), f"must be a text or up to {COUNTS['stop'].high:g} texts.")
    elif name == "response_format":
        kind = value.get("type") if isinstance(value, dict) else None
        if kind not in CHOICES[name]:
            yield FieldError((name, "type"), f"must be one of {', '.join(CHOICES[name])}.")
    elif name == "tool_choice":
        yield from _tool_choice(value, document.tools)
    elif name == "logprobs" and not isinstance(value, bool):
        yield FieldError((name,), "must be true or false.")
    elif name == "user" and not isinstance(value, str):
        yield FieldError((name,), "must be a text.")
    elif name == "logit_bias" and not _is_bias(value):
        yield FieldError((name,), "must be an object of token id to number.")


def _is_stop(value: Json) -> bool:
    items = value if isinstance(value, list) else [value]
    return len(items) <= (COUNTS["stop"].high or 0) and all(isinstance(item, str) for item in items)


def _is_bias(value: Json) -> bool:
    if not isinstance(value, dict):
        return False
    return all(isinstance(bias, int | float) and not isinstance(bias, bool) for bias in value.values())


def _tool_choice(value: Json, tools: tuple[Tool, ...]) -> Iterator[FieldError]:
    if value in ("auto", "none"):
        return
    if value == "required":
        if not tools:
            yield FieldError(("tool_choice",), "is required, but there is no tool.", "Add one under Tools.")
        return
    function = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in {tool.name for tool in tools}:
        known = ", ".join(tool.name for tool in tools) or "there is none"
        hint = f"It is auto, none, required or the name of a tool ({known})."
        words = "names no tool of this prompt:" if function else "is"
        shown = json.dumps(name if function else value, ensure_ascii=False)[:80]
        yield FieldError(("tool_choice",), f"{words} {shown}.", hint)


def _warnings(document: Document) -> Iterator[FieldError]:
    if not empty_prompt(document):  # an empty prompt is refused as a whole
        for index, message in enumerate(document.messages):
            if message.role == "user" and not _has_content(message, document.variables):
                yield FieldError(
                    ("messages", index, "content"), "has no visible text.", "The model is asked nothing here."
                )
    yield from _partners(document.messages)
    yield from _same_names(document.tools)
    for index, tool in enumerate(document.tools):
        yield from _function_name(tool.name, ("tools", index))
    for index, message in enumerate(document.messages):
        for number_, call in enumerate(message.tool_calls):
            yield from _function_name(call.name, ("messages", index, "tool_calls", number_))
            if not _is_json_object(call.arguments):
                path = ("messages", index, "tool_calls", number_, "function", "arguments")
                yield FieldError(path, "is not a JSON object, as a call's arguments are.")
    if document.stream and not document.include_usage:
        words = "is off: usage, and with it what the cache served, will be unknown for this request."
        yield FieldError(("stream_options", "include_usage"), words)


_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _function_name(name: str, path: Path) -> Iterator[FieldError]:
    if name and _FUNCTION_NAME.fullmatch(name) is None:
        words = f"{name[:64]!r} is no name of a function for most servers, which refuse it."
        yield FieldError((*path, "function", "name"), words, "Use 1 to 64 of the letters a to z, digits, _ and -.")


def _partners(messages: tuple[Message, ...]) -> Iterator[FieldError]:
    """Check that each tool message answers a call of the assistant message right before the answers."""
    open_calls: dict[str, Path] = {}
    for index, message in enumerate(messages):
        if message.role == "tool":
            if message.tool_call_id and open_calls.pop(message.tool_call_id, None) is None:
                words = f"{message.tool_call_id} is no unanswered call of the assistant message before."
                yield FieldError(
                    ("messages", index, "tool_call_id"), words, "Servers refuse an answer without its call."
                )
            continue
        yield from _unanswered(open_calls)
        open_calls = {}
        for number_, call in enumerate(message.tool_calls):
            path = ("messages", index, "tool_calls", number_, "id")
            if call.id in open_calls:
                yield FieldError(path, f"{call.id} is the id of two calls.", "Give each its own.")
            open_calls[call.id] = path
    yield from _unanswered(open_calls)


def _unanswered(open_calls: Mapping[str, Path]) -> Iterator[FieldError]:
    for call_id, path in open_calls.items():
        if call_id:
            hint = "Add a tool message with this tool_call_id right after it."
            yield FieldError(path, f"the call {call_id} has no answer.", hint)


def _same_names(tools: tuple[Tool, ...]) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name and tool.name in seen:
            words = f"{tool.name} is the name of another tool too."
            yield FieldError(("tools", index, "function", "name"), words, "A call could not tell which one is meant.")
        seen.add(tool.name)


@lru_cache(maxsize=512)
def _is_json_object(text: str) -> bool:
    try:
        return isinstance(loads(text), dict)
    except ValueError:
        return False


Kind = Literal["number", "whole", "stop", "choice", "switch", "text", "object"]


class Parameter(Struct, frozen=True):
    """One field of the request."""

    name: str
    kind: Kind
    help: str
    choices: tuple[str, ...] = ()


PARAMETERS = (
    Parameter("max_tokens", "whole", "Caps the output, and so its cost. At least 1."),
    Parameter("temperature", "number", "Electron: 0 to 2; the default is 1. For test fixtures prefer 0."),
    Parameter("top_p", "number", "Electron: 0 to 1; the default is 1."),
    Parameter("seed", "whole", "Best effort only: deployments, batching and updates cause drift."),
    Parameter("stop", "stop", "One string per line; Electron takes up to 4."),
    Parameter("response_format", "choice", "json_object asks for JSON.", choices=CHOICES["response_format"]),
    Parameter("tool_choice", "choice", "auto, none, required, or a tool's name.", choices=CHOICES["tool_choice"]),
    Parameter("presence_penalty", "number", "Electron: -2 to 2."),
    Parameter("frequency_penalty", "number", "Electron: -2 to 2."),
    Parameter("logprobs", "switch", "Send the tokens' probabilities.", choices=("true", "false")),
    Parameter("top_logprobs", "whole", "Electron: 0 to 20; needs logprobs."),
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
    """Return a typed text as the parameter's value; None for an empty text (not sent). Raises InputError.

    Ranges are not tested: they are limits of a server, see `check`.
    """
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
    return InputError.of((name,), message, hint)


def _number(parameter: Parameter, text: str) -> Json:
    whole = parameter.kind == "whole"
    if not (_WHOLE if whole else _NUMBER).fullmatch(text) or len(text) > MAX_DIGITS:
        hint = "Write it with a point, without spaces." if "," in text else "Leave it empty to not send it."
        raise _bad(parameter.name, f"{_short(text)} is not a {'whole ' if whole else ''}number.", hint)
    value: int | float = int(text) if _WHOLE.fullmatch(text) else float(text)
    if isinstance(value, float) and not math.isfinite(value):
        raise _bad(parameter.name, "must be a finite number.")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _stop(text: str) -> Json:
    lines: list[Json] = [line for line in text.split("\n") if line]
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
