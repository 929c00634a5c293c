"""Figures of a run as text: reported, estimated (≈) or unknown (—); unknown is never 0."""

from __future__ import annotations

import json
import math
import re
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from playground.runs.state import Phase, RunState

_TEXTS = {
    "stop": "finished",
    "tool_calls": "tool calls",
    "function_call": "tool calls",
    "length": "cut at max_tokens",
    "content_filter": "filtered",
}


def finish_text(reason: str | None) -> str:
    """Return the text for a request that is done: "finished" for `stop`, which reads as stopped by the user."""
    return _TEXTS.get(reason, reason) if reason else "no finish_reason"


UNKNOWN = "—"
APPROXIMATELY = "≈"
WRONG_USAGE = "The usage report cannot be right"
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
    """Format an amount: $0.000136, $0.50, $1.20; — if unknown. Below $1, three significant digits: never $0.

    Below 10 cents also zeros at the end, so that amounts below each other have the same precision.
    """
    if value is None:
        return UNKNOWN
    sign, size = ("-" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 0.9995:
        return f"{sign}${size:,.2f}"
    text = f"{size:.{2 - math.floor(math.log10(size))}f}"
    text = text.rstrip("0") if size >= 0.1 else text
    return f"{sign}${text}{'0' * (2 - len(text.partition('.')[2]))}"


def decimal(value: float) -> str:
    """Format a number for a table of another program: 0.0000403, never 4.0300000000000004e-05."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


def speed(tokens_per_s: float | None) -> str:
    """Format a speed as 96.2 tok/s; — if unknown."""
    return UNKNOWN if tokens_per_s is None else f"{tokens_per_s:,.1f} tok/s"


def percent(share: float | None) -> str:
    """Format a share (0 to 1) as 95.7 %; — if unknown. Less than all is never 100.0 %: then it is rounded down."""
    if share is None:
        return UNKNOWN
    return f"{min(share * 100, 99.9) if share < 1 else share * 100:.1f} %"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun, in the plural unless it is one: 1 request, 2,000 requests."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


EARLY = ("stopped", "interrupted", "failed")
"""The phases that end a request before its usage could come."""


def has_input(phase: Phase, status: int | None, attempts: int) -> bool:
    """Return whether the server read the prompt of a request, or may have: the input tokens can be estimated.

    A refused request (also one that was stopped while it waited to be sent again), one that reached no server, and one
    that ended before it was sent have none.
    """
    if status is not None and status >= 400:
        return False
    return status is not None if phase == "failed" else attempts > 0 or phase not in EARLY


def input_figure(
    reported: int | None, estimated: float | None, phase: Phase, status: int | None, attempts: int, why: str
) -> Figure:
    """Return the input tokens: reported; `estimated` before sending if the server read the prompt; else unknown.

    `why`: the reason that they are not reported.
    """
    if reported is None and estimated is not None and has_input(phase, status, attempts):
        return Figure.estimated(estimated, f"Estimated on this machine before sending. {why}")
    return Figure.reported(reported, why)


_COUNT = re.compile(
    r'"((?:prompt|input|completion|output|total|cached|reasoning|audio|cache_read_input|cache_creation_input)_tokens)"'
    r'\s*:\s*("[^"]*"|\[[^\]]*\]|\{[^}]*\}|[^\s,{}\[\]]+)'
)

USAGE_EVENTS = 3
"""The last events of a stream, among which the usage is."""


def unusable_counts(state: RunState) -> str:
    """Return the reported counts that cannot be numbers of tokens, with their names and as written; "" without any.

    These are negative numbers, fractions, true, 10¹⁵, and a completion below its reasoning tokens. They are neither
    stored as counts nor learned from.
    """
    # Imported here, as below: the first frame needs only the forms of figures.
    from playground.client.tolerant_json import is_below_reasoning

    written = _written_counts(state)
    counts = {name: _count(text) for name, text in written}
    found = dict.fromkeys(f"{name} {text}" for name, text in written if _count(text) is None)
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens")
    prompt, output, total, reasoning = map(counts.get, names)
    if is_below_reasoning(prompt, output, total, reasoning):
        found[f"completion_tokens {output} with reasoning_tokens {reasoning}"] = None
    return ", ".join(found)


def _written_counts(state: RunState) -> list[tuple[str, str]]:
    """Return the counts of the usage report of an ended run: names, and values as JSON texts."""
    return [
        (name, text)
        for event in (state.raw[-USAGE_EVENTS:] if state.ended else ())
        if '"usage"' in event.data
        for name, text in _COUNT.findall(event.data[event.data.rindex('"usage"') :])
        if text != "null"
    ]


def left_out_of_parts(state: RunState) -> int:
    """Return the tokens of a reported total that are in none of its parts; 0 if they are reasoning tokens.

    Some servers count these in the total only: in a separate count (xAI), or without one (Gemini).
    """
    excess = state.usage.parts_left_out if state.usage is not None else 0
    if excess <= 0 or state.reasoning or ("reasoning_tokens", str(excess)) in _written_counts(state):
        return 0
    return 0 if any(_GEMINI.search(event.data) for event in state.raw[-USAGE_EVENTS:]) else excess


_GEMINI = re.compile(r'"model"\s*:\s*"[^"]*gemini', re.IGNORECASE)


def _count(text: str) -> int | None:
    from playground.client.tolerant_json import count

    try:
        return count(json.loads(text))
    except ValueError:
        return None


def received_tokens(state: RunState) -> float | None:
    """Return the estimated tokens of the received text and tool calls; None if nothing was received.

    The server may have generated, and may charge for, more than arrived here.
    """
    from playground.prefix_cache.token_estimator import TokenEstimator

    calls = "".join(call.name + call.arguments for call in state.calls)
    received = state.text + calls
    return TokenEstimator().estimate(received) if received else None


def outcomes(*words: str) -> str:
    """Join the outcomes of attempts; equal ones in a row are counted: 503 → 200 finished, 503 ×4 → 200 finished."""
    repeated = ((word, len(list(same))) for word, same in groupby(words))
    return " → ".join(word if times == 1 else f"{word} ×{times}" for word, times in repeated)


def not_plausible(counts: str) -> str:
    """Return the sentence about what `unusable_counts` found."""
    return f"Reported {counts}: not plausible. It counts as not reported, and nothing is learned from it."


def output_figure(state: RunState, why: str) -> Figure:
    """Return the output tokens: reported; else estimated from the received text, in every phase; else unknown."""
    reported = state.usage.completion_tokens if state.usage else None
    tokens = received_tokens(state) if reported is None else None
    return (
        Figure.reported(reported, why)
        if tokens is None
        else Figure.estimated(tokens, f"Estimated from what arrived. {why}")
    )
