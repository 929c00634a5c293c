"""The figures of the inspector as text. An unknown figure is —, with the reason, and never 0."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from playground.client.endpoint import Rates, cost
from playground.client.events import Usage
from playground.export.terminal import visible_line
from playground.prefix_cache.forecast import Forecast, against_forecast, clock_time, left
from playground.runs.metrics import (
    WRONG_USAGE,
    Figure,
    dollars,
    finish_text,
    has_input,
    not_plausible,
    outcomes,
    output_figure,
    percent,
    seconds,
    speed,
    unusable_counts,
)
from playground.runs.state import SINCE_SENT, Attempt, RunState

if TYPE_CHECKING:
    from playground.prefix_cache.cache_profile import ColdClock
    from playground.prefix_cache.miss_explanation import MissExplanation as Why


class InspectorModel(Struct, frozen=True):
    """`state` may still change, the rest is fixed. `started_utc` is timezone-aware, in UTC."""

    state: RunState
    forecast: Forecast | None
    rates: Rates
    why: Why | None
    endpoint_name: str
    simulated: bool
    started_utc: datetime
    model: str
    usage_asked: bool = True
    """Whether the request asked for usage: a stream reports it only then."""
    score: str = ""
    """Accuracy of past forecasts for this endpoint, as text; "" if not needed."""
    clock_s: float | None = None
    """The run's own time, which the times of its events count in; None: of a run of another process."""

    @property
    def since_s(self) -> float:
        """Seconds since the request began."""
        return (datetime.now(UTC) - self.started_utc).total_seconds() if self.clock_s is None else self.clock_s

    @property
    def elapsed(self) -> str:
        """The time since a request began that has not ended, as log and footer state it; empty once it has ended."""
        return "" if self.state.ended else f"{seconds(self.since_s)} so far"


UNKNOWN = "—"


class Line(Struct, frozen=True):
    """Text of a value, its source if relevant, and its tone in the style sheet."""

    text: str
    why: str = ""
    tone: str = ""


unknown = partial(Line, UNKNOWN, tone="muted")
"""The figure of an unreported value, with the reason."""


def why_unknown(state: RunState, asked: bool = True) -> str:
    """Why a count is unknown. `asked`: whether the request asked for it."""
    if unusable := unusable_counts(state):
        return not_plausible(unusable)
    if state.ended and not state.attempts:
        return "The request ended before it was sent"
    if not asked:
        return "Not asked for: stream_options.include_usage is off, so usage stays unknown"
    return {
        "stopped": "Stopped before the server reported usage; the server still bills the output it generated",
        "interrupted": "The program ended before the server reported usage",
        "failed": "The request failed; no usage was reported",
        "done": "The server reported no usage",
    }.get(state.phase, "Not reported yet: usage comes at the end of the response")


def usage_lines(model: InspectorModel) -> dict[str, Line]:
    """Return input (the headline), note, cached, fresh, output."""
    usage, why = model.state.usage, why_unknown(model.state, model.usage_asked)
    return {
        "input": _input(model, usage, why),
        "note": Line(_note(usage, model.usage_asked, model.state), why if usage is None else ""),
        "cached": _line(Figure.reported(usage.cached_tokens if usage else None, why)),
        "fresh": _line(Figure.reported(usage.fresh_tokens if usage else None, why)),
        "output": _line(output_figure(model.state, why)),
    }


def _line(figure: Figure) -> Line:
    return Line(figure.text, figure.why, "muted" if figure.state == "unknown" else "")


def _input(model: InspectorModel, usage: Usage | None, why: str) -> Line:
    if usage is not None and usage.prompt_tokens is not None:
        return Line(f"{usage.prompt_tokens:,} in", "Input tokens as reported; the cached ones are among them")
    if not has_input(model.state.phase, model.state.status, len(model.state.attempts)):
        refused = "The server refused the request" if model.state.status else "No server answered the request"
        refused = refused if model.state.attempts else "The request ended before it was sent"
        return Line(f"{UNKNOWN} in", f"{refused}: no input tokens were counted")
    estimated = model.forecast.prompt_tokens if model.forecast is not None else None
    figure = Figure.reported(None, why)
    if estimated is not None:
        figure = Figure.estimated(estimated, f"Estimated on this machine before sending. {why}")
    return Line(f"{figure.text} in", figure.why)


