"""`electron-playground log`: its actions, and the list as lines or JSON, newest first."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeAlias, cast

from playground.cli import FAILED, FINISHED, LOCK_WAIT_S, MOST_SHOWN, discard_output, ends_soon, without_keys
from playground.export.jsonl import to_line
from playground.export.log_files import FORMATS, Format, Imported, export_into, format_of, import_file
from playground.export.log_files import export as export_to
from playground.export.pages import as_html, as_markdown
from playground.export.snippets import SCRIPTS
from playground.export.terminal import for_stream, print_error, print_line, visible, visible_line
from playground.export.ticket import Contents, TicketContents, bundle, tickets
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError, writing_to
from playground.requestlog.filter import LogFilter, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow, LogUnavailableError, StoredRun
from playground.runs.metrics import Figure, counted, input_figure, output_figure, seconds
from playground.runs.record import RequestRecord
from playground.runs.summary import rounded_ms
from playground.services import recover_recordings
from playground.storage.paths import data_folder, write_private, write_shared

Work: TypeAlias = Callable[[RequestLog], Awaitable[int]]
"""Action on the open log; returns the exit status."""
PAGES: dict[str, Callable[[StoredRun], str]] = {"markdown": as_markdown, "html": as_html}
MAX_PIPED_BYTES = 4 * 1024**3
"""Bound on the temporary copy of a pipe or a device."""


def _filter(words: Iterable[str]) -> LogFilter:
    return parse(" ".join(words), datetime.now().astimezone())


def show(words: list[str], options: argparse.Namespace) -> Work:
    """Show why tokens were not cached, then tickets with contents; or lossless JSON lines, or the form of `--as`."""
    chosen = _by_id(words, "log show")

    async def work(store: RequestLog) -> int:
        runs = await _found(store, chosen)
        if runs and options.form in PAGES:
            _print("\n".join(map(PAGES[options.form], runs)))
        elif runs and options.form:
            return _print_scripts(runs, SCRIPTS[options.form])
        elif runs and options.json:
            _print("\n".join(to_line(run) for run in runs))
        elif runs:
            _print("\n".join((*_explanations(runs), tickets(runs, TicketContents("included")))))
        return _status_of(runs, words)

    return work


def _print_scripts(runs: Sequence[StoredRun], script: Callable[[RequestRecord], str]) -> int:
    """Print each request as a script. Names those that cannot be one, for example without a JSON body, and fails."""
    scripts, refused = [], []
    for run in runs:
        try:
            scripts.append(script(run.record))
        except InputError as problem:
            name, fields = run.record.run_id, problem.problems
            refused.append(InputError(*(FieldError((name, *one.path), one.message, one.hint) for one in fields)))
    if not scripts:
        raise refused[0]
    _print("\n".join(scripts))
    for error in refused:
        print_error(f"Left out: {error}")
    return FAILED if refused else FINISHED


def _explanations(runs: Sequence[StoredRun]) -> list[str]:
    """Return why tokens of each request were not cached, as lines of Markdown; none if no explanation is stored."""
    lines = []
    for run in runs:
        found = run.explanation if isinstance(run.explanation, dict) else {}
        if isinstance(sentence := found.get("sentence"), str):
            name = run.state().request_id or run.record.run_id
            words = (f"{name}:", f"{found.get('cause', 'unknown')}.", sentence)
            lines.append(f"- {' '.join(map(visible_line, words))}")
    return ["# Cache, as this program explains it", "", *(without_keys(line) for line in lines), ""] if lines else []


def ticket(words: list[str], options: argparse.Namespace) -> Work:
    """Write a support ticket; as a zip if the output's name ends so."""
    chosen = _by_id(words, "log ticket")
    choice = TicketContents(cast("Contents", (options.contents or "hashed").replace("-", " ")), options.workspace or "")

    async def work(store: RequestLog) -> int:
        runs = await _found(store, chosen)
        if runs:
            await asyncio.to_thread(_put, runs, choice, options.output or "-")
        return _status_of(runs, words)

    return work


