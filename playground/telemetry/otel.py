"""Ended requests as OpenTelemetry spans, in the semantic conventions for generative AI. Needs the extra `otel`.

One span per request, named by its operation and model, with one HTTP client span per attempt below it; and the metrics
of the conventions. No prompt or completion is in them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.attributes.http_attributes import HTTP_REQUEST_RESEND_COUNT
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import http_attributes as http
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION
from opentelemetry.semconv.attributes.url_attributes import URL_FULL
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from playground import __version__
from playground.agent.conversation import Result
from playground.client.redact import redact
from playground.runs.run import Run
from playground.runs.state import Attempt

SCHEMA_URL = list(Schemas)[-1].value
"""Schema of the installed conventions."""
CHAT, EXECUTE_TOOL = gen_ai.GenAiOperationNameValues.CHAT.value, gen_ai.GenAiOperationNameValues.EXECUTE_TOOL.value
COMPLETIONS = "/chat/completions"
Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
_PROVIDERS = {
    "smallest.ai": "smallest_ai",
    "openai.com": gen_ai.GenAiProviderNameValues.OPENAI.value,
    "azure.com": gen_ai.GenAiProviderNameValues.AZURE_AI_OPENAI.value,
    "anthropic.com": gen_ai.GenAiProviderNameValues.ANTHROPIC.value,
    "deepseek.com": gen_ai.GenAiProviderNameValues.DEEPSEEK.value,
    "groq.com": gen_ai.GenAiProviderNameValues.GROQ.value,
    "mistral.ai": gen_ai.GenAiProviderNameValues.MISTRAL_AI.value,
    "perplexity.ai": gen_ai.GenAiProviderNameValues.PERPLEXITY.value,
    "x.ai": gen_ai.GenAiProviderNameValues.X_AI.value,
    "cohere.com": gen_ai.GenAiProviderNameValues.COHERE.value,
    "googleapis.com": gen_ai.GenAiProviderNameValues.GCP_GEMINI.value,
    "openrouter.ai": "openrouter",
    "together.xyz": "together_ai",
    "moonshot.ai": "moonshot_ai",
}
"""Provider names by host name suffix: those of the conventions, and similar ones for other providers."""
_NUMBERS = {
    "max_tokens": (gen_ai.GEN_AI_REQUEST_MAX_TOKENS, int),
    "max_completion_tokens": (gen_ai.GEN_AI_REQUEST_MAX_TOKENS, int),
    "seed": (gen_ai.GEN_AI_REQUEST_SEED, int),
    "temperature": (gen_ai.GEN_AI_REQUEST_TEMPERATURE, float),
    "top_p": (gen_ai.GEN_AI_REQUEST_TOP_P, float),
    "frequency_penalty": (gen_ai.GEN_AI_REQUEST_FREQUENCY_PENALTY, float),
    "presence_penalty": (gen_ai.GEN_AI_REQUEST_PRESENCE_PENALTY, float),
}
"""Request parameters and their types; the conventions define temperature and similar ones as doubles."""


def provider(run: Run) -> str:
    """Return who serves the endpoint: a known provider, else the host's name."""
    if run.endpoint.kind == "simulator":
        return "electron_simulator"
    host = urlsplit(run.endpoint.base_url).hostname or "unknown"
    known = (name for domain, name in _PROVIDERS.items() if host == domain or host.endswith(f".{domain}"))
    return next(known, host)


def span_attributes(run: Run) -> dict[str, Attribute]:
    """Return the attributes of a request's span, without unreported values."""
    state, usage = run.state, run.state.usage
    found: dict[str, Attribute | None] = {
        **_common(run),
        gen_ai.GEN_AI_REQUEST_STREAM: run.request.stream,
        gen_ai.GEN_AI_REQUEST_STOP_SEQUENCES: _stop_sequences(run),
        gen_ai.GEN_AI_OUTPUT_TYPE: _output_type(run),
        gen_ai.GEN_AI_CONVERSATION_ID: run.conversation,
        gen_ai.GEN_AI_RESPONSE_ID: state.body_id,
        gen_ai.GEN_AI_RESPONSE_MODEL: state.response_model,
        gen_ai.GEN_AI_RESPONSE_FINISH_REASONS: (state.finish_reason,) if state.finish_reason else None,
        gen_ai.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: state.ttft_s,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: usage.prompt_tokens if usage else None,
        gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: usage.cached_tokens if usage else None,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: usage.completion_tokens if usage else None,
        "electron.run_id": run.id,
        "electron.request_id": state.request_id,
        "electron.phase": state.phase,
        "electron.simulated": run.endpoint.kind == "simulator",
        **_numbers(run),
    }
    return _known(found)


