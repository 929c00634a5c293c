"""Repetition of one request: counts of equal answers, first difference, and plan limits."""

from __future__ import annotations

import asyncio

import pytest

from playground.client.endpoint import PLANS, Rates
from playground.client.events import AttemptStarted, Completed, ContentDelta, HeadersReceived, Stopped, ToolCallDelta
from playground.experiments.repeats import drift, repeat
from playground.runs.state import RunState, fold
from playground.ui.dialogs.repeat import Ahead, seconds_of, what_it_takes
from tests.conftest import figures


def _done(text: str, request_id: str, arguments: str = "") -> RunState:
    call = (ToolCallDelta(0.2, 0, f"call_{request_id}", "look_up", arguments),) if arguments else ()
    sent = (AttemptStarted(0.0, 1), HeadersReceived(0.1, 200, request_id, "text/event-stream"))
    return fold((*sent, ContentDelta(0.2, text), *call, Completed(0.5)))


STOPPED = fold((AttemptStarted(0.0, 1), Stopped(0.1)))


def test_equal_answers() -> None:
    found = drift([_done("Hello", "1"), _done("Hello", "2")])
    assert (found.answered, found.failed, found.share_equal) == (2, 0, 1.0)
    assert figures(found.sentence) == [2]


def test_answers_that_drift_apart_name_their_requests_and_the_place() -> None:
    states = [_done("Hello Asha", "1"), _done("Hello there", "2"), _done("Hello Asha", "3"), STOPPED]
    found = drift(states)
    assert found.answers[0].request_ids == ("1", "3")
    assert found.differs_at(0) is None
    assert found.differs_at(1) == 6
    assert (found.answered, found.failed, found.share_equal) == (3, 1, 2 / 3)
    assert figures(found.sentence) == [2, 3, 66.7, 2, 1]


def test_one_that_merely_goes_on_differs_at_its_end() -> None:
    found = drift([_done("Hello", "1"), _done("Hello", "2"), _done("Hello!", "3")])
    assert found.differs_at(1) == 5


def test_tool_calls_are_part_of_an_answer_and_their_ids_are_not() -> None:
    assert len(drift([_done("", "1", '{"a": 1}'), _done("", "2", '{"a": 1}')]).answers) == 1
    assert len(drift([_done("", "1", '{"a": 1}'), _done("", "2", '{"a": 2}')]).answers) == 2


def test_no_answer_is_no_share() -> None:
    found = drift([STOPPED])
    assert found.share_equal is None
    assert (found.asked, found.answered, found.failed) == (1, 0, 1)


def test_no_more_than_asked_for_are_side_by_side() -> None:
    async def story() -> None:
        running = most = 0
        gate = asyncio.Event()

        async def send() -> RunState:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if most == 3:
                gate.set()
            await gate.wait()
            running -= 1
            return STOPPED

        heard: list[RunState] = []
        assert len(await repeat(send, 10, 3, heard.append)) == 10
        assert len(heard) == 10
        assert most == 3

    asyncio.run(story())


@pytest.mark.parametrize(
    ("seconds_each", "rates", "said"),
    [
        (
            2.0,
            Rates(0.4, 0.1, None),
            "30 requests in ≈ 2 min 8 s within Standard's limits. Input at most ≈ $0.0120; output is not",
        ),
        (
            2.0,
            Rates(0.4, 0.1, 0.8),
            "30 requests in ≈ 2 min 8 s within Standard's limits. Input at most ≈ $0.0120; the output's length is not",
        ),
        (None, Rates(), "30 requests in at least 2 min 0 s within Standard's limits. Cost unknown"),
    ],
)
def test_time_and_money_are_said_before(seconds_each: float | None, rates: Rates, said: str) -> None:
    ahead = Ahead(PLANS["standard"], rates, 1_000.0, None, seconds_each)
    assert what_it_takes(ahead, 30, 3).startswith(said)


def test_the_time_is_what_a_series_measured_without_the_wait_to_be_sent() -> None:
    queued = fold((AttemptStarted(30.0, 1), HeadersReceived(30.1, 200, "4", "text/event-stream"), Completed(30.5)))
    assert seconds_of([]) is None
    assert seconds_of([STOPPED]) is None
    assert seconds_of([STOPPED, _done("Hello", "1"), queued]) == pytest.approx(0.5)
