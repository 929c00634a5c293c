"""What two texts have in common at their ends. Slices are compared, as that is far faster than a loop."""

from __future__ import annotations

BLOCK = 8192
"""Code points compared at once: slices of a whole long text cost more to make than to compare."""


def common_prefix(left: str, right: str) -> int:
    """How many code points both begin with."""
    high, low = min(len(left), len(right)), 0
    while low < high and left[low : low + BLOCK] == right[low : low + BLOCK]:
        low += BLOCK
    low, high = min(low, high), min(low + BLOCK, high)
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(left: str, right: str, limit: int | None = None) -> int:
    """How many code points both end with, at most `limit`."""
    high, low = min(len(left), len(right)), 0
    high = high if limit is None else min(high, limit)
    while low + BLOCK <= high and _same_end(left, right, low, low + BLOCK):
        low += BLOCK
    high = min(low + BLOCK, high)
    while low < high:
        middle = (low + high + 1) // 2
        if _same_end(left, right, low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def _same_end(left: str, right: str, low: int, high: int) -> bool:
    return left[len(left) - high : len(left) - low] == right[len(right) - high : len(right) - low]
