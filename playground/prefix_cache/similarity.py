"""Earlier requests that are versions of one prompt: same beginning and end, or mostly the same lines."""

from __future__ import annotations

from collections.abc import Iterable

from playground.prefix_cache.index import Sent
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import CacheView

SHARE = 0.5
"""Share of the shorter text that versions of one prompt have in common at least."""
REMEMBERED = 64


class PromptFamilyMatcher:
    """Finds versions of one prompt. Caches the lines of earlier requests; one per endpoint and model."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, int]] = {}

    def first(self, view: CacheView, candidates: Iterable[Sent | None]) -> Sent | None:
        """Return the first candidate that is a version of this prompt, None if there is none."""
        mine: dict[str, int] | None = None
        for sent in candidates:
            if sent is None:
                continue
            if _ends_alike(view.text, sent.text):
                return sent
            mine = _pieces(view) if mine is None else mine
            if self._same_pieces(mine, view.text, sent):
                return sent
        return None

    def _same_pieces(self, mine: dict[str, int], text: str, sent: Sent) -> bool:
        theirs = self._parts.get(sent.text)
        if theirs is None:
            if len(self._parts) >= REMEMBERED:
                del self._parts[next(iter(self._parts))]
            theirs = self._parts[sent.text] = _pieces(sent.view)
        shared = sum(min(size, theirs[piece]) for piece, size in mine.items() if piece in theirs)
        return shared >= SHARE * min(len(text), len(sent.text))


def _ends_alike(text: str, other: str) -> bool:
    shorter = min(len(text), len(other))
    if not shorter:
        return False
    start = common_prefix(text, other)
    if start >= SHARE * shorter:
        return True
    return start + common_suffix(text, other, shorter - start) >= SHARE * shorter


def _pieces(view: CacheView) -> dict[str, int]:
    """Return each line of each part, without line ends, with its code points in all."""
    found: dict[str, int] = {}
    for piece in view.text.splitlines():
        found[piece] = found.get(piece, 0) + len(piece) + 1
    return found
