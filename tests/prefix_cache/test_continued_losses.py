"""Prompts that continue an earlier one, of which the server found less than it had served of such prompts before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from playground.prefix_cache.block_size import CacheUnit
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.miss_evidence import (
    EarlierRequest,
    Expected,
    MissKnowledge,
    OrderEvidence,
    ReuseEvidence,
)
from playground.prefix_cache.miss_explanation import explain_miss
from playground.prefix_cache.prefix_size import Size
from playground.prefix_cache.replay import replay_traffic
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.traffic import TrafficRecord, usage_of
from playground.prefix_cache.view import OPENING, view_of_fields
from playground.prompt.document import Json
from tests.prefix_cache.test_round_robin import chat

RULES = "You are a clerk of the harbour office. Name the crate, the shelf and the ship. " * 40


def record(number: int, messages: list[Json], cached: int) -> TrafficRecord:
    """Return a request with its report; a token is four characters."""
    body: dict[str, Json] = {"model": "m", "messages": list(messages)}
    tokens = len(view_of_fields(body).text) // 4
    usage: dict[str, Json] = {"prompt_tokens": tokens, "prompt_tokens_details": {"cached_tokens": cached}}
    return TrafficRecord(1_000.0 + 7 * number, body, 200, f"r{number}", usage_of(usage, None))


def desk(*, slot: bool) -> Iterator[TrafficRecord]:
    """Yield seven conversations of one request whose rules differ near their end, then the continuation of the first.

    `slot`: the server has one, which holds the newest request only; else it has a breakpoint before the difference.
    """
    held = ""
    first: list[Json] = [
        {"role": "user", "content": "Where is crate 0?"},
        {"role": "assistant", "content": "On shelf 7."},
    ]
    for number in range(8):
        desk_number = number % 7
        system: Json = {"role": "system", "content": f"{RULES}Desk {'ABCDEFG'[desk_number]}. Be kind. " + "Yes. " * 80}
        question: Json = {"role": "user", "content": f"Where is crate {number}?"}
        messages: list[Json] = [system, *(first if number == 7 else ()), question]
        if number == 0:
            messages = [system, first[0]]
        text = view_of_fields({"messages": messages}).text
        shared = common_prefix(text, held) // 4 if held else 0
        held = text
        yield record(number, messages, shared if slot else shared and len(RULES) // 4)


def test_continued_prompt_whose_slot_another_conversation_took_has_a_cause() -> None:
    """All reports but the last end where the rules differ: the server finds parts of a message, and any token."""
    why = [one.explanation for one in replay_traffic(desk(slot=True))][-1]
    assert why is not None
    assert (why.cause, why.reason) == ("server", "partly_lost")
    assert {"room", "restart", "replica"} <= {one.code for one in why.candidates}


def knowledge(answers: float, *, inside: bool = True, figures: tuple[int, ...] = (400, 1_200)) -> MissKnowledge:
    """Return knowledge of a server with blocks of 16 tokens that caches answers with a probability."""
    order = OrderEvidence("inside", 1.0, lambda offset: Size(offset / 4, 1.0))
    reuses = [ReuseEvidence("all", answers, Size(1_000.0, 1.0)), ReuseEvidence("none", 1 - answers, Size(815.0, 1.0))]
    return MissKnowledge([order], blocks=[(16, 1.0)], all_orders=[order], figures=figures, reuses=reuses, inside=inside)


def continued(cached: int, known: MissKnowledge, fields: dict[str, Json] | None = None) -> str | None:
    """Return why a continued prompt, whose earlier part had 815 tokens and 185 of an answer, had so many cached."""
    parts: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7? Say it."}]
    earlier = view_of_fields({"messages": parts})
    answer: Json = {"role": "assistant", "content": "On shelf 3. " * 60}
    now = view_of_fields({"messages": [*parts, answer, {"role": "user", "content": "And the ship?"}]})
    other = EarlierRequest(earlier, {} if fields else None, "id", 10.0)
    why = explain_miss(now, fields, other, CacheUsage(1_020, cached), known)
    return None if why is None else why.reason


@pytest.mark.parametrize(
    ("cached", "answers", "reason"),
    [(992, 0.97, None), (784, 0.97, "partly_lost"), (800, 0.6, None), (784, 0.6, "partly_lost")],
)
def test_explain_miss_lost_answer_is_stated_if_the_server_caches_answers(
    cached: int, answers: float, reason: str | None
) -> None:
    assert continued(cached, knowledge(answers)) == reason


@pytest.mark.parametrize(("inside", "reason"), [(True, "partly_lost"), (False, "block_or_partly_lost")])
def test_explain_miss_only_figure_of_all_reports_is_a_loss_if_parts_of_messages_were_served(
    inside: bool, reason: str
) -> None:
    """One figure alone may be a large block or a breakpoint of a server that finds nothing else again."""
    assert continued(416, knowledge(0.6, inside=inside, figures=(416,))) == reason


@pytest.mark.parametrize(("blocks", "reason"), [([(8, 1.0)], None), ([(16, 0.6), (32, 0.4)], "block_or_partly_lost")])
def test_explain_miss_two_figures_prove_a_large_block_only_if_smaller_ones_hardly_give_them(
    blocks: list[tuple[int, float]], reason: str | None
) -> None:
    """320 and 640 are multiples of 320: in blocks of 32 one figure in ten is."""
    assert continued(640, replace(knowledge(0.6, inside=False, figures=(320,)), blocks=blocks)) == reason


def test_explain_miss_report_that_a_forecast_of_less_does_not_reach_is_not_explained_by_it() -> None:
    """The forecast expected nothing, or 400 tokens, of another replica: all 815 counted tokens were served."""
    expected = [Expected(0.6, Size(0.0, 0.0), less=True), Expected(0.4, Size(400.0, 18.0), less=True, missing=600.0)]
    units = [CacheUnit(16, 0, 1.0)]
    known = replace(knowledge(0.6), expected=expected, units=units, in_turn=True, replicas=2)
    assert continued(800, known) is None


@pytest.mark.parametrize(
    ("weight", "shared", "reason"), [(0.6, 799.0, None), (0.6, 814.0, "partly_lost"), (0.4, 799.0, "partly_lost")]
)
def test_explain_miss_all_that_the_forecast_expects_of_a_server_without_losses_is_no_loss(
    weight: float, shared: float, reason: str | None
) -> None:
    """Answers are probably cached, but not if there was room for the rest, as reports have shown."""
    expected = [
        Expected(weight, Size(shared, 0.0), less=False),
        Expected(1 - weight, Size(400.0, 9.0), less=True, missing=600.0),
    ]
    assert continued(784, replace(knowledge(0.97), expected=expected)) == reason


@pytest.mark.parametrize(("cached", "reason"), [(1_024, None), (896, "partly_lost")])
def test_explain_miss_one_block_of_a_counted_prefix_is_a_loss(cached: int, reason: str | None) -> None:
    """1,030 tokens are eight blocks of 128, and six more."""
    reuses = [ReuseEvidence("all", 1.0, Size(1_030.0, 0.0))]
    known = replace(knowledge(1.0), blocks=[(128, 1.0)], block=128, figures=(896, 1_024, 384), reuses=reuses)
    assert continued(cached, known) == reason


def test_explain_miss_part_of_a_prompt_with_other_parameters_is_explained_by_these() -> None:
    reuses = [ReuseEvidence("all", 1.0, Size(1_030.0, 0.0))]
    known = replace(knowledge(1.0), blocks=[(128, 1.0)], block=128, figures=(768, 896, 384), reuses=reuses)
    assert continued(768, known, {"use_cache": False}) == "parameters"


@pytest.mark.parametrize("proved", [True, False])
def test_template_rewrites_calls_only_if_the_server_caches_answers(proved: bool) -> None:
    """The report ends behind the prompt, before the calls of the answer: so it does if no answer is cached."""
    call: Json = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"crate": 7}'}}
    parts: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7? Say it."}]
    turn: list[Json] = [*parts, {"role": "assistant", "content": None, "tool_calls": [call]}]
    earlier, answered = (view_of_fields({"messages": messages}) for messages in (parts, turn))
    now = view_of_fields({"messages": [*turn, {"role": "tool", "tool_call_id": "c1", "content": "Shelf 3."}]})
    answer = answered.text[len(earlier.text) + len(OPENING) :]
    sent = EarlierRequest(earlier, None, "id", 5.0, "", 815, 186, answer, 800)
    reuses = [ReuseEvidence("text", 0.9, Size(815.0, 1.0)), ReuseEvidence("none", 0.1, Size(815.0, 1.0))]
    why = explain_miss(
        now, None, sent, CacheUsage(1_030, 800), replace(knowledge(1.0), reuses=reuses, answers_proved=proved)
    )
    assert ((why and why.reason) == "template_rewrites_calls") is proved


@pytest.mark.parametrize(("served", "candidate"), [(True, "bypassed"), (False, "switched_off")])
def test_single_request_of_which_nothing_was_served_may_have_bypassed_the_cache(served: bool, candidate: str) -> None:
    """The next request is served again. On a server that never served a token the whole cache may be off."""
    sent = [
        one
        if one.usage is None or (served and number != 20)
        else replace(one, usage=replace(one.usage, cached_tokens=0))
        for number, one in enumerate(chat(3, lambda _number: 0, conversations=1))
    ]
    why = list(replay_traffic(sent))[20].explanation
    assert why is not None
    codes = {one.code for one in why.candidates}
    assert codes & {"bypassed", "switched_off"} == {candidate}


def test_short_turns_that_another_replica_has_not_seen_are_explained_by_it() -> None:
    """Replicas in turn: each request lacks the turns before, of about three blocks. Answers are not cached. A cache
    that stores what it sees for the second time serves the same as two replicas."""
    for replicas, reason in ((2, "partly_lost"), (3, "other_replica")):
        turns = chat(3, replicas.__rmod__, conversations=1, words=14, gap_s=40.0)
        replay = replay_traffic(turns)
        causes = [one.explanation and one.explanation.reason for one in list(replay)[-10:]]
        assert causes == [reason] * 10
        assert replay.summary.profile is not None
        assert (replay.summary.profile.replicas.value == 3) == (replicas == 3)


@pytest.mark.parametrize("reported", [True, False])
def test_failed_request_is_learned_if_its_usage_was_reported(reported: bool) -> None:
    """The server counted the prompt, and failed with 500 while it generated: the cache holds the prompt."""
    messages: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7?"}]
    failed = replace(record(0, messages, 0), status=500)
    failed = failed if reported else replace(failed, usage=None)
    first, second = replay_traffic([failed, record(1, messages, 784)])
    assert (first.explanation is not None) == reported
    assert second.forecast.cached_tokens == pytest.approx(784 if reported else 0, abs=16)


@pytest.mark.parametrize(("longest", "reason"), [(900.0, "template_and_lost"), (40.0, "template_moves")])
def test_explain_miss_loss_beside_a_template_that_moves_text_is_stated(longest: float, reason: str) -> None:
    """The template puts the rules before the last question, so that this request shares nothing with the earlier one;
    in this order another one shares more, of which nothing was served."""
    parts: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7?"}]
    answer: Json = {"role": "assistant", "content": "On shelf 3."}
    bodies: tuple[list[Json], list[Json]] = parts, [*parts, answer, {"role": "user", "content": "And the ship?"}]
    earlier, now = (view_of_fields({"messages": messages}) for messages in bodies)
    order = OrderEvidence("system_last", 0.97, lambda offset: Size(offset / 4, 1.0), longest=Size(longest, 1.0))
    plain = OrderEvidence("inside", 0.03, lambda offset: Size(offset / 4, 1.0), longest=Size(815.0, 1.0))
    known = MissKnowledge([order, plain], blocks=[(16, 1.0)], all_orders=[order, plain], figures=(16, 800, 1_008))
    why = explain_miss(now, None, EarlierRequest(earlier, None, "id", 10.0), CacheUsage(1_020, 0), known)
    assert why is not None
    assert why.reason == reason


@pytest.mark.parametrize(
    ("gap_s", "pauses", "codes"),
    [
        (60.0, (5.0, 30.0), {"gap"}),
        (60.0, (5.0, 90.0), set()),
        (8.0, (5.0, 30.0), {"not_stored"}),  # the answer may have taken longer
        (11.0, (5.0, 30.0), set()),
        (3.0, (5.0, 30.0), {"not_stored"}),
        (600.0, (5.0, 900.0), {"gap"}),
    ],
)
def test_pauses_are_candidates_as_far_as_served_prefixes_leave_them(
    gap_s: float, pauses: tuple[float, float], codes: set[str]
) -> None:
    parts: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7?"}]
    bodies: tuple[list[Json], list[Json]] = parts, [*parts, parts[1]]
    earlier, now = (view_of_fields({"messages": messages}) for messages in bodies)
    known = replace(knowledge(0.6), served_pauses=pauses, stored_s=pauses[0])
    why = explain_miss(now, None, EarlierRequest(earlier, None, "id", gap_s), CacheUsage(830, 0), known)
    assert why is not None
    assert {one.code for one in why.candidates} & {"gap", "not_stored"} == codes


@pytest.mark.parametrize(("served", "bypassed"), [(900, False), (0, True), (None, True)])
def test_earlier_request_that_was_not_stored_is_a_candidate_unless_it_was_served(
    served: int | None, bypassed: bool
) -> None:
    parts: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Where is crate 7?"}]
    bodies: tuple[list[Json], list[Json]] = parts, [*parts, parts[1]]
    earlier, now = (view_of_fields({"messages": messages}) for messages in bodies)
    before = EarlierRequest(earlier, None, "id", 5.0, cached_tokens=served)
    why = explain_miss(now, None, before, CacheUsage(830, 320), replace(knowledge(0.6), ended=(330.0,)))
    assert why is not None
    assert ("bypassed" in {one.code for one in why.candidates}) is bypassed


def test_answer_of_a_record_without_its_message_is_read_from_the_next_prompt() -> None:
    """The server caches answers; the records have only their tokens. Each forecast reaches to the end of the answer."""
    messages: list[Json] = [{"role": "system", "content": RULES}]
    records, held = [], ""
    for number in range(12):
        messages.append({"role": "user", "content": f"Where is crate {number}? Name the shelf and the ship."})
        body: dict[str, Json] = {"model": "m", "messages": list(messages)}
        text, answer = view_of_fields(body).text, f"Crate {number} is on shelf {number}. " * 30
        shared = common_prefix(text, held) // 4 // 16 * 16
        messages.append({"role": "assistant", "content": answer})
        held = f"{text}assistant\x1e{answer}"
        usage: dict[str, Json] = {
            "prompt_tokens": len(text) // 4,
            "completion_tokens": len(answer) // 4,
            "prompt_tokens_details": {"cached_tokens": shared},
        }
        records.append(TrafficRecord(1_000.0 + 7 * number, body, 200, f"r{number}", usage_of(usage, None)))
    found = list(replay_traffic(records))
    apart = [abs(one.forecast.cached_tokens - (one.usage.cached_tokens or 0)) for one in found[6:] if one.usage]
    assert max(apart) <= 16


@pytest.mark.parametrize("changed", [True, False])
def test_answer_that_the_client_changed_is_named_if_the_rest_was_lost(changed: bool) -> None:
    """The server caches answers of 250 tokens, and serves all whole blocks before the change."""
    messages: list[Json] = [{"role": "system", "content": RULES}]
    records, held = [], ""
    for number in range(12):
        messages.append({"role": "user", "content": f"Where is crate {number}? Name the shelf and the ship."})
        body: dict[str, Json] = {"model": "m", "messages": list(messages)}
        text, answer = view_of_fields(body).text, f"Crate {number} is on shelf {number}. " * 40
        usage: dict[str, Json] = {
            "prompt_tokens": len(text) // 4,
            "completion_tokens": len(answer) // 4,
            "prompt_tokens_details": {"cached_tokens": common_prefix(text, held) // 4 // 16 * 16},
        }
        generated: dict[str, Json] = {"role": "assistant", "content": answer}
        records.append(TrafficRecord(1_000.0 + 7 * number, body, 200, f"r{number}", usage_of(usage, generated)))
        held = f"{text}assistant\x1e{answer}"
        sent = f"{answer[:500]}swiftly {answer[500:]}" if changed and number == 10 else answer
        messages.append({"role": "assistant", "content": sent})
    why = [one.explanation for one in replay_traffic(records)]
    assert why[5:11] == [None] * 6
    last = why[11]
    assert (last is not None) == changed
    if last is not None:
        assert (last.cause, last.reason, last.compared_with) == ("edited", "differs", "r10")
        assert last.position is not None
        assert (last.position.index, last.position.column) == (22, 501)


def test_explain_miss_less_than_was_served_of_the_same_beginning_before_is_a_loss_in_any_block() -> None:
    """640 and 320 are multiples of 320, and 800 too: the server served more of this beginning before."""
    found = replace(knowledge(0.6, inside=False, figures=(320, 640)), blocks=[(8, 1.0)])
    assert continued(640, found) is None
    assert continued(640, replace(found, served=800)) == "partly_lost"


def test_explain_miss_block_of_a_counted_prefix_that_would_have_served_more_explains_no_loss() -> None:
    """815 counted tokens have two blocks of 400: another one fits."""
    assert continued(400, knowledge(0.6, inside=False, figures=(400,))) == "partly_lost"


@pytest.mark.parametrize(("ended", "reason"), [(520.0, "block_or_partly_lost"), (600.0, None)])
def test_explain_miss_report_that_ends_where_an_older_request_did_may_be_a_loss(
    ended: float, reason: str | None
) -> None:
    """A block of 512 tokens explains 512 of 815, and so does a replica that has only the older request."""
    found = replace(knowledge(0.6, inside=False, figures=()), blocks=[(16, 0.5), (512, 0.5)], ended=[ended])
    assert continued(512, found) == reason
