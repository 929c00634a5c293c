"""Keeping bytes in shared parts, reading them back joined, and forgetting parts that no run uses any more."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from itertools import chain

import msgspec

from playground.requestlog.parts import digest, elements, pack, shorter, unpack

_AT_HAND = 20_000
"""Parts, and elements, of which a Keeper remembers where they are: some 5 MB. A million requests share far fewer."""


class Keeper:
    """Keeps bytes for one writer. What is kept again costs no look at the file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._parts: dict[bytes, int] = {}
        self._elements: dict[bytes, tuple[int, ...]] = {}
        self._uses: Counter[int] = Counter()
        self._deletions = -1

    def begin(self) -> None:
        """At the beginning of a transaction: what was deleted since the last one, here or elsewhere, is not known."""
        deletions = self._connection.execute("SELECT value FROM meta WHERE name = 'deletions'").fetchone()[0]
        if deletions != self._deletions or max(len(self._parts), len(self._elements)) > _AT_HAND:
            self.forget_all()
            self._deletions = deletions

    def end(self) -> None:
        """At its end, before it is committed."""
        # By id: neighbours are on the same page.
        counted = sorted((id_, n) for id_, n in self._uses.items())
        self._connection.executemany("UPDATE parts SET uses = uses + ? WHERE id = ?", ((n, id_) for id_, n in counted))
        self._uses.clear()

    def forget_all(self) -> None:
        """After a transaction that was taken back, nothing that it kept is there."""
        self._parts.clear()
        self._elements.clear()
        self._uses.clear()
        self._deletions = -1

    def keep(self, data: bytes) -> bytes:
        """Keep `data`; answers with the manifest by which `Joiner` finds it. Between `begin` and `end`."""
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
        """None where it is there. Tried first: what is not at hand is new more often than not."""
        made = self._connection.execute("INSERT OR IGNORE INTO parts (digest, uses) VALUES (?, 0)", (name,))
        if not made.rowcount:
            return None
        id_ = made.lastrowid
        self._connection.execute("INSERT INTO part_data (id, data) VALUES (?, ?)", (id_, pack(part)))
        return id_


def forget(connection: sqlite3.Connection, manifests: Iterable[bytes]) -> None:
    """Count the manifests' parts down, and delete those that nothing uses. Within a transaction."""
    uses: Counter[int] = Counter()
    for manifest in manifests:
        uses.update(_ids(manifest))
    connection.executemany("UPDATE parts SET uses = uses - ? WHERE id = ?", ((n, id_) for id_, n in uses.items()))
    for id_ in uses:
        if connection.execute("DELETE FROM parts WHERE id = ? AND uses <= 0", (id_,)).rowcount:
            connection.execute("DELETE FROM part_data WHERE id = ?", (id_,))


class Joiner:
    """Joins parts; those that were read once are at hand for the next body. For the time of one query."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: dict[int, bytes] = {}

    def join(self, manifest: bytes) -> bytes:
        """The bytes that were kept under this manifest."""
        return b"".join(self._part(id_) for id_ in _ids(manifest))

    def _part(self, id_: int) -> bytes:
        if id_ not in self._read:
            row = self._connection.execute("SELECT data FROM part_data WHERE id = ?", (id_,)).fetchone()
            self._read[id_] = unpack(row[0])
        return self._read[id_]


def _ids(manifest: bytes) -> list[int]:
    return msgspec.msgpack.decode(manifest, type=list[int])
