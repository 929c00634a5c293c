"""Text search over prompts: each message and each tool list is indexed once, however many requests share it.

Tables: `prompt_elements` (digest of the JSON text and id), `element_runs` (which requests have an element) and
`prompt_blocks`: bits of the trigrams of the elements `first` to `last`, which one block of runs brought (`index`). The
last user message is not indexed here: it is the request's `question`.
"""

from __future__ import annotations

import math
import sqlite3
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from playground.requestlog import index
from playground.requestlog.blob_store import Joiner, digest, ids_of
from playground.requestlog.index import PartScan, column_text, is_in, pieces, readable
from playground.requestlog.index import fold as fold_text
from playground.requestlog.sent_body import SentBody, value_of

MAX_ELEMENTS = 3_000
"""Maximum number of matching elements whose requests are queried; with more, a page is found by scanning."""
MAX_COMPARED = 100_000
"""Maximum number of elements whose texts are compared before a page is found by scanning."""
_CACHED = 20_000
_COMPARED = 50_000
"""Maximum number of parts of which a search remembers whether they have its text: about 10 MB."""
_NOTED, _NOTED_BYTES = 5_000, 8_000_000
"""Maximum number of runs whose elements are remembered until their blocks are sealed, and their bytes."""
_SEARCHES = 50
"""Maximum number of searches whose results are cached."""
_SAMPLE = 32
"""Newest ranges of elements by which a text is found to be common."""
_RANGES = 512
"""Ranges of elements whose bits are read between two looks at the time."""
_PROTOCOL_FIELDS = frozenset(("role", "type", "tool_call_id", "id"))


def text_of(element: bytes) -> str:
    """Return the texts of an element that can be searched: values, and names of tool parameters.

    Arguments of tool calls are JSON within a value: they are searched with their escapes and without them.
    """
    return column_text("\n".join(_texts(value_of(element))))


def _texts(value: Any, field: str = "") -> Iterator[str]:
    stack: list[tuple[Any, str]] = [(value, field)]
    while stack:
        item, name = stack.pop()
        if isinstance(item, str) and name not in _PROTOCOL_FIELDS:
            yield item
            if "\\u" in item and (plain := readable(item)) != item:
                yield plain
        elif isinstance(item, list):
            stack += [(child, name) for child in reversed(item)]
        elif isinstance(item, dict):
            if name == "properties":
                yield from item
            stack += [(child, key) for key, child in reversed(item.items())]


_KEY_BYTES = 8
"""Length of an element's key: two of a billion elements have the same key with a probability of 3 in 100."""


def _key(element: bytes) -> bytes:
    return digest(element)[:_KEY_BYTES]


