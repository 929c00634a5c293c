"""Hypotheses against servers that are described by their rule alone."""

from __future__ import annotations

import random

import pytest

from playground.prefix_cache.block_size import BlockSizeEstimator
from playground.prefix_cache.cache_profile import GUESS, Property, lifetime_of, profile
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.index import Sent
from playground.prefix_cache.learned_state import LearnedParameters, restore, state_of
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.view import view_of_fields


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(("parcel", "window", "refund", "later", "please", "order")) for _ in range(count))


def ask(model: EndpointCacheModel, number: int, text: str, at: float, cached: int, prompt: int) -> None:
    fields = {"model": "m", "messages": [{"role": "system", "content": text}]}
    view = view_of_fields(fields)  # type: ignore[arg-type]
    model.record(Sent(f"r{number}", None, at, view.text, view, fields={"model": "m"}))
    model.settle(f"r{number}", CacheUsage(prompt, cached))


def same_prompt(gaps: list[float], lifetime_s: float | None, lost: tuple[int, ...] = ()) -> EndpointCacheModel:
    """Send one prompt of 800 tokens after each gap to a server with a lifetime; `lost`: requests missed by chance."""
    model, at = EndpointCacheModel(300.0), 1_000.0
    text = words(random.Random(1), 780)
    ask(model, 0, text, at, 0, 800)
    for number, gap in enumerate(gaps, start=1):
        at += gap
        alive = (lifetime_s is None or gap <= lifetime_s) and number not in lost
        ask(model, number, text, at, 784 if alive else 0, 800)
    return model


def test_lifetime_is_found_between_survived_and_fatal_gaps() -> None:
    model = same_prompt([60, 300, 500, 900, 400, 550, 1200, 580, 700, 500, 2000, 590, 650], 600)
    lifetime = profile(model.learned).lifetime
    assert lifetime.value is not None
    assert 500 <= lifetime.value <= 750
    assert lifetime.confidence == GUESS
    assert lifetime_of(model.learned).confidence >= 0.7


def test_lifetime_stays_after_one_report_that_contradicts_it() -> None:
    """Another program sent the prompt in a pause of 2,000 s."""
    gaps = [60.0, 300, 500, 900, 400, 550, 1200, 580, 700, 500, 1000, 590, 650, 520, 540, 500, 480]
    model = same_prompt(gaps, 600)
    for number, (gap, cached) in enumerate(((2_000.0, 784), (1_000, 0), (500, 784), (900, 0)), start=100):
        last = model.requests[len(model.requests) - 1]
        ask(model, number, words(random.Random(1), 780), last.at + gap, cached, 800)
    lifetime = profile(model.learned).lifetime
    assert lifetime.value is not None
    assert 500 <= lifetime.value <= 750


def test_lifetime_one_loss_after_five_seconds_is_not_a_lifetime() -> None:
    model = same_prompt([5, 240, 5, 60, 240, 120, 5, 30], None, lost=(3,))
    lifetime = profile(model.learned).lifetime.value
    assert lifetime is None or lifetime >= 240


def test_lifetime_survived_hours_refute_a_short_one() -> None:
    model = same_prompt([3600, 7200, 1800, 3600], None)
    assert profile(model.learned).lifetime.value is None


@pytest.mark.parametrize("lost", [(3,), (3, 6)])
def test_lifetime_is_not_learned_from_losses_that_few_restarts_explain(lost: tuple[int, ...]) -> None:
    """Keep-warm would send requests by it."""
    gaps = [60.0, 60.0, 900.0] * len(lost) + [60.0, 60.0]
    assert profile(same_prompt(gaps, None, lost).learned).lifetime.value is None


def test_lifetime_is_not_learned_from_one_restart_that_lost_several_prompts() -> None:
    model, at = EndpointCacheModel(300.0), 1_000.0
    texts = [words(random.Random(seed), 780) for seed in range(4)]
    for turn, cached in enumerate((0, 784, 0, 784)):
        at += 600 if turn == 2 else 0
        for number, text in enumerate(texts):
            at += 20
            ask(model, 4 * turn + number, text, at, cached, 800)
    assert profile(model.learned).lifetime.value is None


