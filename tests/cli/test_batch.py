"""`batch` as a script uses it: real processes against a real simulator."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from playground.experiments.batch_results import ResultFile
from playground.simulator.process import SimulatorProcess
from playground.versions.service import VersionStore, history_key
from tests.conftest import figures
from tests.forked_program import run_text, start_text

LIMIT_S = 120
SYSTEM = "You are the agent of {{shop}}. " + "Answer briefly and be kind to every caller. " * 60


class Project:
    """A prompt, a data file and a data folder for the command."""

    def __init__(self, folder: Path, base_url: str, rows: int) -> None:
        self.folder, self.base_url = folder, base_url
        body = {
            "model": "electron",
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "{{question}}"}],
            "max_tokens": 12,
        }
        (folder / "prompt.json").write_text(json.dumps(body), "utf-8")
        with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("shop", "question"))
            writer.writerows((f"shop {n % 3}", f"question {n}, please?") for n in range(rows))

    def arguments(self, *options: str) -> list[str]:
        return [
            *("batch", str(self.folder / "prompt.json")),
            *("--data", str(self.folder / "data.csv"), "--base-url", self.base_url, *options),
        ]

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(self.folder / "data"))

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return run_text(self.arguments(*options), self.environment)

    def served(self) -> int:
        with urllib.request.urlopen(self.base_url.removesuffix("/waves/v1") + "/simulator/stats") as answer:
            stats: dict[str, Any] = json.load(answer)
        return int(stats["served"])


MakeProject = Callable[..., Project]


@pytest.fixture
def project(tmp_path: Path, make_simulator: Callable[..., SimulatorProcess]) -> MakeProject:
    def make(rows: int = 12, token_ms: str = "0") -> Project:
        simulator = make_simulator("--ttft-ms", "5", "--token-ms", token_ms, "--plan", "none")
        return Project(tmp_path, simulator.base_url, rows)

    return make


def results(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_batch_every_row_is_answered_once_with_wire_usage_and_warm_prefixes(project: MakeProject) -> None:
    made = project()
    out = made.folder / "out.jsonl"
    done = made.run("-o", str(out), "--concurrency", "3", "--check", "regex=.", "--json")
    assert done.returncode == 0, done.stderr
    rows = results(out)
    assert sorted(row["row"] for row in rows) == list(range(12))
    for row in rows:
        assert row["status"] == 200
        assert row["variables"]["question"] == f"question {row['row']}, please?"
        assert len(row["request_id"]) > 8
        assert row["checks"] == {"regex=.": True}
        assert row["error"] is None
    cached = [row["usage"]["prompt_tokens_details"]["cached_tokens"] for row in rows]
    assert sum(tokens == 0 for tokens in cached) == 3, "only the first row of each shop finds nothing cached"
    assert json.loads(done.stdout)["done"] == 12
    versions = VersionStore(made.folder / "data").load(history_key(made.folder / "prompt.json", "")).versions()
    assert [len(version.run_ids) for version in versions] == [12]
    assert not out.with_name("out.jsonl.batch").exists()


def test_batch_dry_run_sends_nothing_and_compares_orders(project: MakeProject) -> None:
    made = project()
    done = made.run("--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    assert forecast["requests"] == 12
    assert forecast["cached_tokens"] >= forecast["file_order"]["cached_tokens"] > 0
    assert made.served() == 0


def test_batch_existing_output_without_resume_is_refused_and_unchanged(project: MakeProject) -> None:
    made = project()
    out = made.folder / "out.jsonl"
    out.write_text("precious\n", "utf-8")
    done = made.run("-o", str(out))
    assert done.returncode == 2
    assert out.read_text("utf-8") == "precious\n"
    assert made.served() == 0


@pytest.mark.parametrize(("output", "said"), [("absent/out.jsonl", "absent"), ("out.txt", ".csv"), ("out", ".csv")])
def test_batch_output_that_cannot_be_written_is_refused_before_anything_is_read(
    project: MakeProject, output: str, said: str
) -> None:
    made = project()
    (made.folder / "data.csv").unlink()
    done = made.run("-o", str(made.folder / output))
    assert done.returncode == 2
    assert "-o" in done.stderr
    assert said in done.stderr
    assert not (made.folder / "absent").exists()
    assert made.served() == 0


@pytest.mark.parametrize("changed", ["data", "prompt"])
def test_batch_resume_with_other_data_or_prompt_is_refused_and_unchanged(project: MakeProject, changed: str) -> None:
    made = project()
    out = made.folder / "out.jsonl"
    fault = json.dumps({"fault": "403", "times": 1}).encode()
    address = made.base_url.removesuffix("/waves/v1") + "/simulator/faults"
    urllib.request.urlopen(urllib.request.Request(address, fault, {"Content-Type": "application/json"})).close()
    assert made.run("-o", str(out), "--concurrency", "1").returncode == 1
    before, sent = out.read_bytes(), made.served()
    if changed == "data":
        data = made.folder / "data.csv"
        lines = data.read_text("utf-8").splitlines()
        data.write_text("\n".join([lines[0], *reversed(lines[1:])]), "utf-8")
    else:
        prompt = made.folder / "prompt.json"
        prompt.write_text(prompt.read_text("utf-8").replace(SYSTEM[:5], f"Then {SYSTEM[:5]}", 1), "utf-8")
    done = made.run("-o", str(out), "--resume")
    assert done.returncode == 2, done.stderr
    assert out.read_bytes() == before
    assert made.served() == sent


def test_batch_failed_rows_alone_are_sent_again_by_resume(project: MakeProject) -> None:
    made = project()
    out = made.folder / "out.csv"
    fault = json.dumps({"fault": "403", "times": 2}).encode()
    address = made.base_url.removesuffix("/waves/v1") + "/simulator/faults"
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(address, fault, headers)).close()
    assert made.run("-o", str(out), "--concurrency", "1").returncode == 1
    sent = made.served()
    resumed = made.run("-o", str(out), "--resume", "--json")
    assert resumed.returncode == 0
    assert made.served() == sent + 2
    totals = json.loads(resumed.stdout)
    every = totals.pop("all_runs")
    assert (totals["rows"], totals["done"], totals["failed"]) == (2, 2, 0)
    assert (every["rows"], every["done"], every["failed"]) == (12, 12, 0)
    with out.open(newline="", encoding="utf-8-sig") as file:
        prompts = [int(row["prompt_tokens"]) for row in csv.DictReader(file)]
    assert every["prompt_tokens"] == sum(prompts)
    assert 0 < totals["prompt_tokens"] < every["prompt_tokens"]
    again = made.run("-o", str(out), "--resume")
    this_run, all_runs, unreported, _ = map(figures, again.stderr.splitlines()[-4:])
    assert this_run[:4] == [0, 0, 0, 0]  # answered, rows, failed, requests
    assert (all_runs[:4], unreported) == ([12, 12, 0, 14], [2])
    with out.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["row"]) for row in rows) == list(range(12))
    assert {row["phase"] for row in rows} == {"done"}


@pytest.mark.exhaustive
def test_batch_killed_at_random_moments_no_row_is_lost_and_no_written_row_sent_twice(project: MakeProject) -> None:
    made = project(rows=30, token_ms="2")
    out = made.folder / "out.jsonl"
    chance = random.Random(7)
    for _ in range(3):
        resume = ["--resume"] if out.exists() else []
        with start_text(made.arguments("-o", str(out), "--concurrency", "3", *resume), made.environment) as process:
            wanted = _lines(out) + chance.randint(2, 6)
            deadline = time.monotonic() + LIMIT_S
            while _lines(out) < wanted and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.005)  # polls a condition of another process
            process.send_signal(signal.SIGKILL)
    before = {row["row"]: row["request_id"] for row in _whole(out)}
    assert before
    assert made.run("-o", str(out), "--resume").returncode == 0
    rows = results(out)
    assert sorted(row["row"] for row in rows) == list(range(30))
    after = {row["row"]: row["request_id"] for row in rows}
    assert {number: after[number] for number in before} == before


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _whole(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (("--map", "question=nope"), "map"),
        (("--shard", "3/2"), "--shard"),
        (("--shard", "0/2"), "--shard"),
        (("--shard", "2"), "--shard"),
        (("--shard", "1/2/3"), "--shard"),
        (("--check", "regex=("), "--check"),
        (("--resume",), "--resume"),
    ],
)
def test_batch_invalid_option_is_named_and_nothing_is_sent(
    project: MakeProject, options: tuple[str, ...], field: str
) -> None:
    made = project()
    done = made.run(*options)
    assert done.returncode == 2
    assert field in done.stderr
    assert made.served() == 0


def test_batch_rows_with_an_empty_prompt_are_named_and_not_sent(project: MakeProject) -> None:
    made = project()
    (made.folder / "prompt.json").write_text('{"messages": [{"role": "user", "content": "{{question}}"}]}', "utf-8")
    (made.folder / "data.csv").write_text('question\nhi\n" "\nho\n\u200b\n', "utf-8")
    done = made.run("-o", str(made.folder / "out.jsonl"))
    assert done.returncode == 1
    assert "Rows 1, 3: not sent, because the prompt is empty" in done.stderr
    assert made.served() == 2
    phases = {row["row"]: (row["phase"], row["attempts"]) for row in results(made.folder / "out.jsonl")}
    assert phases == {0: ("done", 1), 1: ("failed", 0), 2: ("done", 1), 3: ("failed", 0)}
    (made.folder / "data.csv").write_text('question\n" "\n\u200b\n', "utf-8")
    done = made.run("-o", str(made.folder / "none.jsonl"))
    assert done.returncode == 2
    assert "The prompt is empty: {{question}} has no visible text." in done.stderr
    assert not (made.folder / "none.jsonl").exists()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_batch_merge_of_shards_has_every_row_once_in_order(project: MakeProject, suffix: str) -> None:
    made = project()
    outs = [made.folder / f"{k}.{suffix}" for k in (1, 2, 3)]
    for k, out in enumerate(outs, 1):
        assert made.run("-o", str(out), "--shard", f"{k}/3").returncode == 0
    merged = made.folder / "all.jsonl"
    arguments = ["batch-merge", *map(str, outs), "-o", str(merged)]
    done = run_text(arguments, os.environ)
    assert done.returncode == 0, done.stderr
    rows = results(merged)
    assert [row["row"] for row in rows] == list(range(12))
    assert rows[5]["variables"] == {"shop": "shop 2", "question": "question 5, please?"}
    assert rows[5]["usage"]["prompt_tokens"] > 0
    assert made.served() == 12
    assert run_text(arguments, os.environ).returncode == 2
    # The last shard is missing.
    first = [*arguments[:3], "-o", str(made.folder / "first.jsonl"), "--data", str(made.folder / "data.csv")]
    done = run_text(first, os.environ)
    assert (done.returncode, figures(done.stderr)) == (1, [8, 0, 4])  # rows, failed, missing


def test_batch_output_in_use_by_another_process_is_refused(project: MakeProject) -> None:
    made = project()
    out = made.folder / "out.jsonl"
    results_file = ResultFile(out, resume=False)
    try:
        done = made.run("-o", str(out), "--resume")
    finally:
        results_file.close(complete=False)
    assert done.returncode == 2
    assert made.served() == 0
