"""The forecast: how many tokens the cache will serve, stated before sending."""

from __future__ import annotations

from datetime import datetime

from playground.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Forecast:
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
