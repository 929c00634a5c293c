"""Rows of a batch: read from CSV, JSON or logged requests, mapped to variables; and the checks of their answers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from playground.prompt.document import Document, names, render
from playground.prompt.field_errors import FieldError, InputError
from playground.prompt.files import read_input
from playground.prompt.json_text import as_utf8, json_lines, loads, repeated_name
from playground.prompt.limits import empty_prompt, refuse_empty
from playground.runs.metrics import counted
from playground.tools.schema import check_schema, check_value, matches_within_limit, pattern_error

_MOST_NUMBERS = 10
KINDS = ("contains", "equals", "regex", "schema", "max-tokens")


class AnswerCheck(Struct, frozen=True):
    """One check. `passes` takes the completion's text and its reported tokens (None: not reported)."""

    name: str
    passes: Callable[[str, int | None], bool]


def parse_check(text: str) -> AnswerCheck:
    """Parse KIND=VALUE. Raises InputError for an unknown kind or an invalid value.

    An answer whose tokens were not reported fails a token limit. An answer for which a regular expression or a schema
    reaches a time limit fails that check.
    """
    kind, equals, value = text.partition("=")
    if not equals or kind not in KINDS:
        raise InputError.of(("--check",), f"{text!r} is not KIND=VALUE.", f"Kinds: {', '.join(KINDS)}.")
    makers: dict[str, Callable[[str], Callable[[str, int | None], bool]]] = {
        "contains": lambda wanted: lambda answer, _tokens: wanted in answer,
        "equals": lambda wanted: lambda answer, _tokens: answer.strip() == wanted.strip(),
        "regex": _regex,
        "schema": _schema,
        "max-tokens": _max_tokens,
    }
    return AnswerCheck(text, makers[kind](value))


def run_checks(checks: Sequence[AnswerCheck], answer: str, completion_tokens: int | None) -> dict[str, bool]:
    return {check.name: check.passes(answer, completion_tokens) for check in checks}


def _regex(pattern: str) -> Callable[[str, int | None], bool]:
    if error := pattern_error(pattern):
        raise InputError.of(("--check", "regex"), f"{pattern!r} is not a regular expression: {error}.")
    return lambda answer, _tokens: matches_within_limit(pattern, answer)


def _max_tokens(value: str) -> Callable[[str, int | None], bool]:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InputError.of(("--check", "max-tokens"), f"{value!r} is not a number of tokens.")
    limit = int(value)
    return lambda _answer, tokens: tokens is not None and tokens <= limit


def _schema(name: str) -> Callable[[str, int | None], bool]:
    from jsonschema import Draft202012Validator

    try:
        schema = loads(read_input(name, "--check"))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError.of(("--check", "schema"), f"{name} is not a JSON schema: {str(error).rstrip('.')}.") from None
    if errors := check_schema(schema):
        raise InputError(*(FieldError(("--check", "schema", *e.path), e.message, e.hint) for e in errors))
    if isinstance(schema, dict) and not (Draft202012Validator.VALIDATORS.keys() | {"$schema"}) & schema.keys():
        # Any JSON object is a valid schema, and one without keywords accepts every answer.
        raise InputError.of(("--check", "schema"), f"{name} has no keyword of JSON schema.")

    def passes(answer: str, _tokens: int | None) -> bool:
        try:
            checked = check_value(loads(answer), schema)
        except ValueError:
            return False
        return not checked.errors and not checked.unchecked

    return passes


MAX_DATA_BYTES = 268_435_456
MAX_ROWS = 1_000_000
LOG_COLUMNS = ("request_id", "last_user_message")
"""Columns of rows from the request log, before the variables of the logged prompts."""


class BatchRow(Struct, frozen=True):
    """One row of the data file. `number` counts from 0 in the file, whatever the order of sending."""

    number: int
    values: Mapping[str, str]


