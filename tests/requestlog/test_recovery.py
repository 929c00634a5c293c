"""Damaged files and dead processes: readable requests survive, damaged ones are counted and named."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from playground.client.events import (
    AnyEvent,
    AttemptStarted,
    Completed,
    ContentDelta,
    HeadersReceived,
    RawEvent,
    ToolCallDelta,
)
from playground.export.log_files import export, import_file
from playground.export.ticket import ticket
from playground.prompt.files import load
from playground.requestlog import log as log_module
from playground.requestlog import rows, salvage
from playground.requestlog.blob_store import Keeper
from playground.requestlog.filter import EVERYTHING, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.pages import Pages
from playground.requestlog.records import EndedRun, StoredRun
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import FILE_NAME, MOST_NUMBER, PAGE_BYTES, RUNS_VALUES, transaction
from playground.requestlog.stored_runs import INCOMPLETE, LOST, OTHER_ANSWER
from playground.runs.state import fold
from playground.runs.summary import warnings
from tests.requestlog import samples
from tests.requestlog.samples import files, opened
from tests.requestlog.test_trouble import damage_index

COUNT = 60


_FILLED: list[tuple[bytes, list[str]]] = []


async def fill(folder: Path) -> list[str]:
    """Write a log of COUNT requests, after the first time a copy of its file. Returns their run ids."""
    if not _FILLED:
        run_ids = await _write(folder)
        _FILLED.append(((folder / FILE_NAME).read_bytes(), run_ids))
        return list(run_ids)
    return _copied(folder)


def _copied(folder: Path) -> list[str]:
    data, run_ids = _FILLED[0]
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_bytes(data)
    (folder / FILE_NAME).chmod(0o600)
    return list(run_ids)


async def _write(folder: Path) -> list[str]:
    records = [samples.record(f"question {n}", minute=n) for n in range(COUNT)]
    async with opened(folder) as log:
        await log.add([EndedRun(each, tuple(samples.answered(f"answer {n}"))) for n, each in enumerate(records)])
    return [each.run_id for each in records]


def change(folder: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection, connection:
        assert connection.execute(sql, values).rowcount == 1


COLUMNS = [
    *(f"runs.{name}" for name in ("phase", "status", "finish_reason", "request_id", "attempts", "completion_tokens")),
    *(f"runs.{name}" for name in ("prompt_tokens_estimated", "ttft_s", "marked", "imported", "source", "conversation")),
    *(f"texts.{name}" for name in ("question", "answer", "called", "trouble", "comment")),
    *(f"targets.{name}" for name in ("endpoint_id", "endpoint_name", "endpoint_kind", "model", "rates")),
]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", [b"\xff\x00\xfe", float("inf")])
async def test_page_column_of_another_type_leaves_out_the_row_and_names_it(
    tmp_path: Path, column: str, value: bytes | float
) -> None:
    run_ids = await fill(tmp_path)
    table, _, name = column.partition(".")
    text = table != "runs" or name in ("phase", "finish_reason", "request_id", "source", "conversation")
    if text and isinstance(value, float):
        return  # a column for text stores it as text
    one = "" if table == "targets" else " WHERE number = 7"
    change(tmp_path, f"UPDATE {table} SET {name} = ?{one}", value)

    async def work() -> tuple[list[str], list[str], list[str]]:
        async with opened(tmp_path) as log:
            messages: list[str] = []
            log.on_notice(messages.append)
            listed = [row.run_id for row in await log.page(EVERYTHING, None, COUNT)]
            stored = [found.record.run_id for found in await log.stored(await log.numbers(EVERYTHING))]
            return listed, stored, messages

    listed, stored, messages = await work()
    expected = set() if table == "targets" else set(run_ids) - {run_ids[6]}
    assert set(listed) == expected
    assert set(stored) >= expected
    assert messages


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE streams SET data = x'0203' WHERE number = 7",
        "UPDATE texts SET body = x'91' WHERE number = 7",
        "UPDATE texts SET forecast = '{' WHERE number = 7",
        "UPDATE texts SET document = x'91cd7fff' WHERE number = 7",
    ],
)
async def test_export_damaged_request_exports_the_others_and_names_it(tmp_path: Path, sql: str) -> None:
    run_ids = await fill(tmp_path)
    change(tmp_path, sql)

    async with opened(tmp_path) as log:
        messages: list[str] = []
        log.on_notice(messages.append)
        assert await export(log, EVERYTHING, tmp_path / "x.jsonl", "jsonl") == COUNT - 1
        assert len((tmp_path / "x.jsonl").read_bytes().splitlines()) == COUNT - 1
        left = await log.get(run_ids[6])
        assert await log.get(run_ids[7]) is not None
        if "forecast" in sql:
            assert left is None
        else:
            assert left is not None
            assert (left.state().phase, left.state().text) == ("done", "answer 6")
            assert (b"\xef\xbf\xbd" in left.record.body) == ("body" in sql)
        assert len(await log.page(EVERYTHING)) == COUNT
    assert all(run_ids[6] in message for message in messages)
    assert messages


def _with_choice(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Add a second choice, which was cut at max_tokens."""
    raw = RawEvent(0.5, '{"choices": [{"index": 1, "delta": {"content": "Yes"}, "finish_reason": "length"}]}')
    return [*events[:-1], raw, events[-1]]


