"""The idle timeout of a stream: exact, limited to waits, and without effect on other cancellations."""

from __future__ import annotations

import asyncio

import pytest

from playground.client.exchange import SilenceLimit
from tests.virtual_time import run_in_virtual_time

LIMIT_S = 0.03


async def _silent(limit_s: float) -> None:
    with SilenceLimit() as silence:
        silence.begins(limit_s)
        await asyncio.Event().wait()


def test_a_wait_that_is_too_long_is_a_timeout_and_the_task_goes_on() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await _silent(LIMIT_S)
        await asyncio.sleep(0)  # a cancellation that was left over would come here
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == pytest.approx(LIMIT_S)


def test_the_limit_is_for_each_wait_also_where_the_timer_saw_an_earlier_one() -> None:
    async def read() -> None:
        with SilenceLimit() as silence:
            for _ in range(30):
                silence.begins(LIMIT_S)
                await asyncio.sleep(LIMIT_S / 20)
                silence.ends()
            silence.begins(LIMIT_S)
            await asyncio.Event().wait()

    async def main() -> float:
        with pytest.raises(TimeoutError):
            await read()
        return asyncio.get_running_loop().time()

    assert run_in_virtual_time(main()) == pytest.approx(LIMIT_S * 2.5)


def test_what_is_done_between_two_waits_may_take_its_time() -> None:
    async def main() -> None:
        with SilenceLimit() as silence:
            silence.begins(LIMIT_S)
            silence.ends()
            await asyncio.sleep(LIMIT_S * 3)
            silence.begins(LIMIT_S)
            await asyncio.sleep(LIMIT_S / 2)
            silence.ends()

    run_in_virtual_time(main())


def test_the_wait_may_be_in_another_task_than_the_one_before() -> None:
    async def wait(silence: SilenceLimit, turns: int) -> None:
        silence.begins(LIMIT_S)
        for _ in range(turns):
            await asyncio.sleep(0)
        silence.ends()

    async def stall(silence: SilenceLimit) -> None:
        with silence:
            await asyncio.create_task(wait(silence, 3))
            silence.begins(LIMIT_S)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_in_virtual_time(stall(SilenceLimit()))


async def test_cancelling_from_outside_stays_cancelling() -> None:
    task = asyncio.create_task(_silent(60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_shorter_limit_counts_from_the_wait_that_it_is_for() -> None:
    async def main() -> None:
        with SilenceLimit() as silence:
            silence.begins(60)
            silence.ends()
            silence.begins(LIMIT_S)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_in_virtual_time(main())
