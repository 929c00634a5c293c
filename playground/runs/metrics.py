"""Figures of a run: as text (reported, estimated ≈ or unknown —; unknown is never 0), and as one JSON object."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from playground.client.events import ApiError, Usage
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prompt.document import Json
from playground.prompt.json_bounds import loads

if TYPE_CHECKING:
    from playground.runs.run import Run
    from playground.runs.state import Phase, RunState

_TEXTS = {
    "stop": "finished",
    "tool_calls": "tool calls",
    "function_call": "tool calls",
    "length": "cut at max_tokens",
    "content_filter": "filtered",
}


def finish_text(reason: str | None) -> str:
    """Return the text for a request that ended by itself: "finished" for `stop`, which reads as stopped by the user."""
    return _TEXTS.get(reason or "", reason or "finished")


UNKNOWN = "—"
APPROXIMATELY = "≈"
State = Literal["reported", "estimated", "unknown"]


class Figure(Struct, frozen=True):
    """A token count. `why` names its source, or the reason that it is unknown."""

    value: float | None
    state: State
    why: str = ""

    @classmethod
    def reported(cls, value: float | None, why: str = "not reported by the server") -> Figure:
        """Return the figure for a reported count; unknown, for the given reason, if the count is None."""
        return cls(None, "unknown", why) if value is None else cls(value, "reported")

    @classmethod
    def estimated(cls, value: float, why: str = "estimated on this machine") -> Figure:
        """Return the figure for this program's estimate."""
        return cls(value, "estimated", why)

    @classmethod
    def unknown(cls, why: str) -> Figure:
        """Return an unknown figure with its reason."""
        return cls(None, "unknown", why)

    @property
    def text(self) -> str:
        """Format as 1,152 or ≈ 1,160 or —."""
        if self.value is None:
            return UNKNOWN
        words = f"{round(self.value):,}"
        return f"{APPROXIMATELY} {words}" if self.state == "estimated" else words


