"""Ended requests as OpenTelemetry spans, in the semantic conventions for generative AI. Needs the extra `otel`.

One span per request, named by its operation and model, with one HTTP client span per attempt below it; and the metrics
of the conventions. No prompt or completion is in them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.service_attributes import SERVICE_NAME, SERVICE_VERSION
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from playground import __version__
from playground.agent.conversation import Result
from playground.runs.run import Run
from playground.runs.state import Attempt
from playground.telemetry.gen_ai import (
    CHAT,
    EXECUTE_TOOL,
    SCHEMA_URL,
    attempt_attributes,
    attempt_error_type,
    error_type,
    metric_attributes,
    span_attributes,
    tool_attributes,
)

EXPORT_S = 5
"""Timeout of one export to the collector, in seconds."""
_NS = 1_000_000_000
METRICS_EVERY_MS = 60_000
"""How often metrics are exported; they are also exported when this is closed."""


class Spans:
    """Sends spans to one collector. Blocking: use it in a thread."""

    def __init__(self, collector: str, on_trouble: Callable[[str], None]) -> None:
        """`collector`: the address for OTLP over HTTP, usually …/v1/traces."""
        # Failed exports of spans are reported through `on_trouble`; some collectors take no metrics.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._provider = _provider(collector, on_trouble)
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
        _end(span, attempt.trouble is not None, attempt_error_type(attempt), began, ended_at)

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


def _provider(collector: str, on_trouble: Callable[[str], None]) -> TracerProvider:
    class Exporter(OTLPSpanExporter):
        """Span exporter that reports failed exports to the window; the library would only log them."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            if result is not SpanExportResult.SUCCESS:
                on_trouble(f"The collector at {collector} took no spans of the last requests.")
            return result

    provider = TracerProvider(
        resource=_resource(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint=collector, timeout=EXPORT_S)))
    return provider


def _end(span: Span, failed: bool, error: str | None, began: int, ended_at: float | None) -> None:
    if failed:
        span.set_status(Status(StatusCode.ERROR))
        if error:
            span.set_attribute(ERROR_TYPE, error)
    span.end(began + int((ended_at or 0.0) * _NS))
