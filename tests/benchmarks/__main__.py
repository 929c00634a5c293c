"""Run the benchmarks and write their figures to `docs/figures.md`.

python -m tests.benchmarks [--only NAME] [--peers] [--quick] [--dry-run] [--timeout SECONDS] [--minutes MINUTES]

Each benchmark runs in a separate process. Its output is one row of the table between the markers in the page; rows of
benchmarks that did not run stay. A benchmark that fails or takes too long is a row with its exit status and last lines;
a goal that is missed is no failure. No benchmark starts after MINUTES. `--peers` runs those that also measure what a
user would use instead, and writes their lines into the second table. `--quick` uses small sizes and prints only:
figures at other sizes do not belong in the table. Larger sizes than those of the table: run the benchmark's own module.
Exit status: 1 if a benchmark failed or did not run.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "figures.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
PEERS_BEGIN, PEERS_END = "<!-- peers: begin -->", "<!-- peers: end -->"
_HEAD = "| benchmark | output | date | commit | machine |\n|---|---|---|---|---|"
_PEERS_HEAD = "| benchmark | task | compared with | measured | date | commit | machine |\n|---|---|---|---|---|---|---|"
_ROW = re.compile(r"^\| `(\w+)` \|.*$", re.MULTILINE)
_NOISE = ("This plugin does not support", "qt.")
_MOST_LINES, _FAILED_LINES = 60, 8
_LOG = "{log}"
"""Argument that is replaced by the folder in which `log_large` leaves its log for `log_window`."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module `bench_NAME` with its arguments: those of the table, and those of `--quick`."""

    name: str
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    peer: Peer | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """What a user would use instead for a task, and the pattern of the lines of output that compare the two."""

    task: str
    name: str
    lines: str


