"""Figures of a run: as text and as JSON. Reported, estimated and unknown never mix."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.client.endpoint import Endpoint
from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    ReasoningDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Document, Message
from playground.prompt.request import Request, to_request
from playground.runs.metrics import UNKNOWN, Figure, dollars, has_input, percent, seconds, speed, whole_seconds
from playground.runs.run import Run
from playground.runs.state import Phase
from playground.runs.summary import summary


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
        (0.0004, "$0.000400"),
        (0.00034567, "$0.000346"),
        (1e-7, "$0.000000100"),
        (0.5, "$0.50"),
        (0.1234, "$0.123"),
        (0.99949, "$0.999"),
        (0.9996, "$1.00"),
        (1.2, "$1.20"),
        (1234.5, "$1,234.50"),
        (-0.00035, "-$0.000350"),
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


class _Recorded:
    """A connection that is never used: the events are applied by the test."""

    def stream(
        self, endpoint: Endpoint, key: str | None, request: Request, clock: Callable[[], float], attempt: int = 1
    ) -> AsyncGenerator[AnyEvent, None]:
        raise AssertionError("nothing is sent")


def _summary(*events: AnyEvent, forecast: Forecast | None = None) -> dict[str, Any]:
    document = Document(messages=(Message("user", "Hello"),))
    run = Run(
        id="run-1",
        document=document,
        request=to_request(document, "electron"),
        endpoint=Endpoint(id="e", name="E", base_url="http://127.0.0.1:1/v1"),
        forecast=forecast,
        started_utc=datetime.now(UTC),
        connection=_Recorded(),
        key=None,
    )
    for event in events:
        run.state.apply(event)
    told: dict[str, Any] = json.loads(json.dumps(summary(run)))
    return told


def test_all_that_was_reported() -> None:
    forecast = Forecast(
        cached_tokens=7.6,
        low=5,
        high=9,
        prompt_tokens=10,
        basis="shared with r0",
        run_id=None,
        request_id=None,
        shared_chars=30,
        sent_at=None,
    )
    told = _summary(
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 200, "r1", "text/event-stream", (("request-id", "r0"), ("x-request-id", "r1"))),
        ReasoningDelta(0.2, "hm"),
        ContentDelta(0.2, "Hi"),
        ToolCallDelta(0.3, 1, "b", "book", "{}"),
        ToolCallDelta(0.3, 0, "a", "find", "{}"),
        Finished(0.3, "tool_calls"),
        UsageReported(0.4, Usage(10, 5, 15, 8)),
        Completed(0.5),
        forecast=forecast,
    )
    assert told == {
        "request_id": "r1",
        "request_ids": [{"source": "x-request-id", "id": "r1"}, {"source": "request-id", "id": "r0"}],
        "status": 200,
        "attempts": [{"request_id": "r1", "status": 200, "error_type": None, "wait_s": 0.0}],
        "text": "Hi",
        "reasoning": "hm",
        "refusal": None,
        "tool_calls": [
            {
                "id": id,
                "type": "function",
                "function": {"name": name, "arguments": "{}"},
                "name": name,
                "arguments": "{}",
            }
            for id, name in (("a", "find"), ("b", "book"))
        ],
        "finish_reason": "tool_calls",
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 8},
            "cached_tokens": 8,
        },
        "forecast": {"cached_tokens": 8, "basis": "shared with r0"},
        "ttft_ms": 200.0,
        "duration_ms": 500.0,
        "warnings": [],
        "error": None,
    }


def test_what_was_not_reported_is_null() -> None:
    told = _summary(AttemptStarted(0.0, 1), UsageReported(0.4, Usage(10, 0, None, None)), Completed(0.5))
    assert told["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 0,
        "total_tokens": None,
        "prompt_tokens_details": {"cached_tokens": None},
        "cached_tokens": None,
    }
    nothing = _summary(AttemptStarted(0.0, 1))
    for name in ("request_id", "status", "finish_reason", "usage", "forecast", "ttft_ms", "duration_ms", "error"):
        assert nothing[name] is None, name
    assert (nothing["text"], nothing["tool_calls"]) == ("", [])


def test_every_attempt_with_the_wait_before_it_and_the_error_of_the_last() -> None:
    busy = ApiError("http", "Too many requests", "slow down", "Wait.", status=429, error_type="rate_limit_error")
    told = _summary(
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 429, "r0", "application/json"),
        AttemptFailed(0.2, busy, "r0"),
        AttemptStarted(0.7, 2),
        AttemptFailed(0.9, ApiError("connect", "Nothing answers there")),
    )
    assert told["attempts"] == [
        {"request_id": "r0", "status": 429, "error_type": "rate_limit_error", "wait_s": 0.0},
        {"request_id": None, "status": None, "error_type": "connect", "wait_s": 0.5},
    ]
    assert (told["error"]["kind"], told["error"]["message"]) == ("connect", "Nothing answers there")


@pytest.mark.parametrize(
    ("phase", "status", "attempts", "read"),
    [
        ("stopped", None, 0, False),
        ("stopped", None, 1, True),
        ("stopped", 200, 1, True),
        ("stopped", 429, 1, False),
        ("interrupted", 503, 2, False),
        ("failed", None, 1, False),
        ("failed", 200, 1, True),
        ("failed", 400, 1, False),
        ("streaming", 200, 1, True),
        ("waiting", None, 0, True),
    ],
)
def test_prompt_of_a_refused_or_unsent_request_was_not_read(
    phase: Phase, status: int | None, attempts: int, read: bool
) -> None:
    assert has_input(phase, status, attempts) == read
