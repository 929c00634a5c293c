"""This program in forked processes, with its modules loaded: saves 0.2 to 0.5 s of processor time per command.

One server process imports the program. For each command it forks a child with the command's arguments,
environment and pipes; the child runs `playground.cli.main`, or Python code if the first argument is `-c`.
`tests/cli/test_commands.py` starts each command in a new interpreter, too. Linux only; elsewhere commands are started
as usual.
"""

from __future__ import annotations

import atexit
import contextlib
import inspect
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
from typing import IO, Any, Self, cast

PRELOADED = (
    "aiohttp.web",
    "anyio._backends._asyncio",
    "filelock",
    "httpcore",
    "playground.agent.tool_mocks",
    "playground.cli.arguments",
    "playground.cli.batch",
    "playground.cli.check",
    "playground.cli.log",
    "playground.cli.main",
    "playground.cli.record",
    "playground.cli.recording_process",
    "playground.cli.send",
    "playground.client.exchange",
    "playground.lint.service",
    "playground.requestlog.log",
    "playground.runs.cache_memory",
    "playground.runs.shared_rate_limiter",
    "playground.simulator.process",
    "playground.simulator.server",
    "playground.telemetry.service",
    "playground.versions.comparison",
    "playground.versions.service",
)
PREPARED_FOR = ("batch", "check", "send")
LOADED_FOR = {
    "doctor": ("keyring.core", "playground.cli.doctor", "PySide6.QtWidgets"),
    "--data-dir": ("playground.app", "playground.ui.session", "playground.ui.controllers.results"),
}
"""Modules of one command that are imported before the first fork for it: they take a quarter of a second."""
PREPARED = (
    ("playground.prefix_cache.volatile_scan", "prepare"),
    ("playground.prefix_cache.value_kinds", "compile_patterns"),
)
"""Functions that compile patterns for half a second. They are called before the first fork for one of the commands."""
SUPPORTED = sys.platform == "linux" and hasattr(os, "pidfd_open") and os.environ.get("FORKED") != "0"
"""FORKED=0 in the environment starts all commands as usual."""
PROGRAM = [sys.executable, "-m", "playground"]