def _put(runs: list[StoredRun], choice: TicketContents, output: str) -> None:
    if output == "-":
        _print(tickets(runs, choice))
        return
    with writing_to("--output", visible_line(output)):
        if output.lower().endswith(".zip"):
            # A ticket may contain prompts: readable by the user only, whatever the umask.
            write_private(Path(output), bundle(runs, choice))
        else:
            write_shared(Path(output), tickets(runs, choice).encode("utf-8", "replace"))


def _standard_output() -> IO[str]:
    """As UTF-8 whatever the terminal's encoding, and no line end changed: a pipe gets the bytes of a file."""
    sys.stdout.flush()
    return open(sys.stdout.fileno(), "w", encoding="utf-8", errors="replace", newline="", closefd=False)


def _print(text: str) -> None:
    with _standard_output() as out:
        shown = for_stream(text, out)
        out.write(shown if shown.endswith("\n") else shown + "\n")


async def _import(store: RequestLog, name: str) -> Imported:
    try:
        if name != "-" and not await asyncio.to_thread(_is_pipe, name):
            return await import_file(store, Path(name))
        # An import reads twice, which a pipe does not allow.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "input"
            await asyncio.to_thread(_copy, name, copy)
            return await import_file(store, copy)
    except OSError as error:
        if error.errno is None:  # of the log
            raise OSError(f"{name} cannot be imported: {error}.") from None
        raise InputError.of(("FILE",), f"{name} cannot be imported: {error.strerror or error}.") from None


def _is_pipe(name: str) -> bool:
    mode = Path(name).stat().st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _copy(name: str, copy: Path) -> None:
    """Copy standard input, a pipe or a device. Raises InputError if it is too large, OSError."""
    left = MAX_PIPED_BYTES
    handle = sys.stdin.fileno() if name == "-" else os.open(name, os.O_RDONLY)
    with open(handle, "rb", closefd=name != "-") as file, copy.open("wb") as target:
        while piece := file.read(1024 * 1024):
            left -= len(piece)
            if left < 0:
                limit = MAX_PIPED_BYTES // 1024**3
                raise InputError.of(("FILE",), f"{name} is larger than {limit} GiB.", "Import it as a file.")
            target.write(piece)


def export(words: list[str], options: argparse.Namespace) -> Work:
    """Export all requests that the filter finds into a file."""
    if not options.output:
        raise InputError.of(
            ("--output",), "says nowhere to write to.", "Give -o requests.jsonl, say, or -o - with --format."
        )
    chosen, path = _filter(words), Path(options.output)
    kind: Format | None = options.format or format_of(path)
    if kind is None:
        raise InputError.of(("--format",), f"is one of {', '.join(FORMATS)}.", "Or end the file's name so.")

    async def work(store: RequestLog) -> int:
        report_malformed(chosen)
        if options.output == "-":
            with _standard_output() as out:
                await export_into(out, store, chosen, kind)
            return FINISHED
        try:
            done = await export_to(store, chosen, path, kind)
        except OSError as error:
            print_error(
                visible_line(f"{path} cannot be written: {error.strerror or error}. An earlier file is unchanged.")
            )
            return FAILED
        print(f"{counted(done, 'request')} in {visible_line(str(path))}", file=sys.stderr)
        return FINISHED

    return work


def import_(words: list[str], _options: argparse.Namespace) -> Work:
    """Import requests from a file, all or none."""
    if len(words) != 1:
        raise InputError.of(("FILE",), "log import takes one file.", "Give a JSONL export or a HAR.")

    async def work(store: RequestLog) -> int:
        _writable(store)
        imported = await _import(store, words[0])
        print(visible(imported.sentence), file=sys.stderr)
        return FINISHED

    return work


def delete(words: list[str], options: argparse.Namespace) -> Work:
    """Delete all requests that the filter finds. Asks first; without a terminal --yes is required."""
    if not words:
        raise InputError.of(("FILTER",), "log delete needs a filter.", "since:2000-01-01 finds every request there is.")
    chosen = _filter(words)

    async def work(store: RequestLog) -> int:
        _writable(store)
        report_malformed(chosen)
        n = (await store.count(chosen, None)).n
        if n and not options.yes and not await asyncio.to_thread(_agreed, n):
            print("Nothing was deleted.", file=sys.stderr)
            return FAILED
        print(f"{counted(await store.delete_matching(chosen), 'request')} deleted.", file=sys.stderr)
        return FINISHED

    return work


