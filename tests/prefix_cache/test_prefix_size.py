"""Measures that use the counts of an earlier one again."""

from __future__ import annotations

import pytest

from playground.prefix_cache.match_tree import MatchTree
from playground.prefix_cache.prefix_size import Anchor, Measure, PrefixSizer
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json

TOOL: Json = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
SYSTEM: dict[str, Json] = {"role": "system", "content": "You are patient."}
QUESTION: dict[str, Json] = {"role": "user", "content": "Where is my order?"}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({"messages": [SYSTEM, QUESTION]}, {"messages": [SYSTEM, {**QUESTION, "content": "Where is my order 7?"}]}),
        ({"messages": [SYSTEM]}, {"messages": [SYSTEM, QUESTION]}),
        ({"messages": [SYSTEM, QUESTION]}, {"messages": [SYSTEM]}),
        ({"messages": [SYSTEM, QUESTION]}, {"messages": [{**SYSTEM, "role": "user"}, QUESTION]}),
        ({"tools": [TOOL], "messages": [QUESTION]}, {"tools": [TOOL, TOOL], "messages": [QUESTION]}),
        ({"tools": [TOOL, TOOL], "messages": [QUESTION]}, {"tools": [TOOL], "messages": [QUESTION]}),
        ({"messages": [QUESTION]}, {"messages": []}),
    ],
)
def test_measure_after_another_same_counts_as_alone(earlier: dict, later: dict) -> None:  # type: ignore[type-arg]
    estimator = TokenEstimator()
    view = view_of_fields(later)
    again = Measure(view, estimator, Measure(view_of_fields(earlier), estimator))
    alone = Measure(view, TokenEstimator())
    offsets = range(len(view.text) + 1)
    assert [again.counts_upto(at) for at in offsets] == [alone.counts_upto(at) for at in offsets]
    assert (again.by_part, again.total) == (alone.by_part, alone.total)


def test_measure_after_a_report_estimates_all_parts_again() -> None:
    estimator = TokenEstimator()
    view = view_of_fields({"messages": [SYSTEM, QUESTION]})
    before = Measure(view, estimator)
    old = before.by_part
    estimator.learn(before.counts_upto(len(view.text)), 40)
    later = Measure(view, estimator, before)
    assert later.by_part == Measure(view, estimator).by_part
    assert later.by_part != old


def test_sizer_counted_prompt_of_costly_text_sizes_a_longer_prompt_and_keeps_the_reported_depth() -> None:
    # A template that writes each letter of these tools as six characters: 18,600 tokens that no estimate expects.
    tool: Json = {"type": "function", "function": {"name": "find", "description": "அறிக்கை " * 300}}

    def prompt(time: str, *turns: str) -> Measure:
        system: dict[str, Json] = {"role": "system", "content": f"It is {time}. Be patient."}
        messages: list[Json] = [system]
        messages += [{"role": "user", "content": text} for text in turns]
        return Measure(view_of_fields({"tools": [tool], "messages": messages}), estimator)

    estimator = TokenEstimator()
    earlier, now = prompt("10:00", "Where is it?"), prompt("10:05", "Where is it?", "And when does it come?")
    tree = MatchTree()
    tree.add(0, prompt("09:55", "Where is it?").text)
    tree.add(1, earlier.text)
    path = tree.path(now.text)
    depth = path[-1][1]
    path[-1][0].served = {depth: (18_560, 16)}
    sizer = PrefixSizer(now, path, 16, 1.0, answers=False, anchors=[Anchor(earlier, len(earlier.text), 18_600.0)])
    assert sizer.size(depth).tokens == pytest.approx(18_568, abs=8)
    assert sizer.size(len(now.text)).tokens == pytest.approx(18_606, abs=8)
    alone = PrefixSizer(now, path, 16, 1.0, answers=False)
    assert alone.size(len(now.text)).tokens < 5_000
