"""Variants of one measured agent loop: tool during the filler, tool after the filler, no filler.

Measured periods are shifted as a whole; no time is invented. Without a filler the model would have begun with the call,
so the call moves earlier by the time from the first filler text to the first piece of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from playground.dataclass import dataclass
from playground.voice.speech import AudioTimes, SpeechSettings, Spoken, lay_out
from playground.voice.times import TurnTimes

Variant: TypeAlias = Literal["parallel", "after_speech", "no_filler"]
VARIANTS: tuple[Variant, ...] = ("parallel", "after_speech", "no_filler")
"""parallel: as measured, the tool runs during the filler's speech · after_speech: the tool starts at the end of the
filler's speech · no_filler: turns with calls contain no text.
"""


@dataclass(frozen=True, slots=True)
class MeasuredTool:
    """A tool's execution, on the loop's axis. `ended_at` None: still running. `stopped`: it never returned."""

    name: str
    started_at: float
    ended_at: float | None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class MeasuredTurn:
    """One measured turn: its run began at `began_at` on the loop's axis; its `times` are relative to that."""

    began_at: float
    times: TurnTimes
    tools: tuple[MeasuredTool, ...] = ()
    audio: tuple[AudioTimes | None, ...] = ()

    @property
    def has_filler(self) -> bool:
        """Return whether the turn has text before a call."""
        first, call = self.times.first_content_at, self.times.first_call_at
        return first is not None and call is not None and first <= call

    @property
    def last_at(self) -> float:
        """Return the last measured time of the turn, on the axis."""
        times = self.times
        last = times.ended_at or times.finished_at or times.first_piece_at or times.headers_at or 0.0
        return max(self.began_at + last, *(tool.ended_at or tool.started_at for tool in self.tools), 0.0)


@dataclass(frozen=True, slots=True)
class PlacedTurn:
    """A turn in a variant.

    `began_at`: on the variant's axis. `cut_s`: seconds by which its call is earlier. `silent`: not spoken.
    """

    number: int
    began_at: float
    cut_s: float
    silent: bool
    measured: MeasuredTurn
    tools: tuple[MeasuredTool, ...]
    spoken: tuple[Spoken, ...]


def place(turns: Sequence[MeasuredTurn], settings: SpeechSettings, variant: Variant) -> tuple[PlacedTurn, ...]:
    """Return the turns of a variant. The axis begins with the first run."""
    placed: list[PlacedTurn] = []
    began_at = free_at = 0.0
    for number, turn in enumerate(turns):
        if number:
            began_at = _next(placed[-1], turn)
        one = _place(number, turn, began_at, free_at, settings, variant)
        free_at = one.spoken[-1].ends_at if one.spoken else free_at
        placed.append(one)
    return tuple(placed)


def _place(
    number: int, turn: MeasuredTurn, began_at: float, free_at: float, settings: SpeechSettings, variant: Variant
) -> PlacedTurn:
    silent = variant == "no_filler" and bool(turn.times.calls)
    cut_s = _filler_s(turn) if silent else 0.0
    spoken: tuple[Spoken, ...] = ()
    if not silent:
        spoken = lay_out(turn.times, settings, turn=number, began_at=began_at, free_at=free_at, audio=turn.audio)
    waits_for = spoken[-1].ends_at if variant == "after_speech" and spoken else 0.0
    tools = tuple(_moved(tool, began_at - turn.began_at - cut_s, waits_for) for tool in turn.tools)
    return PlacedTurn(number, began_at, cut_s, silent, turn, tools, spoken)


def _filler_s(turn: MeasuredTurn) -> float:
    first, call = turn.times.first_content_at, turn.times.first_call_at
    return max(call - first, 0.0) if first is not None and call is not None else 0.0


def _moved(tool: MeasuredTool, by_s: float, not_before: float) -> MeasuredTool:
    started_at = max(tool.started_at + by_s, not_before)
    ended_at = None if tool.ended_at is None else started_at + (tool.ended_at - tool.started_at)
    return MeasuredTool(tool.name, started_at, ended_at, tool.stopped)


def _next(before: PlacedTurn, turn: MeasuredTurn) -> float:
    """Return the start of the next run: the measured delay after the last tool, or after the turn."""
    was = [tool.ended_at for tool in before.measured.tools if tool.ended_at is not None]
    ends = [tool.ended_at for tool in before.tools if tool.ended_at is not None]
    if not was:
        return before.began_at + (turn.began_at - before.measured.began_at) - before.cut_s
    return max(ends) + (turn.began_at - max(was))
