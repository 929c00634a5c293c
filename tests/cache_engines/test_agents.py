"""Agents on servers whose templates leave out call ids: after a restart, and beside texts that are JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest

from playground.prefix_cache.replay import ReplayResult, TrafficReplay
from playground.prefix_cache.traffic import TrafficRecord, usage_of
from tests.cache_engines import traffic
from tests.cache_engines.agents import AgentKind, agents
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.model_templates import Family, ModelTemplate
from tests.cache_engines.sessions import Client, Clock, Step

pytestmark = pytest.mark.exhaustive
KIND = AgentKind(new_ids=True, spelling="spaced")
BLOCK = 16
STEPS = 100
"""Most requests of a session: a template is learned from the first ones."""


def records(family: Family, steps: Iterable[Step]) -> list[TrafficRecord]:
    engine = Engine(EngineConfig(family, ModelTemplate(family), "o200k"))

    def read(line: dict[str, Any]) -> TrafficRecord:
        response = line["response"]
        usage = usage_of(response["usage"], response["message"])
        return TrafficRecord(line["at"], line["request"], response["status"], response["request_id"], usage)

    return [read(line) for line in traffic.record(engine, iter(steps))]


def within_a_block(results: Sequence[ReplayResult]) -> float:
    reported = [
        (one.forecast.cached_tokens, one.usage.cached_tokens)
        for one in results
        if one.usage is not None and one.usage.cached_tokens is not None
    ]
    return sum(abs(forecast - cached) <= BLOCK for forecast, cached in reported) / len(reported)


def test_template_without_call_ids_is_still_known_after_a_restart() -> None:
    session = records("hermes", islice(agents(KIND, 1), STEPS))
    first, second = session[: len(session) // 2], session[len(session) // 2 :]
    before = TrafficReplay(first, 300.0, None)
    list(before)
    assert within_a_block(list(TrafficReplay(second, 300.0, before.learned))) >= 0.97


@pytest.mark.parametrize("family", ["mistral", "kimi"])
def test_template_that_writes_call_ids_behind_or_before_arguments_is_learned_from_new_ids(family: Family) -> None:
    session = records(family, islice(agents(AgentKind(new_ids=True), 1), STEPS))
    assert within_a_block(list(TrafficReplay(session, 300.0, None))) >= 0.97


@pytest.mark.parametrize("kind", [AgentKind(new_ids=True), AgentKind(respelled=True, spelling="spaced")])
def test_template_that_leaves_out_text_beside_calls_after_the_turn_is_learned(kind: AgentKind) -> None:
    session = records("harmony", islice(agents(kind, 1), STEPS))
    assert within_a_block(list(TrafficReplay(session, 300.0, None))) >= 0.95


def documents(client: Client) -> Iterator[Step]:
    """Yield requests with retrieved documents as JSON, of which only the scores change."""
    rules = {"role": "system", "content": client.writer.instructions(20)}
    texts = [client.writer.sentences(6) for _ in range(6)]
    for number in range(8):
        scores = random.Random(number)
        found = [{"id": at, "score": round(scores.random(), 3), "text": text} for at, text in enumerate(texts)]
        question = {"role": "user", "content": client.writer.sentences(1)}
        yield client.step([rules, {"role": "user", "content": json.dumps(found, ensure_ascii=False)}, question])
        client.clock.wait(5)


def test_changed_score_in_a_text_that_is_json_is_named_although_the_template_leaves_out_ids() -> None:
    steps = list(agents(KIND, 1))[:80]
    client = Client(random.Random(3), Clock())
    client.clock.wait(steps[-1].at + 6)
    results = list(TrafficReplay(records("hermes", [*steps, *documents(client)]), 300.0, None))[-7:]
    assert [one.explanation and one.explanation.cause for one in results] == ["number"] * 7
