"""Requests like those of voice agents, for the log's benchmarks: shared prompts, growing conversations, streamed
answers.

Deterministic: every run makes the same requests. Measures nothing.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RawEvent,
    Usage,
    UsageReported,
)
from playground.runs.record import RequestRecord

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AGENTS = 40
FAILS, CUT_SHORT, TALKS, PERSONAL = 0.02, 0.01, 0.4, 0.3
"""Shares: failed requests, answers that end by length, turns of a conversation, agents that name the caller."""
_TEXT = (
    "the of and to in is you that it for on are as with they at be this have from or one had by but what all were we "
    "when your can said there use each which she do how their if will other about out many then them these some her "
    "would make like time has look two more write go see number way could people than first been call who its now find "
    "long day did get come made may part over new take only little work know place year live back give most very after "
    "thing our just name good think where help through much before line right too same tell want show around three "
    "small set put end does another well large must because here why ask need land different home move try hand again "
    "change off away house point page letter answer found still should appointment clinic doctor insurance balance "
    "invoice payment refund schedule morning afternoon evening prescription pharmacy patient record transfer billing "
    "account confirm cancel reschedule urgent emergency nurse receptionist laboratory result blood pressure referral "
    "temperature vaccination certificate specialist consultation"
)
_WORDS = _TEXT.split()
_OTHER = ("मेरी किताब कहाँ है", "我的预约在哪里，请告诉我", "أين كتابي الجديد", "¿Dónde está mi cita?", "予約を変更したい")
RARE = "zweitmeinung"
"""A word that occurs in one question of 20,000."""


@dataclass(slots=True)
class _Agent:
    """A prompt that many requests share, with its conversation."""

    system: str
    tools: list[dict[str, object]]
    personal: bool
    turns: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Made:
    """One request with its events."""

    record: RequestRecord
    events: list[AnyEvent]


def requests(count: int, seed: int = 5, first: int = 0) -> Iterator[Made]:
    """Yield `count` requests from number `first` on, three per minute, in order of time."""
    chance = random.Random(seed)
    agents = [_agent(chance) for _ in range(AGENTS)]
    for n in range(first, first + count):
        yield _request(chance, agents[min(int(chance.paretovariate(0.6)) - 1, AGENTS * 1000) % AGENTS], n)


def _agent(chance: random.Random) -> _Agent:
    paragraphs = [_words(chance, chance.randint(30, 120)) for _ in range(chance.randint(4, 16))]
    tools: list[dict[str, object]] = [_tool(chance, n) for n in range(chance.choice((0, 0, 2, 6)))]
    return _Agent("\n\n".join(paragraphs), tools, chance.random() < PERSONAL)


def _tool(chance: random.Random, n: int) -> dict[str, object]:
    properties = {f"field_{k}": {"type": "string", "description": _words(chance, 8)} for k in range(3)}
    parameters = {"type": "object", "properties": properties, "required": ["field_0"]}
    function = {"name": f"tool_{n}", "description": _words(chance, 20), "parameters": parameters}
    return {"type": "function", "function": function}


def _words(chance: random.Random, count: int) -> str:
    picked = chance.choices(_WORDS, k=count)
    if chance.random() < 0.5:
        picked[chance.randrange(count)] = f"{chance.choice('ABCDEF')}{chance.randrange(100_000)}"
    return " ".join(picked)


def _question(chance: random.Random, n: int) -> str:
    if n % 20_000 == 7:
        return f"About {RARE} number {n}?"
    if n % 200 == 3:
        return f"{chance.choice(_OTHER)} {n}"
    return _words(chance, chance.randint(6, 25)).capitalize() + "?"


def _request(chance: random.Random, agent: _Agent, n: int) -> Made:
    talking = chance.random() < TALKS
    if not talking or len(agent.turns) >= 16:
        agent.turns.clear()
    question, answer = _question(chance, n), _words(chance, chance.randint(15, 90)).capitalize() + "."
    system = agent.system
    if agent.personal:  # a variable in the midst of a long text, as voice agents have it
        half = len(system) // 2
        system = f"{system[:half]} The caller is number {n}. {system[half:]}"
    messages = [{"role": "system", "content": system}, *agent.turns, {"role": "user", "content": question}]
    record = _record(n, messages, agent.tools)
    failed = chance.random() < FAILS
    events = _failed(chance) if failed else _answered(chance, n, answer, len(record.body) // 4)
    if talking and not failed:
        agent.turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return Made(record, events)


def _record(n: int, messages: list[dict[str, str]], tools: list[dict[str, object]]) -> RequestRecord:
    fields: dict[str, object] = {"model": "electron", "messages": messages, "stream": True}
    if tools:
        fields["tools"] = tools
    document = {"version": 1, "messages": messages, "tools": tools, "parameters": {}, "variables": {}}
    body = json.dumps(fields, ensure_ascii=False).encode()
    at = BEGAN + timedelta(minutes=n / 3)
    kind = ("electron", "Electron") if n % 10 else ("simulator", "Simulator")
    return RequestRecord(
        *(uuid.UUID(int=random.Random(n).getrandbits(128)).hex, *kind),
        endpoint_kind="electron" if n % 10 else "simulator",
        base_url="https://example.test/v1",
        model="electron",
        started_utc=at,
        body=body,
        document=json.dumps(document, ensure_ascii=False, indent=1),
    )


def _headers(chance: random.Random, status: int) -> tuple[str, HeadersReceived]:
    request_id = str(uuid.UUID(int=chance.getrandbits(128)))
    headers = (
        ("date", "Mon, 23 Nov 2026 14:02:11 GMT"),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("transfer-encoding", "chunked"),
        ("x-request-id", request_id),
        ("cache-control", "no-cache"),
        ("server", "uvicorn"),
    )
    return request_id, HeadersReceived(chance.uniform(0.05, 0.2), status, request_id, "text/event-stream", headers)


def _answered(chance: random.Random, n: int, answer: str, prompt_tokens: int) -> list[AnyEvent]:
    request_id, headers = _headers(chance, 200)
    events: list[AnyEvent] = [AttemptStarted(0.0, 1), headers, BodyIdReceived(0.21, f"chatcmpl-{request_id}", None)]
    at, words = 0.21, answer.split(" ")
    head = f'{{"id":"chatcmpl-{request_id}","object":"chat.completion.chunk","created":{1_767_225_600 + n},'
    for place, word in enumerate(words):
        at = round(at + chance.expovariate(100), 6)  # as the log keeps it
        piece = word if place == 0 else f" {word}"
        raw = (
            f'{head}"model":"electron","choices":[{{"index":0,"delta":{{"content":"{piece}"}},"finish_reason":null}}]}}'
        )
        events += [RawEvent(at, raw), ContentDelta(at, piece)]
    cached = chance.choice((0, prompt_tokens // 2, prompt_tokens * 9 // 10, None))
    usage = Usage(prompt_tokens, len(words), prompt_tokens + len(words), cached)
    reason = "length" if chance.random() < CUT_SHORT else "stop"
    return [*events, Finished(at, reason), UsageReported(at, usage), Completed(at + 0.001)]


def _failed(chance: random.Random) -> list[AnyEvent]:
    status = chance.choice((429, 429, 429, 500, 503, 400))
    request_id, headers = _headers(chance, status)
    body = json.dumps({"error": {"message": f"Refused: {_words(chance, 8)}", "type": "error", "status": status}})
    error = ApiError("http", "Too many requests" if status == 429 else "The server failed", status=status, body=body)
    return [AttemptStarted(0.0, 1), headers, AttemptFailed(0.3, error, request_id)]
