"""Whole runs as the log stores them."""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from playground.client.endpoint import Rates
from playground.client.events import (
    AnyEvent,
    ApiError,
    AttemptFailed,
    AttemptStarted,
    BodyIdReceived,
    Completed,
    ContentDelta,
    Finished,
    HeadersReceived,
    Stopped,
    TimesUnknown,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from playground.prefix_cache.forecast import Forecast
from playground.requestlog import rows
from playground.requestlog.blob_store import Joiner
from playground.requestlog.records import DamagedRunError, StoredRun
from playground.requestlog.store import is_damage
from playground.runs.record import RequestRecord
from playground.runs.state import fold
from playground.runs.summary import CUT_TRANSFER, MORE_AFTER_DONE, TEXT_AFTER_FINISH, UNNAMED_CALL, warnings

DAMAGE = (zlib.error, ValueError, TypeError, LookupError, AttributeError, OverflowError)
"""Exceptions from decoding a damaged row or blob; msgspec's errors are ValueErrors."""
_NONE = type(None)
KINDS: dict[str, tuple[type, ...]] = {
    "t": (str,),
    "T": (str, _NONE),
    "i": (int,),
    "I": (int, _NONE),
    "F": (float, int, _NONE),
    "b": (bytes,),
    "J": (str, bytes, _NONE),
}
_STORED_KINDS = tuple(map(KINDS.__getitem__, "itiiittttttbbJitTtTJtt"))


@contextmanager
def one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """Read within one transaction, from one snapshot."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


class StoredRuns:
    """Reads whole runs. `damaged`: run_ids of those that could not be read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # A text column that is not UTF-8 must not make its whole page unreadable.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        self._rates: dict[str, Rates] = {}
        self.damaged: set[str] = set()
        self.without_events: set[int] = set()
        """Numbers of salvaged runs whose events are lost."""
        self.incomplete: set[int] = set()
        """Numbers of salvaged runs of whose prompt a part is lost."""
        self.other_answer: set[int] = set()
        """Numbers of salvaged runs whose answer was changed on disk."""

    def get(self, run_id: str) -> StoredRun | None:
        """Return one run; None if it does not exist. Raises DamagedRunError."""
        with one_moment(self._connection):
            return self._stored(run_id)

    def remaining(self, run_id: str) -> StoredRun | None:
        """Return what is left of a damaged run; None if nothing can be read."""
        with suppress(sqlite3.Error, DamagedRunError), one_moment(self._connection):
            sql = "SELECT number FROM runs WHERE run_id IN (?, ?)"
            row = self._connection.execute(sql, rows.both_ids(run_id)).fetchone()
            return self.salvaged(row[0]) if row else None
        return None

    def salvaged(self, number: int) -> StoredRun | None:
        """Return one run with all its events, without the use of an index. None if it does not exist.

        If its events are damaged, others have its stored figures and answer. A lost part of the prompt is replaced by
        LOST; a comment states it, and an answer that was changed on disk. Raises DamagedRunError.
        """
        joiner = _LossyJoiner(self._connection)
        stored = self._intact("r.number = ?", (number,), f"number {number}", self._salvaged_events, joiner)
        if joiner.is_incomplete:
            self.incomplete.add(number)
        for numbers, note in ((self.incomplete, INCOMPLETE), (self.other_answer, OTHER_ANSWER)):
            if stored is not None and number in numbers and note not in stored.comment:
                stored = replace(stored, comment=f"{stored.comment} {note}".lstrip())
        return stored

    def _salvaged_events(self, number: int) -> Sequence[AnyEvent]:
        try:
            events = tuple(rows.read_events(self._connection, number))
            if not self._are_lost(number, events):
                return events
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        except DAMAGE:
            with suppress(*DAMAGE):
                events = tuple(rows.read_events(self._connection, number, any_answer=True))
                self.other_answer.add(number)
                return events
        self.without_events.add(number)
        return events_of_figures(self._connection, number)

    def _are_lost(self, number: int, events: Sequence[AnyEvent]) -> bool:
        """Return whether the events of an ended run do not add up to its stored phase and answer."""
        row = self._connection.execute(
            "SELECT phase, answer FROM runs JOIN texts USING (number) LEFT JOIN streams USING (number) "
            "WHERE number = ? AND owner IS NULL AND data IS NULL",
            (number,),
        ).fetchone()
        if row is None:
            return False
        (phase, answer), state = row, fold(events)
        return bool(answer != state.text or (phase in ("done", "failed", "stopped") and phase != state.phase))

    def stored(self, numbers: Sequence[int]) -> tuple[list[StoredRun], list[str]]:
        """Return these runs, ascending, and the run_ids of those that are damaged. Deleted runs are left out."""
        runs: list[StoredRun] = []
        damaged: list[str] = []
        with one_moment(self._connection):
            for run_id in rows.run_ids(self._connection, numbers):
                try:
                    run = self._stored(run_id)
                except DamagedRunError:
                    damaged.append(str(run_id))
                else:
                    if run is None:  # its run_id differs between the table and the index
                        damaged.append(str(run_id))
                    else:
                        runs.append(run)
        self.damaged.update(damaged)
        return runs, damaged

    def rates_of(self, text: str) -> Rates:
        """Return decoded rates. Raises a DAMAGE error."""
        if text not in self._rates:
            self._rates[text] = msgspec.json.decode(text, type=Rates)
        return self._rates[text]

    def _stored(self, run_id: str) -> StoredRun | None:
        if not isinstance(run_id, str):  # the column of a damaged row
            raise DamagedRunError(str(run_id))
        return self._intact("r.run_id IN (?, ?)", rows.both_ids(run_id), run_id)

    def _intact(
        self,
        condition: str,
        values: tuple[str | bytes | int, ...],
        name: str,
        read_events: Callable[[int], Sequence[AnyEvent]] | None = None,
        joiner: Joiner | None = None,
    ) -> StoredRun | None:
        read_events = read_events or partial(rows.read_events, self._connection)
        try:
            return self._read_stored(condition, values, read_events, joiner or Joiner(self._connection))
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            raise DamagedRunError(name) from error
        except DAMAGE as error:
            raise DamagedRunError(name) from error

    def _read_stored(
        self,
        condition: str,
        values: tuple[str | bytes | int, ...],
        read_events: Callable[[int], Sequence[AnyEvent]],
        joiner: Joiner,
    ) -> StoredRun | None:
        cursor = self._connection.execute(
            "SELECT r.number, r.phase, r.marked, r.dropped_raw, r.started_us, g.endpoint_id, g.endpoint_name, "
            "g.endpoint_kind, g.base_url, g.model, g.rates, t.body, t.document, t.forecast, r.imported, t.comment, "
            "(SELECT group_concat(tag, char(31)) FROM tags WHERE tags.number = r.number) AS tags, r.source, "
            f"r.conversation, t.explanation, t.question, {rows.id_text('r.run_id')} AS run_id "
            "FROM runs AS r JOIN texts AS t ON t.number = r.number JOIN targets AS g ON g.id = r.target "
            f"WHERE {condition}",
            values,
        )
        cursor.row_factory = sqlite3.Row
        row = cursor.fetchone()
        if row is None:
            return None
        check_types(tuple(row), _STORED_KINDS)
        body = joiner.join_body(row["body"], row["question"])
        record = RequestRecord(
            run_id=row["run_id"],
            endpoint_id=row["endpoint_id"],
            endpoint_name=row["endpoint_name"],
            endpoint_kind=row["endpoint_kind"],
            base_url=row["base_url"],
            model=row["model"],
            started_utc=rows.moment_of(row["started_us"]),
            body=body,
            document=joiner.join_document(row["document"], body).decode("utf-8", "surrogatepass"),
            forecast=msgspec.json.decode(row["forecast"], type=Forecast) if row["forecast"] else None,
            rates=self.rates_of(row["rates"]),
            source=row["source"],
            conversation=row["conversation"],
        )
        return StoredRun(
            record,
            number=row["number"],
            phase=row["phase"],
            marked=bool(row["marked"]),
            events=read_events(row["number"]),
            dropped_raw=bool(row["dropped_raw"]),
            imported=bool(row["imported"]),
            comment=row["comment"],
            tags=tags_of(row["tags"]),
            explanation=json.loads(row["explanation"]) if row["explanation"] else None,
        )


LOST = "\N{REPLACEMENT CHARACTER}".encode()
"""Replaces a lost part of a salvaged body, which is text of a message then: it is no JSON any more."""
INCOMPLETE = "Incomplete: parts of the prompt were lost with a damaged log."
"""Comment of a salvaged request without a part of its prompt."""
OTHER_ANSWER = "This answer was damaged on disk: it is not what the server sent."
"""Comment of a request whose answer has another checksum."""


class _LossyJoiner(Joiner):
    """Joins what is left. An incomplete body is its text and the question, as two messages; so is its document."""

    is_incomplete = False

    def read(self, id_: int) -> bytes:
        try:
            return super().read(id_)
        except DAMAGE:
            self.is_incomplete = True
            return LOST

    def join_body(self, manifest: bytes, question: str) -> bytes:
        try:
            body = super().join_body(manifest, question)
        except DAMAGE:
            body, self.is_incomplete = LOST, True
        if not self.is_incomplete:
            return body
        messages = [("system", body.decode("utf-8", "replace")), ("user", question)]
        value = {"messages": [{"role": role, "content": text} for role, text in messages]}
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")

    def join_document(self, manifest: bytes, body: bytes) -> bytes:
        if not self.is_incomplete:
            with suppress(*DAMAGE):
                document = super().join_document(manifest, body)
                if not self.is_incomplete:
                    return document
            self.is_incomplete = True
        return body


_FIGURES = (
    "SELECT r.phase, r.attempts, r.duration_s, r.status, r.request_id, r.body_id, r.finish_reason, r.prompt_tokens, "
    "r.completion_tokens, r.total_tokens, r.cached_tokens, t.answer, t.called, t.trouble, t.error "
    "FROM runs AS r JOIN texts AS t ON t.number = r.number WHERE r.number = ?"
)
_FIGURE_KINDS = tuple(map(KINDS.__getitem__, "tiFITTTIIIItttt"))
_MOST_ATTEMPTS = 1_000


def events_of_figures(connection: sqlite3.Connection, number: int) -> tuple[AnyEvent, ...]:
    """Return events that add up to a run's stored figures, answer, names of called tools and warnings, without times.

    Raises a DAMAGE error.
    """
    row = connection.execute(_FIGURES, (number,)).fetchone()
    check_types(row, _FIGURE_KINDS)
    phase, attempts, duration, status, request_id, body_id, reason, *tokens, answer, called, title, error = row
    at = max(float(duration or 0.0), 0.0)
    events: list[AnyEvent] = [AttemptStarted(0.0, one + 1) for one in range(min(attempts, _MOST_ATTEMPTS))]
    if events:
        events.append(TimesUnknown(0.0))
        if status is not None:
            events.append(HeadersReceived(at, status, request_id, ""))
        if body_id is not None:
            events.append(BodyIdReceived(at, body_id))
        if answer:
            events.append(ContentDelta(at, answer))
        names = called.split(", ") if called or _titled(UNNAMED_CALL, title) else []
        events += (ToolCallDelta(at, index, None, name, "") for index, name in enumerate(names))
        if reason is not None:
            events.append(Finished(at, reason))
        if any(count is not None for count in tokens):
            prompt, completion, total, cached = tokens
            events.append(UsageReported(at, Usage(prompt, completion, total, cached)))
    if phase == "done":
        more, late = (_titled(one, title) or msgspec.UNSET for one in (MORE_AFTER_DONE, TEXT_AFTER_FINISH))
        end = Completed(at, not _titled(CUT_TRANSFER, title), more, late)
        told = [one.title for one in warnings(fold((*events, end)))]
        noted = tuple(one for one in title.split("; ") if one and one not in told)
        events.append(replace(end, noted=noted or msgspec.UNSET))
    elif phase == "failed":
        events.append(AttemptFailed(at, ApiError("http", title, error, status=status), request_id))
    elif phase == "stopped":
        events.append(Stopped(at))
    return tuple(events)


def _titled(warning: ApiError, titles: str) -> bool:
    """Return whether a run's stored warnings have this one."""
    return warning.title in titles.split("; ")


def check_types(values: Sequence[object], kinds: Sequence[tuple[type, ...]]) -> None:
    """Raise TypeError for a value of another type than its column's, and for a number that is not finite."""
    for value, kind in zip(values, kinds, strict=True):
        if value.__class__ not in kind or (isinstance(value, float) and not math.isfinite(value)):
            raise TypeError(f"{type(value).__name__} in a column of the log")


def tags_of(text: object) -> tuple[str, ...]:
    """Return the tags of a row, in alphabetical order."""
    return tuple(sorted(str(text).split("\x1f"), key=str.casefold)) if text else ()
