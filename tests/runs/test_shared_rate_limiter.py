"""Shared rate limiter: plan limits within one process and across several, on a real file, whole or damaged."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.client.endpoint import Endpoint, PlanLimits
from playground.client.retry import Load, QueueStatus
from playground.runs.shared_rate_limiter import MAX_FILE_BYTES, MAX_HOLD_S, SharedRateLimiter

URL = "http://127.0.0.1:1/v1"


def _endpoint(per_minute: int | None, in_flight: int | None) -> Endpoint:
    return Endpoint("e", "E", URL, plan=PlanLimits("Test", per_minute, in_flight))


def _never(status: QueueStatus) -> None:
    raise AssertionError(status)


def _ignore(_status: QueueStatus) -> None:
    pass


async def test_acquire_and_release_count_requests_in_flight_and_of_the_minute(tmp_path: Path) -> None:
    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(10, 2)
    first = await limiter.acquire(endpoint, _never)
    await limiter.acquire(endpoint, _never)
    assert limiter.load("e") == Load(2, 2)
    limiter.release(endpoint, first)
    assert limiter.load("e") == Load(1, 2)
    await limiter.acquire(endpoint, _ignore)
    assert limiter.load("e") == Load(2, 3)
    await limiter.close()


async def test_load_of_a_request_that_ends_while_another_one_takes_its_slot_falls_to_zero(tmp_path: Path) -> None:
    limiter, endpoint, loop = SharedRateLimiter(tmp_path), _endpoint(10, 2), asyncio.get_running_loop()
    first = await limiter.acquire(endpoint, _never)
    take, taken, resume = limiter._take, asyncio.Event(), threading.Event()

    def held(*arguments: Any, **named: Any) -> Any:
        result = take(*arguments, **named)
        loop.call_soon_threadsafe(taken.set)
        resume.wait(10)
        return result

    limiter._take = held  # type: ignore[method-assign]
    acquiring = asyncio.ensure_future(limiter.acquire(endpoint, _never))
    await taken.wait()  # the file was read: the first request is still in it
    limiter.release(endpoint, first)
    resume.set()
    second = await acquiring
    assert limiter.load("e") == Load(1, 2)
    limiter.release(endpoint, second)
    assert limiter.load("e") == Load(0, 2)
    await limiter.close()


async def test_acquire_speech_shares_requests_in_flight_and_not_the_minute(tmp_path: Path) -> None:
    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(1, 1)
    model = await limiter.acquire(endpoint, _never)
    waits = asyncio.Event()
    speech = asyncio.ensure_future(limiter.acquire(endpoint, lambda _status: waits.set(), speech=True))
    await waits.wait()
    assert not speech.done()
    limiter.release(endpoint, model)
    ticket = await speech
    assert limiter.load("e") == Load(1, 1)
    # A second request waits for the minute; speech does not wait behind it.
    second = asyncio.ensure_future(limiter.acquire(endpoint, _ignore))
    limiter.release(endpoint, ticket)
    limiter.release(endpoint, await limiter.acquire(endpoint, _ignore, speech=True))
    assert not second.done()
    second.cancel()
    await limiter.close()


async def test_acquire_several_waiting_are_served_in_order(tmp_path: Path) -> None:
    order: list[int] = []
    waits: list[tuple[int, int]] = []
    endpoint = _endpoint(None, 1)

    async def one(limiter: SharedRateLimiter, number: int, entered: asyncio.Event, done: asyncio.Event) -> None:
        ticket = await limiter.acquire(endpoint, lambda status: waits.append((number, status.position)))
        order.append(number)
        entered.set()
        await done.wait()
        limiter.release(endpoint, ticket)

    limiter = SharedRateLimiter(tmp_path)
    moments = [(asyncio.Event(), asyncio.Event()) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for number, (entered, done) in enumerate(moments):
            group.create_task(one(limiter, number, entered, done))
        for entered, done in moments:
            await entered.wait()
            done.set()
    await limiter.close()
    assert order == [0, 1, 2]
    assert (1, 2) in waits
    assert (2, 3) in waits


async def test_acquire_minute_used_up_reports_the_expected_wait(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[QueueStatus] = []
    limiter, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(2, None)
    for _ in range(2):
        limiter.release(endpoint, await limiter.acquire(endpoint, _never))
    await limiter.close()
    now[0] += 20

    def waiting(status: QueueStatus) -> None:
        waits.append(status)
        now[0] += status.expected_s or 0

    await limiter.acquire(endpoint, waiting)
    await limiter.close()
    assert [status.expected_s for status in waits] == [40.0]


async def test_release_late_arrival_moves_the_minute_of_the_request(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[float | None] = []
    limiter, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(1, None)
    ticket = await limiter.acquire(endpoint, _never)
    now[0] += 30  # the process was slow: the request arrived 25 s after it acquired its slot
    limiter.release(endpoint, ticket, arrived_s_ago=5)
    await limiter.close()

    def waiting(status: QueueStatus) -> None:
        waits.append(status.expected_s)
        now[0] += status.expected_s or 0

    await limiter.acquire(endpoint, waiting)
    assert waits == [55.0]


async def test_acquire_request_in_flight_for_more_than_a_minute_still_counts(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[float | None] = []
    limiter, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(1, None)
    await limiter.acquire(endpoint, _never)
    now[0] += 90

    def waiting(status: QueueStatus) -> None:
        waits.append(status.expected_s)
        now[0] += 60

    await limiter.acquire(endpoint, waiting)
    assert waits == [None]


async def test_release_with_hold_blocks_other_processes(tmp_path: Path) -> None:
    now = [1_000.0]
    waits: list[QueueStatus] = []
    limiter, other = (SharedRateLimiter(tmp_path, lambda: now[0]) for _ in range(2))
    endpoint = _endpoint(None, None)
    limiter.release(endpoint, await limiter.acquire(endpoint, _never), hold_s=7.0)
    await limiter.close()

    def waiting(status: QueueStatus) -> None:
        waits.append(status)
        now[0] += 8

    await other.acquire(endpoint, waiting)
    assert waits[0].expected_s == 7.0


@pytest.mark.parametrize("hold_s", [121.0, 1e20, float("inf"), float("nan"), -5.0])
async def test_release_absurd_hold_is_capped(tmp_path: Path, hold_s: float) -> None:
    now = [1_000.0]
    limiter, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(None, None)
    limiter.release(endpoint, await limiter.acquire(endpoint, _never), hold_s=hold_s)
    await limiter.close()
    now[0] += MAX_HOLD_S
    await limiter.acquire(endpoint, _never)


async def test_acquire_clock_set_back_after_a_hold_does_not_wait(tmp_path: Path) -> None:
    now = [1_000_000.0]
    limiter, endpoint = SharedRateLimiter(tmp_path, lambda: now[0]), _endpoint(1, 1)
    limiter.release(endpoint, await limiter.acquire(endpoint, _never), hold_s=60)
    await limiter.close()
    now[0] -= 86_400
    await limiter.acquire(endpoint, _never)


async def test_acquire_cancelled_while_waiting_takes_no_slot(tmp_path: Path) -> None:
    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 1)
    ticket = await limiter.acquire(endpoint, _never)
    waiting = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        given_up = group.create_task(limiter.acquire(endpoint, lambda _status: waiting.set()))
        await waiting.wait()
        given_up.cancel()
    limiter.release(endpoint, ticket)
    await limiter.close()
    await limiter.acquire(endpoint, _ignore)
    assert limiter.load("e").in_flight == 1


async def test_acquire_cancelled_while_the_file_is_locked_takes_no_slot(tmp_path: Path) -> None:
    from filelock import FileLock

    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 1)
    with FileLock(tmp_path / "gate.lock"):
        task = asyncio.ensure_future(limiter.acquire(endpoint, _never))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await limiter.close()
    await limiter.acquire(endpoint, _ignore)
    assert limiter.load("e").in_flight == 1


OTHER = f"""
import asyncio, sys
from pathlib import Path
from playground.client.endpoint import Endpoint, PlanLimits
from playground.runs.shared_rate_limiter import SharedRateLimiter
async def main():
    limiter = SharedRateLimiter(Path(sys.argv[1]))
    endpoint = Endpoint("e", "E", "{URL}", plan=PlanLimits("Test", None, 1))
    await limiter.acquire(endpoint, lambda status: None)
    print("in", flush=True)
    sys.stdin.read()
