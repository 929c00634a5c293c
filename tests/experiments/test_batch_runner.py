"""Order of sending, result files and saved batches, without a server."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from playground.client.endpoint import Rates
from playground.client.events import AttemptStarted, ContentDelta, Usage
from playground.experiments import batch_results
from playground.experiments.batch_job import BatchRunner
from playground.experiments.batch_plan import PlannedRow, plan_rows
from playground.experiments.batch_results import (
    BatchTotals,
    Earlier,
    ResultFile,
    failed_result,
    format_results,
    merge_results,
    parse_results,
    result_of,
)
from playground.experiments.batch_rows import BatchRow
from playground.experiments.batch_session import BatchSpec, BatchStore
from playground.prompt.document import Document, Json, Message
from playground.prompt.field_errors import InputError
from playground.runs.run import Run
from playground.runs.state import RunState, fold
from playground.simulator.process import SimulatorError
from playground.storage.paths import write_shared

PROMPT = Document(messages=(Message("system", "{{sheet}}"), Message("user", "{{question}}")))
COLUMNS = {"sheet": "sheet", "question": "question"}
ROWS = tuple(BatchRow(n, {"sheet": "abc"[n % 3] * 500, "question": f"question {n}"}) for n in range(9))


def finished(text: str = "yes", usage: Usage | None = None) -> RunState:
    state = fold([AttemptStarted(0.0, 1), ContentDelta(0.1, text)])
    state.phase, state.usage = "done", usage
    return state


def run_all(*, concurrency: int) -> tuple[list[int], int]:
    """Return positions in the order of sending, and the greatest number at once, if no row ever reports a token."""
    plan = plan_rows(PROMPT, ROWS, COLUMNS, "warm")
    sent: list[int] = []
    running = most = 0

    async def send(item: PlannedRow, _began: Callable[[Run], None]) -> RunState:
        nonlocal running, most
        sent.append(plan.index(item))
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return finished()

    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        progress = await BatchRunner(plan, concurrency, send, keep).execute()
        assert progress.done == len(ROWS)

    asyncio.run(main())
    return sent, most


def test_runner_sends_rows_of_a_prefix_before_it_opens_the_next() -> None:
    assert run_all(concurrency=1)[0] == list(range(9))


def test_runner_rows_whose_leader_cached_nothing_lead_each_other() -> None:
    sent, most = run_all(concurrency=4)
    assert sorted(sent) == list(range(9))
    assert most <= 3, "one row of each prefix at a time"


def test_runner_disk_error_ends_the_batch() -> None:
    plan = plan_rows(PROMPT, ROWS, COLUMNS, "file")

    async def send(_item: PlannedRow, _began: Callable[[Run], None]) -> RunState:
        return finished()

    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        asyncio.run(BatchRunner(plan, 3, send, keep).execute())


def test_runner_simulator_that_ends_meanwhile_raises_its_own_error() -> None:
    plan = plan_rows(PROMPT, ROWS, COLUMNS, "file")

    async def send(item: PlannedRow, _began: Callable[[Run], None]) -> RunState:
        if item.row.number == 4:
            raise SimulatorError("it ended")
        return finished()

    async def keep(_item: PlannedRow, _outcome: RunState | Exception) -> None:
        await asyncio.sleep(0)

    with pytest.raises(SimulatorError, match="it ended"):
        asyncio.run(BatchRunner(plan, 3, send, keep).execute())


ODD = "=cmd|' /C calc'!A0\n\"quoted\", x\r\nend"


def some_results() -> list[dict[str, Json]]:
    usage = Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_tokens=None)
    values = {"sheet": ODD, "question": "-1"}
    return [
        result_of(1, values, finished(ODD, usage), Rates(0.4, 0.1), {"contains=x": True}),
        failed_result(0, values, "no message"),
    ]


def test_result_of_usage_without_completion_tokens_has_no_cost_if_output_is_priced() -> None:
    state = finished("yes", Usage(prompt_tokens=10, completion_tokens=None, total_tokens=None, cached_tokens=0))
    assert result_of(1, {}, state, Rates(0.4, 0.1, 1.0), {})["cost"] is None
    assert result_of(1, {}, state, Rates(0.4, 0.1), {})["cost"] == pytest.approx(4e-6)


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_results_written_and_read_again_are_equal(name: str) -> None:
    results = some_results()
    path = Path(name)
    again = parse_results(format_results(results, path), path)
    for before, after in zip(results, again, strict=True):
        for key in ("row", "variables", "phase", "text", "tool_calls", "usage", "cost", "error"):
            assert after[key] == before[key], key


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_result_file_cut_beside_line_ends_and_at_steps_keeps_whole_rows_and_never_fails(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    whole = format_results(some_results(), path)
    breaks = (at + near for at, byte in enumerate(whole) if byte in b"\r\n" for near in range(-2, 2))
    for size in sorted({*range(0, len(whole), 13), *breaks}):
        path.write_bytes(whole[:size])
        file = ResultFile(path, resume=True)
        file.close(complete=True)
        assert set(file.finished) <= {1}
    assert set(file.finished) == {1}


def test_result_file_of_other_contents_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"name": 1}\n', "utf-8")
    with pytest.raises(InputError):
        ResultFile(path, resume=True)
    assert path.read_text("utf-8") == '{"name": 1}\n'


def test_merge_results_answered_row_wins_and_rows_are_in_order() -> None:
    first, second = some_results(), [{**failed_result(1, {}, "late"), "row": 1}, {**some_results()[0], "row": 0}]
    merged = merge_results([first, second])
    assert [(row["row"], row["phase"]) for row in merged] == [(0, "done"), (1, "done")]


def test_totals_unreported_tokens_are_counted_and_not_summed() -> None:
    totals = BatchTotals()
    for result in some_results():
        totals.add(result)
    assert (totals.rows, totals.done, totals.requests, totals.unreported) == (2, 1, 1, 1), "one row was not sent"
    assert totals.completion_tokens == 2
    assert totals.cached_share is None
    assert totals.cost is None
    assert totals.passed == {"contains=x": 1}


def test_totals_requests_of_an_earlier_version_are_one_a_result() -> None:
    """Its results have no `attempts`."""
    sent, unsent = some_results()[0], failed_result(3, {}, "no value")
    for result in (sent, unsent):
        del result["attempts"]
    totals = BatchTotals()
    totals.add(sent)
    totals.add(unsent)
    assert (totals.rows, totals.requests, totals.unreported) == (2, 1, 1)


def spec() -> BatchSpec:
    return BatchSpec(PROMPT, ROWS, COLUMNS, ("contains=x",), "warm", "rows.csv", "simulator", 3, datetime.now(UTC))


def test_store_saved_batch_is_unfinished_until_all_rows_are_answered(tmp_path: Path) -> None:
    store = BatchStore(tmp_path)
    assert store.unfinished() is None
    saved = store.save(spec())
    file = ResultFile(saved.results, resume=True)
    assert store.unfinished() is None, "another process runs it"
    file.close(complete=False)
    found = store.unfinished()
    assert found is not None
    assert found.spec == saved.spec
    ResultFile(saved.results, resume=True).close(complete=True)
    assert store.unfinished() is None


def test_result_file_is_continued_if_an_earlier_run_had_its_id(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    first = ResultFile(path, resume=True)
    first.close(complete=False)
    second = ResultFile(path, resume=True)
    second.close(complete=True)
    third = ResultFile(path, resume=True)
    third.close(complete=True)
    assert [file.continued for file in (first, second, third)] == [False, True, False]
    assert (first.batch_id == second.batch_id, second.batch_id == third.batch_id) == (True, False)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"version": 9}', b"[" * 100_000])
def test_store_damaged_batch_is_ignored(tmp_path: Path, damage: bytes) -> None:
    store = BatchStore(tmp_path)
    saved = store.save(spec())
    ResultFile(saved.results, resume=True).close(complete=False)
    (saved.folder / "batch.json").write_bytes(damage)
    assert store.unfinished() is None


def test_results_with_a_key_in_a_variable_mask_it() -> None:
    values = {"a": "sk_9f8e7d6c5b4a39281706", "b": "plain"}
    for result in (failed_result(0, values, ""), result_of(0, values, finished("x", None), Rates(), {})):
        assert result["variables"] == {"a": "sk_…", "b": "plain"}


def test_result_file_with_rows_that_look_like_keys_is_continued(tmp_path: Path) -> None:
    values = {0: {"a": "sk_9f8e7d6c5b4a39281706"}, 1: {"a": "plain"}}
    path = tmp_path / "out.jsonl"
    path.write_bytes(format_results((result_of(n, values[n], finished(), Rates(), {}) for n in values), path))
    file = ResultFile(path, resume=True, rows=values)
    file.close(complete=True)
    assert set(file.finished) == {0, 1}
    with pytest.raises(InputError):
        ResultFile(path, resume=True, rows={**values, 1: {"a": "other"}})


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_result_file_row_sent_again_has_one_line_with_the_sums_of_both(tmp_path: Path, name: str) -> None:
    path, usage = tmp_path / name, Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12, cached_tokens=4)
    failed = finished("", usage)
    failed.phase = "failed"
    first = ResultFile(path, resume=False)
    first.write(result_of(0, {}, failed, Rates(1.0, 1.0), {}, "run-0"))
    first.close(complete=False)
    second = ResultFile(path, resume=True)
    earlier = Earlier.with_result(second.failed[0])
    second.write(result_of(0, {}, finished("yes", usage), Rates(1.0, 1.0), {}, "run-1", earlier))
    assert len(parse_results(path.read_bytes(), path)) == 2, "a kill now loses nothing"
    second.close(complete=True)
    rows = parse_results(path.read_bytes(), path)
    assert [row["phase"] for row in rows] == ["done"]
    ids = [] if name == "out.csv" else ["run-0"]
    assert Earlier.of(rows[0]) == earlier
    assert (earlier.prompt_tokens, earlier.requests, earlier.ids) == (10, 1, ids)


def test_result_file_note_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    """It had two lines: the batch and the prompt."""
    path = tmp_path / "out.jsonl"
    first = ResultFile(path, resume=False, prompt="x")
    first.write(some_results()[0])
    first.close(complete=False)
    note = path.with_name("out.jsonl.batch")
    note.write_text("".join(note.read_text().splitlines(keepends=True)[:2]))
    second = ResultFile(path, resume=True, prompt="x")
    assert (second.batch_id, second.continued, second.is_changed) == (first.batch_id, True, False)
    second.close(complete=False)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_result_file_changed_answer_is_noticed_also_after_a_kill(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out.{suffix}"
    killed = ResultFile(path, resume=False)
    killed.write(some_results()[0])
    copy = tmp_path / f"copy.{suffix}"
    for name in (path, path.with_name(f"{path.name}.batch")):
        shutil.copy(name, copy.with_name(name.name.replace("out", "copy", 1)))
    killed.close(complete=False)
    same = ResultFile(copy, resume=True)
    assert not same.is_changed
    same.write({**some_results()[0], "row": 2})
    same.close(complete=False)
    copy.write_bytes(copy.read_bytes().replace(b"calc", b"CALC", 1))
    assert b"CALC" in copy.read_bytes()
    changed = ResultFile(copy, resume=True)
    assert changed.is_changed
    changed.close(complete=False)
    again = ResultFile(copy, resume=True)
    assert not again.is_changed, "the changed answers were taken"
    again.close(complete=True)


def test_result_file_written_by_several_threads_has_a_true_note_at_every_moment(tmp_path: Path) -> None:
    """A kill between any two lines of the note must not make the results look changed."""
    path, interval = tmp_path / "out.jsonl", sys.getswitchinterval()
    file = ResultFile(path, resume=False)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(file.write, ({**some_results()[0], "row": number} for number in range(100))))
    finally:
        sys.setswitchinterval(interval)
        file.close(complete=False)
    data = path.read_bytes()
    noted = [line.split()[1:] for line in path.with_name("out.jsonl.batch").read_text().splitlines() if "file" in line]
    assert len(noted) == 101
    assert [hashlib.sha256(data[: int(length)]).hexdigest() for length, _ in noted] == [digest for _, digest in noted]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_result_file_that_a_kill_left_as_it_was_replaced_is_not_called_changed(
    tmp_path: Path, suffix: str, is_replaced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"out.{suffix}"
    failed = {**some_results()[0], "phase": "failed"}
    first = ResultFile(path, resume=False)
    first.write(failed)
    first.write(failed)  # the next run removes the older line
    first.close(complete=False)

    def kill(file: Path, data: bytes) -> None:
        if is_replaced:
            write_shared(file, data)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_results, "write_shared", kill)
    with pytest.raises(KeyboardInterrupt):
        ResultFile(path, resume=True)
    monkeypatch.undo()
    second = ResultFile(path, resume=True)
    assert not second.is_changed
    second.close(complete=True)


def test_result_file_note_that_a_full_disk_has_cut_calls_nothing_changed(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    first = ResultFile(path, resume=False)
    first.write(some_results()[0])
    first.close(complete=False)
    note = path.with_name("out.jsonl.batch")
    note.write_bytes(note.read_bytes()[:-9])
    second = ResultFile(path, resume=True)
    assert not second.is_changed
    second.close(complete=True)


def test_result_file_result_of_a_row_that_the_data_lacks_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    first = ResultFile(path, resume=False)
    first.write(failed_result(999, {}, "no value"))
    first.close(complete=False)
    with pytest.raises(InputError, match="row 999"):
        ResultFile(path, resume=True, rows={0: {}})


@pytest.mark.parametrize("columns", [1, 2])
def test_result_file_table_of_an_earlier_version_is_continued(tmp_path: Path, columns: int) -> None:
    """Earlier versions had no `attempts`, and before that no `earlier`."""
    path = tmp_path / "out.csv"
    lines = format_results(some_results()[:1], path).decode("utf-8-sig")
    with path.open("w", newline="", encoding="utf-8-sig") as made:
        csv.writer(made).writerows(row[:-columns] for row in csv.reader(io.StringIO(lines, newline="")))
    file = ResultFile(path, resume=True)
    file.write({**some_results()[0], "row": 2})
    file.close(complete=True)
    assert [row["row"] for row in parse_results(path.read_bytes(), path)] == [1, 2]
