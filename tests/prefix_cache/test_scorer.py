"""Forecasts held against reports: share inside the interval, width of the interval, and the direction of failures."""

from __future__ import annotations

import pytest

from playground.prefix_cache.forecast import FAILURES, KEPT, LATEST, UNREPORTED, Scorer
from playground.prefix_cache.token_estimator import median

INSIDE, LESS, MORE = 1_000, 600, 1_400
"""Reports for the interval 900 to 1,100."""


def scorer(*reports: int) -> Scorer:
    made = Scorer()
    for reported in reports:
        made.add(1_000.0, (900.0, 1_100.0), reported, 16)
    return made


@pytest.mark.parametrize(
    ("reported", "inside"), [(899, 0.0), (900, 1.0), (1_000, 1.0), (1_100, 1.0), (1_101, 0.0), (0, 0.0), (5_000, 0.0)]
)
def test_score_report_is_inside_up_to_both_ends_of_the_interval(reported: int, inside: float) -> None:
    score = scorer(reported).score
    assert (score.n, score.inside, score.reports) == (1, inside, True)
    assert score.median_error_tokens == abs(reported - 1_000)
    assert score.median_error_blocks == abs(reported - 1_000) / 16


@pytest.mark.parametrize(
    ("reports", "word"),
    [
        ([LESS] * FAILURES, "less was served"),
        ([MORE] * FAILURES, "more was served"),
        ([LESS, MORE] * FAILURES, "does not work as is assumed"),
        ([MORE] * (FAILURES - 1) + [INSIDE], ""),
        ([899] * FAILURES, ""),  # less than a block outside
        ([MORE] * FAILURES + [INSIDE] * LATEST, ""),
    ],
)
def test_score_failures_name_their_direction(reports: list[int], word: str) -> None:
    score = scorer(*reports).score
    assert bool(score.failing) == bool(word)
    assert word in score.sentence


def test_width_grows_with_reports_on_both_sides_and_shrinks_to_one() -> None:
    for outside in (LESS, MORE):
        made = scorer(outside)
        assert made.width > 1.0
        for _ in range(60):
            made.add(1_000.0, (900.0, 1_100.0), INSIDE, 16)
        assert made.width == 1.0
    assert scorer(*[MORE] * 50).width == 6.0
    # Nothing served is forgetting: no estimate of tokens is at fault.
    assert scorer(0).width == 1.0


def test_score_without_reports_is_unknown_and_later_that_the_server_reports_none() -> None:
    made = Scorer()
    assert (made.score.reports, made.score.inside) == (None, None)
    for _ in range(UNREPORTED):
        made.add_unreported()
    assert made.score.reports is False
    made.add(1_000.0, (900.0, 1_100.0), INSIDE, 16)
    assert made.score.reports is True


def test_score_keeps_the_newest_and_the_median_is_of_the_middle() -> None:
    made = scorer(*[LESS] * 10, *[INSIDE] * KEPT)
    assert (made.score.n, made.score.inside, made.score.failing) == (KEPT, 1.0, "")
    assert [median(values) for values in ([3.0], [1.0, 4.0], [9.0, 1.0, 2.0])] == [3.0, 2.5, 2.0]
