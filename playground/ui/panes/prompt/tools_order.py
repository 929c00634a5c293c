"""What the order of the tools costs: it is part of the prefix, and the prefix room can say how much of it is warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playground.prefix_cache.zones import ZoneMap

RULE = "Sent in this order, before the messages: order is part of the prefix."


def warm_after(zones: ZoneMap | None, first: int, count: int) -> float | None:
    """Return the estimated warm tokens from tool `first` on, which reordering makes fresh; None if unknown.

    `count` is the number of tools: zones of another catalogue are ignored.
    """
    if zones is None or len(zones.tool_tokens) != count:
        return None
    return max(zones.warm_tokens - sum(zones.tool_tokens[:first]), 0.0)


def hint(zones: ZoneMap | None, count: int) -> str:
    """Return the message above two or more tools."""
    if count < 2:
        return ""
    warm = warm_after(zones, 0, count)
    if warm is None:
        return RULE
    if warm < 1:
        return f"{RULE} Nothing of it is warm now."
    return f"{RULE} Another first tool would make ≈ {warm:,.0f} warm tokens fresh once."


def moved(name: str, place: int, warm: float | None) -> str:
    """Return the message after a move; `place` counts from 1."""
    head = f"{name} is number {place} now, and order is part of the prefix:"
    if warm is None:
        return f"{head} everything from the first tool that moved on is fresh once."
    if warm < 1:
        return f"{head} nothing from there on was warm, so it costs nothing more."
    return f"{head} ≈ {warm:,.0f} tokens that were warm will be fresh at the next request."
