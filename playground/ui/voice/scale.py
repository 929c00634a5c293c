"""The axis: seconds to device-independent pixels, its ticks, and labels that do not lie over one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_TICK_PX = 84


@dataclass(frozen=True, slots=True)
class Scale:
    """Shows `width` pixels from `left` on for the seconds from `begins_at` to `ends_at`, which is later."""

    begins_at: float
    ends_at: float
    left: float
    width: float

    def x(self, at: float) -> float:
        """The pixel of a moment; also outside of what is shown."""
        return self.left + (at - self.begins_at) / (self.ends_at - self.begins_at) * self.width

    def at(self, x: float) -> float:
        """The moment at a pixel."""
        return self.begins_at + (x - self.left) / self.width * (self.ends_at - self.begins_at)

    def ticks(self) -> list[float]:
        """Round moments that stand at least LEAST_TICK_PX apart."""
        wanted = (self.ends_at - self.begins_at) * LEAST_TICK_PX / max(self.width, LEAST_TICK_PX)
        power = 10.0 ** math.floor(math.log10(wanted))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * 0.999999)
        first, last = math.ceil(self.begins_at / step - 1e-9), math.floor(self.ends_at / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label stands."""

    row: int
    x: float


def pack(wanted: Sequence[tuple[float, float]], left: float, right: float, gap: float = 8.0) -> list[Place]:
    """Rows for labels of (x, width), each in the first row with room for it; none leaves `left` to `right`."""
    rows: list[list[tuple[float, float]]] = []
    placed: list[Place] = []
    for x, width in wanted:
        begins = max(min(x, right - width), left)
        row = next((number for number, taken in enumerate(rows) if _fits(taken, begins, width, gap)), len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append((begins, begins + width))
        placed.append(Place(row, begins))
    return placed


def _fits(taken: Sequence[tuple[float, float]], begins: float, width: float, gap: float) -> bool:
    return all(begins >= end + gap or begins + width + gap <= start for start, end in taken)
