"""How long a batch takes within an account's limits (electron-api.md, Plan limits)."""

from __future__ import annotations

WINDOW_S = 60.0


def plan_batch(n: int, in_flight: int | None, per_minute: int | None, seconds_each: float) -> float:
    """Seconds until `n` requests have finished, each taking `seconds_each`.

    At most `in_flight` run at once and at most `per_minute` start in any 60 seconds; None is no limit. Nothing else
    of the account is running, and nothing is retried: what is promised is the least. Raises ValueError for a limit
    below 1 or a negative figure.
    """
    if n < 0 or seconds_each < 0 or min(in_flight or 1, per_minute or 1) < 1 or 0 in (in_flight, per_minute):
        raise ValueError("a batch has 0 or more requests of 0 or more seconds, and a limit is at least 1")
    starts: list[float] = []
    for number in range(n):
        after_slot = starts[number - in_flight] + seconds_each if in_flight and number >= in_flight else 0.0
        after_minute = starts[number - per_minute] + WINDOW_S if per_minute and number >= per_minute else 0.0
        starts.append(max(after_slot, after_minute))
    return starts[-1] + seconds_each if starts else 0.0
