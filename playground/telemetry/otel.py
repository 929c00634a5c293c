"""Ended requests as OpenTelemetry spans, in the semantic conventions for generative AI. An optional extra: `otel`.

One span a request, named by its operation and model, and below it one HTTP client span an attempt. Nothing of prompt or
completion is in them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from playground.runs.run import Run
from playground.runs.state import Attempt

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Span, Tracer

MISSING = (
    "OpenTelemetry spans need packages that are not installed: pip install 'electron-playground[otel]'. "
    "Nothing is sent to the collector."
)
EXPORT_S = 5
"""How long one export to the collector may take."""
PROVIDER = "smallest_ai"
_NS = 1_000_000_000
Attribute: TypeAlias = str | int | float | bool | tuple[str, ...]
_ASKED = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}


class MissingExtra(Exception):  # noqa: N818 - expected, with a sentence
    """The packages of the extra are not installed."""


class Spans:
    """Sends spans to one collector. Blocking: use it in a thread. Raises MissingExtra where the extra is not there."""

    def __init__(self, collector: str, on_trouble: Callable[[str], None]) -> None:
        """`collector`: the address that takes OTLP over HTTP, …/v1/traces as a rule."""
        try:
            self._provider = _provider(collector, on_trouble)
        except ImportError as error:
            raise MissingExtra(MISSING) from error
        self._tracer: Tracer = self._provider.get_tracer("electron-playground")

    def send(self, run: Run) -> None:
        """Queue an ended request; it is sent within seconds, or when this is closed."""
        from opentelemetry import trace

        began = int(run.started_utc.timestamp() * _NS)
        state = run.state
        whole = self._tracer.start_span(
            f"chat {run.request.model}", kind=trace.SpanKind.CLIENT, start_time=began, attributes=_attributes(run)
        )
        for attempt in state.attempts:
            self._attempt(run, attempt, began, trace.set_span_in_context(whole))
        _end(whole, run.state.phase == "failed", _error(run), began, state.ended_at)

    def _attempt(self, run: Run, attempt: Attempt, began: int, parent: Context) -> None:
        from opentelemetry import trace

        span = self._tracer.start_span(
            "POST",
            parent,
            trace.SpanKind.CLIENT,
            _attempt_attributes(run, attempt),
            start_time=began + int(attempt.started_at * _NS),
        )
        trouble = attempt.trouble
        ended_at = attempt.ended_at if attempt.ended_at is not None else run.state.ended_at
        _end(span, trouble is not None, trouble.error_type or trouble.kind if trouble else None, began, ended_at)

    def close(self) -> None:
        """Send what waits, and end. Takes EXPORT_S at most for each batch."""
        self._provider.shutdown()


def _provider(collector: str, on_trouble: Callable[[str], None]) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

    class Exporter(OTLPSpanExporter):
        """Says in the window that nothing arrives, where the library would only log it."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = super().export(spans)
            if result is not SpanExportResult.SUCCESS:
                on_trouble(f"The collector at {collector} took no spans of the last requests.")
            return result

    provider = TracerProvider(
        resource=Resource({"service.name": os.environ.get("OTEL_SERVICE_NAME", "electron-playground")}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint=collector, timeout=EXPORT_S)))
    return provider


def _attributes(run: Run) -> dict[str, Attribute]:
    state, usage = run.state, run.state.usage
    found: dict[str, Attribute | None] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": run.request.model,
        "gen_ai.response.id": state.body_id,
        "gen_ai.response.finish_reasons": (state.finish_reason,) if state.finish_reason else None,
        "gen_ai.usage.input_tokens": usage.prompt_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.completion_tokens if usage else None,
        "electron.run_id": run.id,
        "electron.request_id": state.request_id,
        "electron.phase": state.phase,
        "electron.simulated": run.endpoint.kind == "simulator",
        "electron.time_to_first_token_s": state.ttft_s,
        **_server(run),
    }
    for name, attribute in _ASKED.items():
        value = run.document.parameters.get(name)
        found[attribute] = value if isinstance(value, int | float) else None
    return {name: value for name, value in found.items() if value is not None}


def _attempt_attributes(run: Run, attempt: Attempt) -> dict[str, Attribute]:
    found: dict[str, Attribute | None] = {
        "http.request.method": "POST",
        "http.response.status_code": attempt.status,
        "http.request.resend_count": attempt.number - 1 or None,
        "http.response.header.x-request-id": (attempt.request_id,) if attempt.request_id else None,
        **_server(run),
    }
    return {name: value for name, value in found.items() if value is not None}


def _server(run: Run) -> dict[str, Attribute | None]:
    parts = urlsplit(run.endpoint.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname, "server.port": port}


def _error(run: Run) -> str | None:
    trouble = run.state.trouble
    return (trouble.error_type or trouble.kind) if trouble else None


def _end(span: Span, failed: bool, error: str | None, began: int, ended_at: float | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    if failed:
        span.set_status(Status(StatusCode.ERROR))
        if error:
            span.set_attribute("error.type", error)
    span.end(began + int((ended_at or 0.0) * _NS))
