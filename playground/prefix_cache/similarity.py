"""Earlier requests that are versions of one prompt: same beginning and end, or mostly the same lines."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from playground.prefix_cache.index import Sent
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import CacheView

SHARE = 0.5
"""Share of the shorter text that versions of one prompt have in common at least."""
REMEMBERED = 64


class PromptFamilyMatcher:
    """Finds versions of one prompt. Caches lines of prompts and of earlier requests; one per endpoint and model.

    A prompt that differs little from the one before costs its changed lines.
    """

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, int]] = {}
        self._mine = _Lines("")
        self._lock = Lock()

    def first(self, view: CacheView, candidates: Iterable[Sent | None]) -> Sent | None:
        """Return the first candidate that is a version of this prompt, None if there is none."""
        for sent in candidates:
            if sent is None:
                continue
            if _ends_alike(view.text, sent.text) or self._same_pieces(view.text, sent):
                return sent
        return None

    def _same_pieces(self, text: str, sent: Sent) -> bool:
        with self._lock:
            self._mine.change_to(text)
            return self._mine.shared_with(sent.text, self._parts_of(sent)) >= SHARE * min(len(text), len(sent.text))

    def _parts_of(self, sent: Sent) -> dict[str, int]:
        theirs = self._parts.get(sent.text)
        if theirs is None:
            if len(self._parts) >= REMEMBERED:
                del self._parts[next(iter(self._parts))]
            theirs = self._parts[sent.text] = {}
            _count(theirs, sent.text, 1)
        return theirs


class _Lines:
    """The lines of a text, without line ends, with their code points in all, and how many it shares with others."""

    def __init__(self, text: str) -> None:
        self.text = ""
        self._sizes: dict[str, int] = {}
        self._shared: dict[str, tuple[dict[str, int], int]] = {}
        self.change_to(text)

    def change_to(self, text: str) -> None:
        """Replace the text; lines that stay at its beginning and end are not counted again."""
        before = self.text
        if text == before:
            return
        start = common_prefix(before, text)
        start = max(before.rfind(end, 0, start) for end in _LINE_ENDS) + 1
        behind = common_suffix(before, text, min(len(before), len(text)) - start)
        ends = [place for end in _LINE_ENDS if (place := text.find(end, len(text) - behind)) >= 0] if behind else []
        behind = len(text) - min(ends) - 1 if ends else 0
        old, new = before[start : len(before) - behind], text[start : len(text) - behind]
        touched = {*old.splitlines(), *new.splitlines()}
        sizes = self._sizes
        earlier = {piece: sizes.get(piece, 0) for piece in touched}
        _count(sizes, old, -1)
        _count(sizes, new, 1)
        self.text = text
        for other, (theirs, shared) in self._shared.items():
            common = touched & theirs.keys()
            more = sum(min(sizes.get(each, 0), theirs[each]) - min(earlier[each], theirs[each]) for each in common)
            self._shared[other] = theirs, shared + more

    def shared_with(self, other: str, theirs: dict[str, int]) -> int:
        """Return the code points of lines that are also in the text `other`, whose lines are `theirs`."""
        known = self._shared.get(other)
        if known is None or known[0] is not theirs:
            shared = sum(min(size, theirs[piece]) for piece, size in self._sizes.items() if piece in theirs)
            if len(self._shared) >= _MOST_COMPARED:
                del self._shared[next(iter(self._shared))]
            known = self._shared[other] = theirs, shared
        return known[1]


_LINE_ENDS = "\n\x1e"
"""Characters behind which a line begins in every text; others (a carriage return) are only considered in lines."""
_MOST_COMPARED = 16


def _count(sizes: dict[str, int], text: str, sign: int) -> None:
    """Add the lines of a text to `sizes`, or take them away. Lines of no more code points are removed."""
    for piece in text.splitlines():
        size = sizes.get(piece, 0) + sign * (len(piece) + 1)
        if size:
            sizes[piece] = size
        else:
            del sizes[piece]


def _ends_alike(text: str, other: str) -> bool:
    shorter = min(len(text), len(other))
    if not shorter:
        return False
    start = common_prefix(text, other)
    if start >= SHARE * shorter:
        return True
    return start + common_suffix(text, other, shorter - start) >= SHARE * shorter
