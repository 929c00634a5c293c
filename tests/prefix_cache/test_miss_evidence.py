"""What reports have to prove before a minimum, a lifetime or a template is named as the cause."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import pytest
from msgspec.structs import replace

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.cache_profile import profile
from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.hypotheses import ROUTINGS
from playground.prefix_cache.learned_state import LearnedParameters, restore, state_of
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.miss_evidence import (
    CONFIDENT,
    EarlierRequest,
    Expected,
    MissKnowledge,
    OrderEvidence,
    stored_ages,
)
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.proofs import MAX_PARAMETERS, PAUSES, CacheOff, CacheProofs
from playground.prefix_cache.reach import RETENTIONS, Reach
from playground.prefix_cache.view import CacheView, Order, view_of_fields
from playground.prompt.document import Json

RULES = "You are a clerk of the harbour office. Name the crate, the shelf and the ship. " * 40


def view(*messages: tuple[str, str], reasoning: str = "", tools: Sequence[str] = ()) -> CacheView:
    """Return a prompt of roles and texts, with tools of these names; the assistant's messages have this reasoning."""
    found: list[Json] = []
    for role, text in messages:
        message: dict[str, Json] = {"role": role, "content": text}
        if role == "assistant" and reasoning:
            message["reasoning_content"] = reasoning
        found.append(message)
    functions: list[Json] = [{"type": "function", "function": {"name": name}} for name in tools]
    return view_of_fields({"messages": found, "tools": functions} if functions else {"messages": found})


def known(order: Order = "first", tokens_per_char: float = 0.25) -> MissKnowledge:
    """Return knowledge of a server whose order is known, with blocks of 16 tokens."""
    return MissKnowledge(evidence(order, tokens_per_char), all_orders=evidence(order, tokens_per_char))


def evidence(order: Order, tokens_per_char: float) -> Sequence[OrderEvidence]:
    return [OrderEvidence(order, 1.0, lambda offset: Size(offset * tokens_per_char, 1.0))]


def reach(distance: float, tokens: float) -> Reach:
    """Return a prefix of so many tokens that was used before so many tokens of other traffic."""
    return Reach([MatchStep(100, 0, 1)], lambda _depth: Size(tokens, 0.0), [5.0], [distance])


def test_outlived_traffic_within_what_another_prefix_survived() -> None:
    proofs = CacheProofs()
    assert proofs.outlived(reach(0.0, 4_000.0), 16)
    assert not proofs.outlived(reach(5_000.0, 1_000.0), 16)
    proofs.add_served(reach(4_000.0, 2_000.0), 1_984, 16, 100.0)
    assert proofs.outlived(reach(5_000.0, 1_000.0), 16)
    assert not proofs.outlived(reach(6_000.0, 1_000.0), 16)


def test_outlived_prefix_that_was_lost_proves_nothing() -> None:
    proofs = CacheProofs()
    proofs.add_served(reach(9_000.0, 2_000.0), 0, 16, 100.0)
    assert not proofs.outlived(reach(8_000.0, 2_000.0), 16)


def test_unserved_one_lost_prompt_is_no_proof_of_a_minimum() -> None:
    proofs = CacheProofs()
    proofs.add_whole(900, 0)
    assert proofs.unserved == 0.0
    proofs.add_whole(1_400, 1_400)
    proofs.add_whole(700, 0)
    assert proofs.unserved == 700.0


def test_proofs_are_stored_with_the_learned_state() -> None:
    model, other = EndpointCacheModel(300.0), EndpointCacheModel(300.0)
    for tokens in (800, 900):
        model.learned.proofs.add_whole(tokens, 0)
    model.learned.proofs.add_served(reach(4_000.0, 2_000.0), 2_000, 16, 100.0)
    restore(other.learned, state_of("e", "m", model.learned))
    assert other.learned.proofs.unserved == 800.0
    assert other.learned.proofs.outlived(reach(4_500.0, 1_500.0), 16)


def test_cache_that_always_keeps_the_same_is_not_called_many_replicas() -> None:
    """Of three requests, the older two share less. The newest is never found, as in a cache with little room."""
    proofs = CacheProofs()
    steps = [MatchStep(depth, number, 1) for depth, number in ((1_000, 2), (2_000, 1), (3_000, 0))]
    found = Reach(steps, lambda depth: Size(float(depth), 0.0), [30.0, 20.0, 10.0], [0.0] * 3, (), [0, 1, 2])
    for number in range(9):
        proofs.add_served(found, 1_000, 16, 100.0 * number)
    spread = [proofs.spread]
    proofs.add_served(found, 2_992, 16, 900.0)
    assert [*spread, proofs.spread] == [False, True]


