"""Export of a filtered part of the log, one request at a time, and import of a file, validated as a whole first."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import IO, Literal, get_args

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.endpoint import cost
from playground.export import har, jsonl
from playground.export.har import HarEntries, from_har, other_forms
from playground.export.jsonl import FORMAT_KEY, from_line
from playground.export.masking import masked_run, masked_text
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.json_text import as_utf8, loads
from playground.requestlog.filter import LogFilter
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun, StoredRun
from playground.requestlog.sent_body import SentBody
from playground.runs.metrics import counted, decimal, output_figure
from playground.runs.summary import rounded_ms
from playground.storage.paths import is_stream, open_stream, remove_stale, temporary_beside

MOST_LINE_BYTES = 256 * 1024 * 1024
"""Maximum length of a line: one request with its raw events."""
MOST_HAR_BYTES = 512 * 1024 * 1024
BATCH = 100
MOST_IDS = 10_000
"""Ids that are looked up at once."""
LONGEST_ATTEMPTS = timedelta(hours=1)
"""Longest time between the beginning of a request and that of its last attempt."""


class Imported(Struct, frozen=True):
    """`replaced` requests were in the log from a HAR and got exact times; `skipped` ones were there and are unchanged.

    `unreadable` counts entries that were left out, by reason.
    """

    added: int
    replaced: int
    skipped: int
    unreadable: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """Return the result for the user."""
        replaced = f"; {self.replaced:,} got exact times" if self.replaced else ""
        there = f"; {self.skipped:,} {'was' if self.skipped == 1 else 'were'} there already" if self.skipped else ""
        left_out = "".join(f"\n{n:,} left out: {reason}" for reason, n in self.unreadable.items())
        return f"{counted(self.added, 'request')} imported{replaced}{there}.{left_out}"


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
    seen = replaced = 0
    try:
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            adding = asyncio.create_task(log.add(await _without_other_forms(log, batch)), name="import")
            try:
                await asyncio.shield(adding)
            finally:  # what is being written while the import is cancelled is written, and deleted below
                stored = await adding
                added += stored.new
                replaced += len(stored.replaced)
            seen += len(batch)
            progress(seen)
    except BaseException:
        # All or none, also for a full disk, a cancelled import, or a file that changed during the import.
        await asyncio.shield(log.delete(added))
        raise
    return Imported(len(added), replaced, seen - len(added) - replaced)


async def _without_other_forms(log: RequestLog, batch: list[EndedRun]) -> list[EndedRun]:
    """Leave out requests whose attempts an earlier version has imported from a HAR, one request each."""
    forms = [other_forms(run) for run in batch]
    wanted = list(dict.fromkeys(chain.from_iterable(forms)))
    known: dict[str, datetime] = {}
    for first in range(0, len(wanted), MOST_IDS):
        rows = await log.rows_of(wanted[first : first + MOST_IDS])
        known |= {row.run_id: row.started_utc for row in rows}
    return [
        run for run, ids in zip(batch, forms, strict=True) if not any(_same_time(run, known.get(id_)) for id_ in ids)
    ]


def _same_time(run: EndedRun, started: datetime | None) -> bool:
    """Return whether a request can have the attempt that began at `started`."""
    return started is not None and abs(started - run.record.started_utc) <= LONGEST_ATTEMPTS


def _is_har(path: Path) -> bool:
    """Return whether the file is one JSON object with a `log`, rather than lines of exported requests."""
    with path.open("rb") as file:
        start = as_utf8(file.read(65_536)).lstrip(b"\xef\xbb\xbf \t\r\n")
    if _LOG_FIRST.match(start):
        return True
    return start[:1] == b"{" and FORMAT_KEY.encode() not in start and b'"log"' in start


_LOG_FIRST = re.compile(rb'\{\s*"log"')


def _har_entries(path: Path) -> HarEntries:
    try:
        value = loads(as_utf8(path.read_bytes()), max_bytes=MOST_HAR_BYTES, finite=False)
    except (ValueError, RecursionError) as error:
        raise InputError.of((), f"this is not JSON: {error}.") from None
    return from_har(value)


def _judge(path: Path) -> None:
    if not sum(1 for _ in _runs(path)):
        raise InputError.of((), "there is no request in it.")


def _batches(path: Path) -> Iterator[list[EndedRun]]:
    runs = _runs(path)
    while batch := list(islice(runs, BATCH)):
        yield batch


def _runs(path: Path) -> Iterator[EndedRun]:
    with _reading(path) as read_line:
        number = 0
        while line := read_line(MOST_LINE_BYTES + 1):
            number += 1
            if len(line) > MOST_LINE_BYTES:
                raise InputError.of((f"line {number}",), f"is longer than {MOST_LINE_BYTES // 1024**2:,} MB.")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield _run(line, number)


@contextmanager
def _reading(path: Path) -> Iterator[Callable[[int], bytes]]:
    """Yield the function that reads the next line in UTF-8. Raises InputError for a wide text that is damaged."""
    with path.open("rb") as file:
        encoding = json.detect_encoding(file.read(4))
        file.seek(0)
        if not encoding.startswith(("utf-16", "utf-32")):
            yield file.readline
            return
        wide = io.TextIOWrapper(file, encoding, "surrogatepass", newline="\n")
        try:
            yield lambda most: wide.readline(most).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise InputError.of((), f"this is not {encoding.upper()} text (byte {error.start:,}).") from None


def _run(line: bytes, number: int) -> EndedRun:
    try:
        return from_line(line)
    except InputError as bad:
        raise InputError(
            *(FieldError((f"line {number}", *problem.path), problem.message, problem.hint) for problem in bad.problems)
        ) from None


COLUMNS = (
    *("started_utc", "request_id", "body_id", "run_id", "endpoint", "simulated", "model", "phase", "status"),
    *("finish_reason", "attempts", "prompt_tokens", "prompt_tokens_estimated", "cached_tokens"),
    *("cached_tokens_forecast", "completion_tokens", "completion_tokens_estimated", "time_to_first_token_ms"),
    *("total_ms", "input_cost_usd", "output_cost_usd", "saved_usd", "error", "marked", "tags", "comment", "question"),
    *("answer",),
)
_FORMULA = re.compile(r"[\s\x00-\x20\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
"""Spreadsheets skip white space before a formula, and take full-width signs as the sign."""
BOM = "\ufeff"


def heading() -> str:
    """Return the heading line, after the byte-order mark."""
    return BOM + _line(COLUMNS)


def to_row(stored: StoredRun) -> str:
    """Return one request as a line. An empty cell: not reported. Estimates have separate columns."""
    stored = masked_run(stored)
    state, record = stored.state(), stored.record
    usage, forecast = state.usage, record.forecast
    price = cost(usage, record.rates)
    received = output_figure(state, "")
    sent = bool(state.attempts) or not state.ended
    # Masked again: a key may be joined from pieces.
    return masked_text(
        _line(
            (
                record.started_utc.astimezone(UTC).isoformat(timespec="milliseconds"),
                state.request_id,
                state.body_id,
                record.run_id,
                record.endpoint_name,
                record.endpoint_kind == "simulator",
                record.model,
                stored.phase,
                state.status,
                state.finish_reason,
                len(state.attempts),
                usage.prompt_tokens if usage else None,
                round(forecast.prompt_tokens) if forecast and sent else None,
                usage.cached_tokens if usage else None,
                round(forecast.cached_tokens) if forecast else None,
                usage.completion_tokens if usage else None,
                round(received.value) if received.state == "estimated" and received.value is not None else None,
                rounded_ms(state.ttft_s),
                rounded_ms(state.ended_at),
                price.input,
                price.output,
                price.saved,
                state.error.title if state.error else None,
                stored.marked,
                " ".join(stored.tags),
                stored.comment,
                SentBody(record.body).question,
                state.text,
            )
        )
    )


def _line(cells: Sequence[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([_cell(cell) for cell in cells])
    return out.getvalue().encode("utf-8", "replace").decode("utf-8")


def _cell(value: object) -> object:
    """Put an apostrophe, which spreadsheets do not show, before a text that they would run as a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return decimal(value)
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