def read_rows(data: bytes, name: str) -> tuple[BatchRow, ...]:
    """Read rows from CSV with a header line, JSON lines, or a JSON array of objects.

    `name` is the file's name: `.csv` and `.tsv` are tables, everything else is JSON. Values that are not text become
    JSON text. Raises InputError with the line of the first bad row.
    """
    if len(data) > MAX_DATA_BYTES:
        raise InputError.of(("data",), f"{name} has {len(data):,} bytes; the limit is {MAX_DATA_BYTES:,}.")
    try:
        text = as_utf8(data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError.of(
            ("data",), f"{name} is not UTF-8 text (byte {error.start:,}).", "Save it as UTF-8."
        ) from None
    lower = name.lower()
    found = list(
        _table(text, "\t" if lower.endswith(".tsv") else ",") if lower.endswith((".csv", ".tsv")) else _json(text)
    )
    if not found:
        hint = "The first line names the columns." if lower.endswith((".csv", ".tsv")) else ""
        raise InputError.of(("data",), f"{name} has no rows.", hint)
    if len(found) > MAX_ROWS:
        raise InputError.of(("data",), f"{name} has {len(found):,} rows; the limit is {MAX_ROWS:,}.")
    return tuple(BatchRow(number, values) for number, values in enumerate(found))


def _table(text: str, delimiter: str) -> Iterable[dict[str, str]]:
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(lines, [])
        if len(set(header)) < len(header):
            raise InputError.of(("data",), "line 1: two columns have the same name.")
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                detail = f"line {lines.line_num} has {counted(len(cells), 'cell')}, the header has {len(header)}."
                raise InputError.of(("data",), detail)
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError.of(("data",), f"line {lines.line_num} is not valid CSV: {error}.") from None


def _json(text: str) -> Iterable[dict[str, str]]:
    if text.lstrip().startswith("["):
        values = _parsed(text, 1)
        assert isinstance(values, list)
        for index, value in enumerate(values):
            yield _values(value, index + 1)
        return
    for number, line in enumerate(json_lines(text), 1):
        if line.strip():
            yield _values(_parsed(line, number), number)


def _parsed(text: str, line: int) -> object:
    try:
        value = json.loads(text)
        found = repeated_name(text)
    except json.JSONDecodeError as error:
        place = f"line {line + error.lineno - 1}, column {error.colno}"
        raise InputError.of(("data",), f"{place} is not JSON: {error.msg}.") from None
    except ValueError as error:
        raise InputError.of(("data",), f"line {line} is not JSON: {error}.") from None
    except RecursionError:
        raise InputError.of(("data",), f"line {line} is nested too deeply.") from None
    if found is not None:
        raise InputError.of(("data", *found), f"line {line}: this name occurs more than once in its object.")
    return value


def _values(value: object, line: int) -> dict[str, str]:
    if not isinstance(value, dict):
        raise InputError.of(("data",), f"line {line} is not a JSON object.", "Write one object per line.")
    return {
        str(name): item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        for name, item in value.items()
    }


def columns_of(rows: Iterable[BatchRow]) -> tuple[str, ...]:
    """Return the names of all columns, in the order in which they occur first."""
    return tuple(dict.fromkeys(name for row in rows for name in row.values))


def read_pasted(text: str) -> tuple[BatchRow, ...]:
    """Read rows from pasted text: JSON, or a table with a header line, separated by tabs or commas.

    Raises InputError like `read_rows`.
    """
    first = text.lstrip()
    suffix = ".jsonl" if first.startswith(("{", "[")) else ".tsv" if "\t" in first.partition("\n")[0] else ".csv"
    return read_rows(text.encode("utf-8", "surrogatepass"), f"pasted{suffix}")


def rows_of_requests(requests: Iterable[tuple[str | None, Document]]) -> tuple[BatchRow, ...]:
    """Return one row per logged request (request_id and prompt): its last user message and its variables."""
    rows = []
    for number, (request_id, document) in enumerate(requests):
        asked = [message.content or "" for message in document.messages if message.role == "user"]
        last = render(asked[-1], document.variables).text if asked else ""
        fixed = dict(zip(LOG_COLUMNS, (request_id or "", last), strict=True))
        rows.append(BatchRow(number, {**fixed, **document.variables}))
    if not rows:
        raise InputError.of(("data",), "no logged request matches the filter.")
    return tuple(rows)


def column_notes(document: Document, rows: Sequence[BatchRow], columns: Mapping[str, str]) -> Iterator[str]:
    """Yield which variables have the prompt's value in all or some rows, and the columns that are not used."""
    unused = [column for column in columns_of(rows) if column not in columns.values()]
    rest = f" Columns that are not used: {', '.join(unused)}." if unused else ""
    empty = set(empty_rows(document, rows, columns))
    for name in names(document.messages):
        column = columns.get(name)
        lacking = [row for row in rows if (column is None or column not in row.values) and row.number not in empty]
        if lacking:
            sent = "no row has a column for it, so the prompt's value is sent."
            if column is not None:
                sent = f"{counted(len(lacking), 'row')} without {column}: an empty text is sent."
            yield f"variables.{name}: {sent}{rest}"
    if empty:
        yield empty_rows_note(sorted(empty))


def document_of(document: Document, row: BatchRow, columns: Mapping[str, str]) -> Document:
    values = {name: row.values.get(column, "") for name, column in columns.items()}
    return replace(document, variables={**document.variables, **values})


def empty_rows(document: Document, rows: Iterable[BatchRow], columns: Mapping[str, str]) -> list[int]:
    """Return the numbers of the rows whose prompt is empty: they are not sent."""
    if empty_prompt(document_of(document, BatchRow(0, {}), columns)) is None:
        return []  # whatever the values of a row are
    return [row.number for row in rows if empty_prompt(document_of(document, row, columns))]


def empty_rows_note(numbers: Sequence[int]) -> str:
    """Return a sentence on the rows whose prompt is empty."""
    shown = ", ".join(f"{number:,}" for number in numbers[:_MOST_NUMBERS])
    more = f" and {len(numbers) - _MOST_NUMBERS:,} more" if len(numbers) > _MOST_NUMBERS else ""
    rows = "Row" if len(numbers) == 1 else "Rows"
    return f"{rows} {shown}{more}: not sent, because the prompt is empty (rows are counted from 0)."


def map_columns(document: Document, rows: Sequence[BatchRow], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each variable: from `mapping` (variable to column), else the column of the same name.

    A variable with a value in the prompt needs no column. Raises InputError for a column that does not exist, for a
    variable with neither a column nor a value, and for a prompt that is empty in every row.
    """
    columns = columns_of(rows)
    variables = names(document.messages)
    unknown = [name for name in mapping if name not in variables]
    missing = [column for column in mapping.values() if column not in columns]
    if unknown or missing:
        what = f"the prompt has no variable {unknown[0]}" if unknown else f"the data has no column {missing[0]}"
        raise InputError.of(("map",), f"{what}.", f"Columns: {', '.join(columns)}.")
    chosen = {name: mapping.get(name, name) for name in variables if mapping.get(name, name) in columns}
    open_names = [name for name in variables if name not in chosen and not document.variables.get(name)]
    if open_names:
        raise InputError.of(
            ("variables", open_names[0]),
            "has no column in the data and no value in the prompt.",
            f"Columns: {', '.join(columns)}. Map one with --map {open_names[0]}=COLUMN.",
        )
    if rows and len(empty_rows(document, rows, chosen)) == len(rows):
        refuse_empty(document_of(document, rows[0], chosen))
    return chosen
