"""Records of one prompt's version history, and the versions that they add up to.

A history is a list of JSON records, one per line, each with a checksum. A version is stored as its difference to an
earlier version, so a thousand versions of a long prompt need little more space than one. Versions are identified by
their content: the order of lines of two processes that append at the same time does not matter.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prompt.diff import opcodes
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump, load

Reason: TypeAlias = Literal["sent", "saved", "named"]
MAX_CHAIN, _LONGEST_CHAIN = 50, 1_000
"""Number of differences after which a version is stored whole: a damaged line costs the versions up to the next
whole one. Earlier versions of the program stored longer chains."""
MAX_LABEL_CHARS, MAX_NOTE_CHARS = 200, 20_000
_MAX_TEXT = 64 * 1024 * 1024
_RECENT = 8
"""Texts in memory while all are read."""
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_PIECES = re.compile(r"(?:(?!\\n)[^\n])*(?:\\n|\n|$)")


class Content(msgspec.Struct, tag="version", tag_field="t", frozen=True, omit_defaults=True):
    """Content of a version, as `whole` (deflated, base 85) or as `edits` of version `base`.

    Each edit is (start, end, text): code points [start, end) of the base are replaced. `at`: Unix seconds.
    `run_id` is the request that sent it first; empty if it was stored for another reason.
    """

    id: str
    at: float
    reason: Reason
    summary: str = ""
    run_id: str = ""
    base: str = ""
    edits: list[tuple[int, int, str]] = []
    whole: str = ""


class SentVersion(msgspec.Struct, tag="sent", tag_field="t", frozen=True):
    """Version `id` was sent as the request `run_id`."""

    id: str
    at: float
    run_id: str


class Named(msgspec.Struct, tag="named", tag_field="t", frozen=True, omit_defaults=True):
    """Label and note that the user gave a version; the last record applies."""

    id: str
    label: str = ""
    note: str = ""


Record: TypeAlias = Content | SentVersion | Named


def encode_record(record: Record) -> bytes:
    """Return the line of a record, with its line end."""
    text = json.dumps(msgspec.to_builtins(record), ensure_ascii=False, separators=(",", ":"))
    data = text.encode("utf-8", "surrogatepass")  # prompts may have half of a surrogate pair, which msgspec refuses
    return b"%08x %s\n" % (zlib.crc32(data), data)


def decode_record(line: bytes) -> Record | None:
    """Return the record of a line without its line end; None if the line is damaged."""
    checksum, _, data = line.partition(b" ")
    try:
        return msgspec.convert(json.loads(data), Record) if int(checksum, 16) == zlib.crc32(data) else None
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None


def version_text(document: Document) -> str:
    """Return the text that a version stores: the prompt file of a document, without its id."""
    return dump(replace(document, id=""))


def version_id(document: Document) -> str:
    """Return the id of a document's version. Values of variables and the prompt's name do not make a new version."""
    content = dump(replace(document, id="", name="", variables={}, invalid={}))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class Version(Struct, frozen=True):
    """One version. `number` counts from 1; `run_ids` are the requests that sent it, oldest first.

    `summary` describes the change in words; `label` and `note` are the user's, empty if not given.
    """

    number: int
    id: str
    at: float
    reason: Reason
    summary: str
    label: str = ""
    note: str = ""
    run_ids: tuple[str, ...] = ()
    last_at: float = 0.0

    @property
    def title(self) -> str:
        """Return the label; without one, the summary."""
        return self.label or self.summary


class History(Struct, eq=False):
    """Versions of one prompt. `damaged` counts lines that could not be read."""

    contents: dict[str, Content] = field(default_factory=dict)
    sent: dict[str, list[SentVersion]] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)
    damaged: int = 0
    _newest: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, lines: Iterable[bytes]) -> History:
        history = cls()
        for line in lines:
            record = decode_record(line)
            if record is None:
                history.damaged += 1
            else:
                history.add(record)
        return history

    def add(self, record: Record) -> None:
        """Add a record: the first content of an id is the version, later ones are ignored."""
        if isinstance(record, Content):
            self.contents.setdefault(record.id, record)
            if record.run_id:
                self.sent.setdefault(record.id, []).append(SentVersion(record.id, record.at, record.run_id))
        elif isinstance(record, SentVersion):
            self.sent.setdefault(record.id, []).append(record)
        else:
            self.named[record.id] = record

    def versions(self) -> list[Version]:
        """Return all versions, oldest first."""
        return [self._version(number, content) for number, content in enumerate(self.contents.values(), 1)]

    def _version(self, number: int, content: Content) -> Version:
        sent, named = self.sent.get(content.id, []), self.named.get(content.id)
        return Version(
            number,
            content.id,
            content.at,
            content.reason,
            content.summary,
            named.label if named else "",
            named.note if named else "",
            tuple(one.run_id for one in sent),
            max((one.at for one in sent), default=content.at),
        )

    def text(self, id_: str) -> str | None:
        """Return the text of a version; None if it, or a version that it builds on, is damaged."""
        chain = self._chain(id_)
        content = self.contents.get(chain[-1].base if chain else id_)
        if content is None or not content.whole:
            return None
        try:
            text = _inflated(content.whole)
            for step in reversed(chain):
                text = _edited(text, step.edits)
        except (ValueError, zlib.error):
            return None
        return text

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield id and text of every version, oldest first; damaged ones are left out.

        Takes time in proportion to the versions: most are edits of one of the last texts.
        """
        recent: dict[str, str] = {}
        for id_, content in self.contents.items():
            base = recent.get(content.base)
            try:
                text = self.text(id_) if content.whole or base is None else _edited(base, content.edits)
            except ValueError:
                text = None
            if text is None:
                continue
            recent[id_] = text
            while len(recent) > _RECENT:
                del recent[next(iter(recent))]
            yield id_, text

    def search(self, wanted: str) -> set[str]:
        """Return the ids of the versions whose prompt has a text, whatever its case."""
        plain = wanted.casefold()
        # The texts are JSON: escaped, the text is found in more versions than have it, never in fewer.
        escaped = json.dumps(wanted, ensure_ascii=False)[1:-1].casefold()
        return {
            id_ for id_, text in self.texts() if escaped in (folded := text.casefold()) and plain in _unescaped(folded)
        }

    def document(self, id_: str) -> Document | None:
        """Return the document of a version; None if it is damaged."""
        text = self.text(id_)
        if text is None:
            return None
        try:
            document = load(text)
        except InputError:
            return None
        return document if version_id(document) == id_ else None

    def newest(self) -> tuple[str, str] | None:
        """Return id and text of the newest version; None if there is none or it is damaged."""
        id_ = next(reversed(self.contents), "")
        if self._newest[0] != id_ or not id_:
            text = self.text(id_) if id_ else None
            if text is None:
                return None
            self._newest = (id_, text)
        return self._newest

    def content(self, document: Document, at: float, reason: Reason, summary: str, run_id: str) -> Content:
        """Return the record of a new version: the edits of the newest one, or whole if that is shorter or due."""
        id_, text = version_id(document), version_text(document)
        newest = self.newest()
        self._newest = (id_, text)  # used once the record has been added
        if newest is not None and len(self._chain(newest[0])) < MAX_CHAIN:
            edits = edits_between(newest[1], text)
            if sum(len(edit[2]) + 12 for edit in edits) * 4 < len(text) + 4_000:
                return Content(id_, at, reason, summary, run_id, base=newest[0], edits=edits)
        return Content(id_, at, reason, summary, run_id, whole=_deflated(text))

    def _chain(self, id_: str) -> list[Content]:
        """Return the differences from a version back to one that is stored whole."""
        chain: list[Content] = []
        content = self.contents.get(id_)
        while content is not None and not content.whole and len(chain) < _LONGEST_CHAIN:
            chain.append(content)
            content = self.contents.get(content.base)
        return chain


