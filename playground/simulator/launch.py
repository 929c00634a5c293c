"""Start and end of the simulator as a separate process. Standard library only."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

START_S = 30.0
STOP_S = 3.0


class SimulatorError(Exception):
    """The simulator's process did not start; the message is for the user."""


class SimulatorProcess:
    """A running simulator process."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str) -> None:
        self._process = process
        self.base_url = base_url

    @classmethod
    def start(cls, extra_args: Sequence[str] = ()) -> SimulatorProcess:
        """Start a simulator and wait until it listens (blocking, at most START_S seconds). Raises SimulatorError."""
        command = [*_program(), "simulator", "--json", "--stop-with-stdin", *extra_args]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=_environment(),
            )
        except OSError as error:
            raise SimulatorError(f"The built-in simulator did not start: {error}.") from error
        return cls(process, _base_url(process))

    @property
    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def stop(self) -> None:
        """End the process and wait for it. Does nothing if it has ended."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _environment() -> dict[str, str]:
    # The simulator must not inherit the key of the real service.
    return {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}


def _program() -> list[str]:
    # A packaged program has no interpreter to give a module to: it is its own.
    return [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "playground"]


def _base_url(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = _first_line(process.stdout)
    try:
        return str(json.loads(line)["base_url"])
    except (ValueError, KeyError, TypeError):
        process.kill()
        said = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
        process.wait()
        process.stdout.close()
        process.stderr.close()
        if process.stdin is not None:
            process.stdin.close()
        reason = said[-1] if said else f"it was not ready after {START_S:.0f} seconds"
        raise SimulatorError(f"The built-in simulator did not start: {reason}") from None


def _first_line(stream: IO[bytes]) -> bytes:
    """The first line, or nothing after START_S: reading a pipe has no limit of its own on every platform."""
    lines: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=START_S)
    except queue.Empty:
        return b""
