"""What is predicted of a prompt before it is sent, what the server reports for it, and the forecast with its score."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter

from msgspec import Struct, field

from playground.prefix_cache.hypotheses import Rendering, ReportOutcome
from playground.prefix_cache.index import Sent
from playground.prefix_cache.prefix_size import ForecastInterval, Measure, Size
from playground.prefix_cache.reach import Reach
from playground.prefix_cache.token_estimator import median
from playground.prefix_cache.view import PLAIN_ORDERS, CacheView, Order
from playground.prompt.document import Json


class CacheUsage(Struct, frozen=True):
    """What a server reported for a request; None: not reported. `message` is the generated message.

    `implausible`: why the reported counts, which are left out then, cannot be right.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int = 0
    message: Mapping[str, Json] | None = None
    implausible: str = ""

    @classmethod
    def reported(
        cls,
        prompt: int | None,
        cached: int | None,
        completion: int | None,
        body: bytes,
        message: Mapping[str, Json] | None = None,
    ) -> CacheUsage:
        """Return the counts reported for a request body, without those that cannot be right: they teach nothing."""
        fault = "" if prompt is None else _fault(prompt, cached, body)
        return cls(message=message, implausible=fault) if fault else cls(prompt, cached, completion, message=message)


ADDED_TOKENS = 100_000
"""Input tokens that a server may add to a prompt: its own instructions, pictures, search results."""
ROUND_UNITS = (10, 50, 100)
"""Some servers round cached tokens to multiples of these, to the nearest or up."""
MAX_TOKEN_BYTES = 200
"""Of text: no tokenizer has longer tokens on average. Pictures, sounds and files have more bytes."""
_ATTACHED = (b'"image_url"', b'"input_audio"', b'"file"', b";base64,")


def _fault(prompt: int, cached: int | None, body: bytes) -> str:
    if cached is not None and cached > prompt and not any(not cached % u and cached - prompt < u for u in ROUND_UNITS):
        fault = f"{cached:,} cached tokens of {prompt:,} input tokens"
    elif prompt > len(body) + ADDED_TOKENS or (
        0 < prompt * MAX_TOKEN_BYTES < len(body) and not any(mark in body for mark in _ATTACHED)
    ):
        fault = f"{prompt:,} input tokens for a request of {len(body):,} bytes"
    else:
        return ""
    return cannot_be(fault)


def cannot_be(fault: str) -> str:
    """Return the sentence for counts that cannot be right, with the reported figures."""
    return f"The report cannot be right: {fault}. It is displayed as reported, and nothing is learned from it."


class Running(Struct, frozen=True):
    """Code points that a prompt shares with requests that are still `running` and with those that had `ended`, and
    when the newest of these was sent, in Unix seconds."""

    running: int
    ended: int = 0
    ended_at: float | None = None

    @property
    def shares_more(self) -> bool:
        """Whether one that is still running shares more than all that had ended."""
        return self.running > self.ended


class InFlight(Struct, frozen=True):
    """A prompt that shares more with running requests than with ended ones: seconds since the oldest such
    running request was sent, and what the ended ones share. `waits`: the server probably has not stored the rest."""

    seconds: float
    ended: Size
    waits: bool


class Again(Struct, frozen=True):
    """A prompt that was sent before: the figure served each time that it was sent again, the newest first, and
    what a cache that has all of it serves."""

    served: tuple[int, ...]
    whole: float


class Apart(Struct, frozen=True):
    """A prompt that shares more with a request of other parameters, `names`: `whole`, against `same` with those in
    which these have the same values."""

    names: tuple[str, ...]
    same: Size
    whole: Size


