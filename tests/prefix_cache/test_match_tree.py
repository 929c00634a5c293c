"""The match tree against plain comparisons of all texts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playground.prefix_cache import match_tree
from playground.prefix_cache.match_tree import MatchTree, TreePath
from playground.prefix_cache.view import Reuse
from tests.prefix_cache.prompts import slow_prefix

TEXTS = st.text(alphabet="ab", min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12), TEXTS)
def test_steps_longest_shared_prefix_and_newest_user_match_a_plain_search(
    sequences: list[tuple[str, str]], text: str
) -> None:
    tree = MatchTree()
    for number, (prompt, answer) in enumerate(sequences):
        tree.add(number, prompt, answer)
    path = tree.path(text)
    reuses: tuple[Reuse, ...] = ("all", "none")
    for reuse in reuses:
        known = [prompt + answer if reuse == "all" else prompt for prompt, answer in sequences]
        lengths = [slow_prefix(text, one) for one in known]
        steps = tree.steps(path, reuse)
        longest = max(lengths)
        assert (steps[-1].depth if steps else 0) == longest
        for step in steps:
            users = [number for number, length in enumerate(lengths) if length >= step.depth]
            assert (step.newest, step.count) == (users[-1], len(users))
        for number, length in enumerate(lengths):
            assert tree.reused(TreePath(tree, text).shared(number), number, reuse) == length


def test_exact_counts_stay_at_the_end_of_their_prompt_when_a_node_is_split() -> None:
    tree = MatchTree()
    tree.add(0, "abcdef")
    ends = tree.ends(0)
    assert ends is not None
    ends[0].exact_prompt = 6.0
    tree.add(1, "abcxyz")
    marks = {depth: node.exact_prompt for node, depth in tree.path("abcdefg")}
    assert marks == {0: None, 3: None, 6: 6.0}


def test_extend_trees_share_the_answer() -> None:
    answer = "the answer of a request"
    trees = MatchTree(), MatchTree()
    for tree, prompt in zip(trees, ("ab", "ba"), strict=True):
        tree.add(0, prompt)
        tree.extend(0, answer)
        ends = tree.ends(0)
        assert ends is not None
        assert ends[1].label is answer
        assert tree.length(0) == len(prompt) + len(answer)


def test_sequences_beyond_the_bound_go_with_their_text_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_tree, "MAX_SEQUENCES", 2)
    tree = MatchTree()
    for number, text in enumerate(("abc", "abd", "xyz", "xyw")):
        tree.add(number, text)
    assert (len(tree), tree.size) == (2, len("xyzw"))
    assert tree.steps(tree.path("abc"), "all") == []
