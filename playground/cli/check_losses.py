"""What the recorded requests of a program lost, as findings of `check`, with one price for each lost token."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground import asset
from playground.cli.check_inputs import CheckedInput
from playground.client.endpoint import Rates
from playground.export.terminal import visible_line
from playground.lint.model import Evidence, Finding, FindingPlace, Severity
from playground.prefix_cache.found_spans import BLOCK, LASTING
from playground.prefix_cache.losses import ProgramLosses, in_one_list, program_losses
from playground.prefix_cache.program_groups import TimedRequest, families, retries, run_times
from playground.prefix_cache.varying_spans import SpanKind, VaryingSpan
from playground.prompt.document import Json
from playground.prompt.field_errors import Path as FieldPath

RULE = "varying-span"
SERIOUS_TOKENS = 128
"""Tokens per request that a span keeps from the cache."""
_WIDE = 1.6
"""Ratio of the ends of an interval from which on it is stated."""
STATE_SPANS = 3
"""Values of one message that change at different times from which on they are a state."""
REWRITES = msgspec.json.decode(asset("leaks.json").read_bytes(), type=dict[str, dict[str, str]])["advice_of_check"]
"""What to do, by `VaryingSpan.rewrite`."""
SAMPLE_CHARS = 40
"""Code points of a value that a finding quotes."""
_CONTEXT = 24
"""Code points in front of a value by which a place of a lint rule is found in another request."""


class SpanFinding(Struct, frozen=True):
    """One varying span. `item` is the request that its position is in; `program` is empty if there is only one.

    `held`: ≈ tokens per request that it and the spans behind it keep from the cache.
    """

    item: CheckedInput
    span: VaryingSpan
    finding: Finding
    program: str
    losses: ProgramLosses
    held: float


class ProgramSums(Struct, frozen=True):
    """Tokens of the recorded requests of a program. `name` is empty if there is only one.

    Prompt and cached tokens are those of the `reported` requests, which reported both. `lost`, `lost_between`: ≈ tokens
    of its findings, and their interval.
    """

    name: str
    requests: int
    reported: int
    prompt_tokens: int
    cached_tokens: int
    lost: float
    lost_between: tuple[float, float]


class Losses(Struct, frozen=True):
    """Spans of all programs, most serious programs first as recorded. `retried`: requests that were sent again."""

    spans: Sequence[SpanFinding]
    sums: Sequence[ProgramSums]
    programs: Mapping[int, ProgramLosses]
    """By identity of an input: what its program lost."""
    members: Mapping[int, Sequence[CheckedInput]]
    """By identity of an input: the inputs of its program."""
    retried: int = 0

    def per_request(self, items: Sequence[CheckedInput]) -> float:
        """Return ≈ tokens per request that the findings about the program of these requests state."""
        return sum(one.span.tokens_per_request for one in self.spans if one.losses is self.programs.get(id(items[-1])))


def find_losses(
    inputs: Sequence[CheckedInput], rates: Rates, known: Iterable[Sequence[CheckedInput]] | None = None
) -> Losses:
    """Return what varies between the requests of each program, with its cost. `known`: the programs, if they are."""
    bodies = [(item, item.body or {}) for item in inputs if item.body is not None]
    attempts = [
        TimedRequest(body, sent.at, sent.failed, sent.seconds)
        for body, sent in ((body, item.outcome) for item, body in bodies)
    ]
    again = retries(attempts)
    kept = [pair for index, pair in enumerate(bodies) if index not in again]
    times = run_times([one for index, one in enumerate(attempts) if index not in again])
    if known is None:
        groups = families([body for _, body in kept])
    else:
        index_of = {id(item): index for index, (item, _) in enumerate(kept)}
        numbers = ([index_of[id(one)] for one in items if id(one) in index_of] for items in known)
        groups = [group for group in numbers if group]
    usage = {index: item.outcome.usage for index, (item, _) in enumerate(kept)}
    all_bodies = [body for _, body in kept]
    names = _names([[kept[index][0] for index in group] for group in groups])
    found: list[SpanFinding] = []
    programs: dict[int, ProgramLosses] = {}
    members: dict[int, list[CheckedInput]] = {}
    items, sums = [item for item, _ in kept], list[ProgramSums]()
    for number, group in enumerate(groups):
        losses = program_losses(all_bodies, group, usage, times)
        sent = [items[index] for index in group]
        programs.update((id(one), losses) for one in sent)
        members.update((id(one), sent) for one in sent)
        program = _Program(number, names[number], losses, rates)
        of_program = [*program.findings(items, _drafted(losses, [one.file for one in sent]), len(found))]
        found += of_program
        if sent[0].recorded:
            sums.append(_sums(names[number], sent, [one.span for one in of_program]))
    return Losses(found, sums, programs, members, len(again))


def _sums(name: str, sent: Sequence[CheckedInput], spans: Sequence[VaryingSpan]) -> ProgramSums:
    usages = [usage for usage in (item.outcome.usage for item in sent) if usage.fresh is not None]
    return ProgramSums(
        name,
        len(sent),
        len(usages),
        sum(usage.prompt or 0 for usage in usages),
        sum(usage.cached or 0 for usage in usages),
        sum(span.lost_tokens for span in spans),
        (sum(span.lost_between[0] for span in spans), sum(span.lost_between[1] for span in spans)),
    )


class _Program(Struct, frozen=True):
    """One program: its number, its name (empty if there is only one), and what its requests lost."""

    number: int
    name: str
    losses: ProgramLosses
    rates: Rates

    def findings(self, items: Sequence[CheckedInput], drafted: set[int], first: int) -> Iterator[SpanFinding]:
        """Yield the findings about the spans that have text behind them, except `drafted` ones.

        `first`: the number of the first finding among those of all programs.
        """
        losses = self.losses
        # Behind a value with little text behind it there is nothing to be cached.
        worth = [at for at, span in enumerate(losses.spans) if span.tokens_behind >= BLOCK and at not in drafted]
        renumbered = {at: position for position, at in enumerate(worth)}
        spans = [replace(losses.spans[at], behind=_front(losses.spans, at, renumbered)) for at in worth]
        states = _states(spans)
        lost = _lost_by_part(spans, states)
        for at, span in zip(worth, in_one_list(spans, self.number, first), strict=True):
            place, held = (span.part, span.index), losses.held(at)
            severity = _severity(span, max(held, lost[place]), single=_is_single(span, states))
            finding = self._finding(span, held, severity)
            yield SpanFinding(items[span.request], span, finding, self.name, losses, held)

    def _finding(self, span: VaryingSpan, held: float, severity: Severity) -> Finding:
        """Return the finding about a span: kind, place, cost and rewrite."""
        # Values that begin alike, such as objects in another order, are quoted once.
        samples = ", ".join(list(dict.fromkeys(_quoted(visible_line(sample)) for sample in span.samples))[:3])
        of_program = f"Program “{visible_line(self.name)}”: " if self.name else ""
        places = f" It is in {span.places:,} places; the first is named." if span.places > 1 else ""
        return Finding(
            severity,
            f"{_change(span)}: {span.kind.replace('_', ' ')}",
            f"{of_program}{samples}.{places} {span.changes:,} of {span.comparisons:,} requests differ here from the "
            f"one before; ≈ {span.tokens_behind:,.0f} tokens behind it, which that one had too, are not cached."
            f"{''.join(self._remarks(span))} Fix: {REWRITES[span.rewrite]}.",
            evidence=tuple(self._evidence(span, held)),
            places=(FindingPlace(span_path(span), span.start, span.end),),
            tokens=span.tokens_per_request,
            dollars=self.rates.saved(span.tokens_per_request * 1_000),
            subject=span.kind,
            rule=RULE,
        )

    def _remarks(self, span: VaryingSpan) -> Iterator[str]:
        """Yield what limits the stated cost of a span, as sentences with a space in front."""
        if span.behind is not None:
            yield " It is behind another one: this is the cost once that is fixed."
        if span.recurring:
            yield " Its values are used again: only the first request with each of them pays."
        if span.once:
            yield " It changed once, and not back: one payment."
        if span.tools_after >= BLOCK:
            where = "in front of" if span.part == "tool" else "after"
            more = f"≈ {span.tools_after:,.0f} more per request"
            yield f" If the server writes tools {where} the system text, {more}."
        low, high = self._range(span)
        if self.losses.estimated:
            unknown = " No request has reported tokens: these are estimates for an unknown tokenizer"
            yield f"{unknown}; ≈ {low:,.0f} to {high:,.0f} per request."
        elif high > _WIDE * low:
            yield f" No report tells the block and the minimum: ≈ {low:,.0f} to {high:,.0f} per request."

    def _evidence(self, span: VaryingSpan, held: float) -> Iterator[Evidence]:
        low, high = self._range(span)
        prices = [("", span.tokens_per_request)]
        if self.losses.estimated:
            prices = [(", at least", low), (", at most", high)]
        yield from (Evidence(f"fresh because of it, per request{end}", tokens) for end, tokens in prices)
        if held - span.tokens_per_request >= 1:
            yield Evidence("with the spans behind it, per request", held)
        for end, tokens in prices:
            yield Evidence(f"lost in 1,000 requests{end}", self.rates.saved(tokens * 1_000), "dollars")

    def _range(self, span: VaryingSpan) -> tuple[float, float]:
        """Return the least and the most ≈ tokens per request that a span costs."""
        low, high = (end / max(len(self.losses.compared), 1) for end in span.lost_between)
        return low, high


def _change(span: VaryingSpan) -> str:
    if span.history:
        return "An earlier turn is sent in another way"
    return "Differs between conversations" if span.between else "Varies between requests"


def _drafted(losses: ProgramLosses, files: Sequence[str]) -> set[int]:
    """Return the spans that are the same in each file: they tell drafts of a prompt apart, no requests of a program.

    `files`: of each request. In more files than two, only text in files of several requests does.
    """
    counts = Counter(files)
    begins = {number for number, (one, other) in zip(losses.requests[1:], pairwise(files), strict=True) if one != other}
    begins -= losses.predecessors.keys()
    if not begins or len(begins) + 1 != len(counts):
        return set()
    kinds = LASTING if min(counts.values()) > 1 else frozenset[SpanKind]()
    two = len(counts) == 2
    return {
        at for at, span in enumerate(losses.spans) if begins.issuperset(span.changed) and (two or span.kind in kinds)
    }


def _front(spans: Sequence[VaryingSpan], at: int, kept: Mapping[int, int]) -> int | None:
    """Return the nearest reported span in front that must be fixed first."""
    front = spans[at].behind
    while front is not None and front not in kept:
        front = spans[front].behind
    return None if front is None else kept[front]


_Place: TypeAlias = tuple[str, int]
"""Part ("message" or "tool") and index."""


def _lost_by_part(spans: Sequence[VaryingSpan], states: set[_Place]) -> Mapping[_Place, float]:
    """Return ≈ tokens per request that all spans of a message or tool keep from the cache, single payments aside."""
    lost: dict[_Place, float] = defaultdict(float)
    for span in spans:
        lost[span.part, span.index] += 0.0 if _is_single(span, states) else span.tokens_per_request
    return lost


def _states(spans: Sequence[VaryingSpan]) -> set[_Place]:
    """Return the messages and tools with a state: values that change at STATE_SPANS different times.

    A single value may come back, but hardly a combination of them.
    """
    changes: dict[_Place, set[tuple[int, ...]]] = defaultdict(set)
    for span in spans:
        changes[span.part, span.index].add(span.changed)
    return {place for place, times in changes.items() if len(times) >= STATE_SPANS}


def _is_single(span: VaryingSpan, states: set[_Place]) -> bool:
    """Return whether only the first request with a value pays for it. In a state, each new combination pays."""
    return (span.recurring or span.once) and (span.part, span.index) not in states


def _severity(span: VaryingSpan, lost: float, *, single: bool) -> Severity:
    """Return the severity of a span. `lost`: ≈ tokens per request that it costs with the spans behind it, or all of its
    message or tool. `single`: a single payment, which is never serious."""
    if lost >= SERIOUS_TOKENS and not single:
        return "serious"
    return "warning" if span.tokens_behind >= SERIOUS_TOKENS else "hint"


def _names(programs: Sequence[Sequence[CheckedInput]]) -> list[str]:
    """Return a name for each program, by its requests; empty if there is one program."""
    if len(programs) < 2:
        return [""] * len(programs)
    # Imported here: one program needs no name, and the log's types are slow to import.
    from playground.recorder.programs import program_names

    names = program_names([(items[0].body or {}, items[-1].body or {}) for items in programs])
    agents = [{item.outcome.agent for item in items} for items in programs]
    return [
        f"{next(iter(agent))}: {name}" if len(agent) == 1 and agent != {""} else name
        for agent, name in zip(agents, names, strict=True)
    ]


def span_path(span: VaryingSpan) -> FieldPath:
    if span.path:
        return span.path
    if span.part == "message":
        return ("messages", span.index, "content")
    return ("tools",) if span.index < 0 else ("tools", span.index)


def span_fields(one: SpanFinding, rates: Rates, place: Json) -> dict[str, Json]:
    """Return a span as JSON. `place`: its position, as of other findings."""
    span = one.span
    fields: dict[str, Json] = {
        "kind": span.kind,
        "severity": one.finding.severity,
        "program": one.program or None,
        "part": span.part,
        "index": span.index,
        "start": span.start,
        "end": span.end,
        "request": one.item.name,
        "samples": list(span.samples),
        "family": span.family,
        "places": span.places,
        "history": span.history,
        "between_conversations": span.between,
        "recurring": span.recurring,
        "once": span.once,
        "requests": len(one.losses.compared),
        "changed": span.changes,
        "tokens_behind": round(span.tokens_behind),
        "tokens_per_request": round(span.tokens_per_request),
        "tokens_held_per_request": round(one.held),
        "lost_tokens": round(span.lost_tokens),
        "lost_tokens_low": round(span.lost_between[0]),
        "lost_tokens_high": round(span.lost_between[1]),
        "estimated": one.losses.estimated,
        "tools_after_per_request": 0 if span.part == "tool" else round(span.tools_after),
        "tools_first_per_request": round(span.tools_after) if span.part == "tool" else 0,
        "dollars_per_1000_requests": rates.saved(span.tokens_per_request * 1_000),
        "rewrite": span.rewrite,
        "fix": REWRITES[span.rewrite],
        "behind": span.behind,
    }
    where = place if isinstance(place, dict) else {}
    return {**{name: where.get(name) for name in ("pointer", "line", "column")}, **fields}


def _quoted(sample: str) -> str:
    """Return the beginning of a value in quotation marks, with an ellipsis if it is cut."""
    if not sample:
        return "nothing"
    return f"“{sample}”" if len(sample) <= SAMPLE_CHARS else f"“{sample[: SAMPLE_CHARS - 1]}…”"


def measured(found: Sequence[Finding], item: CheckedInput, losses: Losses) -> list[Finding]:
    """Return the findings about a recorded request, with costs that the program's requests bear out.

    What `prefix-order` says of a value that varies is a finding about its span already. If the value did not change
    from request to request, it cost nothing.
    """
    program = losses.programs.get(id(item))
    if program is None or len(program.requests) < 2:
        return list(found)
    kept: list[Finding] = []
    for finding in found:
        if finding.rule != "prefix-order":
            kept.append(finding)
        elif not any(_same_place(finding, item, one) for one in losses.spans if one.losses is program):
            members = losses.members[id(item)]
            what = "It differs between the recorded requests."
            if _is_in_all(finding, item, members):
                what = f"It was the same in the {len(members):,} recorded requests, so it has cost nothing yet."
            text = f"{finding.detail} {what}"
            kept.append(replace(finding, severity="hint", detail=text, tokens=0.0, dollars=None, evidence=()))
    return kept


def _is_in_all(finding: Finding, item: CheckedInput, members: Sequence[CheckedInput]) -> bool:
    """Return whether the text at a finding's place is in the same message of all requests."""
    place = finding.places[0]
    if place.message is None or place.start is None or place.end is None:
        return False
    text = _content(item, place.message)[place.start : place.end]
    return all(text in _content(one, place.message) for one in members)


def _same_place(finding: Finding, item: CheckedInput, one: SpanFinding) -> bool:
    """Whether a finding about a request names a span: it is in the same message, behind the same text."""
    place, span = finding.places[0], one.span
    if place.message != span.index or span.part != "message" or place.start is None:
        return False
    texts = [_content(of, span.index) for of in (item, one.item)]
    if not -2 * _CONTEXT <= place.start - span.start <= 2 * _CONTEXT and span.places == 1:
        mine, theirs = (
            text[max(start - _CONTEXT, 0) : start] for text, start in zip(texts, (place.start, span.start), strict=True)
        )
        return mine == theirs
    return True


def _content(item: CheckedInput, index: int) -> str:
    messages = (item.body or {}).get("messages")
    message = messages[index] if isinstance(messages, list) and index < len(messages) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""
