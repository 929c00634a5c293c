"""Names of programs, costs of leaks and figures of recorded requests, against sums computed by hand."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Rates, cost
from playground.recorder.programs import ADVICE, RecordedRequest, analyse, figures, program_names, rewrites
from tests.leaks.agent_truth import Case, cases
from tests.recorder.rows import RULES, body, request, row

DAYS = (10, 11, 12, 13, 13, 13)
SESSIONS = (1, 2, 3, 4, 5, 6)


def dated(number: int, **fields: object) -> RecordedRequest:
    """Return a request with a date in line 1, which changes three times, and a session in line 3, which always does."""
    system = f"It is 2026-11-{DAYS[number]} today.\n{RULES}\nSession {SESSIONS[number]}\n{RULES}"
    prompt, cached = 1_280, 0 if number < 4 else 640
    return request(number, system, prompt, cached, **fields)


def test_analyse_attributes_lost_text_to_the_span_in_front_of_it_and_prices_add_up() -> None:
    analysis = analyse([dated(number) for number in range(6)])
    date, session = sorted(analysis.leaks, key=lambda leak: leak.span.start)
    assert date.run_ids == ("run-1", "run-2", "run-3")
    assert session.run_ids == ("run-1", "run-2", "run-3", "run-4", "run-5")
    half = 1_280 / 2
    assert date.tokens == pytest.approx(3 * half, rel=0.05)  # up to the session, which differs too
    assert session.tokens == pytest.approx(5 * half, rel=0.05)
    assert date.span.tokens_behind == pytest.approx(2 * half, rel=0.05)
    assert session.span.tokens_behind == pytest.approx(half, rel=0.05)
    assert session.blocked_by == "Date"
    assert date.dollars == pytest.approx(date.tokens * 0.3 / 1_000_000)
    saved = analysis.saved(None)
    assert saved is not None
    assert saved.requests == 6
    assert (saved.prompt_tokens, saved.cached_tokens) == (6 * 1_280, 2 * 640)
    assert saved.saved_cached == pytest.approx(date.tokens + session.tokens)
    assert saved.hit_rate == pytest.approx(1_280 / 7_680)
    assert saved.hit_rate_after == pytest.approx((1_280 + saved.saved_cached) / 7_680)
    assert saved.dollars == pytest.approx((6_400 * 0.4 + 1_280 * 0.1) / 1_000_000)
    assert saved.per_1000(saved.dollars) == pytest.approx((6_400 * 0.4 + 1_280 * 0.1) / 6_000)
    assert saved.saved_dollars == pytest.approx((date.dollars or 0) + (session.dollars or 0))


def test_analyse_with_requests_that_have_no_usage_prices_the_others_only() -> None:
    served = [dated(number) for number in range(6)]
    other = "You repair bicycles. Ask for the frame number before you name a price. " * 30
    failed = [request(10 + number, other, None, None) for number in range(6)]
    alone, both = analyse(served).saved(None), analyse([*served, *failed]).saved(None)
    assert both == alone


def test_analyse_text_that_changes_only_with_the_conversation_is_a_session_value() -> None:
    def made(number: int, plan: str) -> RecordedRequest:
        return request(number, f"The caller {plan}.\n{RULES}", 1_000, 0, conversation=f"c{number // 2}")

    plans = ("pays late", "is new here", "moved to Graz")
    (leak,) = analyse([made(number, plans[number // 2]) for number in range(6)]).leaks
    assert (leak.span.kind, leak.title) == ("text", "Session value")
    (leak,) = analyse([made(number, plans[number % 3]) for number in range(6)]).leaks
    assert leak.title == "Text"


def test_analyse_stable_tokens_behind_a_leak_are_scaled_to_the_reported_prompt() -> None:
    analysis = analyse([dated(number) for number in range(6)])
    date = next(leak for leak in analysis.leaks if leak.span.kind == "date")
    # Both rules are behind the date: all of the prompt but one line, the session and the question.
    assert 1_280 * 0.93 < date.span.tokens_behind < 1_280


def test_analyse_reported_hits_bound_the_cost_of_a_leak() -> None:
    requests = [dated(number) for number in range(6)]
    served = [RecordedRequest(row(one.row.number, 1_280, 1_264), one.body) for one in requests]
    saved = analyse(served).saved(None)
    assert saved is not None
    assert saved.saved_cached <= 5 * 16
    assert saved.hit_rate_after is not None
    assert saved.hit_rate_after <= 1


def test_analyse_without_reports_estimates_prices_and_leaves_rates_unknown() -> None:
    requests = [RecordedRequest(row(number), dated(number).body) for number in range(6)]
    analysis = analyse(requests)
    saved = analysis.saved(None)
    assert saved is not None
    assert (saved.prompt_tokens, saved.cached_tokens, saved.dollars) == (None, None, None)
    assert (saved.hit_rate, saved.hit_rate_after) == (None, None)
    assert saved.requests == 6
    assert saved.saved_dollars is not None
    assert saved.saved_dollars > 0


def test_analyse_without_rates_has_tokens_and_no_dollars() -> None:
    analysis = analyse([dated(number, rates=Rates()) for number in range(6)])
    saved = analysis.saved(0)
    assert saved is not None
    assert (saved.dollars, saved.saved_dollars) == (None, None)
    assert all(leak.dollars is None and leak.tokens > 0 for leak in analysis.leaks)


def test_analyse_of_two_programs_sums_their_savings() -> None:
    summary = "Summarise the call in two lines of plain text for the person who takes over. " * 30
    others = [request(10 + number, summary, 700, 0) for number in range(3)]
    analysis = analyse([*(dated(number) for number in range(6)), *others])
    parts, whole = [analysis.saved(number) for number in range(2)], analysis.saved(None)
    assert whole is not None
    assert [part.requests for part in parts if part] == [6, 3]
    assert whole.requests == 9
    assert whole.prompt_tokens == 6 * 1_280 + 3 * 700
    assert whole.saved_cached == pytest.approx(sum(part.saved_cached for part in parts if part))


def test_analyse_value_with_nothing_stable_behind_it_is_no_leak() -> None:
    requests = [request(number, f"{RULES}\nToday is 2026-11-{number + 10}.", 640, 600) for number in range(4)]
    assert analyse(requests).leaks == ()


def agents(name: str) -> tuple[Case, list[RecordedRequest]]:
    """Return a case with its recorded requests; each has a conversation of its own in the log, as after an edit."""
    case = next(case for case in cases() if case.name == name)
    pairs = enumerate(zip(case.sent, case.usage, strict=True))
    return case, [
        RecordedRequest(row(number, *usage, conversation=f"c{number}"), one.body) for number, (one, usage) in pairs
    ]


def test_analyse_agent_whose_tool_result_changes_states_its_cost_and_keeps_conversations_together() -> None:
    case, requests = agents("tool result changes")
    analysis = analyse(requests)
    (leak,) = analysis.leaks
    assert (leak.title, leak.place) == ("UUID", "tool message 4, line 1")
    assert leak.tokens == pytest.approx(case.lost, rel=0.05)
    assert leak.dollars == pytest.approx(leak.tokens * 0.3 / 1_000_000)
    assert ADVICE[leak.span.rewrite].startswith("Store the text")
    assert rewrites(leak) == ()
    (program,) = analysis.programs
    assert {name: len(run_ids) for name, run_ids in program.conversations.items()} == {"c0": 9, "c9": 9, "c18": 9}
    assert analysis.conversation_of("run-10") == tuple(f"run-{number}" for number in range(9, 18))


def test_analyse_sessions_at_once_are_conversations_of_one_program() -> None:
    case, requests = agents("session id, at once")
    analysis = analyse(requests)
    (leak,) = analysis.leaks
    assert leak.tokens == pytest.approx(case.lost, rel=0.05)
    assert leak.run_ids == leak.costly_ids == ("run-1", "run-2", "run-3", "run-4")
    assert [len(program.conversations) for program in analysis.programs] == [5]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_analyse_prices_of_all_leaks_are_at_most_what_was_paid(share: float) -> None:
    _, requests = agents("two values")
    served = [
        replace(one, row=replace(one.row, cached_tokens=int(share * (one.row.prompt_tokens or 0)))) for one in requests
    ]
    analysis = analyse(served)
    saved = analysis.saved(None)
    assert saved is not None
    assert saved.prompt_tokens is not None
    assert saved.cached_tokens is not None
    assert sum(leak.tokens for leak in analysis.leaks) <= saved.prompt_tokens - saved.cached_tokens
    assert saved.saved_cached == pytest.approx(sum(leak.tokens for leak in analysis.leaks))


def test_analyse_requests_sent_again_after_a_failure_are_attempts_of_one_request() -> None:
    _, requests = agents("time in front")
    requests = requests[:6]
    refused = row(50, started_utc=requests[2].row.started_utc, phase="failed", status=429, conversation="c50")
    lost = replace(refused, run_id="run-51", status=None)
    again = [*requests[:2], *(RecordedRequest(one, requests[2].body) for one in (refused, lost)), *requests[2:]]
    (program,) = analyse(again).programs
    assert len(program.run_ids) == 8  # each is listed, so each counts
    assert program.conversations["c0"] == ("run-0", "run-1", "run-50", "run-51", *(f"run-{at}" for at in range(2, 6)))
    assert [leak.tokens for leak in analyse(again).leaks] == [leak.tokens for leak in analyse(requests).leaks]


def test_figures_hit_rate_is_weighted_by_tokens_and_unknown_is_none() -> None:
    rows = [
        row(1, 1_000, 900, ttft_s=0.1),
        row(2, 100, 0, ttft_s=0.5),
        row(3, 100, 0, ttft_s=0.9),
        row(4, 300, 200, ttft_s=0.2),
        row(5, None, None, phase="failed", status=503, ttft_s=None),
        row(6, 500, None, ttft_s=0.7),
    ]
    found = figures(rows)
    assert (found.requests, found.compared) == (6, 4)
    assert found.hit_rate == pytest.approx((900 + 200) / (1_000 + 100 + 100 + 300))
    assert found.ttft_cold_s == pytest.approx(median([0.5, 0.9]))
    assert found.ttft_warm_s == pytest.approx(median([0.1, 0.2]))
    assert found.dollars == pytest.approx((400 * 0.4 + 1_100 * 0.1) / 1_000_000)
    assert found.priced == 4
    none = figures(rows[4:])
    assert (none.hit_rate, none.ttft_cold_s, none.ttft_warm_s, none.dollars) == (None, None, None, None)


def test_figures_of_the_same_rows_compute_each_cost_once() -> None:
    rows = [row(number, 900_000 + number, number) for number in range(2_000)]
    before = cost.cache_info().misses
    assert figures(rows) == figures(rows)
    assert cost.cache_info().misses - before == len(rows)


def test_program_names_are_the_first_sentence_that_varies_in_no_request_and_belongs_to_one_program() -> None:
    first = (
        body("Today is 2026-11-10.\nYou are helpful. Answer about bills."),
        body("Today is 2026-11-12.\nYou are helpful. Answer about bills."),
    )
    second = body("You are helpful. Translate into French."), body("You are helpful. Translate into French.")
    assert program_names([first, second]) == ["Answer about bills.", "Translate into French."]


def test_program_names_of_equal_or_empty_prompts_differ() -> None:
    one = body("You are helpful."), body("You are helpful.")
    assert program_names([one, one, one]) == ["You are helpful.", "You are helpful. (2)", "You are helpful. (3)"]
    assert program_names([({}, {}), ({}, {})]) == ["Without text", "Without text (2)"]


def test_program_names_are_whole_sentences_of_both_requests() -> None:
    first, last = body("Be kind.\nAnswer about bills."), body("Be kind. And brief.\nAnswer about bills. Now.")
    assert program_names([(first, last)]) == ["Be kind."]
    assert program_names([(body("Help"), body("Help now.\nBye."))]) == ["Help"]


def test_program_names_have_no_identifier() -> None:
    uuid = "0b9d7c1e-5a43-4c8e-9f3a-1c2d3e4f5a6b"
    one = body(f"Session {uuid}\nYou help callers of Acme.")
    assert program_names([(one, one)]) == ["You help callers of Acme."]
    two = body(f"You answer for the tenant {uuid} only.")
    assert program_names([(two, two)]) == ["You answer for the tenant … only."]
    assert program_names([(body(uuid), body(uuid))]) == ["Without text"]


def test_analyse_marks_no_request_that_the_cache_served_in_spite_of_the_leak() -> None:
    """Two tenants in turn: after the first request of each, both prompts are in the cache."""
    rules = "Answer briefly, and read out no lists. " * 60
    bodies: list[dict[str, Any]] = [
        {"messages": [{"role": "system", "content": f"For {tenant}. {rules}"}, {"role": "user", "content": "Hello"}]}
        for at, tenant in enumerate(("Acme", "Bharat", "Acme", "Bharat"))
    ]
    usage = [(700, 0), (700, 0), (700, 688), (700, 688)]
    requests = [
        RecordedRequest(row(at, *counts), body) for at, (body, counts) in enumerate(zip(bodies, usage, strict=True))
    ]
    (leak,) = analyse(requests).leaks
    assert leak.run_ids == ("run-1", "run-2", "run-3")
    assert leak.costly_ids == ("run-1",)
