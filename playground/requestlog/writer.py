"""Writes the log. Requests that cannot be written (full disk) stay in memory and are retried; sending continues."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.events import AnyEvent, BodyIdReceived, RawEvent
from playground.prefix_cache.forecast import Forecast
from playground.requestlog import index, ordered, retention, rows
from playground.requestlog.blob_store import Keeper
from playground.requestlog.prompt_index import PromptIndex, deletions_of, unsealed_elements
from playground.requestlog.records import AddedRuns, EndedRun
from playground.requestlog.rows import Summary, summarize
from playground.requestlog.sent_body import SentBody
from playground.requestlog.store import (
    FILE_NAME,
    HELD_BUSY_S,
    ReplacedFileError,
    WriterMemory,
    cause_of,
    is_busy,
    is_damage,
    note_damage,
    reason_of,
    set_busy_timeout,
    transaction,
)
from playground.runs.metrics import counted
from playground.runs.record import RequestRecord
from playground.runs.state import RunState
from playground.storage.file_lock import Owner
from playground.storage.paths import remedy

RAW_CAP_CHARS = 4 * 1024 * 1024
"""Maximum size of a run's stored raw events, in characters. Later raw events are dropped and counted."""


class LiveRun(Struct):
    """A running request. `number` is None until its row is on disk; the first `written` events are on disk."""

    record: RequestRecord
    number: int | None = None
    events: list[AnyEvent] = field(default_factory=list)
    written: int = 0
    folded: int = 0
    so_far: RunState = field(default_factory=RunState)
    body_ids: set[str] = field(default_factory=set)
    raw_chars: int = 0
    dropped_raw: bool = False
    end: Summary | None = None
    forecast: Forecast | None = None
    """Replaces the forecast of `record` when the run ends."""
    explanation: str | None = None
    saved: Callable[[], None] | None = None
    """Called when the end is on disk."""

    @property
    def owes(self) -> bool:
        """Return whether a part of the run is not on disk."""
        return self.number is None or self.written < len(self.events) or self.end is not None

    @property
    def is_urgent(self) -> bool:
        """Return whether the beginning or the end of the run is not on disk."""
        return self.number is None or self.end is not None

    def take(self, events: list[AnyEvent]) -> None:
        self.body_ids.update([event.id for event in events if type(event) is BodyIdReceived])
        more = sum([len(event.data) for event in events if type(event) is RawEvent])
        if self.raw_chars + more <= RAW_CAP_CHARS:
            self.raw_chars += more
            self.events += events
        else:
            self.events += [event for event in events if self._is_kept(event)]

    def _is_kept(self, event: AnyEvent) -> bool:
        if isinstance(event, RawEvent):
            self.raw_chars += len(event.data)
            if self.raw_chars > RAW_CAP_CHARS:
                self.dropped_raw = True
                return False
        return True

    def state(self) -> RunState:
        """Return the state after the events so far. Folded lazily: most runs end before they are written twice."""
        for event in self.events[self.folded :]:
            self.so_far.apply(event)
        self.folded = len(self.events)
        return self.so_far


SEALED_AT_ONCE = 8
"""Maximum number of blocks of the text search that one transaction seals: some tens of milliseconds."""
BATCH, IDLE_BATCH = 500, 2_500
"""Maximum number of runs that one transaction deletes, while requests run and if none does. Ids are unordered: a
transaction of many runs changes a page of an index once instead of several times."""
KEPT_UNSAVED = 200
"""Maximum number of unsaved ended runs in memory; beyond it, the oldest are dropped."""


