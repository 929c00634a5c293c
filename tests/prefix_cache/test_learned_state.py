"""The file of learned states: damaged files and other versions are ignored."""

from __future__ import annotations

import pytest

from playground.prefix_cache.endpoint_model import CacheUsage
from playground.prefix_cache.learned_state import parse
from tests.prefix_cache.prompts import ENDPOINT, MODEL, agent, desk, sent


def test_save_and_load_keep_what_was_learned() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    other = desk()
    other.load(room.save())
    assert other.model(ENDPOINT, MODEL).reports == 1
    assert other.counter(ENDPOINT, MODEL).estimate("parcel") == pytest.approx(
        room.counter(ENDPOINT, MODEL).estimate("parcel")
    )


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version":1,"models":[{"endpoint":"e"}]}', b"\xff" * 9])
def test_parse_damaged_file_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(data)


def test_parse_file_of_another_version_gives_nothing() -> None:
    assert parse(b'{"version":99,"models":[]}') == {}


def test_new_model_of_a_known_endpoint_starts_with_what_the_other_taught() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    assert room.model(ENDPOINT, "another").estimator.reports == room.model(ENDPOINT, MODEL).estimator.reports
    assert room.model("elsewhere", MODEL).estimator.reports == 0
