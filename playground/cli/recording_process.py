"""The recording process: understands the exchanges that the forwarding process passes on, and writes them to the log.

It ends when standard input ends, after everything received is written: also if the forwarding process was killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from playground.prompt.json_bounds import loads
from playground.recorder.capture import Capture, CapturedExchange
from playground.recorder.feed_messages import (
    Begin,
    End,
    ExchangeMessage,
    MessageReader,
    RequestData,
    RequestEnd,
    ResponseData,
    ResponseStart,
    Setup,
)
from playground.recorder.recording import RecordedCacheModel, Recording, warm_up
from playground.requestlog.filter import parse
from playground.requestlog.log import RequestLog
from playground.runs.state import RunState
from playground.services import AppServices
from playground.tasks import Tasks

READ_BYTES = 262_144
MAX_ID_CHARS = 200
"""Displayed characters of a request_id."""
CONTINUED = 200
"""Requests of the log that may be continued after a restart. Reading them delays the start."""
MAX_PROBLEMS = 1_000
PROBLEMS_S = 2.0
NICENESS = 5
"""The forwarding process comes first if both need the same core."""

Report = Callable[[dict[str, object]], None]


def run_recording_process() -> int:
    """Record until standard input ends. Returns the exit status."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # The forwarding process gets the same signal: it closes the pipe when its last exchange has ended.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        asyncio.run(_record())
    finally:
        _problems.close()
    report({"finished": True})
    return 0


async def _record() -> None:
    reader = MessageReader()
    messages = iter(reader.feed(b""))
    while (setup := next(messages, None)) is None:
        if not (data := await _received()):
            return
        messages = iter(reader.feed(data))
    assert isinstance(setup, Setup)
    services = AppServices(Path(setup.folder), os.environ, Tasks(_task_failed), source="command")
    services.on_notice = say
    try:
        log = await _open_log(services, setup)
        model = None if log is None else RecordedCacheModel(services.sender.forecaster)
        recording = Recording(log, model, say, lambda run_id, state: _report_ended(run_id, _line(state)))
        capture = Capture(setup.endpoint, recording, services.rate_limiter, setup.key)
        if log is not None:
            await _continue_conversations(capture, log)
        warm_up()
        report({"ready": True})
        exchanges = Exchanges(capture)
        while True:
            for message in messages:
                if not isinstance(message, Setup):
                    exchanges.take(message)
            await recording.has_room()
            if not (data := await _received()):
                break
            messages = iter(reader.feed(data))
        exchanges.close()
        await recording.close()
    finally:
        await services.close()


async def _open_log(services: AppServices, setup: Setup) -> RequestLog | None:
    await services.open_log()
    if services.log_notice:
        say(services.log_notice)
    log = services.log
    if log is None:
        say("The request log cannot be opened. Requests are forwarded, and nothing is recorded.")
        return None
    log.on_notice(lambda message: say(message) if message != services.log_notice else None)
    if setup.replayed:
        # The rows that the earlier recording process did not end.
        await log.recovered()
        await log.delete(setup.replayed)
    await services.remember_sent(setup.endpoint)
    return log


async def _continue_conversations(capture: Capture, log: RequestLog) -> None:
    """Let requests continue those that an earlier Recorder wrote: the newest CONTINUED of the log."""
    rows = await log.page(parse("source:recorder", datetime.now(UTC)), None, CONTINUED)
    runs, _ = await log.readable(sorted(row.number for row in rows if row.conversation))
    for run in runs:
        with suppress(ValueError):  # a damaged body continues nothing
            body = loads(run.record.body)
            messages = body.get("messages") if isinstance(body, dict) else None
            if run.record.conversation and isinstance(messages, list):
                capture.conversations.remember(messages, run.record.conversation)


class Exchanges:
    """The open exchanges, by id."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._open: dict[str, CapturedExchange] = {}

    def take(self, message: ExchangeMessage) -> None:
        """Apply a message. An exchange that cannot be understood is reported, and its later messages are ignored."""
        try:
            self._apply(message)
        except Exception as error:  # one body must not end the recording of all others
            say(f"A request is not recorded in full: {type(error).__name__}: {error}")
            exchange = self._open.pop(message.exchange, None)
            if exchange is not None:
                exchange.abandon()
            if exchange is None or not exchange.is_logged:
                _report_ended(message.exchange, "")

    def _apply(self, message: ExchangeMessage) -> None:
        if isinstance(message, Begin):
            self._open[message.exchange] = self._capture.begin(
                message.exchange, message.started_unix, message.method, message.target, message.headers
            )
            return
        exchange = self._open.get(message.exchange)
        if exchange is None:
            return
        match message:
            case RequestData():
                exchange.request_data(message.data)
            case RequestEnd():
                exchange.request_end()
            case ResponseStart():
                exchange.response_head(message.at, message.status, message.headers)
            case ResponseData():
                exchange.response_data(message.at, message.data)
            case End():
                exchange.end(message.at, message.outcome, message.detail)
                del self._open[message.exchange]
                if not exchange.is_logged:
                    _report_ended(message.exchange, "")

    def close(self) -> None:
        """End the exchanges that the forwarding process left open: it was killed."""
        for exchange in self._open.values():
            exchange.end(exchange.last_at, "caller_gone", "The Recorder was stopped.")
        self._open.clear()


async def _received() -> bytes:
    # In a thread: a pipe cannot be awaited on every platform.
    return await asyncio.to_thread(os.read, sys.stdin.fileno(), READ_BYTES)


def _line(state: RunState | None) -> str:
    if state is None:
        return ""
    cached = "—" if state.usage is None or state.usage.cached_tokens is None else f"{state.usage.cached_tokens:,}"
    total = "—" if state.usage is None or state.usage.prompt_tokens is None else f"{state.usage.prompt_tokens:,}"
    request_id = (state.request_id or "—")[:MAX_ID_CHARS]
    return f"{state.status or '—'} {state.phase}  request_id {request_id}  cached {cached} of {total}"


def _report_ended(run_id: str, line: str) -> None:
    report({"ended": run_id, "line": line})


def report(value: dict[str, object]) -> None:
    """Report to the forwarding process, if it still runs."""
    with suppress(OSError):
        print(json.dumps(value), flush=True)


class Problems:
    """Writes lines to standard error in a thread: a parent that does not read its pipe must not stop the recording."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes] = queue.Queue(MAX_PROBLEMS)
        self._thread: threading.Thread | None = None

    def put(self, line: str) -> None:
        """Queue a line; it is dropped if too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="problems", daemon=True)
            self._thread.start()
        with suppress(queue.Full):
            self._lines.put_nowait(f"{line}\n".encode("utf-8", "backslashreplace"))

    def _write(self) -> None:
        while line := self._lines.get():
            with suppress(OSError):
                os.write(self._descriptor, line)  # sys.stderr has a lock, for which the end of the process would wait

    def close(self) -> None:
        """Wait until the queued lines are written, twice PROBLEMS_S at most."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._lines.put(b"", timeout=PROBLEMS_S)
            self._thread.join(PROBLEMS_S)


_problems = Problems()


def say(sentence: str) -> None:
    """Report a problem on standard error, which belongs to the forwarding process's parent."""
    _problems.put(f"electron-playground: {sentence}")


def _task_failed(name: str, error: BaseException) -> None:
    say(f"{name} went wrong: {type(error).__name__}")
