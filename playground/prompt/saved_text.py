"""Save a document into the text of its file: only the values that changed are written again.

Indentation, line ends, byte-order mark, escapes, number formats, order of keys and fields that this program does not
know do not change.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TypeAlias

from playground.prompt.document import Document, Json
from playground.prompt.field_errors import InputError
from playground.prompt.files import MAX_FILE_BYTES, FileFormat, dump, parse_bytes
from playground.prompt.json_text import Member, after_space, loads, members, value_end

_COMPARED = 32
"""Changed items side by side that are compared with each other; beyond it, in parts of this length."""


def saved_bytes(document: Document, file_format: FileFormat, on_disk: bytes | None) -> bytes:
    """Return the bytes of the saved file. `on_disk`: the present content of the file; None: no file.

    A file that is not in `file_format`, or whose edited text would not be read as the same document, is written as a
    whole.
    """
    whole = dump(document, file_format)
    data = whole.encode()
    if on_disk is None:
        return data
    try:
        opened = parse_bytes(on_disk)
        if opened.format.kind != file_format.kind:
            return data
        base, wanted = _values(dump(opened.document, opened.format)), _values(whole)
        edited = _TextEdit(on_disk.decode()).edited(base, wanted).encode("utf-8", "backslashreplace")
        read_back = parse_bytes(edited)
    except (InputError, ValueError, RecursionError):
        return data
    same = read_back.format.model == file_format.model and dump(read_back.document, file_format) == dump(
        _without_unsaved(document, file_format), file_format
    )
    return edited if same else data


def _without_unsaved(document: Document, file_format: FileFormat) -> Document:
    """Return what `file_format` holds of the document."""
    return parse_bytes(dump(document, file_format).encode()).document


def _values(text: str) -> Json:
    value: Json = loads(text, max_bytes=MAX_FILE_BYTES)
    return value


def _same(first: Json, second: Json) -> bool:
    """Return whether two values have the same JSON text: 1, 1.0 and true differ, and so do orders of keys."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict) and isinstance(second, dict):
        return list(first) == list(second) and all(map(_same, first.values(), second.values()))
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    return repr(first) == repr(second) if isinstance(first, float) else first == second


def _pairs(base: list[Json], new: list[Json]) -> list[int | None]:
    """Return for each new item the place of the item of the file that it was; None: it is new.

    Unchanged items are paired first, in order, then those that moved. Between unchanged ones, changed items are paired
    with the most similar of the same kind, so that fields that this program does not know stay with their message.
    """
    shorter = min(len(base), len(new))
    head = next((at for at in range(shorter) if not _same(base[at], new[at])), shorter)
    rest = shorter - head
    tail = next((at for at in range(rest) if not _same(base[-1 - at], new[-1 - at])), rest)
    pairs: list[int | None] = [*range(head), *([None] * (len(new) - head - tail)), *range(len(base) - tail, len(base))]
    old, wanted = range(head, len(base) - tail), range(head, len(new) - tail)
    texts = [json.dumps(base[at]) for at in old], [json.dumps(new[at]) for at in wanted]
    for first, second, size in SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks():
        pairs[head + second : head + second + size] = range(head + first, head + first + size)
    free: dict[str, deque[int]] = defaultdict(deque)
    in_order = list(pairs)
    for at in sorted(set(old) - {at for at in pairs if at is not None}):
        free[texts[0][at - head]].append(at)
    for place in wanted:
        if pairs[place] is None and free[texts[1][place - head]]:
            pairs[place] = free[texts[1][place - head]].popleft()
    left = sorted(at for places in free.values() for at in places)
    for start, end, low, high in _gaps(in_order, len(base)):
        _pair_similar(base, new, pairs, range(start, end), [at for at in left if low <= at < high])
    return pairs


