"""Engines: whole requests over real tokenizers and templates."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.cache_engines import templates
from tests.cache_engines.catalogue import BLOCKS, CORE, engines, named
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.text import Writer

pytestmark = pytest.mark.exhaustive

WRITER = Writer(random.Random(7))
SYSTEM = WRITER.instructions(40)
TOOLS = WRITER.tools(5)
ANSWER = {"role": "assistant", "content": WRITER.sentences(6)}
QUESTION, SECOND = WRITER.question(), WRITER.question()


def body(*turns: str, system: str = SYSTEM, tools: bool = False, **more: Any) -> dict[str, Any]:
    """Return a request; `turns` alternate between user and assistant."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": turn} for index, turn in enumerate(turns)]
    found: dict[str, Any] = {
        "model": "electron",
        "messages": [{"role": "system", "content": system}, *messages],
        **more,
    }
    if tools:
        found["tools"] = copy.deepcopy(TOOLS)
    return found


def turn_after_turn(config: EngineConfig) -> tuple[int, int, int]:
    """Return prompt and completion tokens of a first request, and the cached tokens of the next turn."""
    engine = Engine(config)
    first = engine.serve(body(QUESTION), 0, ANSWER)
    second = engine.serve(body(QUESTION, ANSWER["content"], SECOND), 5, ANSWER)
    return first.prompt_tokens, first.completion_tokens, second.cached_tokens


@pytest.mark.parametrize("name", ["blocks_16", "blocks_32_llama3", "blocks_128", "radix", "one_slot", "four_slots"])
def test_next_turn_with_answers_cached_serves_blocks_of_prompt_plus_completion_less_one(name: str) -> None:
    config = named(name)
    prompt, completion, cached = turn_after_turn(config)
    size = config.true_block
    # The end token was generated last, so it is the one token that was not calculated.
    assert cached == (prompt + completion - 1) // size * size


def test_next_turn_with_answers_not_cached_serves_blocks_of_the_prompt() -> None:
    prompt, _, cached = turn_after_turn(named("tools_first_answers_not_cached"))
    assert cached == prompt // 16 * 16


def test_next_turn_after_hidden_reasoning_serves_blocks_of_the_prompt() -> None:
    prompt, completion, cached = turn_after_turn(named("blocks_16_hidden_reasoning"))
    assert cached == prompt // 16 * 16
    assert completion > turn_after_turn(BLOCKS)[1] + 10


def test_next_turn_with_system_text_in_last_user_message_serves_less_than_a_block_of_it() -> None:
    _, _, cached = turn_after_turn(named("blocks_16_tools_before_last_user"))
    assert cached == 0


def test_completion_tokens_include_the_end_token() -> None:
    engine = Engine(BLOCKS)
    served = engine.serve(body(QUESTION), 0, {"role": "assistant", "content": "hello world"})
    assert served.completion_tokens == 3


@pytest.mark.parametrize(("position", "kept"), [("first", False), ("in_system", True), ("after_system", True)])
def test_tool_added_keeps_system_text_only_if_tools_follow_it(position: templates.ToolsPosition, kept: bool) -> None:
    engine = Engine(EngineConfig("x", templates.chatml(position), "o200k"))
    engine.serve(body(QUESTION, tools=True), 0, ANSWER)
    changed = body(QUESTION, tools=True)
    changed["tools"].insert(0, WRITER.tool("brand_new"))
    cached = engine.serve(changed, 1, ANSWER).cached_tokens
    system_tokens = engine.serve(body(QUESTION), 2, ANSWER).prompt_tokens
    assert (cached > 0.8 * system_tokens) is kept
    assert kept or cached <= 64


