"""Forecasts held against servers that block, forget and count in their own ways: what is learnt, how it is scored."""

from __future__ import annotations

import pytest
from playground.prefix_cache.habits import Habits
from playground.prefix_cache.lifetime import Lifetime

from playground.prefix_cache.score import Score, Scorer
from tests.prefix_cache.prompts import ENDPOINT, MODEL, NOW, RULES, agent, desk, sent
from tests.prefix_cache.servers import TOKENIZERS, WORDS, Server, asked


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("block", [16, 128, 1024])
def test_nine_in_ten_reports_fall_into_the_interval(tokenizer: str, block: int) -> None:
    made = [a for language in WORDS for a in asked(Server(tokenizer, block, 300.0), language, 7, 36)]
    few, many = [a for a in made if 0 < a.taught < 5], [a for a in made if a.taught >= 20]
    assert sum(a.inside for a in few) / len(few) >= 0.9
    assert sum(a.inside for a in many) / len(many) >= 0.9
    assert sum(a.error <= block for a in many) / len(many) >= 0.85


@pytest.mark.parametrize("block", [16, 48, 64, 128, 1024])
def test_the_block_is_learnt_from_what_was_shared(block: int) -> None:
    habits = Habits()
    for shared in (1_530.0, 2_710.0, 4_444.0, 3_333.0):
        habits.learn(int(shared // block * block), shared, 20.0)
    assert habits.block.value == block
    assert habits.block.sure > 0.7
    assert habits.block.words in ("sure, from 4 reports", "likely, from 4 reports")


def test_a_minimum_is_the_least_ever_cached() -> None:
    habits = Habits()
    assert habits.minimum.value is None
    assert habits.minimum.words == "not known yet"
    for shared in (1_530.0, 2_710.0, 1_160.0):
        habits.learn(int(shared // 128 * 128), shared, 10.0)
    guessed = habits.minimum
    assert (guessed.value, guessed.sure <= 0.5) == (1_152, True)
    for shared in (640.0, 900.0, 300.0):
        habits.learn(0, shared, 10.0)
    assert habits.minimum.sure > 0.9
    assert habits.likely[0].minimum == 1024
    assert habits.likely[0].served(900.0) == 0


def test_a_server_that_never_serves_is_no_longer_expected_to() -> None:
    habits = Habits()
    for _ in range(4):
        habits.learn(0, 5_000.0, 20.0)
    assert habits.likely[0].served(5_000.0) == 0


def test_the_lifetime_is_learnt_from_pauses() -> None:
    lifetime = Lifetime(300.0)
    assert lifetime.effective_s == 300.0
    assert lifetime.learnt.value is None
    for gap_s, served in ((20.0, True), (55.0, True), (80.0, False), (150.0, False), (30.0, True)):
        lifetime.learn(gap_s, served=served)
    assert 50 <= lifetime.effective_s <= 85
    assert lifetime.alive(20.0) > 0.9
    assert lifetime.alive(200.0) < 0.1
    assert lifetime.learnt.value == round(lifetime.effective_s)


def test_an_agreeing_server_leaves_the_setting_as_it_is() -> None:
    lifetime = Lifetime(300.0)
    for gap_s in (10.0, 200.0, 290.0):
        lifetime.learn(gap_s, served=True)
    assert lifetime.effective_s == 300.0
    lifetime.assumed_s = 600.0
    assert lifetime.effective_s == 600.0


def test_a_server_that_loses_many_is_not_trusted() -> None:
    lifetime = Lifetime(300.0)
    for number in range(20):
        lifetime.learn(10.0, served=number % 3 > 0)
    assert 0.5 < lifetime.alive(10.0) < 0.9


def test_nothing_scored_and_nothing_reported() -> None:
    scorer = Scorer()
    assert scorer.score == Score()
    assert "yet" in scorer.score.sentence
    heard = []
    for _ in range(2):
        scorer.add_unreported()
        heard.append(scorer.score.reports)
    assert heard == [None, False]
    assert scorer.score.sentence.startswith("This server does not report cached tokens")


def test_errors_in_tokens_and_blocks() -> None:
    scorer = Scorer()
    for reported in (640, 624, 512):
        scorer.add(640.0, (600.0, 640.0), reported, 16)
    score = scorer.score
    assert (score.n, score.median_error_tokens, score.median_error_blocks) == (3, 16, 1.0)
    assert score.inside == pytest.approx(2 / 3)
    assert score.failing == ""
    assert score.sentence == "3 forecasts: off by 16 tokens (1.0 blocks) in the median, 67% inside the interval."


@pytest.mark.parametrize(
    ("reports", "words"),
    [((0, 0, 0), "less was served"), ((900, 900, 900), "more was served"), ((0, 900, 0), "not work as is assumed")],
)
def test_a_forecast_that_keeps_failing_says_so(reports: tuple[int, ...], words: str) -> None:
    scorer = Scorer()
    for reported in (640, 640, 640, 640, 640, 640, *reports):
        scorer.add(640.0, (608.0, 656.0), reported, 16)
    assert scorer.score.failing.startswith("3 of the last 5 forecasts were off by more than a block")
    assert words in scorer.score.failing
    for _ in range(3):
        scorer.add(640.0, (608.0, 656.0), 640, 16)
    assert scorer.score.failing == ""


def test_the_interval_widens_until_it_holds() -> None:
    scorer = Scorer()
    for _ in range(6):
        scorer.add(640.0, (632.0, 648.0), 704, 16)
    assert scorer.width > 3
    for _ in range(60):
        scorer.add(640.0, (632.0, 648.0), 640, 16)
    assert scorer.width == 1.0


def test_the_desk_scores_what_it_forecast() -> None:
    room = desk(sent(agent(), tokens=643))
    forecast = room.look(agent(), ENDPOINT, MODEL).forecast
    room.record(ENDPOINT, MODEL, sent(agent(), "second", NOW))
    room.settle(ENDPOINT, MODEL, "second", 643, 640, forecast)
    assert room.score(ENDPOINT, MODEL).n == 1
    assert room.score(ENDPOINT, MODEL).median_error_tokens == 0
    assert room.learnt(ENDPOINT, MODEL).minimum.value == 640
    assert room.score("elsewhere", MODEL).n == 0


def test_candidates_come_best_first() -> None:
    early, other = sent(agent("2026-11-23 " + RULES), "early"), sent(agent(), "whole", NOW - 90)
    room = desk(early, other, sent(agent(question="And when?"), "asks", NOW - 5), sent(agent(), "newer", NOW - 20))
    found = room.candidates(agent(), ENDPOINT, MODEL)
    assert [match.sent.run_id for match in found] == ["newer", "whole", "asks", "early"]
    assert found[0].length == len(found[0].sent.text)
    assert found[2].length > found[3].length
    assert room.candidates(agent(), ENDPOINT, MODEL, limit=1)[0].sent.run_id == "newer"
