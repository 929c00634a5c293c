"""Measure the `batch` command against the simulator: `python -m tests.benchmarks.bench_batch [order|plan|kill]`.

order  K prefixes x N rows in random order; the cache holds a few prefixes only. Goal: cached tokens at least 98 % of
       the best order. The bound is an unlimited cache that is read one request at a time, which no order exceeds; for
       small cases the best of all orders is computed with the simulator's own cache.
plan   500 rows within 200 requests per minute and 20 in flight. Goal: no 429, at most 1.1 x the time of the plan.
kill   SIGKILL at 50 random moments. Goal: no answered row is sent again, none is lost.
"""

from __future__ import annotations

import asyncio
import csv
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from playground.client.endpoint import PLANS, Endpoint
from playground.experiments.batch_rows import read_rows
from playground.prompt.document import Document, Message
from playground.prompt.files import load
from playground.prompt.request import body_fields
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.simulator.engine import CacheOptions, PrefixCache, Template
from playground.simulator.process import SimulatorProcess
from playground.storage.endpoints import EndpointStore

PROMPT = Document(
    messages=(
        Message("system", "You are a phone agent. Answer from this sheet only:\n{{sheet}}"),
        Message("user", "{{question}}"),
    ),
    parameters={"max_tokens": 8},
)
KILLS = 50
EXACT_ROWS = 8
ANSWER_TOKENS = 64
BLOCK_TOKENS, LIFETIME_S = 16, 300.0
PLAN_ROWS = 500


class Batch:
    """A prompt, shuffled rows, and a data folder."""

    def __init__(self, folder: Path, prefixes: int, each: int, words: int = 600) -> None:
        self.folder, self.out, self.data = folder, folder / "out.jsonl", folder / "data.csv"
        body = body_fields(PROMPT, "electron")
        (folder / "prompt.json").write_text(json.dumps(body), "utf-8")
        chance = random.Random(prefixes * 1_000 + each)
        sheets = [" ".join(f"w{chance.randrange(10_000)}" for _ in range(words)) for _ in range(prefixes)]
        rows = [(sheet, f"Question {n}: may I?") for sheet in sheets for n in range(each)]
        chance.shuffle(rows)
        with self.data.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("sheet", "question"), *rows])
        self.rows = read_rows(self.data.read_bytes(), "data.csv")

    def command(self, *options: str) -> list[str]:
        """Return the command line."""
        paths = (str(self.folder / "prompt.json"), "--data", str(self.data), "-o", str(self.out))
        return [sys.executable, "-m", "playground", "batch", *paths, *options]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the command."""
        return dict(os.environ, ELECTRON_PLAYGROUND_HOME=str(self.folder / "home"))

    def run(self, *options: str) -> float:
        """Run the command to its end. Returns the seconds."""
        began = time.monotonic()
        done = subprocess.run(self.command(*options), env=self.environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return time.monotonic() - began

    def results(self) -> list[dict[str, Any]]:
        """Return the complete lines of the result file."""
        data = self.out.read_bytes() if self.out.exists() else b""
        return [json.loads(line) for line in data.splitlines(keepends=True) if line.endswith(b"\n")]

    def cached(self) -> int:
        """Return the cached tokens that the server reported."""
        return sum(row["usage"]["prompt_tokens_details"]["cached_tokens"] for row in self.results())

    def prompts(self) -> list[list[str]]:
        """Return the tokens of each row's prompt as the simulator counts them."""
        return [
            Template().prompt(body_fields(Document(PROMPT.name, (), PROMPT.messages, row.values), "electron"))
            for row in self.rows
        ]


def served(prompts: list[list[str]], order: tuple[int, ...], capacity: int | None) -> int:
    """Return the cached tokens of an order that is sent one request at a time."""
    cache = PrefixCache(CacheOptions(BLOCK_TOKENS, LIFETIME_S, capacity=capacity))
    return sum(cache.serve(prompts[row]) for row in order)