@pytest.mark.parametrize(
    "events",
    [
        _with_choice(samples.answered()),
        samples.called(),
        [*samples.called()[:2], ToolCallDelta(0.3, 0, "call_1", "", "{}"), *samples.called()[-2:]],
        [*samples.called()[:2], *samples.called()[-2:]],
    ],
    ids=["further choice", "call", "call without a name", "no call"],
)
@pytest.mark.parametrize("is_copied", [False, True])
async def test_request_without_events_keeps_its_warnings_and_called_tools(
    tmp_path: Path, events: list[AnyEvent], is_copied: bool
) -> None:
    record = samples.record("question")
    async with opened(tmp_path) as log:
        await log.add([EndedRun(record, tuple(events))])
        (before,) = await log.page(EVERYTHING)
    change(tmp_path, "UPDATE streams SET data = x'0203'")
    if is_copied:
        damage_index(tmp_path / FILE_NAME, "tags_number")
    async with opened(tmp_path) as log:
        await log.recovered()
        (after,) = await log.page(EVERYTHING)
        stored = await log.get(record.run_id)
    assert (log.notice is not None) == is_copied
    assert stored is not None
    assert "; ".join(one.title for one in warnings(stored.state())) == after.warning == before.warning
    assert ", ".join(call.name for call in stored.state().calls) == after.called == before.called


async def test_get_answer_that_was_changed_on_disk_is_stated_and_not_exported(tmp_path: Path) -> None:
    events: list[AnyEvent] = [
        AttemptStarted(0.0, 1),
        *(RawEvent(0.5, '{"content":"One"}'), ContentDelta(0.5, "One")),
        *(RawEvent(0.5, '{"content":" two"}'), ContentDelta(0.5, " two")),
        Completed(0.6),
    ]
    record = samples.record("question")

    async def work() -> tuple[StoredRun | None, list[str]]:
        async with opened(tmp_path) as log:
            messages: list[str] = []
            log.on_notice(messages.append)
            assert await export(log, EVERYTHING, tmp_path / "x.jsonl", "jsonl") == 0
            return await log.get(record.run_id), messages

    async with opened(tmp_path) as log:
        await log.add([EndedRun(record, tuple(events))])
    change(tmp_path, "UPDATE texts SET answer = 'Ome two'")
    stored, messages = await work()
    assert stored is not None
    assert (stored.state().text, stored.comment) == ("Ome two", OTHER_ANSWER)
    assert any(OTHER_ANSWER in message and record.run_id in message for message in messages)


