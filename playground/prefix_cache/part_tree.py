"""The longest prefix that a prompt shares with any earlier one, found part by part."""

from __future__ import annotations

from itertools import islice

from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.view import CacheView

_CHILDREN = 32
"""Newest parts in the same place that a different part is compared with."""


class PartTree:
    """Earlier prompts, part by part: how many code points of a prompt any of them begins with."""

    def __init__(self) -> None:
        self._children: dict[str, PartTree] = {}
        self._ends: int | None = None

    def shared(self, view: CacheView) -> tuple[int, tuple[int, int] | None]:
        """Return the code points of the longest shared prefix, and the longest prompt that is a prefix as a whole: its
        number and code points."""
        node, whole = self, None
        for part in view.parts:
            text = view.text[part.start : part.end]
            child = node._children.get(text)
            if child is None:
                newest = list(islice(reversed(node._children), _CHILDREN))
                return part.start + max((common_prefix(text, other) for other in newest), default=0), whole
            node = child
            if node._ends is not None:
                whole = node._ends, part.end
        return len(view.text), whole

    def add(self, view: CacheView, number: int) -> None:
        """Take the prompt of a request in."""
        node = self
        for part in view.parts:
            node = node._children.setdefault(view.text[part.start : part.end], PartTree())
        node._ends = number