def _agreed(n: int) -> bool:
    if not sys.stdin.isatty():
        raise InputError.of(
            ("--yes",), f"{counted(n, 'request')} would be deleted, and standard input is not a terminal.", "Add --yes."
        )
    return input(f"Delete {counted(n, 'request')} with all contents? [y/N] ").strip().lower() in ("y", "yes")


def _writable(store: RequestLog) -> None:
    if store.read_only_reason is not None:
        raise InputError.of(("log",), store.read_only_reason)


def _by_id(words: list[str], command: str) -> LogFilter:
    """Parse words as a filter; a word without a key is part of a request_id or a run id."""
    if not words:
        raise InputError.of(("ID",), f"{command} needs a part of an id, or a filter.")
    pasted = _filter(words)
    if pasted.malformed:
        return pasted
    return _filter(word if ":" in word else f"id:{_quoted(word)}" for word in words)


def _quoted(word: str) -> str:
    return f'"{word}"' if any(char.isspace() or char in ",;" for char in word) else word


def report_malformed(chosen: LogFilter) -> None:
    """Name the words of a pasted list of ids that are not ids."""
    if chosen.malformed:
        print_error(f"not an id, left out: {', '.join(chosen.malformed)}")


async def _found(store: RequestLog, chosen: LogFilter) -> list[StoredRun]:
    report_malformed(chosen)
    rows = await store.page(chosen, None, MOST_SHOWN + 1)
    if len(rows) > MOST_SHOWN:
        raise InputError.of(("ID",), f"finds more than {MOST_SHOWN} requests.", "Give fewer ids, or a narrower filter.")
    found = [await store.get(row.run_id) for row in rows]
    return [stored for stored in found if stored is not None]


def _status_of(runs: list[StoredRun], words: list[str]) -> int:
    """Return the exit status: FAILED, with a message, if no request was found."""
    if not runs:
        print_error(f"no request matches {' '.join(words)}.")
    return FINISHED if runs else FAILED


PAGE = 128
LISTED = 50
"""Requests of `log list` without `--limit`."""


