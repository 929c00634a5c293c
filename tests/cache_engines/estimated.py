"""A replay that knows a server's rules but not its tokenizer: shows how close an estimate of tokens can come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cache_engines import traffic
from tests.cache_engines.engines import EngineConfig, answer_of, prompt_of
from tests.cache_engines.judge import shared_length
from tests.cache_engines.templates import Piece, Special
from tests.cache_engines.tokens import Tokenizer, load

KEPT = 80


@dataclass(frozen=True)
class _Past:
    at: float
    text: str
    pieces: Sequence[Piece]
    prompt_length: int
    prompt_tokens: int
    all_tokens: int


def _text(pieces: Sequence[Piece]) -> str:
    return "".join(piece.name if isinstance(piece, Special) else piece for piece in pieces)


def _count(tokenizer: Tokenizer, pieces: Sequence[Piece], length: int) -> int:
    """Return the tokens of the first `length` characters of the rendered text."""
    count = 0
    for piece in pieces:
        size = len(piece.name if isinstance(piece, Special) else piece)
        if isinstance(piece, Special):
            count += size <= length
        else:
            count += len(tokenizer.encode(piece[:length]))
        length -= size
        if length <= 0:
            break
    return count


@dataclass(frozen=True)
class Estimated:
    """Forecasts from the longest shared rendered text, with another vocabulary scaled by the reported sizes.

    Evictions, restarts and routing are not known to it.
    """

    config: EngineConfig

    def __call__(self, path: Path, learned: Path | None = None) -> list[dict[str, Any]]:
        tokenizer = load("cl100k" if self.config.tokenizer == "deepseek" else "deepseek")
        past: list[_Past] = []
        objects: list[dict[str, Any]] = []
        for line in traffic.read(path):
            pieces = prompt_of(self.config, line["request"])
            forecast = self._forecast(tokenizer, past, pieces, line["at"])
            objects.append(
                {
                    "request_id": line["response"]["request_id"],
                    "at": line["at"],
                    "prompt_tokens": {"forecast": None},
                    "cached_tokens": {"forecast": forecast, "low": forecast, "high": forecast},
                    "cause": None,
                    "place": None,
                    "basis": "estimated",
                }
            )
            if line["response"]["status"] == 200:
                past.append(self._remember(line, pieces))
        return [*objects, {"summary": {}}]

    def _remember(self, line: traffic.Line, pieces: Sequence[Piece]) -> _Past:
        usage = line["response"]["usage"]
        prompt = _text(pieces)
        found, tokens = list(pieces), usage["prompt_tokens"]
        if self.config.answers_reusable:
            found += answer_of(self.config, line["response"]["message"])[:1]
            tokens += usage["completion_tokens"] - 1
        return _Past(line["at"], _text(found), found, len(prompt), usage["prompt_tokens"], tokens)

    def _forecast(self, tokenizer: Tokenizer, past: Sequence[_Past], pieces: Sequence[Piece], now: float) -> int:
        text = _text(pieces)
        lifetime = self.config.lifetime_s
        kept = past[-self.config.slots :] if self.config.cache == "slots" else past[-KEPT:]
        alive = [one for one in kept if lifetime is None or now - one.at <= lifetime]
        if not alive:
            return 0
        best = max(alive, key=lambda one: (shared_length(text, one.text), one.at))
        shared = shared_length(text, best.text)
        prompt = _count(tokenizer, best.pieces, best.prompt_length)
        estimate = best.prompt_tokens * _count(tokenizer, best.pieces, shared) / max(1, prompt)
        if shared >= best.prompt_length:
            answer = max(1, _count(tokenizer, best.pieces, len(best.text)) - prompt)
            part = (_count(tokenizer, best.pieces, shared) - prompt) / answer
            estimate = best.prompt_tokens + part * (best.all_tokens - best.prompt_tokens)
        if shared == len(text) and self.config.recompute_last:
            estimate -= 1
        size = self.config.true_block
        served = int(estimate + 0.5) // size * size
        return served if served >= self.config.minimum else 0
