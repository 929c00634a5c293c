"""Run sessions against engines and write the recorded traffic in the replay format of issue 13."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.cache_engines.engines import Engine
from tests.cache_engines.sessions import Step

Line = dict[str, Any]


def record(engine: Engine, steps: Iterable[Step], *, prefix: str = "req") -> list[Line]:
    """Serve every step and return one line per request; `label` is set on labelled breaks only."""
    lines: list[Line] = []
    for index, step in enumerate(steps):
        if step.restart:
            engine.restart()
        found = line(engine, step, f"{prefix}-{index:05d}")
        if not step.hidden:
            lines.append(found)
    return lines


def line(engine: Engine, step: Step, request_id: str) -> Line:
    """Serve one step and return its line. A failed request has neither a message nor a usage."""
    message, usage = None, None
    if step.status == 200:
        served = engine.serve(step.body, step.at, step.answer)
        message = step.answer
        usage = {
            "prompt_tokens": served.prompt_tokens,
            "completion_tokens": served.completion_tokens,
            "total_tokens": served.prompt_tokens + served.completion_tokens,
            **({"prompt_tokens_details": {"cached_tokens": served.cached_tokens}} if step.detailed else {}),
        }
    response = {"status": step.status, "request_id": request_id, "message": message, "usage": usage}
    found: Line = {"at": step.at, "request": step.body, "response": response}
    if step.label:
        found["label"] = step.label
    return found


def reported(found: Line) -> tuple[int, int] | None:
    """Return the cached tokens and the prompt tokens that the server reported, None if it did not report both."""
    usage = found["response"]["usage"] or {}
    details = usage.get("prompt_tokens_details") or {}
    if "cached_tokens" not in details:
        return None
    return details["cached_tokens"], usage["prompt_tokens"]


def write(path: Path, lines: Iterable[Line], *, labels: bool = False) -> None:
    """Write JSON lines; without `labels` the file holds nothing but the replay format."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for found in lines:
            kept = found if labels else {key: value for key, value in found.items() if key != "label"}
            file.write(json.dumps(kept, ensure_ascii=False, separators=(",", ":")) + "\n")


def read(path: Path) -> list[Line]:
    """Read JSON lines."""
    return [json.loads(text) for text in path.read_text("utf-8").split("\n") if text]