def test_minimum_one_miss_is_no_proof() -> None:
    units = BlockSizeEstimator()
    for cached in (1152, 1280, 2048):
        units.learn(cached, cached + 60.0, 5.0)
    units.learn(0, 900.0, 5.0)
    assert units.block.value == 128
    assert units.minimum.confidence < 0.95


def test_minimum_several_misses_below_and_hits_above_find_it() -> None:
    units = BlockSizeEstimator()
    for cached in (1152, 1280, 1024, 2048):
        units.learn(cached, cached + 60.0, 5.0)
    for shared in (700.0, 820.0, 950.0, 600.0):
        units.learn(0, shared, 5.0)
    assert (units.minimum.value, units.block.value) == (1024, 128)
    assert units.minimum.confidence >= 0.9


@pytest.mark.parametrize("block", [1, 16, 64, 128])
def test_block_is_inferred_from_different_reports(block: int) -> None:
    units, rng = BlockSizeEstimator(), random.Random(block)
    for _ in range(30):
        shared = rng.randint(400, 4000)
        units.learn(shared // block * block, float(shared), 4.0)
    assert units.block.value == block
    assert units.block.confidence >= 0.9


@pytest.mark.parametrize(("step", "prompts", "known"), [(10, 10, False), (10, 1, False), (50, 1, False), (1, 1, True)])
def test_block_is_not_stated_if_the_server_rounds_what_it_reports(step: int, prompts: int, known: bool) -> None:
    units, rng = BlockSizeEstimator(), random.Random(1)
    for _ in range(30):
        shared = rng.randint(400, 4000)
        units.add_prompt((shared + 7) // prompts * prompts)
        units.learn(shared // 16 * 16 // step * step, float(shared), 4.0)
    assert (units.block.value is not None) == known


def test_one_prompt_that_is_sent_again_does_not_say_that_reports_are_rounded() -> None:
    units = BlockSizeEstimator()
    for figure in (256, 512, 768, 1024, 1280):
        units.add_prompt(1500)
        units.learn(figure, figure + 100.0, 5.0)
    assert units.rounding.unit == 1
    assert units.likely[0].served(600.0) == 512.0


def test_learned_state_continues_where_it_ended() -> None:
    model = same_prompt([60, 300, 500, 900, 400, 550, 1200, 580, 700], 600)
    other = EndpointCacheModel(300.0)
    restore(other.learned, state_of("e", "m", model.learned))
    assert profile(other.learned).lifetime.value == profile(model.learned).lifetime.value
    assert other.learned.units.step == model.learned.units.step
    tokens = model.learned.estimator.estimate("a parcel for you")
    assert other.learned.estimator.estimate("a parcel for you") == pytest.approx(tokens)


def test_least_is_known_though_a_large_block_and_a_minimum_explain_the_reports() -> None:
    """One figure of 1,024 tokens, and nothing of shorter prefixes."""
    units = BlockSizeEstimator()
    units.learn(1_024, 1_090.0, 1.0)
    for shared in (780.0, 800.0, 870.0, 900.0):
        units.learn(0, shared, 1.0)
    assert units.minimum.confidence < 0.7
    assert units.least == 1_024
    units.learn(256, 300.0, 1.0)
    assert units.least == 256


def test_cached_answers_are_a_guess_until_a_report_speaks_against_the_alternative() -> None:
    learned = LearnedParameters(300.0)
    learned.reports = 3
    learned.hypotheses.weigh({one: 1.0 if one.answers else 0.01 for one in learned.hypotheses.weights})
    assert profile(learned).answers_cached == Property(value=True, confidence=GUESS)
    sizes = {"prompts": [Size(100.0, 0.0)], "answers": [Size(400.0, 0.0)]}
    learned.proofs.exclude(sizes, 384, 16, 60.0)
    assert profile(learned).answers_cached.confidence > 0.9
