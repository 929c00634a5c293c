"""What recorded requests say about the programs that sent them: prompt families, figures, and leaks of the prefix."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground import asset
from playground.prefix_cache.found_spans import PromptUsage
from playground.prefix_cache.losses import ProgramLosses, in_one_list, program_losses, varying_spans
from playground.prefix_cache.program_groups import TimedRequest, families, retries, run_times
from playground.prefix_cache.rewrites import proposals, sorted_tools
from playground.prefix_cache.varying_spans import VaryingSpan
from playground.prompt.document import Document, Json, Tool, names, render
from playground.recorder.capture import document_of
from playground.requestlog.records import LogRow

_TEXTS = msgspec.json.decode(asset("leaks.json").read_bytes(), type=dict[str, dict[str, str]])
KINDS, ADVICE = _TEXTS["kinds"], _TEXTS["advice"]
"""Names of kinds of spans; what to do, by `VaryingSpan.rewrite`."""
MIN_TOKENS_BEHIND = 16
"""Stable tokens behind a span from which on it is a leak: fewer would not be served from a cache."""
COSTLY = 64
"""Tokens lost from which a request is marked; fewer may be the rest of a block."""
_NAME_CHARS = 60
_IDENTIFIER = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b(?=\w*[0-9])(?=\w*[a-z])\w{16,}\b")
_NAME_WORD = re.compile(r"[^\W\d_]{2,}")
_LEAST_WORDS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\u0964])\s*|\n+")


class RecordedRequest(Struct, frozen=True):
    """A row of the log with its body; an empty body if it is not in memory or not readable."""

    row: LogRow
    body: Mapping[str, Json]


class Figures(Struct, frozen=True):
    """Sums over requests. `compared` rows reported both token counts: the sums are over these; None is unknown.

    `dollars` is the input cost of the `priced` ones.
    """

    requests: int
    compared: int
    prompt_tokens: int
    cached_tokens: int
    ttft_cold_s: float | None
    ttft_warm_s: float | None
    dollars: float | None
    priced: int

    @property
    def hit_rate(self) -> float | None:
        """Return cached tokens / prompt tokens; None if no request reported both."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def figures(rows: Sequence[LogRow]) -> Figures:
    """Return the sums. Cold: no cached tokens were reported as used; warm: some were."""
    compared = prompt_tokens = cached_tokens = 0
    cold: list[float] = []
    warm: list[float] = []
    paid: list[float] = []
    for row in rows:  # one pass: the window does this for 2,000 rows, several times per second
        prompt, cached = row.prompt_tokens, row.cached_tokens
        if prompt is None or cached is None:
            continue
        compared += 1
        prompt_tokens += prompt
        cached_tokens += cached
        if row.ttft_s is not None:
            (warm if cached else cold).append(row.ttft_s)
        price = row.cost.input
        if price is not None:
            paid.append(price)
    return Figures(
        requests=len(rows),
        compared=compared,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        ttft_cold_s=median(cold) if cold else None,
        ttft_warm_s=median(warm) if warm else None,
        dollars=sum(paid) if paid else None,
        priced=len(paid),
    )


class Program(Struct, frozen=True):
    """Requests that share the head of their prompt, oldest first, with the conversations among them.

    A conversation has the id that the log has for its first request.
    """

    name: str
    run_ids: tuple[str, ...]
    conversations: Mapping[str, tuple[str, ...]]


class Leak(Struct, frozen=True):
    """A varying span with its place and its cost in the compared requests of its program.

    `run_ids`: requests that differ here from the one that they continue, or from the one before, oldest first;
    `costly_ids`: those of them that were charged for it.
    `tokens`, `dollars`: ≈ what fixing it saves, once the spans in front of it are fixed. Dollars are None without
    rates. `blocked_by`: title of the span in front.
    """

    program: int
    span: VaryingSpan
    body: Mapping[str, Json]
    place: str
    run_ids: tuple[str, ...] = ()
    costly_ids: tuple[str, ...] = ()
    tokens: float = 0.0
    dollars: float | None = None
    blocked_by: str = ""
    title: str = ""
    """The kind in words."""

    @property
    def key(self) -> tuple[int, str, str]:
        """Return what identifies the leak in a later analysis, too."""
        return self.program, self.span.kind, self.place


