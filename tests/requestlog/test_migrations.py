"""Databases of earlier versions are migrated; a database of a newer version is opened read-only."""

from __future__ import annotations

import gzip
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground import asset
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Json
from playground.requestlog.filter import EVERYTHING, LogFilter, parse
from playground.requestlog.migrations import CURRENT
from playground.requestlog.store import FILE_NAME
from playground.runs.state import fold
from tests.requestlog import samples
from tests.requestlog.samples import opened


def filter_of(text: str) -> LogFilter:
    return parse(text, samples.START)


SAMPLES = Path(__file__).parent.parent / "data" / "request_logs"
VERSIONS = sorted(SAMPLES.glob("version-*.sqlite3.gz"))


@pytest.mark.parametrize("sample", VERSIONS, ids=lambda path: path.name.partition(".")[0])
async def test_open_earlier_version_migrates_and_keeps_all_requests(sample: Path, tmp_path: Path) -> None:
    with gzip.open(sample) as file:
        (tmp_path / FILE_NAME).write_bytes(file.read())

    async with opened(tmp_path) as log:
        assert (log.notice, log.read_only_reason) == (None, None)
        rows = await log.page(EVERYTHING)
        assert [row.question for row in rows] == [
            "Imported",
            "Roaming in Nepal",
            "Book a visit",
            "When are you open?",
        ]
        sources = [row.source for row in rows]
        assert sources == (["window"] * 4 if sample.name >= "version-3" else ["import", *["unknown"] * 3])
        await log.recovered()
        assert len(await log.page(filter_of("clinic"))) == 4  # in the system message
        assert [row.conversation for row in rows] == [None] * 4
        assert [row.called for row in rows] == ["", "", "book_visit", ""]
        assert (rows[0].tags, rows[0].comment) == (("keep",), "a comment")
        for text, run_id in (
            ("roaming", rows[1].run_id),
            ("9db74058", rows[0].run_id),
            ("book_visit", rows[2].run_id),
        ):
            assert (await log.page(filter_of(text)))[0].run_id == run_id
        stored = await log.get(rows[3].run_id)
        assert stored is not None
        assert stored.state().text == "From nine to five."
        assert stored.explanation is None
        await samples.keep(log, samples.record("New"), samples.answered())
        await log.delete([rows[3].run_id])
        assert [row.source for row in await log.page(EVERYTHING)] == ["window", *sources[:3]]
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == CURRENT
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_samples_cover_every_version_before_the_current_one_from_2_on() -> None:
    assert [int(path.name.split("-")[1].split(".")[0]) for path in VERSIONS] == list(range(2, CURRENT))


async def test_source_and_conversation_are_stored_and_found(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        recorded = replace(samples.record("One"), source="recorder", conversation="c-1")
        typed = samples.record("Two")
        for each in (recorded, typed):
            await samples.keep(log, each, samples.answered())
        found = {
            text: [row.run_id for row in await log.page(filter_of(text))]
            for text in (
                *("source:recorder", "source:window", "-source:recorder", "source:recorder,window"),
                *("conversation:c-1", "conversation:none", "conversation:c-2"),
            )
        }
        both, one, two = [typed.run_id, recorded.run_id], [recorded.run_id], [typed.run_id]
        assert list(found.values()) == [one, two, two, both, one, two, []]
        stored = await log.get(recorded.run_id)
        assert stored is not None
        assert (stored.record.source, stored.record.conversation) == ("recorder", "c-1")
        assert [(await log.count(filter_of(text), None)).n for text in found] == [1, 1, 1, 2, 1, 1, 0]


async def test_set_explanation_is_returned_by_get_and_removed_by_none(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept = samples.record("One")
        await samples.keep(log, kept, samples.answered())
        explanation: Json = {"cause": "first_request", "place": ["messages", 0], "texts": ["a", "b"]}
        await log.set_explanation(kept.run_id, explanation)
        stored = await log.get(kept.run_id)
        assert stored is not None
        assert stored.explanation == explanation
        await log.set_explanation(kept.run_id, None)
        stored = await log.get(kept.run_id)
        assert stored is not None
        assert stored.explanation is None


async def test_an_explanation_that_quotes_half_a_surrogate_pair_is_read_with_those_of_other_requests(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as log:
        records = [samples.record("One"), samples.record("Two")]
        for record, text in zip(records, ("plain", "cut inside an emoji: \ud83d"), strict=True):
            await log.begin(record)
            await log.finish(record.run_id, fold(samples.answered()), None, {"texts": [text]})
        stored = [await log.get(record.run_id) for record in records]
        found = await log.explanations([run.number for run in stored if run is not None])
        expected: list[Json] = [{"texts": ["plain"]}, {"texts": ["cut inside an emoji: \ud83d"]}]
        assert list(found.values()) == expected
        assert [run.explanation for run in stored if run is not None] == expected


async def test_finish_with_forecast_and_explanation_stores_both(tmp_path: Path) -> None:
    async with opened(tmp_path) as log:
        kept, other = samples.record("One"), samples.record("Two")
        newer = Forecast(48.0, 32.0, 64.0, 90.0, "shared with a newer request")
        for record in (kept, other):
            await log.begin(record)
        await log.finish(kept.run_id, fold(samples.answered()), newer, {"cause": "edited"})
        await log.finish(other.run_id, fold(samples.answered()))
        stored, unchanged = await log.get(kept.run_id), await log.get(other.run_id)
        assert stored is not None
        assert unchanged is not None
        assert (stored.record.forecast, stored.explanation) == (newer, {"cause": "edited"})
        assert (unchanged.record.forecast, unchanged.explanation) == (other.forecast, None)


@pytest.mark.parametrize(
    ("number", "digest"),
    [
        (1, "cedbf67e067ddd15"),
        (2, "d39ff2366c561e90"),
        (3, "5283e32f5e050755"),
        (4, "73054eab037314d8"),
        (5, "313a508673f4371e"),
        (6, "206e7431b6106c96"),
    ],
)
def test_released_steps_of_the_schema_stay_as_they_are(number: int, digest: str) -> None:
    text = asset(f"schema/{number}.sql").read_text("utf-8")  # line ends of a checkout are no difference
    assert hashlib.sha256(text.encode()).hexdigest().startswith(digest)
