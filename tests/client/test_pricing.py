"""Costs: unknown, never 0, without a rate or reported tokens."""

from __future__ import annotations

import pytest

from playground.client.endpoint import PUBLISHED_RATES, Cost, Rates, cost
from playground.client.events import Usage


def test_with_every_rate_and_figure() -> None:
    told = cost(Usage(1000, 200, 1200, 800), Rates(0.40, 0.10, 1.00))
    assert told.fresh == pytest.approx(200 * 0.40e-6)
    assert told.cached == pytest.approx(800 * 0.10e-6)
    assert told.output == pytest.approx(200 * 1.00e-6)
    assert told.input == pytest.approx(160e-6)
    assert told.total == pytest.approx(360e-6)
    assert told.saved == pytest.approx(800 * 0.30e-6)


def test_without_an_output_rate_there_is_no_total() -> None:
    told = cost(Usage(1000, 200, 1200, 800), PUBLISHED_RATES)
    assert (told.output, told.total) == (None, None)
    assert told.input is not None


def test_cached_tokens_that_were_not_reported_leave_the_input_unknown() -> None:
    told = cost(Usage(1000, 200, 1200, None), Rates(0.40, 0.10, 1.00))
    assert (told.fresh, told.cached, told.input, told.saved, told.total) == (None,) * 5
    assert told.output is not None


@pytest.mark.parametrize("usage", [None, Usage(None, None, None, None)])
def test_without_usage_there_is_no_cost(usage: Usage | None) -> None:
    assert cost(usage, Rates(0.40, 0.10, 1.00)) == Cost()


def test_without_rates_there_is_no_cost() -> None:
    assert cost(Usage(1000, 200, 1200, 800), Rates()) == Cost()


def test_input_of_a_forecast_needs_both_rates() -> None:
    rates = Rates(0.40, 0.10)
    assert rates.input_cost(200, 800) == pytest.approx(160e-6)
    assert rates.saved(1e6) == pytest.approx(0.3)
    for one in (Rates(None, 0.10), Rates(0.40, None)):
        assert (one.input_cost(200, 800), one.saved(1e6)) == (None, None)


@pytest.mark.parametrize("usage", [Usage(10, 1, 11, 12), Usage(10, 5, 14, 0)])
def test_counts_that_contradict_each_other_have_no_cost(usage: Usage) -> None:
    assert usage.contradicts
    assert cost(usage, Rates(0.40, 0.10, 1.00)) == Cost()


def test_output_of_a_total_above_its_parts_is_unknown() -> None:
    told = cost(Usage(10, 5, 99, 0), Rates(0.40, 0.10, 1.00))
    assert (told.output, told.total) == (None, None)
    assert told.input == pytest.approx(4e-6)
    assert not Usage(10, 5, 13, 2).contradicts, "the total is without the cached tokens"


def test_more_cached_than_sent_is_no_figure_to_reckon_with() -> None:
    assert Usage(10, 1, 11, 12).fresh_tokens is None
    assert cost(Usage(10, 1, 11, 12), Rates(0.40, 0.10)).fresh is None
    assert Usage(10, 1, 11, 10).fresh_tokens == 0
