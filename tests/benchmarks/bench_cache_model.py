"""Forecasts and explanations of `replay` on independent engines: issue 13's tables.

Run: python -m tests.benchmarks.bench_cache_model [--quick] [--engine NAME] [--kind NAME] [--seed N] [--only PART]
     [--matrix] [--save FOLDER] [--bound [tokens]]

Exit status: 0 if every figure is reached, 1 if not, 2 if the replay command cannot be run.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.cache_engines import break_runs, traffic
from tests.cache_engines.caches import PoolTooSmallError
from tests.cache_engines.catalogue import CORE, engines, named
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.estimated import Estimated
from tests.cache_engines.judge import Causes, Replay, Score, false_facts, inferred, judge_lines, judge_restart, total
from tests.cache_engines.replays import CommandReplay, Informed, ReplayError, naive
from tests.cache_engines.sessions import SESSIONS, steps
from tests.cache_engines.traffic import Line

QUICK_KINDS = ("voice", "voice_tools", "rag", "iteration", "tools_changed", "scripts", "mixed_day")
PARTS = ("sessions", "restart", "breaks", "speed")
SPEED_REQUESTS = 1_000
SPEED_LIMIT_S = 5.0


def recorded(config: EngineConfig, kind: str, seed: int) -> list[Line] | None:
    """Return the traffic of a session on an engine, None if its pool is too small for one of the prompts."""
    try:
        return traffic.record(Engine(config), steps(kind, seed, config.session_scale), prefix=f"{kind}-{seed}")
    except PoolTooSmallError:
        return None


def percent(value: float) -> str:
    """Format a share; a share of nothing is a dash."""
    return "—" if math.isnan(value) else f"{100 * value:.1f}"


class Bench:
    """Runs the parts, prints their tables and collects the figures that are not reached."""

    def __init__(self, replay: Replay, configs: Sequence[EngineConfig], kinds: Sequence[str], seeds: Sequence[int]):
        self.replay = replay
        self.configs = configs
        self.kinds = kinds
        self.seeds = seeds
        self.failures: list[str] = []
        self.matrix = False
        self.bound = ""
        self.quick = False

    def replay_for(self, config: EngineConfig) -> Replay:
        """Return the replay to judge; with `bound` one that knows its rules."""
        if self.bound == "tokens":
            return Estimated(config)
        return Informed(config) if self.bound else self.replay

    def need(self, reached: bool, text: str) -> None:
        """Record a figure that is not reached."""
        if not reached:
            self.failures.append(text)

    def pairs(self, kinds: Sequence[str] = ()) -> Iterable[tuple[EngineConfig, str, list[Line]]]:
        for config in self.configs:
            for kind in kinds or self.kinds:
                for seed in self.seeds:
                    if (lines := recorded(config, kind, seed)) is not None:
                        yield config, kind, lines

    def sessions(self) -> None:
        """Score whole sessions per engine and per kind, and the inferred properties."""
        by_engine: dict[str, list[Score]] = defaultdict(list)
        by_kind: dict[str, list[Score]] = defaultdict(list)
        cells: dict[str, dict[str, list[Score]]] = defaultdict(lambda: defaultdict(list))
        facts: dict[str, Counter[str]] = defaultdict(Counter)
        false: Counter[str] = Counter()
        for config, kind, lines in self.pairs():
            replay = self.replay_for(config)
            score = judge_lines(lines, replay, tolerance=config.tolerance, appends=config.appends)
            cells[config.name][kind].append(score)
            false.update(f"{config.name}: {text}" for text in false_facts(score.summary, config))
            by_engine[config.name].append(score)
            if not is_random(config):
                by_kind[kind].append(score)
            has_tools = any(line["request"].get("tools") for line in lines)
            for name, result in inferred(score.summary, config, has_tools=has_tools).items():
                facts[config.name][f"{name} {result}"] += 1
        self._table("engine", by_engine)
        self._table("session kind, random routing left out", by_kind)
        self._check(by_engine, by_kind)
        self._facts(facts, false)
        if self.matrix:
            self._matrix(cells)

    def _matrix(self, cells: dict[str, dict[str, list[Score]]]) -> None:
        print(f"\n{'within / covers after 20':34}" + "".join(f"{kind[:11]:>12}" for kind in self.kinds))
        for engine, kinds in cells.items():
            samples = [total(kinds[kind]).trained for kind in self.kinds]
            texts = (f"{100 * one.within_share:.0f}/{100 * one.coverage:.0f}" if one.count else "—" for one in samples)
            print(f"{engine:34}" + "".join(f"{text:>12}" for text in texts))

    def _table(self, title: str, groups: dict[str, list[Score]]) -> None:
        heads = (
            "n",
            "within",
            "covers",
            "width",
            "all within",
            "all covers",
            "unknown",
            "prompt err",
            "chars/4",
            "as last",
        )
        print(f"\n{title:34}" + "".join(f"{head:>11}" for head in heads))
        for name, scores in [*groups.items(), ("all", [score for group in groups.values() for score in group])]:
            score = total(scores)
            cells = (
                str(score.trained.count),
                percent(score.trained.within_share),
                percent(score.trained.coverage),
                f"{score.trained.width:.0f}",
                percent(score.overall.within_share),
                percent(score.overall.coverage),
                str(score.trained.unknown),
                percent(score.trained.prompt_error),
                percent(score.naive_quarter.within_share),
                percent(score.naive_last.within_share),
            )
            print(f"{name:34}" + "".join(f"{cell:>11}" for cell in cells))

    def _check(self, by_engine: dict[str, list[Score]], by_kind: dict[str, list[Score]]) -> None:
        for config in self.configs:
            if config.name not in by_engine:
                continue
            sample = total(by_engine[config.name]).trained
            self.need(sample.coverage >= 0.88, f"{config.name}: coverage {percent(sample.coverage)}")
            # More than 99 % is too much only if the intervals are wide: exact ones may always be right.
            wide = sample.coverage > 0.99 and sample.width > config.true_block and not is_random(config)
            self.need(not wide, f"{config.name}: coverage {percent(sample.coverage)} of wide intervals")
            if not is_random(config):
                limit = max(32, 2 * config.true_block)
                self.need(sample.width <= limit, f"{config.name}: median width {sample.width:.0f} > {limit}")
        for kind, scores in by_kind.items():
            share = total(scores).trained.within_share
            self.need(share >= 0.95, f"{kind}: within one block {percent(share)}")
        causes = total(score for group in by_engine.values() for score in group).causes
        blamed = causes.identical_blamed + causes.lost_blamed
        print(
            f"\nblamed on the prompt: {causes.identical_blamed} of {causes.identical} misses of identical bytes, "
            f"{causes.lost_blamed} of {causes.lost} lost prefixes; {causes.alarms} alarms without a miss"
        )
        self.need(blamed == 0, f"misses that are the server's blamed on the prompt {blamed} times in sessions")
        self.need(causes.alarms == 0, f"{causes.alarms} changes of the prompt named although nothing was missed")

    def _facts(self, facts: dict[str, Counter[str]], false: Counter[str]) -> None:
        names = ("block", "answers_cached", "tools_position")
        print(f"\n{'inferred: right / wrong / unknown':34}" + "".join(f"{name:>17}" for name in names))
        for engine, counted in facts.items():
            cells = (
                "/".join(str(counted[f"{name} {kind}"]) for kind in ("right", "wrong", "unknown")) for name in names
            )
            print(f"{engine:34}" + "".join(f"{cell:>17}" for cell in cells))
        print(f"\nwrong with a confidence of 0.9 or more: {false.total()}")
        for text, count in false.most_common():
            print(f"  {text} ({count} times)")
        self.need(not false, f"{false.total()} wrong properties with a confidence of 0.9 or more")

    def restart(self) -> None:
        """Score the second half of every session from its first request, with the memory of the first half."""
        groups: dict[str, list[Score]] = defaultdict(list)
        # Two processes per session: the kinds of the quick run are enough.
        kinds = [kind for kind in self.kinds if kind in QUICK_KINDS] or self.kinds
        with tempfile.TemporaryDirectory() as folder:
            for index, (config, _kind, lines) in enumerate(self.pairs(kinds)):
                memory = Path(folder) / f"{index}.learned"
                groups[config.name].append(
                    judge_restart(lines, self.replay_for(config), memory, tolerance=config.tolerance)
                )
        self._table("second half after a restart", groups)
        for config in self.configs:
            sample = total(groups[config.name]).trained
            self.need(sample.coverage >= 0.88, f"{config.name} after a restart: coverage {percent(sample.coverage)}")
            if not is_random(config):
                share = sample.within_share
                self.need(share >= 0.95, f"{config.name} after a restart: within one block {percent(share)}")

    def restart_if_supported(self) -> None:
        """Run the restart part; a command without `--learned` fails this part only."""
        try:
            self.restart()
        except ReplayError as error:
            self.failures.append(f"restart: {error}")

    def breaks(self) -> None:
        """Score the labelled breaks in both tool positions, with a trained and an untrained model."""
        print(f"\n{'breaks':34}{'n':>8}{'causes':>9}{'places':>9}{'identical blamed':>18}")
        wrong: list[str] = []
        positions: tuple[break_runs.Position, ...] = ("first", "after_system")
        for position in positions:
            for trained in (True, False):
                causes = self._breaks(position, trained)
                name = f"tools {position}, {'trained' if trained else 'untrained'}"
                right, places = causes.right / causes.breaks, causes.places_right / causes.places
                blamed = f"{causes.identical_blamed} of {causes.identical}"
                print(f"{name:34}{causes.breaks:>8}{percent(right):>9}{percent(places):>9}{blamed:>18}")
                self.need(right >= 0.97, f"{name}: causes {percent(right)}")
                self.need(places >= 0.99, f"{name}: places {percent(places)}")
                self.need(
                    causes.identical_blamed == 0, f"{name}: identical bytes blamed {causes.identical_blamed} times"
                )
                wrong += [f"{name}: {text}" for text in causes.wrong]
        for text in wrong:
            print(f"  {text}")

    def _breaks(self, position: break_runs.Position, trained: bool) -> Causes:
        found = Causes()
        for seed in self.seeds:
            for needs in break_runs.NEEDS:
                if trained:
                    files = [break_runs.trained(position, needs, seed)]
                else:
                    files = break_runs.untrained(position, needs, seed)[:: 4 if self.quick else 1]
                for lines in files:
                    found.merge(judge_lines(lines, self.replay).causes)
        return found

    def speed(self) -> None:
        """Time the replay of 1,000 requests of about 3,000 tokens."""
        config = CORE[0]
        lines: list[Line] = []
        seed = 100
        engine = Engine(config)
        while len(lines) < SPEED_REQUESTS:
            lines += traffic.record(engine, steps("voice", seed, 4.0), prefix=f"speed-{seed}")
            seed += 1
        lines = lines[:SPEED_REQUESTS]
        for index, line in enumerate(lines):
            line["at"] = lines[0]["at"] + 12.0 * index
        mean = sum(line["response"]["usage"]["prompt_tokens"] for line in lines) / len(lines)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "speed.jsonl"
            traffic.write(file, lines)
            start = time.perf_counter()
            self.replay(file)
            took = time.perf_counter() - start
        print(f"\nreplay of {len(lines):,} requests of {mean:,.0f} tokens on average: {took:.1f} s")
        self.need(took <= SPEED_LIMIT_S, f"replay took {took:.1f} s")


def is_random(config: EngineConfig) -> bool:
    """Return whether requests go to replicas at random, so that no forecast can be exact."""
    return config.replicas > 1 and config.routing == "random"


def save(pairs: Iterable[tuple[EngineConfig, str, list[Line]]], folder: Path) -> None:
    """Write one file per engine and session, for a look at single requests."""
    folder.mkdir(parents=True, exist_ok=True)
    for config, _kind, lines in pairs:
        name = lines[0]["response"]["request_id"].rpartition("-")[0]
        traffic.write(folder / f"{config.name}-{name}.jsonl", lines)


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the ten core engines, seven session kinds, fewer untrained breaks"
    )
    parser.add_argument("--engine", action="append", default=[], help="only this engine (may be repeated)")
    parser.add_argument("--kind", action="append", default=[], choices=sorted(SESSIONS), help="only this session kind")
    parser.add_argument("--seed", action="append", type=int, default=[], help="seed of the sessions; default 1")
    parser.add_argument("--only", action="append", default=[], choices=PARTS, help="only this part")
    parser.add_argument("--matrix", action="store_true", help="print engines by session kinds")
    parser.add_argument("--save", type=Path, help="write the traffic of the sessions to this folder and end")
    parser.add_argument(
        "--bound",
        nargs="?",
        const="rules",
        default="",
        choices=("rules", "tokens"),
        help="judge a forecast that knows the server's rules and tokenizer, or its rules only; sessions only",
    )
    parser.add_argument("--naive", action="store_true", help="judge the naive replay instead of the command")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark; see the module's docstring."""
    chosen = _arguments(arguments)
    configs = [named(name) for name in chosen.engine] or engines(variants=not chosen.quick)
    kinds = chosen.kind or (QUICK_KINDS if chosen.quick else tuple(SESSIONS))
    bench = Bench(naive if chosen.naive else CommandReplay(), configs, kinds, chosen.seed or [1])
    bench.matrix, bench.bound, bench.quick = chosen.matrix, chosen.bound, chosen.quick
    if chosen.save:
        save(bench.pairs(), chosen.save)
        return 0
    parts: dict[str, Callable[[], None]] = {name: getattr(bench, name) for name in PARTS}
    parts["restart"] = bench.restart_if_supported
    try:
        for name in chosen.only or (("sessions",) if chosen.bound else PARTS):
            parts[name]()
    except ReplayError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    print("\nreached" if not bench.failures else "\nnot reached:")
    for text in bench.failures:
        print(f"  {text}")
    return 1 if bench.failures else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