def _note(usage: Usage | None, asked: bool, state: RunState) -> str:
    if usage is None and not asked:
        return "unknown: not asked for"
    if usage is None or usage.cached_tokens is None:
        unusable = unusable_counts(state)
        return f"reported: {unusable}" if unusable else f"{UNKNOWN} cached"
    if not usage.prompt_tokens:
        return f"{usage.cached_tokens:,} cached"
    if usage.cached_tokens > usage.prompt_tokens:
        return f"{usage.cached_tokens:,} cached: more than the prompt has, not learned from"
    return f"{usage.cached_tokens:,} cached · {percent(usage.cached_tokens / usage.prompt_tokens)}"


def forecast_lines(forecast: Forecast | None, state: RunState | None) -> dict[str, Line]:
    """Return forecast and reported, side by side. `state` is None while nothing was sent."""
    usage = state.usage if state else None
    reported = usage.cached_tokens if usage else None
    if state is None:
        second = unknown("Nothing was sent yet")
    elif reported is None:
        second = unknown(why_unknown(state))
    elif unusable_counts(state) or reported > ((usage and usage.prompt_tokens) or reported):
        second = Line(f"{reported:,}", "The report cannot be right: it is not compared with the forecast")
    else:
        against = "" if forecast is None else f" · {against_forecast(reported, forecast.cached_tokens)}"
        second = Line(f"{reported:,}{against}", tone="warm" if reported else "")
    if forecast is None:
        return {"forecast": unknown("No forecast was made for this request"), "reported": second}
    text = f"≈ {forecast.cached_tokens:,.0f}"
    if round(forecast.low) != round(forecast.high):
        text += f" ({forecast.low:,.0f} to {forecast.high:,.0f})"
    first = Line(text, f"Estimated: {forecast.basis}. Nine in ten fall into the interval")
    return {"forecast": first, "reported": second}


def next_line(forecast: Forecast) -> Line:
    """Return the forecast of the next request: the figure alone; its interval is in the explanation."""
    interval = f"{forecast.low:,.0f} to {forecast.high:,.0f}"
    return Line(f"≈ {forecast.cached_tokens:,.0f}", f"Estimated: {forecast.basis}. Nine in ten fall into {interval}")


def until_line(clock: ColdClock | None) -> Line | None:
    """Return when the prefix turns cold, or since when it is; None if its lifetime is unknown or nothing was sent."""
    if clock is None or (clock.warm_until_unix is None and clock.cold_since_unix is None):
        return None
    if clock.cold_since_unix is not None:
        return Line(f"ended {clock_time(clock.cold_since_unix)}", f"Estimated: {clock.basis}", "variable")
    assert clock.warm_until_unix is not None
    rest_s = clock.warm_until_unix - time.time()
    text = f"{clock_time(clock.warm_until_unix)} · {left(rest_s)}"
    return Line(text, f"Estimated: {clock.basis}", "variable" if rest_s < 60 else "")


def id_missing(state: RunState) -> str:
    return "The server sent no X-Request-Id" if state.status is not None else "No response headers have come"


def latency_lines(state: RunState, elapsed: str = "") -> dict[str, Line]:
    """ttft, speed, connection, total, which is `elapsed` until it is known."""
    total = state.ended_at if state.attempts else None
    why = why_unknown(state) if state.usage is None else "there were not two moments to measure between"
    took = state.attempts[-1].connect_s if state.attempts else None
    connection = unknown("Not measured")
    if took == 0.0:
        connection = Line("kept alive", "No handshake was paid: the connection of an earlier request was used")
    elif took is not None:
        connection = Line(f"new, {seconds(took)}", "TCP and TLS handshakes, part of the time to first token")
    return {
        "ttft": unknown("No token came" if state.ended else "No token has come")
        if state.ttft_s is None
        else Line(seconds(state.ttft_s), SINCE_SENT),
        "speed": _maybe(state.tokens_per_s, speed, f"Output tokens ÷ (last − first token); {why}"),
        "connection": connection,
        "total": Line(elapsed, "Still running") if elapsed else _maybe(total, seconds, "Not known"),
    }


