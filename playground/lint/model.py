"""Findings: rule, places, figures and fix; and edits that fix a prompt, with previews of their effect and price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.rewrites import PromptRewrite, proposals, sorted_tools, stable_length
from playground.prefix_cache.volatile_scan import VolatileKind, spans
from playground.prompt.document import Document, Json, Message, Tool, places
from playground.prompt.field_errors import Path
from playground.runs.metrics import APPROXIMATELY, UNKNOWN, dollars, percent, seconds

if TYPE_CHECKING:
    from playground.client.endpoint import Rates
    from playground.lint.prompt_facts import PromptFacts
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.prefix_cache.token_estimator import TokenEstimator

Severity = Literal["serious", "warning", "hint"]
SEVERITIES: tuple[Severity, ...] = ("serious", "warning", "hint")
"""Worst first. serious: it will be refused, or costs most of what the cache could save · warning: it costs money,
time or the answer · hint: worth a look, may be meant."""

Unit = Literal["tokens", "dollars", "seconds", "share", "count"]
Basis = Literal["counted", "reported", "estimated", "assumed"]
"""counted: exact, from the prompt or the settings · reported: by the server, from the log · estimated: ≈ ·
assumed: chosen by this program because none is published."""


class Evidence(Struct, frozen=True):
    """One figure behind a finding. `value` None is *unknown*, never 0.

    Dollars are for 1,000 requests; a share is from 0 to 1.
    """

    label: str
    value: float | None
    unit: Unit = "tokens"
    basis: Basis = "estimated"

    @property
    def text(self) -> str:
        """≈ 1,152, $0.34, 12 s, 95.7 % or —; estimates are marked."""
        if self.value is None:
            return UNKNOWN
        words = {
            "dollars": dollars,
            "seconds": seconds,
            "share": percent,
        }.get(self.unit, _plain)(self.value)
        return words if self.basis in ("counted", "reported") else f"{APPROXIMATELY} {words}"


def _plain(value: float) -> str:
    # A temperature or a few turns say more with their fraction.
    return f"{value:.2g}" if abs(value) < 10 and value != round(value) else f"{round(value):,}"


class FindingPlace(Struct, frozen=True):
    """A field of the request, by the path used in the server's errors, e.g. ("messages", 0, "content").

    `start` and `end` are code points in that field's text: in a message's *template* content, or in
    a parsed string of a tool. Both None: the whole field. An empty path is the request as a whole.
    """

    path: Path
    start: int | None = None
    end: int | None = None
    tool: str = ""
    """The tool's name, where the place is in one."""

    @property
    def message(self) -> int | None:
        """The message's index, where the place is in one."""
        match self.path:
            case ("messages", int(index), *_):
                return index
        return None


class Fix(Struct, frozen=True):
    """One undoable step. `after` is the whole document as it would be; its rule is silent on it."""

    title: str
    after: Document


class Finding(Struct, frozen=True):
    """A finding of one rule about this prompt.

    `title` is one line without figures that change at every keystroke; `detail` describes the situation and the remedy.
    `tokens` are the estimated affected tokens per request, `dollars` their price for 1,000 requests (None:
    unknown); the list is ordered by them. `subject` tells apart what one rule says of several things (a tool's name).
    """

    severity: Severity
    title: str
    detail: str
    evidence: tuple[Evidence, ...] = ()
    places: tuple[FindingPlace, ...] = ()
    fix: Fix | None = None
    tokens: float = 0.0
    dollars: float | None = None
    subject: str = ""
    rule: str = ""

    @property
    def key(self) -> str:
        """Key of a dismissal: the rule and its subject."""
        return f"{self.rule}:{self.subject}" if self.subject else self.rule


Judge: TypeAlias = Callable[["PromptFacts"], Iterable[Finding]]
"""Returns the findings about a prompt; none if the rule does not apply."""


class LintRule(Struct, frozen=True):
    """One sentence of the guide that can be judged.

    `name`: stable, kebab-case; dismissals and reports have it. `title`: the practice, as an imperative. `reason`: why
    it matters. `section` and `sentence`: where the guide says so, in this program's words. `judge`: None for a practice
    that this program always follows: its batches keep to the plan, and its agent loops have a limit.
    """

    name: str
    title: str
    reason: str
    section: str
    sentence: str
    judge: Judge | None


PREFIX_RULE = "prefix-order"
"""The adviser's rule that the prefix workbench's proposals answer."""
REQUESTS = 1_000


class Effect(Struct, frozen=True):
    """≈ tokens: the part that every request of the prompt shares, what the cache is forecast to serve next, the whole;
    `dollars` is what 1,000 requests cost on input with that part cached (None: a rate is not set)."""

    stable: float
    forecast: float
    prompt: float
    dollars: float | None


def options(document: Document, advice: tuple[Finding, ...]) -> tuple[PromptRewrite, ...]:
    """Return the distinct rewrites proposed by this finding and, for prefix findings, by the prefix workbench."""
    offered = [PromptRewrite(one.fix.title, one.detail, one.fix.after) for one in advice if one.fix is not None]
    if not advice or any(one.rule == PREFIX_RULE for one in advice):
        by_name = sorted_tools(document)
        offered = [*proposals(document), *([by_name] if by_name is not None else []), *offered]
    found: list[PromptRewrite] = []
    for option in offered:
        if option.after != document and all(option.after != other.after for other in found):
            found.append(option)
    return tuple(found)


def effect(prompt_forecast: PromptForecast, counter: TokenEstimator, rates: Rates) -> Effect:
    """Return the cost of a forecast. Rates are dollars per million tokens."""
    document, text, prompt = (
        prompt_forecast.view.document,
        prompt_forecast.view.view.text,
        prompt_forecast.forecast.prompt_tokens,
    )
    counted = counter.estimate(text)
    share = counter.estimate(text[: stable_length(document)]) / counted if counted else 0.0
    stable = prompt * share
    once = rates.input_cost(prompt - stable, stable)
    return Effect(stable, prompt_forecast.forecast.cached_tokens, prompt, None if once is None else once * REQUESTS)


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
