"""Import of requests from a file. The whole file is validated before anything is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from playground.dataclass import dataclass
from playground.export.har import HarEntries, from_har
from playground.export.jsonl import FORMAT_KEY, from_line
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.json_bounds import loads
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun

MOST_LINE_BYTES = 256 * 1024 * 1024
"""Maximum length of a line: one request with its raw events."""
MOST_HAR_BYTES = 512 * 1024 * 1024
BATCH = 100


@dataclass(frozen=True, slots=True)
class Imported:
    """`skipped` requests were in the log already; `unreadable` counts entries that were left out, by reason."""

    added: int
    skipped: int
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Return the result for the user."""
        there = f"; {self.skipped:,} were there already" if self.skipped else ""
        left_out = "".join(f"\n{n:,} left out: {reason}" for reason, n in self.unreadable.items())
        return f"{self.added:,} requests imported{there}.{left_out}"


async def import_file(log: RequestLog, path: Path, progress: Callable[[int], None] = lambda _n: None) -> Imported:
    """Import a JSONL export or a HAR. Raises InputError with the line and field, and OSError. Imports nothing if it
    fails or is cancelled.

    Nothing in the file changes an endpoint, a setting or a prompt; its requests are found by `is:imported`.
    """
    if await asyncio.to_thread(_is_har, path):
        entries = await asyncio.to_thread(_har_entries, path)
        imported = await _import_batches(log, iter([list(entries.runs)]), progress)
        return replace(imported, unreadable=entries.skipped)
    # Two passes, to validate and to store, because a log can be too large for memory.
    await asyncio.to_thread(_judge, path)
    return await _import_batches(log, _batches(path), progress)


async def _import_batches(
    log: RequestLog, batches: Iterator[list[EndedRun]], progress: Callable[[int], None]
) -> Imported:
    added: list[str] = []
    seen = 0
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            added += await log.add(batch)
            seen += len(batch)
            progress(seen)
    except BaseException:
        # All or none, also for a full disk, a cancelled import, or a file that changed during the import.
        await asyncio.shield(log.delete(added))
        raise
    return Imported(len(added), seen - len(added))


def _is_har(path: Path) -> bool:
    """Return whether the file is one JSON object with a `log`, rather than lines of exported requests."""
    with path.open("rb") as file:
        start = file.read(65_536).lstrip(b"\xef\xbb\xbf \t\r\n")
    if _LOG_FIRST.match(start):
        return True
    return start[:1] == b"{" and FORMAT_KEY.encode() not in start and b'"log"' in start


_LOG_FIRST = re.compile(rb'\{\s*"log"')


def _har_entries(path: Path) -> HarEntries:
    try:
        value = loads(path.read_bytes(), max_bytes=MOST_HAR_BYTES, finite=False)
    except (ValueError, RecursionError) as error:
        raise InputError(FieldError((), f"this is not JSON: {error}.")) from None
    return from_har(value)


def _judge(path: Path) -> None:
    found = False
    for _ in _runs(path):
        found = True
    if not found:
        raise InputError(FieldError((), "there is no request in it."))


def _batches(path: Path) -> Iterator[list[EndedRun]]:
    batch: list[EndedRun] = []
    for run in _runs(path):
        batch.append(run)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _runs(path: Path) -> Iterator[EndedRun]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MOST_LINE_BYTES + 1):
            number += 1
            if len(line) > MOST_LINE_BYTES:
                raise InputError(FieldError((f"line {number}",), f"is longer than {MOST_LINE_BYTES // 1024**2:,} MB."))
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _run(line, number)


def _run(line: bytes, number: int) -> EndedRun:
    try:
        return from_line(line)
    except InputError as bad:
        raise InputError(
            *(FieldError((f"line {number}", *problem.path), problem.message, problem.hint) for problem in bad.problems)
        ) from None
