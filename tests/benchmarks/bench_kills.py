"""Kill the program at random moments while it streams and writes: `python -m tests.benchmarks.bench_kills [KILLS]`.

Each time a child process sends several prompts concurrently to a real simulator, through the real client and log, and
prints the run_id of each request stored as ended. It is killed (SIGKILL) at a random moment. Then the whole file is
read, and each request reported as ended must be in it, complete. Goal: none lost, none damaged, of 200.

With `--deletions` the child adds ended requests and deletes some of them instead. After a kill, each request that was
not deleted must be in the log and in its text search, none that was reported as deleted may be in a byte of the files,
and one that was being deleted must be in it whole or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import signal
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from playground.client.endpoint import Endpoint
from playground.client.events import ContentDelta
from playground.prompt.document import Document, Message
from playground.requestlog.filter import EVERYTHING, LogFilter, TextTerm
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun, StoredRun
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from tests.benchmarks.bench_log_corpus import requests
from tests.forked_program import start_script

KILLS = 200
CHILD = "from tests.benchmarks.bench_kills import main; main()"
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
    process = start_script(CHILD, "--child", str(folder), base_url)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begun"
    first = process.stdout.readline() if after_an_end else ""
    time.sleep(after_s)  # The moment of the kill is random on purpose.
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    # The last line may be incomplete: an incomplete run_id was not reported as stored.
    return dict(line.split() for line in (first + said).splitlines(keepends=True) if line.endswith("\n"))


def check(folder: Path, promised: dict[str, str], tally: Tally) -> None:
    """Compare the file with the ends that were reported before this kill and before all earlier ones."""
    with closing(sqlite3.connect(folder / "request-log.sqlite3")) as connection:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            tally.damaged += 1
    found = asyncio.run(_all(folder))
    tally.kills += 1
    tally.ended = len(promised)
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


ADDED, DELETED, SEARCHED = 120, 80, 40
"""Requests that a child adds, and deletes, in turn; earlier requests that are searched for after a kill."""


WORD_CHARS = 24


def word_of(number: int) -> str:
    """Return a word that is in one request only."""
    return hashlib.sha256(f"{number}".encode()).hexdigest()[:WORD_CHARS]


def child_that_deletes(folder: Path, first: int) -> None:
    """Add and delete without end. Prints a letter and numbers: `a` added, `d` before a deletion, `D` after it."""

    async def main() -> None:
        log = await RequestLog.open(folder)
        print("begun", flush=True)
        chance, number = random.Random(first), first
        while True:
            made = list(islice(requests(ADDED, seed=number, first=number), ADDED))
            there = {}
            runs = []
            for one in made:
                document = one.record.document.replace('"version": 1', f'"version": 1, "word": "{word_of(number)}"')
                record = replace(one.record, run_id=f"{number:032x}", document=document)
                events = [ContentDelta(0.1, f"Answer {word_of(number)}"), *one.events]
                runs.append(EndedRun(record, tuple(events)))
                there[number] = record.run_id
                number += 1
            await log.add(runs)
            print("a", *there, flush=True)
            gone = chance.sample(list(there), DELETED)
            print("d", *gone, flush=True)
            await log.delete([there[each] for each in gone])
            print("D", *gone, flush=True)

    asyncio.run(main())


def measure_deletions(
    kills: int,
    folder: Path,
    seed: int = 1,
    *,
    searched: int | None = SEARCHED,
    there: set[int] | None = None,
    longest_s: float = LONGEST_S,
) -> Tally:
    """Kill a process that adds and deletes so many times on one log.

    Args:
        searched: earlier requests that are searched for after each kill; None for all.
        there: receives the requests in the log.
        longest_s: the longest time from the first added requests to the kill.
    """
    chance, tally = random.Random(seed), Tally()
    there = set() if there is None else there
    gone: set[int] = set()
    for kill in range(kills):
        process = start_script(CHILD, "--child", str(folder), "-", str(kill * 10**6))
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "begun"
        said = [process.stdout.readline()]
        time.sleep(chance.uniform(0.0, longest_s))  # The moment of the kill is random on purpose.
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[0].splitlines(keepends=True)
        deleting: set[int] = set()
        for line in said:
            if not line.endswith("\n"):
                continue
            kind, *words = line.split()
            numbers = set(map(int, words))
            there |= numbers if kind == "a" else set()
            deleting = numbers if kind == "d" else set()
            there -= numbers if kind in "dD" else set()
            gone |= numbers if kind == "D" else set()
        tally.kills += 1
        asyncio.run(compare(folder, there, gone, deleting, tally, searched))
        _count_traces(folder, gone, tally)
    return tally


async def compare(
    folder: Path, there: set[int], gone: set[int], deleting: set[int], tally: Tally, searched: int | None
) -> None:
    """Compare the log with the requests that have to be there, and add what is lost or damaged to the tally."""
    log = await RequestLog.open(folder)
    await log.recovered()
    stored = await log.stored(await log.numbers(EVERYTHING))
    found = {int(run.record.run_id, 16): run for run in stored}
    tally.ended = len(there)
    tally.lost += len(there - set(found))
    tally.damaged += len(gone & set(found))
    for number, run in found.items():
        word = word_of(number)
        tally.damaged += word not in run.record.document or word not in run.state().text
    # Those of the kill, and as many of the earlier ones: a search of each is most of the time.
    new = set(found) - there | deleting & set(found)
    count = len(found) if searched is None else min(searched, len(found))
    for number in {*new, *random.Random(len(found)).sample(sorted(found), count)}:
        rows = await log.page(LogFilter((TextTerm(word_of(number)),)))
        tally.damaged += [row.number for row in rows] != [found[number].number]
    tally.interrupted += len(deleting & set(found))
    # Those that were being added or deleted at the kill are known from now on.
    there |= set(found)
    gone |= deleting - set(found)
    await log.close()


def _count_traces(folder: Path, gone: set[int], tally: Tally) -> None:
    with closing(sqlite3.connect(folder / "request-log.sqlite3")) as connection:
        tally.damaged += connection.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        if connection.execute("SELECT value FROM meta WHERE name = 'purge'").fetchone() != (0,):
            return  # opening purges for a limited time; a later one continues
    data = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    # One search for thousands of words: they are hexadecimal.
    runs = re.findall(rb"[0-9a-f]{%d,}" % WORD_CHARS, data)
    found = {run[at : at + WORD_CHARS] for run in runs for at in range(len(run) - WORD_CHARS + 1)}
    tally.damaged += sum(word_of(number).encode() in found for number in gone)


def measure(kills: int, folder: Path, seed: int = 1) -> Tally:
    """Kill so many times on one log."""
    chance, tally = random.Random(seed), Tally()
    simulator = SimulatorProcess.start(SIMULATOR)
    try:
        promised: dict[str, str] = {}
        for number in range(kills):
            # The first kill comes after a request has ended, however slow the machine is.
            after_s = chance.uniform(0.0, LONGEST_S)
            promised |= kill_once(folder, simulator.base_url, after_s, after_an_end=number == 0)
            check(folder, promised, tally)
    finally:
        simulator.stop()
    return tally


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--child"]:
        if sys.argv[4:]:
            child_that_deletes(Path(sys.argv[2]), int(sys.argv[4]))
        child(Path(sys.argv[2]), sys.argv[3])
        return
    kills = int(sys.argv[1]) if sys.argv[1:] else KILLS
    with tempfile.TemporaryDirectory() as name:
        if sys.argv[2:] == ["--deletions"]:
            tally = measure_deletions(kills, Path(name))
            print(f"{tally.kills} kills; requests in the log at the end: {tally.ended:,}, ", end="")
            print(f"still there of those that a kill prevented from being deleted: {tally.interrupted:,}")
            print(f"lost: {tally.lost}; damaged, or not deleted: {tally.damaged}")
            return
        tally = measure(kills, Path(name))
    print(
        f"{tally.kills} kills; requests stored as ended before a kill: {tally.ended:,}, "
        f"interrupted by a kill: {tally.interrupted:,}"
    )
    print(f"lost: {tally.lost}; damaged: {tally.damaged}")


if __name__ == "__main__":
    main()