async def test_open_schema_that_is_not_utf8_is_set_aside_with_a_notice(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE targets", b"CREATE TABLE t\xff\xfegets"))

    async with opened(tmp_path) as log:
        assert log.notice is not None
        await log.recovered()
        kept = samples.record("after")
        await samples.keep(log, kept, samples.answered())
        assert (await log.page(EVERYTHING))[0].question == "after"
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1


async def test_open_cut_file_copies_what_is_readable(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    os.truncate(path, path.stat().st_size - size)

    async def work() -> int:
        async with opened(tmp_path) as log:
            assert log.notice is not None
            await log.recovered()
            return (await log.count(EVERYTHING)).n

    assert (await work()) > COUNT / 2
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1


async def test_open_file_that_ends_in_its_header_begins_a_new_log(tmp_path: Path) -> None:
    await fill(tmp_path / "good")
    head = (tmp_path / "good" / FILE_NAME).read_bytes()[:100]

    async def work(folder: Path) -> list[str]:
        async with opened(folder) as log:
            await log.recovered()
            await samples.keep(log, samples.record("after"), samples.answered())
            return [row.question for row in await log.page(EVERYTHING)]

    for size in (0, 1, 2, 16, 17, 50, 99, len(head)):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / FILE_NAME).write_bytes(head[:size])
        assert (await work(folder)) == ["after"]
        aside = [path.stat().st_size for path in folder.glob("request-log.damaged-*.sqlite3")]
        assert aside == ([size] if size > 1 else [])  # for SQLite, a file of one byte is empty


async def test_greatest_rowid_reads_each_page_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as log:
        long = random.Random(1).randbytes(30_000).hex()  # in overflow pages
        await log.add([EndedRun(samples.record(f"{long}{n}"), tuple(samples.answered(long))) for n in range(COUNT)])
    read, page = list[int](), Pages.page

    def noted(self: Pages, number: int) -> bytes:
        read.append(number)
        return page(self, number)

    with closing(Pages(tmp_path / FILE_NAME, PAGE_BYTES)) as pages:
        monkeypatch.setattr(Pages, "page", noted)
        assert pages.greatest_rowid(RUNS_VALUES, MOST_NUMBER) == COUNT
        assert pages.greatest_rowid(RUNS_VALUES, COUNT) == COUNT - 1
        assert read == [*range(1, pages.count + 1)] * 2


async def test_open_damaged_page_copies_what_is_readable_and_counts_the_rest(tmp_path: Path) -> None:
    await fill(tmp_path)
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_started'").fetchone()
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    data[(page - 1) * size : page * size] = random.Random(1).randbytes(size)
    path.write_bytes(bytes(data))

    async with opened(tmp_path) as log:
        messages: list[str] = []
        log.on_notice(messages.append)
        assert log.notice is not None
        await log.recovered()
        assert (await log.count(EVERYTHING)).n == COUNT
        assert len(await log.page(parse("question", samples.START), None, 100)) == COUNT
    assert any(f"{COUNT} requests were copied" in message for message in messages)


MANY = 300
"""Requests with which `runs`, `texts` and `streams` have several pages."""


async def recover(folder: Path) -> tuple[list[StoredRun], bool]:
    """Return the requests after recovery, and whether it failed."""
    async with opened(folder) as log:
        await log.recovered()
        return await log.stored(await log.numbers(EVERYTHING)), log.has_failed


@pytest.mark.parametrize(
    ("name", "in_wal"),
    [
        *((name, False) for name in ("sqlite_schema", "runs", "texts", "targets", "streams", "tags", "part_data")),
        *((name, True) for name in ("sqlite_schema", "targets")),
    ],
)
async def test_open_file_without_a_root_page_copies_all_requests(tmp_path: Path, name: str, in_wal: bool) -> None:
    records = [samples.record(f"question {n}", minute=n) for n in range(MANY)]
    ended = [EndedRun(each, tuple(samples.answered(f"answer {n}")), tags=("one",)) for n, each in enumerate(records)]
    good, damaged = tmp_path / "good", tmp_path / "damaged"

    async with opened(good) as log:
        await log.add(ended)
        if in_wal:
            shutil.copytree(good, damaged)
    if not in_wal:
        shutil.copytree(good, damaged)
    with closing(sqlite3.connect(good / FILE_NAME)) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    at = (roots.get(name, 1) - 1) * size
    with (damaged / FILE_NAME).open("r+b") as file:
        file.seek(at)
        file.write(random.Random(1).randbytes(size))
    stored, has_failed = await recover(damaged)
    assert has_failed is (name == "targets" and not in_wal)  # other pages do not have endpoints and models
    assert len(list(damaged.glob("request-log.damaged-*.sqlite3"))) == (not in_wal)
    assert [one.number for one in stored] == list(range(1, MANY + 1))
    for one, given in zip(stored, ended, strict=True):
        expected = fold(given.events)
        assert (one.state().text, one.state().usage) == (expected.text, expected.usage)
        assert (one.record.body, one.record.document) == (given.record.body, given.record.document)
        assert (one.tags, one.comment) == (given.tags, "")
    assert not list(damaged.glob("*.rows"))


@pytest.mark.parametrize("field", [b"\x00\x01", b"\x40\x00", b"\x10\x00", b"\x00\x00", b"\x77\x77"])
async def test_open_file_with_another_page_size_in_its_header_copies_all_requests(tmp_path: Path, field: bytes) -> None:
    await fill(tmp_path)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(16)
        file.write(field)
        file.seek(20)
        file.write(b"\xff")  # bytes that SQLite would reserve at the end of each page
    stored, has_failed = await recover(tmp_path)
    assert ([one.state().text for one in stored], has_failed) == ([f"answer {n}" for n in range(COUNT)], False)


async def test_open_file_without_its_targets_says_that_models_are_unknown(tmp_path: Path) -> None:
    await fill(tmp_path)
    change(tmp_path, "DELETE FROM targets")
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(bytes(100))

    async def work() -> tuple[list[StoredRun], str, bool]:
        async with opened(tmp_path) as log:
            messages: list[str] = []
            log.on_notice(messages.append)
            await log.recovered()
            return await log.stored(await log.numbers(EVERYTHING)), " ".join(messages), log.has_failed

    stored, message, has_failed = await work()
    assert {(one.record.model, one.record.endpoint_kind) for one in stored} == {("unknown", "other")}
    assert f"{COUNT} without endpoint, model" in message
    assert has_failed


async def test_full_disk_while_rows_are_copied_stops_the_recovery_and_the_next_opening_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(tmp_path)
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(bytes(100))
    connect = salvage._connect

    def failing(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr(salvage, "_connect", failing)
        async with opened(tmp_path) as log:
            messages: list[str] = []
            log.on_notice(messages.append)
            await asyncio.wait_for(log.recovered(), 60)
            assert log.has_failed
        assert ".rows: " in messages[-1]
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1
    stored, has_failed = await recover(tmp_path)
    assert (len(stored), has_failed) == (COUNT, False)


HEAD, PAGE, ALL, EMPTY, CUT = "head", "page", "no damage", "empty file", "cut in the last frame"
SALT = "a bit of a salt of the last frame"


@pytest.mark.parametrize(
    ("damage", "least"),
    [(HEAD, 0), (PAGE, 1), (ALL, COUNT), (EMPTY, COUNT), (CUT, COUNT - 1), (SALT, COUNT - 1)],
)
async def test_open_file_with_a_damaged_write_ahead_file_sets_it_aside(tmp_path: Path, damage: str, least: int) -> None:
    good, damaged = tmp_path / "good", tmp_path / "damaged"

    async with opened(good) as log:
        for n in range(COUNT):  # a transaction each
            await log.add([EndedRun(samples.record(f"question {n}", minute=n), tuple(samples.answered()))])
        shutil.copytree(good, damaged)
    wal = damaged / f"{FILE_NAME}-wal"
    content = bytearray(wal.read_bytes())
    if damage == HEAD:
        content[:32] = bytes(32)
    elif damage == PAGE:
        content[len(content) // 2 : len(content) // 2 + 64] = bytes([170]) * 64
    elif damage == CUT:
        del content[-100:]
    elif damage == SALT:
        content[-PAGE_BYTES - 16] ^= 1
    wal.write_bytes(content)
    if damage == EMPTY:
        (damaged / FILE_NAME).write_bytes(b"")
    stored, has_failed = await recover(damaged)
    assert least <= len(stored) <= COUNT
    assert has_failed is (damage in (HEAD, PAGE, SALT))  # requests are missing
    is_aside = damage not in (ALL, CUT)  # a file that ends in a frame is that of a killed process
    assert [file.read_bytes() for file in damaged.glob("request-log.damaged-*-wal")] == [content] * is_aside


async def test_open_file_of_0_bytes_says_that_its_requests_are_lost(tmp_path: Path) -> None:
    async def notice() -> str | None:
        log = await RequestLog.open(tmp_path)
        await log.close()
        return log.notice

    await fill(tmp_path)
    assert (await notice()) is None
    (tmp_path / FILE_NAME).write_bytes(b"")
    assert "was empty (0 bytes)" in ((await notice()) or "")
    assert (await notice()) is None


async def test_open_file_without_a_part_of_a_prompt_copies_the_rest_and_comments_on_it(tmp_path: Path) -> None:
    await fill(tmp_path)
    change(tmp_path, "DELETE FROM part_data WHERE id = 1")
    change(tmp_path, "UPDATE texts SET comment = 'mine' WHERE number = 1")
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(bytes(100))
    stored, _ = await recover(tmp_path)
    assert [one.state().text for one in stored] == [f"answer {n}" for n in range(COUNT)]
    assert [one.comment for one in stored] == [f"mine {INCOMPLETE}", *[INCOMPLETE] * (COUNT - 1)]
    rest, question = json.loads(stored[0].record.body)["messages"]
    assert LOST.decode() in rest["content"]
    assert question == {"role": "user", "content": "question 0"}
    assert load(stored[0].record.document).messages[1].content == "question 0"
    assert ticket(stored[0])

    async def moved() -> int:
        log, other = await RequestLog.open(tmp_path), await RequestLog.open(tmp_path / "other")
        try:
            await export(log, EVERYTHING, tmp_path / "x.jsonl", "jsonl")
            return (await import_file(other, tmp_path / "x.jsonl")).added
        finally:
            await log.close()
            await other.close()

    assert (await moved()) == COUNT


async def test_open_file_of_random_damage_invents_no_request(tmp_path: Path) -> None:
    await fill(tmp_path)
    good = (tmp_path / FILE_NAME).read_bytes()
    rng = random.Random(7)
    for n in range(8):
        folder = tmp_path / str(n)
        folder.mkdir()
        data = bytearray(good)
        for _ in range(200):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (folder / FILE_NAME).write_bytes(data)
        stored, _ = await recover(folder)
        assert len(stored) > COUNT / 3
        assert {one.number for one in stored} <= set(range(1, COUNT + 1))


async def test_open_index_that_misses_rows_is_rebuilt(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path)
    change(tmp_path, "UPDATE meta SET value = value WHERE name = 'purge'")
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as connection:
        # Empties an index without touching its table, as a lost write would.
        connection.execute("PRAGMA writable_schema = ON")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs_prompt'").fetchone()
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    start = (root - 1) * size
    assert data[start] == 10  # a leaf of an index
    data[start + 3 : start + 7] = b"\x00\x00" + size.to_bytes(2, "big")  # no cells
    data[start + 1 : start + 3] = b"\x00\x00"
    data[start + 7] = 0
    path.write_bytes(bytes(data))

    async def work() -> int:
        async with opened(tmp_path) as log:
            await log.recovered()
            assert (await log.page(EVERYTHING))[0].run_id == run_ids[-1]
            found = await log.page(parse("in:1204 roaming", samples.START), None, 100)
            assert found == []
            assert len(await log.page(parse("clinic", samples.START), None, 100)) == COUNT
            return len(await log.page(parse("in:1204", samples.START), None, 100))

    assert (await work()) == COUNT


async def orphan(folder: Path, batches: int) -> None:
    """Leave a run of a process that died in the middle of a long stream."""
    async with opened(folder) as log:
        connection = log._files.writer
        assert connection is not None
        with transaction(connection, durable=False):
            keeper = Keeper(connection)
            keeper.begin()
            record = samples.record("endless")
            number = rows.insert_run(connection, keeper, record, SentBody(record.body), "0" * 32)
            keeper.end()
            headers = HeadersReceived(0.1, 200, "endless-1", "text/event-stream")
            rows.add_events(connection, number, [AttemptStarted(0.0, 1), headers])
            for n in range(batches):
                rows.add_events(connection, number, [ContentDelta(1.0 + n, f"word {n} ")] * 50)


async def test_open_after_a_kill_recovers_in_the_background_while_requests_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orphan(tmp_path, 100)
    monkeypatch.setattr(log_module, "QUICK_RECOVERY_S", 0.0)
    monkeypatch.setattr(log_module, "RECOVERY_STEP_S", 0.0001)

    async with opened(tmp_path) as log:
        progress: list[bool] = []
        log.subscribe_recovery(lambda each: progress.append(each.finished))
        kept = samples.record("new")
        await samples.keep(log, kept, samples.answered())
        await log.recovered()
        new, old = await log.page(EVERYTHING)
        assert (new.run_id, new.phase) == (kept.run_id, "done")
        assert (old.phase, old.request_id, old.duration_s) == ("interrupted", "endless-1", 100.0)
        assert progress[-1]


async def test_close_during_recovery_is_continued_by_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orphan(tmp_path, 100)

    with monkeypatch.context() as patch:
        patch.setattr(log_module, "QUICK_RECOVERY_S", 0.0)
        log = await RequestLog.open(tmp_path)
        await log.close()
    async with opened(tmp_path) as log:
        await log.recovered()
        assert [row.phase for row in await log.page(EVERYTHING)] == ["interrupted"]


async def test_saved_waits_for_another_process_and_close_counts_what_is_lost(tmp_path: Path) -> None:
    log = await RequestLog.open(tmp_path)
    writer = log._files.writer
    assert writer is not None
    await log._write_worker.call(lambda: writer.execute("PRAGMA busy_timeout = 20").fetchall())
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await samples.keep(log, samples.record("locked"), samples.answered())
        assert not await log.saved(0.05)
        other.execute("ROLLBACK")
        assert await log.saved(5)
        other.execute("BEGIN IMMEDIATE")
        await samples.keep(log, samples.record("lost"), samples.answered())
        await log.close()
        other.execute("ROLLBACK")
    assert log.unsaved == 1


async def test_purge_frees_many_pages_per_step_and_leaves_none(tmp_path: Path) -> None:
    run_ids = await fill(tmp_path)

    async with opened(tmp_path) as log:
        steps = 0
        writer = log._writer
        assert writer is not None
        await log._write_worker.call(lambda: writer.delete(run_ids[1:]))
        while not await log._write_worker.call(writer.purge):
            steps += 1
    assert steps <= 12
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
        assert connection.execute("PRAGMA page_count").fetchone()[0] < 80
