"""Frozen values that the request log stores and returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from playground.client.endpoint import Rates
from playground.client.events import AnyEvent
from playground.prompt.document import Json
from playground.runs.record import EndpointKind, RequestRecord, RequestSource
from playground.runs.state import Phase, RunState, fold

PREVIEW_CHARS = 200
"""Length of the previews of question and answer in a row, in code points."""


class LogUnavailableError(Exception):
    """The log cannot be stored in this folder. The message names the folder and what to do."""


class DamagedRunError(Exception):
    """A stored request cannot be read. The message is its run_id."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that ended before it came into this log. `imported`: read from a file."""

    record: RequestRecord
    events: tuple[AnyEvent, ...]
    marked: bool = False
    tags: tuple[str, ...] = ()
    comment: str = ""
    imported: bool = False
    dropped_raw: bool = False
    explanation: Json = None


@dataclass(frozen=True, slots=True)
class LogRow:
    """One line of the log. Tokens are the server's figures; None is *not reported*. Times in seconds.

    `number` increases with every request and is never reused; pages start from it.
    `prompt_tokens_estimated` and `forecast_cached` are estimates (≈); `question` and `answer` are their first
    PREVIEW_CHARS code points; `called` names the tools that the completion called. `imported`: read from a file.
    `group`: the row is the heading of a group, and its other fields are those of the group's newest request.
    """

    run_id: str
    number: int
    started_utc: datetime
    phase: Phase
    status: int | None
    finish_reason: str | None
    request_id: str | None
    body_id: str | None
    endpoint_id: str
    endpoint_name: str
    endpoint_kind: EndpointKind
    model: str
    rates: Rates
    attempts: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    prompt_tokens_estimated: float | None
    forecast_cached: float | None
    ttft_s: float | None
    duration_s: float | None
    question: str
    answer: str
    called: str
    error_title: str
    marked: bool
    imported: bool = False
    comment: str = ""
    source: RequestSource = "unknown"
    conversation: str | None = None
    tags: tuple[str, ...] = ()
    group: LogGroup | None = None


@dataclass(frozen=True, slots=True)
class LogGroup:
    """What the requests of one group add up to. Its row in the log has the tag as `run_id` and a negative `number`.

    Sums are over the requests that reported the figure: `prompt_reported` of `requests`, and so on. `prompt_tokens`
    and `cached_tokens` are None if none did. `prompt_estimated` is the sum with estimates (≈) for requests without a
    report; None if one of them has no estimate. `input_cost` is in dollars over the `priced` requests.
    """

    tag: str
    requests: int
    running: int
    failed: int
    stopped: int
    prompt_tokens: int | None
    prompt_reported: int
    prompt_estimated: float | None
    cached_tokens: int | None
    cached_reported: int
    completion_tokens: int | None
    completion_reported: int
    input_cost: float | None
    priced: int
    compared_prompt_tokens: int
    compared_cached_tokens: int
    first_utc: datetime
    span_s: float | None
    expanded: bool = False

    @property
    def kind(self) -> str:
        """Return the part of the tag that names the kind of experiment."""
        return self.tag.partition(":")[0].lower()


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One stored request.

    `dropped_raw`: raw events beyond the cap were not stored. `explanation` is the cache explanation that
    `RequestLog.set_explanation` was given; None if there is none.
    """

    record: RequestRecord
    number: int
    phase: Phase
    marked: bool
    events: tuple[AnyEvent, ...]
    dropped_raw: bool = False
    imported: bool = False
    comment: str = ""
    tags: tuple[str, ...] = ()
    explanation: Json = None

    def state(self) -> RunState:
        """Return the state, by the same fold as for live runs; `interrupted` if the program ended before the run."""
        state = fold(self.events)
        if self.phase == "interrupted" and not state.ended:
            state.phase = "interrupted"
            state.ended_at = self.events[-1].at if self.events else None
        return state


@dataclass(frozen=True, slots=True)
class Found:
    """Result of one step of a search, newest first. It continues before row `below`; None: it is complete."""

    rows: list[LogRow]
    below: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """How many rows match. Not `exact`: there are more than `n`."""

    n: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the rows that match. A sum is None if no row reported that figure.

    `compared` rows reported both prompt and cached tokens; only these count for the hit rate.
    """

    requests: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    compared: int
    compared_prompt_tokens: int
    compared_cached_tokens: int

    @property
    def hit_rate(self) -> float | None:
        """Return cached / prompt tokens, 0 to 1, weighted by tokens; None if nothing was reported."""
        if self.compared_prompt_tokens <= 0:
            return None
        return self.compared_cached_tokens / self.compared_prompt_tokens
