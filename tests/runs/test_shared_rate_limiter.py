"""The gate: plan limits within one process and across several, on a real file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from playground.client.endpoint import Endpoint, PlanLimits
from playground.client.rate_limiter import Load, Wait
from playground.runs.shared_rate_limiter import SharedRateLimiter


def _endpoint(per_minute: int | None, in_flight: int | None) -> Endpoint:
    return Endpoint("e", "E", "http://127.0.0.1:1/v1", plan=PlanLimits("Test", per_minute, in_flight))


def _never(wait: Wait) -> None:
    raise AssertionError(wait)


def test_a_place_is_taken_and_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        gate, endpoint = SharedRateLimiter(tmp_path), _endpoint(10, 2)
        first = await gate.enter(endpoint, _never)
        await gate.enter(endpoint, _never)
        assert gate.load("e") == Load(2, 2)
        gate.leave(endpoint, first)
        assert gate.load("e") == Load(1, 2)
        await gate.enter(endpoint, lambda _wait: None)
        assert gate.load("e") == Load(2, 3)
        await gate.close()

    asyncio.run(story())


def test_first_come_first_served_and_each_knows_its_place(tmp_path: Path) -> None:
    order: list[int] = []
    waits: list[tuple[int, int]] = []
    endpoint = _endpoint(None, 1)

    async def one(gate: SharedRateLimiter, number: int, entered: asyncio.Event, done: asyncio.Event) -> None:
        ticket = await gate.enter(endpoint, lambda wait: waits.append((number, wait.place)))
        order.append(number)
        entered.set()
        await done.wait()
        gate.leave(endpoint, ticket)

    async def story() -> None:
        gate = SharedRateLimiter(tmp_path)
        moments = [(asyncio.Event(), asyncio.Event()) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for number, (entered, done) in enumerate(moments):
                group.create_task(one(gate, number, entered, done))
            for entered, done in moments:
                await entered.wait()
                done.set()
        await gate.close()

    asyncio.run(story())
    assert order == [0, 1, 2]
    assert (1, 2) in waits
    assert (2, 3) in waits


def test_a_minute_is_waited_for_and_the_wait_is_known(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[Wait] = []

    async def story() -> None:
        gate, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(2, None)
        for _ in range(2):
            await gate.enter(endpoint, _never)
        now[0] += 20

        def waiting(wait: Wait) -> None:
            waits.append(wait)
            now[0] += wait.expected_s or 0

        await gate.enter(endpoint, waiting)
        await gate.close()

    asyncio.run(story())
    assert waits[0].expected_s == 40.0
    assert "2 requests within a minute" in waits[0].reason


def test_a_429_holds_everybody_back(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[Wait] = []

    async def story() -> None:
        gate, other, endpoint = (
            SharedRateLimiter(tmp_path, lambda: now[0]),
            SharedRateLimiter(tmp_path, lambda: now[0]),
            _endpoint(None, None),
        )
        ticket = await gate.enter(endpoint, _never)
        gate.leave(endpoint, ticket, hold_s=7.0)
        await gate.close()

        def waiting(wait: Wait) -> None:
            waits.append(wait)
            now[0] += 8

        await other.enter(endpoint, waiting)

    asyncio.run(story())
    assert waits[0].expected_s == 7.0


def test_a_wait_that_is_given_up_leaves_no_trace(tmp_path: Path) -> None:
    async def story() -> None:
        gate, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 1)
        ticket = await gate.enter(endpoint, _never)
        waiting = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            given_up = group.create_task(gate.enter(endpoint, lambda _wait: waiting.set()))
            await waiting.wait()
            given_up.cancel()
        gate.leave(endpoint, ticket)
        await gate.close()
        async with asyncio.timeout(10):
            await gate.enter(endpoint, lambda _wait: None)
        assert gate.load("e").in_flight == 1

    asyncio.run(story())


OTHER = """
import asyncio, sys
from pathlib import Path
from playground.client.endpoint import Endpoint, PlanLimits
from playground.runs.shared_rate_limiter import Gate
async def main():
    gate = Gate(Path(sys.argv[1]))
    endpoint = Endpoint("e", "E", "http://127.0.0.1:1/v1", plan=PlanLimits("Test", None, 1))
    await gate.enter(endpoint, lambda wait: None)
    print("in", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


def test_another_process_counts_and_one_that_was_killed_does_not(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"

        async def story() -> None:
            gate = SharedRateLimiter(tmp_path)
            waits: list[Wait] = []

            def waiting(wait: Wait) -> None:
                waits.append(wait)
                other.kill()
                other.wait()

            async with asyncio.timeout(20):
                await gate.enter(_endpoint(None, 1), waiting)
            assert waits[0].place == 1

        asyncio.run(story())


def test_a_damaged_file_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text("{")

    async def story() -> None:
        await SharedRateLimiter(tmp_path).enter(_endpoint(1, 1), _never)

    asyncio.run(story())
