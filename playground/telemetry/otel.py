"""Ended requests as OpenTelemetry spans, in the semantic conventions for generative AI. An optional extra: `otel`.

One span per request, named by its operation and model, with one HTTP client span per attempt below it; and the metrics
of the conventions. No prompt or completion is in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from playground import __version__
from playground.agent.conversation import Result
from playground.assets import install_advice
from playground.runs.run import Run
from playground.runs.state import Attempt
from playground.telemetry.gen_ai import (
    SCHEMA_URL,
    attempt_attributes,
    error_type,
    metric_attributes,
    span_attributes,
    tool_attributes,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Span, Tracer

MISSING = (
    f"Nothing is sent to the collector: OpenTelemetry spans need packages that are missing. {install_advice('otel')}"
)
EXPORT_S = 5
"""Timeout of one export to the collector, in seconds."""
_NS = 1_000_000_000
METRICS_EVERY_MS = 60_000
"""How often metrics are exported; they are also exported when this is closed."""


class MissingExtra(Exception):  # noqa: N818 - expected, with a sentence
    """The packages of the extra are not installed."""


class Spans:
    """Sends spans to one collector. Blocking: use it in a thread. Raises MissingExtra if the extra is not installed."""

    def __init__(self, collector: str, on_trouble: Callable[[str], None]) -> None:
        """`collector`: the address for OTLP over HTTP, usually …/v1/traces."""
        try:
            self._provider = _provider(collector, on_trouble)
        except ImportError as error:
            raise MissingExtra(MISSING) from error
        self._tracer: Tracer = self._provider.get_tracer("electron-playground", __version__, schema_url=SCHEMA_URL)
        self._metrics = _Metrics(collector) if collector.rstrip("/").endswith(_TRACES) else None

    def send(self, run: Run) -> None:
        """Queue an ended request; it is sent within seconds, or when this is closed."""
        from opentelemetry import trace

        began = int(run.started_utc.timestamp() * _NS)
        state = run.state
        whole = self._tracer.start_span(
            f"chat {run.request.model}", kind=trace.SpanKind.CLIENT, start_time=began, attributes=span_attributes(run)
        )
        for attempt in state.attempts:
            self._attempt(run, attempt, began, trace.set_span_in_context(whole))
        _end(whole, run.state.phase == "failed", error_type(run), began, state.ended_at)
        if self._metrics is not None:
            self._metrics.record(run)

    def send_tool(self, conversation: str, result: Result, ended_ns: int) -> None:
        """Queue an executed tool call that ended at `ended_ns`, in Unix nanoseconds."""
        took_ns = int(((result.ended_at or 0.0) - (result.started_at or 0.0)) * _NS)
        began_ns = ended_ns - took_ns
        span = self._tracer.start_span(
            f"execute_tool {result.name}", start_time=began_ns, attributes=tool_attributes(conversation, result)
        )
        failed = result.kind != "answered"
        _end(span, failed, result.kind if failed else None, ended_ns, 0.0)

    def _attempt(self, run: Run, attempt: Attempt, began: int, parent: Context) -> None:
        from opentelemetry import trace

        span = self._tracer.start_span(
            "POST",
            parent,
            trace.SpanKind.CLIENT,
            attempt_attributes(run, attempt),
            start_time=began + int(attempt.started_at * _NS),
        )
        trouble = attempt.trouble
        ended_at = attempt.ended_at if attempt.ended_at is not None else run.state.ended_at
        _end(span, trouble is not None, trouble.error_type or trouble.kind if trouble else None, began, ended_at)

    def close(self) -> None:
        """Send queued requests and shut down. Takes at most EXPORT_S per batch."""
        self._provider.shutdown()
        if self._metrics is not None:
            self._metrics.close()


_TRACES, _METRICS = "/v1/traces", "/v1/metrics"


class _Metrics:
    """Histograms of the conventions, sent to the same collector as the spans."""

    def __init__(self, collector: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        endpoint = collector.rstrip("/").removesuffix(_TRACES) + _METRICS
        exporter = OTLPMetricExporter(endpoint=endpoint, timeout=EXPORT_S)
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=METRICS_EVERY_MS)
        self._provider = MeterProvider([reader], resource=_resource(), shutdown_on_exit=False)
        meter = self._provider.get_meter("electron-playground", __version__, schema_url=SCHEMA_URL)
        self._tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}", "Tokens used")
        self._duration = meter.create_histogram("gen_ai.client.operation.duration", "s", "Duration of the request")
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk", "s", "Time until the first piece of the answer"
        )

    def record(self, run: Run) -> None:
        """Record an ended request, without unreported values."""
        state, usage, attributes = run.state, run.state.usage, metric_attributes(run)
        if state.ended_at is not None:
            self._duration.record(state.ended_at, attributes)
        if state.ttft_s is not None:
            self._first_chunk.record(state.ttft_s, attributes)
        for kind, count in (
            ("input", usage.prompt_tokens if usage else None),
            ("output", usage.completion_tokens if usage else None),
        ):
            if count is not None:
                self._tokens.record(count, {**attributes, "gen_ai.token.type": kind})

    def close(self) -> None:
        """Export once more and shut down."""
        self._provider.shutdown(timeout_millis=EXPORT_S * 1_000)


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource

    name = os.environ.get("OTEL_SERVICE_NAME", "electron-playground")
    return Resource({"service.name": name, "service.version": __version__})


def _provider(collector: str, on_trouble: Callable[[str], None]) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

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
    from opentelemetry.trace import Status, StatusCode

    if failed:
        span.set_status(Status(StatusCode.ERROR))
        if error:
            span.set_attribute("error.type", error)
    span.end(began + int((ended_at or 0.0) * _NS))