def order() -> None:
    """Measure cached tokens against the best order."""
    print(f"{'case':>33} {'warm':>9} {'file':>9} {'best':>9}  warm/best  file/best")
    # Prefixes, rows of each, prefixes that the cache holds, requests at once. The last case is beyond the goal: at most
    # as many prefixes are in use as requests are in flight, and its cache holds fewer.
    cases = ((3, 2, 2, 1), (2, 3, 1, 1), (4, 2, 3, 2), (10, 10, 5, 4), (60, 4, 5, 4), (20, 25, 5, 4), (10, 10, 2, 4))
    for prefixes, each, holds, at_once in cases:
        cached = []
        for name in ("warm", "file"):
            with tempfile.TemporaryDirectory() as folder:
                batch = Batch(Path(folder), prefixes, each, words=200 if prefixes * each <= EXACT_ROWS else 600)
                prompts = batch.prompts()
                capacity = holds * (max(map(len, prompts)) + ANSWER_TOKENS)
                simulator = SimulatorProcess.start(
                    ("--ttft-ms", "20", "--token-ms", "1", "--plan", "none", "--cache-capacity", str(capacity))
                )
                try:
                    batch.run("--base-url", simulator.base_url, "--order", name, "--concurrency", str(at_once))
                finally:
                    simulator.stop()
                cached.append(batch.cached())
        exact = len(prompts) <= EXACT_ROWS
        everything = tuple(range(len(prompts)))
        best = (
            max(served(prompts, tried, capacity) for tried in itertools.permutations(everything))
            if exact
            else served(prompts, everything, None)
        )
        shares = "  ".join(f"{value / best:9.1%}" for value in cached)
        case = f"{prefixes} x {each} {'exact' if exact else 'bound'}, holds {holds}, {at_once} at once"
        print(f"{case:<33} {cached[0]:>9,} {cached[1]:>9,} {best:>9,}  {shares}", flush=True)


def plan() -> None:
    """Measure the time within a plan, and count 429."""
    limits = PLANS["enterprise"]
    assert limits.requests_per_minute
    with tempfile.TemporaryDirectory() as name:
        batch = Batch(Path(name), 20, PLAN_ROWS // 20, words=100)
        simulator = SimulatorProcess.start(("--ttft-ms", "200", "--token-ms", "5", "--plan", "enterprise"))
        home = batch.folder / "home"
        home.mkdir()
        EndpointStore(home / "endpoints.json").add(
            Endpoint("bench", "Bench", simulator.base_url, needs_key=False, plan=limits)
        )
        try:
            took = batch.run("--endpoint", "Bench")
        finally:
            simulator.stop()
        statuses = Counter(
            attempt.status for stored in asyncio.run(_logged(home)) for attempt in stored.state().attempts
        )
        # The first minute's requests start at once, the last minute's at the end of the minute before it.
        allowed = 60.0 * ((PLAN_ROWS - 1) // limits.requests_per_minute)
        print(f"{PLAN_ROWS} rows, {limits.requests_per_minute} per minute: {took:.1f} s of {allowed:.0f} s allowed")
        print(f"ratio {took / allowed:.3f}; attempts by status {dict(statuses)}")


def kill() -> None:
    """Kill the command at random moments and continue it."""
    chance = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        batch = Batch(Path(name), 40, 25, words=60)
        simulator = SimulatorProcess.start(("--ttft-ms", "30", "--token-ms", "3", "--plan", "none"))
        options = ("--base-url", simulator.base_url, "--concurrency", "3")
        changed = kills = 0
        try:
            known: dict[int, str] = {}
            while kills < KILLS:
                resume = ["--resume"] if batch.out.exists() else []
                process = subprocess.Popen(
                    batch.command(*options, *resume),
                    env=batch.environment,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                wanted, deadline = len(batch.results()) + 1, time.monotonic() + 60
                while len(batch.results()) < wanted and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.005)  # polls another process
                time.sleep(chance.random() * 0.5)  # the moment of the kill is random on purpose
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                now = {row["row"]: row["request_id"] for row in batch.results()}
                changed += sum(now.get(row) != request_id for row, request_id in known.items())
                known = now
            before = len(known)
            batch.run(*options, "--resume")
            rows = batch.results()
            address = simulator.base_url.removesuffix("/waves/v1") + "/simulator/stats"
            with urllib.request.urlopen(address) as answer:
                total = json.load(answer)["served"]
        finally:
            simulator.stop()
        logged = asyncio.run(_logged(batch.folder / "home"))
        answered = Counter(
            (values["sheet"], values["question"])
            for values in (load(stored.record.document).variables for stored in logged if stored.phase == "done")
        )
        twice = sum(count > 1 for count in answered.values())
        lost = len(batch.rows) - len({row["row"] for row in rows})
        print(f"{kills} kills; {before} of {len(batch.rows)} rows before the last run; lost rows {lost}")
        print(f"results that changed after a kill {changed}; lines for one row {len(rows) - len(batch.rows) + 1}")
        print(f"rows answered twice by the log {twice}; requests in flight at a kill, sent again {total - len(rows)}")


async def _logged(home: Path) -> list[Any]:
    log = await RequestLog.open(home)
    await log.recovered()
    found = await log.stored(await log.numbers(EVERYTHING))
    await log.close()
    return found


if __name__ == "__main__":
    parts = {"order": order, "plan": plan, "kill": kill}
    for part in sys.argv[1:] or parts:
        print(f"== {part}")
        parts[part]()
