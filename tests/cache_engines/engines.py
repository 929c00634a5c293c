"""Servers: a tokenizer, a chat template, one or more caches and a router, described by one dataclass."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.cache_engines.caches import BlockCache, PrefixCache, RadixCache, SlotCache, stable_hash
from tests.cache_engines.model_templates import ModelTemplate
from tests.cache_engines.templates import Message, Piece, TemplateConfig, answer_pieces, prompt_pieces, tokens_of
from tests.cache_engines.tokens import load

CacheKind = Literal["blocks", "radix", "slots"]
Routing = Literal["random", "prefix_hash"]


@dataclass(frozen=True)
class EngineConfig:
    """Every choice in which servers differ.

    `pool_tokens` limits blocks and the radix tree; `lifetime_s` counts from the last use. `routed_tokens` are hashed
    by the router "prefix_hash". With `answers_cached` the generated tokens are stored, except the last one: a server
    never calculates keys and values for it. `session_scale` lengthens the system
    texts of sessions recorded on the engine. `hidden_reasoning` is generated before each answer and is not part of the
    message, so that the next prompt differs from the stored tokens at the start of the answer.
    """

    name: str
    template: TemplateConfig | ModelTemplate
    tokenizer: str
    cache: CacheKind = "blocks"
    block: int = 16
    answers_cached: bool = True
    minimum: int = 0
    pool_tokens: int | None = None
    lifetime_s: float | None = None
    slots: int = 1
    recompute_last: bool = True
    replicas: int = 1
    routing: Routing = "random"
    routed_tokens: int = 256
    seed: int = 0
    session_scale: float = 1.0
    hidden_reasoning: str = ""

    @property
    def tolerance(self) -> int:
        """The error that counts as "within one block": a block, or 16 tokens if blocks are smaller."""
        return max(16, self.block if self.cache == "blocks" else 1)

    @property
    def appends(self) -> bool:
        """Whether a conversation that continues only appends to its prompt."""
        if isinstance(self.template, ModelTemplate) and self.template.marks_last_turn:
            return False
        return not self.template.system_last and self.template.tools != "before_last_user"

    @property
    def answers_reusable(self) -> bool:
        """Whether the tokens of an answer are found by the next prompt."""
        return self.answers_cached and not self.hidden_reasoning

    @property
    def true_block(self) -> int:
        """The granularity of a hit in tokens."""
        return self.block if self.cache == "blocks" else 1


@dataclass(frozen=True)
class Served:
    """The usage that a server reports for one request."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    replica: int


class Engine:
    """A server. Time is passed in; equal requests in equal order give equal reports."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self._tokenizer = load(config.tokenizer)
        self._router = random.Random(config.seed)
        self._caches: dict[tuple[str, int], PrefixCache] = {}

    def serve(self, body: Mapping[str, Any], now: float, answer: Mapping[str, Any]) -> Served:
        """Serve one request whose generated message is `answer`, and return the reported usage."""
        prompt = self._tokens(prompt_of(self.config, body))
        reasoning = [self.config.hidden_reasoning] if self.config.hidden_reasoning else []
        completion = self._tokens([*reasoning, *answer_of(self.config, answer)])
        computed = prompt + completion[:-1] if self.config.answers_cached else prompt
        replica = self._replica(prompt)
        cached = self._cache(str(body.get("model", "")), replica).serve(prompt, computed, now)
        return Served(len(prompt), cached, len(completion), replica)

    def restart(self) -> None:
        """Empty every cache."""
        self._caches.clear()

    def lose(self, replica: int | None = None) -> None:
        """Empty one replica's caches, or all of them."""
        for key in [key for key in self._caches if replica is None or key[1] == replica]:
            del self._caches[key]

    def _tokens(self, pieces: Any) -> tuple[int, ...]:
        return tokens_of(pieces, self._tokenizer.encode, self._tokenizer.special)

    def _replica(self, prompt: tuple[int, ...]) -> int:
        if self.config.replicas == 1:
            return 0
        if self.config.routing == "random":
            return self._router.randrange(self.config.replicas)
        return stable_hash(prompt[: self.config.routed_tokens]) % self.config.replicas

    def _cache(self, model: str, replica: int) -> PrefixCache:
        return self._caches.setdefault((model, replica), _new_cache(self.config))


def prompt_of(config: EngineConfig, body: Mapping[str, Any]) -> list[Piece]:
    """Return the prompt that a request is rendered to."""
    template = config.template
    return template.prompt(body) if isinstance(template, ModelTemplate) else prompt_pieces(template, body)


def answer_of(config: EngineConfig, message: Message) -> list[Piece]:
    """Return what the model generates for a message."""
    template = config.template
    return template.answer(message) if isinstance(template, ModelTemplate) else answer_pieces(template, message)


def _new_cache(config: EngineConfig) -> PrefixCache:
    if config.cache == "radix":
        return RadixCache(capacity=config.pool_tokens, lifetime_s=config.lifetime_s)
    if config.cache == "slots":
        return SlotCache(config.slots)
    return BlockCache(
        config.block,
        pool=None if config.pool_tokens is None else config.pool_tokens // config.block,
        minimum=config.minimum,
        lifetime_s=config.lifetime_s,
        recompute_last=config.recompute_last,
    )
