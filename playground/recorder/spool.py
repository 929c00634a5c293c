"""Exchanges on disk, also young open ones, until they are in the request log, so that killing all processes loses none.

Each Recorder appends to its own segment files `ID.N.spool` in the data folder's `recorder-spool`. A segment is a list
of records (magic, length, CRC-32, messages); the first one has the endpoint. Both processes of a Recorder hold a lock
file; if both locks are free, the segments are to be replayed into the log.
"""

from __future__ import annotations

import os
import struct
import subprocess
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from playground.child_process import program_command
from playground.recorder.feed_messages import (
    MAX_EXCHANGE_BYTES,
    Begin,
    Closed,
    ExchangeMessage,
    MessageReader,
    Setup,
    TooLargeError,
    frame,
    masked_exchange,
)
from playground.storage.file_lock import acquired

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = "recorder-spool"
SEGMENT_BYTES = 8 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024
"""Bound of all segments of a Recorder; further exchanges are not spooled until some are in the log."""
_MAGIC = b"\xf5EPS"
_HEAD = struct.Struct("<4sII")


class _Segment(Struct):
    """A segment file: its size, and the ids of its exchanges that are not in the log."""

    size: int = 0
    waiting: set[str] = set()


class Spool:
    """The segments of this Recorder. Methods block. `add` and `drop` may be called from several threads.

    Args:
        on_problem: receives a message for the user when writing fails for the first time.
    """

    def __init__(self, folder: Path, setup: Setup, on_problem: Callable[[str], object] = lambda _text: None) -> None:
        self.id = uuid.uuid4().hex
        self._folder, self._key, self._on_problem = folder / FOLDER, setup.key, on_problem
        self._head = _record([msgspec.structs.replace(setup, key=None, replayed=[])])
        self._lock: BaseFileLock | None = None
        self._file: int | None = None
        self._number = 0
        """Number of the segment that is written."""
        self._segments: dict[int, _Segment] = {}
        self._ended: set[str] = set()
        """Exchanges of which the last state is written."""
        self._writes = threading.Lock()
        self._failed = False

    def open(self) -> bool:
        """Take the lock. Returns whether exchanges can be spooled."""
        try:
            if not self._folder.parent.is_dir():
                raise FileNotFoundError(None, "The data folder was deleted")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = acquired(self._folder / f"{self.id}.forwarding.lock")
        except OSError as error:
            self._report(error)
        return self._lock is not None

    def add(self, exchange: str, frames: Sequence[bytes], *, is_open: bool = False) -> bool:
        """Append the frames of an exchange, with the key masked. Returns whether they are in the file.

        `is_open`: as it is at present; a later record of it counts instead. Half of the spool is left to ended ones.
        """
        if self._lock is None or sum(map(len, frames)) > MAX_EXCHANGE_BYTES:
            return False
        messages = [one for one in MessageReader().feed(b"".join(frames)) if not isinstance(one, Setup | Closed)]
        try:
            data = _record(masked_exchange(messages, self._key))
        except TooLargeError:
            return False
        with self._writes:
            return self._add(exchange, data, is_open=is_open)

    def _add(self, exchange: str, data: bytes, *, is_open: bool) -> bool:
        size = len(data) + sum(segment.size for segment in self._segments.values())
        if size > MAX_BYTES // (1 + is_open) or (is_open and exchange in self._ended):
            return False
        try:
            self._append(data)
        except OSError as error:
            self._report(error)
            return False
        self._failed = False
        self._segments[self._number].waiting.add(exchange)
        if not is_open:
            self._ended.add(exchange)
        return True

    def drop(self, exchanges: Sequence[str]) -> None:
        """Note that exchanges are in the log: a segment without others is emptied."""
        with self._writes:
            self._drop(exchanges)

    def _drop(self, exchanges: Sequence[str]) -> None:
        self._ended.difference_update(exchanges)
        for number, segment in list(self._segments.items()):
            segment.waiting.difference_update(exchanges)
            if segment.waiting:
                continue
            with suppress(OSError):
                if number == self._number and self._file is not None:
                    self._truncate(len(self._head))
                else:
                    del self._segments[number]
                    self._path(number).unlink()

    def close(self) -> int:
        """Release the lock; remove the files if everything is in the log. Otherwise the next Recorder replays them.

        Returns how many exchanges are not in the log.
        """
        self._close_file()
        left = sum(len(segment.waiting) for segment in self._segments.values())
        if not left:
            for number in self._segments:
                with suppress(OSError):
                    self._path(number).unlink()
        if self._lock is not None:
            release(self._lock)
        return left

    def _append(self, data: bytes) -> None:
        if self._file is None or self._segments[self._number].size > SEGMENT_BYTES:
            self._close_file()
            number = self._number + 1
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file, self._number = os.open(self._path(number), flags, 0o600), number
            self._segments[number] = _Segment()
            self._write(self._head)
        self._write(data)

    def _write(self, data: bytes) -> None:
        """Write all bytes, or none of them."""
        assert self._file is not None
        left, segment = memoryview(data), self._segments[self._number]
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            with suppress(OSError):  # a part of a record is skipped when the file is read
                self._truncate(segment.size)
            raise
        segment.size += len(data)

    def _truncate(self, size: int) -> None:
        assert self._file is not None
        segment = self._segments[self._number]
        if segment.size >= size:
            os.ftruncate(self._file, size)
            segment.size = size

    def _close_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, number: int) -> Path:
        return self._folder / f"{self.id}.{number}.spool"

    def _report(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            reason = error.strerror or str(error)
            self._on_problem(
                f"Requests are lost if the Recorder is killed: its spool file cannot be written: {reason}."
            )


class Orphan(Struct):
    """The spooled exchanges of a Recorder whose processes have ended. Call `release` in the end."""

    setup: Setup | None
    exchanges: list[list[ExchangeMessage]]
    damaged: int
    """Skipped places: parts of records, or records with a wrong checksum."""
    paths: list[Path]
    locks: list[BaseFileLock] = field(default_factory=list)

    def remove(self) -> None:
        for path in self.paths:
            with suppress(OSError):
                path.unlink()

    def release(self) -> None:
        for lock in self.locks:
            release(lock)


def recording_lock(folder: Path, spool: str) -> BaseFileLock | None:
    """Return the lock that the recording process of a Recorder holds. None: it cannot be taken."""
    try:
        return acquired(folder / FOLDER / f"{spool}.recording.lock")
    except OSError:
        return None


def orphans(folder: Path, *, held: str = "", wait_s: float = 0.0) -> Iterator[Orphan]:
    """Yield the spools whose Recorders have ended, locked for this process.

    Args:
        held: a spool whose recording lock this process holds.
        wait_s: longest wait for the other lock of that spool: its process is being killed.
    """
    found: dict[str, list[Path]] = {}
    for path in (folder / FOLDER).glob("*.lock"):  # also of a Recorder that was killed before its first request
        found[path.name.split(".", 1)[0]] = []
    for path in sorted((folder / FOLDER).glob("*.spool"), key=_order):
        found.setdefault(path.name.split(".", 1)[0], []).append(path)
    for spool, paths in found.items():
        kinds = ("forwarding",) if spool == held else ("forwarding", "recording")
        locks: list[BaseFileLock] = []
        try:
            for kind in kinds:
                wait = wait_s if spool == held else 0.0
                locks.append(acquired(folder / FOLDER / f"{spool}.{kind}.lock", wait))
        except OSError:  # a process of it runs
            for lock in locks:
                release(lock)
            continue
        orphan = _read(paths)
        orphan.locks = locks
        yield orphan


def recover_killed(folder: Path) -> None:
    """Let a child process write the requests of killed Recorders to the log, if there are any. Returns when it ends.

    Spools of Recorders that run, and those that another process recovers, are left alone.
    """
    if next((folder / FOLDER).glob("*.spool"), None) is None:
        return
    for orphan in orphans(folder):
        orphan.release()
        if orphan.paths:
            quiet = subprocess.DEVNULL
            command = [*program_command(), "record", "--recover", "--data-dir", str(folder)]
            with suppress(OSError):
                subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)
            return


