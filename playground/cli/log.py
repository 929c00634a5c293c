"""`electron-playground log`: its actions, and the list as lines or JSON, newest first."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

from playground.cli.exit_status import FAILED, FINISHED
from playground.cli.log_actions import Work, delete, export, import_, report_malformed, show, ticket
from playground.client.redact import redact
from playground.export.terminal import for_stream, print_error, print_line, visible_line
from playground.prompt.document import Json
from playground.requestlog.filter import LogFilter, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow, LogUnavailableError
from playground.runs.metrics import Figure, seconds
from playground.storage.paths import data_folder

PAGE = 128


def log(options: argparse.Namespace) -> int:
    """Run the action that the first word names, `list` by default. Returns 0, 1 (failed); raises InputError (2)."""
    words = list(options.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "list"
    work = ACTIONS[action](words, options)
    folder = data_folder(options.data_dir, os.environ)
    try:
        status = asyncio.run(_with_log(folder, work))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has closed the pipe (`| head`): discard the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINISHED
    except (LogUnavailableError, OSError) as error:
        print_error(str(error))
        return FAILED


async def _with_log(folder: Path, work: Work) -> int:
    store = await RequestLog.open(folder)
    errors: list[str] = []

    def report(message: str) -> None:
        errors.append(message)
        print_error(message)

    try:
        if store.read_only_reason is not None:
            print_error(store.read_only_reason)
        store.on_trouble(report)
        # Let a notice (a damaged file was set aside) be printed before the output.
        await asyncio.sleep(0)
        await store.recovered()
        status = await work(store)
    finally:
        await store.close()
    return FAILED if errors and status == FINISHED else status


def _list(words: list[str], options: argparse.Namespace) -> Work:
    chosen = parse(" ".join(words), datetime.now().astimezone())

    async def work(store: RequestLog) -> int:
        report_malformed(chosen)
        async for row in _rows(store, chosen, options.limit):
            print_line(redact(json.dumps(_fields(row), ensure_ascii=True), None) if options.json else _line(row))
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


async def _rows(store: RequestLog, chosen: LogFilter, limit: int) -> AsyncIterator[LogRow]:
    before: int | None = None
    while limit > 0:
        page = await store.page(chosen, before, min(limit, PAGE))
        for row in page:
            yield row
        if len(page) < min(limit, PAGE):
            return
        before, limit = page[-1].number, limit - len(page)


def _fields(row: LogRow) -> dict[str, Json]:
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
        "forecast_cached_tokens": row.forecast_cached,
        "ttft_ms": None if row.ttft_s is None else round(row.ttft_s * 1000, 1),
        "duration_ms": None if row.duration_s is None else round(row.duration_s * 1000, 1),
        "answer": row.answer,
        "trouble": row.trouble or None,
    }


def _line(row: LogRow) -> str:
    """Return one request in columns."""
    status = visible_line(f"{row.status or ''} {row.finish_reason or row.phase}".strip())
    cells = (
        f"{row.started_utc.astimezone():%Y-%m-%d %H:%M:%S}",
        f"{status:<14}",
        f"{visible_line(row.request_id) if row.request_id else '—':<36}",
        f"in {Figure.reported(row.prompt_tokens).text:>6}",
        f"cached {Figure.reported(row.cached_tokens).text:>6}",
        f"out {Figure.reported(row.completion_tokens).text:>5}",
        f"ttft {seconds(row.ttft_s):>7}",
        _summary(row),
    )
    return redact("  ".join(cells), None)


def _summary(row: LogRow) -> str:
    if row.trouble:
        return visible_line(" ".join(row.trouble.split()))[:80]
    return for_stream(" ".join(row.answer.split())[:80], sys.stdout)
