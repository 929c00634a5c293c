"""The recording process: it outlives the forwarding process, and is replaced if it dies. Real processes and logs."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from playground.child_process import program_command
from playground.cli import record, recording_process
from playground.client.endpoint import Endpoint
from playground.recorder import feed as feed_module
from playground.recorder import feed_messages
from playground.recorder import spool as spool_module
from playground.recorder.feed import RecordingFeed
from playground.recorder.feed_messages import (
    Begin,
    End,
    ExchangeMessage,
    Message,
    MessageReader,
    RequestData,
    RequestEnd,
    ResponseData,
    Setup,
    frame,
)
from playground.recorder.proxy import Recorder
from playground.recorder.upstream import AccessPolicy, Upstream
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.records import StoredRun
from playground.storage.file_lock import opening
from tests.requestlog.samples import opened

COMMAND = [*program_command(), "record", "--recording-process"]
ENDPOINT = Endpoint("test", "Test", "http://127.0.0.1:9/v1")
BODY = b'{"model": "electron", "messages": [{"role": "user", "content": "hello"}]}'
ANSWER = (
    b'{"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, '
    b'"finish_reason": "stop"}], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}'
)
HEADERS = [(b"X-Request-Id", b"req-1"), (b"Content-Type", b"application/json")]

LIMIT_S = 120
"""Of each test; see conftest. Only a hang reaches it."""


class Problems(list[str]):
    """The reported problems. `first` is set at the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()

    def append(self, message: str) -> None:
        super().append(message)
        self.first.set()


@asynccontextmanager
async def running(folder: Path, command: list[str] | None = None) -> AsyncIterator[tuple[RecordingFeed, Problems]]:
    """Run a feed with its recording process. Yields it and the reported problems."""
    problems = Problems()
    feed = RecordingFeed(command or COMMAND, problems.append)
    await feed.launch()
    setup = Setup(str(folder), ENDPOINT, None)
    await feed.open_spool(setup)
    await feed.start(setup)
    try:
        yield feed, problems
    finally:
        await feed.close()


def process_of(feed: RecordingFeed) -> psutil.Process:
    """Return the recording process."""
    assert feed._process is not None
    return psutil.Process(feed._process.pid)


async def stopped(feed: RecordingFeed) -> psutil.Process:
    """Stop the recording process until SIGCONT; it reads nothing more."""
    child = process_of(feed)
    child.send_signal(signal.SIGSTOP)
    while child.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the system takes a moment, and tells nobody
        await asyncio.sleep(0.001)
    return child


async def pass_exchange(feed: RecordingFeed, body: bytes = BODY) -> None:
    """Pass a whole exchange."""
    seen = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
    seen.request_data(body)
    seen.request_end()
    seen.response_head(200, HEADERS)
    seen.response_data(ANSWER)
    seen.end("complete", "")
    await seen.handed_over()


async def logged(folder: Path) -> list[StoredRun]:
    """Return all requests in the log."""
    async with opened(folder) as log:
        await log.recovered()
        found = [await log.get(row.run_id) for row in await log.page(EVERYTHING)]
    return [run for run in found if run is not None]


def spooled(folder: Path) -> list[list[ExchangeMessage]]:
    """Return the records of exchanges in the spool, as another start reads them."""
    return spool_module._read(list((folder / spool_module.FOLDER).glob("*.spool"))).exchanges


async def test_feed_exchange_is_in_the_log_after_close(tmp_path: Path) -> None:
    async with running(tmp_path) as (feed, problems):
        await pass_exchange(feed)
    (stored,) = await logged(tmp_path)
    assert (stored.state().phase, stored.state().text, stored.state().request_id) == ("done", "hi", "req-1")
    assert stored.record.body == BODY
    assert problems == []


async def test_feed_exchange_that_begins_before_the_start_is_in_the_log_once(tmp_path: Path) -> None:
    problems = Problems()
    feed = RecordingFeed(COMMAND, problems.append)
    await feed.launch()
    early = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
    early.request_data(BODY)
    setup = Setup(str(tmp_path), ENDPOINT, None)
    await feed.open_spool(setup)
    await feed.start(setup)
    early.request_end()
    early.response_head(200, HEADERS)
    early.response_data(ANSWER)
    early.end("complete", "")
    async with asyncio.timeout(60):  # it never ended: the first of two records had no end
        await feed.close()
    (stored,) = await logged(tmp_path)
    assert (stored.state().phase, stored.state().text) == ("done", "hi")
    assert problems == []