@pytest.mark.parametrize(("apart_s", "spread"), [(100.0, True), (1.0, False)])
def test_losses_that_one_restart_explains_are_not_called_many_replicas(apart_s: float, spread: bool) -> None:
    proofs = CacheProofs()
    steps = [MatchStep(depth, number, 1) for depth, number in ((1_000, 1), (2_000, 0))]
    found = Reach(steps, lambda depth: Size(float(depth), 0.0), [80.0, 60.0], [0.0] * 2, (), [0, 1])
    proofs.add_served(found, 1_984, 16, 0.0)
    for number in range(3):
        proofs.add_served(found, 1_000, 16, 100.0 + apart_s * number)
    assert proofs.spread is spread


def test_text_that_newer_requests_share_needs_room_once() -> None:
    """A tree of 3,000 tokens holds two prompts that share 1,000: 4,000 would not fit."""
    steps = [MatchStep(depth, number, 1) for depth, number in ((1_000, 1), (2_000, 0))]
    found = Reach(steps, lambda depth: Size(float(depth), 0.0), [10.0, 20.0], [0.0, 2_000.0], (), [0, 1])
    assert found.needs == [1_000.0, 3_000.0]
    proofs = CacheProofs()
    proofs.add_served(found, 1_984, 16, 100.0)
    assert proofs.outlived(reach(2_000.0, 1_000.0), 16)
    assert not proofs.outlived(reach(2_500.0, 1_000.0), 16)


def place(name: str, tokens: float) -> dict[str, list[Size]]:
    return {name: [Size(tokens, 1.0)]}


@pytest.mark.parametrize(
    ("reports", "block", "excluded"),
    [
        ([1_984], 16, True),  # more than tools behind the system text leave
        ([1_024], 16, False),  # the rest of a block
        ([1_024, 1_040], 16, True),
        ([992, 976, 960], 16, False),  # what tools in front leave is no proof: all of these orders leave as much
        ([400, 416], 16, True),
        ([512, 512, 512], 512, False),  # one loss, or one that ends in a large block by chance
    ],
)
def test_place_is_excluded_by_more_than_it_leaves_or_by_losses_that_are_no_chance(
    reports: Sequence[int], block: int, excluded: bool
) -> None:
    proofs = CacheProofs()
    for cached in reports:
        shared = 2_000.0 if cached > 1_000 else cached + 8.0 if cached < 900 else 1_000.0
        sizes = place("first", shared) | place("inside", 1_000.0)
        proofs.exclude(sizes, cached, block, 60.0)
    assert proofs.excludes({"inside"}) is excluded
    assert not proofs.excludes({"first"})


def test_place_is_not_excluded_by_losses_where_newer_requests_end_or_by_wrong_estimates() -> None:
    newer, unsure, beyond = CacheProofs(), CacheProofs(), CacheProofs()
    for cached in (400, 416):
        sizes = place("first", cached + 8.0) | place("inside", 1_000.0)
        newer.exclude(sizes, cached, 16, 60.0, [Size(cached + 4.0, 1.0)])
        unsure.exclude({**sizes, "first": [Size(cached + 8.0, 60.0)]}, cached, 16, 60.0)
    beyond.exclude(place("first", 1_000.0) | place("inside", 300.0), 1_504, 16, 60.0)
    assert not any(proofs.excludes({name}) for proofs in (newer, unsure, beyond) for name in ("first", "inside"))


@pytest.mark.parametrize(("whole", "one"), [(3, False), (9, True)])
def test_replicas_at_random_are_excluded_by_reports_of_all_that_the_newest_request_has(whole: int, one: bool) -> None:
    proofs = CacheProofs()
    steps = [MatchStep(1_000, 1, 2), MatchStep(2_000, 0, 1)]
    found = Reach(steps, lambda depth: Size(float(depth), 0.0), [80.0, 60.0], [0.0] * 2, (), [0, 1])
    for number in range(whole):
        proofs.add_served(found, 1_984, 16, 100.0 * number)
    assert proofs.one_cache is one


@pytest.mark.parametrize(
    ("other_tokens", "count", "cached", "spread"),
    [
        (0.0, 1, 1_000, True),
        (900.0, 1, 1_000, False),  # another prompt may have taken the slot
        (0.0, 2, 1_000, False),  # what was served was always sent twice before
    ],
)
def test_replicas_at_random_are_proved_by_losses_that_no_slot_and_no_second_sight_explains(
    other_tokens: float, count: int, cached: int, spread: bool
) -> None:
    proofs = CacheProofs()
    steps = [MatchStep(1_000, 1, count + 1), MatchStep(2_000, 0, count)]
    for number in range(4):
        distances = [0.0, other_tokens if number else 0.0]
        found = Reach(steps, lambda depth: Size(float(depth), 0.0), [80.0, 60.0], distances, (), [0, 1])
        proofs.add_served(found, cached if number else 1_984, 16, 100.0 * number)
    kept = Reach([MatchStep(100, 0, count)], lambda _depth: Size(900.0, 0.0), [5.0], [9_000.0])
    proofs.add_served(kept, 896, 16, 900.0)
    assert proofs.spread is spread


