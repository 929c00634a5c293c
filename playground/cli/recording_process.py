"""The recording process: decodes the exchanges that the forwarding process sends, and writes them to the log.

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
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from playground.prompt.json_text import loads
from playground.recorder.capture import Capture, CapturedExchange
from playground.recorder.feed_messages import (
    Begin,
    Closed,
    End,
    ExchangeMessage,
    Message,
    MessageReader,
    RequestData,
    RequestEnd,
    ResponseData,
    ResponseStart,
    Setup,
)
from playground.recorder.recording import RecordedCacheModel, Recording, reason_of, warm_up
from playground.recorder.spool import Orphan, orphans, recording_lock, release
from playground.requestlog.filter import parse
from playground.requestlog.log import RequestLog
from playground.runs.state import ENDED, RunState
from playground.runs.summary import warnings
from playground.services import AppServices
from playground.tasks import Tasks

READ_BYTES, AHEAD = 65_536, 1_000
"""A pipe's capacity; and reads ahead of what is decoded, at most 64 MB."""
MAX_ID_CHARS = 200
"""Displayed characters of a request_id."""
CONTINUED = 200
"""Requests of the log that may be continued after a restart. Reading them delays the start."""
MAX_PROBLEMS = 1_000
PROBLEMS_S = 2.0
RELEASE_S = 5.0
"""Longest wait for the lock of a forwarding process that was killed."""
BATCH = 1_000
SWITCH_S = 0.0005
"""The thread that reads gets the interpreter after this time: decoding needs it for seconds."""
NICENESS = 5
"""The forwarding process comes first if both need the same core."""


