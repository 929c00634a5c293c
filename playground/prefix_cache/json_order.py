"""JSON objects in a text that have the same members in another order."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

from msgspec import Struct

_MAX_TEXT, _MAX_FAILURES = 200_000, 64
"""Code points of a text in which objects are searched, and braces in it that begin none."""
_SAME_VALUES = 0.5
"""Share of the values of an object, by their length, that an earlier text has if it is one object in several orders."""
_OFTEN = 1 / 3
"""Share of the changes of an object that change its order, from which on the order is the reason of its cost."""
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_Path = tuple[str | int, ...]
"""Keys of objects and numbers of list items that lead to a value."""
_Leaves = Mapping[_Path, str]
"""Values of an object by their places, in its order."""


class JsonObject(Struct, frozen=True):
    """A JSON object in a text. `start`, `end`: code points of it."""

    start: int
    end: int
    value: dict[str, Any]


def _objects(text: str) -> Iterator[JsonObject]:
    """Yield the JSON objects with two members or more in a text, without those inside others."""
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
    `values`: this part of the object in each text. `wholes`: the whole object in each text. `known`: share of this part
    that is members of an earlier text, whatever their order, for each text.
    """

    start: int
    end: int
    values: tuple[str, ...]
    wholes: tuple[str, ...]
    known: tuple[float, ...]


def reordered_objects(texts: Sequence[str]) -> tuple[list[str], list[ReorderedObject]]:
    """Return the texts with every such object replaced by that of the first text, and the objects.

    Values in them may differ too, and members may come and go: that is no difference of the returned texts.
    """
    distinct = {text: list(_objects(text)) if len(text) <= _MAX_TEXT else [] for text in dict.fromkeys(texts)}
    rows = list(distinct.values())
    if len(rows) < 2 or len({len(row) for row in rows}) > 1:
        return list(texts), []
    first = texts[0]
    found: list[ReorderedObject] = []
    same_order = dict.fromkeys(distinct, "")
    ends = dict.fromkeys(distinct, 0)
    for column in zip(*rows, strict=True):
        objects = dict(zip(distinct, column, strict=True))
        leaves = {text: dict(_leaves(one.value)) for text, one in objects.items()}
        new = _new_code_points(texts, leaves)
        if not _is_reordered(texts, leaves, new):
            continue
        starts = _starts(objects, leaves)
        parts = {text: text[starts[text] : one.end] for text, one in objects.items()}
        for text, one in objects.items():
            same_order[text] += text[ends[text] : starts[text]] + parts[first]
            ends[text] = one.end
        wholes = tuple(text[objects[text].start : objects[text].end] for text in texts)
        values = tuple(parts[text] for text in texts)
        known = tuple(max(1 - new[text] / len(parts[text]), 0.0) for text in texts)
        found.append(ReorderedObject(starts[first], objects[first].end, values, wholes, known))
    return [same_order[text] + text[ends[text] :] for text in texts], found


def _is_reordered(texts: Sequence[str], leaves: Mapping[str, _Leaves], new: Mapping[str, int]) -> bool:
    """Whether the texts have the same object, often in another order than the text before.

    `new`: code points of its values that no earlier text has.
    """
    changes = moves = 0
    for left, right in pairwise(texts):
        before, after = leaves[left], leaves[right]
        changes += list(before.items()) != list(after.items())
        moves += [path for path in before if path in after] != [path for path in after if path in before]
    later = [text for text in leaves if text != texts[0]]
    size = sum(_length(leaves[text], leaves[text]) for text in later)
    same = size - sum(new[text] for text in later)
    return moves > 0 and moves >= _OFTEN * changes and same >= _SAME_VALUES * size


def _starts(objects: Mapping[str, JsonObject], leaves: Mapping[str, _Leaves]) -> dict[str, int]:
    """Return the code point of the first member that is not at the same place in all texts, in each text."""
    orders = {text: list(row) for text, row in leaves.items()}
    at = next(number for number, paths in enumerate(zip_longest(*orders.values())) if len(set(paths)) > 1)
    return {
        text: member_at(text, one.start, orders[text][at][0])[0] if at < len(orders[text]) else one.end - 1
        for text, one in objects.items()
    }


def _new_code_points(texts: Sequence[str], leaves: Mapping[str, _Leaves]) -> dict[str, int]:
    """Return the code points of the values that no earlier text has, for each text; 0 for the first one."""
    earlier: set[tuple[_Path, str]] = set(leaves[texts[0]].items())
    new: dict[str, int] = {}
    for text in texts:
        row = leaves[text]
        new.setdefault(text, _length(row, {path for path, value in row.items() if (path, value) not in earlier}))
        earlier.update(row.items())
    return new


def _length(leaves: _Leaves, paths: Collection[_Path]) -> int:
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