@pytest.mark.parametrize(
    ("hit", "began", "ended", "units"),
    [
        (None, 6_530.0, 6_570.0, ["minute"]),
        (None, 6_550.0, 6_565.0, []),
        (None, 5_390.0, 5_430.0, ["minute", "hour"]),  # an hour of a time zone with half hours began
        (70.0, 6_530.0, 6_570.0, []),  # as much was served after a minute that changed
        (20.0, 6_530.0, 6_570.0, ["minute"]),
    ],
)
def test_time_in_a_template_may_end_a_prefix_if_none_was_served_after_it_changed(
    hit: float | None, began: float, ended: float, units: list[str]
) -> None:
    proofs = CacheProofs()
    if hit is not None:
        one = reach(0.0, 1_000.0)
        one.ages = [hit]
        proofs.add_served(one, 992, 16, 6_059.0)
    assert proofs.clocks(began, ended, 0) == units
    assert not hit or proofs.clocks(began, ended, 992) == ["minute"]


def test_time_in_a_template_is_a_candidate_of_a_prompt_sent_again() -> None:
    why = repeated(replace(known(), figures=(400, 816), at=6_570.0, clocks=lambda began, ended, cached: ["minute"]))
    assert why is not None
    assert "the minute changed between both requests" in why.sentence
    assert "date" in {one.code for one in why.candidates}


@pytest.mark.parametrize(("gap_s", "stored_s", "late"), [(55.0, inf, True), (55.0, 40.0, False), (130.0, inf, False)])
def test_prefix_that_is_stored_late_is_a_candidate_until_a_report_excludes_it(
    gap_s: float, stored_s: float, late: bool
) -> None:
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "On shelf 3."))
    earlier = EarlierRequest(view(*turn), None, "id", gap_s, prompt_tokens=830, cached_tokens=400)
    server = replace(known(), figures=(400, 816), stored_s=stored_s)
    why = explain_miss(view(*turn, ("user", "And the ship?")), None, earlier, CacheUsage(860, 400), server)
    assert why is not None
    assert ("not_stored" in {one.code for one in why.candidates}) is late


def test_place_of_the_tools_is_a_guess_if_reports_speak_against_each() -> None:
    learned = LearnedParameters(300.0)
    learned.reports = 20
    rows = {one.key: [0.0 if one.order == "first" else -17.0] * len(RETENTIONS) for one in learned.hypotheses.weights}
    learned.hypotheses.restore(rows, [0.0 if one.kind == "single" else -17.0 for one in ROUTINGS], 0.6, 25.0, 0, 0)
    learned.hypotheses.tools_seen = 9
    others = dict.fromkeys(("inside", "first_user", "before_last_user", "after_messages"), 0.0)
    for first, sure in ((1.0, True), (0.01, False)):
        learned.proofs.restore([], 0.0, excluded={**others, "first": first})
        found = profile(learned).tools_position
        assert found.value == "first"
        assert (found.confidence >= CONFIDENT) is sure