async def test_feed_recording_process_killed_is_replaced_and_no_exchange_is_lost_or_doubled(tmp_path: Path) -> None:
    async with running(tmp_path) as (feed, problems):
        half = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        half.request_data(BODY)
        half.request_end()
        half.response_head(200, HEADERS)
        for _ in range(20):
            await pass_exchange(feed)
        child = process_of(feed)
        child.kill()
        await problems.first.wait()
        half.response_data(ANSWER)
        half.end("complete", "")
        await pass_exchange(feed)
    assert len(problems) == 1
    assert [stored.state().phase for stored in await logged(tmp_path)] == ["done"] * 22


async def test_feed_conversation_of_the_log_continues_after_a_restart(tmp_path: Path) -> None:
    longer = json.loads(BODY)
    longer["messages"] += [{"role": "assistant", "content": "hi"}, {"role": "user", "content": "more"}]
    for body in (BODY, json.dumps(longer).encode()):
        async with running(tmp_path) as (feed, _):
            await pass_exchange(feed, body)
    first, second = await logged(tmp_path)
    assert first.record.conversation == second.record.conversation is not None


async def test_feed_response_beyond_the_backlog_is_cut_in_the_log_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "HOLD_S", 0.1)
    monkeypatch.setattr(feed_module, "MAX_BACKLOG_BYTES", 1_000_000)

    async with running(tmp_path) as (feed, problems):
        child = await stopped(feed)
        seen = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        seen.request_data(BODY)
        seen.request_end()
        seen.response_head(200, [(b"Content-Type", b"text/event-stream")])
        for _ in range(30):
            seen.response_data(bytes(100_000))
        assert feed._backlog() < 1_200_000
        seen.end("complete", "")
        await seen.handed_over()
        child.send_signal(signal.SIGCONT)
    assert [stored.state().phase for stored in await logged(tmp_path)] == ["failed"]
    assert len(problems) == 1


async def test_feed_process_that_always_dies_is_given_up_and_forwarding_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", "raise SystemExit(3)"]
    monkeypatch.setattr(feed_module, "HOLD_S", 60.0)
    async with running(tmp_path, command) as (feed, problems):
        while not any("repeatedly" in problem for problem in problems):
            await pass_exchange(feed)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(30):
            await pass_exchange(feed)


async def test_feed_open_exchange_is_in_the_spool_before_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (feed, _):
        child = await stopped(feed)
        seen = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        seen.request_data(BODY)
        seen.request_end()
        copies: list[list[str]] = []
        for number in range(2):
            while len(copies) == number:
                await asyncio.sleep(0.01)
                newest = [type(message).__name__ for messages in spooled(tmp_path)[-1:] for message in messages]
                if newest and ("ResponseData" in newest) == bool(number):
                    copies.append(newest)
            seen.response_head(200, HEADERS)
            seen.response_data(ANSWER)
        assert copies[0] == ["Begin", "RequestData", "RequestEnd", "End"]
        assert copies[1][-1] == "End"
        seen.end("complete", "")
        child.send_signal(signal.SIGCONT)
        await seen.handed_over()
    assert [stored.phase for stored in await logged(tmp_path)] == ["done"]


async def test_record_exchange_that_ends_as_soon_as_the_port_is_open_is_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start(recorder: Recorder, _port: int) -> int:
        await pass_exchange(recorder.feed)
        raise OSError

    monkeypatch.setattr(Recorder, "start", start)
    feed, access = RecordingFeed(COMMAND, Problems().append), AccessPolicy("/v1", "")
    recorder = Recorder(Upstream(ENDPOINT.base_url), access, feed)
    await record._run(recorder, access, feed, Setup(str(tmp_path), ENDPOINT, None), argparse.Namespace(port=0))
    assert [type(messages[-1]) for messages in spooled(tmp_path)] == [End]
    await feed.close()


async def test_feed_stream_is_spooled_again_until_the_recording_process_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "READY_S", 0.0)
    monkeypatch.setattr(feed_module, "RESPONSE_OPEN_S", (0.0,))
    monkeypatch.setattr(feed_module, "RESTARTS", 0)
    async with running(tmp_path, [sys.executable, "-c", "import sys; sys.stdin.read()"]) as (feed, _):
        seen = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        seen.request_data(BODY)
        seen.request_end()
        seen.response_head(200, HEADERS)
        async with asyncio.timeout(60):
            for number in range(1, 4):
                seen.response_data(b"piece")
                while not any(  # noqa: ASYNC110 - a thread writes the file
                    sum(isinstance(message, ResponseData) for message in messages) == number
                    for messages in spooled(tmp_path)
                ):
                    await asyncio.sleep(0.01)
        assert feed.is_behind()


