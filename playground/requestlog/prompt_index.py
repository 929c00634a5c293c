"""Text search over prompts: each message and each tool list is indexed once, however many requests share it.

Tables: `elements` (digest of the JSON text), `run_elements` (which request has which), `elements_search` (trigrams of
the texts, without the texts). The last user message is not indexed here: it is the request's `question`.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from playground.requestlog.blob_store import Joiner, Keeper, digest
from playground.requestlog.codec import column_text
from playground.requestlog.search_text import expression, indexed, is_in
from playground.requestlog.search_text import fold as fold_text

MAX_ELEMENTS = 300
"""Maximum number of matching elements whose requests are queried; with more, a page is found by scanning."""
_CACHED = 20_000
_PROTOCOL_FIELDS = frozenset(("role", "type", "tool_call_id", "id"))


class _Prompt(msgspec.Struct):
    messages: list[msgspec.Raw] = []
    tools: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Prompt).decode


def elements_of(body: bytes) -> list[bytes]:
    """Return the JSON texts that are indexed: every message but the last user message, and the tool list."""
    try:
        prompt = _decode(body)
    except (ValueError, RecursionError):
        return []
    found = [bytes(message) for message in prompt.messages]
    for place in range(len(found) - 1, -1, -1):
        if b'"user"' in found[place] and _role(found[place]) == "user":
            del found[place]
            break
    tools = bytes(prompt.tools)
    return found if tools in (b"null", b"[]") else [*found, tools]


def _role(message: bytes) -> object:
    value = _value(message)
    return value.get("role") if isinstance(value, dict) else None


def _value(element: bytes) -> Any:
    try:
        return json.loads(element)
    except (ValueError, RecursionError):
        return None


def text_of(element: bytes) -> str:
    """Return the texts of an element that can be searched: values, and names of tool parameters."""
    return column_text("\n".join(_texts(_value(element))))


def _texts(value: Any, field: str = "") -> Iterator[str]:
    stack: list[tuple[Any, str]] = [(value, field)]
    while stack:
        item, name = stack.pop()
        if isinstance(item, str) and name not in _PROTOCOL_FIELDS:
            yield item
        elif isinstance(item, list):
            stack += [(child, name) for child in reversed(item)]
        elif isinstance(item, dict):
            if name == "properties":
                yield from item
            stack += [(child, key) for key, child in reversed(item.items())]


class PromptKeeper(Keeper):
    """Stores bytes in shared parts, and adds prompts to the text search. Ids of elements are cached."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._ids: dict[bytes, int] = {}

    def forget_all(self) -> None:
        """Drop the caches: after a rollback, or a deletion here or in another process."""
        super().forget_all()
        self._ids.clear()

    def add_prompt(self, number: int, body: bytes) -> None:
        """Index a request's prompt. Within a transaction."""
        ids = {self._id(element) for element in elements_of(body)}
        self._connection.executemany(
            "INSERT OR IGNORE INTO run_elements (number, element) VALUES (?, ?)", ((number, id_) for id_ in sorted(ids))
        )
        if len(self._ids) > _CACHED:
            self._ids.clear()

    def _id(self, element: bytes) -> int:
        name = digest(element)
        if (known := self._ids.get(name)) is not None:
            return known
        made = self._connection.execute("INSERT OR IGNORE INTO elements (digest) VALUES (?)", (name,))
        if made.rowcount and made.lastrowid is not None:
            id_ = made.lastrowid
            self._connection.execute(
                "INSERT INTO elements_search (rowid, text) VALUES (?, ?)", (id_, indexed(text_of(element)))
            )
        else:
            id_ = self._connection.execute("SELECT id FROM elements WHERE digest = ?", (name,)).fetchone()[0]
        self._ids[name] = id_
        return id_


def forget(connection: sqlite3.Connection, bodies: Mapping[int, bytes]) -> None:
    """Remove requests (number: manifest of the body) from the index, and the elements that no other request has.

    Call it before their bodies are deleted.
    """
    listed = ", ".join(map(str, bodies))
    pairs = connection.execute(f"SELECT number, element FROM run_elements WHERE number IN ({listed})").fetchall()
    if not pairs:
        return
    connection.execute(f"DELETE FROM run_elements WHERE number IN ({listed})")
    user = {element: number for number, element in pairs}
    orphans: dict[int, set[int]] = {}
    for element, number in user.items():
        if connection.execute("SELECT 1 FROM run_elements WHERE element = ? LIMIT 1", (element,)).fetchone() is None:
            orphans.setdefault(number, set()).add(element)
    joiner = Joiner(connection)
    for number, elements in orphans.items():
        _delete_elements(connection, elements, joiner.join(bodies[number]))


