"""The forecast: what the cache will serve, said before sending, so that the server's figure can be held against it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected cached tokens (an estimate, ≈) with the interval that nine in ten should fall into.

    `basis` is a sentence fragment: "shared with 9db74058 · 40 s ago", or why nothing is expected. `run_id` and
    `request_id` name the earlier request that it rests on (or, where nothing is expected, the one that the prompt is
    held against); `shared_chars` is how many code points of the cache's view both share; `sent_at` is unix seconds.
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
