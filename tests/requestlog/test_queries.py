"""Filters, pages, counts and sums over a real file."""

from __future__ import annotations

import asyncio
import gc
import random
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.events import AnyEvent, AttemptStarted, ToolCallDelta, Usage
from playground.requestlog.filter import EVERYTHING, LogFilter, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import Count, EndedRun
from playground.runs.state import fold
from tests.requestlog.samples import START, answered, body_of, called, keep, opened, record, refused, stopped

NOW = START + timedelta(hours=1)
DEVANAGARI, ARABIC, HAN = "मेरी किताब कहाँ है", "أين كتابي الجديد", "我的预约在哪里"


def filter_of(text: str) -> LogFilter:
    return parse(text, NOW)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log")

    async def fill() -> None:
        async with opened(path) as log:
            await keep(log, record("done", minute=0), answered())
            await keep(
                log, record("cold", minute=1), answered("Cold answer", "aaaa1111-x", Usage(500, 10, 510, 0), "length")
            )
            await keep(log, record("silent", minute=2), answered("No usage", "bbbb2222-x", None))
            await keep(log, record("refused", minute=3), refused())
            await keep(log, record("stopped", minute=4), stopped())
            await keep(log, record("called", minute=5, kind="simulator", endpoint="sim"), called())
            await keep(
                log, record(DEVANAGARI, minute=6, model="small"), answered("और", "dddd3333-x", Usage(9, 1, 10, None))
            )
            await keep(log, record(ARABIC, minute=7), answered("هنا", "eeee4444-x", None))
            await keep(log, record(HAN, minute=8), answered("100% 明天 😀", "chatcmpl-x_y", None))
            marked = record("marked", minute=9)
            await keep(log, marked, answered("x", "ffff5555-x", None))
            await log.mark([marked.run_id])

    asyncio.run(fill())
    return path


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("", "9876543210"),
        ("status:429", "3"),
        ("status:4xx,200 -is:done", "43"),
        ("-status:200", "3"),
        ("finish:LENGTH", "1"),
        ("finish:none", "43"),
        ("cached:0", "1"),
        ("cached:>100", "0"),
        ("cached:unknown is:done", "987652"),
        ("-cached:0 in:>1", "60"),
        ("tokens:>1000", "0"),
        ("out:<11 in:9", "6"),
        ("id:aaaa", "1"),
        ("id:MPL-X_Y", "8"),
        ("id:chatcmpl-9db74058", "0"),
        ("id:aaaa id:bbbb", "21"),
        ("endpoint:sim", "5"),
        ("-endpoint:electron", "5"),
        ("model:small", "6"),
        ("since:52m", "98"),
        ("since:2026-11-23T14:10:11+00:00", "98"),
        ("-since:52m is:failed", "3"),
        ("is:failed is:stopped", "43"),
        ("is:simulated", "5"),
        ("is:marked", "9"),
        ("is:running", ""),
        ("is:marked is:failed", ""),
        ("answer", "1"),
        ("answ", "1"),
        ('"answ"', "1"),
        ('"d answ"', "1"),
        ('"d  answ"', ""),
        ('"100% 明"', "8"),
        ('"done."', ""),
        ('"answer cold"', ""),
        ('"Cold ANSWER"', "1"),
        ("too requests", "3"),
        ("nine -done", "4"),
        ("-nine -answer", "9876532"),
        ("किताब", "6"),
        ("किता", "6"),
        ('"किता"', "6"),
        ("كتابي", "7"),
        ("预约", "8"),
        ("明天 status:200", "8"),
        ("-预约 since:52m", "9"),
        ("100%", "8"),
        ("😀", "8"),
        ("%", "8"),
        ("AND OR NOT", ""),
        ("NEAR( status:200", ""),
        ('"quote*', None),
    ],
)  # fmt: skip
async def test_filter_finds(folder: Path, text: str, minutes: str | None) -> None:
    if minutes is None:
        with pytest.raises(ValueError, match="not closed"):
            filter_of(text)
        return
    async with opened(folder) as log:
        wanted = filter_of(text)
        rows = await log.page(wanted)
        assert "".join(str((row.started_utc - START) // timedelta(minutes=1)) for row in rows) == minutes
        assert await log.count(wanted) == Count(len(rows), True)
        assert await log.rows_at(wanted, 0) == rows
        assert (await log.totals(wanted)).requests == len(rows)


async def test_hit_rate_is_weighted_by_tokens_over_rows_that_report_both(folder: Path) -> None:
    async with opened(folder) as log:
        totals = await log.totals(EVERYTHING)
        assert (totals.prompt_tokens, totals.cached_tokens, totals.compared) == (1713, 1152, 2)
        assert totals.hit_rate == 1152 / 1704
        unknown = await log.totals(filter_of("cached:unknown"))
        assert unknown.hit_rate is None
        assert unknown.cached_tokens is None


async def test_find_takes_any_part_of_any_attempts_id(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = record()
        second = [AttemptStarted(0.3, 2), *answered(request_id="second-id")[1:]]
        await keep(log, kept, [*refused(request_id="first-id"), *second])
        await keep(log, record(), answered())
        for part in ("first-id", "rst-i", "second-id", "chatcmpl-second-i"):
            assert [row.run_id for row in await log.find(part)] == [kept.run_id]
        assert await log.find("") == []


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_ids_are_found_with_and_without_hyphens_and_run_ids_by_their_start(
    tmp_path: Path, is_indexed: bool
) -> None:
    async with opened(tmp_path) as log:
        await log.recovered()
        request_id = "5a0c4d3e-1111-4222-8333-0123456789ab"
        wanted = record("wanted")
        await keep(log, wanted, answered("a", request_id))
        for number in range(40):
            await keep(log, record(f"q{number}"), answered("b", f"{number:08x}-1111-4222-8333-0123456789ab"))
        while is_indexed and await log._write_worker.call(log._seal_some) > 0:
            pass
        run_id, digits = wanted.run_id, request_id.replace("-", "")
        with_hyphens = str(uuid.UUID(run_id))
        for text in (
            *(request_id, digits, digits.upper(), digits[:8], digits[:9], digits[:21], request_id[:9]),
            *(run_id, with_hyphens, with_hyphens.upper(), run_id[:8], run_id[:9], run_id[:20], with_hyphens[:20]),
        ):
            for written in (text, f"id:{text}", f"wanted {text}"):
                found = await log.page(parse(written, NOW))
                assert (written, [row.run_id for row in found]) == (written, [run_id])
        assert await log.page(parse(f"-{run_id[:10]} wanted", NOW)) == []
        assert await log.page(parse(f"q1 {run_id[:10]}", NOW)) == []


async def test_pages_and_jumps_over_5000_rows(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = [record(f"q{n}", body=body_of(f"q{n}")) for n in range(5000)]
        await asyncio.gather(*(log.begin(one) for one in kept))
        wanted = [one.run_id for one in reversed(kept)]
        walked: list[str] = []
        before: int | None = None
        while rows := await log.page(EVERYTHING, before, 500):
            walked += [row.run_id for row in rows]
            before = rows[-1].number
        assert walked == wanted
        for first in (0, 1, 2500, 4990):
            rows = await log.rows_at(EVERYTHING, first, 128)
            assert [row.run_id for row in rows] == wanted[first : first + 128]
        assert await log.rows_at(EVERYTHING, 5000) == []
        assert await log.count(EVERYTHING) == Count(5000, True)
        assert await log.count(filter_of("is:running"), 100) == Count(100, False)
        assert await log.count(filter_of("is:running"), None) == Count(5000, True)


async def test_a_jumping_table_sees_what_is_new_changed_and_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as log, opened(tmp_path) as other:
        running = filter_of("is:running")

        async def ids(log_filter: LogFilter) -> list[str]:
            return [row.run_id for row in await log.rows_at(log_filter, 0)]

        first, second, third = record(), record(), record()
        await log.begin(first)
        await log.begin(second)
        assert await ids(EVERYTHING) == [second.run_id, first.run_id]
        await other.begin(third)
        assert await ids(EVERYTHING) == [third.run_id, second.run_id, first.run_id]
        assert await ids(running) == [third.run_id, second.run_id, first.run_id]
        await keep_ended(log, second.run_id)
        assert await ids(running) == [third.run_id, first.run_id]
        assert await ids(EVERYTHING) == [third.run_id, second.run_id, first.run_id]
        await other.delete([second.run_id])
        assert await ids(EVERYTHING) == [third.run_id, first.run_id]


async def keep_ended(log: RequestLog, run_id: str) -> None:
    log.note(run_id, AttemptStarted(0.0, 1))
    await log.finish(run_id, fold(stopped()))


@pytest.mark.parametrize("text", ["Monday", "book_visit", "किताब"])
async def test_text_in_the_arguments_of_a_called_tool_is_found(tmp_path: Path, text: str) -> None:
    async with opened(tmp_path) as log:
        events = called()
        escaped = ToolCallDelta(0.45, 1, "call_2", "note", '{"text": "\\u0915\\u093f\\u0924\\u093e\\u092c"}')
        await keep(log, record("with tools", minute=0), [*events[:4], escaped, *events[4:]])
        await keep(log, record("without", minute=1), answered())
        assert [row.question for row in await log.page(filter_of(text))] == ["with tools"]


async def test_statements_of_rows_that_were_read_once_are_not_kept(tmp_path: Path) -> None:
    """Their SQL has the numbers of rows in it: each display of the log after a request is a new one."""

    def statements() -> int:
        gc.collect()
        return sum(type(each).__name__ == "Statement" for each in gc.get_objects())

    async with opened(tmp_path) as log:
        await log.add([EndedRun(record(f"q{number}"), tuple(answered())) for number in range(100)])
        before = statements()
        for first in range(100):
            numbers = list(range(first + 1, 101))
            assert len(await log.request_ids(numbers)) == len(numbers)
            assert await log.explanations(numbers) == {}
        # Two connections read: one for pages, one for the rest.
        assert statements() - before <= 2 * 24


@pytest.mark.parametrize(
    ("many", "minutes"),
    [
        (" ".join(str(uuid.UUID(int=n)) for n in range(1, 1_001)), ""),
        (" ".join(f"id:none{n}-x" for n in range(1_000)) + " id:aaaa1111-x", "1"),
        (f"status:{','.join(map(str, range(430, 1_031)))},429", "3"),
        (" ".join(f"-status:{n}" for n in range(430, 1_530)) + " -status:200", "3"),
        (" ".join(["answer"] * 1_001), "1"),
    ],
)
async def test_filter_of_thousands_of_terms_finds_the_same_as_of_one(folder: Path, many: str, minutes: str) -> None:
    async with opened(folder) as log:
        chosen = filter_of(many)
        found = await log.page(chosen)
        assert "".join(str((row.started_utc - START) // timedelta(minutes=1)) for row in found) == minutes
        assert await log.count(chosen, None) == Count(len(minutes), True)


async def test_filter_of_many_ids_finds_each_as_alone_also_when_it_comes_later(tmp_path: Path) -> None:
    """An id of a body, of an earlier attempt, within a longer id, with other hyphens, in other case, and a run id."""

    async with opened(tmp_path) as log:
        ids = [str(uuid.UUID(int=n << 96 | n)) for n in range(1, 8)]
        second = [AttemptStarted(0.3, 2), *answered(request_id="second")[1:]]
        kept = [record(minute=minute) for minute in range(6)]
        await keep(log, kept[0], [*refused(request_id=ids[0]), *second])
        await keep(log, kept[1], answered(request_id=f"zone_{ids[1]}_3"))
        await keep(log, kept[2], answered(request_id=ids[2]))
        await keep(log, kept[3], answered(request_id=ids[3].replace("-", "")))
        await keep(log, kept[4], answered(request_id="req_0123456-x"))
        await keep(log, kept[5], answered(request_id="unknown"))
        others = [str(uuid.UUID(int=n)) for n in range(2**64, 2**64 + 40)]
        asked = [ids[0], ids[1], ids[2].replace("-", "").upper(), ids[3], "req_0123456-x", kept[5].run_id]
        assert all([len(await log.page(filter_of(f"id:{one}"))) == 1 for one in asked])
        running = record(minute=6)
        await log.begin(running)
        many = filter_of(" ".join([*asked, ids[5], ids[6], *others]))
        assert [row.run_id for row in await log.page(many)] == [one.run_id for one in reversed(kept)]
        later = answered(request_id=ids[5])
        for event in later:
            log.note(running.run_id, event)
        await log.finish(running.run_id, fold(later))
        newest = record(minute=7)
        await keep(log, newest, answered(request_id=ids[6]))
        await log.delete([kept[2].run_id])
        left = [one.run_id for one in (newest, running, *reversed(kept)) if one is not kept[2]]
        assert [row.run_id for row in await log.page(many)] == left
        assert await log.count(many, None) == Count(7, True)
        assert await log.page(filter_of(" ".join(f"-id:{one}" for one in (*asked, ids[5], ids[6], *others)))) == []


async def test_filter_of_thousands_of_unknown_beginnings_of_ids_is_one_comparison(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        rng = random.Random(1)
        ids = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(600)]
        await log.add([EndedRun(record(one), tuple(answered(request_id=one))) for one in ids])
        listed = filter_of(f"id:{','.join([one[:8] for one in ids[:50]] + [f'{n:08x}' for n in range(1_000)])}")
        statements = list[str]()
        log._files.reader.set_trace_callback(statements.append)
        assert {row.request_id for row in await log.page(listed)} == set(ids[:50])
        assert len(statements) < 1_050 + 20  # one lookup of each id
        assert max(map(len, statements)) < 10_000  # no comparison has all of them
        within = filter_of(f"id:{','.join([ids[3][5:12], ids[4][-6:], *(f'nothing-{n}' for n in range(30))])}")
        assert {row.request_id for row in await log.page(within)} == {ids[3], ids[4]}


async def test_filter_of_thousands_of_unknown_ids_is_one_comparison(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        numbers = range(100)
        await log.add([EndedRun(record(f"q{n}"), tuple(answered(request_id=str(uuid.UUID(int=n))))) for n in numbers])
        listed = filter_of(" ".join(str(uuid.UUID(int=n)) for n in (*numbers, *range(2**64, 2**64 + 3_000))))
        statements = list[str]()
        log._files.reader.set_trace_callback(statements.append)
        assert len(await log.page(listed)) == 100
        assert len(statements) < 2 * 3_100 + 20
        assert max(map(len, statements)) < 10_000


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("status:429", "210"),
        ("status:503", "1"),
        ("status:4xx", "210"),
        ("status:>=500", "1"),
        ("status:401", ""),
        ("status:429,503", "210"),
        ("-status:429", "3"),
        ("status:429 is:done", "10"),
        ("status:429 is:failed", "2"),
        ("status:200", "310"),
        ("status:429 question", "210"),
    ],
)
async def test_status_finds_each_request_of_which_an_attempt_had_it(tmp_path: Path, text: str, minutes: str) -> None:
    def later(number: int, status: int = 0) -> list[AnyEvent]:
        made = refused(status) if status else answered()
        return [AttemptStarted(0.5 * number, number), *(replace(one, at=one.at + 0.5 * number) for one in made[1:])]

    async with opened(tmp_path) as log:
        await keep(log, record("question 0", minute=0), [*refused(429), *later(2)])
        await keep(log, record("question 1", minute=1), [*refused(503), *later(2, 429), *later(3)])
        await keep(log, record("question 2", minute=2), refused(429))
        await keep(log, record("question 3", minute=3), answered())
        wanted = filter_of(text)
        rows = await log.page(wanted)
        assert "".join(str((row.started_utc - START) // timedelta(minutes=1)) for row in rows) == minutes
        assert await log.count(wanted) == Count(len(rows), True)
        assert await log.rows_at(wanted, 0) == rows


async def test_follow_writes_calls_back_after_a_write_of_another_process_and_not_without(tmp_path: Path) -> None:
    log, other = await RequestLog.open(tmp_path), await RequestLog.open(tmp_path)
    calls: list[int] = []
    written = asyncio.Event()

    def note() -> None:
        calls.append(len(calls))
        written.set()

    log.follow_writes(0.0, note)
    await written.wait()  # the first look
    looks = [await log.page(EVERYTHING) for _ in range(20)]  # a look of the same thread follows each
    assert len(calls) == 1, "reading is no write"
    written.clear()
    await keep(other, record("of another process", minute=0), answered())
    await written.wait()
    assert not any(looks)
    assert [row.question for row in await log.page(EVERYTHING)] == ["of another process"]
    await other.close()
    await log.close()
