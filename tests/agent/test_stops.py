"""Stop in every phase of an agent loop: the received part is stored, and the loop can be continued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from playground.agent.conversation import Conversation
from playground.agent.loop import AgentLoop, AgentLoopEnded, CallEnded, CallStarted, TurnEnded, TurnStarted, measured
from playground.agent.tool_mocks import ToolExecutor
from playground.client.events import ContentDelta, HeadersReceived, ToolCallDelta
from playground.prompt.document import Document
from playground.runs.run import Run
from playground.simulator.process import SimulatorProcess
from playground.voice.timeline import timeline
from tests.agent.dialogue import ANSWER, BOOK, HANGS, Dialogue, calls, nobody, play, prompt, says


def test_a_tool_that_hangs_can_be_stopped_and_answered_by_hand(simulator: SimulatorProcess) -> None:
    script = [[says(1, "One sec!"), calls(2, "get_plan"), calls(3, "get_balance")], ANSWER]
    dialogue = Dialogue(simulator, prompt(script), book=type(BOOK)({**BOOK.tools, **HANGS.tools}))
    dialogue.on[CallEnded] = lambda _: dialogue.chain.stop()

    async def use(dialogue: Dialogue) -> None:
        stopped = dialogue.told_of(AgentLoopEnded)[0]
        assert stopped.reason == "stopped"
        conversation = dialogue.chain.conversation
        turn = conversation.turns[stopped.turn_id]
        assert {result.name: result.kind for result in turn.results} == {
            "get_plan": "answered",
            "get_balance": "stopped",
        }
        assert [call.name for call in turn.open_calls] == ["get_balance"]
        pictured = timeline(measured(conversation, turn.id))
        assert [(span.label, span.ends_at is not None) for span in pictured.spans if span.kind == "tool"] == [
            ("get_plan", True),
            ("get_balance", True),
        ]
        dialogue.on.clear()
        dialogue.chain.conversation, branch = conversation.edit_result(turn.id, turn.open_calls[0].id, "413")
        ended = await dialogue.chain.run(branch)
        assert (ended.reason, ended.requests) == ("answered", 1)
        sent = dialogue.told_of(TurnStarted)[-1].document
        assert [message.content for message in sent.messages[3:]] == ["Plus", "413"]

    play(dialogue, use)


STOPS: dict[str, type] = {"before": TurnStarted, "answer": TurnEnded, "tools": CallStarted, "between": CallEnded}


@pytest.mark.parametrize("phase", STOPS)
def test_stop_between_the_steps(simulator: SimulatorProcess, phase: str) -> None:
    dialogue = Dialogue(simulator, prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER]), book=HANGS)
    if phase == "between":
        dialogue = Dialogue(simulator, prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER]))
    dialogue.on[STOPS[phase]] = lambda _: dialogue.chain.stop()
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("stopped", 1)
    assert dialogue.kinds[-1] == "AgentLoopEnded"
    assert ended.turn_id is not None
    turn = dialogue.chain.conversation.turns[ended.turn_id]
    assert turn.phase == ("stopped" if phase == "before" else "done")
    assert bool(turn.returned) == (phase == "between")
    dialogue.chain.stop()
    assert dialogue.kinds.count("AgentLoopEnded") == 1


@pytest.mark.parametrize(
    ("event", "text", "second"),
    [
        (HeadersReceived, "", False),
        (ContentDelta, "One sec!", False),
        (ToolCallDelta, "One sec!", False),
        (ContentDelta, "It is ₹412.", True),
    ],
)
def test_stop_inside_an_answer_keeps_what_had_come(
    simulator: SimulatorProcess, event: type, text: str, second: bool
) -> None:
    filler = [says(1, "One sec!"), calls(20, "get_balance", '{"account":'), {"at_ms": 40, "more": '"AC-1"}'}]
    answer = [says(1, "It is ₹412."), says(600_000, " Anything else?")]
    first = filler if second else [*filler, {"at_ms": 600_000, "more": " "}]
    dialogue = Dialogue(simulator, prompt([first, answer]))

    def started(happening: Any) -> None:
        if (happening.number == 2) == second:
            happening.run.subscribe(lambda _, came: dialogue.chain.stop() if isinstance(came, event) else None)

    dialogue.on[TurnStarted] = started
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("stopped", 2 if second else 1)
    assert ended.turn_id is not None
    turn = dialogue.chain.conversation.turns[ended.turn_id]
    # Half a call is not kept: a prompt that went on from it would send it back.
    assert (turn.phase, turn.text, turn.calls, turn.usage) == ("stopped", text, (), None)
    assert turn.request_id
    assert turn.times is not None
    assert turn.times.ended_as == "stopped"


def test_stop_before_its_first_step_sends_nothing(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([ANSWER]))

    async def main() -> AgentLoopEnded:
        running = asyncio.create_task(dialogue.chain.run())
        dialogue.chain.stop()
        return await running

    assert asyncio.run(main()) == AgentLoopEnded("stopped", None, 0)
    # A stop after the end does not affect the next run.
    dialogue.chain.stop()
    assert play(dialogue).reason == "answered"


def test_stop_while_the_request_is_still_prepared(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([ANSWER]))

    async def main() -> AgentLoopEnded:
        waiting = asyncio.Event()

        async def never(_document: Document, _began: Callable[[Run], None]) -> None:
            waiting.set()
            await asyncio.Event().wait()

        chain = AgentLoop(
            Conversation(prompt([ANSWER])), never, ToolExecutor(BOOK, nobody), listener=dialogue.told.append
        )
        running = asyncio.create_task(chain.run())
        await waiting.wait()
        chain.stop()
        return await running

    assert asyncio.run(main()) == AgentLoopEnded("stopped", None, 0)
    assert dialogue.kinds == ["AgentLoopEnded"]


async def test_cancelling_ends_the_request_and_keeps_the_turn(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[says(1, "One sec!"), says(600_000, "never")]]))

    came = asyncio.Event()
    dialogue.on[TurnStarted] = lambda happening: happening.run.subscribe(
        lambda _, event: came.set() if isinstance(event, ContentDelta) else None
    )
    running = asyncio.create_task(dialogue.chain.run())
    await came.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await dialogue.connection.aclose()
    assert dialogue.kinds == ["TurnStarted", "TurnEnded", "AgentLoopEnded"]
    assert dialogue.told_of(AgentLoopEnded)[0].reason == "stopped"
    assert [turn.text for turn in dialogue.chain.conversation.turns.values()] == ["One sec!"]
