"""The cache lab: plans of a known cost, run step by step; their form on disk; and what their readings show.

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
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

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

    def tokens_of(self, step: int) -> float:
        """Return the input tokens (≈) of a step."""
        return len(self.prompts[self.steps[step].prompt]) / CHARS_A_TOKEN

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
    """Plan one prompt per gap, sent twice in a row and once more after its gap.

    The second request shows whether the server serves this prompt at all: it may have no cache, or several.
    """
    prompts = [_prompt(MODEST) for _ in gaps_s]
    steps = [
        *(LabStep(number, 0.0) for number in range(len(prompts)) for _ in range(2)),
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
    plan = LabPlan(experiment, tuple(prompts), tuple(steps), gaps=gaps)
    return replace(plan, tokens=sum(map(plan.tokens_of, range(len(steps)))))


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
        """Return whether no step is left, or only those after a wait and the server does not report cached tokens."""
        taken, steps = len(self.readings), self.plan.steps
        return taken >= len(steps) or (steps[taken].gap_s > 0 and self.unreported)

    @property
    def again(self) -> list[Reading]:
        """Return the readings of requests whose prompt had been sent before."""
        return [reading for reading in self.readings if reading.gap_s is not None]

    @property
    def unreported(self) -> bool:
        """Return whether no request that was sent again has a report of cached tokens."""
        again = self.again
        return bool(again) and all(reading.cached_tokens is None for reading in again)

    @property
    def tokens(self) -> float:
        """Return the input tokens (≈) of the whole plan, by the prompt tokens that were reported so far."""
        known = [reading for reading in self.readings if reading.prompt_tokens]
        expected = sum(self.plan.tokens_of(reading.step) for reading in known)
        reported = sum(reading.prompt_tokens or 0 for reading in known)
        return self.plan.tokens * (reported / expected if expected else 1.0)


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
CHANCE = 0.05
"""Probability of equal times from which pairs of times show no difference."""
ROUNDED = 10
"""Servers that round their reports do so to multiples of this."""


class Findings(Struct, frozen=True):
    """Results of an experiment; None is *not determined*. Tokens as reported; times in seconds.

    `block`: the greatest common divisor of the cached counts. `minimum`: (largest prompt that missed, smallest that
    hit). `lifetime`: (longest gap that hit, shortest that missed). `hits`, `again`: equal requests that were served
    from the cache, of how many that were sent again. `pairs`: times to first token of a new prompt, and of the same one
    served from the cache.
    """

    block: int | None = None
    minimum: tuple[int | None, int | None] = (None, None)
    lifetime: tuple[float | None, float | None] = (None, None)
    hits: int = 0
    again: int = 0
    pairs: tuple[tuple[float, float], ...] = ()
    unreported: bool = False

    @property
    def lifetime_s(self) -> float | None:
        """Return the lifetime for the forecast: the longest gap that hit, if a longer one missed; else None."""
        hit, missed = self.lifetime
        return hit if hit is not None and missed is not None and hit < missed else None


def findings(progress: LabProgress) -> Findings:
    known = [reading for reading in progress.again if reading.cached_tokens is not None]
    experiment = progress.plan.experiment
    return Findings(
        block=_block(known) if experiment == "blocks" else None,
        minimum=_minimum(known) if experiment == "blocks" else (None, None),
        lifetime=_lifetime(known) if experiment == "lifetime" else (None, None),
        hits=sum(1 for reading in known if reading.cached_tokens),
        again=len(known),
        pairs=tuple(_pairs(progress)) if experiment == "first_token" else (),
        unreported=progress.unreported,
    )


def _block(known: list[Reading]) -> int | None:
    counts = {reading.cached_tokens for reading in known if reading.cached_tokens}
    return math.gcd(*(count for count in counts if count)) if len(counts) >= ENOUGH else None


def _minimum(known: list[Reading]) -> tuple[int | None, int | None]:
    hit = min((r.prompt_tokens for r in known if r.cached_tokens and r.prompt_tokens), default=None)
    below = [r.prompt_tokens for r in known if r.cached_tokens == 0 and r.prompt_tokens]
    missed = max((tokens for tokens in below if hit is None or tokens < hit), default=None)
    return missed, hit


def _pairs(progress: LabProgress) -> Iterator[tuple[float, float]]:
    for cold, warm in pairwise(progress.readings):
        if cold.gap_s is None and warm.cached_tokens and cold.ttft_s is not None and warm.ttft_s is not None:
            yield cold.ttft_s, warm.ttft_s


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
    if found.block == 1:
        yield "The cached counts have no common divisor: no blocks of more than one token are visible."
    elif found.block is not None and _may_be_rounded(found):
        yield (
            f"Every cached count is a multiple of {found.block:,} tokens: either that, or a part of it, is the block "
            "size, or the server rounds the counts that it reports, and the block size is not known."
        )
    elif found.block is not None:
        yield f"Every cached count is a multiple of {found.block:,} tokens: that, or a part of it, is the block size."
    if hit is None:
        yield "No prompt was served from the cache." if found.again else "No prompt was sent twice yet."
    elif missed is None:
        yield f"The smallest prompt that was sent ({hit:,} tokens) was cached already."
    elif _may_be_rounded(found):
        yield f"Prompts of {hit:,} tokens are reported as cached in part, those of {missed:,} tokens and fewer are not."
    else:
        yield f"The least that is cached lies between {missed:,} and {hit:,} tokens of prompt."


def _may_be_rounded(found: Findings) -> bool:
    return found.block is not None and found.block % ROUNDED == 0


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
        yield f"No prompt was served from the cache, not even {seconds(missed)} after it was sent."


def _repeats_sentences(found: Findings) -> Iterator[str]:
    if found.again:
        share = percent(found.hits / found.again)
        yield f"{found.hits} of {found.again} requests that were sent again were served from the cache ({share})."


def _first_token_sentences(found: Findings) -> Iterator[str]:
    if not found.pairs:
        return
    cold, warm = zip(*found.pairs, strict=True)
    for name, times in (("cold", cold), ("warm", warm)):
        middle, late = seconds(statistics.median(times)), seconds(sorted(times)[math.ceil(0.9 * len(times)) - 1])
        yield f"{name}: median {middle}, 90th percentile {late} ({counted(len(times), 'request')})."
    faster, slower = sum(w < c for c, w in found.pairs), sum(w > c for c, w in found.pairs)
    if _by_chance(max(faster, slower), len(found.pairs)) > CHANCE:
        yield f"Not clear: the cached prompt was faster in {faster} of {counted(len(found.pairs), 'pair')}."
        return
    saved = statistics.median(c - w for c, w in found.pairs)
    word = "saves" if faster > slower else "costs"
    yield f"The cache {word} {seconds(abs(saved))} of the time to first token, by the median of the pairs."


def _by_chance(most: int, pairs: int) -> float:
    """Return the probability that at least `most` of the pairs differ in one direction by chance (sign test)."""
    return sum(math.comb(pairs, n) for n in range(most, pairs + 1)) / 2.0**pairs