class Prediction(Struct):
    """Everything that is computed of a prompt before it is sent.

    `interval` is widened by learned residuals, `raw` is not.
    """

    now: float
    view: CacheView
    measures: dict[Order, Measure]
    reaches: dict[Rendering, Reach]
    prompt: Size
    outcomes: list[ReportOutcome]
    raw: ForecastInterval
    interval: ForecastInterval
    rendering: Rendering
    compared: Sent | None = None
    """The earlier request that this one is compared with."""
    shared_in_turn: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Code points shared with the requests of one replica, by number of replicas in turn, with their answers and
    without; empty: not computed."""
    off: bool = False
    """Whether the cache is probably off for its parameters."""
    off_for: str = ""
    """Parameters for which it is, see `CacheOff.proved`."""
    running: Running | None = None
    """What it shares with requests that were still running when it was recorded; None: nothing."""

    in_flight: InFlight | None = None
    """What it shares with requests that had ended when it was predicted; None: no running one shares more."""
    again: Again | None = None
    """What was served of the same prompt before; None: it was not sent."""
    apart: Apart | None = None
    """What it shares with requests of the same parameters; None: no others share more."""

    @property
    def ended_chars(self) -> int | None:
        """Code points shared with requests that had ended when this one was recorded; None: no request that was still
        running shares more."""
        running = self.running
        return running.ended if running is not None and running.shares_more else None

    def counted(self, usage: CacheUsage) -> int:
        """Return the prompt tokens as reported, or else as estimated: at least the cached ones."""
        if usage.prompt_tokens is not None:
            return usage.prompt_tokens
        return max(round(self.prompt.tokens), usage.cached_tokens or 0)

    @property
    def best(self) -> ReportOutcome | None:
        """The most probable outcome of the most probable rendering."""
        mine = [one for one in self.outcomes if one.rendering == self.rendering] or self.outcomes
        return max(mine, key=attrgetter("weight"), default=None)

    @property
    def plain(self) -> Rendering | None:
        """A rendering with tools and system text at the beginning, which no user message moves; with all answers, if
        reports allow that."""
        plain = (one for one in self.reaches if one.order in PLAIN_ORDERS)
        return max(plain, key=lambda one: (one.answers, one.reuse == "all", one.order == "inside"), default=None)

    @property
    def shared(self) -> Size:
        """What it shares with earlier requests, if a template moves nothing."""
        return self.reaches[self.plain or self.rendering].longest

    @property
    def reach(self) -> Reach:
        """What the cache may hold under the most probable rendering."""
        return self.reaches[self.rendering]

    @property
    def measure(self) -> Measure:
        """The measure in the most probable order."""
        return self.measures[self.rendering.order]


KEPT = 200
"""Number of latest forecasts in a score."""
LATEST, FAILURES = 5, 3
"""A score is failing if at least `FAILURES` of the `LATEST` forecasts failed."""
UNREPORTED = 2
"""Responses without any cached tokens after which the server counts as not reporting them."""
_WIDER, _NARROWER, _WIDEST = 1.35, 0.97, 6.0
"""Factors of the interval's width after a report outside and inside of it: they balance at one outside in ten."""


class Score(Struct, frozen=True):
    """Of one endpoint and model. `median_error_tokens` and `_blocks` are absolute; `inside` the share of reports in the
    90 % interval, 0 to 1; all None while `n`, the number of forecasts compared with a report, is 0.

    `failing` is a sentence, empty while forecasts hold. `reports`: whether the server reports cached tokens at all;
    None while that is not known.
    """

    n: int = 0
    median_error_tokens: float | None = None
    median_error_blocks: float | None = None
    inside: float | None = None
    failing: str = ""
    reports: bool | None = None

    @property
    def sentence(self) -> str:
        if self.reports is False:
            return "This server does not report cached tokens: no forecast can be held against anything."
        if self.median_error_tokens is None or self.median_error_blocks is None or self.inside is None:
            return "No forecast has been held against a report yet."
        count = f"{self.n} forecast{'' if self.n == 1 else 's'}"
        off = f"off by {self.median_error_tokens:,.0f} tokens ({self.median_error_blocks:,.1f} blocks) in the median"
        return " ".join(filter(None, (f"{count}: {off}, {self.inside:.0%} inside the interval.", self.failing)))


class _Held(Struct, frozen=True):
    error: float
    step: int

    inside: bool
    beyond: float
    """Tokens outside the interval; below 0: less was served than forecast."""


