"""Text search over system prompts, earlier messages, tools and arguments."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.client.events import ToolCallDelta
from playground.requestlog.filter import EVERYTHING, LogFilter, TextTerm, parse
from playground.requestlog.index import RUNS, is_whole
from playground.requestlog.log import RequestLog
from playground.requestlog.reader import Reader
from playground.requestlog.records import EndedRun
from playground.requestlog.store import FILE_NAME, connect_reader
from playground.runs.record import RequestRecord
from tests.requestlog import samples
from tests.requestlog.samples import opened

TOOL = {
    "type": "function",
    "function": {
        "name": "book_visit",
        "description": "Reserve an appointment",
        "parameters": {"type": "object", "properties": {"weekday": {"type": "string", "enum": ["Monday"]}}},
    },
}


def filter_of(text: str) -> LogFilter:
    return parse(text, samples.START)


def conversation(n: int) -> RequestRecord:
    body = {
        "model": "electron",
        "messages": [
            {"role": "system", "content": "Rules about roaming.\nBe \u201cbrief\u201d."},
            {"role": "user", "content": f"earlier question {n}"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "look_up", "arguments": f'{{"city": "Pune{n}"}}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": f"weather {n} is mild"},
            {"role": "user", "content": f"last question {n}"},
        ],
        "tools": [TOOL],
    }
    return samples.record(body=json.dumps(body).encode(), minute=n)


async def filled(folder: Path, count: int) -> tuple[RequestLog, list[str]]:
    log = await RequestLog.open(folder)
    records = [conversation(n) for n in range(count)]
    await log.add([EndedRun(each, tuple(samples.answered())) for each in records])
    return log, [each.run_id for each in records]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("roaming", [0, 1, 2, 3]),
        ("ROAM", [0, 1, 2, 3]),
        ('"be \u201cbrief\u201d"', [0, 1, 2, 3]),
        ("appointment", [0, 1, 2, 3]),
        ("weekday", [0, 1, 2, 3]),
        ("look_up", [0, 1, 2, 3]),
        ("pune2", [2]),
        ('"city\\": \\"pune2"', [2]),
        ('"earlier question 1"', [1]),
        ('"weather 3"', [3]),
        ("roaming pune1", [1]),
        ("roaming -pune1", [0, 2, 3]),
        ("-roaming", []),
        ("nowhere", []),
        ("mild pune2", [2]),
    ],
)
async def test_page_text_of_prompt_finds_requests(tmp_path: Path, text: str, found: list[int]) -> None:
    log, run_ids = await filled(tmp_path, 4)
    try:
        wanted = filter_of(text)
        assert [row.run_id for row in await log.page(wanted)] == [run_ids[n] for n in reversed(found)]
        assert (await log.count(wanted, None)).n == len(found)
        assert len(await log.numbers(wanted)) == len(found)
    finally:
        await log.close()


async def test_page_more_elements_than_the_bound_finds_all_by_scanning(tmp_path: Path) -> None:
    log, run_ids = await filled(tmp_path, 310)
    try:
        rows = await log.page(filter_of("weather"), None, 400)
        assert [row.run_id for row in rows] == run_ids[::-1]
        assert [row.run_id for row in await log.page(filter_of("pune309"))] == [run_ids[309]]
    finally:
        await log.close()


async def test_shared_elements_are_indexed_once_and_removed_with_their_last_request(tmp_path: Path) -> None:
    def elements() -> int:
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            return int(connection.execute("SELECT count(*) FROM prompt_elements").fetchone()[0])

    log, run_ids = await filled(tmp_path, 2 * RUNS + 3)
    await indexed(log)
    try:
        assert elements() == 2 + (2 * RUNS - 1) * 3  # numbers begin with 1, and the third block is open
        await log.delete(run_ids[: RUNS + 3])
        await indexed(log)
        assert elements() == 2 + (RUNS - 4) * 3
        assert [row.run_id for row in await log.page(filter_of("roaming"))] == run_ids[: RUNS + 2 : -1]
        assert [row.run_id for row in await log.page(filter_of(f"pune{RUNS + 10}"))] == [run_ids[RUNS + 10]]
        assert await log.page(filter_of(f'"pune{RUNS}"')) == []
        await log.delete(run_ids[RUNS + 3 :])
        assert elements() == 0
        assert await log.page(filter_of("roaming")) == []
    finally:
        await log.close()
    assert b"roaming" not in (tmp_path / FILE_NAME).read_bytes()


async def indexed(log: RequestLog) -> None:
    """Wait until all full blocks are sealed."""
    while await log._write_worker.call(lambda: log._writer is not None and log._writer.seal()):
        pass


@pytest.mark.parametrize("count", [RUNS - 1, 5 * RUNS])
async def test_search_of_sealed_and_open_blocks_finds_the_same(tmp_path: Path, count: int) -> None:
    log, run_ids = await filled(tmp_path, count)
    try:
        texts = [
            "roaming",
            "pune7",
            '"weather 12"',
            "last question 2",
            "-pune1",
            "nine five",
            "9db74058",
            "mild pune2",
        ]
        before = [[row.run_id for row in await log.page(filter_of(text), None, 500)] for text in texts]
        await indexed(log)
        after = [[row.run_id for row in await log.page(filter_of(text), None, 500)] for text in texts]
        assert after == before
        assert len(after[0]) == len(after[5]) == len(run_ids)
        assert [(await log.count(filter_of(text), None)).n for text in texts] == [len(found) for found in after]
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
            blocks = connection.execute("SELECT count(*) FROM search_blocks").fetchone()[0]
            assert blocks == (count + 1) // RUNS  # numbers begin with 1
            assert is_whole(connection)
            connection.execute("UPDATE search_blocks SET bits = substr(bits, 2)")
            assert is_whole(connection) is (blocks == 0)
    finally:
        await log.close()


async def test_page_running_request_is_found_by_its_prompt(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        running = replace(conversation(7), run_id="running")
        await log.begin(running)
        assert [row.run_id for row in await log.page(filter_of("pune7"))] == ["running"]
        assert [row.run_id for row in await log.page(EVERYTHING)] == ["running"]


async def test_search_more_words_than_are_cached_ends(tmp_path: Path) -> None:
    log, _ = await filled(tmp_path, RUNS)
    await indexed(log)
    await log.close()
    with closing(connect_reader(tmp_path / FILE_NAME)) as connection:
        reader = Reader(connection)
        words = LogFilter(tuple(TextTerm(f"pune{n}") for n in range(52)))
        below: int | None = 1_000
        steps = 0
        while below is not None and steps < 500:
            found = reader.search(words, below, 10, seconds=0.0)  # each step compares one range
            below, steps = found.below, steps + 1
        assert (found.rows, found.below) == ([], None)
        assert steps > 50


async def test_search_two_characters_after_delete_and_purge_reads_the_new_parts(tmp_path: Path) -> None:
    def with_rule(rule: str, minute: int) -> EndedRun:
        body = samples.body_of("a question", f"A prompt with the rule {rule}.")
        return EndedRun(samples.record(body=body, minute=minute), tuple(samples.answered()))

    async with opened(tmp_path) as log:
        old, new = with_rule("zq", 0), with_rule("xy", 1)
        await log.add([old])
        assert [row.run_id for row in await log.page(filter_of("zq"))] == [old.record.run_id]
        assert await log.page(filter_of("xy")) == []
        await log.delete([old.record.run_id])
        await log.add([new])  # its parts get the ids of the deleted ones
        assert await log.page(filter_of("zq")) == []
        assert [row.run_id for row in await log.page(filter_of("xy"))] == [new.record.run_id]


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_page_text_with_json_escapes_is_found_by_its_characters_and_by_its_escapes(
    tmp_path: Path, is_indexed: bool
) -> None:
    note = json.dumps({"note": 'say "hi" now, C:\\new\\table, one\ntwo'})
    arguments = f'[{{"city": "\\u0050\\u00fcne \\u092a\\u0941\\u0923\\u0947 \\"q\\""}}, {note}]'
    call = {"type": "function", "function": {"name": "look_up", "arguments": arguments}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "a\0b"}]

    async with opened(tmp_path) as log:
        in_prompt = samples.record(body=json.dumps({"messages": messages}).encode())
        events = [ToolCallDelta(0.5, 0, "c1", "look_up", arguments), *samples.answered()]
        await log.add([EndedRun(in_prompt, tuple(samples.answered()))])
        called = samples.record("called")
        await log.add([EndedRun(called, tuple(events))])
        await log.add([EndedRun(samples.record("another"), tuple(samples.answered())) for _ in range(RUNS)])
        if is_indexed:
            await indexed(log)
        both = [called.run_id, in_prompt.run_id]
        for text in ("\u092a\u0941\u0923\u0947", "\\u092a\\u0941\\u0923", "\\u00FCne"):
            assert [row.run_id for row in await log.page(filter_of(text))] == both
        # Of ordinary escapes, alone and beside those of other characters.
        for text in ('say "hi" now', "C:\\new\\table", "one\ntwo", '\u092a\u0941\u0923\u0947 "q"'):
            assert [row.run_id for row in await log.page(LogFilter((TextTerm(text),)))] == both
        assert [row.run_id for row in await log.page(LogFilter((TextTerm("a\0b"),)))] == [in_prompt.run_id]
        assert await log.page(filter_of("\u092a\u0941\u0924")) == []


LETTERS = 'aBcn \u00fc\u092a\u0941\u9884\U0001f600"\\/'


def _escaped_at_random(text: str, chance: random.Random) -> str:
    """Return a JSON string in which any character may be escaped, also where JSON does not need it."""
    written = []
    for char in text:
        units = char.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        plain = json.dumps(char, ensure_ascii=False)[1:-1]
        # Characters that must be escaped have the same escapes in the log.
        written.append(escaped if chance.random() < 0.4 and plain == char else plain)
    return f'"{"".join(written)}"'


@pytest.mark.parametrize(("seed", "is_indexed"), [(0, True), (1, False), (2, True), (3, False)])
async def test_page_any_characters_of_arguments_are_found_however_each_is_escaped(
    tmp_path: Path, seed: int, is_indexed: bool
) -> None:
    chance = random.Random(seed)
    texts = ["".join(chance.choices(LETTERS, k=chance.randint(4, 40))) for _ in range(RUNS + 8)]

    def made(text: str) -> EndedRun:
        arguments = f'{{"text":{_escaped_at_random(text, chance)}{chance.choice(("}", ""))}'  # cut, or whole
        call = {"type": "function", "function": {"name": "note", "arguments": arguments}}
        if chance.random() < 0.5:
            return EndedRun(
                samples.record("called"), (ToolCallDelta(0.5, 0, "c1", "note", arguments), *samples.answered("x"))
            )
        messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "?"}]
        body = json.dumps({"messages": messages}, ensure_ascii=chance.random() < 0.5).encode()
        return EndedRun(samples.record(body=body), tuple(samples.answered("x")))

    async with opened(tmp_path) as log:
        runs = [made(text) for text in texts]
        await log.add(runs)
        if is_indexed:
            await indexed(log)
        for _ in range(60):
            text = chance.choice(texts)
            start = chance.randrange(len(text) - 3)
            part = text[start : start + chance.randint(3, 9)]
            if not part.strip():
                continue
            wanted = {
                run.record.run_id for run, whole in zip(runs, texts, strict=True) if part.lower() in whole.lower()
            }
            found = {row.run_id for row in await log.page(LogFilter((TextTerm(part),)))}
            assert wanted - found == set(), part