class PromptIndex:
    """Adds prompts to the text search. Ids of elements are cached."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[bytes, int] = {}
        self._keys: dict[bytes, bytes] = {}
        """Keys of the elements of new runs, by element."""
        self._noted: dict[int, list[bytes]] = {}
        """Keys of the elements of new runs, whose bodies need not be read again."""
        self._new: dict[bytes, bytes] = {}
        """Elements of these runs that may be new, by key."""
        self._new_bytes = self._key_bytes = 0

    def forget_all(self) -> None:
        """Drop the cache: after a rollback, or a deletion here or in another process."""
        self._ids.clear()
        self._forget_noted()

    def note(self, number: int, prompt: Sequence[bytes]) -> None:
        """Remember the elements of a new run until its block is sealed."""
        if max(self._new_bytes, self._key_bytes) > _NOTED_BYTES or len(self._noted) > _NOTED:
            self._forget_noted()
        self._noted[number] = [self._keys.get(element) or self._new_key(element) for element in prompt]

    def _new_key(self, element: bytes) -> bytes:
        key = self._keys[element] = _key(element)
        self._key_bytes += len(element)
        if key not in self._ids and key not in self._new:
            self._new[key] = element
            self._new_bytes += len(element)
        return key

    def _forget_noted(self) -> None:
        self._keys.clear()
        self._noted.clear()
        self._new.clear()
        self._new_bytes = self._key_bytes = 0

    def seal(self, block: int) -> None:
        """Index the texts and prompts of a block of runs. Call within a transaction."""
        if len(self._ids) > _CACHED:
            self._ids.clear()
            self._keys.clear()
            self._key_bytes = 0
        first_run = block << index.SHIFT
        numbers = self._connection.execute(
            "SELECT number FROM runs WHERE number BETWEEN ? AND ?", (first_run, first_run + index.RUNS - 1)
        ).fetchall()
        last = first = index.meta(self._connection, "elements")
        joiner, texts, pairs = Joiner(self._connection), list[str](), set[tuple[int, int]]()
        for (number,) in numbers:
            for key, element in self._elements(joiner, number):
                id_ = self._ids.get(key) or self._find(key)
                if id_ is None:
                    id_ = last = last + 1
                    self._connection.execute("INSERT INTO prompt_elements (digest, id) VALUES (?, ?)", (key, id_))
                    texts.append(text_of(element))
                self._ids[key] = id_
                pairs.add((id_, number))
        self._connection.executemany(
            "INSERT OR IGNORE INTO element_runs (element, number) VALUES (?, ?)", sorted(pairs)
        )
        if last > first:
            values = (first + 1, last, index.bits_of(texts))
            self._connection.execute("INSERT INTO prompt_blocks (first, last, bits) VALUES (?, ?, ?)", values)
            self._connection.execute("UPDATE meta SET value = ? WHERE name = 'elements'", (last,))
        index.seal_texts(self._connection, block)

    def _elements(self, joiner: Joiner, number: int) -> list[tuple[bytes, bytes]]:
        """Return the keys and JSON texts of a run's elements; the text is empty if the element is indexed."""
        keys = self._noted.pop(number, None)
        if keys is not None and all(key in self._ids or key in self._new for key in keys):
            found = [(key, self._new.pop(key, b"")) for key in keys]
            self._new_bytes -= sum(len(element) for _, element in found)
            return found
        row = self._connection.execute("SELECT body FROM texts WHERE number = ?", (number,)).fetchone()
        return [] if row is None else [(_key(element), element) for element in _elements_in(joiner, row[0])]

    def seal_elements(self, first: int, last: int) -> None:
        """Compute the bits of a range of elements of which some were deleted. Call within a transaction."""
        texts = list(texts_of(self._connection, first, last).values())
        if texts:
            values = (index.bits_of(texts), first)
            self._connection.execute("UPDATE prompt_blocks SET bits = ? WHERE first = ?", values)
        else:
            self._connection.execute("DELETE FROM prompt_blocks WHERE first = ?", (first,))

    def _find(self, key: bytes) -> int | None:
        row = self._connection.execute("SELECT id FROM prompt_elements WHERE digest = ?", (key,)).fetchone()
        return None if row is None else int(row[0])


def _elements_in(joiner: Joiner, manifest: bytes) -> list[bytes]:
    try:
        return SentBody(joiner.join(manifest)).prompt
    except (zlib.error, ValueError, TypeError):  # a damaged prompt is not searchable
        return []


def texts_of(connection: sqlite3.Connection, first: int, last: int) -> dict[int, str]:
    """Return the texts of the elements `first` to `last` that exist, by id."""
    carriers = connection.execute(
        "SELECT x.element, t.body FROM (SELECT element, min(number) AS number FROM element_runs "
        "WHERE element BETWEEN ? AND ? GROUP BY element) AS x JOIN texts AS t ON t.number = x.number",
        (first, last),
    ).fetchall()
    joiner, found = Joiner(connection), dict[int, str]()
    for body in dict.fromkeys(row[1] for row in carriers):
        for element in _elements_in(joiner, body):
            row = connection.execute(
                "SELECT id FROM prompt_elements WHERE digest = ? AND id BETWEEN ? AND ?", (_key(element), first, last)
            ).fetchone()
            if row is not None and row[0] not in found:
                found[row[0]] = text_of(element)
    return found


