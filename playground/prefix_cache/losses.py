"""What the requests of one program send fresh although an earlier request had it, and the spans that are the reason.

Each request is compared with the request that it continues, or, at the beginning of a conversation, with the one whose
head is most alike. Text that both have, behind the first place where they differ and behind everything that any
earlier request shares, is lost. It belongs to the last difference in front of it: this is what fixing that difference
saves, once those in front are fixed. So the prices of all spans add up to all lost tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from math import exp, log

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.block_size import BlockSizeEstimator, CacheUnit
from playground.prefix_cache.conversations import PredecessorFinder, history_texts, messages_of
from playground.prefix_cache.earlier_heads import Heads
from playground.prefix_cache.found_spans import (
    BLOCK,
    NO_USAGE,
    USUAL_BLOCK,
    Charge,
    FoundSpans,
    Guess,
    PromptUsage,
    size_error,
)
from playground.prefix_cache.history_changes import answer_of, history_changes
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.program_groups import Body, RunTime, families
from playground.prefix_cache.repeated_text import RepeatedText, repeated_texts
from playground.prefix_cache.text_compare import common_prefix
from playground.prefix_cache.token_estimator import CLASSES, TokenEstimator
from playground.prefix_cache.varying_spans import HeadItem, VaryingSpan, head_items
from playground.prefix_cache.view import CacheView, view_of_fields

_CHILDREN = 32
"""Newest parts in the same place that a different part is compared with."""
_LEARNED = 40
"""Reports to which the estimates of a program are fitted."""
_LONG = 128
"""Tokens from which on text that independent requests repeat in their newest message is worth a finding."""
_MEASURES = 32
"""Measures of prompts that are kept."""
_PROOFS = 2
"""Answers that a server must have served from its cache before what others would save is counted."""
_REPORTED = {1.0: 0.6, 0.85: 0.2, 1.15: 0.2}
"""Tokens per estimated token, with their probabilities, of parts of prompts whose tokens are reported."""
_LATIN = (0.8, 0.98, 1.45)
_UNKNOWN = {
    "digit": (0.8, 1.5, 2.2),
    "punctuation": (0.7, 0.82, 1.45),
    "accented": (2.5, 4.0, 6.5),
    "devanagari": (0.5, 0.75, 3.0),
    "indic": (0.45, 0.55, 2.1),
    "cyrillic": (0.48, 0.56, 1.4),
    "semitic": (0.42, 0.52, 2.0),
    "east_asian": (0.65, 0.78, 1.55),
}
"""Tokens per estimated token by class, of the public tokenizers with the fewest, of those with large vocabularies, and
of those with the most; `_LATIN` of other classes. Words with accented letters are no English words: their other letters
are more tokens, too. The second figure is the price: it is never more than was sent fresh, whatever the tokenizer."""
_BETWEEN = {0.0: 0.34, 0.33: 0.12, 0.67: 0.13, 1.0: 0.2}
"""Probabilities of the second figure, of two between it and the third one, and of the third one; the first has the
rest."""
_TIMES = 3
"""Reports without cached tokens that count: the errors of their estimated sizes are alike."""
_ODD = 0.05
"""Probability of a report that the cache does not explain: other requests evict and store prompts, too."""
_UNLIKELY = 5.0
"""Logarithm of a likelihood ratio from which on a block and minimum are out of the question."""
_BETTER, _SURE = 1.0, 3.0
"""Logarithms of likelihood ratios: from the first one on, the tools count as behind the system text; from the second
one on, their place is known."""


class PartTree:
    """Earlier prompts, part by part: how many code points of a prompt any of them begins with."""

    def __init__(self) -> None:
        self._children: dict[str, PartTree] = {}
        self._ends: int | None = None

    def shared(self, view: CacheView) -> tuple[int, tuple[int, int] | None]:
        """Return the code points of the longest shared prefix, and the longest prompt that is a prefix as a whole: its
        number and code points."""
        node, whole = self, None
        for part in view.parts:
            text = view.text[part.start : part.end]
            child = node._children.get(text)
            if child is None:
                longest, longer = 0, text[:1]
                for other in islice(reversed(node._children), _CHILDREN):
                    if other.startswith(longer):
                        longest = common_prefix(text, other)
                        longer = text[: longest + 1]
                return part.start + longest, whole
            node = child
            if node._ends is not None:
                whole = node._ends, part.end
        return len(view.text), whole

    def add(self, view: CacheView, number: int) -> None:
        node = self
        for part in view.parts:
            node = node._children.setdefault(view.text[part.start : part.end], PartTree())
        node._ends = number


class ProgramLosses(Struct, frozen=True):
    """Spans of one program in the order of the prompt, and what each request lost.

    `paid[request]`: number of a span and ≈ tokens, for each span that the request paid for. Only requests in `compared`
    are priced: those with reported tokens, or all if there is none. `predecessors`: which request each one continues.
    `estimated`: no request has reported tokens, so all are those of an unknown tokenizer.
    """

    requests: tuple[int, ...]
    compared: tuple[int, ...]
    spans: tuple[VaryingSpan, ...]
    paid: Mapping[int, Mapping[int, float]]
    predecessors: Mapping[int, int]
    estimated: bool = False

    @property
    def lost(self) -> float:
        """Return ≈ tokens that all requests lost."""
        return sum(sum(row.values()) for row in self.paid.values())

    def held(self, number: int) -> float:
        """Return ≈ tokens per request that a span keeps from the cache: its own, and those of the spans behind it."""
        rows = (self.paid.get(index, {}) for index in self.spans[number].changed)
        held = sum(tokens for row in rows for other, tokens in row.items() if other >= number)
        return held / max(len(self.compared), 1)


def varying_spans(bodies: Sequence[Body]) -> list[VaryingSpan]:
    """Return every span that varies between requests of one program, family by family, in the order of the prompt.

    Args:
        bodies: request bodies, oldest first. Bodies of several programs may be mixed. Invalid ones are ignored.

    Questions at the end of a prompt and new turns of a conversation vary by nature and are not reported.
    """
    found: list[VaryingSpan] = []
    for number, members in enumerate(families(bodies)):
        found += in_one_list(program_losses(bodies, members).spans, number, len(found))
    return found


def in_one_list(spans: Sequence[VaryingSpan], family: int, first: int) -> list[VaryingSpan]:
    """Return spans of a family as part of a list of all families: `first` is the index of its first span there."""
    return [replace(span, family=family, behind=None if span.behind is None else span.behind + first) for span in spans]


def program_losses(
    bodies: Sequence[Body],
    members: Sequence[int],
    usage: Mapping[int, PromptUsage] | None = None,
    times: Mapping[int, RunTime] | None = None,
) -> ProgramLosses:
    """Return what the requests `members` (indexes of `bodies`) of one program lost. Slow: call it in a worker.

    `times`: when requests started and ended, if known. A request that was running has nothing to serve to another one,
    unless reports show that it had.
    """
    if len(members) < 2:
        return ProgramLosses(tuple(members), tuple(members), (), {}, {})
    return _Program(bodies, members, usage or {}, times or {}).losses()


class _Program:
    """The requests of one program while they are compared."""

    def __init__(
        self,
        bodies: Sequence[Body],
        members: Sequence[int],
        usage: Mapping[int, PromptUsage],
        times: Mapping[int, RunTime],
    ) -> None:
        self._members = members
        self._times = [times.get(index) for index in members]
        self._bodies = [bodies[index] for index in members]
        self._usage = [usage.get(index, NO_USAGE) for index in members]
        self._views = [view_of_fields(body) for body in self._bodies]
        self._messages = [messages_of(view) for view in self._views]
        self._estimator = TokenEstimator()
        self._measures: dict[int, Measure] = {}
        self._newest_measure: Measure | None = None
        self._reported = [number for number, one in enumerate(self._usage) if one.fresh is not None]
        self._compared = self._reported or list(range(len(members)))
        self._factors = _REPORTED
        self._scale = self._fit([number for number, one in enumerate(self._usage) if one.prompt])
        self._lead, self._items, self._tools_inside = head_items(
            self._bodies, members, self._estimator.estimate, self._of_tool
        )
        self._shared: list[int] = []
        self._sizes: dict[int, float] = {}
        self._answers_cached = False
        self._predecessors: dict[int, int] = {}
        self._finished: list[list[int]] = []

    def _of_tool(self, text: str) -> float:
        """Return ≈ tokens of (a part of) the JSON text of a tool, as a view has it: without white space."""
        compact = text.replace('": ', '":').replace(', "', ',"')
        return self._estimator.tokens(self._estimator.tool_counts(compact))

    def _fit(self, reported: Sequence[int]) -> float:
        """Fit the estimator to reports. Returns reported over estimated tokens; without reports, those of usual
        tokenizers for the scripts of the newest request."""
        if not reported:
            counts = self._measure(last := len(self._views) - 1).counts_upto(len(self._views[last].text))
            tokens = self._estimator.tokens(counts)
            rows = zip(CLASSES, counts, self._estimator.factors, strict=True)
            parts = [(_UNKNOWN.get(name, _LATIN), count * factor) for name, count, factor in rows]
            low, middle, high = (sum(of[at] * part for of, part in parts) for at in range(3))
            if not tokens:
                return 1.0
            steps = {(high / middle) ** step: weight for step, weight in _BETWEEN.items()}
            self._factors = {low / middle: 1 - sum(_BETWEEN.values()), **steps}
            return middle / tokens
        step = max(len(reported) // _LEARNED, 1)
        for number in reported[::step]:
            counts = self._measure(number).counts_upto(len(self._views[number].text))
            self._estimator.learn(counts, self._usage[number].prompt or 0)
        estimated = 0.0
        for number in reported:
            view = self._views[number]
            estimated += self._estimator.tokens(self._measure(number).counts_upto(len(view.text)))
        return sum(self._usage[number].prompt or 0 for number in reported) / estimated if estimated else 1.0

    def _measure(self, number: int) -> Measure:
        found = self._measures.get(number)
        if found is None:
            found = Measure(self._views[number], self._estimator, self._newest_measure)
            self._newest_measure = found
            if len(self._measures) >= _MEASURES:
                del self._measures[next(iter(self._measures))]
            self._measures[number] = found
        return found

    def losses(self) -> ProgramLosses:
        finder, tree = PredecessorFinder(), PartTree()
        answers: list[bool] = []
        first = self._lead if self._has_system() else 0
        compared = set(self._compared)
        self._finished = self._in_order() if self._running_serve() else self._by_end()
        histories = [history_texts(view, row, first) for view, row in zip(self._views, self._messages, strict=True)]
        for number, view in enumerate(self._views):
            for other in self._finished[number]:
                finder.add(other, histories[other])
                tree.add(self._views[other], other)
            earlier = finder.find(histories[number])
            if earlier is not None:
                self._predecessors[number] = earlier
            shared, whole = tree.shared(view)
            self._shared.append(shared)
            if whole is not None and (served := self._serves_answer(number, *whole)) is not None:
                answers.append(served)
        # Half of the answers are not served if a client writes them in another way every second time.
        self._answers_cached = sum(answers) >= max(_PROOFS, len(answers) / 4)
        prefixes, guesses, more = self._learn_cache()
        heads = Heads(self._items, len(self._members))
        self._spans = FoundSpans(self._members, self._items, has_system=self._has_system())
        independent = [number for number in range(len(self._views)) if number not in self._predecessors]
        repeated = repeated_texts(self._views, self._messages, self._lead, independent, self._is_long)
        having: list[set[int]] = [set() for _ in repeated]
        for number in range(len(self._views)):
            for other in self._finished[number]:
                heads.add(other)
                for text, known in zip(repeated, having, strict=True):
                    known.update({other} & text.ranges.keys())
            if number:
                charges = self._charges(number, self._predecessors.get(number), heads)
                charges += self._repeated(number, repeated, having)
                usage = self._usage[number] if number in compared else None
                self._spans.take(number, charges, self._scale, usage, prefixes[number], guesses)
        members = self._members
        spans, paid = self._spans.result(self._predecessors, len(self._compared), guesses)
        if more:
            spans = self._with_tools_after(spans, more)
        return ProgramLosses(
            tuple(members),
            tuple(members[number] for number in self._compared),
            spans,
            paid,
            {members[number]: members[earlier] for number, earlier in self._predecessors.items()},
            all(one.prompt is None for one in self._usage),
        )

    def _learn_cache(self) -> tuple[list[float], list[Guess], Mapping[int, float]]:
        """Return ≈ tokens that each request shares with earlier ones from the beginning on, and the blocks and minimums
        that explain the reports, the best first. Puts the tools behind the system text if that explains them better.

        If the reports do not tell where the tools are, the last result has ≈ tokens by request that it loses more if
        they are behind the system text.
        """
        first, inside = (self._prefixes(items) for items in (self._items, self._tools_inside))
        more = {number: one - two for number, (one, two) in enumerate(zip(first, inside, strict=True))}
        (like_first, guesses), (like_inside, others) = self._guesses(first), self._guesses(inside)
        # Without reports the price is that of the place that loses less.
        inside_better = like_inside - like_first >= _BETTER if self._reported else sum(more.values()) < 0
        if inside_better:
            self._items = self._tools_inside
            return inside, others, {} if self._reported else more
        known = like_first - like_inside >= _SURE
        return first, guesses, {} if known else {number: one for number, one in more.items() if abs(one) >= BLOCK}

    def _prefixes(self, items: Sequence[HeadItem]) -> list[float]:
        """Return ≈ tokens that each request shares with one that is finished. `items`: the head in its order."""
        heads, found = Heads(items, len(self._members)), []
        for number, finished in enumerate(self._finished):
            for other in finished:
                heads.add(other)
            if heads.served(number) < len(items):
                found.append(heads.tokens_served(number) * self._scale)
            else:
                found.append(self._shared_tokens(number))
        return found

    def _shared_tokens(self, number: int) -> float:
        """Return ≈ tokens that a request with a report shares with an earlier one that has the same head."""
        if self._usage[number].fresh is None:
            return 0.0
        if number not in self._sizes:
            self._sizes[number] = self._measure(number).upto(self._shared[number]) * self._scale
        return self._sizes[number]

    def _guesses(self, prefixes: Sequence[float]) -> tuple[float, list[Guess]]:
        """Return the blocks and minimums that explain the reports, the best first, and the logarithm of its likelihood.

        `prefixes`: ≈ tokens that each request shares with earlier ones.
        """
        served: dict[tuple[int, int], tuple[float, float]] = {}
        empty: dict[int, list[tuple[float, float]]] = {}
        for one, shared in zip(self._usage[1:], prefixes[1:], strict=True):
            if one.cached is not None and one.prompt is not None and one.fresh is not None:
                size = shared, size_error(shared, one.prompt)
                if one.cached:
                    # The same figure again is the same prefix again, with the same error of its size, or large blocks.
                    served.setdefault((one.cached, round(shared / USUAL_BLOCK)), size)
                elif shared >= BLOCK:
                    empty.setdefault(round(shared / BLOCK), []).append(size)
        sizes = list(served.items())[:: max(len(served) // _LEARNED, 1)]
        empty_sizes = [(one[0], len(one)) for one in list(empty.values())[:: max(len(empty) // _LEARNED, 1)]]
        weight = min(len(empty_sizes), _TIMES) / max(len(empty_sizes), 1)
        figures = Counter(cached for cached, _ in served)
        spread = max(served.values())[0] - min(served.values())[0] if served else 0.0
        likely = BlockSizeEstimator().likely
        if not self._reported:
            # Nothing is known: the price is the text itself, in tokens of a usual tokenizer.
            return 0.0, [
                Guess(CacheUnit(1, 1, 1.0), likely[0].weight),
                *(Guess(unit, unit.weight * weight, of) for unit in likely for of, weight in self._factors.items()),
            ]
        found: list[tuple[float, CacheUnit]] = []
        for unit in likely:
            if unit.block > USUAL_BLOCK and len(figures) < 2 and spread < 3 * USUAL_BLOCK:
                continue  # one figure is a multiple of many blocks
            likelihood = log(unit.weight)
            for (cached, _), (shared, error) in sizes:
                # Text of another kind than most of the prompt may have a size that is far from the estimate.
                odd = unit.block / (unit.block + abs(cached - shared)) if cached % unit.block == 0 else 1e-3
                likelihood += log((1 - _ODD) * unit.chance(cached, shared, error) + _ODD * odd) / figures[cached]
            # Reports about the same text have the same error of its size, but are odd one by one.
            rows = ((unit.chance(0, *size), _ODD**times) for size, times in empty_sizes)
            likelihood += weight * sum(log((1 - odd) * chance + odd) for chance, odd in rows)
            found.append((likelihood, unit))
        best = max(likelihood for likelihood, _ in found)
        guesses = [
            Guess(unit, exp(one - best) * weight, factor)
            for one, unit in found
            if best - one < _UNLIKELY
            for factor, weight in self._factors.items()
        ]
        return best, sorted(guesses, key=lambda guess: -guess.weight)

    def _with_tools_after(self, spans: Sequence[VaryingSpan], more: Mapping[int, float]) -> tuple[VaryingSpan, ...]:
        """Return spans with what they cost more if the tools are in the other place, and with that in the interval.

        `more`: ≈ tokens by request that it shares more if tools are in front of the system text; below 0 if a tool
        changed, which is behind the system text otherwise.
        """
        after, first = [0.0] * len(spans), [0.0] * len(spans)
        fresh = [0.0] * len(spans)
        for number in self._compared:
            index, tokens = self._members[number], more.get(number, 0.0)
            changed = [at for at, one in enumerate(spans) if index in one.changed and not one.history]
            for at in changed:
                fresh[at] += self._usage[number].fresh or 0
            for at in [at for at in changed if spans[at].part == "message" and not spans[at].index][-1:]:
                after[at] += max(tokens, 0.0)
            for at in [at for at in changed if spans[at].part == "tool"][:1]:
                first[at] += max(-tokens, 0.0)
        if self._items is self._tools_inside:
            after, first = first, after
        found = []
        for one, later, front, most in zip(spans, after, first, fresh, strict=True):
            low, high = one.lost_between
            longer = high + later * max(self._factors)
            ends = max(low - front, 0.0), min(longer, max(most, high)) if self._reported else longer
            found.append(replace(one, tools_after=later / len(self._compared), lost_between=ends))
        return tuple(found)

    def _in_order(self) -> list[list[int]]:
        """Return for each request those that are finished since the one before: always the one before."""
        return [[number - 1] if number else [] for number in range(len(self._members))]

    def _by_end(self) -> list[list[int]]:
        """Return for each request those that have ended since the one before started. Without times, as in order."""
        running: list[int] = []
        found: list[list[int]] = []
        for number, time in enumerate(self._times):
            found.append([other for other in running if self._ended(other, time)])
            running = [*(other for other in running if not self._ended(other, time)), number]
        return found

    def _ended(self, number: int, time: RunTime | None) -> bool:
        """Whether a request had ended at the start of a later one; so it had if a time is not known."""
        mine = self._times[number]
        return mine is None or time is None or mine.end <= time.start

    def _running_serve(self) -> bool:
        """Whether reports show that the server serves what a running request has computed."""
        ended, rows = self._by_end(), self._in_order()
        if ended == rows:
            return True
        trees = PartTree(), PartTree()
        proofs = tests = running = 0
        for number, view in enumerate(self._views):
            for tree, finished in zip(trees, (ended, rows), strict=True):
                for other in finished[number]:
                    tree.add(self._views[other], other)
            running += len(rows[number]) - len(ended[number])
            cached = self._usage[number].cached
            if cached is None or not running:
                continue
            (least, _), (most, _) = (tree.shared(view) for tree in trees)
            measure = self._measure(number)
            before, with_running = measure.upto(least) * self._scale, measure.upto(most) * self._scale
            if with_running - before >= 2 * BLOCK:
                tests += 1
                proofs += cached >= (before + with_running) / 2
        return proofs >= _PROOFS and 2 * proofs >= tests

    def _serves_answer(self, number: int, earlier: int, end: int) -> bool | None:
        """Return whether a server served what it had generated; None if a request does not tell.

        The prompt of `earlier` is the first `end` code points of the request, and no prompt shares more with it.
        """
        cached, before = self._usage[number].cached, self._usage[earlier].prompt
        answer = next((one for one in self._messages[number] if one.start >= end), None)
        if cached is None or before is None or answer is None or answer.role != "assistant" or cached < before - BLOCK:
            return None
        if 4 * (self._shared[number] - end) > answer.end - end:
            return None
        measure = self._measure(number)
        tokens = (measure.upto(answer.end) - measure.upto(end)) * self._scale
        return None if tokens < 2 * BLOCK else cached - before >= max(tokens / 2, BLOCK)

    def _is_long(self, text: str) -> bool:
        return self._estimator.estimate(text) * self._scale >= _LONG

    def _repeated(self, number: int, repeated: Sequence[RepeatedText], having: Sequence[set[int]]) -> list[Charge]:
        """Return what a request repeats in its newest message although it continues no earlier request.

        `having`: finished requests that have each text.
        """
        charges: list[Charge] = []
        for at, text in enumerate(repeated):
            if number not in text.ranges:
                continue
            if not having[at] and text.kind != "cut":
                continue  # the first ones that have it
            start, end = text.ranges[number]
            shared = self._shared[number]
            if shared >= end:
                continue
            key = self._spans.repeated_key(at, text, self._bodies[text.first])
            self._spans.change(key, number)
            charges.append(self._charge(number, key, (start, end), shared))
        return charges

    def _has_system(self) -> bool:
        messages = self._bodies[0].get("messages")
        first = messages[0] if isinstance(messages, list) and messages else None
        return isinstance(first, dict) and first.get("role") in ("system", "developer")

    def _charges(self, number: int, earlier: int | None, heads: Heads) -> list[Charge]:
        """Return what a request repeats behind each difference, in the order of its prompt."""
        other = heads.nearest(number) if earlier is None else earlier
        served_items = heads.served(number)
        charges: list[Charge] = []
        key: object = None
        at = 0.0
        changed = other is not None and heads.rows[number] != heads.rows[other]
        for item_number, item in enumerate(self._items if changed else ()):
            size = max(item.sizes[number], 0.0) if item.sizes else 0.0
            if item.span is not None and other is not None and item.versions[number] != item.versions[other]:
                key = self._spans.merged[item_number]
                self._spans.change(key, number)
                if item.shares:
                    # A cache serves tokens that are equal from the first one on: not the beginning of a later tool.
                    served = at + (item.shares[number] * size if item_number == served_items else 0.0)
                    charges.append(Charge(key, served, at + size, item_number < served_items))
                at += size
                size = 0.0
            size += item.tokens
            if key is not None:
                charges.append(Charge(key, at, at + size, item_number < served_items))
            at += size
        if earlier is not None:
            shared = self._shared[number] if served_items == len(self._items) else 0
            charges += self._in_history(number, earlier, key, shared)
        return charges

    def _in_history(self, number: int, earlier: int, key: object, served: int) -> list[Charge]:
        """Return charges behind the head. `key`: the last difference in it; `served`: code points that were cached."""
        view = self._views[number]
        rows = self._messages[earlier], self._messages[number]
        same, changes = history_changes(self._views[earlier], view, rows, self._lead)
        # Most servers leave earlier reasoning out by themselves: it matters only if their reports do not contradict.
        known = self._usage[number].fresh is not None
        changes = [change for change in changes if known or change.part.kind != "reasoning"]
        while changes and not changes[-1].runs:
            del changes[-1]
        if key is None and not changes:
            return []
        start = next((part.start for part in view.parts if part.kind != "tool" and part.index >= self._lead), None)
        if start is None:
            return []
        charges = [self._charge(number, key, (start, same), served)] if key is not None and same > start else []
        seen: set[object] = set()
        for change in changes:
            change_key = self._spans.history_key(number, change, self._bodies[number])
            if change_key not in seen:
                seen.add(change_key)
                self._spans.change(change_key, number)
            if change.kind in ("edited", "arguments", "call_ids") and not change.whole:
                # Sent unchanged, the text itself would be served, too.
                charges.append(self._charge(number, change_key, (change.start, change.end), served))
            charges += [self._charge(number, change_key, run, served) for run in change.runs]
            key = change_key
        if self._answers_cached and (answer := answer_of(self._views[earlier], view, rows)) is not None:
            charges.append(self._charge(number, key, (answer.start, answer.end), served))
        return charges

    def _charge(self, number: int, key: object, run: tuple[int, int], served: int) -> Charge:
        measure = self._measure(number)
        start, end = max(run[0], min(served, run[1])), run[1]
        return Charge(key, measure.upto(start), measure.upto(end), start >= end)
