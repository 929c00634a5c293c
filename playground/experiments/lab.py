"""Execution of cache lab plans, step by step; can be stopped and resumed at any step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from playground.experiments.lab_plan import Experiment, LabPlan, LabStep
from playground.prompt.document import Document, Json
from playground.runs.state import RunState


@dataclass(frozen=True, slots=True)
class Reading:
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


@dataclass(frozen=True, slots=True)
class LabProgress:
    """A plan and its readings so far, as stored on disk. `endpoint_id`: the endpoint that receives the requests."""

    plan: LabPlan
    endpoint_id: str
    readings: tuple[Reading, ...] = ()

    @property
    def done(self) -> bool:
        """Return whether every step was executed."""
        return len(self.readings) >= len(self.plan.steps)


class Lab:
    """Runs one plan. `send` sends a document and returns the run's state; `read` is called with each new reading."""

    def __init__(
        self,
        progress: LabProgress,
        send: Callable[[Document], Awaitable[RunState]],
        read: Callable[[LabProgress], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.progress = progress
        self._send, self._read, self._clock = send, read, clock

    async def run(self) -> LabProgress:
        """Execute the remaining steps in order. Cancelling keeps the readings; a failed request ends the experiment."""
        plan = self.progress.plan
        while not self.progress.done:
            number = len(self.progress.readings)
            step = plan.steps[number]
            before = self._last_sent(step.prompt)
            if step.gap_s and before is not None:
                await asyncio.sleep(max(before + step.gap_s - self._clock(), 0.0))
            at = self._clock()
            state = await self._send(plan.document(number))
            self._take(_reading(number, at, before, state))
            if state.phase != "done":
                break
        return self.progress

    def _last_sent(self, prompt: int) -> float | None:
        steps = self.progress.plan.steps
        sent = [reading.at for reading in self.progress.readings if steps[reading.step].prompt == prompt]
        return sent[-1] if sent else None

    def _take(self, reading: Reading) -> None:
        # A failed request gives no reading: its step is repeated when the experiment is resumed.
        if reading.phase == "done":
            taken = (*self.progress.readings, reading)
            self.progress = LabProgress(self.progress.plan, self.progress.endpoint_id, taken)
        self._read(self.progress)


def _reading(number: int, at: float, before: float | None, state: RunState) -> Reading:
    usage = state.usage
    return Reading(
        number,
        at,
        state.phase,
        state.request_id,
        usage.prompt_tokens if usage else None,
        usage.cached_tokens if usage else None,
        state.ttft_s,
        None if before is None else at - before,
    )


def to_json(progress: LabProgress) -> Json:
    """Return the JSON form for the data folder."""
    plan = progress.plan
    return {
        "experiment": plan.experiment,
        "endpoint_id": progress.endpoint_id,
        "prompts": list(plan.prompts),
        "steps": [[step.prompt, step.gap_s] for step in plan.steps],
        "tokens": plan.tokens,
        "gaps": list(plan.gaps),
        "readings": [asdict(reading) for reading in progress.readings],
    }


def from_json(value: Json) -> LabProgress:
    """Parse the stored form. Raises ValueError, KeyError or TypeError if it is invalid."""
    fields = _mapping(value)
    experiment = fields["experiment"]
    if experiment not in ("blocks", "lifetime", "repeats", "first_token"):
        raise ValueError("no such experiment")
    chosen: Experiment = experiment  # type: ignore[assignment]  # one of the four
    prompts = tuple(str(prompt) for prompt in _items(fields["prompts"]))
    steps = tuple(LabStep(int(_number(step[0])), _number(step[1])) for step in map(_items, _items(fields["steps"])))
    if any(not 0 <= step.prompt < len(prompts) for step in steps):
        raise ValueError("a step without its prompt")
    gaps = tuple(_number(gap) for gap in _items(fields["gaps"]))
    plan = LabPlan(chosen, prompts, steps, _number(fields["tokens"]), gaps)
    readings = tuple(Reading(**_mapping(reading)) for reading in _items(fields["readings"]))  # type: ignore[arg-type]
    if len(readings) > len(steps):
        raise ValueError("more readings than steps")
    return LabProgress(plan, str(fields["endpoint_id"]), readings)


def csv_rows(progress: LabProgress) -> list[Sequence[object]]:
    """Return a heading and one row per reading; unreported values are empty cells."""
    rows: list[Sequence[object]] = [
        ("experiment", "step", "prompt", "sent_utc_unix_s", "gap_s", "prompt_tokens", "cached_tokens", "ttft_ms", "id")
    ]
    for reading in progress.readings:
        rows.append(
            (
                progress.plan.experiment,
                reading.step,
                progress.plan.steps[reading.step].prompt,
                f"{reading.at:.3f}",
                "" if reading.gap_s is None else f"{reading.gap_s:.3f}",
                "" if reading.prompt_tokens is None else reading.prompt_tokens,
                "" if reading.cached_tokens is None else reading.cached_tokens,
                "" if reading.ttft_s is None else f"{reading.ttft_s * 1000:.1f}",
                reading.request_id or "",
            )
        )
    return rows


def _mapping(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _items(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return value
