"""Cost of exports: an export of many requests compared with only reading them, its memory, and a ticket of 100
requests.

Run with `python -m tests.benchmarks.bench_handover [requests]`.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playground.client.errors import http_error
from playground.client.events import AttemptFailed, AttemptStarted, HeadersReceived
from playground.export.log_files import FORMATS, PAGE, export, import_file
from playground.export.ticket import bundle, tickets
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun, StoredRun
from tests.requestlog.samples import answered, body_of, record

SYSTEM = "\n".join(
    f"Rule {n}: be kind to whoever calls, and never read out more than is asked for." for n in range(600)
)


def _runs(first: int, count: int) -> list[EndedRun]:
    kept = (record(body=body_of(f"Question {n}", SYSTEM), minute=n) for n in range(first, first + count))
    return [EndedRun(one, tuple(answered())) for one in kept]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def _files(folder: Path, count: int) -> None:
    log = await RequestLog.open(folder)
    for first in range(0, count, 500):
        await log.add(_runs(first, min(500, count - first)))
    began = time.perf_counter()
    numbers = await log.numbers(EVERYTHING)
    for first in range(0, count, PAGE):
        await log.stored(numbers[first : first + PAGE])
    reading = time.perf_counter() - began
    for kind in FORMATS:
        path, before, began = folder / f"out.{kind}", _peak_mb(), time.perf_counter()
        await export(log, EVERYTHING, path, kind)
        took, size = time.perf_counter() - began, path.stat().st_size / 1e6
        print(
            f"{kind:<6} {count:,} requests, {size:,.0f} MB: {count / took:,.0f} a second, "
            f"{took / reading:.1f} x only reading them, peak memory +{_peak_mb() - before:.0f} MB"
        )
    await log.close()
    other = await RequestLog.open(folder / "other")
    before, began = _peak_mb(), time.perf_counter()
    await import_file(other, folder / "out.jsonl")
    took = time.perf_counter() - began
    print(f"import {count:,} requests: {count / took:,.0f} a second, peak memory +{_peak_mb() - before:.0f} MB")
    await other.close()


def _refused() -> Sequence[StoredRun]:
    said = json.dumps({"error": {"message": "too long: " + SYSTEM}})
    error = http_error(400, {}, said, None)
    events = (AttemptStarted(0.0, 1), HeadersReceived(0.1, 400, "q", ""), AttemptFailed(0.2, error, "q"))
    kept = record(body=body_of("Why?", SYSTEM))
    return [StoredRun(kept, n, "failed", False, events) for n in range(100)]


def main() -> None:
    """Print the figures."""
    runs = _refused()
    for name, make in (("ticket", tickets), ("zip", bundle)):
        began = time.perf_counter()
        size = len(make(runs))
        took = time.perf_counter() - began
        print(f"{name} of 100 refused requests that repeat their 45 KB prompt: {took:.2f} s, {size / 1e3:,.0f} KB")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_files(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))


if __name__ == "__main__":
    main()
