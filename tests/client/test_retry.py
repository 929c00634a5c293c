"""The retry policy: repeated failures and waits."""

from __future__ import annotations

import pytest

from playground.client.errors import http_error
from playground.client.events import ApiError
from playground.client.retry import NO_RETRIES, RetryPolicy

URL = "https://example.com/v1"
STEADY = RetryPolicy(jitter=0.0)


def _answer(status: int, **headers: str) -> ApiError:
    return http_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, "", None)


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(attempts=10, jitter=0.0)
    waits = [policy.wait_s(attempt, _answer(503), URL) for attempt in range(1, 10)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]


def test_the_last_attempt_is_the_last() -> None:
    assert STEADY.wait_s(4, _answer(502), URL) == 2.0
    assert STEADY.wait_s(5, _answer(502), URL) is None
    assert NO_RETRIES.wait_s(1, _answer(502), URL) is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500, 504, 529])
def test_nothing_else_is_sent_again(status: int) -> None:
    assert STEADY.wait_s(1, _answer(status), URL) is None


def test_what_the_server_asks_for_is_waited_exactly() -> None:
    assert RetryPolicy().wait_s(1, _answer(429, retry_after="7"), URL, chance=lambda: 0.0) == 7.0
    assert RetryPolicy().wait_s(1, _answer(429), URL, chance=lambda: 0.5) == 0.25


def test_a_wait_of_an_hour_is_the_users_to_decide() -> None:
    assert STEADY.wait_s(1, _answer(429, retry_after="3600"), URL) is None


def test_chance_moves_a_wait_by_a_fifth_at_most() -> None:
    policy = RetryPolicy()
    assert policy.wait_s(3, _answer(503), URL, chance=lambda: 0.0) == pytest.approx(0.8)
    assert policy.wait_s(3, _answer(503), URL, chance=lambda: 1.0) == pytest.approx(1.2)


def test_no_connection_is_tried_again_elsewhere_but_not_here() -> None:
    error = ApiError("connect", "Nothing answers there")
    assert STEADY.wait_s(1, error, URL) == 0.25
    assert STEADY.wait_s(1, error, "http://127.0.0.1:8080/v1") is None


def test_a_stream_that_was_cut_is_not_sent_again() -> None:
    assert STEADY.wait_s(1, ApiError("cut", "The stream was cut"), URL) is None
