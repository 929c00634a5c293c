"""Time of requests within a plan, and retry policies against the guide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.client.retry import NO_RETRIES, RetryPolicy
from playground.experiments.batch_plan import MINUTE_S, plan_batch
from playground.lint.prompt_facts import LintContext
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
    assert took >= ((n - 1) // minute * MINUTE_S + each if minute else each) * 0.999999
    assert plan_batch(n + 1, slots, minute, each) >= took


WRONG = ((-1, 1, 1, 1.0), (1, 0, 1, 1.0), (1, 1, 0, 1.0), (1, 1, 1, -1.0))


@pytest.mark.parametrize(("n", "slots", "minute", "each"), WRONG)
def test_limits_below_one_are_refused(n: int, slots: int, minute: int, each: float) -> None:
    with pytest.raises(ValueError, match="batch"):
        plan_batch(n, slots, minute, each)


@pytest.mark.parametrize(
    ("policy", "subjects"),
    [
        (RetryPolicy(), set()),
        (NO_RETRIES, set()),
        (RetryPolicy(attempts=6), set()),
        (RetryPolicy(attempts=20, first_s=0.01), {"attempts", "first-wait"}),
        (RetryPolicy(longest_s=60, jitter=0), {"longest-wait", "jitter"}),
    ],
)
def test_retry_policies(policy: RetryPolicy, subjects: set[str]) -> None:
    assert {advice.subject for advice in said(PROMPT, "retry-policy", LintContext(retries=policy))} == subjects