@pytest.mark.parametrize(("unserved", "sure"), [((1_000.0, 900.0), True), ((2_500.0,), False), ((), False)])
def test_minimum_is_a_guess_unless_a_whole_prompt_below_it_was_not_served(
    unserved: Sequence[float], sure: bool
) -> None:
    learned = LearnedParameters(300.0)
    for tokens in (1_100, 1_500, 900, 1_300, 700, 1_900, 1_200, 950) * 4:
        learned.units.learn(tokens // 16 * 16 if tokens > 1_024 else 0, float(tokens), 1.0)
    learned.proofs.restore(unserved, 0.0)
    found = profile(learned).minimum
    assert found.value == 1_024
    assert (found.confidence >= CONFIDENT) is sure


@pytest.mark.parametrize(("lost_s", "late_s"), [(4.0, 32.0), (40.0, 0.0), (70.0, 0.0)])
def test_prefix_is_late_if_all_losses_are_younger_than_what_was_served(lost_s: float, late_s: float) -> None:
    proofs = CacheProofs()
    steps = [MatchStep(1_000, 1, 2), MatchStep(2_000, 0, 1)]

    def found(age_s: float) -> Reach:
        return Reach(steps, lambda depth: Size(float(depth), 0.0), [age_s, age_s], [0.0] * 2, (), [0, 1])

    for number in range(5):
        proofs.add_served(found(60.0), 1_984, 16, 100.0 * number)
        proofs.add_served(found(lost_s), 992, 16, 100.0 * number + 50.0)
    assert proofs.late_s == late_s


@pytest.mark.parametrize(("others", "proved"), [(1, ""), (6, 'user: "u1"')])
def test_cache_is_off_for_a_user_if_others_are_served_too_often_for_chance(others: int, proved: str) -> None:
    off, one = CacheOff(), {"user": "u1"}
    for _ in range(others):
        off.add({"user": "u2"}, 2_000.0, 1_984)
    for _ in range(2):
        off.add(one, 2_000.0, 0)
    assert off.proved(one) == proved
    off.add(one, 2_000.0, 1_984)
    assert not off.proved(one)


@pytest.mark.parametrize("value", [1, None])
def test_cache_is_off_for_requests_with_any_field_of_which_nothing_was_ever_served(value: int | None) -> None:
    off = CacheOff()
    for number in range(2):
        for _ in range(3):
            off.add({"seed": 3} if value is None else {}, 2_000.0, 1_984)
        off.add({"logprobs": True, "seed": value or number}, 2_000.0, 0)
    assert off.proved({"logprobs": True, "seed": 3}) == ("logprobs, seed" if value else "logprobs")
    assert off.serves_nothing({"logprobs": True}, 2_000.0)
    assert not off.serves_nothing({}, 2_000.0)
    off.add({"logprobs": True, "seed": value or 0}, 2_000.0, 1_984)
    assert not off.proved({"logprobs": True, "seed": 4})


def continued(cached: int, found: MissKnowledge) -> set[str]:
    """Return the candidates for a report for a prompt that continues one of ≈ 830 tokens."""
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "On shelf 3."))
    earlier = EarlierRequest(view(*turn), None, "id", 10.0, prompt_tokens=830, cached_tokens=400)
    why = explain_miss(view(*turn, ("user", "And the ship?")), None, earlier, CacheUsage(860, cached), found)
    assert why is not None
    return {one.code for one in why.candidates}


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({}, {"not_stored", "room", "replica"}),
        ({"newer": [Size(404.0, 1.0)]}, {"not_stored", "restart", "room", "replica"}),
        ({"room_kept": True, "served_pauses": (5.0, 60.0)}, {"not_stored", "replica"}),
        ({"late_s": 20.0}, {"not_stored"}),
    ],
)
def test_candidate_that_reports_exclude_is_not_listed(changed: dict[str, Any], left: set[str]) -> None:
    """The part that was served is of the request that has the rest, too, unless a newer one shares it."""
    assert continued(400, replace(known(), figures=(400, 816), **changed)) == left


def test_cache_that_is_off_for_a_user_is_the_only_cause() -> None:
    found = repeated(replace(known(), figures=(400, 816), off_for='user: "u1"'))
    assert found is not None
    assert 'user: "u1"' in found.sentence
    assert (found.cause, [one.code for one in found.candidates]) == ("server", ["bypassed"])


@pytest.mark.parametrize(("own", "named"), [(820.0, False), (500.0, True)])
def test_older_text_of_the_own_model_is_what_another_model_costs(own: float, named: bool) -> None:
    one: dict[str, Json] = {"model": "large"}
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "On shelf 3."))
    earlier = EarlierRequest(view(*turn), one, "id", 10.0, prompt_tokens=830, cached_tokens=400)
    server = replace(known(), figures=(400, 496), longest=own)
    cached = int(own) // 16 * 16
    why = explain_miss(view(*turn, ("user", "?")), {"model": "small"}, earlier, CacheUsage(860, cached), server)
    assert (why is not None and why.cause == "parameters") is named


@pytest.mark.parametrize(("answer", "named"), [("On shelf 3. " * 40, True), ("On shelf 3.", False)])
def test_answer_that_another_model_has_is_what_the_change_of_model_costs(answer: str, named: bool) -> None:
    one: dict[str, Json] = {"model": "large"}
    asked = (("system", RULES), ("user", "Which crate?"))
    earlier = EarlierRequest(view(*asked), one, "id", 10.0, answer=answer, cached_tokens=400)
    server = replace(known(), figures=(400, 496), longest=818.0)
    now = view(*asked, ("assistant", answer), ("user", "?"))
    why = explain_miss(now, {"model": "small"}, earlier, CacheUsage(1000, 816), server)
    assert (why is not None and why.cause == "parameters") is named


def test_edit_that_ended_the_prefix_is_named_though_the_earlier_request_went_to_another_model() -> None:
    one: dict[str, Json] = {"model": "large"}
    earlier = EarlierRequest(view(("system", RULES), ("user", "Which crate? " * 80)), one, "id", 10.0)
    server = replace(known(), figures=(400, 496), longest=815.0)
    now = view(("system", RULES), ("user", "Which shelf? " * 80))
    why = explain_miss(now, {"model": "small"}, earlier, CacheUsage(1100, 800), server)
    assert why is not None
    assert (why.kind, why.message) == ("differs", 1)


