"""Caches on hand-computed token sequences."""

from __future__ import annotations

import pytest

from tests.cache_engines.caches import BlockCache, PoolTooSmallError, RadixCache, SlotCache, common_length, stable_hash

pytestmark = pytest.mark.exhaustive


def span(start: int, count: int) -> tuple[int, ...]:
    return tuple(range(start, start + count))


@pytest.mark.parametrize(
    ("prompt", "served"),
    [
        (span(0, 40), 32),  # two whole blocks; the third is not full
        (span(0, 48), 32),  # the last token is calculated again, so the third block is not served
        (span(0, 49), 48),
        (span(0, 33), 32),
        (span(0, 32), 16),
        (span(0, 15), 0),
        ((*span(0, 20), 999, *span(21, 40)), 16),  # a change in the second block loses it and all after it
        ((999, *span(1, 60)), 0),
    ],
)
def test_blocks_prompt_after_longer_request_serves_whole_blocks(prompt: tuple[int, ...], served: int) -> None:
    cache = BlockCache(16)
    assert cache.serve(span(0, 100), span(0, 100), 0) == 0
    assert cache.serve(prompt, prompt, 1) == served


def test_blocks_generated_tokens_are_served_when_stored() -> None:
    cache = BlockCache(16)
    cache.serve(span(0, 40), span(0, 40 + 25 - 1), 0)
    assert cache.serve(span(0, 90), span(0, 90), 1) == 64


def test_blocks_generated_tokens_not_stored_serves_prompt_blocks_only() -> None:
    cache = BlockCache(16)
    cache.serve(span(0, 40), span(0, 40), 0)
    assert cache.serve(span(0, 90), span(0, 90), 1) == 32


def test_blocks_last_token_not_recomputed_serves_full_prompt() -> None:
    cache = BlockCache(64, recompute_last=False)
    cache.serve(span(0, 128), span(0, 128), 0)
    assert cache.serve(span(0, 128), span(0, 128), 1) == 128


@pytest.mark.parametrize(("length", "served"), [(1023, 0), (1024, 1024), (1151, 1024), (1152, 1152), (2006, 1920)])
def test_blocks_minimum_1024_steps_of_128_serves_documented_steps(length: int, served: int) -> None:
    cache = BlockCache(128, minimum=1024, recompute_last=False)
    cache.serve(span(0, length), span(0, length), 0)
    assert cache.serve(span(0, length), span(0, length), 1) == served


def test_blocks_shared_part_below_minimum_serves_nothing() -> None:
    cache = BlockCache(128, minimum=1024, recompute_last=False)
    cache.serve(span(0, 2000), span(0, 2000), 0)
    changed = (*span(0, 1000), *span(5000, 1000))
    assert cache.serve(changed, changed, 1) == 0


def test_blocks_lifetime_counts_from_last_use() -> None:
    cache = BlockCache(16, lifetime_s=300)
    prompt = span(0, 50)
    served = [cache.serve(prompt, prompt, now) for now in (0, 300, 600, 901, 902)]
    assert served == [0, 48, 48, 0, 48]


def test_blocks_lifetime_of_unused_tail_is_shorter_than_of_used_head() -> None:
    cache = BlockCache(16, lifetime_s=300)
    cache.serve(span(0, 80), span(0, 80), 0)
    assert cache.serve(span(0, 40), span(0, 40), 200) == 32
    assert cache.serve(span(0, 80), span(0, 80), 400) == 32


def test_blocks_small_pool_evicts_tail_of_least_recent_request() -> None:
    cache = BlockCache(16, pool=6)
    cache.serve(span(0, 64), span(0, 64), 0)  # 4 blocks, 2 never used
    other = span(1000, 64)
    cache.serve(other, other, 1)  # takes the 2 unused blocks and the last 2 of the first request
    assert cache.serve(span(0, 64), span(0, 64), 2) == 32


def test_blocks_small_pool_hit_protects_used_blocks() -> None:
    cache = BlockCache(16, pool=6)
    cache.serve(span(0, 33), span(0, 33), 0)  # 2 full blocks and 1 partial
    for now in range(1, 5):
        changed = (*span(0, 32), *span(1000 * now, 30))
        assert cache.serve(changed, changed, now) == 32


