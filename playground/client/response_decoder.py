"""Decoding of a response body from bytes to events, without I/O. Shared by live exchanges and HAR imports.

Masks the key, and bounds the size, depth and number of events, before any other code sees the response.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from msgspec import UNSET

from playground.client import tolerant_json
from playground.client.chunks import ChunkDecoder, NotAChunk, SecondAnswer, StreamError, is_done
from playground.client.content_coding import Decompressor
from playground.client.error_body import is_error_name
from playground.client.errors import (
    MAX_BODY_CHARS,
    bounds_error,
    cut_call_error,
    cut_error,
    empty_error,
    not_a_chunk,
    second_answer_error,
    stream_error,
    unpack_error,
    unreadable_error,
)
from playground.client.events import AnyEvent, ApiError, Completed, RawEvent
from playground.client.redact import PIECE_CHARS, mask_key, redact
from playground.client.sse import DEFAULT_LIMITS, FrameTooLarge, NamedData, ResponseLimits, SseFramer
from playground.client.stream_masking import StreamMasker
from playground.prompt.json_text import JsonBoundsError, as_utf8, json_lines

HEADERS = (
    "x-request-id",  # Electron, OpenAI, Groq, Together, vLLM
    "request-id",  # Anthropic, and gateways
    "llm_provider-x-request-id",  # LiteLLM, forwarded from the server behind it
    "llm_provider-request-id",
    "x-ds-trace-id",  # DeepSeek
    "x-litellm-call-id",
    "x-generation-id",  # OpenRouter
    "apim-request-id",  # Azure
)
"""Header names by priority: the first one in a response is its request_id."""


class RequestId(NamedTuple):
    """An id and its header."""

    source: str
    value: str


def request_ids(headers: Iterable[Sequence[str]]) -> tuple[RequestId, ...]:
    """Return all request ids in a response's headers, by the priority of HEADERS, each value once.

    `headers`: pairs of lower-case name and value; a repeated header gives several ids.
    """
    by_name: dict[str, list[str]] = {}
    for name, value in headers:
        if name in HEADERS and value.strip():
            by_name.setdefault(name, []).append(value.strip())
    found: dict[str, RequestId] = {}
    for name in HEADERS:
        for value in by_name.get(name, ()):
            found.setdefault(value, RequestId(name, value))
    return tuple(found.values())


EVENT_STREAM = "text/event-stream"
_SSE_START = re.compile(rb"\s*(?::|(?:data|event|id|retry|error)\s*:)")
_SNIFF_BYTES = 16
_DATA_LINE = re.compile(rb"^data:", re.MULTILINE)


class TooMuch(ValueError):  # noqa: N818 - expected from a broken server
    """The response exceeds ResponseLimits."""


SLICE_BYTES = 64 * 1024
"""Maximum number of bytes that are decoded without a look at the limits; a read from a socket has no more."""


class ResponseDecoder:
    """Decodes the body of a 200 response.

    Feed it bytes until `ended` or the end of the body, then call `end`. `error`: why the response failed, if it did;
    the events end with Completed if it did not. `done`: [DONE] has come; later bytes are only searched for more than
    the end of the body.
    """

    def __init__(self, content_type: str = "", key: str | None = None, limits: ResponseLimits = DEFAULT_LIMITS) -> None:
        """`content_type`: the header's media type in lower case, without parameters."""
        self._content_type, self._key, self._limits = content_type, key, limits
        self._masker = StreamMasker(key)
        self._decoder = ChunkDecoder()
        self._framer = SseFramer()
        self._mode: Literal["unknown", "stream", "whole"] = "stream" if content_type == EVENT_STREAM else "unknown"
        self._held = bytearray()
        self._bytes = self._events = 0
        self._done_at: float | None = None
        self._rest = ChunkDecoder()
        self._rest.begun = True
        self._more = False
        self.ended = False
        self.error: ApiError | None = None

    def feed(self, received: bytes, at: float) -> list[AnyEvent]:
        """Return the events that these bytes complete."""
        events: list[AnyEvent] = []
        if self.ended:
            return events
        self._bytes += len(received)
        excess = self._bytes - self._limits.max_bytes
        try:
            received = received if excess <= 0 else received[:-excess]
            if self._mode != "stream":
                self._held += received
                if self._mode == "unknown" and self._sniff():
                    received, self._held = bytes(self._held), bytearray()
            if self._mode == "stream":
                self._frame(received, at, events)
            if excess > 0 and not self.ended:
                raise TooMuch(f"It has more than {self._limits.max_bytes:,} bytes.")
        except (FrameTooLarge, TooMuch) as error:
            if self.done:
                self._more = True
            else:
                self._fail(bounds_error(error), at, events)
        return events

    @property
    def done(self) -> bool:
        """Whether [DONE] has come and the response has not failed."""
        return self._done_at is not None and self.error is None

    def end(self, at: float, coding: Decompressor | None = None) -> list[AnyEvent]:
        """Return the remaining events at the end of the body. Nothing if the response has ended before.

        `coding`: has decompressed the body.
        """
        events: list[AnyEvent] = []
        if self.ended:
            return events
        if coding is not None and coding.unreadable:
            return self.broken(at, unreadable_error(coding.unreadable))
        if coding is not None and not coding.is_whole and not coding.is_damaged:
            return self.broken(at, cut_error(self._cut(self._framer.rest)))
        try:
            if coding is not None and coding.is_damaged:
                self._fail(unpack_error(), at, events)
            elif self.done:
                self._end_after_done(events, is_cut=False)
            elif self._mode != "stream":
                self._whole(at, events, is_cut=False)
            else:
                self._end_of_stream(at, events)
        except (FrameTooLarge, TooMuch) as error:
            self._fail(bounds_error(error), at, events)
        return events

    def broken(self, at: float, error: ApiError | None = None) -> list[AnyEvent]:
        """Return the remaining events when the transfer breaks off, with `error` or one that the caller reports.

        After [DONE], without `error`: this side does not wait for the rest. With its finish_reason the answer is
        complete, and the response is not failed: only what may follow is lost.
        """
        events: list[AnyEvent] = []
        if self.ended:
            return events
        if self.done:
            self._end_after_done(events, is_cut=error is not None)
        elif error is not None and self._decoder.finished and not self._decoder.cut_call:
            self._complete(at, events, saw_done=False)
        elif (
            error is not None
            and self._mode != "stream"
            and _is_json(as_utf8(bytes(self._held)).decode("utf-8-sig", "replace"))
        ):
            self._whole(at, events, is_cut=True)
        elif error is not None:
            self._fail(error, at, events)
        else:
            self.ended = True
            self._flush(at, events)
        return events

    def _sniff(self) -> bool:
        """Decide by the first bytes whether the body is a stream, for content types that do not say so."""
        head = bytes(self._held[:1024]).removeprefix(b"\xef\xbb\xbf")
        start = head.lstrip()
        if _SSE_START.match(head):
            self._mode = "stream"
            return True
        if start[:1] in (b"{", b"[", b"<") or len(start) >= _SNIFF_BYTES or len(head) >= 1000:
            self._mode = "whole"
        return False

    def _frame(self, received: bytes, at: float, events: list[AnyEvent]) -> None:
        """Read in slices: a few compressed bytes can be millions of events, of which none is needed above the limit."""
        for start in range(0, len(received), SLICE_BYTES):
            for data in self._framer.feed(received[start : start + SLICE_BYTES]):
                self._events += 1
                if self._events > self._limits.max_events:
                    raise TooMuch(f"It has more than {self._limits.max_events:,} events.")
                if self.done:
                    self._look_at_rest(data)
                    continue
                if is_done(data):
                    self._complete(at, events, saw_done=True)
                    if self.ended:
                        return
                    continue
                # An empty event keeps a connection open; it has no other meaning.
                if (data.strip() or isinstance(data, NamedData)) and not self._take(data, at, events):
                    return

    def _look_at_rest(self, data: str) -> None:
        """Note an event after [DONE] that is a part of an answer, or an error: not another [DONE], or a ping."""
        if self._more or is_done(data) or not data.strip():
            return
        try:
            self._rest.events(data, 0.0)
        except (StreamError, NotAChunk, JsonBoundsError):
            self._more = True
        self._more = self._more or self._rest.answered

    def _end_after_done(self, events: list[AnyEvent], *, is_cut: bool) -> None:
        assert self._done_at is not None
        with suppress(FrameTooLarge):
            for data in self._framer.end():
                self._look_at_rest(data)
        late = self._decoder.text_after_finish or UNSET
        events.append(Completed(self._done_at, not is_cut, self._more or UNSET, late))
        self.ended = True

    def _take(self, data: str, at: float, events: list[AnyEvent], *, last: bool = False) -> bool:
        """Add one event: first raw, then decoded. Returns False if the response failed with it."""
        shown = self._masked(data, last=last)
        error: ApiError | None = None
        try:
            found = self._decoder.events(shown, at)
        except StreamError as failed:
            found, error = failed.events, stream_error(failed.body, self._key)
        except SecondAnswer:
            found, error = [], second_answer_error()
        except NotAChunk:
            found, error = [], self._not_a_chunk(shown)
        except JsonBoundsError as failed:
            found, error = [], bounds_error(failed)
        events.append(RawEvent(at, str(shown)))
        events += found
        if error is not None:
            self._fail(error, at, events)
        return error is None

    def _masked(self, data: str, *, last: bool = False) -> str:
        if self._key is None or data.__class__ is str or not isinstance(data, NamedData):
            return self._masker.masked(data, last=last)
        text = f"{data}\n{data.stray}" if data.stray and not _is_json(data) else str(data)
        return NamedData(self._masker.masked(text, last=last or is_error_name(data.name)), data.name)

    def _not_a_chunk(self, data: str) -> ApiError:
        known = self._content_type in ("", EVENT_STREAM) or self._content_type.endswith("json")
        text = redact(str(data), self._key)
        return not_a_chunk(text, "" if known else self._content_type, begun=self._decoder.begun)

    def _whole(self, at: float, events: list[AnyEvent], *, is_cut: bool) -> None:
        if bytes(self._held).lstrip()[:1] not in (b"{", b"[", b"<") and _DATA_LINE.search(self._held):
            # A stream whose first line did not look like one.
            self._mode = "stream"
            self._frame(bytes(self._held), at, events)
            if self.done:
                self._end_after_done(events, is_cut=is_cut)
            elif not self.ended:
                self._end_of_stream(at, events)
            return
        data = as_utf8(bytes(self._held)).decode("utf-8-sig", "replace")
        lines = json_lines(data) if self._is_json_lines(data) else [data]
        for line in lines:
            if not self._take(line, at, events, last=len(lines) == 1):
                return
        if not self._decoder.begun:
            self._fail(self._not_a_chunk(self._decoder.passed_over), at, events)
        else:
            self._complete(at, events, saw_done=not is_cut)

    @staticmethod
    def _is_json_lines(data: str) -> bool:
        """Return whether the body has one JSON object per line instead of one object."""
        lines = json_lines(data.strip())
        return len(lines) > 1 and all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)

    def _end_of_stream(self, at: float, events: list[AnyEvent]) -> None:
        """End a stream without [DONE]: complete if a finish_reason has come, else cut. A whole body has no [DONE]."""
        rest, ended = self._framer.rest, False
        for data in self._framer.end():
            if ended := is_done(data):
                break
            if self._is_whole(data) and not self._take(data, at, events):
                return
        ended = ended or (self._events < 2 and self._decoder.has_whole)
        if ended or self._decoder.finished:
            self._complete(at, events, saw_done=ended)
            if self.done:
                self._end_after_done(events, is_cut=False)
        elif not self._decoder.begun and (self._decoder.passed_over or self._content_type != EVENT_STREAM):
            self._fail(self._not_a_chunk(self._decoder.passed_over or self._cut(rest)), at, events)
        else:
            self._fail(cut_error(self._cut(rest)), at, events)

    def _cut(self, rest: str) -> str:
        """Return an unfinished event without a key that earlier events have begun."""
        return mask_key(rest[:MAX_BODY_CHARS], self._key, PIECE_CHARS)

    @staticmethod
    def _is_whole(data: str) -> bool:
        """Return whether an unterminated last event is complete: an error message, or JSON up to its last bracket."""
        if isinstance(data, NamedData) and is_error_name(data.name):
            return True
        if data.lstrip()[:1] not in ("{", "[") or data.rstrip()[-1:] not in ("}", "]"):
            return False
        return _is_json(data) or (isinstance(data, NamedData) and all(map(_is_json, json_lines(data))))

    def _complete(self, at: float, events: list[AnyEvent], *, saw_done: bool) -> None:
        """End the response, at [DONE] but for the rest. Completed if it has a finish_reason or an answer and no skipped
        error message.

        Some servers send no finish_reason: text is an answer without one, a tool call only with complete arguments.
        Arguments that end inside a string or an object are cut, whatever the finish_reason is.
        """
        decoder = self._decoder
        self._flush(at, events)
        if decoder.cut_call:
            self._fail(cut_call_error(redact(decoder.finish_reason, self._key)), at, events)
        elif not decoder.finished and decoder.passed_message:
            self._fail(stream_error(decoder.passed_message, self._key), at, events)
        elif not decoder.finished and not decoder.answered:
            self._fail(empty_error(redact(decoder.passed_over, self._key)), at, events)
        elif saw_done and self._mode == "stream":
            self._done_at = at
        else:
            events.append(Completed(at, saw_done, late=decoder.text_after_finish or UNSET))
            self.ended = True

    def _fail(self, error: ApiError, at: float, events: list[AnyEvent]) -> None:
        self._flush(at, events)
        self.ended, self.error = True, error

    def _flush(self, at: float, events: list[AnyEvent]) -> None:
        """Add the delayed texts."""
        chunk, text = self._masker.rest()
        events += [RawEvent(at, data) for data in (chunk, text) if data]
        if chunk:
            with suppress(StreamError, NotAChunk, JsonBoundsError):
                events += self._decoder.events(chunk, at)
        events += self._decoder.end(at)


def _is_json(data: str) -> bool:
    try:
        tolerant_json.loads_raw(data)
    except ValueError:
        return False
    return True
