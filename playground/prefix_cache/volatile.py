"""Find volatile text in the part of a prompt that should be constant.

Searches the tools, and the text before the first variable of system messages and of messages that hold a
variable. Completed turns are history: their dates do not change. A value that only looks volatile (the day
a policy began) is found with `sure` False, or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.view import DocumentView
from playground.prefix_cache.volatile_scan import VolatileKind, spans
from playground.prompt.variables import places

_KEYS = re.compile(r'(?<!\\)"(?:examples?|default|const|enum|format|pattern|\$id|\$schema|\$ref)"\s*:\s*')
_ESCAPE = re.compile(r"\\(?:[nrtbf\"/\\])")
_DECODER = json.JSONDecoder()


def example_ranges(json_text: str) -> tuple[tuple[int, int], ...]:
    """Code points [start, end) of the values of such keys, in order."""
    found: list[tuple[int, int]] = []
    for key in _KEYS.finditer(json_text):
        if found and key.start() < found[-1][1]:
            continue
        try:
            _, end = _DECODER.raw_decode(json_text, key.end())
        except (ValueError, RecursionError):
            continue
        found.append((key.end(), end))
    return tuple(found)


def unescaped(json_text: str) -> str:
    """The text with two spaces for each short escape: as long as before, and `\\nToday` begins with a word again."""
    return _ESCAPE.sub("  ", json_text) if "\\" in json_text else json_text


__all__ = ["REASONS", "Volatile", "VolatileKind", "cost_per_thousand", "find_volatile", "spans"]

REASONS: dict[VolatileKind, str] = {
    "date": "a date is another tomorrow",
    "time": "a clock time is another in a minute",
    "timestamp": "a timestamp is another in every request",
    "identifier": "an identifier is another in every session",
    "counter": "a counter is another in every turn",
    "placeholder": "a placeholder of another template language is sent unchanged, or filled in for every request",
    "person": "who calls is another in every conversation",
    "contact": "an address or number is another for every caller",
    "reading": "a current reading is another in the next request",
    "location": "a location is another for every caller",
}
MOST = 50
"""Maximum number of reported values, for sure and unsure ones each."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """One value. `message` is the message's index (None: in the tool with index `tool`); `start`, `end` are code points
    in the message's template content, or in the tool's JSON text.

    `place` is its first code point in the cache's view. `stable_end` is where the text behind it, which it cuts off
    from the cache, would vary anyway: at the first variable, at the last question, or at the end. `sure`: its words
    say that it varies; else it only may.
    """

    kind: VolatileKind
    text: str
    message: int | None
    tool: int | None
    start: int
    end: int
    place: int
    stable_end: int
    sure: bool

    @property
    def reason(self) -> str:
        """Why it ends the prefix."""
        return REASONS[self.kind]

    @property
    def characters_behind(self) -> int:
        """Code points of the view, from the value's first on, that are fresh because of it alone."""
        return max(self.stable_end - self.place, 0)

    def tokens_behind(self, measure: Measure) -> float:
        """The same in ≈ tokens. `measure` is that of the view in which the value was found."""
        return max(measure.upto(self.stable_end) - measure.upto(self.place), 0.0)


def find_volatile(view: DocumentView) -> tuple[Volatile, ...]:
    """Every volatile value of the stable part, in the cache's order; at most MOST that are sure and MOST that are not.

    Linear in the prompt's length; messages that did not change since are not read again.
    """
    found: list[Volatile] = []
    room = {True: MOST, False: MOST}
    for volatile in _all(view, _stable_end(view)):
        if room[volatile.sure]:
            room[volatile.sure] -= 1
            found.append(volatile)
    return tuple(found)


def cost_per_thousand(tokens: float, fresh: float | None, cached: float | None) -> float | None:
    """Dollars that 1,000 requests pay for `tokens` sent fresh instead of from the cache; None without both rates.

    Rates are dollars per million tokens.
    """
    if fresh is None or cached is None:
        return None
    return tokens * (fresh - cached) * 1_000 / 1_000_000


def _stable_end(view: DocumentView) -> int:
    if view.first_variable is not None:
        return view.first_variable
    asked = [
        part for part, message in zip(view.contents, view.document.messages, strict=True) if message.role == "user"
    ]
    last = asked[-1] if asked else None
    return len(view.view.text) if last is None else last.start


def _all(view: DocumentView, stable_end: int) -> Iterator[Volatile]:
    for part in view.view.parts:
        if part.kind == "tool":
            text = view.document.tools[part.index].json_text
            for kind, start, end, sure in _tool_spans(text):
                place = part.start + start
                yield Volatile(kind, text[start:end], None, part.index, start, end, place, stable_end, sure)
    for index, message in enumerate(view.document.messages):
        content_part, content = view.contents[index], message.content
        if content_part is None or not content:
            continue
        standing = places(content)
        if message.role == "system" or standing:
            for kind, start, end, sure in spans(content[: standing[0].start] if standing else content):
                place = content_part.start + start
                yield Volatile(kind, content[start:end], index, None, start, end, place, stable_end, sure)
        if standing:
            # What follows the first variable is fresh already: nothing there can cost more.
            return


def _tool_spans(json_text: str) -> Iterator[tuple[VolatileKind, int, int, bool]]:
    """Values in a tool's descriptions, those that are sure; what a schema gives as an example is none."""
    examples = example_ranges(json_text)
    for span in spans(unescaped(json_text)):
        if span.sure and not any(start <= span.start < end for start, end in examples):
            yield span
