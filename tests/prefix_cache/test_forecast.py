"""The forecast and its words, and what reports teach it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from playground.prefix_cache.habits import Habits

from playground.prefix_cache.forecast import Forecast
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Document, Message
from playground.prompt.request import body_fields
from playground.simulator.tokens import prompt_tokens
from tests.prefix_cache.prompts import DOCUMENTS, ENDPOINT, MODEL, NOW, RULES, agent, desk, sent

OTHER = Document(messages=(Message("system", "Translate into German. " * 60),))


def forecast(document: Document, *requests: Sent, since: float | None = None) -> Forecast:
    return desk(*requests).look(document, ENDPOINT, MODEL, since).forecast


def counted(document: Document) -> int:
    """The tokens that the simulator counts."""
    return len(prompt_tokens(body_fields(document, MODEL)))


@given(DOCUMENTS, DOCUMENTS)
def test_it_stays_within_the_prompt(document: Document, earlier: Document) -> None:
    found = forecast(document, sent(earlier))
    assert 0 <= found.low <= found.cached_tokens <= found.high
    assert found.cached_tokens <= found.prompt_tokens


@pytest.mark.parametrize(
    ("requests", "since", "basis"),
    [
        ([], None, "nothing has been sent to this endpoint yet"),
        ([sent(OTHER)], None, "nothing like it has been sent to this endpoint yet"),
        ([sent(agent())], None, "shared with 9db74058 · 40 s ago"),
        ([sent(agent(), at=NOW - 180)], None, "shared with 9db74058 · 3 min ago"),
        ([sent(agent(), at=NOW - 41 * 60)], None, "last sent 41 min ago; assumed forgotten after 5 min"),
        (
            [sent(agent(), at=NOW - 41 * 60), sent(OTHER, "other", NOW - 400)],
            None,
            "last sent 41 min ago; assumed forgotten after 5 min",
        ),
        ([sent(agent())], NOW - 20, "last sent 40 s ago, before this cache began"),
        ([sent(agent("! " + RULES))], None, "shares less than one block with 9db74058 · 40 s ago"),
        ([sent(agent()), sent(agent(), "newer", NOW)], None, "shared with newer-24 · now"),
    ],
)
def test_the_words(requests: list[Sent], since: float | None, basis: str) -> None:
    assert forecast(agent(), *requests, since=since).basis == basis


def test_nothing_is_expected_without_ground() -> None:
    found = forecast(agent(), sent(OTHER))
    assert (found.cached_tokens, found.low, found.high, found.run_id, found.shared_chars) == (0, 0, 0, None, 0)


def test_what_it_is_held_against_is_named_where_nothing_is_expected() -> None:
    found = forecast(agent("2026-11-23 " + RULES), sent(agent()), sent(OTHER, "other", NOW - 1))
    assert (found.cached_tokens, found.run_id) == (0, "9db74058")


def test_a_whole_prompt_that_was_counted_is_forecast_exactly() -> None:
    room = desk(sent(agent(), tokens=643))
    # 16 tokens a block are assumed: 40 whole blocks of 643. It may be a block that is larger than the prompt.
    found = room.look(agent(), ENDPOINT, MODEL).forecast
    assert (found.cached_tokens, found.low, found.high) == (640, 0, 640)
    for number, cached in enumerate((208, 336, 400, 944)):
        room.record(ENDPOINT, MODEL, replace(sent(OTHER, f"other {number}", tokens=1_000), cached_tokens=cached))
    found = room.look(agent(), ENDPOINT, MODEL).forecast
    assert (found.cached_tokens, found.low, found.high) == (640, 640, 640)
    assert found.prompt_tokens == pytest.approx(643)


def test_one_token_is_always_computed() -> None:
    assert forecast(agent(), sent(agent(), tokens=640)).cached_tokens == 624


def test_the_count_holds_though_the_newest_request_was_stopped() -> None:
    found = forecast(agent(), sent(agent(), "counted", NOW - 50, tokens=643), sent(agent(), "stopped", NOW - 5))
    assert found.run_id == "stopped"
    assert found.prompt_tokens == pytest.approx(643)


@pytest.mark.parametrize("question", ["And when?", "कब आएगा?", "متى يصل الطرد؟", "什么时候到？", '{"id": 4711}'])
def test_after_one_report_the_next_turn_is_within_a_block(question: str) -> None:
    first, then = agent(), agent(question=question)
    room = desk(sent(first))
    room.settle(ENDPOINT, MODEL, "9db74058", counted(first), 0)
    found = room.look(then, ENDPOINT, MODEL).forecast
    shared = [one == other for one, other in zip(*(_tokens(d) for d in (first, then)), strict=False)]
    served = shared.index(False) // 16 * 16
    assert abs(found.cached_tokens - served) <= 16
    assert found.low <= served <= found.high
    assert found.prompt_tokens == pytest.approx(counted(then), rel=0.05)


def _tokens(document: Document) -> list[str]:
    return prompt_tokens(body_fields(document, MODEL))


def test_reports_tell_the_block() -> None:
    habits = Habits()
    assert habits.step == 16
    for reported in (0, 640, 1152, 896):
        habits.learn(reported)
    assert habits.step == 128


def test_one_report_does_not_tell_the_block() -> None:
    habits = Habits()
    habits.learn(1000)
    assert habits.step == 8


def test_a_body_from_elsewhere_is_a_ground_like_any() -> None:
    view = view_of_fields(body_fields(agent(), "other tool"))
    assert forecast(agent(), Sent("run", None, NOW - 1, view.text, view)).cached_tokens > 0