def tool_attributes(conversation: str, result: Result) -> dict[str, Attribute]:
    """Return the attributes of an executed tool call, without its arguments and result."""
    return _known({
        gen_ai.GEN_AI_OPERATION_NAME: EXECUTE_TOOL,
        gen_ai.GEN_AI_TOOL_NAME: result.name,
        gen_ai.GEN_AI_TOOL_CALL_ID: result.call_id,
        gen_ai.GEN_AI_TOOL_TYPE: "function",
        gen_ai.GEN_AI_CONVERSATION_ID: conversation,
    })  # fmt: skip


def metric_attributes(run: Run) -> dict[str, Attribute]:
    """Return the attributes of a request's metrics: few values, no ids."""
    return _known({**_common(run), gen_ai.GEN_AI_RESPONSE_MODEL: run.state.response_model, ERROR_TYPE: error_type(run)})


def attempt_attributes(run: Run, attempt: Attempt) -> dict[str, Attribute]:
    """Return the attributes of one HTTP exchange."""
    found: dict[str, Attribute | None] = {
        http.HTTP_REQUEST_METHOD: "POST",
        URL_FULL: run.endpoint.base_url + COMPLETIONS,
        http.HTTP_RESPONSE_STATUS_CODE: attempt.status,
        HTTP_REQUEST_RESEND_COUNT: attempt.number - 1 or None,
        f"{http.HTTP_RESPONSE_HEADER_TEMPLATE}.x-request-id": (attempt.request_id,) if attempt.request_id else None,
        **_server(run),
    }
    return _known(found)


def error_type(run: Run) -> str | None:
    """Return the server's or the client's error type; None if the request did not fail."""
    error = run.state.error
    return None if error is None else str(error.error_type or error.kind)


def attempt_error_type(attempt: Attempt) -> str | None:
    """Return the HTTP error status as text, else the client's error kind; None if the attempt did not fail."""
    if attempt.status is not None and attempt.status >= 400:
        return str(attempt.status)
    return None if attempt.error is None else attempt.error.kind


def _common(run: Run) -> dict[str, Attribute | None]:
    return {
        gen_ai.GEN_AI_OPERATION_NAME: CHAT,
        gen_ai.GEN_AI_PROVIDER_NAME: provider(run),
        gen_ai.GEN_AI_REQUEST_MODEL: run.request.model,
        **_server(run),
    }


