"""The forecast: how many tokens the cache will serve, stated before sending; and its score against the reports."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

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


def median(values: Iterable[float]) -> float:
    """Return the median of at least one value. `statistics`, with fractions and decimal, takes 6 ms to import."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


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
