"""Display text of finish reasons."""

from __future__ import annotations

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
