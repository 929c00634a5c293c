"""Display of reported, estimated and unknown figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.runs.metrics import UNKNOWN, Figure, dollars, percent, seconds, speed, whole_seconds


def test_the_three_states() -> None:
    assert (Figure.reported(1152).text, Figure.reported(1152).state) == ("1,152", "reported")
    assert (Figure.estimated(1160.4).text, Figure.estimated(1160.4).state) == ("≈ 1,160", "estimated")
    assert (Figure.unknown("stopped").text, Figure.unknown("stopped").why) == (UNKNOWN, "stopped")


def test_zero_that_was_reported_is_zero_and_nothing_reported_is_unknown() -> None:
    assert Figure.reported(0).text == "0"
    assert Figure.estimated(0).text == "≈ 0"
    absent = Figure.reported(None, "the server sent no details")
    assert (absent.state, absent.text, absent.why) == ("unknown", UNKNOWN, "the server sent no details")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, UNKNOWN),
        (0.0, "0 ms"),
        (0.0001, "< 1 ms"),
        (0.212, "212 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.14, "1.1 s"),
        (99.94, "99.9 s"),
        (125.2, "2 min 5 s"),
        (3720, "1 h 2 min"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, UNKNOWN),
        (0.0, "$0"),
        (0.000136, "$0.000136"),
        (0.0004, "$0.0004"),
        (0.00034567, "$0.000346"),
        (1e-7, "$0.0000001"),
        (0.5, "$0.50"),
        (0.1234, "$0.123"),
        (0.99949, "$0.999"),
        (0.9996, "$1.00"),
        (1.2, "$1.20"),
        (1234.5, "$1,234.50"),
        (-0.00035, "-$0.00035"),
    ],
)
def test_dollars(value: float | None, text: str) -> None:
    assert dollars(value) == text


@given(st.floats(1e-15, 1e9))
def test_a_cost_is_never_shown_as_nothing(value: float) -> None:
    shown = float(dollars(value).replace("$", "").replace(",", ""))
    assert shown == pytest.approx(value, rel=0.006)


def test_speed_and_percent() -> None:
    assert (speed(96.24), speed(None), speed(12345.6)) == ("96.2 tok/s", UNKNOWN, "12,345.6 tok/s")
    assert (percent(0.957), percent(0.0), percent(None)) == ("95.7 %", "0.0 %", UNKNOWN)
    assert (percent(28_384 / 28_391), percent(1.0)) == ("99.9 %", "100.0 %")


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1, "0 s"), (0, "0 s"), (0.2, "1 s"), (5.0, "5 s"), (5.01, "6 s"), (99, "99 s"), (124.2, "2 min 5 s")],
)
def test_whole_seconds_counts_the_second_that_has_begun(value: float, text: str) -> None:
    assert whole_seconds(value) == text
