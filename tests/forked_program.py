"""This program in forked processes, with its modules loaded: saves 0.2 to 0.5 s of processor time per command.

One server process per test worker imports the program. For each command it forks a child with the command's arguments,
environment and pipes; the child runs `playground.cli.main`. `tests/cli/test_commands.py` starts each command in a new
interpreter, too. Linux only; elsewhere commands are started as usual.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

PRELOADED = (
    "aiohttp.web",
    "playground.cli.batch",
    "playground.cli.check",
    "playground.cli.log",
    "playground.cli.record",
    "playground.cli.send",
    "playground.lint.service",
    "playground.requestlog.log",
    "playground.simulator.command",
    "playground.simulator.server",
)
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open") and os.environ.get("FORKED") != "0"
"""FORKED=0 in the environment starts all commands as usual."""
PROGRAM = [sys.executable, "-m", "playground"]


class ForkedProgram:
    """One running command, with the part of Popen's interface that is used here."""

    def __init__(
        self, pid: int, pipes: tuple[IO[bytes], IO[bytes], IO[bytes]], status: int, args: Sequence[str]
    ) -> None:
        self.pid, self.args = pid, list(args)
        self.stdin, self.stdout, self.stderr = pipes
        self.returncode: int | None = None
        self._status = status
        self._pidfd = os.pidfd_open(pid)
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, in any number of threads. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            ready, _, _ = select.select([self._status], [], [], timeout)
            if not ready:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            with self._lock:
                if self.returncode is None:
                    self.returncode = int(os.read(self._status, 16) or b"1")
        return self.returncode

    def __del__(self) -> None:
        # Not at its end: another thread may still wait with these.
        for handle in (self._status, self._pidfd):
            os.close(handle)

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class _Server:
    """The process that forks. It ends with this process, whose end closes the socket."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = f"from tests.forked_program import serve; serve({theirs.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
        )
        theirs.close()
        atexit.register(self.stop)

    def stop(self) -> None:
        self._socket.close()
        self._process.wait(10)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> ForkedProgram:
        stdin, their_stdin = _pipe(writes=True)
        stdout, their_stdout = _pipe()
        stderr, their_stderr = _pipe()
        status, their_status = os.pipe()
        theirs = [their_stdin, their_stdout, their_stderr, their_status]
        message = json.dumps([list(arguments), dict(environment), str(folder)]).encode()
        # A message may be longer than a datagram: it goes through a file.
        file = os.memfd_create("command")
        os.write(file, message)
        os.lseek(file, 0, os.SEEK_SET)
        socket.send_fds(self._socket, [b"x"], [file, *theirs])
        for number in (file, *theirs):
            os.close(number)
        pid = int(self._socket.recv(16))
        pipes = (open(stdin, "wb", 0), open(stdout, "rb", 0), open(stderr, "rb", 0))  # noqa: SIM115, PTH123
        return ForkedProgram(pid, pipes, status, [*PROGRAM, *arguments])


def _pipe(*, writes: bool = False) -> tuple[int, int]:
    """Return (own end, the child's end) of a pipe."""
    read, write = os.pipe()
    return (write, read) if writes else (read, write)


_server: list[_Server] = []


def start(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None = None
) -> ForkedProgram | subprocess.Popen[bytes]:
    """Start the program with pipes, as Popen does, in `folder` or the present one."""
    if not SUPPORTED:
        pipe = subprocess.PIPE
        command = [*PROGRAM, *arguments]
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=dict(environment), cwd=folder
        )
    if not _server:
        _server.append(_Server())
    return _server[0].start(arguments, environment, folder or Path.cwd())


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    data: bytes = b"",
    *,
    folder: Path | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, with `data` as standard input, in `folder`. Raises subprocess.TimeoutExpired."""
    process = start(arguments, environment, folder)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with ThreadPoolExecutor(3) as pool, process.stdout, process.stderr:
        pool.submit(_write, process.stdin, data)
        outputs = pool.submit(process.stdout.read), pool.submit(process.stderr.read)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess([*PROGRAM, *arguments], status, *(output.result() for output in outputs))


def run_text(
    arguments: Sequence[str], environment: Mapping[str, str], text: str = "", *, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the program like `run`, with texts in UTF-8."""
    done = run(arguments, environment, text.encode("utf-8", "surrogatepass"), timeout=timeout)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _write(pipe: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:
        while data:
            data = data[pipe.write(data) :]


def serve(number: int) -> None:
    """Fork a child for each message, and write its exit status. Runs in the server process."""
    import importlib

    for name in PRELOADED:
        importlib.import_module(name)
    link = socket.socket(fileno=number)
    children: dict[int, tuple[int, int]] = {}
    while True:
        ready, _, _ = select.select([number, *children], [], [])
        for one in ready:
            if one == number:
                _, numbers, _, _ = socket.recv_fds(link, 1, 5)
                if not numbers:
                    return
                pid = os.fork()
                if pid == 0:
                    _become(numbers, [link.fileno(), *children, *(status for _, status in children.values())])
                children[os.pidfd_open(pid)] = (pid, numbers[4])
                for other in numbers[:4]:
                    os.close(other)
                link.send(str(pid).encode())
            else:
                pid, status = children.pop(one)
                _, ended = os.waitpid(pid, 0)
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
                os.close(status)
                os.close(one)


def _become(numbers: Sequence[int], unused: Sequence[int]) -> None:
    """Run the command in this forked process, and end it."""
    status = 1
    try:
        for number in unused:
            os.close(number)
        file, stdin, stdout, stderr, ended = numbers
        with open(file, "rb") as message:  # noqa: PTH123 - a file descriptor
            arguments, environment, folder = json.loads(message.read())
        os.close(ended)
        for target, source in enumerate((stdin, stdout, stderr)):
            os.dup2(source, target)
            os.close(source)
        encoding, _, errors = environment.get("PYTHONIOENCODING", "utf-8").partition(":")
        sys.stdin = io.TextIOWrapper(open(0, "rb"), encoding, errors or "strict")  # noqa: SIM115
        sys.stdout = io.TextIOWrapper(open(1, "wb"), encoding, errors or "strict")  # noqa: SIM115
        sys.stderr = io.TextIOWrapper(open(2, "wb"), encoding, "backslashreplace", line_buffering=True)  # noqa: SIM115
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        from playground.cli.main import main

        status = main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
