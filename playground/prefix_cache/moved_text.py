"""Members of JSON objects and paragraphs that versions of a text have in another order.

Paragraphs may be documents, examples, rules or entries of a list, in any format: one is found by its groups of words,
also if a value in it changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise, zip_longest
from typing import Any, TypeVar

from msgspec import Struct

from playground.prefix_cache.text_compare import common_prefix, once
from playground.prompt.diff import increasing

_MAX_TEXT, _MAX_FAILURES = 200_000, 64
"""Code points of a text in which objects are searched, and braces in it that begin none."""
_SAME_VALUES = 0.5
"""Share of the values of an object, by their length, that an earlier text has if it is one object in several orders."""
_OFTEN = 1 / 3
"""Share of the changes that change the order, from which on it is the reason of their cost."""
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


_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_UNSPACED_WORDS = re.compile(rf"[{_UNSPACED}]")
_DIGITS = re.compile(r"\d+")
_LINE = re.compile(r"[^\w\s]*\w*")
"""Mark or tag that a line begins with."""
_GROUP, _UNSPACED_GROUP = 3, 8
"""Words of a group; characters of one in a script without spaces."""
_VALUE = 60
"""Code points between known words up to which a text is a value of a paragraph."""
_LONG_MOVED = 120
"""Bytes in UTF-8 of moved text from which on its order is worth a finding."""
_KNOWN, _WITH_VALUES = 0.4, 0.75
"""Share of the paragraphs, without and with their values, that all versions have at least."""
_MAX_TEXTS = 2_000_000
"""Code points of versions that are compared at once."""
_PROBES, _PROBE = 16, 12
"""Places, and code points at each, by which two texts without a common paragraph are told apart."""
_RUN, _IN_RUNS = 8, 0.2
"""Groups that follow one after the other in two texts, and the share of such groups from which on they are versions of
one text: texts of one domain share words, but not their order."""

Bounds = tuple[int, int]
_Group = TypeVar("_Group", int, str)


class MovedText(Struct, frozen=True):
    """The paragraphs in each version: code points [from, to), and the share of them that all versions have."""

    bounds: tuple[Bounds, ...]
    known: float


def moved_share(one: str, other: str) -> float:
    """Return the share of a text that is paragraphs of another text in another order; 0 without any."""
    step = max(len(one) // _PROBES, 1)
    probes = [one[at : at + _PROBE] for at in range(0, len(one), step)]
    if 4 * sum(probe in other for probe in probes) < len(probes):
        return 0.0
    moved = moved_text([one, other])
    if moved is None or not in_runs(*(_plain(_version(text, _group_size(one))) for text in (one, other))):
        return 0.0
    begin, end = moved.bounds[0]
    return moved.known * (end - begin) / max(len(one), 1)


def in_runs(one: Sequence[_Group], other: Sequence[_Group]) -> bool:
    """Whether two texts have groups of words in one order, but for moved paragraphs and values between them."""
    single = [list(once(row)) for row in (one, other)]
    shared = set(single[0]).intersection(single[1])
    left, right = ([group for group in row if group in shared] for row in single)
    place = {group: at for at, group in enumerate(right)}
    runs = sum(place[last] - place[first] == _RUN for first, last in zip(left, left[_RUN:], strict=False))
    return runs >= _IN_RUNS * min(map(len, single))


class _Version(Struct, frozen=True):
    """A version of a text: code points of its words, and a number for the group that begins with each word."""

    text: str
    words: Sequence[Bounds]
    groups: Sequence[int]
    size: int

    def end(self, at: int) -> int:
        """Return the code point behind a group."""
        return self.words[at + self.size - 1][1]


def moved_text(texts: Sequence[str]) -> MovedText | None:
    """Return the paragraphs that different texts have in several orders; None if there are none.

    Many texts are compared in groups, each with the first text: memory is bounded.
    """
    if len(texts) < 2:
        return None
    bounds: list[Bounds] = []
    shares: list[float] = []
    for group in _groups_of_texts(texts):
        moved = _moved_in(group)
        if moved is None:
            return None
        bounds += moved.bounds[1:] if bounds else moved.bounds
        shares.append(moved.known)
    return MovedText(tuple(bounds), sum(shares) / len(shares))


def _groups_of_texts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield groups of texts of `_MAX_TEXTS` code points or a little more, each with the first text in front."""
    group, size = [texts[0]], len(texts[0])
    left = sum(map(len, texts)) - size
    for text in texts[1:]:
        group.append(text)
        size, left = size + len(text), left - len(text)
        if size >= _MAX_TEXTS and left >= _MAX_TEXTS // 2:
            yield group
            group, size = [texts[0]], len(texts[0])
    yield group


