"""Long text in user messages of independent requests that follows text that differs.

Such requests continue no earlier one: a template behind its input, a document between a value and a question, a
template behind retrieved examples, paragraphs in another order, and a history in one text, cut in front. Pure
functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from playground.prefix_cache.alignment import varying_ranges
from playground.prefix_cache.conversations import MessageSpan
from playground.prefix_cache.moved_text import moved_text
from playground.prefix_cache.text_compare import common_prefix, common_suffix
from playground.prefix_cache.view import CacheView, ViewPart

LEAST_REQUESTS = 3
"""Requests with the same text from which on it is a template."""
_PROBE = 100
"""Code points by which requests with the same beginning or end are found."""
_MOVED = 40
"""Code points by which the beginning of a cut history is found in the one before."""
_KEPT = 0.75
"""Share of a history that is left after a cut in front: text that slides faster is another part of a document."""
_SENTENCES = re.compile(r"[.!?…。！？।\n]+")
_VERSIONS = 48
"""Versions of a text of which each is compared with the one before."""
_STATE = 30
"""Code points up to which words may be the state of an entry."""
_WORDS = re.compile(r"[\w\u0300-\u036f\u0900-\u0dff\u0e00-\u0e7f]+")
_MARK = re.compile(r"\s*(?:[-*•+|–\[{\"]|\(?\d+[.)]|<)")
"""Mark, number or tag that an entry of a list begins with."""
_NUMBER = re.compile(r"[^\W\d_]{0,3}[\d\W_]+[^\W\d_]{0,3}")
_NEWEST = 8
"""Newest requests that a history may continue."""


class RepeatedText(Struct, frozen=True):
    """Text that some requests repeat behind a difference.

    `ranges[request]`: code points [from, to) of it in the view. `part`: what differs, with `start` and `end`, in the
    view of request `first`. `samples`: what differs, in some requests.
    """

    kind: Literal["template", "examples", "cut", "moved"]
    ranges: Mapping[int, tuple[int, int]]
    first: int
    part: ViewPart
    start: int
    end: int
    samples: tuple[str, ...]


class _Newest(Struct, frozen=True):
    """The newest message of a request, or the first one behind the head: its content, and where the messages that are
    behind the head begin."""

    number: int
    begin: int
    front: ViewPart
    part: ViewPart
    text: str


def repeated_texts(
    views: Sequence[CacheView],
    messages: Sequence[Sequence[MessageSpan]],
    lead: int,
    independent: Sequence[int],
    is_long: Callable[[str], bool],
) -> list[RepeatedText]:
    """Return what independent requests repeat in their newest message, in the order of the prompt.

    `lead`: messages of the head, which is compared by itself; `is_long`: whether it is worth a finding. A template is
    what half of all requests have or more: an edited question is in few of them.
    """
    rows = [row for number in independent if (row := _user_message(number, views[number], messages[number], lead, -1))]
    if len(rows) < LEAST_REQUESTS:
        return []
    least = max(LEAST_REQUESTS, (len(views) + 1) // 2)
    first = [row for number in independent if (row := _user_message(number, views[number], messages[number], lead, 0))]
    for group in (rows, first):
        if len(group) >= least and (moved := _moved(group)) is not None:
            return [moved]
    found = [_examples(rows, views, is_long), _template(rows, views, is_long)]
    texts = [one for one in found if one is not None and len(one.ranges) >= least]
    if not texts:
        middle = _middle(rows, views, is_long) or _middle(first, views, is_long)
        texts = [middle] if middle is not None and len(middle.ranges) >= least else []
    cut = None if texts else _cut(rows, is_long)
    return [*texts, cut] if cut is not None and len(cut.ranges) + 1 >= least else texts


def _user_message(
    number: int, view: CacheView, messages: Sequence[MessageSpan], lead: int, at: Literal[0, -1]
) -> _Newest | None:
    """Return the newest message (-1), or the first one behind the head if another one follows it (0)."""
    behind = [one for one in messages if one.index >= lead]
    if len(behind) < at + 2 or behind[at].role != "user":
        return None
    part, front = (next((one for one in row.parts if one.kind == "content"), None) for row in (behind[at], behind[0]))
    if part is None or front is None:
        return None
    return _Newest(number, behind[0].start, front, part, view.text_of(part))


def _group(rows: Sequence[_Newest], key: Callable[[str], str]) -> list[_Newest]:
    """Return the requests of the most frequent key."""
    groups: dict[str, list[_Newest]] = {}
    for row in rows:
        if len(row.text) >= _PROBE:
            groups.setdefault(key(row.text), []).append(row)
    return max(groups.values(), key=len, default=[])


def _begin(rows: Sequence[_Newest]) -> int:
    """Return the code points with which all texts begin."""
    return min((common_prefix(rows[0].text, row.text) for row in rows), default=0)


def _end(rows: Sequence[_Newest]) -> int:
    """Return the code points with which all texts end."""
    sizes = (common_suffix(rows[0].text, row.text, min(len(rows[0].text), len(row.text))) for row in rows)
    return min(sizes, default=0)


def _varied(rows: Sequence[_Newest], fronts: Sequence[str]) -> bool:
    """Whether what is in front differs in most requests."""
    return len(rows) >= LEAST_REQUESTS and 2 * len(set(fronts)) > max(len(rows), LEAST_REQUESTS)


def _moved(rows: Sequence[_Newest]) -> RepeatedText | None:
    """Return paragraphs that all messages have, in several orders, with the text behind them that all have."""
    texts = list(dict.fromkeys(row.text for row in rows))
    moved = moved_text(texts)
    if moved is None:
        return None
    bounds = dict(zip(texts, moved.bounds, strict=True))
    behind = [text[end:] for text, (_, end) in bounds.items()]
    same = common_prefix(min(behind), max(behind))
    ranges = {
        row.number: (row.part.start + bounds[row.text][0], row.part.start + bounds[row.text][1] + same) for row in rows
    }
    first = rows[0]
    start, end = bounds[first.text]
    samples = [text[slice(*place)] for text, place in bounds.items()]
    place = first.part.start + start, first.part.start + end
    return RepeatedText("moved", ranges, first.number, first.part, *place, _some(samples))


def _examples(
    rows: Sequence[_Newest], views: Sequence[CacheView], is_long: Callable[[str], bool]
) -> RepeatedText | None:
    """Return the beginning of the newest messages, if other messages are in front of it."""
    group = _group(rows, lambda text: text[:_PROBE])
    size = _begin(group)
    fronts = [views[row.number].text[row.begin : row.part.start] for row in group]
    if not _varied(group, fronts) or not is_long(group[0].text[:size]):
        return None
    ranges = {row.number: (row.part.start, row.part.start + size) for row in group}
    first = group[0]
    samples = tuple(views[row.number].text_of(row.front) for row in group)
    return RepeatedText(
        "examples", ranges, first.number, first.front, first.front.start, first.front.end - 1, _some(samples)
    )


def _template(
    rows: Sequence[_Newest], views: Sequence[CacheView], is_long: Callable[[str], bool]
) -> RepeatedText | None:
    """Return the end of the newest messages, if other text is in front of it."""
    group = _group(rows, lambda text: text[-_PROBE:])
    size = _end(group)
    fronts = [views[row.number].text[row.begin : row.part.end - 1 - size] for row in group]
    if not _varied(group, fronts) or not is_long(group[0].text[len(group[0].text) - size :]):
        return None
    if _is_draft([row.text for row in group]):
        return None
    before = min(_begin(group), *(len(row.text) - size for row in group))
    ranges = {row.number: (row.part.end - 1 - size, row.part.end - 1) for row in group}
    first = group[0]
    samples = tuple(row.text[before : len(row.text) - size] for row in group)
    place = first.part.start + before, first.part.end - 1 - size
    return RepeatedText("template", ranges, first.number, first.part, *place, _some(samples))


def _middle(rows: Sequence[_Newest], views: Sequence[CacheView], is_long: Callable[[str], bool]) -> RepeatedText | None:
    """Return the longest text inside the messages that has other text in front of it and behind it."""
    if len(rows) < LEAST_REQUESTS:
        return None
    having = Counter(sentence for row in rows for sentence in set(_SENTENCES.split(row.text)))
    least = max(LEAST_REQUESTS, (len(rows) + 1) // 2)
    # The first messages may be others: one of three has what half of all have.
    runs = (run for row in rows[:3] for run in _runs(row.text, lambda sentence: having[sentence] >= least))
    run = max(runs, key=len, default="")
    if not is_long(run):
        return None
    group = [row for row in rows if run in row.text]
    starts = [row.text.index(run) for row in group]
    fronts = [views[row.number].text[row.begin : row.part.start + at] for row, at in zip(group, starts, strict=True)]
    if not _varied(group, fronts) or min(starts) == 0:
        return None
    if _is_draft([row.text for row in group]):
        return None
    before = min(_begin(group), *starts)
    while before and not group[0].text[before - 1].isspace():
        before -= 1  # a whole word: its kind is found from it
    ranges = {
        row.number: (row.part.start + at, row.part.start + at + len(run)) for row, at in zip(group, starts, strict=True)
    }
    first = group[0]
    samples = tuple(row.text[before:at].strip() for row, at in zip(group, starts, strict=True))
    place = first.part.start + before, first.part.start + before + len(first.text[before : starts[0]].rstrip())
    return RepeatedText("template", ranges, first.number, first.part, *place, _some(samples))


def _runs(text: str, known: Callable[[str], bool]) -> Iterator[str]:
    """Yield each longest piece of a text whose sentences are all known."""
    start, end = 0, 0
    for found in [*_SENTENCES.finditer(text), None]:
        stop = len(text) if found is None else found.start()
        if known(text[end:stop]):
            end = len(text) if found is None else found.end()
            continue
        yield text[start:end]
        start = end = len(text) if found is None else found.end()
    yield text[start:end]


def is_template(texts: Sequence[str], is_long: Callable[[str], bool]) -> bool:
    """Whether user messages, one of each request, are one text with values in front of a long stable piece that change
    often."""
    changes = sum(left != right for left, right in pairwise(texts))
    if len(set(texts)) < LEAST_REQUESTS or LEAST_REQUESTS * changes < len(texts):
        return False
    ranges = varying_ranges(texts)
    places = [*(one.start for one in ranges[1:]), len(texts[0])]
    stable = max((texts[0][one.end : start] for one, start in zip(ranges, places, strict=True)), key=len)
    return is_long(stable) and not _is_draft(texts)


def _is_draft(texts: Sequence[str]) -> bool:
    """Whether a user writes new versions of one text, or appends to it.

    Most of a version is in the one before, too, and the words that replace others are no states that are used again.
    """
    rows = [[one for one in _SENTENCES.split(text) if one.strip()] for text in list(dict.fromkeys(texts))[:_VERSIONS]]
    common = set(rows[0]).intersection(*rows[1:])
    # What is behind the last common text is a question.
    ends = [max((at for at, one in enumerate(row) if one in common), default=len(row)) for row in rows]
    tails = ["".join(row[end + 1 :]) for row, end in zip(rows, ends, strict=True)]
    grown = sum(now.startswith(before) for before, now in pairwise(tails) if before)
    if 2 * grown > len(tails) - 1:
        return True
    parts = [[one for one in row[:end] if one not in common] for row, end in zip(rows, ends, strict=True)]
    kept = sum(
        2 * sum(map(len, (Counter(before) & Counter(now)).elements())) >= sum(map(len, now))
        for before, now in pairwise(parts)
    )
    if 2 * kept < len(parts) - 1:
        return False
    changes = [change for pair in pairwise(parts) for change in _changed_words(*pair)]
    known = Counter(value for change in changes for value in change)
    inserted = Counter(one for pair in pairwise(parts) for one in _inserted(*pair))
    states = sum(all(_is_state(value, known[value]) for value in change) for change in changes)
    states += sum(count for one, count in inserted.items() if _is_state(one, count))
    if not changes and not states:
        return _grows([row[:end] for row, end in zip(rows, ends, strict=True)], common)
    return bool(changes) and 2 * states <= len(changes)


def _grows(rows: Sequence[Sequence[str]], common: Set[str]) -> bool:
    """Whether sentences of prose are added to a text at several places: the entries of a list begin with a mark, and a
    record grows at one place."""
    places: set[str] = set()
    for before, now in pairwise(rows):
        for tag, _, _, k, m in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
            if tag == "insert" and not any(map(_MARK.match, now[k:m])):
                places.add(next((one for one in reversed(now[:k]) if one in common), ""))
            elif tag != "equal":
                return False
    return len(places) > 1


def _is_state(value: str, count: int) -> bool:
    """Whether words that differ are a number, or short ones that occur more than once."""
    return len(value) <= _STATE and (count > 1 or _NUMBER.fullmatch(value) is not None)


def _inserted(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    for tag, _, _, k, m in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if tag == "insert":
            yield from now[k:m]


def _changed_words(before: Sequence[str], now: Sequence[str]) -> Iterator[list[str]]:
    """Yield for each sentence in the place of another one the words that differ, of both."""
    for tag, i, j, k, m in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        for pair in zip(before[i:j], now[k:m], strict=False) if tag == "replace" else ():
            old, new = map(_WORDS.findall, pair)
            opcodes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
            runs = [row for one, a, b, c, d in opcodes if one != "equal" for row in (old[a:b], new[c:d]) if row]
            yield [" ".join(row) for row in runs]


def _cut(rows: Sequence[_Newest], is_long: Callable[[str], bool]) -> RepeatedText | None:
    """Return what newest messages keep of the one before, whose beginning they leave out."""
    ranges: dict[int, tuple[int, int]] = {}
    chosen: tuple[_Newest, int] | None = None
    samples: list[str] = []
    for at, row in enumerate(rows):
        for other in reversed(rows[max(at - _NEWEST, 0) : at]):
            before = common_prefix(other.text, row.text)
            moved = other.text.find(row.text[before : before + _MOVED], before + 1)
            if moved < 0 or len(row.text) - before < _MOVED:
                continue
            kept = common_prefix(other.text[moved:], row.text[before:])
            if kept < _KEPT * (len(other.text) - before) or not is_long(row.text[before : before + kept]):
                continue
            ranges[row.number] = row.part.start + before, row.part.start + before + kept
            samples.append(other.text[before:moved])
            chosen = chosen or (row, before)
            break
    if chosen is None:
        return None
    row, before = chosen
    place = row.part.start + before
    return RepeatedText("cut", ranges, row.number, row.part, place, place, _some(samples))


def _some(samples: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(samples))
