"""The spans that are found while the requests of a program are compared, and what each request pays for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct, field
from msgspec.structs import replace

from playground.prefix_cache.block_size import ASSUMED_BLOCK, CacheUnit
from playground.prefix_cache.earlier_heads import FAMILIES, merged_items
from playground.prefix_cache.history_changes import HistoryChange
from playground.prefix_cache.message_content import field_place
from playground.prefix_cache.program_groups import Body
from playground.prefix_cache.repeated_text import RepeatedText
from playground.prefix_cache.varying_spans import (
    MAX_SAMPLES,
    HeadItem,
    SpanKind,
    VaryingSpan,
    history_kind,
    numbered,
    repeated_kind,
)

BLOCK = ASSUMED_BLOCK
"""Tokens from which on text behind a span could be served from a cache."""
USUAL_BLOCK = 128
"""Tokens up to which a block is common: larger ones are found from two different figures on."""
_ERRORS = 3.0
"""Usual errors of a size up to which a report is of that text."""
_TAIL = 0.02
"""Probability beyond each end of an interval."""
_SHORT = 256
"""Tokens per request below which text has no price if no report has cached tokens: many servers have a minimum."""
_FEW, _STEPS = 4, 3
"""Requests from which on a change can be told from a value that changes every time; times at which spans or places of
the head change from which on none of them is a single change, and no value is the same prompt again."""
LASTING: frozenset[SpanKind] = frozenset(
    (
        "text",
        "retrieved_text",
        "changed_tools",
        "reordered_tools",
        "reordered_keys",
        "reordered_text",
        "whitespace",
        "date",
    )
)
"""Kinds of values of which a few may be used again and again, such as the prompts of several agents."""
_OF_MESSAGES: frozenset[SpanKind] = frozenset(
    ("history_truncation", "inserted_messages", "removed_messages", "call_ids", "arguments")
)
"""Kinds of changes of a history that are no values in the text of a message."""
_SUMMARIES: frozenset[SpanKind] = frozenset(("inserted_messages", "retrieved_text", "text", "removed_messages"))
"""Kinds of what stands, in some requests, for the turns that a history leaves out in front."""


class PromptUsage(Struct, frozen=True):
    """Tokens of a prompt as reported; None if not."""

    prompt: int | None = None
    cached: int | None = None

    @property
    def fresh(self) -> int | None:
        """Return the tokens that were not cached."""
        if self.prompt is None or self.cached is None or self.cached > self.prompt:
            return None
        return self.prompt - self.cached


NO_USAGE = PromptUsage()


class Charge(Struct):
    """Text that a request repeats behind a difference. `start`, `end`: ≈ tokens from the beginning of the prompt."""

    key: object
    start: float
    end: float
    served: bool


class Guess(Struct, frozen=True):
    """What a cache may be like: `weight` is relative to other guesses. `factor`: tokens for each estimated one."""

    unit: CacheUnit
    weight: float
    factor: float = 1.0


def size_error(tokens: float, prompt: float) -> float:
    """Return the usual error of ≈ tokens of the first part of a prompt whose whole size is known."""
    return 0.12 * max(min(tokens, prompt - tokens), 0.0) + 0.01 * prompt + 8.0


def _saved(usage: PromptUsage, prefix: float, whole: float, error: float, unit: CacheUnit) -> float:
    """Return ≈ tokens that a request would be served more without its differences, at most its fresh tokens.

    `whole`: ≈ tokens that it repeats behind them.
    """
    cached, prompt, fresh = usage.cached or 0, usage.prompt or 0, usage.fresh or 0
    if not cached and unit.served(prefix - error):
        return 0.0  # not warm: no change of the prompt helps it
    front = min(max(cached, prefix), cached + unit.block) if cached else prefix
    total = min(front + whole, prompt - 1)
    if unit.block > max(USUAL_BLOCK, 4 * error):
        saved = max(unit.served(total) - cached, 0.0)
    else:
        saved = total - (front if cached else 0.0) if total >= unit.minimum else 0.0
    return min(saved, fresh)


class _Found(Struct):
    """What is collected about one span."""

    span: VaryingSpan
    changed: list[int] = field(default_factory=list)
    behind: dict[int, float] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)


class FoundSpans:
    """The spans of one program by key: the number of the first item of the head, or what tells changes apart.

    `merged`: for each item of the head with a span the first one of its finding.
    """

    def __init__(self, members: Sequence[int], items: Sequence[HeadItem], *, has_system: bool) -> None:
        self._members, self._items, self._has_system = members, items, has_system
        self.merged = merged_items(items)
        self._found: dict[object, _Found] = {}
        for number, item in enumerate(items):
            if item.span is not None and self.merged[number] == number:
                kinds = [one.span.kind for at, one in enumerate(items) if one.span and self.merged[at] == number]
                # White space comes and goes with the entries of a list.
                values: list[SpanKind] = [one for one in kinds if one != "whitespace"]
                kind = Counter(values or kinds).most_common(1)[0][0]
                end = max(one.span.end for one in items if one.span and _in_one_line(one, item))
                span = replace(item.span, kind=kind, end=end, family=0, places=len(kinds), changed=(), changes=0)
                self._found[number] = _Found(span)
        self._paid: dict[int, dict[object, float]] = {}
        """By request: the share that each span has in what it lost."""
        self._saved: dict[int, list[float]] = {}
        """By request: ≈ tokens that it lost, by guess."""
        self._cached: set[int] = set()

    def change(self, key: object, number: int) -> None:
        """Note that a request differs at a span."""
        found = self._found[key]
        if not found.changed or found.changed[-1] != self._members[number]:
            found.changed.append(self._members[number])

    def repeated_key(self, at: int, text: RepeatedText, body: Body) -> object:
        """Return the key of what differs in front of repeated text number `at`, which is added if it is new."""
        key = ("repeated", at)
        if key not in self._found:
            path, place = field_place(body, text.part, text.start - text.part.start)
            where = text.part.index, self._members[text.first], place, place + text.end - text.start
            samples = text.samples[:MAX_SAMPLES]
            span = VaryingSpan(repeated_kind(text), "message", *where, samples, len(text.samples), path=path)
            self._found[key] = _Found(span)
        return key

    def history_key(self, number: int, change: HistoryChange, body: Body) -> object:
        """Return the key of the span of a change, which is added if it is new."""
        kind = history_kind(change)
        field_name = "" if kind in ("call_ids", "history_truncation", "reordered_text") else change.part.kind
        # States of a list are values of several kinds.
        key = ("history", field_name, change.role if field_name else "", FAMILIES.get(kind, kind))
        found = self._found.get(key)
        if found is None:
            span = self._history_span(number, change, kind, body)
            found = self._found[key] = _Found(span)
        for sample in (change.before, change.after):
            if sample not in found.samples and len(found.samples) <= MAX_SAMPLES:
                found.samples.append(sample)
        return key

    def _history_span(self, number: int, change: HistoryChange, kind: SpanKind, body: Body) -> VaryingSpan:
        part, offset = change.part, change.offset
        path, start = field_place(body, part, offset)
        end = start + max(change.end - change.start, 0)
        if change.kind in ("inserted", "truncated", "removed", "reordered"):
            end = start
        where = part.index, self._members[number], start, end
        return VaryingSpan(kind, "message", *where, (), 2, history=True, path=path)

    def take(
        self,
        number: int,
        charges: Sequence[Charge],
        scale: float,
        usage: PromptUsage | None,
        prefix: float,
        guesses: Sequence[Guess],
    ) -> None:
        """Take the charges of a request in, at most its fresh tokens.

        `scale`: tokens of the server for each of the charges; without `usage` the request has no price. `prefix`:
        ≈ tokens that it shares with an earlier request from the beginning on. `guesses`: what the cache may be like,
        the most probable first: it is the price.
        """
        index = self._members[number]
        behind: dict[object, float] = {}
        for charge in charges:
            behind[charge.key] = behind.get(charge.key, 0.0) + (charge.end - charge.start) * scale
        total = 0.0
        for key in reversed(behind):
            total += behind[key]
            self._found[key].behind[index] = total
        if usage is None:
            return
        if usage.fresh is not None:
            self._cached.add(usage.cached or 0)
        unit = guesses[0].unit
        cached = float(usage.cached or 0) if usage.fresh is not None else 0.0
        prompt = usage.prompt or 0
        error = size_error(prefix, prompt)
        # A value may begin as an earlier one does: the served text ends in front of the first text behind it.
        first = max(min((one.start * scale for one in charges if not one.served), default=0.0), prefix)
        most = cached + unit.block
        if known := cached > 0 and prefix - _ERRORS * error <= most and cached <= first + _ERRORS * error:
            # The text behind the served text has the rest of the prompt.
            estimated, reported = (prefix, most) if prefix > most else (first, max(first, cached))
            scale *= min(max((prompt - reported) / max(prompt - estimated, 1.0), 0.5), 2.0)
        paid: dict[object, float] = {}
        for charge in charges:
            start = charge.start * scale if known else max(charge.start * scale, cached)
            if not charge.served and charge.end * scale > start:
                paid[charge.key] = paid.get(charge.key, 0.0) + charge.end * scale - start
        whole = sum(paid.values())
        if not whole:
            return
        self._paid[index] = {key: tokens / whole for key, tokens in paid.items()}
        if prompt and usage.fresh is not None:
            self._saved[index] = [_saved(usage, prefix, whole * one.factor, error, one.unit) for one in guesses]
        else:
            ends = [(one.unit, one.factor * first, one.factor * (first + whole)) for one in guesses]
            # The price is the text itself.
            self._saved[index] = [whole, *(unit.served(end) - unit.served(start) for unit, start, end in ends[1:])]

    def _join_moved(self) -> None:
        """Count values of a message with text in another order as part of that finding: they are in the text.

        So are a summary in front of a history and its new versions part of the finding that old turns are left out.
        """
        cut = {
            (found.span.path, found.span.start): key
            for key, found in self._found.items()
            if found.span.history and found.span.kind == "history_truncation"
        }
        moved = {
            found.span.path: key
            for key, found in self._found.items()
            if found.span.history and found.span.kind == "reordered_text"
        }
        joined: dict[object, object] = {
            key: moved[found.span.path]
            for key, found in self._found.items()
            if found.span.history and found.span.kind not in _OF_MESSAGES and moved.get(found.span.path, key) != key
        }
        joined |= {
            key: cut[place]
            for key, found in self._found.items()
            if found.span.history
            and found.span.kind in _SUMMARIES
            and (place := (found.span.path, found.span.start)) in cut
        }
        for key, first in joined.items():
            found, into = self._found.pop(key), self._found[first]
            into.changed = sorted({*into.changed, *found.changed})
            for index, tokens in found.behind.items():
                into.behind[index] = max(into.behind.get(index, 0.0), tokens)
        self._paid = {
            index: _summed((joined.get(key, key), tokens) for key, tokens in row.items())
            for index, row in self._paid.items()
        }

    def result(
        self, predecessors: Mapping[int, int], compared: int, guesses: Sequence[Guess]
    ) -> tuple[tuple[VaryingSpan, ...], dict[int, dict[int, float]]]:
        """Return the spans in the order of the prompt, and what each request paid for each of them.

        `predecessors`: which request each one continues; `compared`: how many requests have a price; `guesses`: those
        that the charges were taken with.
        """
        self._join_moved()
        keys = [key for key in self._found if self._is_reported(key)]
        numbers = {key: number for number, key in enumerate(keys)}
        continued = {self._members[number] for number in predecessors}
        paid = {
            index: {numbers[key]: share * self._saved[index][0] for key, share in row.items() if key in numbers}
            for index, row in self._paid.items()
        }
        short = self._cached == {0} and sum(saved[0] for saved in self._saved.values()) < _SHORT * len(self._saved)
        spans: list[VaryingSpan] = []
        roots, once = self._roots(predecessors), self._once()
        for number, key in enumerate(keys):
            found = self._found[key]
            changed = tuple(found.changed)
            shares = [(row[key], self._saved[index]) for index, row in self._paid.items() if key in row]
            lost, *others = (sum(share * saved[at] for share, saved in shares) for at in range(len(guesses)))
            low, high = _interval([lost, *others], guesses)
            lost = 0.0 if short and not low else lost
            behind = [found.behind[index] for index in changed if index in found.behind]
            front = next((at for at in reversed(range(number)) if not set(spans[at].changed).isdisjoint(changed)), None)
            spans.append(
                replace(
                    found.span,
                    samples=found.span.samples or tuple(found.samples[:MAX_SAMPLES]),
                    distinct=max(found.span.distinct, len(found.samples)),
                    changes=len(changed),
                    comparisons=len(self._members) - 1,
                    changed=changed,
                    tokens_behind=sum(behind) / len(behind) if behind else 0.0,
                    tokens_per_request=lost / max(compared, 1),
                    lost_tokens=lost,
                    lost_between=(low, high),
                    behind=front,
                    recurring=isinstance(key, int) and self._recurs(key, roots, paid, number, compared),
                    once=key in once,
                    between=bool(continued) and not found.span.history and continued.isdisjoint(changed),
                )
            )
        unpriced = {number for number, span in enumerate(spans) if not span.lost_tokens}
        return tuple(spans), {
            index: {number: tokens for number, tokens in row.items() if number not in unpriced}
            for index, row in paid.items()
        }

    def _roots(self, predecessors: Mapping[int, int]) -> list[int]:
        """Return the first request of each request's conversation."""
        roots: list[int] = []
        for number in range(len(self._members)):
            earlier = predecessors.get(number)
            roots.append(number if earlier is None else roots[earlier])
        return roots

    def _recurs(
        self, key: int, roots: Sequence[int], paid: Mapping[int, Mapping[int, float]], number: int, compared: int
    ) -> bool:
        """Whether most values of a span of the head are used in several conversations, and paid for once at most."""
        places = {self._items[at].versions for at, first in self.merged.items() if first == key}
        if self._found[key].span.kind not in LASTING or len(places) >= _STEPS:
            return False
        using: dict[int, list[int]] = {}
        for version, root in zip(self._versions(key), roots, strict=True):
            using.setdefault(version, []).append(root)
        again = sum(len(set(conversations)) > 1 for conversations in using.values())
        paying = sum(row.get(number, 0.0) > BLOCK for row in paid.values())
        if self._found[key].span.kind == "reordered_keys" and paying >= _STEPS and 4 * paying >= compared:
            return False  # no program has so many orders of keys on purpose
        return 2 * again > len(using) and paying <= len(using) and 2 * paying <= compared

    def _versions(self, key: int) -> tuple[int, ...]:
        """Return which value each request has of a finding about the head, in all its places."""
        places = (self._items[at].versions for at, first in self.merged.items() if first == key)
        return numbered(list(zip(*places, strict=True)))

    def _once(self) -> set[object]:
        """Return the spans that changed once in the recording, and not back.

        Several that change at different times are a state that grows, such as a list of tasks that are done.
        """
        if len(self._members) < _FEW:
            return set()
        found: dict[object, int] = {}
        for key in self._found:
            if isinstance(key, int):
                pairs = enumerate(pairwise(self._versions(key)), 1)
                changed = [number for number, (left, right) in pairs if left != right]
            else:
                changed = self._found[key].changed
            if len(changed) == 1:
                found[key] = changed[0]
        steps = {number for key, number in found.items() if isinstance(key, int)}
        return {key for key in found if not isinstance(key, int) or len(steps) < _STEPS}

    def _is_reported(self, key: object) -> bool:
        """Whether a span is no question, and one in a history has text behind it."""
        found = self._found[key]
        if found.span.history:
            return any(found.behind.values())
        if self._has_system or found.span.part != "message" or not isinstance(key, int):
            return True
        return sum(item.tokens for item in self._items[key:]) >= BLOCK


