"""Zones: warm is exactly the shared prefix, spans cover each message, the boundary names the end of the prefix."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from playground.prefix_cache.forecaster import PromptForecast
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import DocumentView, ViewPart, view_of_document
from playground.prefix_cache.zones import Cuts, zones
from playground.prompt.document import Document, Message, Tool, ToolCall
from tests.prefix_cache.prompts import DOCUMENTS, ENDPOINT, MODEL, NOW, RULES, TEXTS, agent, desk, sent, slow_prefix


def look(document: Document, *earlier: Document) -> PromptForecast:
    """Return the forecast of a document after others were sent, one second apart."""
    requests = [sent(other, f"run {n}", NOW - 60 + n) for n, other in enumerate(earlier)]
    return desk(*requests).look(document, ENDPOINT, MODEL)


def warm_characters(prompt_forecast: PromptForecast) -> int:
    """Up to where the spans say warm, in code points of the view's text; variables must have no value in it."""
    seen, zones = prompt_forecast.view, prompt_forecast.zones
    ends = [part.end for part, zone in zip(_tools(seen), zones.tool_zones, strict=True) if zone == "warm"]
    for part, spans in zip(seen.contents, zones.messages, strict=True):
        ends += [part.start + span.end for span in spans if part is not None and span.zone == "warm"]
    return max(ends, default=0)


def _tools(seen: DocumentView) -> list[ViewPart]:
    return [part for part in seen.view.parts if part.kind == "tool"]


@given(DOCUMENTS, DOCUMENTS)
@example(
    Document(messages=(Message("assistant", "{{a}}", (ToolCall("call_1", "find", ""),)),), variables={"a": ""}),
    Document(),
)
def test_spans_cover_each_message_without_gaps(document: Document, earlier: Document) -> None:
    zones = look(document, earlier).zones
    assert len(zones.messages) == len(zones.message_zones) == len(zones.message_tokens) == len(document.messages)
    order = ["warm", "stable", "variable"]
    for message, spans in zip(document.messages, zones.messages, strict=True):
        assert "".join((message.content or "")[span.start : span.end] for span in spans) == (message.content or "")
        assert all(one.end == other.start for one, other in pairwise(spans))
        assert [span.zone for span in spans] == sorted({span.zone for span in spans}, key=order.index)


@given(DOCUMENTS, DOCUMENTS)
def test_tokens_add_up(document: Document, earlier: Document) -> None:
    zones = look(document, earlier).zones
    parts = sum(zones.message_tokens) + sum(zones.tool_tokens)
    assert zones.total_tokens == pytest.approx(parts)
    assert min(zones.warm_tokens, zones.stable_tokens, zones.variable_tokens) >= -1e-9
    assert 0 <= zones.boundary.tokens <= zones.total_tokens + 1e-9


@given(DOCUMENTS)
def test_the_boundary_lies_in_a_message_of_the_prompt(document: Document) -> None:
    boundary = look(document).zones.boundary
    if boundary.kind == "variable":
        assert boundary.message is not None
        template = document.messages[boundary.message].content or ""
        assert template[boundary.offset :].startswith("{{")
        assert boundary.name is not None
        assert boundary.name in template


@pytest.mark.parametrize("at", [0, 1, 700, 1500, len(RULES)])
@pytest.mark.parametrize("typed", ["x", "2026-11-23 ", "नमस्ते ", "\u200f", "🙂", "\u00a0"])
def test_warm_is_what_is_shared_to_the_character(at: int, typed: str) -> None:
    before = Document(messages=(Message("system", RULES), Message("user", "Hi")))
    after = Document(messages=(Message("system", RULES[:at] + typed + RULES[at:]), Message("user", "Hi")))
    prompt_forecast = look(after, before)
    shared = slow_prefix(prompt_forecast.view.view.text, view_of_document(before).view.text)
    # Less than a block is not served, and so is not drawn warm.
    assert warm_characters(prompt_forecast) == (shared if at > 100 else 0)
    boundary = prompt_forecast.zones.boundary
    assert (boundary.kind, boundary.message, boundary.offset) == ("differs", 0, shared - len("system\x1e"))


def test_never_sent_ends_at_the_first_variable() -> None:
    zones = look(agent()).zones
    assert zones.warm_tokens == 0
    assert zones.boundary.kind == "variable"
    assert zones.boundary.cause == ("ends at {{caller_name}}, message 2 (user), line 1: everything after it is fresh")
    assert (zones.boundary.message, zones.boundary.offset) == (1, len("The caller is "))
    assert zones.message_zones == ("stable", "stable", "variable", "variable")


def test_warm_goes_past_a_variable_whose_value_is_the_same() -> None:
    zones = look(agent(question="And when?"), agent()).zones
    assert [span.zone for span in zones.messages[1]] == ["warm"]
    assert [span.zone for span in zones.messages[3]] == ["variable"]
    assert zones.boundary.name == "caller_name"


