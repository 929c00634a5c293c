"""Prompts that were sent before, or are running: what was served of them is the forecast."""

from __future__ import annotations

import random

import pytest

from playground.prefix_cache.endpoint_model import EndpointCacheModel
from playground.prefix_cache.forecast import CacheUsage, Prediction
from playground.prefix_cache.index import Sent
from playground.prefix_cache.learned_state import restore, state_of
from playground.prefix_cache.view import view_of_fields
from playground.prompt.document import Json
from tests.prefix_cache.test_round_robin import sentence

RULES = sentence(random.Random(3), 300)


class Session:
    """Requests to one server, `step` seconds apart."""

    def __init__(self) -> None:
        self.model, self.count, self.now = EndpointCacheModel(300.0), 0, 1_000.0

    def send(self, question: str, step: float = 20.0, *, rules: str = RULES) -> tuple[str, Prediction]:
        self.count += 1
        self.now += step
        messages: list[Json] = [{"role": "system", "content": rules}, {"role": "user", "content": question}]
        view = view_of_fields({"messages": messages})
        prediction = self.model.predictor.predict(view, self.now, thorough=True)
        run_id = f"r{self.count}"
        self.model.record(Sent(run_id, None, self.now, view.text, view), prediction)
        return run_id, prediction

    def ask(self, question: str, prompt: int | None, cached: int, *, rules: str = RULES) -> Prediction:
        """Send a request and settle it."""
        run_id, prediction = self.send(question, rules=rules)
        self.model.settle(run_id, CacheUsage(prompt, cached))
        return prediction


@pytest.mark.parametrize("as_computed", [True, False])
def test_reports_show_whether_running_requests_provide_their_prefix(as_computed: bool) -> None:
    session, questions = Session(), random.Random(8)
    session.ask("first", 460, 0)
    for _ in range(4):
        question = sentence(questions, 90)
        pair = [session.send(question), session.send(question, 0.2)]
        for (run_id, _), cached in zip(pair, (320, 544 if as_computed else 320), strict=True):
            session.model.settle(run_id, CacheUsage(560, cached))
    twin = pair[1][1]
    assert twin.interval.tokens == pytest.approx(544 if as_computed else 320, abs=64)
    assert twin.interval.high > 450
    again = EndpointCacheModel(300.0)
    restore(again.learned, state_of("e", "m", session.model.learned))
    assert again.learned.proofs.waits(0.2) is not as_computed


def test_shared_text_has_at_least_the_served_tokens_if_no_prompt_tokens_are_reported() -> None:
    session, questions = Session(), random.Random(8)
    for _ in range(5):
        prediction = session.ask(sentence(questions, 20), None, 1_920 if session.count else 0)
    assert prediction.interval.low <= 1_920 <= prediction.interval.high
    assert prediction.interval.tokens == pytest.approx(1_920, abs=64)


def test_same_prompt_again_is_served_the_same_by_a_server_with_few_states() -> None:
    session = Session()
    for _ in range(3):
        prediction = session.ask("Where?", 2_726, 1_504 if session.count else 0)
    assert prediction.interval.tokens == 1_504


def test_same_difference_of_prompts_sent_again_is_learned() -> None:
    session = Session()
    for number, tokens in enumerate((460, 521, 634)):
        rules = sentence(random.Random(number), 300)
        session.ask("Where?", tokens, 0, rules=rules)
        prediction = session.ask("Where?", tokens, (tokens - 1) // 16 * 16 - 48, rules=rules)
    assert prediction.interval.tokens == 576


def test_interval_has_a_report_rounded_above_the_tokens_of_the_prompt() -> None:
    session = Session()
    for number, (tokens, cached) in enumerate(((1_795, 1_800), (1_523, 1_500), (1_681, 1_700), (1_895, 1_900))):
        rules = sentence(random.Random(number), 300)
        session.ask("Where?", tokens, 0, rules=rules)
        prediction = session.ask("Where?", tokens, cached, rules=rules)
    assert prediction.interval.low <= 1_900 <= prediction.interval.high


def test_interval_allows_a_hit_after_a_few_reports_of_nothing() -> None:
    session = Session()
    for _ in range(8):
        prediction = session.ask("Where?", 698, 0)
    assert prediction.interval.tokens == 0
    assert prediction.interval.high == pytest.approx(698, abs=1)


@pytest.mark.parametrize(("cached", "plausible"), [(1_800, True), (1_796, False), (1_900, False)])
def test_cached_tokens_above_the_prompt_are_plausible_only_if_they_may_be_rounded(cached: int, plausible: bool) -> None:
    usage = CacheUsage.reported(1_795, cached, 20, b"x" * 4_000)
    assert (usage.cached_tokens == cached) is plausible
