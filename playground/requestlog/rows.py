"""Figures of a run for the columns of the log, and SQL statements that write it: insert, add events, end, delete."""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from playground.client.events import AnyEvent, BodyIdReceived, TimesUnknown
from playground.requestlog import blob_store, index, prompt_index
from playground.requestlog.blob_store import Keeper
from playground.requestlog.codec import (
    Block,
    decode_ended,
    decode_events,
    encode_ended,
    encode_events,
    fold_blocks,
    packed_ended,
    to_blocks,
)
from playground.requestlog.index import column_text, readable
from playground.requestlog.records import EndedRun, StoredEvents, StoredRun
from playground.requestlog.sent_body import SentBody
from playground.runs.record import RequestRecord
from playground.runs.state import Phase, RunState
from playground.runs.summary import further_choices, warnings

TRAITS = ("tools", "error", "json", "answer", "usage", "retries", "logprobs")
"""Values of `has:` that derive from a run's events. Append only: the index is the bit in the file."""
MAX_ERROR_CHARS = 4_000
MAX_ARGUMENT_CHARS = 100_000
"""Searched characters of the arguments of one tool call."""
MAX_JSON_CHARS = 1_000_000


class Summary(Struct, frozen=True):
    """The columns of a run. `ids` are all ids by which it can be found."""

    phase: Phase
    status: int | None
    finish_reason: str | None
    request_id: str | None
    body_id: str | None
    attempts: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    ttft_s: float | None
    duration_s: float | None
    answer: str
    called: str
    error_title: str
    error: str
    traits: int
    ids: tuple[str, ...]


def summarize(state: RunState, seen_ids: Iterable[str] = ()) -> Summary:
    """Return the figures and texts of a run. `seen_ids` are ids of earlier attempts which the state no longer holds."""
    usage = state.usage
    # At the end only: each event is searched for further choices.
    further = further_choices(state) if state.ended else {}
    notes = warnings(state, further)
    ids = {attempt.request_id for attempt in state.attempts} | {state.body_id} | set(seen_ids)
    ids |= {one.value for attempt in state.attempts for one in attempt.request_ids}
    if state.error is not None:
        ids.add(state.error.body_request_id)
    return Summary(
        phase=state.phase,
        status=state.status,
        finish_reason=_column(state.finish_reason),
        request_id=_column(state.request_id),
        body_id=_column(state.body_id),
        attempts=len(state.attempts),
        prompt_tokens=usage.prompt_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        total_tokens=usage.total_tokens if usage else None,
        ttft_s=state.ttft_s,
        duration_s=state.ended_at,
        answer=column_text(state.text),
        called=column_text(", ".join(call.name for call in state.calls)),
        # Of a run that is done: its warnings.
        error_title=column_text(state.error.title if state.error else "; ".join(one.title for one in notes)),
        error=hidden_text(state, further) if state.ended else "",
        traits=traits_of(state),
        ids=tuple(sorted({column_text(id_) for id_ in ids if id_})),
    )


def hidden_text(state: RunState, choices: Mapping[int, RunState]) -> str:
    """Return searched texts that the table does not display: arguments of tool calls, further choices, error detail."""
    texts = [readable(call.arguments) for call in state.calls]
    for further in choices.values():
        texts += [further.text or further.refusal, *(readable(call.arguments) for call in further.calls)]
    shown = [column_text(text[:MAX_ARGUMENT_CHARS]) for text in texts if text]
    return "\n".join((*shown, *filter(None, (error_text(state),))))


def error_text(state: RunState) -> str:
    """Return the error's detail texts, without its title, for the search."""
    error = state.error
    return "" if error is None else column_text(f"{error.detail}\n{error.body}".strip()[:MAX_ERROR_CHARS])


def traits_of(state: RunState) -> int:
    """Return the run's TRAITS as a bit set, in their order."""
    usage = state.usage
    found = (
        bool(state.tool_calls),
        state.error is not None,
        _is_json(state.text),
        any(piece for piece in state.pieces),
        usage is not None and usage.cached_tokens is not None,
        len(state.attempts) > 1,
        bool(state.probabilities),
    )
    return sum(1 << place for place, has in enumerate(found) if has)