class Savings(Struct, frozen=True):
    """Input of one or more programs as reported, and ≈ what fixing all their leaks saves.

    `requests` are those with reported prompt and cached tokens; if a program has none, all of its requests, and its
    tokens and dollars are unknown. `saved_cached` is the part of the savings that adds to `cached_tokens`.
    """

    requests: int
    prompt_tokens: int | None
    cached_tokens: int | None
    saved_cached: float
    dollars: float | None
    saved_dollars: float | None

    @property
    def hit_rate(self) -> float | None:
        """Return cached over prompt tokens as reported."""
        return None if not self.prompt_tokens or self.cached_tokens is None else self.cached_tokens / self.prompt_tokens

    @property
    def hit_rate_after(self) -> float | None:
        """Return ≈ the hit rate after the fixes."""
        before = self.hit_rate
        return None if before is None or not self.prompt_tokens else before + self.saved_cached / self.prompt_tokens

    def per_1000(self, value: float | None) -> float | None:
        """Return a sum over `requests` per 1,000 requests."""
        return None if value is None or not self.requests else value * 1_000 / self.requests


class Analysis(Struct, frozen=True):
    """Programs in the order of their first request, and their leaks, the most expensive first."""

    programs: tuple[Program, ...] = ()
    leaks: tuple[Leak, ...] = ()
    savings: tuple[Savings, ...] = ()
    """By program."""

    def program_of(self, run_id: str) -> Program | None:
        """Return the program that sent a request."""
        return next((program for program in self.programs if run_id in program.run_ids), None)

    def conversation_of(self, run_id: str) -> tuple[str, ...]:
        """Return the run_ids of the conversation of a request; none if the request is not in the analysis."""
        program = self.program_of(run_id)
        conversations = program.conversations.values() if program else ()
        return next((run_ids for run_ids in conversations if run_id in run_ids), ())

    def saved(self, program: int | None) -> Savings | None:
        """Return the savings of a program, or of all together; None without requests."""
        parts = self.savings if program is None else self.savings[program : program + 1]
        if not parts:
            return None
        reported = [part for part in parts if part.prompt_tokens is not None]
        known = reported or parts
        return Savings(
            requests=sum(part.requests for part in known),
            prompt_tokens=sum(part.prompt_tokens or 0 for part in known) if reported else None,
            cached_tokens=sum(part.cached_tokens or 0 for part in known) if reported else None,
            saved_cached=sum(part.saved_cached for part in reported),
            dollars=_sum([part.dollars for part in known]),
            saved_dollars=_sum([part.saved_dollars for part in known]),
        )


