"""The prompt as the rules read it, and its tool descriptions with their positions. Worked out once, when first read."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Protocol

from msgspec import Struct

from playground.lint.context import LintContext
from playground.lint.language import detect
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.field_errors import Path

DEEP = 12
"""Maximum nesting depth."""


class SchemaNode(Struct, frozen=True):
    """One schema in a definition. `path` leads to it from the definition, `name` is the property's, dotted."""

    path: Path
    name: str
    schema: Mapping[str, Json]

    @property
    def description(self) -> str:
        """Return its description; "" without one."""
        return _text(self.schema.get("description"))


def description(tool: Tool) -> str:
    """Return the description of the tool; "" without one."""
    function = tool.definition.get("function")
    return _text(function.get("description")) if isinstance(function, dict) else ""


def parameters(tool: Tool) -> Iterator[SchemaNode]:
    """Every parameter of a tool, nested ones too, in order."""
    function = tool.definition.get("function")
    schema = function.get("parameters") if isinstance(function, dict) else None
    if isinstance(schema, dict):
        yield from _below(SchemaNode(("function", "parameters"), "", schema), 0)


def _below(node: SchemaNode, depth: int) -> Iterator[SchemaNode]:
    if depth >= DEEP:
        return
    properties = node.schema.get("properties")
    for key, schema in properties.items() if isinstance(properties, dict) else ():
        if isinstance(schema, dict):
            child = SchemaNode((*node.path, "properties", key), f"{node.name}.{key}" if node.name else key, schema)
            yield child
            yield from _below(child, depth + 1)
    items = node.schema.get("items")
    if isinstance(items, dict):
        yield from _below(SchemaNode((*node.path, "items"), f"{node.name}[]", items), depth + 1)


def edited(tool: Tool, changes: Mapping[Path, Json]) -> dict[str, Json]:
    """Return the definition with the values at these paths replaced; None removes the key."""
    made: dict[str, Json] = copy.deepcopy(dict(tool.definition))
    for path, value in changes.items():
        inner: Json = made
        for step in path[:-1]:
            inner = inner[step]  # type: ignore[index]  # the path was found in this definition
        if isinstance(inner, dict):
            key = str(path[-1])
            if value is None:
                inner.pop(key, None)
            else:
                inner[key] = value
    return made


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


PER_REQUESTS = 1_000
PER_TOKENS = 1_000_000


class TokenCounter(Protocol):
    """Counts tokens, ≈. `prefix.tokens.TokenEstimator` is one."""

    def estimate(self, text: str) -> float:
        """≈ tokens of `text`."""

    def interval(self, text: str) -> tuple[float, float]:
        """≈ tokens of `text`, from and to."""


class PromptFacts:
    """One prompt and its context. `body` is an imported request body, if any."""

    def __init__(
        self, document: Document, setting: LintContext, counter: TokenCounter, body: Mapping[str, Json] | None = None
    ) -> None:
        self.document = document
        self.setting = setting
        self.history = setting.history
        self.body = body
        self._counter = counter

    def tokens(self, text: str) -> float:
        """≈ tokens of `text`."""
        return self._counter.estimate(text)

    def least_tokens(self, text: str) -> float:
        """Return the fewest tokens that `text` has within the estimate's uncertainty."""
        return self._counter.interval(text)[0]

    @property
    def streams(self) -> bool:
        """Return whether the response is streamed; an imported body must enable it explicitly."""
        return self.document.stream if self.body is None else self.body.get("stream") is True

    @property
    def asks_usage(self) -> bool:
        """Whether a streamed answer will report usage."""
        if self.body is None:
            return self.document.include_usage
        options = self.body.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def parameter(self, name: str) -> Json:
        """Return the value of a parameter; None if it is not sent."""
        return self.document.parameters.get(name)

    def whole(self, name: str) -> int | None:
        """Return an integer parameter; None if it is not sent or not an integer."""
        value = self.parameter(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    @cached_property
    def system(self) -> tuple[tuple[int, str], ...]:
        """Index and text of each system message."""
        return tuple(self._texts("system"))

    @cached_property
    def question(self) -> tuple[int, str] | None:
        """Index and text of the last user message."""
        found = self._texts("user")
        return found[-1] if found else None

    def _texts(self, role: str) -> list[tuple[int, str]]:
        return [(i, m.content) for i, m in enumerate(self.document.messages) if m.role == role and m.content]

    @cached_property
    def asked(self) -> tuple[tuple[int, str], ...]:
        """What tells the model what to do: the system messages and the last question."""
        return self.system if self.question is None else (*self.system, self.question)

    @cached_property
    def system_lowered(self) -> str:
        """All system text in lower case."""
        return "\n".join(text for _, text in self.system).lower()

    @cached_property
    def language(self) -> str | None:
        """The prompt's language (ISO 639-1): the system text's, or else the last question's; None: cannot tell."""
        found = detect("\n".join(text for _, text in self.system))
        return found or (detect(self.question[1]) if self.question else None)

    @cached_property
    def tool_tokens(self) -> tuple[float, ...]:
        """≈ tokens of each tool's definition."""
        return tuple(self.tokens(tool.json_text) for tool in self.document.tools)

    @cached_property
    def message_tokens(self) -> tuple[float, ...]:
        """≈ tokens of each message."""
        return tuple(self.tokens(_whole(message)) for message in self.document.messages)

    @cached_property
    def prompt_tokens(self) -> float:
        """≈ tokens of the whole prompt."""
        return sum(self.tool_tokens) + sum(self.message_tokens)

    def fresh_dollars(self, tokens: float) -> float | None:
        """Return the cost of so many uncached tokens of each request, for 1,000 requests."""
        return price_per_1000(tokens, self.setting.rates.fresh)

    def cached_dollars(self, tokens: float) -> float | None:
        """Return the cost of so many cached tokens of each request, for 1,000 requests."""
        return price_per_1000(tokens, self.setting.rates.cached)

    def output_dollars(self, tokens: float) -> float | None:
        """Return the cost of so many tokens of each completion, for 1,000 requests."""
        return price_per_1000(tokens, self.setting.rates.output)

    def missed_dollars(self, tokens: float) -> float | None:
        """Return what 1,000 requests cost more if these tokens are fresh instead of cached."""
        fresh, cached = self.fresh_dollars(tokens), self.cached_dollars(tokens)
        return None if fresh is None or cached is None else fresh - cached


def price_per_1000(tokens: float, rate: float | None) -> float | None:
    """Return what so many tokens of each request cost in 1,000 requests; None without a rate."""
    return None if rate is None else tokens * rate * PER_REQUESTS / PER_TOKENS


def _whole(message: Message) -> str:
    calls = "".join(f"{call.name}{call.arguments}" for call in message.tool_calls)
    return f"{message.content or ''}{calls}{message.extra}"
