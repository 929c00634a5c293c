"""Groups of requests that one experiment sent, by the tag `KIND:ID` that they share: places in the list, and sums."""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from playground.client.endpoint import Rates, cost
from playground.client.events import Usage
from playground.requestlog.filter import GROUP_KINDS, PHASES
from playground.requestlog.records import LogGroup, LogRow
from playground.requestlog.rows import moment_of
from playground.runs.state import Phase

# A range of the table's key: other tags, and requests without one, are not read.
_OF_KIND = "FROM tags WHERE tag >= ? AND tag < ?"
_GROUPS = f"SELECT tag, max(number), count(*), sum(number) {_OF_KIND} GROUP BY tag"
_MEMBERS = "SELECT number FROM tags WHERE tag = ? ORDER BY number"


class RowBlock(Struct, frozen=True):
    """A group in the list: a heading at the place of its newest request, and its requests if it is expanded."""

    tag: str
    newest: int
    requests: tuple[int, int] = (0, 0)
    """Number of requests, and the sum of their numbers: by these a change of the group is noticed."""
    members: array[int] = field(default_factory=lambda: array("q"))
    expanded: bool = False

    @property
    def ascending(self) -> array[int]:
        """Return the block's numbers, the last of the list first; the heading is negative."""
        return self.members + array("q", [-self.newest])


class GroupLayout(Struct, frozen=True):
    """The folded list: `grouped` requests (ascending) are replaced by `blocks` (ascending by their newest request).

    A tag on a single request makes no group.
    """

    blocks: tuple[RowBlock, ...]
    grouped: array[int]
    headings: dict[int, RowBlock]

    @property
    def more(self) -> int:
        """Return how many rows the list has more than the log has requests; usually negative."""
        return sum(1 + len(block.members) for block in self.blocks) - len(self.grouped)

    def listed(self, newest_first: Iterable[int]) -> Iterator[int]:
        """Yield the numbers of the folded list, newest first, reading no more requests than needed."""
        grouped, blocks = frozenset(self.grouped), list(self.blocks)
        for number in newest_first:
            while blocks and blocks[-1].newest >= number:
                yield from reversed(blocks.pop().ascending)
            if number not in grouped:
                yield number

    def array(self, ascending: array[int]) -> array[int]:
        """Return the whole folded list, the last row first, for the numbers of all requests."""
        found, at = array("q"), 0
        blocks = list(reversed(self.blocks))
        for number in self.grouped:
            here = at if at < len(ascending) and ascending[at] == number else bisect_left(ascending, number, at)
            found.extend(ascending[at:here])
            at = here + (here < len(ascending) and ascending[here] == number)
            while blocks and blocks[-1].newest <= number:
                found.extend(blocks.pop().ascending)
        found.extend(ascending[at:])
        return found


def layout(connection: sqlite3.Connection, expanded: Collection[str]) -> GroupLayout:
    """Return the layout of all groups. Its cost grows with the number of grouped requests, not with the log."""
    opened = {tag.casefold() for tag in expanded}
    heads: dict[int, RowBlock] = {}
    numbers: list[int] = []
    shared = False
    for kind in _KINDS:
        alone: set[str] = set()
        for tag, newest, count, total in connection.execute(_GROUPS, kind):
            if count == 1:
                alone.add(tag)
            elif -newest in heads:
                shared = True  # two groups with one newest request, by tags that the user added: one has a heading
            else:
                is_open = tag.casefold() in opened
                listed = array("q", _members(connection, tag)) if is_open else array("q")
                heads[-newest] = RowBlock(tag, newest, (count, total), listed, is_open)
        if alone:
            rows = connection.execute(f"SELECT tag, number {_OF_KIND}", kind)
            numbers += [number for tag, number in rows if tag not in alone]
        else:
            numbers += [row[0] for row in connection.execute(f"SELECT number {_OF_KIND}", kind)]
    blocks = sorted(heads.values(), key=lambda block: block.newest)
    if shared:
        numbers = [number for block in blocks for number in _members(connection, block.tag)]
    return GroupLayout(tuple(blocks), array("q", sorted(set(numbers))), heads)


_KINDS = [(f"{kind}:", f"{kind};") for kind in GROUP_KINDS]


def _members(connection: sqlite3.Connection, tag: str) -> list[int]:
    return [row[0] for row in connection.execute(_MEMBERS, (tag,))]


def members(connection: sqlite3.Connection, newest: int) -> list[int]:
    """Return the requests of the group whose newest request has this number, ascending."""
    for kind in _KINDS:
        # In the order of `layout`: of two groups with one newest request, the first has a heading.
        sql = f"SELECT tag {_OF_KIND} AND tag IN (SELECT tag FROM tags WHERE number = ?) ORDER BY tag"
        for (tag,) in connection.execute(sql, (*kind, newest)).fetchall():
            found = _members(connection, tag)
            if len(found) > 1 and found[-1] == newest:
                return found
    return []


