"""Masking of a key that is split over several events of a stream."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from msgspec.structs import replace

from playground.client.events import (
    AnyEvent,
    ContentDelta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TokenProbabilities,
    TokenProbability,
    ToolCallDelta,
)
from playground.client.redact import MASK, decoded, escaped_key, mask, may_escape

SUSPECT_CHARS = 4
"""Length of a key's beginning that is delayed at the end of the received text until more text arrives."""
SUSPECT_NAME_CHARS = 8
"""A name or an id is never held back: it is masked once this many first characters of a key have come in pieces."""
_LONGEST_ESCAPE = 12
_PARTIAL_ESCAPE = re.compile(
    r"(?:(?<!\\)\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%[0-9a-fA-F]?|&#?[xX]?[0-9a-fA-F]{0,4})$"
)
_UNIT = re.compile(
    r"(?<!\\)\\++(?:u00[0-9a-fA-F]{2}|x[0-9a-fA-F]{2}|/)|%(?:25)*[0-9a-fA-F]{2}|&#[xX]?[0-9a-fA-F]+;|.", re.DOTALL
)

_Stream = Literal["content", "reasoning", "refusal", "tokens"] | int
_TEXTS = (ContentDelta, ReasoningDelta, RefusalDelta)
_STREAM_OF: dict[type, _Stream] = {ContentDelta: "content", ReasoningDelta: "reasoning", RefusalDelta: "refusal"}


