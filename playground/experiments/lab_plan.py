"""Plans of the cache lab's experiments, made in advance so that their cost can be displayed before sending.

Every prompt begins with unique words, so that no earlier request shares its first block. It is answered with one
token, since only the input matters.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Literal

from playground.dataclass import dataclass
from playground.prompt.document import Document, Message

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


@dataclass(frozen=True, slots=True)
class LabStep:
    """Send prompt number `prompt`. `gap_s`: seconds after it was last sent (0: as soon as possible)."""

    prompt: int
    gap_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LabPlan:
    """One experiment: its prompts, and the steps in order. `tokens` is the total of input tokens (≈)."""

    experiment: Experiment
    prompts: tuple[str, ...]
    steps: tuple[LabStep, ...]
    tokens: float = 0.0
    gaps: tuple[float, ...] = field(default=())

    @property
    def idle_s(self) -> float:
        """Return the total waiting time in seconds; gaps run in parallel."""
        return max(self.gaps, default=0.0)

    def document(self, step: int) -> Document:
        """Return the document that a step sends."""
        text = self.prompts[self.steps[step].prompt]
        return Document(
            name="cache lab",
            messages=(Message("system", text), Message("user", "Answer with one word.")),
            parameters={"max_tokens": 1, "temperature": 0},
        )


def plan_blocks(sizes: Sequence[int] = SIZES, seed: int | None = None) -> LabPlan:
    """Plan each size twice in a row: the second request shows how much is cached, and from which size on."""
    prompts = [_prompt(size, seed) for size in sizes]
    steps = [step for number in range(len(prompts)) for step in (LabStep(number), LabStep(number))]
    return _plan("blocks", prompts, steps)


def plan_lifetime(gaps_s: Sequence[float] = GAPS_S, seed: int | None = None) -> LabPlan:
    """Plan one prompt per gap: all are sent first, and each is sent again after its gap."""
    prompts = [_prompt(MODEST, seed) for _ in gaps_s]
    steps = [*(LabStep(number) for number in range(len(prompts))), *(LabStep(n, gap) for n, gap in enumerate(gaps_s))]
    return _plan("lifetime", prompts, steps, tuple(gaps_s))


def plan_repeats(times: int = 20, seed: int | None = None) -> LabPlan:
    """Plan repeated requests of one prompt."""
    return _plan("repeats", [_prompt(MODEST, seed)], [LabStep(0)] * times)


def plan_first_token(pairs: int = 10, seed: int | None = None) -> LabPlan:
    """Plan a new prompt and its repetition in turns, so that other changes over time affect both equally."""
    prompts = [_prompt(MODEST, seed) for _ in range(pairs)]
    return _plan("first_token", prompts, [step for n in range(pairs) for step in (LabStep(n), LabStep(n))])


PLANS: Mapping[Experiment, Callable[[], LabPlan]] = {
    "blocks": plan_blocks,
    "lifetime": plan_lifetime,
    "repeats": plan_repeats,
    "first_token": plan_first_token,
}


def _plan(experiment: Experiment, prompts: list[str], steps: list[LabStep], gaps: tuple[float, ...] = ()) -> LabPlan:
    tokens = sum(len(prompts[step.prompt]) / CHARS_A_TOKEN for step in steps)
    return LabPlan(experiment, tuple(prompts), tuple(steps), tokens, gaps)


def _prompt(size: int, seed: int | None) -> str:
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
