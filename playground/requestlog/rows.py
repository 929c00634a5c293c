"""SQL statements that write one run: insert, update figures, add events, end, delete."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from playground.client.events import AnyEvent, BodyIdReceived
from playground.requestlog import blob_store, index, prompt_index
from playground.requestlog.codec import column_text, decode_events, encode_events
from playground.requestlog.prompt_index import PromptKeeper
from playground.requestlog.records import EndedRun
from playground.requestlog.summary import Summary, question_of, summarize
from playground.runs.record import RequestRecord
from playground.runs.state import fold

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COMPACT_LEVEL = 1
"""zlib's level for a run that has ended."""


def microseconds(moment: datetime) -> int:
    """Convert an aware datetime to whole microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds_since: int) -> datetime:
    """Convert microseconds since 1970 to an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=microseconds_since)


def insert_ended(connection: sqlite3.Connection, keeper: PromptKeeper, run: EndedRun) -> bool:
    """Insert a run that ended elsewhere. Returns False, without a change, if its run_id exists."""
    if connection.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.record.run_id,)).fetchone():
        return False
    state = fold(run.events)
    if not state.ended:
        state.phase = "interrupted"
        state.ended_at = run.events[-1].at if run.events else None
    number = insert_run(connection, keeper, run.record, None)
    summary = summarize(state, (event.id for event in run.events if isinstance(event, BodyIdReceived)))
    if run.marked or run.imported:
        flags = (int(run.marked), int(run.imported), number)
        connection.execute("UPDATE runs SET marked = ?, imported = ? WHERE number = ?", flags)
    if run.comment:
        connection.execute("UPDATE texts SET comment = ? WHERE number = ?", (column_text(run.comment), number))
    if run.explanation is not None:
        text = json.dumps(run.explanation)
        connection.execute("UPDATE texts SET explanation = ? WHERE number = ?", (text, number))
    put_tags(connection, number, run.tags)
    end_run(connection, number, summary, run.dropped_raw)
    _put_events(connection, number, run.events)
    return True


def insert_run(connection: sqlite3.Connection, keeper: PromptKeeper, record: RequestRecord, owner: str | None) -> int:
    """Insert a run before it is sent; return its number. `owner` is the process that will end it."""
    forecast = record.forecast
    number = connection.execute(
        "INSERT INTO runs (run_id, target, started_us, owner, phase, prompt_tokens_estimated, forecast_cached, "
        "source, conversation) VALUES (?, ?, ?, ?, 'waiting', ?, ?, ?, ?)",
        (
            column_text(record.run_id),
            _target(connection, record),
            microseconds(record.started_utc),
            owner,
            forecast.prompt_tokens if forecast else None,
            forecast.cached_tokens if forecast else None,
            column_text(record.source),
            None if record.conversation is None else column_text(record.conversation),
        ),
    ).lastrowid
    if number is None:
        raise sqlite3.InternalError("an inserted row has no number")
    connection.execute(
        "INSERT INTO texts (number, question, body, document, forecast) VALUES (?, ?, ?, ?, ?)",
        (
            number,
            question_of(record.body),
            keeper.keep(record.body),
            keeper.keep(record.document.encode("utf-8", "surrogatepass")),
            msgspec.json.encode(forecast).decode() if forecast else None,
        ),
    )
    keeper.add_prompt(number, record.body)
    put_tags(connection, number, record.tags)
    return number


def put_tags(connection: sqlite3.Connection, number: int, tags: Iterable[str]) -> None:
    """Add tags to a run. Tags ignore case."""
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", ((column_text(tag), number) for tag in tags))


def _target(connection: sqlite3.Connection, record: RequestRecord) -> int:
    words = (record.endpoint_id, record.endpoint_name, record.endpoint_kind, record.base_url, record.model)
    values = (*(column_text(word) for word in words), msgspec.json.encode(record.rates).decode())
    found = connection.execute(
        "SELECT id FROM targets WHERE endpoint_id = ? AND endpoint_name = ? AND endpoint_kind = ? AND base_url = ? "
        "AND model = ? AND rates = ?",
        values,
    ).fetchone()
    if found:
        return int(found[0])
    made = connection.execute(
        "INSERT INTO targets (endpoint_id, endpoint_name, endpoint_kind, base_url, model, rates) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        values,
    )
    return int(made.lastrowid or 0)