class SplitKeys:
    """Masks a key in the joined text of a stream; text that cannot be part of the key passes immediately.

    `changed`: whether the last call of `events` altered or held back anything.
    """

    def __init__(self, forms: tuple[str, ...]) -> None:
        """`forms`: the forms of the key (redact.key_forms); if empty, everything passes."""
        self._forms = forms
        self._starts = tuple(dict.fromkeys(form[:SUSPECT_CHARS] for form in forms))
        self._texts: dict[_Stream, _Text] = {}
        self._names: dict[tuple[str, int], str] = {}
        self.changed = False

    def events(self, events: Iterable[AnyEvent]) -> list[AnyEvent]:
        """Return the events, with each text reduced to the part that can already be displayed."""
        self.changed = False
        if not self._forms:
            return list(events)
        passed: list[AnyEvent] = []
        for event in events:
            if isinstance(event, _TEXTS):
                if text := self._pass(_STREAM_OF[type(event)], event.text):
                    passed.append(event if text is event.text else replace(event, text=text))
            elif isinstance(event, ToolCallDelta):
                passed += self._tool_call(event)
            elif isinstance(event, TokenProbabilities):
                passed.append(self._probabilities(event))
            else:
                if isinstance(event, Finished):
                    passed += self.rest(event.at)
                passed.append(event)
        return passed

    def _tool_call(self, event: ToolCallDelta) -> list[AnyEvent]:
        arguments = self._pass(event.index, event.arguments)
        name, id = self._name("name", event.index, event.name), self._name("id", event.index, event.id)
        if arguments or id or name or not event.arguments:
            return [replace(event, arguments=arguments, name=name, id=id)]
        return []

    def _name(self, kind: str, index: int, piece: str | None) -> str | None:
        """Mask names and ids, also if a server sends one in pieces that join to the key."""
        if not piece:
            return piece
        joined = self._names.get((kind, index), "") + piece
        self._names[kind, index] = joined[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        plain = decoded(joined)
        if any(form in plain for form in self._forms) or self._key_prefix(plain) >= SUSPECT_NAME_CHARS:
            self.changed = True
            return MASK
        return piece

    def _probabilities(self, event: TokenProbabilities) -> TokenProbabilities:
        """Mask the tokens' texts. Drops the alternatives of a masked token."""
        tokens: list[TokenProbability] = []
        for token in event.tokens:
            text = self._pass("tokens", token.token)
            tokens.append(token if text == token.token else TokenProbability(text, token.logprob, ()))
        return replace(event, tokens=tuple(tokens))

    def rest(self, at: float) -> list[AnyEvent]:
        """Return the delayed text at the end of the stream. Masks also an incomplete key."""
        found: list[AnyEvent] = []
        for stream, text in self._texts.items():
            held, text.held = text.held, ""
            if held:
                self.changed = True
                shown = MASK if len(decoded(held)) > 2 * SUSPECT_CHARS else held
                found += _event_of(stream, at, shown)
        return found

    def _pass(self, stream: _Stream, piece: str) -> str:
        text = self._texts.setdefault(stream, _Text())
        whole = text.tail + text.held + piece
        if may_escape(whole) or any(start in whole for start in self._starts):
            shown = self._suspect(text, piece)
        else:
            shown, text.held = text.held + piece, ""
            # 16: room for the three characters before a key's fourth, one of them as an unfinished escape.
            text.tail = whole[-16:] if "\\" in whole else whole[1 - SUSPECT_CHARS :]
        if shown == piece:
            return piece
        self.changed = True
        return shown

    def _suspect(self, text: _Text, piece: str) -> str:
        known, coming = text.tail, text.held + piece
        plain = decoded(known + coming)
        if not any(start in plain for start in self._starts):
            text.held, text.tail = "", _last_units(known + coming, SUSPECT_CHARS - 1)
            return coming
        found = escaped_key(self._forms).search(known + coming)
        if found is not None and found.start() < len(known) < found.end():
            # Its first characters were displayed before they could be recognized.
            coming = MASK + coming[found.end() - len(known) :]
        coming = mask(coming, self._forms)
        kept = max(len(coming) - self._suspicious(known + coming), 0)
        text.held = coming[kept:]
        text.tail = _last_units(known + coming[:kept], SUSPECT_CHARS - 1)
        return coming[:kept]

    def _suspicious(self, text: str) -> int:
        """Return how many characters at the end may be the beginning of a key, escaped or not."""
        window = text[-max(map(len, self._forms)) * _LONGEST_ESCAPE :]
        partial = _PARTIAL_ESCAPE.search(window)
        body = window[: partial.start()] if partial else window
        units = [found.group() for found in _UNIT.finditer(body)]
        plain = [decoded(unit) if len(unit) > 1 else unit for unit in units]
        length = self._key_prefix("".join(plain))
        if length < SUSPECT_CHARS:
            return 0
        taken, characters = 0, 0
        for unit, character in zip(reversed(units), reversed(plain), strict=True):
            taken += len(unit)
            characters += len(character)
            if characters >= length:
                break
        return taken + len(window) - len(body)

    def _key_prefix(self, text: str) -> int:
        """Return the length of the longest beginning of a key that ends the text."""
        longest = 0
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), longest, -1):
                if text.endswith(form[:length]):
                    longest = length
                    break
        return longest


def _last_units(text: str, count: int) -> str:
    """Return the last `count` characters, with an escape counted as one, and an unfinished escape after them."""
    window = text[-(count + 1) * _LONGEST_ESCAPE :]
    partial = _PARTIAL_ESCAPE.search(window)
    body = window[: partial.start()] if partial else window
    units = [found.group() for found in _UNIT.finditer(body)]
    return "".join(units[-count:]) + window[len(body) :]


def _event_of(stream: _Stream, at: float, text: str) -> list[AnyEvent]:
    match stream:
        case "content":
            return [ContentDelta(at, text)]
        case "reasoning":
            return [ReasoningDelta(at, text)]
        case "refusal":
            return [RefusalDelta(at, text)]
        case "tokens":
            return []  # the token is in the content too
        case _:
            return [ToolCallDelta(at, stream, None, None, text)]


class _Text:
    """The end of the text that was passed on, and the delayed text."""

    __slots__ = ("held", "tail")

    def __init__(self) -> None:
        self.held = self.tail = ""
