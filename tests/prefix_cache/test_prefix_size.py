"""Measures that use the counts of an earlier one again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.index import Sent
from playground.prefix_cache.match_tree import MatchTree
from playground.prefix_cache.prefix_size import (
    KEPT,
    LEAST_ERRORS,
    Anchor,
    ForecastInterval,
    Measure,
    PrefixSizer,
    Residuals,
)
from playground.prefix_cache.token_estimator import NOTHING, Counts, TokenEstimator, add
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json
from tests.prefix_cache.test_round_robin import sentence

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
    tree.add(0, prompt("09:55", "Where is it?").view.text)
    tree.add(1, earlier.view.text)
    path = tree.path(now.view.text)
    depth = path[-1][1]
    path[-1][0].served = {depth: (18_560, 16)}
    sizer = PrefixSizer(now, path, 16, 1.0, answers=False, anchors=[Anchor(earlier, len(earlier.view.text), 18_600.0)])
    assert sizer.size(depth).tokens == pytest.approx(18_568, abs=8)
    assert sizer.size(len(now.view.text)).tokens == pytest.approx(18_606, abs=8)
    alone = PrefixSizer(now, path, 16, 1.0, answers=False)
    assert alone.size(len(now.view.text)).tokens < 5_000


def wide(tokens: float = 2_000.0) -> ForecastInterval:
    return ForecastInterval(tokens, 0.0, 3_000.0)


def test_narrowed_wide_forecasts_that_were_right_are_narrowed_after_enough_reports() -> None:
    residuals = Residuals()
    for number in range(LEAST_ERRORS - 1):
        residuals.add(wide(), 2_000 + number % 3 - 1)
    assert residuals.narrowed(wide()) == wide()
    residuals.add(wide(), 2_000)
    assert residuals.narrowed(wide()) == ForecastInterval(2_000.0, 1_999.0, 2_001.0)


def test_narrowed_forecasts_that_are_often_wrong_stay_wide() -> None:
    residuals = Residuals()
    for number in range(60):
        residuals.add(wide(), 2_000 if number % 4 else 0)
    assert residuals.narrowed(wide()).low == 0.0


def test_narrowed_narrow_forecasts_and_their_errors_play_no_part() -> None:
    residuals = Residuals()
    narrow = ForecastInterval(2_000.0, 1_990.0, 2_010.0)
    for _ in range(60):
        residuals.add(narrow, 2_000)
    assert residuals.narrowed(narrow) == narrow
    assert residuals.narrowed(wide()) == wide()


@given(st.lists(st.integers(-2_000, 1_000), min_size=LEAST_ERRORS, max_size=80))
def test_narrowed_interval_holds_nine_in_ten_of_the_errors_it_was_made_of(errors: list[int]) -> None:
    residuals = Residuals()
    for error in errors:
        residuals.add(wide(), 2_000 + error)
    found = residuals.narrowed(wide())
    inside = sum(found.low <= 2_000 + error <= found.high for error in errors[-KEPT:])
    assert found.low <= found.tokens <= found.high
    assert inside >= 0.9 * min(len(errors), KEPT)


def test_streak_counts_latest_reports_inside() -> None:
    residuals = Residuals()
    for reported in (2_000, 5_000, 2_000, 1_000):
        residuals.add(wide(), reported)
    assert residuals.streak == 2


def test_estimator_answer_with_reported_tokens_of_something_else_is_forgotten() -> None:
    """Recorded: the tokens before the tools decide where a template puts the tools."""

    def text(letters: int, digits: int, other: int) -> Counts:
        return (0.0, float(digits), float(other), *NOTHING[3:10], float(letters), 4.0, *NOTHING[12:])

    estimator = TokenEstimator()
    tools, heads = (*NOTHING[:12], 594.0, 0.0, 0.0, 0.0), (*NOTHING[:13], 1.0, 1.0, 1.0)
    estimator.learn(add(add(text(553, 3, 105), tools), heads), 1116)
    estimator.learn(text(148, 3, 19), 21, optional=True)
    for letters, tokens in ((283, 253), (114, 111), (264, 232)):
        estimator.learn(text(letters, 3, 40), tokens)
    assert estimator.tokens(text(553, 3, 105)) == pytest.approx(464, rel=0.1)
    assert estimator.tokens(tools) == pytest.approx(620, rel=0.1)


@pytest.mark.parametrize("text", ["Where is my order? ", "मेरा ऑर्डर कहाँ है? ", "Где мой заказ? "])
def test_prompts_counted_in_bytes_teach_the_ratio_of_each_script(text: str) -> None:
    estimator = TokenEstimator()
    for length in (20, 31, 27):
        estimator.learn(estimator.counts(text * length), len((text * length).encode()))
    assert estimator.estimate(text * 50) == pytest.approx(len((text * 50).encode()), rel=0.05)


def test_prompt_whose_twin_has_no_report_yet_is_sized_by_an_older_one() -> None:
    # Each word is ten tokens, which no estimate expects.
    rng = random.Random(5)
    model = EndpointCacheModel(300.0)
    rules = sentence(rng, 200)
    for number, question in enumerate((sentence(rng, 9), "the twin", "the twin")):
        messages: list[Json] = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
        view = view_of_fields({"messages": messages})
        prediction = model.predictor.predict(view, 1_000.0 + number, thorough=True)
        model.record(Sent(f"r{number}", None, 1_000.0 + number, view.text, view), prediction)
        if not number:
            model.settle(f"r{number}", CacheUsage(2_090, 0))
    assert prediction.prompt.tokens == pytest.approx(2_020, abs=60)
