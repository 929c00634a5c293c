"""A read-only text that grows while it streams: exact when copied; it scrolls along only at its end."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from time import perf_counter

from msgspec import Struct, field
from PySide6.QtCore import QEvent, QMimeData, QObject, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QTextCursor
from PySide6.QtWidgets import QAbstractScrollArea, QWidget

from playground.ui.theme import current_theme
from playground.ui.widgets.form import ReadOnlyText, aligned, cursor_over, marked
from playground.ui.widgets.labels import text_data

LEAST_GAP_S = 0.25
SHARE = 20


class SlowSteps:
    """Says when the next step may run: not before LEAST_GAP_S, nor before SHARE times what the last step took."""

    def __init__(self) -> None:
        self._next = 0.0

    def run(self, step: Callable[[], None], *, now: bool = False) -> bool:
        """Run `step` if it is due, or if it must be `now`. Returns whether it ran."""
        begin = perf_counter()
        if not now and begin < self._next:
            return False
        step()
        end = perf_counter()
        self._next = end + max(LEAST_GAP_S, SHARE * (end - begin))
        return True


_Type = QEvent.Type
_INPUT = {_Type.Wheel, _Type.KeyPress, _Type.MouseButtonPress, _Type.MouseButtonRelease, _Type.TouchUpdate}


class FollowEnd(QObject):
    """Keeps a view at its end. Only the user's own scrolling changes whether it follows, never a change of layout."""

    def __init__(self, area: QAbstractScrollArea) -> None:
        super().__init__(area)
        self._area, self._bar = area, area.verticalScrollBar()
        self.following = True
        for widget in (area, area.viewport(), self._bar):
            widget.installEventFilter(self)
        self._bar.rangeChanged.connect(self.follow)

    def at_end(self) -> bool:
        return self._bar.value() >= self._bar.maximum()

    def follow(self, *_range: int) -> None:
        """Go to the end if the view follows."""
        if self.following and not self.at_end():
            self._bar.setValue(self._bar.maximum())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in _INPUT or (event.type() == _Type.MouseMove and watched is self._bar):
            # After the event has scrolled the view.
            QTimer.singleShot(0, self, self._look)
        return False

    def _look(self) -> None:
        self.following = self.at_end()


