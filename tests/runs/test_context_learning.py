"""The context length that a server names when it refuses a request becomes the endpoint's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from playground.prompt.document import Document, Message
from playground.services import AppServices
from playground.tasks import Tasks
from tests.client.servers import Peer, serve

VLLM = {
    "error": {
        "message": "You passed 40001 input tokens and requested 1000 output tokens. However, the model's context "
        "length is only 32768 tokens, resulting in a maximum input length of 31768 tokens. Please reduce the length "
        "of the input prompt. (parameter=input_tokens, value=40001)",
        "type": "BadRequestError",
        "param": "input_tokens",
        "code": 400,
    }
}
"""vLLM 0.32"""
LLAMA_CPP = {
    "error": {
        "code": 400,
        "message": "request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 9031,
        "n_ctx": 8192,
    }
}
SERVED = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 50_000, "completion_tokens": 1, "total_tokens": 50_001},
}
OTHER_REFUSAL = {"error": {"message": "temperature must be at most 2", "type": "BadRequestError", "code": 400}}


def _learned(folder: Path, *answers: tuple[int, object]) -> list[tuple[int | None, str]]:
    """Return the endpoint's context length and its source after each answer, read by a new process's store."""
    left = iter(answers)

    async def script(peer: Peer) -> None:
        status, value = next(left)
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        await peer.send(head.encode() + body)

    async def main() -> list[tuple[int | None, str]]:
        found: list[tuple[int | None, str]] = []
        services = AppServices(folder, {}, Tasks(lambda name, error: pytest.fail(f"{name}: {error!r}")))
        async with serve(script) as server:
            endpoint = services.endpoints.add(replace(server.endpoint, needs_key=False))
            services.choose(endpoint.id)
            for _ in answers:
                await services.send(Document(messages=(Message("user", "Hello"),), stream=False), lambda _: None)
                await services.writer.flush()
                stored = AppServices(folder, {}, Tasks(print)).endpoints.get(endpoint.id)
                found.append((stored.context_tokens, stored.context_source))
            await services.close()
        return found

    return asyncio.run(main())


@pytest.mark.parametrize(("body", "length"), [(VLLM, 32_768), (LLAMA_CPP, 8_192)])
def test_context_length_is_learned_from_a_refusal_and_stored(tmp_path: Path, body: object, length: int) -> None:
    assert _learned(tmp_path, (400, OTHER_REFUSAL), (400, body)) == [(None, ""), (length, "learned")]


def test_context_length_disproved_by_a_larger_answered_request_is_unknown_again(tmp_path: Path) -> None:
    assert _learned(tmp_path, (400, LLAMA_CPP), (200, SERVED)) == [(8_192, "learned"), (None, "")]
