"""Whole agent loops over real sockets: fillers, several calls, invalid calls, limits, failures, continuation by the
user.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from playground.agent.loop import (
    MOST_REQUESTS,
    AgentLoop,
    AgentLoopEnded,
    CallEnded,
    CallStarted,
    TurnStarted,
    measured,
)
from playground.agent.tool_mocks import FixedDelay, MockReply, ToolMock, ToolMocks
from playground.client.events import ContentDelta
from playground.prompt.document import Document, Message
from playground.simulator.process import SimulatorProcess
from playground.voice.timeline import compare, timeline
from tests.agent.dialogue import ANSWER, Dialogue, calls, play, prompt, says

ONE_TURN = ["TurnStarted", "TurnEnded"]
ONE_CALL = ["CallStarted", "CallEnded"]


def test_filler_then_call_then_answer(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER]))
    ended = play(dialogue)
    assert (ended.reason, ended.requests, ended.error) == ("answered", 2, "")
    assert dialogue.kinds == [*ONE_TURN, *ONE_CALL, *ONE_TURN, "AgentLoopEnded"]
    conversation = dialogue.chain.conversation
    assert ended.turn_id is not None
    first, last = conversation.path(ended.turn_id)
    assert (first.text, first.calls[0].name, first.finish_reason) == ("One sec!", "get_balance", "tool_calls")
    assert [(r.kind, r.text) for r in first.results] == [("answered", '{"account": "AC-1", "balance": 412}')]
    assert (last.text, last.phase, last.calls) == ("It is ₹412. Anything else?", "done", ())
    assert last.document.messages[2:] == (
        Message("assistant", "One sec!", first.calls),
        Message("tool", first.results[0].text, tool_call_id=first.calls[0].id),
    )
    assert conversation.document(ended.turn_id).messages[-1] == Message("assistant", last.text)
    assert len({turn.request_id for turn in (first, last)} - {None}) == 2
    assert conversation.added(last.id) == last.document.messages[2:]
    assert conversation.keeps_prefix(last.id)


def test_totals_are_of_what_was_reported(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[calls(1, "get_balance")], ANSWER]))
    ended = play(dialogue)
    conversation = dialogue.chain.conversation
    totals = conversation.totals(ended.turn_id)
    usages = [turn.usage for turn in conversation.path(ended.turn_id)]
    assert totals.requests == 2
    assert totals.prompt_tokens.complete
    assert totals.prompt_tokens.value == sum(usage.prompt_tokens or 0 for usage in usages if usage)
    assert totals.cached_tokens.value is not None

    silent = Dialogue(simulator, prompt([[calls(1, "get_balance")], ANSWER], simulate="no_usage_details"))
    last = play(silent).turn_id
    totals = silent.chain.conversation.totals(last)
    assert (totals.cached_tokens.value, totals.cached_tokens.reported, totals.cached_tokens.of) == (None, 0, 2)
    assert totals.prompt_tokens.complete


def test_a_call_without_a_filler(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[calls(1, "get_balance")], ANSWER]))
    assert play(dialogue).reason == "answered"
    assert dialogue.told_of(TurnStarted)[1].document.messages[2].content is None


def test_two_calls_run_side_by_side_and_answer_in_their_order(simulator: SimulatorProcess) -> None:
    script = [[calls(1, "get_plan"), calls(2, "get_balance")], ANSWER]
    dialogue = Dialogue(simulator, prompt(script))
    assert play(dialogue).reason == "answered"
    assert dialogue.kinds[2:6] == ["CallStarted", "CallStarted", "CallEnded", "CallEnded"]
    # The second returned first; the model reads them in the order of its calls.
    assert [happening.result.name for happening in dialogue.told_of(CallEnded)] == ["get_balance", "get_plan"]
    messages = dialogue.told_of(TurnStarted)[1].document.messages
    assert [message.content for message in messages[3:]] == ["Plus", '{"account": "AC-1", "balance": 412}']
    assert [message.tool_call_id for message in messages[3:]] == [call.id for call in messages[2].tool_calls]


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "said"),
    [
        ("get_balance", '{"account":}', "bad_json", "not JSON at line 1, column 12: expecting value"),
        ("get_balance", '{"account":5}', "wrong_arguments", "account: should be a string, is a number"),
        ("get_weather", "{}", "unknown_tool", "There is no tool 'get_weather'"),
    ],
)
def test_a_wrong_call_is_marked_and_told_to_the_model(
    simulator: SimulatorProcess, name: str, arguments: str, kind: str, said: str
) -> None:
    dialogue = Dialogue(simulator, prompt([[calls(1, name, arguments)], ANSWER]))
    assert play(dialogue).reason == "answered"
    result = dialogue.told_of(CallEnded)[0].result
    assert result.kind == kind
    assert said in json.loads(result.text)["error"]
    sent = dialogue.told_of(TurnStarted)[1].document.messages
    assert sent[3].content == result.text
    assert sent[2].tool_calls[0].arguments == arguments


def test_cut_arguments_end_the_loop_and_are_not_told_to_the_model(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[calls(1, "get_balance", '{"account":')], ANSWER]))
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("failed", 1)
    assert ended.error.startswith("The tool call was cut. ")
    assert ended.error.endswith(".")
    assert not dialogue.told_of(CallStarted)


@pytest.mark.parametrize("limit", [1, 3])
def test_a_chain_that_never_ends_ends_at_its_limit(simulator: SimulatorProcess, limit: int) -> None:
    dialogue = Dialogue(simulator, prompt("no_end"), limit=limit)
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("limit", limit)
    assert len(dialogue.told_of(TurnStarted)) == limit
    # The last turn's calls have not been made: nothing would read their results.
    assert len(dialogue.told_of(CallStarted)) == limit - 1
    assert ended.turn_id is not None
    assert len(dialogue.chain.conversation.turns[ended.turn_id].open_calls) == 1


def test_a_limit_is_always_set() -> None:
    assert AgentLoop.__init__.__kwdefaults__ is not None
    assert AgentLoop.__init__.__kwdefaults__["limit"] == 5
    for limit in (0, MOST_REQUESTS + 1):
        with pytest.raises(ValueError, match="limit"):
            AgentLoop(None, None, None, limit=limit)  # type: ignore[arg-type]  # refused before they are looked at


def test_after_the_limit_it_can_be_gone_on_with(simulator: SimulatorProcess) -> None:
    async def use(dialogue: Dialogue) -> None:
        at = dialogue.told_of(AgentLoopEnded)[0].turn_id
        ended = await dialogue.chain.run(at)
        assert (ended.reason, ended.requests) == ("answered", 1)
        path = dialogue.chain.conversation.path(ended.turn_id)
        assert [turn.calls != () for turn in path] == [True, False]
        # Its clock restarted, so only the second turn has a timeline.
        assert ended.turn_id is not None
        assert len(measured(dialogue.chain.conversation, ended.turn_id)) == 1

    play(Dialogue(simulator, prompt([[calls(1, "get_balance")], ANSWER]), limit=1), use)


def test_a_request_that_fails_ends_it(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([ANSWER], simulate="503"))
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("failed", 1)
    assert ended.error
    assert ended.turn_id is not None
    assert dialogue.chain.conversation.document(ended.turn_id).messages == prompt([ANSWER]).messages


def test_a_prompt_that_cannot_be_sent_fails_without_a_request(simulator: SimulatorProcess) -> None:
    document = Document(messages=(Message("user", "{{gone}}"),))
    dialogue = Dialogue(simulator, document)
    ended = play(dialogue)
    assert (ended.reason, ended.requests, ended.turn_id) == ("failed", 0, None)
    assert "gone" in ended.error


def test_while_it_runs_the_picture_so_far_is_there(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER]))
    seen: list[tuple[str, list[str], list[bool]]] = []

    def look(_: object) -> None:
        live = dialogue.chain.live
        last = list(live.turns.values())[-1]
        picture = timeline(measured(live, last.id), now=dialogue.chain.now())
        tools = [span.ends_at is None for span in picture.spans if span.kind == "tool"]
        seen.append((last.phase, [part.text for part in picture.spoken], tools))

    def started(happening: TurnStarted) -> None:
        if happening.number == 1:
            happening.run.subscribe(lambda _, event: look(event) if isinstance(event, ContentDelta) else None)

    dialogue.on[TurnStarted] = started
    dialogue.on[CallStarted] = dialogue.on[CallEnded] = look
    play(dialogue)
    assert seen == [
        ("streaming", ["One sec!"], []),
        ("done", ["One sec!"], [True]),
        ("done", ["One sec!"], [False]),
    ]


def test_ids_that_a_model_gives_twice_are_told_apart(simulator: SimulatorProcess) -> None:
    twice = [{"at_ms": 1, "call": {"id": "same", "name": name, "arguments": "{}"}} for name in ("get_plan", "x")]
    dialogue = Dialogue(simulator, prompt([twice, twice, ANSWER]))
    assert play(dialogue).reason == "answered"
    messages = dialogue.told_of(TurnStarted)[2].document.messages
    ids = [call.id for message in messages for call in message.tool_calls]
    assert ids[0] == "same"
    assert len(set(ids)) == 4
    assert [message.tool_call_id for message in messages if message.role == "tool"] == ids
    turns = dialogue.chain.conversation.turns.values()
    assert [dict(turn.changed_ids) for turn in turns] == [{ids[1]: "same"}, {ids[2]: "same", ids[3]: "same"}, {}]


def test_a_chain_that_is_not_streamed(simulator: SimulatorProcess) -> None:
    document = replace(prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER]), stream=False)
    dialogue = Dialogue(simulator, document)
    ended = play(dialogue)
    assert (ended.reason, ended.requests) == ("answered", 2)
    picture = timeline(measured(dialogue.chain.conversation, ended.turn_id or ""))
    assert [part.text for part in picture.spoken] == ["One sec!", "It is ₹412.", "Anything else?"]


def test_the_timeline_of_a_real_chain_is_in_order(simulator: SimulatorProcess) -> None:
    book = ToolMocks({"get_balance": ToolMock(MockReply("fixed", "412", FixedDelay(30)))})
    dialogue = Dialogue(simulator, prompt("voice_example"), book=book)
    ended = play(dialogue)
    turns = measured(dialogue.chain.conversation, ended.turn_id or "")
    assert [bool(turn.tools) for turn in turns] == [True, False]
    tool, first = turns[0].tools[0], turns[0].times
    assert turns[0].began_at == 0
    assert first.first_content_at is not None
    assert first.ended_at is not None
    assert 0.25 <= first.first_content_at <= first.ended_at <= tool.started_at
    assert tool.ended_at is not None
    assert tool.ended_at - tool.started_at >= 0.03
    assert turns[1].began_at >= tool.ended_at
    compared = compare(turns)
    ours, after = compared.timelines["parallel"], compared.timelines["after_speech"]
    assert ours.answer_heard_at is not None
    assert after.answer_heard_at is not None
    # The tool waits for the end of the filler's speech: 350 ms of pipeline plus 533 ms of "One sec!".
    heard = first.first_content_at + 0.35 + 8 / 15
    assert after.spans[[span.kind for span in after.spans].index("tool")].starts_at == pytest.approx(heard, abs=1e-9)
    assert compared.saved[0].answer_s == pytest.approx(after.answer_heard_at - ours.answer_heard_at, abs=1e-9)


def test_an_error_of_a_callback_is_raised_as_it_is(simulator: SimulatorProcess) -> None:
    dialogue = Dialogue(simulator, prompt([[calls(1, "get_balance")], ANSWER]))

    def broken(_: Any) -> None:
        raise ZeroDivisionError("a bug")

    dialogue.on[CallStarted] = broken
    with pytest.raises(ZeroDivisionError):
        play(dialogue)
    assert dialogue.told_of(AgentLoopEnded)[0].reason == "failed"


def test_the_caller_speaks_again(simulator: SimulatorProcess) -> None:
    async def use(dialogue: Dialogue) -> None:
        at = dialogue.told_of(AgentLoopEnded)[0].turn_id
        ended = await dialogue.chain.run(at, (Message("user", "And my plan?"),))
        assert ended.reason == "answered"
        conversation = dialogue.chain.conversation
        assert [message.content for message in conversation.added(ended.turn_id or "")] == [
            "It is ₹412. Anything else?",
            "And my plan?",
        ]

    play(Dialogue(simulator, prompt([ANSWER])), use)


def test_braces_that_a_model_or_a_tool_says_are_sent_as_they_are(simulator: SimulatorProcess) -> None:
    document = prompt([[says(1, "{{what}} is {{unknown}}?"), calls(2, "get_plan")], ANSWER])
    dialogue = Dialogue(simulator, document)
    ended = play(dialogue)
    assert ended.reason == "answered"
    run = dialogue.told_of(TurnStarted)[1].run
    assert run.request.fields["messages"][2]["content"] == "{{what}} is {{unknown}}?"
    assert run.request.fields["messages"][1]["content"] == "My balance?"


def test_both_branches_stay(simulator: SimulatorProcess) -> None:
    async def use(dialogue: Dialogue) -> None:
        conversation = dialogue.chain.conversation
        first, old = conversation.path(dialogue.told_of(AgentLoopEnded)[0].turn_id)
        edited, branch = conversation.edit_turn(first.id, "Let me see.", first.calls)
        assert edited.turns[branch].returned == first.returned
        dialogue.chain.conversation = edited
        ended = await dialogue.chain.run(branch)
        assert ended.reason == "answered"
        now = dialogue.chain.conversation
        assert [turn.id for turn in now.ends()] == [old.id, ended.turn_id]
        assert now.path(old.id) == (first, old)
        assert dialogue.told_of(TurnStarted)[-1].document.messages[2].content == "Let me see."
        assert now.totals(ended.turn_id).requests == 2
        assert [turn.id for turn in now.without(branch).turns.values()] == [first.id, old.id]
        # An edited turn was not measured.
        assert measured(now, branch) == ()

    play(Dialogue(simulator, prompt([[says(1, "One sec!"), calls(2, "get_balance")], ANSWER])), use)
