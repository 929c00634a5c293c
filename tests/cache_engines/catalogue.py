"""The engines of the benchmark, by name."""

from __future__ import annotations

from dataclasses import replace

from tests.cache_engines import templates
from tests.cache_engines.engines import EngineConfig
from tests.cache_engines.tokens import available

JSON_INSTRUCTION = "Answer with one valid JSON object and nothing else."

BLOCKS = EngineConfig("blocks_16", templates.qwen(), "o200k")
LAST_USER = EngineConfig("blocks_16_tools_before_last_user", templates.mistral(), "cl100k")

CORE: tuple[EngineConfig, ...] = (
    BLOCKS,
    replace(BLOCKS, name="blocks_16_small_pool", pool_tokens=4_096, tokenizer="deepseek"),
    LAST_USER,
    EngineConfig("radix", templates.llama3(), "cl100k", cache="radix"),
    EngineConfig(
        "minimum_1024_steps_128",
        templates.chatml("first", tool_format="typescript"),
        "o200k",
        block=128,
        minimum=1024,
        answers_cached=False,
        recompute_last=False,
        lifetime_s=600,
        session_scale=2.5,
    ),
    EngineConfig("units_64", templates.deepseek(), "deepseek", block=64, answers_cached=False, recompute_last=False),
    EngineConfig("one_slot", templates.llama3("in_system"), "cl100k", cache="slots"),
    replace(BLOCKS, name="four_replicas_random", replicas=4, routing="random"),
    replace(BLOCKS, name="four_replicas_prefix_hash", replicas=4, routing="prefix_hash"),
    EngineConfig("tools_first_answers_not_cached", templates.chatml("first"), "deepseek", answers_cached=False),
)
"""The ten semantics, in order."""

VARIANTS: tuple[EngineConfig, ...] = (
    replace(BLOCKS, name="blocks_16_lifetime_5_min", lifetime_s=300),
    replace(BLOCKS, name="blocks_16_lifetime_60_min", lifetime_s=3600),
    EngineConfig("blocks_32_llama3", templates.llama3("before_system"), "o200k", block=32),
    EngineConfig("blocks_128", templates.chatml("after_system"), "deepseek", block=128),
    EngineConfig("radix_small", templates.deepseek("first_user"), "deepseek", cache="radix", pool_tokens=6_000),
    replace(
        BLOCKS,
        name="blocks_16_hidden_reasoning",
        hidden_reasoning="<think>\nThe caller wants a short answer. I check the rules and reply.\n</think>\n\n",
    ),
    EngineConfig("four_slots", templates.qwen(), "o200k", cache="slots", slots=4),
)


def _optional() -> tuple[EngineConfig, ...]:
    """Return engines over tokenizers that the `test` extra does not install."""
    found = []
    if "qwen" in available():
        found.append(replace(BLOCKS, name="blocks_16_qwen_vocabulary", tokenizer="qwen"))
    if "tekken" in available():
        found.append(replace(LAST_USER, name="mistral_tekken_vocabulary", tokenizer="tekken"))
    return tuple(found)


def engines(*, variants: bool = True) -> tuple[EngineConfig, ...]:
    """Return the ten core engines, with the further variants if asked."""
    return (*CORE, *VARIANTS, *_optional()) if variants else CORE


def named(name: str) -> EngineConfig:
    """Return the engine called `name`; raises `KeyError` for an unknown name."""
    for config in engines():
        if config.name == name:
            return config
    raise KeyError(name)
