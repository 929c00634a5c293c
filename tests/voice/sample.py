"""Scripted turns, in milliseconds, as the timeline takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playground.client.events import (
    AnyEvent,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.runs.state import TurnTimes, measure
from playground.voice.timeline import MeasuredTool, MeasuredTurn


def events(
    *said: tuple[float, str], calls: Sequence[tuple[float, int]] = (), ends: float, cached: int | None = None
) -> list[AnyEvent]:
    """A turn's events: text at ms, pieces of call `index` at ms, its end at ms; headers at 10 ms."""
    pieces: list[AnyEvent] = [ContentDelta(at / 1000, text) for at, text in said]
    pieces += [ToolCallDelta(at / 1000, index, f"c{index}", f"tool_{index}", "{}") for at, index in calls]
    pieces.sort(key=lambda event: event.at)
    return [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.01, 200, "r1", "text/event-stream"),
        *pieces,
        Finished(ends / 1000, "tool_calls" if calls else "stop"),
        UsageReported(ends / 1000, Usage(10, 5, 15, cached)),
        Completed(ends / 1000),
    ]


def times(*said: tuple[float, str], **more: Any) -> TurnTimes:
    """The times of such a turn."""
    return measure(events(*said, **more))


def turn(began: float, measured: TurnTimes, *tools: tuple[float, float]) -> MeasuredTurn:
    """A turn that began at ms on the axis, with tools from ms to ms on the axis."""
    made = tuple(MeasuredTool(f"tool_{n}", start / 1000, end / 1000) for n, (start, end) in enumerate(tools))
    return MeasuredTurn(began / 1000, measured, made)


def ms(seconds: float | None) -> int | None:
    """To the millisecond."""
    return None if seconds is None else round(seconds * 1000)
