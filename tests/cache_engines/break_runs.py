"""Record the labelled breaks on servers with tools first and with tools after the system text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tests.cache_engines.breaks import Case, Needs, cases
from tests.cache_engines.catalogue import JSON_INSTRUCTION
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.sessions import Client, Clock, Step, conversation
from tests.cache_engines.templates import chatml, qwen
from tests.cache_engines.traffic import Line, line

Position = Literal["first", "after_system"]
NEEDS: tuple[Needs, ...] = ("plain", "lifetime", "minimum")
LIFETIME_S = 600.0


def config(position: Position, needs: Needs) -> EngineConfig:
    """Return the server on which the breaks of `needs` are recorded."""
    template = chatml("first") if position == "first" else qwen("in_system")
    template = replace(template, json_instruction=JSON_INSTRUCTION)
    name = f"breaks_{position}_{needs}"
    base = EngineConfig(name, template, "o200k" if position == "first" else "cl100k")
    if needs == "lifetime":
        return replace(base, lifetime_s=LIFETIME_S)
    if needs == "minimum":
        return replace(base, minimum=1024, block=128, answers_cached=False)
    return base


def _training(client: Client, needs: Needs) -> list[Step]:
    """Return traffic that shows the block size, and the lifetime or the minimum if `needs` names one."""
    clock = client.clock
    system = client.writer.instructions(90 if needs == "minimum" else 40)
    found = list(conversation(client, system, 12, client.writer.tools(5)))
    found += conversation(client, system, 10)
    messages = [{"role": "system", "content": system}, client.user()]
    if needs == "lifetime":
        for minutes in (2, 5, 8, 9, 9.5, 10.5, 11, 13, 9.8, 15, 10.2, 25, 40):
            found.append(client.step(messages))
            clock.wait(60 * minutes)
        found.append(client.step(messages))
    elif needs == "minimum":
        for sentences in (20, 35, 45, 55, 60, 64, 68, 72, 78, 84, 90, 120):
            short = [{"role": "system", "content": client.writer.instructions(sentences)}, client.user()]
            for _ in range(3):
                found.append(client.step(short))
                clock.wait(5)
    clock.wait(30)
    return found


def record_case(engine: Engine, case: Case, prefix: str, *, trained: bool) -> list[Line]:
    found = []
    for index, step in enumerate(case.steps):
        last = index == len(case.steps) - 1
        if last and case.lose:
            engine.lose()
        label = {"name": case.name, "accept": case.accept if trained else case.accept_untrained, "place": case.place}
        labelled = replace(step, label={**label, "accept": list(label["accept"] or ())} if last else {})
        found.append(line(engine, labelled, f"{prefix}-{index}"))
    return found


def trained(position: Position, needs: Needs, seed: int) -> list[Line]:
    """Return one file: training traffic, then every case."""
    clock = Clock()
    engine = Engine(config(position, needs))
    client = Client(random.Random(f"training:{seed}:{needs}"), clock)
    found = [line(engine, step, f"training-{at}") for at, step in enumerate(_training(client, needs))]
    for number, case in enumerate(cases(seed, needs, clock)):
        found += record_case(engine, case, f"{case.name}-{number}", trained=True)
    return found


def untrained(position: Position, needs: Needs, seed: int) -> list[list[Line]]:
    """Return one file per case, each from a server that nothing is known about."""
    found = []
    for number, case in enumerate(cases(seed, needs, Clock())):
        engine = Engine(config(position, needs))
        found.append(record_case(engine, case, f"{case.name}-{number}", trained=False))
    return found


def breaks(lines: Sequence[Line]) -> list[Line]:
    """Return the labelled lines."""
    return [found for found in lines if found.get("label")]
