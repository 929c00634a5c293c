"""Start: the whole process to its first painted window, against a bare QMainWindow with a qasync loop.

python -m tests.benchmarks.bench_start [ROUNDS]

The processes run in turn. Wall time and CPU time are from the start to the end right after the first paint, memory is
the maximum. Medians; the goals are 1.3 times the bare window for the time, 1.5 times for the memory. Other programs
disturb the CPU time less than the wall time.

A third process reports the CPU time from its first paint until all panes and menus are there, and until the log, the
connection and the simulator are. The goal is 150 ms for the panes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

BARE = """
import asyncio
from PySide6.QtWidgets import QApplication, QMainWindow
from qasync import QEventLoop
class Window(QMainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        done.set()
async def main():
    global done
    done = asyncio.Event()
    window = Window()
    window.resize(1280, 800)
    window.show()
    await done.wait()
application = QApplication([])
application.setQuitOnLastWindowClosed(False)
with asyncio.Runner(loop_factory=lambda: QEventLoop(application)) as runner:
    runner.run(main())
"""
PANES = """
import asyncio, os, sys, time
from pathlib import Path
from playground.ui.startup_checks import skip_unused_imports
skip_unused_imports()
from playground.ui.session import Session, make_application, make_runner
class Measured(Session):
    def _after_first_paint(self):
        self.times = [time.process_time()]
        super()._after_first_paint()
        self.times.append(time.process_time())
        self.warm = asyncio.ensure_future(self.end_when_ready())
    async def end_when_ready(self):
        await self.ready.wait()
        first, panes = self.times
        print(f"{(panes - first) * 1000} {(time.process_time() - first) * 1000}")
        self.end()
application = make_application()
async def main():
    return await Measured(application, Path(sys.argv[1]), os.environ).run()
with make_runner(application) as runner:
    runner.run(main())
"""
ROUNDS = 15


def _environment() -> dict[str, str]:
    environment = {**os.environ, "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")}
    # An installed program has its byte code; one that must not write it would compile itself at every start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _panes(folder: str) -> tuple[float, float]:
    """Return milliseconds of CPU time from the first paint to all panes, and to all services."""
    command = [sys.executable, "-c", PANES, folder]
    output = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True).stdout
    panes, services = output.split()
    return float(panes), float(services)


def _measure(command: list[str]) -> tuple[float, float, float]:
    """Return milliseconds of wall time and of CPU time, and the maximum memory in MB."""
    environment = _environment()
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return wall_ms, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "playground", "--data-dir", folder, "--exit-after-first-paint"]
        commands = {"bare window": [sys.executable, "-c", BARE], "playground": program}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                figures = _measure(command)
                # The first round fills the file cache, and writes the byte code.
                if number:
                    found[name].append(figures)
        rest = [_panes(folder) for _ in range(max(rounds // 3, 1))]
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    bare, own = medians["bare window"], medians["playground"]
    for name, (wall_ms, cpu_ms, memory_mb) in medians.items():
        print(f"{name:12} {wall_ms:7.0f} ms  {cpu_ms:7.0f} ms of CPU  {memory_mb:6.1f} MB")
    wall, cpu, memory = (mine / theirs for mine, theirs in zip(own, bare, strict=True))
    print(f"{'ratio':12} {wall:7.2f}     {cpu:7.2f}            {memory:6.2f}      (goals 1.30, 1.30, 1.50)")
    panes, services = (statistics.median(column) for column in zip(*rest, strict=True))
    print(f"first paint to all panes {panes:.0f} ms of CPU (goal 150), to all services {services:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
