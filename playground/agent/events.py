"""Events of the agent loop, and the measured times of a conversation for the voice timeline.

Events are frozen values; `turn_id` is that of the turn in the conversation.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from playground.agent.conversation import Conversation, Result, Turn
from playground.dataclass import dataclass
from playground.prompt.document import Document, ToolCall
from playground.runs.run import Run
from playground.voice.variants import MeasuredTool, MeasuredTurn


def measured(conversation: Conversation, turn_id: str) -> tuple[MeasuredTurn, ...]:
    """Return the turns up to this one that ran without user input in between, on an axis that begins with the first
    run.

    For `AgentLoop.live`, returns the times so far. Omits turns of an earlier run of the loop, which have another clock.
    Returns nothing if the turn was edited or never sent: it has no measured times.
    """
    turns: list[Turn] = []
    for turn in reversed(conversation.path(turn_id)):
        if turn.times is None or turn.began_at is None or (turns and turn.go != turns[-1].go):
            break
        turns.append(turn)
    turns.reverse()
    zero = turns[0].began_at or 0.0 if turns else 0.0
    return tuple(_measured(turn, zero) for turn in turns)


def _measured(turn: Turn, zero: float) -> MeasuredTurn:
    assert turn.times is not None
    assert turn.began_at is not None
    tools = tuple(
        MeasuredTool(
            result.name,
            result.started_at - zero,
            None if result.ended_at is None else result.ended_at - zero,
            result.kind == "stopped",
        )
        for result in turn.results
        if result.go == turn.go and result.started_at is not None
    )
    return MeasuredTurn(turn.began_at - zero, turn.times, tools)


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
    """The loop has ended. `turn_id`: the last turn, or None. `error`: the message of its failure."""

    reason: EndReason
    turn_id: str | None
    requests: int
    error: str = ""


Happening: TypeAlias = TurnStarted | TurnEnded | CallStarted | CallEnded | AgentLoopEnded
