"""Verify caching, the vendor's own check: send the same request twice; the second reports cached tokens above 0."""

from __future__ import annotations

from playground.runs.figures import percent, seconds
from playground.runs.state import RunState


def verdict(first: RunState, second: RunState) -> str:
    """What two equal requests in a row prove, in a sentence or two."""
    for name, state in (("first", first), ("second", second)):
        if state.phase != "done":
            return f"Caching could not be verified: the {name} request ended as {state.phase}."
    usage = second.usage
    if usage is None or usage.cached_tokens is None or usage.prompt_tokens is None:
        return "Caching could not be verified: this server does not report cached tokens."
    if usage.cached_tokens == 0:
        return (
            "The second of two equal requests reports 0 cached tokens. Either this server has no prefix cache, or the "
            f"prompt ({usage.prompt_tokens:,} tokens) is below the least it caches."
        )
    share = percent(usage.cached_tokens / usage.prompt_tokens)
    return (
        f"Caching works: {usage.cached_tokens:,} of {usage.prompt_tokens:,} tokens of the second request came from the "
        f"cache ({share}).{_faster(first, second)}{_already(first)}"
    )


def _faster(first: RunState, second: RunState) -> str:
    if first.ttft_s is None or second.ttft_s is None:
        return ""
    return f" Time to first token {seconds(first.ttft_s)}, then {seconds(second.ttft_s)}."


def _already(first: RunState) -> str:
    if first.usage is None or not first.usage.cached_tokens:
        return ""
    return f" The first had {first.usage.cached_tokens:,} from earlier requests already."
