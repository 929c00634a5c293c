"""Hostile and damaged import files: rejected, or safe for all readers of the log."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from playground.export import har, jsonl, log_files
from playground.export.log_files import import_file
from playground.export.snippets import as_curl, as_httpx, as_javascript, as_python
from playground.export.ticket import CHOICES, TicketContents, bundle
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import AddedRuns, EndedRun, StoredRun
from playground.runs.record import body_value
from tests.requestlog.samples import answered, opened, record, refused


def _line(**changes: Any) -> dict[str, Any]:
    run = record()
    stored = StoredRun(run, 1, "done", False, (*refused(503), *answered()), tags=("a",), comment="c")
    fields: dict[str, Any] = json.loads(jsonl.to_line(stored))
    return {**fields, **changes}


def _in(record_field: str, value: object) -> bytes:
    fields = _line()
    fields["record"][record_field] = value
    return json.dumps(fields).encode()


def _with_events(events: object) -> bytes:
    return json.dumps(_line(events=events)).encode()


def _imported(folder: Path, data: bytes) -> list[StoredRun]:
    path = folder / "in"
    path.write_bytes(data)

    async def main() -> list[StoredRun]:
        async with opened(folder / "log") as log:
            await import_file(log, path)
            return [stored for row in await log.page(EVERYTHING) if (stored := await log.get(row.run_id)) is not None]

    return asyncio.run(main())


ATTEMPT = {"event": "attempt", "at": 0.0, "attempt": 1}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cached_tokens": 0}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_in("started_utc", "0001-01-01T00:00:00Z"), "line 1.record.started_utc"),
        (_in("started_utc", "2026-11-23T14:02:11"), "has no time zone"),
        (_in("run_id", ""), "line 1.record.run_id"),
        (_in("run_id", "x\n" * 3), "line 1.record.run_id"),
        (_in("base_url", "javascript:alert(1)"), "line 1.record.base_url"),
        (_in("base_url", "https://user:secret@host/v1"), "line 1.record.base_url"),
        (_in("document", "{}"), "line 1.record.document"),
        (_in("endpoint_kind", "root"), "endpoint_kind"),
        (json.dumps(_line(extra=1)).encode(), "extra"),
        (
            _with_events([{"event": "headers", "at": 0, "status": 200, "request_id": None, "content_type": ""}]),
            "before",
        ),
        (_with_events([{**ATTEMPT, "at": -1}]), "line 1.events[0].at"),
        (_with_events([{**ATTEMPT, "at": 1e300}]), "line 1.events[0].at"),
        (_with_events([{**ATTEMPT, "at": float("nan")}]), "NaN is no number"),
        (
            _with_events([ATTEMPT, {"event": "usage", "at": 1, "usage": {**USAGE, "cached_tokens": -1}}]),
            "cached_tokens",
        ),
        (_with_events([ATTEMPT]).replace(b'"attempt": 1', b'"attempt": 1' + b"0" * 40), "too large"),
        (_with_events([ATTEMPT]).replace(b'"at": 0.0', b'"at": 1e999'), "too large"),
    ],
)
def test_what_would_break_a_reader_is_refused_by_line_and_field(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InputError) as caught:
        _imported(tmp_path, data)
    assert words in str(caught.value), str(caught.value)


def _use(stored: StoredRun) -> None:
    """Run every action of the user on a request."""
    for choice in CHOICES:
        bundle([stored], TicketContents(choice))
    for form in (as_curl, as_httpx, as_javascript):
        form(stored.record)
    if isinstance(body_value(stored.record.body), dict):  # the package sends no other body
        as_python(stored.record)
    log_files.to_row(stored)
    json.loads("[" + ",".join(har.to_entries(stored)) + "]")
    jsonl.from_line(jsonl.to_line(stored))


_leaf = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([]), st.just({}), st.just([[]])
)


def _places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        found += _places(item, (*path, step))
    return found


PLACES = _places(_line())


@pytest.mark.exhaustive
@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), _leaf)
def test_a_line_with_anything_anywhere_is_refused_or_good_for_all(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[str | int, ...], value: object
) -> None:
    fields: Any = _line()
    holder = fields
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        runs = _imported(folder, json.dumps(fields).encode())
    except InputError as bad:
        assert str(bad).strip()  # noqa: PT017 - being refused is one of two good ends
    else:
        for stored in runs:
            _use(stored)


def test_a_browsers_har_has_its_stream_in_base64(tmp_path: Path) -> None:
    stored = StoredRun(record(), 1, "done", False, tuple(answered()))
    (text,) = har.to_entries(stored)
    entry = json.loads(text)
    chunk = '{"id":"c","choices":[{"index":0,"delta":{"content":"Grüße"},"finish_reason":"stop"}]}'
    stream = f"data: {chunk}\n\ndata: [DONE]\n\n"
    entry["response"]["content"] = {
        "mimeType": "text/event-stream",
        "encoding": "base64",
        "text": base64.b64encode(stream.encode()).decode(),
    }
    (run,) = _imported(tmp_path, json.dumps({"log": {"entries": [entry]}}).encode())
    assert run.state().text == "Grüße"


class _Failing(RequestLog):
    """A disk that is full after the first hundred."""

    async def add(self, runs: Any) -> AddedRuns:
        if (await self.count(EVERYTHING)).n >= 100:
            raise OSError("the disk is full")
        return await super().add(runs)


def _many(folder: Path, count: int) -> Path:
    path = folder / "many.jsonl"
    now = datetime.now(UTC)
    lines = []
    for number in range(count):
        fields = _line()
        fields["record"] |= {"run_id": f"run-{number}", "started_utc": now.isoformat()}
        lines.append(json.dumps(fields))
    path.write_text("\n".join(lines))
    return path


def _stop(_seen: int) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("kind", "progress", "error"),
    [(_Failing, lambda _seen: None, OSError), (RequestLog, _stop, asyncio.CancelledError)],
)
async def test_what_fails_or_is_stopped_midway_leaves_nothing(
    tmp_path: Path, kind: type[RequestLog], progress: Callable[[int], None], error: type[BaseException]
) -> None:
    path = _many(tmp_path, 150)

    log = await kind.open(tmp_path / "log")
    await log.add([EndedRun(record(), tuple(answered()))])
    with pytest.raises(error):
        await import_file(log, path, progress)
    assert (await log.count(EVERYTHING)).n == 1
    await log.close()
