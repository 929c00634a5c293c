"""Varying spans: kinds and ranges on 240 generated programs in ten languages.

Run with `python -m tests.benchmarks.bench_leaks [--verbose] [--count N]`. A leak is right if the reported span with the
largest overlap has an accepted kind. A reported span that overlaps no leak is false. Speed is in `bench_check`.
"""

from __future__ import annotations

import argparse
from collections import Counter

from playground.prefix_cache.losses import varying_spans
from playground.prefix_cache.varying_spans import VaryingSpan
from tests.benchmarks.leak_programs import Leak, Program, programs

GOAL = 0.95


def overlap(leak: Leak, span: VaryingSpan, program: Program) -> float:
    """Return code points in common; a part for whole lists; 0 if they are in different places."""
    if leak.kind == "reordered_tools":
        return float(span.part == "tool")
    if span.part == "tool":
        return 0.0
    if leak.kind == "history_truncation":
        return float(span.index >= program.conversation_starts_at)
    if span.index != leak.message:
        return 0.0
    start, end = leak.ranges[span.request]
    common = min(span.end, end) - max(span.start, start)
    return max(common, 0.5) if common >= 0 else 0.0


def measure(count: int) -> tuple[Counter[str], Counter[str], list[str]]:
    """Return leaks by kind, rightly found ones by kind, and a line per error."""
    leaks: Counter[str] = Counter()
    right: Counter[str] = Counter()
    errors: list[str] = []
    for program in programs(count):
        spans = varying_spans(program.bodies)
        where = f"{program.seed} {program.language} {program.layout}"
        for leak in program.leaks:
            leaks[leak.kind] += 1
            best = max(spans, key=lambda span: overlap(leak, span, program), default=None)
            if best is None or not overlap(leak, best, program):
                errors.append(f"missed  {where}: {leak.kind}")
            elif best.kind not in leak.accepted:
                errors.append(f"kind    {where}: {leak.kind} as {best.kind} {best.samples[:3]!r}")
            else:
                right[leak.kind] += 1
        errors += [
            f"false   {where}: {span.kind} {span.part} {span.index} {span.samples[:3]!r}"
            for span in spans
            if not any(overlap(leak, span, program) for leak in program.leaks)
        ]
    return leaks, right, errors


def identical(count: int) -> int:
    """Return how many spans are blamed when every request of a program is sent with the same bytes."""
    return sum(len(varying_spans([program.bodies[0]] * 6)) for program in programs(count))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--count", type=int, default=240)
    options = parser.parse_args()
    leaks, right, errors = measure(options.count)
    kinds = Counter(error.split()[0] for error in errors)
    share = sum(right.values()) / sum(leaks.values())
    print(f"programs {options.count}, leaks {sum(leaks.values())}, right kind {share:.1%} (goal {GOAL:.0%})")
    print(f"missed {kinds['missed']}, wrong kind {kinds['kind']}, stable text called varying {kinds['false']} (goal 0)")
    print(f"blamed for identical bytes {identical(options.count)} (goal 0)")
    print(", ".join(f"{kind} {right[kind]}/{number}" for kind, number in sorted(leaks.items())))
    if options.verbose:
        print(*errors, sep="\n")


if __name__ == "__main__":
    main()
