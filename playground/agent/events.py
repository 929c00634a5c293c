"""Events of the agent loop. Frozen values; `turn_id` is that of the turn in the conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from playground.agent.conversation import Result, Turn
from playground.prompt.document import Document, ToolCall
from playground.runs.run import Run

EndReason: TypeAlias = Literal["answered", "limit", "stopped", "failed"]
"""answered: the model calls nothing more · limit: the maximum number of requests is reached and the model still calls
tools · failed: a request failed, or could not be sent.
"""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A request is about to be sent. `number` counts the requests of this run of the loop, from 1."""

    turn_id: str
    number: int
    of: int
    document: Document
    run: Run


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The model's answer has ended, complete or not; its calls have not run yet."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A tool starts. `at`: seconds since the run of the loop began."""

    turn_id: str
    call: ToolCall
    at: float


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A tool has returned, or was stopped (see the result's kind)."""

    turn_id: str
    call: ToolCall
    result: Result


@dataclass(frozen=True, slots=True)
class AgentLoopEnded:
    """The loop has ended. `turn_id`: the last turn, or None. `trouble`: the message of its failure."""

    reason: EndReason
    turn_id: str | None
    requests: int
    trouble: str = ""


Happening: TypeAlias = TurnStarted | TurnEnded | CallStarted | CallEnded | AgentLoopEnded