def forget(connection: sqlite3.Connection, bodies: Mapping[int, bytes]) -> None:
    """Remove requests (number: manifest of the body) from the index, and the elements that no other request has.

    Call it before their bodies are deleted.
    """
    joiner, ranges = Joiner(connection), set[int]()
    runs_of: defaultdict[bytes, list[int]] = defaultdict(list)
    for number, manifest in bodies.items():
        for element in _elements_in(joiner, manifest):
            runs_of[_key(element)].append(number)
    for key, numbers in runs_of.items():
        row = connection.execute("SELECT id FROM prompt_elements WHERE digest = ?", (key,)).fetchone()
        if row is None:
            continue
        connection.executemany(
            "DELETE FROM element_runs WHERE element = ? AND number = ?", ((row[0], number) for number in numbers)
        )
        if connection.execute("SELECT 1 FROM element_runs WHERE element = ? LIMIT 1", row).fetchone() is None:
            connection.execute("DELETE FROM prompt_elements WHERE digest = ?", (key,))
            ranges.add(connection.execute("SELECT max(first) FROM prompt_blocks WHERE first <= ?", row).fetchone()[0])
    for first in ranges:
        # Without bits a range may match any query, until `seal_elements`.
        connection.execute("UPDATE prompt_blocks SET bits = x'' WHERE first = ?", (first,))
        connection.execute(
            "DELETE FROM prompt_blocks WHERE first = ? "
            "AND NOT EXISTS (SELECT 1 FROM element_runs WHERE element BETWEEN first AND last)",
            (first,),
        )


def unsealed_elements(connection: sqlite3.Connection, limit: int) -> list[tuple[int, int]]:
    """Return ranges of elements that wait for `PromptIndex.seal_elements`."""
    return connection.execute("SELECT first, last FROM prompt_blocks WHERE bits = x'' LIMIT ?", (limit,)).fetchall()


class Unfinished(Exception):  # noqa: N818 - no error: the next step continues
    """The deadline passed before all elements with a text were found."""


class _Matches(Struct):
    """Elements found so far, in the ranges from `low` to `high`. `many`: too many to list."""

    low: int
    high: int
    many: bool
    found: list[int] = field(default_factory=list)
    compared: int = 0