def _unescaped(text: str) -> str:
    """Return JSON text with the escapes of its strings replaced."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), text) if "\\" in text else text


def _deflated(text: str) -> str:
    return base64.b85encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 9)).decode("ascii")


def _inflated(whole: str) -> str:
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b85decode(whole), _MAX_TEXT)
    if unpacker.unconsumed_tail:
        raise ValueError("a version is larger than the limit")
    return data.decode("utf-8", "surrogatepass")


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    pieces: list[str] = []
    last = 0
    for start, end, new in edits:
        if not last <= start <= end <= len(text):
            raise ValueError("an edit is outside its text")
        pieces += (text[last:start], new)
        last = end
    pieces.append(text[last:])
    return "".join(pieces)


def edits_between(old: str, new: str) -> list[tuple[int, int, str]]:
    """Return edits that turn `old` into `new`, in ascending order."""
    start = common_prefix(old, new)
    end = common_suffix(old, new, min(len(old), len(new)) - start)
    left, right = old[start : len(old) - end], new[start : len(new) - end]
    if not left and not right:
        return []
    lines = [[line for line in _PIECES.findall(text) if line] for text in (left, right)]
    if min(len(part) for part in lines) < 2:
        return [(start, start + len(left), right)]
    edits, at = [], [start]
    for line in lines[0]:
        at.append(at[-1] + len(line))
    for tag, a, b, c, d in opcodes(lines[0], lines[1]):
        if tag != "equal":
            edits.append((at[a], at[b], "".join(lines[1][c:d])))
    return edits
