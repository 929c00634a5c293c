"""Servers whose replicas answer in turn, and servers that choose a replica at random."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import pytest

from playground.prefix_cache.cache_profile import PROBABLE, lifetime_of, profile
from playground.prefix_cache.hypotheses import ROUTINGS
from playground.prefix_cache.learned_state import LearnedParameters
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.reach import RETENTIONS, Reach
from playground.prefix_cache.replay import ReplayResult, replay_traffic
from playground.prefix_cache.round_robin import RoundRobin
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.traffic import TrafficRecord, usage_of
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json
from tests.cache_engines.caches import BlockCache, PrefixCache, RadixCache, stable_hash

BLOCK = 16
WORDS = ("harbour", "crate", "shelf", "origin", "ledger", "dawn", "weight", "seal")


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words)) + "."


def chat(
    seed: int,
    choose: Callable[[int], int],
    *,
    block: int = BLOCK,
    conversations: int = 2,
    system: int = 150,
    words: int = 20,
    gap_s: float = 7.0,
) -> Iterator[TrafficRecord]:
    """Yield conversations, turn by turn, on replicas that `choose` picks by the number of the request. A token is
    four characters; each replica keeps all prompts."""
    rng = random.Random(seed)
    kept: dict[int, list[str]] = {}
    histories: list[list[Json]] = [[{"role": "system", "content": sentence(rng, system)}] for _ in range(conversations)]
    for number in range(40):
        messages = histories[number % conversations]
        messages.append({"role": "user", "content": sentence(rng, words)})
        body: dict[str, Json] = {"model": "m", "messages": list(messages)}
        text = view_of_fields(body).text
        known = kept.setdefault(choose(number), [])
        shared = max((common_prefix(text, one) for one in known), default=0) // 4
        known.append(text)
        answer: dict[str, Json] = {"role": "assistant", "content": sentence(rng, words + 5)}
        messages.append(answer)
        usage: dict[str, Json] = {
            "prompt_tokens": len(text) // 4,
            "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": shared // block * block},
        }
        yield TrafficRecord(1_000.0 + gap_s * number, body, 200, f"r{number}", usage_of(usage, answer))


def within_a_block(results: list[ReplayResult], block: int = BLOCK) -> float:
    near = [
        abs(one.forecast.cached_tokens - (one.usage.cached_tokens or 0)) <= block
        for one in results
        if one.usage is not None
    ]
    return sum(near) / len(near)


@pytest.mark.parametrize("replicas", [2, 3, 4])
def test_replicas_in_turn_are_found_and_forecast(replicas: int) -> None:
    replay = replay_traffic(chat(1, lambda number: number % replicas, gap_s=40.0))
    results = list(replay)
    assert within_a_block(results[20:]) >= 0.95
    profile = replay.summary.profile
    assert profile is not None
    # Two conversations by turns on two replicas: each has a replica of its own, as if there were one.
    assert profile.replicas.value == (replicas if replicas != 2 else 1)


@pytest.mark.parametrize("replicas", [2, 3, 4])
@pytest.mark.parametrize(("block", "words"), [(64, 42), (128, 45), (128, 60)])
def test_replicas_in_turn_are_found_though_a_turn_is_hardly_longer_than_a_block(
    replicas: int, block: int, words: int
) -> None:
    replay = replay_traffic(
        chat(1, lambda number: number % replicas, block=block, conversations=1, system=600, words=words)
    )
    results = list(replay)
    model = replay._forecaster.model("", "m")
    assert model.learned.round_robin.replicas == replicas
    assert within_a_block(results[30:], block) == 1.0


def test_turns_are_known_after_a_restart() -> None:
    def records() -> Iterator[TrafficRecord]:
        return chat(1, lambda number: number % 3, conversations=1, system=600)

    first = replay_traffic(list(records())[:30])
    for _ in first:
        pass
    rest = list(replay_traffic(list(records())[30:], learned=first.learned))
    assert within_a_block(rest) == 1.0


@pytest.mark.parametrize("seed", range(6))
def test_replicas_at_random_are_not_taken_for_turns(seed: int) -> None:
    rng = random.Random(seed)
    replay = replay_traffic(chat(seed, lambda _number: rng.randrange(3)))
    for _ in replay:
        pass
    model = replay._forecaster.model("", "m")
    assert model.learned.round_robin.replicas == 0


def test_cache_that_serves_nothing_is_not_stated_as_turns() -> None:
    turns = RoundRobin()
    sizes = {1: (3_000, 2_900), 2: (500, 400), 3: (0, 0), 4: (900, 800)}
    for cached in (0,) * 8:
        turns.add(cached, sizes, lambda depth: Size(float(depth), 0.0), BLOCK)
    assert turns.replicas
    assert not turns.served
    learned = LearnedParameters(300.0)
    learned.round_robin, learned.reports = turns, 8
    assert profile(learned).replicas.value is None


def test_add_report_that_contradicts_turns_ends_them() -> None:
    turns = RoundRobin()
    sizes = {1: (3_000, 0), 2: (500, 400), 3: (2_000, 1_900), 4: (900, 800)}
    for cached in (2_000,) * 5:
        turns.add(cached, sizes, lambda depth: Size(float(depth), 0.0), BLOCK)
    assert (turns.replicas, turns.agreed) == (3, 1.0)
    for cached in (3_000,) * 3:
        turns.add(cached, sizes, lambda depth: Size(float(depth), 0.0), BLOCK)
    assert turns.replicas == 0


def test_single_cache_is_not_stated_while_replicas_in_turn_explain_each_report_that_tells() -> None:
    learned = LearnedParameters(300.0)
    learned.reports = 20
    assert profile(learned).replicas.value is None  # nothing was ever served
    learned.units.learn(320)
    assert profile(learned).replicas.value == 1
    learned.proofs.shared.add("user")
    assert profile(learned).replicas.confidence < PROBABLE  # a replica for each user, or beginning, looks the same
    learned.round_robin.add(320, {1: (800, 800), 2: (320, 320)}, lambda depth: Size(depth, 0.0), 16)
    assert profile(learned).replicas.value is None
    learned.round_robin.add(800, {1: (800, 800), 2: (320, 320)}, lambda depth: Size(depth, 0.0), 16)
    assert profile(learned).replicas.value == 1


def test_single_cache_is_not_stated_if_several_reports_were_what_older_requests_share() -> None:
    """Two replicas at random in an agent's conversation: its end agrees with one server whose template marks turns."""
    learned = LearnedParameters(300.0)
    learned.reports = 20
    learned.units.learn(320)
    learned.proofs.restore([], 0.0, spread=[4], losses=[(7.0, 900.0)] * 9)
    assert profile(learned).replicas.value is None


