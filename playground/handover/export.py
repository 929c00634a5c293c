"""A filtered part of the log into a file, one request after another: never all of it in memory."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, get_args

from playground.handover import har, lossless, table
from playground.requestlog.filter import LogFilter
from playground.requestlog.log import RequestLog
from playground.requestlog.records import StoredRun

Format = Literal["jsonl", "csv", "har"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""jsonl: everything, to be imported again · csv: figures for a spreadsheet · har: HTTP, for tools that read it."""
PAGE = 128


def format_of(path: Path) -> Format | None:
    """The format that a file's name ends in; None where it is none of them."""
    ending = path.suffix.lower().removeprefix(".")
    return next((known for known in FORMATS if known == ending), None)


async def export(
    log: RequestLog,
    chosen: LogFilter | Sequence[int],
    path: Path,
    kind: Format,
    progress: Callable[[int], None] = lambda _n: None,
) -> int:
    """Write what a filter finds, or rows by their numbers, in rising order. Answers with how many. Raises OSError.

    The file takes its name when it is whole; where that fails, or where this is cancelled, what was there stays.
    """
    handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=path.parent, prefix=f".{path.name[:32]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            done = await export_into(file, log, chosen, kind, progress)
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(Path(name).replace, path)
    except BaseException:
        with suppress(OSError):
            await asyncio.to_thread(Path(name).unlink)
        raise
    return done


async def export_into(
    file: IO[str],
    log: RequestLog,
    chosen: LogFilter | Sequence[int],
    kind: Format,
    progress: Callable[[int], None] = lambda _n: None,
) -> int:
    """As `export`, into a file that is open: UTF-8, and line ends left as they are."""
    done = 0
    async for page in _pages(log, chosen):
        await asyncio.to_thread(_write, file, page, kind, first=done == 0)
        done += len(page)
        progress(done)
    await asyncio.to_thread(_end, file, kind, empty=done == 0)
    return done


async def _pages(log: RequestLog, chosen: LogFilter | Sequence[int]) -> AsyncIterator[list[StoredRun]]:
    numbers = await log.numbers(chosen) if isinstance(chosen, LogFilter) else chosen
    for first in range(0, len(numbers), PAGE):
        if page := await log.stored(numbers[first : first + PAGE]):
            yield page


def _write(file: IO[str], page: list[StoredRun], kind: Format, *, first: bool) -> None:
    file.writelines(_pieces(page, kind, first=first))


def _pieces(page: list[StoredRun], kind: Format, *, first: bool) -> Iterator[str]:
    if kind == "jsonl":
        for stored in page:
            yield lossless.to_line(stored) + "\n"
    elif kind == "csv":
        if first:
            yield table.heading()
        for stored in page:
            yield table.to_row(stored)
    else:
        comma = "\n" if first else ",\n"
        if first:
            yield har.head()
        for stored in page:
            for entry in har.to_entries(stored):
                yield comma + entry
                comma = ",\n"


def _end(file: IO[str], kind: Format, *, empty: bool) -> None:
    if empty and kind == "csv":
        file.write(table.heading())
    if kind == "har":
        file.write((har.head() if empty else "") + har.TAIL)
    file.flush()
