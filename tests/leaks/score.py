"""Compare what the finder reports with the labels of generated programs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from playground.prefix_cache.losses import varying_spans
from playground.prefix_cache.varying_spans import VaryingSpan
from tests.leaks.generator import Leak, Program


@dataclass
class Score:
    """`wrong_kind` and `missed` hold (seed, expected, reported); `false` holds (seed, kind, samples)."""

    leaks: int = 0
    right: int = 0
    wrong_kind: list[tuple[int, str, str]] = field(default_factory=list)
    missed: list[tuple[int, str, list[str]]] = field(default_factory=list)
    false: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Return the share of leaks that were found with the right kind."""
        return self.right / max(self.leaks, 1)


def score(programs: Iterable[Program]) -> Score:
    """Return the score over all programs."""
    total = Score()
    for program in programs:
        began = time.perf_counter()
        spans = varying_spans(program.bodies)
        total.seconds += time.perf_counter() - began
        _add(total, program, spans)
    return total


def _add(total: Score, program: Program, spans: list[VaryingSpan]) -> None:
    left = list(spans)
    for leak in program.leaks:
        total.leaks += 1
        found = [span for span in left if _matches(leak, span)]
        right = [span for span in found if span.kind == leak.kind]
        if right:
            total.right += 1
            left.remove(right[0])
        elif found:
            total.wrong_kind.append((program.seed, leak.kind, found[0].kind))
            left.remove(found[0])
        else:
            total.missed.append((program.seed, leak.kind, leak.values[:3]))
    total.false += [(program.seed, span.kind, span.samples) for span in left]


_WHOLE = ("reordered_tools", "history_truncation", "whitespace", "reordered_keys")


def _matches(leak: Leak, span: VaryingSpan) -> bool:
    if leak.kind in _WHOLE:
        return span.kind == leak.kind and (span.part == "tool") == (leak.message is None)
    values = {value.strip() for value in leak.values}
    return (
        span.part == "message"
        and any(sample.strip() and sample.strip() in value for sample in span.samples for value in values)
    ) or any(
        value in sample
        for sample in span.samples
        for value in values
        if len(value) > 3 and len(sample) < 3 * len(value)
    )


def kinds(total: Score) -> Counter[str]:
    """Return how often each kind was missed or named wrongly."""
    return Counter([kind for _, kind, _ in total.wrong_kind] + [kind for _, kind, _ in total.missed])
