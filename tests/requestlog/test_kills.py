"""Recovery after kills at random times; `tests.benchmarks.bench_kills` runs two hundred."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from playground.simulator.process import SimulatorProcess
from tests.benchmarks.bench_kills import Tally, check, compare, kill_once, measure, measure_deletions
from tests.requestlog.samples import opened

pytestmark = pytest.mark.exhaustive


def _lose(folder: Path, run_id: str) -> None:
    async def main() -> None:
        async with opened(folder) as log:
            await log.recovered()
            await log.delete([run_id])

    asyncio.run(main())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_no_kill_loses_what_had_ended_or_damages_the_file(tmp_path: Path) -> None:
    tally = measure(3, tmp_path, seed=7)
    assert tally.kills == 3
    assert tally.ended > 0
    assert tally.interrupted > 0
    assert (tally.lost, tally.damaged) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_no_kill_while_requests_are_added_and_deleted_loses_or_leaves_one(tmp_path: Path) -> None:
    there: set[int] = set()
    # Time enough for several additions and deletions; all requests are searched for, in time that grows by the square.
    tally = measure_deletions(4, tmp_path, seed=3, searched=None, there=there, longest_s=0.25)
    assert tally.kills == 4
    assert tally.ended > 0
    assert (tally.lost, tally.damaged) == (0, 0)

    # The comparison itself notices a lost request.
    _lose(tmp_path, f"{min(there):032x}")
    found = Tally()
    asyncio.run(compare(tmp_path, set(there), set(), set(), found, 0))
    assert (found.lost, found.damaged) == (1, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_check_after_a_kill_notices_a_lost_request_of_an_earlier_kill(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    promised = kill_once(tmp_path, simulator.base_url, 0.0, after_an_end=True)
    early = next(iter(promised))
    promised |= kill_once(tmp_path, simulator.base_url, 0.0, after_an_end=True)
    _lose(tmp_path, early)
    tally = Tally()
    check(tmp_path, promised, tally)
    assert (tally.lost, tally.damaged) == (1, 0)
