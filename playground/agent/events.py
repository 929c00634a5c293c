"""Events of the agent loop. Frozen values; `turn_id` is that of the turn in the conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from playground.agent.conversation import Result, Turn
from playground.prompt.document import Document, ToolCall
from playground.runs.run import Run

EndReason: TypeAlias = Literal["answered", "limit", "stopped", "failed"]
"""answered: the model called nothing more · limit: as many requests as are allowed, and it still calls · failed: a
request failed, or could not be sent."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A request is about to leave. `number` counts the requests of this run of the chain, from 1."""

    turn_id: str
    number: int
    of: int
    document: Document
    run: Run


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The model's answer is whole, or as whole as it gets; its calls have not been answered yet."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool runs. `at`: seconds since the chain's run began."""

    turn_id: str
    call: ToolCall
    at: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A tool has returned, or was stopped (the result's kind says so)."""

    turn_id: str
    call: ToolCall
    result: Result


@dataclass(frozen=True, slots=True)
class AgentLoopEnded:
    """The last word. `turn_id`: the last turn, or None. `trouble`: why it failed, as a sentence."""

    reason: EndReason
    turn_id: str | None
    requests: int
    trouble: str = ""


Happening: TypeAlias = TurnStarted | TurnEnded | CallStarted | CallEnded | AgentLoopEnded
