"""The judge itself: a perfect replay scores 1, a naive one does not, and each figure is computed as documented."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cache_engines import break_runs, traffic
from tests.cache_engines.catalogue import named
from tests.cache_engines.engines import Engine
from tests.cache_engines.fixtures import FOLDER, files
from tests.cache_engines.judge import (
    Sample,
    continues,
    false_facts,
    inferred,
    judge_file,
    judge_lines,
    judge_restart,
    place_right,
    shared_length,
    total,
)
from tests.cache_engines.replays import CommandReplay, Oracle, ReplayError, naive
from tests.cache_engines.sessions import steps
from tests.cache_engines.traffic import Line

pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def voice() -> list[Line]:
    return traffic.record(Engine(named("blocks_16")), steps("voice", 3))


@pytest.fixture(scope="module")
def breaks() -> list[Line]:
    return break_runs.trained("first", "plain", 3)


def test_oracle_scores_everything_right(voice: list[Line], breaks: list[Line]) -> None:
    score = judge_lines(voice, Oracle(voice, {"block": 16}))
    assert (score.trained.within_share, score.trained.coverage, score.trained.width) == (1, 1, 0)
    assert score.overall.count == len(voice) == score.trained.count + 20
    assert score.summary == {"block": 16}
    causes = judge_lines(breaks, Oracle(breaks, {})).causes
    assert causes.right == causes.breaks == 144
    assert causes.places_right == causes.places > 100
    assert causes.identical == 12
    assert causes.identical_blamed == 0


def test_naive_replay_scores_low_and_blames_identical_bytes(voice: list[Line], breaks: list[Line]) -> None:
    score = judge_lines(voice, naive)
    assert score.trained.within_share < 0.2
    causes = judge_lines(breaks, naive).causes
    assert causes.identical_blamed == 12
    assert causes.right == 18  # the edits and the four values for which "edited" is accepted
    assert causes.places_right == 0
    assert len(causes.wrong) == 12 + (144 - 18) + causes.places


def test_lost_prefixes_and_alarms_are_counted_where_prompts_only_grow() -> None:
    config = named("blocks_16")
    assert config.appends
    assert not named("blocks_16_tools_before_last_user").appends
    found = steps("restarts", 3)
    lines = traffic.record(Engine(config), found)
    inside = sum(step.restart and len(step.body["messages"]) > 2 for step in found)
    causes = judge_lines(lines, naive, appends=True).causes
    assert causes.lost == causes.lost_blamed == inside > 0
    assert causes.alarms > 30
    perfect = judge_lines(lines, Oracle(lines, {}), appends=True).causes
    assert (perfect.lost, perfect.lost_blamed, perfect.alarms) == (inside, 0, 0)


@pytest.mark.parametrize(
    ("change", "result"),
    [
        ({}, True),
        ({"model": "b"}, False),
        ({"tools": []}, False),
        ({"messages": [{"role": "user", "content": "y"}]}, False),
    ],
)
def test_continues_needs_equal_messages_and_parameters(change: dict[str, Any], result: bool) -> None:
    before = {"model": "a", "messages": [{"role": "user", "content": "x"}]}
    body = {**before, "messages": [*before["messages"], {"role": "assistant", "content": "z"}], **change}
    assert continues(body, before) is result


def test_labels_are_not_given_to_the_replay(breaks: list[Line]) -> None:
    seen: list[str] = []

    def spy(path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        seen.append(path.read_text("utf-8"))
        return naive(path)

    judge_lines(breaks, spy)
    assert '"label"' not in seen[0]
    assert '"accept"' not in seen[0]
    assert len(seen[0].splitlines()) >= len(breaks)


def test_missing_request_in_the_output_raises(voice: list[Line]) -> None:
    with pytest.raises(ValueError, match="one object per request"):
        judge_lines(voice, lambda path, learned=None: naive(path)[1:])


def forecast(value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"forecast": value, "low": low, "high": high}


def test_sample_counts_within_coverage_width_and_unknown() -> None:
    sample = Sample()
    sample.add(forecast(100, 90, 110), 116, 500, 16)  # within, not covered
    sample.add(forecast(100, 50, 150), 117, 500, 16)  # not within, covered
    sample.add(forecast(100, 100, 100), 100, 500, 16)  # both
    sample.add(forecast(None, None, None), 100, 500, 16)  # neither
    assert (sample.within_share, sample.coverage, sample.width, sample.unknown) == (0.5, 0.5, 20, 1)


def test_total_adds_samples_and_causes(voice: list[Line]) -> None:
    one = judge_lines(voice, naive)
    both = total([one, judge_lines(voice, Oracle(voice, {}))])
    assert both.trained.count == 2 * one.trained.count
    assert both.trained.within == one.trained.within + one.trained.count


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"part": "message", "message": 2, "line": 3, "column": 8}, True),
        ({"part": "message", "message": 2, "line": 3, "column": 5}, True),
        ({"part": "message", "message": 2, "line": 3, "column": 4}, False),
        ({"part": "message", "message": 2, "line": 3, "column": 9}, False),
        ({"part": "message", "message": 2, "line": 2, "column": 8}, False),
        ({"part": "message", "message": 1, "line": 3, "column": 8}, False),
        ({"part": "tool", "tool": 2, "line": 3, "column": 8}, False),
        ({"part": "message", "message": 2}, False),
        (None, False),
    ],
)
def test_place_right_needs_part_index_line_and_column(given: dict[str, Any] | None, right: bool) -> None:
    true = {"part": "message", "index": 2, "line": 3, "column": 8, "column_from": 5}
    assert place_right(true, given) is right


def test_place_of_a_tool_needs_only_its_index() -> None:
    assert place_right({"part": "tool", "index": 4}, {"part": "tool", "tool": 4, "line": 9, "column": 1})
    assert not place_right({"part": "tool", "index": 4}, {"part": "tool", "tool": 3})


def test_inferred_compares_values_with_the_engine() -> None:
    config = named("blocks_16")
    summary = {"block": {"value": 16, "confidence": 0.99}, "answers_cached": False, "tools_position": "after_system"}
    assert inferred(summary, config, has_tools=True) == {
        "block": "right",
        "answers_cached": "wrong",
        "tools_position": "right",
    }
    assert inferred({}, config, has_tools=False) == {"block": "unknown", "answers_cached": "unknown"}


def test_false_facts_are_those_with_high_confidence_only() -> None:
    config = named("blocks_16")
    summary = {
        "block": {"value": 16, "confidence": 1.0},
        "minimum": {"value": 1152, "confidence": 0.95},
        "lifetime": {"value": 5, "confidence": 1.0},
        "replicas": {"value": 4, "confidence": 0.5},
        "answers_cached": {"value": None, "confidence": 1.0},
    }
    assert false_facts(summary, config) == ["lifetime 5", "minimum 1152"]
    lifetime = named("blocks_16_lifetime_5_min")
    assert false_facts({"lifetime": {"value": 290, "confidence": 0.97}}, lifetime) == []


def test_shared_length_finds_first_difference() -> None:
    assert [shared_length(*pair) for pair in (("abc", "abd"), ("", "a"), ("ab", "ab"), ("xa", "ya"))] == [2, 0, 2, 0]


def test_judge_restart_gives_both_halves_the_same_memory(voice: list[Line], tmp_path: Path) -> None:
    memory = tmp_path / "learned"

    def remembering(path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        assert learned == memory
        memory.write_text(memory.read_text() + "x" if memory.exists() else "x")
        return Oracle(voice, {})(path)

    score = judge_restart(voice, remembering, memory)
    assert memory.read_text() == "xx"
    assert score.trained.count == len(voice) - len(voice) // 2


def test_command_replay_runs_a_process_and_reads_its_lines(voice: list[Line], tmp_path: Path) -> None:
    script = tmp_path / "fake.py"
    script.write_text(
        "import json, sys\n"
        "assert sys.argv[2] == '--json'\n"
        "assert sys.argv[3:4] in ([], ['--learned'])\n"
        "for line in open(sys.argv[1], encoding='utf-8'):\n"
        "    item = json.loads(line)\n"
        "    usage = item['response']['usage']\n"
        "    cached = usage['prompt_tokens_details']['cached_tokens']\n"
        "    print(json.dumps({'request_id': item['response']['request_id'], 'cause': None, 'place': None,\n"
        "        'prompt_tokens': {'forecast': usage['prompt_tokens']},\n"
        "        'cached_tokens': {'forecast': cached, 'low': cached, 'high': cached}}))\n"
        "print(json.dumps({'summary': {'block': 16}}))\n"
    )
    replay = CommandReplay((sys.executable, str(script)))
    score = judge_lines(voice, replay, learned=tmp_path / "memory")
    assert score.overall.within_share == 1
    assert score.summary == {"block": 16}


def test_command_replay_failing_command_raises(tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.touch()
    with pytest.raises(ReplayError, match="exit status 3"):
        CommandReplay((sys.executable, "-c", "import sys; sys.exit(3)"))(file)
    with pytest.raises(ReplayError, match="not JSON lines"):
        CommandReplay((sys.executable, "-c", "print('oops')"))(file)


def test_committed_traffic_is_the_recording_of_the_held_out_seed() -> None:
    names = {path.name for path in FOLDER.glob("*.jsonl")}
    expected = dict(files())
    assert names == set(expected)
    for name, lines in expected.items():
        assert traffic.read(FOLDER / name) == json.loads(json.dumps(lines)), name
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_judge_file_reads_committed_traffic(path: Path) -> None:
    lines = traffic.read(path)
    assert len(lines) >= 25
    score = judge_file(path, Oracle(lines, {}))
    assert score.overall.within_share == 1
    assert score.causes.breaks == score.causes.right
