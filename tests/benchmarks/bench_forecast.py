"""Forecast against report on servers whose tokenizers the estimate was not tuned on: error and coverage.

Run: python -m tests.benchmarks.bench_forecast [REQUESTS AFTER THE FIRST 20]
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from tests.prefix_cache.servers import TOKENIZERS, WORDS, Answered, Server, asked

BLOCKS = (16, 64, 128, 1_024)
LIFETIMES_S = (60.0, 300.0, 3_600.0)
TAUGHT = 20
Row = tuple[Server, str, list[Answered], list[Answered]]


def rows(count: int) -> list[Row]:
    """Every server asked in every language: without learning, and with."""
    servers = [Server(t, block, lifetime) for t in TOKENIZERS for block in BLOCKS for lifetime in LIFETIMES_S]
    return [
        (
            server,
            language,
            list(asked(server, language, seed, TAUGHT + count, learns=False))[TAUGHT:],
            list(asked(server, language, seed, TAUGHT + count)),
        )
        for seed, server in enumerate(servers)
        for language in WORDS
    ]


def share(found: Sequence[Answered], says: Callable[[Answered], bool]) -> float:
    """Of those."""
    return sum(map(says, found)) / max(len(found), 1)


def line(name: str, found: Sequence[Answered]) -> str:
    """Error in tokens and blocks, share within one block, share inside the interval, and its width."""
    tokens, blocks = sorted(a.error for a in found), sorted(a.error / a.block for a in found)
    half, ninth = len(found) // 2, int(len(found) * 0.9)
    width = sorted((a.forecast.high - a.forecast.low) / a.block for a in found)
    return (
        f"{name:<26}{len(found):>6}{tokens[half]:>8.0f}{tokens[ninth]:>8.0f}{blocks[half]:>8.2f}{blocks[ninth]:>8.2f}"
        f"{share(found, lambda a: a.error <= a.block):>9.1%}{share(found, lambda a: a.inside):>9.1%}"
        f"{width[half]:>7.1f}{width[ninth]:>7.1f}"
    )


def grouped(made: Iterable[Row], name: Callable[[Row], str]) -> None:
    """Before and after, for each group."""
    before: dict[str, list[Answered]] = defaultdict(list)
    after: dict[str, list[Answered]] = defaultdict(list)
    for row in made:
        before[name(row)] += row[2]
        after[name(row)] += row[3][TAUGHT:]
    for group, found in before.items():
        print(line(f"{group}, before", found))
        print(line(f"{group}, after", after[group]))


def main() -> None:
    """Print the tables."""
    made = rows(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
    print(f"before: nothing learnt · after: {TAUGHT} requests and reports, and each after that")
    print(f"{'':<26}{'n':>6}{'tokens':>16}{'blocks':>16}{'≤ 1 block':>9}{'in 90 %':>9}{'width, blocks':>14}")
    print(f"{'':<32}{'median':>8}{'90 %':>8}{'median':>8}{'90 %':>8}{'':>18}{'median':>7}{'90 %':>7}")
    grouped(made, lambda row: "all")
    grouped(made, lambda row: f"block {row[0].block}")
    grouped(made, lambda row: f"lifetime {row[0].lifetime_s:.0f} s")
    grouped(made, lambda row: row[0].tokenizer)
    grouped(made, lambda row: row[1])
    every = [answered for row in made for answered in row[3]]
    for low, high in ((0, 1), (1, 2), (2, 3), (3, 5), (5, 10), (10, TAUGHT)):
        print(line(f"after {low} to {high - 1} reports", [a for a in every if low <= a.taught < high]))


if __name__ == "__main__":
    main()
