"""Crashes, damaged and newer files, full disks and two windows: saved requests and reported errors."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from playground.client.events import ContentDelta
from playground.requestlog import rows, store
from playground.requestlog.blob_store import Keeper
from playground.requestlog.filter import EVERYTHING, parse
from playground.requestlog.index import RUNS
from playground.requestlog.log import SEAL_RETRY_S, RequestLog
from playground.requestlog.migrations import CURRENT
from playground.requestlog.reader import Reader
from playground.requestlog.records import EndedRun, LogUnavailableError
from playground.requestlog.recovery import Ready, open_log, recovery_steps, reopen
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import FILE_NAME, transaction, unavailable
from playground.runs.state import fold
from playground.storage.file_lock import Owner
from playground.storage.paths import remedy
from tests.conftest import PATIENCE_S
from tests.forked_program import start_script
from tests.requestlog.samples import START, answered, body_of, files, keep, opened, record, stopped

CHILD = """
import asyncio, sys
from pathlib import Path
from playground.requestlog.log import RequestLog
from tests.requestlog.samples import keep, record, stopped, answered

async def work():
    log = await RequestLog.open(Path(sys.argv[1]))
    kept = record("asked by the child")
    await log.begin(kept)
    for event in stopped("half of an")[:-1]:
        log.note(kept.run_id, event)
    if sys.argv[2] == "ended":
        log.note(kept.run_id, answered()[-1])
    assert (await log.get(kept.run_id)).state().text == "half of an"  # get() sees to it that the notes are written
    for n in range(int(sys.argv[3])):
        await keep(log, record(f"child {n}"), answered())
    assert await log.saved(60)  # another process may have held the file
    print(kept.run_id, flush=True)
    sys.stdin.read()
    await log.close()

asyncio.run(work())
"""


def child(folder: Path, how: str = "runs", more: int = 0) -> subprocess.Popen[str]:
    return start_script(CHILD, str(folder), how, str(more))


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


class Hearing:
    """Collects a log's error messages, and waits for a number of them."""

    def __init__(self, log: RequestLog) -> None:
        self.told: list[str] = []
        self._more = asyncio.Event()
        log.on_notice(self._hear)

    def _hear(self, sentence: str) -> None:
        self.told.append(sentence)
        self._more.set()

    async def first(self, count: int) -> list[str]:
        while len(self.told) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), PATIENCE_S)
        return self.told


@pytest.mark.parametrize(("how", "phase"), [("runs", "interrupted"), ("ended", "done")])
async def test_text_outlives_a_kill(tmp_path: Path, how: str, phase: str) -> None:
    process = child(tmp_path, how)
    try:
        run_id = said(process)
        assert run_id
    finally:
        end(process)
    assert process.returncode in (-getattr(signal, "SIGKILL", 9), 1)

    async with opened(tmp_path) as log:
        found = await log.get(run_id)
        row = (await log.page(EVERYTHING))[0]
    assert found is not None
    assert (found.state().text, found.state().phase) == ("half of an", phase)
    assert (row.answer, row.phase) == ("half of an", phase)
    assert row.request_id == "abab0000-1111-4222-8333-444455556666"
    assert row.prompt_tokens is None
    assert [path.name for path in files(tmp_path)] == [FILE_NAME]


async def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    process = child(tmp_path, "runs", 40)

    try:
        async with opened(tmp_path) as log:
            mine = [record(f"mine {n}") for n in range(40)]
            for one in mine:
                await keep(log, one, answered())
            run_id = await asyncio.to_thread(said, process)
            async with opened(tmp_path) as again:
                theirs = await again.get(run_id)
                assert theirs is not None
                assert theirs.state().phase == "streaming"  # its process lives: not interrupted
                assert (await again.count(EVERYTHING)).n == 81
    finally:
        end(process)


async def newer_file(folder: Path, change: str = "") -> bytes:
    async with opened(folder) as log:
        await keep(log, record("kept"), answered())
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {CURRENT + 1}")
        if change:
            connection.execute(change)
    return (folder / FILE_NAME).read_bytes()