@pytest.mark.parametrize(
    ("pause", "replicas", "known"), [(150.0, False, True), (400.0, False, False), (150.0, True, False)]
)
def test_lifetime_is_unknown_if_a_longer_pause_was_served_or_replicas_are_more_probable(
    pause: float, replicas: bool, known: bool
) -> None:
    learned = LearnedParameters(300.0)
    hypotheses = learned.hypotheses
    rows = {
        one.key: [0.0 if kept.kind == "lifetime" and 170 < kept.limit < 300 else -17.0 for kept in RETENTIONS]
        for one in hypotheses.weights
    }
    routings = [0.0 if (one.kind == "random") == replicas else -17.0 for one in ROUTINGS]
    hypotheses.restore(rows, routings, 0.6, 25.0, 0, 0)
    reach = Reach([MatchStep(4_000, 0, 1)], lambda depth: Size(depth / 4, 0.0), [pause], [0.0])
    learned.proofs.add_served(reach, 992, 16, 1_000.0)
    missed = Reach([MatchStep(4_000, 0, 1)], lambda depth: Size(depth / 4, 0.0), [280.0], [0.0])
    for at in (2_000.0, 3_000.0, 4_000.0):  # as many as no few restarts explain
        learned.proofs.add_served(missed, 0, 16, at)
    assert (lifetime_of(learned).value is not None) == known


