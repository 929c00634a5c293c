"""Servers that find only whole messages, requests or saved states again: what such a server served is not lost."""

from __future__ import annotations

from math import gcd

import pytest

from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.learned_state import restore, state_of
from playground.prefix_cache.match_tree import MatchStep
from playground.prefix_cache.miss_evidence import EarlierRequest, MissKnowledge, OrderEvidence
from playground.prefix_cache.miss_explanation import MissExplanation, explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.proofs import CacheProofs, message_ends
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.view import CacheView, Order, view_of_fields
from playground.prompt.document import Json
from tests.prefix_cache.test_miss_sentences import CLEARING

RULES = "You are a clerk of the harbour office. Name the crate, the shelf and the ship. " * 40
LOG = "Crate 7 is on shelf 3. " * 60


def view(*texts: str) -> CacheView:
    """Return a prompt with a system message, and messages of user and assistant in turn."""
    roles = ["system", *("user", "assistant") * 9]
    return view_of_fields({"messages": [{"role": roles[at], "content": text} for at, text in enumerate(texts)]})


def known(block: int, figures: tuple[int, ...] = (), *, inside: bool, orders: str = "inside") -> MissKnowledge:
    names: tuple[Order, ...] = ("inside",) if orders == "inside" else ("before_last_user", "inside")
    found = [
        OrderEvidence(name, 0.95 if at == 0 else 0.05, lambda offset: Size(offset / 4, 1.0))
        for at, name in enumerate(names)
    ]
    return MissKnowledge(found, block, blocks=[(block, 1.0)], figures=figures, all_orders=found, inside=inside)


def explained(now: CacheView, earlier: CacheView, cached: int, found: MissKnowledge) -> MissExplanation | None:
    prompt = len(now.text) // 4 + 10
    return explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(prompt, cached), found)


@pytest.mark.parametrize(("inside", "reason"), [(False, "whole_message_or_lost"), (True, "lost")])
def test_explain_miss_changed_clock_in_a_long_message_is_not_cleared_before_a_part_of_a_message_was_served(
    inside: bool, reason: str
) -> None:
    """The only breakpoint of the gateway is the end of the system text, with a clock in its last line."""
    then, now = (view(f"{RULES * 6}Time: 08:{minute}", "Which crate?") for minute in ("00", "01"))
    why = explained(now, then, 0, known(16, inside=inside))
    assert why is not None
    assert why.reason == reason
    assert (why.cause == "unknown") == (why.reason not in CLEARING) == (not inside)
    assert inside or "00" in why.sentence


