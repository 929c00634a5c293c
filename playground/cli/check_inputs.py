"""Inputs of `check`: prompt files, request bodies of any API, lists of them, HAR and rows of the request log."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from playground.export.jsonl import FORMAT_KEY as EXPORT_KEY
from playground.export.terminal import print_error
from playground.lint.prefix_baseline import FORMAT_KEY as BASELINE_KEY
from playground.prefix_cache.forecast import CacheUsage
from playground.prefix_cache.found_spans import NO_USAGE, PromptUsage
from playground.prefix_cache.traffic import har_usage, usage_of
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.field_errors import Path as FieldPath
from playground.prompt.files import FORMAT_KEY, MAX_FILE_BYTES, parse_value, read_input, refuse_repeated
from playground.prompt.import_formats import open_any_bytes
from playground.prompt.import_formats.api_bodies import Report, chat_body, genai_attributes
from playground.prompt.json_text import loads

if TYPE_CHECKING:
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import LogRow

REFUSED = 400
"""Status from which on a request failed."""
_ID = re.compile(r"[0-9a-fA-F-]{16,}")
_ENDED = ("done", None)
_TIMES, _DURATIONS = ("started_utc", "timestamp", "at", "at_unix", "startTime"), ("duration_s",)
_USAGES = ("usageDetails", "usage_details", "usage")
_TITLES = ("x-title", "user-agent")
MAX_MESSAGES = 20_000
"""Messages of one body. Counted before it is parsed."""
MAX_ROWS = 10_000
"""Newest rows of the log that are compared."""
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".har")
_LINES = (".jsonl", ".ndjson")
_BOM = b"\xef\xbb\xbf \t\r\n"
LeftOut = list[InputError]
"""Recorded requests that cannot be checked, each with its place: the Recorder records what any program sent."""
MAX_LEFT_OUT = 5
"""Requests left out that are named one by one."""


class RecordedOutcome(Struct, frozen=True):
    """What is known of the sending of a request and of its response.

    `usage`: as reported; `at`: when it was sent, in Unix seconds; `failed`: it ended without a completion; `agent`:
    title or user agent of the sender; `seconds`: how long it lasted, if known.
    """

    usage: PromptUsage = NO_USAGE
    at: float | None = None
    failed: bool = False
    agent: str = ""
    seconds: float | None = None


_NOT_SENT = RecordedOutcome()


def recorded_outcome(value: Json) -> RecordedOutcome:
    """Return the outcome of a line with `request` or `body`: our export, or with `response`, `usage` and `status`."""
    line: Mapping[str, Json] = value if isinstance(value, dict) else {}
    record, summary = (_object(line.get(name)) for name in ("record", "summary"))
    response = _object(line.get("response"))
    usage = next(
        (_object(one[name]) for one in (summary, line, response) for name in _USAGES if _object(one.get(name))),
        _genai_usage(line),
    )
    status = summary.get("status", line.get("status", response.get("status")))
    failed = (isinstance(status, int) and status >= REFUSED) or summary.get("phase") not in _ENDED
    at = next((one[name] for one in (record, line) for name in _TIMES if one.get(name) is not None), None)
    lasted = next((one[name] for one in (summary, line, response) for name in _DURATIONS if name in one), None)
    headers = _object(line.get("headers"))
    agent = _agent({str(name).lower(): value for name, value in headers.items()})
    return RecordedOutcome(_reported(usage_of(usage, None)), _time(at), failed, agent, _seconds(lasted))


def _genai_usage(line: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the usage in OpenTelemetry attributes: their input tokens include the cached ones."""
    found, name = genai_attributes(line) or {}, "gen_ai.usage."
    return {
        "prompt_tokens": found.get(f"{name}input_tokens", found.get(f"{name}prompt_tokens")),
        "cached_tokens": found.get(f"{name}cache_read.input_tokens", found.get(f"{name}cache_read_input_tokens")),
    }


