"""Replay of traffic whose requests overlap in time, and of requests with other parameters."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.replay import ReplayResult, replay_traffic
from playground.prefix_cache.traffic import TrafficRecord
from playground.prompt.document import Json

RULES = " ".join(f"Rule {number}: answer the customer in one sentence." for number in range(150))
SIZE = 1_500
START = 1_795_000_000.0


def sent(
    number: int, cached: int, *, at: float, took_s: float = 1.0, rules: str = RULES, **fields: Any
) -> TrafficRecord:
    messages = [{"role": "system", "content": rules}, {"role": "user", "content": f"{number}: is it open?"}]
    body = {"model": "electron", "messages": messages, **fields}
    usage = CacheUsage(SIZE + 10, cached, 5, 0, {"role": "assistant", "content": "Yes."})
    return TrafficRecord(START + at, body, 200, f"r{number}", usage, ended_unix=START + at + took_s)


def codes(result: ReplayResult) -> list[str]:
    assert result.explanation is not None
    return [candidate.code for candidate in result.explanation.candidates]


@pytest.mark.parametrize(("took_s", "running"), [(60.0, True), (1.0, False)])
def test_prefix_of_a_request_that_is_still_running_may_not_be_stored(took_s: float, running: bool) -> None:
    other = RULES.replace("Rule 0", "Rule zero")
    traffic = [sent(number, 0 if number == 0 else SIZE, at=10.0 * number) for number in range(6)]
    traffic.append(sent(6, 0, at=100.0, took_s=took_s, rules=other))
    traffic += [sent(number, 0, at=110.0 + number, took_s=took_s, rules=other) for number in (7, 8, 9)]
    replay = replay_traffic(traffic)
    results = list(replay)
    assert [result.record.request_id for result in results] == [f"r{number}" for number in range(10)]
    for result in results[7:]:
        assert ("running" in codes(result)) == running
        assert result.forecast.low < 20 or not running
    replicas = replay.summary.profile.replicas.value if replay.summary.profile is not None else None
    assert (replicas == 1) == running


def test_request_whose_answer_is_in_the_next_prompt_has_ended_whatever_the_clocks_say() -> None:
    traffic: list[TrafficRecord] = []
    messages: list[Json] = [{"role": "system", "content": RULES}]
    size = SIZE
    for number in range(8):
        messages = [*messages, {"role": "user", "content": f"{number}: is it open?"}]
        answer: dict[str, Json] = {
            "role": "assistant",
            "content": " ".join(f"It is open on day {day}." for day in range(40)),
        }
        usage = CacheUsage(size + 10, size - size % 16 if number else 0, 320, 0, answer)
        body: dict[str, Json] = {"model": "electron", "messages": messages}
        at = START + 20.0 * number
        traffic.append(TrafficRecord(at, body, 200, f"r{number}", usage, ended_unix=at + 30.0))
        messages, size = [*messages, answer], size + 330
    for result in list(replay_traffic(traffic))[4:]:
        assert result.usage is not None
        assert abs(result.forecast.cached_tokens - (result.usage.cached_tokens or 0)) <= 16


@pytest.mark.parametrize(("took_s", "running"), [(20.0, True), (3.0, False)])
def test_running_request_and_the_pause_before_it_are_candidates_where_an_older_one_had_the_prefix_and_lost_it(
    took_s: float, running: bool
) -> None:
    """After a pause of ten hours nothing is left; two requests with the same beginning follow within five seconds."""
    traffic = [sent(number, SIZE if number else 0, at=20.0 * number, took_s=3.0) for number in range(3)]
    traffic += [sent(3, 0, at=36_000.0, took_s=took_s), sent(4, 0, at=36_005.0, took_s=3.0)]
    *_, last = replay_traffic(traffic)
    assert ("running" in codes(last)) == running
    assert ("gap" in codes(last)) == running
    assert last.explanation is not None
    assert ("the 10 h since" in last.explanation.sentence) == running


def test_cached_tokens_without_prompt_tokens_are_explained_and_learned_from() -> None:
    cached = [0, *[1_024] * 7, 0]
    traffic = [sent(number, 0, at=10.0 * number) for number in range(len(cached))]
    usages = [CacheUsage(None, tokens) for tokens in cached]
    *_, before, last = replay_traffic(replace(one, usage=use) for one, use in zip(traffic, usages, strict=True))
    assert before.explanation is None or before.explanation.cause != "unreported"
    assert abs(before.forecast.cached_tokens - 1_024) <= 16
    assert last.explanation is not None
    assert (last.explanation.reason, last.usage and last.usage.prompt_tokens) == ("kept_points_or_lost", None)
    assert "room" in codes(last)


def test_request_that_failed_with_cached_tokens_alone_was_accepted() -> None:
    assert replace(sent(0, 0, at=0.0), status=500, usage=CacheUsage(None, 512)).accepted
    assert not replace(sent(0, 0, at=0.0), status=500, usage=CacheUsage()).accepted


def test_template_is_no_candidate_if_the_same_prompt_is_sent_again() -> None:
    """It writes the same prompt in the same way."""
    texts = [RULES, "Yes?", "No.", "And on Sunday?"]
    roles = ["system", "user", "assistant", "user"]
    messages: list[Json] = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    traffic = [
        TrafficRecord(
            START + 5.0 * number, {"messages": messages[:count]}, 200, f"r{number}", CacheUsage(SIZE, 0, 5, 0, {})
        )
        for number, count in enumerate((2, 2, 4))
    ]
    _, again, continued = replay_traffic(traffic)
    assert "tools_moved" not in codes(again)
    assert "tools_moved" in codes(continued)


def test_parameter_that_did_not_matter_before_is_not_the_cause() -> None:
    kind: dict[str, Any] = {"response_format": {"type": "json_object"}}
    traffic = [sent(0, 0, at=0.0)]
    traffic += [sent(number, SIZE, at=10.0 * number, **(kind if number % 2 else {})) for number in range(1, 6)]
    *_, last = replay_traffic([*traffic, sent(6, 0, at=60.0)])
    assert last.explanation is not None
    assert last.explanation.reason == "kept_points_or_lost"
    first_change = list(replay_traffic([traffic[0], sent(1, 0, at=10.0, **kind)]))[-1]
    assert first_change.explanation is not None
    assert first_change.explanation.cause == "parameters"


@pytest.mark.parametrize(("answer", "named"), [("It is open on weekdays. " * 30, True), ("Yes.", False)])
def test_change_of_model_is_named_if_the_other_model_alone_has_the_answer(answer: str, named: bool) -> None:
    rules: Json = {"role": "system", "content": RULES}
    alone: list[Json] = [rules]
    begun: list[Json] = [rules, {"role": "user", "content": "Is it open on the day before a holiday?"}]
    asked: list[Json] = [*begun, {"role": "assistant", "content": answer}, {"role": "user", "content": "And today?"}]
    sizes = (SIZE, 0), (SIZE, 0), (SIZE + len(answer) // 4, SIZE - 8)
    traffic = [
        TrafficRecord(
            START + at,
            {"model": model, "messages": messages},
            200,
            f"r{at}",
            CacheUsage(*size, len(answer) // 5, 0, {"role": "assistant", "content": answer}),
            ended_unix=START + at + 0.5,
        )
        for at, (model, messages, size) in enumerate(
            zip(("small", "large", "small"), (alone, begun, asked), sizes, strict=True)
        )
    ]
    *_, last = replay_traffic(traffic)
    assert (last.explanation is not None and last.explanation.cause == "parameters") is named


def test_text_of_the_same_user_behind_tools_in_another_order_does_not_prove_that_users_share_prompts() -> None:
    tools: list[Json] = [
        {"type": "function", "function": {"name": name, "description": f"Looks up {name}."}} for name in ("a", "b")
    ]
    asked: list[Json] = [{"role": "system", "content": RULES}, {"role": "user", "content": "Is it open?"}]
    more: list[Json] = [*asked, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And today?"}]
    bodies: list[tuple[str, list[Json], list[Json], int]] = [
        ("u1", asked, tools, 0),
        ("u2", asked, tools[::-1], 0),
        ("u1", more, tools[::-1], SIZE),
        ("u3", [*more, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Why?"}], tools[::-1], 0),
    ]
    traffic = [
        TrafficRecord(
            START + at,
            {"model": "electron", "messages": messages, "tools": sent_tools, "user": user},
            200,
            f"r{at}",
            CacheUsage(SIZE + 50 + 20 * at, cached, 5, 0, {"role": "assistant", "content": "Yes."}),
            ended_unix=START + at + 0.5,
        )
        for at, (user, messages, sent_tools, cached) in enumerate(bodies)
    ]
    *_, last = replay_traffic(traffic)
    assert last.explanation is not None
    assert last.explanation.cause == "parameters"
