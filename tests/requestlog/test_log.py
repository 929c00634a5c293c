"""Round trips of requests and events through the log on a real file."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import tracemalloc
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.events import AnyEvent, AttemptStarted, Completed, ContentDelta, HeadersReceived, RawEvent
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.index import RUNS
from playground.requestlog.log import FLUSH_S
from playground.requestlog.records import EndedRun, StoredEvents
from playground.requestlog.store import FILE_NAME
from playground.requestlog.writer import RAW_CAP_CHARS
from playground.runs.state import fold
from tests.conftest import PATIENCE_S
from tests.requestlog.samples import answered, body_of, called, files, keep, opened, record, refused, stopped

ODD_BODIES = [
    body_of("When?"),
    b' {\n "model" :"electron",\t"messages" : [ {"role":"user","content":"a\\u00e9\\ud83d"} ,\r\n{"x":[1,[2]]} ] } \n',
    b'{"messages":[],"tools":[{"a":1}]}',
    '{"messages":[{"role":"user","content":"नमस्ते \u2028\u00a0 مرحبا"}]}'.encode(),
    b'{"messages":[1,2,3',
    b"\xff\xfe not text",
    b"[1, 2]",
    b"",
    b'{"messages":[{"role":"user","content":"twice"}],"messages":[{"role":"user","content":"twice"}]}',
]


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_body_and_document_come_back_to_the_byte(tmp_path: Path, body: bytes) -> None:
    kept = record(body=body, document='{"content": "half \ud83d a pair,\r\n [1] "}')
    async with opened(tmp_path) as log:
        await keep(log, kept, answered())
    async with opened(tmp_path) as log:
        found = await log.get(kept.run_id)
    assert found is not None
    assert found.record == kept


@pytest.mark.parametrize("events", [answered(), refused(), stopped(), called()], ids=["done", "failed", "stop", "tool"])
async def test_state_is_the_fold_of_the_stored_events(tmp_path: Path, events: list[object]) -> None:
    async with opened(tmp_path) as log:
        kept = record()
        state = await keep(log, kept, events)  # type: ignore[arg-type]  # mixed lists of events
        found = await log.get(kept.run_id)
    assert found is not None
    assert list(found.events) == events
    again = found.state()
    assert again.text == state.text  # and both are joined now
    assert again == state
    assert found.phase == state.phase


async def test_row_shows_what_was_reported_and_leaves_the_rest_unknown(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await keep(log, record("First?"), answered())
        await keep(log, record("Second?", forecast=None), stopped())
        await keep(log, record("Third?"), called())
        third, second, first = await log.page(EVERYTHING)
    assert (first.prompt_tokens, first.cached_tokens, first.completion_tokens) == (1204, 1152, 86)
    assert (first.forecast_cached, first.prompt_tokens_estimated) == (1150.5, 1204.0)
    assert (first.status, first.finish_reason, first.question) == (200, "stop", "First?")
    assert first.answer == "From nine to five."
    assert first.rates == record().rates
    assert first.started_utc == record().started_utc
    assert (second.phase, second.prompt_tokens, second.forecast_cached) == ("stopped", None, None)
    assert second.request_id == "abab0000-1111-4222-8333-444455556666"
    assert third.called == "book_visit"


async def test_notes_reach_the_disk_by_themselves(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        seen = asyncio.Event()
        kept = record()
        await log.begin(kept)
        await asyncio.sleep(0)
        log.subscribe(lambda run_id: seen.set())
        log.note(kept.run_id, AttemptStarted(0.0, 1))
        log.note(kept.run_id, HeadersReceived(0.1, 200, "early-id", "text/event-stream"))
        await asyncio.wait_for(seen.wait(), PATIENCE_S)
        async with opened(tmp_path) as other:
            row = (await other.page(EVERYTHING))[0]
            assert (row.phase, row.request_id) == ("sent", "early-id")


def test_notes_wait_less_than_a_quarter_of_a_second() -> None:
    assert 0 < FLUSH_S < 0.25


async def test_close_writes_what_waits(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = record()
        await log.begin(kept)
        for event in answered("a b c")[:-1]:
            log.note(kept.run_id, event)
    await log.close()
    async with opened(tmp_path) as log:
        found = await log.get(kept.run_id)
    assert found is not None
    assert found.state().text == "a b c"
    assert found.state().phase == "interrupted"


async def test_text_that_is_no_unicode_is_kept_exactly(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = record()
        halves: list[AnyEvent] = [
            AttemptStarted(0.0, 1),
            ContentDelta(0.1, "a\ud83d"),
            ContentDelta(0.2, "\ude00\0b"),
            Completed(0.3),
        ]
        await keep(log, kept, halves)
        found = await log.get(kept.run_id)
        row = (await log.page(EVERYTHING))[0]
    assert found is not None
    assert found.state().text == "a\ud83d\ude00\0b"
    assert row.answer == "a😀\ufffdb"


async def test_raw_events_beyond_the_cap_are_left_out_and_said_so(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = record()
        big = RawEvent(0.1, "x" * (RAW_CAP_CHARS // 4))
        events: list[AnyEvent] = [AttemptStarted(0.0, 1), *[big] * 6, ContentDelta(0.2, "still here"), Completed(0.3)]
        await keep(log, kept, events)
        found = await log.get(kept.run_id)
    assert found is not None
    assert found.dropped_raw
    assert sum(isinstance(event, RawEvent) for event in found.events) == 4
    assert found.state().text == "still here"


async def test_shared_parts_are_kept_once_and_go_with_their_last_run(tmp_path: Path) -> None:
    system = "".join(chr(0x4E00 + place * 7 % 20000) for place in range(60_000))

    async with opened(tmp_path) as log:
        kept = [record(body=body_of(f"Question {n}", system), minute=n) for n in range(20)]
        for one in kept:
            await keep(log, one, answered(f"answer {one.run_id}"))
        await log.delete([one.run_id for one in kept[1:]])
        left = await log.get(kept[0].run_id)
        assert left is not None
        assert left.record.body == kept[0].body
        assert [row.run_id for row in await log.page(EVERYTHING)] == [kept[0].run_id]
        await log.delete([kept[0].run_id])
        assert await log.page(EVERYTHING) == []
    data = (tmp_path / "request-log.sqlite3").read_bytes()
    assert len(data) < 4 * len(system.encode())
    assert b'"content": "Question ' not in data


async def test_a_running_request_is_not_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as log, opened(tmp_path) as other:
        kept = record()
        await log.begin(kept)
        await log.delete([kept.run_id])
        await other.delete([kept.run_id])
        assert [row.phase for row in await log.page(EVERYTHING)] == ["waiting"]
        await log.finish(kept.run_id, fold(answered()))
        await log.delete([kept.run_id, "no such run"])
        assert await log.page(EVERYTHING) == []
        assert await log.get(kept.run_id) is None


async def test_what_was_sent_is_given_back_for_its_endpoint_and_model_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        old, first, second = (record(f"q{n}", minute=n) for n in range(3))
        elsewhere = record("q", minute=2, endpoint="other")
        for one in (old, first, second, elsewhere, record("q", minute=2, model="small")):
            await keep(log, one, answered())
        # The same endpoint under a new name is the same endpoint.
        renamed = replace(record("renamed", minute=3), endpoint_name="Renamed")
        await keep(log, renamed, stopped())
        rows = await log.sent_since("electron", "electron", first.started_utc)
    assert [row.run_id for row in rows] == [first.run_id, second.run_id, renamed.run_id]
    assert rows[0].body == first.body
    assert (rows[0].prompt_tokens, rows[0].cached_tokens) == (1204, 1152)
    assert (rows[2].prompt_tokens, rows[2].cached_tokens) == (None, None)


async def test_sent_since_accepted_includes_a_failed_request_whose_prompt_the_server_counted(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        done, failed, counted = (record(f"q{n}", minute=n) for n in range(3))
        await keep(log, done, answered())
        await keep(log, failed, refused(503))
        await keep(log, counted, [*answered()[:-1], *refused(503)])
        rows = await log.sent_since("electron", "electron", done.started_utc, accepted=True)
    assert [(row.run_id, row.prompt_tokens) for row in rows] == [(done.run_id, 1204), (counted.run_id, 1204)]


async def test_sent_since_model_with_a_lone_surrogate_finds_its_requests(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = record("q", model="m\ud83d")
        await keep(log, kept, answered())
        rows = await log.sent_since("electron", "m\ud83d", kept.started_utc)
    assert [row.run_id for row in rows] == [kept.run_id]


async def test_changes_are_told_on_the_loop_until_one_is_not_interested(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        told: list[str] = []
        unsubscribe = log.subscribe(told.append)
        kept = record()
        await keep(log, kept, answered())
        await log.mark([kept.run_id])
        await log.delete([kept.run_id])
        assert told == [kept.run_id] * len(told)
        assert len(told) >= 3
        unsubscribe()
        unsubscribe()
        before = len(told)
        await keep(log, record(), answered())
        assert len(told) == before


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
async def test_only_the_owner_may_read(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "data"
    async with opened(folder) as log:
        await keep(log, record(), answered())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files(folder)}
        assert set(modes.values()) == {0o600}, modes
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in files(folder)] == ["request-log.sqlite3"]


async def test_get_after_the_runs_block_is_indexed_returns_the_events_that_were_packed(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        records = [record(f"question {number}", minute=number) for number in range(RUNS)]
        await log.add([EndedRun(each, tuple(answered())) for each in records])
        writer = log._files.writer
        assert writer is not None

        def sizes() -> list[int]:
            found = writer.execute("SELECT length(data) FROM streams WHERE number < ?", (RUNS,))
            return [row[0] for row in found]

        plain = await log._write_worker.call(sizes)
        while await log._write_worker.call(log._seal_some):
            pass
        packed = await log._write_worker.call(sizes)
        assert max(packed) < min(plain) / 1.5
        for each in (records[0], records[-2]):
            stored = await log.get(each.run_id)
            assert stored is not None
            assert list(stored.events) == answered()


@pytest.mark.parametrize("is_ended", [True, False])
async def test_get_long_run_decodes_its_events_at_each_iteration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_ended: bool
) -> None:
    monkeypatch.setattr("playground.requestlog.rows._LONG_BYTES", 1_000)
    events: list[AnyEvent] = [AttemptStarted(0.0, 1)]
    for n in range(20_000):
        word = f"word{n * 7919 % 10_007} "
        events += [RawEvent(n / 100, f'{{"content":"{word}"}}'), ContentDelta(n / 100, word)]
    events.append(Completed(200.0))

    async with opened(tmp_path) as log:
        kept = record()
        await log.begin(kept)
        for first in range(0, len(events), 4_000):
            for event in events[first : first + 4_000]:
                log.note(kept.run_id, event)
            await log._write_worker.call(log._flush)
        if is_ended:
            await log.finish(kept.run_id, fold(events))
        tracemalloc.start()
        try:
            stored = await log.get(kept.run_id)
            assert stored is not None
            answer = stored.state().text
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert answer == fold(events).text
        assert type(stored.events) is StoredEvents
        assert most < 6_000_000  # the events alone are 9 MB
        assert stored.events == tuple(events)
        assert stored.events != (*events[:-1], events[0])
        assert len(stored.events) == len(events)
        assert [stored.events[at] for at in (0, 7, -1, -2)] == [events[at] for at in (0, 7, -1, -2)]
        for place in (slice(3, 9), slice(-3, None), slice(9, 3, -2), slice(5, 5)):
            assert stored.events[place] == tuple(events[place])
        with pytest.raises(IndexError):
            stored.events[len(events)]


async def test_get_long_run_that_is_damaged_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.requestlog.rows._LONG_BYTES", 100)

    async with opened(tmp_path) as log:
        notices: list[str] = []
        log.on_notice(notices.append)
        kept = record()
        await keep(log, kept, answered("word " * 500))
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
            connection.execute("UPDATE streams SET data = substr(data, 1, length(data) - 60) || zeroblob(60)")
        stored = await log.get(kept.run_id)
        assert stored is not None
        assert (stored.state().phase, stored.state().text) == ("done", "word " * 500)
        assert stored.record.body == kept.body
        assert kept.run_id in "".join(notices)
