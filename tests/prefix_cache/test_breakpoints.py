"""A generated server that keeps only the end of the system text and of the last message, without look-back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.replay import replay_traffic
from playground.prefix_cache.traffic import TrafficRecord
from playground.prompt.document import Json

WORDS = ["river", "stone", "market", "agent", "invoice", "policy", "refund", "window", "account", "museum", "harbor"]


def text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words))


def tokens(messages: list[dict[str, str]]) -> int:
    return sum(len(one["content"].split()) * 4 // 3 + 4 for one in messages)


def conversation(*, restart: int | None = None, any_prefix: bool = False) -> Iterator[TrafficRecord]:
    """Yield ten turns. `any_prefix`: the server finds whatever is shared again; `restart`: the turn before which it
    forgot all but the system text."""
    chance = random.Random(8)
    messages = [{"role": "system", "content": text(chance, 600)}]
    start = earlier = tokens(messages)
    for turn in range(10):
        messages = [*messages, {"role": "user", "content": text(chance, 60)}]
        prompt, answer = tokens(messages) + 3, text(chance, 80)
        served = earlier if any_prefix and turn != restart else start
        usage = CacheUsage(prompt, served if turn else 0, len(answer.split()) * 4 // 3)
        sent: list[Json] = [dict(one) for one in messages]
        yield TrafficRecord(1.8e9 + 20 * turn, {"model": "m", "messages": sent}, 200, f"r{turn}", usage)
        earlier = prompt - 3
        messages = [*messages, {"role": "assistant", "content": answer}]


def explanations(records: Iterator[TrafficRecord]) -> list[MissExplanation | None]:
    return [one.explanation for one in replay_traffic(records)][1:]


def test_continued_conversation_of_which_only_the_system_text_is_ever_served_has_no_cause_in_its_text() -> None:
    """The server may keep only the start, or slots may be shared: both report the same, and the loss is stated."""
    found = explanations(conversation())
    assert {one.cause for one in found if one is not None} <= {"unknown", "server"}
    assert None not in found[-3:]


def test_loss_of_all_but_the_system_text_is_stated_where_more_of_conversations_was_served() -> None:
    found = explanations(conversation(any_prefix=True, restart=8))
    lost = [number for number, one in enumerate(found, 1) if one is not None]
    assert lost == [8]


def test_more_of_a_conversation_once_served_ends_the_silence() -> None:
    records = [*conversation(), *conversation(any_prefix=True, restart=7)]
    later = [
        TrafficRecord(one.at_unix + 900, one.request, one.status, f"s{number}", one.usage)
        for number, one in enumerate(records[10:])
    ]
    assert all(one.at_unix < after.at_unix for one, after in pairwise([*records[:10], *later]))
    found = explanations(iter([*records[:10], *later]))
    assert found[9 + 7] is not None
