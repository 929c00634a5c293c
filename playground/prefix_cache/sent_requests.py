"""The requests sent to one endpoint and model as a cache has them: the sequences in each order, the slots, the traffic
after each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct, field
from msgspec.structs import replace

from playground.prefix_cache.hypotheses import Rendering
from playground.prefix_cache.index import PrefixIndex, Sent
from playground.prefix_cache.match_tree import FIXED, MatchNode, MatchStep, MatchTree, TreePath
from playground.prefix_cache.reach import DELAYS, SLOTS, UNITS, Reach
from playground.prefix_cache.round_robin import COMPARED
from playground.prefix_cache.view import (
    BARE,
    BASE,
    LATER,
    SENT,
    TURN_MARK,
    TURN_ORDERS,
    AnswerCuts,
    FormCuts,
    Order,
    Reuse,
    ViewPart,
    answer_in,
    opened,
)

TRACKED = 300
"""Requests for which the tokens of later traffic are counted."""
REBUILT = 2_000
"""Maximum number of requests that are reordered when the first tools are sent."""
MAX_ANSWER_CHARS = 8_000_000
"""Code points of answers in memory. A long run of large answers took 45 KB per request without a bound."""
STATES = 40
"""Saved states of a slot."""
LEAST_SHARED = 0.1
"""Share of a prompt from which the slot that holds it is used for it."""


def use_slot(held: list[int], slots: int, number: int, path: TreePath) -> None:
    """Put a request into the slot that shares most with it, else into the one that was used longest ago.

    `held` are the newest requests of the slots, the longest unused first; at most `slots`.
    """
    shared = [(path.shared(other), at) for at, other in enumerate(held)]
    most, at = max(shared, default=(0, 0))
    if held and most >= LEAST_SHARED * path.length:
        del held[at]
    elif len(held) >= slots:
        del held[0]
    held.append(number)


class SlotStates(Struct):
    """One slot whose states are saved in memory, as llama.cpp does: numbers of requests, the slot's own and saved ones.

    The slot keeps its state if it shares more than a tenth of the new prompt and the prompt keeps half of it; else the
    saved state that shares most is restored, if the prompt keeps a quarter of that one.
    """

    current: int = -1
    saved: list[int] = field(default_factory=list)

    def held(self, path: TreePath) -> list[int]:
        """Return the state that serves a prompt, and the saved one that it would replace the slot's by."""
        if self.current < 0:
            return []
        common, own = path.shared(self.current), path.tree.length(self.current)
        if common > 0.1 * path.length and common >= 0.5 * own:
            return [self.current]
        best, keep, shared = None, common / max(own, 1), common
        for number in self.saved:
            other, size = path.shared(number), path.tree.length(number)
            if size and other / size >= 0.25 and other / size > keep and other > shared:
                best, keep, shared = number, other / size, other
        return [self.current, -1] if best is None else [best, best]

    def take(self, path: TreePath, number: int) -> None:
        """Serve a prompt: exchange the slot's state if the rule says so, and put the new request into the slot."""
        found = self.held(path)
        if len(found) == 2:
            if self.current not in self.saved:
                self.saved = [*self.saved[-(STATES - 1) :], self.current]
            if found[1] in self.saved:
                self.saved.remove(found[1])
        self.current = number


class SentRequest(Struct):
    """A request in the trees: when it was sent, its counted tokens, and its answer as the next prompt has it."""

    run_id: str
    at: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    answer: str = ""
    ended: float | None = None
    early: bool = False
    """Whether one that shares more than all ended ones was running when it was sent."""


