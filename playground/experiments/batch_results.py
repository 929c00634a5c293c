"""Results of a batch: one line per finished row in a JSON lines or CSV file, written durably; and sums over them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct, field

from playground.client.endpoint import Rates, cost
from playground.client.events import Usage
from playground.client.redact import redact
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError, UnwritableOutputError
from playground.runs.metrics import decimal
from playground.runs.state import RunState
from playground.runs.summary import error_object, rounded_ms, warning_objects, wire_tool_calls, wire_usage
from playground.storage.paths import append_whole, write_shared

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Sums(Struct):
    """Sums over results. `requests` counts every attempt. Those without reported prompt and cached tokens are also
    counted in `unreported`, never added as 0."""

    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    unreported: int = 0
    cost: float | None = None

    def add_figures(self, result: Mapping[str, Json]) -> None:
        """Add the figures of a result, without those of `earlier` in it."""
        prompt, cached, completion = prompt_tokens_of(result), cached_tokens_of(result), completion_tokens_of(result)
        self._add_run(attempts_of(result), prompt, cached, completion, result.get("cost"))

    def add_sums(self, other: Sums) -> None:
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self._add_cost(other.cost)

    def add_state(self, state: RunState, rates: Rates, attempts: int = 0) -> None:
        """Add a run that has no result. `attempts`: at least so many were sent."""
        usage = state.usage or Usage(None, None, None, None)
        attempts, price = max(attempts, len(state.attempts)), cost_of(state, rates)
        self._add_run(attempts, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, price)

    def _add_run(
        self, attempts: int, prompt: int | None, cached: int | None, completion: int | None, price: Json
    ) -> None:
        reported = prompt is not None and cached is not None and cached <= prompt
        self.requests += max(attempts, reported)
        self.unreported += max(attempts - reported, 0)
        if prompt is not None and cached is not None and reported:
            self.prompt_tokens += prompt
            self.cached_tokens += cached
        self.completion_tokens += completion or 0
        self._add_cost(price)

    def _add_cost(self, price: Json) -> None:
        if isinstance(price, int | float) and not isinstance(price, bool):
            self.cost = (self.cost or 0.0) + price


class Earlier(Sums):
    """Sums of the requests for a row that were sent before the one of its result. False without any.

    `ids`: the run ids of these requests, or the request_ids if a table has no others.
    """

    ids: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, result: Mapping[str, Json] | None) -> Earlier:
        """Return what a result says of the requests before it."""
        found = result.get("earlier") if result is not None else None
        earlier = cls()
        if isinstance(found, dict):
            for name in _COUNTS:
                if isinstance(value := found.get(name), int):
                    setattr(earlier, name, value)
            earlier._add_cost(found.get("cost"))
            ids = found.get("ids")
            earlier.ids = [str(one) for one in ids] if isinstance(ids, list) else []
        return earlier

    @classmethod
    def with_result(cls, result: Mapping[str, Json] | None) -> Earlier:
        """Return the sums of a result and of the requests before it."""
        earlier = cls.of(result)
        if result is not None:
            earlier.add_figures(result)
            earlier.ids += [one for one in (result.get("run_id"), result.get("request_id")) if isinstance(one, str)][:1]
        return earlier

    def __bool__(self) -> bool:
        return self.requests > 0

    def add(self, other: Earlier) -> None:
        self.ids += other.ids
        self.add_sums(other)

    def fields(self) -> dict[str, Json]:
        return {**{name: getattr(self, name) for name in _COUNTS}, "cost": self.cost, "ids": list(self.ids)}


_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "unreported")


class BatchTotals(Sums):
    """Sums over results, with the number of rows and of those that passed each check."""

    rows: int = 0
    done: int = 0
    warned: int = 0
    """Answers with a warning: cut, or not known to be complete."""
    passed: dict[str, int] = field(default_factory=dict)

    def add(self, result: Mapping[str, Json]) -> None:
        """Add a row's result, without the requests before it."""
        self.rows += 1
        self.done += result.get("phase") == "done"
        self.warned += bool(result.get("warnings"))
        self.add_figures(result)
        checks = result.get("checks")
        for name, passed in checks.items() if isinstance(checks, dict) else ():
            self.passed[name] = self.passed.get(name, 0) + bool(passed)

    @property
    def cached_share(self) -> float | None:
        """Cached tokens as a share of prompt tokens, 0 to 1; None if none were reported."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def cost_of(state: RunState, rates: Rates) -> float | None:
    """Return dollars: of input and output, or of the input only if no rate for output is set; None if unknown."""
    priced = cost(state.usage, rates)
    return priced.input if rates.output is None else priced.total


def prompt_tokens_of(result: Mapping[str, Json]) -> int | None:
    """Return prompt tokens of a result; None if they were not reported."""
    return _count(_usage(result).get("prompt_tokens"))


def cached_tokens_of(result: Mapping[str, Json]) -> int | None:
    """Return cached tokens of a result; None if they were not reported."""
    details = _usage(result).get("prompt_tokens_details")
    return _count(details.get("cached_tokens")) if isinstance(details, dict) else None


def completion_tokens_of(result: Mapping[str, Json]) -> int | None:
    """Return completion tokens of a result; None if they were not reported."""
    return _count(_usage(result).get("completion_tokens"))


def attempts_of(result: Mapping[str, Json]) -> int:
    """Return the attempts of a result. Earlier versions stored none: 1, or 0 for a row that was not sent."""
    attempts, error = _count(result.get("attempts")), result.get("error")
    if attempts is not None:
        return attempts
    return 0 if isinstance(error, dict) and error.get("kind") == "input" else 1


def _usage(result: Mapping[str, Json]) -> Mapping[str, Json]:
    usage = result.get("usage")
    return usage if isinstance(usage, dict) else {}


def _count(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


COLUMNS = (
    *("row", "request_id", "status", "phase", "text", "tool_calls", "finish_reason", "prompt_tokens"),
    *("completion_tokens", "total_tokens", "cached_tokens", "cost", "error", "checks", "variables", "earlier"),
    *("attempts", "warnings"),
)
_COLUMN_NAMES = tuple(COLUMNS[:count] for count in range(len(COLUMNS) - 3, len(COLUMNS) + 1))
"""Of a table of this version and of earlier ones."""

NOTE_SUFFIX = ".batch"
"""End of the name of the file beside the results that exists until every row was answered."""
SUFFIXES = (".jsonl", ".ndjson", ".csv")
_USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")
_TEXTS = ("request_id", "phase", "text", "finish_reason")


def result_of(
    number: int,
    variables: Mapping[str, str],
    state: RunState,
    rates: Rates,
    checks: Mapping[str, bool],
    run_id: str | None = None,
    earlier: Earlier | None = None,
) -> dict[str, Json]:
    """Return a row's result.

    `cost` is in dollars at the endpoint's rates: of input and output, or of the input only if no rate for output is
    set; null if it is unknown. `run_id` names the request in the request log of this computer. `attempts`: how often it
    was sent. `earlier`: sums of the row's requests before this one.
    """
    result: dict[str, Json] = {
        "row": number,
        "variables": {name: redact(value, None) for name, value in variables.items()},
        "request_id": state.request_id,
        "status": state.status,
        "phase": state.phase,
        "text": state.text,
        "tool_calls": wire_tool_calls(state),
        "finish_reason": state.finish_reason,
        "usage": wire_usage(state.usage),
        "cost": cost_of(state, rates),
        "ttft_ms": rounded_ms(state.ttft_s),
        "error": error_object(state.error),
        "run_id": run_id,
        "attempts": len(state.attempts),
        "warnings": warning_objects(state),
    }
    if checks:
        result["checks"] = dict(checks)
    if earlier:
        result["earlier"] = earlier.fields()
    return result


def failed_result(
    number: int, variables: Mapping[str, str], message: str, earlier: Earlier | None = None
) -> dict[str, Json]:
    """Return the result of a row that was not sent."""
    result = result_of(number, variables, RunState(), Rates(), {}, earlier=earlier)
    return {**result, "phase": "failed", "error": {"kind": "input", "message": message}}


_DIGEST_CHARS = 64


class ResultFile:
    """The results of a batch on disk. `finished` has the results of rows that succeeded in an earlier run, by number.

    `failed` has the newest results of the other rows. A row that is sent again gets another line, in which `earlier`
    has the sums of the lines before; `close` removes those. A line that a crash cut off is removed when the file is
    opened again. Raises InputError if the file cannot be used: another process writes it, or it has results for other
    values than `rows` (by number) or of another `prompt`.

    The note beside it has the batch's id, the digest of its prompt, and then lines: `sent RUN_ID` before each attempt,
    `file LENGTH DIGEST` after each result, and `next LENGTH DIGEST` before the file is replaced.
    """

    def __init__(
        self, path: Path | None, *, resume: bool, rows: Mapping[int, Mapping[str, str]] | None = None, prompt: str = ""
    ) -> None:
        self.finished: dict[int, dict[str, Json]] = {}
        self.failed: dict[int, dict[str, Json]] = {}
        self.batch_id = uuid.uuid4().hex
        """Names the batch in the request log. Kept in `<output>.batch` until every row was answered."""
        self.continued = False
        """Whether earlier runs of the batch had the same `batch_id`."""
        self.attempts: Counter[str] = Counter()
        """Attempts of earlier runs by run id, also of those whose process was killed before the log knew of them."""
        self.is_changed = False
        """Whether something else has changed the results since the batch wrote them."""
        self._rows = rows
        self._prompt = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:32] if prompt else ""
        self._note = None if path is None else path.with_name(path.name + NOTE_SUFFIX)
        self._path = path
        self._csv = path is not None and is_csv(path)
        self._has_older_lines = False
        self._digest = hashlib.sha256()
        """Of the whole file."""
        self._written: list[tuple[int, str]] = []
        """Length and digest of the file as an earlier run has written it, or was about to when it was killed."""
        self._file: io.FileIO | None = None
        self._notes: io.FileIO | None = None
        self._writing = Lock()
        self._lock = _lock(path)
        if path is None:
            return
        try:
            if resume and self._note is not None and self._note.exists():
                self._read_note(path)
            if resume and path.exists():
                self._keep_whole_lines(path)
            self._file = path.open("ab" if resume else "xb", buffering=0)
            assert self._note is not None
            write_shared(self._note, self._header().encode("ascii"))
            self._notes = self._note.open("ab", buffering=0)
            if self._csv and self._file.tell() == 0:
                self._append(("\ufeff" + _csv_line(COLUMNS)).encode())
            self._note_line(self._file_line())
        except FileExistsError:
            raise _unusable(f"{path} exists.", "Name another file, or continue that batch with --resume.") from None
        except OSError as error:
            self._give_up(path, new=not resume)
            raise _unwritable(path, error) from None
        finally:
            if self._file is None and self._lock is not None:
                self._lock.release()

    @property
    def is_table(self) -> bool:
        """Whether the file is a table, which has no run ids."""
        return self._csv

    def join_group(self, group: str) -> None:
        """Use a group of the log (8 digits) of an earlier, complete run from now on. Raises OSError."""
        self.batch_id = group + self.batch_id[len(group) :]
        if self._note is not None and self._notes is not None:
            self._notes.close()
            write_shared(self._note, (self._header() + self._file_line()).encode("ascii"))
            self._notes = self._note.open("ab", buffering=0)

    def known_ids(self) -> list[str]:
        """Return the run ids of all results and of the requests before them; request_ids if a table has no others."""
        return list(dict.fromkeys(one for earlier in self._all_earlier() for one in earlier.ids))

    @property
    def lacks_ids(self) -> bool:
        """Whether `known_ids` may lack a request of the results: one without request_id in a table."""
        return self._csv and any(earlier.requests > len(earlier.ids) for earlier in self._all_earlier())

    def _all_earlier(self) -> Iterator[Earlier]:
        return (Earlier.with_result(result) for result in (*self.finished.values(), *self.failed.values()))

    def _give_up(self, path: Path, *, new: bool) -> None:
        """Close the file, and remove it if this batch has made it: the same command can then run again."""
        self._close_files()
        if self._file is not None:
            self._file = None
            if new:
                for made in (path, self._note):
                    with suppress(OSError):
                        assert made is not None
                        made.unlink()

    def _close_files(self) -> None:
        for file in (self._file, self._notes):
            if file is not None:
                file.close()

    def _keep_whole_lines(self, path: Path) -> None:
        data = path.read_bytes()
        newest = newest_results(parse_results(data, path))
        hint = "Continue with the same data, or name another file."
        for number, result in newest.items():
            done = result.get("phase") == "done"
            (self.finished if done else self.failed)[number] = result
            if self._rows is None:
                continue
            if number not in self._rows:
                raise _unusable(f"{path} has a result of row {number}, which the data does not have.", hint)
            if done and _masked(self._rows[number]) != _masked(result.get("variables")):
                raise _unusable(f"{path} has an answer for other values of row {number}.", hint)
        known = [hashlib.sha256(data[:length]).hexdigest() == digest for length, digest in self._written]
        self.is_changed = bool(known) and not any(known)
        self._rewrite(path, data, newest.values())

    def _rewrite(self, path: Path, data: bytes, results: Iterable[Mapping[str, Json]]) -> None:
        kept = format_results(results, path)
        self._digest = hashlib.sha256(kept)
        if kept != data:
            if self._note is not None and self._note.exists():
                with suppress(OSError), self._note.open("ab") as note:  # before: a kill leaves the one or the other
                    note.write(f"next {len(kept)} {self._digest.hexdigest()}\n".encode("ascii"))
            write_shared(path, kept)

    def _read_note(self, path: Path) -> None:
        assert self._note is not None
        batch_id, _, more = self._note.read_text("ascii", "replace").partition("\n")
        prompt, _, lines = more.partition("\n")
        for line in lines.splitlines():
            match line.split():
                case ["sent", run_id]:
                    self.attempts[run_id] += 1
                # A full disk may have cut a line.
                case ["file" | "next" as kind, length, digest] if length.isdecimal() and len(digest) == _DIGEST_CHARS:
                    self._written = [*(self._written if kind == "next" else ()), (int(length), digest)]
        self.batch_id = batch_id or self.batch_id  # empty after a full disk, in earlier versions
        self.continued = True
        self._prompt = self._prompt or prompt.strip()
        if prompt.strip() not in ("", self._prompt):
            hint = "Continue with the same prompt, or name another file."
            raise _unusable(f"{path} has answers to another prompt.", hint)

    def _header(self) -> str:
        """Return the first two lines of the note, and the lines of earlier attempts."""
        sent = (f"sent {run_id}\n" * count for run_id, count in self.attempts.items())
        return f"{self.batch_id}\n{self._prompt}\n{''.join(sent)}"

    def _file_line(self) -> str:
        assert self._file is not None
        return f"file {os.fstat(self._file.fileno()).st_size} {self._digest.hexdigest()}\n"

    def _note_line(self, line: str) -> None:
        if self._notes is not None:
            with suppress(OSError):  # a full disk: the write of the result reports it
                self._notes.write(line.encode("ascii"))

    def note_attempt(self, run_id: str) -> None:
        """Note that a request is about to be sent: after a kill of this process, the next run counts it."""
        self._note_line(f"sent {run_id}\n")

    def write(self, result: Mapping[str, Json]) -> None:
        """Append a result; it is on disk when this returns. Raises OSError."""
        text = _csv_line(_cells(result)) if self._csv else _json_line(result)
        self._has_older_lines |= row_number(result) in self.failed
        if self._file is None:
            print(text, end="", flush=True)
            return
        with self._writing:  # rows end in several threads, and length and digest in the note are of one state
            self._append(text.encode())
            self._note_line(self._file_line())

    def _append(self, line: bytes) -> None:
        assert self._file is not None
        append_whole(self._file.fileno(), line)
        self._digest.update(line)

    def close(self, *, complete: bool) -> None:
        """Close the file. `complete`: every row was answered, so that there is nothing to resume."""
        if self._has_older_lines and self._path is not None:
            with suppress(OSError, InputError):  # the older lines are no harm
                data = self._path.read_bytes()
                self._rewrite(self._path, data, newest_results(parse_results(data, self._path)).values())
        self._close_files()
        if complete and self._note is not None:
            self._note.unlink(missing_ok=True)
        if self._lock is not None:
            with suppress(OSError):  # Windows does not delete an open file
                Path(self._lock.lock_file).unlink()
            self._lock.release()


def _lock(path: Path | None) -> BaseFileLock | None:
    """Lock an output file against other processes. Raises InputError if one has it."""
    if path is None:
        return None
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:  # filelock waits also if it cannot create the file
            os.close(os.open(lock.lock_file, os.O_RDWR | os.O_CREAT, 0o644))
        except OSError as error:
            raise _unwritable(path, error) from None
        raise _unusable(f"{path} is being written by another process.", "Wait until that batch has ended.") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    return lock


def _unusable(detail: str, hint: str = "") -> InputError:
    return InputError.of(("-o",), detail, hint)


def _unwritable(path: Path, error: OSError) -> UnwritableOutputError:
    return UnwritableOutputError(FieldError(("-o",), f"{path} cannot be written: {error.strerror or error}."))


def check_output(path: Path) -> None:
    """Raise InputError if results cannot be written to this file: unknown format, or no such folder."""
    if path.suffix.lower() not in SUFFIXES:
        raise _unusable(f"{path} has none of the suffixes {', '.join(SUFFIXES)}.", "The suffix chooses the format.")
    if not path.parent.is_dir():
        raise _unusable(f"the folder {path.parent} does not exist.", "Create it, or name another file.")


def is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def row_number(result: Mapping[str, Json]) -> int:
    number = result["row"]
    assert isinstance(number, int)
    return number


def parse_results(data: bytes, path: Path) -> list[dict[str, Json]]:
    """Read results without a line that was cut off. Raises InputError if the file has other contents."""
    whole = data[: data.rfind(b"\n") + 1]
    try:
        if not whole and not _may_begin(data, path):
            raise ValueError
        found = list(_read_csv(whole)) if is_csv(path) else [json.loads(line) for line in whole.splitlines()]
        if not all(type(result["row"]) is int and result["row"] >= 0 for result in found):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _unusable(f"{path.name} is not the result of a batch.") from None
    return found


def _may_begin(cut: bytes, path: Path) -> bool:
    """Return whether a file without a whole line may be the beginning of results: a cut CSV header, or `{"row": `."""
    own = format_results((), path) or _json_line({"row": 0}).partition("0")[0].encode()
    return cut.startswith(own) or own.startswith(cut)


def format_results(results: Iterable[Mapping[str, Json]], path: Path) -> bytes:
    """Return results as the file's format: a table for .csv, else JSON lines."""
    if not is_csv(path):
        return "".join(map(_json_line, results)).encode()
    return ("\ufeff" + _csv_line(COLUMNS) + "".join(_csv_line(_cells(result)) for result in results)).encode()


