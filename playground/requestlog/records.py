"""Frozen values that the request log stores and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from operator import eq
from typing import overload

from msgspec import Struct

from playground.client.endpoint import Cost, Rates, cost
from playground.client.events import AnyEvent, Usage
from playground.prompt.document import Json
from playground.runs.metrics import WRONG_USAGE, counted
from playground.runs.record import EndpointKind, RequestRecord, RequestSource
from playground.runs.state import ENDED, Phase, RunState, fold

PREVIEW_CHARS = 200
"""Length of the previews of question and answer in a row, in code points."""
MOST_TAG_CHARS = 64


_FOLDED_AT_ONCE = 10_000


class LogUnavailableError(Exception):
    """The log cannot be stored in this folder. The message names the folder and what to do."""


class DamagedRunError(Exception):
    """A stored request cannot be read. The message is its run_id."""


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags without control characters, one of which separates them in the log, and without empty ones."""
    printable = ("".join(" " if character < " " else character for character in tag).strip() for tag in tags)
    return tuple(dict.fromkeys(tag[:MOST_TAG_CHARS] for tag in printable if tag))


class EndedRun(Struct, frozen=True):
    """A run that ended before it came into this log. `imported`: read from a file."""

    record: RequestRecord
    events: tuple[AnyEvent, ...]
    marked: bool = False
    tags: tuple[str, ...] = ()
    comment: str = ""
    imported: bool = False
    dropped_raw: bool = False
    explanation: Json = None


class AddedRuns(Struct, frozen=True):
    """Run ids of ended runs that were stored: `new`, and `replaced`, which had no exact times before."""

    new: Sequence[str] = ()
    replaced: Sequence[str] = ()


class LogRow(Struct, frozen=True):
    """One line of the log. Tokens are the server's figures; None is *not reported*. Times in seconds.

    `number` increases with every request and is never reused; pages start from it.
    `prompt_tokens_estimated` and `forecast_cached` are estimates (≈); `question` and `answer` are their first
    PREVIEW_CHARS code points; `called` names the tools that the completion called. `imported`: read from a file.
    `warning`: what `runs.summary.warnings` says of a request that is done.
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
    warning: str = ""

    @property
    def cost(self) -> Cost:
        """Return the cost at the rates of the time of sending. A usage report that cannot be right has none."""
        if WRONG_USAGE in self.warning:
            return Cost()
        return cost(Usage(self.prompt_tokens, self.completion_tokens, None, self.cached_tokens), self.rates)

    @property
    def is_output_estimated(self) -> bool:
        """Return whether the output tokens of an ended request are estimated from its stored text (`output_figure`)."""
        return self.completion_tokens is None and self.phase in ENDED and bool(self.answer or self.called)


class LogGroup(Struct, frozen=True):
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


class StoredEvents(Sequence[AnyEvent]):
    """The events of a long run, decoded at each iteration: a million of them take 150 MB."""

    def __init__(self, decode: Callable[[], Iterator[AnyEvent]]) -> None:
        """Decode all events once, so that damage is found here. Raises the errors of `decode`."""
        self._decode = decode
        self._count, self._last = 0, None
        for self._count, self._last in enumerate(decode(), 1):
            pass

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[AnyEvent]:
        return self._decode()

    @overload
    def __getitem__(self, index: int) -> AnyEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[AnyEvent]: ...
    def __getitem__(self, index: int | slice) -> AnyEvent | Sequence[AnyEvent]:
        if isinstance(index, slice):
            wanted = range(self._count)[index]
            least, most = (min(wanted, default=0), max(wanted, default=-1) + 1)
            found = tuple(islice(self, least, most))
            return tuple(found[each - least] for each in wanted)
        at = range(self._count)[index]
        if at == self._count - 1 and self._last is not None:
            return self._last
        return next(islice(self, at, None))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredEvents | tuple):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # not needed, and it would decode all events


class StoredRun(Struct, frozen=True):
    """One stored request.

    `dropped_raw`: raw events beyond the cap were not stored. `explanation` is the cache explanation that
    `RequestLog.set_explanation` was given; None if there is none.
    """

    record: RequestRecord
    number: int
    phase: Phase
    marked: bool
    events: Sequence[AnyEvent]
    dropped_raw: bool = False
    imported: bool = False
    comment: str = ""
    tags: tuple[str, ...] = ()
    explanation: Json = None

    def state(self) -> RunState:
        """Return the state, by the same fold as for live runs; `interrupted` if the program ended before the run."""
        state, events = RunState(), iter(self.events)
        while some := tuple(islice(events, _FOLDED_AT_ONCE)):
            fold(some, state)
            _ = state.text  # joins the pieces: a million of them take more memory than their text
        if self.phase == "interrupted" and not state.ended:
            state.phase = "interrupted"
            state.ended_at = self.events[-1].at if self.events else None
        return state


class Found(Struct, frozen=True):
    """Result of one step of a search, newest first. It continues before row `below`; None: it is complete."""

    rows: list[LogRow]
    below: int | None = None


class Count(Struct, frozen=True):
    """How many rows match. Not `exact`: there are more than `n`."""

    n: int
    exact: bool


class Totals(Struct, frozen=True):
    """Sums over the rows that match. A sum is None if no row reported that figure.

    `compared` rows reported both prompt and cached tokens, and not more cached ones; only these count for the hit rate.
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


class RecoveryProgress(Struct, frozen=True):
    """`done` of `total` requests are recovered; `damaged` could not be read."""

    done: int
    total: int
    damaged: int = 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.done + self.damaged >= self.total


MAX_NAMED = 5
"""Damaged requests that a message names; the others are counted."""


def damaged_message(run_ids: list[str]) -> str:
    """Count the damaged requests and name the first MAX_NAMED."""
    named = ", ".join(run_ids[:MAX_NAMED]) + (", …" if len(run_ids) > MAX_NAMED else "")
    return f"{counted(len(run_ids), 'damaged request')} could not be read ({named})."
