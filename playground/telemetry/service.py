"""Telemetry of ended requests according to the settings, written in a separate thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from playground.agent.conversation import Result
from playground.assets import install_advice
from playground.client.urls import check_base_url
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.storage.settings import Settings
from playground.telemetry.run_line import FILE, RotatingLines, line

if TYPE_CHECKING:
    from playground.telemetry.otel import Spans

MISSING = (
    "Nothing is sent to the collector: OpenTelemetry spans need packages that are missing or have other versions. "
    f"{install_advice('otel')}"
)


class TelemetryService:
    """One per session; close it at the end. Calls `on_trouble` in the event loop with a message when output fails."""

    def __init__(self, folder: Path, settings: Settings, on_trouble: Callable[[str], None]) -> None:
        self._settings, self._on_trouble = settings, on_trouble
        self._lines = RotatingLines(folder)
        self._collector, self._spans = "", None  # type: tuple[str, Spans | None]
        self._worker: ThreadPoolExecutor | None = None
        self._loop = asyncio.get_running_loop()

    def tell(self, run: Run) -> None:
        """Queue a run that has ended. Returns at once."""
        if self._settings.flag("request_lines"):
            text = line(run, contents=self._settings.flag("request_lines_contents"))
            self._work(lambda: self._append(text))
        collector = self._settings.text("otel_collector").strip()
        if collector or self._collector:
            self._work(lambda: self._send(lambda spans: spans.send(run), collector))

    def tell_tool(self, conversation: str, result: Result) -> None:
        """Queue the span of an executed tool call. Returns at once; a result that the user typed has no span."""
        collector = self._settings.text("otel_collector").strip()
        if collector and result.started_at is not None and result.ended_at is not None:
            ended_ns = time.time_ns()
            self._work(lambda: self._send(lambda spans: spans.send_tool(conversation, result, ended_ns), collector))

    def _work(self, work: Callable[[], None]) -> None:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "reporting")
        self._worker.submit(work)

    def _append(self, text: str) -> None:
        try:
            self._lines.append(text)
        except OSError as error:
            self._say(f"{FILE} cannot be written: {error.strerror or error}.")

    def _send(self, send: Callable[[Spans], None], collector: str) -> None:
        try:
            spans = self._spans_to(collector)
        except InputError:
            self._say(f"The OpenTelemetry collector in the settings is no address: {collector}. Nothing is sent to it.")
        except (ImportError, AttributeError):
            self._say(MISSING)
        else:
            if spans is not None:
                send(spans)

    def _spans_to(self, collector: str) -> Spans | None:
        """Return the span sender for the collector in the settings. Raises InputError, ImportError."""
        if collector != self._collector:
            self._close_spans()
            self._collector = collector
            if collector:
                check_base_url(collector)
                # Imported here: the packages are optional, and take 0.3 s to import.
                from playground.telemetry.otel import Spans

                self._spans = Spans(collector, self._say)
        return self._spans

    def _close_spans(self) -> None:
        if self._spans is not None:
            self._spans.close()
        self._spans = None

    def _say(self, sentence: str) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_trouble, sentence)

    async def close(self) -> None:
        """Write the queued requests and shut down."""
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.submit(self._close_spans)
        await asyncio.to_thread(worker.shutdown)
