"""Values that the columns of a comparison share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from playground.client.endpoint import Endpoint, Rates
from playground.client.errors import http_error
from playground.client.events import AttemptFailed, AttemptStarted, HeadersReceived, Queued, RetryScheduled, Stopped
from playground.experiments.comparison import Variant, figures
from playground.experiments.comparison_session import ColumnSlot, ComparisonSession
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Document, Message
from playground.runs.service import RequestService
from playground.runs.state import fold
from playground.ui.panes.response.labels import outcome, waiting

ENDPOINT = Endpoint("e", "E", "http://127.0.0.1:1/v1")


def slot(text: str, **variables: str) -> ColumnSlot:
    return ColumnSlot(Variant(Document(messages=(Message("user", text),), variables=variables), ENDPOINT))


def test_collect_values_takes_the_first_columns_value_keeps_known_ones_and_drops_unused_ones() -> None:
    session = ComparisonSession(cast("RequestService", None), lambda: None)
    session.slots = [slot("{{a}} {{b}}", a="1"), slot("{{a}} {{c}} {{d}}", a="2", c="", d="4", unused="5")]
    session.collect_values()
    assert session.values == {"a": "1", "b": None, "c": "", "d": "4"}
    assert session.known_values() == {"a": "1", "c": "", "d": "4"}
    session.values["a"] = "typed"
    session.slots.pop(0)
    session.collect_values()
    assert session.values == {"a": "typed", "c": "", "d": "4"}


FORECAST = Forecast(1_280.0, 1_264.0, 1_280.0, 1_283.0, "shared with an earlier request")
LIMITED = http_error(429, {}, '{"error": {"message": "Too many"}}', None)
REFUSED = (
    AttemptStarted(0.0, 1),
    HeadersReceived(0.1, 429, "281251a8", "application/json"),
    AttemptFailed(0.2, LIMITED, "281251a8"),
    RetryScheduled(0.2, 2, 4, 1.0),
    Queued(1.2, 2, 1, "the server answered 429 (too many requests)", 1.0),
)


def test_a_request_to_be_sent_again_names_its_refusal_and_keeps_its_forecast() -> None:
    state = fold(REFUSED)
    assert "429" in outcome(state)
    assert LIMITED.title in waiting(state, 1.2)
    live = figures("run", state, Rates(), FORECAST, "")
    assert (live.forecast_cached, live.input.value) == (1_280.0, 1_283.0)
    ended = figures("run", fold((*REFUSED, Stopped(1.3))), Rates(), FORECAST, "")
    assert ended.forecast_cached is None
    assert "429" not in outcome(fold(REFUSED[-1:]))


def test_the_summary_has_the_forecast_of_the_request_in_flight() -> None:
    session = ComparisonSession(cast("RequestService", None), lambda: None)
    session.slots = [slot("Hi"), slot("Hi")]
    for one in session.slots:
        one.expected = 1_264.0
    run = SimpleNamespace(state=fold(REFUSED))
    session.slots[1].pending = cast("Any", SimpleNamespace(run=run, forecast=SimpleNamespace(cached_tokens=1_280.0)))
    assert [column.expected for column in session.report("together", "as_is").columns] == [1_264.0, 1_280.0]
    run.state.apply(Stopped(1.3))
    assert [column.expected for column in session.report("together", "as_is").columns] == [1_264.0, 1_264.0]