def _is_json(text: str) -> bool:
    """Return whether an answer is a JSON object or list."""
    stripped = text.strip()
    if len(stripped) > MAX_JSON_CHARS or stripped[:1] + stripped[-1:] not in ("{}", "[]"):
        return False
    try:
        msgspec.json.decode(stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _column(text: str | None) -> str | None:
    return None if text is None else column_text(text)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Convert an aware datetime to whole microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds_since: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=microseconds_since)


_REQUEST = "run_id, target, started_us, prompt_tokens_estimated, forecast_cached, source, conversation"
"""Columns of `runs` that are known before a request is sent. `_request` returns their values."""
_FIGURES = (
    "phase, status, finish_reason, request_id, body_id, attempts, prompt_tokens, cached_tokens, completion_tokens, "
    "total_tokens, ttft_s, duration_s, traits, dropped_raw"
)
_SENT = "number, question, body, document, forecast"
"""Columns of `texts`. `_sent` returns their values."""


def _insert(table: str, columns: str) -> str:
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(columns.split(',')))})"


_INSERT_BEGUN = _insert("runs", f"{_REQUEST}, owner, phase")
_INSERT_ENDED = (
    f"{_insert('runs', f'number, {_REQUEST}, marked, imported, {_FIGURES}')} ON CONFLICT (run_id) DO NOTHING"
)
_INSERT_SENT = _insert("texts", _SENT)
_INSERT_ENDED_TEXTS = _insert("texts", f"{_SENT}, answer, called, trouble, error, comment, explanation")
_UPDATE = f"UPDATE runs SET {' = ?, '.join(_FIGURES.split(', '))} = ?"


_HEX = re.compile("[0-9a-f]{32}")


def stored_id(run_id: str) -> str | bytes:
    """Return the stored form of a run_id from version 6 on: 16 bytes if it is 32 hexadecimal digits."""
    return bytes.fromhex(run_id) if _HEX.fullmatch(run_id) else column_text(run_id)


def both_ids(run_id: str) -> tuple[str | bytes, str]:
    """Return the values with which `run_id IN (?, ?)` finds a run of any version."""
    return stored_id(run_id), column_text(run_id)


def id_text(column: str = "run_id") -> str:
    """Return the SQL expression for a run_id as text."""
    # A blob of another length is damaged, and found by its type.
    return f"CASE WHEN typeof({column}) = 'blob' AND length({column}) = 16 THEN lower(hex({column})) ELSE {column} END"


# Half the time of `run_id IN (?, ?)`, for which SQLite builds a table.
_NUMBER = "SELECT number FROM runs WHERE run_id = ? UNION ALL SELECT number FROM runs WHERE run_id = ?"


def number_of(connection: sqlite3.Connection, run_id: str) -> int | None:
    """Return a run's number; None if it does not exist."""
    row = connection.execute(_NUMBER, both_ids(run_id)).fetchone()
    return None if row is None else int(row[0])


def numbers_of(connection: sqlite3.Connection, run_ids: Iterable[str]) -> list[int]:
    """Return the numbers of the runs that exist."""
    found = (number_of(connection, run_id) for run_id in run_ids)
    return [number for number in found if number is not None]


