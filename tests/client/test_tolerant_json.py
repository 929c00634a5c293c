"""Token counts in the field names of each server."""

from __future__ import annotations

import json

import pytest

from playground.client.chunks import ChunkDecoder
from playground.client.events import Usage, UsageReported

BASE = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
ANTHROPIC = {"input_tokens": 30, "output_tokens": 5, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 6}


def reported(*chunks: dict[str, object]) -> list[Usage]:
    decoder = ChunkDecoder()
    events = [event for chunk in chunks for event in decoder.events(json.dumps({"choices": [], **chunk}), 1.0)]
    return [event.usage for event in events if isinstance(event, UsageReported)]


def inside(**fields: object) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **fields}]}


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([{"usage": {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}}], id="OpenAI"),
        pytest.param([{"usage": {**BASE, "input_tokens_details": {"cached_tokens": 64}}}], id="Responses"),
        pytest.param([{"usage": {**BASE, "prompt_cache_hit_tokens": 64}}], id="DeepSeek"),
        pytest.param([{"usage": {**BASE, "cached_tokens": 64}}], id="Moonshot"),
        pytest.param([inside(usage={**BASE, "cached_tokens": 64})], id="Moonshot, in the choice"),
        pytest.param([{"x_groq": {"usage": {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}}}], id="Groq"),
        pytest.param([{"usage": {**BASE, "cache_read_input_tokens": 64}}], id="LiteLLM"),
        pytest.param([{"usage": ANTHROPIC, "id": "c"}], id="Anthropic"),
        pytest.param(
            [{**inside(), "timings": {"cache_n": 64, "prompt_n": 36, "predicted_n": 5}}, {"usage": BASE}],
            id="llama.cpp",
        ),
        pytest.param([{**inside(), "timings": {"cache_n": 64, "prompt_n": 36}, "usage": BASE}], id="llama.cpp, one"),
        pytest.param([{"usage": BASE, "timings": {"cache_n": 64}}], id="llama.cpp, last"),
    ],
)
def test_usage_cached_tokens_of_each_server_are_known(chunks: list[dict[str, object]]) -> None:
    usage = reported(*chunks)[-1]
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (100, 5, 64)


@pytest.mark.parametrize(
    "later",
    [BASE, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {}, {"completion_tokens": 5}, None, []],
)
def test_usage_later_poorer_report_erases_nothing(later: object) -> None:
    full = {**BASE, "prompt_tokens_details": {"cached_tokens": 64}}
    assert reported({"usage": full}, {"usage": later}) == [Usage(100, 5, 105, 64)]


def test_usage_later_counts_replace_earlier_ones() -> None:
    first = {"prompt_tokens": 9, "completion_tokens": 1}
    assert reported({"usage": first}, {"usage": BASE})[-1] == Usage(100, 5, 105, None)


@pytest.mark.parametrize(
    "details", [[], 7, "64", {"cached_tokens": -1}, {"cached_tokens": "64"}, {"cached_tokens": True}]
)
def test_usage_odd_details_leave_cached_tokens_unknown(details: object) -> None:
    assert reported({"usage": {**BASE, "prompt_tokens_details": details}}) == [Usage(100, 5, 105, None)]
