"""The log's commands against `llm logs` on the same requests, in the same run: newest 50, a word, a rare word.

Run: python -m tests.benchmarks.bench_peers [REQUESTS]

`llm` is installed into a temporary environment. Both programs read the same prompts and answers; each command is a
process of its own, taken in turn, and its output goes to a pipe. Medians of wall and CPU time. The other peers are
measured where the work is: the OpenAI SDK in `bench_client`, a bare editor in `bench_typing`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from itertools import islice
from pathlib import Path

from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.runs.state import fold
from tests.benchmarks.bench_log_corpus import RARE, requests

ROUNDS, BATCH = 5, 500
PEER = "llm==0.36"
SEARCHES = {"newest 50": (), "word": ("appointment",), "rare word": (RARE,)}
INSERT = """
import json, sqlite_utils, sys
from llm.migrations import migrate
database = sqlite_utils.Database(sys.argv[1])
migrate(database)
def rows():
    with open(sys.argv[2], encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            database["conversations"].insert({"id": row["conversation_id"], "name": "", "model": "electron"})
            yield row
database["responses"].insert_all(list(rows()))
"""


async def fill(folder: Path, count: int) -> Path:
    """Write the requests to this program's log, and as rows for llm; return the file with the rows."""
    rows = folder / "rows.jsonl"
    log = await RequestLog.open(folder)
    made = requests(count)
    with rows.open("w", encoding="utf-8") as file:
        while batch := list(islice(made, BATCH)):
            await log.add([EndedRun(one.record, tuple(one.events)) for one in batch])
            for one in batch:
                body = json.loads(one.record.body)
                texts = [str(message.get("content") or "") for message in body["messages"]]
                row = {
                    "id": one.record.run_id,
                    "conversation_id": one.record.run_id,
                    "model": "electron",
                    "system": texts[0],
                    "prompt": "\n".join(texts[1:]),
                    "response": fold(one.events).text,
                    "prompt_json": one.record.body.decode(),
                    "datetime_utc": one.record.started_utc.isoformat(),
                    "duration_ms": 100,
                }
                file.write(json.dumps(row) + "\n")
    await log.close()
    return rows


def peer(folder: Path, rows: Path) -> Path:
    """Install llm with these rows in its log; return its command."""
    home = folder / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-qqq", "--disable-pip-version-check", PEER], check=True)
    subprocess.run([python, "-c", INSERT, folder / "logs.db", rows], check=True)
    return home / "bin" / "llm"


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return milliseconds of wall time and of CPU time. Raises SystemExit if the command fails or prints nothing."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode or not printed.strip():
            raise SystemExit(f"{command} ended with {process.returncode} and {len(printed)} bytes")
    return (time.perf_counter() - began) * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def main(count: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        llm = peer(folder, asyncio.run(fill(folder, count)))
        environment = {**os.environ, "LLM_USER_PATH": str(folder)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program has its byte code
        print(f"{count:,} requests in both logs; {PEER}; {ROUNDS} rounds; wall · CPU")
        for what, words in SEARCHES.items():
            search = ["-q", *words] if words else []
            commands = {
                "this program": [
                    sys.executable,
                    "-m",
                    "playground",
                    "--data-dir",
                    name,
                    "log",
                    "--limit",
                    "50",
                    *words,
                ],
                "llm logs": [str(llm), "logs", "list", "-n", "50", "--short", *search],
            }
            rounds = [
                {who: timed(command, environment) for who, command in commands.items()} for _ in range(ROUNDS + 1)
            ][1:]
            medians = {who: [statistics.median(one[who][at] for one in rounds) for at in (0, 1)] for who in commands}
            (wall, cpu), (peer_wall, peer_cpu) = medians.values()
            print(
                f"{what:10} {wall:7.0f} · {cpu:6.0f} ms, llm {peer_wall:7.0f} · {peer_cpu:6.0f} ms: "
                f"{wall / peer_wall:.2f} · {cpu / peer_cpu:.2f} × its time",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
