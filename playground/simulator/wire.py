"""The simulator's JSON: completions, chunks, usage and error envelopes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from playground.simulator.reply import Call, SimulatedReply
from playground.simulator.tokens import pieces
from playground.simulator.validation import ErrorDetail

ARGUMENT_PIECE = 4
"""Tokens of arguments per chunk."""


@dataclass(frozen=True)
class AnswerBody:
    """Input of a response."""

    id: str
    model: str
    reply: SimulatedReply
    prompt_tokens: int
    cached_tokens: int
    details: bool = True
    top_logprobs: int | None = None
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def usage(self) -> dict[str, Any]:
        """Return the usage of the whole answer."""
        return self.usage_after(self.reply.completion_tokens)

    def usage_after(self, completion_tokens: int) -> dict[str, Any]:
        """Return the usage after that many generated tokens."""
        usage: dict[str, Any] = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }
        if self.details:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return usage


def completion(answer: AnswerBody) -> dict[str, Any]:
    """Return the whole answer, not streamed."""
    reply = answer.reply
    message: dict[str, Any] = {"role": "assistant", "content": reply.text if reply.tokens else None}
    if reply.calls:
        message["tool_calls"] = [_whole_call(call) for call in reply.calls]
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    if answer.top_logprobs is not None:
        choice["logprobs"] = logprobs(reply.tokens, answer.top_logprobs)
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [choice],
        "usage": answer.usage,
    }


def _whole_call(call: Call) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chunks(answer: AnswerBody) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every chunk up to the finish_reason, with the number of tokens that it takes to generate."""
    reply = answer.reply
    yield 0, _chunk(answer, {"role": "assistant", "content": "" if reply.tokens else None})
    for token in reply.tokens:
        extra = {} if answer.top_logprobs is None else {"logprobs": logprobs([token], answer.top_logprobs)}
        yield 1, _chunk(answer, {"content": token}, extra)
    for index, call in enumerate(reply.calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield 4, _chunk(answer, {"tool_calls": [head]})
        for piece in _pieces(call.arguments):
            body = {"index": index, "function": {"arguments": piece}}
            yield ARGUMENT_PIECE, _chunk(answer, {"tool_calls": [body]})
    yield 0, _chunk(answer, {}, {"finish_reason": reply.finish_reason})


def _pieces(arguments: str) -> Iterator[str]:
    tokens = pieces(arguments)
    for start in range(0, len(tokens), ARGUMENT_PIECE):
        yield "".join(tokens[start : start + ARGUMENT_PIECE])


def _chunk(answer: AnswerBody, delta: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": None, **(extra or {})}
    return {**_head(answer), "choices": [choice]}


def scripted_chunk(
    answer: AnswerBody, delta: Mapping[str, Any], at_ms: float, finish_reason: str | None = None
) -> dict[str, Any]:
    """Return a chunk of a scenario, with its scripted time."""
    return {**_chunk(answer, delta, {"finish_reason": finish_reason}), "simulated_ms": at_ms}


def usage_chunk(answer: AnswerBody) -> dict[str, Any]:
    """Return the last chunk before [DONE]; sent only if the request includes usage."""
    return {**_head(answer), "choices": [], "usage": answer.usage}


def _head(answer: AnswerBody) -> dict[str, Any]:
    return {
        "id": answer.id,
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
    }


def logprobs(tokens: Sequence[str], top: int) -> dict[str, Any]:
    """Return invented, deterministic log probabilities; the chosen token has the highest."""
    return {"content": [_logprob(token, top) for token in tokens]}


def _logprob(token: str, top: int) -> dict[str, Any]:
    own = math.log(0.55 + (len(token) % 5) / 12)
    others = [(token, own)] + [(f"{token[:1]}~{rank}", own - 1.5 * rank) for rank in range(1, top)]
    alternatives = [_entry(text, value) for text, value in others[:top]]
    return {**_entry(token, own), "top_logprobs": alternatives}


def _entry(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(value, 4), "bytes": list(token.encode("utf-8", "replace"))}


def error(kind: str, message: str, request_id: str, details: Sequence[ErrorDetail] = ()) -> dict[str, Any]:
    """Return the error envelope; `details` is present only if there are any."""
    body: dict[str, Any] = {"message": message, "type": kind}
    if details:
        body["details"] = [detail.as_json() for detail in details]
    body["request_id"] = request_id
    return {"error": body}


def event(value: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n\n"
