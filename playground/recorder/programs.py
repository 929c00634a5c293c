"""What recorded requests say about the programs that sent them: prompt families, figures, and leaks of the prefix."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from playground.client.events import Usage
from playground.client.pricing import cost
from playground.prefix_cache.mend import proposals, sorted_tools
from playground.prefix_cache.varying_spans import SpanKind, VaryingSpan, families, varying_spans
from playground.prompt.document import Document, Json, Tool
from playground.prompt.variables import names, render
from playground.recorder.capture import document_of
from playground.requestlog.records import LogRow

KINDS: dict[SpanKind, str] = {
    "date": "Date",
    "time": "Time",
    "uuid": "UUID",
    "identifier": "Identifier",
    "counter": "Counter",
    "name": "Name",
    "number": "Number",
    "contact": "Contact data",
    "reordered_keys": "Order of keys",
    "reordered_tools": "Order of tools",
    "reordered_text": "Order of text",
    "changed_tools": "Set of tools",
    "whitespace": "Whitespace",
    "retrieved_text": "Retrieved text",
    "history_truncation": "Truncated history",
    "text": "Text",
}
ADVICE = {
    "move_behind_stable_text": "Move the value behind the stable text in your program.",
    "sort_keys": "Serialise the definition with sorted keys in your program.",
    "sort_tools": "Sort the tools by name in your program.",
    "normalize_whitespace": "Send the same whitespace in every request.",
    "append_only": "Append new turns and keep the old ones; if the history must be shortened, drop many turns at once.",
    "none": "Send the same tools in every request, or put requests with other tools into an own prompt.",
}
_NAME_CHARS = 60
_SENTENCE_END = re.compile(r"(?<=[.!?\u3002\u0964])\s*|\n+")


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A row of the log with its body; an empty body if it is not in memory or not readable."""

    row: LogRow
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over requests. Only rows that reported both token counts are part of the hit rate; None is unknown."""

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
    both = [(row, row.prompt_tokens, row.cached_tokens) for row in rows]
    known = [(row, prompt, cached) for row, prompt, cached in both if prompt is not None and cached is not None]
    cold = [row.ttft_s for row, _, cached in known if not cached and row.ttft_s is not None]
    warm = [row.ttft_s for row, _, cached in known if cached and row.ttft_s is not None]
    prices = [
        cost(Usage(row.prompt_tokens, row.completion_tokens, None, row.cached_tokens), row.rates).input for row in rows
    ]
    paid = [price for price in prices if price is not None]
    return Figures(
        len(rows),
        len(known),
        sum(prompt for _, prompt, _ in known),
        sum(cached for _, _, cached in known),
        median(cold) if cold else None,
        median(warm) if warm else None,
        sum(paid) if paid else None,
        len(paid),
    )


@dataclass(frozen=True, slots=True)
class Program:
    """Requests that share the head of their prompt, oldest first, with the conversations among them."""

    name: str
    run_ids: tuple[str, ...]
    conversations: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Leak:
    """A varying span with its place and price. `blocked_by`: title of the span in front, which must be fixed first.

    `dollars` per 1,000 requests of the program, at the rates of its newest request; None without rates.
    """

    program: int
    span: VaryingSpan
    run_id: str
    body: Mapping[str, Json]
    place: str
    dollars: float | None
    blocked_by: str = ""

    @property
    def title(self) -> str:
        """Return the kind in words."""
        return KINDS[self.span.kind]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Programs in the order of their first request, and their leaks, the most expensive first."""

    programs: tuple[Program, ...] = ()
    leaks: tuple[Leak, ...] = ()

    def lost(self, program: int) -> float | None:
        """Return the dollars per 1,000 requests that the leaks of a program cost at least; None without rates.

        Spans behind another one overlap with its cost, so the largest counts alone.
        """
        prices = [leak.dollars for leak in self.leaks if leak.program == program and leak.dollars is not None]
        return max(prices, default=None)


def analyse(requests: Sequence[RecordedRequest]) -> Analysis:
    """Group requests, oldest first, into programs and find what varies in each. Pure and slow: call it in a worker."""
    bodies = [request.body for request in requests]
    groups = families(bodies)
    spans = varying_spans(bodies)
    leaks = []
    for span in spans:
        rates = requests[groups[span.family][-1]].row.rates
        front = "" if span.behind is None else KINDS[spans[span.behind].kind]
        request = requests[span.request]
        price = span.dollars(rates.fresh, rates.cached)
        leaks.append(
            Leak(span.family, span, request.row.run_id, request.body, _place(request.body, span), price, front)
        )
    leaks.sort(key=lambda leak: -leak.span.tokens_per_request)
    members = [[requests[index] for index in group] for group in groups]
    found = program_names([(group[0].body, group[-1].body) for group in members])
    return Analysis(tuple(map(_program, found, members)), tuple(leaks))


