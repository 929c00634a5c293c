"""Replay: sums of reported tokens, the most costly break, and the savings of a stable prefix."""

from __future__ import annotations

import pytest

from playground.experiments.replay import Logged, replay
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document, Message
from tests.conftest import figures

RULES = "\n".join(f"Rule {number}: be kind and brief." for number in range(60))


def _logged(number: int, system: str, prompt: int | None, cached: int | None, gap_s: float = 10.0) -> Logged:
    view = view_of_document(Document(messages=(Message("system", system), Message("user", "Hi")))).view
    sent = Sent(f"run{number}", f"id{number}", 1_000.0 + number * gap_s, view.text, view)
    return Logged(sent, CacheUsage(prompt, cached), ("endpoint", "electron"))


def test_sums_and_the_hit_rate_are_weighted_by_tokens() -> None:
    found = replay([_logged(0, RULES, 800, 0), _logged(1, RULES, 800, 784), _logged(2, RULES, 800, None)], 300)
    assert (found.compared, found.unreported, found.prompt, found.cached) == (2, 1, 1600, 784)
    assert list(map(figures, found.sentences)) == [[2, 784, 1600, 49], [1]]
    assert sum(one.cached for one in found.bins) == 784
    assert sum(one.fresh for one in found.bins) == 816
    assert found.breakers == ()


def test_a_date_at_the_front_is_the_worst_breaker_and_what_it_cost_is_said() -> None:
    days = [_logged(n, f"Today is 2026-11-{n + 10}.\n{RULES}", 820, 0) for n in range(5)]
    found = replay(days, 300)
    (worst,) = found.breakers
    assert worst.cause == "date"
    assert worst.place == "message 1"
    assert worst.runs == ["run1", "run2", "run3", "run4"]
    assert 4 * 700 < worst.lost < 4 * 820
    assert found.stable_cached == pytest.approx(worst.lost)
    assert figures(found.sentences[-1])[0] == round(found.stable_cached)


def test_what_expired_is_not_blamed_on_the_prompt() -> None:
    found = replay([_logged(0, RULES, 800, 0, 400), _logged(1, RULES, 800, 0, 400)], 300)
    assert found.breakers == ()
    assert found.stable_cached == 0


def test_identical_bytes_are_the_servers_doing() -> None:
    assert replay([_logged(0, RULES, 800, 0), _logged(1, RULES, 800, 0)], 300).breakers == ()


def test_prompt_tokens_that_are_not_reported_are_estimated() -> None:
    found = replay([_logged(0, RULES, None, 0), _logged(1, RULES, None, 496)], 300)
    assert (found.compared, found.unreported, found.cached, found.sign) == (2, 0, 496, "≈ ")
    assert found.prompt > 496


def test_nothing_reported_is_nothing_known() -> None:
    found = replay([_logged(0, RULES, 800, None)], 300)
    assert (found.compared, found.unreported, len(found.sentences)) == (0, 1, 1)
    assert replay([], 300).bins == ()