def _server(run: Run) -> dict[str, Attribute | None]:
    parts = urlsplit(run.endpoint.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {SERVER_ADDRESS: parts.hostname, SERVER_PORT: port}


def _numbers(run: Run) -> dict[str, Attribute | None]:
    found: dict[str, Attribute | None] = {}
    for name, (attribute, kind) in _NUMBERS.items():
        value = run.document.parameters.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[attribute] = kind(value)
    return found


def _stop_sequences(run: Run) -> tuple[str, ...] | None:
    stop = run.document.parameters.get("stop")
    if isinstance(stop, str):
        return (stop,)
    if isinstance(stop, list | tuple) and stop and all(isinstance(text, str) for text in stop):
        return tuple(str(text) for text in stop)
    return None


def _output_type(run: Run) -> str:
    wanted = run.document.parameters.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    json = kind in ("json_object", "json_schema")
    return str((gen_ai.GenAiOutputTypeValues.JSON if json else gen_ai.GenAiOutputTypeValues.TEXT).value)


def _known(found: dict[str, Attribute | None]) -> dict[str, Attribute]:
    """Leave out unknown attributes, and mask keys once more."""
    return {name: _masked(value) for name, value in found.items() if value is not None}


def _masked(value: Attribute) -> Attribute:
    if isinstance(value, str):
        return redact(value, None)
    if isinstance(value, tuple):
        return tuple(redact(text, None) for text in value)
    return value


EXPORT_S = 5
"""Timeout of one export to the collector, in seconds."""
_NS = 1_000_000_000
METRICS_EVERY_MS = 60_000
"""How often metrics are exported; they are also exported when this is closed."""


class Spans:
    """Sends spans to one collector. Blocking: use it in a thread."""

    def __init__(self, collector: str, on_notice: Callable[[str], None]) -> None:
        """`collector`: the address for OTLP over HTTP, usually …/v1/traces."""
        # Failed exports of spans are reported through `on_notice`; some collectors take no metrics.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._provider = _provider(collector, on_notice)
        self._tracer: Tracer = self._provider.get_tracer("electron-playground", __version__, schema_url=SCHEMA_URL)
        self._metrics = _Metrics(collector) if collector.rstrip("/").endswith(_TRACES) else None

    def send(self, run: Run) -> None:
        """Queue an ended request; it is sent within seconds, or when this is closed."""
        began = int(run.started_utc.timestamp() * _NS)
        state = run.state
        whole = self._tracer.start_span(
            f"{CHAT} {run.request.model}", kind=SpanKind.CLIENT, start_time=began, attributes=span_attributes(run)
        )
        for attempt in state.attempts:
            self._attempt(run, attempt, began, set_span_in_context(whole))
        _end(whole, run.state.phase == "failed", error_type(run), began, state.ended_at)
        if self._metrics is not None:
            self._metrics.record(run)

    def send_tool(self, conversation: str, result: Result, ended_ns: int) -> None:
        """Queue an executed tool call that ended at `ended_ns`, in Unix nanoseconds."""
        took_ns = int(((result.ended_at or 0.0) - (result.started_at or 0.0)) * _NS)
        began_ns = ended_ns - took_ns
        span = self._tracer.start_span(
            f"{EXECUTE_TOOL} {result.name}", start_time=began_ns, attributes=tool_attributes(conversation, result)
        )
        failed = result.kind != "answered"
        _end(span, failed, result.kind if failed else None, ended_ns, 0.0)

    def _attempt(self, run: Run, attempt: Attempt, began: int, parent: Context) -> None:
        span = self._tracer.start_span(
            "POST",
            parent,
            SpanKind.CLIENT,
            attempt_attributes(run, attempt),
            start_time=began + int(attempt.started_at * _NS),
        )
        ended_at = attempt.ended_at if attempt.ended_at is not None else run.state.ended_at
        _end(span, attempt.error is not None, attempt_error_type(attempt), began, ended_at)

    def close(self) -> None:
        """Send queued requests and shut down. Takes at most EXPORT_S per batch."""
        self._provider.shutdown()
        if self._metrics is not None:
            self._metrics.close()


_TRACES, _METRICS = "/v1/traces", "/v1/metrics"


class _Metrics:
    """Histograms of the conventions, sent to the same collector as the spans."""

    def __init__(self, collector: str) -> None:
        endpoint = collector.rstrip("/").removesuffix(_TRACES) + _METRICS
        exporter = OTLPMetricExporter(endpoint=endpoint, timeout=EXPORT_S)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=METRICS_EVERY_MS)
        self._provider = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)
        meter = self._provider.get_meter("electron-playground", __version__, schema_url=SCHEMA_URL)
        self._tokens = gen_ai_metrics.create_gen_ai_client_token_usage(meter)
        self._duration = gen_ai_metrics.create_gen_ai_client_operation_duration(meter)
        self._first_chunk = gen_ai_metrics.create_gen_ai_client_operation_time_to_first_chunk(meter)

    def record(self, run: Run) -> None:
        """Record an ended request, without unreported values."""
        state, usage, attributes = run.state, run.state.usage, metric_attributes(run)
        if state.ended_at is not None:
            self._duration.record(state.ended_at, attributes)
        if state.ttft_s is not None:
            self._first_chunk.record(state.ttft_s, attributes)
        for kind, count in (
            (gen_ai.GenAiTokenTypeValues.INPUT, usage.prompt_tokens if usage else None),
            (gen_ai.GenAiTokenTypeValues.OUTPUT, usage.completion_tokens if usage else None),
        ):
            if count is not None:
                self._tokens.record(count, {**attributes, gen_ai.GEN_AI_TOKEN_TYPE: kind.value})

    def close(self) -> None:
        """Export once more and shut down."""
        self._provider.shutdown(timeout_millis=EXPORT_S * 1_000)


def _resource() -> Resource:
    name = os.environ.get("OTEL_SERVICE_NAME", "electron-playground")
    return Resource({SERVICE_NAME: name, SERVICE_VERSION: __version__})


def _provider(collector: str, on_notice: Callable[[str], None]) -> TracerProvider:
    class Exporter(OTLPSpanExporter):
        """Span exporter that reports failed exports to the window; the library would only log them."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            if result is not SpanExportResult.SUCCESS:
                on_notice(f"The collector at {collector} took no spans of the last requests.")
            return result

    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint=collector, timeout=EXPORT_S)))
    return provider


def _end(span: Span, failed: bool, error: str | None, began: int, ended_at: float | None) -> None:
    if failed:
        span.set_status(Status(StatusCode.ERROR))
        if error:
            span.set_attribute(ERROR_TYPE, error)
    span.end(began + int((ended_at or 0.0) * _NS))
