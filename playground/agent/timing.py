"""Measured times of a conversation, in the format of the voice timeline."""

from __future__ import annotations

from playground.agent.conversation import Conversation, Turn
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