asyncio.run(main())
"""


def test_acquire_other_process_counts_until_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        waits: list[QueueStatus] = []

        def waiting(status: QueueStatus) -> None:
            waits.append(status)
            other.kill()
            other.wait()

        asyncio.run(SharedRateLimiter(tmp_path).acquire(_endpoint(None, 1), waiting))
        assert waits[0].position == 1


FUTURE = time.time() + 50_000_000
DAMAGED = [
    b"",
    b"{",
    b"[1, 2, 3]",
    b"null",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"%s": 5}' % URL.encode(),
    b'{"%s": {"starts": "many", "flights": {}, "held_until": 0}}' % URL.encode(),
    b'{"%s": {"starts": [1e999], "flights": [1], "held_until": 0}}' % URL.encode(),
    b'{"%s": {"starts": [], "flights": {"x": "y"}, "held_until": 0}}' % URL.encode(),
    b'{"%s": {"starts": [], "flights": {}, "held_until": 253370764800.0}}' % URL.encode(),
    b'{"%s": {"starts": [], "flights": {}, "held_until": 1e400}}' % URL.encode(),
    b'{"%s": {"starts": [%f, %f], "flights": {}, "held_until": 0}}' % (URL.encode(), FUTURE, FUTURE),
    b'{"%s": {"starts": [], "flights": {"1-a": %f}, "held_until": 0}}' % (URL.encode(), FUTURE),
    b'{"%s": {"starts": [], "flights": {"99999999999999999999-a": %f}, "held_until": 0}}' % (URL.encode(), time.time()),
    b'{"x": "%s"}' % (b"y" * MAX_FILE_BYTES),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
async def test_acquire_damaged_or_absurd_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gate.json").write_bytes(content)
    errors: list[str] = []
    limiter = SharedRateLimiter(tmp_path, on_error=errors.append)
    ticket = await limiter.acquire(_endpoint(1, 1), _never)
    limiter.release(_endpoint(1, 1), ticket, hold_s=1)
    await limiter.close()
    assert errors == []
    assert json.loads((tmp_path / "gate.json").read_bytes())[URL]["flights"] == {}


async def test_records_one_damaged_address_keeps_the_others(tmp_path: Path) -> None:
    good = {"starts": [time.time()], "flights": {}, "held_until": 0}
    (tmp_path / "gate.json").write_text(json.dumps({"http://other/v1": 3, URL: good}))
    waits: list[QueueStatus] = []
    limiter = SharedRateLimiter(tmp_path)
    waiting = asyncio.Event()

    def note(status: QueueStatus) -> None:
        waits.append(status)
        waiting.set()

    sending = asyncio.ensure_future(limiter.acquire(_endpoint(1, None), note))
    await asyncio.wait_for(waiting.wait(), 30)
    assert not sending.done()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert len(waits) == 1


def _directory(folder: Path) -> None:
    (folder / "gate.json").mkdir()


def _lock_directory(folder: Path) -> None:
    (folder / "gate.lock").mkdir()


def _deleted(folder: Path) -> None:
    folder.rmdir()


def _lock_link(folder: Path) -> None:
    (folder / "gate.lock").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("damage", [_directory, _lock_directory, _deleted, _lock_link])
async def test_acquire_file_that_cannot_be_used_counts_in_this_process_and_reports_once(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    damage(folder)
    errors: list[str] = []
    waits: list[QueueStatus] = []
    limiter, endpoint = SharedRateLimiter(folder, on_error=errors.append), _endpoint(2, 1)
    ticket = await limiter.acquire(endpoint, _never)
    asyncio.get_running_loop().call_later(0.1, limiter.release, endpoint, ticket)
    ticket = await limiter.acquire(endpoint, waits.append)
    limiter.release(endpoint, ticket)
    await limiter.close()
    assert len(errors) == 1
    assert [status.expected_s for status in waits] == [None]
    assert not (tmp_path / "elsewhere").exists()
    assert folder.exists() == (damage is not _deleted)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
async def test_acquire_file_is_a_symbolic_link_replaces_the_link_only(tmp_path: Path) -> None:
    target = tmp_path / "precious.txt"
    target.write_text("keep me")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "gate.json").symlink_to(target)
    await SharedRateLimiter(folder).acquire(_endpoint(1, 1), _never)
    assert target.read_text() == "keep me"
    assert not (folder / "gate.json").is_symlink()


async def test_acquire_again_overwrites_the_file_in_place(tmp_path: Path) -> None:
    file, inodes = tmp_path / "gate.json", list[int]()
    limiter = SharedRateLimiter(tmp_path, lambda: 1_000.0 + len(inodes))
    for _ in range(3):
        await limiter.acquire(_endpoint(10, 10), _never)
        inodes.append(file.stat().st_ino)
    assert len(set(inodes)) == 1
    assert _starts(tmp_path) == [1_000.0, 1_001.0, 1_002.0]


async def test_acquire_file_has_another_name_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    other, file = tmp_path / "precious.txt", tmp_path / "data" / "gate.json"
    other.write_text("keep me")
    file.hardlink_to(other)
    await SharedRateLimiter(tmp_path / "data").acquire(_endpoint(1, 1), _never)
    assert other.read_text() == "keep me"
    assert len(json.loads(file.read_bytes())[URL]["starts"]) == 1


async def test_acquire_shorter_text_than_before_is_whole(tmp_path: Path) -> None:
    now = [1_000.0]
    limiter = SharedRateLimiter(tmp_path, lambda: now[0])
    for _ in range(100):
        limiter.release(_endpoint(None, None), await limiter.acquire(_endpoint(None, None), _ignore))
    await limiter.close()
    assert len(_starts(tmp_path)) == 100
    now[0] += 61
    await limiter.acquire(_endpoint(None, None), _never)
    assert _starts(tmp_path) == [1_061.0]


async def test_release_is_written_with_the_next_request_or_alone_when_none_comes(tmp_path: Path) -> None:
    def flights() -> list[str]:
        return list(json.loads((tmp_path / "gate.json").read_bytes()).get(URL, {}).get("flights", {}))

    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 1)
    first = await limiter.acquire(endpoint, _never)
    limiter.release(endpoint, first)
    assert flights() == [first]
    second = await limiter.acquire(endpoint, _never)
    assert flights() == [second]
    limiter.release(endpoint, second)
    while flights():  # noqa: ASYNC110 - another thread writes the file; the story has a limit of time
        await asyncio.sleep(0.01)
    third = await limiter.acquire(endpoint, _never)
    limiter.release(endpoint, third)
    await limiter.close()
    assert flights() == []


async def test_close_waits_for_a_slot_that_is_released_meanwhile(tmp_path: Path) -> None:
    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 2)
    first, second = [await limiter.acquire(endpoint, _never) for _ in range(2)]
    limiter.release(endpoint, first)
    closing = asyncio.ensure_future(limiter.close())
    await asyncio.sleep(0)
    limiter.release(endpoint, second)
    await closing
    assert json.loads((tmp_path / "gate.json").read_bytes()).get(URL, {}).get("flights", {}) == {}


async def test_release_wakes_speech_that_waits_for_a_slot(tmp_path: Path) -> None:
    limiter, endpoint = SharedRateLimiter(tmp_path), _endpoint(None, 1)
    first = await limiter.acquire(endpoint, _never)
    waits = asyncio.Event()
    speech = asyncio.ensure_future(limiter.acquire(endpoint, lambda _status: waits.set(), speech=True))
    await waits.wait()
    limiter.release(endpoint, first)
    # Written at once, because speech waits: not left for the next request of this process.
    assert limiter._releases == []
    limiter.release(endpoint, await speech)
    await limiter.close()


def _starts(folder: Path) -> list[float]:
    return list(json.loads((folder / "gate.json").read_bytes())[URL]["starts"])


async def test_acquire_lock_held_by_a_stuck_process_counts_in_this_process(tmp_path: Path) -> None:
    from filelock import FileLock

    errors: list[str] = []
    with FileLock(tmp_path / "gate.lock"):
        await SharedRateLimiter(tmp_path, on_error=errors.append).acquire(_endpoint(1, 1), _never)
    assert len(errors) == 1


async def test_acquire_addresses_without_requests_leave_the_file(tmp_path: Path) -> None:
    now = [1_000.0]
    limiter = SharedRateLimiter(tmp_path, lambda: now[0])
    for number in range(3):
        endpoint = Endpoint(f"e{number}", "E", f"http://127.0.0.1:{number}/v1", plan=PlanLimits("Test", 9, 9))
        limiter.release(endpoint, await limiter.acquire(endpoint, _never))
    await limiter.close()
    now[0] += 100
    await limiter.acquire(_endpoint(1, 1), _never)
    assert list(json.loads((tmp_path / "gate.json").read_bytes())) == [URL]


async def test_count_passed_request_fills_the_plan_of_other_processes_and_never_waits(tmp_path: Path) -> None:
    recorder, window = SharedRateLimiter(tmp_path), SharedRateLimiter(tmp_path)
    endpoint = _endpoint(9, 1)
    waits: list[QueueStatus] = []
    ended = [recorder.count(endpoint) for _ in range(3)]
    await recorder.close()
    waiting = asyncio.Event()

    def note(status: QueueStatus) -> None:
        waits.append(status)
        waiting.set()

    sending = asyncio.ensure_future(window.acquire(endpoint, note))
    await asyncio.wait_for(waiting.wait(), 30)
    assert not sending.done()
    assert len(waits) == 1
    for end in ended:
        end()
    window.release(endpoint, await asyncio.wait_for(sending, 30))
    await recorder.close()
    await window.close()
    (record,) = json.loads((tmp_path / "gate.json").read_bytes()).values()
    assert (len(record["starts"]), record["flights"]) == (4, {})


async def test_refresh_requests_of_another_program_are_in_the_load(tmp_path: Path) -> None:
    ours, theirs, endpoint = SharedRateLimiter(tmp_path), SharedRateLimiter(tmp_path), _endpoint(10, 2)
    end = theirs.count(endpoint)
    theirs.count(endpoint)
    await theirs.close()
    assert ours.load("e") == Load(0, 0)
    await ours.refresh(endpoint)
    assert ours.load("e") == Load(2, 2)
    end()
    await theirs.close()
    await ours.refresh(endpoint)
    assert ours.load("e") == Load(1, 2)