def insert_ended(
    connection: sqlite3.Connection, keeper: Keeper, run: EndedRun | StoredRun, body: SentBody, number: int | None = None
) -> int | None:
    """Insert a run that ended elsewhere; return its number. Returns None, without a change, if its run_id exists.

    `number`: one that no run has; None: the next one.
    """
    record = run.record
    # A file from before version 6 may have the run_id as text, which does not conflict.
    if keeper.has_old_parts and number_of(connection, record.run_id) is not None:
        return None
    blocks = to_blocks(run.events)
    state = fold_blocks(blocks)
    if not state.ended:
        state.phase = "interrupted"
        state.ended_at = run.events[-1].at if run.events else None
    ids = [event.id for block in blocks for event in block.others if type(event) is BodyIdReceived]
    summary = summarize(state, ids)
    request, flags = _request(connection, keeper, record), (int(run.marked), int(run.imported))
    figures = _figures(summary, dropped_raw=run.dropped_raw)
    inserted = connection.execute(_INSERT_ENDED, (number, *request, *flags, *figures))
    if inserted.rowcount == 0:
        return None
    number = _inserted(inserted)
    texts = (summary.answer, summary.called, summary.error_title, summary.error, column_text(run.comment))
    explanation = None if run.explanation is None else json.dumps(run.explanation)
    connection.execute(_INSERT_ENDED_TEXTS, (*_sent(number, keeper, record, body), *texts, explanation))
    _add_ids(connection, number, summary)
    put_tags(connection, number, run.tags)
    _put_ended(connection, number, blocks, summary.answer, _ids_text(summary.request_id, summary.body_id))
    keeper.open_block(number)
    return number


def rounded(connection: sqlite3.Connection, run: EndedRun) -> tuple[int, EndedRun] | None:
    """Return the number of a run that was imported from a HAR, without exact times, if `run` is the same with them.

    Also returns `run` with the stored tags, comment and mark.
    """
    if not _has_times(run.events):
        return None
    row = connection.execute(
        "SELECT number, marked, comment, (SELECT json_group_array(tag) FROM tags WHERE tags.number = runs.number) "
        "FROM runs JOIN texts USING (number) WHERE run_id IN (?, ?) AND imported",
        both_ids(run.record.run_id),
    ).fetchone()
    if row is None:
        return None
    with suppress(ValueError, TypeError, LookupError, zlib.error):  # damaged: the other one is better
        if _has_times(read_events(connection, row[0])):
            return None
    tags = dict.fromkeys((*json.loads(row[3]), *run.tags))
    marked = bool(row[1]) or run.marked
    return row[0], replace(run, tags=tuple(tags), comment=row[2] or run.comment, marked=marked)


def _has_times(events: Iterable[AnyEvent]) -> bool:
    return not any(type(event) is TimesUnknown for event in events)


def insert_run(
    connection: sqlite3.Connection, keeper: Keeper, record: RequestRecord, body: SentBody, owner: str | None
) -> int:
    """Insert a run before it is sent; return its number. `owner` is the process that will end it."""
    begun = (*_request(connection, keeper, record), owner, "waiting")
    number = _inserted(connection.execute(_INSERT_BEGUN, begun))
    connection.execute(_INSERT_SENT, _sent(number, keeper, record, body))
    put_tags(connection, number, record.tags)
    keeper.open_block(number)
    return number


Values: TypeAlias = tuple[str | bytes | float | None, ...]


def _request(connection: sqlite3.Connection, keeper: Keeper, record: RequestRecord) -> Values:
    """Return the values of _REQUEST."""
    forecast = record.forecast
    return (
        stored_id(record.run_id),
        _target(connection, keeper, record),
        microseconds(record.started_utc),
        forecast.prompt_tokens if forecast else None,
        forecast.cached_tokens if forecast else None,
        column_text(record.source),
        None if record.conversation is None else column_text(record.conversation),
    )


def _sent(number: int, keeper: Keeper, record: RequestRecord, body: SentBody) -> Values:
    """Return the values of _SENT."""
    return (
        number,
        body.question,
        keeper.keep_body(body),
        keeper.keep_document(record.document.encode("utf-8", "surrogatepass"), body),
        msgspec.json.encode(record.forecast).decode() if record.forecast else None,
    )


def _inserted(cursor: sqlite3.Cursor) -> int:
    if cursor.lastrowid is None:
        raise sqlite3.InternalError("an inserted row has no number")
    return cursor.lastrowid


def put_tags(connection: sqlite3.Connection, number: int, tags: Sequence[str]) -> None:
    """Add tags to a run. Tags ignore case."""
    if not tags:
        return
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", ((column_text(tag), number) for tag in tags))