# One between two attempts has failed, or is done without its last figures: it runs while it has an owner.
_RUNNING = ", ".join(f"'{phase}'" for phase in PHASES["running"])
# The rule of metrics.has_input.
_ESTIMATED = (
    "coalesce(r.prompt_tokens, CASE WHEN coalesce(r.status, 0) < 400 AND CASE WHEN r.phase = 'failed' "
    "THEN r.status IS NOT NULL ELSE r.attempts > 0 OR r.phase NOT IN ('stopped', 'interrupted') END "
    "THEN r.prompt_tokens_estimated END)"
)
# The rule of Usage.contradicts.
_ADDS_UP = (
    "r.cached_tokens <= r.prompt_tokens AND "
    "coalesce(r.total_tokens + r.cached_tokens >= r.prompt_tokens + r.completion_tokens, 1)"
)
_SUMS = {
    "requests": "count(*)",
    "running": f"sum(r.owner IS NOT NULL OR r.phase IN ({_RUNNING}))",
    "failed": "sum(r.owner IS NULL AND r.phase = 'failed')",
    "stopped": "sum(r.owner IS NULL AND r.phase IN ('stopped', 'interrupted'))",
    "prompt": "sum(r.prompt_tokens)",
    "prompt_reported": "count(r.prompt_tokens)",
    "estimated": f"sum({_ESTIMATED})",
    "with_estimate": f"count({_ESTIMATED})",
    "cached": "sum(r.cached_tokens)",
    "cached_reported": "count(r.cached_tokens)",
    "completion": "sum(r.completion_tokens)",
    "completion_reported": "count(r.completion_tokens)",
    "compared": f"count(CASE WHEN {_ADDS_UP} THEN 1 END)",
    "compared_prompt": f"sum(CASE WHEN {_ADDS_UP} THEN r.prompt_tokens END)",
    "compared_cached": f"sum(CASE WHEN {_ADDS_UP} THEN r.cached_tokens END)",
}
_SUMS_BY_TARGET = f"""SELECT g.rates, min(r.started_us), max(r.started_us + CAST(r.duration_s * 1000000 AS INTEGER)),
{", ".join(_SUMS.values())}
FROM tags CROSS JOIN runs AS r ON r.number = tags.number CROSS JOIN targets AS g ON g.id = r.target
WHERE tags.tag = ? GROUP BY r.target"""


class GroupSums:
    """Sums of groups. Those of a group without a running request are cached while it has the same requests."""

    def __init__(self, connection: sqlite3.Connection, rates_of: Callable[[str], Rates]) -> None:
        self._connection, self._rates_of = connection, rates_of
        self._sums: dict[str, tuple[tuple[int, int], LogGroup]] = {}

    def __call__(self, block: RowBlock) -> LogGroup | None:
        """Return what a group adds up to; None if it was deleted meanwhile."""
        known = self._sums.get(block.tag)
        if known is not None and known[0] == block.requests:
            return replace(known[1], expanded=block.expanded)
        found = self._group(block)
        if found is not None and not found.running:
            if len(self._sums) >= _CACHED:
                self._sums.clear()
            self._sums[block.tag] = block.requests, found
        return found

    def _group(self, block: RowBlock) -> LogGroup | None:
        """Return the sums, priced by the rates at the time of sending."""
        found = self._connection.execute(_SUMS_BY_TARGET, (block.tag,)).fetchall()
        if not found:
            return None
        total = Counter(dict.fromkeys(_SUMS, 0))
        priced, price = 0, 0.0
        for rates, _, _, *values in found:
            sums = {name: value or 0 for name, value in zip(_SUMS, values, strict=True)}
            total.update(sums)
            usage = Usage(sums["compared_prompt"], None, None, sums["compared_cached"])
            input_cost = cost(usage, self._rates_of(str(rates))).input
            if sums["compared"] and input_cost is not None:
                priced, price = priced + sums["compared"], price + input_cost
        first = min(started for _, started, *_ in found)
        ends = [ended for _, _, ended, *_ in found if ended is not None]
        return LogGroup(
            tag=block.tag,
            requests=total["requests"],
            running=total["running"],
            failed=total["failed"],
            stopped=total["stopped"],
            prompt_tokens=total["prompt"] if total["prompt_reported"] else None,
            prompt_reported=total["prompt_reported"],
            prompt_estimated=float(total["estimated"]) if total["with_estimate"] == total["requests"] else None,
            cached_tokens=total["cached"] if total["cached_reported"] else None,
            cached_reported=total["cached_reported"],
            completion_tokens=total["completion"] if total["completion_reported"] else None,
            completion_reported=total["completion_reported"],
            input_cost=price if priced else None,
            priced=priced,
            compared_prompt_tokens=total["compared_prompt"],
            compared_cached_tokens=total["compared_cached"],
            first_utc=moment_of(first),
            span_s=(max(ends) - first) / 1e6 if ends and not total["running"] else None,
            expanded=block.expanded,
        )


_CACHED = 2_000
"""Number of groups whose sums are cached."""


def heading(newest: LogRow, group: LogGroup) -> LogRow:
    """Return the heading row of a group from the row of its newest request."""
    phase: Phase = "streaming" if group.running else "done"
    return replace(
        newest,
        run_id=group.tag,
        number=-newest.number,
        phase=phase,
        attempts=1,
        request_id=None,
        marked=False,
        group=group,
    )
