"""Conversation tree: documents, branches, sums of reported values, and messages added by a turn."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from playground.agent.conversation import Conversation, Result, Sum, Turn, from_fields, literal, to_fields
from playground.client.events import Usage
from playground.prompt.document import Document, Message, Tool, ToolCall
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load
from playground.prompt.request import to_request

ROOT = Document(messages=(Message("user", "Hello {{name}}"),), variables={"name": "Ada"})
CALL, OTHER = ToolCall("c1", "get", "{}"), ToolCall("c2", "put", "{}")


def usage(prompt: int | None, cached: int | None) -> Usage:
    return Usage(prompt, 5, None, cached)


def grown() -> Conversation:
    """Return two turns: a call with its result, then an answer."""
    one = Turn(
        "t1",
        None,
        ROOT,
        text="Wait.",
        calls=(CALL, OTHER),
        results=(Result("c2", "put", "done"), Result("c1", "get", "5")),
        run_id="r1",
        usage=usage(100, 0),
    )
    conversation = Conversation(ROOT).with_turn(one)
    two = Turn("t2", "t1", conversation.document("t1"), text="It is 5.", run_id="r2", usage=usage(120, 96))
    return conversation.with_turn(two)


def test_the_document_after_a_turn_is_a_prompt_file() -> None:
    document = grown().document("t2")
    assert [(message.role, message.content) for message in document.messages] == [
        ("user", "Hello {{name}}"),
        ("assistant", "Wait."),
        ("tool", "5"),
        ("tool", "done"),
        ("assistant", "It is 5."),
    ]
    assert load(dump(document)) == document
    assert grown().document(None) is ROOT


def test_sums_are_of_what_was_reported() -> None:
    totals = grown().totals("t2")
    assert (totals.requests, totals.prompt_tokens, totals.cached_tokens) == (2, Sum(220, 2, 2), Sum(96, 2, 2))
    turn = replace(grown().turns["t2"], usage=usage(None, None))
    partly = grown().with_turn(turn).totals("t2")
    assert (partly.prompt_tokens, partly.prompt_tokens.complete) == (Sum(100, 1, 2), False)
    none = grown().with_turn(replace(grown().turns["t1"], usage=None)).totals("t1")
    assert none.prompt_tokens == Sum(None, 0, 1)
    nothing = grown().totals(None).prompt_tokens
    assert (nothing, nothing.complete) == (Sum(None, 0, 0), False)


def test_an_edited_result_is_a_branch_and_the_old_one_stays() -> None:
    before = grown()
    after, branch = before.edit_result("t1", "c1", "6")
    assert before.turns == grown().turns
    assert [turn.id for turn in after.turns.values() if turn.parent is None] == ["t1", branch]
    assert after.document(branch).messages[2].content == "6"
    assert after.document("t1").messages[2].content == "5"
    made = after.turns[branch]
    assert (made.edited, made.run_id, made.times) == (True, "r1", None)
    assert next(result for result in made.results if result.call_id == "c1").edited
    assert after.totals(branch).requests == 1
    with pytest.raises(InputError):
        before.edit_result("t1", "c9", "6")


def test_an_edited_turn_keeps_the_results_of_calls_that_stay() -> None:
    changed = replace(OTHER, arguments='{"a":1}')
    after, branch = grown().edit_turn("t1", "", (CALL, changed))
    turn = after.turns[branch]
    assert ([result.call_id for result in turn.returned], turn.open_calls) == (["c1"], (changed,))
    assert after.document(branch).messages[1].content is None
    answered, end = grown().edit_turn("t1", "No.", ())
    assert answered.turns[end].answered
    assert answered.document(end).messages[1:] == (Message("assistant", "No."),)
    with pytest.raises(InputError):
        grown().edit_turn("t1", "", (CALL, CALL))


def test_what_was_stopped_is_open_and_is_not_sent() -> None:
    stopped = Result("c1", "get", "", kind="stopped", started_at=0.0, ended_at=1.0)
    conversation = Conversation(ROOT).with_turn(Turn("t1", None, ROOT, calls=(CALL,), results=(stopped,)))
    assert conversation.turns["t1"].open_calls == (CALL,)
    assert len(conversation.document("t1").messages) == 2
    filled = conversation.with_result("t1", Result("c1", "get", "5"))
    assert (filled.turns["t1"].open_calls, len(filled.turns["t1"].results)) == ((), 1)


def test_a_turn_that_failed_before_a_word_adds_nothing() -> None:
    conversation = Conversation(ROOT).with_turn(Turn("t1", None, ROOT, phase="failed"))
    assert conversation.document("t1") == ROOT
    partly = Conversation(ROOT).with_turn(Turn("t1", None, ROOT, text="Half", phase="stopped"))
    assert partly.document("t1").messages[-1] == Message("assistant", "Half")


def test_what_a_turn_adds_and_whether_the_prefix_is_kept() -> None:
    conversation = grown()
    assert conversation.added("t1") == ROOT.messages
    assert [message.role for message in conversation.added("t2")] == ["assistant", "tool", "tool"]
    assert conversation.keeps_prefix("t2")
    changed = conversation.turns["t2"].document.with_message(0, Message("user", "Hi"))
    other = conversation.with_turn(replace(conversation.turns["t2"], document=changed))
    assert not other.keeps_prefix("t2")
    assert len(other.added("t2")) == 4
    tools = replace(conversation.turns["t2"].document, tools=(Tool.of({"type": "function"}),))
    assert not conversation.with_turn(replace(conversation.turns["t2"], document=tools)).keeps_prefix("t2")


def test_leaving_a_turn_out_takes_what_goes_on_from_it() -> None:
    branched, branch = grown().edit_result("t1", "c1", "6")
    assert list(branched.without("t1").turns) == [branch]
    assert list(branched.without(branch).turns) == ["t1", "t2"]
    assert [turn.id for turn in branched.ends()] == ["t2", branch]
    with pytest.raises(KeyError):
        grown().path("t9")


@pytest.mark.parametrize("said", ["{{name}}", "a {{ name }} b {{x}}{{y}}", "{{{name}}}", "plain {{", "{{two_braces}}"])
def test_words_that_look_like_variables_are_sent_as_they_are(said: str) -> None:
    for variables in ({"name": "Ada"}, {"name": "Ada", "two_braces": "mine"}, {"name": "Ada", "two_braces": "{{"}):
        document, template = literal(replace(ROOT, variables=variables), said)
        sent = to_request(replace(document, messages=(*ROOT.messages, Message("assistant", template))), "electron")
        assert sent.fields["messages"] == [
            {"role": "user", "content": "Hello Ada"},
            {"role": "assistant", "content": said},
        ]


def test_conversation_file_names_the_error_of_a_turn_as_earlier_versions_did() -> None:
    turn = Turn("t1", None, ROOT, phase="failed", error="Too many requests")
    fields = to_fields(Conversation(ROOT, {"t1": turn}))
    assert '"trouble": "Too many requests"' in json.dumps(fields)
    assert from_fields(fields).turns["t1"].error == "Too many requests"
