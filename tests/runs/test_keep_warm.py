"""Keep-warm: due before the lifetime ends, ended by its limits, by a cold prefix and by misses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from playground.client.endpoint import Endpoint, Rates
from playground.client.events import Usage
from playground.prefix_cache.forecaster import CacheForecaster, PromptForecast
from playground.prompt.document import Document, Message
from playground.runs.keep_warm import KeepWarm, minimal, offer
from playground.runs.state import RunState
from tests.prefix_cache.prompts import ENDPOINT, MODEL, NOW, agent, sent

DOCUMENT = agent(question="One?")


def forecast(age_s: float, set_s: float | None, now: float = NOW) -> PromptForecast:
    forecaster = CacheForecaster(clock=lambda: now)
    forecaster.set_lifetime_s = set_s
    request = sent(DOCUMENT, "run", now - age_s)
    forecaster.record(ENDPOINT, MODEL, request)
    return forecaster.look(DOCUMENT, ENDPOINT, MODEL)


def endpoint(rates: Rates) -> Endpoint:
    return Endpoint(id="e", name="E", kind="other", base_url="http://127.0.0.1:1/v1", rates=rates)


@pytest.mark.parametrize(
    ("age_s", "set_s", "warm_left", "cold_for"),
    [(40, 100, 60, None), (140, 100, None, 40), (40, None, None, None)],
)
def test_clock_of_a_set_lifetime_is_warm_then_cold_and_absent_without_one(
    age_s: float, set_s: float | None, warm_left: float | None, cold_for: float | None
) -> None:
    clock = forecast(age_s, set_s).clock
    assert clock.source == ("set" if set_s else "")
    assert clock.warm_until_unix == (None if warm_left is None else pytest.approx(NOW + warm_left))
    assert clock.cold_since_unix == (None if cold_for is None else pytest.approx(NOW - cold_for))
    assert clock.cold == (cold_for is not None)


def test_offer_states_interval_and_cost_and_refuses_an_unknown_lifetime_or_a_cold_prefix() -> None:
    found = offer(forecast(10, 90), endpoint(Rates(0.4, 0.1)))
    assert found is not None
    assert (found.interval_s, found.per_hour) == pytest.approx((60, 60))
    prompt_forecast = forecast(10, 90)
    tokens, cached = prompt_forecast.forecast.prompt_tokens, prompt_forecast.forecast.cached_tokens
    assert found.request_cost == pytest.approx((cached * 0.1 + (tokens - cached) * 0.4) / 1e6)
    unpriced = offer(prompt_forecast, endpoint(Rates()))
    assert unpriced is not None
    assert unpriced.request_cost is None
    assert offer(forecast(10, None), endpoint(Rates())) is None
    assert offer(forecast(100, 90), endpoint(Rates())) is None


def test_minimal_request_has_the_same_prompt_and_one_token() -> None:
    made = minimal(Document(messages=DOCUMENT.messages, parameters={"max_completion_tokens": 9, "seed": 1}))
    assert made.messages == DOCUMENT.messages
    assert made.parameters == {"seed": 1, "max_tokens": 1}


class Server:
    """A forecaster on a clock of its own. Each request refreshes the prefix; `cached` is what each response reports."""

    def __init__(self, lifetime_s: float, cached: Sequence[int | None]) -> None:
        self.now = NOW
        self.forecaster = CacheForecaster(clock=lambda: self.now)
        self.forecaster.set_lifetime_s = lifetime_s
        self.forecaster.record(ENDPOINT, MODEL, sent(DOCUMENT, "first", self.now))
        self.cached, self.times = cached, [self.now]

    def look(self) -> PromptForecast:
        return self.forecaster.look(DOCUMENT, ENDPOINT, MODEL)

    async def send(self, document: Document) -> RunState:
        self.times.append(self.now)
        self.forecaster.record(ENDPOINT, MODEL, sent(document, f"run {len(self.times)}", self.now))
        return RunState(phase="done", usage=Usage(1000, 1, None, self.cached[len(self.times) - 2]))

    async def sleep(self, length_s: float) -> None:
        self.now += length_s

    def run(self, requests: int, *, free: Callable[[], bool] = lambda: True, hours: float = 1) -> str:
        work = KeepWarm(
            DOCUMENT,
            look=self.look,
            send=self.send,
            has_slot=free,
            requests=requests,
            hours=hours,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return asyncio.run(work.run())


def test_requests_are_sent_before_the_lifetime_ends_up_to_the_limit() -> None:
    server = Server(90, [900] * 3)
    assert "3 of 3" in server.run(3)
    assert [at - NOW for at in server.times] == pytest.approx([0, 60, 120, 180])


def test_two_misses_in_a_row_end_it() -> None:
    server = Server(90, [900, 0, 0, 900])
    server.run(10)
    assert len(server.times) - 1 == 3


def test_without_a_free_slot_nothing_is_sent_and_a_cold_prefix_ends_it() -> None:
    server = Server(90, [])
    assert "not in the cache" in server.run(10, free=lambda: False)
    assert len(server.times) == 1
    assert server.now - NOW == pytest.approx(90, abs=1)


def test_the_chosen_time_ends_it() -> None:
    server = Server(90, [900] * 3)
    server.run(10, hours=130 / 3600)
    assert len(server.times) - 1 == 2
    assert server.now - NOW == pytest.approx(130)


def test_time_that_ends_while_it_waits_for_a_slot_ends_it_without_a_request() -> None:
    server = Server(900, [900])
    reason = server.run(5, free=lambda: server.now >= NOW + 700, hours=620 / 3600)
    assert "time is over" in reason
    assert len(server.times) == 1


def test_response_without_cached_tokens_ends_it_after_one_request() -> None:
    server = Server(90, [None, None])
    assert "did not report" in server.run(10)
    assert len(server.times) - 1 == 1


def test_prompt_that_shares_only_its_first_characters_with_an_earlier_one_is_neither_warm_nor_offered() -> None:
    now = [NOW]
    forecaster = CacheForecaster(clock=lambda: now[0])
    forecaster.set_lifetime_s = 100
    forecaster.record(ENDPOINT, MODEL, sent(DOCUMENT, "run", NOW))
    never_sent = Document(messages=(Message("system", "Zebra crossings. " * 60), Message("user", "hi")))
    for now[0] in (NOW + 10, NOW + 200):
        prompt_forecast = forecaster.look(never_sent, ENDPOINT, MODEL)
        assert (
            prompt_forecast.clock.warm_until_unix,
            prompt_forecast.clock.cold_since_unix,
            prompt_forecast.clock.cold,
        ) == (None, None, False)
        assert offer(prompt_forecast, endpoint(Rates())) is None