def run_id_of(connection: sqlite3.Connection, number: int) -> str:
    """Return a run's run_id; empty if it does not exist."""
    row = connection.execute("SELECT run_id FROM runs WHERE number = ?", (number,)).fetchone()
    return "" if row is None else str(row[0])


def add_events(connection: sqlite3.Connection, number: int, events: Sequence[AnyEvent]) -> None:
    """Insert one batch of a run's events."""
    connection.execute("INSERT INTO events (number, data) VALUES (?, ?)", (number, encode_events(events)))


def read_events(connection: sqlite3.Connection, number: int) -> tuple[AnyEvent, ...]:
    """Return all events of a run, in order."""
    rows = connection.execute("SELECT data FROM events WHERE number = ? ORDER BY id", (number,))
    return decode_events(row[0] for row in rows)


_FIGURES = (
    "UPDATE runs SET phase = ?, status = ?, finish_reason = ?, request_id = ?, body_id = ?, attempts = ?, "
    "prompt_tokens = ?, cached_tokens = ?, completion_tokens = ?, total_tokens = ?, ttft_s = ?, duration_s = ?, "
    "traits = ?, dropped_raw = ?"
)


def update_figures(
    connection: sqlite3.Connection, number: int, summary: Summary, dropped_raw: bool, *, ended: bool = False
) -> None:
    """Write a run's current figures; `ended` removes its owner."""
    connection.execute(
        f"{_FIGURES}{', owner = NULL' if ended else ''} WHERE number = ?",
        (
            *(summary.phase, summary.status, summary.finish_reason, summary.request_id, summary.body_id),
            *(summary.attempts, summary.prompt_tokens, summary.cached_tokens, summary.completion_tokens),
            *(summary.total_tokens, summary.ttft_s, summary.duration_s, summary.traits, int(dropped_raw), number),
        ),
    )
    connection.executemany("INSERT OR IGNORE INTO ids VALUES (?, ?)", ((number, id_) for id_ in summary.ids))


def end_run(connection: sqlite3.Connection, number: int, summary: Summary, dropped_raw: bool) -> None:
    """Write a run's final figures and texts, and add it to the text search."""
    update_figures(connection, number, summary, dropped_raw, ended=True)
    connection.execute(
        "UPDATE texts SET answer = ?, called = ?, trouble = ?, error = ? WHERE number = ?",
        (summary.answer, summary.called, summary.trouble, summary.error, number),
    )
    index.add(connection, number)


def replace_events(connection: sqlite3.Connection, number: int, events: Sequence[AnyEvent]) -> None:
    """Replace the batches of a run's events by a single one."""
    connection.execute("DELETE FROM events WHERE number = ?", (number,))
    _put_events(connection, number, events)


def _put_events(connection: sqlite3.Connection, number: int, events: Sequence[AnyEvent]) -> None:
    if events:
        data = encode_events(events, _COMPACT_LEVEL)
        connection.execute("INSERT INTO events (number, data) VALUES (?, ?)", (number, data))


def delete_runs(connection: sqlite3.Connection, run_ids: Sequence[str]) -> list[str]:
    """Delete ended runs with their unshared data; return the run_ids that were deleted."""
    found = connection.execute(
        f"SELECT number, run_id, body, document, {', '.join(index.TEXTS)} FROM runs JOIN texts USING (number) "
        f"WHERE owner IS NULL AND run_id IN ({', '.join('?' * len(run_ids))})",
        tuple(run_ids),
    ).fetchall()
    if not found:
        return []
    numbers = [row[0] for row in found]
    listed = ", ".join(map(str, numbers))
    ids: dict[int, list[str]] = {number: [] for number in numbers}
    for number, id_ in connection.execute(f"SELECT number, id FROM ids WHERE number IN ({listed})"):
        ids[number].append(id_)
    index.remove_known(connection, ((row[0], tuple(row[4:]), tuple(ids[row[0]])) for row in found))
    prompt_index.forget(connection, {row[0]: row[2] for row in found})
    blob_store.forget(connection, (manifest for row in found for manifest in row[2:4]))
    for table in ("tags", "ids", "events", "texts", "runs"):
        connection.execute(f"DELETE FROM {table} WHERE number IN ({listed})")
    return [row[1] for row in found]
