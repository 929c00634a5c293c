"""Tests of the sessions recorded on real engines, and of the parts of the recorder that need no engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.check_engine_recordings import VLLM_BLOCK, LlamaSlot, VllmBlocks
from tests.benchmarks.record_engines import FOLDER, RECORDINGS, TEMPLATES, events, joined, trimmed

pytestmark = pytest.mark.exhaustive

FILES = sorted(FOLDER.glob("*.jsonl"))
SIZE_LIMIT = 6_000_000


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a recording."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_recordings_folder_has_only_recordings_that_the_recorder_makes() -> None:
    made = {f"{engine}-{recording.name}.jsonl" for engine, found in RECORDINGS.items() for recording in found}
    assert {path.name for path in FILES} <= made
    assert sum(path.stat().st_size for path in FILES) < SIZE_LIMIT


@pytest.mark.parametrize("engine", sorted(RECORDINGS))
def test_recordings_of_an_engine_have_at_least_six_kinds(engine: str) -> None:
    files = {path.name for path in FILES}
    kinds = {found.kind for found in RECORDINGS[engine] if f"{engine}-{found.name}.jsonl" in files}
    assert len(kinds) >= 6


def test_recordings_templates_exist() -> None:
    used = {recording.template for found in RECORDINGS.values() for recording in found}
    assert used == {path.stem for path in TEMPLATES.glob("*.jinja")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recording_of_a_session_is_complete_and_in_order(path: Path) -> None:
    found = lines(path)
    times = [line["at"] for line in found]
    assert times == sorted(set(times))
    answered = [line["response"]["request_id"] for line in found if line["response"]["status"] == 200]
    assert len(set(answered)) == len(answered) >= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recording_usage_of_every_answer_is_reported_and_possible(path: Path) -> None:
    for line in lines(path):
        usage = line["response"]["usage"]
        if line["response"]["status"] != 200:
            assert usage is None
            continue
        assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"] <= 4_000
        assert 0 < usage["completion_tokens"] <= line["request"]["max_tokens"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_joined_stream_with_text_and_a_tool_call_gives_the_whole_message() -> None:
    stream = [
        b'data: {"id": "r1", "choices": [{"delta": {"role": "assistant", "content": "One "}}]}',
        b"",
        b'data: {"id": "r1", "choices": [{"delta": {"content": "moment."}}]}',
        b'data: {"id": "r1", "choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c1", "function": '
        b'{"name": "find", "arguments": "{\\"a\\""}}]}}]}',
        b'data: {"id": "r1", "choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},'
        b' "finish_reason": "tool_calls"}]}',
        b'data: {"id": "r1", "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16,'
        b' "prompt_tokens_details": {"cached_tokens": 4}}}',
        b"data: [DONE]",
    ]
    response = trimmed(joined(events(stream)))
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    assert response == {
        "status": 200,
        "request_id": "r1",
        "message": {"role": "assistant", "content": "One moment.", "tool_calls": [call]},
        "finish_reason": "tool_calls",
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 7,
            "total_tokens": 16,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }


def test_llama_slot_with_a_continued_answer_serves_all_computed_tokens() -> None:
    slot = LlamaSlot()
    slot.finish([1, 2, 3, 4, 5])
    assert slot.cached([1, 2, 3, 4, 5, 6, 7]) == 5
    assert slot.cached([1, 2, 3, 4, 5]) == 4


@pytest.mark.parametrize(("ram", "cached"), [(True, 100), (False, 1)])
def test_llama_slot_after_another_prompt_serves_the_saved_state_only_from_memory(ram: bool, cached: int) -> None:
    first, second = [0, *range(100, 199)], [0, *range(200, 299)]
    slot = LlamaSlot(ram=ram)
    slot.finish(first)
    assert slot.cached(second) == 1
    slot.finish(second)
    assert slot.cached([*first, 7]) == cached


def test_vllm_blocks_serve_full_blocks_but_never_the_last_token() -> None:
    blocks = VllmBlocks()
    tokens = list(range(2 * VLLM_BLOCK))
    blocks.finish(tokens)
    assert blocks.cached(tokens) == VLLM_BLOCK
    assert blocks.cached([*tokens, 1]) == 2 * VLLM_BLOCK
    assert blocks.cached([1, *tokens]) == 0


def test_vllm_blocks_in_a_full_pool_lose_the_end_of_the_oldest_prompt_first() -> None:
    blocks = VllmBlocks(pool=4)
    first, second = list(range(3 * VLLM_BLOCK)), list(range(1000, 1000 + 2 * VLLM_BLOCK))
    blocks.finish(first)
    blocks.finish(second)
    assert blocks.cached([*first, 1]) == 2 * VLLM_BLOCK
    assert blocks.cached([*second, 1]) == 2 * VLLM_BLOCK
