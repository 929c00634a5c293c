"""`fold` and the blocks of the log are faster ways to apply each event: the state is the same."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from playground.client.events import (
    AnyEvent,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RawEvent,
    ReasoningDelta,
    RefusalDelta,
    Stopped,
    ToolCallDelta,
    UsageReported,
)
from playground.requestlog.codec import fold_blocks, to_blocks
from playground.runs.state import RunState, fold
from tests.requestlog.samples import REPORTED, answered, called, refused, stopped
from tests.requestlog.test_codec import CASES


def applied(events: list[AnyEvent]) -> RunState:
    """Return the state after each event was applied alone."""
    state = RunState()
    for event in events:
        state.apply(event)
    return state


def mixed(seed: int) -> list[AnyEvent]:
    """Return a stream in which runs of text, reasoning, calls and other events follow each other."""
    chance, at = Random(seed), 0.2
    events: list[AnyEvent] = [AttemptStarted(0.0, 1), HeadersReceived(0.1, 200, "id", "text/event-stream")]
    for number in range(chance.randint(0, 12)):
        kind = chance.choice(("text", "text", "raw", "reasoning", "refusal", "call"))
        for _ in range(chance.randint(1, 4)):
            at = round(at + chance.choice((0.0, 0.01, 0.5)), 3)
            piece: dict[str, AnyEvent] = {
                "text": ContentDelta(at, f"piece {number} "),
                "raw": RawEvent(at, "{}"),
                "reasoning": ReasoningDelta(at, "hm "),
                "refusal": RefusalDelta(at, "no "),
                "call": ToolCallDelta(at, chance.randint(0, 1), "c", "f", "{"),
            }
            events.append(piece[kind])
    ends: tuple[list[AnyEvent], ...] = (
        [],
        [Stopped(at + 1)],
        [Finished(at, "stop"), UsageReported(at + 0.1, REPORTED), Completed(at + 1)],
    )
    return [*events, *chance.choice(ends)]


SAMPLES = [answered(), called(), refused(), stopped(), *map(mixed, range(60)), *CASES.values()]


@pytest.mark.parametrize("events", SAMPLES, ids=range(len(SAMPLES)))
def test_fold_at_once_and_in_parts_is_each_event_applied(events: list[AnyEvent]) -> None:
    expected = applied(events)
    assert fold(events) == expected
    for cut in (1, len(events) // 2, len(events) - 1):
        assert fold(events[cut:], fold(events[:cut])) == expected


def test_samples_have_blocks_with_and_without_texts() -> None:
    assert {bool(block.texts) for events in SAMPLES for block in to_blocks(events)} == {True, False}


@pytest.mark.parametrize("events", SAMPLES, ids=range(len(SAMPLES)))
def test_fold_of_the_logs_blocks_has_the_figures_of_the_events(events: list[AnyEvent]) -> None:
    # Raw events are left out: no figure needs them, and those of pairs are not decoded.
    found, expected = fold_blocks(to_blocks(events)), fold(event for event in events if type(event) is not RawEvent)
    # A block keeps its text in two pieces.
    assert replace(found, pieces=[found.text], raw=[]) == replace(expected, pieces=[expected.text])
