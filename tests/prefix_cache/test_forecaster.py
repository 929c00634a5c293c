"""The desk: endpoints and models apart, reports taken in, the cache's beginning minded."""

from __future__ import annotations

import pytest

from playground.prefix_cache import endpoint_model
from playground.prefix_cache.endpoint_model import CacheUsage
from playground.prompt.document import Document, Message
from tests.prefix_cache.prompts import ENDPOINT, MODEL, NOW, agent, desk, sent


def test_endpoints_and_models_are_apart() -> None:
    room = desk(sent(agent()))
    assert room.look(agent(), ENDPOINT, MODEL).forecast.cached_tokens > 0
    assert room.look(agent(), "elsewhere", MODEL).forecast.cached_tokens == 0
    assert room.look(agent(), ENDPOINT, "another").forecast.cached_tokens == 0


def test_a_report_is_kept_and_found() -> None:
    room = desk(sent(agent()))
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage(640, 0))
    found = room.sent("9db74058")
    assert found is not None
    assert (found.prompt_tokens, found.cached_tokens) == (640, 0)
    assert room.sent("unheard of") is None


def test_a_report_of_an_unknown_run_changes_nothing() -> None:
    room = desk()
    room.settle(ENDPOINT, MODEL, "unheard of", CacheUsage(640, 0))
    assert room.look(agent(), ENDPOINT, MODEL).forecast.cached_tokens == 0


def test_what_was_not_reported_teaches_nothing() -> None:
    room = desk(sent(agent()))
    before = room.look(agent(), ENDPOINT, MODEL).forecast.prompt_tokens
    room.settle(ENDPOINT, MODEL, "9db74058", CacheUsage())
    assert room.look(agent(), ENDPOINT, MODEL).forecast.prompt_tokens == before


def test_reports_teach_prompts_that_share_nothing() -> None:
    room = desk()
    fresh = Document(messages=(Message("system", "Answer in rhymes about the weather. " * 50),))
    before = room.look(fresh, ENDPOINT, MODEL).forecast.prompt_tokens
    for number in range(6):
        run_id = f"run {number}"
        room.record(ENDPOINT, MODEL, sent(agent(question="When? " * number), run_id))
        estimate = room.look(agent(question="When? " * number), "untaught", MODEL).forecast.prompt_tokens
        room.settle(ENDPOINT, MODEL, run_id, CacheUsage(round(estimate * 1.4), 0))
    assert room.look(fresh, ENDPOINT, MODEL).forecast.prompt_tokens == pytest.approx(before * 1.4, rel=0.1)


def test_the_lifetime_is_the_last_use() -> None:
    old, used_again = sent(agent(question="One?"), "old", NOW - 290), sent(agent(question="Two?"), "newer", NOW - 10)
    found = desk(old, used_again, lifetime_s=60).look(agent(question="Three?"), ENDPOINT, MODEL)
    assert found.forecast.run_id == "newer"
    assert found.zones.message_zones[:3] == ("warm", "warm", "warm")


def test_before_the_cache_began_nothing_is_warm() -> None:
    outlook = desk(sent(agent())).look(agent(), ENDPOINT, MODEL, since=NOW - 1)
    assert outlook.zones.warm_tokens == 0
    assert outlook.forecast.cached_tokens == 0


def test_a_prompt_of_one_space_and_of_nothing() -> None:
    for document in (Document(), Document(messages=(Message("user", " "),)), Document(messages=(Message("user", ""),))):
        outlook = desk(sent(agent())).look(document, ENDPOINT, MODEL)
        assert outlook.forecast.cached_tokens == 0


def test_a_version_is_known_by_its_lines_though_its_first_and_its_last_differ() -> None:
    rules = "\n".join(f"Rule {number}: be kind and brief." for number in range(60))

    def dated(day: int, question: str) -> Document:
        return Document(messages=(Message("system", f"Today is 2026-11-{day}.\n{rules}"), Message("user", question)))

    made = desk(sent(dated(13, "Where is it?"), tokens=700))
    boundary = made.look(dated(14, "When does it come?"), ENDPOINT, MODEL).zones.boundary
    assert boundary.kind == "differs"
    assert boundary.offset == len("Today is 2026-11-1")


def test_settle_many_long_answers_keeps_the_newest_ones_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_model, "MAX_ANSWER_CHARS", 1_000)
    room = desk()
    for number in range(20):
        run_id = f"run {number}"
        room.record(ENDPOINT, MODEL, sent(agent(question=f"When {number}?"), run_id))
        message = {"role": "assistant", "content": f"{number} " * 100}
        room.settle(ENDPOINT, MODEL, run_id, CacheUsage(640, 0, 100, message=message))
    cache = room.model(ENDPOINT, MODEL)
    kept = [number for number in range(20) if cache.answered(f"run {number}")]
    assert kept == list(range(20 - len(kept), 20))
    assert 1 <= sum(len(cache.answered(f"run {number}")) for number in kept) <= 1_000