class SentRequests:
    """The requests of one endpoint and model by number, in the order in which they were sent."""

    def __init__(self, index: PrefixIndex) -> None:
        self.index = index
        self.since: float | None = None
        """Unix seconds before which the cache cannot know anything; None if unknown."""
        self._cuts: dict[int, AnswerCuts] = {}
        self._bare_cuts: dict[int, AnswerCuts] = {}
        self._late_cuts: dict[int, AnswerCuts] = {}
        """Of the requests whose answers have tool calls, see `FormCuts`."""
        self.trees: dict[Order, MatchTree] = {order: MatchTree(self._cuts) for order in ("first", "system_last")}
        self._requests: list[SentRequest] = []
        self.numbers: dict[str, int] = {}
        """By run id."""
        self.running: set[int] = set()
        """Numbers of the requests whose reports may still come."""
        self._answered: deque[int] = deque()
        """Numbers of the requests whose answers are in memory, oldest first."""
        self._answer_chars = 0
        self._distances: dict[tuple[Order, bool], dict[int, float]] = {}
        """By order, and whether answers are cached."""
        self._slots: dict[tuple[Order, int], list[int]] = {}
        self._states: dict[Order, SlotStates] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, number: int) -> SentRequest:
        return self._requests[number]

    def sent(self, number: int) -> Sent | None:
        """Return a sent request by its number."""
        return self.index.get(self._requests[number].run_id) if 0 <= number < len(self._requests) else None

    def answer_of(self, run_id: str) -> str:
        """Return the answer of a request as the next prompt would contain it; empty if unknown."""
        number = self.numbers.get(run_id)
        return "" if number is None else self._requests[number].answer

    def answered_s(self, run_id: str) -> float:
        """Return the seconds that an answer took; 0: unknown."""
        number = self.numbers.get(run_id)
        request = None if number is None else self._requests[number]
        return request.ended - request.at if request is not None and request.ended else 0.0

    def usage_of(self, run_id: str) -> tuple[int | None, int | None]:
        """Return the reported prompt and completion tokens of a request."""
        number = self.numbers.get(run_id)
        if number is None:
            return None, None
        return self._requests[number].prompt_tokens, self._requests[number].completion_tokens

    def order_of(self, rendering: Rendering) -> Order:
        """Return the order whose tree a rendering uses: without tools most orders are the same."""
        order = rendering.order
        if order in self.trees:
            return order
        if order in BASE:
            before = BARE.get(LATER.get(BASE[order], order), order)
            return before if before in self.trees else self.order_of(Rendering(BASE[order], rendering.reuse))
        before = LATER.get(order, order)
        return before if before in self.trees else "first"

    # -- adding ----------------------------------------------------------------------------------------------------

    def add(self, sent: Sent) -> None:
        """Add a request that was accepted to all trees and slots."""
        number = len(self._requests)
        self._requests.append(SentRequest(sent.run_id, sent.at))
        self.numbers[sent.run_id] = number
        for order, tree in self.trees.items():
            text = opened(sent.view, order)
            path = TreePath(tree, text)
            for slots in (2, 4):
                use_slot(self._slots.setdefault((order, slots), []), slots, number, path)
            self._states.setdefault(order, SlotStates()).take(path, number)
            tree.add(number, text, at=sent.at)
            self._slots[order, 1] = [number]
        self.index.add(sent)

    def add_orders(self, orders: Sequence[Order], like: Order) -> None:
        """Keep trees of further orders; until now they were the same as `like`."""
        for order in orders:
            if order in self.trees:
                continue
            cuts = self._cuts if order not in BASE else self._bare_cuts if order in SENT else self._late_cuts
            tree = self.trees[order] = MatchTree(cuts, len(TURN_MARK) if order in TURN_ORDERS else 0)
            for number in range(max(len(self._requests) - REBUILT, 0), len(self._requests)):
                request = self._requests[number]
                sent = self.index.get(request.run_id)
                if sent is not None:
                    tree.add(number, opened(sent.view, order), answer_in(order, request.answer), request.at)
                    _mark_exact(tree, number, request)
            for slots in (1, 2, 4):
                self._slots[order, slots] = list(self._slots.get((like, slots), ()))
            self._states[order] = replace(self._states.get(like, SlotStates()))
            for answers in (True, False):
                known = self._distances.get((like, answers))
                if known:
                    self._distances[order, answers] = dict(known)

    def keep_answer(self, number: int, answer: str) -> None:
        """Set a request's answer; the oldest answers go when there is too much text."""
        request = self._requests[number]
        self._answer_chars += len(answer) - len(request.answer)
        request.answer = answer
        if answer:
            self._answered.append(number)
        while self._answer_chars > MAX_ANSWER_CHARS and len(self._answered) > 1:
            oldest = self._requests[self._answered.popleft()]
            self._answer_chars -= len(oldest.answer)
            oldest.answer = ""

    def extend(self, number: int, answer: str) -> None:
        """Add an answer and the counts of its request to the trees."""
        request = self._requests[number]
        for order, tree in self.trees.items():
            if tree.ends(number) is None:
                continue
            if answer:
                tree.extend(number, answer_in(order, answer), request.at)
            _mark_exact(tree, number, request)

    @property
    def has_cuts(self) -> bool:
        """Whether an answer with tool calls is known."""
        return bool(self._cuts)

    def cut(self, number: int, cuts: FormCuts) -> None:
        """Set where the answer of a request may part from the next prompt."""
        self._cuts[number], self._bare_cuts[number], self._late_cuts[number] = cuts

    def cuts_of(self, number: int) -> FormCuts | None:
        """Return where the answer of a request may part from the next prompt; None without tool calls."""
        of_number = (known.get(number) for known in (self._cuts, self._bare_cuts, self._late_cuts))
        sent, bare, late = of_number
        return FormCuts(sent, bare, late) if sent and bare and late else None

    def count_traffic(self, key: tuple[Order, bool], number: int, total: float, reach: Reach) -> None:
        """Count `total` tokens of a request as traffic after each earlier one, less what both have in common.

        `key`: the order, and whether answers are cached.
        """
        known = self._distances.setdefault(key, {})
        groups = [(reach.steps[at].newest, reach.size(reach.steps[at].depth).tokens) for at in reach.groups]
        numbers, shared = sorted(known), 0.0
        end = len(numbers)
        # Groups are in order of falling numbers; prefixes used after a request are no new traffic.
        for newest, tokens in (*groups, (-1, 0.0)):
            start = min(bisect_left(numbers, newest), end)
            added = max(total - shared, 0.0)
            for earlier in numbers[start:end]:
                known[earlier] += added
            end, shared = start, tokens
        known[number] = 0.0
        if len(known) > TRACKED:
            del known[next(iter(known))]

    # -- what the cache may hold -----------------------------------------------------------------------------------

    def steps_in_turn(self, path: TreePath, replicas: int, reuse: Reuse) -> list[MatchStep]:
        """Return what the next request shares with those that went to its replica, the shortest prefix first."""
        found: list[MatchStep] = []
        last = len(self._requests) - replicas
        for number in range(last, max(last - COMPARED * replicas, -1), -replicas):
            depth = path.tree.reused(path.shared(number), number, reuse)
            if depth > (found[-1].depth if found else 0):
                found.append(MatchStep(depth, number, 1, (self[number].at,) * len(FIXED)))
        return found

    def held(
        self, path: TreePath, order: Order, reuse: Reuse, steps: Sequence[MatchStep], now: float, text: ViewPart
    ) -> list[int]:
        """Return up to which depth of a prompt a server finds it, for each of `BY_DEPTH`. `steps`: the text shared with
        earlier requests; `text`: that of the first message."""
        whole = steps[-1].depth if steps else 0
        late = [0] * (len(DELAYS) + 1)  # by the number of delays that are over
        for number in range(len(self) - 1, max(len(self) - 1 - COMPARED, -1), -1):
            if (depth := path.shared(number)) and number not in self.running and self._is_known(number):
                over = bisect_right(DELAYS, now - (self[number].ended or self[number].at))
                if late[over] < depth:
                    late[over] = max(late[over], path.tree.reused(depth, number, reuse))
        for step in steps:
            if step.newest < len(self) - COMPARED:  # a prefix that no newer request has
                over = bisect_right(DELAYS, now - self[step.newest].at)
                late[over] = max(late[over], step.depth)
        late = [*accumulate(reversed(late[1:]), max)][::-1]
        same = [
            max((step.depth for step in steps if self[step.newest].at // unit == now // unit), default=0)
            for unit in UNITS
        ]
        clocks = [max(min(whole, at), newest) for at in (text.end, text.start) for newest in same]
        alive: Sequence[int] = range(len(FIXED))
        before, fixed = MatchStep(0, -1, 0), [whole] * len(FIXED)
        for step in steps:
            if step.stored is not before.stored:
                for at in (at for at in alive if now - step.stored[at] > FIXED[at]):
                    fixed[at] = before.depth
                alive = [at for at in alive if now - step.stored[at] <= FIXED[at]]
            before = step
        return [*(self._in_slots(path, order, reuse, count) for count in SLOTS), *late, *clocks, *fixed]

    def _is_known(self, number: int) -> bool:
        return self.since is None or self[number].at >= self.since

    def _in_slots(self, path: TreePath, order: Order, reuse: Reuse, count: int) -> int:
        held = self._slots.get((order, count), []) if count else self._states.get(order, SlotStates()).held(path)[:1]
        known = (path.tree.reused(path.shared(one), one, reuse) for one in held if self._is_known(one))
        return max(known, default=0)

    def in_flight(self, path: TreePath, reuse: Reuse) -> tuple[float, int] | None:
        """Return when the oldest running request was sent that shares more of a prompt than all ended ones, and how
        much these share, in code points; None: no running one does."""
        numbers = range(max(len(self._requests) - COMPARED, 0), len(self._requests))
        if self.running.isdisjoint(numbers):
            return None
        shared = {number: path.tree.reused(path.shared(number), number, reuse) for number in numbers}
        ended = max((depth for number, depth in shared.items() if number not in self.running), default=0)
        times = [self[number].at for number in self.running if shared.get(number, 0) > ended]
        return (min(times), ended) if times else None

    def distances(self, steps: Sequence[MatchStep], order: Order, *, answers: bool) -> list[float]:
        """Return the tokens of other traffic since each step was used. `answers`: whether answers are cached."""
        known = self._distances.get((order, answers), {})
        last = len(self._requests) - TRACKED
        return [known.get(step.newest, 0.0 if step.newest >= last else 1e12) for step in steps]


def _mark_exact(tree: MatchTree, number: int, request: SentRequest) -> None:
    ends = tree.ends(number)
    if ends is None or request.prompt_tokens is None:
        return
    ends[0].exact_prompt = float(request.prompt_tokens)
    node: MatchNode | None = ends[0]
    while node is not None and node.counted < number:
        node.counted = number
        node = node.parent
    if request.answer and request.completion_tokens and ends[1] is not ends[0]:
        ends[1].exact = float(request.prompt_tokens + request.completion_tokens - 1)
