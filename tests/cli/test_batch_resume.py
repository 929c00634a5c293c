"""`batch --resume`: what was paid for rows that were sent again is in the figures of all runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest
from msgspec.structs import replace

from playground.client.endpoint import Endpoint, PlanLimits, Rates
from playground.requestlog.store import FILE_NAME
from playground.storage.endpoints import EndpointStore
from tests.forked_program import run_text, start_text
from tests.http_server import QuietHandler, serving

LIMIT_S = 120
SUMS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens", "unreported", "cost")
PAID = {"prompt_tokens": 700, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 64}}


def _event(value: object) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


class Server(QuietHandler):
    """Answers by the question: in `cut` with a cut tool call, in `hanging` with text and no end, in `silent` not; each
    question in `limited` once with 429."""

    cut: ClassVar[set[str]] = set()
    hanging: ClassVar[set[str]] = set()
    silent: ClassVar[set[str]] = set()
    limited: ClassVar[set[str]] = set()
    unnamed: ClassVar[set[str] | None] = None
    """Questions whose answers have no request_id, which a table needs; None: all."""
    requests: ClassVar[int] = 0
    arrived, ended = threading.Event(), threading.Event()

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        type(self).requests += 1
        if question in self.limited:
            self.limited.remove(question)
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if question in self.silent:
            self.arrived.set()
            self.ended.wait(LIMIT_S)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if self.unnamed is not None and question not in self.unnamed:
            self.send_header("X-Request-Id", f"request-{type(self).requests}")
        self.send_header("Connection", "close")
        self.end_headers()
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "pay", "arguments": '{"a": 1'}}
        delta = {"tool_calls": [call]} if question in self.cut else {"content": "yes"}
        self.wfile.write(_event({"id": f"r-{question}", "choices": [{"index": 0, "delta": delta}]}))
        self.wfile.flush()
        if question in self.hanging:
            self.ended.wait(LIMIT_S)
        end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        self.wfile.write(_event(end) + _event({"choices": [], "usage": PAID}) + b"data: [DONE]\n\n")
        self.close_connection = True


class Project:
    def __init__(self, folder: Path, base_url: str, suffix: str) -> None:
        self.folder, self.out = folder, folder / f"out{suffix}"
        (folder / "home").mkdir(mode=0o700)
        endpoints = EndpointStore(folder / "home" / "endpoints.json")
        endpoints.add(Endpoint(id="", name="X", base_url=base_url, needs_key=False, rates=Rates(1.0, 0.1, 2.0)))
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "{{x}}"}]}
        (folder / "p.json").write_text(json.dumps(body))
        (folder / "d.csv").write_text("x\nalpha\nbeta\n")
        self.arguments = [
            *("batch", str(folder / "p.json"), "--data", str(folder / "d.csv"), "-o", str(self.out)),
            *("--endpoint", "X", "--resume", "--json", "--concurrency", "1", "--order", "file"),
        ]
        self.environment = {**os.environ, "ELECTRON_PLAYGROUND_HOME": str(folder / "home")}

    def run(self) -> dict[str, Any]:
        done = run_text(self.arguments, self.environment)
        assert done.returncode in (0, 1), done.stderr
        totals: dict[str, Any] = json.loads(done.stdout)
        return totals

    def rows(self) -> list[dict[str, Any]]:
        if self.out.suffix == ".jsonl":
            return [json.loads(line) for line in self.out.read_text("utf-8").splitlines()]
        with self.out.open(newline="", encoding="utf-8-sig") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
        return [{**row, "row": int(row["row"]), "earlier": json.loads(row["earlier"] or "null")} for row in rows]

    def phases(self) -> list[str]:
        """Return the phases of the logged requests, newest first, without a command."""
        path = self.folder / "home" / FILE_NAME
        if not path.exists():
            return []
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            try:
                return [phase for (phase,) in connection.execute("SELECT phase FROM runs ORDER BY number DESC")]
            except sqlite3.OperationalError:  # its tables are not made yet
                return []

    def logged(self, *terms: str) -> list[dict[str, Any]]:
        done = run_text(["log", "list", *terms, "--json"], self.environment)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=[".jsonl", ".csv"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    Server.cut, Server.hanging, Server.silent, Server.limited = set(), set(), set(), set()
    Server.requests, Server.unnamed = 0, None
    Server.ended.clear()
    Server.arrived.clear()
    with serving(Server) as address:
        yield Project(tmp_path, f"{address}/v1", request.param)
        Server.ended.set()


def _sums(totals: dict[str, Any]) -> list[float]:
    return [totals[name] or 0 for name in SUMS]


def test_resume_paid_rows_that_failed_are_in_the_sums_of_all_runs(project: Project) -> None:
    so_far = [0.0] * len(SUMS)
    for cut in ({"alpha", "beta"}, {"beta"}, set[str]()):
        Server.cut = cut
        totals = project.run()
        so_far = [before + now for before, now in zip(so_far, _sums(totals), strict=True)]
        assert _sums(totals["all_runs"]) == pytest.approx(so_far)
    assert so_far == pytest.approx([5, 5 * 700, 5 * 64, 5 * 10, 0, 5 * (636 + 6.4 + 20) / 1e6])
    assert Server.requests == 5
    rows = sorted(project.rows(), key=lambda row: row["row"])
    assert [row["phase"] for row in rows] == ["done", "done"]
    assert [row["earlier"]["requests"] for row in rows] == [1, 2]
    assert [row["earlier"]["prompt_tokens"] for row in rows] == [700, 1400]
    finished = project.run()
    assert _sums(finished["all_runs"]) == pytest.approx(so_far)


def test_resume_row_that_was_removed_from_complete_results_is_in_the_sums_of_all_runs(project: Project) -> None:
    Server.unnamed = set()
    project.run()
    lines = project.out.read_bytes().splitlines(keepends=True)
    for sent in (3, 4):
        project.out.write_bytes(b"".join(lines[:-1]))
        totals = project.run()
        assert [totals["all_runs"][name] for name in SUMS[:-1]] == [sent, sent * 700, sent * 64, sent * 10, 0]
        assert [totals[name] for name in SUMS[:-1]] == [1, 700, 64, 10, 0]
        assert Server.requests == sent


@pytest.mark.parametrize(
    ("unnamed", "removed", "counted"),
    [({"alpha"}, "beta", 4), ({"alpha"}, "alpha", 4), ({"alpha", "beta"}, "alpha", 3)],
)
def test_resume_result_without_request_id_is_counted_once(
    project: Project, unnamed: set[str], removed: str, counted: int
) -> None:
    """In a table, the logged run of a removed answer without request_id cannot be told from that of a result."""
    (project.folder / "d.csv").write_text("x\nalpha\nbeta\ngamma\n")
    Server.unnamed = unnamed
    project.run()
    lines = project.out.read_bytes().splitlines(keepends=True)
    project.out.write_bytes(b"".join(line for line in lines if removed.encode() not in line))
    sent = counted if project.out.suffix == ".csv" else 4
    totals = project.run()
    assert [totals["all_runs"][name] for name in SUMS[:-1]] == [sent, sent * 700, sent * 64, sent * 10, 0]
    assert totals["all_runs"]["cost"] == pytest.approx(sent * (636 + 6.4 + 20) / 1e6)
    assert Server.requests == 4


def test_resume_results_of_two_complete_batches_join_the_newest_group(project: Project) -> None:
    Server.unnamed = set()
    note, results = project.out.with_name(f"{project.out.name}.batch"), []
    for digit in "0f":
        note.write_text(digit * 32)
        project.run()
        results.append(project.out.read_bytes().splitlines(keepends=True))
        project.out.unlink()
    (project.folder / "d.csv").write_text("x\nalpha\nbeta\ngamma\n")
    project.out.write_bytes(b"".join([*results[0][:-1], results[1][-1]]))
    assert project.run()["requests"] == 1
    assert len(project.logged("tag:batch:ffffffff")) == 3


def test_resume_attempts_that_were_refused_are_requests_without_tokens(project: Project) -> None:
    Server.cut, Server.limited = {"alpha"}, {"alpha", "beta"}
    first = project.run()
    assert [first[name] for name in SUMS[:-1]] == [4, 1400, 128, 20, 2]
    Server.cut, Server.limited = set(), {"alpha"}
    totals = project.run()
    assert [totals[name] for name in SUMS[:-1]] == [2, 700, 64, 10, 1]
    assert [totals["all_runs"][name] for name in SUMS[:-1]] == [6, 2100, 192, 30, 3]
    assert Server.requests == 6
    assert [row["earlier"]["requests"] for row in project.rows() if row.get("earlier")] == [2]


def test_resume_answer_that_was_changed_is_named(project: Project) -> None:
    Server.cut = {"beta"}
    project.run()
    project.out.write_bytes(project.out.read_bytes().replace(b"yes", b"YES"))
    done = run_text(project.arguments, project.environment)
    assert "was changed since the batch wrote it" in done.stderr
    assert "was changed" not in run_text(project.arguments, project.environment).stderr


def test_resume_after_stop_counts_the_request_that_was_stopped(project: Project) -> None:
    _end_in_the_second_row(project, signal.SIGINT)
    Server.hanging = set()
    totals = project.run()
    assert (totals["all_runs"]["prompt_tokens"], totals["all_runs"]["unreported"]) == (1400, 1)
    assert (totals["prompt_tokens"], totals["unreported"]) == (700, 0)
    assert [row["earlier"]["unreported"] for row in project.rows() if row.get("earlier")] == [1]


def test_resume_after_kill_counts_the_request_that_was_cut(project: Project) -> None:
    _end_in_the_second_row(project, signal.SIGKILL)
    Server.hanging = set()
    totals = project.run()
    assert (totals["all_runs"]["prompt_tokens"], totals["all_runs"]["unreported"]) == (1400, 1)
    assert (totals["prompt_tokens"], totals["unreported"]) == (700, 0)


def test_resume_after_kill_as_soon_as_a_request_arrived_counts_it(project: Project) -> None:
    """The log does not know yet that it was sent."""
    Server.silent = {"beta"}
    with start_text(project.arguments, project.environment) as process:
        assert Server.arrived.wait(LIMIT_S)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=LIMIT_S)
    Server.silent = set()
    totals = project.run()
    assert (totals["all_runs"]["prompt_tokens"], totals["all_runs"]["unreported"]) == (1400, 1)
    assert (totals["prompt_tokens"], totals["unreported"]) == (700, 0)


def test_resume_after_kill_does_not_count_a_request_that_waited_for_the_plan(project: Project) -> None:
    store = EndpointStore(project.folder / "home" / "endpoints.json")
    endpoint = next(one for one in store.all() if one.name == "X")
    store.change(replace(endpoint, plan=PlanLimits("custom", 1, 2)))
    _end_when_logged(project, ["waiting", "done"], signal.SIGKILL)
    store.change(endpoint)
    totals = project.run()
    assert [totals["all_runs"][name] for name in SUMS[:-1]] == [2, 1400, 128, 20, 0]
    assert Server.requests == 2


def _end_in_the_second_row(project: Project, number: signal.Signals) -> None:
    Server.hanging = {"beta"}
    out, error = _end_when_logged(project, ["streaming", "done"], number)
    if number == signal.SIGINT:
        assert json.loads(out)["unreported"] == 1, error


def test_batch_signals_after_the_first_one_change_nothing(project: Project) -> None:
    Server.hanging = {"beta"}
    out, error = _end_when_logged(project, ["streaming", "done"], signal.SIGINT, repeated=True)
    Server.hanging = set()
    assert (json.loads(out)["unreported"], "Traceback" in error) == (1, False)
    assert [row["phase"] for row in project.logged()] == ["stopped", "done"]


def _end_when_logged(
    project: Project, phases: list[str], number: signal.Signals, *, repeated: bool = False
) -> tuple[str, str]:
    """Send a signal to the batch when the logged requests, newest first, have these phases. Returns its output.

    `repeated`: send it until the batch has ended.
    """
    with start_text(project.arguments, project.environment) as process:
        found: list[str] = []
        deadline = time.monotonic() + LIMIT_S
        while found != phases and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
            found = project.phases()
        assert found == phases
        assert process.poll() is None
        process.send_signal(number)
        while repeated and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
            process.send_signal(number)
        return process.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("contents", [b"my thesis", b"my,table", b'{"messages": []}', b"\xff\xfe\x00"])
def test_resume_does_not_replace_a_file_of_another_program_that_has_no_line_end(
    project: Project, contents: bytes
) -> None:
    project.out.write_bytes(contents)
    done = run_text(project.arguments, project.environment)
    assert (done.returncode, "-o: " in done.stderr) == (2, True), done.stderr
    assert project.out.read_bytes() == contents
    assert Server.requests == 0


def test_resume_takes_a_first_result_that_was_cut_anywhere(project: Project) -> None:
    project.run()
    first = project.out.read_bytes()
    end = first.index(b"\n")
    for cut in (0, 1, 5, 12, end):
        project.out.write_bytes(first[:cut])
        project.run()
        assert len(project.rows()) == 2
