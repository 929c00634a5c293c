"""Fields of a request, beside tools and messages, that may keep the cache from matching.

Servers may put the wanted output format or tool choice into the prompt, and may keep caches apart by model, user or
salt. Which do is not published, so every field may matter that is not known to bear on the answer only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from playground.prefix_cache.visible import snippet
from playground.prompt.document import Json

HARMLESS = frozenset(
    (
        "messages",
        "tools",
        "stream",
        "stream_options",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "metadata",
        "store",
    )
)
"""What is compared elsewhere, and what only bears on how the answer is drawn and sent."""

Parameters = tuple[tuple[str, str], ...]
"""Name and value, as compact JSON, of each field that may matter; sorted by name."""


def that_may_matter(fields: Mapping[str, Json]) -> Parameters:
    """Return the parameters among a request's fields. A null field counts as absent."""
    chosen = ((name, value) for name, value in fields.items() if name not in HARMLESS and value is not None)
    return tuple(sorted((str(name), _compact(value)) for name, value in chosen))


def changed(now: Parameters, earlier: Parameters) -> tuple[str, ...]:
    """One clause for each parameter that differs: "tool_choice: "auto" became "none""."""
    mine, theirs = dict(now), dict(earlier)
    names = sorted(mine.keys() | theirs.keys())
    return tuple(
        _clause(name, theirs.get(name), mine.get(name)) for name in names if mine.get(name) != theirs.get(name)
    )


def _clause(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        return f"{name} was added ({snippet(after or '')})"
    return f"{name} was left out" if after is None else f"{name}: {snippet(before)} became {snippet(after)}"


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