def seconds(value: float | None) -> str:
    """Format a duration: 212 ms, 1.1 s, 2 min 5 s, 1 h 2 min; — if unknown."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.0005:
        return "< 1 ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def whole_seconds(value: float) -> str:
    """Format a remaining wait in seconds that have begun: 0 s, 98 s, 2 min 5 s. Every countdown uses it."""
    begun = max(math.ceil(value - 1e-6), 0)
    return f"{begun} s" if begun < 100 else seconds(float(begun))


def dollars(value: float | None) -> str:
    """Format an amount: $0.000136, $0.50, $1.20; — if unknown. Below $1, three significant digits: never $0."""
    if value is None:
        return UNKNOWN
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 0.9995:
        return f"{sign}${size:,.2f}"
    text = f"{size:.{2 - math.floor(math.log10(size))}f}".rstrip("0")
    return f"{sign}${text}{'0' * (2 - len(text.partition('.')[2]))}"


def speed(tokens_per_s: float | None) -> str:
    """Format a speed as 96.2 tok/s; — if unknown."""
    return UNKNOWN if tokens_per_s is None else f"{tokens_per_s:,.1f} tok/s"


def percent(share: float | None) -> str:
    """Format a share (0 to 1) as 95.7 %; — if unknown. Less than all is never 100.0 %: then it is rounded down."""
    if share is None:
        return UNKNOWN
    return f"{min(share * 100, 99.9) if share < 1 else share * 100:.1f} %"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one: 1 request, 2,000 requests."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


EARLY = ("stopped", "interrupted", "failed")
"""The phases that end a request before its usage could come."""


def has_input(phase: Phase, status: int | None) -> bool:
    """Return whether the server read the prompt of a request, or may have: the input tokens can be estimated.

    A refused request, and one that reached no server, have none.
    """
    return phase != "failed" or (status is not None and status < 400)


def received_tokens(state: RunState) -> float | None:
    """Return the estimated tokens of the received text and tool calls; None if nothing was received.

    The server may have generated, and may charge for, more than arrived here.
    """
    calls = "".join(call.name + call.arguments for call in state.tool_calls.values())
    received = state.text + calls
    return TokenEstimator().estimate(received) if received else None


def output_figure(state: RunState, why: str) -> Figure:
    """Return the output tokens: reported; estimated from the received text if the request ended early; else unknown."""
    reported = state.usage.completion_tokens if state.usage else None
    if reported is not None or state.phase not in EARLY:
        return Figure.reported(reported, why)
    tokens = received_tokens(state)
    return Figure.unknown(why) if tokens is None else Figure.estimated(tokens, f"Estimated from what arrived. {why}")


def summary(run: Run) -> dict[str, Json]:
    """Return the run's outcome; times in milliseconds.

    `usage` and `tool_calls` have the shape of the API's response, and the flat keys of earlier versions too.
    """
    state = run.state
    forecast = run.forecast
    usage = wire_usage(state.usage)
    return {
        "request_id": state.request_id,
        "request_ids": _request_ids(state),
        "status": state.status,
        "attempts": _attempts(state),
        "text": state.text,
        "reasoning": state.reasoning or None,
        "refusal": state.refusal or None,
        "tool_calls": _tool_calls(state),
        "finish_reason": state.finish_reason,
        **({"further_choices": further} if (further := wire_choices(state)) else {}),
        "usage": {**usage, "cached_tokens": state.usage.cached_tokens} if usage and state.usage else None,
        "forecast": {"cached_tokens": round(forecast.cached_tokens), "basis": forecast.basis} if forecast else None,
        "ttft_ms": _ms(state.ttft_s),
        "duration_ms": _ms(state.ended_at),
        "error": error_object(state.error),
    }


def _attempts(state: RunState) -> list[Json]:
    rows: list[Json] = []
    ended_at: float | None = None
    for attempt in state.attempts:
        rows.append(
            {
                "request_id": attempt.request_id,
                "status": attempt.status,
                "error_type": attempt.error.error_type or attempt.error.kind if attempt.error else None,
                "wait_s": round(attempt.started_at - ended_at, 3) if ended_at is not None else 0.0,
            }
        )
        ended_at = attempt.ended_at
    return rows


_FURTHER = re.compile(r'"index"\s*:\s*[1-9]')


def further_choices(state: RunState) -> dict[int, str]:
    """Return the texts of the choices after the first one (`n` above 1), by index.

    The other figures are of choice 0. Read from the stored events, which a log without them lacks.
    """
    found: dict[int, list[str]] = {}
    for event in state.raw:
        if _FURTHER.search(event.data) is None:
            continue
        try:
            body = loads(event.data)
        except ValueError:
            continue
        choices = body.get("choices") if isinstance(body, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            index = choice.get("index") if isinstance(choice, dict) else None
            if isinstance(choice, dict) and isinstance(index, int) and index > 0:
                message = choice.get("delta") or choice.get("message")
                text = message.get("content") if isinstance(message, dict) else choice.get("text")
                found.setdefault(index, []).append(text if isinstance(text, str) else "")
    return {index: "".join(pieces) for index, pieces in sorted(found.items())}


def wire_choices(state: RunState) -> list[Json]:
    """Return the further choices in the shape of the API."""
    return [
        {"index": index, "message": {"role": "assistant", "content": text}}
        for index, text in further_choices(state).items()
    ]


def wire_usage(usage: Usage | None) -> dict[str, Json] | None:
    """Return usage in the shape of the API; figures that were not reported are null."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def wire_tool_calls(state: RunState) -> list[Json]:
    """Return the tool calls in the shape of the API, in the order of their index."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for _, call in sorted(state.tool_calls.items())
    ]


def _tool_calls(state: RunState) -> list[Json]:
    calls = [call for _, call in sorted(state.tool_calls.items())]
    wire = [item for item in wire_tool_calls(state) if isinstance(item, dict)]
    return [{**item, "name": call.name, "arguments": call.arguments} for item, call in zip(wire, calls, strict=True)]


def _request_ids(state: RunState) -> list[Json]:
    """Return the newest attempt's request ids, each with its header."""
    newest = state.attempts[-1].request_ids if state.attempts else ()
    return [{"source": found.source, "id": found.value} for found in newest]


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s * 1000, 1)


def error_object(error: ApiError | None) -> Json:
    """Return an error as a JSON object; null if there is none."""
    if error is None:
        return None
    return {
        "kind": error.kind,
        "status": error.status,
        "type": error.error_type,
        "code": error.code,
        "message": error.title,
        "detail": error.detail,
        "advice": error.advice,
    }
