"""Which causes of a loss the evidence leaves, and in which order they are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.miss_evidence import EarlierRequest, MissKnowledge, OrderEvidence, agreement
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.proofs import CacheProofs
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.view import CacheView, Order, view_of_fields
from playground.prompt.document import Json

RULES = "You are a clerk of the harbour office. Name the crate, the shelf and the ship. " * 40
TURN: Sequence[Json] = (
    {"role": "system", "content": RULES},
    {"role": "user", "content": "Which crate?"},
    {"role": "assistant", "content": "On shelf 3. " * 40},
    {"role": "user", "content": "Which ship?"},
)


def view(*messages: Json, tools: Sequence[Json] = ()) -> CacheView:
    return view_of_fields({"messages": list(messages), "tools": list(tools)})


def orders(*names: Order, weight: float = 1.0) -> list[OrderEvidence]:
    size = Size(1_000.0, 1.0)
    return [OrderEvidence(one, weight, lambda offset: Size(offset * 0.25, 1.0), longest=size) for one in names]


def known() -> MissKnowledge:
    """Return knowledge of a server with blocks of 16 tokens and the tools first."""
    return MissKnowledge(orders("first"), all_orders=orders("first"), figures=(16, 400, 816))


def continued(server: MissKnowledge, cached: int, **earlier: float) -> MissExplanation:
    """Continue a conversation of 1,000 tokens, of which so many are served."""
    before = EarlierRequest(view(*TURN), {}, "id", 10.0, prompt_tokens=1_000, cached_tokens=816)
    now = view(*TURN, {"role": "assistant", "content": "The Elbe."}, {"role": "user", "content": "And now?"})
    why = explain_miss(now, {}, replace(before, **earlier), CacheUsage(1_020, cached), server)
    assert why is not None
    return why


def codes(why: MissExplanation) -> list[str]:
    return [one.code for one in why.candidates]


@pytest.mark.parametrize(
    ("answered_s", "after_s", "late"), [(30.0, 40.0, True), (0.0, 40.0, False), (30.0, 1.0, False)]
)
def test_prefix_may_not_be_stored_yet_if_none_was_served_as_soon_after_its_answer(
    answered_s: float, after_s: float, late: bool
) -> None:
    server = replace(known(), stored_s=45.0, stored_after_s=after_s)
    assert ("not_stored" in codes(continued(server, 400, gap_s=55.0, answered_s=answered_s))) is late


def test_time_after_an_answer_after_which_a_prefix_is_stored_is_kept() -> None:
    proofs, other = CacheProofs(), CacheProofs()
    size = Reach([MatchStep(100, 0, 1)], lambda _depth: Size(1_000.0, 0.0), [49.0], [0.0])
    for answered in ((8.0,), (1.0,)):
        proofs.add_served(size, 992, 16, 100.0, answered=answered)
    other.restore([], 0.0, stored=proofs.state()["stored"])  # type: ignore[arg-type]
    assert (proofs.stored_s, proofs.stored_after_s) == (other.stored_s, other.stored_after_s) == (49.0, 41.0)
    other.restore([], 0.0, stored=[49.0])  # by an earlier version
    assert (other.stored_s, other.stored_after_s) == (49.0, 49.0)


@pytest.mark.parametrize(("misses", "several"), [(3, True), (4, False)])
def test_replicas_are_excluded_by_prompts_that_were_not_served_though_no_clock_explains_it(
    misses: int, several: bool
) -> None:
    server = replace(known(), figures=(), never_served=True, off=True, misses=misses)
    assert ("replica" in codes(continued(server, 0, cached_tokens=0))) is several


@pytest.mark.parametrize(("pause_s", "count"), [(20.0, 3), (60.0, 0)])
def test_misses_are_counted_only_if_no_minute_changed_in_the_pause(pause_s: float, count: int) -> None:
    proofs = CacheProofs()
    for _ in range(3):
        proofs.add_served(
            Reach([MatchStep(9, 0, 1)], lambda _depth: Size(900.0, 0.0), [pause_s], [0.0]), 0, 16, 6_030.0
        )
    assert proofs.misses == count


LIKELY = {"gap": 0.0, "room": 0.0, "not_stored": 0.2, "date": 0.0, "replica": 0.01, "lost": 0.001}


@pytest.mark.parametrize(
    ("likely", "first", "room"),
    [
        ({}, "not_stored", True),
        (LIKELY, "not_stored", False),
        ({**LIKELY, "lost": 0.3}, "not_stored", True),
        ({**LIKELY, "room": 0.5}, "room", True),
        ({**LIKELY, "not_stored": 0.0, "replica": 0.2}, "replica", True),
    ],
)
def test_candidates_are_listed_by_likelihood_without_those_that_the_hypotheses_exclude(
    likely: Mapping[str, float], first: str, room: bool
) -> None:
    found = codes(continued(replace(known(), likely=likely), 400))
    assert found[0] == first
    assert ("room" in found) is room


@pytest.mark.parametrize(("inside", "room"), [(True, False), (False, True)])
def test_hypotheses_exclude_no_room_of_a_server_that_may_keep_saved_states(inside: bool, room: bool) -> None:
    found = codes(continued(replace(known(), likely=LIKELY, inside=inside), 400))
    assert ("room" in found) is room


@pytest.mark.parametrize(("off", "listed"), [(0.2, False), (0.02, True)])
def test_cache_was_not_off_for_a_request_that_the_hypotheses_explain(off: float, listed: bool) -> None:
    assert ("bypassed" in codes(continued(replace(known(), likely={**LIKELY, "not_stored": off}), 0))) is listed


@pytest.mark.parametrize(("cached", "inside", "listed"), [(400, False, True), (400, True, False), (336, False, False)])
def test_figure_again_may_be_all_that_a_server_keeps_of_a_continued_prompt(
    cached: int, inside: bool, listed: bool
) -> None:
    assert ("points" in codes(continued(replace(known(), inside=inside), cached))) is listed


@pytest.mark.parametrize(("ended", "listed"), [((400.0,), True), ((640.0,), False)])
def test_cache_was_off_for_the_earlier_request_only_if_the_report_ends_where_an_older_one_does(
    ended: Sequence[float], listed: bool
) -> None:
    assert ("bypassed" in codes(continued(replace(known(), ended=ended), 400, cached_tokens=0))) is listed


@pytest.mark.parametrize(("figures", "listed"), [((1_024,), True), ((400, 816), False)])
def test_moving_template_is_no_candidate_if_it_leaves_a_beginning_that_would_be_served(
    figures: Sequence[int], listed: bool
) -> None:
    every = [*orders("first"), *orders("system_last", weight=0.05)]
    server = replace(known(), orders=every, all_orders=every, figures=figures)
    before = EarlierRequest(view(*TURN), {}, "id", 10.0, prompt_tokens=1_000)
    now = view(*TURN, {"role": "user", "content": "And now?"})
    why = explain_miss(now, {}, before, CacheUsage(1_020, 0), server)
    assert why is not None
    assert ("tools_moved" in codes(why)) is listed


def test_report_agrees_with_whole_large_blocks_of_a_size_only() -> None:
    assert agreement(1_056, Size(1_126.0, 28.0), 528) == 1.0
    assert agreement(1_056, Size(1_970.0, 24.0), 528) < 0.05


def test_changed_tool_is_not_cleared_by_an_estimate_of_its_size() -> None:
    """The report is less than estimated for the text in front of the changed tool, as was a figure of other text."""
    tools: list[Json] = [
        {"type": "function", "function": {"name": f"look_{at}", "description": "Find a crate. " * 30}}
        for at in range(4)
    ]
    changed: Json = {"type": "function", "function": {"name": "look_2", "description": "Find a ship. " * 30}}
    now, then = view(*TURN, tools=[*tools[:2], changed, tools[3]]), view(*TURN, tools=tools)
    server = replace(known(), figures=(240, 288), blocks=[(16, 1.0)])
    why = explain_miss(now, {}, EarlierRequest(then, {}, "id", 10.0), CacheUsage(1_500, 160), server)
    assert why is not None
    assert why.cause == "unknown"
    assert why.position is not None
    assert (why.position.part, why.position.index) == ("tool", 2)
