"""Labels of an agent loop's turns, calls and results. No Qt."""

from __future__ import annotations

import json

from playground.agent.conversation import Conversation, Result, Sum, Turn
from playground.agent.loop import AgentLoopEnded
from playground.export.terminal import visible_line
from playground.runs.metrics import UNKNOWN, Figure, finish_text, seconds

RESULT_WORDS = {
    "answered": "returned",
    "error": "returned an error",
    "bad_json": "was not called: its arguments are no JSON",
    "wrong_arguments": "was not called: its arguments do not fit its schema",
    "unknown_tool": "was not called: there is no such tool",
    "failed": "could not be answered",
    "running": "runs",
    "stopped": "was stopped",
}
END_WORDS = {
    "answered": "Answered",
    "limit": "Ended at the limit: the model still calls tools",
    "stopped": "Stopped",
    "failed": "Failed",
}


def outcome(turn: Turn) -> str:
    """Return how a turn ended, in the words of the log."""
    if turn.edited:
        return "edited by you"
    return visible_line(finish_text(turn.finish_reason)) if turn.phase == "done" else turn.phase


def usage_words(turn: Turn, forecast_cached: float | None) -> str:
    """Format as `1,204 in (1,152 cached · forecast ≈ 1,160) · 86 out`; `—` for values that were not reported."""
    usage = turn.usage
    cached = Figure.reported(usage.cached_tokens if usage else None).text
    forecast = "" if forecast_cached is None else f" · forecast ≈ {forecast_cached:,.0f}"
    prompt = Figure.reported(usage.prompt_tokens if usage else None).text
    output = Figure.reported(usage.completion_tokens if usage else None).text
    return f"{prompt} in ({cached} cached{forecast}) · {output} out"


def prefix_words(conversation: Conversation, turn_id: str, added_tokens: float) -> str:
    """Return the tokens that the turn's request adds, and whether it keeps the previous request as its prefix."""
    turn = conversation.turns[turn_id]
    if turn.parent is None:
        return ""
    if conversation.keeps_prefix(turn_id):
        return f"adds ≈ {added_tokens:,.0f} tokens to the prefix, and keeps it"
    return f"changes the previous request: ≈ {added_tokens:,.0f} tokens from there on are fresh"


def result_words(result: Result, now: float) -> str:
    """Format as `returned in 520 ms`, `runs, 0.4 s so far`."""
    word = RESULT_WORDS[result.kind]
    if result.edited:
        return "returns what you typed"
    if result.started_at is None:
        return word
    if result.kind == "running":
        return f"{word}, {seconds(max(now - result.started_at, 0.0))} so far"
    return f"{word} in {seconds(result.ended_at - result.started_at)}" if result.ended_at is not None else word


def end_words(ended: AgentLoopEnded) -> str:
    """Return the reason for the end of the loop, as a sentence."""
    many = f"{ended.requests} request{'' if ended.requests == 1 else 's'}"
    return f"{END_WORDS[ended.reason]}, after {many}. {ended.error}".strip()


def totals_words(conversation: Conversation, turn_id: str | None) -> str:
    """Return the sums over the path to a turn.

    If a report is missing, the sum is a lower bound ("at least").
    """
    totals = conversation.totals(turn_id)
    if not totals.requests:
        return ""
    parts = (
        f"{totals.requests} requests" if totals.requests > 1 else "1 request",
        f"{_sum(totals.prompt_tokens)} in ({_sum(totals.cached_tokens)} cached)",
        f"{_sum(totals.completion_tokens)} out",
    )
    return " · ".join(parts)


def _sum(found: Sum) -> str:
    if found.value is None:
        return UNKNOWN
    return f"{found.value:,}" if found.complete else f"at least {found.value:,}"


def pretty(arguments: str) -> str:
    """Return arguments as indented JSON; unchanged if they are not JSON."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments
