"""The file of learned states: damaged files and other versions are ignored."""

from __future__ import annotations

import pytest

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.hypotheses import Hypotheses
from playground.prefix_cache.learned_state import parse
from playground.prefix_cache.reach import RETENTIONS
from tests.prefix_cache.prompts import ENDPOINT, MODEL, NOW, RULES, agent, desk, sent


def test_save_and_load_keep_what_was_learned() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    other = desk()
    other.load(room.save())
    assert other.model(ENDPOINT, MODEL).learned.reports == 1
    assert other.counter(ENDPOINT, MODEL).estimate("parcel") == pytest.approx(
        room.counter(ENDPOINT, MODEL).estimate("parcel")
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version":1,"models":[{"endpoint":"e"}]}', b"\xff" * 9])
def test_parse_damaged_file_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(data)


def test_parse_file_of_another_version_gives_nothing() -> None:
    assert parse(b'{"version":99,"models":[]}') == {}


def test_state_of_a_version_without_late_storage_and_printed_times_keeps_its_renderings() -> None:
    known, model = Hypotheses(300.0), Hypotheses(300.0)
    old = [one for one in RETENTIONS if one.kind in ("everything", "lifetime", "tokens", "slots")]
    short = {one.key: [-9.0 if one.answers else 0.0] * len(old) for one in known.weights}
    model.restore(short, [], 1.0, 1.0, 0, 0)
    assert sum(weight for one, weight in model.weights.items() if one.answers) < 0.01
    assert 0 < model.delayed < 0.1


def test_new_model_of_a_known_endpoint_starts_with_what_the_other_taught() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    taught = room.model(ENDPOINT, MODEL).learned.estimator.reports
    assert room.model(ENDPOINT, "another").learned.estimator.reports == taught
    assert room.model("elsewhere", MODEL).learned.estimator.reports == 0


def test_capacity_is_unknown_at_first_and_learned_from_prefixes_that_come_back() -> None:
    room = desk()
    assert room.capacity(ENDPOINT, MODEL) == 0
    for turn in range(4):
        for prompt in range(12):
            one = sent(agent(f"Sheet {prompt}. {RULES}", f"Turn {turn}?"), f"run-{turn}-{prompt}", NOW - 200 + turn)
            room.record(ENDPOINT, MODEL, one)
            room.settle(ENDPOINT, MODEL, one.run_id, CacheUsage(480, 464 if turn else 0))
    assert room.capacity(ENDPOINT, MODEL) >= 11 * 480


def test_capacity_of_a_cache_that_evicts_stays_below_the_traffic_between() -> None:
    room = desk()
    for turn in range(4):
        for prompt in range(12):
            one = sent(agent(f"Sheet {prompt}. {RULES}", f"Turn {turn}?"), f"run-{turn}-{prompt}", NOW - 200 + turn)
            room.record(ENDPOINT, MODEL, one)
            room.settle(ENDPOINT, MODEL, one.run_id, CacheUsage(480, 0))
    assert room.capacity(ENDPOINT, MODEL) <= 12 * 480