def test_a_variable_with_another_value_is_not_warm() -> None:
    zones = look(agent(caller="Amir"), agent(caller="Asha")).zones
    spans = {span.zone: (span.start, span.end) for span in zones.messages[1]}
    assert spans["warm"] == (0, len("The caller is "))
    assert spans["variable"][0] == len("The caller is ")


def test_an_early_change_only_shrinks_warm() -> None:
    whole = look(agent(), agent()).zones.warm_tokens
    found = [look(agent(RULES[:at] + "!" + RULES[at:]), agent()).zones.warm_tokens for at in (1700, 900, 300, 0)]
    assert found == sorted(found, reverse=True)
    assert whole > found[0]
    assert found[-1] == 0


def test_a_date_in_front_moves_the_boundary_there() -> None:
    boundary = look(agent("2026-11-23 " + RULES), agent()).zones.boundary
    assert (boundary.kind, boundary.message, boundary.offset) == ("differs", 0, 0)
    assert boundary.cause == "differs from run 0-2421 at “2026-11-23 You a…” in message 1 (system), line 1"


def test_once_sent_with_the_date_the_variable_ends_it_again() -> None:
    dated = agent("2026-11-23 " + RULES)
    zones = look(dated, agent(), dated).zones
    assert zones.boundary.name == "caller_name"
    assert zones.variable_tokens == 0


def test_a_conversation_that_goes_on_differs_nowhere() -> None:
    first = Document(messages=(Message("system", RULES), Message("user", "Hi")))
    zones = look(Document(messages=(*first.messages, Message("assistant", "Hello."))), first).zones
    assert zones.boundary.kind == "end"
    assert [spans[0].zone for spans in zones.messages] == ["warm", "warm", "stable"]


def test_a_text_that_was_cut_short_differs_at_its_end() -> None:
    boundary = look(agent(RULES[:900]), agent()).zones.boundary
    assert boundary.cause == "differs from run 0-2421 at the end of message 1 (system), line 1"
    assert boundary.offset == 900


def test_an_edit_is_seen_behind_another_prompt_that_was_sent_since() -> None:
    other = Document(messages=(Message("system", "Translate into German. " * 60),))
    boundary = look(agent("2026-11-23 " + RULES), agent(), other).zones.boundary
    assert boundary.kind == "differs"
    assert "run 0" in boundary.cause


def test_another_prompt_ends_nothing() -> None:
    other = Document(messages=(Message("system", "Translate into German. " * 60),))
    assert look(agent(), other).zones.boundary.kind == "variable"


def test_a_tool_that_changed_is_where_it_ends() -> None:
    tools = [Tool.of({"type": "function", "function": {"name": name}}) for name in ("find", "file")]
    documents = [Document(tools=(tool,), messages=agent().messages, variables=agent().variables) for tool in tools]
    zones = look(*documents).zones
    assert (zones.boundary.kind, zones.boundary.message) == ("differs", None)
    assert zones.boundary.cause.endswith("in tool 1")
    assert zones.tool_zones == ("variable",)


def test_a_call_that_changed_ends_it_after_the_text_of_its_message() -> None:
    def calling(arguments: str) -> Document:
        call = ToolCall("call_1", "find", arguments)
        return Document(messages=(Message("system", RULES), Message("assistant", "One moment.", (call,))))

    boundary = look(calling('{"id":2}'), calling('{"id":1}')).zones.boundary
    assert (boundary.message, boundary.offset) == (1, len("One moment."))


def test_of_empty_values_the_first_variable_ends_it() -> None:
    document = Document(messages=(Message("user", "x{{a}}{{b}}y"),), variables={"a": "", "b": ""})
    boundary = look(document).zones.boundary
    assert (boundary.name, boundary.offset) == ("a", 1)


def test_an_empty_prompt() -> None:
    zones = look(Document()).zones
    assert (zones.total_tokens, zones.boundary.kind, zones.boundary.message) == (0, "end", None)


@given(st.lists(TEXTS, max_size=4), st.data())
def test_spans_are_cut_to_the_character(texts: list[str], data: st.DataObject) -> None:
    plain = [text.replace("{", "") for text in texts]
    seen = view_of_document(Document(messages=tuple(Message("user", text) for text in plain)))
    warm = data.draw(st.integers(0, len(seen.view.text)))
    stable = data.draw(st.integers(warm, len(seen.view.text)))
    found = zones(seen, Cuts(warm, stable), Measure(seen.view, TokenEstimator()))
    for part, text, spans in zip(seen.contents, plain, found.messages, strict=True):
        assert part is not None
        zone_of = {at: span.zone for span in spans for at in range(span.start, span.end)}
        for at in range(len(text)):
            place = part.start + at
            assert zone_of[at] == ("warm" if place < warm else "stable" if place < stable else "variable")
