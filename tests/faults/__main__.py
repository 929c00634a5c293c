"""`python -m tests.faults [--seeds N] [--only CASE]`: run every fault case and print tried, survived and lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.faults.cases import Outcome, clocks, damaged_files, deleted_folder, full_disk, kills, read_only


def main(arguments: list[str]) -> int:
    """Run the cases. Returns 1 if one was not survived or lost data."""
    parser = argparse.ArgumentParser(prog="tests.faults")
    parser.add_argument("--seeds", type=int, default=100, help="damaged copies per file and number of bytes")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    options = parser.parse_args(arguments)
    cases: dict[str, Callable[[Path], Iterator[Outcome]]] = {
        "clock": clocks,
        "deleted-folder": deleted_folder,
        "read-only": read_only,
        "full-disk": full_disk,
        "kill": lambda work: kills(work, options.kills),
        "damaged-file": lambda work: damaged_files(work, options.seeds),
    }
    failed = False
    print(f"{'case':56} {'tried':>6} {'survived':>9} {'lost':>6}")
    for name, case in cases.items():
        if options.only in name:
            with tempfile.TemporaryDirectory(prefix="faults-") as work:
                failed |= _print(case(Path(work)))
    return int(failed)


def _print(outcomes: Iterator[Outcome]) -> bool:
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    details: list[str] = []
    for outcome in outcomes:
        tried[outcome.case] += 1
        survived[outcome.case] += outcome.survived
        lost[outcome.case] += outcome.lost
        if outcome.lost or not outcome.survived:
            details.append(f"    {outcome.case}: {outcome.detail}")
    for case, count in tried.items():
        print(f"{case:56} {count:6} {survived[case]:9} {lost[case]:6}", flush=True)
    if not tried:
        print("(not possible on this machine)")
    for detail in details[:5]:
        print(detail, file=sys.stderr)
    return bool(details)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
