"""Lines and spans of real requests: a real simulator, a real file, a real collector on loopback."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.schemas import Schemas

from playground.agent.conversation import Conversation
from playground.agent.service import AgentService
from playground.client.endpoint import Endpoint
from playground.prompt.document import Document, Message
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from playground.telemetry.service import FILE, MISSING, RotatingLines
from tests.agent.dialogue import ANSWER, BOOK, calls, nobody, prompt, says

SECRET = "the caller's secret"
PROMPT = Document(messages=(Message("user", SECRET),))


class Collector(ThreadingHTTPServer):
    """Accepts OTLP over HTTP and stores the received data."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.taken: list[ExportTraceServiceRequest] = []
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.status = 200
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1/traces"

    def spans(self) -> list[Any]:
        return [
            span
            for request in self.taken
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Taker(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200 and self.path.endswith("/v1/metrics"):
            self.server.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif self.server.status == 200:
            self.server.taken.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.shutdown()
    server.server_close()


def send(simulator: SimulatorProcess, folder: Path, settings: dict[str, Any], prompt: Document = PROMPT) -> list[str]:
    """Send once with these settings; what the session had to say."""
    said: list[str] = []

    async def main() -> None:
        workspace = AppServices(folder, {}, Tasks(lambda name, error: said.append(f"{name}: {error!r}")))
        workspace.on_notice.subscribe(said.append)
        for name, value in settings.items():
            workspace.settings.set(name, value)
        endpoint = Endpoint(id="test", name="Test", base_url=simulator.base_url, needs_key=False)
        await workspace.sender.send(prompt, endpoint, lambda _: None)
        await workspace.close()

    asyncio.run(main())
    return said


def fail(simulator: SimulatorProcess, fault: str, times: int) -> None:
    """Have the next requests fail."""
    url = simulator.base_url.partition("/waves")[0] + "/simulator/faults"
    body = json.dumps({"fault": fault, "times": times}).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"})) as answer:
        assert answer.status == 200


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]


def test_nothing_is_written_unless_it_is_switched_on(simulator: SimulatorProcess, tmp_path: Path) -> None:
    assert send(simulator, tmp_path, {}) == []
    assert not (tmp_path / FILE).exists()


def test_a_line_a_request_with_figures_and_without_contents(simulator: SimulatorProcess, tmp_path: Path) -> None:
    send(simulator, tmp_path, {"request_lines": True})
    send(simulator, tmp_path, {"request_lines": True})
    first, second = lines(tmp_path)
    assert first["request_id"] != second["request_id"]
    assert first["attempts"][0]["request_id"] == first["request_id"]
    assert (first["level"], first["message"], first["status"]) == ("info", "chat.completions 200 stop", 200)
    assert first["usage"]["prompt_tokens"] > 0
    assert first["estimated"]["prompt_tokens"] > 0
    assert first["timestamp"].endswith("Z")
    assert SECRET not in (tmp_path / FILE).read_text("utf-8")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_contents_only_where_asked_for(simulator: SimulatorProcess, tmp_path: Path) -> None:
    send(simulator, tmp_path, {"request_lines": True, "request_lines_contents": True})
    (told,) = lines(tmp_path)
    assert told["request"]["messages"][0]["content"] == SECRET
    assert told["text"]


def test_contents_have_no_secret_of_a_parameter(simulator: SimulatorProcess, tmp_path: Path) -> None:
    prompt = replace(PROMPT, parameters={"metadata": {"api_keys": ["AbC9dEf8GhI7"]}})
    send(simulator, tmp_path, {"request_lines": True, "request_lines_contents": True}, prompt)
    (told,) = lines(tmp_path)
    assert told["request"]["messages"][0]["content"] == SECRET
    assert "AbC9dEf8GhI7" not in (tmp_path / FILE).read_text("utf-8")


def test_an_error_keeps_its_type_and_leaves_the_servers_words_out(simulator: SimulatorProcess, tmp_path: Path) -> None:
    prompt = replace(PROMPT, parameters={"simulate": "500"})
    send(simulator, tmp_path, {"request_lines": True}, prompt)
    (told,) = lines(tmp_path)
    assert (told["level"], told["phase"], told["status"]) == ("error", "failed", 500)
    assert set(told["error"]) == {"kind", "status", "type"}
    assert told["usage"] is None


def test_the_files_are_held_to_their_size(tmp_path: Path) -> None:
    kept = RotatingLines(tmp_path, most_bytes=1_000)
    for number in range(100):
        kept.append(f"{number:04} 100 % " + "x" * 80)
    files = sorted(tmp_path.glob(f"{FILE}*"))
    assert [file.name for file in files] == [FILE, *(f"{FILE}.{n}" for n in range(1, 5))]
    assert all(file.stat().st_size <= 1_000 for file in files)
    assert (tmp_path / FILE).read_text("utf-8").splitlines()[-1].startswith("0099 100 % ")


def test_a_file_that_cannot_be_written_is_said_and_stops_nothing(simulator: SimulatorProcess, tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    said = send(simulator, tmp_path, {"request_lines": True})
    assert len(said) == 1
    assert said[0].startswith(f"{FILE} cannot be written: ")


def attributes(span: Any) -> dict[str, Any]:
    def value(field: Any) -> Any:
        kind = field.value.WhichOneof("value")
        found = getattr(field.value, kind)
        return [item.string_value for item in found.values] if kind == "array_value" else found

    return {field.key: value(field) for field in span.attributes}


def test_spans_of_a_request_and_its_attempts(
    make_simulator: Callable[..., SimulatorProcess], collector: Collector, tmp_path: Path
) -> None:
    failing = make_simulator("--plan", "none", "--ttft-ms", "5", "--token-ms", "1")
    fail(failing, "503", times=1)
    prompt = replace(PROMPT, parameters={"max_tokens": 20, "temperature": 1, "stop": "END"})
    assert send(failing, tmp_path, {"otel_collector": collector.address, "retry_first_ms": 50}, prompt) == []
    first, second, whole = sorted(collector.spans(), key=lambda span: span.end_time_unix_nano)
    assert whole.name == "chat electron"
    told = attributes(whole)
    assert (told["gen_ai.operation.name"], told["gen_ai.request.max_tokens"]) == ("chat", 20)
    assert told["gen_ai.request.temperature"] == 1.0
    assert isinstance(told["gen_ai.request.temperature"], float)
    assert told["gen_ai.request.stop_sequences"] == ["END"]
    assert (told["gen_ai.request.stream"], told["gen_ai.output.type"]) == (True, "text")
    assert told["gen_ai.response.model"] == "electron"
    assert told["gen_ai.provider.name"] == "127.0.0.1"
    assert told["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(first)["url.full"] == f"{failing.base_url}/chat/completions"
    assert told["gen_ai.usage.input_tokens"] > 0
    assert told["gen_ai.usage.cache_read.input_tokens"] == 0
    assert (attributes(first)["http.response.status_code"], attributes(second)["http.response.status_code"]) == (
        503,
        200,
    )
    assert attributes(second)["http.request.resend_count"] == 1
    assert (attributes(first)["error.type"], "error.type" in attributes(second)) == ("503", False)
    assert attributes(second)["http.response.header.x-request-id"] == [told["electron.request_id"]]
    assert first.parent_span_id == second.parent_span_id == whole.span_id
    assert SECRET not in str(collector.taken)


TYPES = {
    "gen_ai.operation.name": str, "gen_ai.provider.name": str, "gen_ai.conversation.id": str,
    "gen_ai.request.model": str, "gen_ai.request.stream": bool, "gen_ai.request.stop_sequences": list,
    "gen_ai.request.temperature": float, "gen_ai.request.top_p": float, "gen_ai.request.max_tokens": int,
    "gen_ai.request.seed": int, "gen_ai.request.frequency_penalty": float, "gen_ai.request.presence_penalty": float,
    "gen_ai.output.type": str, "gen_ai.response.id": str, "gen_ai.response.model": str,
    "gen_ai.response.finish_reasons": list, "gen_ai.response.time_to_first_chunk": float,
    "gen_ai.usage.input_tokens": int, "gen_ai.usage.cache_read.input_tokens": int, "gen_ai.usage.output_tokens": int,
    "server.address": str, "server.port": int,
}  # fmt: skip
"""Attributes of a request's span in the conventions, with their types."""


def test_request_span_attributes_have_the_types_of_the_conventions(
    simulator: SimulatorProcess, collector: Collector, tmp_path: Path
) -> None:
    whole_numbers = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "seed": 7}
    prompt = replace(PROMPT, parameters={**whole_numbers, "max_tokens": 20, "stop": ["END", "STOP"]})
    send(simulator, tmp_path, {"otel_collector": collector.address}, prompt)
    (whole,) = (span for span in collector.spans() if span.name != "POST")
    found = {name: type(value) for name, value in attributes(whole).items() if not name.startswith("electron.")}
    assert found == {name: kind for name, kind in TYPES.items() if name != "gen_ai.conversation.id"}


def test_collector_without_the_extra_is_reported_once(
    simulator: SimulatorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "playground.telemetry.otel", None)
    assert send(simulator, tmp_path, {"otel_collector": "http://127.0.0.1:4318/v1/traces"}) == [MISSING]


def test_a_collector_that_refuses_is_said(simulator: SimulatorProcess, collector: Collector, tmp_path: Path) -> None:
    collector.status = 400
    said = send(simulator, tmp_path, {"otel_collector": collector.address})
    assert said == [f"The collector at {collector.address} took no spans of the last requests."]


def test_a_collector_that_is_no_address_is_said(simulator: SimulatorProcess, tmp_path: Path) -> None:
    (sentence,) = send(simulator, tmp_path, {"otel_collector": "collector"})
    assert "is no address: collector" in sentence


def test_metrics_of_a_request_have_the_names_of_the_conventions(
    simulator: SimulatorProcess, collector: Collector, tmp_path: Path
) -> None:
    send(simulator, tmp_path, {"otel_collector": collector.address})
    found = {
        metric.name: metric.histogram.data_points
        for request in collector.metrics
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert set(found) == {
        gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK,
    }
    assert [point.count for points in found.values() for point in points] == [1, 1, 1, 1]


async def test_agent_turns_and_tools_share_the_conversation_id(collector: Collector, tmp_path: Path) -> None:
    document = prompt([[says(1, "One sec!"), calls(5, "get_balance")], ANSWER])
    conversation = Conversation(document)
    services = AppServices(tmp_path, {}, Tasks(print), simulator_options=("--plan", "none"))
    services.settings.set("otel_collector", collector.address)
    agent = AgentService(services)
    agent.keep_book(document, BOOK)
    ended = await agent.loop(conversation, nobody, lambda _happening: None, 5).run()
    assert ended.reason == "answered"
    await services.close()
    named = {span.name: attributes(span) for span in collector.spans()}
    tool = named["execute_tool get_balance"]
    assert tool["gen_ai.operation.name"] == "execute_tool"
    assert tool["gen_ai.tool.type"] == "function"
    assert tool["gen_ai.tool.call.id"]
    ids = [attributes(span).get("gen_ai.conversation.id") for span in collector.spans() if span.name != "POST"]
    assert ids == [conversation.id] * 3
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {name for name in tool if name.startswith("gen_ai.")} <= known
    (span,) = (span for span in collector.spans() if span.name.startswith("execute_tool"))
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9
    texts = [str(value) for one in collector.spans() for name, value in attributes(one).items() if "id" not in name]
    assert not any(re.search(r"\b412\b", text) for text in texts)  # the result of the tool; a port may hold 412


def test_attribute_names_are_those_of_the_conventions(
    simulator: SimulatorProcess, collector: Collector, tmp_path: Path
) -> None:
    send(simulator, tmp_path, {"otel_collector": collector.address})
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    used = {name for span in collector.spans() for name in attributes(span) if name.startswith("gen_ai.")}
    assert len(used) >= 10
    assert used <= known
    (resource,) = {
        scope.schema_url for request in collector.taken for one in request.resource_spans for scope in one.scope_spans
    }
    assert resource == list(Schemas)[-1].value
