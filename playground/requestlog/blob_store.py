"""Storage of bytes in shared, reference-counted parts."""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import chain, pairwise

import msgspec

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_BETWEEN = re.compile(rb"[ \t\r\n,]*")
_KNOWN_BY = 48
"""Length in bytes of the beginning by which a list is found; searching for a long list whole is slower than reading."""
_COMPRESS_FROM = 48
"""Bytes. Data below this size is not compressed."""
_PLAIN, _ZLIB, _PRIMED = b"\x00", b"\x01", b"\x03"
"""First byte of stored data: plain, deflated (only in earlier files), deflated with _COMMON. `codec` has 2."""
_LEVEL, _SMALL_WINDOW, _WINDOW, _MEMORY = 6, -12, -15, 5
"""zlib's parameters. A window of 4 KB is enough for most parts and is allocated faster."""
_COMMON = (
    b"Return the result as a JSON object with the following fields. If there is no information about it, say t"
    b"hat you do not know. The current date and time is Monday, the user's name and number are given below. Us"
    b"e this function when the user wants to get, create, update or delete an item. Optional. One of the value"
    b"s. The identifier of the customer, for example their email address, phone number or order. Do not make u"
    b"p any facts. Always be polite, clear and short, and answer in the same language. Never ask for more than"
    b" one thing at a time. Before you end the call, ask whether there is anything else that they would like t"
    b"o know. Thank you for your help. I have a question about my account. What would you like to do? Could yo"
    b"u please tell me how this works? Yes, that is right. Sure, I can help you with that. You are a voice age"
    b"nt for our company. Your task is to help people with their requests. Your answers will be spoken, so wri"
    b'te numbers as words and use no lists. # Instructions\\n\\n- {"type":"function","function":{"name":"","desc'
    b'ription":"","parameters":{"type":"object","properties":{"":{"type":"string","description":""},"enum":["a'
    b'dditionalProperties":false},"required":[""]}}}{"model":"electron","messages":[{"role":"system","content"'
    b':"You are a helpful assistant. "},{"role":"assistant","content":"","tool_calls":[{"id":"call_"role":"too'
    b'l","tool_call_id":"{\n "version": 1,\n "messages": [\n  {\n   "role": "user",\n   "content": "\n  },\n  {\n   "'
    b'role": "assistant",\n   "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content":'
    b' "'
)
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


def cut(data: bytes) -> list[bytes]:
    """Cut a body into parts that join to exactly `data`. Returns no parts for empty data."""
    return [part for element in elements(data) for part in shorter(element)]