def log(options: argparse.Namespace) -> int:
    """Run the action that the first word names, `list` by default. Returns 0, 1 (failed); raises InputError (2)."""
    words = list(options.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "list"
    _refuse_others(action, options)
    work = ACTIONS[action](words, options)
    reading = action not in CHANGES
    folder = data_folder(options.data_dir, os.environ, reading=reading)
    try:
        recover_recordings(folder)
        status = asyncio.run(_with_log(folder, work, reading=reading))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        discard_output()
        return FINISHED
    except (LogUnavailableError, OSError) as error:
        print_error(str(error))
        return FAILED


async def _with_log(folder: Path, work: Work, *, reading: bool) -> int:
    with ends_soon():
        store = await RequestLog.open(folder, reading=reading)
    with ends_soon(lambda: store.waits_for_lock):
        try:
            if store.read_only_reason is not None:
                print_error(store.read_only_reason)
            store.on_notice(print_error)
            store.waits_for_copies, store.lock_wait_s = True, LOCK_WAIT_S
            # Let a notice (a damaged file was set aside) be printed before the output.
            await asyncio.sleep(0)
            await store.recovered()
            status = await work(store)
        finally:
            await store.close()
    return FAILED if store.has_failed and status == FINISHED else status


def _list(words: list[str], options: argparse.Namespace) -> Work:
    chosen = _filter(words)

    async def work(store: RequestLog) -> int:
        report_malformed(chosen)
        async for row in _rows(store, chosen, options.limit or LISTED):
            runs = (await store.readable([row.number]))[0] if row.is_output_estimated else []
            output = Figure.reported(row.completion_tokens)
            if runs:
                output = output_figure(await asyncio.to_thread(runs[0].state), "")
            line = json.dumps(_fields(row, output), ensure_ascii=True) if options.json else _line(row, output)
            print_line(without_keys(line))
        return FINISHED

    return work


ACTIONS: dict[str, Callable[[list[str], argparse.Namespace], Work]] = {
    "list": _list,
    "show": show,
    "ticket": ticket,
    "export": export,
    "import": import_,
    "delete": delete,
}
_TAKEN_BY = {
    "--limit": ("limit", ("list",)),
    "--json": ("json", ("list", "show")),
    "--output": ("output", ("ticket", "export")),
    "--format": ("format", ("export",)),
    "--as": ("form", ("show",)),
    "--contents": ("contents", ("ticket",)),
    "--workspace": ("workspace", ("ticket",)),
    "--yes": ("yes", ("delete",)),
}
"""The attribute of each option, and the actions that take it."""


def _refuse_others(action: str, options: argparse.Namespace) -> None:
    """Refuse an option of another action: `log delete --limit 3` would delete more than three."""
    for option, (name, takers) in _TAKEN_BY.items():
        if getattr(options, name) not in (None, False) and action not in takers:
            raise InputError.of(
                (option,), f"is no option of log {action}.", f"It belongs to log {' and log '.join(takers)}."
            )
    if options.json and options.form:
        raise InputError.of(("--json",), "is another form than --as names.", "Give one of the two.")


CHANGES = frozenset(("import", "delete"))
"""Actions that change the log. The others also read a log whose disk is full or read-only."""


async def _rows(store: RequestLog, chosen: LogFilter, limit: int) -> AsyncIterator[LogRow]:
    before: int | None = None
    while limit > 0:
        page = await store.page(chosen, before, min(limit, PAGE))
        for row in page:
            yield row
        if len(page) < min(limit, PAGE):
            return
        before, limit = page[-1].number, limit - len(page)


def _fields(row: LogRow, output: Figure) -> dict[str, Json]:
    """Return one request's fields; null: not reported."""
    return {
        "run_id": row.run_id,
        "started_utc": row.started_utc.astimezone(UTC).isoformat(timespec="milliseconds"),
        "phase": row.phase,
        "status": row.status,
        "finish_reason": row.finish_reason,
        "request_id": row.request_id,
        "endpoint": row.endpoint_name,
        "simulated": row.endpoint_kind == "simulator",
        "model": row.model,
        "attempts": row.attempts,
        "prompt_tokens": row.prompt_tokens,
        "cached_tokens": row.cached_tokens,
        "completion_tokens": row.completion_tokens,
        "completion_tokens_estimated": round(output.value or 0) if output.state == "estimated" else None,
        "forecast_cached_tokens": row.forecast_cached,
        "ttft_ms": rounded_ms(row.ttft_s),
        "duration_ms": rounded_ms(row.duration_s),
        "answer": row.answer,
        "error": row.error_title or None,
        "trouble": row.error_title or None,  # the name of `error` in earlier builds
        "warning": row.warning or None,
    }


def _line(row: LogRow, output: Figure) -> str:
    """Return one request in columns."""
    status = visible_line(f"{row.status or ''} {row.finish_reason or row.phase}".strip())
    cells = (
        f"{row.started_utc.astimezone():%Y-%m-%d %H:%M:%S}",
        f"{status:<14}",
        f"{visible_line(row.request_id) if row.request_id else '—':<36}",
        f"in {_input(row):>7}",
        f"cached {Figure.reported(row.cached_tokens).text:>6}",
        f"out {output.text:>5}",
        f"ttft {seconds(row.ttft_s):>7}",
        _summary(row),
    )
    return "  ".join(cells)


def _input(row: LogRow) -> str:
    estimated = row.prompt_tokens_estimated
    return input_figure(row.prompt_tokens, estimated, row.phase, row.status, row.attempts, "").text


def _summary(row: LogRow) -> str:
    if row.error_title:
        return visible_line(" ".join(row.error_title.split()))[:80]
    return for_stream(" ".join(row.answer.split())[:80], sys.stdout)