LONG_PARAGRAPH = 2_000
"""Code points after which a paragraph is broken for display, at the next blank if one comes soon."""
_SLACK = 200
# U+FDD0 and U+FDD1 are Qt's own marks for the bounds of a frame; its documents break there as well.
_LINE_END = re.compile("\r\n|[\n\r\u2029\ufdd0\ufdd1]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)} | {0x7F: 0x2421}
_CONTROLS |= dict.fromkeys(range(0x80, 0xA0), 0xFFFD) | {0x85: 0x2424}
_CONTROLS |= dict.fromkeys((0x202B, 0x202E, 0x2067, 0x200F, 0x061C), 0x21E4)  # right-to-left: ⇤
_CONTROLS |= dict.fromkeys((0x202A, 0x202D, 0x2066, 0x200E), 0x21E5)  # left-to-right: ⇥
_CONTROLS |= {0xFEFF: 0x254E, 0xFFFE: 0xFFFD}  # at the start of a text, Qt takes these for a byte order mark
_CONTROLS |= dict.fromkeys((0x202C, 0x2069), 0x21F9) | {0x2068: 0x21D4}  # end of an embedding: ⇹; first strong: ⇔


def displayed(text: str) -> str:
    """Return `text` with one visible sign for each control or direction character, of the same length in UTF-16."""
    return text if text.isascii() and text.isprintable() else text.translate(_CONTROLS)


class DisplayMap(Struct):
    """The exact text so far, and the start of each paragraph shown, in code points of it."""

    text: str = ""
    starts: list[int] = field(default_factory=lambda: [0])
    ends: list[int] = field(default_factory=lambda: [0])
    taken: int = 0

    def take(self, text: str, *, final: bool) -> list[str]:
        """Process `text`, which starts with all text processed before. Return the strings to show: the first one is
        appended to the last paragraph, each further one is a new paragraph.

        Unless `final`, a CR at the end is deferred, because LF may follow it.
        """
        self.text, shown, at = text, [""], self.taken
        limit = len(text) - (not final and text.endswith("\r"))
        while at < limit:
            end = _LINE_END.search(text, at, limit)
            stop = end.start() if end else limit
            self._add(shown, at, stop)
            if end:
                self._new_paragraph(shown, end.end())
                stop = end.end()
            at = stop
        self.taken = limit
        return [_SURROGATE.sub("\ufffd", displayed(line)) for line in shown]

    def exact_offset(self, paragraph: int, unit: int) -> int:
        """Return the code point of the exact text at UTF-16 unit `unit` of paragraph `paragraph`."""
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
            length = cut - self.starts[-1]
            if length >= LONG_PARAGRAPH + _SLACK or (length >= LONG_PARAGRAPH and self.text[cut - 1].isspace()):
                self._new_paragraph(shown, cut)
            at = cut


def _break_place(text: str, at: int, soft: int, stop: int) -> int:
    """Where to break: after the first blank from `soft` on, else _SLACK further, never before a combining mark."""
    begin = max(at, soft)
    hard = min(soft + _SLACK, stop)
    for index in range(begin, hard):
        if text[index].isspace():
            return index + 1
    # A combining mark, or what a joiner joins, is drawn together with the character before it.
    while hard < stop and (unicodedata.category(text[hard])[0] == "M" or "\u200d" in text[hard - 1 : hard + 1]):
        hard += 1
    return hard


class LiveText(ReadOnlyText):
    """Append-only view of one text. The exact text is `exact_text`; Qt's own copy of it is for display only."""

    def __init__(self, name: str, *, follows: bool = True, parent: QWidget | None = None) -> None:
        """`follows`: keep the view at the end while the user is there; otherwise show a new text from its start."""
        super().__init__(name, parent)
        self._map = DisplayMap()
        self.follow = FollowEnd(self)
        self._follows = self.follow.following = follows
        self.streaming = False
        """Whether more text is expected: a block marks the end."""

    def minimumSizeHint(self) -> QSize:
        """Return room for one line: what is below the text, such as why it was cut, stays whole in a small window."""
        line = self.fontMetrics().lineSpacing() + int(2 * self.document().documentMargin())
        return QSize(super().minimumSizeHint().width(), line)

    @property
    def exact_text(self) -> str:
        return self._map.text

    def show_text(self, text: str, *, final: bool = True) -> None:
        """Show `text`. If it only grew, append the new part and keep the scroll position and selection."""
        if not text.startswith(self._map.text) or (self._map.taken > len(text)):
            self._map = DisplayMap()
            self.clear()
        if self.streaming == final:
            self.streaming = not final
            self.viewport().update()
        if len(text) == len(self._map.text) and self._map.taken == len(text):
            return
        if not self._map.text:
            # A text that is complete at once, such as one from the log, is read from its top.
            self.follow.following = self._follows and not final
        with self.appending() as cursor:
            # One insertion, not one a line: U+2029 is how Qt spells a new paragraph.
            cursor.insertText("\u2029".join(self._map.take(text, final=final)))
        self.follow.follow()

    def scroll_to_start(self) -> None:
        """Show the start of the text, unless the user has scrolled to another part."""
        if self.follow.following:
            self.follow.following = False
            self.verticalScrollBar().setValue(0)

    def caret_rect(self) -> QRect:
        """Return the block at the end of a text that streams, in the viewport; empty without one."""
        if not self.streaming or self.document().isEmpty():
            return QRect()
        cursor = cursor_over(self.document(), self.document().characterCount() - 1)
        self.blockBoundingRect(cursor.block())
        aligned(cursor.block())
        end, width = self.cursorRect(cursor), self.fontMetrics().averageCharWidth()
        mirrored = cursor.block().textDirection() == Qt.LayoutDirection.RightToLeft
        return QRect(end.left() - width if mirrored else end.left() + 1, end.top() + 2, width, end.height() - 3)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        block = self.caret_rect()
        if block.intersects(event.rect()):
            QPainter(self.viewport()).fillRect(block, current_theme().output)

    def selected_exact_text(self) -> str:
        cursor = self.textCursor()
        return self._map.text[self._exact(cursor.selectionStart()) : self._exact(cursor.selectionEnd())]

    def mark_place(self, offset: int | None, color: QColor) -> None:
        """Underline the character at code point `offset` of the exact text (the last character if `offset` is the
        end) and scroll to it; None removes the mark.
        """
        if offset is None:
            self.setExtraSelections([])
            return
        self.follow.following = False
        cursor, ground = self._around(offset), QColor(color)
        ground.setAlphaF(0.3)
        self.setExtraSelections([marked(cursor, wave=color, ground=ground)])
        self.setTextCursor(cursor_over(self.document(), cursor.anchor()))
        self.centerCursor()

    def _around(self, offset: int) -> QTextCursor:
        paragraph, unit = self._map.place(offset)
        cursor = cursor_over(self.document(), self.document().findBlockByNumber(paragraph).position() + unit)
        one = (
            QTextCursor.MoveOperation.PreviousCharacter
            if cursor.atBlockEnd()
            else QTextCursor.MoveOperation.NextCharacter
        )
        cursor.movePosition(one, QTextCursor.MoveMode.KeepAnchor)
        return cursor

    def createMimeDataFromSelection(self) -> QMimeData:
        """Copy the exact text: no break that is for display only, no no-break space turned into a blank."""
        return text_data(self.selected_exact_text())

    def _exact(self, position: int) -> int:
        block = self.document().findBlock(position)
        return self._map.exact_offset(block.blockNumber(), position - block.position())
