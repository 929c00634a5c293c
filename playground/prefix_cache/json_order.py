"""JSON objects in a text that have the same members in another order."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct

_MAX_TEXT, _MAX_FAILURES = 200_000, 64
"""Code points of a text in which objects are searched, and braces in it that begin none."""
_SAME_VALUES = 0.5
"""Share of the values of an object, by their length, that stay the same if it is one object in several orders."""
_OFTEN = 1 / 3
"""Share of the changes of an object that change its order, from which on the order is the reason of its cost."""
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_Path = tuple[str | int, ...]
"""Keys of objects and numbers of list items that lead to a value."""


class JsonObject(Struct, frozen=True):
    """A JSON object in a text. `start`, `end`: code points of it."""

    start: int
    end: int
    value: dict[str, Any]


def json_objects(text: str) -> list[JsonObject]:
    """Return the JSON objects with two members or more in a text, without those inside others."""
    return list(_objects(text)) if len(text) <= _MAX_TEXT else []


def _objects(text: str) -> Iterator[JsonObject]:
    at = text.find("{")
    failures = 0
    while at >= 0 and failures < _MAX_FAILURES:
        end = at + 1
        try:
            value, end = _DECODER.raw_decode(text, at)
            if len(value) > 1 or isinstance(next(iter(value.values()), None), dict | list):
                yield JsonObject(at, end, value)
        except (ValueError, RecursionError):
            failures += 1
        at = text.find("{", end)


class ReorderedObject(Struct, frozen=True):
    """An object that all texts have, in several orders.

    `start`, `end`: code points in the first text, from the first member that is not at the same place in all texts.
    `values`: this part of the object in each text. `wholes`: the whole object in each text. `stable`: share of it that
    is the same members in all texts, whatever their order.
    """

    start: int
    end: int
    values: tuple[str, ...]
    wholes: tuple[str, ...]
    stable: float


def reordered_objects(texts: Sequence[str]) -> tuple[list[str], list[ReorderedObject]]:
    """Return the texts with every such object replaced by that of the first text, and the objects.

    A few values in them may differ too, and are no differences of the returned texts.
    """
    distinct = {text: json_objects(text) for text in dict.fromkeys(texts)}
    rows = list(distinct.values())
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return list(texts), []
    first = texts[0]
    found: list[ReorderedObject] = []
    same_order = dict.fromkeys(distinct, "")
    ends = dict.fromkeys(distinct, 0)
    for column in zip(*rows, strict=True):
        objects = dict(zip(distinct, column, strict=True))
        starts, stable = _moved(objects, texts)
        if not starts:
            continue
        parts = {text: text[starts[text] : one.end] for text, one in objects.items()}
        for text, one in objects.items():
            same_order[text] += text[ends[text] : starts[text]] + parts[first]
            ends[text] = one.end
        wholes = tuple(text[objects[text].start : objects[text].end] for text in texts)
        values = tuple(parts[text] for text in texts)
        found.append(ReorderedObject(starts[first], objects[first].end, values, wholes, stable))
    return [same_order[text] + text[ends[text] :] for text in texts], found


def _moved(objects: Mapping[str, JsonObject], texts: Sequence[str]) -> tuple[dict[str, int], float]:
    """Return where the first moved member of an object begins in each text, and the share of it that is stable.

    Nothing begins there if the texts do not have the same object in several orders.
    """
    wholes = {text: text[one.start : one.end] for text, one in objects.items()}
    changes = [(left, right) for left, right in pairwise(texts) if wholes[left] != wholes[right]]
    if not changes:
        return {}, 0.0
    leaves = {text: dict(_leaves(one.value)) for text, one in objects.items()}
    common = set.intersection(*(set(row) for row in leaves.values()))
    orders = {text: tuple(path for path in row if path in common) for text, row in leaves.items()}
    moves = sum(orders[left] != orders[right] for left, right in changes)
    if not moves or moves < _OFTEN * len(changes):
        return {}, 0.0
    first = leaves[texts[0]]
    stable = {path for path in common if 2 * len({row[path] for row in leaves.values()}) <= len(set(wholes.values()))}
    if any(_length(row, stable) < _SAME_VALUES * _length(row, row) for row in leaves.values()):
        return {}, 0.0
    at = next(number for number, paths in enumerate(zip(*orders.values(), strict=True)) if len(set(paths)) > 1)
    starts = {text: member_at(text, one.start, orders[text][at][0])[0] for text, one in objects.items()}
    varying = _length(first, first) - _length(first, stable)
    return starts, max(1 - varying / (objects[texts[0]].end - starts[texts[0]]), 0.0)


def _length(leaves: Mapping[_Path, str], paths: Collection[_Path]) -> int:
    """Return the code points of the values at some paths."""
    return sum(len(value) for path, value in leaves.items() if path in paths)


def _leaves(value: Any) -> Iterator[tuple[_Path, str]]:
    """Yield the values without members in an object, in its order, with their keys and numbers from the outside in.

    JSON in a string, such as the body of a response in a tool result, counts as its members.
    """
    left: list[tuple[_Path, Any]] = [((), value)]
    while left:
        path, one = left.pop()
        if isinstance(one, str) and one.startswith(("{", "[")):
            one = _parsed(one)
        members = list(one.items() if isinstance(one, dict) else enumerate(one)) if isinstance(one, dict | list) else []
        left += [((*path, key), member) for key, member in reversed(members)]
        if not members:
            yield path, json.dumps(one, ensure_ascii=False)


def _parsed(text: str) -> Any:
    """Return the value of JSON in a string; the string if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def member_at(text: str, at: int, step: str | int) -> tuple[int, int]:
    """Return where a member of the JSON object or list at code point `at` begins, and where its value does.

    Raises ValueError or IndexError if there is none.
    """
    if text[at] != ("{" if isinstance(step, str) else "["):
        raise ValueError("not a container")
    at, number = behind_space(text, at + 1), 0
    while text[at] not in "]}":
        start, key = at, number
        if isinstance(step, str):
            key, at = _DECODER.raw_decode(text, at)
            at = behind_space(text, behind_space(text, at) + 1)
        if key == step:
            return start, at
        _, at = _DECODER.raw_decode(text, at)
        at, number = behind_space(text, at), number + 1
        at = behind_space(text, at + 1) if text[at] == "," else at
    raise ValueError("no such member")


def behind_space(text: str, at: int) -> int:
    """Return the first code point from `at` on that is no white space of JSON."""
    space = _SPACE.match(text, at)
    return space.end() if space else at
