"""Start: the whole process to its first painted window, against a bare QMainWindow with a qasync loop.

python -m tests.benchmarks.bench_start [ROUNDS]

Each is a process of its own, taken in turn; wall time is from its start to its end right after the first paint, memory
the most that it held. Medians; the goal is 1.5 times the bare window for both.
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
ROUNDS = 15


def _measure(command: list[str]) -> tuple[float, float]:
    """Wall milliseconds, and the most memory held in MB."""
    environment = {**os.environ, "QT_QPA_PLATFORM": os.environ.get("QT_QPA_PLATFORM", "offscreen")}
    # An installed program has its byte code; one that must not write it would compile itself at every start.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return wall_ms, usage.ru_maxrss / 1024


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "playground", "--data-dir", folder, "--exit-after-first-paint"]
        commands = {"bare window": [sys.executable, "-c", BARE], "playground": program}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for number in range(rounds + 1):
            for name, command in commands.items():
                figures = _measure(command)
                # The first round fills the file cache, and writes the byte code.
                if number:
                    found[name].append(figures)
    medians = {name: [statistics.median(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
    bare, own = medians["bare window"], medians["playground"]
    for name, (wall_ms, memory_mb) in medians.items():
        print(f"{name:12} {wall_ms:7.0f} ms  {memory_mb:6.1f} MB")
    print(f"{'ratio':12} {own[0] / bare[0]:7.2f}     {own[1] / bare[1]:6.2f}      (goal 1.50 each)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
