"""Random bytes, cuts and orders of events: no crash, no hang, no lost request_id, no visible key.

`python -m tests.conformance.fuzz --cases 100000` runs more of the same cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from playground.client import chunks, key_search, key_stream, redact, response_decoder, sse, stream_masking
from playground.client.events import AnyEvent, Completed, HeadersReceived, RawEvent, ToolCallDelta
from playground.runs import state
from tests.conformance import fuzz, socket_fuzz

pytestmark = pytest.mark.exhaustive

IN_MEMORY = 300
"""Each broken client below is found within the first 212."""
OVER_SOCKETS = 100
BROKEN_HTTP = 100


def test_in_memory() -> None:
    kinds = asyncio.run(fuzz.many(IN_MEMORY))
    assert kinds.total() == IN_MEMORY
    assert min(kinds.values()) > IN_MEMORY / 20


async def test_over_sockets() -> None:
    await socket_fuzz.whole_http(OVER_SOCKETS)


def test_broken_http_over_sockets() -> None:
    understood = asyncio.run(socket_fuzz.broken_http(BROKEN_HTTP))
    assert BROKEN_HTTP / 4 < understood < BROKEN_HTTP


Patch = Callable[[pytest.MonkeyPatch], None]


def _line_ends_of_text(patch: pytest.MonkeyPatch) -> None:
    """Lines end where text's lines do: also at U+2028 and U+0085."""
    feed = sse.SseFramer.feed

    def odd(self: sse.SseFramer, received: bytes) -> list[str]:
        return feed(self, received.replace("\u2028".encode(), b"\n"))

    patch.setattr(sse.SseFramer, "feed", odd)


def _no_half_crlf(patch: pytest.MonkeyPatch) -> None:
    """A CRLF that is cut in two ends two lines."""
    feed = sse.SseFramer.feed

    def odd(self: sse.SseFramer, received: bytes) -> list[str]:
        self._after_cr = False
        return feed(self, received)

    patch.setattr(sse.SseFramer, "feed", odd)


def _every_choice(patch: pytest.MonkeyPatch) -> None:
    """Decode the text of a second choice as the first one's."""
    decode = chunks._decode

    def odd(data: str) -> chunks._Chunk:
        chunk = decode(data)
        for choice in chunk.choices or ():
            choice.index = 0
        return chunk

    patch.setattr(chunks, "_decode", odd)


def _forgets_the_id(patch: pytest.MonkeyPatch) -> None:
    """A response's request_id is not kept."""
    apply = state.RunState.apply

    def odd(run: state.RunState, event: AnyEvent) -> None:
        apply(run, replace(event, request_id=None) if isinstance(event, HeadersReceived) else event)

    patch.setattr(state.RunState, "apply", odd)


def _done_is_not_needed(patch: pytest.MonkeyPatch) -> None:
    """A stream that was cut passes for a whole one."""

    def odd(self: response_decoder.ResponseDecoder, at: float, events: list[AnyEvent]) -> None:
        events.append(Completed(at))
        self.ended = True

    patch.setattr(response_decoder.ResponseDecoder, "_end_of_stream", odd)


def _arguments_replaced(patch: pytest.MonkeyPatch) -> None:
    """A call's newest piece takes the place of those before it."""
    apply = state.RunState.apply

    def odd(run: state.RunState, event: AnyEvent) -> None:
        if isinstance(event, ToolCallDelta) and event.index in run.tool_calls:
            run.tool_calls[event.index].pieces.clear()
        apply(run, event)

    patch.setattr(state.RunState, "apply", odd)


def _raises(patch: pytest.MonkeyPatch) -> None:
    """A bug in the decoder that nothing catches."""
    decode = chunks._decode

    def odd(data: str) -> object:
        if "length" in data:
            raise KeyError("length")
        return decode(data)

    patch.setattr(chunks, "_decode", odd)


def _shows_split_keys(patch: pytest.MonkeyPatch) -> None:
    """A key in pieces passes."""
    patch.setattr(stream_masking.StreamMasker, "_pass", lambda _self, _text, piece: piece)


def _shows_split_keys_in_raw_events(patch: pytest.MonkeyPatch) -> None:
    """A key in pieces is masked in the text and not in the raw events."""
    take = response_decoder.ResponseDecoder._take

    def odd(
        decoder: response_decoder.ResponseDecoder, data: str, at: float, events: list[AnyEvent], **last: bool
    ) -> bool:
        first = len(events)
        taken = take(decoder, data, at, events, **last)
        events[first] = RawEvent(at, str(data))
        return taken

    patch.setattr(response_decoder.ResponseDecoder, "_take", odd)


def _shows_escaped_keys(patch: pytest.MonkeyPatch) -> None:
    """Only the plain key is masked."""
    for module in (redact, key_search, key_stream):
        patch.setattr(module, "decode", lambda text, *_: (text, []))


@pytest.mark.parametrize(
    "broken",
    [
        _shows_split_keys,
        _shows_split_keys_in_raw_events,
        _shows_escaped_keys,
        _line_ends_of_text,
        _no_half_crlf,
        _every_choice,
        _forgets_the_id,
        _done_is_not_needed,
        _arguments_replaced,
        _raises,
    ],
    ids=lambda broken: broken.__name__.strip("_"),
)
def test_the_cases_find_a_client_that_is_broken(broken: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these faults is one that a client may well have; the first few hundred cases find it."""
    broken(monkeypatch)
    with pytest.raises(fuzz.CaseFailed, match="case "):
        asyncio.run(fuzz.many(500))
