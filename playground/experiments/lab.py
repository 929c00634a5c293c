"""Repeated requests: the cache lab, with plans of a known cost that are resumed at any step; equality of answers.

Every prompt begins with unique words, so that no earlier request shares its first block. It is answered with one
token, since only the input matters.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import Document, Json, Message
from playground.runs.metrics import counted, percent, seconds
from playground.runs.state import RunState

Experiment = Literal["blocks", "lifetime", "repeats", "first_token"]
TITLES: dict[Experiment, str] = {
    "blocks": "Block size and minimum",
    "lifetime": "How long an unused prefix stays cached",
    "repeats": "Hit rate of equal requests",
    "first_token": "Time to first token, cold against warm",
}
SIZES = (24, 48, 72, 110, 150, 210, 290, 400, 560, 790, 1_110, 1_560, 2_200, 3_100)
"""≈ tokens of the prompts of "blocks": close together around common minima, far apart above them."""
GAPS_S = (15.0, 30.0, 60.0, 120.0, 240.0, 360.0, 600.0)
CHARS_A_TOKEN = 4.6
MODEST = 1_200
"""≈ tokens of a prompt whose size does not matter: above common minima, several blocks of any common size."""
_TEXT = (
    "the parcel van stops near a quiet market where people wait for bread and ask the driver what came today "
    "while rain falls on old stones and someone counts boxes then signs a page with care before the next street begins"
)


MAX_GAP_S = 86_400.0
"""Longest wait between two sends in a stored plan."""
_Gap: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=MAX_GAP_S)]


class LabStep(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Send prompt number `prompt`. `gap_s`: seconds after it was last sent (0: as soon as possible)."""

    prompt: int
    gap_s: _Gap


class LabPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """One experiment: its prompts, and the steps in order. `tokens` is the total of input tokens (≈)."""

    experiment: Experiment
    prompts: tuple[str, ...]
    steps: tuple[LabStep, ...]
    tokens: float = 0.0
    gaps: tuple[_Gap, ...] = ()

    @property
    def idle_s(self) -> float:
        """Return the total waiting time in seconds; gaps run in parallel."""
        return max(self.gaps, default=0.0)

    def document(self, step: int) -> Document:
        text = self.prompts[self.steps[step].prompt]
        return Document(
            name="cache lab",
            messages=(Message("system", text), Message("user", "Answer with one word.")),
            parameters={"max_tokens": 1, "temperature": 0},
        )


def plan_blocks(sizes: Sequence[int] = SIZES, seed: int | None = None) -> LabPlan:
    """Plan each size twice in a row: the second request shows how much is cached, and from which size on."""
    prompts = [_prompt(size, seed) for size in sizes]
    steps = [step for number in range(len(prompts)) for step in (LabStep(number, 0.0), LabStep(number, 0.0))]
    return _plan("blocks", prompts, steps)


def plan_lifetime(gaps_s: Sequence[float] = GAPS_S) -> LabPlan:
    """Plan one prompt per gap: all are sent first, and each is sent again after its gap."""
    prompts = [_prompt(MODEST) for _ in gaps_s]
    steps = [
        *(LabStep(number, 0.0) for number in range(len(prompts))),
        *(LabStep(n, gap) for n, gap in enumerate(gaps_s)),
    ]
    return _plan("lifetime", prompts, steps, tuple(gaps_s))


def plan_repeats(times: int = 20) -> LabPlan:
    return _plan("repeats", [_prompt(MODEST)], [LabStep(0, 0.0)] * times)


def plan_first_token(pairs: int = 10) -> LabPlan:
    """Plan a new prompt and its repetition in turns, so that other changes over time affect both equally."""
    prompts = [_prompt(MODEST) for _ in range(pairs)]
    return _plan("first_token", prompts, [step for n in range(pairs) for step in (LabStep(n, 0.0), LabStep(n, 0.0))])