def _sum(values: Sequence[float | None]) -> float | None:
    """Return the sum; None if one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def analyse(requests: Sequence[RecordedRequest]) -> Analysis:
    """Group requests, oldest first, into programs and find what varies in each. Pure and slow: call it in a worker."""
    bodies = [request.body for request in requests]
    groups = families(bodies)
    sent = [
        TimedRequest(body, row.started_utc.timestamp(), row.phase != "done" or (row.status or 0) >= 400, row.duration_s)
        for body, row in ((one.body, one.row) for one in requests)
    ]
    again, times = retries(sent), run_times(sent)
    usage = {at: PromptUsage(one.row.prompt_tokens, one.row.cached_tokens) for at, one in enumerate(requests)}
    leaks: list[Leak] = []
    savings = []
    programs = []
    titles = program_names([(bodies[group[0]], bodies[group[-1]]) for group in groups])
    for number, group in enumerate(groups):
        kept = [index for index in group if index not in again] or group
        losses = program_losses(bodies, kept, usage, times)
        found, saved = _costs(losses, number, requests)
        leaks += found
        savings.append(saved)
        attempts = {index: again[index] for index in group if index in again}
        programs.append(_program(titles[number], group, requests, losses, attempts))
    leaks.sort(key=lambda leak: (-(leak.dollars or 0.0), -leak.tokens, -leak.span.tokens_behind))
    return Analysis(tuple(programs), tuple(leaks), tuple(savings))


def _title(span: VaryingSpan, continuing: frozenset[int]) -> str:
    """Return the kind of a span in words. Text that only changes with the conversation is a value of the session.

    `continuing`: requests that are not the first of their conversation.
    """
    if span.kind != "text" or span.history or not continuing or not continuing.isdisjoint(span.changed):
        return KINDS[span.kind]
    return "Session value"


def _continuing(losses: ProgramLosses, requests: Sequence[RecordedRequest]) -> frozenset[int]:
    seen: set[str] = set()
    found = set(losses.predecessors)
    for index in losses.requests:
        conversation = requests[index].row.conversation
        if conversation in seen:
            found.add(index)
        elif conversation:
            seen.add(conversation)
    return frozenset(found)


def _costs(losses: ProgramLosses, program: int, requests: Sequence[RecordedRequest]) -> tuple[list[Leak], Savings]:
    """Return the leaks of one program, and what fixing all of them saves.

    What a request lost belongs to spans (`playground.prefix_cache.losses`): the prices of the leaks add up to it.
    """
    rows = [requests[index].row for index in losses.compared]
    priced = all(row.rates.fresh is not None and row.rates.cached is not None for row in rows)
    worth = {at for at, span in enumerate(losses.spans) if span.tokens_behind >= MIN_TOKENS_BEHIND}
    spans, continuing = in_one_list(losses.spans, program, 0), _continuing(losses, requests)
    leaks = []
    for at in sorted(worth):
        span = spans[at]
        member = requests[span.request]
        front = span.behind
        while front is not None and front not in worth:
            front = spans[front].behind
        tokens = {index: losses.paid[index][at] for index in losses.paid if at in losses.paid[index]}
        paid = sum(requests[index].row.rates.saved(count) or 0.0 for index, count in tokens.items())
        costly = (index for index in span.changed if tokens.get(index, 0.0) >= COSTLY)
        leaks.append(
            Leak(
                program=program,
                span=span,
                body=member.body,
                place=_place(member.body, span),
                run_ids=tuple(requests[index].row.run_id for index in span.changed),
                costly_ids=tuple(requests[index].row.run_id for index in costly),
                tokens=sum(tokens.values()),
                dollars=paid if priced else None,
                blocked_by="" if front is None else _title(spans[front], continuing),
                title=_title(span, continuing),
            )
        )
    reported = any(row.prompt_tokens is not None and row.cached_tokens is not None for row in rows)
    saved = Savings(
        requests=len(rows),
        prompt_tokens=sum(row.prompt_tokens or 0 for row in rows) if reported else None,
        cached_tokens=sum(row.cached_tokens or 0 for row in rows) if reported else None,
        saved_cached=sum(leak.tokens for leak in leaks),
        dollars=_sum([row.cost.input for row in rows]),
        saved_dollars=sum(leak.dollars or 0.0 for leak in leaks) if priced else None,
    )
    return leaks, saved


def _program(
    name: str,
    group: Sequence[int],
    requests: Sequence[RecordedRequest],
    losses: ProgramLosses,
    attempts: Mapping[int, int],
) -> Program:
    """Return a program. A request that continues another one belongs to its conversation, also if the log has another
    id for it because the history was written in another way."""
    ids: dict[int, str] = {}
    conversations: dict[str, list[str]] = {}
    for index in group:
        earlier = losses.predecessors.get(attempts.get(index, index))
        own = requests[index].row.conversation or ""
        ids[index] = ids.get(earlier, own) if own and earlier is not None else own
        conversations.setdefault(ids[index], []).append(requests[index].row.run_id)
    return Program(
        name,
        tuple(requests[index].row.run_id for index in group),
        {key: tuple(run_ids) for key, run_ids in conversations.items()},
    )


def program_names(bodies: Sequence[tuple[Mapping[str, Json], Mapping[str, Json]]]) -> list[str]:
    """Return a name for each program from its first and its last body: the first sentence that both have and that no
    other program has."""
    shared = [_shared_sentences(first, last) for first, last in bodies]
    having = Counter(sentence for sentences in shared for sentence in set(sentences))
    copies: Counter[str] = Counter()
    found: list[str] = []
    for sentences in shared:
        chosen = next((sentence for sentence in sentences if having[sentence] == 1), "")
        name = chosen or next(iter(sentences), "") or "Without text"
        copies[name] += 1
        found.append(f"{name} ({copies[name]})" if copies[name] > 1 else name)
    return found


def _shared_sentences(first: Mapping[str, Json], last: Mapping[str, Json]) -> list[str]:
    content, other = _content(first, 0), _content(last, 0)
    theirs = set(_sentences(other))
    sentences = [" ".join(one.split()) for one in _sentences(content) if one in theirs]
    named = [_IDENTIFIER.sub("…", one) for one in sentences or content.split("\n")]
    # What is left of "Session 3f2a…" names no program.
    named = [one for one in named if "…" not in one or len(_NAME_WORD.findall(one)) >= _LEAST_WORDS]
    return [one if len(one) <= _NAME_CHARS else f"{one[: _NAME_CHARS - 1]}…" for one in named]


def _sentences(text: str) -> list[str]:
    return [one for part in _SENTENCE_END.split(text) if (one := part.strip())]


def _place(body: Mapping[str, Json], span: VaryingSpan) -> str:
    if span.part == "tool":
        return "tools" if span.index < 0 else f"tool {span.index + 1}"
    inside = span.path[2:] if span.path else ("content",)
    fields = message_at(body, span.index)
    content = fields.get("content")
    line = content.count("\n", 0, span.start) + 1 if isinstance(content, str) else 1
    place = f"{fields.get('role', '')} message {span.index + 1}"
    if inside == ("content",):
        return f"{place}, line {line}"
    parts = {"tool_calls": ", tool calls", "tool_call_id": ", id of the tool call"}
    return place + (parts.get(str(inside[0]), "") if inside else "")


def as_template(request: RecordedRequest, others: Sequence[RecordedRequest]) -> Document:
    """Return a request as a prompt whose varying spans are variables, with their values. `others`: of its program."""
    spans = varying_spans([request.body, *(other.body for other in others)])
    return _with_variables(request.body, [span for span in spans if span.request == 0])


def _with_variables(body: Mapping[str, Json], spans: Sequence[VaryingSpan]) -> Document:
    document = document_of(dict(body))
    used = set(names(document.messages))
    end_of: dict[int, int] = {}
    for span in sorted(spans, key=lambda span: (span.index, span.start), reverse=True):
        if span.part != "message" or span.history or span.index >= len(document.messages):
            continue
        message = document.messages[span.index]
        content = message.content or ""
        if content[: span.end] != _content(body, span.index)[: span.end] or span.end > end_of.get(span.index, span.end):
            continue
        end_of[span.index] = span.start
        name = _free(span.kind, used)
        changed = f"{content[: span.start]}{{{{{name}}}}}{content[span.end :]}"
        document = document.with_message(span.index, replace(message, content=changed))
        document = document.with_variable(name, content[span.start : span.end])
    return document


def _free(kind: str, used: set[str]) -> str:
    candidates = (kind, *(f"{kind}_{number}" for number in range(2, len(used) + 2)))
    name = next(name for name in candidates if name not in used)
    used.add(name)
    return name


def message_at(body: Mapping[str, Json], index: int) -> Mapping[str, Json]:
    """Return a message of a request's body; empty if it has none there."""
    messages = body.get("messages")
    message = messages[index] if isinstance(messages, list) and index < len(messages) else None
    return message if isinstance(message, dict) else {}