class Writer:
    """Writer, for the writer's thread only. `report` receives a message, `changed` the changed run_ids."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        owner: Owner,
        report: Callable[[str], None],
        changed: Callable[[list[str]], None],
        damaged: Callable[[sqlite3.Error], bool],
        is_replaced: Callable[[], bool],
    ) -> None:
        """`damaged` is called with an error that damage causes. It returns whether the file will be replaced.

        `is_replaced`: whether another process has set the file aside.
        """
        self._report, self._changed, self._damaged, self._is_replaced = report, changed, damaged, is_replaced
        self.waits_for_lock = False
        """Whether a transaction waits until other processes end theirs. May be read by any thread."""
        self._live: dict[str, LiveRun] = {}
        self._given_up = self._given_up_cut = 0
        """Requests that are no longer in memory and not in the log, and those of which the log has the beginning."""
        self.connect(connection, owner)

    def connect(self, connection: sqlite3.Connection, owner: Owner) -> None:
        """Write into another file, also the running requests. The one before is `disconnect`ed."""
        self._connection, self._owner = connection, owner
        for live in self._live.values():
            live.number, live.written = None, 0
        self._memory = WriterMemory(connection)
        self._keeper = Keeper(connection)
        self._prompts = PromptIndex(connection)
        self._deletions = -1
        self._has_bounds = False
        self._failing = False
        self.locked = False
        """Whether the last write failed because another process holds the file."""

    def disconnect(self) -> None:
        """Close the file; running and unsaved requests stay in memory."""
        with suppress(sqlite3.Error):
            self._connection.close()
        self._owner.release()

    @contextmanager
    def _change(self, *, durable: bool) -> Iterator[None]:
        """Run a transaction in a file that no other process has set aside."""
        self.waits_for_lock = True
        try:
            with transaction(self._connection, durable=durable):
                self.waits_for_lock = False
                if self._is_replaced():
                    raise ReplacedFileError("Another process has set the request log aside")
                yield
        finally:
            self.waits_for_lock = False

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[None]:
        """Run a transaction that may store new parts and prompts. If it fails, what is cached of them is dropped."""
        try:
            with self._change(durable=durable):
                self._keeper.begin()
                self._forget_deleted(self._keeper.deletions)
                yield
                self._keeper.end()
        except BaseException:
            self._keeper.forget_all()
            self._prompts.forget_all()
            raise

    def _forget_deleted(self, deletions: int) -> None:
        """Drop cached elements of prompts after a deletion."""
        if deletions != self._deletions:
            self._prompts.forget_all()
            self._deletions = deletions

    @property
    def is_live(self) -> bool:
        """Return whether requests are running."""
        return bool(self._live)

    @property
    def owes(self) -> bool:
        """Return whether unsaved data exists."""
        return any(live.owes for live in self._live.values())

    @property
    def open_blocks(self) -> int:
        """Return the number of blocks that are not in the index of the text search."""
        return int(self._connection.execute("SELECT count(*) FROM open_blocks").fetchone()[0])

    def begin(self, record: RequestRecord) -> None:
        """Add a run before it is sent. Written by `settle`."""
        if record.run_id in self._live:
            raise sqlite3.IntegrityError(f"run {record.run_id} has begun already")
        self._live[record.run_id] = LiveRun(record)

    def take(self, notes: Iterable[tuple[str, AnyEvent]]) -> None:
        """Add events of live runs, in order; events of other runs are ignored."""
        of_run: defaultdict[str, list[AnyEvent]] = defaultdict(list)
        for run_id, some in groupby(notes, itemgetter(0)):
            of_run[run_id] += [event for _, event in some]
        for run_id, events in of_run.items():
            if (live := self._live.get(run_id)) is not None and live.end is None:
                live.take(events)

    def finish(
        self,
        run_id: str,
        end: Summary,
        forecast: Forecast | None = None,
        explanation: str | None = None,
        saved: Callable[[], None] | None = None,
    ) -> None:
        """End a run; written by `settle`. Does nothing if the run is not live. `explanation` is JSON text."""
        if (live := self._live.get(run_id)) is not None:
            live.forecast, live.explanation, live.saved = forecast, explanation, saved
            live.end = replace(end, ids=tuple(sorted({*end.ids, *live.body_ids})))

    def add(self, runs: Sequence[EndedRun]) -> AddedRuns:
        """Store ended runs, all or none. Runs with an existing run_id are skipped.

        One that was imported from a HAR is replaced by the same run with exact times.
        """
        added = []
        with self._transaction(durable=True):
            replaced = self._remove_rounded(runs)
            for each in runs:
                number, run = replaced.get(each.record.run_id, (None, each))
                body = SentBody(run.record.body)
                stored = rows.insert_ended(self._connection, self._keeper, run, body, number)
                if stored is not None:
                    self._prompts.note(stored, body.prompt)
                    if number is None:
                        added.append(run.record.run_id)
        self._changed([*added, *replaced])
        return AddedRuns(added, list(replaced))

    def _remove_rounded(self, runs: Sequence[EndedRun]) -> dict[str, tuple[int, EndedRun]]:
        """Delete the stored forms of runs that are replaced; return their numbers and the runs to store."""
        found = {run.record.run_id: rows.rounded(self._connection, run) for run in runs}
        replaced = {run_id: each for run_id, each in found.items() if each is not None}
        if replaced:
            self._keeper.end()
            rows.delete_runs(self._connection, list(replaced))
            retention.owe(self._connection)
            self._keeper.begin()
            self._forget_deleted(self._keeper.deletions)
        return replaced

    def settle(self, *, durable: bool) -> dict[str, sqlite3.IntegrityError]:
        """Write unsaved data in one transaction. Returns the runs that were rejected because their id exists.

        `durable`: only runs that began or ended, on disk on return; the events of others are written with more of them.
        """
        owing = [live for live in self._live.values() if live.owes and (not durable or live.is_urgent)]
        durable = durable or any(live.end is not None for live in owing)
        refused: dict[str, sqlite3.IntegrityError] = {}
        if owing and not self._save(owing, refused, durable=durable):
            self._give_up_oldest()
        return refused

    def seal(self, limit: int = SEALED_AT_ONCE) -> int:
        """Index full blocks of ended runs for the text search; return how many blocks were done.

        Raises sqlite3.Error. Runs of other blocks are found, too, but not as fast.
        """
        blocks = index.ready_blocks(self._connection, limit)
        ranges = unsealed_elements(self._connection, limit - len(blocks)) if len(blocks) < limit else []
        if not blocks and not ranges:
            return 0
        if not self._memory.is_wide:
            self._memory.fit()
        self._has_bounds = self._has_bounds or index.has_bounds(self._connection)
        try:
            with transaction(self._connection, durable=False):
                self._forget_deleted(deletions_of(self._connection))
                for block in blocks:
                    self._prompts.seal(block)
                    if self._has_bounds:
                        ordered.put_bounds(self._connection, block)
                    first_run = block << index.SHIFT
                    rows.pack_events(self._connection, first_run, first_run + index.RUNS - 1)
                for first, last in ranges:
                    self._prompts.seal_elements(first, last)
        except BaseException:
            self._prompts.forget_all()
            raise
        return len(blocks) + len(ranges)

    def delete(self, run_ids: Sequence[str], *, durable: bool = True) -> None:
        """Delete ended runs. Raises sqlite3.Error if none could be deleted.

        Not `durable`: until the next durable transaction, they are back after a power failure.
        """
        gone = [run_id for run_id in run_ids if run_id not in self._live]
        if len(run_ids) >= BATCH:
            self._memory.widen()
        with self._change(durable=durable):
            gone = rows.delete_runs(self._connection, gone)
            if gone:
                retention.owe(self._connection)
        self._changed(gone)

    def delete_oldest(self, most_bytes: int) -> int:
        """Delete unmarked ended runs, oldest first, until the file uses at most the given number of bytes.

        Returns their number. Raises sqlite3.Error.
        """
        after = deleted = 0
        while retention.used_bytes(self._connection) > most_bytes:
            batch = list(retention.oldest(self._connection, after, BATCH))
            if not batch:
                break
            after = batch[-1][0]
            self.delete([run_id for _, run_id in batch])
            deleted += len(batch)
        return deleted

    def older_than(self, moment: datetime) -> list[str]:
        """Return unmarked ended runs that began before that time."""
        return retention.older_than(self._connection, rows.microseconds(moment))

    def purge(self) -> bool:
        """Do one step of the purge of deleted contents; return whether it was the last."""
        return retention.step(self._connection)

    def end_deletion(self) -> None:
        """Return the memory that a large deletion used. Raises sqlite3.Error."""
        self._memory.fit()

    def change(self, function: Callable[[sqlite3.Connection], list[str]], *, durable: bool) -> None:
        """Change runs in one transaction; `function` returns their run_ids. Raises sqlite3.Error."""
        with self._change(durable=durable):
            changed = function(self._connection)
        self._changed(changed)

    def close(self) -> int:
        """Write what can still be written, report what could not, and close the file.

        Returns how many requests are not saved.
        """
        # An open transaction here would be a bug; a closed file must not raise.
        with suppress(sqlite3.Error):
            self.settle(durable=False)
        owing = [live.number is None for live in self._live.values() if live.owes]
        lost, cut = owing.count(True) + self._given_up, owing.count(False) + self._given_up_cut
        words = [f"{counted(lost, 'request')} could not be saved in the request log"] if lost else []
        words += (
            [f"{counted(cut, 'request')} could be saved there without {'its' if cut == 1 else 'their'} end only"]
            if cut
            else []
        )
        if words:
            self._report(f"{' and '.join(words)}, and the program ends.")
        self.disconnect()
        return lost + cut

    def _save(self, owing: list[LiveRun], refused: dict[str, sqlite3.IntegrityError], *, durable: bool) -> bool:
        """Write runs in one transaction. Returns whether that was possible. Adds rejected runs to `refused`."""
        try:
            with self._transaction(durable=durable):
                numbers = [self._write(live) for live in owing]
        except sqlite3.IntegrityError as error:
            if is_damage(error):
                self._error(error)
                return False
            if len(owing) > 1:  # one by one, so that the others are written
                saved = [self._save([live], refused, durable=durable) for live in owing]
                return all(saved)
            run_id = owing[0].record.run_id
            refused[run_id] = error
            del self._live[run_id]
            self._given_up += 1
            return True
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            self._error(error)
            return False
        for live, number in zip(owing, numbers, strict=True):
            live.number, live.written = number, len(live.events)
            if live.end is not None:
                del self._live[live.record.run_id]
                if live.saved is not None:
                    live.saved()
        self._recovered()
        self._changed([live.record.run_id for live in owing])
        return True

    def _write(self, live: LiveRun) -> int:
        number, pending = live.number, live.events[live.written :]
        if number is None:
            body = SentBody(live.record.body)
            number = rows.insert_run(self._connection, self._keeper, live.record, body, self._owner.id)
            self._prompts.note(number, body.prompt)
        if live.end is None and pending:
            rows.add_events(self._connection, number, pending)
            summary = summarize(live.state(), live.body_ids)
            rows.update_figures(self._connection, number, summary, dropped_raw=live.dropped_raw)
        if live.end is not None:
            rows.end_run(self._connection, number, live.end, live.explanation, dropped_raw=live.dropped_raw)
            rows.replace_events(self._connection, number, live.events, live.end, batches=live.written > 0)
            if live.forecast is not None:
                retention.set_forecast(self._connection, number, live.forecast)
        return number

    def _error(self, error: sqlite3.Error) -> None:
        self.locked = is_busy(error)
        if self.locked:
            set_busy_timeout(self._connection, HELD_BUSY_S)
        if not self._failing:
            self._failing = True
            if is_damage(error):
                if not isinstance(error, ReplacedFileError):
                    note_damage(self._owner.folder)
                if self._damaged(error):
                    return
            self._report(_sentence(error, self._owner.folder))

    def _recovered(self) -> None:
        self.locked = False
        if self._failing:
            self._failing = False
            set_busy_timeout(self._connection)
            self._report("The request log can be written again; unsaved requests are being saved.")

    def _give_up_oldest(self) -> None:
        ended = [run_id for run_id, live in self._live.items() if live.end is not None]
        for run_id in ended[: max(0, len(ended) - KEPT_UNSAVED)]:
            is_begun = self._live.pop(run_id).number is not None
            self._given_up_cut += is_begun
            self._given_up += not is_begun


def _sentence(error: sqlite3.Error, folder: Path) -> str:
    tail = "Requests continue and stay in memory until writing works again."
    cause = cause_of(folder / FILE_NAME, error)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return f"The disk is full: the request log is not being saved. Free some room. {tail}"
    if isinstance(cause, OSError):
        first = remedy(cause)
        reason = f"The request log is not being saved: {reason_of(cause)}."
        return f"{reason} {first[:1].upper()}{first[1:]}. {tail}" if first else f"{reason} {tail}"
    if is_damage(error):
        return (
            f"The request log is damaged and is not being saved ({error}). Restart Electron Playground: it sets the "
            f"damaged file aside and begins a new one."
        )
    return f"The request log is not being saved: {error}. {tail}"