@pytest.mark.parametrize("user", ["u1", "u2"])
def test_parameter_is_a_candidate_beside_an_edit_that_explains_that_nothing_was_served(user: str) -> None:
    one: dict[str, Json] = {"model": "large", "user": "u1"}
    text = "The clerk answers. " * 200
    earlier = EarlierRequest(view(("system", f"{RULES[:1200]} 10:41 {text}")), one, "id", 10.0, prompt_tokens=1_250)
    server = replace(known(), figures=(1_200, 1_300), longest=300.0)
    now = view(("system", f"{RULES[:1200]} 10:42 {text}"), ("user", "Which crate?"))
    why = explain_miss(now, {**one, "user": user}, earlier, CacheUsage(1_260, 0), server)
    assert why is not None
    assert why.reason == "short_or_lost"
    assert ("parameters" in [candidate.code for candidate in why.candidates]) is (user != "u1")
    assert why.position is not None
    assert (why.position.index, why.position.text) == (0, "10:42")


@pytest.mark.parametrize(
    ("tools", "cached", "reason"), [(["look"], 64, "template_or_lost"), (["look"], 320, "lost"), ([], 48, "lost")]
)
def test_text_is_not_cleared_if_a_template_that_moves_only_the_system_text_gives_the_report(
    tools: list[str], cached: int, reason: str
) -> None:
    """Without tools such a template is one of the orders that reports refute."""
    turn = (
        ("system", RULES),
        ("user", "Which crate? " * 3),
        ("assistant", "On shelf 3. " * 10),
        ("user", "Which ship?"),
    )
    earlier = EarlierRequest(view(*turn, tools=tools), None, "id", 10.0, prompt_tokens=880)
    server = replace(known(), figures=(16, 320, 816), longest=850.0)
    now = view(*turn, ("assistant", "A."), ("user", "?"), tools=tools)
    why = explain_miss(now, {}, earlier, CacheUsage(900, cached), server)
    assert why is not None
    assert why.reason == reason


@pytest.mark.parametrize(
    ("longest", "cached", "reason"),
    [
        (4.4, 6, "first_beside_other"),
        (4.4, 12, "foreign_tokens"),
        (300.0, 340, "foreign_tokens"),
        (0.0, 2, "foreign_tokens"),
    ],
)
def test_head_of_a_template_that_another_prompt_shares_is_no_foreign_text(
    longest: float, cached: int, reason: str
) -> None:
    """A real engine reported 6 tokens of a beginning that is estimated with 4.4."""
    server = replace(known(), longest=longest, block=1)
    why = explain_miss(view(("user", "Which crate? " * 60)), {}, None, CacheUsage(208, cached), server)
    assert why is not None
    assert why.reason == reason


@pytest.mark.parametrize(("cached", "stored"), [(0, True), (1_000, False), (1_400, True)])
def test_cache_that_is_off_for_some_requests_is_not_called_many_replicas(cached: int, stored: bool) -> None:
    """Nothing is served, only what a request shares that was not stored, or what room was left for."""
    proofs = CacheProofs()
    steps = [MatchStep(1_000, 0, 1), MatchStep(2_000, 1, 1)]
    found = Reach(steps, lambda depth: Size(float(depth), 0.0), [20.0, 10.0], [0.0] * 2, (), [0, 1])
    for _ in range(9):
        proofs.add_served(found, 1_992, 16, 100.0)
        proofs.add_served(found, cached, 16, 100.0, stored=stored)
    assert not proofs.spread


def test_moves_needs_reports_in_a_row_that_a_plain_order_does_not_explain() -> None:
    proofs, plain = CacheProofs(), Size(2_000.0, 0.0)
    sizes: dict[Order, Size] = {"before_last_user": Size(500.0, 0.0)}
    states = []
    for cached in (496, 0, 496, 1_992, 496, 496):
        proofs.add_moved(sizes, plain, cached, 16)
        states.append(proofs.moves("before_last_user"))
    assert states == [False, False, True, False, False, True]
    reach = Reach(
        [MatchStep(1_000, 0, 2), MatchStep(2_000, 1, 1)], lambda depth: Size(depth, 0.0), [60.0] * 2, [0.0] * 2
    )
    proofs.add_served(reach, 992, 16, 100.0)
    assert not proofs.moves("before_last_user")  # a replica that has the older request only explains it, too


def test_explain_miss_template_that_too_few_reports_show_is_not_named_alone() -> None:
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "Let me look." * 80))
    earlier, now = view(*turn), view(*turn, ("user", "And the ship?"))
    report = CacheUsage(1_100, len(RULES) // 4 // 16 * 16)
    unproved = replace(known("last_turn"), unproved_orders={"last_turn"})
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), report, unproved)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "template_or_lost")
    assert "replica" in {one.code for one in found.candidates}


