"""Generate request bodies of made-up programs whose varying spans are known.

Independent of the finder: no code or word list of the program is used, dates and numbers are formatted by Babel.
Each program has a template in one of 10 languages, zero to four varying spans in front of stable text, and several
conversations that grow turn by turn. The last question always differs; that is no leak.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from babel.dates import format_date, format_time
from babel.numbers import format_decimal

from tests.leaks.texts import LANGUAGES, Language

KINDS = (
    *("date", "time", "uuid", "counter", "name", "number", "reordered_keys", "reordered_tools", "whitespace"),
    *("retrieved_text", "history_truncation"),
)


@dataclass
class Leak:
    """One varying span. `message` is its index, None for the tools; `start`, `end` are offsets in the first body."""

    kind: str
    message: int | None
    start: int = 0
    end: int = 0
    values: list[str] = field(default_factory=list)


@dataclass
class Program:
    """What one program sent, oldest first, and the spans that vary in it."""

    seed: int
    language: str
    bodies: list[dict[str, Any]]
    leaks: list[Leak]


@dataclass
class _Moment:
    """What one request knows when it fills the template."""

    rng: random.Random
    words: Language
    now: datetime
    turn: int
    conversation: int
    name: str
    session: str
    documents: list[str]
    date_format: str = "long"


def programs(count: int = 200, *, requests: int = 12, rules: tuple[int, int] = (8, 30)) -> Iterator[Program]:
    """Yield programs 0 to count - 1; the same ones each time."""
    for seed in range(count):
        yield program(seed, requests=requests, rules=rules)


def program(seed: int, *, requests: int = 12, rules: tuple[int, int] = (8, 30)) -> Program:
    """Return one program."""
    rng = random.Random(f"leaks {seed}")
    words = LANGUAGES[seed % len(LANGUAGES)]
    kinds = _kinds(rng, seed)
    inline = [kind for kind in kinds if kind in _VALUES]
    leaks = {kind: Leak(kind, None if kind == "reordered_tools" else 0) for kind in kinds}
    template = _template(rng, words, inline, rng.randint(*rules))
    tools = _tools(rng, words, rng.randint(3, 6) if {"reordered_tools"} & set(kinds) else rng.randint(0, 4))
    if "reordered_keys" in kinds and len(tools) < 2:
        leaks["reordered_keys"].message = 0
    elif "reordered_keys" in kinds:
        leaks["reordered_keys"].message = None
    bodies: list[dict[str, Any]] = []
    now = datetime(2026, 11, 20, 9, 3, 11) + timedelta(days=seed)
    conversation, turn, history = 0, 0, list[dict[str, Any]]()
    left = rng.randint(2, 5)
    date_format = rng.choice(("short", "medium", "long", "full"))
    moment = _moment(rng, words, now, conversation)
    for _ in range(requests):
        if left == 0:
            conversation, turn, history, left = conversation + 1, 0, [], rng.randint(2, 5)
            now += timedelta(hours=rng.choice((1, 20, 26)))
            moment = _moment(rng, words, now, conversation)
        now += timedelta(seconds=rng.randint(20, 200))
        turn, left = turn + 1, left - 1
        moment.now, moment.turn, moment.date_format = now, turn, date_format
        moment.documents = rng.sample(words.documents, 2)
        system = _fill(template, moment, leaks, first=not bodies)
        if "whitespace" in kinds:
            system = _spaced(rng, system, leaks["whitespace"], len(bodies))
        if "reordered_keys" in kinds and leaks["reordered_keys"].message == 0:
            system = _with_profile(rng, system, leaks["reordered_keys"], len(bodies))
        history.append({"role": "user", "content": f"{rng.choice(words.questions)} {rng.randint(100, 999)}"})
        sent = history[-3:] if "history_truncation" in kinds and len(history) > 3 else history
        body: dict[str, Any] = {"model": "electron", "messages": [{"role": "system", "content": system}, *sent]}
        offered = _offered(rng, tools, kinds, leaks, len(bodies))
        if offered:
            body["tools"] = offered
        bodies.append(json.loads(json.dumps(body)))
        history.append({"role": "assistant", "content": f"{rng.choice(words.answers)} {rng.randint(100, 999)}"})
    if "history_truncation" in kinds:
        leaks["history_truncation"].message = 1
    return Program(seed, words.code, bodies, [leak for leak in leaks.values() if _varies(leak, bodies)])


def _kinds(rng: random.Random, seed: int) -> list[str]:
    if seed % 12 == 11:
        return []
    found = [KINDS[seed % len(KINDS)]]
    if rng.random() < 0.5:
        found += rng.sample([kind for kind in KINDS if kind not in found], rng.randint(1, 2))
    # Two leaks that reorder or respace the same text would hide each other.
    return [kind for kind in found if kind != "whitespace" or found[0] == "whitespace"]


def _moment(rng: random.Random, words: Language, now: datetime, conversation: int) -> _Moment:
    session = str(uuid.UUID(int=rng.getrandbits(128), version=4))
    return _Moment(rng, words, now, 0, conversation, rng.choice(words.names), session, [])


def _varies(leak: Leak, bodies: list[dict[str, Any]]) -> bool:
    if leak.kind in ("reordered_keys", "reordered_tools", "whitespace"):
        return len(set(leak.values)) > 1
    if leak.kind == "history_truncation":
        return any(
            len(later["messages"]) > 2
            and later["messages"][1] not in earlier["messages"][1:2]
            and later["messages"][1] in earlier["messages"]
            for earlier, later in pairwise(bodies)
        )
    return len(set(leak.values)) > 1


_VALUES: dict[str, Callable[[_Moment], str]] = {
    "date": lambda m: format_date(m.now, m.date_format, locale=m.words.code),
    "time": lambda m: format_time(m.now, "short", locale=m.words.code),
    "uuid": lambda m: m.session,
    "counter": lambda m: str(m.turn),
    "name": lambda m: m.name,
    "number": lambda m: format_decimal(round(m.now.timestamp() * 7 % 98_765, 2), locale=m.words.code),
    "retrieved_text": lambda m: "\n".join(m.documents),
}


def _template(rng: random.Random, words: Language, kinds: list[str], rules: int) -> list[tuple[str, str]]:
    """Return pieces (text, kind of the value behind it or "")."""
    lines = [f"{number}. {rng.choice(words.rules)}" for number in range(1, rules + 1)]
    pieces: list[tuple[str, str]] = [(f"{words.opening}\n", "")]
    places = sorted(rng.sample(range(max(len(lines) - 3, len(kinds))), len(kinds)))
    for number, line in enumerate(lines):
        if number in places:
            kind = kinds[places.index(number)]
            before, after = rng.choice(words.slots[kind])
            pieces += [(before, kind), (f"{after}\n", "")]
        pieces.append((f"{line}\n", ""))
    return pieces


def _fill(template: list[tuple[str, str]], moment: _Moment, leaks: dict[str, Leak], *, first: bool) -> str:
    text = ""
    for piece, kind in template:
        text += piece
        if kind:
            value = _value(kind, moment)
            if first:
                leaks[kind].start, leaks[kind].end = len(text), len(text) + len(value)
            leaks[kind].values.append(value)
            text += value
    return text


def _value(kind: str, moment: _Moment) -> str:
    return str(_VALUES[kind](moment))


def _spaced(rng: random.Random, text: str, leak: Leak, number: int) -> str:
    """Double one space, or add one at a line's end, in about half of the requests."""
    lines = text.split("\n")
    at = len(lines) // 2
    wide = number % 2 == 1
    leak.values.append("wide" if wide else "narrow")
    if number == 0:
        leak.start = len("\n".join(lines[:at]))
        leak.end = leak.start + len(lines[at]) + 1
    if wide:
        lines[at] = lines[at].replace(" ", "  ", 1) if " " in lines[at] else lines[at] + " "
    return "\n".join(lines)


