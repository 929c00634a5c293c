"""The cache lab: plans of a known cost, run step by step, and their form on disk from which they are resumed.

Every prompt begins with unique words, so that no earlier request shares its first block. It is answered with one
token, since only the input matters.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document, Json, Message
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
