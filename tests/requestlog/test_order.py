"""Order of the list by each column, over a real file."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Rates
from playground.client.events import Usage
from playground.requestlog import ordered
from playground.requestlog.filter import LogFilter, Order, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.ordered import NEAR, ORDERS
from playground.requestlog.reader import Reader
from playground.requestlog.records import EndedRun
from playground.requestlog.store import FILE_NAME, connect_reader
from playground.ui.panes.log.columns import COLUMNS
from tests.requestlog.samples import answered, keep, opened, record, refused
from tests.requestlog.test_queries import NOW, folder

__all__ = ["folder"]


def test_every_column_has_an_order() -> None:
    assert [column.title for column in COLUMNS if column.title not in ORDERS] == []


@pytest.mark.parametrize("key", list(ORDERS))
@pytest.mark.parametrize("descending", [True, False])
async def test_rows_at_returns_every_match_once_in_every_order(folder: Path, key: str, descending: bool) -> None:
    async with opened(folder) as log:
        chosen = LogFilter(order=Order(key, descending))
        rows = await log.rows_at(chosen, 0, 50)
        assert sorted(row.number for row in rows) == list(range(1, 11))
        numbers = await log.numbers(chosen)
        assert [row.number for row in rows] == list(reversed(numbers))
        # With the numbers in memory, and without them.
        assert await log.rows_at(chosen, 3, 4) == rows[3:7]
        assert await log.place_of(rows[4].run_id, chosen) == 4


@pytest.mark.parametrize(
    ("key", "descending", "values"),
    [
        ("cached", True, [1152, 0, None]),
        ("cached", False, [0, 1152, None]),
        ("in", False, [9, 500, 1240]),
    ],
)
async def test_rows_without_a_value_are_last_in_both_directions(
    folder: Path, key: str, descending: bool, values: list[int | None]
) -> None:
    async with opened(folder) as log:
        rows = await log.rows_at(LogFilter(order=Order(key, descending)), 0, 50)
        found = [row.cached_tokens if key == "cached" else row.prompt_tokens for row in rows]
        known = [value for value in found if value is not None]
        assert found == known + [None] * (len(found) - len(known))
        assert known == sorted(known, reverse=descending)


async def test_an_order_applies_to_the_matches_of_a_filter_and_to_later_requests(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        for number in range(6):
            await keep(log, record(f"q{number}", minute=number), answered(f"answer {5 - number}"))
        chosen = LogFilter(parse("answer", NOW).terms, order=Order("answer", descending=False))
        assert [row.answer for row in await log.rows_at(chosen, 0, 3)] == ["answer 0", "answer 1", "answer 2"]
        await log.numbers(chosen)
        await keep(log, record("late", minute=9), answered("answer 00"))
        assert [row.answer for row in await log.rows_at(chosen, 0, 2)] == ["answer 0", "answer 00"]
        assert (await log.count(chosen, None)).n == 7


async def test_rows_far_from_the_start_are_in_order(tmp_path: Path) -> None:
    async def work(log: RequestLog) -> None:
        many = NEAR + 40
        for number in range(many):
            await log.begin(record(f"{number:06}", minute=0))
        chosen = LogFilter(order=Order("question", descending=True))
        rows = await log.rows_at(chosen, NEAR, 40)
        assert [row.question for row in rows] == [f"{number:06}" for number in range(39, -1, -1)]

    async with opened(tmp_path) as log:
        await work(log)


@pytest.mark.parametrize("bounds_from", [0, 1_000])
@pytest.mark.parametrize("text", ["", "question", "-status:429"])
def test_first_in_order_in_windows_of_two_requests_equals_the_whole_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, bounds_from: int
) -> None:
    for name, value in {"_FIRST_ROWS": 2, "_MOST_ROWS": 2, "_LATE_S": 99, "_FIRST_BLOCKS": 1, "_LISTED": 2}.items():
        monkeypatch.setattr(ordered, name, value)
    monkeypatch.setattr(ordered, "NEAR", 4)
    monkeypatch.setattr(ordered, "STEP_S", 0.0)
    monkeypatch.setattr(ordered, "_INDEXED", ())
    monkeypatch.setattr(ordered, "_ROWS_AT_ONCE", 2)
    monkeypatch.setattr(ordered, "BOUNDS_FROM", bounds_from)
    with closing(connect_reader(folder / FILE_NAME)) as connection:
        reader = Reader(connection)
        for key in ORDERS:
            for descending in (True, False):
                chosen = LogFilter(parse(text, NOW).terms, order=Order(key, descending))
                assert chosen.order is not None
                steps = list(reader.first_in_order(chosen, chosen.order, 0, 4))
                rows = steps[-1]
                assert rows is not None
                assert len(steps) > 3
                assert [row.number for row in rows] == list(reversed(reader.numbers(chosen)))[:4]


WORDS = (
    "Ab",
    "aB",
    "ab",
    "",
    "zz",
    "É",
    "é",
    "预约",
    "\U0001f600",
    "a" * 31,
    "a" * 32,
    "A" * 33,
    "a" * 40,
    "a" * 39 + "B",
)


def _some_run(chance: random.Random) -> EndedRun:
    kept = record(chance.choice(WORDS) + chance.choice(WORDS), minute=chance.randrange(50))
    if chance.random() < 0.2:
        kept = replace(kept, rates=Rates(None, None))
    used = chance.choice((None, Usage(100, 5, 105, None), Usage(chance.randrange(9), 5, 9, 0), Usage(90, 5, 95, 60)))
    events = refused() if chance.random() < 0.1 else answered(chance.choice(WORDS) + chance.choice(WORDS), usage=used)
    return EndedRun(kept, tuple(events))


async def _log_of_random_runs(folder: Path, chance: random.Random) -> None:
    async with opened(folder) as log:
        await log.recovered()
        ids = (await log.add([_some_run(chance) for _ in range(700)])).new
        while await log._write_worker.call(log._seal_some):
            pass
        # Blocks that are empty, indexed again, and open.
        await log.delete([*ids[64:128], *chance.sample(ids, 40), *ids[300:320]])
        while await log._write_worker.call(log._seal_some):
            pass
        await log.set_comment(ids[200], "another block without bounds")
        await log.add([_some_run(chance) for _ in range(40)])


def _assert_orders_by_bounds_are_right(folder: Path) -> None:
    with closing(connect_reader(folder / FILE_NAME)) as connection:
        reader = Reader(connection)
        for key in ("question", "answer", "cost", "TTFT", "total"):
            for descending in (True, False):
                for text in ("", "-status:429"):
                    chosen = LogFilter(parse(text, NOW).terms, order=Order(key, descending))
                    assert chosen.order is not None
                    for count in (ordered.NEAR_BY_BOUNDS, ordered.NEAR):
                        *_, rows = reader.first_in_order(chosen, chosen.order, 0, count)
                        assert rows is not None
                        numbers = list(reversed(reader.numbers(chosen)))[:count]
                        assert (key, descending, text, [row.number for row in rows]) == (key, descending, text, numbers)


@pytest.mark.parametrize(("near", "seed"), [(3, 0), (40, 1), (2_000, 2)])
async def test_first_in_order_by_the_bounds_of_blocks_equals_the_whole_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, near: int
) -> None:
    monkeypatch.setattr(ordered, "NEAR", near)
    monkeypatch.setattr(ordered, "NEAR_BY_BOUNDS", min(near, 7))
    monkeypatch.setattr(ordered, "BOUNDS_FROM", 0)
    monkeypatch.setattr(ordered, "_BLOCKS_AT_ONCE", 2)
    await _log_of_random_runs(tmp_path, random.Random(seed))
    with closing(connect_reader(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM block_bounds").fetchone()[0] > 15
    _assert_orders_by_bounds_are_right(tmp_path)


async def test_opening_a_file_without_bounds_of_blocks_adds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "NEAR", 20)
    monkeypatch.setattr(ordered, "NEAR_BY_BOUNDS", 5)
    monkeypatch.setattr(ordered, "BOUNDS_FROM", 0)
    await _log_of_random_runs(tmp_path, random.Random(8))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        before = connection.execute("SELECT * FROM block_bounds").fetchall()
        connection.execute("DROP TRIGGER search_blocks_deleted")
        connection.execute("DROP TABLE block_bounds")
    _assert_orders_by_bounds_are_right(tmp_path)  # read-only, or before they are added

    async with opened(tmp_path) as log:
        await log.recovered()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        after = connection.execute("SELECT * FROM block_bounds").fetchall()
    assert before == [row for row in after if row in before]
    _assert_orders_by_bounds_are_right(tmp_path)


async def test_bounds_of_a_block_that_an_earlier_version_deletes_from_are_removed(tmp_path: Path) -> None:
    await _log_of_random_runs(tmp_path, random.Random(9))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection, connection:
        # The statement with which every version removes a block from the text search.
        connection.execute("DELETE FROM search_blocks WHERE block = 5")
        assert connection.execute("SELECT count(*) FROM block_bounds WHERE block = 5").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM block_bounds WHERE block = 8").fetchone() == (1,)


def test_expression_of_many_targets_orders_as_the_names_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect_reader(folder / FILE_NAME)) as connection:
        for key in ("model", "endpoint", "cost"):
            chosen = LogFilter(order=Order(key))
            few = Reader(connection).numbers(chosen)
            with monkeypatch.context() as patch:
                patch.setattr(ordered, "_TARGETS", 0)
                assert ordered.expression(connection, key) == ORDERS[key]
                assert Reader(connection).numbers(chosen) == few


async def test_rows_at_in_an_order_answers_other_queries_between_steps_and_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "STEP_S", 0.0)
    monkeypatch.setattr(ordered, "_FIRST_ROWS", 1)
    monkeypatch.setattr(ordered, "_MOST_ROWS", 1)
    monkeypatch.setattr(ordered, "_LATE_S", 99)

    async with opened(folder) as log:
        ended: list[str] = []

        async def note(name: str, query: Awaitable[object]) -> object:
            found = await query
            ended.append(name)
            return found

        chosen = LogFilter(order=Order("question"))
        rows, _ = await asyncio.gather(note("rows", log.rows_at(chosen, 0)), note("size", log.size()))
        assert ended == ["size", "rows"]
        assert rows == await log.rows_at(chosen, 0)
        stopped = asyncio.ensure_future(log.rows_at(LogFilter(order=Order("answer")), 0))
        await asyncio.sleep(0)
        log.stop_counting()
        assert await stopped == []


def test_count_interrupted_at_any_instruction_leaves_the_numbers_of_other_filters_right(folder: Path) -> None:
    done, failed = parse("is:done", NOW), parse("is:failed", NOW)
    with closing(connect_reader(folder / FILE_NAME)) as connection:
        reader = Reader(connection)
        expected = reader.numbers(done)
        for instructions in range(1, 10_000):
            left = iter(range(instructions))
            connection.set_progress_handler(lambda left=left: next(left, None) is None, 1)  # type: ignore[misc]
            try:
                assert reader.count(failed, None).n == 1
                break
            except sqlite3.OperationalError:
                connection.set_progress_handler(None, 0)
                assert reader.numbers(done) == expected
        else:
            pytest.fail("the count never ended")