def _order(path: Path) -> tuple[str, int]:
    spool, number, _ = path.name.split(".", 2)
    return spool, int(number) if number.isdecimal() else 0


def _read(paths: list[Path]) -> Orphan:
    orphan = Orphan(None, [], 0, paths)
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError:
            orphan.damaged += 1
            continue
        offset = 0
        while offset < len(data):
            record, end = _record_at(data, offset)
            if record is None:
                orphan.damaged += 1
                following = data.find(_MAGIC, offset + 1)
                offset = len(data) if following < 0 else following
                continue
            offset = end
            if isinstance(record[0], Setup):
                orphan.setup = record[0]
            elif isinstance(record[0], Begin):
                orphan.exchanges.append(record)
    return orphan


def _record(messages: Sequence[Setup | ExchangeMessage]) -> bytes:
    data = b"".join(map(frame, messages))
    return _HEAD.pack(_MAGIC, len(data), zlib.crc32(data)) + data


def _record_at(data: bytes, offset: int) -> tuple[list[ExchangeMessage] | None, int]:
    """Return the messages of the record at an offset and its end; None if it is damaged."""
    start = offset + _HEAD.size
    if start > len(data):
        return None, start
    magic, length, checksum = _HEAD.unpack_from(data, offset)
    body = data[start : start + length]
    if magic != _MAGIC or len(body) != length or zlib.crc32(body) != checksum:
        return None, start
    try:
        return list(MessageReader().feed(body)), start + length  # type: ignore[arg-type]
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None, start


def release(lock: BaseFileLock) -> None:
    """Release a lock and remove its file."""
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink()
