"""Request log with many requests, against the goals: `python -m tests.benchmarks.bench_log_large [N ...]`.

N is 1,000,000 by default; several sizes are measured one after the other. A second process makes the requests.
`--keep DIR` leaves the log in DIR, where a later call continues to fill it; a copy of it is measured, so that the tags,
requests and deletions of the measurement are not in it. `--fill` only fills, and leaves a copy in DIR/N at each size.
Times are medians, followed by the worst. While a log is filled, some queries are timed at N/100, N/10 and N requests,
for their growth: exponent 1 is proportional to the number of requests, 0 is constant.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import islice, pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from playground.requestlog.filter import EVERYTHING, Folding, LogFilter, Order, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun, LogRow
from playground.requestlog.store import FILE_NAME
from playground.runs.state import fold
from tests.benchmarks.bench_log_corpus import RARE, Made, requests

NOW = datetime(2027, 12, 1, tzinfo=UTC)
BATCH = 500
AT_ONCE = 64
APPENDED = 6_000
REMOVED = 10_000
GROUPED = 20_000

FILTERS = (
    ("status:429", 100),
    ("status:200", 100),
    ("finish:length", 100),
    ("cached:0 tokens:>1000", 100),
    ("tokens:>6000", 100),
    ("out:>89", 100),
    ("is:failed -status:429 since:700d", 100),
    ("endpoint:simulator model:electron", 100),
    ("-endpoint:electron", 100),
    ("until:2026-02-01 status:5xx", 100),
    ("has:tools", 100),
    ("tag:none is:done has:error", 100),
    ("in:<5", 100),
    ("finish:stop in:>4000 cached:unknown", 100),
    ("patient", 200),
    ("tient", 200),
    (RARE, 200),
    (f'"about {RARE}"', 200),
    ("预约", 200),
    ("किता", 200),
    ("laboratory appointment status:429", 200),
    ('"the of and"', 200),
    ("xqzvbn", 200),
    ("-patient", 200),
    ("ok", 200),
)


async def timed(name: str, goal_ms: float | None, call: Callable[[], Awaitable[object]], times: int = 7) -> None:
    spent = []
    found: object = None
    for _ in range(times):
        start = time.perf_counter()
        found = await call()
        spent.append((time.perf_counter() - start) * 1e3)
    spent.sort()
    goal = "" if goal_ms is None else f"goal {goal_ms:.0f} ms"
    missed = "  MISSED" if goal_ms is not None and spent[len(spent) // 2] > goal_ms else ""
    size = f"{len(found)} rows" if isinstance(found, list) else ""
    print(
        f"  {name:<44} {spent[len(spent) // 2]:9.2f} ms, worst {spent[-1]:9.2f}  {goal:<12} {size}{missed}", flush=True
    )


async def searched(log: RequestLog, text: str, goal_ms: float) -> None:
    """Time the steps of a filter's first page: the median of the first steps, and one search to its end."""
    chosen = parse(text, NOW)
    firsts = []
    for _ in range(5):
        start = time.perf_counter()
        await log.search(chosen)
        firsts.append((time.perf_counter() - start) * 1e3)
    rows: list[LogRow] = []
    steps, before, seen_at = [], None, 0.0
    cpu, start = await log._read_worker.call(time.thread_time), time.perf_counter()
    while True:
        began = time.perf_counter()
        found = await log.search(chosen, before, 128 - len(rows))
        steps.append((time.perf_counter() - began) * 1e3)
        rows, before = rows + found.rows, found.below
        seen_at = seen_at or (time.perf_counter() - start) * 1e3 * bool(rows)
        if before is None:
            break
    cpu = await log._read_worker.call(time.thread_time) - cpu
    whole = (time.perf_counter() - start) * 1e3
    print(
        f"  {text:<44} first step {sorted(firsts)[2]:7.1f} ms, worst {max(firsts):7.1f}  goal {goal_ms:.0f} ms"
        f"{'  MISSED' if sorted(firsts)[2] > goal_ms else ''}; first rows {seen_at:.0f}, all {whole:.0f} ms "
        f"({cpu * 1e3:.0f} ms CPU, {len(steps)} steps, longest {max(steps):.0f} ms) {len(rows)} rows",
        flush=True,
    )


