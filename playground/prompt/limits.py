"""The server's limits as one table, and the check of a document against it, while the user types.

Source of every row: electron-api.md, Request fields. The errors have the server's paths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

from msgspec import Struct

from playground.prompt.document import ROLES, Document, Json, Message, Tool
from playground.prompt.field_errors import FieldError, Path
from playground.prompt.json_bounds import loads

CONTEXT_TOKENS = 32_768
"""Input and output together."""


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


def check(document: Document) -> tuple[LimitFinding, ...]:
    """Return everything that the server refuses, then likely mistakes. About 0.3 ms at 200 messages."""
    found = [LimitFinding(problem, True) for problem in _refusals(document)]
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
        yield FieldError((name,), f"has {count:,}; the server takes {COUNTS[name].words.removeprefix('from ')}.")


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
                yield FieldError((name,), "is refused by the server.", REFUSED[name])
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
        yield FieldError(
            ("tool_choice",), f"names no tool of this prompt: {json.dumps(name, ensure_ascii=False)[:80]}.", hint
        )


def _warnings(document: Document) -> Iterator[FieldError]:
    yield from _partners(document.messages)
    yield from _same_names(document.tools)
    for index, message in enumerate(document.messages):
        for number_, call in enumerate(message.tool_calls):
            if not _is_json_object(call.arguments):
                path = ("messages", index, "tool_calls", number_, "function", "arguments")
                yield FieldError(path, "is not a JSON object, as a call's arguments are.")
    if document.stream and not document.include_usage:
        words = "is off: usage, and with it what the cache served, will be unknown for this request."
        yield FieldError(("stream_options", "include_usage"), words)


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
