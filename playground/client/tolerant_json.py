"""Tolerant parsing of servers' JSON, and token counts under the field names of OpenAI-compatible servers.

A lone surrogate (`"\\ud83d"` alone) is no character: it becomes U+FFFD here, so that all later code has valid text.
NaN, Infinity and numbers that overflow a float become null: they are no value. A whole number beyond 64 bits becomes a
float.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping

from msgspec.structs import astuple

from playground.client.events import Usage
from playground.prompt.json_text import check_depth

MAX_TOKENS = 100_000_000
"""A count above this counts as not reported: no model has such a context, and one such count would spoil every sum."""
CACHED_FIELDS = (
    "cached_tokens",  # Moonshot, at the top level of usage
    "prompt_cache_hit_tokens",  # DeepSeek
    "cache_read_input_tokens",  # Anthropic, and gateways in front of it
    "cached_input_tokens",
    "cached_prompt_tokens",
    "prompt_cached_tokens",
    "num_cached_tokens",  # vLLM
    "cache_read_tokens",
)
DETAILS_FIELDS = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details")
"""Objects inside usage that have `cached_tokens`, or another of CACHED_FIELDS: OpenAI, Electron, Groq, vLLM."""


def count(value: object) -> int | None:
    """Return a token count: a whole number from 0, also as a float; None for everything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < MAX_TOKENS else None


def text_of(value: object) -> str | None:
    """Return a text that is not empty; None for everything else."""
    return value if isinstance(value, str) and value else None


def choices_of(value: object) -> list[tuple[int, object]]:
    """Return the choices of a chunk or response with their index: their position if they have none."""
    choices = value.get("choices") if isinstance(value, dict) else None
    found: list[tuple[int, object]] = []
    for position, choice in enumerate(choices if isinstance(choices, list) else ()):
        index = count(choice.get("index")) if isinstance(choice, dict) else None
        found.append((position if index is None else index, choice))
    return found


def usage_of(fields: object) -> Usage | None:
    """Read a usage object; None if `fields` is not an object or has no count. A count that is absent is unknown."""
    if not isinstance(fields, dict):
        return None
    cached = _cached(fields)
    prompt = count(fields.get("prompt_tokens"))
    if prompt is None:
        prompt = _input(fields)
    output = _first(fields, ("completion_tokens", "output_tokens"))
    total, reasoning = count(fields.get("total_tokens")), _reasoning(fields)
    if is_below_reasoning(prompt, output, total, reasoning):
        output = None
    usage = Usage(prompt, output, total, cached)
    return None if usage == _NOTHING else usage


def is_below_reasoning(prompt: int | None, output: int | None, total: int | None, reasoning: int | None) -> bool:
    """Return whether a completion count is below its reasoning tokens, which the total does not count apart (xAI)."""
    if output is None or reasoning is None or reasoning <= output:
        return False
    return prompt is None or total is None or total < prompt + output + reasoning


def usage_of_timings(fields: object) -> Usage | None:
    """Read llama.cpp's `timings`: `cache_n` cached and `prompt_n` processed prompt tokens, `predicted_n` generated."""
    if not isinstance(fields, dict):
        return None
    cached, fresh = count(fields.get("cache_n")), count(fields.get("prompt_n"))
    prompt = None if cached is None or fresh is None else cached + fresh
    usage = Usage(prompt, count(fields.get("predicted_n")), None, cached)
    return None if usage == _NOTHING else usage


def merged(known: Usage | None, later: Usage | None) -> Usage | None:
    """Return `known` updated by the counts of `later`; a later usage with fewer counts erases none.

    A later prompt count of 0 after a positive one is a placeholder: no request has an empty prompt.
    """
    if known is None or later is None:
        return later if known is None else known
    if later.prompt_tokens == 0 and known.prompt_tokens:
        return known
    counts = zip(astuple(known), astuple(later), strict=True)
    return Usage(*(before if after is None else after for before, after in counts))


class UsageReader:
    """Collects the token counts of one response from all objects that servers use for them."""

    def __init__(self) -> None:
        self._usage: Usage | None = None
        self._timings: Usage | None = None
        self._reported: Usage | None = None

    def read(self, usages: tuple[object, ...], timings: object) -> Usage | None:
        """Add one chunk's usage objects. Returns all counts known so far if they have changed, else None."""
        for fields in usages:
            self._usage = merged(self._usage, usage_of(fields))
        self._timings = merged(self._timings, usage_of_timings(timings))
        usage = merged(self._timings, self._usage)
        if usage is None or usage == self._reported:
            return None
        self._reported = usage
        return usage


_NOTHING = Usage(None, None, None, None)


def _cached(fields: Mapping[str, object]) -> int | None:
    for place in _places(fields):
        found = _first(place, CACHED_FIELDS)
        if found is not None:
            return found
    return None


def _reasoning(fields: Mapping[str, object]) -> int | None:
    details = (fields.get(name) for name in ("completion_tokens_details", "output_tokens_details"))
    places = (*(place for place in details if isinstance(place, dict)), fields)
    return next((found for place in places if (found := count(place.get("reasoning_tokens"))) is not None), None)


def _places(fields: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for name in DETAILS_FIELDS:
        details = fields.get(name)
        if isinstance(details, dict):
            yield details
    yield fields


def _input(fields: Mapping[str, object]) -> int | None:
    """Anthropic's `input_tokens` leaves out cached tokens, which have counts of their own; others' includes them."""
    fresh = count(fields.get("input_tokens"))
    if fresh is None:
        return None
    read, written = count(fields.get("cache_read_input_tokens")), count(fields.get("cache_creation_input_tokens"))
    return fresh + (read or 0) + (written or 0)


def _first(fields: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    return next((found for name in names if (found := count(fields.get(name))) is not None), None)


_LONE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 18


def loads(text: str) -> object:
    """Parse JSON. Raises ValueError if it is not JSON, JsonBoundsError (a ValueError) if it is nested too deep."""
    value = loads_raw(_without_lone(text))
    written = json.dumps(value, ensure_ascii=False)
    return loads_raw(_without_lone(written)) if _LONE.search(written) else value


def loads_raw(text: str) -> object:
    """Parse like `loads`, but keep lone surrogates."""
    check_depth(text)
    value: object = json.loads(text, parse_int=_number, parse_float=_finite, parse_constant=_nothing)
    return value


def _without_lone(text: str) -> str:
    return _LONE.sub("\ufffd", text)


def _number(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else _finite(digits)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _nothing(_constant: str) -> None:
    return None
