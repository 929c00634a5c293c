"""A support ticket as Markdown: what the vendor asks for (electron-api.md, What support asks for), and no key."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import UTC, timedelta

from playground import __version__
from playground.client.redact import redact
from playground.prompt.document import Json
from playground.requestlog.records import StoredRun
from playground.runs.figures import Figure, seconds
from playground.runs.state import Attempt, RunState

MAX_ERROR_CHARS = 4_000


def ticket(stored: StoredRun) -> str:
    """One request. Message contents and tool definitions are left out; their length and a hash stand for them."""
    state, record = stored.state(), stored.record
    sections = [
        f"# Electron request {state.request_id or '(no request_id came)'}",
        _facts(stored, state),
        "## Attempts\n\n" + "\n".join(_attempt(stored, attempt) for attempt in state.attempts),
        _error(state),
        "## Request body\n\nContents are left out: `sha256` is of each text, `chars` its length.\n\n"
        f"```json\n{json.dumps(outline(json.loads(record.body)), ensure_ascii=False, indent=1)}\n```",
        f"Written by Electron Playground {__version__} on {platform.system()} {platform.machine()}.",
    ]
    return redact("\n\n".join(section for section in sections if section) + "\n", None)


def _facts(stored: StoredRun, state: RunState) -> str:
    record, usage = stored.record, state.usage
    rows: Sequence[tuple[str, str]] = (
        ("request_id", ", ".join(attempt.request_id or "—" for attempt in state.attempts) or "—"),
        ("body id", state.body_id or "—"),
        ("time (UTC)", record.started_utc.astimezone(UTC).isoformat(timespec="milliseconds")),
        ("method and URL", f"POST {record.base_url}/chat/completions"),
        ("model", record.model),
        ("outcome", f"{state.status or '—'} {state.finish_reason or state.phase}"),
        ("prompt tokens", Figure.reported(usage.prompt_tokens if usage else None).text),
        ("cached tokens", Figure.reported(usage.cached_tokens if usage else None).text),
        ("completion tokens", Figure.reported(usage.completion_tokens if usage else None).text),
        ("time to first token", seconds(state.ttft_s)),
        ("total", seconds(state.ended_at)),
    )
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    simulated = (
        "\n\n**Answered by the built-in simulator, not by Electron.**" if record.endpoint_kind == "simulator" else ""
    )
    return f"| | |\n|---|---|\n{lines}{simulated}"


def _attempt(stored: StoredRun, attempt: Attempt) -> str:
    at = stored.record.started_utc.astimezone(UTC) + timedelta(seconds=attempt.started_at)
    took = "" if attempt.ended_at is None else f", {seconds(attempt.ended_at - attempt.started_at)}"
    trouble = f": {attempt.trouble.title}" if attempt.trouble is not None else ""
    when = at.isoformat(timespec="milliseconds")
    return f"{attempt.number}. {when} · status {attempt.status or '—'} · `{attempt.request_id or '—'}`{took}{trouble}"


def _error(state: RunState) -> str:
    trouble = state.trouble
    if trouble is None:
        return ""
    body = f"\n\n```\n{trouble.body[:MAX_ERROR_CHARS]}\n```" if trouble.body else ""
    return f"## Error\n\n{trouble.title}. {trouble.detail}{body}"


_TEXTS = frozenset(("content", "arguments", "description", "name", "user", "stop"))
"""Fields whose text is the user's own."""


def outline(value: Json, field: str = "") -> Json:
    """A body with its shape, and hashes where its texts were."""
    if isinstance(value, dict):
        return {name: outline(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [outline(item, field) for item in value]
    if isinstance(value, str) and field in _TEXTS:
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return {"sha256": digest, "chars": len(value)}
    return value