def _content(body: Mapping[str, Json], index: int) -> str:
    content = message_at(body, index).get("content")
    return content if isinstance(content, str) else ""


class Rewrite(Struct, frozen=True):
    """A change of the program, shown by one of its bodies before and after it."""

    title: str
    before: Document
    after: Document


def rewrites(leak: Leak) -> tuple[Rewrite, ...]:
    """Return changes that remove a leak, the most cautious first; empty if no change of one body can show it."""
    span, before = leak.span, document_of(dict(leak.body))
    if span.history:
        return ()
    match span.rewrite:
        case "sort_tools":
            found = sorted_tools(before)
            return (Rewrite(found.title, before, found.after),) if found else ()
        case "sort_keys" if span.part == "tool":
            in_order = (json.dumps(dict(tool.definition), sort_keys=True) for tool in before.tools)
            tools = tuple(Tool.of(json.loads(text)) for text in in_order)
            return (Rewrite("Sort the keys", before, replace(before, tools=tools)),)
        case "move_behind_stable_text" if span.part == "message":
            template = _with_variables(leak.body, [span])
            made = proposals(template, next(iter(template.variables), None)) or proposals(template)
            return tuple(Rewrite(one.title, before, _rendered(one.after)) for one in made)
        case "normalize_whitespace" if span.part == "message":
            message = before.messages[span.index]
            content = message.content or ""
            joined = " ".join(content[span.start : span.end].split()) or " "
            changed = replace(message, content=content[: span.start] + joined + content[span.end :])
            return (Rewrite("Use one space", before, before.with_message(span.index, changed)),)
    return ()


def _rendered(document: Document) -> Document:
    messages = tuple(
        message
        if message.content is None
        else replace(message, content=render(message.content, document.variables).text)
        for message in document.messages
    )
    return replace(document, messages=messages, variables={})