@pytest.mark.parametrize(
    ("waiting_bytes", "is_delayed"), [(1_000_000, [True, False, False]), (8_000_000, [False, False, False])]
)
async def test_feed_stuck_process_delays_one_exchange_and_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting_bytes: int, is_delayed: list[bool]
) -> None:
    monkeypatch.setattr(feed_module, "HOLD_S", 0.3)
    monkeypatch.setattr(feed_module, "HOLD_ALL_BYTES", waiting_bytes)

    async with running(tmp_path) as (feed, _):
        child = await stopped(feed)
        large = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        large.request_data(bytes(4_000_000))
        waits = []
        for _ in range(3):
            began = asyncio.get_running_loop().time()
            await pass_exchange(feed)
            waits.append(asyncio.get_running_loop().time() - began >= 0.3)
        assert waits == is_delayed
        child.send_signal(signal.SIGCONT)
        large.end("complete", "")
    assert len(await logged(tmp_path)) == 3


async def test_feed_small_exchange_ends_while_a_large_one_is_searched_for_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    went_on = threading.Event()
    masked_exchange = feed_messages.masked_exchange

    def masked(messages: Sequence[ExchangeMessage], key: str | None) -> list[ExchangeMessage]:
        if sum(len(one.data) for one in messages if isinstance(one, RequestData)) >= feed_module.LARGE_BYTES:
            assert went_on.wait(60)
        return masked_exchange(messages, key)

    monkeypatch.setattr(spool_module, "masked_exchange", masked)
    monkeypatch.setattr(feed_module, "HOLD_S", 60)
    async with running(tmp_path) as (feed, _):
        large = asyncio.create_task(pass_exchange(feed, BODY.replace(b"hello", b"hello " * 20_000)))
        await asyncio.sleep(0)
        await pass_exchange(feed)
        assert not large.done()
        went_on.set()
        await large
    assert len(await logged(tmp_path)) == 2
    assert not list((tmp_path / spool_module.FOLDER).iterdir())


async def test_recording_process_reads_ahead_while_it_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "READY_S", 0.0)
    async with opened(tmp_path):
        pass
    with ExitStack() as lock:
        lock.enter_context(opening(tmp_path))
        async with running(tmp_path) as (feed, _):
            for _ in range(3):
                await pass_exchange(feed, BODY.replace(b"hello", b"hello " * 700_000))
            assert feed._written > 12_000_000
            while feed._backlog():  # noqa: ASYNC110 - a transport has no event for it
                await asyncio.sleep(0.01)
            assert feed._ready_at is None
            lock.close()


async def test_feed_backlog_beyond_its_bound_is_reported_and_new_exchanges_are_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "HOLD_S", 0.1)
    monkeypatch.setattr(feed_module, "MAX_BACKLOG_BYTES", 1_000_000)

    async with running(tmp_path) as (feed, problems):
        child = await stopped(feed)
        large = feed.begin("POST", "/v1/chat/completions", [(b"Host", b"localhost")])
        large.request_data(bytes(4_000_000))
        await pass_exchange(feed)
        await pass_exchange(feed)
        assert len(problems) == 1
        child.send_signal(signal.SIGCONT)
        large.end("complete", "")
    assert await logged(tmp_path) == []
    assert len(problems) == 1


async def test_recording_process_signals_of_the_terminal_do_not_end_it(tmp_path: Path) -> None:
    async with running(tmp_path) as (feed, problems):
        child = process_of(feed)
        assert os.getpgid(child.pid) != os.getpgid(0)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            child.send_signal(number)
        await pass_exchange(feed)
    assert len(await logged(tmp_path)) == 1
    assert problems == []


def test_problems_pipe_that_nobody_reads_blocks_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_process, "PROBLEMS_S", 0.05)
    reading, writing = os.pipe()
    problems = recording_process.Problems(writing)
    for number in range(3_000):
        problems.put(f"{number} {'x' * 100}")
    problems.close()
    assert os.read(reading, 4).startswith(b"0 x")
    os.close(reading)  # ends the writing thread's wait
    monkeypatch.setattr(recording_process, "PROBLEMS_S", 10.0)
    problems.close()
    os.close(writing)


def test_message_reader_messages_in_pieces_of_any_size_are_complete() -> None:
    setup = Setup("folder", ENDPOINT, "key", ["one"])
    sent: list[Message] = [
        setup,
        Begin("a", 1.5, "POST", "/v1", [(b"A", b"\xff")]),
        RequestEnd("a"),
        End("a", 2.5, "complete", ""),
    ]
    data = b"".join([frame(message) for message in sent])
    for size in (1, 3, 7, len(data)):
        reader = MessageReader()
        found = [message for at in range(0, len(data), size) for message in reader.feed(data[at : at + size])]
        assert found == sent
