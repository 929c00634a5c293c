"""Servers with slots: which earlier requests the slots of llama.cpp and its like hold when a prompt comes."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from playground.prefix_cache.match_tree import MatchTree, TreePath

STATES = 40
"""Saved states of a slot."""
LEAST_SHARED = 0.1
"""Share of a prompt from which the slot that holds it is used for it."""


def use_slot(held: list[int], slots: int, number: int, path: TreePath) -> None:
    """Put a request into the slot that shares most with it, else into the one that was used longest ago.

    `held` are the newest requests of the slots, the longest unused first; at most `slots`.
    """
    shared = [(path.shared(other), at) for at, other in enumerate(held)]
    most, at = max(shared, default=(0, 0))
    if held and most >= LEAST_SHARED * path.length:
        del held[at]
    elif len(held) >= slots:
        del held[0]
    held.append(number)


class SlotStates(Struct):
    """One slot whose states are saved in memory, as llama.cpp does: numbers of requests, the slot's own and saved ones.

    The slot keeps its state if it shares more than a tenth of the new prompt and the prompt keeps half of it; else the
    saved state that shares most is restored, if the prompt keeps a quarter of that one.
    """

    current: int = -1
    saved: list[int] = field(default_factory=list)

    def held(self, tree: MatchTree, shared_with: Callable[[int], int], length: int) -> list[int]:
        """Return the state that serves a prompt, and the saved one that it would replace the slot's by.

        `shared_with` gives the code points that the prompt shares with a request.
        """
        if self.current < 0:
            return []
        common, own = shared_with(self.current), tree.length(self.current)
        if common > 0.1 * length and common >= 0.5 * own:
            return [self.current]
        best, keep, shared = None, common / max(own, 1), common
        for number in self.saved:
            other, size = shared_with(number), tree.length(number)
            if size and other / size >= 0.25 and other / size > keep and other > shared:
                best, keep, shared = number, other / size, other
        return [self.current, -1] if best is None else [best, best]

    def take(self, tree: MatchTree, shared_with: Callable[[int], int], length: int, number: int) -> None:
        """Serve a prompt: exchange the slot's state if the rule says so, and put the new request into the slot."""
        found = self.held(tree, shared_with, length)
        if len(found) == 2:
            if self.current not in self.saved:
                self.saved = [*self.saved[-(STATES - 1) :], self.current]
            if found[1] in self.saved:
                self.saved.remove(found[1])
        self.current = number
