"""Structured lines for log tools, one per ended request."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from datetime import UTC
from logging.handlers import RotatingFileHandler
from pathlib import Path

from playground.client.redact import redact
from playground.client.urls import origin
from playground.prompt.document import Json
from playground.runs.run import Run
from playground.runs.summary import summary

FILE = "requests.jsonl"
"""File name in the data folder; earlier files are requests.jsonl.1 and so on, the last one the oldest."""
MOST_BYTES = 10_000_000
BEFORE = 4
"""Number of earlier files."""


LOCK_TIMEOUT_S = 10.0
"""Longest wait for another process that writes a line; filelock's Timeout is an OSError."""


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
        # Imported on first use: telemetry is off by default.
        from filelock import FileLock

        if not self._path.parent.is_dir():
            # FileLock would recreate the folder.
            raise FileNotFoundError(None, "The data folder was deleted")
        with FileLock(self._path.with_suffix(".lock"), mode=0o600, timeout=LOCK_TIMEOUT_S, thread_local=False):
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
    told = summary(run)
    written = {name: told.pop(name) for name in CONTENTS}
    forecast = told.pop("forecast")
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
        **told,
        "estimated": _estimated(run) if forecast is not None else None,
    }
    error = fields["error"]
    if isinstance(error, dict) and not contents:
        fields["error"] = {name: error[name] for name in ("kind", "status", "type")}
    if contents:
        fields |= {"request": _parsed(run.request.body), **written}
    return redact(json.dumps(fields, ensure_ascii=True, separators=(",", ":")), None)


def _message(run: Run) -> str:
    state = run.state
    outcome = state.finish_reason if state.phase == "done" else state.phase
    return " ".join(str(word) for word in ("chat.completions", state.status, outcome) if word is not None)


def _estimated(run: Run) -> Json:
    assert run.forecast is not None
    return {
        "prompt_tokens": round(run.forecast.prompt_tokens),
        "cached_tokens": round(run.forecast.cached_tokens),
    }


def _parsed(body: bytes) -> Json:
    fields: Json = json.loads(body)
    return fields