@pytest.mark.parametrize(("unserved", "reason"), [(1_100.0, "edit_or_off"), (600.0, "differs")])
def test_explain_miss_edit_is_named_unless_a_whole_prompt_as_long_was_not_served_either(
    unserved: float, reason: str
) -> None:
    now = view(("system", RULES), ("user", "Which crate?"))
    earlier = EarlierRequest(
        view(("system", "X" + RULES), ("user", "Which crate?")), None, "id", 10.0, prompt_tokens=800
    )
    found = explain_miss(now, None, earlier, CacheUsage(800, 0), replace(known(), unserved=unserved, never_served=True))
    assert found is not None
    assert found.reason == reason


def repeated(found: MissKnowledge, gap_s: float = 900.0) -> MissExplanation | None:
    """Send a prompt of 800 tokens again after a while; nothing of it is served."""
    now = view(("system", RULES), ("user", "Which crate?"))
    earlier = EarlierRequest(now, None, "id", gap_s, prompt_tokens=800)
    return explain_miss(now, None, earlier, CacheUsage(800, 0), found)


@pytest.mark.parametrize(("outlived", "cause"), [(True, "idle"), (False, "server")])
def test_explain_miss_lifetime_is_named_only_if_lack_of_room_is_excluded(outlived: bool, cause: str) -> None:
    found = repeated(replace(known(), lifetime_s=600.0, outlived=outlived))
    assert found is not None
    assert found.cause == cause
    assert outlived or "room" in {one.code for one in found.candidates}


@pytest.mark.parametrize(("unserved", "cause"), [(900.0, "minimum"), (200.0, "server")])
def test_explain_miss_minimum_is_named_only_if_a_whole_prompt_of_that_size_was_not_served(
    unserved: float, cause: str
) -> None:
    found = repeated(replace(known(), minimum=1_024, unserved=unserved, figures=(1_024, 1_152)), 10.0)
    assert found is not None
    assert found.cause == cause
    assert cause == "minimum" or "minimum" in {one.code for one in found.candidates}


@pytest.mark.parametrize(("figure", "possible"), [(784, False), (1_024, True)])
def test_explain_miss_minimum_is_no_candidate_if_as_little_was_served_before(figure: int, possible: bool) -> None:
    found = repeated(replace(known(), figures=(figure,)), 10.0)
    assert found is not None
    assert found.reason == "lost"
    assert ("minimum" in {one.code for one in found.candidates}) == possible


@pytest.mark.parametrize("reasoning", ["", "The crate is on shelf 3."])
def test_explain_miss_template_that_marks_the_last_turn_mentions_reasoning_only_if_there_is_any(reasoning: str) -> None:
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "Let me look." * 80))
    earlier = view(*turn, reasoning=reasoning)
    now = view(*turn, ("user", "And the ship?"), reasoning=reasoning)
    report = CacheUsage(1_100, len(RULES) // 4 // 16 * 16)
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), report, known("last_turn"))
    assert found is not None
    assert (found.cause, found.reason) == ("server", "template_marks_turn")
    assert ("reasoning" in found.sentence) == bool(reasoning)


def test_explain_miss_message_that_was_edited_where_the_template_marks_it_is_not_cleared() -> None:
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "Let me look." * 80))
    earlier = view(*turn, reasoning="The crate is on shelf 3.")
    now = view(*turn, ("user", "And the ship?"))
    report = CacheUsage(1_100, len(RULES) // 4 // 16 * 16)
    found = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), report, known("last_turn"))
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "edit_or_template")


@pytest.mark.parametrize(("figures", "lost"), [((528, 48), True), ((528,), False)])
def test_explain_miss_expected_loss_is_none_if_all_reports_are_whole_larger_units(
    figures: tuple[int, ...], lost: bool
) -> None:
    """A hybrid model keeps a checkpoint every 528 tokens; the forecast took the rest for forgotten."""
    now = view(("system", RULES), ("user", "Which crate? " * 200))
    earlier = EarlierRequest(now, None, "id", 10.0, prompt_tokens=1_450)
    found = replace(
        known(),
        figures=figures,
        expected=[Expected(0.8, Size(1_062.0, 1.0), less=True), Expected(0.2, Size(1_450.0, 1.0), less=False)],
        units=[CacheUnit(16, 0, 1.0)],
    )
    explained = explain_miss(now, None, earlier, CacheUsage(1_460, 1_056), found)
    assert (explained is not None and explained.cause == "server") == lost


def test_cache_off_with_another_user_in_each_request_knows_the_newest_only() -> None:
    off = CacheOff()
    users = [{"user": f"caller {number}"} for number in range(MAX_PARAMETERS + 1)]
    for fields in (*users[:-1], *users[:-1], users[0], users[-1], users[-1]):
        off.add(fields, 2_000.0, 0)
    assert [off.serves_nothing(fields, 2_000.0) for fields in users] == [True, False, *[True] * (MAX_PARAMETERS - 1)]


