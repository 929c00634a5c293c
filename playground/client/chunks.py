"""Chunks and whole completions, decoded to events. Tolerant: what is missing or unknown is left out, never guessed.

A lone surrogate in a server's JSON (`"\\ud83d"` alone) stands for no character: it becomes U+FFFD, here and nowhere
else, so that every later room holds valid text. msgspec refuses such JSON, so it is read again by the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import msgspec

from playground.client.events import (
    AnyEvent,
    BodyIdReceived,
    ContentDelta,
    Finished,
    ToolCallDelta,
    Trouble,
    Usage,
    UsageReported,
)

DONE = "[DONE]"


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Message | None = None
    message: _Message | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw | None = None


_DECODER = msgspec.json.Decoder(_Chunk)
_LONE = re.compile("[\ud800-\udfff]")


class NotAChunk(ValueError):  # noqa: N818 - expected from a server that is not one
    """The data is not a chat completion or a chunk of one."""


class StreamError(Exception):
    """The server sent an error object inside its stream."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


class ChunkDecoder:
    """Decodes one response's chunks; tells the body's id once."""

    def __init__(self) -> None:
        self._told_id = False

    def events(self, data: str, at: float) -> Iterator[AnyEvent]:
        """The events in one chunk (or one whole completion). Raises NotAChunk, StreamError."""
        chunk = _decode(data)
        if chunk.error is not None and bytes(chunk.error) != b"null":
            raise StreamError(data)
        if chunk.choices is None and chunk.usage is None and chunk.id is None:
            raise NotAChunk(data)
        if chunk.id and not self._told_id:
            self._told_id = True
            yield BodyIdReceived(at, chunk.id, chunk.model)
        for choice in chunk.choices or ():
            if choice.index == 0:
                yield from _choice_events(choice, at)
        if chunk.usage is not None:
            yield UsageReported(at, _usage(chunk.usage))


def _choice_events(choice: _Choice, at: float) -> Iterator[AnyEvent]:
    message = choice.delta or choice.message
    if message is not None:
        if message.content:
            yield ContentDelta(at, message.content)
        for place, call in enumerate(message.tool_calls or ()):
            function = call.function or _Function()
            index = place if call.index is None else call.index
            yield ToolCallDelta(at, index, call.id, function.name, function.arguments or "")
    if choice.finish_reason:
        yield Finished(at, choice.finish_reason)


def _usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    # Absent is unknown, never zero (electron-api.md, Response).
    cached = details.cached_tokens if details else None
    return Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached)


def _decode(data: str) -> _Chunk:
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        return _decode_odd(data)
    except UnicodeEncodeError:
        return _decode_odd(_LONE.sub("\ufffd", data))


def _decode_odd(data: str) -> _Chunk:
    try:
        text = json.dumps(json.loads(data), ensure_ascii=False)
        return _DECODER.decode(_LONE.sub("\ufffd", text))
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise NotAChunk(data) from error


def not_a_chunk(data: str) -> Trouble:
    """The trouble that undecodable data is."""
    return Trouble(
        "protocol",
        "The response is not a chat completion",
        f"The server sent: {data[:200]}" if data.strip() else "The server sent an empty answer.",
        "Check that the base URL is that of an OpenAI-compatible server.",
    )
