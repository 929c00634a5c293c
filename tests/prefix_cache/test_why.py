"""Why the cache served what it did: the true first difference, named; identical bytes never blamed on the prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given

from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.miss_explanation import MissExplanation as Why
from playground.prefix_cache.miss_explanation import explain
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message, Tool, ToolCall
from tests.prefix_cache.prompts import DOCUMENTS, RULES, TEXTS, agent, slow_prefix

PROMPT = 640


def why(
    now: Document,
    earlier: Document | None,
    cached: int | None = 0,
    *,
    gap_s: float | None = 40.0,
    forecast: Forecast | None = None,
    prompt: int = PROMPT,
) -> Why | None:
    """As the window asks, after an answer to a prompt of so many tokens."""
    seen = view_of_document(now)
    return explain(
        seen.view,
        None if earlier is None else view_of_document(earlier).view,
        cached_tokens=cached,
        prompt_tokens=prompt,
        forecast=forecast,
        document=seen,
        gap_s=gap_s,
    )


def said(now: Document, earlier: Document, cached: int = 0) -> Why:
    """What is said where there is something to say."""
    found = why(now, earlier, cached)
    assert found is not None
    return found


def with_message(document: Document, at: int, message: Message) -> Document:
    """The document with a message put in."""
    return replace(document, messages=(*document.messages[:at], message, *document.messages[at:]))


def tools(*names: str, note: str = "") -> Document:
    """The agent with tools of these names."""
    made = [Tool.of({"type": "function", "function": {"name": name, "description": note}}) for name in names]
    return replace(agent(), tools=tuple(made))


def test_not_reported_is_unknown() -> None:
    found = why(agent(), agent(), None)
    assert found is not None
    assert (found.kind, found.sentence) == (
        "unreported",
        "The server did not report cached tokens: what the cache did is unknown.",
    )


def test_the_first_request() -> None:
    first, warm = why(agent(), None), why(agent(), None, 512)
    assert first is not None
    assert warm is not None
    assert (first.kind, warm.kind) == ("first", "server")


@pytest.mark.parametrize("cached", [PROMPT, PROMPT - 16, 512, PROMPT - 128])
def test_served_as_it_should_be_says_nothing(cached: int) -> None:
    assert why(agent(), agent(), cached) is None


def test_identical_bytes_that_missed_are_the_servers_doing() -> None:
    found = said(agent(), agent())
    assert found.kind == "server"
    assert "server's doing, not the prompt's" in found.sentence
    assert found.message is None


def test_identical_bytes_after_a_long_while_are_the_clocks() -> None:
    found = why(agent(), agent(), gap_s=41 * 60)
    assert found is not None
    assert found.kind == "expired"
    assert "41 min before" in found.sentence


def test_a_cache_that_began_later_is_said_as_forecast() -> None:
    basis = "last sent 40 s ago, before this cache began"
    found = why(agent(), agent(), forecast=Forecast(0, 0, 0, PROMPT, basis))
    assert found is not None
    assert found.kind == "expired"
    assert basis in found.sentence


def test_a_conversation_that_goes_on_is_no_difference() -> None:
    longer = with_message(agent(), 4, Message("assistant", "Tomorrow."))
    assert why(longer, agent(), 624) is None
    missed = why(longer, agent(), 0)
    assert missed is not None
    assert missed.kind == "server"


def test_what_is_shared_and_was_not_served_is_not_the_questions_fault() -> None:
    found = said(agent(question="And when?"), agent(), 0)
    assert found.kind == "server"
    assert "up to message 4 (user), line 1, character 1, are the earlier request's, byte for byte" in found.sentence


def test_a_date_in_front() -> None:
    found = said(agent("2026-11-23 " + RULES), agent())
    assert found.sentence == (
        "The prefix ends in message 1 (system), line 1, character 1: “2026-11-23 ” was put in front of "
        "“You are Mira, a voice ag…”. Nothing after it can match: 640 of 640 tokens were fresh."
    )
    assert (found.kind, found.message, found.offset, found.variable) == ("differs", 0, 0, None)
    assert (found.before, found.after) == ("You", "2026-11-23 You")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("2026-11-23 ok", "2026-11-24 ok", "“2026-11-23” became “2026-11-24”"),
        ("Be kind.", "Be very kind.", "“very ” was put in front of “kind.”"),
        ("Be very kind.", "Be kind.", "“very ” was taken out in front of “kind.”"),
        ("Be", "Be kind", "“ kind” was added at the end"),
        ("Be kind", "Be", "“ kind” was taken out at the end"),
        ("Be kind", "Be  kind", "“ ” was put in front of “kind” (only white space)"),
        ("Be\nkind", "Be\r\nkind", "“␍” was put in front of “⏎kind” (only white space)"),
        ("Be kind", "Be\u00a0kind", "“Be kind” became “Be⍽kind” (only white space)"),
        ("Be kind", "be kind", "“Be” became “be” (only upper and lower case)"),
        ("café", "cafe\u0301", "“café” became “cafe\u0301” (the same to the eye: U+00E9 became U+0065 U+0301)"),
        ("kind", "ki\u200bnd", "“⟨zero-width space⟩” was put in front of “nd” (the same to the eye: U+200B)"),
        ("नमस्ते जी", "नमस्कार जी", "“नमस्ते” became “नमस्कार”"),
        ("سلام", "مرحبا", "“\u2068سلام\u2069” became “\u2068مرحبا\u2069”"),
        ("hi 🙂", "hi 🙁", "“🙂” became “🙁”"),
    ],
)
def test_the_words_of_an_edit(before: str, after: str, words: str) -> None:
    now, earlier = (Document(messages=(Message("system", text),)) for text in (after, before))
    found = why(now, earlier, 0, prompt=9)
    assert found is not None
    assert f": {words}. " in found.sentence


@pytest.mark.parametrize(("before", "after"), [("Asha", "Ravi"), ("Ravindra", "Ravi"), ("Ravi", "Ravindra"), ("", "A")])
def test_a_variable_is_named(before: str, after: str) -> None:
    found = said(agent(caller=after), agent(caller=before), 592)
    assert found.variable == "caller_name"
    assert "the value of {{caller_name}} changed" in found.sentence
    assert found.kind == "differs"


def test_text_after_a_variable_is_not_the_variable() -> None:
    earlier = agent()
    now = earlier.with_message(1, Message("user", "The caller is {{caller_name}}!\nBe kind."))
    assert said(now, earlier, 592).variable is None


def test_messages_in_another_order() -> None:
    earlier = agent()
    now = replace(earlier, messages=(earlier.messages[1], earlier.messages[0], *earlier.messages[2:]))
    found = said(now, earlier)
    assert found.kind == "order"
    assert "the messages stand in another order" in found.sentence


def test_messages_put_in_and_taken_out() -> None:
    note = Message("system", "Today is a holiday.")
    more = with_message(with_message(agent(), 1, note), 1, Message("user", "…"))
    assert "message 2 (user): 2 messages were put in." in said(more, agent(), 576).sentence
    assert "message 2 (user): 2 messages were taken out." in said(agent(), more, 576).sentence


def test_a_role_that_changed() -> None:
    now = agent().with_message(2, Message("user", "I will."))
    assert "message 3 (user): “assistant” became “user”" in said(now, agent(), 592).sentence


def test_a_message_that_got_tool_calls() -> None:
    now = agent().with_message(2, Message("assistant", "I will.", (ToolCall("call_1", "find", "{}"),)))
    found = said(now, agent(), 592)
    assert "in message 3 (assistant), its tool calls: the earlier request had the next message here." in found.sentence


@pytest.mark.parametrize(
    ("now", "earlier", "words"),
    [
        (tools("find"), agent(), "tools were added"),
        (agent(), tools("find"), "the tools were taken out"),
        (tools("find", "cancel"), tools("cancel", "find"), "the tools stand in another order"),
        (tools("find", "cancel"), tools("find"), "cancel was added"),
        (tools("find"), tools("find", "cancel"), "cancel was taken out"),
        (tools("find", note="by id"), tools("find"), "find was changed"),
        (tools("find", "find"), tools("find"), "the tools changed"),
    ],
)
def test_tools_that_changed(now: Document, earlier: Document, words: str) -> None:
    found = said(now, earlier)
    assert found.kind == "tools"
    assert f": {words}. Nothing" in found.sentence


def test_more_was_cached_than_this_request_shares() -> None:
    found = said(agent("2026-11-23 " + RULES), agent(), 512)
    assert "another request shares more" in found.sentence


@given(DOCUMENTS, DOCUMENTS)
def test_it_points_at_the_true_first_difference(now: Document, earlier: Document) -> None:
    seen, before = view_of_document(now), view_of_document(earlier)
    shared = slow_prefix(seen.view.text, before.view.text)
    # Too short for a miss, so that it is the difference which is explained.
    found = explain(seen.view, before.view, cached_tokens=0, prompt_tokens=50, forecast=None, document=seen)
    if shared in (len(seen.view.text), len(before.view.text)):
        assert found is None
        return
    located = seen.view.locate(shared)
    assert found is not None
    assert located is not None
    assert found.place == shared
    if located[0].kind == "content":
        assert (found.message, found.offset) == (located[0].index, located[1])


@given(DOCUMENTS)
def test_the_same_bytes_are_never_blamed(document: Document) -> None:
    seen = view_of_document(document)
    for cached in (0, 100, 5_000):
        found = explain(seen.view, seen.view, cached_tokens=cached, prompt_tokens=5_000, forecast=None, document=seen)
        assert found is None or found.kind == "server"


@given(TEXTS, TEXTS)
def test_snippets_show_every_character(before: str, after: str) -> None:
    # A text that holds the separator itself may look like one that goes on (view.py).
    assume(before != after and "\x1e" not in before + after)
    now, earlier = (Document(messages=(Message("user", text),)) for text in (after, before))
    found = why(now, earlier, 0, prompt=50)
    assert found is not None
    assert all(character.isprintable() for character in found.before + found.after)
