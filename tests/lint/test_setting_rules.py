"""Batches within the plan, and retry policies against the guide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.client.endpoint import PLANS
from playground.client.retry import NO_RETRIES, RetryPolicy
from playground.lint.prompt_facts import Batch, LintContext, Retries
from playground.lint.requests import WINDOW_S, plan_batch
from tests.lint.judge import said, system

PROMPT = system("Be kind.")


@pytest.mark.parametrize(
    ("n", "in_flight", "per_minute", "each", "expected"),
    [
        (0, 3, 10, 2.0, 0.0),
        (1, 3, 10, 2.0, 2.0),
        (9, 3, None, 2.0, 6.0),
        (10, 3, None, 2.0, 8.0),
        (10, None, 10, 2.0, 2.0),
        (11, None, 10, 2.0, 62.0),
        (100, 3, 10, 2.0, 548.0),  # nine whole minutes, and the last ten are three, three, three and one
        (30, 3, 10, 30.0, 300.0),  # the slots are slower than the minute
    ],
)
def test_time_to_finish(n: int, in_flight: int | None, per_minute: int | None, each: float, expected: float) -> None:
    assert plan_batch(n, in_flight, per_minute, each) == pytest.approx(expected)


@given(
    st.integers(1, 80),
    st.one_of(st.none(), st.integers(1, 6)),
    st.one_of(st.none(), st.integers(1, 12)),
    st.floats(0.1, 90),
)
def test_never_sooner_than_either_limit_allows(n: int, slots: int | None, minute: int | None, each: float) -> None:
    took = plan_batch(n, slots, minute, each)
    assert took >= (-(-n // slots) * each if slots else each) * 0.999999
    assert took >= ((n - 1) // minute * WINDOW_S + each if minute else each) * 0.999999
    assert plan_batch(n + 1, slots, minute, each) >= took


WRONG = ((-1, 1, 1, 1.0), (1, 0, 1, 1.0), (1, 1, 0, 1.0), (1, 1, 1, -1.0))


@pytest.mark.parametrize(("n", "slots", "minute", "each"), WRONG)
def test_limits_below_one_are_refused(n: int, slots: int, minute: int, each: float) -> None:
    with pytest.raises(ValueError, match="batch"):
        plan_batch(n, slots, minute, each)


def test_a_batch_beyond_the_plan() -> None:
    over = LintContext(plan=PLANS["standard"], batch=Batch(100, 8, 2.0))
    (advice,) = said(PROMPT, "over-plan", over)
    assert "3 in flight" in advice.detail
    assert advice.evidence[-1].value == pytest.approx(plan_batch(100, 3, 10, 2.0))
    (unknown,) = said(PROMPT, "over-plan", LintContext(plan=PLANS["standard"], batch=Batch(100, 8)))
    assert unknown.evidence[-1].value is None


@pytest.mark.parametrize(
    ("plan", "batch"),
    [
        ("standard", Batch(2, 8, 2.0)),  # two requests are never more than two in flight
        ("standard", Batch(9, 3, 2.0)),
        ("enterprise", Batch(100, 20, 10.0)),
        ("none", Batch(10_000, 500, 0.1)),
        ("standard", None),
    ],
)
def test_batches_within_it(plan: str, batch: Batch | None) -> None:
    assert not said(PROMPT, "over-plan", LintContext(plan=PLANS[plan], batch=batch))


def test_few_in_flight_can_still_be_too_many_a_minute() -> None:
    assert said(PROMPT, "over-plan", LintContext(plan=PLANS["standard"], batch=Batch(100, 3, 2.0)))


@pytest.mark.parametrize(
    ("policy", "subjects"),
    [
        (Retries(), set()),
        (Retries.of(RetryPolicy()), set()),
        (Retries.of(NO_RETRIES), set()),
        (Retries(attempts=6), set()),
        (Retries(statuses=frozenset((400, 429, 502, 503))), {"refused"}),
        (Retries(statuses=frozenset((429, 500, 502, 503, 504))), {"other-statuses"}),
        (Retries(statuses=frozenset((429, 503))), {"missing-statuses"}),
        (Retries(after_first_token=True), {"after-first-token"}),
        (Retries(honours_retry_after=False), {"retry-after"}),
        (Retries(attempts=20, first_s=0.01), {"attempts", "first-wait"}),
        (Retries(longest_s=60, jitter=0), {"longest-wait", "jitter"}),
    ],
)
def test_retry_policies(policy: Retries, subjects: set[str]) -> None:
    assert {advice.subject for advice in said(PROMPT, "retry-policy", LintContext(retries=policy))} == subjects


def test_what_can_never_pass_is_serious() -> None:
    (advice,) = said(PROMPT, "retry-policy", LintContext(retries=Retries(statuses=frozenset((401, 429, 502, 503)))))
    assert advice.severity == "serious"
    assert "401" in advice.detail