class MatchingElements:
    """Finds the elements of prompts with a text, in steps. Results are cached until requests are deleted."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._deletions = -1
        self._matches: dict[str, _Matches] = {}
        self.until = math.inf
        """Deadline of the step (`time.monotonic`)."""

    def trim(self) -> None:
        """Drop the results of earlier searches if they are many. Call before a search, not between its steps."""
        if len(self._matches) > _SEARCHES:
            self._matches.clear()

    def is_known(self, part: str) -> bool:
        """Return whether a search for this text has begun."""
        return part in self._matches

    def __call__(self, part: str) -> list[int] | None:
        """Return the elements whose text has `part`; None if they are too many, or it is too short.

        Raises Unfinished at the deadline; the next call continues.
        """
        deletions = deletions_of(self._connection)
        if deletions != self._deletions:
            self._matches.clear()
            self._deletions = deletions
        wanted = pieces(part)
        if not wanted:
            return None
        matches = self._matches.get(part)
        if matches is None:
            newest = self._connection.execute("SELECT coalesce(max(first), 0) FROM prompt_blocks").fetchone()[0]
            matches = self._matches[part] = _Matches(newest + 1, newest, self._is_common(wanted))
        for newer in (True, False):
            self._extend(matches, fold_text(part), index.query(wanted), newer=newer)
        return None if matches.many else matches.found

    def _is_common(self, wanted: list[str]) -> bool:
        """Return whether most of the newest ranges may have the text."""
        newest = self._connection.execute(
            "SELECT may_hold(bits, ?) FROM prompt_blocks ORDER BY first DESC LIMIT ?", (index.query(wanted), _SAMPLE)
        ).fetchall()
        return len(newest) == _SAMPLE and sum(row[0] for row in newest) * 2 > _SAMPLE

    def _extend(self, matches: _Matches, part: str, wanted: str, *, newer: bool) -> None:
        """Compare the ranges that are `newer` than the compared ones, or those that are older. Raises Unfinished."""
        where = "first > ? ORDER BY first" if newer else "first < ? ORDER BY first DESC"
        sql = f"SELECT first, last, may_hold(bits, ?) FROM prompt_blocks WHERE {where} LIMIT {_RANGES}"
        while not matches.many:
            edge = matches.high if newer else matches.low
            ranges = self._connection.execute(sql, (wanted, edge)).fetchall()
            if not ranges:
                return
            for first, last, may_hold in ranges:
                if may_hold:
                    texts = texts_of(self._connection, first, last)
                    matches.found += (id_ for id_, text in texts.items() if is_in(part, text))
                    matches.compared += len(texts)
                    matches.many = len(matches.found) > MAX_ELEMENTS or matches.compared > MAX_COMPARED
                matches.low, matches.high = min(matches.low, first), max(matches.high, first)
                if matches.many:
                    return
                if may_hold and time.monotonic() > self.until:
                    raise Unfinished
            if time.monotonic() > self.until:
                raise Unfinished


def deletions_of(connection: sqlite3.Connection) -> int:
    """Return a number that every deletion of requests increments, and `index.expire_caches`.

    While it is the same, ids of parts and elements are stable, and requests are added with greater numbers only.
    """
    return index.meta(connection, "deletions")


class PromptTest:
    """SQL's prompt_holds(part, body): whether a prompt's text has a folded part. Caches by element and part."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._joiner = Joiner(connection)
        self._scans: dict[str, PartScan | None] = {}
        self._deletions = -1
        self._results: dict[tuple[str, bytes], bool] = {}

    def refresh(self, *, trim: bool = True) -> None:
        """Drop cached parts after deletions: their ids may belong to other parts. Call before each query.

        `trim`: also if they are of many searches; not between the steps of one.
        """
        deletions = deletions_of(self._connection)
        if deletions != self._deletions or (trim and len(self._scans) > _SEARCHES):
            self._deletions = deletions
            self._forget_parts()

    def _forget_parts(self) -> None:
        self._joiner = Joiner(self._connection)
        self._scans.clear()

    def __call__(self, part: str, manifest: bytes) -> bool:
        if len(self._results) > _CACHED:
            self._results.clear()
        if self._joiner.size > _CACHED:
            self._forget_parts()
        try:
            return self._holds(part, ids_of(manifest), self._scan(part))
        except (zlib.error, ValueError, TypeError):  # a damaged prompt is not searchable
            return False

    def _holds(self, part: str, ids: Sequence[int], scan: PartScan | None) -> bool:
        if scan is not None:
            if not scan.sure.isdisjoint(ids):
                return True
            if scan.is_absent(ids):
                return False
        for element in SentBody(b"".join(map(self._joiner.part, ids))).prompt:
            if self._element(part, element):
                if scan is not None:
                    scan.learn(ids, element)
                return True
        return False

    def _scan(self, part: str) -> PartScan | None:
        scan = self._scans.get(part)
        if part not in self._scans or (scan is not None and scan.size > _COMPARED):
            # A line break may be between two values; U+FFFD replaces what a column cannot hold.
            scan = self._scans[part] = None if "\n" in part or "\ufffd" in part else PartScan(self._joiner, part)
        return scan

    def _element(self, part: str, element: bytes) -> bool:
        key = (part, digest(element))
        if key not in self._results:
            self._results[key] = is_in(part, text_of(element))
        return self._results[key]
