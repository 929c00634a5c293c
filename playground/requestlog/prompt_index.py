"""Text search over prompts: each message and each tool list is indexed once, however many requests share it.

Tables: `prompt_elements` (digest of the JSON text and id), `element_runs` (which requests have an element) and
`prompt_blocks`: bits of the trigrams of the elements `first` to `last`, which one block of runs brought (`index`). The
last user message is not indexed here: it is the request's `question`.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from playground.requestlog import index
from playground.requestlog.blob_store import Joiner, digest, ids_of
from playground.requestlog.codec import column_text
from playground.requestlog.search_text import fold as fold_text
from playground.requestlog.search_text import is_in, pieces

MAX_ELEMENTS = 300
"""Maximum number of matching elements whose requests are queried; with more, a page is found by scanning."""
MAX_COMPARED = 5_000
"""Maximum number of elements whose texts are compared before a page is found by scanning."""
_CACHED = 20_000
_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"\\/]")
"""Characters that JSON may write as an escape."""
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


_KEY_BYTES = 8
"""Length of an element's key: two of a billion elements have the same key with a probability of 3 in 100."""


def _key(element: bytes) -> bytes:
    return digest(element)[:_KEY_BYTES]


class PromptIndex:
    """Adds prompts to the text search. Ids of elements are cached."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[bytes, int] = {}

    def forget_all(self) -> None:
        """Drop the cache: after a rollback, or a deletion here or in another process."""
        self._ids.clear()

    def seal(self, block: int) -> None:
        """Index the texts and prompts of a block of runs. Call within a transaction."""
        if len(self._ids) > _CACHED:
            self._ids.clear()
        first_run = block << index.SHIFT
        manifests = self._connection.execute(
            "SELECT number, body FROM texts WHERE number BETWEEN ? AND ?", (first_run, first_run + index.RUNS - 1)
        ).fetchall()
        last = first = self._connection.execute("SELECT value FROM meta WHERE name = 'elements'").fetchone()[0]
        joiner, texts, pairs = Joiner(self._connection), list[str](), set[tuple[int, int]]()
        for number, manifest in manifests:
            for element in _elements_in(joiner, manifest):
                key = _key(element)
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
        return elements_of(joiner.join(manifest))
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


class MatchingElements:
    """Finds the elements of prompts with a text. Caches the results until the log changes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._seen = -1
        self._results: dict[tuple[str, bool], list[int] | None] = {}

    def __call__(self, part: str, exact: bool) -> list[int] | None:
        """Return the elements whose text has `part`; None if there are too many, or it is too short."""
        seen = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if seen != self._seen or len(self._results) > _CACHED:
            self._results.clear()
            self._seen = seen
        if (part, exact) not in self._results:
            self._results[part, exact] = _matching(self._connection, part, exact)
        return self._results[part, exact]


def _matching(connection: sqlite3.Connection, part: str, exact: bool) -> list[int] | None:
    wanted = pieces(part)
    if not wanted:
        return None
    folded, found, compared = fold_text(part), list[int](), 0
    blocks = connection.execute(
        "SELECT first, last FROM prompt_blocks WHERE may_hold(bits, ?) ORDER BY first DESC", (index.query(wanted),)
    )
    for first, last in blocks:
        texts = texts_of(connection, first, last)
        found += (id_ for id_, text in texts.items() if is_in(folded, text, exact))
        compared += len(texts)
        if len(found) > MAX_ELEMENTS or compared > MAX_COMPARED:
            return None
    return found


class _Scan:
    """Finds a plain ASCII text in bodies by their parts, of which most are in many bodies."""

    def __init__(self, joiner: Joiner, part: str) -> None:
        self._joiner, self._text = joiner, part.encode()
        self.holding: dict[int, bool] = {}
        """Parts that have the text, and parts that have it or are not plain ASCII."""
        self._possible: dict[int, bool] = {}
        self._across: dict[tuple[int, int], bool] = {}
        self.sure: set[int] = set()
        """Parts in which the text is known to be in a value, not in a name of JSON."""

    def is_absent(self, ids: Sequence[int]) -> bool:
        """Return whether the joined parts do not have the text. False: they may have it."""
        return not any(map(self._may_hold, ids)) and not any(map(self._may_join, pairwise(ids)))

    def _may_hold(self, id_: int) -> bool:
        found = self._possible.get(id_)
        if found is None:
            data = self._joiner.part(id_)
            self.holding[id_] = self._text in data.lower()
            # A short part may be inside of the text.
            plain = data.isascii() and b"\\u" not in data and len(data) >= len(self._text)
            found = self._possible[id_] = self.holding[id_] or not plain
        return found

    def _may_join(self, pair: tuple[int, int]) -> bool:
        found = self._across.get(pair)
        if found is None:
            near = len(self._text)
            seam = self._joiner.part(pair[0])[-near:] + self._joiner.part(pair[1])[:near]
            found = self._across[pair] = self._text in seam.lower() or b"\\u" in seam
        return found


class PromptTest:
    """SQL's prompt_holds(part, exact, body): whether a prompt's text has a folded part. Caches by element and part."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._joiner = Joiner(connection)
        self._scans: dict[str, _Scan | None] = {}
        self._seen = -1
        self._results: dict[tuple[str, int, bytes], bool] = {}

    def refresh(self) -> None:
        """Drop cached parts if the log has changed: their ids may belong to other parts. Call before each query."""
        seen = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if seen != self._seen:
            self._seen = seen
            self._forget_parts()

    def _forget_parts(self) -> None:
        self._joiner = Joiner(self._connection)
        self._scans.clear()

    def __call__(self, part: str, exact: int, manifest: bytes) -> bool:
        if len(self._results) > _CACHED:
            self._results.clear()
        if self._joiner.size > _CACHED:
            self._forget_parts()
        ids, scan = ids_of(manifest), self._scan(part)
        if scan is not None and not exact and not scan.sure.isdisjoint(ids):
            return True
        if scan is not None and scan.is_absent(ids):
            return False
        for element in elements_of(self._joiner.join(manifest)):
            if self._element(part, exact, element):
                if scan is not None:
                    scan.sure.update(id_ for id_ in ids if scan.holding.get(id_) and self._joiner.part(id_) in element)
                return True
        return False

    def _scan(self, part: str) -> _Scan | None:
        if part not in self._scans:
            plain = part.isascii() and not _ESCAPED.search(part)
            self._scans[part] = _Scan(self._joiner, part) if plain else None
        return self._scans[part]

    def _element(self, part: str, exact: int, element: bytes) -> bool:
        key = (part, exact, digest(element))
        if key not in self._results:
            self._results[key] = is_in(part, text_of(element), bool(exact))
        return self._results[key]