def _moved_in(texts: Sequence[str]) -> MovedText | None:
    size = _group_size(texts[0])
    versions = [_version(text, size) for text in texts]
    places = [once(version.groups) for version in versions]
    shared = set(places[0]).intersection(*places[1:])
    orders = [[group for group in row if group in shared] for row in places]
    front = next((at for at, column in enumerate(zip(*orders, strict=True)) if len(set(column)) > 1), None)
    if front is None:
        return None
    back = next(at for at, column in enumerate(zip(*map(reversed, orders), strict=True)) if len(set(column)) > 1)
    moves = sum(left != right for left, right in pairwise(orders))
    if moves < _OFTEN * (len(orders) - 1) or not any(
        _is_worth(versions[0], places[0], orders[0][front:], order[front:]) for order in orders[1:]
    ):
        return None
    inside = [
        (row[order[front - 1]] + 1 if front else 0, row[order[-back]] if back else len(version.groups))
        for version, row, order in zip(versions, places, orders, strict=True)
    ]
    starts = [version.end(begin - 1) if begin else 0 for version, (begin, _) in zip(versions, inside, strict=True)]
    plain = list(map(_plain, versions))
    common = set(plain[0][slice(*inside[0])])
    common.intersection_update(*(one[slice(*rows)] for one, rows in zip(plain[1:], inside[1:], strict=True)))
    ends = [
        version.words[end][0] if end < len(version.groups) else len(version.text)
        for version, (_, end) in zip(versions, inside, strict=True)
    ]
    found = [_known(*row, common) for row in zip(versions, plain, inside, starts, ends, strict=True)]
    if not all(_is_known(*row) for row in found):
        return None
    fronts = [text[start:begin] for text, start, (begin, *_) in zip(texts, starts, found, strict=True)]
    behind = [text[last:end].strip() for text, end, (_, last, *_) in zip(texts, ends, found, strict=True)]
    begins = starts if _come_and_go(fronts) else [begin for begin, *_ in found]
    lasts = ends if _come_and_go(behind) else [last for _, last, *_ in found]
    values = [text[begin:last].rstrip() for text, begin, last in zip(texts, begins, lasts, strict=True)]
    same = common_prefix(min(values), max(values))
    share = sum(_size("".join(known)) for _, _, known, _ in found) / sum(map(_size, values))
    bounds = tuple((begin + same, begin + len(value)) for begin, value in zip(begins, values, strict=True))
    return MovedText(bounds, min(share, 1.0))


def _group_size(text: str) -> int:
    """Return how many words a group of a text has; in a script without spaces, characters."""
    unspaced = 2 * len(_UNSPACED_WORDS.findall(text)) > len(_WORDS.findall(text))
    return _UNSPACED_GROUP if unspaced else _GROUP


def _come_and_go(texts: Sequence[str]) -> bool:
    """Whether texts at an end of the paragraphs are short ones that move, too."""
    return "" in texts and 0 < max(map(len, texts)) <= _VALUE


def _is_known(begin: int, end: int, known: Sequence[str], filled: int) -> bool:
    return sum(map(len, known)) >= _KNOWN * (end - begin) and filled >= _WITH_VALUES * (end - begin)


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _version(text: str, size: int) -> _Version:
    words = [word.span() for word in _WORDS.finditer(text)]
    return _Version(text, words, _groups([text[begin:end] for begin, end in words], size), size)


def _plain(version: _Version) -> list[int]:
    """Return numbers for the groups of a version without digits."""
    words = (version.text[begin:end] for begin, end in version.words)
    return _groups([_DIGITS.sub("0", word) for word in words], version.size)


def _groups(words: Sequence[str], size: int) -> list[int]:
    return [hash(tuple(words[at : at + size])) for at in range(len(words) - size + 1)]


def _is_worth(version: _Version, places: dict[int, int], order: Sequence[int], other: Sequence[int]) -> bool:
    """Whether the groups that are in another order are a long text."""
    place = {group: at for at, group in enumerate(order)}
    row = [place[group] for group in other if group in place]
    moved = set(range(len(row))) - set(increasing(row))
    words = {places[other[at]] + word for at in moved for word in range(version.size)}
    return sum(_size(version.text[slice(*version.words[at])]) for at in words) >= _LONG_MOVED


def _known(
    version: _Version, plain: Sequence[int], rows: Bounds, start: int, end: int, common: AbstractSet[int]
) -> tuple[int, int, list[str], int]:
    """Return where the paragraphs begin and end, the text that all versions have, and its size with values between.

    `rows`: groups between those that are in one order in front and behind; `start`, `end`: code points between them.
    """
    words = sorted({at + word for at in range(*rows) if plain[at] in common for word in range(version.size)})
    spans = [version.words[at] for at in words if version.words[at][0] >= start]
    if not spans:
        return start, start, [], -1
    begin = _first_line(version.text[:end], start, *spans[0])
    line_end = version.text.find("\n", spans[-1][1], end)
    end = len(version.text[: end if line_end < 0 else line_end].rstrip())
    gaps = [(before[1], after[0]) for before, after in pairwise([(begin, begin), *spans, (end, end)])]
    known = [version.text[slice(*span)] for span in spans]
    known += [version.text[a:b] for a, b in gaps if b - a == 1]
    return begin, end, known, sum(map(len, known)) + sum(b - a for a, b in gaps if 1 < b - a <= _VALUE)


def _first_line(text: str, start: int, begin: int, end: int) -> int:
    """Return where the first paragraph begins: with lines in front of its known words that begin like others behind."""
    begin = max(text.rfind("\n", 0, begin) + 1, start)
    marks = {match[0] for line in text[end:].splitlines() if (match := _LINE.match(line.lstrip()))}
    while begin > start:
        above = max(text.rfind("\n", 0, begin - 1) + 1, start)
        match = _LINE.match(text[above:begin].lstrip())
        if match is None or match[0] not in marks:
            break
        begin = above
    return begin
