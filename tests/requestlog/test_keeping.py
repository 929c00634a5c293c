"""Tags, comments, retention and deletion; deleted contents are searched in the files."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.events import ContentDelta
from playground.requestlog.filter import EVERYTHING, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.requestlog.writer import BATCH
from playground.runs.state import RunState
from tests.benchmarks.bench_log_corpus import requests
from tests.requestlog.samples import answered, body_of, opened, record

NOW = datetime.now(UTC)


def words_of(number: int) -> tuple[str, str]:
    """Return a question and an answer that share no part with other texts."""
    made = hashlib.sha256(f"{number}".encode()).hexdigest()
    return made[:32], made[32:]


async def filled(folder: Path, requests: int = 30, system: str = "You answer calls.") -> tuple[RequestLog, list[str]]:
    """A log with requests that share a system prompt; their run_ids, oldest first."""
    log = await RequestLog.open(folder)
    ended = []
    for number in range(requests):
        question, answer = words_of(number)
        kept = record(body=body_of(question, system), minute=number)
        request_id = f"{number:08x}-0000-4000-8000-000000000000"
        ended.append(EndedRun(kept, tuple(answered(f"It is {answer} indeed.", request_id))))
    await log.add(ended)
    return log, [one.record.run_id for one in ended]


def traces(folder: Path, word: str) -> list[str]:
    """The files of a folder that have a word, or ten bytes of it, anywhere in them."""
    return [name for name, data in contents(folder).items() if is_in(data, word)]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in a folder, in lower case, by its name."""
    return {path.name: path.read_bytes().lower() for path in folder.rglob("*") if path.is_file()}


def is_in(data: bytes, word: str) -> bool:
    """Whether data in lower case have a word, or ten bytes of it, anywhere in them."""
    return any(piece in data for piece in _forms(word))


def hexadecimal_pieces(data: bytes) -> set[bytes]:
    """Every ten bytes in a row of data in lower case that are part of a hexadecimal number in UTF-8 or UTF-16.

    One search for 120 words: to look for each in megabytes takes most of a test's time.
    """
    return {
        match[0][at : at + 10]
        for match in re.finditer(rb"[0-9a-f]{10,}|[0-9a-f]?(?:\x00[0-9a-f]){4,}\x00?", data)
        for at in range(len(match[0]) - 9)
    }


def _forms(word: str) -> list[bytes]:
    """Pieces of ten bytes of a word in lower case, in the encodings that a database may use."""
    both = (word.lower().encode(encoding) for encoding in ("utf-8", "utf-16-le"))
    return [form[at : at + 10] for form in both for at in range(0, len(form) - 9, 3)]


