"""Recorded requests in another log: exported as JSONL or HAR and imported, they have the same rows, filters, groups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from playground.client.events import (
    AnyEvent,
    AttemptStarted,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    RawEvent,
    RetryScheduled,
    Stopped,
)
from playground.export.har import from_har
from playground.export.jsonl import from_line, to_line
from playground.export.log_files import Format, export, import_file
from playground.requestlog.filter import EVERYTHING, Folding, LogFilter, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow
from playground.simulator.process import SimulatorProcess
from tests.recorder.test_record_command import BODY, Recording, post
from tests.requestlog.samples import keep, opened, record, refused

FILTERS = (
    *("source:recorder", "tag:nightly", "is:marked", "is:failed", "group:batch", "slow comment", "source:import"),
    *("conversation:{conversation}", "source:recorder tag:nightly", "model:electron"),
)
T = TypeVar("T")


def with_log(folder: Path, use: Callable[[RequestLog], Coroutine[object, object, T]]) -> T:
    async def work() -> T:
        async with opened(folder) as log:
            return await use(log)

    return asyncio.run(work())


@pytest.fixture
def folder(tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]) -> Path:
    """Return the data folder with four recorded requests, two of them with tags, a comment and a mark."""
    recording = Recording(tmp_path / "data", make_simulator("--plan", "none").base_url)
    messages = [{"role": "user", "content": "hello"}]
    answer = post(recording, {**BODY, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.status_code == 200
    text = post(recording, {**BODY, "messages": messages}).json()["choices"][0]["message"]["content"]
    messages += [{"role": "assistant", "content": text}, {"role": "user", "content": "and then?"}]
    post(recording, {**BODY, "messages": messages})
    post(recording, BODY, **{"X-Simulate": "500"})
    recording.end()

    async def annotate(log: RequestLog) -> None:
        ids = [row.run_id for row in await log.page(EVERYTHING)]
        await log.set_tags(ids[:2], ["nightly", "batch:ab12"])
        await log.set_comment(ids[0], "slow comment")
        await log.mark(ids[1:2])

    with_log(recording.folder, annotate)
    return recording.folder


def rows(folder: Path, log_filter: LogFilter) -> list[LogRow]:
    """Return the rows of a filter without what belongs to the log that has them."""

    async def read(log: RequestLog) -> list[LogRow]:
        return await log.rows_at(log_filter, 0, 100)

    return [replace(row, number=0, imported=False) for row in with_log(folder, read)]


def words(text: str) -> LogFilter:
    return parse(text, datetime.now(UTC))


def moved(folder: Path, kind: Format) -> Path:
    """Export a log, import it into an empty one, and return that one's folder."""
    path, other = folder.parent / f"all.{kind}", folder.parent / "other"
    with_log(folder, lambda log: export(log, EVERYTHING, path, kind))
    imported = with_log(other, lambda log: import_file(log, path))
    assert imported.added == 4
    return other


def test_jsonl_imported_recording_has_the_same_rows_in_each_filter_and_the_same_groups(folder: Path) -> None:
    other = moved(folder, "jsonl")
    conversation = rows(folder, EVERYTHING)[1].conversation
    filters = [words(text.format(conversation=conversation)) for text in FILTERS]
    folded = replace(EVERYTHING, folding=Folding())
    found = [rows(folder, one) for one in (*filters, folded)]
    assert [len(some) for some in found] == [4, 2, 1, 1, 2, 1, 0, 2, 2, 4, 3]
    assert [rows(other, one) for one in (*filters, folded)] == found
    assert found[-1][0].group is not None
    assert len(rows(other, words("is:imported"))) == 4


def test_har_imported_recording_keeps_source_conversation_tags_comment_and_mark(folder: Path) -> None:
    other = moved(folder, "har")

    def kept(found: list[LogRow]) -> list[tuple[object, ...]]:
        return [
            (row.source, row.conversation, row.tags, row.comment, row.marked, row.status, row.request_id, row.answer)
            for row in found
        ]

    assert kept(rows(other, EVERYTHING)) == kept(rows(folder, EVERYTHING))
    assert [row.source for row in rows(other, words("source:recorder"))] == ["recorder"] * 4


def test_har_of_another_tool_is_an_import_and_odd_fields_are_ignored() -> None:
    entry = {
        "startedDateTime": "2026-11-27T10:00:00Z",
        "request": {
            "method": "POST",
            "url": "https://api.example/v1/chat/completions",
            "postData": {"text": json.dumps({"messages": [{"role": "user", "content": "hi"}]})},
        },
        "response": {},
        "_source": ["recorder"],
        "_tags": [7, "", "a\x1fb", "a\x1fb", "x" * 100],
        "_conversation": 7,
        "_marked": "yes",
        "comment": {"text": "x"},
    }
    (run,) = from_har({"log": {"entries": [entry]}}).runs
    assert (run.record.source, run.record.conversation, run.marked, run.comment) == ("import", None, False, "")
    assert run.tags == ("a b", "x" * 64)  # as long as a tag that is typed in the window


