"""Varying spans of unknown programs: found, named, priced, and nothing stable is reported."""

from __future__ import annotations

import time
from typing import Any

import pytest

from playground.prefix_cache.losses import varying_spans
from playground.prefix_cache.program_groups import families
from playground.prompt.document import Json
from tests.benchmarks.bench_leaks import identical, measure
from tests.leaks.generator import programs
from tests.leaks.score import score
from tests.leaks.test_program_groups import prose_of_one_domain

pytestmark = pytest.mark.exhaustive

STABLE = "\n".join(
    f"{number}. Rule number {number} of the shop must be followed in every call." for number in range(60)
)


def body(system: str, *turns: str, **fields: Any) -> dict[str, Any]:
    """Return a request body with alternating user and assistant turns."""
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    return {"model": "electron", "messages": [{"role": "system", "content": system}, *said], **fields}


def test_generated_programs_are_named_without_false_spans() -> None:
    found = score(programs(200))
    assert found.leaks >= 280
    assert found.share >= 0.95, (found.wrong_kind, found.missed)
    assert found.false == []


def test_identical_heads_with_growing_conversations_report_nothing() -> None:
    turns = ("Where is my parcel?", "On its way.", "When?", "Tomorrow.", "Thanks")
    bodies = [body(STABLE, *turns[:count]) for count in (1, 3, 5)] + [body(STABLE, "Another question")]
    assert varying_spans(bodies) == []


def test_literal_customer_name_in_three_versions_is_found_and_priced() -> None:
    names = ("Priya Sharma", "Rahul Verma", "John Miller")
    bodies = [body(f"You are helping {name}. Be polite.\n{STABLE}", "Hi") for name in names]
    (span,) = varying_spans(bodies)
    assert (span.kind, span.samples, span.part, span.index) == ("name", names, "message", 0)
    assert bodies[0]["messages"][0]["content"][span.start : span.end] == "Priya Sharma"
    assert span.tokens_behind > 700
    assert span.lost_tokens == pytest.approx(2 * span.tokens_behind)  # nothing was cached for the first request
    assert span.tokens_per_request == pytest.approx(span.tokens_behind * 2 / 3)
    assert span.rewrite == "move_behind_stable_text"


def test_second_span_names_the_span_in_front() -> None:
    bodies = [body(f"Today is 2{day} November 2026.\nBe kind.\nTurn {day}.\n{STABLE}", "Hi") for day in range(1, 5)]
    first, second = varying_spans(bodies)
    assert (first.kind, first.behind, second.kind, second.behind) == ("date", None, "counter", 0)
    assert first.tokens_behind > second.tokens_behind > 600


def test_span_that_changes_once_costs_its_share_of_requests() -> None:
    bodies = [body(f"Today is {day} November 2026.\n{STABLE}", "Hi") for day in (22, 22, 22, 22, 23)]
    (span,) = varying_spans(bodies)
    assert (span.changes, span.comparisons) == (1, 4)
    assert span.tokens_per_request == pytest.approx(span.tokens_behind / 5)


def test_two_programs_are_two_families() -> None:
    other = "\n".join(f"Line {number}: quite another program." for number in range(40))
    bodies = [body(f"Session {n}{n}{n}a-77\n{STABLE if n % 2 else other}", "Hi") for n in range(1, 9)]
    assert [(span.family, span.kind) for span in varying_spans(bodies)] == [(0, "identifier"), (1, "identifier")]


def test_context_of_the_last_question_that_is_dropped_later_is_retrieved_text() -> None:
    context = "Context: " + "parcels over ten kilos go by van on weekdays only; " * 6
    bodies = [
        body(STABLE, f"{context}\nWhere is it?"),
        body(STABLE, "Where is it?", "On its way to you.", f"{context}\nAnd when?"),
        body(STABLE, "Where is it?", "On its way to you.", "And when?", "Tomorrow at noon.", f"{context}\nThanks"),
    ]
    assert "retrieved_text" in [span.kind for span in varying_spans(bodies)]


