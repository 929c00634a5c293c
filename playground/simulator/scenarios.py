"""Scripted dialogues, to the millisecond: what the model says and calls, and when, turn after turn.

Asked for by the body field `scenario`: a name below, or the script itself, a list of turns, each a list of steps:
  {"at_ms": 250, "content": "One sec!"}
  {"at_ms": 280, "call": {"name": "get_balance", "arguments": "{}"}}
  {"at_ms": 300, "more": "…"}         more argument text of the last call
`at_ms` counts from the arrival of the request. The number of assistant messages since the last user message selects
the turn; after the last turn, the last one is repeated. Every chunk has `simulated_ms`, its scripted time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.simulator import wire
from playground.simulator.engine import pieces
from playground.simulator.reply import Call, SimulatedReply
from playground.simulator.wire import ErrorDetail

STATUSES = {
    "401": (401, "authentication_error", "The API key is missing or wrong"),
    "403": (403, "permission_error", "This plan has no access to the model"),
    "429": (429, "rate_limit_error", "Concurrency limit reached"),
    "500": (500, "internal_error", "Something broke"),
    "502": (502, "upstream_error", "The upstream is unavailable"),
    "503": (503, "overloaded_error", "The model is overloaded"),
}
OTHERS = {
    "cut": 8,
    "stall": 8,
    "slow_first_byte": 1000,
    "slow_headers": 1000,
    "not_sse": 0,
    "stream_error": 8,
    "no_usage_details": 0,
    "no_request_id": 0,
}
"""The other faults, with the number that is used if none is given."""

MOST_DIGITS = 7
_NUMBER = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}(?:\.[0-9]{{1,6}})?")


@dataclass(frozen=True)
class Fault:
    """One fault. `number` has the meaning in the table above; None if none was given."""

    name: str
    number: float | None = None


class UnknownFault(ValueError):  # noqa: N818 - bad input
    """Raised for an unknown fault name."""


def parse(text: str) -> Fault:
    """Parse a fault. Raises UnknownFault, whose message lists all faults."""
    name, _, number = text.strip().partition("=")
    if name not in STATUSES and name not in OTHERS:
        raise UnknownFault(f"no fault is called {name!r}; there are: {', '.join((*STATUSES, *OTHERS))}")
    if not number:
        return Fault(name, OTHERS.get(name))
    if not _NUMBER.fullmatch(number):
        raise UnknownFault(f"{number!r} is not a number from 0 to {10**MOST_DIGITS - 1:,}")
    return Fault(name, float(number))


MOST_MS = 600_000
VOICE_EXAMPLE = "voice_example"

_BALANCE = {"name": "get_balance", "arguments": '{"account":'}
SCENARIOS: Mapping[str, Any] = {
    # The vendor's reckoning (electron-api.md, Tools and the filler phrase): filler at 250 ms, call known at 280 ms;
    # with a tool of 520 ms and a pipeline of 350 ms the filler is heard at 600 ms and the answer at 1,200 ms.
    VOICE_EXAMPLE: [
        [
            {"at_ms": 250, "content": "One sec!"},
            {"at_ms": 270, "call": _BALANCE},
            {"at_ms": 280, "more": '"AC-10442"}'},
        ],
        [{"at_ms": 50, "content": "It is ₹412!"}, {"at_ms": 90, "content": " Anything else?"}],
    ],
    "no_end": [[{"at_ms": 1, "content": "Again. "}, {"at_ms": 2, "call": {"name": "get_balance", "arguments": "{}"}}]],
}


@dataclass(frozen=True)
class ScenarioStep:
    """One chunk: text, the beginning of a call, or more argument text of a call."""

    at_ms: float
    content: str | None = None
    call: Call | None = None
    index: int = 0
    more: str = ""


@dataclass(frozen=True)
class ScenarioTurn:
    """One scripted answer."""

    steps: tuple[ScenarioStep, ...]

    @property
    def ends_ms(self) -> float:
        """Return the time of the last step, in milliseconds."""
        return self.steps[-1].at_ms if self.steps else 0.0

    @property
    def reply(self) -> SimulatedReply:
        """Return the whole answer."""
        calls = [Call(step.call.id, step.call.name, self._arguments(step)) for step in self.steps if step.call]
        text = "".join(step.content or "" for step in self.steps)
        return SimulatedReply(pieces(text), calls, "tool_calls" if calls else "stop")

    def _arguments(self, head: ScenarioStep) -> str:
        assert head.call is not None
        return head.call.arguments + "".join(step.more for step in self.steps if step.index == head.index)

    def chunks(self, answer: wire.AnswerBody) -> Iterator[tuple[float, dict[str, Any]]]:
        """Yield every chunk up to the finish_reason, with its time in milliseconds."""
        for step in self.steps:
            yield step.at_ms, wire.scripted_chunk(answer, _delta(step), step.at_ms)
        yield self.ends_ms, wire.scripted_chunk(answer, {}, self.ends_ms, answer.reply.finish_reason)


def _delta(step: ScenarioStep) -> dict[str, Any]:
    if step.content is not None:
        return {"role": "assistant", "content": step.content}
    function: dict[str, Any] = {"arguments": step.more}
    if step.call is None:
        return {"tool_calls": [{"index": step.index, "function": function}]}
    head = {"index": step.index, "id": step.call.id, "type": "function"}
    return {"tool_calls": [{**head, "function": {"name": step.call.name, "arguments": step.call.arguments}}]}


def turn_of(fields: Mapping[str, Any]) -> ScenarioTurn | None:
    """Return the scripted turn for a request; None if the request has no scenario."""
    if "scenario" not in fields:
        return None
    turns = _script(fields["scenario"])
    number = _answered(fields["messages"])
    return _turn(turns[min(number, len(turns) - 1)], len(fields["messages"]))


def problems(fields: Mapping[str, Any]) -> list[ErrorDetail]:
    """Return the errors of a valid request's `scenario`."""
    value = fields.get("scenario", VOICE_EXAMPLE)
    if isinstance(value, str) and value not in SCENARIOS:
        return [ErrorDetail("invalid_value", f"scenario is one of {', '.join(SCENARIOS)}, or a script", ("scenario",))]
    try:
        for turn in _script(value):
            _turn(turn, 0)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [ErrorDetail("invalid_value", f"the script cannot be played: {error!r}", ("scenario",))]
    return []