async def test_newer_file_is_read_and_never_changed(tmp_path: Path) -> None:
    before = await newer_file(tmp_path)

    async with opened(tmp_path) as log:
        reason = log.read_only_reason
        assert reason is not None
        assert "newer version" in reason
        assert str(tmp_path) in reason
        await keep(log, record("not kept"), answered())
        await log.delete([row.run_id for row in await log.page(EVERYTHING)])
        assert [row.question for row in await log.page(EVERYTHING)] == ["kept"]
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in files(tmp_path)] == [FILE_NAME]


async def test_newer_file_that_cannot_be_read_is_empty_and_says_so(tmp_path: Path) -> None:
    before = await newer_file(tmp_path, "ALTER TABLE texts RENAME COLUMN question TO asked")

    async with opened(tmp_path) as log:
        assert await log.page(EVERYTHING) == []
        assert await log.get("x") is None
    assert (tmp_path / FILE_NAME).read_bytes() == before


def scribble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 :] = os.urandom(len(data) - len(data) // 2)
    path.write_bytes(data)


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"this is not a database" * 100), scribble, foreign],
    ids=["text", "half", "foreign"],
)
async def test_damaged_file_is_set_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / FILE_NAME

    async with opened(tmp_path) as log:
        for n in range(30):
            await keep(log, record(f"{n}"), answered())
    damage(path)
    before = path.read_bytes()

    async with opened(tmp_path) as log:
        assert log.notice is not None
        assert (await Hearing(log).first(1))[0] == log.notice
        kept = record("after")
        await keep(log, kept, answered())
        assert next(row.question for row in await log.page(EVERYTHING)) == "after"
    notice = log.notice
    (aside,) = files(tmp_path, "request-log.damaged-*.sqlite3")
    assert aside.name in notice
    assert aside.read_bytes() == before


async def test_folder_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(LogUnavailableError, match="--data-dir") as caught:
        await RequestLog.open(tmp_path / "file" / "data")
    assert str(tmp_path / "file" / "data") in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(LogUnavailableError, match="permission denied"):
            asyncio.run(RequestLog.open(tmp_path))
    finally:
        tmp_path.chmod(0o700)