def _gaps(pairs: list[int | None], size: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield start and end of each run of unpaired new items, and of the file's items between their neighbours."""
    start, low = 0, 0
    for place, at in enumerate([*pairs, size]):
        if at is not None:
            if place > start:
                yield start, place, low, at
            start, low = place + 1, at + 1


def _pair_similar(base: list[Json], new: list[Json], pairs: list[int | None], places: range, left: list[int]) -> None:
    """Pair changed items in the order of both lists, each with the most similar of the items that are left."""
    places_left = [place for place in places if pairs[place] is None]
    in_place = list(zip(left, places_left, strict=False))
    if len(places_left) == len(left) and all(_likeness(base[at], new[place]) for at, place in in_place):
        for at, place in in_place:
            pairs[place] = at
        return
    while places_left and left:
        likeness = [
            (_likeness(base[at], new[place]), -abs(row - column), row, column)
            for row, place in enumerate(places_left[:_COMPARED])
            for column, at in enumerate(left[:_COMPARED])
        ]
        best, _, row, column = max(likeness)
        if best <= 0:
            if max(len(places_left), len(left)) <= _COMPARED:
                return
            row = column = _COMPARED - 1
        else:
            pairs[places_left[row]] = left[column]
        # Items before the pair are new or removed, unless they are alike among themselves.
        _pair_similar(base, new, pairs, range(places_left[0], places_left[row]), left[:column])
        places_left, left = places_left[row + 1 :], left[column + 1 :]


def _likeness(first: Json, second: Json) -> int:
    """Return how alike two items are: 0 if their roles or kinds differ, more with each equal member."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return int(type(first) is type(second))
    if any(not _same(first.get(key), second.get(key)) for key in ("role", "type", "tool_call_id")):
        return 0
    return 1 + 2 * sum(key in second and _same(value, second[key]) for key, value in first.items())


_Item: TypeAlias = tuple[Member | None, str]
"""A member of the new object or array: the file's member (None: it is new), and its text."""


class _TextEdit:
    """One JSON text, written again with other values. Raises ValueError if it is not JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._ascii = text.isascii() and "\\u" in text
        unit = re.search(r"[{\[]\r?\n([ \t]*)", text)
        self._unit = unit[1] if unit else None
        self._colon = ": " if re.search(r'":[ \r\n\t]', text) else ":"
        self._comma = ", " if re.search(r", [\"{\[]", text) else ","

    def edited(self, base: Json, new: Json) -> str:
        """Return the text with the changes from `base` to `new`."""
        start = after_space(self._text, 1 if self._text.startswith("\ufeff") else 0)
        end = value_end(self._text, start)
        return self._text[:start] + self._value(start, end, base, new, "") + self._text[end:]

    def _value(self, start: int, end: int, base: Json, new: Json, indent: str) -> str:
        """Return the text of a value of the file that was read as `base` and becomes `new`."""
        if _same(base, new):
            return self._text[start:end]
        opening = self._text[start]
        found = list(members(self._text, start)) if opening in "{[" else []
        if found and new:
            lead = self._text[start + 1 : found[0].start]
            inner = lead.rpartition("\n")[2] if "\n" in lead else None
            if isinstance(base, dict) and isinstance(new, dict) and opening == "{":
                if [key for key in base if key in new] == [key for key in new if key in base]:
                    return self._joined(start, end, found, self._object(found, base, new, inner))
            elif isinstance(base, list) and isinstance(new, list) and opening == "[" and len(found) == len(base):
                return self._joined(start, end, found, self._array(found, base, new, inner))
        multiline = "\n" in self._text[start:end] or opening not in "{["
        return self._formatted(new, indent if multiline else None)

    def _object(
        self, old: list[Member], base: Mapping[str, Json], new: Mapping[str, Json], indent: str | None
    ) -> list[_Item]:
        """Return the members of the new object. Keys that were not read, such as `"model": null`, stay."""
        last = {member.key: member for member in old}
        items: list[_Item] = []
        keys: list[str] = []
        for member in old:
            key, text = member.key, self._text[member.value : member.end]
            if key in base and key not in new:
                continue
            if key in new and last[key] is member:  # of a repeated key, the last value counts
                known = key in base
                text = (
                    self._value(member.value, member.end, base[key], new[key], indent or "")
                    if known
                    else self._formatted(new[key], indent)
                )
            items.append((member, self._text[member.start : member.value] + text))
            keys.append(key)
        added: dict[str | None, list[_Item]] = {}
        before = None
        for key, value in new.items():
            if key in last:
                before = key
            elif not (key in base and _same(base[key], value)):  # else the default of a field that the file leaves out
                text = f"{self._formatted(key, None)}{self._colon}{self._formatted(value, indent)}"
                added.setdefault(before, []).append((None, text))
        placed = added.pop(None, [])
        for key, item in zip(keys, items, strict=True):
            placed += [item, *added.pop(key, ())]
        return placed

    def _array(self, old: list[Member], base: list[Json], new: list[Json], indent: str | None) -> list[_Item]:
        """Return the items of the new array. Equal ones keep their text wherever they moved; see `_pairs`."""
        items: list[_Item] = []
        for value, at in zip(new, _pairs(base, new), strict=True):
            if at is None:
                items.append((None, self._formatted(value, indent)))
            else:
                member = old[at]
                items.append((member, self._value(member.value, member.end, base[at], value, indent or "")))
        return items

    def _joined(self, start: int, end: int, old: list[Member], items: list[_Item]) -> str:
        """Return the text of the object or array with `items`, separated as in the file."""
        gaps = {one.start: self._text[one.end : two.start] for one, two in pairwise(old)}
        lead = self._text[start + 1 : old[0].start]
        usual = next(iter(gaps.values()), f",{lead}" if lead else self._comma)
        parts = [self._text[start : old[0].start]]
        before: Member | None = None
        for number, (member, text) in enumerate(items):
            if number:
                parts.append(gaps.get(before.start, usual) if before is not None and member is not None else usual)
            parts.append(text)
            before = member
        return "".join(parts) + self._text[old[-1].end : end]

    def _formatted(self, value: Json, indent: str | None) -> str:
        """Return the text of a new value. `indent` is that of its line; None: on one line."""
        if indent is not None and self._unit is not None:
            text = json.dumps(value, ensure_ascii=self._ascii, indent=self._unit, separators=(",", self._colon))
            return text.replace("\n", self._newline + indent)
        return json.dumps(value, ensure_ascii=self._ascii, separators=(self._comma, self._colon))
