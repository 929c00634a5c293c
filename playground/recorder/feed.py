"""Sends copies of all exchanges to the recording process, so that decoding them does not delay a caller.

The forwarding process only encodes messages and writes them to a pipe. A response's last bytes wait until its exchange
is in the spool, from which the next start writes it to the log if both processes are killed. If only the recording
process dies, another one gets the messages of all exchanges that are not in the log.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from playground.recorder.feed_messages import (
    Begin,
    Closed,
    End,
    ExchangeMessage,
    RequestData,
    RequestEnd,
    ResponseData,
    ResponseStart,
    Setup,
    frame,
)
from playground.recorder.proxy import ExchangeOutcome
from playground.recorder.spool import Spool
from playground.recorder.wire import RawHeaders, is_recorded

READY_S = 60.0
"""Longest wait for the recording process: a large log may be recovered first."""
HOLD_S = 2.0
"""Longest wait of a response's end for the spool, or for the pipe; a stuck recording process delays one response."""
HOLD_BYTES, HOLD_ALL_BYTES = 4 * 1024 * 1024, 64 * 1024 * 1024
"""Size of waiting messages from which the end of a response waits for the pipe, even if the spool has its exchange: of
a large exchange, and of any."""
LARGE_BYTES = 65_536
"""Size from which an exchange is large: a search of 1 MB for keys takes a third of a second."""
POLL_S = 0.002
FLUSH_S = 0.05
"""Longest wait of messages that are written together, since each write wakes the recording process. If the forwarding
process is killed, open streams lose what arrived in this time."""
REQUEST_OPEN_S, RESPONSE_OPEN_S = 0.01, (0.05, 0.15, 0.35)
"""Ages, of a complete request and of a response, at which an open exchange is copied to the spool. Later the log has
it. If all processes are killed, younger requests are lost."""
OPEN_AGAIN_S, CATCH_UP_S = 0.2, 1.0
"""Seconds between later copies of a response to the spool. They end when the recording process has been ready for
CATCH_UP_S: until then the log may lack the response."""
MAX_OPEN_BYTES = 1024 * 1024
"""Size of an exchange above which its open response is not copied to the spool, because each copy is searched for keys.
Also the total size of the later copies of a response."""
DROP_S = 0.1
"""Seconds in which logged exchanges are collected, to be removed from the spool together."""
FLUSH_BYTES = 32_768
"""Size from which collected messages are written: small writes cost more than their contents."""
MAX_BACKLOG_BYTES = 128 * 1024 * 1024
"""Size of messages that wait for the recording process. Above it, neither new exchanges nor the rest of open ones are
recorded."""
MAX_KEPT_BYTES = 64 * 1024 * 1024
"""Size of messages that are kept for another recording process. Above it, the oldest exchanges are lost if the present
process dies."""
MAX_REPORT_BYTES = 1024 * 1024
RESTARTS = 5
"""A recording process that dies more often than this within RESTARTS_S seconds is not started again."""
RESTARTS_S = 60.0