@pytest.mark.parametrize(
    ("reports", "cached", "expected"),
    [
        ([], 0, (0.0, 0.0)),
        ([(10.0, 0, 1), (40.0, 900, 1), (90.0, 900, 1)], 0, (90.0, 80.0)),
        ([(10.0, 0, 1), (40.0, 0, 1), (90.0, 900, 1)], 0, (60.0, 50.0)),  # lost before, and stored again
        ([(10.0, 0, 1), (40.0, None, 1), (90.0, 900, 1)], 0, (90.0, 50.0)),
        ([(10.0, 0, 1), (40.0, 500, 1), (90.0, 900, 1)], 500, (60.0, 50.0)),  # of the part behind 500 tokens
        ([(10.0, 0, 1), (40.0, 0, 1)], 500, (90.0, 0.0)),  # the beginning was lost, and the part may have been kept
        ([(10.0, 0, 1), (70.0, 48, 1), (90.0, 900, 1)], 0, (90.0, 20.0)),  # 48 tokens are older than this text
    ],
)
def test_text_is_as_old_as_the_request_that_stored_it(
    reports: Sequence[tuple[float, int | None, int]], cached: int, expected: tuple[float, float]
) -> None:
    assert stored_ages(reports, 100.0, cached) == expected


@pytest.mark.parametrize(("cached", "possible"), [(0, True), (320, False)])
def test_known_minimum_is_a_candidate_beside_another_user(cached: int, possible: bool) -> None:
    one: dict[str, Json] = {"user": "u1"}
    earlier = EarlierRequest(view(("system", RULES), ("user", "Where is it?")), one, "id", 10.0, prompt_tokens=1_400)
    now = view(("system", RULES), ("user", "Is it here?"))
    server = replace(known(), minimum=1_024, figures=(1_024, 1_280))
    why = explain_miss(now, {"user": "u2"}, earlier, CacheUsage(830, cached), server)
    assert why is not None
    assert why.reason == "parameters"
    assert ("minimum" in {one.code for one in why.candidates}) is possible


def test_add_losses_keeps_what_is_known_of_the_newest_only() -> None:
    proofs = CacheProofs()
    for at in range(PAUSES + 5):
        proofs.add_loss(1.0, 100.0, float(at), alone=at)
    assert proofs.state()["alone"] == [(float(at), at) for at in range(5, PAUSES + 5)]