def test_blocks_request_larger_than_pool_raises() -> None:
    cache = BlockCache(16, pool=4)
    with pytest.raises(PoolTooSmallError):
        cache.serve(span(0, 65), span(0, 65), 0)


def test_blocks_clear_forgets_everything() -> None:
    cache = BlockCache(16)
    cache.serve(span(0, 64), span(0, 64), 0)
    cache.clear()
    assert cache.serve(span(0, 64), span(0, 64), 1) == 0


def test_radix_serves_every_shared_token_but_the_last() -> None:
    cache = RadixCache()
    assert cache.serve(span(0, 37), span(0, 50), 0) == 0
    assert cache.serve(span(0, 37), span(0, 37), 1) == 36
    assert cache.serve(span(0, 60), span(0, 60), 2) == 50


def test_radix_branches_keep_both_continuations() -> None:
    cache = RadixCache()
    one, two = (*span(0, 23), *span(100, 20)), (*span(0, 23), *span(200, 20))
    cache.serve(one, one, 0)
    assert cache.serve(two, two, 1) == 23
    assert cache.serve(one, one, 2) == 42
    assert cache.serve(two, two, 3) == 42


def test_radix_prompt_ending_inside_an_edge_splits_it() -> None:
    cache = RadixCache()
    cache.serve(span(0, 50), span(0, 50), 0)
    assert cache.serve(span(0, 20), span(0, 20), 1) == 19
    assert cache.serve(span(0, 50), span(0, 50), 2) == 49


def test_radix_capacity_removes_least_recent_leaf_first() -> None:
    cache = RadixCache(capacity=60)
    shared = span(0, 20)
    one, two, three = ((*shared, *span(at, 20)) for at in (100, 200, 300))
    for now, prompt in enumerate((one, two, three)):  # 80 tokens: the leaf of `one` goes
        cache.serve(prompt, prompt, now)
    assert cache.serve(two, two, 3) == 39
    assert cache.serve(one, one, 4) == 20


def test_radix_lifetime_removes_unused_leaf_and_keeps_used_head() -> None:
    cache = RadixCache(lifetime_s=100)
    one, two = (*span(0, 20), *span(100, 20)), (*span(0, 20), *span(200, 20))
    cache.serve(one, one, 0)
    cache.serve(two, two, 90)
    assert cache.serve(one, one, 150) == 20


def test_one_slot_remembers_previous_prompt_and_completion_only() -> None:
    cache = SlotCache(1)
    cache.serve(span(0, 40), span(0, 60), 0)
    assert cache.serve(span(0, 80), span(0, 90), 1) == 60
    other = span(500, 30)
    assert cache.serve(other, other, 2) == 0
    assert cache.serve(span(0, 80), span(0, 80), 3) == 0


def test_one_slot_identical_prompt_calculates_last_token_again() -> None:
    cache = SlotCache(1)
    cache.serve(span(0, 40), span(0, 60), 0)
    assert cache.serve(span(0, 40), span(0, 60), 1) == 39


def test_four_slots_unrelated_prompts_take_the_least_recent_slot() -> None:
    cache = SlotCache(4)
    prompts = [span(1000 * index, 40) for index in range(5)]
    for now, prompt in enumerate(prompts[:4]):
        cache.serve(prompt, prompt, now)
    assert cache.serve(prompts[0], prompts[0], 4) == 39
    cache.serve(prompts[4], prompts[4], 5)  # replaces prompts[1]
    assert cache.serve(prompts[1], prompts[1], 6) == 0


def test_common_length_counts_equal_leading_tokens() -> None:
    assert common_length((1, 2, 3), (1, 2, 4, 5)) == 2
    assert common_length((), (1,)) == 0
    assert common_length((1, 2), (1, 2, 3)) == 2


def test_stable_hash_is_the_crc_of_the_tokens() -> None:
    assert stable_hash(()) == 0
    assert stable_hash((1, 2)) == stable_hash([1, 2]) != stable_hash((2, 1))
