"""Storage of bytes in shared, reference-counted parts."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from json.encoder import encode_basestring, encode_basestring_ascii
from operator import itemgetter
from typing import Generic, TypeVar

import msgspec

from playground import asset
from playground.requestlog import index
from playground.requestlog.sent_body import Piece, SentBody, pieces_of

_decode_manifest = msgspec.msgpack.Decoder().decode
_COMPRESS_FROM = 48
"""Bytes. Data below this size is not compressed."""
_PLAIN, _ZLIB, _PRIMED = b"\x00", b"\x01", b"\x03"
"""First byte of stored data: plain, deflated (only in earlier files), deflated with _COMMON. `codec` has 2."""
_LEVEL, _SMALL_WINDOW, _WINDOW, _MEMORY = 4, -12, -15, 5
"""zlib's parameters. A window of 4 KB is enough for most parts and is allocated faster."""
_COMMON = asset("deflate/part.zdict").read_bytes()
"""Preset dictionary: usual phrases of prompts, and the structure of bodies and documents. Never change it."""
_LONG, _SHORTEST = 1024, 256
"""Bytes: size from which an element is cut again, and the minimum size of such a part."""
_PLACE = re.compile(
    # Three bytes, each from a class. In Latin scripts: a word's end, a space or line's end, a word's
    # start. The classes' other bytes were drawn until Hindi, Chinese and Arabic, too, are cut every 200 to 300 bytes.
    b"[,.:sy\x81\x8e\x9b\x9e\xa6\xa7\xbf\xc9\xd1\xd2\xd7\xde\xe0\xf9\xfc\xfe]"
    b"[ \x5cn\x87\x8c\x8d\x91\x93\x94\x99\x9e\x9f\xa0\xa7\xaa\xac\xaf\xb0\xb3\xb5\xb8\xb9\xba\xbb\xc0\xc1\xc8\xcb"
    b"\xcf\xd2\xd4\xd8\xdb\xe0\xe8\xe9\xeb\xee\xf3\xf5\xf7\xf9\xfd]"
    b"[bmw\x86\x8c\x8e\x95\x96\x9d\xa1\xa2\xa3\xa7\xb1\xb5\xb7\xba\xbc\xc7\xcf\xd1\xd9\xdc\xe0\xe6\xec\xed\xee\xf0\xf1\xf4"
    b"\xf6\xfa\xfd\xff]"
)


def shorter(element: bytes) -> Iterator[bytes]:
    """Cut a long element by its content."""
    start = 0
    if len(element) >= _LONG:
        while found := _PLACE.search(element, start + _SHORTEST, len(element) - _SHORTEST):
            yield element[start : found.end()]
            start = found.end()
    yield element[start:]


def digest(part: bytes) -> bytes:
    """Return the key of a part: 16 bytes."""
    return blake2b(part, digest_size=16).digest()


def pack(data: bytes) -> bytes:
    """Return one byte for the format, then the data, deflated if that is shorter."""
    if len(data) >= _COMPRESS_FROM:
        window = _SMALL_WINDOW if len(data) + len(_COMMON) <= 1 << -_SMALL_WINDOW else _WINDOW
        packer = zlib.compressobj(_LEVEL, wbits=window, memLevel=_MEMORY, zdict=_COMMON)
        small = packer.compress(data) + packer.flush()
        if len(small) < len(data):
            return _PRIMED + small
    return _PLAIN + data


def unpack(blob: bytes) -> bytes:
    """Return the data that `pack` received. Raises zlib.error if it is damaged."""
    kind = blob[:1]
    if kind == _ZLIB:
        return zlib.decompress(blob[1:])
    if kind != _PRIMED:
        return blob[1:]
    unpacker = zlib.decompressobj(wbits=_WINDOW, zdict=_COMMON)
    data = unpacker.decompress(blob[1:])
    if not unpacker.eof:
        raise zlib.error("incomplete data")
    return data


_CACHED_PARTS = 20_000
"""Maximum number of parts in a Keeper's cache: about 5 MB. A million requests share far fewer."""
_CACHED_BYTES = 12_000_000
"""Maximum size of the pieces of bodies and documents, and of their literals, in that cache."""
_RECENT_BYTES = 128_000
"""Size of new pieces after which those before them that were not used again are forgotten."""
_AT_ONCE = 1_000
"""Maximum number of parts in one statement."""

V = TypeVar("V")