def _in_one_line(one: HeadItem, first: HeadItem) -> bool:
    """Whether two values change together in one line of a text: the finding is about the text from one to the other."""
    if one is first or one.span is None or first.span is None or first.span.part == "tool":
        return one is first
    places = {(item.span.part, item.span.index, item.span.path, item.line) for item in (one, first) if item.span}
    return len(places) == 1 and numbered(one.versions) == numbered(first.versions)


def _interval(totals: Sequence[float], guesses: Sequence[Guess]) -> tuple[float, float]:
    """Return the interval in which the sum of a span is, with the first guess in it."""
    least = _TAIL * sum(one.weight for one in guesses)
    rows = sorted(zip(totals, (one.weight for one in guesses), strict=True))
    low, high = (_quantile(row, least) for row in (rows, rows[::-1]))
    return min(low, totals[0]), max(high, totals[0])


def _quantile(rows: Sequence[tuple[float, float]], least: float) -> float:
    """Return the first value up to which the weights are more than `least`."""
    weights = accumulate(weight for _, weight in rows)
    return next((value for (value, _), weight in zip(rows, weights, strict=True) if weight > least), 0.0)


def _summed(pairs: Iterable[tuple[object, float]]) -> dict[object, float]:
    found: dict[object, float] = {}
    for key, tokens in pairs:
        found[key] = found.get(key, 0.0) + tokens
    return found
