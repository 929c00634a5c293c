"""The work of `check` for each of many recorded requests is bounded. It is counted: a clock depends on the machine."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from playground.prefix_cache import losses, moved_text
from playground.prefix_cache.losses import varying_spans

REQUESTS = 200
TEXT = "answer the caller with one short sentence and confirm their address before you read an order number"


def _bodies() -> list[dict[str, Any]]:
    rng = random.Random(7)
    stable = "\n".join(" ".join(rng.choices(TEXT.split(), k=12)) for _ in range(200))
    heads = (f"Mira\nSession {n:05}, 2026-11-27T10:{n % 60:02}:{n * 7 % 60:02}Z\n{stable}" for n in range(REQUESTS))
    return [{"messages": [{"role": "system", "content": head}, {"role": "user", "content": "Hi"}]} for head in heads]


def test_many_requests_of_one_program_are_compared_with_few_others_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function: Callable[..., object] = getattr(module, name)

        def counted(*args: object, **more: object) -> object:
            calls[name] += 1
            return function(*args, **more)

        monkeypatch.setattr(module, name, counted)

    count(losses, "common_prefix")
    count(moved_text, "_plain")
    assert [span.kind for span in varying_spans(_bodies())]
    assert calls["common_prefix"] <= 8 * REQUESTS
    assert calls["_plain"] == 0, "the words without digits are needed only if paragraphs moved"