def test_jsonl_tag_with_the_separator_of_tags_stays_one_tag(folder: Path) -> None:
    (run, *_) = with_log(folder, lambda log: log.stored([1]))
    fields = json.loads(to_line(run))
    fields["tags"] = ["x\x1fsource", "\n"]
    assert from_line(json.dumps(fields)).tags == ("x source",)


def _filled(folder: Path) -> Path:
    """Return the folder of a log with a request that was retried twice, one that failed, and one that was not sent."""
    choice = {"index": 0, "delta": {"content": "Yes."}, "finish_reason": "stop"}
    events: list[AnyEvent] = [
        *refused(request_id="first"),
        RetryScheduled(0.2, 2, 3, 0.1),
        AttemptStarted(0.3, 2),
        *(replace(event, at=event.at + 0.3) for event in refused(request_id="second")[1:]),
        RetryScheduled(0.5, 3, 3, 0.1),
        AttemptStarted(0.6, 3),
        HeadersReceived(0.7, 200, "third", "text/event-stream", (("x-request-id", "third"),)),
        RawEvent(0.8, json.dumps({"choices": [choice]})),
        ContentDelta(0.8, "Yes."),
        Finished(0.8, "stop"),
        Completed(0.9),
    ]

    async def fill(log: RequestLog) -> None:
        await keep(log, record("retried", minute=1), events)
        await keep(log, record("failed", minute=2), refused(400, "of failed"))
        await keep(log, record("not sent", minute=3), [Stopped(0.1)])

    with_log(folder, fill)
    return folder


@pytest.mark.parametrize(
    "order",
    [
        [("har", (2, 0, 0)), ("jsonl", (1, 2, 0)), ("har", (0, 0, 2))],
        [("jsonl", (3, 0, 0)), ("har", (0, 0, 2)), ("jsonl", (0, 0, 3))],
        [("har", (2, 0, 0)), ("har", (0, 0, 2)), ("jsonl", (1, 2, 0))],
    ],
)
def test_exports_of_both_formats_imported_in_any_order_are_the_same_requests(
    tmp_path: Path, order: list[tuple[str, tuple[int, int, int]]]
) -> None:
    source, other = _filled(tmp_path / "source"), tmp_path / "other"
    for kind in ("har", "jsonl"):
        with_log(source, lambda log, kind=kind: export(log, EVERYTHING, tmp_path / f"all.{kind}", kind))  # type: ignore[misc]
    assert len(json.loads((tmp_path / "all.har").read_bytes())["log"]["entries"]) == 4
    for kind, counts in order:
        done = with_log(other, lambda log, kind=kind: import_file(log, tmp_path / f"all.{kind}"))  # type: ignore[misc]
        assert (done.added, done.replaced, done.skipped) == counts
    # A HAR has nothing of a request that was not sent: its row comes after.
    found = sorted(rows(other, EVERYTHING), key=lambda row: row.started_utc)
    assert [(row.question, row.attempts, row.request_id, row.phase) for row in found] == [
        ("retried", 3, "third", "done"),
        ("failed", 1, "of failed", "failed"),
        ("not sent", 0, None, "stopped"),
    ]
    assert [row.question for row in rows(other, words("id:first"))] == ["retried"]
    for row in found:
        exact, imported = (with_log(folder, lambda log, row=row: log.get(row.run_id)) for folder in (source, other))  # type: ignore[misc]
        assert (imported.events, imported.record.started_utc) == (exact.events, exact.record.started_utc)
        assert imported.record.document == exact.record.document
    into_own = with_log(source, lambda log: import_file(log, tmp_path / "all.har"))
    assert (into_own.added, into_own.skipped) == (0, 2)


def test_har_that_an_earlier_version_imported_as_one_request_an_attempt_is_not_imported_again(tmp_path: Path) -> None:
    source, other = _filled(tmp_path / "source"), tmp_path / "other"
    with_log(source, lambda log: export(log, EVERYTHING, tmp_path / "all.har", "har"))
    runs = from_har(json.loads((tmp_path / "all.har").read_bytes())).runs
    ids = [replace(run.record, run_id=f"{run.record.run_id}-har-1") for run in runs]

    async def fill(log: RequestLog) -> None:
        await log.add([replace(run, record=one) for run, one in zip(runs, ids, strict=True)])

    with_log(other, fill)
    again = with_log(other, lambda log: import_file(log, tmp_path / "all.har"))
    assert (again.added, again.skipped) == (0, 2)


def test_har_equal_entries_of_another_tool_are_requests_of_their_own(tmp_path: Path) -> None:
    entry = {
        "startedDateTime": "2026-11-27T10:00:00Z",
        "request": {
            "method": "POST",
            "url": "https://api.example/v1/chat/completions",
            "postData": {"text": json.dumps({"messages": [{"role": "user", "content": "hi"}]})},
        },
        "response": {"status": 200, "content": {"text": ""}},
    }
    path = tmp_path / "equal.har"
    for count, (added, skipped) in ((1, (1, 0)), (3, (2, 1)), (3, (0, 3))):
        path.write_text(json.dumps({"log": {"entries": [entry] * count}}))
        imported = with_log(tmp_path / "log", lambda log: import_file(log, path))
        assert (imported.added, imported.skipped) == (added, skipped)
