"""Chunks and whole completions, decoded to events. Tolerant: what is missing or unknown is left out, never guessed.

msgspec reads the usual JSON fast; it refuses lone surrogates, and such JSON is read again by `tolerant_json`. Where
OpenAI-compatible servers differ in a value's type (content as parts, arguments as an object), the field is typed
`object` and looked at where it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import msgspec

from playground.client import tolerant_json
from playground.client.events import (
    Alternative,
    AnyEvent,
    ApiError,
    BodyIdReceived,
    ContentDelta,
    Finished,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
    Usage,
    UsageReported,
)

MOST_ALTERNATIVES = 20
"""top_logprobs goes to 20 (electron-api.md, Parameters)."""


def token_probabilities(logprobs: object) -> tuple[TokenProbability, ...]:
    """The tokens of `logprobs.content`; none where it is of another shape (such as the old completions')."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return tuple(_tokens(content)) if isinstance(content, list) else ()


def _tokens(content: list[object]) -> Iterator[TokenProbability]:
    for entry in content:
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str):
            yield TokenProbability(token, _logprob(entry.get("logprob")), _alternatives(entry.get("top_logprobs")))


def _alternatives(entries: object) -> tuple[Alternative, ...]:
    found = entries[:MOST_ALTERNATIVES] if isinstance(entries, list) else ()
    return tuple(
        Alternative(token, _logprob(entry.get("logprob")))
        for entry in found
        if isinstance(entry, dict) and isinstance(token := entry.get("token"), str)
    )


def _logprob(value: object) -> float | None:
    """None where there is no number. Rounding puts a certain token a little above 0 on some servers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return max(min(float(value), 0.0), -9999.0)


DONE = "[DONE]"
MOST_TOKENS = 2**53
"""A count above this is no count: it is taken as not reported."""
_MOST_SHOWN = 200


class _Function(msgspec.Struct, gc=False):
    name: object = None
    arguments: object = None


class _ToolCall(msgspec.Struct, gc=False):
    index: object = None
    id: object = None
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: object = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: object = None
    logprobs: object = None


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: object = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: _PromptDetails | None = None


class _Chunk(msgspec.Struct, gc=False, rename={"kind": "object"}):
    id: object = None
    kind: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None
    """{"error": …}; vLLM's older errors are {"object": "error", …}."""


_DECODER = msgspec.json.Decoder(_Chunk)


class NotAChunk(ValueError):  # noqa: N818 - expected from a server that is not one
    """The data is not a chat completion or a chunk of one."""


class StreamError(Exception):
    """The server sent an error object inside its stream."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


class ChunkDecoder:
    """Decodes one response's chunks; tells the body's id once. `begun`: a chunk has come; `finished`: with a reason."""

    def __init__(self) -> None:
        self._told_id = False
        self.begun = False
        self.finished = False

    def events(self, data: str, at: float) -> list[AnyEvent]:
        """The events in one chunk (or one whole completion). Raises NotAChunk, StreamError.

        Once a chunk has come, a JSON object that is none (a ping, timings) is passed over.
        """
        chunk = _decode(data)
        if chunk.error is not None or chunk.kind == "error":
            raise StreamError(data)
        events: list[AnyEvent] = []
        if chunk.choices is None and chunk.usage is None:
            if not self.begun:
                raise NotAChunk(data)
            return events
        self.begun = True
        if not self._told_id and (body_id := _text(chunk.id)):
            self._told_id = True
            events.append(BodyIdReceived(at, body_id, _text(chunk.model)))
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, at, events)
        if chunk.usage is not None:
            events.append(UsageReported(at, _usage(chunk.usage)))
        return events

    def _choice(self, choice: _Choice, at: float, events: list[AnyEvent]) -> None:
        message = choice.delta or choice.message
        if message is not None:
            content = message.content
            if content and (content := content if type(content) is str else _content(content)):
                events.append(ContentDelta(at, content))
            if message.tool_calls:
                events += _tool_calls(message.tool_calls, at, whole=choice.delta is None)
        if choice.logprobs is not None and (tokens := token_probabilities(choice.logprobs)):
            events.append(TokenProbabilities(at, tokens))
        if choice.finish_reason is not None and (reason := _text(choice.finish_reason)):
            self.finished = True
            events.append(Finished(at, reason))


def _tool_calls(calls: list[_ToolCall], at: float, *, whole: bool) -> Iterator[ToolCallDelta]:
    """Whole completions have no index: the place in the list is it. In a chunk a missing index is the first call."""
    for place, call in enumerate(calls):
        function = call.function or _Function()
        index = _count(call.index)
        index = index if index is not None else (place if whole else 0)
        yield ToolCallDelta(at, index, _text(call.id), _text(function.name), _arguments(function.arguments))


def _content(value: object) -> str:
    """The text, also where it comes as a list of parts."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    texts = (part.get("text") for part in value if isinstance(part, dict) and part.get("type", "text") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _arguments(value: object) -> str:
    """The argument text, also where it comes as an object."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def _usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    # Absent is unknown, never zero (electron-api.md, Response).
    cached = _count(details.cached_tokens) if details else None
    return Usage(_count(usage.prompt_tokens), _count(usage.completion_tokens), _count(usage.total_tokens), cached)


def _decode(data: str) -> _Chunk:
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass
    try:
        return _DECODER.decode(json.dumps(tolerant_json.loads(data), ensure_ascii=False))
    except (ValueError, msgspec.DecodeError) as error:
        raise NotAChunk(data) from error


def not_a_chunk(data: str) -> ApiError:
    """The trouble that undecodable data is."""
    return ApiError(
        "protocol",
        "The response is not a chat completion",
        f"The server sent: {data[:_MOST_SHOWN]}" if data.strip() else "The server sent an empty answer.",
        "Check that the base URL is that of an OpenAI-compatible server.",
        body=data[:65_536],
    )