def har_outcome(entry: Mapping[str, Json]) -> RecordedOutcome:
    """Return the outcome of an entry of a HAR."""
    request, response = _object(entry.get("request")), _object(entry.get("response"))
    status = response.get("status")
    pairs = request.get("headers")
    headers = {
        str(one.get("name", "")).lower(): one.get("value")
        for one in (pairs if isinstance(pairs, list) else ())
        if isinstance(one, dict)
    }
    # HAR writes 0, or a negative number, if there was no response.
    failed = isinstance(status, int) and (status >= REFUSED or status <= 0)
    lasted = _seconds(entry.get("time"))
    seconds, at = None if lasted is None else lasted / 1_000, _time(entry.get("startedDateTime"))
    return RecordedOutcome(_reported(har_usage(response)), at, failed, _agent(headers), seconds)


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def _reported(usage: CacheUsage | None) -> PromptUsage:
    return NO_USAGE if usage is None else PromptUsage(usage.prompt_tokens, usage.cached_tokens)


def _seconds(value: Json) -> float | None:
    """Return a duration; HAR writes -1 if there is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _time(value: Json) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return None


def _agent(headers: Mapping[str, Json]) -> str:
    """Return the title that a program gives itself, or its user agent; "" if it is an id."""
    texts = (text for name in _TITLES if isinstance(text := headers.get(name), str))
    return next((text[:60] for text in texts if re.search(r"[^\W\d_]{3}", text) and not _ID.fullmatch(text)), "")


@dataclass(frozen=True)
class CheckedInput:
    """One prompt or request body.

    `name` identifies it in output; `file` and `line` (from 1) are its source. `prefix` is the path in the file's
    JSON. `recorded`: one of many requests of a program, rather than a separate file. `source`: the JSON that `value`
    was converted from, if it was.
    """

    name: str
    file: str
    data: bytes
    line: int = 1
    prefix: FieldPath = ()
    recorded: bool = False
    value: Json = field(default=None, repr=False)
    outcome: RecordedOutcome = _NOT_SENT
    source: Mapping[str, Json] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        value = self.value
        try:
            body = chat_body(value, Report(self.recorded)) if isinstance(value, dict) else None
        except InputError as error:
            raise _named(self.name, error) from None
        if body is not None:
            object.__setattr__(self, "value", body)
            object.__setattr__(self, "source", value)

    @property
    def body(self) -> Mapping[str, Json] | None:
        """The request body that another program sends; None for prompt files, and for prompts in other formats."""
        value = self.value
        return value if isinstance(value, dict) and "messages" in value and FORMAT_KEY not in value else None

    @property
    def sent_body(self) -> Mapping[str, Json] | None:
        """The body, if it is sent as it is: not one of another API."""
        return None if self.source is not None else self.body

    @cached_property
    def document(self) -> Document:
        """The prompt. A request body is read strictly: what Electron refuses is an error. Raises InputError.

        A recorded request may have pictures and other parts that are no text: a short text stands for each.
        """
        try:
            if self.recorded and self.body is not None:
                return parse_value(with_text_parts(self.body)).document
            if isinstance(self.value, dict) and ("messages" in self.value or FORMAT_KEY in self.value):
                return parse_value(self.value).document
            return open_any_bytes(self.data, self.file).document
        except InputError as error:
            raise _named(self.name, error) from None


def with_text_parts(body: Mapping[str, Json]) -> dict[str, Json]:
    """Return a request body with a short text in place of each content part that is no text."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return dict(body)
    return {**body, "messages": [_with_text(message) for message in messages]}


def _with_text(message: Json) -> Json:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(message, dict) or not isinstance(content, list):
        return message
    return {**message, "content": [_as_text(part) for part in content]}


def _as_text(part: Json) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    known = isinstance(kind, str) and kind != "text"
    return {"type": "text", "text": f"[{kind}]"} if known else part


def read_inputs(options: argparse.Namespace, baseline: str | None) -> list[CheckedInput]:
    """Read all inputs. Raises InputError with the file, line or entry."""
    names, log_filter = _sources(options)
    found: list[CheckedInput] = []
    left_out: LeftOut = []
    for name in _files(names, baseline):
        try:
            found += _read(name, left_out)
        except InputError as error:
            raise _named(name, error) from None
    if log_filter is not None:
        found += asyncio.run(_rows(options.data_dir, log_filter, left_out))
    if not found:
        raise left_out[0] if left_out else InputError.of(("FILE",), "there is nothing to check.")
    for reason in left_out[:MAX_LEFT_OUT]:
        print_error(f"Left out: {reason}")
    if more := len(left_out[MAX_LEFT_OUT:]):
        print_error(f"Left out for such reasons: {more} more.")
    return found


