"""Text search against a plain comparison of all texts, for parts of texts in many scripts and ways of escaping."""

from __future__ import annotations

import asyncio
import json
import random
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from playground.requestlog.blob_store import shorter
from playground.requestlog.filter import LogFilter, TextTerm, parse
from playground.requestlog.index import RUNS, PartScan, fold, folded, readable
from playground.requestlog.reader import Reader
from playground.requestlog.records import EndedRun
from playground.requestlog.sent_body import pieces_of
from playground.requestlog.store import FILE_NAME, connect_reader
from tests.requestlog import samples
from tests.requestlog.samples import opened

WORDS = [
    *(
        "the",
        "of",
        "and",
        '"quoted"',
        "back\\slash",
        "a/b",
        "100%",
        "na\u00efve",
        "Stra\u00dfe",
        "\u0130stanbul",
        "किताब",
        "कहाँ",
    ),
    *(
        "我的预约",
        "予約",
        "😀👍🏽",
        "Vi\u1ec7t",
        "\ufb03",
        "a\tb",
        '{"role": 1},',
        "don't,",
        "said:",
        "e\u0301te\u0301",
    ),
    *("\u1112\u1161\u11ab", "but", "my", "was", "why", "yes,"),
]
REQUESTS = RUNS + 8
"""One sealed block and one open one."""


def long_text(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def body_of(chance: random.Random, *texts: str) -> bytes:
    roles = ("system", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    return json.dumps({"model": "electron", "messages": messages}, ensure_ascii=chance.random() < 0.5).encode()


def made() -> list[tuple[bytes, list[str]]]:
    """Return bodies with the texts that a search compares."""
    chance = random.Random(3)
    shared = [long_text(chance, 150) for _ in range(3)]
    found = []
    for n in range(REQUESTS):
        system = chance.choice(shared)
        at = chance.randrange(len(system))
        system = f"{system[:at]}caller {n}{system[at:]}" if chance.random() < 0.4 else system
        texts = system, long_text(chance, 40), f"question {n} {chance.choice(WORDS)}"
        found.append((body_of(chance, *texts), [*texts, "From nine to five."]))
    return found


MADE = made()


class Parts(list[bytes]):
    def read(self, id_: int) -> bytes:
        return self[id_]


def test_scan_of_parts_never_misses_a_text_that_is_in_one_of_them_or_across_their_seams() -> None:
    chance = random.Random(4)
    across = 0
    for _ in range(30):
        text = long_text(chance, 600)
        parts = Parts([part for piece in pieces_of(body_of(chance, text)) for part in shorter(b"".join(piece))])
        for _ in range(20):
            at = chance.randrange(len(text))
            part = fold(text[at : at + chance.choice((2, 9, 25, 80, 200))])
            if part in fold(text):  # letters that combine across the edge of a part are another text
                assert not PartScan(parts, part).is_absent(range(len(parts))), part
                across += all(part not in folded(each) for each in parts)
    assert across > 20


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (r'{"city":"\u0926\u093f"}', '{"city":"दि"}'),
        (r'{"face":"\ud83d\ude00"', '{"face":"😀"'),
        (r'{"a":"\u0022\u005c\u0000\n\ud83d"}', r'{"a":"\u0022\u005c\u0000\n\ud83d"}'),
        (r'{"a":"\u00zz\u41"}', r'{"a":"\u00zz\u41"}'),
    ],
    ids=["letters", "cut", "must stay escaped", "no escapes"],
)
def test_arguments_are_shown_with_the_characters_of_their_escapes(arguments: str, shown: str) -> None:
    assert readable(arguments) == shown


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("substrings")

    async def fill() -> None:
        async with opened(folder) as log:
            runs = [EndedRun(samples.record(body=body), tuple(samples.answered())) for body, _ in MADE]
            await log.add(runs)
            while await log._write_worker.call(lambda: log._writer is not None and log._writer.seal()):
                pass

    asyncio.run(fill())
    connection = connect_reader(Path(folder) / FILE_NAME)
    yield Reader(connection)
    connection.close()


