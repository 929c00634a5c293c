"""A key that comes back in pieces: each is harmless, and together they are the key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from playground.client.events import AnyEvent, ContentDelta, Finished, ToolCallDelta
from playground.client.redact import MASK, mask

SUSPECT_CHARS = 4
"""So many characters of a key's beginning, at the end of what has come, are held back until more comes."""


class SplitKeys:
    """Masks a key in the joined text of a stream. What does not look like one passes at once."""

    def __init__(self, forms: tuple[str, ...]) -> None:
        """`forms`: how the key may stand in a text (redact.key_forms); with none, all passes."""
        self._forms = forms
        self._starts = tuple(dict.fromkeys(form[:SUSPECT_CHARS] for form in forms))
        self._texts: dict[int | None, _Text] = {}

    def events(self, events: Iterable[AnyEvent]) -> Iterator[AnyEvent]:
        """The events, each piece of text with what may be shown of it by now."""
        for event in events:
            if isinstance(event, ContentDelta):
                if text := self._pass(None, event.text):
                    yield event if text is event.text else replace(event, text=text)
            elif isinstance(event, ToolCallDelta):
                arguments = self._pass(event.index, event.arguments)
                if arguments or event.id or event.name or not event.arguments:
                    yield replace(event, arguments=arguments)
            else:
                if isinstance(event, Finished):
                    yield from self.rest(event.at)
                yield event

    def rest(self, at: float) -> list[AnyEvent]:
        """What was held back, when nothing more comes: most of a key is masked, too."""
        found: list[AnyEvent] = []
        for index, text in self._texts.items():
            held, text.held = text.held, ""
            if held:
                shown = MASK if len(held) > 2 * SUSPECT_CHARS else held
                found.append(ContentDelta(at, shown) if index is None else ToolCallDelta(at, index, None, None, shown))
        return found

    def _pass(self, index: int | None, piece: str) -> str:
        if not self._forms:
            return piece
        text = self._texts.setdefault(index, _Text())
        whole = text.tail + text.held + piece
        if any(start in whole for start in self._starts):
            return self._suspect(text, piece)
        text.tail = whole[1 - SUSPECT_CHARS :]
        if not text.held:
            return piece
        shown, text.held = text.held + piece, ""
        return shown

    def _suspect(self, text: _Text, piece: str) -> str:
        known, coming = text.tail, text.held + piece
        for form in self._forms:
            # Its first characters may have been shown before it could be told.
            if (at := (known + coming).find(form)) >= 0 and at < len(known):
                coming = MASK + coming[at + len(form) - len(known) :]
        coming = mask(coming, self._forms)
        kept = len(coming) - min(self._suspicious(known + coming), len(coming))
        text.held = coming[kept:]
        text.tail = (known + coming[:kept])[1 - SUSPECT_CHARS :]
        return coming[:kept]

    def _suspicious(self, text: str) -> int:
        """How many characters at the end may be a key's beginning; 0 where none are."""
        longest = 0
        for form in self._forms:
            for length in range(min(len(form) - 1, len(text)), max(longest, SUSPECT_CHARS - 1), -1):
                if text.endswith(form[:length]):
                    longest = length
                    break
        return longest


class _Text:
    """The end of what was shown, and what is held back."""

    __slots__ = ("held", "tail")

    def __init__(self) -> None:
        self.held = self.tail = ""