class _PieceCache(Generic[V]):
    """Values of pieces. A piece that is used again stays; a question that is sent once is forgotten later.

    A generation ends between two transactions only: the pieces of a long body are found again in the next one.
    """

    def __init__(self) -> None:
        self.used_again: dict[Piece, V] = {}
        self._recent: dict[Piece, V] = {}
        self._earlier: dict[Piece, V] = {}
        self._used_bytes = self._recent_bytes = self._earlier_bytes = 0

    @property
    def size(self) -> int:
        return self._used_bytes + self._recent_bytes + self._earlier_bytes

    def __iter__(self) -> Iterator[Piece]:
        return chain(self.used_again, self._recent, self._earlier)

    def find(self, piece: Piece) -> V | None:
        """Return the value of a piece that is not in `used_again`, and keep it from now on."""
        size = len(piece[0]) + len(piece[1])
        found = self._recent.pop(piece, None)
        if found is not None:
            self._recent_bytes -= size
        else:
            found = self._earlier.pop(piece, None)
            if found is None:
                return None
            self._earlier_bytes -= size
        self.used_again[piece] = found
        self._used_bytes += size
        return found

    def add(self, piece: Piece, value: V) -> None:
        self._recent[piece] = value
        self._recent_bytes += len(piece[0]) + len(piece[1])

    def end_transaction(self) -> None:
        """Forget the generation before the present one if that is large enough."""
        if self._recent_bytes > _RECENT_BYTES:
            self._earlier, self._earlier_bytes = self._recent, self._recent_bytes
            self._recent, self._recent_bytes = {}, 0

    def clear(self) -> None:
        self.used_again.clear()
        self._recent, self._earlier = {}, {}
        self._used_bytes = self._recent_bytes = self._earlier_bytes = 0


