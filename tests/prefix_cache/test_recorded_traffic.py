"""The model on traffic of servers that share none of its code: independent engines and recordings of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from playground.cli.replay import result_fields, summary_fields
from playground.prefix_cache.replay import TrafficReplay, replay_traffic
from playground.prefix_cache.traffic import read_traffic
from tests.cache_engines.judge import Score, judge_file

pytestmark = pytest.mark.exhaustive

TRAFFIC = Path(__file__).parents[1] / "data" / "cache_traffic"
RECORDINGS = Path(__file__).parents[1] / "data" / "engine_recordings"
SESSIONS = sorted(path for path in TRAFFIC.glob("*.jsonl") if not path.name.startswith("breaks"))
BREAKS = sorted(TRAFFIC.glob("breaks-*.jsonl"))


def replayed(path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
    """Replay in this process, with the objects of `--json`."""
    memory = learned.read_bytes() if learned is not None and learned.exists() else None
    replay = replay_traffic(read_traffic(path), learned=memory)
    found: list[dict[str, Any]] = [json.loads(json.dumps(result_fields(result))) for result in replay]
    if learned is not None:
        learned.write_bytes(replay.learned)
    return [*found, {"summary": summary_fields(replay.summary)}]


def judged(path: Path) -> Score:
    tolerance = 128 if "steps_128" in path.name else 64 if "units_64" in path.name else 16
    return judge_file(path, replayed, tolerance=tolerance, calibrating=8)


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: path.stem)
def test_replay_engine_traffic_after_eight_requests_is_within_a_block_and_covered(path: Path) -> None:
    score = judged(path).trained
    assert score.coverage >= 0.88
    if "random" not in path.name:
        assert score.within_share >= 0.88
        assert score.width <= (256 if "128" in path.name else 128 if "64" in path.name else 32)


@pytest.mark.parametrize("path", BREAKS, ids=lambda path: path.stem)
def test_replay_labelled_breaks_names_cause_and_place(path: Path) -> None:
    causes = judge_file(path, replayed).causes
    assert causes.breaks
    assert causes.right / causes.breaks >= 0.97, causes.wrong
    assert causes.places_right == causes.places, causes.wrong
    assert causes.identical_blamed == 0


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_replay_recorded_session_of_a_real_engine_is_covered(path: Path) -> None:
    replay = replay_traffic(read_traffic(path))
    results = [result for result in replay if result.usage is not None and result.usage.cached_tokens is not None][20:]
    assert results
    block = max(16, replay.summary.profile.block.value or 16) if replay.summary.profile else 16
    errors = [
        abs(result.forecast.cached_tokens - (result.usage.cached_tokens or 0)) for result in results if result.usage
    ]
    assert sum(error <= block for error in errors) / len(errors) >= 0.85


def test_replay_second_half_with_learned_state_is_right_from_its_first_request(tmp_path: Path) -> None:
    path = TRAFFIC / "blocks_16-voice_tools.jsonl"
    lines = path.read_text("utf-8").splitlines()
    half = len(lines) // 2
    first, second, memory = tmp_path / "first.jsonl", tmp_path / "second.jsonl", tmp_path / "memory.json"
    first.write_text("\n".join(lines[:half]), "utf-8")
    second.write_text("\n".join(lines[half:]), "utf-8")
    replayed(first, memory)
    found = [item for item in replayed(second, memory) if "summary" not in item]
    inside = [item for item in found if item["cached_tokens"]["reported"] is not None]
    for item in inside[:5]:
        tokens = item["cached_tokens"]
        assert tokens["low"] <= tokens["reported"] <= tokens["high"]
        assert abs(tokens["forecast"] - tokens["reported"]) <= 16
    cold = [item for item in replayed(second) if "summary" not in item]
    assert cold[0]["cached_tokens"]["forecast"] == 0


def test_replay_failed_requests_are_never_in_the_cache() -> None:
    path = TRAFFIC / "blocks_16-gaps_in_reports.jsonl"
    replay: TrafficReplay = replay_traffic(read_traffic(path))
    failed = [result for result in replay if not result.record.accepted]
    assert failed
    assert all(result.explanation is None for result in failed)
