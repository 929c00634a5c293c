"""Estimate of output tokens for completions without reported usage."""

from __future__ import annotations

from playground.prefix_cache.token_estimator import TokenEstimator
from playground.runs.metrics import Figure
from playground.runs.state import RunState

EARLY = ("stopped", "interrupted", "failed")
"""The phases that end a request before its usage could come."""


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