def test_single_cache_is_not_stated_if_replicas_at_random_are_not_improbable() -> None:
    learned = LearnedParameters(300.0)
    learned.reports = 20
    learned.units.learn(320)
    learned.hypotheses.restore({}, [0.0, -1.8, *(-17.0 for _ in ROUTINGS[2:])], 0.6, 25.0, 0, 0)
    assert profile(learned).replicas.value is None


def served(cache: PrefixCache, seed: int, gaps_s: Sequence[float], conversations: int = 1) -> Iterator[TrafficRecord]:
    """Yield conversations, turn by turn, that one cache serves. A token is four characters."""
    rng, now = random.Random(seed), 1_000.0
    histories: list[list[Json]] = [[{"role": "system", "content": sentence(rng, 150)}] for _ in range(conversations)]
    for number in range(40):
        messages = histories[rng.randrange(conversations)]
        messages.append({"role": "user", "content": sentence(rng, 40)})
        body: dict[str, Json] = {"model": "m", "messages": list(messages)}
        text = view_of_fields(body).text
        tokens = [stable_hash([ord(one) for one in text[at : at + 4]]) for at in range(0, len(text) - 3, 4)]
        cached = cache.serve(tokens, tokens, now)
        answer: dict[str, Json] = {"role": "assistant", "content": sentence(rng, 40)}
        messages.append(answer)
        usage: dict[str, Json] = {
            "prompt_tokens": len(tokens),
            "completion_tokens": 70,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        yield TrafficRecord(now, body, 200, f"r{number}", usage_of(usage, answer))
        now += rng.choice(gaps_s)


@pytest.mark.parametrize("delay_s", [5.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_prefixes_that_are_stored_late_prove_no_replicas(seed: int, delay_s: float) -> None:
    cache = BlockCache(BLOCK, stored_after_s=delay_s)
    replay = replay_traffic(served(cache, seed, [1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 25.0]))
    results = list(replay)
    stated = replay.summary.profile
    assert stated is not None
    assert stated.replicas.value in (None, 1)
    assert all(one.explanation is None or one.explanation.reason != "other_replica" for one in results)
    lost = [one.explanation for one in results[5:] if one.explanation is not None and one.explanation.candidates]
    assert lost
    assert all("not_stored" in {candidate.code for candidate in one.candidates} for one in lost)


@pytest.mark.parametrize(("seed", "conversations"), [(1, 2), (1, 4), (2, 2)])
def test_lack_of_room_proves_no_replicas(seed: int, conversations: int) -> None:
    """A radix tree that is full loses the end of a conversation, and serves exactly what an older request had."""
    replay = replay_traffic(served(RadixCache(capacity=4_000), seed, [40.0, 60.0], conversations))
    results = list(replay)
    stated = replay.summary.profile
    assert stated is not None
    assert stated.replicas.value in (None, 1)
    assert all(one.explanation is None or one.explanation.reason != "other_replica" for one in results)


@pytest.mark.parametrize(("seed", "capacity", "conversations"), [(3, 2_000, 3), (5, 4_000, 6), (6, 2_000, 3)])
def test_little_room_that_explains_the_reports_leaves_replicas_at_random_unknown(
    seed: int, capacity: int, conversations: int
) -> None:
    replay = replay_traffic(served(RadixCache(capacity=capacity), seed, [2.0, 10.0, 40.0], conversations))
    list(replay)
    assert replay.summary.profile is not None
    assert replay.summary.profile.replicas.value is None


def test_replicas_at_random_are_stated_as_two_at_least() -> None:
    """Reports fit several numbers of replicas, which other losses raise."""
    chance = random.Random(3)
    replay = replay_traffic(chat(1, lambda _: chance.randrange(4), gap_s=40.0, conversations=1, words=60))
    list(replay)
    assert replay.summary.profile is not None
    found = replay.summary.profile.replicas
    assert (found.value, found.at_least) == (2, True)
