"""Which card shows which tool after a change: a card follows its tool, with all that is open or typed in it."""

from __future__ import annotations

from collections.abc import Sequence

from playground.prompt.document import Tool
from playground.ui.editor.tools_card import ToolCard


def assigned(cards: Sequence[ToolCard], tools: Sequence[Tool]) -> list[ToolCard | None]:
    """A card for each tool, None where a new one is needed. A tool that stayed has its card; one that changed at its
    place keeps the card of that place."""
    free = dict(enumerate(cards))
    chosen: list[ToolCard | None] = [None] * len(tools)
    for at, tool in enumerate(tools):
        if at in free and free[at].tool == tool:
            chosen[at] = free.pop(at)
    for at, tool in enumerate(tools):
        if chosen[at] is None:
            same = next((index for index, card in free.items() if card.tool == tool), None)
            chosen[at] = free.pop(same) if same is not None else None
    if len(cards) == len(tools):
        # Nothing came or went: what is left over was edited in its place.
        for at in range(len(tools)):
            if chosen[at] is None:
                chosen[at] = free.pop(at, None)
    return chosen
