"""Chunks and whole completions, decoded to events. Tolerant: what is missing or unknown is left out, never guessed.

msgspec reads the usual JSON fast; it refuses lone surrogates, and such JSON is read again by `lenient.loads`. Where
OpenAI-compatible servers differ in a value's type (content as parts, arguments as an object), the field is typed
`object` and looked at where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from playground.client import lenient
from playground.client.events import (
    AnyEvent,
    BodyIdReceived,
    ContentDelta,
    Finished,
    TokenProbabilities,
    ToolCallDelta,
    Trouble,
    Usage,
    UsageReported,
)
from playground.client.probabilities import token_probabilities

DONE = "[DONE]"
MOST_TOKENS = 2**53
"""A count above this is no count: it is taken as not reported."""
_MOST_SHOWN = 200


class _Function(msgspec.Struct):
    name: object = None
    arguments: object = None


class _ToolCall(msgspec.Struct):
    index: object = None
    id: object = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: object = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: object = None
    logprobs: object = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: object = None


class _Usage(msgspec.Struct):
    prompt_tokens: object = None
    completion_tokens: object = None
    total_tokens: object = None
    prompt_tokens_details: _PromptDetails | None = None


class _Chunk(msgspec.Struct, rename={"kind": "object"}):
    id: object = None
    kind: object = None
    model: object = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: object = None

    @property
    def is_error(self) -> bool:
        """An error object: {"error": …}, or vLLM's older {"object": "error", …}."""
        return self.kind == "error" or self.error is not None

    @property
    def is_known(self) -> bool:
        """Whether there is anything of a completion in it."""
        return self.choices is not None or self.usage is not None


_DECODER = msgspec.json.Decoder(_Chunk)


class NotAChunk(ValueError):  # noqa: N818 - expected from a server that is not one
    """The data is not a chat completion or a chunk of one."""


class StreamError(Exception):
    """The server sent an error object inside its stream."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


class ChunkDecoder:
    """Decodes one response's chunks; tells the body's id once. `begun`: a chunk has come."""

    def __init__(self) -> None:
        self._told_id = False
        self.begun = False

    def events(self, data: str, at: float) -> Iterator[AnyEvent]:
        """The events in one chunk (or one whole completion). Raises NotAChunk, StreamError.

        Once a chunk has come, a JSON object that is none (a ping, timings) is passed over.
        """
        chunk = _decode(data)
        if chunk.is_error:
            raise StreamError(data)
        if not chunk.is_known:
            if not self.begun:
                raise NotAChunk(data)
            return
        self.begun = True
        if not self._told_id and (body_id := _text(chunk.id)):
            self._told_id = True
            yield BodyIdReceived(at, body_id, _text(chunk.model))
        for choice in chunk.choices or ():
            if not choice.index:
                yield from _choice_events(choice, at)
        if chunk.usage is not None:
            yield UsageReported(at, _usage(chunk.usage))


def _choice_events(choice: _Choice, at: float) -> Iterator[AnyEvent]:
    message = choice.delta or choice.message
    if message is not None:
        if content := _content(message.content):
            yield ContentDelta(at, content)
        # Whole completions have no index: the place in the list is it. In a chunk a missing index is the first call.
        whole = choice.delta is None
        for place, call in enumerate(message.tool_calls or ()):
            function = call.function or _Function()
            index = _count(call.index)
            index = index if index is not None else (place if whole else 0)
            yield ToolCallDelta(at, index, _text(call.id), _text(function.name), _arguments(function.arguments))
    if choice.logprobs is not None and (tokens := token_probabilities(choice.logprobs)):
        yield TokenProbabilities(at, tokens)
    if reason := _text(choice.finish_reason):
        yield Finished(at, reason)


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
        return _DECODER.decode(json.dumps(lenient.loads(data), ensure_ascii=False))
    except (ValueError, msgspec.DecodeError) as error:
        raise NotAChunk(data) from error


def not_a_chunk(data: str) -> Trouble:
    """The trouble that undecodable data is."""
    return Trouble(
        "protocol",
        "The response is not a chat completion",
        f"The server sent: {data[:_MOST_SHOWN]}" if data.strip() else "The server sent an empty answer.",
        "Check that the base URL is that of an OpenAI-compatible server.",
        body=data[:65_536],
    )