@pytest.mark.parametrize(("inside", "reason"), [(False, "kept_points_or_lost"), (True, "partly_lost")])
def test_explain_miss_report_of_whole_messages_is_no_loss_before_anything_else_was_served(
    inside: bool, reason: str
) -> None:
    """The gateway's breakpoint is one message behind the end of the earlier request."""
    texts = RULES, "Which crate?", LOG, "And the ship?", LOG
    earlier = view(*texts)
    end = message_ends(view(*texts, "x"))[3]
    why = explained(view(*texts, "Thanks"), earlier, end // 4, known(1, (600,), inside=inside))
    assert why is not None
    assert why.reason == reason


@pytest.mark.parametrize("cached", [960, 976])
def test_explain_miss_figure_of_an_earlier_report_may_be_a_saved_state(cached: int) -> None:
    """A hybrid model with a state at 960 tokens; 976 were never reported before and are no end of a message."""
    then, now = (view(RULES, LOG + name, LOG, f"{name}: where is it?") for name in ("Ada", "Bob"))
    why = explained(now, then, cached, known(16, (960, 416, 1_136), inside=False))
    assert why is not None
    assert why.reason == ("kept_points_or_lost" if cached == 960 else "partly_lost")


def test_explain_miss_template_is_not_the_cause_if_all_whole_blocks_were_served_without_it() -> None:
    """3,072 of 3,290 tokens in blocks of 256: a template that moves system text explains that as well."""
    earlier = view(RULES * 4, "Which crate?")
    now = view(RULES * 4, "Which crate?", "On shelf 3.", "And the ship?")
    whole = len(earlier.text) // 4
    found = known(256, (2_816,), inside=True, orders="moving")
    assert explained(now, earlier, whole // 256 * 256, found) is None


def reach(*depths: int, error: float = 0.5) -> Reach:
    steps = [MatchStep(depth, number, 1) for number, depth in enumerate(depths)]
    return Reach(steps, lambda depth: Size(depth / 4, error), [5.0] * len(steps), [0.0] * len(steps))


def test_add_ended_report_up_to_a_difference_inside_a_message_proves_that_parts_are_found() -> None:
    prompt = view(RULES, LOG, "Yes.")
    inside = message_ends(prompt)[0] + 800
    for depth, cached, error, figures, proof in (
        (inside, inside // 4 // 16 * 16, 0.5, (), True),
        (inside, inside // 4 // 16 * 16, 0.0, (), False),  # the end of a whole prompt, whose size is counted
        (inside, inside // 4 // 16 * 16, 0.5, (inside // 4 // 16 * 16,), False),  # a state that was reported before
        (inside + 128, 1024, 0.5, (), False),  # a checkpoint
        (inside, message_ends(prompt)[0] // 4 // 16 * 16, 0.5, (), False),
        (message_ends(prompt)[1], message_ends(prompt)[1] // 4 // 16 * 16, 0.5, (), False),
    ):
        proofs = CacheProofs()
        proofs.add_ended(reach(depth, error=error), prompt, cached, 16, figures, gcd(cached, *figures))
        assert proofs.inside == proof, (depth, cached)


def test_add_ended_report_that_is_no_end_and_no_checkpoint_proves_that_parts_are_found() -> None:
    prompt = view(RULES, LOG, "Yes.")
    depth = message_ends(prompt)[1]
    for cached, figures, proof in ((624, (1_072,), True), (512, (1_072,), False), (528, (1_056,), False)):
        proofs = CacheProofs()
        proofs.add_ended(reach(depth), prompt, cached, 16, figures, gcd(cached, *figures))
        assert proofs.inside == proof, cached


def test_proof_that_parts_of_messages_are_found_is_stored() -> None:
    model, other = EndpointCacheModel(300.0), EndpointCacheModel(300.0)
    model.learned.proofs.inside = True
    restore(other.learned, state_of("e", "m", model.learned))
    assert other.learned.proofs.inside


def test_add_ended_report_a_few_tokens_before_a_counted_end_proves_nothing() -> None:
    """The count of a prompt includes the beginning of the answer, which is behind its last message."""
    prompt = view(RULES, LOG, "Yes.")
    depth = message_ends(prompt)[1]
    for apart, proof in ((6, False), (30, True), (-1, False), (-9, True)):
        proofs = CacheProofs()
        proofs.add_ended(reach(depth), prompt, depth // 4 - apart, 1, (1_073,), 1)
        assert proofs.inside == proof, apart


def test_add_ended_report_that_may_be_the_rounded_end_of_a_message_proves_nothing() -> None:
    prompt = view(RULES, LOG, "Yes.")
    end = message_ends(prompt)[0] // 4
    for cached, proof in ((end // 50 * 50, False), (end // 50 * 50 - 50, True)):
        proofs = CacheProofs()
        proofs.add_ended(reach(message_ends(prompt)[1]), prompt, cached, 1, (cached + 250,), 50)
        assert proofs.inside == proof, cached


HITS = [(60.0 * number, 30.0, True) for number in range(1, 30)]


@pytest.mark.parametrize(
    ("late", "forgets"),
    [
        ([(float(1_900 + 400 * number), 130.0, False) for number in range(4)], True),
        ([(2_400, 400, False), (3_000, 500, False), (3_500, 450, False)], False),
        ([], False),
        ([(2_400, 400, False), (3_000, 20, False), (3_500, 450, False)], False),
        ([(2_400, 400, False), (3_000, 600, True), (3_500, 450, False)], False),
        ([(3_500, 400, False), (3_500, 500, False), (3_500, 450, False)], False),
        ([(2_400, 400, False), (3_500, 450, False)], False),
    ],
    ids=[
        "four pauses",
        "restarts every few minutes",
        "one pause",
        "short pause",
        "long hit",
        "one restart",
        "restart in each of two pauses",
    ],
)
def test_forgets_after_needs_pauses_that_neither_chance_nor_few_restarts_separate(
    late: list[tuple[float, float, bool]], forgets: bool
) -> None:
    """Reports as moment, seconds since the prefix was used, and whether it was served; then one more miss."""
    model, other = EndpointCacheModel(300.0), EndpointCacheModel(300.0)
    for moment, pause, hit in (*HITS, *late):
        one = reach(4_000)
        one.ages = [pause]
        model.learned.proofs.add_served(one, 992 if hit else 0, 16, moment)
    restore(other.learned, state_of("", "", model.learned))
    assert [each.learned.proofs.forgets_after(120.0, 350.0, 3_520.0) for each in (model, other)] == [forgets] * 2


@pytest.mark.parametrize("sure", [True, False])
def test_forgets_after_report_that_another_order_explains_is_no_short_pause(sure: bool) -> None:
    """One of 26 reports after short pauses has less, as if nothing had been kept for 4 seconds."""
    proofs = CacheProofs()

    def add(pause: float, cached: int, at: float, *, sure: bool = True) -> None:
        found = Reach([MatchStep(100, 0, 1)], lambda _depth: Size(1_000.0, 0.0), [pause], [0.0])
        proofs.add_served(found, cached, 16, at, sure=sure)

    add(4.0, 0, 500.0, sure=sure)
    for number in range(25):
        add(30.0 + number, 992, 1_000.0 + 100 * number)
    for number in range(8):
        add(90.0, 0, 10_000.0 + 1_000 * number)
    assert proofs.forgets_after(100.0, 95.0, 20_000.0) == (not sure)


def test_forgets_after_one_loss_is_enough_if_another_prefix_was_kept_meanwhile() -> None:
    """No restart explains that a prefix was lost while another, which was in use, was not."""
    proofs = CacheProofs()
    for moment in range(0, 3_600, 40):
        one = reach(4_000)
        one.ages = [40.0]
        proofs.add_served(one, 992, 16, float(moment))
    assert proofs.forgets_after(120.0, 350.0, 3_520.0)
    assert not proofs.forgets_after(120.0, 350.0, 3_900.0)


@pytest.mark.parametrize(("large", "reason"), [(0.4, "block_or_partly_lost"), (0.95, "new_text")])
def test_explain_miss_new_text_does_not_follow_all_that_was_served_if_only_an_unproved_block_hides_the_rest(
    large: float, reason: str
) -> None:
    """1,024 of about 1,540 tokens by one replica of two with blocks of 128; 1,024 is the only figure so far."""
    then, now = (view(RULES, LOG * 3 + question) for question in ("Which crate is it?", "Who took the keys?"))
    orders = [OrderEvidence("inside", 1.0, lambda offset: Size(offset / 4.6, 60.0))]
    blocks = [(1_024, large), (128, 1.0 - large)]
    found = MissKnowledge(orders, 1_024, blocks=blocks, figures=(1_024,), all_orders=orders, inside=False)
    why = explained(now, then, 1_024, found)
    assert why is not None
    assert why.reason == reason


@pytest.mark.parametrize(("figures", "cause"), [((), "tools"), ((784,), "parameters")])
def test_explain_miss_other_users_first_prompt_is_no_loss_while_the_size_before_its_tools_is_an_estimate(
    figures: tuple[int, ...], cause: str
) -> None:
    def body(user: str) -> dict[str, Json]:
        tool: dict[str, Json] = {"type": "function", "function": {"name": f"find_{user}", "description": LOG}}
        messages: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": f"I am {user}"}]
        return {"model": "m", "user": user, "messages": messages, "tools": [tool]}

    then, now = body("ada"), body("bob")
    earlier = EarlierRequest(view_of_fields(then), then, "id", 10.0)
    knowledge = known(16, figures, inside=True)
    why = explain_miss(view_of_fields(now), now, earlier, CacheUsage(1_300, 640), knowledge)
    assert why is not None
    assert why.cause == cause
