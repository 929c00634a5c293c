"""Faults on demand: by the header X-Simulate, by a body field `simulate`, or queued for the requests to come.

A fault is a name, or name=number:
  401 403 500 502 503   that status · 429 or 429=SECONDS   with Retry-After
  cut=TOKENS            the connection is dropped after so many tokens
  stall=TOKENS          nothing more comes after so many tokens, until the client leaves
  slow_first_byte=MS    the headers come at once, the first byte of the body later
  slow_headers=MS       nothing at all comes for a while
  not_sse               200 with a page of HTML
  stream_error=TOKENS   an error object inside the stream
  no_usage_details      usage without prompt_tokens_details
  no_request_id         no X-Request-Id (a server that is not Electron)
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

STATUSES = {
    "401": (401, "authentication_error", "The API key is missing or wrong"),
    "403": (403, "permission_error", "This plan has no access to the model"),
    "429": (429, "rate_limit_error", "Concurrency limit reached"),
    "500": (500, "internal_error", "Something broke"),
    "502": (502, "upstream_error", "The upstream is unavailable"),
    "503": (503, "overloaded_error", "The model is overloaded"),
}
OTHERS = {
    "cut": 8,
    "stall": 8,
    "slow_first_byte": 1000,
    "slow_headers": 1000,
    "not_sse": 0,
    "stream_error": 8,
    "no_usage_details": 0,
    "no_request_id": 0,
}
"""The other faults, with the number that is used if none is given."""

MOST_DIGITS = 7
_NUMBER = re.compile(rf"[0-9]{{1,{MOST_DIGITS}}}(?:\.[0-9]{{1,6}})?")


@dataclass(frozen=True)
class Fault:
    """One fault. `number` has the meaning in the table above; None if none was given."""

    name: str
    number: float | None = None


class UnknownFault(ValueError):  # noqa: N818 - bad input
    """Raised for an unknown fault name."""


def parse(text: str) -> Fault:
    """Parse a fault. Raises UnknownFault, whose message lists all faults."""
    name, _, number = text.strip().partition("=")
    if name not in STATUSES and name not in OTHERS:
        raise UnknownFault(f"no fault is called {name!r}; there are: {', '.join((*STATUSES, *OTHERS))}")
    if not number:
        return Fault(name, OTHERS.get(name))
    if not _NUMBER.fullmatch(number):
        raise UnknownFault(f"{number!r} is not a number from 0 to {10**MOST_DIGITS - 1:,}")
    return Fault(name, float(number))


class FaultQueue:
    """Queue of faults for the next requests."""

    def __init__(self) -> None:
        self._waiting: deque[Fault] = deque()

    def add(self, fault: Fault, times: int) -> None:
        """Apply this fault to the next `times` requests."""
        self._waiting.extend([fault] * times)

    def take(self) -> Fault | None:
        """Remove and return the fault of the next request."""
        return self._waiting.popleft() if self._waiting else None