class RecordingFeed:
    """Observes all exchanges. `open_spool` before the first exchange, `start` soon after, `close` after the last.

    Args:
        command: the command line of the recording process.
        on_problem: receives messages for the user.
        on_line: receives a line about each exchange that is in the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        on_problem: Callable[[str], None],
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._command, self._on_problem, self._on_line = command, on_problem, on_line
        self._setup: Setup | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._ready_at: float | None = None
        """When the present process was ready."""
        self._pending = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._kept: dict[str, list[bytes]] = {}
        """Messages of the exchanges that are not in the log."""
        self._kept_bytes = 0
        self._closing = self._finished = self._overloaded = self._given_up = False
        self.has_lost = False
        """Whether the log lacks a request, as known after `close`."""
        self._written = 0
        """Bytes given to the present process."""
        self._stuck_at: int | None = None
        """Bytes in the pipe when the process had read nothing for HOLD_S."""
        self._deaths: list[float] = []
        self._spool: Spool | None = None
        self._logged: list[str] = []
        """Exchanges that are in the log and still in the spool."""
        self._small, self._large = _SpoolThread(), _SpoolThread()
        """They mask and write: neither the disk nor another exchange's large body delays a small exchange."""

    async def launch(self) -> None:
        """Start a recording process. To be called early: it takes as long as the rest of the start.

        A later process gets the messages of all exchanges that are not in the log.
        """
        pipe = asyncio.subprocess.PIPE
        # In a separate session: Ctrl+C in the terminal must not end it before the last exchange is written.
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, start_new_session=True, limit=MAX_REPORT_BYTES
            )
        except OSError as error:
            self._give_up(f"The recording process did not start: {error.strerror or error}. Nothing is recorded.")
            self._ready.set()
            return
        self._process, self._written, self._stuck_at, self._ready_at = process, 0, None, None
        self._send_all()
        self._reading = asyncio.create_task(self._read(process), name="recorder: recording process")

    async def open_spool(self, setup: Setup) -> None:
        """Open the spool. To be called before the port is open: an exchange that ends before would not be in it."""
        loop = asyncio.get_running_loop()
        spool = Spool(Path(setup.folder), setup, lambda problem: loop.call_soon_threadsafe(self._on_problem, problem))
        if await loop.run_in_executor(self._small.pool, spool.open):
            self._spool, setup.spool = spool, spool.id

    async def start(self, setup: Setup) -> None:
        """Send the first message and wait until the recording process has opened the log."""
        self._setup = setup
        if self._process is None and not self._deaths:
            await self.launch()
        else:
            self._send_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._ready.wait()

    def begin(self, method: str, target: str, headers: RawHeaders) -> ObservedExchange:
        exchange = ObservedExchange(self, uuid.uuid4().hex, is_recorded=not self.is_overloaded())
        exchange.begin(method, target, headers)
        return exchange

    def send(self, message: ExchangeMessage) -> None:
        if self._given_up:
            return
        data = frame(message)
        if isinstance(message, Begin):
            self._kept[message.exchange] = []
        kept = self._kept.get(message.exchange)
        if kept is not None:
            kept.append(data)
            self._kept_bytes += len(data)
            while self._kept_bytes > MAX_KEPT_BYTES:
                self._forget(next(iter(self._kept)))
        if self._process is None or self._setup is None:  # `_send_all` sends the messages later
            return
        self._pending += data
        if len(self._pending) >= FLUSH_BYTES:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def is_behind(self) -> bool:
        """Return whether the log may lack what open exchanges received a while ago: the process starts."""
        return self._ready_at is None or time.monotonic() < self._ready_at + CATCH_UP_S

    def spool_open(self, end: End) -> None:
        """Write an open exchange to the spool, later."""
        if self._spool is not None and not self._closing and (frames := self._kept.get(end.exchange)) is not None:
            self._thread_of(frames).add_open(self._spool, end.exchange, frames, frame(end))

    def spool(self, exchange: str) -> asyncio.Future[bool] | None:
        """Write an ended exchange to the spool. Returns whether it is written, later."""
        frames = self._kept.get(exchange)
        if self._spool is None or frames is None:
            return None
        for thread in (self._small, self._large):
            thread.open.pop(exchange, None)
        return self._thread_of(frames).add(partial(self._spool.add, exchange, frames))

    def _thread_of(self, frames: list[bytes]) -> _SpoolThread:
        return self._large if sum(map(len, frames)) >= LARGE_BYTES else self._small

    async def handed_over(self, spooled: asyncio.Future[bool] | None, size: int) -> None:
        """Return when killing all processes cannot lose an exchange of `size` bytes, at most HOLD_S later.

        An exchange that cannot be spooled waits until its messages are in the pipe. So does a program that sends faster
        than the log can be written, so that messages do not pile up.
        """
        until = time.monotonic() + HOLD_S
        if spooled is not None:
            done, _ = await asyncio.wait([spooled], timeout=HOLD_S)
            most = HOLD_BYTES if size >= LARGE_BYTES else HOLD_ALL_BYTES
            if done and spooled.result() and self._backlog() < most:
                return
        await self._in_pipe(until)

    async def _in_pipe(self, until: float) -> None:
        """Return when all messages are in the pipe, or at `until`; at once while the process reads nothing."""
        self._flush()
        process, target, first = self._process, self._written, self._taken()
        if first == self._stuck_at:
            return
        while process is not None and self._process is process and (taken := self._taken()) < target:
            if time.monotonic() >= until:
                self._stuck_at = first if taken == first else None
                return
            await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        """Wait until the recording process has written everything and ended."""
        self._closing = True
        self._small.open.clear()
        self._large.open.clear()
        self._flush()
        if self._setup is None and self._process is not None:  # the start was given up: there is nothing to write
            self._process.kill()
        self._end_messages()
        try:
            if self._reading is not None:
                await self._reading
        finally:
            if self._spool is not None:
                self._drop_spooled()
                await asyncio.to_thread(self._large.pool.shutdown)
                left = await asyncio.get_running_loop().run_in_executor(self._small.pool, self._spool.close)
                if left:
                    self._on_problem(
                        f"Requests in the Recorder's spool that are not in the request log: {left:,}. The next start "
                        "of the Recorder or the window writes them to it."
                    )
            self._small.pool.shutdown()

    def _backlog(self) -> int:
        if self._process is None or self._process.stdin is None:
            return 0
        return self._process.stdin.transport.get_write_buffer_size()

    def _taken(self) -> int:
        """Return how many bytes are in the pipe or were read from it."""
        return self._written - self._backlog()

    def _write(self, data: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._written += len(data)
            self._process.stdin.write(data)

    def is_overloaded(self) -> bool:
        """Return whether too many messages wait for the recording process. Reports the first time."""
        overloaded = self._backlog() > MAX_BACKLOG_BYTES
        if overloaded and not self._overloaded:
            self.has_lost = True
            self._on_problem("Requests are forwarded and not recorded: recording does not keep up.")
        self._overloaded = overloaded
        return overloaded

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._pending:
            self._write(bytes(self._pending))
        self._pending.clear()

    def _send_all(self) -> None:
        """Send the setup and the messages of all exchanges that are not in the log."""
        if self._setup is not None:
            self._setup.replayed = list(self._kept)
            messages = [data for kept in self._kept.values() for data in kept]
            self._write(b"".join((frame(self._setup), *messages)))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Follow what the recording process reports, until it ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            with suppress(ValueError, TypeError, AttributeError):  # another line than ours
                self._take(json.loads(line))
        status = await process.wait()
        self._ready.set()
        self._process, self._written = None, 0
        self._pending.clear()
        if self._closing and (self._finished or self._setup is None):
            return
        now = time.monotonic()
        self._deaths = [*(death for death in self._deaths if now - death < RESTARTS_S), now]
        if len(self._deaths) > RESTARTS:
            self._give_up(f"The recording process ends repeatedly (exit status {status}). Nothing is recorded.")
            return
        self._on_problem(f"The recording process ended (exit status {status}) and is started again.")
        await self.launch()
        if self._closing:
            await self._finish()

    async def _finish(self) -> None:
        self._end_messages()
        if self._reading is not None and self._reading is not asyncio.current_task():
            await self._reading

    def _end_messages(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._write(frame(Closed()))
            self._process.stdin.close()

    def _give_up(self, problem: str) -> None:
        self._given_up = self.has_lost = True
        self._kept.clear()
        self._kept_bytes = 0
        self._on_problem(problem)

    def _take(self, report: dict[str, object]) -> None:
        if report.get("ready"):
            self._ready.set()
            self._ready_at = time.monotonic()
        self._finished = bool(report.get("finished"))
        self.has_lost |= bool(report.get("lost"))
        exchange = report.get("ended")
        if isinstance(exchange, str):
            self._drop(exchange)
            line = report.get("line")
            if isinstance(line, str) and line:
                self._on_line(line)

    def _drop(self, exchange: str) -> None:
        self._forget(exchange)
        if self._spool is not None:
            if not self._logged:
                asyncio.get_running_loop().call_later(DROP_S, self._drop_spooled)
            self._logged.append(exchange)

    def _drop_spooled(self) -> None:
        """Remove the exchanges that are in the log from the spool: many at once, since each call wakes a thread."""
        if self._spool is not None and self._logged:
            logged, self._logged = self._logged, []
            for thread in (self._small, self._large):  # after the exchanges that each is writing
                thread.pool.submit(self._spool.drop, logged)

    def _forget(self, exchange: str) -> None:
        self._kept_bytes -= sum(map(len, self._kept.pop(exchange, ())))


class ObservedExchange:
    """Receives copies of one exchange. Methods return at once and do not raise."""

    def __init__(self, feed: RecordingFeed, exchange: str, *, is_recorded: bool) -> None:
        self._feed, self._exchange, self._ended = feed, exchange, not is_recorded
        self._started = time.monotonic()
        self._is_understood = False
        self._size = self._copied = 0
        self._has_response = False
        self._spooled: asyncio.Future[bool] | None = None

    def _at(self) -> float:
        # In whole microseconds: a logged event has the same time when it is read.
        return round(time.monotonic() - self._started, 6)

    def begin(self, method: str, target: str, headers: RawHeaders) -> None:
        """Pass the head of the request on. Bodies that would not be recorded are not passed on."""
        self._is_understood = is_recorded(method, target)
        if not self._ended:
            self._feed.send(Begin(self._exchange, time.time(), method, target, headers))

    def request_data(self, data: bytes) -> None:
        if self._has_room():
            self._size += len(data)
            self._feed.send(RequestData(self._exchange, data))

    def request_end(self) -> None:
        if self._is_understood and not self._ended:
            self._feed.send(RequestEnd(self._exchange))
            self._spool_open_in(REQUEST_OPEN_S, MAX_KEPT_BYTES)

    def response_head(self, status: int, headers: RawHeaders) -> None:
        if self._is_understood and not self._ended:
            self._feed.send(ResponseStart(self._exchange, self._at(), status, headers))

    def response_data(self, data: bytes) -> None:
        if self._has_room():
            self._feed.send(ResponseData(self._exchange, self._at(), data))
            self._size += len(data)
            if not self._has_response:
                self._has_response = True
                for delay_s in RESPONSE_OPEN_S:
                    self._spool_open_in(delay_s, MAX_OPEN_BYTES)
                self._spool_again_in(RESPONSE_OPEN_S[-1] + OPEN_AGAIN_S)

    def _spool_open_in(self, delay_s: float, most_bytes: int) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._spool_open, most_bytes)

    def _spool_open(self, most_bytes: int) -> None:
        if not self._ended and self._size <= most_bytes:
            self._feed.spool_open(End(self._exchange, self._at(), "killed", ""))

    def _spool_again_in(self, delay_s: float) -> None:
        asyncio.get_running_loop().call_later(delay_s, self._spool_again)

    def _spool_again(self) -> None:
        if self._ended or self._copied + self._size > MAX_OPEN_BYTES:
            return
        if self._feed.is_behind():
            self._copied += self._size
            self._spool_open(MAX_OPEN_BYTES)
        self._spool_again_in(OPEN_AGAIN_S)

    def _has_room(self) -> bool:
        """Return whether a piece of a body is recorded. If too much waits, the record ends here."""
        if not self._is_understood or self._ended:
            return False
        if self._feed.is_overloaded():
            self.end("not_recorded", "More waited to be recorded than the Recorder keeps in memory.")
            return False
        return True

    def end(self, outcome: ExchangeOutcome, detail: str) -> None:
        """Pass the end on; later calls have no effect."""
        if not self._ended:
            self._ended = True
            self._feed.send(End(self._exchange, self._at(), outcome, detail))
            if self._is_understood:
                self._spooled = self._feed.spool(self._exchange)

    async def handed_over(self) -> None:
        """Return when killing all processes cannot lose the exchange, or after a bounded time."""
        if self._is_understood:
            await self._feed.handed_over(self._spooled, self._size)


class _SpoolThread:
    """A thread that masks exchanges and writes them to the spool: open ones one at a time, so that one that ends waits
    for one at most. `open`: the next ones, each with its messages and the end that it has if all processes are killed.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1, "spool")
        self.open: dict[str, tuple[Spool, list[bytes], bytes]] = {}
        self._writing: asyncio.Future[bool] | None = None

    def add(self, write: Callable[[], bool]) -> asyncio.Future[bool]:
        return asyncio.get_running_loop().run_in_executor(self.pool, write)

    def add_open(self, spool: Spool, exchange: str, frames: list[bytes], end: bytes) -> None:
        self.open[exchange] = spool, frames, end
        if self._writing is None:
            self._next()

    def _next(self) -> None:
        self._writing = None
        if self.open:
            exchange = next(iter(self.open))  # the one that has waited longest
            spool, frames, end = self.open.pop(exchange)
            self._writing = self.add(partial(spool.add, exchange, [*frames, end], is_open=True))
            self._writing.add_done_callback(self._written)

    def _written(self, done: asyncio.Future[bool]) -> None:
        if not done.cancelled():
            done.exception()  # the end of the exchange reports it
        self._next()