Format = Literal["jsonl", "csv", "har"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""jsonl: everything, to be imported again · csv: figures for a spreadsheet · har: HTTP, for tools that read it."""
PAGE = 128


def format_of(path: Path) -> Format | None:
    """Return the format of a file name's ending; None if it is another."""
    ending = path.suffix.lower().removeprefix(".")
    return next((known for known in FORMATS if known == ending), None)


async def export(
    log: RequestLog,
    chosen: LogFilter | Sequence[int],
    path: Path,
    kind: Format,
    progress: Callable[[int], None] = lambda _n: None,
) -> int:
    """Write the matches of a filter, or rows by number, in ascending order. Returns their number. Raises OSError.

    The file gets its name when it is complete; if that fails or is cancelled, an earlier file stays. Writes to the
    target of a link, and directly to a pipe or device.
    """
    if await asyncio.to_thread(is_stream, path):
        with os.fdopen(await asyncio.to_thread(open_stream, path), "w", encoding="utf-8", newline="") as stream:
            return await export_into(stream, log, chosen, kind, progress)
    path = Path(await asyncio.to_thread(os.path.realpath, path))
    await asyncio.to_thread(remove_stale, path)
    handle, name = await asyncio.to_thread(temporary_beside, path)
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
    """Export like `export`, into an open file: UTF-8, line ends unchanged."""
    done = 0
    async for page in _pages(log, chosen):
        await asyncio.to_thread(file.writelines, _pieces(page, kind, first=done == 0))
        done += len(page)
        progress(done)
    await asyncio.to_thread(_end, file, kind, empty=done == 0)
    return done


async def _pages(log: RequestLog, chosen: LogFilter | Sequence[int]) -> AsyncIterator[list[StoredRun]]:
    numbers = await log.numbers(chosen) if isinstance(chosen, LogFilter) else chosen
    for first in range(0, len(numbers), PAGE):
        if page := await log.stored(numbers[first : first + PAGE]):
            yield page


def _pieces(page: list[StoredRun], kind: Format, *, first: bool) -> Iterator[str]:
    if kind == "jsonl":
        for stored in page:
            yield jsonl.to_line(stored) + "\n"
    elif kind == "csv":
        if first:
            yield heading()
        for stored in page:
            yield to_row(stored)
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
        file.write(heading())
    if kind == "har":
        file.write((har.head() if empty else "") + har.TAIL)
    file.flush()
