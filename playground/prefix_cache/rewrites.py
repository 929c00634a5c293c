"""A better order for a prompt: what varies goes below what stays, as one step with a preview.

Nothing is reworded: sentences, lines and blocks are moved whole, invisible white space is trimmed, tools are sorted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from playground.prefix_cache.blocks import Range, unit_around, widened
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.view import DocumentView, view_of_document
from playground.prefix_cache.volatile_scan import VolatileKind, spans
from playground.prompt.document import Document, Message, places

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
    """Replace each short escape by two spaces: as long as before, and `\\nToday` begins with a word again."""
    return _ESCAPE.sub("  ", json_text) if "\\" in json_text else json_text


__all__ = ["REASONS", "Volatile", "VolatileKind", "find_volatile", "spans"]

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


class Volatile(Struct, frozen=True):
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

    def tokens_behind(self, measure: Measure) -> float:
        """Return the ≈ tokens from the value's first on that are fresh because of it alone.

        `measure` is that of the view in which the value was found.
        """
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


_TRAILING = " \t\r\u00a0\u200b\ufeff"
_UNSEEN = re.compile(
    "[\u2060\ufeff]|(?<![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\u200b(?![\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])"
)
"""Word joiners, byte-order marks, and zero-width spaces but those that part the words of Thai, Lao, Burmese and Khmer.
Joiners (in emoji, in Indic and Arabic words) and direction marks say something, and stay."""


def trimmed(text: str) -> str:
    """Return the text without them; variable names are unchanged."""
    pieces: list[str] = []
    last = 0
    for place in places(text):
        pieces += (_UNSEEN.sub("", text[last : place.start]), text[place.start : place.end])
        last = place.end
    pieces.append(_UNSEEN.sub("", text[last:]))
    return "\n".join(map(_line, "".join(pieces).split("\n")))


def _line(line: str) -> str:
    # A line feed may be two characters: the first of them stays.
    return line.rstrip(_TRAILING) + "\r" if line.endswith("\r") else line.rstrip(_TRAILING)


FieldError = Volatile | str
"""A value that was found, or a variable's name."""
_BLANK_LINES = re.compile(r"\n[ \t]*\n")


class PromptRewrite(Struct, frozen=True):
    """One proposal. `after` is the whole document as it would be; `moved` are the pieces that change their place."""

    title: str
    why: str
    after: Document
    moved: tuple[str, ...] = ()


def proposals(document: Document, problem: FieldError | None = None) -> tuple[PromptRewrite, ...]:
    """Return proposals that lengthen the part shared by all requests of this prompt; the most cautious first.

    With a `problem`, only that one is moved: empty where something else varies before it, so that nothing would be
    gained. Empty if nothing varies.
    Each proposal that moves something lengthens the stable part, and none is proposed again after it is applied.
    """
    before = _stable(document)
    longer = (one for one in _moves(document, problem) if _gains(before, _stable(one.after)))
    found = [rewrite for rewrite in longer if _is_done(rewrite, problem)]
    if problem is None:
        found += _trims(document)
    return tuple(found)


def sorted_tools(document: Document) -> PromptRewrite | None:
    """Return the tools by name, if their order differed from an earlier request; None if it is sorted."""
    tools = tuple(sorted(document.tools, key=lambda tool: tool.name))
    if tools == document.tools:
        return None
    why = "A different tool order is a different prefix: sorting by name makes it independent of the source."
    return PromptRewrite("Sort the tools by name", why, replace(document, tools=tools))


def stable_length(document: Document) -> int:
    """Code points of the cache's view before the first variable or volatile value (sure ones only)."""
    return len(_stable(document))


def _stable(document: Document) -> str:
    view = view_of_document(document)
    ends = [volatile.place for volatile in find_volatile(view) if volatile.sure]
    if view.first_variable is not None:
        ends.append(view.first_variable)
    return view.view.text[: min(ends, default=len(view.view.text))]


def _is_done(rewrite: PromptRewrite, problem: FieldError | None) -> bool:
    """Return whether a proposal would not be made again after it is applied."""
    if isinstance(problem, Volatile):
        return True
    again = (other for other in _moves(rewrite.after, problem) if other.title == rewrite.title)
    return not any(_gains(_stable(rewrite.after), _stable(other.after)) for other in again)


def _gains(before: str, after: str) -> bool:
    """Whether the stable part has more words than before; a line feed more is no gain."""
    return len(after) > len(before) and len("".join(after.split())) > len("".join(before.split()))


def _moves(document: Document, problem: FieldError | None) -> Iterator[PromptRewrite]:
    led = _led(document)
    if any(_varying(document, index, problem) for index in range(led)):
        yield from _below_the_rules(document, led, problem)
    elif document.messages and document.messages[-1].role == "user":
        yield from _below_in_question(document, problem)