PLANS: Mapping[Experiment, Callable[[], LabPlan]] = {
    "blocks": plan_blocks,
    "lifetime": plan_lifetime,
    "repeats": plan_repeats,
    "first_token": plan_first_token,
}


def _plan(experiment: Experiment, prompts: list[str], steps: list[LabStep], gaps: tuple[float, ...] = ()) -> LabPlan:
    tokens = sum(len(prompts[step.prompt]) / CHARS_A_TOKEN for step in steps)
    return LabPlan(experiment, tuple(prompts), tuple(steps), tokens, gaps)


def _prompt(size: int, seed: int | None = None) -> str:
    """Return a text of about `size` tokens with a unique beginning; `seed` makes the remaining words reproducible."""
    chance, words = random.Random(seed), _TEXT.split()
    nonce = uuid.uuid4().hex
    head = f"{nonce[:8]} {nonce[8:16]} begins this text."
    pieces, length = [head], len(head)
    while length < size * CHARS_A_TOKEN:
        word = chance.choice(words)
        pieces.append(word)
        length += len(word) + 1
    return " ".join(pieces)


FILE = "cache_lab.json"


class Reading(Struct, frozen=True):
    """Result of one step. Tokens as the server reported them; None is *not reported*. `at` is unix seconds.

    `gap_s`: seconds since the same prompt was sent before; None for the first time.
    """

    step: int
    at: float
    phase: str
    request_id: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    ttft_s: float | None
    gap_s: float | None


