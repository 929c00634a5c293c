"""The estimate: linear, incremental, and taught by reports. The simulator's tokenizer plays the server's."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playground.prefix_cache.scripts import CLASSES, count

from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json
from playground.simulator.tokens import prompt_tokens
from tests.prefix_cache.prompts import TEXTS

PHRASES = {
    "English": "the caller asks about an order confirm its number then answer in one sentence",
    "Hindi": "ग्राहक अपने ऑर्डर के बारे में पूछता है संख्या की पुष्टि करें",
    "Arabic": "يسأل المتصل عن طلبه تأكد من الرقم ثم أجب في جملة واحدة",
    "Chinese": "来电者 询问 订单 请 确认 号码 和 城市",
    "JSON": '{"id":4711,"city":"Pune","paid":true} {"eta":"2026-11-23T10:04:00Z"}',
}


def fields(chance: random.Random) -> dict[str, Json]:
    """A request body of a few messages in one to three of the languages."""
    languages = chance.sample(list(PHRASES), chance.randint(1, 3))
    messages: list[Json] = []
    for number in range(chance.randint(1, 10)):
        words = PHRASES[chance.choice(languages)].split()
        text = " ".join(chance.choice(words) for _ in range(chance.randint(10, 300)))
        messages.append({"role": "system" if number == 0 else "user", "content": text})
    return {"messages": messages}


def reports(seed: int, number: int) -> list[tuple[str, int]]:
    """Texts as the cache sees them, and what the server counts."""
    chance = random.Random(seed)
    made = [fields(chance) for _ in range(number)]
    return [(view_of_fields(body).text, len(prompt_tokens(body))) for body in made]


@given(TEXTS, TEXTS)
def test_parts_add_up(left: str, right: str) -> None:
    estimator = TokenEstimator()
    assert estimator.estimate(left + right) == pytest.approx(estimator.estimate(left) + estimator.estimate(right))


@given(TEXTS)
def test_each_character_is_counted_once(text: str) -> None:
    assert sum(count(text)) == len(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("word", "word"),
        ("12", "digit"),
        ("{}", "punctuation"),
        ("\x1e", "mark"),
        ("é", "accented"),
        ("कि", "indic"),
        ("சி", "indic"),
        ("نعم", "near_east"),
        ("שלום", "near_east"),
        ("中かな한", "east_asian"),
        ("😀", "other"),
    ],
)
def test_classes(text: str, name: str) -> None:
    assert count(text)[CLASSES.index(name)] == len(text)


@given(st.lists(st.tuples(st.integers(0, 9_000), st.sampled_from(("x", "कि", "😀", "12"))), max_size=6))
def test_an_edited_long_text_is_counted_as_from_nothing(edits: list[tuple[int, str]]) -> None:
    estimator, text = TokenEstimator(), "यह एक नियम है; rule 7. " * 400
    for place, inserted in edits:
        estimator.estimate(text)
        text = text[:place] + inserted + text[place + 1 :]
    assert estimator.counts(text) == count(text)


def test_latin_is_about_four_characters_a_token() -> None:
    assert TokenEstimator().estimate("You are a helpful voice agent. " * 40) == pytest.approx(31 * 40 / 4.2, rel=0.12)


def test_a_message_costs_its_markers_too() -> None:
    body: dict[str, Json] = {"messages": [{"role": "user", "content": ""}]}
    assert TokenEstimator().estimate(view_of_fields(body).text) == pytest.approx(4, abs=2)


def test_it_learns() -> None:
    estimator = TokenEstimator()
    held_out = reports(1, 40)
    before = [abs(estimator.estimate(text) / tokens - 1) for text, tokens in held_out]
    for text, tokens in reports(2, 20):
        estimator.learn(text, tokens)
    after = sorted(abs(estimator.estimate(text) / tokens - 1) for text, tokens in held_out)
    assert after[20] < 0.02
    assert after[36] < 0.06
    assert after[20] < sorted(before)[20] / 4


@pytest.mark.parametrize("taught", [5, 10, 20])
def test_nine_in_ten_fall_into_the_interval(taught: int) -> None:
    inside = total = 0
    for seed in range(12):
        estimator = TokenEstimator()
        for text, tokens in reports(100 + seed, taught):
            estimator.learn(text, tokens)
        for text, tokens in reports(500 + seed, 10):
            low, high = estimator.interval(text)
            inside, total = inside + (low <= tokens <= high), total + 1
    assert inside / total >= 0.9


def test_a_script_that_no_report_covered_stays_wide() -> None:
    estimator = TokenEstimator()
    for number in range(8):
        text = "the caller asks about an order. " * (20 + number)
        estimator.learn(text, len(text) // 5)
    english, hindi = (estimator.interval(text) for text in ("the order. " * 40, "ग्राहक पूछता है " * 40))
    assert english[1] / english[0] < 1.2
    assert hindi[1] / hindi[0] > 1.5


def test_one_report_never_sends_the_estimate_wild() -> None:
    estimator = TokenEstimator()
    estimator.learn("the order is late. " * 50, 250)
    assert estimator.estimate("नमस्ते " * 40) == pytest.approx(TokenEstimator().estimate("नमस्ते " * 40), rel=0.5)


def test_reports_that_can_teach_nothing() -> None:
    estimator = TokenEstimator()
    estimator.learn("", 10)
    estimator.learn("text", 0)
    estimator.learn("text", -3)
    assert estimator.estimate("text") == TokenEstimator().estimate("text")
    assert estimator.interval("") == (0.0, 0.0)