class Scorer:
    """Takes in each forecast with its report."""

    def __init__(self) -> None:
        self._held: deque[_Held] = deque(maxlen=KEPT)
        self._silent = 0
        self._score: Score | None = Score()
        self.width = 1.0
        """Factor of the estimates' deviation that keeps nine in ten reports inside the interval, 1 to 6."""

    def add(self, expected: float, interval: tuple[float, float], reported: int, step: int) -> None:
        """All in tokens; `step` is the block."""
        low, high = interval
        beyond = min(reported - low, 0.0) or max(reported - high, 0.0)
        self._held.append(_Held(abs(reported - expected), step, beyond == 0, beyond))
        # Less served than expected is the server's forgetting: a wider estimate of tokens would not cover it.
        if beyond == 0 or abs(beyond) < expected / 2:
            self.width = min(max(self.width * (_NARROWER if beyond == 0 else _WIDER), 1.0), _WIDEST)
        self._score = None

    def add_unreported(self) -> None:
        """Count an answer without cached tokens."""
        self._silent += 1
        self._score = None

    @property
    def score(self) -> Score:
        if self._score is None:
            self._score = self._made()
        return self._score

    def _made(self) -> Score:
        if not self._held:
            return Score(reports=False if self._silent >= UNREPORTED else None)
        return Score(
            n=len(self._held),
            median_error_tokens=median(held.error for held in self._held),
            median_error_blocks=median(held.error / held.step for held in self._held),
            inside=sum(held.inside for held in self._held) / len(self._held),
            failing=self._failing(),
            reports=True,
        )

    def _failing(self) -> str:
        latest = list(self._held)[-LATEST:]
        failed = [held for held in latest if abs(held.beyond) > held.step]
        if len(failed) < FAILURES:
            return ""
        less = sum(held.beyond < 0 for held in failed)
        if less == len(failed):
            why = "less was served: it forgets sooner, or sends requests to machines that have not seen the prefix"
        elif less == 0:
            why = "more was served: other programs may send the same prefix"
        else:
            why = "its cache does not work as is assumed here"
        return f"{len(failed)} of the last {len(latest)} forecasts were off by more than a block; {why}."


NEAR_TOKENS = 128
"""Distance between forecast and report up to which the report came as forecast: the largest usual block of a cache."""


def against_forecast(reported: int, expected: float) -> str:
    """Return how a report compares with its forecast, in the words of the log and of the inspector."""
    apart = round(reported - expected)
    if abs(apart) <= NEAR_TOKENS:
        return "as forecast"
    return f"{abs(apart):,} {'over' if apart > 0 else 'under'} forecast"


class Forecast(Struct, frozen=True):
    """Expected cached tokens (≈) with the interval that holds nine in ten reports.

    `basis` is a text fragment: "shared with 9db74058 · 40 s ago", or why nothing is expected. `run_id` and
    `request_id` name the earlier request that the forecast rests on (or, if nothing is expected, the one that the
    prompt is compared with). `shared_chars` is how many code points of the canonical view are expected from the
    cache; `sent_at` is unix seconds.
    """

    cached_tokens: float
    low: float
    high: float
    prompt_tokens: float
    basis: str
    run_id: str | None = None
    request_id: str | None = None
    shared_chars: int = 0
    sent_at: float | None = None


def ago(age_s: float) -> str:
    """Return how long ago something was, as text."""
    return "now" if age_s < 1 else f"{span(age_s)} ago"


def left(length_s: float) -> str:
    """Return an estimated duration as "about 4 min", in seconds in the last minute."""
    return f"≈ {max(round(length_s), 0)} s" if length_s < 60 else f"about {round(length_s / 60)} min"


def clock_time(unix_s: float) -> str:
    """Return an estimated moment as ≈ and the local time of day; with the date if it is another day."""
    moment, today = datetime.fromtimestamp(unix_s).astimezone(), datetime.now().astimezone()
    return f"≈ {moment:%H:%M:%S}" if moment.date() == today.date() else f"≈ {moment:%m-%d %H:%M}"


def span(length_s: float) -> str:
    """Return a duration in its largest whole unit, as text."""
    if length_s < 60:
        return f"{length_s:.0f} s"
    if length_s < 3600:
        return f"{length_s / 60:.0f} min"
    return f"{length_s / 3600:.0f} h"