def run_recording_process() -> int:
    """Record until standard input ends. Returns the exit status."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # The forwarding process gets the same signal: it closes the pipe when its last exchange has ended.
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    sys.setswitchinterval(SWITCH_S)
    try:
        has_lost = asyncio.run(_record())
    finally:
        _problems.close()
    report({"finished": True, "lost": has_lost})
    return 0


def recover_spools(folder: Path) -> int:
    """Write the requests of killed Recorders to the log. Returns the exit status."""
    try:
        asyncio.run(_recover_only(folder))
    finally:
        _problems.close()
    return 0


async def _recover_only(folder: Path) -> None:
    services = AppServices(folder, os.environ, Tasks(_task_failed), source="command")
    services.on_notice.subscribe(say)
    try:
        await services.open_log()
        if services.log is not None:
            await _recover(services.log, None, orphans(folder))
    finally:
        await services.close()


async def _record() -> bool:
    """Record until standard input ends. Returns whether the log lacks a request."""
    received: queue.Queue[bytes] = queue.Queue(AHEAD)
    threading.Thread(target=_read, args=(received,), name="received", daemon=True).start()
    reader = MessageReader()
    setup, messages = await _first_message(reader, received)
    if setup is None:
        return False
    folder = Path(setup.folder)
    lock = recording_lock(folder, setup.spool) if setup.spool else None
    services = AppServices(folder, os.environ, Tasks(_task_failed), source="command")
    services.on_notice.subscribe(say)
    try:
        log = await _open_log(services, setup)
        model = None if log is None else RecordedCacheModel(services.sender.forecaster)
        written = log if log is not None and log.read_only_reason is None else None
        recording = Recording(written, model, say, lambda run_id, state: _report_ended(run_id, _line(state)))
        capture = Capture(setup.endpoint, recording, services.rate_limiter, setup.key)
        if log is not None:
            await _continue_conversations(capture, log)
        warm_up()
        report({"ready": True})
        exchanges = Exchanges(capture)
        is_closed = await _follow(reader, messages, received, exchanges, recording)
        cut = exchanges.close()
        await recording.close()
        if log is not None and lock is not None and not is_closed:  # the forwarding process was killed
            await _recover(log, model, orphans(folder, held=setup.spool, wait_s=RELEASE_S), recording.unsaved)
        for _ in set(cut).difference(await _phases(log, cut) if log is not None else ()):
            recording.skipped("A request body did not arrive whole.")
    finally:
        await services.close()
        if lock is not None:
            release(lock)
    await asyncio.sleep(0)  # what the log saved when it was closed is noted
    return recording.has_lost or bool(recording.unsaved)


async def _first_message(reader: MessageReader, received: queue.Queue[bytes]) -> tuple[Setup | None, Iterator[Message]]:
    while data := await asyncio.to_thread(received.get):
        messages = reader.feed(data)
        if (first := next(messages, None)) is not None:
            return (first if isinstance(first, Setup) else None), messages
    return None, iter(())


async def _follow(
    reader: MessageReader,
    messages: Iterator[Message],
    received: queue.Queue[bytes],
    exchanges: Exchanges,
    recording: Recording,
) -> bool:
    """Record until standard input ends. Returns whether the forwarding process closed it, and was not killed."""
    is_closed = False
    while True:
        for message in messages:
            if isinstance(message, Closed):
                is_closed = True
            elif not isinstance(message, Setup):
                exchanges.take(message)
        await recording.has_room()
        if not (data := await asyncio.to_thread(received.get)):
            return is_closed
        messages = reader.feed(data)


async def _recover(
    log: RequestLog, model: RecordedCacheModel | None, spools: Iterator[Orphan], unsaved: Collection[str] = ()
) -> None:
    """Write spooled requests that are not in the log, then remove their spools.

    `model` is None if the requests may be old: its clock is the present time. `unsaved`: requests that this process
    writes itself as soon as the log takes them.
    """
    await log.recovered()
    while (orphan := await asyncio.to_thread(next, spools, None)) is not None:
        try:
            if orphan.damaged:
                say(f"{orphan.damaged:,} damaged parts of the Recorder's spool are skipped.")
            if orphan.setup is None or await _replay(log, model, orphan.setup, orphan.exchanges, unsaved):
                await asyncio.to_thread(orphan.remove)
        finally:
            await asyncio.to_thread(orphan.release)


async def _replay(
    log: RequestLog,
    model: RecordedCacheModel | None,
    setup: Setup,
    spooled: list[list[ExchangeMessage]],
    unsaved: Collection[str] = (),
) -> bool:
    """Write exchanges that the log lacks or has in part only. Returns whether all are in the log now."""
    newest = {messages[0].exchange: messages for messages in spooled}  # the newest record of each
    wanted = {run_id: messages for run_id, messages in newest.items() if run_id not in unsaved}
    are_all_wanted = len(wanted) == len(newest)
    phases = await _phases(log, list(wanted))
    for run_id, phase in phases.items():
        outcome = _outcome(wanted[run_id])
        has_ended = phase in ("done", "failed") or (phase == "stopped" and outcome in ("caller_gone", "killed"))
        if has_ended or (outcome == "killed" and await _has_more(log, run_id, wanted[run_id])):
            del wanted[run_id]
    await log.delete([run_id for run_id in wanted if run_id in phases])
    recording = Recording(log, model, say)
    exchanges = Exchanges(Capture(setup.endpoint, recording, None), lambda _run_id: None)
    expected = []
    for run_id, messages in wanted.items():
        for message in messages:
            exchanges.take(message)
        if exchanges.was_logged:
            expected.append(run_id)
        await recording.has_room()
    await recording.close()
    phases = await _phases(log, expected)
    return are_all_wanted and all(phases.get(run_id, "") in ENDED for run_id in expected)


async def _has_more(log: RequestLog, run_id: str, messages: list[ExchangeMessage]) -> bool:
    """Return whether the log has what an exchange had received when it was spooled open."""
    stored = await log.get(run_id)
    events = stored.state().raw if stored is not None else []
    came = max((one.at for one in messages if isinstance(one, ResponseData)), default=0.0)
    return stored is not None and (events[-1].at if events else 0.0) >= came


async def _phases(log: RequestLog, run_ids: list[str]) -> dict[str, str]:
    parts = [run_ids[first : first + BATCH] for first in range(0, len(run_ids), BATCH)]
    return {row.run_id: row.phase for part in parts for row in await log.rows_of(part)}


def _outcome(messages: list[ExchangeMessage]) -> str:
    last = messages[-1]
    return last.outcome if isinstance(last, End) else ""


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
    await _recover(log, None, orphans(Path(setup.folder)))
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
            conversation = run.record.conversation
            if conversation and isinstance(messages, list):
                capture.conversations.remember(messages, conversation)
                if run.phase != "done":
                    at_unix = run.record.started_utc.timestamp() + (run.state().ended_at or 0.0)
                    capture.conversations.fail(run.record.body, conversation, at_unix)


class Exchanges:
    """The open exchanges, by id. `on_unlogged` gets those that ended without a row in the log."""

    def __init__(self, capture: Capture, on_unlogged: Callable[[str], None] | None = None) -> None:
        self._capture = capture
        self._on_unlogged = on_unlogged or (lambda run_id: _report_ended(run_id, ""))
        self.was_logged = False
        """Whether the last ended exchange has a row in the log."""
        self._open: dict[str, CapturedExchange] = {}

    def take(self, message: ExchangeMessage) -> None:
        """Apply a message. An exchange that cannot be understood is reported, and its later messages are ignored."""
        try:
            self._apply(message)
        except Exception as error:  # one body must not end the recording of all others
            say(f"A request is not recorded in full: {reason_of(error)}.")
            exchange = self._open.pop(message.exchange, None)
            if exchange is not None:
                exchange.abandon()
            self.was_logged = exchange is not None and exchange.is_logged
            if not self.was_logged:
                self._on_unlogged(message.exchange)

    def _apply(self, message: ExchangeMessage) -> None:
        if isinstance(message, Begin):
            self._open[message.exchange] = CapturedExchange(
                self._capture, message.exchange, message.started_unix, message.method, message.target, message.headers
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
                self.was_logged = exchange.is_logged
                if not self.was_logged:
                    self._on_unlogged(message.exchange)

    def close(self) -> list[str]:
        """End the exchanges that the forwarding process left open: it was killed.

        Returns those of which the request did not arrive whole; the spool may have it.
        """
        for exchange in self._open.values():
            exchange.end(exchange.last_at, "killed", "")
        cut = [run_id for run_id, exchange in self._open.items() if exchange.is_cut]
        self._open.clear()
        return cut


def _read(received: queue.Queue[bytes]) -> None:
    """Read standard input to its end. What is still in the forwarding process is lost if that is killed."""
    while data := os.read(sys.stdin.fileno(), READ_BYTES):
        received.put(data)
    received.put(b"")


def _line(state: RunState | None) -> str:
    if state is None:
        return ""
    cached = "—" if state.usage is None or state.usage.cached_tokens is None else f"{state.usage.cached_tokens:,}"
    total = "—" if state.usage is None or state.usage.prompt_tokens is None else f"{state.usage.prompt_tokens:,}"
    request_id = (state.request_id or "—")[:MAX_ID_CHARS]
    problems = (*warnings(state), *((state.error,) if state.error is not None else ()))
    reason = "".join(f"  {problem.title}" for problem in problems)
    return f"{state.status or '—'} {state.phase}  request_id {request_id}  cached {cached} of {total}{reason}"


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
    why = reason_of(error) if isinstance(error, Exception) else "it was ended"
    say(f"A task of the Recorder failed ({name}): {why}.")
