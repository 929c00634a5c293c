"""Refusals for length, in the messages of common servers."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from msgspec.structs import replace

from playground.client.error_body import TooLong, too_long
from playground.client.errors import http_error, stream_error
from playground.simulator.wire import context_problem


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens "
            "(4000 in the messages, 1000 in the completion). Please reduce the length.",
            TooLong(4097, 5000),
        ),
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
            TooLong(8192, 9000),
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 "
            "tokens and your request has 1000 input tokens (5000 > 4096 - 1000).",
            TooLong(4096, 6000),
        ),
        (
            "This model's maximum context length is 32,768 tokens. However, you requested 100 output tokens and your "
            "prompt contains at least 32,669 input tokens, for a total of at least 32,769 tokens.",
            TooLong(32768, 32769),
        ),
        (
            "The decoder prompt (length 40000) is longer than the maximum model length of 32768.",
            TooLong(32768, 40000),
        ),
        ("the request exceeds the available context size (4096 tokens)", TooLong(4096, None)),
        ("request (5000 tokens) exceeds the available context size (4096 tokens)", TooLong(4096, 5000)),
        ("prompt is too long: 210000 tokens > 200000 maximum", TooLong(200000, 210000)),
        (
            # vLLM 0.32
            "You passed 40001 input tokens and requested 1000 output tokens. However, the model's context length is "
            "only 32768 tokens, resulting in a maximum input length of 31768 tokens. Please reduce the length of the "
            "input prompt.",
            TooLong(32768, 41001),
        ),
        (
            "This model's maximum context length is 32768 tokens. However, you requested 1000 output tokens and your "
            "prompt contains 40001 input tokens, for a total of 41001 tokens.",
            TooLong(32768, 41001),
        ),
        # llama.cpp
        (
            "request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it",
            TooLong(8192, 9031),
        ),
        ("the request exceeds the available context size, try increasing it", None),
        ("input (10812 tokens) is larger than the max context size (2048 tokens). skipping", TooLong(2048, 10812)),
        (
            # vLLM
            "The prompt (total length 10812) is too long to fit into the model (context length 2048). Make sure that "
            "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens.",
            TooLong(2048, 10812),
        ),
        (
            "max_tokens=5000 cannot be greater than max_model_len=max_total_tokens=2048. Please request fewer output "
            "tokens. (parameter=max_tokens, value=5000)",
            TooLong(2048, 5000),
        ),
        # SGLang
        (
            "The input (10812 tokens) is longer than the model's context length (2048 tokens).",
            TooLong(2048, 10812),
        ),
        # text-generation-inference
        (
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 12 `inputs` tokens and "
            "5000 `max_new_tokens`",
            TooLong(2048, 5012),
        ),
        ("Invalid enum value", None),
        ("", None),
    ],
)
def test_the_numbers_are_found(message: str, expected: TooLong | None) -> None:
    found = too_long(message)
    assert (found and replace(found, output=None)) == expected


def test_advice_and_prompt_tokens_know_whether_max_tokens_was_sent() -> None:
    for asked, prompt in ((0, 33_517), (1_000, 32_517)):
        problem = context_problem({"max_tokens": asked}, prompt)
        assert problem is not None
        error = http_error(400, {}, json.dumps({"error": {"message": problem.message}}), None)
        assert ("max_tokens" in error.advice) == bool(asked)
        counted = too_long(problem.message)
        assert counted is not None
        assert (counted.prompt, counted.output) == (prompt, asked)
    answer_first = too_long(
        "'max_tokens' or 'max_completion_tokens' is too large: 1000. This model's maximum context length is 32768 "
        "tokens and your request has 33000 input tokens"
    )
    assert answer_first is not None
    assert (answer_first.prompt, answer_first.output) == (33_000, 1_000)


def test_what_is_not_longer_is_not_over() -> None:
    assert TooLong(100, 100).over is None
    assert TooLong(100, None).over is None
    assert TooLong(100, 101).over == 1


def test_the_advice_says_by_how_much_for_the_simulators_own_refusal() -> None:
    problem = context_problem({"max_tokens": 1000}, 32_000)
    assert problem is not None
    body = json.dumps({"error": {"message": "Too long", "details": [asdict(problem)]}})
    error = http_error(400, {}, body, None)
    assert error.advice.startswith("232 tokens over: 33,000 asked for, 32,768 fit.")


def test_another_status_says_nothing_of_length() -> None:
    body = json.dumps({"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}})
    assert "over" not in http_error(500, {}, body, None).advice


def test_context_length_is_learned_from_llama_cpp_fields() -> None:
    sent = {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9031,
        "n_ctx": 8192,
    }
    error = http_error(400, {}, json.dumps({"error": sent}), None)
    assert error.context_length == 8192
    assert error.advice.startswith("839 tokens over: 9,031 asked for, 8,192 fit.")
    assert stream_error(json.dumps({"error": sent}), None).context_length == 8192


def test_context_length_is_learned_from_a_message_and_only_from_a_refusal_for_length() -> None:
    message = "This model's maximum context length is 32768 tokens. However, your messages resulted in 40000 tokens."
    assert http_error(400, {}, json.dumps({"error": {"message": message}}), None).context_length == 32768
    assert http_error(503, {}, json.dumps({"error": {"message": message}}), None).context_length is None
    assert http_error(400, {}, json.dumps({"error": {"message": "bad"}}), None).context_length is None
