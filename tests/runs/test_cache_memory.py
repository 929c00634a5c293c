"""The cache model after a restart, from the learned state and from the log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playground.client.endpoint import Endpoint
from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.view import view_of_fields
from playground.runs.cache_memory import FILE, CacheMemory
from playground.runs.record import SentRow
from playground.storage.json_file import write_now

ENDPOINT = Endpoint(id="mine", name="Mine", base_url="http://127.0.0.1:9/v1", needs_key=False)
RULES = " ".join(f"Rule {number}: be kind and brief." for number in range(120))
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


class Log:
    """Accepted requests, as the request log gives them."""

    def __init__(self, rows: list[SentRow]) -> None:
        self.rows = rows

    async def sent_since(
        self,
        endpoint_id: str,
        model: str,
        since_utc: datetime,
        limit: int | None = None,
        base_url: str | None = None,
        *,
        accepted: bool = False,
    ) -> list[SentRow]:
        assert accepted
        assert base_url == ENDPOINT.base_url
        return [row for row in self.rows if row.started_utc >= since_utc][-(limit or 10**9) :]


def body(question: str) -> bytes:
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": question}]
    return json.dumps({"model": "electron", "messages": messages}).encode()


def rows(count: int) -> list[SentRow]:
    """Questions under one system text of 963 tokens, on a server with blocks of 64."""
    start = datetime.now(UTC) - timedelta(minutes=count + 30)
    return [
        SentRow(
            f"run{number}",
            f"id{number}",
            start + timedelta(minutes=number),
            body(f"Question {number}?"),
            975,
            960 if number else 0,
            12,
            "An answer.",
        )
        for number in range(count)
    ]


def memory(folder: Path, forecaster: CacheForecaster) -> CacheMemory:
    return CacheMemory(folder, forecaster, write_now, lambda message: (_ for _ in ()).throw(AssertionError(message)))


def forecast(forecaster: CacheForecaster) -> float:
    view = view_of_fields(json.loads(body("A new question?")))
    return forecaster.forecast(view, ENDPOINT.id, ENDPOINT.model).cached_tokens


async def test_remember_without_a_state_learns_from_the_whole_log(tmp_path: Path) -> None:
    forecaster = CacheForecaster(300.0)
    await memory(tmp_path, forecaster).remember(ENDPOINT, Log(rows(12)))
    assert forecast(forecaster) == 960
    assert forecaster.model(ENDPOINT.id, ENDPOINT.model).learned.reports == 12


def test_save_and_remember_after_a_restart_forecast_the_same_at_once(tmp_path: Path) -> None:
    first = CacheForecaster(300.0)
    kept = memory(tmp_path, first)
    asyncio.run(kept.remember(ENDPOINT, Log(rows(12))))
    kept.save_soon()
    assert (tmp_path / FILE).exists()
    second = CacheForecaster(300.0)
    asyncio.run(memory(tmp_path, second).remember(ENDPOINT, Log(rows(12))))
    assert forecast(second) == forecast(first) == 960
    assert second.model(ENDPOINT.id, ENDPOINT.model).learned.reports == 12


async def test_remember_damaged_file_is_set_aside_and_rebuilt_from_the_log(tmp_path: Path) -> None:
    damaged = b'{"version": 1, "models": 7'
    (tmp_path / FILE).write_bytes(damaged)
    messages: list[str] = []
    forecaster = CacheForecaster(300.0)
    memory = CacheMemory(tmp_path, forecaster, write_now, messages.append)
    await memory.remember(ENDPOINT, Log(rows(12)))
    assert forecast(forecaster) == 960
    aside = tmp_path / "cache_models.damaged.json"
    assert aside.read_bytes() == damaged
    assert len(messages) == 1
    assert aside.name in messages[0]


def test_save_that_fails_again_for_the_same_reason_is_reported_once(tmp_path: Path) -> None:
    folder, said = tmp_path / "data", list[str]()
    memory = CacheMemory(folder, CacheForecaster(300.0), lambda write, report: report(write()), said.append)

    def save() -> list[str]:
        memory._dirty = True
        memory.save()
        return [sentence for sentence in said if sentence]

    folder.write_text("a file", "utf-8")  # in the way of the folder
    assert len(save()) == 1
    assert len(save()) == 1
    folder.unlink()
    folder.mkdir()
    assert len(save()) == 1
    (folder / FILE).unlink()
    folder.rmdir()
    folder.write_text("a file", "utf-8")
    assert len(save()) == 2