class LabProgress(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan and its readings so far, as stored on disk. `endpoint_id`: the endpoint that receives the requests."""

    plan: LabPlan
    endpoint_id: str
    readings: tuple[Reading, ...] = ()

    @property
    def done(self) -> bool:
        return len(self.readings) >= len(self.plan.steps)


class Lab:
    """Runs one plan. `send` sends a document and returns the run's state; `read` is called with each new reading."""

    def __init__(
        self,
        progress: LabProgress,
        send: Callable[[Document], Awaitable[RunState]],
        read: Callable[[LabProgress], None],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.progress = progress
        self._send, self._read, self._clock, self._sleep = send, read, clock, sleep
        self.due: float | None = None
        """Unix seconds of the next send while the plan's pause before it runs; None otherwise."""

    @property
    def left_s(self) -> float | None:
        """Return the seconds until the next send; None if it does not wait."""
        return None if self.due is None else max(self.due - self._clock(), 0.0)

    async def run(self) -> LabProgress:
        """Execute the remaining steps in order. Cancelling keeps the readings; a failed request ends the experiment."""
        plan = self.progress.plan
        while not self.progress.done:
            number = len(self.progress.readings)
            step = plan.steps[number]
            sent = (reading.at for reading in self.progress.readings if plan.steps[reading.step].prompt == step.prompt)
            before = max(sent, default=None)
            if step.gap_s and before is not None:
                self.due = before + step.gap_s
                try:
                    await self._sleep(max(self.due - self._clock(), 0.0))
                finally:
                    self.due = None
            at = self._clock()
            state = await self._send(plan.document(number))
            # A failed request gives no reading: its step is repeated when the experiment is resumed.
            if state.phase == "done":
                taken = (*self.progress.readings, _reading(number, at, before, state))
                self.progress = replace(self.progress, readings=taken)
            self._read(self.progress)
            if state.phase != "done":
                break
        return self.progress


def _reading(number: int, at: float, before: float | None, state: RunState) -> Reading:
    usage = state.usage
    return Reading(
        number,
        at,
        state.phase,
        state.request_id,
        usage.prompt_tokens if usage else None,
        usage.cached_tokens if usage and usage.fresh_tokens is not None else None,
        state.ttft_s,
        None if before is None else at - before,
    )


def to_json(progress: LabProgress) -> Json:
    """Return the JSON form for the data folder: the fields of the plan beside those of the progress."""
    fields: dict[str, Json] = msgspec.to_builtins(progress)
    plan = fields.pop("plan")
    assert isinstance(plan, dict)
    return {**fields, **plan}


def from_json(value: Json) -> LabProgress:
    """Parse the stored form. Raises ValueError if it is invalid."""
    fields = msgspec.convert(value, dict[str, Any])
    if fields.keys() != {*LabPlan.__struct_fields__, *LabProgress.__struct_fields__} - {"plan"}:
        raise ValueError("other fields than those of an experiment")
    plan = {name: fields.pop(name) for name in LabPlan.__struct_fields__}
    progress = msgspec.convert({**fields, "plan": plan}, LabProgress)
    prompts, steps = len(progress.plan.prompts), len(progress.plan.steps)
    if any(not 0 <= step.prompt < prompts for step in progress.plan.steps):
        raise ValueError("a step without its prompt")
    if len(progress.readings) > steps:
        raise ValueError("more readings than steps")
    if any(not 0 <= reading.step < steps for reading in progress.readings):
        raise ValueError("a reading without its step")
    return progress


def csv_rows(progress: LabProgress) -> list[Sequence[object]]:
    """Return a heading and one row per reading; unreported values are empty cells."""
    rows: list[Sequence[object]] = [
        ("experiment", "step", "prompt", "sent_utc_unix_s", "gap_s", "prompt_tokens", "cached_tokens", "ttft_ms", "id")
    ]
    for reading in progress.readings:
        gap = None if reading.gap_s is None else f"{reading.gap_s:.3f}"
        ttft = None if reading.ttft_s is None else f"{reading.ttft_s * 1000:.1f}"
        figures = gap, reading.prompt_tokens, reading.cached_tokens, ttft, reading.request_id
        prompt = progress.plan.steps[reading.step].prompt
        sent = progress.plan.experiment, reading.step, prompt, f"{reading.at:.3f}"
        rows.append((*sent, *("" if figure is None else figure for figure in figures)))
    return rows


ENOUGH = 4
"""Least number of distinct cached counts whose common divisor is reported as the block size."""


class Findings(Struct, frozen=True):
    """Results of an experiment; None is *not determined*. Tokens as reported; times in seconds.

    `block`: every cached count was a whole number of these. `minimum`: (largest prompt that missed, smallest that
    hit). `lifetime`: (longest gap that hit, shortest that missed). `hits`, `again`: equal requests that were served
    from the cache, of how many that were sent again.
    """

    block: int | None = None
    minimum: tuple[int | None, int | None] = (None, None)
    lifetime: tuple[float | None, float | None] = (None, None)
    hits: int = 0
    again: int = 0
    cold_ttft: tuple[float, ...] = ()
    warm_ttft: tuple[float, ...] = ()
    unreported: bool = False

    @property
    def lifetime_s(self) -> float | None:
        """Return the lifetime for the forecast: the longest gap that hit, if a longer one missed; else None."""
        hit, missed = self.lifetime
        return hit if hit is not None and missed is not None and hit < missed else None


def findings(progress: LabProgress) -> Findings:
    again = [reading for reading in progress.readings if reading.gap_s is not None]
    known = [reading for reading in again if reading.cached_tokens is not None]
    experiment = progress.plan.experiment
    return Findings(
        block=_block(known) if experiment == "blocks" else None,
        minimum=_minimum(known) if experiment == "blocks" else (None, None),
        lifetime=_lifetime(known) if experiment == "lifetime" else (None, None),
        hits=sum(1 for reading in known if reading.cached_tokens),
        again=len(known),
        cold_ttft=tuple(r.ttft_s for r in progress.readings if r.gap_s is None and r.ttft_s is not None),
        warm_ttft=tuple(r.ttft_s for r in known if r.cached_tokens and r.ttft_s is not None),
        unreported=bool(again) and not known,
    )


def _block(known: list[Reading]) -> int | None:
    counts = {reading.cached_tokens for reading in known if reading.cached_tokens}
    return math.gcd(*(count for count in counts if count)) if len(counts) >= ENOUGH else None


def _minimum(known: list[Reading]) -> tuple[int | None, int | None]:
    hit = min((r.prompt_tokens for r in known if r.cached_tokens and r.prompt_tokens), default=None)
    below = [r.prompt_tokens for r in known if r.cached_tokens == 0 and r.prompt_tokens]
    missed = max((tokens for tokens in below if hit is None or tokens < hit), default=None)
    return missed, hit


def _lifetime(known: list[Reading]) -> tuple[float | None, float | None]:
    gaps = [(reading.gap_s or 0.0, bool(reading.cached_tokens)) for reading in known]
    missed = min((gap for gap, hit in gaps if not hit), default=None)
    return max((gap for gap, hit in gaps if hit), default=None), missed


def sentences(progress: LabProgress) -> Iterator[str]:
    """Return one sentence per finding; values that the server did not report are named as unknown."""
    found = findings(progress)
    if found.unreported:
        yield "This server does not report cached tokens: nothing can be found out about its cache."
        return
    yield from {
        "blocks": _blocks_sentences,
        "lifetime": _lifetime_sentences,
        "repeats": _repeats_sentences,
        "first_token": _first_token_sentences,
    }[progress.plan.experiment](found)


def _blocks_sentences(found: Findings) -> Iterator[str]:
    missed, hit = found.minimum
    if found.block is not None:
        yield f"Every cached count is a multiple of {found.block:,} tokens: that, or a part of it, is the block size."
    if hit is None:
        yield "No prompt was served from the cache." if found.again else "No prompt was sent twice yet."
    elif missed is None:
        yield f"The smallest prompt that was sent ({hit:,} tokens) was cached already."
    else:
        yield f"The least that is cached lies between {missed:,} and {hit:,} tokens of prompt."


def _lifetime_sentences(found: Findings) -> Iterator[str]:
    hit, missed = found.lifetime
    if hit is not None and missed is not None and hit < missed:
        yield f"An unused prefix stayed cached for {seconds(hit)} and was gone after {seconds(missed)}."
    elif hit is not None and missed is not None:
        gone = seconds(missed)
        yield f"A prefix stayed cached for {seconds(hit)}, another was gone after {gone}: time is not the only cause."
    elif hit is not None:
        yield f"A prefix was still there after {seconds(hit)}, the longest gap so far."
    elif missed is not None:
        yield f"A prefix was gone after {seconds(missed)}, the shortest gap."


def _repeats_sentences(found: Findings) -> Iterator[str]:
    if found.again:
        share = percent(found.hits / found.again)
        yield f"{found.hits} of {found.again} requests that were sent again were served from the cache ({share})."


def _first_token_sentences(found: Findings) -> Iterator[str]:
    for name, times in (("cold", found.cold_ttft), ("warm", found.warm_ttft)):
        if times:
            middle, late = seconds(statistics.median(times)), seconds(_ninetieth(times))
            yield f"{name}: median {middle}, 90th percentile {late} ({counted(len(times), 'request')})."
    if found.cold_ttft and found.warm_ttft:
        saved = statistics.median(found.cold_ttft) - statistics.median(found.warm_ttft)
        word = "saves" if saved >= 0 else "costs"
        yield f"The cache {word} {seconds(abs(saved))} of the time to first token, by the medians."


def _ninetieth(times: tuple[float, ...]) -> float:
    return sorted(times)[min(math.ceil(0.9 * len(times)) - 1, len(times) - 1)]


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
    """`answers` has each different answer, the most frequent first; `failed` requests ended without one.

    `differs_at` is for each answer the code point at which it first differs from the first of them (None for itself).
    """

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
        """Return the code point at which answer `index` first differs from the most frequent one."""
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
    calls = [f"{call.name}({call.arguments})" for _, call in sorted(state.tool_calls.items())]
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
