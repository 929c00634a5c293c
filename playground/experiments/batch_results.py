"""Results of a batch: one line per finished row in a JSON lines or CSV file, written durably as rows finish."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from playground.client.endpoint import Rates
from playground.client.pricing import cost
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError
from playground.runs.state import RunState
from playground.runs.summary import error_object

COLUMNS = (
    "row",
    "request_id",
    "status",
    "phase",
    "text",
    "tool_calls",
    "finish_reason",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "cost",
    "error",
    "checks",
    "variables",
)


def result_of(
    number: int, variables: Mapping[str, str], state: RunState, rates: Rates, checks: Mapping[str, bool]
) -> dict[str, Json]:
    """Return a row's result. `cost` is in dollars at the endpoint's rates, null if a rate or the usage is unknown."""
    priced = cost(state.usage, rates)
    total = priced.total if priced.total is not None else priced.input
    result: dict[str, Json] = {
        "row": number,
        "variables": dict(variables),
        "request_id": state.request_id,
        "status": state.status,
        "phase": state.phase,
        "text": state.text,
        "tool_calls": _tool_calls(state),
        "finish_reason": state.finish_reason,
        "usage": _usage(state),
        "cost": total,
        "ttft_ms": None if state.ttft_s is None else round(state.ttft_s * 1000, 1),
        "error": error_object(state.trouble),
    }
    if checks:
        result["checks"] = dict(checks)
    return result


def _tool_calls(state: RunState) -> list[Json]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for _, call in sorted(state.tool_calls.items())
    ]


def _usage(state: RunState) -> Json:
    """Usage in the wire's shape; figures that were not reported are null."""
    usage = state.usage
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def failed_result(number: int, variables: Mapping[str, str], message: str) -> dict[str, Json]:
    """Return the result of a row that was not sent."""
    result: dict[str, Json] = {
        "row": number,
        "variables": dict(variables),
        "phase": "failed",
        "text": "",
        "tool_calls": [],
    }
    result |= dict.fromkeys(("request_id", "status", "finish_reason", "usage", "cost", "ttft_ms"))
    result["error"] = {"kind": "input", "message": message}
    return result


class ResultFile:
    """The results of a batch on disk. `finished` has the rows that succeeded before, from an earlier run of the batch.

    A line that a crash cut off is removed when the file is opened again. Raises InputError if the file cannot be used.
    """

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        self.finished: set[int] = set()
        self.batch_id = uuid.uuid4().hex
        """Names the batch in the request log. Kept in `<output>.batch` until every row was answered."""
        self._note = None if path is None else path.with_name(path.name + ".batch")
        self._csv = path is not None and path.suffix.lower() == ".csv"
        self._file: BinaryIO | None = None
        if path is None:
            return
        try:
            if resume and path.exists():
                self._keep_whole_lines(path)
            self._file = path.open("ab" if resume else "xb")
            self._keep_batch_id(resume=resume)
        except FileExistsError:
            raise InputError(
                FieldError(("-o",), f"{path} exists.", "Name another file, or continue that batch with --resume.")
            ) from None
        except OSError as error:
            raise InputError(FieldError(("-o",), f"{path} cannot be written: {error.strerror}.")) from None
        if self._csv and self._file.tell() == 0:
            self._file.write(("\ufeff" + _csv_line(COLUMNS)).encode())

    def _keep_whole_lines(self, path: Path) -> None:
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        rows = list(_read_csv(whole) if self._csv else _read_jsonl(whole))
        kept = {number for number, done in rows if done}
        if len(kept) < len(rows) or len(whole) < len(data):
            lines = _kept_csv(whole, kept) if self._csv else _kept_jsonl(whole, kept)
            replacement = path.with_name(path.name + ".tmp")
            replacement.write_bytes(lines)
            replacement.replace(path)
        self.finished = kept

    def _keep_batch_id(self, *, resume: bool) -> None:
        assert self._note is not None
        if resume and self._note.exists():
            self.batch_id = self._note.read_text("ascii").strip()[:32]
        else:
            self._note.write_text(self.batch_id + "\n", "ascii")

    def write(self, result: Mapping[str, Json]) -> None:
        """Append a result; it is on disk when this returns. Raises OSError."""
        text = _csv_line(_cells(result)) if self._csv else json.dumps(result, ensure_ascii=True) + "\n"
        if self._file is None:
            print(text, end="", flush=True)
            return
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self, *, complete: bool) -> None:
        """Close the file. `complete`: every row was answered, so that there is nothing to resume."""
        if self._file is not None:
            self._file.close()
        if complete and self._note is not None:
            self._note.unlink(missing_ok=True)


def _read_jsonl(data: bytes) -> list[tuple[int, bool]]:
    rows = []
    for line in data.splitlines():
        try:
            value = json.loads(line)
            rows.append((int(value["row"]), value.get("phase") == "done"))
        except (ValueError, KeyError, TypeError):
            raise InputError(FieldError(("-o",), "the output file is not the result of a batch.")) from None
    return rows


def _kept_jsonl(data: bytes, kept: set[int]) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(line for line in lines if json.loads(line)["row"] in kept and json.loads(line)["phase"] == "done")


def _csv_rows(data: bytes) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(FieldError(("-o",), "the output file is not the result of a batch."))
    return [row for row in reader if None not in row.values() and None not in row]


def _read_csv(data: bytes) -> list[tuple[int, bool]]:
    return [(int(row["row"]), row["phase"] == "done") for row in _csv_rows(data)]


def _kept_csv(data: bytes, kept: set[int]) -> bytes:
    lines = [_csv_line(COLUMNS)]
    lines += [
        _csv_line(tuple(row.values())) for row in _csv_rows(data) if int(row["row"]) in kept and row["phase"] == "done"
    ]
    return ("\ufeff" + "".join(lines)).encode()


def _csv_line(cells: tuple[str, ...]) -> str:
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\r\n").writerow(cells)
    return held.getvalue()


def _cells(result: Mapping[str, Json]) -> tuple[str, ...]:
    usage = result.get("usage")
    values = dict(result)
    if isinstance(usage, dict):
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        values |= {**usage, "cached_tokens": cached}
    return tuple(_cell(values.get(name)) for name in COLUMNS)


def _cell(value: Json) -> str:
    """Return a value as a cell. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if value is None or value == []:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    risky = isinstance(value, str) and text.lstrip().startswith(("=", "+", "-", "@"))
    return f"'{text}" if risky else text
