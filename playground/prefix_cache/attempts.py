"""When requests ran, and which of them are attempts of a later one."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from playground.prefix_cache.program_groups import Body

RETRY_S = 60.0
"""Seconds after the end of a failed request, or after its start if its end is unknown, within which a client that
retries sends the same body again."""
_WAITING = 32
"""Newest failed requests of one length that a request may repeat."""


class TimedRequest(Struct, frozen=True):
    """A request as `retries` needs it. `at`: Unix seconds of its start; `seconds`: its duration; None if not known."""

    body: Body
    at: float | None = None
    failed: bool = False
    seconds: float | None = None


class RunTime(Struct, frozen=True):
    """When a request started and ended, in Unix seconds."""

    start: float
    end: float


def run_times(requests: Sequence[TimedRequest]) -> dict[int, RunTime]:
    """Return the times of the requests whose start and duration are known."""
    return {
        index: RunTime(one.at, one.at + one.seconds)
        for index, one in enumerate(requests)
        if one.at is not None and one.seconds is not None and one.seconds > 0
    }


def retries(requests: Sequence[TimedRequest]) -> dict[int, int]:
    """Return which requests, oldest first, are attempts of a later one: the same body, sent again soon after a failure.

    A client that retries waits from the end of the failed request, which may have lasted until a time limit.
    """
    found: dict[int, int] = {}
    newest: dict[int, list[int]] = {}
    for index, one in enumerate(requests):
        messages = one.body.get("messages")
        size = len(messages) if isinstance(messages, list) else 0
        waiting = newest.setdefault(size, [])
        for other in reversed(waiting):
            if _soon(requests[other], one) and requests[other].body == one.body:
                found[other] = index
                waiting.remove(other)
                break
        if one.failed:
            waiting.append(index)
            del waiting[:-_WAITING]
    for index in sorted(found, reverse=True):
        found[index] = found.get(found[index], found[index])
    return found


def _soon(failed: TimedRequest, again: TimedRequest) -> bool:
    if failed.at is None or again.at is None:
        return True
    return 0 <= again.at - failed.at <= max(failed.seconds or 0.0, 0.0) + RETRY_S
