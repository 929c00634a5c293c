"""Order of the list by each column, over a real file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path

import pytest

from playground.requestlog import candidates, ordered
from playground.requestlog.filter import LogFilter, Order, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.ordered import NEAR, ORDERS
from playground.requestlog.reader import Reader
from playground.requestlog.store import FILE_NAME, connect_reader
from playground.ui.panes.log.columns import COLUMNS
from tests.requestlog.samples import answered, keep, record
from tests.requestlog.test_queries import NOW, folder, opened

__all__ = ["folder"]


def test_every_column_has_an_order() -> None:
    assert [column.title for column in COLUMNS if column.title not in ORDERS] == []


@pytest.mark.parametrize("key", list(ORDERS))
@pytest.mark.parametrize("descending", [True, False])
def test_rows_at_returns_every_match_once_in_every_order(folder: Path, key: str, descending: bool) -> None:
    async def work() -> None:
        async with opened(folder) as log:
            chosen = LogFilter(order=Order(key, descending))
            rows = await log.rows_at(chosen, 0, 50)
            assert sorted(row.number for row in rows) == list(range(1, 11))
            numbers = await log.numbers(chosen)
            assert [row.number for row in rows] == list(reversed(numbers))
            # With the numbers in memory, and without them.
            assert await log.rows_at(chosen, 3, 4) == rows[3:7]
            assert await log.place_of(rows[4].run_id, chosen) == 4

    asyncio.run(work())


@pytest.mark.parametrize(
    ("key", "descending", "values"),
    [
        ("cached", True, [1152, 0, None]),
        ("cached", False, [0, 1152, None]),
        ("in", False, [9, 500, 1240]),
    ],
)
def test_rows_without_a_value_are_last_in_both_directions(
    folder: Path, key: str, descending: bool, values: list[int | None]
) -> None:
    async def work() -> None:
        async with opened(folder) as log:
            rows = await log.rows_at(LogFilter(order=Order(key, descending)), 0, 50)
            found = [row.cached_tokens if key == "cached" else row.prompt_tokens for row in rows]
            known = [value for value in found if value is not None]
            assert found == known + [None] * (len(found) - len(known))
            assert known == sorted(known, reverse=descending)

    asyncio.run(work())


def test_an_order_applies_to_the_matches_of_a_filter_and_to_later_requests(tmp_path: Path) -> None:
    async def work() -> None:
        async with opened(tmp_path) as log:
            for number in range(6):
                await keep(log, record(f"q{number}", minute=number), answered(f"answer {5 - number}"))
            chosen = LogFilter(parse("answer", NOW).terms, order=Order("answer", descending=False))
            assert [row.answer for row in await log.rows_at(chosen, 0, 3)] == ["answer 0", "answer 1", "answer 2"]
            await log.numbers(chosen)
            await keep(log, record("late", minute=9), answered("answer 00"))
            assert [row.answer for row in await log.rows_at(chosen, 0, 2)] == ["answer 0", "answer 00"]
            assert (await log.count(chosen, None)).n == 7

    asyncio.run(work())


def test_rows_far_from_the_start_are_in_order(tmp_path: Path) -> None:
    async def work(log: RequestLog) -> None:
        many = NEAR + 40
        for number in range(many):
            await log.begin(record(f"{number:06}", minute=0))
        chosen = LogFilter(order=Order("question", descending=True))
        rows = await log.rows_at(chosen, NEAR, 40)
        assert [row.question for row in rows] == [f"{number:06}" for number in range(39, -1, -1)]

    async def opened_work() -> None:
        async with opened(tmp_path) as log:
            await work(log)

    asyncio.run(opened_work())


@pytest.mark.parametrize("text", ["", "question", "-status:429"])
def test_first_in_order_in_windows_of_two_requests_equals_the_whole_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    for name, value in {"_FIRST_ROWS": 2, "_MOST_ROWS": 2, "_LATE_S": 99, "_FIRST_BLOCKS": 1, "_LISTED": 2}.items():
        monkeypatch.setattr(candidates, name, value)
    monkeypatch.setattr(ordered, "NEAR", 4)
    monkeypatch.setattr(ordered, "STEP_S", 0.0)
    monkeypatch.setattr(ordered, "_INDEXED", ())
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


def test_expression_of_many_targets_orders_as_the_names_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect_reader(folder / FILE_NAME)) as connection:
        for key in ("model", "endpoint", "cost"):
            chosen = LogFilter(order=Order(key))
            few = Reader(connection).numbers(chosen)
            with monkeypatch.context() as patch:
                patch.setattr(ordered, "_TARGETS", 0)
                assert ordered.expression(connection, key) == ORDERS[key]
                assert Reader(connection).numbers(chosen) == few


def test_rows_at_in_an_order_answers_other_queries_between_steps_and_stops(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordered, "STEP_S", 0.0)
    monkeypatch.setattr(candidates, "_FIRST_ROWS", 1)
    monkeypatch.setattr(candidates, "_MOST_ROWS", 1)
    monkeypatch.setattr(candidates, "_LATE_S", 99)

    async def work() -> None:
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

    asyncio.run(work())