BENCHMARKS = (
    Benchmark("start", quick=("3",)),
    Benchmark("theme", quick=("2",)),
    Benchmark(
        "typing",
        quick=("50",),
        peer=Peer("type into a prompt of 130 KB", "a bare QPlainTextEdit, without marks and forecast", "× bare"),
    ),
    Benchmark("prefix", quick=("20",)),
    Benchmark("volatile"),
    Benchmark("tools"),
    Benchmark("stream", quick=("2",)),
    Benchmark("stream_pane"),
    Benchmark("parallel", quick=("2",)),
    Benchmark("stop", quick=("5",)),
    Benchmark("masking", quick=("prose",)),
    Benchmark(
        "client",
        quick=("500",),
        peer=Peer("stream a completion", "OpenAI SDK for Python", "chunks, |^run |^OpenAI|cheaper"),
    ),
    Benchmark("one_send"),
    Benchmark("sends", full=("300",), quick=("50",)),
    Benchmark("chain"),
    Benchmark("spoken"),
    Benchmark("advice"),
    Benchmark("cache_model", full=("--quick",), quick=("--quick",)),
    Benchmark("index", full=("10000",), quick=("1000",)),
    Benchmark("forecast", full=("10000",), quick=("1000",)),
    Benchmark("log", quick=("2000",)),
    Benchmark("peers", full=("2000",), quick=("500",), peer=Peer("list and search logged requests", "`llm logs`", "")),
    Benchmark("log_large", full=("100000", "--keep", _LOG), quick=("5000", "--keep", _LOG)),
    Benchmark("log_window", full=(_LOG,), quick=(_LOG,)),
    Benchmark("handover", quick=("200",)),
    Benchmark("check"),
    Benchmark("leaks", quick=("--count", "20")),
    Benchmark("versions"),
    Benchmark("compare", quick=("2",)),
    Benchmark("batch", quick=("plan",)),
    Benchmark("batch_window", quick=("1000",)),
    Benchmark(
        "batch_peers",
        quick=("200",),
        peer=Peer("1,000 prompts with 40 prefixes", "a script with the OpenAI SDK; promptfoo if installed", "status"),
    ),
    Benchmark(
        "recorder",
        quick=("--requests", "50"),
        peer=Peer("record another program's requests", "a proxy that only copies bytes", "added|CPU|stream"),
    ),
    Benchmark(
        "recorder_bytes", full=("--requests", "1000", "--kills", "10"), quick=("--requests", "50", "--kills", "1")
    ),
    Benchmark("recorder_window"),
    Benchmark("recorder_sdks"),
    Benchmark("kills", full=("50",), quick=("5",)),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a benchmark printed, with its exit status; `status` is None after a timeout."""

    lines: tuple[str, ...]
    status: int | None
    seconds: float

    @property
    def cell(self) -> str:
        """Return the output as one cell of a Markdown table."""
        shown = [line.replace("|", "\\|").replace("<", "&lt;") for line in self.lines[-_MOST_LINES:]]
        failed = [] if self.status == 0 else [f"**exit status {'timeout' if self.status is None else self.status}**"]
        return "<br>".join([*failed, *shown])


def run(benchmark: Benchmark, arguments: Sequence[str], timeout_s: float) -> Outcome:
    """Run a benchmark to its end, or to the timeout."""
    command = [sys.executable, "-m", f"tests.benchmarks.bench_{benchmark.name}", *arguments]
    environment = {"QT_QPA_PLATFORM": "offscreen", **os.environ}
    # An installed program has its byte code; without it, imports would be most of many figures.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            # Its servers and other children as well.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        printed = (line.strip() for line in output)
        lines = tuple(line for line in printed if line and not line.startswith(_NOISE))
    return Outcome(lines if status == 0 else lines[-_FAILED_LINES:], status, time.monotonic() - start)


def table(page: str, rows: Mapping[str, str], *, peers: bool = False) -> str:
    """Return the page with these rows (by benchmark) in one of its tables, which is added at the end if missing."""
    begin, end, head = (PEERS_BEGIN, PEERS_END, _PEERS_HEAD) if peers else (BEGIN, END, _HEAD)
    title = "Compared with what you would use instead" if peers else "Output of each benchmark"
    before, found, rest = page.partition(begin)
    inside, _, after = rest.partition(end) if found else ("", "", "\n")
    if not found:
        command = f"python -m tests.benchmarks{' --peers' * peers}"
        before = f"{page.rstrip()}\n\n## {title}\n\nWritten by `{command}`.\n\n"
    merged = {match[1]: match[0] for match in _ROW.finditer(inside)} | dict(rows)
    order = [benchmark.name for benchmark in BENCHMARKS]
    lines = [merged[name] for name in order if name in merged]
    return "\n".join([f"{before}{begin}", head, *lines, f"{end}{after}"])


def row(name: str, outcome: Outcome, commit: str, peer: Peer | None = None) -> str:
    """Return a benchmark's row, or its row of the second table."""
    cells = [outcome.cell]
    if peer is not None:
        compared = tuple(line for line in outcome.lines if outcome.status or re.search(peer.lines, line))
        cells = [peer.task, peer.name, replace(outcome, lines=compared).cell]
    return f"| `{name}` | {' | '.join(cells)} | {datetime.now(UTC):%Y-%m-%d} | {commit} | {machine()} |"


def machine() -> str:
    """Return the processors, system and Python of this machine, without its name."""
    return f"{os.cpu_count()} × {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def revision() -> str:
    """Return the short commit, with `+` if files differ from it; `unknown` outside a repository."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Run the benchmarks.")
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--peers", action="store_true", help="compare with what a user would use instead")
    parser.add_argument("--quick", action="store_true", help="small sizes; the page is not changed")
    parser.add_argument("--dry-run", action="store_true", help="do not change the page")
    parser.add_argument("--timeout", type=float, default=240.0, metavar="SECONDS", help="of each benchmark (240)")
    parser.add_argument("--minutes", type=float, default=20.0, help="no benchmark starts after this time (20)")
    return parser.parse_args()


def main() -> int:
    """Run the chosen benchmarks one after another; return the exit status."""
    options, commit, failed = _arguments(), revision(), 0
    end = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        for benchmark in BENCHMARKS:
            peer = benchmark.peer if options.peers else None
            if (options.only and benchmark.name not in options.only) or (options.peers and peer is None):
                continue
            if time.monotonic() > end:
                failed += 1
                print(f"{benchmark.name}: not run, {options.minutes:g} minutes are over", flush=True)
                continue
            chosen = benchmark.quick if options.quick else benchmark.full
            outcome = run(benchmark, [folder if each == _LOG else each for each in chosen], options.timeout)
            failed += outcome.status != 0
            print(f"{benchmark.name}: exit status {outcome.status}, {outcome.seconds:.1f} s", flush=True)
            print("\n".join(f"  {line}" for line in outcome.lines), flush=True)
            if not (options.quick or options.dry_run):
                rows = {benchmark.name: row(benchmark.name, outcome, commit, peer)}
                page = table(PAGE.read_text(encoding="utf-8"), rows, peers=options.peers)
                PAGE.write_text(page, encoding="utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
