"""`check`: 100 prompts, 1,000 recorded bodies, 16,000 messages in one body, a million messages. Times after start.

Run with `python -m tests.benchmarks.bench_check [--profile]`. Best of 3, in this process; the floor is `json.loads` of
the same bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import json
import pstats
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playground.cli.arguments import parse
from playground.cli.check import check
from playground.prompt.field_errors import InputError

TEXT = (
    "answer the caller with one short sentence and confirm their address before you read an order number or price "
    "never promise a refund today ask politely which agent they spoke to if voice quality is bad repeat last question"
)
WORDS = TEXT.split()
GOALS = {"100 prompts": 0.3, "1,000 bodies": 1.0, "16,000 messages": 1.0, "a million messages": 1.0}


def system_text(rng: random.Random, tokens: int) -> str:
    """Return different lines of ≈ `tokens` tokens."""
    return "\n".join(" ".join(rng.choices(WORDS, k=12)).capitalize() + "." for _ in range(tokens // 14))


def body(system: str, *turns: str) -> dict[str, Any]:
    """Return a request body."""
    talk = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(turns)]
    return {"model": "electron", "messages": [{"role": "system", "content": system}, *talk], "max_tokens": 200}


def inputs(folder: Path) -> dict[str, Path]:
    """Write the inputs and return them by name."""
    rng = random.Random(7)
    prompts = folder / "prompts"
    prompts.mkdir()
    for number in range(100):
        text = f"You are agent {number}.\n{system_text(rng, 400)}"
        (prompts / f"{number:03}.json").write_text(json.dumps(body(text, "Question: {{question}}")), "utf-8")
    stable = system_text(rng, 3_000)
    lines = [
        body(f"Mira\nSession {n:05}, 2026-11-27T10:{n % 60:02}:{n * 7 % 60:02}Z\n{stable}", f"Where is parcel {n}?")
        for n in range(1_000)
    ]
    (folder / "bodies.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    (folder / "talk.json").write_text(json.dumps(body("Be kind.", *(f"turn {n}" for n in range(16_000)))), "utf-8")
    million = '{"messages":[' + ",".join(['{"role":"user","content":"x"}'] * 1_000_000) + "]}"
    (folder / "million.json").write_text(million, "utf-8")
    names = ("prompts", "bodies.jsonl", "talk.json", "million.json")
    return dict(zip(GOALS, (folder / name for name in names), strict=True))


def run_check(path: Path) -> None:
    """Run the command in this process without its output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(InputError):
        check(parse(["check", str(path)]))


def best(call: Callable[[], object], times: int = 3, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the shortest of `times` runs in seconds."""
    found = []
    for _ in range(times):
        began = clock()
        call()
        found.append(clock() - began)
    return min(found)


def floor(path: Path) -> None:
    """Parse all JSON of an input."""
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        for line in file.read_bytes().split(b"\n"):
            json.loads(line)


def main() -> None:
    """Print a line per input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, path in inputs(Path(folder)).items():
            run_check(path)
            seconds, least = best(lambda path=path: run_check(path)), best(lambda path=path: floor(path))  # type: ignore[misc]
            cpu = best(lambda path=path: run_check(path), clock=time.process_time)  # type: ignore[misc]
            text = f"{seconds * 1_000:,.0f} ms (goal {GOALS[name] * 1_000:,.0f}), {cpu * 1_000:,.0f} ms of one core"
            print(f"{name}: {text}, {seconds / least:.1f} × json.loads")
            if options.profile:
                profile = cProfile.Profile()
                profile.runcall(run_check, path)
                pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