def _program(name: str, members: Sequence[RecordedRequest]) -> Program:
    conversations: dict[str, list[str]] = {}
    for member in members:
        conversations.setdefault(member.row.conversation or "", []).append(member.row.run_id)
    return Program(
        name,
        tuple(member.row.run_id for member in members),
        {key: tuple(run_ids) for key, run_ids in conversations.items()},
    )


def program_names(bodies: Sequence[tuple[Mapping[str, Json], Mapping[str, Json]]]) -> list[str]:
    """Return a name for each program from its first and its last body: the first sentence that both have and that no
    other program has."""
    shared = [_shared_sentences(first, last) for first, last in bodies]
    names_: list[str] = []
    for number, sentences in enumerate(shared):
        others = {sentence for at, other in enumerate(shared) if at != number for sentence in other}
        chosen = next((sentence for sentence in sentences if sentence not in others), "")
        name = chosen or next(iter(sentences), "") or "Without text"
        copies = sum(known == name or known.startswith(f"{name} (") for known in names_)
        names_.append(f"{name} ({copies + 1})" if copies else name)
    return names_


def _shared_sentences(first: Mapping[str, Json], last: Mapping[str, Json]) -> list[str]:
    content, other = _content(first, 0), _content(last, 0)
    sentences = [" ".join(one.split()) for one in _SENTENCE_END.split(content) if one.strip() and one in other]
    return [
        one if len(one) <= _NAME_CHARS else f"{one[: _NAME_CHARS - 1]}…" for one in sentences or content.split("\n")
    ]


def _place(body: Mapping[str, Json], span: VaryingSpan) -> str:
    if span.part == "tool":
        return "tools" if span.index < 0 else f"tool {span.index + 1}"
    messages = body.get("messages")
    message = messages[span.index] if isinstance(messages, list) and span.index < len(messages) else None
    fields = message if isinstance(message, dict) else {}
    content = fields.get("content")
    line = content.count("\n", 0, span.start) + 1 if isinstance(content, str) else 1
    return f"{fields.get('role', '')} message {span.index + 1}, line {line}"


def as_template(request: RecordedRequest, others: Sequence[RecordedRequest]) -> Document:
    """Return a request as a prompt whose varying spans are variables, with their values. `others`: of its program."""
    spans = varying_spans([request.body, *(other.body for other in others)])
    return _with_variables(request.body, [span for span in spans if span.request == 0])


def _with_variables(body: Mapping[str, Json], spans: Sequence[VaryingSpan]) -> Document:
    document = document_of(dict(body), _text(body))
    used = set(names(document.messages))
    end_of: dict[int, int] = {}
    for span in sorted(spans, key=lambda span: (span.index, span.start), reverse=True):
        if span.part != "message" or span.kind == "history_truncation" or span.index >= len(document.messages):
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


def _content(body: Mapping[str, Json], index: int) -> str:
    messages = body.get("messages")
    message = messages[index] if isinstance(messages, list) and index < len(messages) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def _text(body: Mapping[str, Json]) -> str:
    return json.dumps(body, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A change of the program, shown by one of its bodies before and after it."""

    title: str
    before: Document
    after: Document


def rewrites(leak: Leak) -> tuple[Rewrite, ...]:
    """Return changes that remove a leak, the most cautious first; empty if no change of one body can show it."""
    span, before = leak.span, document_of(dict(leak.body), _text(leak.body))
    match span.rewrite:
        case "sort_tools":
            found = sorted_tools(before)
            return (Rewrite(found.title, before, found.after),) if found else ()
        case "sort_keys" if span.part == "tool":
            tools = tuple(Tool.of(_sorted(tool.definition)) for tool in before.tools)
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


def _sorted(value: Mapping[str, Json]) -> dict[str, Json]:
    sorted_value: dict[str, Json] = json.loads(json.dumps(dict(value), sort_keys=True))
    return sorted_value


def _rendered(document: Document) -> Document:
    messages = tuple(
        message
        if message.content is None
        else replace(message, content=render(message.content, document.variables).text)
        for message in document.messages
    )
    return replace(document, messages=messages, variables={})
