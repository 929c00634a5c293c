"""The tokens before the first variable of a prompt: one figure for the editor and for Compare.

The counts are estimates (≈), rounded so that tools and messages add up to the total. Apart from `zones`, which imports
the cache model: the editor needs this before its first paint.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import TYPE_CHECKING

from msgspec import Struct

from playground.prompt.document import Document, places, render

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast


class StableEnd(Struct, frozen=True):
    """The first variable: its message, template offset and name, and the tokens before it."""

    message: int
    offset: int
    name: str
    tokens: int


def tokens_by_message(prompt_forecast: PromptForecast, total: int) -> list[int]:
    """Return the tokens of the tool catalogue and of each message, which add up to `total` tokens."""
    by_part = {(part.part, part.index): part.tokens for part in prompt_forecast.parts}
    catalogue = sum(part.tokens for part in prompt_forecast.parts if part.part == "tool")
    messages = range(len(prompt_forecast.view.document.messages))
    parts = (catalogue, *(by_part.get(("message", index), 0.0) for index in messages))
    whole = sum(parts)
    if whole <= 0:
        return [0] * len(parts)
    exact = [part * total / whole for part in parts]
    rounded = [floor(part) for part in exact]
    by_rest = sorted((low - size, number) for number, (low, size) in enumerate(zip(rounded, exact, strict=True)))
    for _, number in by_rest[: total - sum(rounded)]:
        rounded[number] += 1
    return rounded


def stable_end(document: Document, tokens: Sequence[int]) -> StableEnd | None:
    """Return the first variable; None if there is none. `tokens`: as of `part_tokens`."""
    tools, *counts = tokens
    for index, message in enumerate(document.messages):
        found = places(message.content or "")
        if not found:
            continue
        text = render(message.content or "", document.variables).text
        before = (message.content or "")[: found[0].start]
        # From the same figures as the messages' counts, so that all figures on screen add up.
        inside = round(counts[index] * len(before) / (len(text) or 1))
        return StableEnd(index, found[0].start, found[0].name, tools + sum(counts[:index]) + inside)
    return None