def _delete_elements(connection: sqlite3.Connection, orphans: set[int], body: bytes) -> None:
    for element in elements_of(body):
        row = connection.execute("SELECT id FROM elements WHERE digest = ?", (digest(element),)).fetchone()
        if row is not None and row[0] in orphans:
            connection.execute(
                "INSERT INTO elements_search (elements_search, rowid, text) VALUES ('delete', ?, ?)",
                (row[0], indexed(text_of(element))),
            )
            connection.execute("DELETE FROM elements WHERE id = ?", (row[0],))


def matching_elements(connection: sqlite3.Connection, part: str, exact: bool) -> list[int] | None:
    """Return the elements whose text has `part`; None if more than MAX_ELEMENTS may have it, or it is too short."""
    match = expression(part)
    if not match:
        return None
    found = connection.execute(
        "SELECT rowid FROM elements_search WHERE elements_search MATCH ? LIMIT ?", (match, MAX_ELEMENTS + 1)
    ).fetchall()
    if len(found) > MAX_ELEMENTS:
        return None
    folded, joiner = fold_text(part), Joiner(connection)
    return [row[0] for row in found if _holds(connection, joiner, row[0], folded, exact)]


def _holds(connection: sqlite3.Connection, joiner: Joiner, id_: int, folded: str, exact: bool) -> bool:
    row = connection.execute(
        "SELECT t.body, e.digest FROM run_elements AS x JOIN texts AS t ON t.number = x.number "
        "JOIN elements AS e ON e.id = x.element WHERE x.element = ? LIMIT 1",
        (id_,),
    ).fetchone()
    if row is None:
        return False
    element = next((each for each in elements_of(joiner.join(row[0])) if digest(each) == row[1]), b"null")
    return is_in(folded, text_of(element), exact)


class PromptTest:
    """SQL's prompt_holds(part, exact, body): whether a prompt's text has a folded part. Caches by element."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._results: dict[tuple[str, int, bytes], bool] = {}

    def __call__(self, part: str, exact: int, manifest: bytes) -> bool:
        if len(self._results) > _CACHED:
            self._results.clear()
        body = Joiner(self._connection).join(manifest)
        return any(self._element(part, exact, element) for element in elements_of(body))

    def _element(self, part: str, exact: int, element: bytes) -> bool:
        key = (part, exact, digest(element))
        if key not in self._results:
            self._results[key] = is_in(part, text_of(element), bool(exact))
        return self._results[key]


def backfill(connection: sqlite3.Connection, rows_per_step: int = 200) -> Iterator[int]:
    """Index the prompts of an earlier version's requests, newest first; yields how many are left after each step."""
    keeper = PromptKeeper(connection)
    while (upto := _unindexed(connection)) > 0:
        connection.execute("BEGIN IMMEDIATE")
        try:
            keeper.forget_all()
            below = _step(connection, keeper, upto, rows_per_step)
            connection.execute("UPDATE meta SET value = ? WHERE name = 'prompts_unindexed'", (below,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        yield below


def _unindexed(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE name = 'prompts_unindexed'").fetchone()
    return int(row[0]) if row is not None else 0


def _step(connection: sqlite3.Connection, keeper: PromptKeeper, upto: int, limit: int) -> int:
    """Index some requests with numbers up to `upto`; returns the number below which none is indexed."""
    found = connection.execute(
        "SELECT number, body FROM texts WHERE number <= ? ORDER BY number DESC LIMIT ?", (upto, limit)
    ).fetchall()
    joiner = Joiner(connection)
    for number, manifest in found:
        try:
            body = joiner.join(manifest)
        except (zlib.error, ValueError, TypeError):  # a damaged prompt is not searchable
            continue
        keeper.add_prompt(number, body)
    return int(found[-1][0]) - 1 if len(found) == limit else 0