def cost_lines(model: InspectorModel) -> dict[str, Line]:
    """input, saved, output; `note` says whose rates these are."""
    price = cost(model.state.usage, model.rates)
    why = "The usage reported does not say enough"
    if model.state.usage is None:
        why = why_unknown(model.state, model.usage_asked)
    elif model.state.usage.contradicts:
        why = WRONG_USAGE
    saved = _maybe(price.saved, dollars, why)
    if model.rates.fresh is None or model.rates.cached is None:
        saved = Line("not priced", "A rate for fresh and one for cached input are needed", "muted")
    elif price.saved:
        saved = Line(saved.text, saved.why, "warm")
    return {
        "input": _price(price.input, model.rates.fresh, why),
        "saved": saved,
        "output": _price(price.output, model.rates.output, why),
        "note": Line(f"rates: {model.rates.source}" if model.rates.source else "no rates are set for this endpoint"),
    }


def _price(value: float | None, rate: float | None, why: str) -> Line:
    if rate is None:
        return Line("not priced", "No rate is set, so this is not part of any sum", "muted")
    return _maybe(value, dollars, why)


def request_lines(model: InspectorModel) -> dict[str, Line]:
    """Return the error body's id if it differs, body id, finish reason, endpoint, model, time and attempts."""
    state = model.state
    error_id, in_body = Line(""), state.error.body_request_id if state.error else None
    if in_body and state.request_id and in_body != state.request_id:
        said = "The error's body names another request_id than X-Request-Id; give support both"
        error_id = Line(in_body, said, "failure")
    # Of a server behind the gateway, or of the gateway itself, if there is a second one.
    others = state.attempts[-1].request_ids[1:] if state.attempts else ()
    says_simulated = model.simulated and "simulat" not in model.endpoint_name.lower()
    sources = "; ".join(f"{one.value} from the header {one.source}" for one in others)
    return {
        "error_id": error_id,
        "other_id": Line(others[0].value if others else "", sources),
        "body_id": _word(state.body_id, "The response named no id" if state.ended else "Not yet named"),
        "finish": _word(state.finish_reason, "The server named none" if state.ended else "Not finished"),
        "endpoint": Line(f"{model.endpoint_name}{' (simulated)' if says_simulated else ''}"),
        "model": _word(model.model, "No model was named"),
        "time": Line(f"{model.started_utc:%Y-%m-%d %H:%M:%S} UTC"),
        "attempts": Line(attempts_text(state), "One HTTP exchange each", "failure" if state.phase == "failed" else ""),
    }


RUNNING_WORDS = {"sent": "waiting…", "streaming": "streaming…"}
"""The newest attempt of a running request, in the words of the log."""


def attempts_text(state: RunState) -> str:
    """Return `503 → 200 finished`: the status of every attempt, and how the last one ended."""
    if not state.attempts:
        return UNKNOWN if state.ended else "waiting…"
    words = [status_text(attempt) for attempt in state.attempts]
    end = ""
    if state.phase == "done":
        end = visible_line(finish_text(state.finish_reason))
    elif state.phase in ("stopped", "interrupted") or (
        state.phase == "failed" and state.attempts[-1].status in (None, 200)
    ):
        end = state.phase
    if end:
        words[-1] = end if words[-1] == "sent" else f"{words[-1]} {end}"
    return outcomes(*words[:-1], RUNNING_WORDS.get(state.phase, words[-1]))


def status_text(attempt: Attempt) -> str:
    """Return the HTTP status, or what kept it from coming."""
    if attempt.status is not None:
        return str(attempt.status)
    return attempt.error.kind if attempt.error is not None else "sent"


def _word(text: str | None, why: str) -> Line:
    return Line(text) if text else unknown(why)


def _maybe(value: float | None, form: Callable[[float], str], why: str) -> Line:
    return unknown(why) if value is None else Line(form(value))
