"""The loop that carries Qt and asyncio: each wakes for the other, and neither keeps the other from going on."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEventLoop, QObject, QTimer, Signal
from PySide6.QtWidgets import QApplication

from playground.ui.loop import QtLoop, make_loop


@pytest.fixture
def runner(qapp: QApplication) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=lambda: make_loop(qapp)) as found:
        yield found


def test_sleeps_end_in_order_and_not_early(runner: asyncio.Runner) -> None:
    async def main() -> list[int]:
        ended: list[int] = []

        async def sleep(ms: int) -> None:
            began = time.monotonic()
            await asyncio.sleep(ms / 1000)
            assert time.monotonic() - began >= ms / 1000 - 0.001
            ended.append(ms)

        await asyncio.gather(*(sleep(ms) for ms in (30, 1, 10, 0, 20)))
        return ended

    assert runner.run(main()) == [0, 1, 10, 20, 30]


def test_a_slot_wakes_asyncio(runner: asyncio.Runner) -> None:
    async def main() -> str:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        QTimer.singleShot(5, lambda: told.set_result("from Qt"))
        return await told

    assert runner.run(main()) == "from Qt"


def test_another_thread_wakes_it(runner: asyncio.Runner) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(told.set_result, "from a thread"))
        thread.start()
        found = await told + " and " + await asyncio.to_thread(lambda: "back")
        thread.join()
        return found

    assert runner.run(main()) == "from a thread and back"


def test_qt_goes_on_while_asyncio_never_rests(runner: asyncio.Runner) -> None:
    class Counter(QObject):
        told = Signal()

    async def main() -> int:
        seen: list[int] = []
        counter, enough = Counter(), asyncio.Event()
        counter.told.connect(lambda: seen.append(1))
        timer = QTimer(interval=1)
        timer.timeout.connect(lambda: enough.set() if len(seen) > 20 else counter.told.emit())
        timer.start()
        while not enough.is_set():  # noqa: ASYNC110 - being ready without a pause is what is tested
            await asyncio.sleep(0)
        timer.stop()
        return len(seen)

    assert runner.run(main()) > 20


def test_a_nested_loop_in_a_coroutine_holds_the_others_up_and_harms_none(runner: asyncio.Runner) -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def other() -> None:
            for _ in range(5):
                await asyncio.sleep(0.002)
            order.append("other")

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        nested = QEventLoop()
        QTimer.singleShot(30, nested.quit)
        # A descriptor that is ready all the while.
        asyncio.get_running_loop().call_soon_threadsafe(order.append, "woken")
        nested.exec()
        order.append("nested")
        await task
        return order

    found = runner.run(main())
    assert found[0] == "nested"
    assert sorted(found[1:]) == ["other", "woken"]


def test_a_nested_loop_in_a_slot_lets_asyncio_go_on(runner: asyncio.Runner) -> None:
    async def main() -> None:
        done = asyncio.Event()
        nested = QEventLoop()
        QTimer.singleShot(0, nested.exec)
        await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_soon(done.set)
        await done.wait()
        nested.quit()

    runner.run(main())


def test_streams_and_processes(runner: asyncio.Runner) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()

    async def main() -> tuple[bytes, bytes]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print('child')", stdout=asyncio.subprocess.PIPE
        )
        return answer, (await process.communicate())[0].strip()

    assert runner.run(main()) == (b"HELLO\n", b"child")


def test_timeouts_that_are_not_needed_leave_nothing(runner: asyncio.Runner) -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, QtLoop)
        for _ in range(1000):
            async with asyncio.timeout(600):
                await asyncio.sleep(0)
        return len(loop._scheduled)

    assert runner.run(main()) < 200


def test_it_runs_again_and_an_error_comes_out(runner: asyncio.Runner) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def fine() -> int:
        await asyncio.sleep(0.001)
        return 7

    with pytest.raises(KeyError, match="mine"):
        runner.run(fail())
    assert runner.run(fine()) == 7


def test_where_qt_is_told_to_end_what_was_waited_for_is_an_error(runner: asyncio.Runner, qapp: QApplication) -> None:
    async def main() -> None:
        QTimer.singleShot(0, qapp.quit)
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="stopped before"):
        runner.run(main())
