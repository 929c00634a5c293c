"""Rows of a damaged SQLite file, read from its pages: no root page, schema or index is needed.

Source: the SQLite file format, sections 1.2 (header), 1.6 (pages, records), 1.8 (pointer map), 4.1 (write-ahead file).
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = int | float | str | bytes | None
Row: TypeAlias = tuple[int, list[Value]]
"""Rowid (0 in an index and in a table without rowids) and values."""

_MAGIC, _HEAD_BYTES = b"SQLite format 3\0", 100
_INDEX_INTERIOR, _TABLE_INTERIOR, _INDEX_LEAF, TABLE_LEAF = 2, 5, 10, 13
_INTERIOR, INDEX_KINDS = (_INDEX_INTERIOR, _TABLE_INTERIOR), (_INDEX_INTERIOR, _INDEX_LEAF)
_KINDS = (*_INTERIOR, _INDEX_LEAF, TABLE_LEAF)
_POINTER, _ROOT, _CHILD = 5, 1, 5
"""Bytes of an entry of the pointer map; its types of a root and of another page of a b-tree."""
_LOCK_BYTE = 2**30
_WAL_HEAD, _FRAME_HEAD = struct.Struct(">8I"), struct.Struct(">6I")
_WAL_MAGIC = 0x377F0682
_MOST_DEPTH = 40
_MOST_OF = 0.75
_SAMPLED = 2_000
"""Pages by which the page size is chosen if the header has lost it."""
_ERRORS = (IndexError, ValueError, struct.error)


class Pages:
    """The pages of a database file, with those of its write-ahead file. Raises OSError."""

    def __init__(self, path: Path, page_bytes: int) -> None:
        """`page_bytes`: the page size if neither the header nor the write-ahead file has a plausible one."""
        wal = path.with_name(f"{path.name}-wal")
        with ExitStack() as opened:
            self._file = opened.enter_context(path.open("rb"))
            self._wal_file = opened.enter_context(wal.open("rb")) if wal.exists() else None
            self._read_head(page_bytes)
            self._files = opened.pop_all()

    def _read_head(self, page_bytes: int) -> None:
        self._newer: dict[int, int] = {}
        self.read_frames = 0
        """Intact frames of the write-ahead file up to a commit."""
        self._length = os.fstat(self._file.fileno()).st_size
        self.page_bytes = self._read_wal() or self._page_bytes(page_bytes)
        self.count = max(self._length // self.page_bytes, *self._newer, 1)
        head = self.page(1)
        is_whole = head.startswith(_MAGIC) and len(head) >= _HEAD_BYTES
        self._usable = self.page_bytes  # no version of the log reserves bytes at the end of a page
        self._has_map = not is_whole or any(head[52:56])
        self._overflow = bytearray(self.count + 1)
        """1 for each overflow page that a row used: a damaged chain ends, and belongs to one row."""

    def close(self) -> None:
        self._files.close()

    def page(self, number: int) -> bytes:
        """Return a page; shorter if the file ends in it."""
        if self._wal_file is not None and (place := self._newer.get(number)) is not None:
            self._wal_file.seek(place)
            if len(found := self._wal_file.read(self.page_bytes)) == self.page_bytes:
                return found
        self._file.seek((number - 1) * self.page_bytes)
        return self._file.read(self.page_bytes)

    def _page_bytes(self, usual: int) -> int:
        head = self._file.read(18)
        written = int.from_bytes(head[16:18], "big")
        written = 65_536 if written == 1 else written
        sizes = sorted(size for size in {written, usual, 4_096} if size in [2**n for n in range(9, 17)])

        def share(size: int) -> float:
            numbers = range(1, min(self._length // size, _SAMPLED))
            found = 0
            for number in numbers:
                self._file.seek(number * size)
                found += self._file.read(1) in [bytes([kind]) for kind in _KINDS]
            return found / max(len(numbers), 1)

        # At a multiple of the page size pages begin, too: the least size at which about as many places are pages.
        shares = {size: share(size) for size in sizes}
        return next(size for size in sizes if shares[size] >= _MOST_OF * max(shares.values()))

    def _read_wal(self) -> int:
        """Find the committed pages of the write-ahead file; return its page size, 0 without one."""
        if self._wal_file is None or len(head := self._wal_file.read(_WAL_HEAD.size)) < _WAL_HEAD.size:
            return 0
        magic, _, size, _, *salts, _, _ = _WAL_HEAD.unpack(head)
        if magic & ~1 != _WAL_MAGIC or _checksum(head[:24], magic, (0, 0)) != _WAL_HEAD.unpack(head)[6:]:
            return 0
        sums, pending = _WAL_HEAD.unpack(head)[6:], dict[int, int]()
        while len(frame := self._wal_file.read(_FRAME_HEAD.size + size)) == _FRAME_HEAD.size + size:
            number, pages, *found = _FRAME_HEAD.unpack_from(frame)
            sums = _checksum(frame[_FRAME_HEAD.size :], magic, _checksum(frame[:8], magic, sums))
            if found != [*salts, *sums]:
                break
            pending[number] = self._wal_file.tell() - size
            if pages:
                self._newer |= pending
                pending.clear()
                self.read_frames = (self._wal_file.tell() - _WAL_HEAD.size) // len(frame)
        return int(size)

    def roots(self) -> array[int]:
        """Return the root page of each page's b-tree, by the pointer map or the pages above it; 0 if unknown."""
        above = array("I", bytes(4 * (self.count + 1)))
        for page in range(1, self.count + 1):
            with suppress(*_ERRORS):
                for child in self._children(page):
                    above[child] = page
        mapped = self._mapped() if self._has_map else above
        roots = array("I", bytes(4 * (self.count + 1)))
        for page in range(1, self.count + 1):
            at = page
            for _ in range(_MOST_DEPTH):
                if not 0 < at <= self.count:
                    break
                if at == 1 or mapped[at] == at or not (up := mapped[at] or above[at]):
                    roots[page] = at
                    break
                at = up
        return roots

    def _mapped(self) -> array[int]:
        """Return the parents of the pages by the pointer map; the page itself if it is a root, 0 if unknown."""
        found = array("I", bytes(4 * (self.count + 1)))
        per_map = self._usable // _POINTER
        for first in range(2, self.count + 1, per_map + 1):
            page = first + (first == _LOCK_BYTE // self.page_bytes + 1)
            data = self.page(page)[: per_map * _POINTER]
            if max(data[::_POINTER], default=9) > _CHILD:  # damaged
                continue
            for at in range(min(len(data) // _POINTER, self.count - page)):
                kind, up = data[_POINTER * at], int.from_bytes(data[_POINTER * at + 1 : _POINTER * (at + 1)], "big")
                if kind == _ROOT or (kind == _CHILD and up <= self.count):
                    found[page + 1 + at] = page + 1 + at if kind == _ROOT else up
        return found

    def _children(self, page: int) -> Iterator[int]:
        data, start = self.page(page), _HEAD_BYTES * (page == 1)
        if data[start] in _INTERIOR:
            places = struct.unpack_from(f">{int.from_bytes(data[start + 3 : start + 5], 'big')}H", data, start + 12)
            for place in (start + 8, *places):
                (child,) = struct.unpack_from(">I", data, place)
                if 1 < child <= self.count and child != page:
                    yield child

    def kind(self, page: int) -> int:
        """Return the first byte of a page's header."""
        return int.from_bytes(self.page(page)[_HEAD_BYTES * (page == 1) :][:1], "big")

    def rows(self, page: int) -> Iterator[Row]:
        """Yield the rows of a page that are intact."""
        data, start = self.page(page), _HEAD_BYTES * (page == 1)
        kind = data[start] if start < len(data) else 0
        if kind in _KINDS and kind != _TABLE_INTERIOR:
            for at in _cells(data, start, kind):
                with suppress(*_ERRORS):
                    yield self._row(data, at, kind)

    def greatest_rowid(self, least_values: int, below: int) -> int:
        """Return the greatest rowid of a row with at least so many values; 0 without one. Decodes no values."""
        greatest = 0
        for page in range(1, self.count + 1):
            data = self.page(page)
            for at in _cells(data, 0, TABLE_LEAF) if data[:1] == bytes([TABLE_LEAF]) else ():
                with suppress(*_ERRORS):
                    length, rowid, place = _cell_head(data, at, TABLE_LEAF)
                    if greatest < rowid < below and _values(data[place : place + length], length) >= least_values:
                        greatest = rowid
        return greatest

    def _row(self, data: bytes, at: int, kind: int) -> Row:
        length, rowid, at = _cell_head(data, at, kind)
        most = (self._usable - 12) * 64 // 255 - 23 if kind in INDEX_KINDS else self._usable - 35
        local = length
        if length > most:
            least = (self._usable - 12) * 32 // 255 - 23
            local = least + (length - least) % (self._usable - 4)
            local = local if local <= most else least
        payload = data[at : at + local]
        if local < length:
            payload += self._chain(int.from_bytes(data[at + local : at + local + 4], "big"), length - local)
        return rowid, _record(payload)

    def _chain(self, page: int, length: int) -> bytes:
        """Return the part of a row in overflow pages. Raises ValueError if the chain is damaged."""
        pages, found, left = [], [], length
        while left > 0:
            if not 1 < page <= self.count or self._overflow[page]:
                raise ValueError("damaged chain")
            self._overflow[page] = 1
            pages.append(page)
            data = self.page(page)
            found.append(data[4 : min(4 + left, self._usable)])
            left -= self._usable - 4
            page = int.from_bytes(data[:4], "big")
        return b"".join(found)


def committed_frames(wal: Path) -> tuple[bytes, int]:
    """Return the salts of a write-ahead file and how many frames it has up to its last commit, by their heads alone.

    (b"", 0) without one. SQLite reads fewer if one of them is damaged. A frame with one of the two salts has a damaged
    head: frames of an earlier use of the file have two others. Raises ValueError if the file's head is damaged.
    """
    try:
        file = wal.open("rb")
    except FileNotFoundError:
        return b"", 0
    with file:
        head = file.read(_WAL_HEAD.size)
        if len(head) < _WAL_HEAD.size:
            return b"", 0
        magic, _, size, _, *salts, one, two = _WAL_HEAD.unpack(head)
        if magic & ~1 != _WAL_MAGIC or _checksum(head[:24], magic, (0, 0)) != (one, two):
            raise ValueError("the head of its write-ahead file is damaged")
        frame_bytes, found = _FRAME_HEAD.size + size, 0
        for number in range(1, (wal.stat().st_size - _WAL_HEAD.size) // frame_bytes + 1):
            file.seek(_WAL_HEAD.size + (number - 1) * frame_bytes)
            _, pages, first, second, *_ = _FRAME_HEAD.unpack(file.read(_FRAME_HEAD.size))
            if pages and (first == salts[0] or second == salts[1]):
                found = number
        return head[16:24], found


def _cells(data: bytes, start: int, kind: int) -> Iterator[int]:
    """Yield the offsets of the cells of a page whose header is at `start`."""
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    first = start + (12 if kind in _INTERIOR else 8)
    for at in range(first, min(first + 2 * count, len(data) - 1), 2):
        yield int.from_bytes(data[at : at + 2], "big")


def _cell_head(data: bytes, at: int, kind: int) -> tuple[int, int, int]:
    """Return the length of a cell's record, its rowid (0 in an index) and the place of the record."""
    length, at = _varint(data, at + 4 * (kind == _INDEX_INTERIOR))
    return length, *(_varint(data, at) if kind == TABLE_LEAF else (0, at))


def _checksum(data: bytes, magic: int, sums: tuple[int, ...]) -> tuple[int, ...]:
    words = struct.unpack(f"{'>' if magic & 1 else '<'}{len(data) // 4}I", data)
    one, two = sums
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of one to nine bytes and the place after it."""
    value = 0
    for place in range(at, at + 8):
        value = value << 7 | data[place] & 127
        if data[place] < 128:
            return value, place + 1
    value = value << 8 | data[at + 8]
    return value - (value >> 63 << 64), at + 9


_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Bytes of a value by its type, below the types of texts and blobs."""


def _types(data: bytes) -> tuple[list[tuple[int, int]], int]:
    """Return type and size of each value of a record, and the place of the first. Raises IndexError, ValueError."""
    end, at = _varint(data, 0)
    found = []
    while at < end:
        kind, at = _varint(data, at)
        found.append((kind, (kind - 12) // 2 if kind >= 12 else _SIZES[kind]))
    if at != end:
        raise ValueError("an incomplete record")
    return found, end


def _values(data: bytes, length: int) -> int:
    """Return the number of values of a record by its header; 0 if they do not have its length."""
    types, place = _types(data)
    return len(types) if place + sum(size for _, size in types) == length else 0


def _record(data: bytes) -> list[Value]:
    """Decode a record. Raises ValueError or IndexError if its parts do not have its length."""
    types, place = _types(data)
    values: list[Value] = []
    for kind, size in types:
        piece = data[place : place + size]
        place += size
        if kind in (8, 9):
            values.append(kind - 8)
        elif kind == 7:
            values.append(struct.unpack(">d", piece)[0])
        elif kind >= 12:
            values.append(piece.decode("utf-8", "replace") if kind % 2 else piece)
        else:
            values.append(int.from_bytes(piece, "big", signed=True) if kind else None)
    if place != len(data):
        raise ValueError("an incomplete record")
    return values