def _led(document: Document) -> int:
    """How many system messages lead the prompt."""
    roles = [message.role for message in document.messages]
    return next((at for at, role in enumerate(roles) if role != "system"), len(roles))


def _below_in_question(document: Document, problem: FieldError | None) -> Iterator[PromptRewrite]:
    """Move values to the end of a last message that contains rules and values."""
    index = len(document.messages) - 1
    taken = _take(document, index, problem)
    if taken and taken.rest.strip():
        why = "What varies no longer cuts the text behind it off from the cache."
        after = document.with_message(
            index, replace(document.messages[index], content=_joined(taken.rest, taken.pieces))
        )
        yield PromptRewrite("Move to the end of the message", why, after, taken.pieces)


def _below_the_rules(document: Document, led: int, problem: FieldError | None) -> Iterator[PromptRewrite]:
    kept, pieces = _parted(document, led, problem)
    if not pieces or not kept:
        return
    tail = document.messages[led:]
    below = replace(kept[-1], content=_joined(kept[-1].content or "", pieces))
    yield PromptRewrite(
        "Move to the end of the system message",
        "What varies no longer cuts the text behind it off from the cache.",
        replace(document, messages=(*kept[:-1], below, *tail)),
        pieces,
    )
    own = replace(document, messages=(*kept, Message("system", _joined("", pieces)), *tail))
    yield PromptRewrite(
        "Split into a message of its own", "The stable text stays the same in every request.", own, pieces
    )
    asked = [at for at, message in enumerate(tail) if message.role == "user"]
    if asked:
        at = asked[-1]
        question = replace(tail[at], content=_joined("", (*pieces, tail[at].content or "")))
        changed = (*kept, *tail[:at], question, *tail[at + 1 :])
        why = "History stays in the prefix too: only this turn is fresh."
        yield PromptRewrite("Move in front of the question", why, replace(document, messages=changed), pieces)


class _Taken(Struct, frozen=True):
    """A message's content in two: what stays, and the pieces that vary."""

    rest: str
    pieces: tuple[str, ...]


def _parted(document: Document, led: int, problem: FieldError | None) -> tuple[list[Message], tuple[str, ...]]:
    """Return the leading messages without what varies, and the varying pieces.

    A message that had nothing else is gone, unless it has fields of its own.
    """
    kept: list[Message] = []
    pieces: list[str] = []
    for index, message in enumerate(document.messages[:led]):
        taken = _take(document, index, problem)
        bare = taken is not None and not taken.rest.strip()
        if taken is None or (bare and message.extra):
            kept.append(message)
            continue
        pieces += taken.pieces
        if not bare:
            kept.append(replace(message, content=taken.rest))
    return kept, tuple(pieces)


def _take(document: Document, index: int, problem: FieldError | None) -> _Taken | None:
    content = document.messages[index].content or ""
    cuts = _varying(document, index, problem)
    if not cuts:
        return None
    return _Taken(_without(content, cuts), tuple(content[start:end].strip() for start, end in cuts))


def _varying(document: Document, index: int, problem: FieldError | None) -> list[Range]:
    """Return the parts of a message to move: code points of its content, in order and apart."""
    content = document.messages[index].content or ""
    if isinstance(problem, Volatile):
        found = [(problem.start, problem.end)] if problem.message == index else []
    else:
        found = [(place.start, place.end) for place in places(content) if problem in (None, place.name)]
        if problem is None:
            found += [(start, end) for _, start, end, sure in spans(content) if sure]
    return widened(content, (unit_around(content, start, end) for start, end in found))


def _without(content: str, cuts: Sequence[Range]) -> str:
    """Return the content without the pieces. Two gaps between paragraphs become one; nothing else changes."""
    kept, last = "", 0
    for start, end in cuts:
        kept += content[last:start]
        last = end
        if (not kept or kept.endswith("\n\n")) and content.startswith("\n", last):
            last += 1
    return (kept + content[last:]).rstrip("\n")


def _joined(rest: str, pieces: Sequence[str]) -> str:
    """Pieces below a text; those of several paragraphs keep a blank line around them."""
    text = rest.rstrip("\n")
    for piece in pieces:
        gap = "\n\n" if _BLANK_LINES.search(piece) or piece.startswith("#") else "\n"
        text = f"{text}{gap}{piece}" if text else piece
    return text


def _trims(document: Document) -> Iterator[PromptRewrite]:
    messages = tuple(
        replace(message, content=trimmed(message.content)) if message.role == "system" and message.content else message
        for message in document.messages
    )
    if messages != document.messages:
        why = "Invisible white space is part of the prefix: one tool that trims it, and the cache misses."
        yield PromptRewrite("Trim invisible white space", why, replace(document, messages=messages))
