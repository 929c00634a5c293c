"""The share of made breaks whose cause is named rightly, by cause, and what is named wrongly.

Run: python -m tests.benchmarks.bench_why
"""

from __future__ import annotations

from collections import Counter

from playground.prefix_cache.causes import IN_THE_PROMPT, TITLES
from tests.prefix_cache.breaks import BREAKS, Break


def named(made: Break) -> str:
    """The cause that the program names."""
    found = made.explained()
    return found.cause if found else "nothing"


def misplaced(made: Break) -> bool:
    """Whether the place that is shown is not the true first difference."""
    found = made.explained()
    return found is not None and found.place is not None and found.place != made.place


def main() -> None:
    """Print the table."""
    made, right = Counter(b.cause for b in BREAKS), Counter(b.cause for b in BREAKS if named(b) == b.cause)
    print(f"{'cause':<50}{'made':>6}{'named':>7}")
    for cause, title in TITLES.items():
        if made[cause]:
            print(f"{title:<50}{made[cause]:>6}{right[cause]:>7}")
    total = sum(right.values())
    print(f"{'all':<50}{len(BREAKS):>6}{total:>7}   {total / len(BREAKS):.1%}")
    identical = [b for b in BREAKS if b.cause == "server"]
    blamed = sum(named(b) in IN_THE_PROMPT for b in identical)
    print(f"identical bytes blamed on the prompt: {blamed} of {len(identical)}")
    print(f"places that are not the true first difference: {sum(map(misplaced, BREAKS))}")
    for b in BREAKS:
        if named(b) != b.cause:
            print(f"  {b.name}: made as {b.cause}, named {named(b)}")


if __name__ == "__main__":
    main()