def _target(connection: sqlite3.Connection, keeper: Keeper, record: RequestRecord) -> int:
    """Return the id of the row of `targets` with a request's endpoint, model and rates; inserts it if it is missing."""
    words = (record.endpoint_id, record.endpoint_name, record.endpoint_kind, record.base_url, record.model)
    key = (*words, record.rates)
    if (known := keeper.targets.get(key)) is not None:
        return known
    values = (*map(column_text, words), msgspec.json.encode(record.rates).decode())
    found = connection.execute(_FIND_TARGET, values).fetchone()
    keeper.targets[key] = int(found[0]) if found else _inserted(connection.execute(_INSERT_TARGET, values))
    return keeper.targets[key]


_TARGET = "endpoint_id, endpoint_name, endpoint_kind, base_url, model, rates"
_INSERT_TARGET = _insert("targets", _TARGET)
_FIND_TARGET = f"SELECT id FROM targets WHERE {' = ? AND '.join(_TARGET.split(', '))} = ?"


def run_ids(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[str]:
    """Return the run_ids of these numbers, ascending, without deleted ones."""
    listed = ", ".join(map(str, numbers))
    found = connection.execute(f"SELECT {id_text()} FROM runs WHERE number IN ({listed}) ORDER BY number")
    return [row[0] for row in found]


def taken_numbers(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[int]:
    """Return those of the numbers that runs have."""
    listed = ", ".join(map(str, numbers))
    return [row[0] for row in connection.execute(f"SELECT number FROM runs WHERE number IN ({listed})")]


def add_events(connection: sqlite3.Connection, number: int, events: Sequence[AnyEvent]) -> None:
    """Insert one batch of a live run's events."""
    connection.execute("INSERT INTO events (number, data) VALUES (?, ?)", (number, encode_events(events)))


def read_events(connection: sqlite3.Connection, number: int, *, any_answer: bool = False) -> Sequence[AnyEvent]:
    """Return all events of a run, in order: those of a long run are decoded whenever they are iterated.

    `any_answer`: also with an answer that was changed on disk. Raises an error of `stored_runs.DAMAGE`.
    """
    row = connection.execute(
        "SELECT s.data, t.answer, r.request_id, r.body_id FROM streams AS s "
        "JOIN texts AS t ON t.number = s.number JOIN runs AS r ON r.number = s.number WHERE s.number = ?",
        (number,),
    ).fetchone()
    if row is not None:
        ended = partial(decode_ended, row[0], row[1], _ids_text(row[2], row[3]), any_answer=any_answer)
        return StoredEvents(ended) if len(row[0]) + len(row[1]) > _LONG_BYTES else tuple(ended())
    # A live run, one that was too long to be rewritten after a crash, or one from before version 6.
    rows = connection.execute("SELECT data FROM events WHERE number = ? ORDER BY id", (number,))
    batches = [row[0] for row in rows]
    live = partial(decode_events, batches)
    return StoredEvents(live) if sum(map(len, batches)) > _LONG_BYTES else tuple(live())


_LONG_BYTES = 128 * 1024
"""Size of encoded events, with their answer, from which they are not decoded as a whole: about 10,000 or more."""


def _ids_text(request_id: str | None, body_id: str | None) -> str:
    return f"{request_id or ''}{body_id or ''}"


def _figures(summary: Summary, *, dropped_raw: bool) -> Values:
    """Return the values of _FIGURES."""
    return (
        *(summary.phase, summary.status, summary.finish_reason, summary.request_id, summary.body_id),
        *(summary.attempts, summary.prompt_tokens, summary.cached_tokens, summary.completion_tokens),
        *(summary.total_tokens, summary.ttft_s, summary.duration_s, summary.traits, int(dropped_raw)),
    )


def update_figures(
    connection: sqlite3.Connection, number: int, summary: Summary, *, dropped_raw: bool, ended: bool = False
) -> None:
    """Write a run's current figures; `ended` removes its owner."""
    values = (*_figures(summary, dropped_raw=dropped_raw), number)
    connection.execute(f"{_UPDATE}{', owner = NULL' if ended else ''} WHERE number = ?", values)
    _add_ids(connection, number, summary)


def _add_ids(connection: sqlite3.Connection, number: int, summary: Summary) -> None:
    """Store the ids that are not in `runs`: those of earlier attempts."""
    more = [(number, id_) for id_ in summary.ids if id_ not in (summary.request_id, summary.body_id)]
    if more:
        connection.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", more)


def end_run(
    connection: sqlite3.Connection, number: int, summary: Summary, explanation: str | None = None, *, dropped_raw: bool
) -> None:
    """Write a run's final figures and texts. Only once: each change of a row of `texts` writes its question again."""
    update_figures(connection, number, summary, dropped_raw=dropped_raw, ended=True)
    connection.execute(
        "UPDATE texts SET answer = ?, called = ?, trouble = ?, error = ?, explanation = coalesce(?, explanation) "
        "WHERE number = ?",
        (summary.answer, summary.called, summary.error_title, summary.error, explanation, number),
    )


def replace_events(
    connection: sqlite3.Connection, number: int, events: Sequence[AnyEvent], summary: Summary, *, batches: bool = True
) -> None:
    """Store the events of an ended run in one row, without the answer. `batches`: some are in `events`."""
    if batches:
        connection.execute("DELETE FROM events WHERE number = ?", (number,))
    _put_ended(connection, number, to_blocks(events), summary.answer, _ids_text(summary.request_id, summary.body_id))


def _put_ended(connection: sqlite3.Connection, number: int, blocks: Sequence[Block], answer: str, ids: str) -> None:
    if blocks:
        data = encode_ended(blocks, answer, ids)
        connection.execute("INSERT INTO streams (number, data) VALUES (?, ?)", (number, data))


def pack_events(connection: sqlite3.Connection, first: int, last: int) -> None:
    """Pack the events of the runs `first` to `last`, all ended. Call within a transaction."""
    found = connection.execute(
        "SELECT s.data, r.request_id, r.body_id, s.number FROM streams AS s JOIN runs AS r ON r.number = s.number "
        "WHERE s.number BETWEEN ? AND ?",
        (first, last),
    ).fetchall()
    packed = []
    for data, request_id, body_id, number in found:
        with suppress(zlib.error, TypeError, LookupError):  # damaged
            if (shorter := packed_ended(data, _ids_text(request_id, body_id))) is not None:
                packed.append((number, shorter))
    # Not UPDATE: pages would stay partly empty.
    connection.execute(f"DELETE FROM streams WHERE number IN ({', '.join(str(number) for number, _ in packed)})")
    connection.executemany("INSERT INTO streams (number, data) VALUES (?, ?)", packed)


def delete_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> list[str]:
    """Delete ended runs with their unshared data; return the run_ids that were deleted."""
    found = connection.execute(
        f"SELECT number, {id_text()}, body, document FROM runs JOIN texts USING (number) "
        f"WHERE owner IS NULL AND number IN ({', '.join(map(str, numbers_of(connection, run_ids)))})"
    ).fetchall()
    if not found:
        return []
    numbers = [row[0] for row in found]
    listed = ", ".join(map(str, numbers))
    index.reopen(connection, numbers)
    prompt_index.forget(connection, {row[0]: row[2] for row in found})
    _overwrite(connection, listed)
    blob_store.forget(connection, (manifest for row in found for manifest in row[2:4]))
    for table in ("tags", "ids", "events", "streams", "texts", "runs"):
        connection.execute(f"DELETE FROM {table} WHERE number IN ({listed})")
    index.close_empty(connection, numbers)
    return [row[1] for row in found]


def _overwrite(connection: sqlite3.Connection, listed: str) -> None:
    """Overwrite the contents of runs before their rows are deleted.

    SQLite overwrites a deleted row (secure_delete), but not its copy in the unused part of a page from which it was
    moved when the rows beside it were deleted.
    """
    texts = ", ".join(f"{column} = {index.zeros(column)}" for column in (*index.TEXTS, "forecast", "explanation"))
    connection.execute(f"UPDATE texts SET {texts} WHERE number IN ({listed})")
    for table in ("events", "streams"):
        connection.execute(f"UPDATE {table} SET data = zeroblob(length(data)) WHERE number IN ({listed})")