def test_prompt_in_one_user_message_reports_values_and_not_the_question() -> None:
    bodies: list[dict[str, Json]] = [
        {"messages": [{"role": "user", "content": f"Date: 2026-11-2{n}\n{STABLE}\nQuestion: {'why' * n} is it {n}?"}]}
        for n in range(1, 5)
    ]
    assert [span.kind for span in varying_spans(bodies)] == ["date"]


@pytest.mark.parametrize(
    "bodies",
    [[], [{}], [{}, {}], [{"messages": []}] * 2, [{"messages": "x"}, {"messages": [1, None]}], [body("")] * 3],
)
def test_invalid_and_empty_bodies_report_nothing(bodies: list[dict[str, Any]]) -> None:
    assert varying_spans(bodies) == []


def test_varying_spans_long_thai_text_ends_soon() -> None:
    # Letters that two alternatives of a pattern matched made this exponential.
    passages = (
        "ร้านเปิดทุกวันยกเว้นวันจันทร์ และครัวปิดรับรายการสุดท้ายก่อนร้านปิดครึ่งชั่วโมง!",
        "เมนูมังสวิรัติมีสิบสองรายการ และสามารถขอไม่ใส่น้ำปลาได้ทุกจาน!",
    )
    bodies = [body(f"{STABLE}\n{text}\nEnd of the rules.", "Hi") for text in passages]
    began = time.process_time()
    assert [span.kind for span in varying_spans(bodies)] == ["retrieved_text"]
    assert time.process_time() - began < 1


def test_varying_spans_some_lines_in_order_by_chance_is_one_reordered_block() -> None:
    block = ['plan: "x"', "limits: {}", "consent: true", "region: eu", "days: 30"]
    orders = ((0, 1, 2, 3, 4), (1, 0, 2, 4, 3), (4, 0, 1, 3, 2))
    bodies = [body("\n".join([STABLE, *(block[at] for at in order), "End of the rules."]), "Hi") for order in orders]
    assert [span.kind for span in varying_spans(bodies)] == ["reordered_keys"]


def test_second_generator_kinds_and_ranges() -> None:
    leaks, right, errors = measure(60)
    assert sum(right.values()) >= 0.95 * sum(leaks.values())
    assert [error for error in errors if error.startswith("false")] == []
    assert identical(60) == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "Today is 2026-11-10 10:00.\nYou are Mira, the phone agent of Acme Mobile. " + "Be kind and brief. " * 120,
            "You are the summariser. " + "Summarise the call in two lines. " * 100,
        ),
        ("今天是2026年11月10日。你是客服助理，请简短回答。", "把下面的通话总结成两句话，不要添加新的内容。"),
        ("You answer questions about bills.", "Translate the text into French."),
    ],
)
def test_families_different_prompts_are_apart_and_versions_together(one: str, other: str) -> None:
    texts = [one, other, one.replace("10", "11"), other, one.replace("10", "12")]
    bodies: list[dict[str, Json]] = [
        {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "?"}]} for text in texts
    ]
    assert families(bodies) == [[0, 2, 4], [1, 3]]


def test_families_prompts_of_one_word_are_apart() -> None:
    texts = ["Translate", "Summarize", "Hi", "Translate", "Translate the text into French, and keep its tone."]
    bodies: list[dict[str, Json]] = [
        {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "?"}]} for text in texts
    ]
    assert families(bodies) == [[0, 3], [1], [2], [4]]


def test_documents_that_are_replaced_by_others_of_one_domain_are_no_reordered_text() -> None:
    documents = [f"Context documents:\n{prose_of_one_domain(seed, 10)}" for seed in range(6)]
    turns = [text for n in range(6) for text in (f"Question number {n} about an order?", f"Answer number {n}.")]
    bodies = [body(STABLE, one, "Understood.", *turns[: 2 * at + 1]) for at, one in enumerate(documents)]
    assert [span.kind for span in varying_spans(bodies)] == ["retrieved_text"]