def test_order_in_which_less_is_shared_than_was_served_explains_no_report() -> None:
    """The counted prompt is continued; late storage made an order that moves tools look probable before."""
    tool: Json = {"type": "function", "function": {"name": "look", "description": "Find a crate. " * 20}}
    turn: list[Json] = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": "Which crate?"},
        {"role": "assistant", "content": "On shelf 3. " * 40},
        {"role": "user", "content": "Which ship?"},
    ]
    more: list[Json] = [{"role": "assistant", "content": "A."}, {"role": "user", "content": "?"}]
    earlier = EarlierRequest(view_of_fields({"messages": turn, "tools": [tool]}), {}, "id", 10.0)
    whole = round(len(earlier.view.text) * 0.25)
    orders = [replace(evidence("before_last_user", 0.25)[0], weight=0.999), *evidence("inside", 0.25)]
    server = replace(known(), orders=orders[:1], all_orders=orders, figures=(400, 816), longest=float(whole))
    now = view_of_fields({"messages": [*turn, *more], "tools": [tool]})
    assert explain_miss(now, {}, earlier, CacheUsage(whole + 10, whole // 16 * 16), server) is None


@pytest.mark.parametrize(("cached", "named"), [(768, True), (1_600, False)])
def test_time_in_a_template_is_no_candidate_if_more_than_the_system_text_was_served(cached: int, named: bool) -> None:
    turn = (("system", RULES), ("user", "Which crate? " * 400))
    earlier = EarlierRequest(view(*turn), None, "id", 10.0, prompt_tokens=2_130)
    clock = replace(known(), figures=(400, 768, 1_600), at=6_570.0, clocks=lambda began, ended, cached: ["minute"])
    why = explain_miss(view(*turn, ("assistant", "A."), ("user", "?")), {}, earlier, CacheUsage(2_150, cached), clock)
    assert why is not None
    assert ("date" in {one.code for one in why.candidates}) is named


@pytest.mark.parametrize(("role", "named"), [("tool", True), ("user", False)])
def test_older_results_may_be_cleared_only_if_there_are_some(role: str, named: bool) -> None:
    turn = (("system", RULES), ("user", "Which crate?"), ("assistant", "On shelf 3. " * 9), (role, "Found. " * 300))
    earlier = EarlierRequest(view(*turn), None, "id", 10.0, prompt_tokens=1_400)
    server = replace(known(), figures=(400, 816, 848), longest=1_390.0)
    why = explain_miss(view(*turn, ("assistant", "A."), (role, "?")), {}, earlier, CacheUsage(1_420, 848), server)
    assert why is not None
    assert ("older_rewritten" in {one.code for one in why.candidates}) is named


@pytest.mark.parametrize(("cached", "named"), [(816, True), (1_200, False)])
def test_template_that_leaves_out_reasoning_is_a_candidate_where_reasoning_is(cached: int, named: bool) -> None:
    asked = view(
        ("system", RULES), ("user", "Which crate?"), ("assistant", "Yes."), ("user", "Name it. " * 300), reasoning="Hm."
    )
    earlier = EarlierRequest(asked, None, "id", 10.0, prompt_tokens=1_520)
    parts = ("system", RULES), ("user", "Which crate?"), ("assistant", "Yes."), ("user", "Name it. " * 300)
    now = view(*parts, ("assistant", "A."), ("user", "?"), reasoning="Hm.")
    server = replace(known(), figures=(400, 816, 1_200), longest=1_500.0)
    why = explain_miss(now, {}, earlier, CacheUsage(1_540, cached), server)
    assert why is not None
    assert ("reasoning_left_out" in {one.code for one in why.candidates}) is named


def test_template_that_reports_have_not_proved_is_listed_with_the_candidates_of_a_loss() -> None:
    turn = (
        ("system", RULES),
        ("user", "Which crate? " * 3),
        ("assistant", "On shelf 3. " * 40),
        ("user", "Which ship? " * 30),
    )
    edited = (*turn[:3], ("user", "What ship? " * 30), ("assistant", "A."), ("user", "?"))
    orders = evidence("system_last", 0.25)
    server = replace(
        known(),
        orders=orders,
        all_orders=[*orders, *evidence("first", 0.25)],
        unproved_orders={"system_last"},
        figures=(16, 400),
    )
    earlier = EarlierRequest(view(*turn), {}, "id", 10.0, prompt_tokens=1_000)
    why = explain_miss(view(*edited), {}, earlier, CacheUsage(1_050, 128), server)
    assert why is not None
    assert why.reason == "edit_or_template"
    assert "replica" in {one.code for one in why.candidates}


def test_time_of_the_newest_request_that_has_what_was_served_in_any_rendering_counts() -> None:
    """In one rendering it has fewer tokens than were served: its answer is not counted there."""
    proofs, older = CacheProofs(), reach(0.0, 1_000.0)
    newer, whole = reach(0.0, 900.0), reach(0.0, 1_000.0)
    for one, age in ((older, 70.0), (newer, 20.0), (whole, 20.0)):
        one.ages = [age]
    proofs.add_served(older, 992, 16, 6_059.0, renderings=(newer, whole))
    assert proofs.clocks(6_530.0, 6_570.0, 0) == ["minute"]


def test_losses_of_replicas_do_not_exclude_the_time_in_a_template_beside_them() -> None:
    proofs = CacheProofs()
    for number in range(4):
        proofs.add_served(reach(0.0, 1_000.0), 0, 16, 6_030.0 + 5.0 * number)
    assert proofs.clocks(6_530.0, 6_570.0, 0) == ["minute"]
    assert proofs.clocks(6_530.0, 6_570.0, 0, explaining=True) == []


def test_edit_is_not_named_if_a_server_that_served_nothing_yet_may_have_lost_the_text_before_it() -> None:
    turn = ("system", RULES[:400])
    earlier = EarlierRequest(view(turn, ("user", "Which crate?")), None, "id", 0.3, prompt_tokens=110)
    server = replace(known(), block=128, blocks=[(128, 0.6), (16, 0.4)], inside=False)
    why = explain_miss(view(turn, ("user", "The ship?")), {}, earlier, CacheUsage(110, 0), server)
    assert why is not None
    assert (why.cause, why.reason) == ("unknown", "short_or_lost")
    assert {"not_stored", "points"} <= {one.code for one in why.candidates}


@pytest.mark.parametrize("inside", [True, False])
def test_server_that_finds_only_certain_points_is_a_candidate_until_a_report_ends_elsewhere(inside: bool) -> None:
    earlier = EarlierRequest(view(("system", RULES), ("user", "Which crate? " * 400)), None, "id", 10.0)
    server = replace(known(), figures=(1_024, 1_600), inside=inside, longest=2_000.0)
    now = view(("system", RULES), ("user", f"{'Which crate? ' * 380}Now?"), ("assistant", "A."), ("user", "?"))
    why = explain_miss(now, {}, earlier, CacheUsage(2_080, 1_024), server)
    assert why is not None
    listed = "points" in {one.code for one in why.candidates} or why.reason == "kept_points_or_lost"
    assert listed is not inside
