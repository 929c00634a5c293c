"""Estimates of unreported output tokens, which are never displayed as reported."""

from __future__ import annotations

import pytest

from playground.client.events import (
    AnyEvent,
    AttemptStarted,
    Completed,
    ContentDelta,
    Stopped,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.runs.metrics import output_figure, received_tokens
from playground.runs.state import RunState, fold

WHY = "stopped before the report"
TEXT = ContentDelta(0.2, "Let me look into that for")
CALL = ToolCallDelta(0.3, 0, "call_1", "get_balance", '{"account": "AC-10442"}')
REPORT = UsageReported(0.4, Usage(100, 7, 107, 0))


def state(*events: AnyEvent) -> RunState:
    return fold([AttemptStarted(0.0, 1), *events])


def test_stopped_text_is_estimated_and_says_so() -> None:
    figure = output_figure(state(TEXT, Stopped(0.5)), WHY)
    assert (figure.state, figure.text) == ("estimated", "≈ 6")
    assert WHY in figure.why


@pytest.mark.parametrize("events", [(), (Completed(0.5),), (Stopped(0.5),)])
def test_text_without_a_report_is_estimated_in_every_phase(events: tuple[AnyEvent, ...]) -> None:
    assert output_figure(state(TEXT, *events), WHY).text == "≈ 6"


def test_a_call_counts_with_the_text() -> None:
    text, both = received_tokens(state(TEXT)), received_tokens(state(TEXT, CALL))
    assert text is not None
    assert both is not None
    assert both > text


@pytest.mark.parametrize("events", [(), (Stopped(0.5),), (Completed(0.5),)])
def test_nothing_received_stays_unknown(events: tuple[AnyEvent, ...]) -> None:
    figure = output_figure(state(*events), WHY)
    assert (figure.value, figure.state, figure.why) == (None, "unknown", WHY)


def test_what_was_reported_before_the_stop_counts() -> None:
    figure = output_figure(state(TEXT, REPORT, Stopped(0.5)), WHY)
    assert (figure.value, figure.state) == (7, "reported")