async def limit_pages(log: RequestLog, pages: int) -> None:
    """SQLite's own way to a full disk: the file may not grow beyond `pages` (it never shrinks below its size)."""
    writer = log._files.writer
    assert writer is not None
    await log._write_worker.call(lambda: writer.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def test_full_disk_is_said_once_and_what_waited_is_saved_when_there_is_room(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await limit_pages(log, 1)
        told: list[str] = []
        log.on_notice(told.append)
        kept = [record(f"question {n} " + os.urandom(20_000).hex()) for n in range(5)]
        for one in kept[:3]:
            await keep(log, one, answered())
        for one in kept[3:]:
            await log.begin(one)
            log.note(one.run_id, stopped()[0])
        assert len(told) == 1
        assert "disk is full" in told[0]
        assert await log.page(EVERYTHING) == []
        await limit_pages(log, 1_000_000)
        await log.finish(kept[3].run_id, fold(stopped()))
    assert "again" in told[1]
    assert len(told) == 2
    async with opened(tmp_path) as log:
        phases = {row.run_id: row.phase for row in await log.page(EVERYTHING)}
    assert [phases[one.run_id] for one in kept] == ["done", "done", "done", "stopped", "interrupted"]


async def test_seal_full_disk_waits_before_the_next_attempt(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        worker, chance = log._write_worker, random.Random(4)
        questions = ["".join(map(chr, chance.choices(range(0x4E00, 0x9FFF), k=700))) for _ in range(RUNS)]
        await log.add([EndedRun(record(question), tuple(answered())) for question in questions])
        await limit_pages(log, 1)  # the block's bits need more pages
        log._written_at = 0.0
        began = time.monotonic()
        await worker.call(log._seal)
        assert max(await worker.call(lambda: [due - began for due, _, _ in worker._timers])) >= SEAL_RETRY_S
        assert len(await log.page(parse(questions[3][:9], START))) == 1
        await limit_pages(log, 1_000_000)
        await worker.call(log._seal)
        assert await worker.call(lambda: log._writer is not None and log._writer.open_blocks) == 1


async def test_retry_saves_without_being_asked(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await limit_pages(log, 1)
        hearing = Hearing(log)
        kept = record("question " + os.urandom(20_000).hex())
        await keep(log, kept, answered())
        await limit_pages(log, 1_000_000)
        assert "again" in (await hearing.first(2))[1]
        assert [row.run_id for row in await log.page(EVERYTHING)] == [kept.run_id]


async def test_what_could_not_be_saved_is_said_at_the_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await limit_pages(log, 1)
        hearing = Hearing(log)
        await keep(log, record("question " + os.urandom(20_000).hex()), answered())
    assert "1 request could not be saved" in (await hearing.first(2))[1]


async def test_request_whose_beginning_is_saved_is_not_counted_as_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        begun = record("question")
        await log.begin(begun)
        await limit_pages(log, 1)
        hearing = Hearing(log)
        for one in answered():
            log.note(begun.run_id, one)
        log.note(begun.run_id, ContentDelta(0.9, os.urandom(20_000).hex()))
        await log.finish(begun.run_id, fold(answered()))
        for _ in range(2):
            await keep(log, record("question " + os.urandom(20_000).hex()), answered())
    assert log.unsaved == 3
    words = (await hearing.first(2))[1]
    assert "2 requests could not be saved" in words
    assert "1 request could be saved there without its end only" in words
    async with opened(tmp_path) as log:
        assert [row.phase for row in await log.page(EVERYTHING)] == ["interrupted"]


async def test_file_that_another_program_holds_is_said_and_written_when_it_is_free(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        writer = log._files.writer
        assert writer is not None
        await log._write_worker.call(lambda: writer.execute("PRAGMA busy_timeout = 50").fetchall())
        hearing = Hearing(log)
        kept = record("while it is locked")
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await keep(log, kept, answered())
            assert "locked" in (await hearing.first(1))[0]
            assert await log.page(EVERYTHING) == []
            other.execute("ROLLBACK")
        assert "again" in (await hearing.first(2))[1]
        assert [row.run_id for row in await log.page(EVERYTHING)] == [kept.run_id]


async def test_request_does_not_wait_for_another_program_that_holds_the_file(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        hearing = Hearing(log)
        kept = record("while it is locked")
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await keep(log, kept, answered())
            assert hearing.told == []  # the first attempt to write still waits
            assert await log.page(EVERYTHING) == []
            other.execute("ROLLBACK")
        assert await log.saved(60)
        assert hearing.told == []
        assert [(row.run_id, row.phase) for row in await log.page(EVERYTHING)] == [(kept.run_id, "done")]


async def test_two_processes_write_at_once_and_each_request_is_whole(tmp_path: Path) -> None:
    processes = [child(tmp_path, "runs", 150) for _ in range(2)]

    try:
        async with opened(tmp_path) as log:
            told: list[str] = []
            log.on_notice(told.append)
            mine = [record(f"mine {n}") for n in range(150)]
            for one in mine:
                await keep(log, one, answered())
            assert await log.saved(60)
            for process in processes:
                assert await asyncio.to_thread(said, process)
            rows = await log.page(EVERYTHING, None, 1_000)
            assert len(rows) == 452
            assert told == []
            for row in rows:
                stored = await log.get(row.run_id)
                assert stored is not None
                state = stored.state()
                assert (state.phase, state.text) in {("done", "From nine to five."), ("streaming", "half of an")}
                assert stored.record.body
    finally:
        for process in processes:
            end(process)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_request_that_the_log_refuses_counts_as_unsaved(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        twice = record()
        await keep(log, twice, answered())
        with pytest.raises(sqlite3.IntegrityError):
            await log.begin(twice)
    assert log.unsaved == 1


def test_owner_whose_lock_cannot_be_released_ends_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_handle: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    fcntl = pytest.importorskip("fcntl")
    owner = Owner(tmp_path)
    monkeypatch.setattr(fcntl, "flock", fail)
    owner.release()
    assert files(tmp_path, "request-log.*.lock") == []
    monkeypatch.undo()


def damage_index(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        sql = f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'"
        page, size = (connection.execute(each).fetchone()[0] for each in (sql, "PRAGMA page_size"))
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


async def test_damage_of_a_large_file_that_a_write_finds_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground.requestlog.store._CHECK_UP_TO", 0)
    path = tmp_path / FILE_NAME

    async with opened(tmp_path) as log:
        await keep(log, record("before"), answered())
    damage_index(path, "runs_started")
    async with opened(tmp_path) as log:
        assert log.notice is None
        notices: list[str] = []
        log.on_notice(notices.append)
        await keep(log, record("found by this one"), answered())
    assert log.unsaved == 0
    assert any("was set aside as" in notice for notice in notices)
    async with opened(tmp_path) as log:
        await log.recovered()
        assert [row.question for row in await log.page(EVERYTHING)] == ["found by this one", "before"]
    assert not (tmp_path / "request-log.check").exists()
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1
    assert files(tmp_path, "*.copying") == []
    assert files(tmp_path, "request-log.*.lock") == []


async def test_damage_of_a_large_file_that_a_list_finds_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list has the readable requests, with their numbers, and a request that runs meanwhile is saved."""
    monkeypatch.setattr("playground.requestlog.store._CHECK_UP_TO", 0)
    path = tmp_path / FILE_NAME

    async with opened(tmp_path) as log:
        for n in range(70):
            await keep(log, record(f"{n} " + random.Random(n).randbytes(1_500).hex()), answered())
        whole = await log.page(EVERYTHING)
    with closing(sqlite3.connect(path)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'texts'").fetchone()[0]
    # The first cell of an interior page begins with the number of its first leaf.
    content = path.read_bytes()[(root - 1) * 8192 : root * 8192]
    cell = int.from_bytes(content[12:14], "big")
    page = int.from_bytes(content[cell : cell + 4], "big")
    with path.open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(b"\xff" * 8192)
    async with opened(tmp_path) as log:
        log.waits_for_copies = True
        running = record("running")
        await log.begin(running)
        rows = await log.page(EVERYTHING)
        assert rows[0].run_id == running.run_id
        assert len(rows) > 60
        known = {row.run_id: row.number for row in whole}
        assert all(known[row.run_id] == row.number for row in rows[1:])
        assert (await log.count(EVERYTHING, None)).n == len(rows)
        for event in answered():
            log.note(running.run_id, event)
        await log.finish(running.run_id, fold(answered()))
        assert (await log.page(EVERYTHING))[0].phase == "done"
    assert log.unsaved == 0
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1


async def test_request_that_begins_while_a_damaged_log_is_replaced_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground.requestlog.store._CHECK_UP_TO", 0)
    is_closed, goes_on = threading.Event(), threading.Event()

    def slow(*of_log: Any) -> Ready:
        is_closed.set()
        assert goes_on.wait(60)
        return reopen(*of_log)

    async with opened(tmp_path) as log:
        await keep(log, record("before"), answered())
    damage_index(tmp_path / FILE_NAME, "runs_started")
    monkeypatch.setattr("playground.requestlog.log.reopen", slow)
    async with opened(tmp_path) as log:
        log.waits_for_copies = True
        finds = asyncio.create_task(keep(log, record("found by this one"), answered()))
        assert await asyncio.to_thread(is_closed.wait, 60)
        during = asyncio.create_task(keep(log, record("during"), answered()))
        page = asyncio.create_task(log.page(EVERYTHING))
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.gather(finds, during)
        assert "found by this one" in {row.question for row in await page}
        assert [row.question for row in await log.page(EVERYTHING)] == ["during", "found by this one", "before"]
    assert log.unsaved == 0


async def test_process_that_writes_a_log_which_another_one_has_set_aside_continues_in_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds no damage itself. Its running request is copied by neither."""

    async with opened(tmp_path) as other:
        await keep(other, record("before"), answered())
        running = record("running")
        await other.begin(running)
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damage_index(tmp_path / FILE_NAME, "tags_number")
        log = await RequestLog.open(tmp_path)
        await log.recovered()
        assert [row.question for row in await log.page(EVERYTHING)] == ["before"]
        for event in answered():
            other.note(running.run_id, event)
        await other.finish(running.run_id, fold(answered()))
        await keep(other, record("after"), answered())
        await other.add([EndedRun(record("imported"), tuple(answered()))])
    assert other.unsaved == 0
    found = await log.page(EVERYTHING)
    assert {(row.question, row.phase) for row in found} == {
        (question, "done") for question in ("before", "running", "after", "imported")
    }
    assert len(found) == 4
    await log.close()
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1
    assert not (tmp_path / "request-log.check").exists()


Change = Callable[[RequestLog, str], Awaitable[object]]
CHANGES: list[tuple[str, Change]] = [
    ("is:marked", lambda log, run_id: log.mark([run_id])),
    ("tag:new", lambda log, run_id: log.set_tags([run_id], ["new"])),
    ("has:comment", lambda log, run_id: log.set_comment(run_id, "noted")),
    ("", lambda log, run_id: log.delete([run_id])),
    ("", lambda log, _run_id: log.keep_within(timedelta(0), None)),
]


@pytest.mark.parametrize(
    ("found_by", "change"), CHANGES, ids=["mark", "set_tags", "set_comment", "delete", "keep_within"]
)
async def test_change_in_a_log_which_another_process_has_set_aside_is_made_in_the_new_one(
    tmp_path: Path, found_by: str, change: Change
) -> None:
    """`found_by`: finds the changed request; all, if it is deleted."""

    other = await RequestLog.open(tmp_path)
    before = record("before")
    await keep(other, before, answered())
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage_index(tmp_path / FILE_NAME, "tags_number")
    log = await RequestLog.open(tmp_path)
    try:
        await log.recovered()
        await change(other, before.run_id)
        expected = [before.run_id] if found_by else []
        assert [row.run_id for row in await log.page(parse(found_by, START))] == expected
        assert [row.run_id for row in await other.page(EVERYTHING)] == expected
        assert not other.has_failed
    finally:
        await other.close()
        await log.close()


@pytest.mark.parametrize("table", ["targets", "meta", "sqlite_autoindex_runs_1", "tags", "streams"])
async def test_damage_of_a_small_table_loses_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr("playground.requestlog.store._CHECK_UP_TO", 0)

    async with opened(tmp_path) as log:
        for n in range(5):
            await keep(log, record(f"q{n}"), answered())
    damage_index(tmp_path / FILE_NAME, table)
    async with opened(tmp_path) as log:
        log.waits_for_copies = True
        await keep(log, record("new"), answered())
        await log.recovered()
        found = await log.page(EVERYTHING)
        assert [row.question for row in found] == ["new", "q4", "q3", "q2", "q1", "q0"]
        new = {
            (row.answer, row.status, row.phase, row.request_id, row.prompt_tokens, row.cached_tokens) for row in found
        }
        assert len(new) == 1, "without the table, the figures and the answer are the same"
        assert (await log.get(found[-1].run_id)).record.body == body_of("q0")  # type: ignore[union-attr]  # it is there
    assert log.unsaved == 0
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1


async def test_copying_of_a_damaged_log_is_continued_by_the_next_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for n in range(100):
            await keep(log, record(f"q{n}"), answered())
    damage_index(tmp_path / FILE_NAME, "runs_owner")
    ready = open_log(tmp_path)
    assert ready.files.writer is not None
    next(each for each in recovery_steps(ready, lambda: 0, print, print, print) if each.done)
    ready.files.writer.close()
    ready.files.reader.close()
    assert ready.owner is not None
    ready.owner.release()
    async with opened(tmp_path) as log:
        assert (await log.count(EVERYTHING)).n > 0
        await log.recovered()
        assert (await log.count(EVERYTHING)).n == 100
    assert files(tmp_path, "*.copying") == []


async def test_requests_that_are_copied_below_a_newer_one_are_in_a_list_that_was_read_before(tmp_path: Path) -> None:
    """They keep their numbers, and a reader remembers the numbers of a list."""
    ids = [str(uuid.UUID(int=n << 96 | n)) for n in range(1, 41)]
    listed = parse(" ".join(ids), START)

    async with opened(tmp_path) as log:
        await log.add([EndedRun(record(f"q{id_}"), tuple(answered(request_id=id_))) for id_ in ids])
    damage_index(tmp_path / FILE_NAME, "runs_owner")
    ready = open_log(tmp_path)
    writer = ready.files.writer
    assert writer is not None
    keeper, newer = Keeper(writer), record("newer")
    with transaction(writer, durable=True):
        keeper.begin()
        rows.insert_ended(writer, keeper, EndedRun(newer, tuple(answered())), SentBody(newer.body))
        keeper.end()
    reader = Reader(ready.files.reader)
    assert (len(reader.numbers(EVERYTHING)), reader.page(listed, None, 100)) == (1, [])
    for _ in recovery_steps(ready, lambda: 0, print, print, print):
        pass
    assert len(reader.numbers(EVERYTHING)) == 41
    assert {row.request_id for row in reader.page(listed, None, 100)} == set(ids)
    writer.close()
    ready.files.reader.close()
    assert ready.owner is not None
    ready.owner.release()


async def test_row_without_the_one_it_refers_to_is_damage_and_not_a_refused_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert_run, failed = rows.insert_run, list[int]()

    def write_another(connection: sqlite3.Connection, *of_run: Any) -> int:
        if not failed:
            failed.append(1)
            connection.execute("UPDATE runs SET target = 4711")
        return insert_run(connection, *of_run)

    async with opened(tmp_path) as log:
        await keep(log, record("before"), answered())
        monkeypatch.setattr("playground.requestlog.rows.insert_run", write_another)
        await keep(log, record("after"), answered())
    assert log.unsaved == 0
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1


async def test_damage_of_a_large_file_that_shows_after_opening_sets_it_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playground.requestlog.store._CHECK_UP_TO", 0)  # a large file is not checked as a whole
    path = tmp_path / FILE_NAME

    async with opened(tmp_path) as log:
        await keep(log, record("before"), answered())
    damage_index(path, "runs_owner")
    async with opened(tmp_path) as log:
        assert log.notice is not None
        assert "was set aside as" in log.notice
        await log.recovered()
        await keep(log, record("after"), answered())
        assert {row.question for row in await log.page(EVERYTHING)} == {"before", "after"}
    assert log.unsaved == 0
    assert len(files(tmp_path, "request-log.damaged-*.sqlite3")) == 1
    assert files(tmp_path, "request-log.*.lock") == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.EMFILE])
def test_advice_for_a_log_that_cannot_be_kept_depends_on_the_cause(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = OSError(number, os.strerror(number))
    other = {remedy(OSError(one, "")) for one in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE)}
    of_sqlite = sqlite3.OperationalError("disk I/O error")
    of_sqlite.sqlite_errorcode = sqlite3.SQLITE_IOERR
    monkeypatch.setattr(store, "write_error", lambda _path: cause)
    for error in (cause, of_sqlite):
        told = unavailable(tmp_path, error)
        assert os.strerror(number).lower() in told
        assert [one for one in other | {remedy(cause)} if one in told] == [remedy(cause)]


def test_advice_for_a_log_that_another_process_holds_is_not_about_the_disk(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a", timeout=0)) as one, closing(sqlite3.connect(tmp_path / "a")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            one.execute("CREATE TABLE a (b)")
    told = unavailable(tmp_path, caught.value)
    assert not any(remedy(OSError(number, "")) in told for number in (errno.ENOSPC, errno.EACCES))
    assert "Another program" in told