async def test_what_is_deleted_is_nowhere_and_what_others_share_stays(tmp_path: Path) -> None:
    system = "You answer calls for a clinic with many rules. " * 200

    log, ids = await filled(tmp_path, system=system)
    await log.set_comment(ids[3], f"comment on {words_of(3)[0]}")
    gone, left = ids[3:20], [*ids[:3], *ids[20:]]
    await log.delete(gone)
    # While the log is still open: no waiting for the end of the program.
    data = contents(tmp_path)
    for number in range(3, 20):
        question, answer = words_of(number)
        places = [name for name in data if is_in(data[name], question) or is_in(data[name], answer)]
        assert (number, places) == (number, [])
        assert await log.page(parse(question[:20], NOW)) == []
    for run_id in left:
        stored = await log.get(run_id)
        assert stored is not None
        assert system.encode() in stored.record.body
        assert len(await log.page(parse(words_of(ids.index(run_id))[1][:20], NOW))) == 1
    await log.close()
    with sqlite3.connect(tmp_path / "request-log.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("seed", [8, 14, 21])
async def test_deleted_requests_are_nowhere_though_their_rows_were_moved_within_the_file(
    tmp_path: Path, seed: int
) -> None:
    async with opened(tmp_path) as log:
        await log.recovered()
        made = [EndedRun(one.record, tuple(one.events)) for one in requests(120, seed=seed)]
        # An answer of each length, so that rows of many sizes share a page.
        runs = [
            replace(run, events=(ContentDelta(0.1, f"{words_of(number)[0]} "), *run.events))
            for number, run in enumerate(made)
        ]
        ids = (await log.add(runs)).new
        gone = random.Random(seed).sample(range(120), 80)
        await log.delete([ids[number] for number in gone])
        left = hexadecimal_pieces(b"\n".join(contents(tmp_path).values()))
        found = {number for number in range(120) if not left.isdisjoint(_forms(words_of(number)[0]))}
        assert found == set(range(120)) - set(gone)


async def test_all_can_go_and_the_file_is_small_again(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 60, "A long system prompt. " * 500)
    before = await log.size()
    assert before.requests == 60
    assert await log.delete_matching(EVERYTHING) == len(ids)
    after = await log.size()
    assert after.requests == 0
    assert after.file_bytes < before.file_bytes
    assert traces(tmp_path, words_of(7)[0]) == []
    assert traces(tmp_path, "A long system prompt. ") == []
    await log.close()


async def test_delete_cancelled_keeps_the_rest_and_purges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.requestlog.log.IDLE_BATCH", BATCH)

    log, ids = await filled(tmp_path, BATCH + 100)
    done: list[int] = []

    def stop(deleted: int) -> None:
        done.append(deleted)
        task.cancel()

    task = asyncio.ensure_future(log.delete(ids, stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [BATCH]
    assert [row.run_id for row in await log.page(EVERYTHING, None, 1_000)] == ids[: BATCH - 1 : -1]
    assert traces(tmp_path, words_of(7)[0]) == []
    assert len(await log.page(parse(words_of(BATCH + 7)[0][:20], NOW))) == 1
    await log.close()


async def test_delete_of_many_uses_smaller_transactions_while_a_request_runs(tmp_path: Path) -> None:
    log, _ = await filled(tmp_path, 1)
    ids = (await log.add([EndedRun(record(f"q{n}"), tuple(answered())) for n in range(2 * BATCH + 20)])).new
    running = record("still running")
    await log.begin(running)
    done: list[int] = []
    await log.delete([*ids[: BATCH + 10], running.run_id], done.append)
    assert done == [BATCH, BATCH + 11]
    await log.finish(running.run_id, RunState())
    done.clear()
    await log.delete(ids[BATCH + 10 :], done.append)
    assert done == [BATCH + 10]
    assert [row.question for row in await log.page(EVERYTHING)] == ["still running", words_of(0)[0]]
    await log.close()


async def test_delete_while_another_process_reads_is_purged_at_the_next_opening(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 4)
    with closing(sqlite3.connect(tmp_path / "request-log.sqlite3", isolation_level=None)) as another:
        another.execute("BEGIN")
        another.execute("SELECT count(*) FROM runs").fetchone()
        assert log._files.writer is not None
        log._files.writer.execute("PRAGMA busy_timeout = 10")
        await log.delete(ids[:2])
        assert traces(tmp_path, words_of(0)[0]) != []  # in what the other process reads
        another.execute("COMMIT")
        assert another.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone() != (0,)
        await log.close()
    async with opened(tmp_path) as log:
        assert traces(tmp_path, words_of(0)[0]) == []


async def test_blocks_of_deleted_requests_are_indexed_again_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"OPEN_BLOCKS": 2, "SEALS_PER_WRITE": 1, "SEALED_AT_ONCE": 2}.items():
        monkeypatch.setattr(f"playground.requestlog.log.{name}", value)
    seal = RequestLog._seal
    monkeypatch.setattr(RequestLog, "_seal", lambda _log: None)  # the timer

    log, _ = await filled(tmp_path, 1)
    ids = (await log.add([EndedRun(record(f"q{n}"), tuple(answered())) for n in range(640)])).new
    writer = log._writer
    assert writer is not None
    while await log._write_worker.call(writer.seal):
        pass
    await log.delete(ids[::32])  # one of each block
    assert await log._write_worker.call(lambda: writer.open_blocks) > 10  # one step was done
    left: list[int] = []

    def step(one: RequestLog) -> None:
        with suppress(sqlite3.ProgrammingError):  # the timer may end after the log is closed, as in the program
            left.append(writer.open_blocks)
        seal(one)

    monkeypatch.setattr(RequestLog, "_seal", step)
    log._sealing = False
    await log._write_worker.call(log._seal_later)
    while await log._write_worker.call(lambda: writer.open_blocks) > 1:
        pass
    await log.close()
    # The worker takes other calls between two steps.
    assert left
    assert all(before - after <= 2 for before, after in pairwise(left))


async def test_a_purge_that_was_not_ended_is_ended_at_the_next_opening(tmp_path: Path) -> None:
    log, _ = await filled(tmp_path, 5)
    await log.close()
    path = tmp_path / "request-log.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = 1 WHERE name = 'purge'")
    connection.close()
    log = await RequestLog.open(tmp_path)
    await log.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone() == (0,)
    connection.close()


async def test_retention_by_age_leaves_what_is_marked_or_young(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 10)  # of 23 November 2026, a minute apart
    await log.mark(ids[:2])
    age = datetime.now(UTC) - record(minute=5).started_utc + timedelta(seconds=30)
    assert await log.keep_within(age, None) == 3
    assert [row.run_id for row in await log.page(EVERYTHING)] == [*reversed(ids[5:]), ids[1], ids[0]]
    assert await log.keep_within(None, None) == 0
    assert await log.keep_within(timedelta(days=36_500), None) == 0
    await log.close()


async def test_retention_by_size_takes_the_oldest_first(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 1_200)
    await log.mark(ids[:1])
    size = await log.size()
    most = size.used_bytes * 2 // 3
    deleted = await log.keep_within(None, most)
    assert (await log.size()).used_bytes <= most
    assert 0 < deleted < 1_199
    left = [row.run_id for row in await log.page(EVERYTHING, None, 2_000)]
    assert left == [*reversed(ids[deleted + 1 :]), ids[0]]
    await log.close()


async def test_tags_are_put_on_taken_off_and_found(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 4)
    await log.set_tags(ids[:3], ["billing", "To do"])
    await log.set_tags(ids[1:2], ["BILLING"], ["to do"])
    assert [row.run_id for row in await log.page(parse("tag:billing", NOW))] == list(reversed(ids[:3]))
    assert [row.run_id for row in await log.page(parse('tag:"to do"', NOW))] == [ids[2], ids[0]]
    assert [row.run_id for row in await log.page(parse("tag:none", NOW))] == [ids[3]]
    assert (await log.words()).tags == ("billing", "To do")
    await log.close()


async def test_a_comment_is_found_changed_and_forgotten(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 3)
    await log.set_comment(ids[1], "asked support about 請求書")
    assert [row.run_id for row in await log.page(parse("請求", NOW))] == [ids[1]]
    await log.set_comment(ids[1], "solved")
    assert await log.page(parse("請求", NOW)) == []
    assert [row.comment for row in await log.page(parse("solved", NOW))] == ["solved"]
    await log.set_comment("no such run", "x")
    await log.close()


async def test_a_list_of_ids_names_those_that_are_not_found(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 5)
    pasted = ["00000003-0000-4000-8000-000000000000", " 00000001-0000-4000-8000-000000000000", "ffffffff-dead", ""]
    found = await log.find_many([*pasted, pasted[0]])
    assert found.run_ids == (ids[3], ids[1])
    assert found.missing == ("ffffffff-dead",)
    await log.close()


async def test_the_place_of_a_request_in_what_a_filter_finds(tmp_path: Path) -> None:
    log, ids = await filled(tmp_path, 6)
    await log.mark([ids[0], ids[2], ids[5]])
    assert await log.place_of(ids[2], EVERYTHING) == 3
    assert await log.place_of(ids[2], parse("is:marked", NOW)) == 1
    assert await log.place_of(ids[1], parse("is:marked", NOW)) is None
    assert await log.place_of("no such run", EVERYTHING) is None
    await log.close()


@pytest.mark.parametrize("text", ["is:failed", "status:4xx"])
async def test_the_words_are_those_of_the_log(tmp_path: Path, text: str) -> None:
    log, _ = await filled(tmp_path, 2)
    words = await log.words()
    assert words.endpoints == ("The electron",)
    assert words.models == ("electron",)
    assert "stop" in words.finish_reasons
    assert await log.delete_matching(parse(text, NOW)) == 0
    await log.close()
