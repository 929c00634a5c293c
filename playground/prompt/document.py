"""The prompt as the user edits it: an immutable Document, and the variables `{{name}}` in its messages."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import count
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
Role: TypeAlias = Literal["system", "user", "assistant", "tool", "developer"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")
"""The roles that Electron accepts (electron-api.md, Request fields). Other servers accept `developer` too."""

NO_JSON: Mapping[str, Json] = MappingProxyType({})
NO_TEXT: Mapping[str, str] = MappingProxyType({})


class ToolCall(Struct, frozen=True):
    """A call in an assistant message. `arguments` is JSON text, byte for byte as received."""

    id: str
    name: str
    arguments: str


class Message(Struct, frozen=True):
    """One message. `content` is a template: `{{name}}` in it is replaced by a variable's value.

    `content` is None only on an assistant message that carries tool calls. `extra` holds fields that the API
    does not document (such as `name`) as the text of one JSON object; they are passed on.
    """

    role: Role
    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    extra: str = ""


class Tool(Struct, frozen=True):
    """A tool definition in OpenAI's function shape, as compact JSON text in its original key order."""

    json_text: str

    @classmethod
    def of(cls, definition: Mapping[str, Json]) -> Tool:
        """Make a tool from a parsed definition."""
        return cls(json.dumps(definition, ensure_ascii=False, separators=(",", ":"), allow_nan=False))

    @property
    def definition(self) -> Mapping[str, Json]:
        """The parsed definition; shared between calls, do not change it."""
        return _parsed(self.json_text)

    @property
    def name(self) -> str:
        """The function's name, or an empty string if the definition has none."""
        function = self.definition.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        return name if isinstance(name, str) else ""


@lru_cache(maxsize=512)
def _parsed(json_text: str) -> Mapping[str, Json]:
    value = json.loads(json_text)
    return MappingProxyType(value if isinstance(value, dict) else {})


class Document(Struct, frozen=True):
    """One prompt, in the order of the cache: tools, then messages.

    `parameters` contains set parameters only: an unset parameter is not sent. Its keys are the API's own field
    names (temperature, top_p, max_tokens, stop, seed, response_format, tool_choice, logit_bias, logprobs,
    top_logprobs, presence_penalty, frequency_penalty, user) and any undocumented field the user added.
    `invalid` contains texts typed for a parameter that are not a valid value, by the parameter's name, or
    "extra fields": the document cannot be sent before they are corrected, so that no other value than the displayed
    one is sent. `id` tells this prompt from others, also from those with the same name; it is empty if the prompt was
    never opened in the window.
    """

    name: str = ""
    tools: tuple[Tool, ...] = ()
    messages: tuple[Message, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: NO_TEXT)
    parameters: Mapping[str, Json] = field(default_factory=lambda: NO_JSON)
    stream: bool = True
    include_usage: bool = True
    invalid: Mapping[str, str] = field(default_factory=lambda: NO_TEXT)
    id: str = ""

    def with_message(self, index: int, message: Message) -> Document:
        messages = (*self.messages[:index], message, *self.messages[index + 1 :])
        return replace(self, messages=messages)

    def with_variable(self, name: str, value: str) -> Document:
        return replace(self, variables={**self.variables, name: value})


def open_calls(messages: tuple[Message, ...], index: int) -> tuple[ToolCall, ...]:
    """Return the calls that a tool message at `index` can answer: the last assistant's, not answered by others yet."""
    answered = set()
    for at in range(index - 1, -1, -1):
        if messages[at].role == "tool":
            answered.add(messages[at].tool_call_id)
        else:
            return tuple(call for call in messages[at].tool_calls if call.id not in answered)
    return ()


def with_new_call(document: Document, index: int) -> Document:
    """Return the document with one more call on assistant message `index`: of its first tool, under a new id."""
    message = document.messages[index]
    taken = {call.id for other in document.messages for call in other.tool_calls}
    call_id = next(name for name in (f"call_{number}" for number in count(1)) if name not in taken)
    name = document.tools[0].name if document.tools else "tool_name"
    calls = (*message.tool_calls, ToolCall(call_id, name, "{}"))
    # An empty text beside calls is no filler: it is not sent.
    return document.with_message(index, replace(message, tool_calls=calls, content=message.content or None))


PATTERN = re.compile(r"\{\{[ \t]*([^\W\d][^\s!-/:-@\[-^`{-~]*)[ \t]*\}\}")
"""A variable: two braces, a name in any script (a letter or underscore, then no spaces and no ASCII punctuation
but the underscore; vowel signs count, which `\\w` would leave out), two braces."""


class VariablePlace(Struct, frozen=True):
    """The position of `{{name}}` in a template: code points [start, end)."""

    name: str
    start: int
    end: int


SHORT_CHARS = 2_000
"""Only a few longer templates are cached: a cached text stays in memory, and each keystroke makes a new one."""


def places(template: str) -> tuple[VariablePlace, ...]:
    """All variables in a template, in order."""
    if "{" not in template or "{{" not in template:  # one character is found 20 times faster than two
        return ()
    return _short_places(template) if len(template) <= SHORT_CHARS else _long_places(template)


def _places(template: str) -> tuple[VariablePlace, ...]:
    return tuple(VariablePlace(m[1], m.start(), m.end()) for m in PATTERN.finditer(template))


_short_places = lru_cache(maxsize=512)(_places)
_long_places = lru_cache(maxsize=32)(_places)


def names(messages: Iterable[Message]) -> tuple[str, ...]:
    """Every variable's name, once each, in the order of the first occurrence."""
    seen = dict.fromkeys(p.name for m in messages if m.content for p in places(m.content))
    return tuple(seen)


class Rendered(Struct, frozen=True):
    """A template with its values in place, and the way back.

    `cuts` are, for each variable, (start in the text, end in the text, start and end in the template).
    """

    text: str
    cuts: tuple[tuple[int, int, int, int], ...]

    def to_template(self, index: int) -> int:
        """Return the template's code point for code point `index` of the text; inside a value: the variable's start."""
        at = bisect_right(self.cuts, (index, len(self.text) + 1, 0, 0)) - 1
        if at < 0:
            return index
        start, end, template_start, template_end = self.cuts[at]
        if index < end or (index == start):
            return template_start
        return template_end + index - end


def render(template: str, values: Mapping[str, str]) -> Rendered:
    """Put values in place, once and from left to right; a value's own braces are text. Missing ones stay."""
    pieces: list[str] = []
    cuts: list[tuple[int, int, int, int]] = []
    last = length = 0
    for place in places(template):
        value = values.get(place.name)
        if value is None:
            value = template[place.start : place.end]
        head = template[last : place.start]
        pieces += (head, value)
        length += len(head)
        cuts.append((length, length + len(value), place.start, place.end))
        length += len(value)
        last = place.end
    if not cuts:
        return Rendered(template, ())
    pieces.append(template[last:])
    return Rendered("".join(pieces), tuple(cuts))
