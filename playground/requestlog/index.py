"""Text search: normalization of text in any script, a table of bits per block of runs, and comparison with the parts
of bodies.

A block has RUNS consecutive numbers. When all its runs have ended it is sealed: the trigrams of their texts and ids
become bits of `search_blocks`, those of the elements of prompts that are new in it bits of `prompt_blocks`. A search
reads the bits, newest block first, and compares the texts of the blocks that may match. Runs of open blocks
(`open_blocks`) are compared one by one. Deletion and changes of a text reopen a block.

The index holds every three characters of a text (`index`). Two things are done first: a text is
folded, so that upper and lower case are the same in every script that has them; and characters of scripts without
spaces are separated, so that one or two of them fill a trigram: most Chinese words have one or two characters.
"""

from __future__ import annotations

import re
import sqlite3
import sys
import unicodedata
import zlib
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Protocol

_APART = "\x01"
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2600-\u27bf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
    "\uf900-\ufaff\U0001f000-\U0001faff\U00020000-\U0003ffff]+)"
)
"""Thai, Lao, Burmese, Khmer, kana, Han, Hangul, and emoji, which are words of one character."""
_PIECE = 3
PIECES = 12
"""Maximum number of pieces of a long part in an index query; matches are compared with the whole part later."""
ID_PIECES = 6
"""The same for an id, whose pieces are all rare."""


def fold(text: str) -> str:
    """Return `text` for comparison: composed, without regard to case."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def indexed(text: str) -> str:
    """Convert `text` to the form in the index."""
    folded = fold(text)
    if folded.isascii():
        return folded
    return _UNSPACED.sub(_apart, folded).replace(_APART * 2, _APART)


def _apart(run: re.Match[str]) -> str:
    return f"{_APART}{_APART.join(run[0])}{_APART}"


def pieces(part: str, most: int = PIECES) -> list[str]:
    """Return at most `most` trigrams that every text with `part` has; none if it is too short."""
    text = indexed(part)
    found = {text[at : at + _PIECE]: None for at in range(len(text) - _PIECE + 1)}
    usable = [piece for piece in found if "\0" not in piece and "\n" not in piece]
    return sorted(usable, key=_commonness)[:most]


def _commonness(piece: str) -> tuple[int, int]:
    """Rank a piece: with digits (rare), letters only (common), with a space (most common)."""
    return (piece.count(" "), -sum(char.isdigit() or not char.isascii() for char in piece))


_ESCAPE = re.compile(r"\\(?:u([dD][89abAB]..)\\u([dD][c-fC-F]..)|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_STAYS_ESCAPED = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def readable(arguments: str) -> str:
    r"""Return JSON, such as a tool call's arguments, with the characters that its \u escapes stand for.

    The JSON may be cut or invalid. What must be escaped in JSON stays escaped.
    """
    return _ESCAPE.sub(_readable_char, arguments) if "\\u" in arguments else arguments


def _readable_char(found: re.Match[str]) -> str:
    char = _escaped_char(found)
    return char if char and not _STAYS_ESCAPED.match(char) else found[0]


def _escaped_char(found: re.Match[str]) -> str:
    r"""Return the character of a \u escape; nothing for another escape, or if its digits are none."""
    high, low, code = found.group(1, 2, 3)
    try:
        return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00) if high else chr(int(code, 16))
    except (TypeError, ValueError):
        return ""


def is_in(part: str, text: str) -> bool:
    """Return whether `text` has the folded `part`."""
    return part in (text.lower() if text.isascii() else fold(text))


def column_text(text: str) -> str:
    """Replace characters that a column cannot hold by U+FFFD. The exact text is in the events."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def zeros(column: str) -> str:
    """Return the SQL expression of a text with as many bytes as a column (empty for NULL): its row is not moved."""
    return f"CAST(zeroblob(length(CAST({column} AS BLOB))) AS TEXT)"


SHIFT = 5
RUNS = 1 << SHIFT
"""Number of runs in a block. A number's block is number >> SHIFT. The file depends on it."""
TEXTS = ("question", "answer", "called", "trouble", "error", "comment")
"""Searched columns of `texts`."""
_BITS = 8
"""Bits per trigram: about one in eight of the trigrams that a block does not have appears to be in it."""
_CHECK_BYTES = 4
_LONG_LINE = 150
_NO_HASH = -1
"""Instead of the hash of a trigram that spans two lines."""
_SEPARATOR = "\0"
_LOOKED_AT = 200
"""Number of open blocks among which ready ones are searched. Few have running requests."""
_QUERIES = 100
"""Queries whose hashes are cached."""