def parts() -> list[str]:
    chance = random.Random(8)
    found = [
        "role",
        "content",
        "assistant",
        '"',
        "\\",
        "caller 7",
        "m",
        "ss",
        "FFI",
        "e\u0301",
        "\u1112\u1161\u11ab te",
    ]
    for _ in range(30):
        text = chance.choice(chance.choice(MADE)[1])
        at = chance.randrange(len(text))
        part = text[at : at + chance.choice((2, 4, 9, 25, 80, 700))]
        found.append(chance.choice((part, part.upper(), unicodedata.normalize("NFD", part))))
    return [part for part in found if part.strip()]


def test_page_any_part_of_a_text_finds_the_same_as_a_comparison_of_all_texts(reader: Reader) -> None:
    for part in parts():
        # Letters that combine across the edge of a part are another text.
        wanted = {n for n, (_, texts) in enumerate(MADE, 1) if any(fold(part) in fold(text) for text in texts)}
        rows = reader.page(LogFilter((TextTerm(part),)), None, 1_000)
        assert {row.number for row in rows} == wanted, part


def test_search_in_steps_finds_the_same_as_a_page(reader: Reader) -> None:
    for text in ("caller", '"the of"', "-caller", "question 1", "nowhere", "status:200 caller"):
        chosen, before, numbers, steps = parse(text, samples.START), None, [], 0
        while True:
            found = reader.search(chosen, before, 1_000, seconds=0)
            numbers += [row.number for row in found.rows]
            steps += 1
            if found.below is None:
                break
            assert before is None or found.below <= before
            before = found.below
        assert numbers == [row.number for row in reader.page(chosen, None, 1_000)]
        assert numbers == sorted(numbers, reverse=True)
        assert steps < 10


def test_search_full_page_ends_and_continues_below_its_last_row(reader: Reader) -> None:
    chosen = parse("question", samples.START)
    first = reader.search(chosen, None, 5)
    assert first.below is None
    second = reader.search(chosen, first.rows[-1].number, 5)
    assert [row.number for row in (*first.rows, *second.rows)] == list(range(REQUESTS, REQUESTS - 10, -1))


async def test_find_id_or_its_start_finds_the_request_by_an_index_and_without_it(
    reader: Reader, tmp_path: Path
) -> None:
    async with opened(tmp_path) as log:
        ids = [f"{n:08x}-1111-4222-8333-44445555{n:04x}" for n in range(3)]
        records = [samples.record(minute=n) for n in range(3)]
        for record, id_ in zip(records, ids, strict=True):
            second = samples.answered(request_id=f"9{id_[1:]}")
            await samples.keep(log, record, [*samples.refused(request_id=id_), *second])
        for record, id_ in zip(records, ids, strict=True):
            for whole in (id_, f"9{id_[1:]}", f"chatcmpl-9{id_[1:8]}", record.run_id, id_.upper()):
                assert [row.run_id for row in await log.find(whole)] == [record.run_id]
            for start in (id_[:8], id_[:13], f"9{id_[1:12]}".upper(), record.run_id[:8], record.run_id[:9]):
                assert [row.run_id for row in await log.find(start)] == [record.run_id]
        assert await log.find("00000000-1111-4222-8333-444455559999") == []
        assert await log.find(f"{records[0].run_id[:8]}{'1' if records[0].run_id[8] == '0' else '0'}") == []
        assert len(await log.find("4222-833")) == 3
        listed = await log.find_many([ids[2], "nothing-here", ids[0]])
        assert (listed.run_ids, listed.missing) == ((records[2].run_id, records[0].run_id), ("nothing-here",))
        await log._write_worker.call(lambda: log._files.writer and log._files.writer.execute("DROP INDEX ids_end"))
    connection = connect_reader(tmp_path / FILE_NAME)
    found = Reader(connection).page(parse(ids[1], samples.START + timedelta(hours=1)), None, 9)
    connection.close()
    assert [row.run_id for row in found] == [records[1].run_id]
