"""Export and import of real logs of requests to a real server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from playground.client.endpoint import PUBLISHED_RATES, Endpoint, cost
from playground.client.events import Usage
from playground.experiments.batch_results import format_results, result_of
from playground.export.log_files import COLUMNS, Format, Imported, export, import_file, to_row
from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump
from playground.requestlog.filter import EVERYTHING, parse
from playground.requestlog.log import RequestLog
from playground.requestlog.records import AddedRuns, EndedRun, StoredRun
from playground.services import AppServices
from playground.simulator.process import SimulatorProcess
from playground.tasks import Tasks
from tests.export.test_masking import stored as stored_run
from tests.requestlog.samples import answered, body_of, opened, record

PROMPTS = (
    Document(messages=(Message("user", '=HYPERLINK("http://x") नमस्ते \u2028 "quoted", and\nmore'),)),
    Document(messages=(Message("user", "broken"),), parameters={"simulate": "500"}),
    Document(messages=(Message("user", "cut"),), parameters={"simulate": "cut=3"}),
    Document(messages=(Message("user", "whole"),), stream=False),
)


def logged(folder: Path, simulator: SimulatorProcess) -> None:
    """A log with some requests, one of them marked and commented."""

    async def main() -> None:
        errors: list[str] = []
        workspace = AppServices(folder, {}, Tasks(lambda name, error: errors.append(f"{name}: {error!r}")))
        await workspace.open_log()
        endpoint = Endpoint(id="test", name="Test", base_url=simulator.base_url, needs_key=False, rates=PUBLISHED_RATES)
        for prompt in PROMPTS:
            await workspace.sender.send(prompt, endpoint, lambda _: None)
        assert workspace.log is not None
        rows = await workspace.log.page(EVERYTHING)
        await workspace.log.mark([rows[-1].run_id])
        await workspace.close()
        assert errors == []

    asyncio.run(main())


def with_log(folder: Path, story: Callable[[RequestLog], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with opened(folder) as log:
            return await story(log)

    return asyncio.run(main())


def all_of(folder: Path) -> list[StoredRun]:
    async def story(log: RequestLog) -> list[StoredRun]:
        found = [await log.get(row.run_id) for row in await log.page(EVERYTHING)]
        return [stored for stored in found if stored is not None]

    runs: list[StoredRun] = with_log(folder, story)
    return runs


@pytest.fixture
def folder(tmp_path: Path, simulator: SimulatorProcess) -> Path:
    made = tmp_path / "log"
    made.mkdir()
    logged(made, simulator)
    return made


def exported(folder: Path, kind: Format, words: str = "") -> bytes:
    path = folder.parent / f"export.{kind}"
    chosen = parse(words, datetime.now(UTC))
    with_log(folder, lambda log: export(log, chosen, path, kind))
    assert not [file.name for file in folder.parent.iterdir() if file.name.startswith(".")]
    return path.read_bytes()


def imported(folder: Path, data: bytes, name: str) -> Any:
    path = folder.parent / name
    path.write_bytes(data)
    folder.mkdir(exist_ok=True)
    return with_log(folder, lambda log: import_file(log, path))


def test_what_was_exported_comes_back_whole_in_another_log(folder: Path) -> None:
    data = exported(folder, "jsonl")
    other = folder.parent / "other"
    assert imported(other, data, "in.jsonl") == Imported(added=4, replaced=0, skipped=0)
    assert imported(other, data, "in.jsonl") == Imported(added=0, replaced=0, skipped=4)
    before, after = all_of(folder), all_of(other)
    assert {stored.record.run_id: _comparable(stored) for stored in before} == {
        stored.record.run_id: _comparable(stored) for stored in after
    }
    assert all(stored.imported for stored in after)
    assert sum(stored.marked for stored in after) == 1


def _comparable(stored: StoredRun) -> StoredRun:
    return replace(stored, number=0, imported=False)


def test_a_filter_chooses_what_is_exported(folder: Path) -> None:
    lines = exported(folder, "jsonl", "is:failed").splitlines()
    assert len(lines) == 2
    assert exported(folder, "csv", "is:failed is:marked").decode("utf-8-sig").count("\n") == 1
    assert json.loads(exported(folder, "har", "is:failed is:marked"))["log"]["entries"] == []


def test_a_table_keeps_reported_estimated_and_unknown_apart_and_runs_no_formula(folder: Path) -> None:
    data = exported(folder, "csv")
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    by_question = {row["question"]: row for row in rows}
    first = by_question["'" + (PROMPTS[0].messages[0].content or "")]
    assert int(first["prompt_tokens"]) > 0
    assert first["cached_tokens"].isdecimal()
    assert first["completion_tokens_estimated"] == ""
    assert first["marked"] == "true"
    cut = by_question["cut"]
    assert (cut["prompt_tokens"], cut["cached_tokens"], cut["completion_tokens"]) == ("", "", "")
    assert int(cut["prompt_tokens_estimated"]) > 0
    assert int(cut["completion_tokens_estimated"]) > 0
    assert cut["input_cost_usd"] == ""


def test_a_har_has_each_attempt_and_no_key_and_comes_back(folder: Path) -> None:
    data = exported(folder, "har")
    entries = json.loads(data)["log"]["entries"]
    assert sorted(entry["response"]["status"] for entry in entries) == [200, 200, 200, 500]
    for entry in entries:
        assert {"startedDateTime", "time", "request", "response", "cache", "timings"} <= set(entry)
        authorization = next(h for h in entry["request"]["headers"] if h["name"] == "Authorization")
        assert authorization["value"] == "Bearer (left out)"
    other = folder.parent / "other"
    assert imported(other, data, "in.har").added == 4
    assert imported(other, data, "in.har").skipped == 4
    before = {stored.record.body: stored.state() for stored in all_of(folder)}
    for stored in all_of(other):
        earlier, state = before[stored.record.body], stored.state()
        assert (state.phase, state.text, state.usage) == (earlier.phase, earlier.text, earlier.usage)
        assert (state.request_id, state.status) == (earlier.request_id, earlier.status)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "there is no request in it"),
        (b"not json\n", "line 1: this is not JSON"),
        (b"[]\n", "line 1: this is no JSON object"),
        (b"{}\n", "is not there: this is no exported request"),
        (b'{"electron_playground_request": 2}\n', "Update Electron Playground"),
        (b'{"electron_playground_request": 1}\n', "missing required field `record`"),
        (b'{"log": {"entries": 5}}', "log.entries: is not a list"),
        (b'{"log": {"entries": []}}', "there is no POST"),
        (b'{"log": ', "this is not JSON"),
        (b"[" * 100_000, "this is not JSON"),
    ],
)
def test_a_file_that_cannot_be_taken_changes_nothing_and_is_told_of_by_line(
    tmp_path: Path, data: bytes, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        imported(tmp_path / "log", data, "in")
    assert words in str(caught.value)
    assert all_of(tmp_path / "log") == []


def test_one_bad_line_keeps_all_out(folder: Path) -> None:
    lines = exported(folder, "jsonl").splitlines()
    fields = json.loads(lines[2])
    fields["events"][0]["at"] = "soon"
    lines[2] = json.dumps(fields).encode()
    with pytest.raises(InputError, match=r"line 3: .*\$\.events\[0\]\.at"):
        imported(folder.parent / "other", b"\n".join(lines), "in.jsonl")
    assert all_of(folder.parent / "other") == []


def stop(task: asyncio.Task[Any]) -> None:
    task.cancel()


def test_a_stop_leaves_the_file_that_was_there(folder: Path) -> None:
    path = folder.parent / "export.jsonl"
    path.write_text("before")

    async def story(log: RequestLog) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await export(log, EVERYTHING, path, "jsonl", lambda _n: stop(task))
        except asyncio.CancelledError:
            task.uncancel()

    with_log(folder, story)
    assert path.read_text() == "before"
    assert sorted(file.name for file in folder.parent.iterdir()) == ["export.jsonl", folder.name]


def test_import_cancelled_while_requests_are_written_leaves_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.parent / "in.jsonl"
    path.write_bytes(exported(folder, "jsonl"))

    async def story(log: RequestLog) -> None:
        add, importing = log.add, asyncio.create_task(import_file(log, path))

        async def cancelled(runs: Sequence[EndedRun]) -> AddedRuns:
            asyncio.get_running_loop().call_soon(importing.cancel)
            return await add(runs)

        monkeypatch.setattr(log, "add", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await importing
        await log.saved(0)

    with_log(folder.parent / "other", story)
    assert all_of(folder.parent / "other") == []


@pytest.mark.parametrize(("first", "second"), [("jsonl", "har"), ("har", "jsonl")])
def test_requests_imported_in_two_forms_are_stored_once(folder: Path, first: Format, second: Format) -> None:
    other = folder.parent / "other"
    attempts = len(json.loads(exported(folder, "har"))["log"]["entries"])
    stored = imported(other, exported(folder, first), f"in.{first}").added
    assert stored == (attempts if first == "har" else 4)
    again = imported(other, exported(folder, second), f"in.{second}")
    assert (again.added, len(all_of(other))) == (0, stored)
    assert imported(folder, exported(folder, second), f"in.{second}").added == 0


def test_import_of_one_request_is_said_in_the_singular(folder: Path) -> None:
    line = exported(folder, "jsonl").splitlines(keepends=True)[0]
    other = folder.parent / "other"
    assert imported(other, line, "in.jsonl").sentence == "1 request imported."
    assert imported(other, line, "in.jsonl").sentence == "0 requests imported; 1 was there already."


def test_table_has_the_question_as_it_was_sent(tmp_path: Path) -> None:
    prompt = Document(messages=(Message("user", "say hello to {{name}}"),))
    sent = record(body=body_of("say hello to Asha"), document=dump(prompt))

    async def story(log: RequestLog) -> None:
        await log.add([EndedRun(sent, tuple(answered()))])

    (tmp_path / "log").mkdir()
    with_log(tmp_path / "log", story)
    data = exported(tmp_path / "log", "csv").decode("utf-8-sig")
    assert [row["question"] for row in csv.DictReader(io.StringIO(data, newline=""))] == ["say hello to Asha"]


def test_costs_in_tables_are_plain_decimals() -> None:
    rates = replace(PUBLISHED_RATES, fresh=0.403, cached=0.1, output=0.1)
    usage = Usage(100, 1, 101, 0)
    run = stored_run(answered(usage=usage))
    run = replace(run, record=replace(run.record, rates=rates))
    assert str(cost(usage, rates).input) == "4.0300000000000004e-05"
    (cells,) = csv.reader(io.StringIO(to_row(run), newline=""))
    assert cells[COLUMNS.index("input_cost_usd")] == "0.0000403"
    assert cells[COLUMNS.index("output_cost_usd")] == "0.0000001"
    result = result_of(1, {}, run.state(), replace(rates, output=None), {})
    data = format_results([result], Path("results.csv")).decode("utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(data, newline=""))
    assert row["cost"] == "0.0000403"
