"""The fold from events to RunState, live and replayed."""

from __future__ import annotations

import msgspec
import pytest

from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RawEvent,
    Stopped,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.runs.state import MOST_PROBABILITIES, RunState, fold

WHOLE: list[AnyEvent] = [
    AttemptStarted(0.0, 1),
    HeadersReceived(0.1, 200, "r1", "text/event-stream"),
    RawEvent(0.2, "{}"),
    BodyIdReceived(0.2, "c1", "electron"),
    ContentDelta(0.2, "One "),
    ContentDelta(0.3, "moment."),
    ToolCallDelta(0.4, 1, "b", "book", ""),
    ToolCallDelta(0.4, 0, "a", "find", '{"q":'),
    ToolCallDelta(0.7, 0, None, None, "1}"),
    Finished(0.7, "tool_calls"),
    UsageReported(0.8, Usage(10, 5, 15, 8)),
    Completed(0.9),
]
ERROR = ApiError("http", "Too many", status=429)


def test_a_whole_run() -> None:
    state = fold(WHOLE)
    assert (state.phase, state.status, state.request_id, state.body_id) == ("done", 200, "r1", "c1")
    assert (state.text, state.finish_reason, state.saw_done) == ("One moment.", "tool_calls", True)
    assert [(c.id, c.name, c.arguments) for _, c in sorted(state.tool_calls.items())] == [
        ("a", "find", '{"q":1}'),
        ("b", "book", ""),
    ]
    assert state.usage == Usage(10, 5, 15, 8)
    assert (state.ttft_s, state.ended_at, state.raw) == (0.2, 0.9, [RawEvent(0.2, "{}")])
    assert state.tokens_per_s == pytest.approx(5 / 0.5)
    assert state.attempts[0].ended_at == 0.9
    assert state.error is None


def test_the_text_looked_at_on_the_way_is_the_text_in_the_end() -> None:
    state, seen = RunState(), []
    for event in WHOLE:
        state.apply(event)
        seen.append(state.text)
    assert state.text == fold(WHOLE).text
    assert seen == sorted(seen, key=len)


@pytest.mark.parametrize("count", range(len(WHOLE) + 1))
def test_phases_on_the_way(count: int) -> None:
    phases = ["waiting", *["sent"] * 4, *["streaming"] * 7, "done"]
    assert fold(WHOLE[:count]).phase == phases[count]


def test_events_that_were_kept_fold_to_the_same_state() -> None:
    events = [*WHOLE[:-1], AttemptFailed(0.9, ERROR, "r1")]
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(events), type=list[AnyEvent])
    assert fold(kept) == fold(events)


def test_what_was_not_reported_stays_unknown() -> None:
    state = fold([AttemptStarted(0.0, 1), ContentDelta(0.5, "a"), Stopped(0.9)])
    assert (state.usage, state.status, state.request_id, state.finish_reason) == (None, None, None, None)
    assert state.tokens_per_s is None
    assert (state.phase, state.text, state.ended) == ("stopped", "a", True)


def test_a_run_that_fails_keeps_what_came() -> None:
    state = fold([*WHOLE[:6], AttemptFailed(0.5, ERROR, "r1")])
    assert (state.phase, state.text, state.error) == ("failed", "One moment.", ERROR)
    assert (state.attempts[0].error, state.attempts[0].ended_at) == (ERROR, 0.5)


def test_each_attempt_keeps_its_own_request_id() -> None:
    first: list[AnyEvent] = [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 429, "r0", "application/json"),
        AttemptFailed(0.1, ERROR, "r0"),
    ]
    second: list[AnyEvent] = [
        AttemptStarted(1.0, 2),
        HeadersReceived(1.1, 200, "r1", "text/event-stream"),
        ContentDelta(1.3, "a"),
        Completed(1.4),
    ]
    state = fold([*first, *second])
    assert [(a.number, a.request_id, a.status, a.error) for a in state.attempts] == [
        (1, "r0", 429, ERROR),
        (2, "r1", 200, None),
    ]
    assert (state.phase, state.request_id, state.error) == ("done", "r1", None)
    assert state.ttft_s == pytest.approx(0.3)


def test_stopped_before_anything_was_sent() -> None:
    state = fold([Stopped(0.0)])
    assert (state.phase, state.attempts, state.ttft_s) == ("stopped", [], None)


def test_probabilities_are_kept_up_to_their_bound_and_counted_beyond() -> None:
    piece = TokenProbabilities(0.1, tuple(TokenProbability(str(number), -0.1) for number in range(10_000)))
    state = fold([AttemptStarted(0.0, 1), piece, piece, piece, piece])
    assert len(state.probabilities) == MOST_PROBABILITIES
    assert state.probabilities[MOST_PROBABILITIES - 1].token == str(MOST_PROBABILITIES % 10_000 - 1)
    assert state.probabilities_came == 40_000