def newest_results(results: Iterable[dict[str, Json]]) -> dict[int, dict[str, Json]]:
    """Return the last result of each row of one file, by number."""
    newest: dict[int, dict[str, Json]] = {}
    for result in results:
        number = row_number(result)
        newest.pop(number, None)
        newest[number] = result
    return newest


def merge_results(parts: Iterable[Iterable[Mapping[str, Json]]]) -> list[Mapping[str, Json]]:
    """Merge results by row, in the order of the data. An answered row wins over a failed one, then the later part."""
    merged: dict[int, Mapping[str, Json]] = {}
    for result in (result for part in parts for result in part):
        number = row_number(result)
        if number not in merged or result.get("phase") == "done" or merged[number].get("phase") != "done":
            merged[number] = result
    return [merged[number] for number in sorted(merged)]


def _read_csv(data: bytes) -> Iterable[dict[str, Json]]:
    """Yield the results of a table; the last row is left out if it was cut off inside a quoted cell."""
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    if data and tuple(reader.fieldnames or ()) not in _COLUMN_NAMES:
        raise ValueError
    for row in reader:
        if None in row or None in row.values():
            continue
        value: dict[str, Json] = {name: _value(name, cell) for name, cell in row.items()}
        usage: dict[str, Json] = {name: value.pop(name) for name in _USAGE}
        cached = value.pop("cached_tokens")
        known = any(figure is not None for figure in (*usage.values(), cached))
        value["usage"] = {**usage, "prompt_tokens_details": {"cached_tokens": cached}} if known else None
        yield value