def memory_mb() -> float:
    """Return the current memory of this process, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def fill(log: RequestLog, there: int, count: int) -> tuple[int, int]:
    """Add requests until there are `count`; return the bytes of the added bodies, and of these with documents."""
    bodies = documents = 0
    start, working = time.perf_counter(), 0.0
    grown: dict[str, list[float]] = {}
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    maker = context.Process(target=_make, args=(there, count, sent), daemon=True)
    maker.start()
    for first in range(there, count, BATCH):
        batch: list[EndedRun] = await asyncio.to_thread(received.recv)
        bodies += sum(len(one.record.body) for one in batch)
        documents += sum(len(one.record.document.encode()) for one in batch)
        began = time.perf_counter()
        await log.add(batch)
        working += time.perf_counter() - began
        kept = first + len(batch)
        if kept in (1_000, 10_000) or kept % 100_000 == 0:
            size = (await log.size()).used_bytes
            print(
                f"  … {kept:,} after {time.perf_counter() - start:.0f} s, {(kept - there) / working:,.0f} per second, "
                f"{size / kept:,.0f} bytes per request (bodies, each whole: {bodies / (kept - there):,.0f})",
                flush=True,
            )
        if kept in (count // 100, count // 10, count):
            for name, spent in (await _quick(log)).items():
                grown.setdefault(name, []).append(spent)
    maker.join()
    if count > there:
        print(f"  add: {(count - there) / working:,.0f} ended requests per second in the worker (of {count - there:,})")
    for name, times in grown.items():
        exponents = ", ".join(f"{math.log10(after / before):.2f}" for before, after in pairwise(times))
        print(f"  growth of {name:<36} {', '.join(f'{each:.2f} ms' for each in times)}: exponents {exponents}")
    return bodies, bodies + documents


def _make(first: int, count: int, connection: Connection) -> None:
    made = requests(count - first, first=first)
    while batch := [EndedRun(one.record, tuple(one.events)) for one in islice(made, BATCH)]:
        connection.send(batch)
    connection.close()


async def _quick(log: RequestLog) -> dict[str, float]:
    """Return the median times of some queries, in milliseconds."""
    (newest,) = await log.page(EVERYTHING, limit=1)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "the first page": lambda: log.page(EVERYTHING),
        "a common word": lambda: log.page(parse("patient", NOW)),
        "a rare word": lambda: log.page(parse(RARE, NOW)),
        "a whole request_id": lambda: log.find(newest.request_id or ""),
        "phrase of common words, first step": lambda: log.search(parse('"the of and"', NOW)),
        "failed requests": lambda: log.page(parse("is:failed", NOW)),
    }
    found = {}
    for name, call in calls.items():
        spent = []
        for _ in range(5):
            began = time.perf_counter()
            await call()
            spent.append((time.perf_counter() - began) * 1e3)
        found[name] = sorted(spent)[2]
    return found


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


async def keep(log: RequestLog, made: Made) -> None:
    await log.begin(made.record)
    for event in made.events:
        log.note(made.record.run_id, event)
    await log.finish(made.record.run_id, fold(made.events))


async def append(log: RequestLog, first: int, count: int) -> None:
    """Begin, record and finish requests as the program does, AT_ONCE concurrently."""
    made = list(requests(count, seed=11, first=first))
    waiting = iter(made)

    async def one_after_the_other() -> None:
        for one in waiting:
            await keep(log, one)

    worker = log._write_worker
    before = await worker.call(time.thread_time)
    start, cpu = time.perf_counter(), time.thread_time()
    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    spent, loop = time.perf_counter() - start, time.thread_time() - cpu
    busy = await worker.call(time.thread_time) - before
    missed = "" if count / spent >= 2000 else "  MISSED"
    print(
        f"  append: {count / spent:,.0f} finished requests per second, durable, {AT_ONCE} at once (goal 2,000){missed}"
    )
    print(
        f"          CPU of each: {busy / count * 1e6:.0f} µs in the worker ({count / busy:,.0f} per second), ", end=""
    )
    print(f"{loop / count * 1e6:.0f} µs on the event loop")


async def remove(log: RequestLog, count: int) -> None:
    """Delete the newest `count`, until the file contains nothing of them; request the first page meanwhile."""
    ids = await log.run_ids((await log.numbers(EVERYTHING))[-count:])
    before, start = await log.size(), time.perf_counter()
    deleting = asyncio.ensure_future(log.delete(ids))
    longest = 0.0
    while not deleting.done():
        asked = time.perf_counter()
        await log.page(EVERYTHING)
        longest = max(longest, time.perf_counter() - asked)
        await asyncio.sleep(0.05)
    await deleting
    spent, after = time.perf_counter() - start, await log.size()
    print(
        f"delete: {before.requests - after.requests:,} of {before.requests:,} in {spent:.1f} s, purged; the file is ",
        end="",
    )
    print(f"{(before.file_bytes - after.file_bytes) / 1e6:,.0f} MB smaller; the longest first page meanwhile ", end="")
    print(f"{longest * 1e3:.0f} ms")


async def questions(log: RequestLog, count: int) -> None:
    print("first pages and places:")
    await timed("first page", 50, lambda: log.page(EVERYTHING))
    await timed("first rows (as the table asks)", 50, lambda: log.rows_at(EVERYTHING, 0))
    await timed("page in the middle (keyset)", 50, lambda: log.page(EVERYTHING, count // 2))
    await timed("first jump (reads all numbers)", None, lambda: log.rows_at(EVERYTHING, count // 3), 1)
    await timed("jump to two thirds", 16, lambda: log.rows_at(EVERYTHING, count * 2 // 3))
    (middle,) = await log.page(EVERYTHING, count // 2, 1)
    print("ids:")
    await ids(log, middle)
    print("first page of a filter:")
    for text, goal in FILTERS:
        await searched(log, text, goal)
    await orders_and_groups(log)
    print("counts and sums (beside the table, on a thread of their own):")
    for text in ("", "status:429", "patient", "預 -laboratory tokens:>3000"):
        chosen = parse(text, NOW)
        await timed(f"count {text or 'everything'}", None, lambda c=chosen: log.count(c, None), 2)  # type: ignore[misc]
        await timed(f"totals {text or 'everything'}", None, lambda c=chosen: log.totals(c), 2)  # type: ignore[misc]
    await timed("one request whole", 50, lambda: log.get(middle.run_id))


async def orders_and_groups(log: RequestLog) -> None:
    print("orders and groups:")
    for key in ("time", "in", "total", "question", "answer", "cost", "model"):
        chosen = LogFilter(order=Order(key))
        await timed(f"first rows in order of {key}", 200, lambda c=chosen: log.rows_at(c, 0), 3)  # type: ignore[misc]
    newest = (await log.numbers(EVERYTHING))[-GROUPED:]
    for first in range(0, len(newest), GROUPED // 10):
        members = await log.run_ids(newest[first : first + GROUPED // 10])
        await log.set_tags(members, [f"batch:{first:08}"])
    folded = LogFilter(folding=Folding())
    await timed(f"first rows with {GROUPED:,} requests in 10 groups", 200, lambda: log.rows_at(folded, 0), 3)
    await timed("its count", None, lambda: log.count(folded), 3)
    await timed("the last row, first", None, lambda: log.rows_at(folded, 500_000), 1)


async def ids(log: RequestLog, row: LogRow) -> None:
    whole = row.request_id or ""
    await timed("whole run_id", 5, lambda: log.page(parse(row.run_id, NOW)))
    await timed("whole body id", 5, lambda: log.find(row.body_id or ""))
    await timed("whole request_id", 5, lambda: log.find(whole))
    await timed("its first 8 characters", 5, lambda: log.find(whole[:8]))
    await timed("6 characters of its middle", 5, lambda: log.find(whole[15:21]))
    await timed("its last 4 characters", None, lambda: log.find(whole[-4:]))
    await timed("an id that is not there", 5, lambda: log.find("00000000-dead-beef-0000-000000000000"))


async def filled(folder: Path, count: int) -> None:
    """Fill the log in a folder until it has `count` requests."""
    start = time.perf_counter()
    log = await RequestLog.open(folder)
    print(f"open: {(time.perf_counter() - start) * 1e3:.0f} ms")
    there = (await log.count(EVERYTHING)).n
    bodies, whole = await fill(log, there, count)
    await log.close()
    size = size_of(folder)
    print(f"size: {size / 1e6:,.0f} MB, {size / max(there, count):,.0f} bytes per request", end="")
    if count > there:
        print(f"; bodies alone, each whole: {bodies / (count - there):,.0f}, with documents ", end="")
        print(f"{whole / (count - there):,.0f} bytes per request", end="")
    print(flush=True)


async def measure(folder: Path) -> None:
    before = memory_mb()
    start = time.perf_counter()
    log = await RequestLog.open(folder)
    print(f"open: {(time.perf_counter() - start) * 1e3:.0f} ms")
    count = (await log.count(EVERYTHING)).n
    await questions(log, count)
    print(f"memory: {memory_mb() - before:+.0f} MB while opening and asking all of this (goal at most +50)")
    await append(log, count, APPENDED)
    await remove(log, REMOVED)
    await log.close()


def copied(folder: Path, to: Path) -> Path:
    """Copy a closed log."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / FILE_NAME, to / FILE_NAME)
    return to


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=[1_000_000], metavar="N")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    parser.add_argument("--fill", action="store_true")
    options = parser.parse_args()
    if options.fill and options.keep is None:
        parser.error("--fill needs --keep")
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name) / "log"
        for count in sorted(options.counts):
            print(f"{count:,} requests:")
            asyncio.run(filled(folder, count))
            if options.fill:
                copied(folder, folder / str(count))
            else:
                asyncio.run(measure(copied(folder, Path(name) / "copy")))


if __name__ == "__main__":
    main()
