"""The verdict on two equal requests."""

from __future__ import annotations

from playground.client.events import (
    AttemptStarted,
    Completed,
    ContentDelta,
    HeadersReceived,
    Stopped,
    Usage,
    UsageReported,
)
from playground.experiments.repeats import verdict
from playground.runs.state import RunState, fold
from tests.conftest import figures


def _done(cached: int | None, first_token_at: float = 0.2, prompt: int | None = 1000) -> RunState:
    return fold(
        (
            AttemptStarted(0.0, 1),
            HeadersReceived(0.1, 200, "id", "text/event-stream"),
            ContentDelta(first_token_at, "Hello"),
            UsageReported(0.5, Usage(prompt, 5, 1005, cached)),
            Completed(0.5),
        )
    )


def test_it_works() -> None:
    cached, prompt, percent, *first_tokens_ms = figures(verdict(_done(0, 0.4), _done(960, 0.2)))
    assert (cached, prompt, percent, first_tokens_ms) == (960, 1000, 96, [400, 200])


def test_what_was_cached_before_is_not_hidden() -> None:
    assert verdict(_done(960), _done(960)).endswith("The first had 960 from earlier requests already.")


def test_nothing_cached() -> None:
    assert verdict(_done(0), _done(0)).startswith("The second of two equal requests reports 0 cached tokens.")


def test_cached_tokens_without_prompt_tokens_prove_it() -> None:
    assert verdict(_done(0, prompt=None), _done(960, prompt=None)).startswith("Caching works: 960 tokens")


def test_not_reported_is_not_zero() -> None:
    assert "does not report" in verdict(_done(0), _done(None))


def test_a_stopped_request_proves_nothing() -> None:
    stopped = fold((AttemptStarted(0.0, 1), Stopped(0.1)))
    assert verdict(stopped, stopped) == "Caching could not be verified: the first request ended as stopped."