class ForkedProgram:
    """One running command, with the part of Popen's interface that is used here."""

    def __init__(
        self, pid: int, pidfd: int, pipes: tuple[IO[Any], IO[Any], IO[Any]], status: int, args: Sequence[str]
    ) -> None:
        self.pid, self.args = pid, list(args)
        self.stdin, self.stdout, self.stderr = pipes
        self.returncode: int | None = None
        self._status = status
        self._pidfd = pidfd
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

    def communicate(self, input: str | bytes | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write `input`, read both outputs and wait. Raises subprocess.TimeoutExpired."""
        with ThreadPoolExecutor(3) as pool, self.stdout, self.stderr:
            pool.submit(_write, self.stdin, input or b"")
            outputs = pool.submit(self.stdout.read), pool.submit(self.stderr.read)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            return outputs[0].result(), outputs[1].result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.wait()

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
    """A connection to the process that forks. The process ends when all connections to it are closed."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link

    def start(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        text: bool = False,
        file_limit: int | None = None,
    ) -> ForkedProgram:
        stdin, their_stdin = _pipe(writes=True)
        stdout, their_stdout = _pipe()
        stderr, their_stderr = _pipe()
        status, their_status = os.pipe()
        theirs = [their_stdin, their_stdout, their_stderr, their_status]
        message = json.dumps([list(arguments), dict(environment), str(folder), file_limit]).encode()
        # A message may be longer than a datagram: it goes through a file.
        file = os.memfd_create("command")
        os.write(file, message)
        os.lseek(file, 0, os.SEEK_SET)
        socket.send_fds(self._socket, [b"x"], [file, *theirs])
        for number in (file, *theirs):
            os.close(number)
        # With its descriptor: the program may have ended and been reaped by now.
        pid, (pidfd,), _, _ = socket.recv_fds(self._socket, 16, 1)
        pipes: tuple[IO[Any], IO[Any], IO[Any]]
        if text:
            pipes = (open(stdin, "w", encoding="utf-8"), open(stdout, encoding="utf-8"), open(stderr, encoding="utf-8"))  # noqa: SIM115, PTH123
        else:
            pipes = (open(stdin, "wb", 0), open(stdout, "rb", 0), open(stderr, "rb", 0))  # noqa: SIM115, PTH123
        return ForkedProgram(int(pid), pidfd, pipes, status, [*PROGRAM, *arguments])


def _pipe(*, writes: bool = False) -> tuple[int, int]:
    """Return (own end, the child's end) of a pipe."""
    read, write = os.pipe()
    return (write, read) if writes else (read, write)


_server: list[_Server] = []
_address: list[str | bytes] = []
"""In a command: where its servers, the simulator for example, are forked, too."""


def links(count: int) -> list[socket.socket]:
    """Start the process that forks, with this many connections: one per process that starts commands."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
    theirs = [theirs for _, theirs in pairs]
    code = f"from tests.forked_program import serve; serve({[each.fileno() for each in theirs]})"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        pass_fds=[each.fileno() for each in theirs],
        stdin=subprocess.DEVNULL,
        cwd=Path(__file__).parent.parent,
    )
    for each in theirs:
        each.close()
    owns = [own for own, _ in pairs]
    atexit.register(_stop, process, owns)
    return owns


def _stop(process: subprocess.Popen[bytes], owns: Sequence[socket.socket]) -> None:
    for own in owns:
        own.close()
    process.wait(10)


def use(link: socket.socket) -> None:
    """Start the commands of this process through this connection."""
    _server[:] = [_Server(link)]


def start(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path | None = None,
    *,
    text: bool = False,
    file_limit: int | None = None,
) -> ForkedProgram | subprocess.Popen[Any]:
    """Start the program with pipes, as Popen does, in `folder` or the present one.

    Args:
        arguments: the program's; or "-c", Python code and its arguments.
        text: the pipes are text, in UTF-8.
        file_limit: the most bytes of a file that the program can write.
    """
    if not SUPPORTED:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [*(PROGRAM[:1] if arguments[:1] == ["-c"] else PROGRAM), *arguments],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=-1 if text else 0,
            text=text,
            encoding="utf-8" if text else None,
            env=dict(environment),
            cwd=folder,
            preexec_fn=None if file_limit is None else lambda: _limit_files(file_limit),  # noqa: PLW1509
        )
    if not _server and _address:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(_address[0])
        use(link)
    elif not _server:
        use(*links(1))
    return _server[0].start(arguments, environment, folder or Path.cwd(), text=text, file_limit=file_limit)


def start_text(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.Popen[str]:
    """Start the program like `start`, with pipes of text, in this environment if none is given."""
    found = start(arguments, os.environ if environment is None else environment, folder, text=True)
    return cast("subprocess.Popen[str]", found)


def start_script(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start Python code, as `python -c` in the project's folder does, with pipes of text."""
    return start_text(["-c", code, *arguments], environment, Path(__file__).parent.parent)


def _limit_files(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    data: bytes = b"",
    *,
    folder: Path | None = None,
    timeout: float = 120,
    file_limit: int | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, with `data` as standard input, in `folder`. Raises subprocess.TimeoutExpired."""
    process = start(arguments, environment, folder, file_limit=file_limit)
    with process:
        try:
            outputs = process.communicate(data, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess([*PROGRAM, *arguments], process.returncode or 0, *outputs)


def run_text(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    text: str = "",
    *,
    folder: Path | None = None,
    timeout: float = 120,
    file_limit: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the program like `run`, with texts in UTF-8."""
    data = text.encode("utf-8", "surrogatepass")
    done = run(arguments, environment, data, folder=folder, timeout=timeout, file_limit=file_limit)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def _write(pipe: IO[Any], data: str | bytes) -> None:
    with contextlib.suppress(BrokenPipeError), pipe:
        while data:
            data = data[pipe.write(data) :]


_loaded: set[str] = set()
"""What the server process has imported and prepared."""


def _load(arguments: Sequence[str]) -> None:
    """Import the program before the first fork, and compile patterns before the first command that uses them."""
    import gc
    import importlib

    if "modules" not in _loaded:
        _loaded.add("modules")
        for name in PRELOADED:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a child would copy the pages of all modules
    command = arguments[0] if arguments else ""
    if command not in _loaded:
        _loaded.add(command)
        for name in LOADED_FOR.get(command, ()):
            importlib.import_module(name)
    if "patterns" not in _loaded and command in PREPARED_FOR:
        _loaded.add("patterns")
        prepare()


def prepare() -> None:
    """Compile the patterns that processes forked from this one use."""
    import importlib

    for module, function in PREPARED:
        getattr(importlib.import_module(module), function)()


def serve(numbers: Sequence[int]) -> None:
    """Fork a child for each message on one of these sockets, and write its exit status. Runs in the server process."""
    links = {number: socket.socket(fileno=number) for number in numbers}
    children: dict[int, tuple[int, int]] = {}
    commands = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    commands.bind("")  # an abstract address that the kernel chooses
    commands.listen()
    while links:
        ready, _, _ = select.select([*links, *children, commands.fileno()], [], [])
        for one in ready:
            if one == commands.fileno():
                link, _ = commands.accept()
                links[link.fileno()] = link
            elif one in links:
                files: Sequence[int] = ()
                with contextlib.suppress(ConnectionError):  # a command was killed
                    _, files, _, _ = socket.recv_fds(links[one], 1, 5)
                if not files:
                    links.pop(one).close()
                    continue
                with open(files[0], "rb") as file:  # noqa: PTH123 - a file descriptor
                    message = json.loads(file.read())
                _load(message[0])
                pid = os.fork()
                if pid == 0:
                    _address[:] = [commands.getsockname()]
                    statuses = (status for _, status in children.values())
                    _become(message, files[1:], [*links, *children, *statuses, commands.fileno()])
                pidfd = os.pidfd_open(pid)
                children[pidfd] = (pid, files[4])
                for other in files[1:4]:
                    os.close(other)
                with contextlib.suppress(ConnectionError):
                    socket.send_fds(links[one], [str(pid).encode()], [pidfd])
            else:
                pid, status = children.pop(one)
                _, ended = os.waitpid(pid, 0)
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
                os.close(status)
                os.close(one)


def _become(message: Sequence[Any], numbers: Sequence[int], unused: Sequence[int]) -> None:
    """Run the command in this forked process, and end it."""
    status = 1
    try:
        for number in unused:
            os.close(number)
        arguments, environment, folder, file_limit = message
        stdin, stdout, stderr, ended = numbers
        os.close(ended)
        for target, source in enumerate((stdin, stdout, stderr)):
            os.dup2(source, target)
            os.close(source)
        _open_streams(environment)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        if file_limit is not None:
            _limit_files(file_limit)
        child_process = sys.modules["playground.child_process"]
        child_process._popen = start  # type: ignore[attr-defined]
        if arguments[:1] == ["-c"]:
            sys.argv = ["-c", *arguments[2:]]
            exec(compile(arguments[1], "<script>", "exec"), {"__name__": "__main__"})
            status = 0
        else:
            if arguments[:1] == ["record"]:
                _fork_the_first_child()
            status = _main(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _main(arguments: list[str]) -> int:
    from playground.cli.main import main

    return main(arguments)


def _open_streams(environment: Mapping[str, str]) -> None:
    """Open the standard streams as a new interpreter does."""
    encoding, _, errors = environment.get("PYTHONIOENCODING", "utf-8").partition(":")
    sys.stdin = io.TextIOWrapper(open(0, "rb", closefd=False), encoding, errors or "strict")  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding, errors or "strict")  # noqa: SIM115
    stderr = open(2, "wb", closefd=False)  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(stderr, encoding, "backslashreplace", line_buffering=True)


def _fork_the_first_child() -> None:
    """Fork the recording process from `record`, too: it is the first child.

    It is forked now, because no thread runs yet, and waits for its streams. Another one, after the first has died, is
    a new interpreter.
    """
    execute = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    parameters = inspect.signature(execute)
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        own.close()
        message, files, _, _ = socket.recv_fds(theirs, 4096, 2)
        if not files:  # the command has ended
            os._exit(0)
        _become_child(json.loads(message), files)
    theirs.close()

    def start(*given: Any) -> None:
        found = parameters.bind(*given).arguments
        if list(found["args"][:3]) != PROGRAM:
            execute(*given)
            return
        subprocess.Popen._execute_child = execute  # type: ignore[attr-defined]
        with own:
            socket.send_fds(own, [json.dumps(list(found["args"][3:])).encode()], [found["p2cread"], found["c2pwrite"]])
        found["self"].pid, found["self"]._child_created = pid, True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        found["self"]._close_pipe_fds(*(found[name] for name in pipes))

    subprocess.Popen._execute_child = start  # type: ignore[attr-defined]


def _become_child(arguments: list[str], streams: Sequence[int]) -> None:
    """Run a command in a process forked from another command, in a separate session with these streams, and end it."""
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for target, source in enumerate(streams):
            os.dup2(source, target)
        os.closerange(3, 1_024)
        _open_streams(os.environ)
        status = _main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
