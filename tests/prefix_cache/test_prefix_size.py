"""Measures that use the counts of an earlier one again."""

from __future__ import annotations

import pytest

from playground.prefix_cache.prefix_size import Measure
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
