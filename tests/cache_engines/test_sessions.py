"""Sessions and labelled breaks: deterministic, of the promised sizes, and truly missed."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest

from tests.cache_engines import break_runs, traffic
from tests.cache_engines.breaks import KINDS, cases, text_place
from tests.cache_engines.catalogue import named
from tests.cache_engines.engines import Engine
from tests.cache_engines.estimated import Estimated
from tests.cache_engines.judge import IN_THE_PROMPT, judge_lines, reported_tokens
from tests.cache_engines.replays import Informed
from tests.cache_engines.sessions import SESSIONS, Clock, steps
from tests.cache_engines.traffic import Line

pytestmark = pytest.mark.exhaustive


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_is_the_same_for_the_same_seed_and_long_enough(kind: str) -> None:
    found = steps(kind, 3)
    assert found == steps(kind, 3)
    assert [step.body for step in found] != [step.body for step in steps(kind, 4)]
    assert len(found) >= 35
    times = [step.at for step in found]
    assert times == sorted(times)
    assert len({json.dumps(step.body) for step in found}) > len(found) // 3


@pytest.mark.parametrize("kind", SESSIONS)
def test_session_tool_results_answer_calls_and_roles_are_valid(kind: str) -> None:
    for step in steps(kind, 3):
        asked: set[str] = set()
        for message in step.body["messages"]:
            assert message["role"] in ("system", "user", "assistant", "tool")
            asked |= {call["id"] for call in message.get("tool_calls", ())}
            assert message["role"] != "tool" or message["tool_call_id"] in asked
        assert step.body.get("tools") != []


def test_sessions_cover_200_to_8000_tokens() -> None:
    engine = Engine(named("blocks_16"))
    sizes = [
        engine.serve(step.body, step.at, step.answer).prompt_tokens
        for kind, seed in (("short_prompts", 3), ("long_prompts", 3), ("long_prompts", 4), ("long_prompts", 1))
        for step in steps(kind, seed)
    ]
    assert min(sizes) < 200
    assert 6_000 < max(sizes) < 12_000


def test_mixed_day_has_breaks_of_6_to_60_minutes() -> None:
    times = [step.at for step in steps("mixed_day", 3)]
    gaps = [after - before for before, after in pairwise(times)]
    long = [gap for gap in gaps if gap > 300]
    assert len(long) >= 4
    assert all(360 <= gap <= 2 * 3_700 for gap in long)


def test_restarts_session_restarts_twice_and_is_otherwise_predictable() -> None:
    found = steps("restarts", 3)
    assert sum(step.restart for step in found) == 2
    config = named("blocks_16")
    score = judge_lines(traffic.record(Engine(config), found), Informed(config))
    assert 0.95 <= score.trained.within_share < 1


def test_failed_requests_and_omitted_details_are_recorded_without_reports() -> None:
    config = named("blocks_16")
    lines = traffic.record(Engine(config), steps("gaps_in_reports", 3))
    failed = [line for line in lines if line["response"]["status"] != 200]
    assert failed
    assert all(line["response"]["usage"] is None and line["response"]["message"] is None for line in failed)
    unknown = [line for line in lines if traffic.reported(line) is None]
    assert len(unknown) > len(failed)
    score = judge_lines(lines, Informed(config))
    assert score.overall.count == len(lines) - len(unknown)
    assert score.overall.within_share == 1


def test_other_program_is_served_but_not_recorded() -> None:
    found = steps("other_program", 3)
    lines = traffic.record(Engine(named("blocks_16")), found)
    assert len(lines) == len(found) - 2
    assert reported_tokens(lines[0])[0] > 300


def test_barge_in_history_holds_the_spoken_part_of_answers() -> None:
    found = steps("barge_in", 3)
    cut = sum(str(message["content"]).endswith("…") for message in found[10].body["messages"])
    assert 1 <= cut < 11


def test_sliding_window_bounds_the_number_of_messages() -> None:
    sizes = [len(step.body["messages"]) for step in steps("sliding_window", 3)]
    assert sizes[-1] == max(sizes[20:]) < 12
    assert all(step.body["messages"][1]["role"] == "user" for step in steps("sliding_window", 3))


@pytest.mark.parametrize("name", ["blocks_16", "radix", "one_slot", "four_replicas_prefix_hash"])
def test_voice_session_with_known_rules_is_forecast_exactly(name: str) -> None:
    config = named(name)
    score = judge_lines(traffic.record(Engine(config), steps("voice", 3)), Informed(config))
    assert score.overall.within_share == 1


def test_breaks_are_at_least_130_and_cover_every_kind() -> None:
    found = [case for needs in break_runs.NEEDS for case in cases(3, needs, Clock())]
    assert len(found) == sum(count for _, count in KINDS) >= 130
    names = {case.name for case in found}
    assert names == (IN_THE_PROMPT | {"first", "server", "idle", "minimum"})


@pytest.fixture(scope="module", params=["first", "after_system"])
def trained(request: pytest.FixtureRequest) -> dict[str, list[Line]]:
    return {needs: break_runs.trained(request.param, needs, 3) for needs in break_runs.NEEDS}


def test_breaks_in_the_prompt_miss_tokens_that_an_identical_request_would_find(trained: dict[str, list[Line]]) -> None:
    lines = trained["plain"]
    for before, line in pairwise(lines):
        if (label := line.get("label")) is None:
            continue
        cached, _ = reported_tokens(line)
        served_before, _ = reported_tokens(before)
        if label["name"] == "first":
            assert cached <= 16
        else:
            assert served_before > 200
            assert cached <= served_before - 16, line["response"]["request_id"]


def test_breaks_server_and_idle_send_identical_bytes(trained: dict[str, list[Line]]) -> None:
    for needs, name in (("plain", "server"), ("lifetime", "idle"), ("minimum", "minimum")):
        lines = trained[needs]
        found = [(before, line) for before, line in pairwise(lines) if (line.get("label") or {}).get("name") == name]
        assert len(found) >= 6
        for before, line in found:
            assert line["request"] == before["request"]
            assert reported_tokens(line)[0] == 0


def test_breaks_training_shows_the_lifetime_and_the_minimum(trained: dict[str, list[Line]]) -> None:
    lines = [line for line in trained["lifetime"] if line["response"]["request_id"].startswith("training")]
    gaps = [
        (line["at"] - before["at"], reported_tokens(line)[0] > 0)
        for before, line in pairwise(lines)
        if line["request"] == before["request"]
    ]
    assert max(gap for gap, hit in gaps if hit) < break_runs.LIFETIME_S < min(gap for gap, hit in gaps if not hit)
    sizes = [
        (reported_tokens(line)[1], reported_tokens(line)[0] > 0)
        for before, line in pairwise(trained["minimum"])
        if line["request"] == before["request"] and line["response"]["request_id"].startswith("training")
    ]
    missed = [size for size, hit in sizes if not hit]
    assert 900 < max(missed) < 1_024 <= min(size for size, hit in sizes if hit) < 1_250


def test_breaks_places_name_the_differing_character(trained: dict[str, list[Line]]) -> None:
    checked = 0
    lines = trained["plain"]
    for before, line in pairwise(lines):
        place = (line.get("label") or {}).get("place") or {}
        if "line" not in place:
            continue
        new, old = (str(one["request"]["messages"][place["index"]]["content"]) for one in (line, before))
        at = sum(len(text) + 1 for text in new.split("\n")[: place["line"] - 1]) + place["column"] - 1
        assert new[:at] == old[:at]
        assert new[at : at + 1] != old[at : at + 1]
        assert 1 <= place["column_from"] <= place["column"]
        checked += 1
    assert checked >= 60


def test_text_place_value_start_widens_the_column() -> None:
    before, after = "Hi\nDate: 26 May", "Hi\nDate: 27 May"
    assert text_place(0, before, after, 9) == {"part": "message", "index": 0, "line": 2, "column": 8, "column_from": 7}
    assert text_place(0, before, after)["column_from"] == 7


def test_untrained_breaks_are_separate_files_on_fresh_servers() -> None:
    files = break_runs.untrained("first", "minimum", 3)
    assert len(files) == 6
    assert all(reported_tokens(lines[0])[0] == 0 and "label" in lines[-1] for lines in files)


@pytest.mark.parametrize(("name", "kind"), [("blocks_16", "barge_in"), ("radix", "iteration"), ("one_slot", "voice")])
def test_estimated_tokens_with_known_rules_are_within_a_block(name: str, kind: str) -> None:
    config = named(name)
    lines = traffic.record(Engine(config), steps(kind, 3))
    score = judge_lines(lines, Estimated(config), tolerance=config.tolerance)
    assert score.trained.within_share > 0.95