def _value(name: str, cell: str) -> Json:
    if name in _TEXTS:
        text = cell[1:] if cell.startswith("'") and _risky(cell[1:]) else cell
        return text if text or name == "text" else None
    value: Json = json.loads(cell) if cell else [] if name == "tool_calls" else None
    return value


def _json_line(result: Mapping[str, Json]) -> str:
    return json.dumps(result, ensure_ascii=True) + "\n"


def _csv_line(cells: tuple[str, ...]) -> str:
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\r\n").writerow(cells)
    return held.getvalue()


def _cells(result: Mapping[str, Json]) -> tuple[str, ...]:
    usage = result.get("usage")
    values = {**result, **(usage if isinstance(usage, dict) else {}), "cached_tokens": cached_tokens_of(result)}
    return tuple(_cell(values.get(name)) for name in COLUMNS)


def _cell(value: Json) -> str:
    """Return a value as a cell. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if value is None or value == []:
        return ""
    if isinstance(value, float):
        return decimal(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if isinstance(value, str) and _risky(text) else text


def _risky(text: str) -> bool:
    return text.lstrip().startswith(("=", "+", "-", "@"))


def _masked(values: object) -> object:
    """Return variables as results store them, with keys masked; earlier versions did not mask them."""
    if not isinstance(values, Mapping):
        return values
    return {name: redact(value, None) if isinstance(value, str) else value for name, value in values.items()}
