"""Edits that fix a prompt, and previews of what each would do to its forecast and its price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.rewrites import proposals, sorted_tools, stable_length
from playground.prefix_cache.volatile_scan import VolatileKind, spans
from playground.prompt.document import Document, Json, Message, Tool, places

if TYPE_CHECKING:
    from playground.client.endpoint import Rates
    from playground.lint.model import Finding
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.prefix_cache.token_estimator import TokenEstimator


PREFIX_RULE = "prefix-order"
"""The adviser's rule that the prefix workbench's proposals answer."""
REQUESTS = 1_000


class Option(Struct, frozen=True):
    """One way to fix: `after` is the whole document as it would be."""

    title: str
    why: str
    after: Document


class Effect(Struct, frozen=True):
    """≈ tokens: the part that every request of the prompt shares, what the cache is forecast to serve next, the whole;
    `dollars` is what 1,000 requests cost on input with that part cached (None: a rate is not set)."""

    stable: float
    forecast: float
    prompt: float
    dollars: float | None


def options(document: Document, advice: tuple[Finding, ...]) -> tuple[Option, ...]:
    """Return the distinct rewrites proposed by this finding and, for prefix findings, by the prefix workbench."""
    found: list[Option] = []
    for option in _all(document, advice):
        if option.after != document and all(option.after != other.after for other in found):
            found.append(option)
    return tuple(found)


def _all(document: Document, advice: tuple[Finding, ...]) -> Iterator[Option]:
    if not advice or any(one.rule == PREFIX_RULE for one in advice):
        yield from (Option(rewrite.title, rewrite.why, rewrite.after) for rewrite in proposals(document))
        if (by_name := sorted_tools(document)) is not None:
            yield Option(by_name.title, by_name.why, by_name.after)
    for one in advice:
        if one.fix is not None:
            yield Option(one.fix.title, one.detail, one.fix.after)


def effect(prompt_forecast: PromptForecast, counter: TokenEstimator, rates: Rates) -> Effect:
    """Return the cost of a forecast. Rates are dollars per million tokens."""
    document, text, prompt = (
        prompt_forecast.view.document,
        prompt_forecast.view.view.text,
        prompt_forecast.forecast.prompt_tokens,
    )
    counted = counter.estimate(text)
    share = counter.estimate(text[: stable_length(document)]) / counted if counted else 0.0
    stable, price = prompt * share, None
    if rates.fresh is not None and rates.cached is not None:
        price = (stable * rates.cached + (prompt - stable) * rates.fresh) * REQUESTS / 1_000_000
    return Effect(stable, prompt_forecast.forecast.cached_tokens, prompt, price)


def with_parameter(document: Document, name: str, value: Json) -> Document:
    """Return the document with one parameter set, or not sent if `value` is None."""
    rest = {key: item for key, item in document.parameters.items() if key != name}
    return replace(document, parameters=rest if value is None else {**rest, name: value})


def with_tool(document: Document, index: int, definition: Mapping[str, Json]) -> Document:
    """Return the document with one tool's definition replaced."""
    tools = (*document.tools[:index], Tool.of(definition), *document.tools[index + 1 :])
    return replace(document, tools=tools)


def without_tools(document: Document, names: frozenset[str]) -> Document:
    """Return the document without the named tools, and without a tool_choice that would then name or need one."""
    rest = replace(document, tools=tuple(tool for tool in document.tools if tool.name not in names))
    return rest if rest.tools else with_parameter(rest, "tool_choice", None)


def with_system_line(document: Document, line: str) -> Document:
    """Append a line to the part of the system text that is identical in every request.

    The line goes before the first variable of the first message, if text precedes it: the prefix changes once
    and is stable again. Without a system message the line becomes one.
    """
    if not document.messages or document.messages[0].role != "system":
        return replace(document, messages=(Message("system", line), *document.messages))
    first = document.messages[0]
    return document.with_message(0, replace(first, content=_with_line(first.content or "", line)))


def _with_line(text: str, line: str) -> str:
    found = places(text)
    at = text.rfind("\n", 0, found[0].start) + 1 if found else len(text)
    if not text[:at].strip():
        at = len(text)
    head, rest = text[:at], text[at:]
    gap = head[len(head.rstrip()) :]
    return f"{head.rstrip()}\n{line}{gap}{rest}" if head.strip() else f"{line}\n{rest}"


Kind = Literal["variable", "moment", "id", "date", "person"]
_KINDS: dict[VolatileKind, Kind] = {
    "date": "date",
    "time": "moment",
    "timestamp": "moment",
    "person": "person",
    "contact": "person",
}


class ReorderSpot(Struct, frozen=True):
    """Code points [start, end) in a message's template. `name` is the variable's, or the text itself."""

    message: int
    start: int
    end: int
    name: str
    kind: Kind


def spots(document: Document) -> Iterator[ReorderSpot]:
    """All of them, in the order that the cache sees. Typed-in values only in system messages."""
    for index, message in enumerate(document.messages):
        yield from sorted(_of(index, message), key=lambda spot: spot.start)


def _of(index: int, message: Message) -> Iterator[ReorderSpot]:
    text = message.content or ""
    for place in places(text):
        yield ReorderSpot(index, place.start, place.end, place.name, "variable")
    if message.role == "system":
        yield from _literals(index, text)


def _literals(index: int, text: str) -> Iterator[ReorderSpot]:
    for kind, start, end, sure in spans(text):
        # Unfilled placeholders have a rule of their own.
        if sure and kind != "placeholder":
            yield ReorderSpot(index, start, end, text[start:end], _KINDS.get(kind, "id"))