def _script(value: Any) -> Sequence[Any]:
    turns = SCENARIOS[value] if isinstance(value, str) else value
    if not isinstance(turns, list) or not turns:
        raise ValueError("a script is a list of at least one turn")
    return turns


def _answered(messages: Sequence[Mapping[str, Any]]) -> int:
    roles = [message["role"] for message in messages]
    since = len(roles) - roles[::-1].index("user") if "user" in roles else 0
    return roles[since:].count("assistant")


def _turn(steps: Any, place: int) -> ScenarioTurn:
    made: list[ScenarioStep] = []
    index, at_ms = -1, 0.0
    for fields in steps:
        if not at_ms <= float(fields["at_ms"]) <= MOST_MS:
            raise ValueError(f"at_ms goes on from step to step, to {MOST_MS:,} at most")
        at_ms = float(fields["at_ms"])
        if "content" in fields:
            made.append(ScenarioStep(at_ms, content=str(fields["content"])))
            continue
        if "call" in fields:
            index += 1
        elif index < 0:
            raise ValueError("more arguments come after a call")
        made.append(
            ScenarioStep(at_ms, call=_call(fields, place, index), index=index, more=str(fields.get("more", "")))
        )
    return ScenarioTurn(tuple(made))


def _call(fields: Any, place: int, index: int) -> Call | None:
    if "call" not in fields:
        return None
    call = fields["call"]
    return Call(str(call.get("id", f"call_{place}_{index}")), str(call["name"]), str(call.get("arguments", "")))


Paced = tuple[float, int, dict[str, Any]]
"""The moment on the monotonic clock, the tokens made until then, the chunk."""


@dataclass(frozen=True)
class Pace:
    """`ready_at`: the moment of the first token. `began`: when the request came, from which a scenario counts."""

    began: float
    ready_at: float
    token_s: float
    scripted: ScenarioTurn | None = None

    def chunks(self, answer: wire.AnswerBody) -> Iterator[Paced]:
        """Every chunk up to the finish_reason."""
        if self.scripted is not None:
            for made, (at_ms, chunk) in enumerate(self.scripted.chunks(answer)):
                yield self.began + at_ms / 1000, made, chunk
            return
        made = 0
        for tokens, chunk in wire.chunks(answer):
            # The role comes with the first token, as it does on real servers.
            made += tokens
            yield self.ready_at + max(made - 1, 0) * self.token_s, made, chunk

    def ends_at(self, answer: wire.AnswerBody) -> float:
        """When a whole answer is ready that is not streamed."""
        if self.scripted is not None:
            return self.began + self.scripted.ends_ms / 1000
        return self.ready_at + answer.reply.completion_tokens * self.token_s
