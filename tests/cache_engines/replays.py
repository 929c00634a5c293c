"""Replays: the product's command, and simple ones that verify the judge and the sessions."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.cache_engines import traffic
from tests.cache_engines.engines import Engine, EngineConfig
from tests.cache_engines.judge import flat_text, shared_length

COMMAND = (sys.executable, "-m", "playground", "replay")


class ReplayError(Exception):
    """The command is missing, ended with an error or printed something that is not JSON."""


@dataclass(frozen=True)
class CommandReplay:
    """`electron-playground replay FILE --json` in a subprocess. It does not share the judge's process or memory."""

    command: Sequence[str] = COMMAND
    options: Sequence[str] = ()
    timeout_s: float = 300

    def __call__(self, path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        memory = ("--learned", str(learned)) if learned is not None else ()
        arguments = [*self.command, str(path), "--json", *memory, *self.options]
        done = subprocess.run(arguments, capture_output=True, timeout=self.timeout_s, check=False)
        if done.returncode:
            raise ReplayError(f"exit status {done.returncode}: {done.stderr.decode('utf-8', 'replace')[-400:]}")
        try:
            return [json.loads(line) for line in done.stdout.decode("utf-8").split("\n") if line.strip()]
        except ValueError as error:
            raise ReplayError(f"not JSON lines: {error}") from error


def naive(path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
    """Forecast a quarter of the characters shared with the previous request, and blame every miss on an edit."""
    objects: list[dict[str, Any]] = []
    before = ""
    for line in traffic.read(path):
        text = flat_text(line["request"])
        reported, prompt = traffic.reported(line) or (None, None)
        forecast = shared_length(text, before) // 4
        before = text
        objects.append(
            {
                "request_id": line["response"]["request_id"],
                "at": line["at"],
                "prompt_tokens": {"forecast": len(text) // 4, "reported": prompt},
                "cached_tokens": {"forecast": forecast, "low": forecast, "high": forecast, "reported": reported},
                "cause": "edited",
                "place": None,
                "basis": "naive",
            }
        )
    return [*objects, {"summary": {}}]


@dataclass(frozen=True)
class Oracle:
    """Repeats the reports and labels of known lines: a perfect replay."""

    lines: Sequence[traffic.Line]
    summary: dict[str, Any]

    def __call__(self, path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        known = {line["response"]["request_id"]: line for line in self.lines}
        objects: list[dict[str, Any]] = []
        for line in traffic.read(path):
            reported, prompt = traffic.reported(line) or (None, None)
            label = known[line["response"]["request_id"]].get("label") or {}
            place = label.get("place")
            objects.append(
                {
                    "request_id": line["response"]["request_id"],
                    "at": line["at"],
                    "prompt_tokens": {"forecast": prompt, "reported": prompt},
                    "cached_tokens": {"forecast": reported, "low": reported, "high": reported, "reported": reported},
                    "cause": label["accept"][0] if label else None,
                    "place": {**place, place["part"]: place["index"]} if place else None,
                    "basis": "oracle",
                }
            )
        return [*objects, {"summary": self.summary}]


@dataclass(frozen=True)
class Informed:
    """Knows the server's rules and tokenizer, but neither restarts nor routing: the best possible forecast."""

    config: EngineConfig

    def __call__(self, path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        engine = Engine(replace(self.config, seed=self.config.seed + 1))
        objects: list[dict[str, Any]] = []
        for line in traffic.read(path):
            prompt, cached = None, None
            if line["response"]["status"] == 200:
                served = engine.serve(line["request"], line["at"], line["response"]["message"])
                prompt, cached = served.prompt_tokens, served.cached_tokens
            objects.append(
                {
                    "request_id": line["response"]["request_id"],
                    "at": line["at"],
                    "prompt_tokens": {"forecast": prompt},
                    "cached_tokens": {"forecast": cached, "low": cached, "high": cached},
                    "cause": None,
                    "place": None,
                    "basis": "informed",
                }
            )
        return [*objects, {"summary": {}}]
