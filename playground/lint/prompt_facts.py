"""Facts that the rules read: the prompt, its tool descriptions with positions, and what is known besides.

Besides the prompt: rates, retries, and earlier requests from the log. Everything there may be unknown;
rules that need it report nothing then. Facts of the prompt are worked out once, when first read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from playground.client.endpoint import Rates, price
from playground.client.retry import RetryPolicy
from playground.lint.language import detect
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Document, Json, Message, Tool
from playground.prompt.field_errors import Path
from playground.prompt.limits import CONTEXT_TOKENS


class PastRequest(Struct, frozen=True):
    """One earlier request of this prompt. None is *not known* everywhere; tokens are the server's own figures.

    `at` is unix seconds. `status` is that of the last response, None without one. `max_tokens` is what the
    request asked for. `answer` is the completion's text, `question` the last user message's. `text` is the prompt as
    the cache saw it (CacheView.text). `connect_s` is what opening a connection cost; 0 on a reused connection.
    """

    at: float = 0.0
    status: int | None = 200
    request_id: str | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    max_tokens: int | None = None
    finish_reason: str | None = None
    question: str = ""
    answer: str = ""
    text: str | None = None
    connect_s: float | None = None
    failed_attempts_without_id: int = 0

    @property
    def hit_rate(self) -> float | None:
        """Cached / prompt tokens, 0 to 1; None if either is unreported."""
        if self.cached_tokens is None or not self.prompt_tokens:
            return None
        return self.cached_tokens / self.prompt_tokens


class PromptHistory(Struct, frozen=True):
    """What the log holds. `requests` are those of this prompt, oldest first (the last few hundred will do).

    `tools_called` are the names of all tools that were ever called, over `tools_offered_in` requests that offered
    this catalogue.
    """

    requests: tuple[PastRequest, ...] = ()
    tools_called: frozenset[str] = frozenset()
    tools_offered_in: int = 0


NO_HISTORY = PromptHistory()


class LintContext(Struct, frozen=True):
    """Rates are dollars per million tokens, None is not priced. `fixture`: the user marked the prompt as one.

    `lifetime_s`: after how long a silence the cache is assumed to have forgotten (not published).
    """

    rates: Rates = Rates()
    history: PromptHistory = NO_HISTORY
    retries: RetryPolicy | None = None
    fixture: bool = False
    lifetime_s: float = 300.0
    context_tokens: int | None = CONTEXT_TOKENS
    """Most tokens of input and output together; None: not known."""
    electron: bool = True
    """Whether Electron's limits apply; those of another vendor's server are not known."""
    templates: frozenset[str] | None = None
    """Lines with placeholders that most user messages of a recorded program have; None: a single prompt."""


ALONE = LintContext()
"""Nothing is known but the prompt."""


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
        found = self.schema.get("description")
        return found if isinstance(found, str) else ""


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


class PromptFacts:
    """One prompt and its context. `body` is an imported request body, if any."""

    def __init__(
        self, document: Document, setting: LintContext, counter: TokenEstimator, body: Mapping[str, Json] | None = None
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

    @property
    def max_tokens(self) -> int | None:
        """Return the parameter; None if it is not sent or not an integer."""
        value = self.parameter("max_tokens")
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
        return _per_1000(price(tokens, self.setting.rates.fresh))

    def cached_dollars(self, tokens: float) -> float | None:
        """Return the cost of so many cached tokens of each request, for 1,000 requests."""
        return _per_1000(price(tokens, self.setting.rates.cached))

    def output_dollars(self, tokens: float) -> float | None:
        """Return the cost of so many tokens of each completion, for 1,000 requests."""
        return _per_1000(price(tokens, self.setting.rates.output))

    def missed_dollars(self, tokens: float) -> float | None:
        """Return what 1,000 requests cost more if these tokens are fresh instead of cached."""
        return _per_1000(self.setting.rates.saved(tokens))


def _per_1000(dollars: float | None) -> float | None:
    return None if dollars is None else dollars * 1_000


def _whole(message: Message) -> str:
    calls = "".join(f"{call.name}{call.arguments}" for call in message.tool_calls)
    return f"{message.content or ''}{calls}{message.extra}"
