"""Whether a report is what a server gives of a prefix of so many tokens, in blocks that earlier reports allow."""

from __future__ import annotations

from playground.prefix_cache.miss_evidence import MissKnowledge
from playground.prefix_cache.prefix_size import NEAR, Size

LARGE_BLOCK = 1024
"""Tokens: the largest usual block and minimum. A shorter prefix may never be cached."""
PARTLY = 0.03
"""Probability of blocks that leave out as much up to which a loss of part of a prefix is stated."""


def agrees(cached: int, size: Size, known: MissKnowledge) -> bool:
    """Return whether a report is what a server serves of so many shared tokens."""
    if cached:
        return in_blocks(cached, size, known) or whole_blocks(cached, size, known)
    short = size.tokens < 1.1 * LARGE_BLOCK and known.none_so_short(size.tokens)
    return short or size.tokens - 3 * size.error < known.block


def in_blocks(cached: int, size: Size, known: MissKnowledge) -> bool:
    """Return whether a report is what a server serves of so many tokens, with blocks that reports allow."""
    slack = 3 * size.error + NEAR
    usual = [block for block, weight in known.blocks if weight >= PARTLY and not cached % block]
    missed = size.tokens - cached
    return any(-slack <= missed <= max(block, NEAR) + slack for block in usual or (1,))


def whole_blocks(cached: int, size: Size, known: MissKnowledge) -> bool:
    """Return whether a report may be whole large blocks of so many tokens: hybrid models have blocks of 528."""
    missed, slack = size.tokens - cached, 3 * size.error + NEAR
    if not cached or missed < -slack:
        return False
    units = (cached // parts for parts in range(1, 9) if not cached % parts)
    return any(missed < unit + slack and not any(figure % unit for figure in known.figures) for unit in units)


def agreement(cached: int, size: Size, block: int) -> float:
    """Return how well a report agrees with a shared size in blocks of `block` tokens, from 0 to 1."""
    served = size.tokens // block * block
    apart = max(abs(cached - served) - block - 2 * size.error, 0.0)
    return float(1.0 / (1.0 + (apart / (24.0 + 2 * size.error)) ** 2))
