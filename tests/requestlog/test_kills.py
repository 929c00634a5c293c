"""Recovery after kills at random times; `tests.benchmarks.bench_kills` runs two hundred."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks.bench_kills import measure, measure_deletions

pytestmark = pytest.mark.exhaustive


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_no_kill_loses_what_had_ended_or_damages_the_file(tmp_path: Path) -> None:
    tally = measure(3, tmp_path, seed=7)
    assert tally.kills == 3
    assert tally.ended > 0
    assert tally.interrupted > 0
    assert (tally.lost, tally.damaged) == (0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_no_kill_while_requests_are_added_and_deleted_loses_or_leaves_one(tmp_path: Path) -> None:
    tally = measure_deletions(4, tmp_path, seed=3)
    assert tally.kills == 4
    assert tally.ended > 0
    assert (tally.lost, tally.damaged) == (0, 0)
