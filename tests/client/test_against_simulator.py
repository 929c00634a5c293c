"""The client against the simulator, which shares no code with it: reported errors of simulated faults."""

from __future__ import annotations

import asyncio
import json

import pytest

from playground.client.connection import Connection, Timeouts
from playground.client.endpoint import Endpoint
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    Completed,
    ContentDelta,
    HeadersReceived,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.prompt.request import Request
from playground.simulator.process import SimulatorProcess

USUAL = Timeouts()


def _exchange(
    simulator: SimulatorProcess, fields: dict[str, object], timeouts: Timeouts = USUAL, stream: bool = True
) -> list[AnyEvent]:
    body: dict[str, object] = {"model": "electron", "messages": [{"role": "user", "content": "Hello"}], **fields}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}

    async def main() -> list[AnyEvent]:
        connection = Connection(timeouts)
        endpoint = Endpoint(id="s", name="S", base_url=simulator.base_url, kind="simulator")
        request = Request(json.dumps(body).encode(), "electron", stream)
        try:
            return [event async for event in connection.stream(endpoint, None, request, float)]
        finally:
            await connection.aclose()

    return asyncio.run(main())


def _failed(events: list[AnyEvent]) -> AttemptFailed:
    assert isinstance(events[-1], AttemptFailed), events[-1]
    return events[-1]


def _usage(events: list[AnyEvent]) -> Usage:
    return next(event.usage for event in events if isinstance(event, UsageReported))


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_error_statuses(simulator: SimulatorProcess, status: int) -> None:
    failed = _failed(_exchange(simulator, {"simulate": str(status)}))
    assert (failed.error.kind, failed.error.status) == ("http", status)
    assert failed.error.error_type
    assert failed.request_id is not None
    assert failed.request_id == failed.error.body_request_id
    assert failed.error.advice


def test_retry_after(simulator: SimulatorProcess) -> None:
    assert _failed(_exchange(simulator, {"simulate": "429=3"})).error.retry_after_s == 3.0


def test_validation_names_the_field(simulator: SimulatorProcess) -> None:
    error = _failed(_exchange(simulator, {"messages": [{"role": "developer", "content": "x"}]})).error
    assert error.status == 400
    assert "messages[0].role" in error.detail


@pytest.mark.parametrize(("fault", "kind"), [("cut=3", "cut"), ("stream_error=3", "stream_error")])
def test_a_stream_that_dies_keeps_what_came(simulator: SimulatorProcess, fault: str, kind: str) -> None:
    events = _exchange(simulator, {"simulate": fault})
    assert _failed(events).error.kind == kind
    assert _failed(events).request_id
    assert any(isinstance(event, ContentDelta) for event in events)


def test_a_stream_that_stalls(simulator: SimulatorProcess) -> None:
    events = _exchange(simulator, {"simulate": "stall=3"}, Timeouts(idle=0.3))
    assert _failed(events).error.kind == "timeout"
    assert any(isinstance(event, ContentDelta) for event in events)


def test_a_model_that_thinks_longer_than_a_stream_may_stall(simulator: SimulatorProcess) -> None:
    events = _exchange(simulator, {"simulate": "slow_first_byte=700"}, Timeouts(idle=0.3))
    assert isinstance(events[-1], Completed)


def test_headers_that_never_come(simulator: SimulatorProcess) -> None:
    failed = _failed(_exchange(simulator, {"simulate": "slow_headers=60000"}, Timeouts(first_byte=0.3)))
    assert (failed.error.kind, failed.error.title) == ("timeout", "No answer in time")


@pytest.mark.parametrize("stream", [True, False])
def test_details_that_were_not_sent_are_unknown(simulator: SimulatorProcess, stream: bool) -> None:
    usage = _usage(_exchange(simulator, {"simulate": "no_usage_details"}, stream=stream))
    assert (usage.cached_tokens, usage.fresh_tokens) == (None, None)
    assert usage.prompt_tokens


def test_a_server_without_request_ids(simulator: SimulatorProcess) -> None:
    events = _exchange(simulator, {"simulate": "no_request_id"})
    headers = next(event for event in events if isinstance(event, HeadersReceived))
    assert headers.request_id is None
    assert isinstance(events[-1], Completed)


def test_streamed_and_whole_say_the_same(simulator: SimulatorProcess) -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
    fields: dict[str, object] = {"tools": [tool], "tool_choice": "required", "seed": 7}
    told = []
    for stream in (True, False):
        events = _exchange(simulator, fields, stream=stream)
        assert isinstance(events[-1], Completed)
        text = "".join(event.text for event in events if isinstance(event, ContentDelta))
        calls = [event for event in events if isinstance(event, ToolCallDelta)]
        arguments = "".join(event.arguments for event in calls)
        told.append((text, [event.name for event in calls if event.name], arguments, _usage(events).total_tokens))
    assert told[0] == told[1]
    assert told[0][1] == ["find"]
    json.loads(told[0][2])
