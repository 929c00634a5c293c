"""A server of this program in a child process: it prints its address as one JSON line, and ends with its parent.

Standard library only. The child must accept `--json` and `--stop-with-stdin`.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Self, cast

START_S = 30.0
STOP_S = 3.0
MAX_LINES = 50
"""Newest lines of standard error in memory."""
MAX_LINE_BYTES = 4_096
READ_BYTES = 16_384


class StartError(Exception):
    """The child process did not start; the message is the reason."""


class ServerProcess:
    """A running child process. Its standard error is read from the start, so that it never waits for a full pipe."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str) -> None:
        self._process = process
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._watchers: list[tuple[Callable[[str], object], Callable[[int], object]]] = []
        self._lock = threading.Lock()
        self._is_watched = False
        self._status: int | None = None
        """The exit status, after the watchers were called."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.base_url = base_url

    @classmethod
    def launch(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start this program with `arguments` and wait until it listens (blocking, at most START_S seconds).

        Raises StartError.
        """
        try:
            process = _popen([*arguments, "--json", "--stop-with-stdin"], environment)
        except OSError as error:
            raise StartError(f"{error}.") from error
        return cls(process, _base_url(process))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Return whether the process has ended, on request or not."""
        return self._process.poll() is not None

    @property
    def last_line(self) -> str:
        """Return the newest line of standard error that is not empty."""
        with self._lock:
            return next((line for line in reversed(self._lines) if line), "")

    def watch(self, on_line: Callable[[str], object], on_end: Callable[[int], object]) -> None:
        """Call back from a thread with each line of standard error, also earlier ones, then with the exit status."""
        with self._lock:
            self._is_watched = True
            for line in self._lines:
                on_line(line)
            status = self._status
            if status is None:
                self._watchers.append((on_line, on_end))
        if status is not None:
            on_end(status)

    def _read(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with contextlib.suppress(OSError, ValueError), _in_blocks(stream) as lines:  # `stop` may close the pipe
            for line in iter(lambda: lines.readline(MAX_LINE_BYTES), b""):
                text = line.decode("utf-8", "replace").strip()
                with self._lock:
                    self._lines.append(text)
                    for on_line, _ in self._watchers:
                        on_line(text)
        self._finish()

    def _finish(self) -> None:
        status = self._process.wait()
        with self._lock:
            self._status = status
        for _, on_end in self._watchers:
            on_end(status)

    def stop(self) -> None:
        """End the process and wait for it. Does nothing if it has ended."""
        process = self._process
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        if self._is_watched:
            # Its last requests are written before it ends.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._reader.join(STOP_S)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _in_blocks(pipe: IO[bytes]) -> io.BufferedReader:
    """Return a reader of an unbuffered pipe, whose own `readline` reads one byte at a time.

    The pipe itself has no buffer: closing a buffered one waits for a thread that reads it.
    """
    return io.BufferedReader(cast("io.RawIOBase", pipe), READ_BYTES)


def _popen(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start this program with pipes. Tests replace this function."""
    command, pipe = [*program_command(), *arguments], subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=dict(environment))


def program_command() -> list[str]:
    """Return the command line that starts this program."""
    # A packaged program has no interpreter to give a module to: it is its own.
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "playground"]


def _base_url(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    base_url = _first_url(process.stdout)
    if not base_url:
        process.kill()
        errors = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        raise StartError(errors[-1] if errors else f"it was not ready after {START_S:.0f} seconds")
    return base_url


def _first_url(stream: IO[bytes]) -> str:
    """Return the base URL, or "" after START_S: reading a pipe has no time limit on every platform.

    Other lines are read and dropped, so that the child never waits for a full pipe.
    """
    found: queue.Queue[str] = queue.Queue()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError), _in_blocks(stream) as lines:  # the pipe may be closed
            for line in iter(lines.readline, b""):
                with contextlib.suppress(ValueError, KeyError, TypeError):  # a problem may be reported before
                    found.put(str(json.loads(line)["base_url"]))
        found.put("")

    threading.Thread(target=read, daemon=True).start()
    try:
        return found.get(timeout=START_S)
    except queue.Empty:
        return ""


def stop_signal(with_stdin: bool) -> asyncio.Event:
    """Return the event of SIGINT and SIGTERM in a server's process; `with_stdin`: also of the end of standard input."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    if with_stdin:
        # The parent holds the other end: reading ends as soon as the parent has exited for any reason.
        threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
    return stopped


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):  # a signal has ended the loop meanwhile
        loop.call_soon_threadsafe(stopped.set)