def bits_of(texts: Iterable[str]) -> bytes:
    """Return the bits of the texts' trigrams, and a checksum. No trigram spans two lines."""
    hashes: set[int] = set()
    plain: list[str] = []
    for line in {line for text in texts for line in text.split("\n")}:
        if line.isascii():
            plain.append(line)
        else:
            hashes.update(_hashes_of(line) if len(line) < _LONG_LINE else _hashes_of_long(line))
    hashes.update(_hashes_of_ascii("\n".join(plain).lower().encode()))
    hashes.discard(_NO_HASH)
    size = max(8, len(hashes) * _BITS // 8)
    count = size * 8
    places = bytearray(count)  # one byte per bit, which are shifted together below
    for each in hashes:
        places[each % count] = 1
    whole = 0
    for bit in range(8):
        whole |= int.from_bytes(places[bit::8], "little") << bit
    bits = whole.to_bytes(size, "little")
    return bits + zlib.crc32(bits).to_bytes(_CHECK_BYTES, "little")


def _hashes_of(line: str) -> Iterable[int]:
    folded = indexed(line)
    if folded.isascii():
        return _hashes_of_ascii(folded.encode())
    return map(_hash, {folded[at : at + 3] for at in range(len(folded) - 2)})


def _hashes_of_ascii(folded: bytes) -> Iterable[int]:
    """Return the hashes of the trigrams of folded lines: as integers of three bytes, which is the fastest way."""
    count = len(folded) - 2
    if count <= 0:
        return ()
    spread = bytearray(4 * count)
    for place in range(3):
        spread[place::4] = folded[place : place + count]
    return map(_HASHES.__getitem__, set(memoryview(spread).cast("I")))


class _Hashes(dict[int, int]):
    """Hashes of ASCII trigrams by their bytes as an integer: at most two million, of which texts have some 30,000."""

    def __missing__(self, code: int) -> int:
        trigram = code.to_bytes(4, sys.byteorder)[:3]
        value = _NO_HASH if b"\n" in trigram else zlib.crc32(trigram)
        if len(self) < _MOST_HASHES:
            self[code] = value
        return value


_MOST_HASHES = 50_000
_HASHES = _Hashes()


@lru_cache(maxsize=128)
def _hashes_of_long(line: str) -> array[int]:
    """Return the trigrams of a text. Cached, because most long lines are in many requests: four bytes a trigram."""
    return array("I", _hashes_of(line))


def is_intact(bits: bytes) -> bool:
    """Return whether the checksum is right; an empty value waits for its bits."""
    return not bits or zlib.crc32(bits[:-_CHECK_BYTES]) == int.from_bytes(bits[-_CHECK_BYTES:], "little")


@lru_cache(maxsize=50_000)
def _hash(trigram: str) -> int:
    return zlib.crc32(trigram.encode("utf-8", "surrogatepass"))


def query(pieces: Iterable[str]) -> str:
    """Return the argument of `may_hold` for these trigrams."""
    return _SEPARATOR.join(pieces)


def any_of(queries: Iterable[str]) -> str:
    """Return the argument of `may_hold` for blocks that one of these queries finds."""
    return (2 * _SEPARATOR).join(queries)


class BlockTest:
    """SQL's may_hold(bits, query): whether a block may have all trigrams of a query. Bits not computed yet may."""

    def __init__(self) -> None:
        self._hashes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def __call__(self, bits: bytes, wanted: str) -> bool:
        hashes = self._hashes.get(wanted)
        if hashes is None:
            if len(self._hashes) >= _QUERIES:
                self._hashes.clear()
            alternatives = wanted.split(2 * _SEPARATOR)
            hashes = self._hashes[wanted] = tuple(tuple(map(_hash, one.split(_SEPARATOR))) for one in alternatives)
        count = (len(bits) - _CHECK_BYTES) * 8
        if count <= 0:
            return True
        for alternative in hashes:
            for each in alternative:
                place = each % count
                if not bits[place >> 3] >> (place & 7) & 1:
                    break
            else:
                return True
        return False


def ready_blocks(connection: sqlite3.Connection, limit: int) -> list[int]:
    """Return open blocks, oldest first, that are full and whose runs have all ended."""
    found = connection.execute(
        f"SELECT block FROM (SELECT block FROM open_blocks ORDER BY block LIMIT {_LOOKED_AT}) "
        f"WHERE block < (SELECT (seq + 1) >> {SHIFT} FROM sqlite_sequence WHERE name = 'runs') "
        "AND NOT EXISTS (SELECT 1 FROM runs INDEXED BY runs_owner "
        f"WHERE owner IS NOT NULL AND number >> {SHIFT} = block) ORDER BY block LIMIT ?",
        (limit,),
    )
    return [row[0] for row in found]


def seal_texts(connection: sqlite3.Connection, block: int) -> None:
    """Compute the bits of a block's texts and ids. Call within a transaction."""
    first, last = block << SHIFT, (block << SHIFT) + RUNS - 1
    rows = connection.execute(
        f"SELECT r.request_id, r.body_id, {', '.join(f't.{text}' for text in TEXTS)} "
        "FROM runs AS r JOIN texts AS t ON t.number = r.number WHERE r.number BETWEEN ? AND ?",
        (first, last),
    ).fetchall()
    ids = connection.execute("SELECT id FROM ids WHERE number BETWEEN ? AND ?", (first, last))
    texts = [str(text) for row in (*rows, *ids) for text in row if text]
    if rows:
        values = (block, bits_of(texts))
        connection.execute("INSERT OR REPLACE INTO search_blocks (block, bits) VALUES (?, ?)", values)
    connection.execute("DELETE FROM open_blocks WHERE block = ?", (block,))


def has_bounds(connection: sqlite3.Connection) -> bool:
    """Return whether the file has `block_bounds` (`ordered`)."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = 'search_blocks_deleted'")
    return found.fetchone() is not None


_BOUND_TEXTS = ", ".join(
    f"{each} = {zeros(each)}" for each in ("least_question", "most_question", "least_answer", "most_answer")
)


def reopen(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Remove the bits of these runs' blocks, whose texts change. Call within a transaction."""
    blocks = [(block,) for block in sorted({number >> SHIFT for number in numbers})]
    if has_bounds(connection):
        # First overwritten (see rows.delete_runs), then deleted by a trigger.
        connection.executemany(f"UPDATE block_bounds SET {_BOUND_TEXTS} WHERE block = ?", blocks)
    connection.executemany("DELETE FROM search_blocks WHERE block = ?", blocks)
    connection.executemany("INSERT OR IGNORE INTO open_blocks (block) VALUES (?)", blocks)


def close_empty(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Forget the blocks of deleted runs that have no runs left. Call within a transaction."""
    connection.executemany(
        f"DELETE FROM open_blocks WHERE block = ? AND NOT EXISTS "
        f"(SELECT 1 FROM runs WHERE number BETWEEN block << {SHIFT} AND (block << {SHIFT}) + {RUNS - 1})",
        [(block,) for block in sorted({number >> SHIFT for number in numbers})],
    )


def open_block(connection: sqlite3.Connection, number: int) -> None:
    """Note that a new run's block is open."""
    connection.execute("INSERT OR IGNORE INTO open_blocks (block) VALUES (?)", (number >> SHIFT,))


def open_all(connection: sqlite3.Connection) -> None:
    """Remove the whole index; the blocks of all runs are open."""
    for table in ("search_blocks", "prompt_blocks", "prompt_elements", "element_runs"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute(f"INSERT OR IGNORE INTO open_blocks SELECT DISTINCT number >> {SHIFT} FROM runs")
    expire_caches(connection)


def meta(connection: sqlite3.Connection, name: str) -> int:
    """Return a value of the table `meta`."""
    return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


def expire_caches(connection: sqlite3.Connection) -> None:
    """Let every process read again what it remembers of row numbers, parts and elements, as after a deletion."""
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'deletions'")


def is_whole(connection: sqlite3.Connection) -> bool:
    """Return whether each run's block is indexed or open, and all bits are intact. Reads the whole index."""
    missing = connection.execute(
        f"SELECT number >> {SHIFT} FROM runs "
        "EXCEPT SELECT block FROM search_blocks EXCEPT SELECT block FROM open_blocks"
    ).fetchone()
    tables = ("search_blocks", "prompt_blocks")
    return missing is None and all(
        is_intact(row[0]) for table in tables for row in connection.execute(f"SELECT bits FROM {table}")
    )


_SHORT = 64
"""Bytes. Parts of one string are longer."""
_STRUCTURE = b" \t\r\n{}[],:"
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_MOST_BYTES = 24
"""Bytes that one folded character can have in JSON: a composed one is up to three characters, escaped, also twice."""
_NESTED = b"\\\\u"
"""Start of an escape in JSON that is a string of JSON, such as the arguments of a tool call."""


def _unescaped(found: re.Match[str]) -> str:
    char = found[4]
    return _ESCAPED.get(char, char) if char else _escaped_char(found)


def folded(data: bytes) -> str:
    """Return a piece of JSON, folded, with its escapes as characters."""
    if data.isascii() and b"\\" not in data:
        return data.decode().lower()
    text = data.decode("utf-8", "ignore")
    return fold(_ESCAPE.sub(_unescaped, text) if "\\" in text else text)


_ESCAPABLE = re.compile(r'["\\/\x00-\x1f]')
"""Characters that an escape of two characters can stand for."""


class PartReader(Protocol):
    """Reads a part of a body; satisfied by blob_store.Joiner."""

    def read(self, id_: int, /) -> bytes:
        """Return the bytes of a part."""


class PartScan:
    """Finds a folded text in bodies by their parts. Each part, and each seam between two, is compared once."""

    def __init__(self, reader: PartReader, part: str) -> None:
        self._reader, self._text = reader, part
        self._plain = part.encode() if part.isascii() and not _ESCAPABLE.search(part) else b""
        """The text's bytes, if no character of it needs an escape."""
        self._edges: dict[int, tuple[bytes, bytes]] = {}
        self._seams: set[tuple[int, int]] = set()
        self._possible_seams: set[tuple[int, int]] = set()
        self._possible: set[int] = set()
        """Parts that have the text, or may be inside of it."""
        self.sure: set[int] = set()
        """Parts with the text that are the middle of a matching string."""

    @property
    def size(self) -> int:
        """Return the number of parts that were compared."""
        return len(self._edges)

    def is_absent(self, ids: Sequence[int]) -> bool:
        """Return whether the joined parts do not have the text. False: they may have it."""
        for id_ in set(ids).difference(self._edges):
            self._compare(id_)
        if not self._possible.isdisjoint(ids):
            return False
        for pair in set(pairwise(ids)).difference(self._seams):
            self._compare_seam(pair)
        return not self._possible_seams or self._possible_seams.isdisjoint(pairwise(ids))

    def _compare(self, id_: int) -> None:
        data = self._reader.read(id_)
        plain = data.isascii() and (b"\\" not in data or self._is_bare(data))
        if plain and self._plain:
            length, found = len(data), self._plain in data.lower()
        else:
            text = folded(data)
            length, found = len(text), self._text in text
            if _NESTED in data:
                text = fold(readable(text))
                length, found = min(length, len(text)), found or self._text in text
        # The end of a string, and so a part with a quotation mark, is not inside of the text; nor is the end of a body.
        outside = (b'"' in data and b"\\" not in data) or (len(data) < _SHORT and not data.strip(_STRUCTURE))
        inside = length <= len(self._text) and not outside
        if found or inside:
            self._possible.add(id_)
        near = len(self._text) * (1 if plain else _MOST_BYTES) + (0 if plain else _MOST_BYTES)
        start = max(0, len(data) - near)
        while start and data[start - 1 : start] == b"\\":  # not within an escape
            start -= 1
        self._edges[id_] = data[:near], data[start:]

    def _compare_seam(self, pair: tuple[int, int]) -> None:
        self._seams.add(pair)
        data = self._edges[pair[0]][1] + self._edges[pair[1]][0]
        if data.isascii() and self._is_bare(data):
            found = self._plain in data.lower()
        else:
            text = folded(data)
            found = self._text in text or (_NESTED in data and self._text in fold(readable(text)))
        if found:
            self._possible_seams.add(pair)

    def _is_bare(self, data: bytes) -> bool:
        """Return whether no escape in ASCII data can be a part of the text: it may then be compared without decoding.

        A match that begins within an escape is possible; the whole element is compared later.
        """
        return bool(self._plain) and b"\\u" not in data

    def learn(self, ids: Sequence[int], element: bytes) -> None:
        """Note parts of a matching element in which the text is certainly in a value: those inside of one string."""
        for id_ in self._possible.intersection(ids):
            data = self._reader.read(id_)
            if b'"' not in data and data in element and self._text in folded(data):
                self.sure.add(id_)
