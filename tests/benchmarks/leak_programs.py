"""Second generator of programs with labelled varying spans; frozen before the finder was measured on it.

It shares no code or text with `tests/leaks` and no word list with the finder. Differences in kind: other languages, six
prompt layouts, stable decoys (dates, identifiers, numbers that never change), families mixed in one list, and exact
ranges as labels instead of sample values. Do not change it to make a figure better.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from babel.dates import format_date, format_datetime, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from tests.benchmarks.leak_texts import LANGUAGES, Texts

KINDS = (
    *("date", "time", "uuid", "counter", "name", "number", "reordered_keys", "reordered_tools", "whitespace"),
    *("retrieved_text", "history_truncation"),
)
LAYOUTS = ("prose", "key_value", "json", "xml", "markdown", "one_line")
Ranges = dict[int, tuple[int, int]]
"""Code points of a value in the message, for each request."""


@dataclass
class Leak:
    """One varying span. `accepted`: right kinds. `message`: None for tools; `ranges`: empty for tools and history."""

    kind: str
    accepted: frozenset[str]
    message: int | None
    ranges: Ranges = field(default_factory=dict)


@dataclass
class Program:
    """Requests of one program, oldest first. `conversation_starts_at`: index of the first message after the head."""

    seed: int
    language: str
    layout: str
    bodies: list[dict[str, Any]]
    leaks: list[Leak]
    conversation_starts_at: int


@dataclass
class _Request:
    number: int
    rng: random.Random
    now: datetime
    texts: Texts
    start: int
    """First value of counters."""


_Value = Callable[[_Request], str]


def _date(rng: random.Random) -> tuple[_Value, set[str]]:
    pattern = rng.choice(("short", "medium", "long", "full", "yyyy-MM-dd", "dd/MM/yyyy", "EEEE, d MMMM"))
    return (lambda r: str(format_date(r.now, pattern, locale=r.texts.locale))), {"date"}


def _time(rng: random.Random) -> tuple[_Value, set[str]]:
    form = rng.randrange(5)
    if form == 0:
        return (lambda r: r.now.strftime("%Y-%m-%dT%H:%M:%SZ")), {"time", "date"}
    if form == 1:
        return (lambda r: str(format_datetime(r.now, "medium", locale=r.texts.locale))), {"time", "date"}
    pattern = ("short", "medium", "HH:mm:ss")[form - 2]
    return (lambda r: str(format_time(r.now.time(), pattern, locale=r.texts.locale))), {"time"}


def _uuid(rng: random.Random) -> tuple[_Value, set[str]]:
    form = rng.randrange(4)
    kinds = {"uuid"} if form < 3 else {"uuid", "identifier"}

    def value(request: _Request) -> str:
        drawn = uuid.UUID(int=request.rng.getrandbits(128), version=4)
        return (str(drawn), str(drawn).upper(), f"session-{drawn}", drawn.hex)[form]

    return value, kinds


def _counter(rng: random.Random) -> tuple[_Value, set[str]]:
    form = rng.choice(("{}", "#{}", "{:05d}", "no. {}"))
    return (lambda r: form.format(r.start + r.number)), {"counter"}


def _name(rng: random.Random) -> tuple[_Value, set[str]]:
    return (lambda r: r.rng.choice(r.texts.names)), {"name"}


def _number(rng: random.Random) -> tuple[_Value, set[str]]:
    form = rng.randrange(3)

    def value(request: _Request) -> str:
        amount, locale = request.rng.uniform(1_000, 4_000_000), request.texts.locale
        if form == 0:
            return str(format_decimal(round(amount, 2), locale=locale))
        if form == 1:
            return str(format_currency(round(amount, 2), request.texts.currency, locale=locale))
        return str(format_percent(round(amount % 100, 1) / 100, "#,##0.0%", locale=locale))

    return value, {"number"}


def _reordered_keys(rng: random.Random) -> tuple[_Value, set[str]]:
    fields = {
        "plan": "premium",
        "region": rng.choice(("eu-west", "ap-south", "us-east")),
        "limits": {"calls": 40, "minutes": 300, "agents": 3},
        "channels": ["voice", "chat"],
        "consent": True,
        "retention_days": 30,
    }
    form = rng.randrange(3)

    def value(request: _Request) -> str:
        keys = list(fields)
        request.rng.shuffle(keys)
        if form == 2:
            return "\n".join(f"{key}: {json.dumps(fields[key])}" for key in keys)
        return json.dumps({key: fields[key] for key in keys}, indent=2 if form else None)

    return value, {"reordered_keys"} if form < 2 else {"reordered_keys", "reordered_text"}


def _whitespace(rng: random.Random) -> tuple[_Value, set[str]]:
    first, second = rng.choice(
        (("\n", "\n\n"), (" ", "  "), ("\n", "\r\n"), (" ", "\t"), ("\n", " \n"), (" ", "\u00a0"))
    )
    return (lambda r: first if r.rng.random() < 0.5 else second), {"whitespace"}


def _retrieved_text(rng: random.Random) -> tuple[_Value, set[str]]:
    many = rng.choice((1, 2, 3))
    glue = rng.choice(("\n\n", "\n---\n", "\n- "))
    return (lambda r: glue.join(r.rng.sample(r.texts.passages, many))), {"retrieved_text"}


_VALUES: dict[str, Callable[[random.Random], tuple[_Value, set[str]]]] = {
    "date": _date,
    "time": _time,
    "uuid": _uuid,
    "counter": _counter,
    "name": _name,
    "number": _number,
    "reordered_keys": _reordered_keys,
    "whitespace": _whitespace,
    "retrieved_text": _retrieved_text,
}


@dataclass
class _Slot:
    """A place in the system message: a stable label and a value that changes."""

    kind: str
    label: str
    value: _Value
    leak: Leak


class _Builder:
    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, random.Random(f"leaks-{seed}")
        self.texts = LANGUAGES[seed % len(LANGUAGES)]
        self.layout = LAYOUTS[seed // len(LANGUAGES) % len(LAYOUTS)]
        self.lines = self._stable_lines()
        self.leaks: list[Leak] = []

    def program(self) -> Program:
        rng = self.rng
        count = 0 if self.seed % 12 == 11 else rng.choice((1, 1, 2, 2, 3))
        kinds = rng.sample(KINDS, count)
        slots = self._slots([kind for kind in kinds if kind in _VALUES])
        tools = self._tools() if "reordered_tools" in kinds or rng.random() < 0.4 else []
        if "reordered_tools" in kinds:
            self.leaks.append(Leak("reordered_tools", frozenset({"reordered_tools"}), None))
        second_system = rng.random() < 0.2
        start = 2 if second_system else 1
        truncated = "history_truncation" in kinds
        if truncated:
            self.leaks.append(Leak("history_truncation", frozenset({"history_truncation"}), start))
        requests = rng.randint(9, 14) if truncated else rng.randint(6, 14)
        now = datetime(2026, rng.randint(1, 12), rng.randint(1, 20), rng.randint(0, 20), rng.randint(0, 59))
        counter, bodies = rng.randint(1, 4_000), []
        turns = self._turns(requests, truncated)
        for number in range(requests):
            now += timedelta(minutes=rng.randint(1, 90)) if rng.random() < 0.6 else timedelta(days=rng.randint(1, 9))
            request = _Request(number, random.Random(f"{self.seed}-{number}"), now, self.texts, counter)
            messages = [{"role": "system", "content": self._fill(slots, request)}]
            if second_system:
                messages.append({"role": "system", "content": "\n".join(self.texts.lines[:4])})
            body: dict[str, Any] = {"model": "electron", "messages": [*messages, *turns[number]]}
            if tools:
                offered = rng.sample(tools, len(tools)) if "reordered_tools" in kinds else tools
                body["tools"] = offered
            bodies.append(body)
        return Program(self.seed, self.texts.locale, self.layout, bodies, self.leaks, start)

    def _stable_lines(self) -> list[str]:
        lines = self.rng.sample(self.texts.lines, len(self.texts.lines))
        decoys = (
            "Version 3.2.1 (2025-11-02), build 7f3a9c04-11d2-4c5e-9a77-0b1f6c2d8e90.",
            "Office hours 09:00-17:30, +1 555 0100, SLA 99.95 %, max. 1,200 items.",
            '{"schema": 4, "updated": "2024-02-29T10:00:00Z", "owner": "platform"}',
        )
        return [*lines[:3], *self.rng.sample(decoys, 2), *lines[3:]]

    def _slots(self, kinds: Sequence[str]) -> dict[int, _Slot]:
        """Return slots by the line they follow. At least three stable lines are behind each one."""
        places = self.rng.sample(range(len(self.lines) - 4), len(kinds))
        slots: dict[int, _Slot] = {}
        for place, kind in zip(places, kinds, strict=True):
            value, accepted = _VALUES[kind](self.rng)
            leak = Leak(kind, frozenset(accepted), 0)
            label = self.texts.labels.get(kind, "")
            slots[place] = _Slot(kind, label, value, leak)
            self.leaks.append(leak)
        return slots

    def _fill(self, slots: dict[int, _Slot], request: _Request) -> str:
        text = ""
        for number, line in enumerate(self.lines):
            text += self._line(number, line)
            slot = slots.get(number)
            if slot is None:
                text += " " if self.layout == "one_line" else "\n"
                continue
            before, after = self._frame(slot)
            value = slot.value(request)
            text += before
            slot.leak.ranges[request.number] = (len(text), len(text) + len(value))
            text += value + after
        return text

    def _line(self, number: int, line: str) -> str:
        return {"markdown": f"- {line}", "xml": f"<rule>{line}</rule>", "key_value": f"{number + 1}. {line}"}.get(
            self.layout, line
        )

    def _frame(self, slot: _Slot) -> tuple[str, str]:
        """Return the stable text around a value."""
        if slot.kind == "whitespace":
            return "", ""
        if slot.kind in ("retrieved_text", "reordered_keys"):
            return f"\n<context>\n{slot.label}\n", "\n</context>\n"
        forms = {
            "prose": (f"\n{slot.label} ", ".\n"),
            "key_value": (f"\n{slot.label}: ", "\n"),
            "json": (f'\n{{"{slot.kind}_value": "', '", "source": "crm"}\n'),
            "xml": (f"\n<{slot.kind}>", f"</{slot.kind}>\n"),
            "markdown": (f"\n- **{slot.label}**: ", "\n"),
            "one_line": (f" {slot.label} ", "; "),
        }
        return forms[self.layout]

    def _turns(self, requests: int, truncated: bool) -> list[list[dict[str, Any]]]:
        """Return the messages behind the head: single questions, growing conversations, or a sliding window."""
        questions, answers = self.texts.questions, self.texts.answers
        rng = self.rng
        if not truncated and rng.random() < 0.5:
            return [[{"role": "user", "content": f"{rng.choice(questions)} ({n})"}] for n in range(requests)]
        length = requests if truncated else rng.randint(3, 5)
        rows: list[list[dict[str, Any]]] = []
        while len(rows) < requests:
            talk: list[dict[str, Any]] = []
            for turn in range(length):
                talk.append({"role": "user", "content": f"{rng.choice(questions)} [{len(rows)}]"})
                rows.append(talk[-5:] if truncated else list(talk))
                talk.append({"role": "assistant", "content": f"{rng.choice(answers)} {turn + 1}."})
        return rows[:requests]

    def _tools(self) -> list[dict[str, Any]]:
        names = ("find_order", "book_slot", "transfer_call", "send_link", "end_call")[: self.rng.randint(3, 5)]
        parameters = {"type": "object", "properties": {"id": {"type": "string"}, "count": {"type": "integer"}}}
        return [
            {"type": "function", "function": {"name": name, "description": line, "parameters": parameters}}
            for name, line in zip(names, self.texts.lines, strict=False)
        ]


def programs(count: int = 240) -> Iterator[Program]:
    """Yield the programs; every twelfth has no varying span."""
    for seed in range(count):
        yield _Builder(seed).program()
