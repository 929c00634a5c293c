"""1,000 rows on the simulator by `batch`, by a script with the OpenAI SDK, and by promptfoo if it is installed.

python -m tests.benchmarks.bench_batch_peers [ROWS]

The data has 40 prefixes in random order; the cache holds 5 of them, 4 requests are sent at once. Each program gets a
new simulator. PROMPTFOO names promptfoo's command (`npm install promptfoo` in a folder outside this repository).
CPU time is that of the program and its children; cached tokens are those that the server reported.
"""

from __future__ import annotations

import csv
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.prompt.request import body_fields
from playground.simulator.process import SimulatorProcess
from tests.benchmarks.bench_batch import ANSWER_TOKENS, PROMPT, Batch

ROWS, PREFIXES, HOLDS, AT_ONCE = 1_000, 40, 5, 4
SDK = """
import asyncio, csv, json, sys
from openai import AsyncOpenAI

async def main(base_url, prompt, data, out, at_once):
    client, body = AsyncOpenAI(base_url=base_url, api_key="none"), json.load(open(prompt))
    slots, rows, file = asyncio.Semaphore(at_once), list(csv.DictReader(open(data, newline=""))), open(out, "w")

    async def one(number, row):
        messages = json.loads(json.dumps(body["messages"]))
        for message in messages:
            for name, value in row.items():
                message["content"] = message["content"].replace("{{" + name + "}}", value)
        async with slots:
            made = await client.chat.completions.create(
                model=body["model"], messages=messages, max_tokens=body["max_tokens"]
            )
        file.write(json.dumps({"row": number, "usage": made.usage.model_dump()}) + "\\n")

    await asyncio.gather(*(one(number, row) for number, row in enumerate(rows)))

asyncio.run(main(*sys.argv[1:5], int(sys.argv[5])))
"""


def _ours(batch: Batch, base_url: str) -> list[str]:
    return batch.command("--base-url", base_url, "--concurrency", str(AT_ONCE))


def _sdk(batch: Batch, base_url: str) -> list[str]:
    paths = (str(batch.folder / "prompt.json"), str(batch.data), str(batch.out))
    return [sys.executable, "-c", SDK, base_url, *paths, str(AT_ONCE)]


def _promptfoo(batch: Batch, base_url: str) -> list[str]:
    folder = batch.folder
    (folder / "messages.json").write_text(json.dumps(body_fields(PROMPT, "electron")["messages"]), "utf-8")
    provider = {"apiBaseUrl": base_url, "apiKey": "none", "max_tokens": 8}
    config = {
        "prompts": [f"file://{folder / 'messages.json'}"],
        "providers": [{"id": "openai:chat:electron", "config": provider}],
        "tests": f"file://{batch.data}",
    }
    (folder / "promptfooconfig.yaml").write_text(json.dumps(config), "utf-8")
    options = ["-c", str(folder / "promptfooconfig.yaml"), "-j", str(AT_ONCE), "--no-cache", "--no-table", "--no-share"]
    return [*shlex.split(os.environ["PROMPTFOO"]), "eval", *options, "-o", str(folder / "promptfoo.json")]


def _usages(batch: Batch) -> list[tuple[int, int]]:
    """Return cached and prompt tokens of each row."""
    found: list[tuple[int, int]] = []
    report = batch.folder / "promptfoo.json"
    if report.exists():
        for result in json.loads(report.read_text("utf-8"))["results"]["results"]:
            usage = result["response"]["tokenUsage"]
            found.append((usage.get("cached", 0), usage.get("prompt", usage.get("total", 0))))
        return found
    for row in batch.results():
        ours: dict[str, Any] = row["usage"]
        found.append(((ours["prompt_tokens_details"] or {}).get("cached_tokens") or 0, ours["prompt_tokens"]))
    return found


def _measure(name: str, rows: int, command: Callable[[Batch, str], list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        batch = Batch(Path(folder), PREFIXES, rows // PREFIXES)
        capacity = HOLDS * (max(map(len, batch.prompts())) + ANSWER_TOKENS)
        simulator = SimulatorProcess.start(
            ("--ttft-ms", "20", "--token-ms", "1", "--plan", "none", "--cache-capacity", str(capacity))
        )
        environment = dict(
            batch.environment,
            PROMPTFOO_DISABLE_TELEMETRY="1",
            PROMPTFOO_DISABLE_UPDATE="1",
            PROMPTFOO_CONFIG_DIR=folder,
        )
        try:
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(
                command(batch, simulator.base_url), env=environment, check=False, capture_output=True, text=True
            )
            took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        finally:
            simulator.stop()
        usages = _usages(batch)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        cached, prompt = (sum(usage[at] for usage in usages) for at in (0, 1))
        print(
            f"{name:12} status {done.returncode}, {len(usages):,} of {rows:,} rows, {took:6.1f} s, CPU {cpu:5.1f} s, "
            f"cached {cached:,} of {prompt:,} prompt tokens ({cached / max(prompt, 1):.1%})",
            flush=True,
        )
        if not usages:
            print(done.stdout[-2_000:], done.stderr[-2_000:])


def main(rows: int) -> None:
    """Measure and print."""
    csv.field_size_limit(sys.maxsize)
    _measure("batch", rows, _ours)
    _measure("OpenAI SDK", rows, _sdk)
    if "PROMPTFOO" in os.environ:
        _measure("promptfoo", rows, _promptfoo)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
