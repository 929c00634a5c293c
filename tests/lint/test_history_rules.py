"""Rules that use the log: the findings that it must lead to, and the evidence that is not enough."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from playground.client.endpoint import PUBLISHED_RATES, Rates
from playground.lint.engine import advise
from playground.lint.model import Finding
from playground.lint.prompt_facts import LintContext, PastRequest, PromptHistory
from playground.prompt.document import Document, Json, Message, ToolCall
from tests.lint.corpus import tool
from tests.lint.judge import said, system, tools

PROMPT = system("Be kind.", parameters={"max_tokens": 400})
OPEN = system("Be kind.")


def past(count: int, **fields: Any) -> tuple[PastRequest, ...]:
    """So many requests ten seconds apart."""
    given = {"request_id": "9db74058", "finish_reason": "stop", "prompt_tokens": 1_000, **fields}
    return tuple(PastRequest(at=1_000.0 + 10 * number, **given) for number in range(count))


def of(document: Document, rule: str, *requests: PastRequest, **fields: Any) -> tuple[Finding, ...]:
    history = PromptHistory(requests, **fields)
    found = said(document, rule, LintContext(rates=PUBLISHED_RATES, history=history))
    for advice in found:
        if advice.fix is not None:
            assert not said(advice.fix.after, rule, LintContext(history=history)), "the fix does not silence its rule"
    return found


def test_a_cap_from_what_was_needed() -> None:
    (advice,) = of(OPEN, "output-cap", *past(39, completion_tokens=80), *past(1, completion_tokens=120))
    assert advice.fix is not None
    assert advice.fix.after.parameters["max_tokens"] == 160  # 120 and a quarter, in steps of 16
    assert "40 requests" in advice.detail
    far = replace(OPEN, parameters={"max_tokens": 4_000})
    assert of(far, "output-cap", *past(20, completion_tokens=100))
    near = replace(OPEN, parameters={"max_tokens": 300})
    assert not of(near, "output-cap", *past(20, completion_tokens=100))


def test_too_few_completions_give_no_figure() -> None:
    (advice,) = of(OPEN, "output-cap", *past(19, completion_tokens=80))
    assert advice.fix is None
    assert not of(replace(OPEN, parameters={"max_tokens": 4_000}), "output-cap", *past(19, completion_tokens=8))
    # Cut completions and unreported ones do not show the needed length.
    (advice,) = of(OPEN, "output-cap", *past(30, completion_tokens=80, finish_reason="length"), *past(30))
    assert advice.fix is None


def test_output_cap_no_limit_is_suggested_that_would_cut_an_answer_of_the_log() -> None:
    short = past(30, completion_tokens=80)
    cut = past(5, completion_tokens=400, finish_reason="length", max_tokens=400)
    (advice,) = of(OPEN, "output-cap", *short, *cut)
    assert advice.fix is None
    assert "5 of 35" in advice.detail
    far = replace(OPEN, parameters={"max_tokens": 4_000})
    assert not of(far, "output-cap", *short, *cut)
    (advice,) = of(OPEN, "output-cap", *short, *past(1, completion_tokens=600, finish_reason="content_filter"))
    assert advice.fix is not None
    assert advice.fix.after.parameters["max_tokens"] == 752


def test_output_cap_states_percentile_and_samples() -> None:
    (advice,) = of(OPEN, "output-cap", *past(95, completion_tokens=80), *past(5, completion_tokens=120))
    assert {one.label: one.value for one in advice.evidence}["95th percentile"] == 80
    assert "100 samples" in advice.detail
    assert "1 in 101" in advice.detail
    (advice,) = of(OPEN, "output-cap", *past(3, completion_tokens=80))
    assert "3 completions" in advice.detail


def test_answers_that_were_cut_are_counted() -> None:
    cut = past(3, finish_reason="length", max_tokens=400, completion_tokens=400)
    (advice,) = of(PROMPT, "answers-cut", *past(17), *cut)
    assert advice.severity == "warning"
    assert "3 of 20" in advice.detail
    assert advice.fix is not None
    lower = past(3, finish_reason="length", max_tokens=100)
    assert not of(PROMPT, "answers-cut", *past(17), *lower), "a lower cap's cuts say nothing of this one"
    (unknown,) = of(PROMPT, "answers-cut", *past(17), *past(3, finish_reason="length"))
    assert unknown.fix is None


@pytest.mark.parametrize("ending", ["<END>", "[DONE]", "###", "<|eot|>", "END"])
def test_terminators_become_stop_strings(ending: str) -> None:
    (advice,) = of(PROMPT, "stop-strings", *past(12, answer=f"It is in Pune. {ending}\n"))
    assert advice.fix is not None
    assert advice.fix.after.parameters["stop"] == [ending]


@pytest.mark.parametrize("answer", ["It is in Pune.", "### Pune\nIt is there ###", "Ask your friend", "Fine :)", ""])
def test_no_terminator(answer: str) -> None:
    assert not of(PROMPT, "stop-strings", *past(12, answer=answer))


def test_terminators_that_are_rare_or_set_already() -> None:
    some = (*past(5, answer="Pune <END>"), *past(7, answer="Pune."))
    assert not of(PROMPT, "stop-strings", *some)
    known = replace(PROMPT, parameters={"max_tokens": 9, "stop": "<END>"})
    assert not of(known, "stop-strings", *past(12, answer="Pune <END>"))
    full = replace(PROMPT, parameters={"max_tokens": 9, "stop": ["a", "b", "c", "d"]})
    assert not of(full, "stop-strings", *past(12, answer="Pune <END>"))


def test_a_hit_rate_that_fell() -> None:
    before = past(6, cached_tokens=900, text="tools\x1esystem: be kind\x1ehello")
    edited = "tools\x1esystem: be sharp\x1ehello"
    after = tuple(replace(r, at=r.at + 60, cached_tokens=100, text=edited) for r in before)
    (advice,) = of(PROMPT, "hit-rate-falls", *before, *after)
    assert advice.tokens == pytest.approx(800)
    assert advice.dollars == pytest.approx(800 * 0.3 / 1_000)
    assert "'kind" in advice.detail
    assert "'sharp" in advice.detail
    assert "1970-01-01 00:17:40" in advice.detail


@pytest.mark.parametrize(
    ("rates", "gap"),
    [
        ([900] * 12, 10.0),  # steady
        ([100] * 12, 10.0),  # never good
        ([900] * 10 + [100, 100], 10.0),  # too few to tell
        ([900] * 6 + [700] * 6, 10.0),  # a little
        ([900] * 6 + [100] * 6, 1_000.0),  # each after a silence: they expired
        ([900] * 6 + [None] * 6, 10.0),  # not reported is not zero
        ([100] * 6 + [900] * 6, 10.0),  # it rose
    ],
)
def test_hit_rates_that_did_not_fall(rates: list[int | None], gap: float) -> None:
    requests = tuple(
        PastRequest(at=gap * n, request_id="9", prompt_tokens=1_000, cached_tokens=cached)
        for n, cached in enumerate(rates)
    )
    assert not of(PROMPT, "hit-rate-falls", *requests)


def test_cold_connections() -> None:
    (advice,) = of(PROMPT, "cold-connections", *past(10, connect_s=0.2))
    assert advice.severity == "warning"
    assert advice.evidence[0].value == 9
    assert not of(PROMPT, "cold-connections", *past(1, connect_s=0.2), *past(9, connect_s=0.0))
    assert not of(PROMPT, "cold-connections", *past(10)), "not measured is not cold"
    idle = tuple(replace(request, at=request.at * 60) for request in past(10, connect_s=0.2))
    assert not of(PROMPT, "cold-connections", *idle)


def test_responses_without_an_id() -> None:
    (advice,) = of(PROMPT, "no-request-id", *past(4), *past(2, request_id=None))
    assert [item.value for item in advice.evidence] == [2, 6, 0]
    assert of(PROMPT, "no-request-id", *past(4, failed_attempts_without_id=1))
    assert not of(PROMPT, "no-request-id", *past(4), *past(2, request_id=None, status=None)), "nothing was answered"


CATALOGUE = system("Be kind.", tools=tools(tool("used"), tool("idle"), tool("idler")), stream=False)


def test_tools_that_were_never_called() -> None:
    (advice,) = of(CATALOGUE, "tool-unused", tools_called=frozenset({"used"}), tools_offered_in=60)
    assert advice.fix is not None
    assert [item.name for item in advice.fix.after.tools] == ["used"]
    assert not of(CATALOGUE, "tool-unused", tools_called=frozenset({"used"}), tools_offered_in=49)
    assert not of(CATALOGUE, "tool-unused", tools_called=frozenset({"used", "idle", "idler"}), tools_offered_in=60)


def test_a_tool_that_the_prompt_needs_is_not_called_unused() -> None:
    choice: dict[str, Json] = {"type": "function", "function": {"name": "idle"}}
    call = Message("assistant", None, (ToolCall("1", "idler", "{}"),))
    needed = replace(CATALOGUE, parameters={"tool_choice": choice}, messages=(*CATALOGUE.messages, call))
    assert not of(needed, "tool-unused", tools_called=frozenset({"used"}), tools_offered_in=60)


def test_removing_the_last_tool_takes_its_choice_along() -> None:
    alone = replace(CATALOGUE, parameters={"tool_choice": "required"})
    (advice,) = of(alone, "tool-unused", tools_offered_in=60)
    assert advice.fix is not None
    assert not advice.fix.after.tools
    assert "tool_choice" not in advice.fix.after.parameters
    assert not [a for a in advise(advice.fix.after) if a.rule == "refused"]


def test_a_variable_that_never_varies_is_no_loss() -> None:
    document = system("You work for {{company}}.\n\n" + "Give one fact at a time. " * 100)
    assert of(document, "prefix-order", *past(3, cached_tokens=0))
    assert not of(document, "prefix-order", *past(3, cached_tokens=500))
    assert of(document, "prefix-order", *past(3)), "not reported proves nothing"


def test_language_switched_in_the_log() -> None:
    asked, said_ = "मेरा पार्सल कहाँ है? वह सोमवार को आना था।", "Your parcel is in Pune and will be with you on Tuesday."
    assert of(PROMPT, "language-kept", *past(1, question=asked, answer=said_))
    assert not of(PROMPT, "language-kept", *past(1, question=asked, answer=asked))
    assert not of(PROMPT, "language-kept", *past(1, question="A-1204", answer=said_))


def test_output_cap_context_length_of_the_endpoint_bounds_the_waste() -> None:
    history = PromptHistory(past(30, completion_tokens=100))
    waste = {}
    for context in (8_192, 131_072, None):
        setting = LintContext(rates=Rates(output=1.0), history=history, context_tokens=context)
        (advice,) = said(OPEN, "output-cap", setting)
        evidence = {item.label: item.value for item in advice.evidence}
        waste[context] = evidence["additional tokens of a runaway completion"]
        assert (evidence["cost per 1,000 requests"] is None) is (context is None)
    assert waste[None] is None
    assert round((waste[131_072] or 0) - (waste[8_192] or 0)) == 131_072 - 8_192


def test_answers_cut_suggestion_stays_below_the_context_length_of_the_endpoint() -> None:
    history = PromptHistory((*past(17), *past(3, finish_reason="length", max_tokens=400)))
    for context, suggested in ((32_768, 800), (600, 600), (None, 800)):
        (advice,) = said(PROMPT, "answers-cut", LintContext(history=history, context_tokens=context))
        assert advice.fix is not None
        assert advice.fix.after.parameters["max_tokens"] == suggested


def test_history_grows_counts_turns_by_the_context_length_of_the_endpoint() -> None:
    turns = [Message(role, "word " * 400) for _ in range(10) for role in ("user", "assistant")]
    document = Document(messages=(Message("system", "Be kind."), *turns, Message("user", "And now?")))
    (short,) = said(document, "history-grows", LintContext(context_tokens=16_384))
    assert "16,384 tokens" in short.detail
    assert not said(document, "history-grows", LintContext(context_tokens=131_072))
    assert not said(document, "history-grows", LintContext(context_tokens=None))
    many = replace(document, messages=(*document.messages[:1], *turns * 9, document.messages[-1]))
    (unknown,) = said(many, "history-grows", LintContext(context_tokens=None))
    assert "not known" in unknown.detail
    assert not said(many, "history-grows", LintContext(context_tokens=None, electron=False))
    trimmed = said(many, "history-grows", LintContext(context_tokens=78_000, electron=False))
    assert trimmed
    assert "200 messages" not in trimmed[0].detail
