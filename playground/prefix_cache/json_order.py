"""JSON objects in a text that have the same members in another order."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from msgspec import Struct

_MAX_TEXT, _MAX_TRIES = 200_000, 64
"""Code points of a text and braces in it at which objects are searched."""
_DECODER = json.JSONDecoder()


class JsonObject(Struct, frozen=True):
    """A JSON object in a text. `start`, `end`: code points of it; `members`: it with sorted keys."""

    start: int
    end: int
    members: str


def json_objects(text: str) -> list[JsonObject]:
    """Return the JSON objects with two members or more in a text, without those inside others."""
    return list(_objects(text)) if len(text) <= _MAX_TEXT else []


def _objects(text: str) -> Iterator[JsonObject]:
    at = text.find("{")
    tries = 0
    while at >= 0 and tries < _MAX_TRIES:
        tries += 1
        end = at + 1
        try:
            value, end = _DECODER.raw_decode(text, at)
            if len(value) > 1:
                yield JsonObject(at, end, json.dumps(value, sort_keys=True))
        except (ValueError, RecursionError):
            pass
        at = text.find("{", end)


class ReorderedObject(Struct, frozen=True):
    """An object that all texts have, in several orders. `start`, `end`: code points in the first text."""

    start: int
    end: int
    values: tuple[str, ...]


def reordered_objects(texts: Sequence[str]) -> tuple[list[str], list[ReorderedObject]]:
    """Return the texts with such objects in the order of the first text, and the objects.

    `values` has the object of each text. Objects of different lengths are no change of order alone.
    """
    distinct = {text: json_objects(text) for text in dict.fromkeys(texts)}
    rows = list(distinct.values())
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return list(texts), []
    places: list[int] = []
    for place, column in enumerate(zip(*rows, strict=True)):
        values = {text[one.start : one.end] for text, one in zip(distinct, column, strict=True)}
        same = len({one.members for one in column}) == len(set(map(len, values))) == 1
        if same and len(values) > 1:
            places.append(place)
    if not places:
        return list(texts), []
    first = texts[0]
    normal: dict[str, str] = {}
    for text, row in distinct.items():
        pieces, last = [], 0
        for place in places:
            chosen = distinct[first][place]
            pieces += [text[last : row[place].start], first[chosen.start : chosen.end]]
            last = row[place].end
        normal[text] = "".join((*pieces, text[last:]))
    found = [
        ReorderedObject(
            distinct[first][place].start,
            distinct[first][place].end,
            tuple(text[distinct[text][place].start : distinct[text][place].end] for text in texts),
        )
        for place in places
    ]
    return [normal[text] for text in texts], found