def _named(name: str, error: InputError) -> InputError:
    """Return the error with the input's name in front of each field; "-" is standard input."""
    shown = "standard input" if name == "-" else name
    return InputError(
        *(
            one if name in one.path or name in one.message else FieldError((shown, *one.path), one.message, one.hint)
            for one in error.problems
        )
    )


def _sources(options: argparse.Namespace) -> tuple[list[str], str | None]:
    """Return files and the log's filter. `--log FILE` is the older `--log` in front of a file."""
    names: list[str] = list(options.file)
    if isinstance(options.log, str):
        if options.log != "-" and not os.path.exists(options.log):  # noqa: PTH110 - False for a name that is too long
            return names, options.log
        names.insert(0, options.log)
        options.log = True
    if not names:
        raise InputError.of(("FILE",), "is missing.", "Give files, a folder, - or --log FILTER.")
    return names, None


def _files(names: Sequence[str], baseline: str | None) -> list[str]:
    """Return the files: a folder stands for the JSON, JSON lines and HAR files in it, in order of their names."""
    files: list[str] = []
    for name in names:
        if name == "-" or not os.path.isdir(name):  # noqa: PTH112 - False for a name that is too long
            files.append(name)
            continue
        found = (path for path in Path(name).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
        inside = sorted(str(path) for path in found if not _is_baseline(path))
        files += [path for path in inside if baseline is None or Path(path).resolve() != Path(baseline).resolve()]
        if not inside:
            raise InputError.of(("FILE",), f"there is no JSON file in {name}.")
    return files


def _is_baseline(path: Path) -> bool:
    """Whether a file of a folder is a baseline, which has no prompt."""
    try:
        with path.open("rb") as file:
            return BASELINE_KEY.encode() in file.read(64)
    except OSError:
        return False  # reading it as a prompt names the error


def _read(name: str, left_out: LeftOut) -> Iterator[CheckedInput]:
    recorded = name.lower().endswith((*_LINES, ".har"))
    data = read_input(name, max_bytes=(8 if recorded else 1) * MAX_FILE_BYTES)
    head = data[:4096].lstrip(_BOM)
    if name.lower().endswith(_LINES) or (head.startswith(b"{") and _is_lines(data)):
        yield from _lines(name, data, left_out)
    elif name.lower().endswith(".har") or re.match(rb'\{\s*"log"\s*:', head):
        yield from _har(name, data, left_out)
    else:
        value = _value(data, MAX_MESSAGES * (8 if head.startswith(b"[") else 1))
        if isinstance(value, list) and value and all(isinstance(one, dict) and "role" not in one for one in value):
            for number, one in enumerate(value):
                yield _item(name, f"{name}#{number + 1}", 1, _dumped(one), one, (number,))
        else:
            yield CheckedInput(name, name, data, value=value)


def _value(data: bytes, most: int = MAX_MESSAGES, place: FieldPath = ()) -> Json:
    """Return the JSON of one body; None if it is none. Raises InputError for too many messages, before parsing them,
    and for a repeated name."""
    if data.count(b'"role"') > most:
        raise InputError.of(("messages",), f"there are more than {most:,} messages.")
    try:
        value: Json = loads(data)
    except ValueError:
        return None
    refuse_repeated(data.decode("utf-8-sig", "surrogatepass"), place)
    return value


def _is_lines(data: bytes) -> bool:
    """Whether the first of several lines is a JSON object by itself."""
    first, _, rest = data.lstrip(_BOM).partition(b"\n")
    return first.rstrip().endswith(b"}") and rest.lstrip().startswith(b"{")


def _lines(name: str, data: bytes, left_out: LeftOut) -> Iterator[CheckedInput]:
    """Yield the body in each line: the line itself, or its `request` or `body` (an object, or JSON in a string)."""
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.strip(_BOM)
        if not text:
            continue
        value = _value(text, place=(name, number))
        if not isinstance(value, dict):
            raise InputError.of((name, number), "is not a JSON object.")
        read = partial(_item, name, f"{name}:{number}", number, text, value, ())
        if EXPORT_KEY in value:
            for item in _recorded(read, left_out):
                if item.body is not None:
                    yield item
                else:
                    left_out.append(InputError.of((name, number, "body"), "has no messages."))
        else:
            yield read()


def _recorded(read: Callable[[], CheckedInput], left_out: LeftOut) -> Iterator[CheckedInput]:
    """Yield a recorded request. One that cannot be checked is left out: it cannot be corrected any more."""
    try:
        item = read()
        if item.body is not None:
            _ = item.document
    except InputError as error:
        left_out.append(error)
    else:
        yield item


def _item(file: str, name: str, line: int, data: bytes, value: Json, prefix: FieldPath) -> CheckedInput:
    outcome = recorded_outcome(value)
    for key in ("request", "body"):
        inner = value.get(key) if isinstance(value, dict) else None
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            inner = _value(inner.encode("utf-8", "surrogatepass"), place=(file, line, *prefix, key))
        if isinstance(inner, dict):
            return CheckedInput(name, file, _dumped(inner), line, (*prefix, key), True, inner, outcome)
    if isinstance(value, dict) and EXPORT_KEY in value:
        raise InputError.of((file, line, *prefix, "body"), "is not a JSON object.")
    return CheckedInput(name, file, data, line, prefix, True, value, outcome)


def _dumped(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _har(name: str, data: bytes, left_out: LeftOut) -> Iterator[CheckedInput]:
    try:
        log = loads(data, max_bytes=8 * MAX_FILE_BYTES, finite=False)["log"]
        entries = log["entries"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError.of((name, "log", "entries"), f"is missing, or this is not JSON: {error}.") from None
    found = 0
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        try:
            request = entry["request"]
            body, url = request["postData"]["text"].encode("utf-8", "surrogatepass"), str(request.get("url"))
        except (KeyError, TypeError, AttributeError):
            continue
        for item in _recorded(partial(_har_item, name, number, body, entry), left_out):
            responses = url.partition("?")[0].endswith("/responses")
            if isinstance(item.value, dict) and ("messages" in item.value or responses):
                found += 1
                yield item
    if not found and not left_out:
        raise InputError.of((name, "log", "entries"), "there is no chat completions request in it.")


def _har_item(name: str, number: int, data: bytes, entry: Mapping[str, Json]) -> CheckedInput:
    prefix: FieldPath = ("log", "entries", number, "request", "postData", "text")
    name_of = f"{name}#{number + 1}"
    value = _value(data, place=(name_of,))
    return CheckedInput(name_of, name, data, 1, prefix, True, value, har_outcome(entry))


def _of_row(row: LogRow) -> RecordedOutcome:
    failed = row.phase != "done" or (row.status or 0) >= REFUSED
    usage = PromptUsage(row.prompt_tokens, row.cached_tokens)
    return RecordedOutcome(usage, row.started_utc.timestamp(), failed, seconds=row.duration_s)


@asynccontextmanager
async def opened_log(option: str, folder: str | None) -> AsyncIterator[RequestLog]:
    """Open the log in a data folder for reading. Raises InputError that names `option`."""
    from playground.requestlog.log import RequestLog
    from playground.requestlog.records import LogUnavailableError
    from playground.services import recover_recordings
    from playground.storage.paths import data_folder

    try:
        opened = data_folder(folder, os.environ, reading=True)
        await asyncio.to_thread(recover_recordings, opened)
        log = await RequestLog.open(opened, reading=True)
    except LogUnavailableError as error:
        raise InputError.of((option,), str(error)) from error
    try:
        log.on_notice(print_error)
        await asyncio.sleep(0)
        yield log
    finally:
        await log.close()


async def _rows(folder: str | None, words: str, left_out: LeftOut) -> list[CheckedInput]:
    """Return the requests of the log that match a filter, oldest first."""
    from playground.requestlog.filter import parse as parse_filter

    chosen = parse_filter(words, datetime.now().astimezone())
    if chosen.malformed:
        raise InputError.of(("--log",), f"{', '.join(map(str, chosen.malformed))} is not understood.")
    async with opened_log("--log", folder) as log:
        rows = (await log.page(chosen, None, MAX_ROWS))[::-1]
        stored = [(row, await log.get(row.run_id)) for row in rows]
    found = [
        item
        for row, run in stored
        if run is not None
        for item in _recorded(partial(_logged, row, run.record.body), left_out)
        if item.body is not None  # not a request to another API, or a body that retention has removed
    ]
    if not found and not left_out:
        raise InputError.of(("--log",), "no request matches the filter.")
    return found


def _logged(row: LogRow, body: bytes) -> CheckedInput:
    name = f"log:{row.run_id}"
    return CheckedInput(name, "log", body, 1, (), True, _value(body, place=(name,)), _of_row(row))
