"""What is shown against what came: where Qt's document breaks a paragraph, and the exact text behind each paragraph.

Qt turns CR, CRLF, LF and U+2029 all into one kind of paragraph end, and slows down on very long paragraphs (spikes.md,
Live text). So the exact text is cut into paragraphs here: at its own line ends, and, for display only, beyond
LONG_PARAGRAPH. Every paragraph knows where it starts in the exact text; copying goes by that, not by Qt's text.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field

LONG_PARAGRAPH = 2_000
"""Code points after which a paragraph is broken for display, at the next blank if one comes soon."""
_SLACK = 200
# U+FDD0 and U+FDD1 are Qt's own marks for the bounds of a frame; its documents break there as well.
_LINE_END = re.compile("\r\n|[\n\r\u2029\ufdd0\ufdd1]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class DisplayMap:
    """The exact text so far, and the start of each paragraph shown, in code points of it."""

    text: str = ""
    starts: list[int] = field(default_factory=lambda: [0])
    ends: list[int] = field(default_factory=lambda: [0])
    taken: int = 0

    def take(self, text: str, *, final: bool) -> list[str]:
        """Take in `text`, which begins with all that was taken before. Returns what to show: the first string is to be
        added to the last paragraph, each further one is a new paragraph.

        Not `final`: a CR at the end is held back, as LF may follow it.
        """
        self.text = text
        limit = len(text)
        if not final and text.endswith("\r"):
            limit -= 1
        shown = [""]
        at = self.taken
        while at < limit:
            end = _LINE_END.search(text, at, limit)
            stop = end.start() if end else limit
            self._add(shown, at, stop)
            if end:
                self._new_paragraph(shown, end.end())
                stop = end.end()
            at = stop
        self.taken = limit
        return [_SURROGATE.sub("\ufffd", line) for line in shown]

    def exact_offset(self, paragraph: int, unit: int) -> int:
        """The code point of the exact text at UTF-16 unit `unit` of paragraph `paragraph`."""
        start, end = self.starts[paragraph], self.ends[paragraph]
        line = self.text[start:end]
        if line.isascii():
            return start + min(unit, len(line))
        at = 0
        for index, char in enumerate(line):
            if at >= unit:
                return start + index
            at += 2 if char > "\uffff" else 1
        return end

    def place(self, offset: int) -> tuple[int, int]:
        """(paragraph, UTF-16 unit) that shows the exact text's code point `offset`."""
        paragraph = bisect_right(self.starts, offset) - 1
        line = self.text[self.starts[paragraph] : min(offset, self.ends[paragraph])]
        return paragraph, len(line) + sum(char > "\uffff" for char in line)

    def _new_paragraph(self, shown: list[str], start: int) -> None:
        self.starts.append(start)
        self.ends.append(start)
        shown.append("")

    def _add(self, shown: list[str], at: int, stop: int) -> None:
        while at < stop:
            room = LONG_PARAGRAPH - (at - self.starts[-1])
            cut = stop if stop - at <= room else _break_place(self.text, at, self.starts[-1] + LONG_PARAGRAPH, stop)
            shown[-1] += self.text[at:cut]
            self.ends[-1] = cut
            if self._is_full(cut):
                self._new_paragraph(shown, cut)
            at = cut

    def _is_full(self, cut: int) -> bool:
        length = cut - self.starts[-1]
        return length >= LONG_PARAGRAPH + _SLACK or (length >= LONG_PARAGRAPH and self.text[cut - 1].isspace())


def _break_place(text: str, at: int, soft: int, stop: int) -> int:
    """Where to break: after the first blank from `soft` on, else _SLACK further, never before a combining mark."""
    begin = max(at, soft)
    hard = min(soft + _SLACK, stop)
    for index in range(begin, hard):
        if text[index].isspace():
            return index + 1
    while hard < stop and _joined(text, hard):
        hard += 1
    return hard


def _joined(text: str, at: int) -> bool:
    """Whether the character at `at` is drawn together with the one before it."""
    return unicodedata.category(text[at]).startswith("M") or "\u200d" in text[at - 1 : at + 1]