@pytest.mark.parametrize("config", engines(), ids=lambda config: config.name)
def test_identical_request_never_serves_more_than_the_prompt(config: EngineConfig) -> None:
    engine = Engine(config)
    found = [engine.serve(body(QUESTION, tools=True, system=SYSTEM * 3), now, ANSWER) for now in range(3)]
    assert found[0].cached_tokens == 0
    for served in found:
        last = 1 if config.recompute_last else 0
        assert served.cached_tokens <= served.prompt_tokens - last
        assert served.cached_tokens % config.true_block == 0


def test_minimum_below_1024_serves_nothing_and_above_serves_steps() -> None:
    engine = Engine(named("minimum_1024_steps_128"))
    short, long = body(QUESTION), body(QUESTION, system=SYSTEM * 3)
    for now, request in enumerate((short, short, long)):
        assert engine.serve(request, now, ANSWER).cached_tokens == 0
    served = engine.serve(long, 4, ANSWER)
    assert served.cached_tokens == served.prompt_tokens // 128 * 128 >= 1024


def test_lifetime_of_five_minutes_serves_until_then() -> None:
    engine = Engine(named("blocks_16_lifetime_5_min"))
    times = (0.0, 299.0, 599.0, 900.0)
    served = [engine.serve(body(QUESTION), now, ANSWER).cached_tokens > 0 for now in times]
    assert served == [False, True, True, False]


def test_random_routing_misses_identical_requests_on_other_replicas() -> None:
    engine = Engine(named("four_replicas_random"))
    served = [engine.serve(body(QUESTION), now, ANSWER) for now in range(40)]
    seen: set[int] = set()
    for one in served:
        assert (one.cached_tokens > 0) is (one.replica in seen)
        seen.add(one.replica)
    assert seen == {0, 1, 2, 3}


def test_prefix_hash_routing_sends_equal_heads_to_one_replica() -> None:
    engine = Engine(named("four_replicas_prefix_hash"))
    served = [engine.serve(body(WRITER.question()), now, ANSWER) for now in range(10)]
    assert len({one.replica for one in served}) == 1
    others = {engine.serve(body(QUESTION, system=WRITER.instructions(30)), 20, ANSWER).replica for _ in range(20)}
    assert len(others) > 1


def test_small_pool_loses_old_prompts_that_the_large_one_keeps() -> None:
    prompts = [body(QUESTION, system=WRITER.instructions(60)) for _ in range(8)]
    hits = []
    for config in (BLOCKS, named("blocks_16_small_pool")):
        engine = Engine(config)
        for request in prompts:
            engine.serve(request, 0, ANSWER)
        hits.append(engine.serve(prompts[0], 1, ANSWER).cached_tokens)
    assert hits[0] > 500
    assert hits[1] == 0


def test_model_changed_serves_nothing() -> None:
    engine = Engine(BLOCKS)
    engine.serve(body(QUESTION), 0, ANSWER)
    changed = {**body(QUESTION), "model": "other"}
    assert engine.serve(changed, 1, ANSWER).cached_tokens == 0
    assert engine.serve(body(QUESTION), 2, ANSWER).cached_tokens > 0


def test_restart_empties_every_replica() -> None:
    engine = Engine(replace(BLOCKS, replicas=2, routing="prefix_hash"))
    engine.serve(body(QUESTION), 0, ANSWER)
    engine.restart()
    assert engine.serve(body(QUESTION), 1, ANSWER).cached_tokens == 0


def test_lose_one_replica_keeps_the_others() -> None:
    engine = Engine(replace(BLOCKS, replicas=4, routing="prefix_hash"))
    replica = engine.serve(body(QUESTION), 0, ANSWER).replica
    engine.lose((replica + 1) % 4)
    assert engine.serve(body(QUESTION), 1, ANSWER).cached_tokens > 0
    engine.lose(replica)
    assert engine.serve(body(QUESTION), 2, ANSWER).cached_tokens == 0


def test_catalogue_has_ten_core_semantics_with_distinct_names() -> None:
    assert len(CORE) == 10
    names = [config.name for config in engines()]
    assert len(names) == len(set(names))
    with pytest.raises(KeyError):
        named("none")
