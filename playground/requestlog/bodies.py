"""Keeping bytes in shared parts, reading them back joined, and forgetting parts that no run uses any more."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable

import msgspec

from playground.requestlog.parts import cut, digest, pack, unpack


def keep(connection: sqlite3.Connection, data: bytes) -> bytes:
    """Keep `data`; answers with the manifest by which `Joiner` finds it. Within a transaction."""
    return msgspec.msgpack.encode([_part_id(connection, part) for part in cut(data)])


def _part_id(connection: sqlite3.Connection, part: bytes) -> int:
    row = connection.execute(
        "INSERT INTO parts (digest, uses) VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET uses = uses + 1 "
        "RETURNING id, uses",
        (digest(part),),
    ).fetchone()
    if row[1] == 1:
        connection.execute("INSERT INTO part_data (id, data) VALUES (?, ?)", (row[0], pack(part)))
    return int(row[0])


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
