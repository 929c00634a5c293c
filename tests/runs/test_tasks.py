"""The task helper: reported exceptions, and no tasks left running."""

from __future__ import annotations

import asyncio
import gc

import pytest

from playground.tasks import Tasks


async def test_a_task_runs_under_its_name_and_keeps_living_without_a_reference() -> None:
    tasks, go = Tasks(_unexpected), asyncio.Event()
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await go.wait()
        current = asyncio.current_task()
        seen.set_result(current.get_name() if current else "")

    tasks.start(work(), "keep the draft")
    await asyncio.sleep(0)
    gc.collect()
    go.set()
    name = await seen
    await tasks.close()
    assert name == "keep the draft"


async def test_an_error_is_reported_with_the_tasks_name_and_the_others_go_on() -> None:
    reported: list[tuple[str, BaseException]] = []
    tasks = Tasks(lambda name, error: reported.append((name, error)))
    boom = tasks.start(_raise(ValueError("no")), "boom")
    await asyncio.wait([boom])
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    tasks.start(_answer(answer), "other")
    text = await answer
    await tasks.close()
    assert [(name, str(error)) for name, error in reported] == [("boom", "no")]
    assert text == "here"


async def test_close_cancels_waits_for_the_clean_up_and_reports_no_cancellation() -> None:
    steps: list[str] = []
    tasks = Tasks(_unexpected)

    async def work() -> None:
        try:
            steps.append("begun")
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    tasks.start(work(), "work")
    await asyncio.sleep(0)
    await tasks.close()
    assert steps == ["begun", "cleaned up"]


async def test_an_error_while_cleaning_up_is_reported_too() -> None:
    reported: list[str] = []
    tasks = Tasks(lambda name, error: reported.append(f"{name}: {error}"))

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("disk full")

    tasks.start(work(), "save")
    await asyncio.sleep(0)
    await tasks.close()
    assert reported == ["save: disk full"]


async def test_close_also_ends_what_a_task_starts_while_it_ends() -> None:
    tasks = Tasks(_unexpected)

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            tasks.start(asyncio.Event().wait(), "late")  # type: ignore[arg-type]

    tasks.start(stubborn(), "stubborn")
    await asyncio.sleep(0)
    await tasks.close()
    assert len(asyncio.all_tasks()) == 1


async def test_a_task_of_the_session_can_close_the_session() -> None:
    tasks = Tasks(_unexpected)
    other = tasks.start(_forever(), "other")
    closing = tasks.start(tasks.close(), "close")
    await asyncio.wait([closing])
    assert other.cancelled()
    assert not closing.cancelled()


def test_without_a_loop_nothing_is_left_unawaited() -> None:
    coroutine = _forever()
    with pytest.raises(RuntimeError):
        Tasks(_unexpected).start(coroutine, "too early")
    # A coroutine that was only dropped would warn here, and warnings are errors.
    del coroutine
    gc.collect()


def _unexpected(name: str, error: BaseException) -> None:
    raise AssertionError(f"{name}: {error!r}")


async def _raise(error: Exception) -> None:
    raise error


async def _answer(future: asyncio.Future[str]) -> None:
    future.set_result("here")


async def _forever() -> None:
    await asyncio.Event().wait()


async def test_close_task_ended_in_the_same_loop_turn_returns() -> None:
    """On Python 3.12 and later, waiting with `asyncio.gather` never gave the loop a turn."""
    reported: list[str] = []
    tasks = Tasks(lambda name, _error: reported.append(name))
    seen: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        seen.set_result(None)
        raise ValueError("ends at once")

    tasks.start(work(), "work")
    await seen
    await asyncio.wait_for(tasks.close(), 10)
    assert reported == ["work"]


async def test_cancel_in_the_turn_of_the_start_runs_the_cleanup() -> None:
    steps: list[str] = []

    async def work() -> None:
        steps.append("begun")
        try:
            await asyncio.sleep(60)
            steps.append("went on")
        finally:
            steps.append("cleaned up")

    tasks = Tasks(lambda _name, error: steps.append(repr(error)))
    task = tasks.start(work(), "work")
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert steps == ["begun", "cleaned up"]
    await tasks.close()
