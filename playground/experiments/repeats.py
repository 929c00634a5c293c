"""Equal requests sent several times: whether the second one was cached, and how many of the answers are equal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from playground.prefix_cache.text_compare import common_prefix
from playground.runs.metrics import percent, seconds
from playground.runs.state import RunState

MOST = 200
"""Maximum number of requests in one experiment."""


class RepeatedAnswer(Struct, frozen=True):
    """One answer: its text with its tool calls, and the request_ids of the requests that got it."""

    text: str
    request_ids: tuple[str | None, ...]

    @property
    def count(self) -> int:
        return len(self.request_ids)


class Drift(Struct, frozen=True):
    """The answers to equal requests: each different one, the most frequent first. `failed` requests got none."""

    asked: int
    answers: tuple[RepeatedAnswer, ...]
    failed: int

    @property
    def answered(self) -> int:
        return sum(answer.count for answer in self.answers)

    @property
    def share_equal(self) -> float | None:
        """Return the share of answers that equal the most frequent one, 0 to 1; None without answers."""
        return self.answers[0].count / self.answered if self.answers else None

    def differs_at(self, index: int) -> int | None:
        """Return the offset at which answer `index` first differs from the most frequent one; None for itself."""
        first, other = self.answers[0].text, self.answers[index].text
        if first == other:
            return None
        return common_prefix(first, other)

    @property
    def sentence(self) -> str:
        lost = f" {self.failed} ended without an answer." if self.failed else ""
        if not self.answers:
            return f"None of {self.asked} requests got an answer."
        if len(self.answers) == 1:
            return f"All {self.answered} answers are equal.{lost}"
        equal = f"{self.answers[0].count} of {self.answered} answers are equal ({percent(self.share_equal)})"
        return f"{equal}; there are {len(self.answers)} different ones.{lost}"


def drift(states: Sequence[RunState]) -> Drift:
    """Summarize repeated requests. A stopped or failed one counts as unanswered."""
    groups: dict[str, list[str | None]] = {}
    for state in states:
        if state.phase == "done":
            groups.setdefault(answer_text(state), []).append(state.request_id)
    answers = sorted((RepeatedAnswer(text, tuple(ids)) for text, ids in groups.items()), key=lambda a: -a.count)
    return Drift(len(states), tuple(answers), sum(1 for state in states if state.phase != "done"))


def answer_text(state: RunState) -> str:
    """Return the text and the tool calls without call ids, which differ in every response."""
    calls = [f"{call.name}({call.arguments})" for call in state.calls]
    return "\n".join((state.text, *calls)) if calls else state.text


async def repeat(
    send: Callable[[], Awaitable[RunState]], times: int, at_once: int, ended: Callable[[RunState], None]
) -> list[RunState]:
    """Send `times` times, at most `at_once` in parallel; call `ended` after each. Cancelling stops those in flight."""
    free = asyncio.Semaphore(at_once)
    states: list[RunState] = []

    async def one() -> None:
        async with free:
            state = await send()
        states.append(state)
        ended(state)

    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(one())
    return states


def verdict(first: RunState, second: RunState) -> str:
    """Return the conclusion from two equal requests in a row, in one or two sentences."""
    for name, state in (("first", first), ("second", second)):
        if state.phase != "done":
            return f"Caching could not be verified: the {name} request ended as {state.phase}."
    usage = second.usage
    if usage is None or usage.cached_tokens is None:
        return "Caching could not be verified: this server does not report cached tokens."
    if usage.cached_tokens == 0:
        size = "" if usage.prompt_tokens is None else f" ({usage.prompt_tokens:,} tokens)"
        return (
            "The second of two equal requests reports 0 cached tokens. Either this server has no prefix cache, or the "
            f"prompt{size} is below the least it caches."
        )
    if usage.prompt_tokens is not None and usage.fresh_tokens is None:
        return (
            f"Caching could not be verified: the second request reports {usage.cached_tokens:,} cached of "
            f"{usage.prompt_tokens:,} input tokens, which cannot be right."
        )
    size = f" of {usage.prompt_tokens:,}" if usage.prompt_tokens else ""
    share = f" ({percent(usage.cached_tokens / usage.prompt_tokens)})" if usage.prompt_tokens else ""
    return (
        f"Caching works: {usage.cached_tokens:,}{size} tokens of the second request came from the "
        f"cache{share}.{_faster(first, second)}{_already(first)}"
    )


def _faster(first: RunState, second: RunState) -> str:
    if first.ttft_s is None or second.ttft_s is None:
        return ""
    return f" Time to first token {seconds(first.ttft_s)}, then {seconds(second.ttft_s)}."


def _already(first: RunState) -> str:
    if first.usage is None or not first.usage.cached_tokens:
        return ""
    return f" The first had {first.usage.cached_tokens:,} from earlier requests already."