class Keeper:
    """Stores bytes for one writer. Cached parts need no read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._parts: dict[bytes, int] = {}
        self._pieces: _PieceCache[tuple[int, ...]] = _PieceCache()
        """Parts of pieces. Their elements are the objects that were decoded, whose hashes Python computes once."""
        self._quoted: _PieceCache[tuple[bytes, ...]] = _PieceCache()
        """Long string literals of pieces of bodies."""
        self._uses: Counter[int] = Counter()
        self.targets: dict[Hashable, int] = {}
        """Ids of rows of `targets`."""
        self._open_block = -1
        self.deletions = -1
        """`prompt_index.deletions_of` at the beginning of the transaction."""
        self._first = self._next = 1

    def begin(self) -> None:
        """Begin a transaction: drop cached parts that were deleted since the last one, here or in another process."""
        deletions = index.meta(self._connection, "deletions")
        if deletions != self.deletions or len(self._parts) > _CACHED_PARTS or self._cached_bytes > _CACHED_BYTES:
            self.forget_all()
            self.deletions = deletions
        self._first = _first_id(self._connection)
        newest = self._connection.execute("SELECT max(id) FROM part_uses").fetchone()[0]
        self._next = max(self._first, (newest or 0) + 1)

    def end(self) -> None:
        """End a transaction, before it is committed."""
        # By id, since neighbours are on the same page.
        counted = sorted((id_, n) for id_, n in self._uses.items())
        self._connection.executemany(
            "INSERT INTO part_uses (id, uses) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET uses = uses + excluded.uses",
            (pair for pair in counted if pair[0] >= self._first),
        )
        if self.has_old_parts:
            old = ((n, id_) for id_, n in counted if id_ < self._first)
            self._connection.executemany("UPDATE parts SET uses = uses + ? WHERE id = ?", old)
        self._uses.clear()
        self._pieces.end_transaction()
        self._quoted.end_transaction()

    @property
    def _cached_bytes(self) -> int:
        return self._pieces.size + self._quoted.size

    @property
    def has_old_parts(self) -> bool:
        """Return whether the file has parts from before version 6. Call between `begin` and `end`."""
        return self._first > 1

    def forget_all(self) -> None:
        """Drop the cache after a rollback: the parts of that transaction do not exist."""
        self._parts.clear()
        self._pieces.clear()
        self._quoted.clear()
        self._uses.clear()
        self.targets.clear()
        self._open_block = -1
        self.deletions = -1

    def open_block(self, number: int) -> None:
        """Note that a new run's block of the text search is open."""
        if number >> index.SHIFT != self._open_block:
            index.open_block(self._connection, number)
            self._open_block = number >> index.SHIFT

    def keep(self, data: bytes) -> bytes:
        """Store `data`; return the manifest with which `Joiner` finds it. Call between `begin` and `end`."""
        return msgspec.msgpack.encode(self._keep(pieces_of(data)))

    def keep_body(self, body: SentBody) -> bytes:
        """Store a body like `keep`, but without the question in its last user message."""
        whole = body.pieces
        for style, quote in _QUESTION_STYLES.items():
            literal = quote(body.question).encode("utf-8", "surrogatepass")
            at = body.message.rfind(literal)
            if at >= 0 and len(literal) >= _LONG_LITERAL and _QUESTION not in body.data:
                asked = body.message[:at] + _QUESTION + body.message[at + len(literal) :]
                pieces = [(before, asked if half is body.message else half) for before, half in whole]
                if asked in map(itemgetter(1), pieces):
                    return msgspec.msgpack.encode((self._keep(pieces), style))
        return msgspec.msgpack.encode(self._keep(whole))

    def keep_document(self, document: bytes, body: SentBody) -> bytes:
        """Store `document` like `keep`, but without the long string literals that `body` also has."""
        known = {literal: place for place, literal in enumerate(self._literals(body))}
        cut = _split(document)
        found = [(at, place) for at, place in enumerate(map(known.get, cut[1::2])) if place is not None]
        if not found or b"\0" in document:
            return self.keep(document)
        pieces: list[Piece] = []
        after = 0
        for at, _ in found:  # each piece ends with a literal that is left out: few are different
            pieces.append((b'"'.join(cut[after : 2 * at + 1]), _LEFT_OUT))
            after = 2 * at + 2
        pieces.append((b'"'.join(cut[after:]), b""))
        places = [place for _, place in found]
        in_order = places == list(range(len(places)))
        return msgspec.msgpack.encode((self._keep(pieces), len(places) if in_order else places))

    def _literals(self, body: SentBody) -> Iterable[bytes]:
        """Return `_literals` of a body, from those of its pieces if no piece ends within a string."""
        found: list[bytes] = []
        for piece in body.pieces:
            literals = self._quoted.used_again.get(piece)
            if literals is None:
                literals = self._quoted.find(piece)
            if literals is None:
                literals = _balanced_literals(b"".join(piece))
                self._quoted.add(piece, literals)
            if literals is _UNBALANCED:
                return _literals(body.data)
            found += literals
        return dict.fromkeys(found)

    def _keep(self, pieces: Iterable[Piece]) -> list[int]:
        ids: list[int] = []
        known = self._pieces.used_again
        for piece in pieces:
            ids += known.get(piece) or self._piece(piece)
        self._uses.update(ids)
        return ids

    def _piece(self, piece: Piece) -> tuple[int, ...]:
        ids = self._pieces.find(piece)
        if ids is None:
            data = b"".join(piece)
            ids = tuple(map(self._part, shorter(data))) if data else ()
            self._pieces.add(piece, ids)
        return ids

    def _part(self, part: bytes) -> int:
        name = digest(part)
        id_ = self._parts.get(name)
        if id_ is None:
            id_ = self._parts[name] = self._find(name) or self._insert(name, part)
        return id_

    def _find(self, name: bytes) -> int | None:
        row = self._connection.execute("SELECT id FROM part_digests WHERE digest = ?", (name,)).fetchone()
        if row is None and self.has_old_parts:
            row = self._connection.execute("SELECT id FROM parts WHERE digest = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def _insert(self, name: bytes, part: bytes) -> int:
        id_, self._next = self._next, self._next + 1
        self._connection.execute("INSERT INTO part_digests (digest, id) VALUES (?, ?)", (name, id_))
        self._connection.execute("INSERT INTO part_data (id, data) VALUES (?, ?)", (id_, pack(part)))
        return id_


def _first_id(connection: sqlite3.Connection) -> int:
    """Return the first id in `part_uses`; parts with lower ids are in `parts`, from before version 6."""
    return index.meta(connection, "parts_from")


_LITERAL = re.compile(rb'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)


def _split(text: bytes) -> list[bytes]:
    """Split a JSON text: even items are between string literals, odd ones are literals without quotes."""
    if b'\\"' not in text:
        cut = text.split(b'"')  # the same, but faster
        if len(cut) % 2:
            return cut
    return _LITERAL.split(text)


_LONG_LITERAL = 24
_LEFT_OUT = b'"\0"'
"""Replaces a literal that the body has. Like _split and _LONG_LITERAL, part of the file's format: never change it."""


_QUESTION = b'"\\u0000question"'
"""Replaces the question in a body. Never change it."""
_QUESTION_STYLES = {"utf-8": encode_basestring, "ascii": encode_basestring_ascii}
"""Ways of writing a question in JSON: all characters that are not ASCII may be escaped."""


def _literals(body: bytes) -> list[bytes]:
    """Return the different long string literals of a JSON text, in order, without quotes."""
    return list(dict.fromkeys([found for found in _split(body)[1::2] if len(found) >= _LONG_LITERAL]))


_UNBALANCED = (b"",)
"""Instead of the literals of a piece that ends within a string."""


def _balanced_literals(piece: bytes) -> tuple[bytes, ...]:
    cut = _split(piece)
    if b'"' in b"".join(cut[::2]):
        return _UNBALANCED
    return tuple([found for found in cut[1::2] if len(found) >= _LONG_LITERAL])


def forget(connection: sqlite3.Connection, manifests: Iterable[bytes]) -> None:
    """Decrement the reference counts of the manifests' parts; delete unused ones. Call within a transaction."""
    uses: Counter[int] = Counter()
    for manifest in manifests:
        uses.update(ids_of(manifest))
    start = _first_id(connection)
    _forget(connection, "part_uses", {id_: n for id_, n in uses.items() if id_ >= start})
    _forget(connection, "parts", {id_: n for id_, n in uses.items() if id_ < start})


def _forget(connection: sqlite3.Connection, table: str, uses: dict[int, int]) -> None:
    ids = sorted(uses)  # neighbors are on the same page
    connection.executemany(f"UPDATE {table} SET uses = uses - ? WHERE id = ?", ((uses[id_], id_) for id_ in ids))
    for first in range(0, len(ids), _AT_ONCE):
        among = ", ".join(map(str, ids[first : first + _AT_ONCE]))
        rows = connection.execute(f"SELECT id FROM {table} WHERE id IN ({among}) AND uses <= 0").fetchall()
        unused = ", ".join(str(row[0]) for row in rows)
        if table == "part_uses":
            _forget_digests(connection, unused)
        # First overwritten: see rows.delete_runs.
        connection.execute(f"UPDATE part_data SET data = zeroblob(length(data)) WHERE id IN ({unused})")
        connection.execute(f"DELETE FROM part_data WHERE id IN ({unused})")
        connection.execute(f"DELETE FROM {table} WHERE id IN ({unused})")


def _forget_digests(connection: sqlite3.Connection, ids: str) -> None:
    for id_, data in connection.execute(f"SELECT id, data FROM part_data WHERE id IN ({ids})").fetchall():
        try:
            name = digest(unpack(data))
        except (zlib.error, TypeError):  # damaged
            connection.execute("DELETE FROM part_digests WHERE id = ?", (id_,))
        else:
            connection.execute("DELETE FROM part_digests WHERE digest = ? AND id = ?", (name, id_))


class Joiner:
    """Joins parts, and caches them for the duration of one query."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Return the number of cached parts."""
        return len(self._read)

    def join(self, manifest: bytes) -> bytes:
        return b"".join([self.part(id_) for id_ in ids_of(manifest)])

    def join_body(self, manifest: bytes, question: str) -> bytes:
        """Return the bytes that `Keeper.keep_body` stored. `join` alone leaves the question out."""
        data = self.join(manifest)
        value = _decode_manifest(manifest)
        if not value or not isinstance(value[0], list):
            return data
        literal = _QUESTION_STYLES[value[1]](question).encode("utf-8", "surrogatepass")
        return data.replace(_QUESTION, literal, 1)

    def join_document(self, manifest: bytes, body: bytes) -> bytes:
        """Return the bytes that `Keeper.keep_document` stored. Raises ValueError if they do not fit the body."""
        places = _places_of(manifest)
        between = self.join(manifest).split(_LEFT_OUT) if places else [self.join(manifest)]
        if len(between) != len(places) + 1:
            raise ValueError("the document does not fit the body")
        literals = _literals(body) if places else []
        found = [b'"%b"%b' % (literals[place], after) for place, after in zip(places, between[1:], strict=True)]
        return b"".join((between[0], *found))

    def part(self, id_: int) -> bytes:
        if id_ not in self._read:
            self._read[id_] = self.read(id_)
        return self._read[id_]

    def read(self, id_: int) -> bytes:
        """Return the bytes of a part that is needed once: it is not cached."""
        if id_ in self._read:
            return self._read[id_]
        row = self._connection.execute("SELECT data FROM part_data WHERE id = ?", (id_,)).fetchone()
        return unpack(row[0])


def ids_of(manifest: bytes) -> list[int]:
    """Return the ids of the parts of a manifest, in order."""
    ids = _decode_manifest(manifest)
    if ids and isinstance(ids[0], list):
        ids = ids[0]
    if not isinstance(ids, list):
        raise ValueError("not a list of parts")
    return ids


def _places_of(manifest: bytes) -> Sequence[int]:
    """Return the places, in the body's literals, of the literals that a document's parts do not have."""
    value = _decode_manifest(manifest)
    if not value or not isinstance(value[0], list):
        return ()
    return range(value[1]) if isinstance(value[1], int) else list(value[1])
