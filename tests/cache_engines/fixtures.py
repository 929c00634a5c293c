"""The committed traffic in tests/data/cache_traffic: a seed that no benchmark and no other test uses.

Run `python -m tests.cache_engines.fixtures` to write the files again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.cache_engines import break_runs, traffic
from tests.cache_engines.breaks import cases
from tests.cache_engines.catalogue import named
from tests.cache_engines.engines import Engine
from tests.cache_engines.sessions import Clock, steps
from tests.cache_engines.traffic import Line

FOLDER = Path(__file__).parent.parent / "data" / "cache_traffic"
HELD_OUT_SEED = 90_210
LINES = 25
SESSIONS: tuple[tuple[str, str, float], ...] = (
    ("blocks_16", "voice_tools", 0.25),
    ("blocks_16_small_pool", "mixed_day", 0.5),
    ("blocks_16_tools_before_last_user", "voice_tools", 0.25),
    ("radix", "scripts", 0.5),
    ("minimum_1024_steps_128", "alternating", 1.9),
    ("units_64", "iteration", 0.3),
    ("one_slot", "alternating", 0.5),
    ("four_replicas_random", "voice", 0.25),
    ("four_replicas_prefix_hash", "tools_changed", 0.2),
    ("tools_first_answers_not_cached", "json", 0.2),
    ("blocks_16_lifetime_5_min", "mixed_day", 0.4),
    ("blocks_16", "gaps_in_reports", 0.2),
)
"""Engine, session kind and the scale of the system texts."""


def files() -> Iterator[tuple[str, list[Line]]]:
    """Yield the name and the lines of every file."""
    for engine, kind, scale in SESSIONS:
        recorded = traffic.record(Engine(named(engine)), steps(kind, HELD_OUT_SEED, scale))
        yield f"{engine}-{kind}.jsonl", recorded[:LINES]
    positions: tuple[break_runs.Position, ...] = ("first", "after_system")
    for position in positions:
        yield f"breaks-tools_{position}.jsonl", _breaks(position)


def _breaks(position: break_runs.Position) -> list[Line]:
    """Return a few breaks in one file."""
    engine = Engine(break_runs.config(position, "plain"))
    counts: Counter[str] = Counter()
    found: list[Line] = []
    for number, case in enumerate(cases(HELD_OUT_SEED, "plain", Clock())):
        counts[case.name] += 1
        if counts[case.name] <= _wanted(position, case.name):
            found += break_runs.record_case(engine, case, f"{case.name}-{number}", trained=True)
    return found


def _wanted(position: break_runs.Position, name: str) -> int:
    """Return how many breaks of a kind are written: the eight changes of tools where tools follow the system text."""
    if position == "first":
        return 2 if name == "tools" else 1
    return {"tools": 8, "edited": 1, "parameters": 1, "server": 1}.get(name, 0)


def write() -> None:
    """Write every file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, lines in files():
        traffic.write(FOLDER / name, lines, labels=True)


if __name__ == "__main__":
    write()