def elements(data: bytes) -> list[bytes]:
    """Cut a JSON object's text at the ends of the elements of its lists (messages, tools). Other bytes stay whole."""
    try:
        places = _places(data)
    except (ValueError, RecursionError):  # msgspec's errors and UnicodeDecodeError are ValueErrors
        places = []
    edges = [0, *places, len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


def _places(data: bytes) -> list[int]:
    places: set[int] = set()
    for value in _decode_fields(data).values():
        first = bytes(memoryview(value)[:_KNOWN_BY])
        if first[:1] == b"[":
            # If the same bytes occur before this list, the cut is at another offset; the parts still join correctly.
            _ends(data, data.find(first) + 1, value, places)
    return sorted(place for place in places if place < len(data))


def _ends(data: bytes, at: int, value: msgspec.Raw, places: set[int]) -> None:
    for element in _decode_list(value):
        between = _BETWEEN.match(data, at)
        at = (between.end() if between else at) + len(memoryview(element))
        places.add(at)


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


_AT_HAND = 20_000
"""Maximum number of parts, and of elements, in a Keeper's cache: about 5 MB. A million requests share far fewer."""


_AT_ONCE = 1_000
"""Maximum number of parts in one statement."""


class Keeper:
    """Stores bytes for one writer. Cached parts need no read."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._parts: dict[bytes, int] = {}
        self._elements: dict[bytes, tuple[int, ...]] = {}
        self._uses: Counter[int] = Counter()
        self._deletions = -1

    def begin(self) -> None:
        """Begin a transaction: drop cached parts that were deleted since the last one, here or in another process."""
        deletions = self._connection.execute("SELECT value FROM meta WHERE name = 'deletions'").fetchone()[0]
        if deletions != self._deletions or max(len(self._parts), len(self._elements)) > _AT_HAND:
            self.forget_all()
            self._deletions = deletions

    def end(self) -> None:
        """End a transaction, before it is committed."""
        # By id, since neighbours are on the same page.
        counted = sorted((id_, n) for id_, n in self._uses.items())
        self._connection.executemany("UPDATE parts SET uses = uses + ? WHERE id = ?", ((n, id_) for id_, n in counted))
        self._uses.clear()

    def forget_all(self) -> None:
        """Drop the cache after a rollback: the parts of that transaction do not exist."""
        self._parts.clear()
        self._elements.clear()
        self._uses.clear()
        self._deletions = -1

    def keep(self, data: bytes) -> bytes:
        """Store `data`; return the manifest with which `Joiner` finds it. Call between `begin` and `end`."""
        ids = list(chain.from_iterable(self._element(element) for element in elements(data)))
        self._uses.update(ids)
        return msgspec.msgpack.encode(ids)

    def _element(self, element: bytes) -> tuple[int, ...]:
        name = digest(element)
        ids = self._elements.get(name)
        if ids is None:
            ids = self._elements[name] = tuple(self._part(part) for part in shorter(element))
        return ids

    def _part(self, part: bytes) -> int:
        name = digest(part)
        id_ = self._parts.get(name)
        if id_ is None:
            id_ = self._parts[name] = self._insert(name, part) or self._find(name)
        return id_

    def _find(self, name: bytes) -> int:
        return int(self._connection.execute("SELECT id FROM parts WHERE digest = ?", (name,)).fetchone()[0])

    def _insert(self, name: bytes, part: bytes) -> int | None:
        """Return None if it exists. Tried first: parts that are not cached are usually new."""
        made = self._connection.execute("INSERT OR IGNORE INTO parts (digest, uses) VALUES (?, 0)", (name,))
        if not made.rowcount:
            return None
        id_ = made.lastrowid
        self._connection.execute("INSERT INTO part_data (id, data) VALUES (?, ?)", (id_, pack(part)))
        return id_


def forget(connection: sqlite3.Connection, manifests: Iterable[bytes]) -> None:
    """Decrement the reference counts of the manifests' parts; delete unused ones. Call within a transaction."""
    uses: Counter[int] = Counter()
    for manifest in manifests:
        uses.update(_ids(manifest))
    ids = sorted(uses)  # neighbors are on the same page
    connection.executemany("UPDATE parts SET uses = uses - ? WHERE id = ?", ((uses[id_], id_) for id_ in ids))
    for first in range(0, len(ids), _AT_ONCE):
        among = ", ".join(map(str, ids[first : first + _AT_ONCE]))
        rows = connection.execute(f"SELECT id FROM parts WHERE id IN ({among}) AND uses <= 0").fetchall()
        unused = ", ".join(str(row[0]) for row in rows)
        for table in ("part_data", "parts"):
            connection.execute(f"DELETE FROM {table} WHERE id IN ({unused})")


class Joiner:
    """Joins parts, and caches them for the duration of one query."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: dict[int, bytes] = {}

    def join(self, manifest: bytes) -> bytes:
        """Return the bytes of this manifest."""
        return b"".join(self._part(id_) for id_ in _ids(manifest))

    def _part(self, id_: int) -> bytes:
        if id_ not in self._read:
            row = self._connection.execute("SELECT data FROM part_data WHERE id = ?", (id_,)).fetchone()
            self._read[id_] = unpack(row[0])
        return self._read[id_]


def _ids(manifest: bytes) -> list[int]:
    return msgspec.msgpack.decode(manifest, type=list[int])
