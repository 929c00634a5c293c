"""Writes the log. What cannot be written now (a full disk) is kept in memory and tried again; the program goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from playground.client.events import AnyEvent, BodyIdReceived, RawEvent
from playground.requestlog import rows
from playground.requestlog.files import is_damage, transaction
from playground.requestlog.owners import Owner, is_alive
from playground.requestlog.records import RunRecord
from playground.requestlog.summary import Summary, summarize
from playground.runs.state import ENDED, RunState, fold

RAW_CAP_BYTES = 4 * 1024 * 1024
"""Raw events kept a run, in bytes of UTF-8; what is beyond is left out, and the run says so. All else is kept."""
KEPT_UNSAVED = 200
"""Ended runs that wait in memory for a disk with room; beyond, the oldest are given up."""


@dataclass(slots=True)
class _Live:
    """A run of this process that is not wholly on disk. `number` is None until its first row is."""

    record: RunRecord
    number: int | None = None
    pending: list[AnyEvent] = field(default_factory=list)
    state: RunState = field(default_factory=RunState)
    body_ids: set[str] = field(default_factory=set)
    raw_bytes: int = 0
    dropped_raw: bool = False
    end: Summary | None = None

    @property
    def owes(self) -> bool:
        return self.number is None or bool(self.pending) or self.end is not None

    def take(self, event: AnyEvent) -> None:
        if isinstance(event, RawEvent):
            self.raw_bytes += len(event.data.encode("utf-8", "surrogatepass"))
            if self.raw_bytes > RAW_CAP_BYTES:
                self.dropped_raw = True
                return
        else:
            if isinstance(event, BodyIdReceived):
                self.body_ids.add(event.id)
            self.state.apply(event)
        self.pending.append(event)


class Writer:
    """On the writer's thread only. `report` takes a sentence, `changed` the run_ids that look different now."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        owner: Owner,
        report: Callable[[str], None],
        changed: Callable[[list[str]], None],
    ) -> None:
        self._connection = connection
        self._owner = owner
        self._report = report
        self._changed = changed
        self._live: dict[str, _Live] = {}
        self._failing = False

    @property
    def owes(self) -> bool:
        """Whether something waits to be written."""
        return any(live.owes for live in self._live.values())

    def begin(self, record: RunRecord) -> None:
        """Keep a run; durable when this returns, unless trouble was reported."""
        live = self._live[record.run_id] = _Live(record)
        try:
            self._save(live, durable=True)
        except sqlite3.IntegrityError:
            del self._live[record.run_id]
            raise

    def take(self, notes: Iterable[tuple[str, AnyEvent]]) -> None:
        """Events of live runs, in order; those of runs that are not live are left out."""
        for run_id, event in notes:
            if (live := self._live.get(run_id)) is not None and live.end is None:
                live.take(event)

    def flush(self) -> None:
        """Write what is pending, run by run."""
        for live in list(self._live.values()):
            if live.owes and not self._save(live, durable=live.end is not None):
                return

    def finish(self, run_id: str, end: Summary) -> None:
        """End a run. One that is not live is left as it is."""
        live = self._live.get(run_id)
        if live is None:
            return
        live.end = replace(end, ids=tuple(sorted({*end.ids, *live.body_ids})))
        self._save(live, durable=True)
        self._give_up_oldest()

    def delete(self, run_ids: Iterable[str]) -> None:
        """Delete ended runs. Raises sqlite3.Error where nothing could be deleted."""
        gone = [run_id for run_id in run_ids if run_id not in self._live]
        # Only here: overwriting what is freed costs a write a page, and this is where a person wants it gone.
        self._connection.execute("PRAGMA secure_delete = ON")
        try:
            with transaction(self._connection, durable=True):
                gone = [run_id for run_id in gone if rows.delete_run(self._connection, run_id)]
        finally:
            self._connection.execute("PRAGMA secure_delete = OFF")
        self._changed(gone)

    def mark(self, run_ids: Iterable[str], marked: bool) -> None:
        """Set or clear the mark of runs. Raises sqlite3.Error."""
        ids = list(run_ids)
        with transaction(self._connection, durable=True):
            self._connection.executemany(
                "UPDATE runs SET marked = ? WHERE run_id = ?", ((int(marked), run_id) for run_id in ids)
            )
        self._changed(ids)

    def close(self) -> None:
        """Write what can still be written, say what could not, and let go of the file."""
        self.flush()
        lost = sum(live.owes for live in self._live.values())
        if lost:
            self._report(f"{lost} request(s) could not be saved in the request log, and the program ends.")
        self._connection.close()
        self._owner.release()

    def _save(self, live: _Live, durable: bool) -> bool:
        try:
            with transaction(self._connection, durable):
                number = self._write(live)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            self._trouble(error)
            return False
        live.number, live.pending = number, []
        if live.end is not None:
            del self._live[live.record.run_id]
        self._recovered()
        self._changed([live.record.run_id])
        return True

    def _write(self, live: _Live) -> int:
        number = live.number
        if number is None:
            number = rows.insert_run(self._connection, live.record, self._owner.id)
        if live.pending:
            rows.add_events(self._connection, number, live.pending)
        summary = live.end or summarize(live.state, live.body_ids)
        if live.pending or live.end:
            rows.update_figures(self._connection, number, summary, live.dropped_raw)
        if live.end:
            rows.end_run(self._connection, number, live.end)
        return number

    def _trouble(self, error: sqlite3.Error) -> None:
        if not self._failing:
            self._failing = True
            self._report(_sentence(error))

    def _recovered(self) -> None:
        if self._failing:
            self._failing = False
            self._report("The request log can be written again; what had waited is being saved.")

    def _give_up_oldest(self) -> None:
        ended = [run_id for run_id, live in self._live.items() if live.end is not None]
        for run_id in ended[: max(0, len(ended) - KEPT_UNSAVED)]:
            del self._live[run_id]


def _sentence(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    tail = "Requests go on and are kept in memory until it works again."
    if code == sqlite3.SQLITE_FULL:
        return f"The disk is full: the request log is not being saved. Free some room. {tail}"
    if is_damage(error):
        return (
            f"The request log is damaged and is not being saved ({error}). Restart Electron Playground: it sets the "
            f"damaged file aside and begins a new one."
        )
    return f"The request log is not being saved: {error}. {tail}"


def interrupt_orphans(connection: sqlite3.Connection, folder: Path) -> int:
    """End the runs whose process is gone: interrupted, with all that was on disk. Answers with how many."""
    owners = [row[0] for row in connection.execute("SELECT DISTINCT owner FROM runs WHERE owner IS NOT NULL")]
    gone = [owner for owner in owners if not is_alive(folder, owner)]
    if not gone:
        return 0
    with transaction(connection, durable=True):
        found = [
            (int(row[0]), bool(row[1]))
            for owner in gone
            for row in connection.execute("SELECT number, dropped_raw FROM runs WHERE owner = ?", (owner,)).fetchall()
        ]
        for number, dropped_raw in found:
            _interrupt(connection, number, dropped_raw)
    return len(found)


def _interrupt(connection: sqlite3.Connection, number: int, dropped_raw: bool) -> None:
    events = rows.read_events(connection, number)
    state = fold(events)
    if state.phase not in ENDED:
        state.phase = "interrupted"
        state.ended_at = events[-1].at if events else None
    summary = summarize(state, (event.id for event in events if isinstance(event, BodyIdReceived)))
    rows.update_figures(connection, number, summary, dropped_raw)
    rows.end_run(connection, number, summary)
