"""Kill the program at random moments while it streams and writes: `python -m tests.benchmarks.bench_kills [KILLS]`.

Each time a child process sends several prompts concurrently to a real simulator, through the real client and log, and
prints the run_id of each request stored as ended. It is killed (SIGKILL) at a random moment. Then the whole file is
read, and each request reported as ended must be in it, complete. Goal: none lost, none damaged, of 200.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from playground.client.endpoint import Endpoint
from playground.prompt.document import Document, Message
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import StoredRun
from playground.services import AppServices
from playground.simulator.launch import SimulatorProcess
from playground.tasks import Tasks

KILLS = 200
AT_ONCE = 6
LONGEST_S = 1.2
SIMULATOR = ("--plan", "none", "--ttft-ms", "10", "--token-ms", "2")


@dataclass(slots=True)
class Tally:
    """Counts over all kills."""

    kills: int = 0
    ended: int = 0
    lost: int = 0
    damaged: int = 0
    interrupted: int = 0


def child(folder: Path, base_url: str) -> None:
    """Send without end; print each run_id once its end is stored."""

    async def one(workspace: AppServices, endpoint: Endpoint, number: int) -> None:
        while True:
            document = Document(messages=(Message("system", "Be kind. " * 200), Message("user", f"Question {number}")))
            dispatch = await workspace.sender.send(document, endpoint, lambda _: None)
            print(dispatch.run.id, dispatch.run.state.phase, flush=True)

    async def main() -> None:
        workspace = AppServices(folder, {}, Tasks(lambda name, error: sys.exit(f"{name}: {error!r}")))
        await workspace.open_log()
        endpoint = Endpoint(id="killed", name="Killed", base_url=base_url, needs_key=False)
        # Imports httpx: on a loaded machine that takes longer than the shortest life of a child.
        await workspace.sender.connection.warm()
        print("begun", flush=True)
        await asyncio.gather(*(one(workspace, endpoint, number) for number in range(AT_ONCE)))

    asyncio.run(main())


def kill_once(folder: Path, base_url: str, after_s: float, *, after_an_end: bool = False) -> dict[str, str]:
    """Kill a child after a time, or after a time since its first request ended; returns the ended runs and phases."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_kills", "--child", str(folder), base_url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begun"
    first = process.stdout.readline() if after_an_end else ""
    time.sleep(after_s)  # The moment of the kill is random on purpose.
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    # The last line may be incomplete: an incomplete run_id was not reported as stored.
    return dict(line.split() for line in (first + said).splitlines(keepends=True) if line.endswith("\n"))


def check(folder: Path, promised: dict[str, str], tally: Tally) -> None:
    """Compare the file with the reported ends."""
    with closing(sqlite3.connect(folder / "request-log.sqlite3")) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            tally.damaged += 1
    found = asyncio.run(_all(folder))
    tally.kills += 1
    tally.ended += len(promised)
    tally.interrupted = sum(stored.phase == "interrupted" for stored in found.values())
    for run_id, phase in promised.items():
        stored = found.get(run_id)
        if stored is None or stored.phase != phase:
            tally.lost += 1
        elif stored.state().phase != phase or not stored.state().text or stored.state().usage is None:
            tally.damaged += 1


async def _all(folder: Path) -> dict[str, StoredRun]:
    """Read every request completely; raises for a row that cannot be read."""
    log = await RequestLog.open(folder)
    await log.recovered()
    numbers = await log.numbers(EVERYTHING)
    found = await log.stored(numbers)
    await log.close()
    return {stored.record.run_id: stored for stored in found}


def measure(kills: int, folder: Path, seed: int = 1) -> Tally:
    """Kill so many times on one log."""
    chance, tally = random.Random(seed), Tally()
    simulator = SimulatorProcess.start(SIMULATOR)
    try:
        promised: dict[str, str] = {}
        for number in range(kills):
            # The first kill comes after a request has ended, however slow the machine is.
            after_s = chance.uniform(0.0, LONGEST_S)
            promised = kill_once(folder, simulator.base_url, after_s, after_an_end=number == 0)
            check(folder, promised, tally)
    finally:
        simulator.stop()
    return tally


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3])
        return
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    with tempfile.TemporaryDirectory() as name:
        tally = measure(kills, Path(name))
    print(
        f"{tally.kills} kills; requests stored as ended before a kill: {tally.ended:,}, "
        f"interrupted by a kill: {tally.interrupted:,}"
    )
    print(f"lost: {tally.lost}; damaged: {tally.damaged}")


if __name__ == "__main__":
    main()
