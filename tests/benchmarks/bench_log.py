"""The request log's speed against a bare SQLite insert in the same run: `python -m tests.benchmarks.bench_log [ROWS]`.

Prints ratios and milliseconds; the ratio is what counts, since machines differ.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from playground.client.events import AnyEvent, AttemptStarted, Completed, ContentDelta, HeadersReceived, RawEvent
from playground.requestlog.filter import EVERYTHING, parse
from playground.requestlog.log import RequestLog
from playground.runs.record import RequestRecord
from playground.runs.state import fold

NOW = datetime.now(UTC)
SYSTEM = "You answer calls for a clinic, briefly and kindly. " * 80
PIECES = 20
AT_ONCE = 32


def body(n: int) -> bytes:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Question {n} about topic{n % 97}"}]
    return json.dumps({"model": "electron", "messages": messages}).encode()


def record(n: int) -> RequestRecord:
    return RequestRecord(
        uuid.uuid4().hex, "e", "Electron", "electron", "https://x.test", "electron", NOW, body(n), "{}"
    )


def events(n: int) -> list[AnyEvent]:
    made: list[AnyEvent] = [AttemptStarted(0.0, 1), HeadersReceived(0.1, 200, str(uuid.uuid4()), "text/event-stream")]
    for piece in range(PIECES):
        text = f"word{(n + piece) % 500} "
        made += [RawEvent(0.2, f'{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}'), ContentDelta(0.2, text)]
    return [*made, Completed(1.0)]


async def keep(log: RequestLog, n: int) -> None:
    kept, happened = record(n), events(n)
    await log.begin(kept)
    for event in happened:
        log.note(kept.run_id, event)
    await log.finish(kept.run_id, fold(happened))


def floor(folder: Path, rows: int) -> float:
    """Return seconds per request: two durable commits of the same bytes, no index, no search, no parts."""
    with closing(sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
        made = [body(n) for n in range(rows)]
        start = time.perf_counter()
        for data in made:
            connection.execute("INSERT INTO t (data) VALUES (?)", (data,))
            connection.execute("INSERT INTO t (data) VALUES (?)", (data,))
        return (time.perf_counter() - start) / rows


async def timed(name: str, call: Callable[[], Awaitable[object]], times: int = 20) -> None:
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        await call()
        spent.append(time.perf_counter() - start)
    spent.sort()
    print(f"{name:<44} median {spent[len(spent) // 2] * 1e3:8.2f} ms   worst {spent[-1] * 1e3:8.2f} ms")


async def questions(log: RequestLog, rows: int) -> None:
    common, rare, status = (parse(text, NOW) for text in ("question", '"topic42"', "status:429"))
    await timed("first page", lambda: log.page(EVERYTHING))
    await timed("page in the middle (keyset)", lambda: log.page(EVERYTHING, rows // 2))
    await timed("first jump (reads the row numbers)", lambda: log.rows_at(EVERYTHING, rows // 3), 1)
    await timed("jump to two thirds", lambda: log.rows_at(EVERYTHING, rows * 2 // 3))
    await timed("search, word in every row", lambda: log.page(common))
    await timed("search, word in 1 % of rows", lambda: log.page(rare))
    await timed("filter that matches nothing", lambda: log.page(status), 3)
    await timed("part of an id (not its start)", lambda: log.find("9db7"), 3)
    await timed("count, everything", lambda: log.count(EVERYTHING), 3)
    await timed("count, word in every row", lambda: log.count(common), 3)
    await timed("totals, everything", lambda: log.totals(EVERYTHING), 3)
    newest = (await log.page(EVERYTHING, limit=1))[0].run_id
    await timed("one run whole", lambda: log.get(newest))


async def measure(folder: Path, rows: int) -> None:
    bare = floor(folder, 2000)
    log = await RequestLog.open(folder)
    start = time.perf_counter()
    for first in range(0, rows, AT_ONCE):
        await asyncio.gather(*(keep(log, n) for n in range(first, min(first + AT_ONCE, rows))))
    each = (time.perf_counter() - start) / rows
    print(f"{rows:,} requests, each {len(body(0)):,} bytes of body and {2 * PIECES + 3} events")
    print(f"append: {each * 1e3:.2f} ms a request = {each / bare:.1f} x the bare two inserts ({bare * 1e3:.2f} ms)")
    kept = record(0)
    start = time.perf_counter()
    await log.begin(kept)
    print(f"begin (what Send waits for): {(time.perf_counter() - start) * 1e3:.2f} ms")
    delta = ContentDelta(0.1, "x")
    start = time.perf_counter()
    for _ in range(10_000):
        log.note(kept.run_id, delta)
    print(f"note: {(time.perf_counter() - start) / 10_000 * 1e6:.2f} µs an event on the loop")
    await log.finish(kept.run_id, fold([AttemptStarted(0.0, 1), Completed(1.0)]))
    await questions(log, rows)
    await log.close()
    start = time.perf_counter()
    await (await RequestLog.open(folder)).close()
    print(f"open and close: {(time.perf_counter() - start) * 1e3:.1f} ms")


def main() -> None:
    """Measure with the number of rows given, 100,000 by default."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(measure(folder, rows))
        size = (folder / "request-log.sqlite3").stat().st_size
        print(f"size: {size / 1e6:.1f} MB, {size / rows:,.0f} bytes a request")


if __name__ == "__main__":
    main()
