"""CPU time of a change of theme and of text size in the real window, and of the window when nothing happens.

Run: python -m tests.benchmarks.bench_theme [SECONDS]

A change is measured until `set` returns, and once more until the window has been painted. Idle: share of one core over
SECONDS in each mode, after the services have started.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication

from playground.ui.session import Session, make_application, make_runner

CHANGES, GOAL_MS = 10, 33
MODES = ("prompt", "compare", "batch", "recorder", "prompt")


async def changes(session: Session) -> None:
    """Print the times of CHANGES changes of theme."""
    widgets = QApplication.allWidgets()
    print(f"{len(widgets)} widgets, {sum(widget.isVisible() for widget in widgets)} visible")
    spent, painted = [], []
    for number in range(CHANGES):
        began = time.process_time()
        session.workspace.settings.set("theme", "light" if number % 2 else "dark")
        spent.append((time.process_time() - began) * 1000)
        session.window.repaint()
        painted.append((time.process_time() - began) * 1000)
        await asyncio.sleep(0.1)
    median, with_paint = statistics.median(spent), statistics.median(painted)
    print(f"change of theme: median {median:.1f} ms of CPU, {with_paint:.1f} ms painted (goal {GOAL_MS} ms)")


async def zooms(session: Session) -> None:
    """Print the times of CHANGES changes of the text size, which styles every visible widget again."""
    zoomed = asyncio.Event()
    session.appearance.zoomed.connect(zoomed.set)
    painted = []
    for number in range(CHANGES):
        zoomed.clear()
        began = time.process_time()
        session.workspace.settings.set("zoom", 100 if number % 2 else 110)
        await zoomed.wait()
        session.window.repaint()
        painted.append((time.process_time() - began) * 1000)
    print(f"change of text size: median {statistics.median(painted):.1f} ms of CPU, painted")


async def idle(session: Session, seconds: float) -> None:
    """Print the share of a core that the idle window takes in each mode."""
    for mode in MODES:
        session.window.modes.show_mode(mode)
        await asyncio.sleep(2)
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        share = (time.process_time() - cpu) / (time.monotonic() - began)
        print(f"idle, {mode:9} {share:7.3%} of a core (goal 0.3 %)", flush=True)


async def measure(application: QApplication, folder: Path, seconds: float) -> None:
    session = Session(application, folder, os.environ)
    session.show()
    await asyncio.wait_for(session.ready.wait(), 120)
    await asyncio.sleep(1)
    await changes(session)
    await zooms(session)
    await idle(session, seconds)
    await session.close()


def main(seconds: float) -> None:
    """Measure and print."""
    application = make_application()
    with tempfile.TemporaryDirectory() as folder, make_runner(application) as runner:
        runner.run(measure(application, Path(folder), seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
