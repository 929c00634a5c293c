"""Telemetry of ended requests according to the settings, written in a separate thread."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from playground import install_advice
from playground.agent.conversation import Result
from playground.client.credentials import credentials
from playground.client.endpoint import check_base_url, origin
from playground.client.redact import redact
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.secret_values import masked_address
from playground.runs.run import Run
from playground.runs.summary import summary
from playground.storage.file_lock import locked
from playground.storage.settings import Settings

if TYPE_CHECKING:
    from playground.telemetry.otel import Spans


FILE = "requests.jsonl"
"""File name in the data folder; earlier files are requests.jsonl.1 and so on, the last one the oldest."""
MOST_BYTES = 10_000_000
BEFORE = 4
"""Number of earlier files."""


LOCK_TIMEOUT_S = 10.0
"""Longest wait for another process that writes a line."""


class _Handler(RotatingFileHandler):
    """Rotating handler whose files only the user can read, and which raises errors instead of printing them."""

    def _open(self) -> io.TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return io.TextIOWrapper(io.FileIO(handle, "a"), encoding="utf-8", write_through=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        error = sys.exception()
        assert error is not None
        raise error


class RotatingLines:
    """Appends lines. Blocking: use it in a thread."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._most_bytes = folder / FILE, most_bytes

    def append(self, line: str) -> None:
        """Add a line. Raises OSError.

        The file is opened for each line, under a lock: another process may have moved it aside.
        """
        with locked(self._path.with_suffix(".lock"), LOCK_TIMEOUT_S):
            handler = _Handler(self._path, maxBytes=self._most_bytes, backupCount=BEFORE, encoding="utf-8")
            try:
                handler.emit(logging.LogRecord("playground", logging.INFO, "", 0, line, (), None))
            finally:
                handler.close()


CONTENTS = ("text", "tool_calls")
"""Fields of a summary with text of the user or the model."""


def line(run: Run, *, contents: bool) -> str:
    """Return the request as one line of JSON. Unreported values are null; estimates (≈) are under `estimated`.

    Without `contents` it has neither prompt nor completion, nor the server's error message, which may quote
    them. It never contains a key.
    """
    described = summary(run)
    written = {name: described.pop(name) for name in CONTENTS}
    del described["forecast"]
    fields: dict[str, Json] = {
        "timestamp": run.started_utc.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "error" if run.state.phase == "failed" else "info",
        "message": _message(run),
        "run_id": run.id,
        "body_id": run.state.body_id,
        "phase": run.state.phase,
        "endpoint": run.endpoint.name,
        "origin": origin(run.endpoint.base_url),
        "simulated": run.endpoint.kind == "simulator",
        "model": run.request.model,
        **described,
        "estimated": None
        if run.forecast is None
        else {
            "prompt_tokens": round(run.forecast.prompt_tokens),
            "cached_tokens": round(run.forecast.cached_tokens),
        },
    }
    error = fields["error"]
    if isinstance(error, dict) and not contents:
        fields["error"] = {name: error[name] for name in ("kind", "status", "type")}
    key = None
    if contents:
        fields |= {"request": json.loads(run.request.body), **written}
        key = credentials(run.endpoint.base_url, (), body=run.request.body)
    return redact(json.dumps(fields, ensure_ascii=True, separators=(",", ":")), key)


def _message(run: Run) -> str:
    state = run.state
    outcome = state.finish_reason if state.phase == "done" else state.phase
    return " ".join(str(word) for word in ("chat.completions", state.status, outcome) if word is not None)


MISSING = (
    "Nothing is sent to the collector: OpenTelemetry spans need packages that are missing or have other versions. "
    f"{install_advice('otel')}"
)


class TelemetryService:
    """One per session; close it at the end. Calls `on_notice` in the event loop with a message when output fails."""

    def __init__(self, folder: Path, settings: Settings, on_notice: Callable[[str], None]) -> None:
        self._settings, self._on_error = settings, on_notice
        self._lines = RotatingLines(folder)
        self._collector, self._spans = "", None  # type: tuple[str, Spans | None]
        self._worker: ThreadPoolExecutor | None = None
        self._loop = asyncio.get_running_loop()

    def report(self, run: Run) -> None:
        """Queue a run that has ended. Returns at once."""
        if self._settings.flag("request_lines"):
            contents = self._settings.flag("request_lines_contents")
            self._work(lambda: self._append(run, contents=contents))
        collector = self._settings.text("otel_collector").strip()
        if collector or self._collector:
            self._work(lambda: self._send(lambda spans: spans.send(run), collector))

    def report_tool(self, conversation: str, result: Result) -> None:
        """Queue the span of an executed tool call. Returns at once; a result that the user typed has no span."""
        collector = self._settings.text("otel_collector").strip()
        if collector and result.started_at is not None and result.ended_at is not None:
            ended_ns = time.time_ns()
            self._work(lambda: self._send(lambda spans: spans.send_tool(conversation, result, ended_ns), collector))

    def _work(self, work: Callable[[], None]) -> None:
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, "reporting")
        self._worker.submit(work)

    def _append(self, run: Run, *, contents: bool) -> None:
        try:
            self._lines.append(line(run, contents=contents))
        except OSError as error:
            self._say(f"{FILE} cannot be written: {error.strerror or error}.")

    def _send(self, send: Callable[[Spans], None], collector: str) -> None:
        try:
            spans = self._spans_to(collector)
        except InputError:
            shown = masked_address(redact(collector, None))
            self._say(f"The OpenTelemetry collector in the settings is no address: {shown}. Nothing is sent to it.")
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
            self._loop.call_soon_threadsafe(self._on_error, sentence)

    async def close(self) -> None:
        """Write the queued requests and shut down."""
        if self._worker is None:
            return
        worker, self._worker = self._worker, None
        worker.submit(self._close_spans)
        await asyncio.to_thread(worker.shutdown)
