"""Where a recorded request leaves the prefix of an earlier one, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from playground.prefix_cache.alignment import varying_ranges
from playground.prefix_cache.difference import difference
from playground.prefix_cache.message_content import text_before
from playground.prefix_cache.prefix_size import Measure
from playground.prefix_cache.token_estimator import TokenEstimator
from playground.prefix_cache.view import CacheView, ViewPart, view_of_fields
from playground.prompt.document import Json
from playground.recorder.programs import RecordedRequest, message_at

BEFORE_CHARS, BEHIND_CHARS = 100, 260
JSON_BEFORE_CHARS = 30
"""Code points of the excerpts before and behind the first difference."""
MAX_COMPARED_CHARS = 400_000
"""Code points behind the difference that are compared for unchanged text."""


class RequestDifference(Struct, frozen=True):
    """The first difference between two requests. Tokens are estimates, scaled to the reported prompt tokens.

    `place` is empty if the request begins with the whole earlier prompt, or is its beginning. `shared_tokens` are in
    front of the difference; `repeated_tokens` behind it are text that both have. `before`, `after`: excerpts of both
    around it, from the beginning of the line; `cut`: they end before the text does.
    """

    place: str
    words: str
    shared_tokens: float
    repeated_tokens: float
    before: str = ""
    after: str = ""
    cut: bool = False


def compare(earlier: RecordedRequest, now: RecordedRequest) -> RequestDifference:
    """Compare two requests. Takes up to tens of milliseconds for long prompts: call it in a worker."""
    before, after = view_of_fields(earlier.body), view_of_fields(now.body)
    measure = Measure(after, TokenEstimator())
    reported = now.row.prompt_tokens
    scale = reported / measure.total if reported and measure.total else 1.0
    found = difference(after, before)
    if found is None:
        shared = min(len(after.text), len(before.text))
        words = "begins with the whole earlier prompt" if len(after.text) > shared else "has the same prompt"
        if len(before.text) > shared:
            words = "is the beginning of the earlier prompt"
        return RequestDifference("", words, measure.upto(shared) * scale, 0.0)
    one, other = _excerpt(before, found.shared), _excerpt(after, found.shared)
    return RequestDifference(
        _place(now.body, after, found.part, found.offset),
        found.words[:1].upper() + found.words[1:],
        measure.upto(found.shared) * scale,
        _repeated(before.text, after.text, found.shared, measure) * scale,
        one[0],
        other[0],
        one[1] or other[1],
    )


def _place(body: Mapping[str, Json], view: CacheView, part: ViewPart, offset: int) -> str:
    """Name the place, with line and character from 1 inside a text."""
    if part.kind == "tool":
        return f"tool {part.index + 1}, character {offset + 1:,} of its JSON"
    role = message_at(body, part.index).get("role")
    name = f"{role} message {part.index + 1}" if isinstance(role, str) else f"message {part.index + 1}"
    if part.kind != "content":
        return name
    text = text_before(view.text[part.start : part.end], offset)
    return f"{name}, line {text.count(chr(10)) + 1}, character {len(text) - text.rfind(chr(10)):,}"


def _excerpt(view: CacheView, offset: int) -> tuple[str, bool]:
    """Return the text around an offset inside its part, from the start of the line, and whether its end is cut off."""
    located = view.locate(offset)
    assert located is not None
    part, _ = located
    line = max(view.text.rfind("\n", part.start, offset) + 1, part.start)
    chars = JSON_BEFORE_CHARS if part.kind == "tool" else BEFORE_CHARS
    start, end = max(line, offset - chars), min(part.end - 1, offset + BEHIND_CHARS)
    return ("…" if start > line else "") + view.text[start:end], end < part.end - 1


def _repeated(before: str, after: str, shared: int, measure: Measure) -> float:
    """Return ≈ tokens of the text of `after` behind the first difference that `before` has, too."""
    rest = after[shared : shared + MAX_COMPARED_CHARS]
    ranges = varying_ranges([rest, before[shared : shared + MAX_COMPARED_CHARS]])
    tokens, last = 0.0, ranges[0].end if ranges else len(rest)
    for found in ranges[1:]:
        tokens += measure.upto(shared + found.start) - measure.upto(shared + last)
        last = found.end
    return tokens + measure.upto(shared + len(rest)) - measure.upto(shared + last)
