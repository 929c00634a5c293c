"""Validation of requests from a file before they are stored, so that readers of the log can rely on them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from playground.client.events import AnyEvent, AttemptStarted, HeadersReceived, Usage, UsageReported
from playground.client.urls import check_base_url
from playground.prompt.field_errors import FieldError, InputError, Path
from playground.prompt.files import load
from playground.requestlog.records import EndedRun
from playground.runs.record import RequestRecord

EARLIEST, LATEST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_S = 10 * 365 * 86_400.0
"""Maximum duration of a request: ten years."""
MOST_TOKENS = 2**53
MOST_ID_CHARS = 200
MOST_DIGITS = 18
"""Maximum number of digits of a whole number that the log can store."""


def read_json(text: str | bytes) -> Any:
    """Parse standard JSON: no NaN, no number that cannot be stored. Raises ValueError, RecursionError."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    value = float(word)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{word[:32]} is too large")
    return value


def _whole(word: str) -> int:
    if len(word) > MOST_DIGITS:
        raise ValueError(f"{word[:32]}… is too large")
    return int(word)


def judged(run: EndedRun) -> EndedRun:
    """Return the run if it is valid. Raises InputError that names the invalid field."""
    _judge_record(run.record)
    _judge_events(run.events)
    return run


def _judge_record(record: RequestRecord) -> None:
    if not 0 < len(record.run_id) <= MOST_ID_CHARS or not record.run_id.isprintable() or " " in record.run_id:
        raise _bad(("record", "run_id"), f"is no id of 1 to {MOST_ID_CHARS} visible characters.")
    if record.started_utc.tzinfo is None:
        raise _bad(("record", "started_utc"), "has no time zone.")
    if not EARLIEST <= record.started_utc <= LATEST:
        raise _bad(("record", "started_utc"), f"is not between {EARLIEST.year} and {LATEST.year}.")
    _judge_body(record.body)
    for name, judge in (("base_url", check_base_url), ("document", load)):
        try:
            judge(getattr(record, name))
        except InputError as bad:
            raise _bad(("record", name), str(bad.problems[0])) from None


def _judge_body(body: bytes) -> None:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad(("body",), f"is not JSON: {error}.") from None
    if not isinstance(fields, dict):
        raise _bad(("body",), "is no JSON object.")


def _judge_events(events: tuple[AnyEvent, ...]) -> None:
    sent = False
    for index, event in enumerate(events):
        if not 0 <= event.at <= LONGEST_S:
            raise _bad(("events", index, "at"), f"is not from 0 to {LONGEST_S:,.0f} s.")
        sent = sent or isinstance(event, AttemptStarted)
        if isinstance(event, HeadersReceived) and not sent:
            raise _bad(("events", index), "are headers before any attempt was sent.")
        if isinstance(event, UsageReported):
            _judge_usage(event.usage, ("events", index, "usage"))


def _judge_usage(usage: Usage, path: Path) -> None:
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"):
        value = getattr(usage, name)
        if value is not None and not 0 <= value <= MOST_TOKENS:
            raise _bad((*path, name), f"is not from 0 to {MOST_TOKENS:,}.")


def _bad(path: Path, message: str) -> InputError:
    return InputError(FieldError(path, message))