def _with_profile(rng: random.Random, text: str, leak: Leak, number: int) -> str:
    fields = [("plan", "gold"), ("city", "Pune"), ("since", 2019), ("vip", True)]
    rng.shuffle(fields)
    profile = json.dumps(dict(fields))
    leak.values.append(profile)
    head, rest = text.split("\n", 1)
    if number == 0:
        leak.start, leak.end = len(head) + 1, len(head) + 1 + len(profile)
    return f"{head}\n{profile}\n{rest}"


def _tools(rng: random.Random, words: Language, count: int) -> list[dict[str, Any]]:
    names = rng.sample(("get_order", "cancel_order", "find_store", "book_slot", "get_weather", "transfer_call"), count)
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": rng.choice(words.rules),
                "parameters": {
                    "type": "object",
                    "properties": {"id": {"type": "string", "description": "The id."}, "day": {"type": "string"}},
                    "required": ["id"],
                },
            },
        }
        for name in names
    ]


def _offered(
    rng: random.Random, tools: list[dict[str, Any]], kinds: list[str], leaks: dict[str, Leak], number: int
) -> list[dict[str, Any]]:
    offered = list(tools)
    if "reordered_tools" in kinds:
        rng.shuffle(offered)
        leaks["reordered_tools"].values.append(",".join(tool["function"]["name"] for tool in offered))
    if "reordered_keys" in kinds and leaks["reordered_keys"].message is None:
        first = min(offered, key=lambda tool: str(tool["function"]["name"]))
        keys = list(first["function"]["parameters"]["properties"].items())
        if number % 2:
            keys.reverse()
        leaks["reordered_keys"].values.append(",".join(key for key, _ in keys))
        parameters = {**first["function"]["parameters"], "properties": dict(keys)}
        changed = {"type": "function", "function": {**first["function"], "parameters": parameters}}
        offered = [changed if tool is first else tool for tool in offered]
    return offered
