"""Groups of requests in the log: how they are listed, added up, found and expanded."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.events import AnyEvent, AttemptFailed, AttemptStarted, Usage
from playground.prompt.field_errors import InputError
from playground.requestlog.filter import EVERYTHING, Folding, LogFilter, Order, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import LogRow
from playground.runs.state import fold
from tests.requestlog.samples import answered, keep, opened, record, refused, stopped

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FOLDED = replace(EVERYTHING, folding=Folding())


def expanded(*tags: str) -> LogFilter:
    return replace(EVERYTHING, folding=Folding(frozenset(tags)))


async def sent(log: RequestLog, tags: str, events: list[AnyEvent] | None = None, minute: int = 0) -> str:
    """Log one request with these tags, separated by spaces; return its run_id."""
    made = replace(record(minute=minute), tags=tuple(tags.split()))
    await keep(log, made, answered() if events is None else events)
    return made.run_id


def names(rows: list[LogRow]) -> list[str]:
    return [row.run_id for row in rows]


async def test_group_collapsed_is_one_row_at_the_place_of_its_newest_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        first = await sent(log, "")
        await sent(log, "batch:a")
        between = await sent(log, "billing")
        await sent(log, "batch:a")
        last = await sent(log, "repeat:only-one")
        rows = await log.rows_at(FOLDED, 0)
        assert names(rows) == [last, "batch:a", between, first]
        assert [row.group.requests if row.group else 0 for row in rows] == [0, 2, 0, 0]
        assert (await log.count(FOLDED, None)).n == 4
        assert names(await log.rows_at(FOLDED, 1, 2)) == ["batch:a", between]


async def test_group_is_added_up_again_when_a_request_that_had_failed_once_ends(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await sent(log, "comparison:a")
        tried = replace(record(), tags=("comparison:a",))
        failed = next(event for event in refused(503) if isinstance(event, AttemptFailed))
        events: list[AnyEvent] = [*refused(503)[:-1], replace(failed, at=0.5)]
        again: list[AnyEvent] = [AttemptStarted(6.0, 2), replace(failed, at=6.4)]
        await log.begin(tried)
        for event in events:
            log.note(tried.run_id, event)
        await log.get(tried.run_id)  # all that was noted is on disk now
        group = (await log.rows_at(FOLDED, 0))[0].group
        assert group is not None
        assert (group.running, group.failed, group.span_s) == (1, 0, None)
        for late in again:
            log.note(tried.run_id, late)
        await log.finish(tried.run_id, fold([*events, *again]))
        group = (await log.rows_at(FOLDED, 0))[0].group
        assert group is not None
        assert (group.running, group.failed, group.span_s) == (0, 1, 6.4)


async def test_group_expanded_lists_its_requests_below_the_heading(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        members = [await sent(log, "batch:a") for _ in range(2)]
        between = await sent(log, "")
        members.append(await sent(log, "batch:a"))
        rows = await log.rows_at(expanded("batch:a"), 0)
        assert names(rows) == ["batch:a", *reversed(members), between]
        assert rows[0].group is not None
        assert rows[0].group.expanded
        assert (await log.count(expanded("batch:a"), None)).n == 5
        numbers = await log.numbers(expanded("batch:a"))
        assert numbers[-1] == -rows[1].number
        assert await log.members([numbers[-1]]) == sorted(row.number for row in rows[1:4])


async def test_group_filtered_or_sorted_lists_every_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        members = [await sent(log, "lab:a") for _ in range(3)]
        other = await sent(log, "")
        by_status = replace(FOLDED, order=Order("status"))
        assert set(names(await log.rows_at(by_status, 0))) == {*members, other}
        found = replace(parse("group:lab:a", NOW), folding=Folding())
        assert names(await log.rows_at(found, 0)) == members[::-1]
        assert names(await log.rows_at(parse("group:lab", NOW), 0)) == members[::-1]
        assert names(await log.rows_at(parse("-group:lab", NOW), 0)) == [other]
        assert names(await log.rows_at(parse("group:none", NOW), 0)) == [other]
        assert (await log.count(parse("group:batch,lab", NOW), None)).n == 0


def test_group_filter_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError) as refused_filter:
        parse("status:200 group:pudding", NOW)
    assert refused_filter.value.problems[0].offset == 11


async def test_group_sums_keep_reported_estimated_and_unknown_apart(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await sent(log, "batch:all", answered(usage=Usage(1_000, 10, 1_010, 800)))
        await sent(log, "batch:all", answered(usage=Usage(500, 20, 520, 0)), minute=2)
        await sent(log, "repeat:some", answered(usage=Usage(1_000, 10, 1_010, None)))
        await sent(log, "repeat:some", stopped())
        await sent(log, "lab:none", refused())
        await sent(log, "lab:none", refused())
        rows = {row.run_id: row.group for row in await log.rows_at(FOLDED, 0)}
        whole, some, none = rows["batch:all"], rows["repeat:some"], rows["lab:none"]
        assert whole is not None
        assert some is not None
        assert none is not None
        assert (whole.prompt_tokens, whole.cached_tokens, whole.completion_tokens) == (1_500, 800, 30)
        assert (whole.prompt_reported, whole.priced, whole.failed, whole.running) == (2, 2, 0, 0)
        # (700 fresh at $0.40 and 800 cached at $0.10) per million tokens
        assert whole.input_cost == pytest.approx((700 * 0.4 + 800 * 0.1) / 1e6)
        assert whole.span_s == pytest.approx(121.1)
        assert (some.prompt_tokens, some.prompt_reported, some.stopped) == (1_000, 1, 1)
        assert some.prompt_estimated == pytest.approx(2_204)
        assert (some.cached_tokens, some.cached_reported, some.input_cost) == (None, 0, None)
        assert (none.prompt_tokens, none.prompt_estimated, none.failed, none.priced) == (None, None, 2, 0)


async def test_group_random_logs_list_the_same_first_pages_and_whole_lists(tmp_path: Path) -> None:
    """The first page is read step by step, further ones from the whole list: both are compared with a plain model."""
    rng = random.Random(7)
    tags = ["batch:a", "batch:b", "lab:c", "agent:d", "batch:e billing", "", "", "billing"]

    async with opened(tmp_path) as log:
        of = [(await sent(log, tag), tag.split()[:1]) for tag in rng.choices(tags, k=120)]
        counts = Counter(its[0] for _, its in of if its)
        for shown in ((), ("batch:a",), ("lab:c", "agent:d", "batch:e")):
            wanted: list[str] = []
            for run_id, its in reversed(of):
                tag = its[0] if its and its[0] != "billing" else ""
                if not tag or counts[tag] < 2:
                    wanted.append(run_id)
                elif tag not in wanted:
                    wanted.append(tag)
                    if tag in shown:
                        wanted += [one for one, others in reversed(of) if others == its]
            chosen = expanded(*shown)
            assert names(await log.rows_at(chosen, 0, 200)) == wanted
            numbers = await log.numbers(chosen)
            assert len(numbers) == len(wanted) == (await log.count(chosen, None)).n
            found = {row.number: row.run_id for row in await log.rows_at(chosen, 0, 200)}
            assert [found[number] for number in reversed(numbers)] == wanted
            assert names(await log.rows_at(chosen, 1_000, 200)) == []


async def test_group_two_groups_with_one_newest_request_hide_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        sent_ids = [await sent(log, tags) for tags in ("batch:a", "lab:b", "batch:a lab:b")]
        listed = await log.rows_at(FOLDED, 0)
        shown = {row.number for row in listed if row.group is None}
        grouped = await log.members([row.number for row in listed if row.group is not None])
        assert len(shown | set(grouped)) == len(sent_ids)


async def test_group_new_member_moves_the_heading_and_keeps_the_count(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        await sent(log, "agent:a")
        await sent(log, "agent:a")
        other = await sent(log, "")
        assert names(await log.rows_at(FOLDED, 0)) == [other, "agent:a"]
        await sent(log, "agent:a")
        assert names(await log.rows_at(FOLDED, 0)) == ["agent:a", other]
        assert (await log.count(FOLDED, None)).n == 2
        await log.delete(await log.run_ids(await log.members([(await log.numbers(FOLDED))[-1]])))
        assert names(await log.rows_at(FOLDED, 0)) == [other]
