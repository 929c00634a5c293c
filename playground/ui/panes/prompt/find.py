"""Find and replace across all messages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from PySide6.QtCore import QEvent, QObject, QRegularExpression, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from playground.prompt.document import Message
from playground.prompt.field_errors import InputError
from playground.ui.theme import GRID, restyle
from playground.ui.widgets.form import line_edit
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import Panel, column_of, row_of, single_timer
from playground.ui.widgets.lossless_text import Splice

Match = tuple[int, int, int]
"""Message, code point and length of a match."""


class FindBar(Panel):
    """Searches in the order of the messages, starting at the cursor; without regard to case unless it is asked for.

    A long search goes on between events: what was found can be used, apart from *Replace all*.
    """

    found = Signal(int, int, int)
    """Message, code point, and number of code points."""
    replace_requested = Signal(int, object)
    """Message and Splice."""
    replace_all_requested = Signal(object, int)
    """All messages with the text replaced, and the number of matches."""
    closed = Signal()

    def __init__(self) -> None:
        super().__init__("bar", "Find and replace")
        self._messages: tuple[Message, ...] = ()
        self._matches: list[Match] = []
        self._search: Iterator[Match | None] | None = None
        """The search in progress."""
        self._show_first = True
        self._turn = single_timer(self, 0, self._go_on)
        self._current = -1
        self._start = (0, 0)
        self.line = line_edit("Find in the prompt", "Find in the prompt")
        self.line.textChanged.connect(lambda _text: self._start_search())
        self.replacement = line_edit("Replace with", "Replace with")
        self.case = push_button("Aa", "toggle", tip="Match case (Alt+C)")
        self.regex = push_button(".*", "toggle", tip="Regular expression (Alt+X)")
        self._replaced = ""
        """How many matches *Replace all* has replaced, until something else is searched."""
        self._fault = ""
        """Why the regular expression cannot be used; otherwise empty."""
        for toggle in (self.case, self.regex):
            toggle.setCheckable(True)
            toggle.setAccessibleName(toggle.toolTip())
            toggle.toggled.connect(lambda _on: self._start_search())
        self._count = toned("", "muted")
        self._wrong = toned("", "failure", wraps=True)
        self._wrong.hide()
        self.one = push_button("Replace", clicked=self.replace)
        self.all = push_button("Replace all", clicked=self.replace_all)
        previous = icon_button("up", "Previous match (Shift+Enter)", clicked=lambda: self.step(-1))
        following = icon_button("down", "Next match (Enter)", clicked=lambda: self.step(1))
        close = icon_button("close", "Close find (Esc)", clicked=self.close_bar)
        items = (self.line, 1), self.case, self.regex, self._count, previous, following, close
        self._replacing = QWidget()
        row_of((self.replacement, 1), self.one, self.all, on=self._replacing, margins=0, spacing=4)
        find = row_of(*items, spacing=4)
        column_of(find, self._wrong, self._replacing, on=self, margins=(14, 4, GRID, 4), spacing=4)
        for field in (self.line, self.replacement):
            field.installEventFilter(self)
        self.hide()

    @property
    def count(self) -> str:
        """What the bar says about the number of matches."""
        return self._fault or self._count.text()

    def open_bar(self, start: tuple[int, int], selected: str, *, replacing: bool) -> None:
        """Show the bar. The search starts at message and code point `start`, with the selected text if it is given."""
        self._start = start
        self._replacing.setVisible(replacing)
        self.show()
        if selected and "\n" not in selected and selected != self.line.text():
            self.line.setText(selected)
        else:
            self._start_search()
        field = self.replacement if replacing and self.line.text() else self.line
        field.setFocus()
        field.selectAll()

    def close_bar(self) -> None:
        self._turn.stop()
        self.hide()
        self.closed.emit()

    def show_messages(self, messages: tuple[Message, ...]) -> None:
        """Search in these from now on; the current match keeps its place."""
        if messages is self._messages:
            return
        self._messages = messages
        if self.isVisible():
            if 0 <= self._current < len(self._matches):
                self._start = self._matches[self._current][:2]
            self._start_search(show=False)

    def _start_search(self, *, show: bool = True) -> None:
        self._matches, self._fault, self._current, self._show_first, self._replaced = [], "", -1, show, ""
        self._search = matches(
            self._messages, self.line.text(), case=self.case.isChecked(), regex=self.regex.isChecked()
        )
        self._go_on()

    def _go_on(self) -> None:
        """Search for a few milliseconds, and again after the events that wait."""
        until = time.thread_time() + _TURN_S
        try:
            for match in self._search or ():
                if match is not None:
                    self._matches.append(match)
                    if self._current < 0 and match[:2] >= self._start:
                        self._make_current(len(self._matches) - 1)
                if time.thread_time() > until:
                    self._turn.start()
                    break
            else:
                self._search = None
        except InputError as error:
            self._search, self._matches, self._current, self._fault = None, [], -1, str(error.problems[0])
        if self._search is None and self._current < 0 and self._matches:
            self._make_current(0)
        self._update_text()

    def _make_current(self, number: int) -> None:
        self._current = number
        if self._show_first:
            self._show()

    def step(self, step: int) -> None:
        """Go to the next (1) or the previous (-1) match, past the end to the beginning."""
        if self._matches:
            self._replaced = ""
            self._current = (self._current + step) % len(self._matches)
            self._start = self._matches[self._current][:2]
            self._show()
            self._update_text()

    def _show(self) -> None:
        self.found.emit(*self._matches[self._current])

    def replace(self) -> None:
        """Replace the current match and go to the next one."""
        if not 0 <= self._current < len(self._matches):
            return
        message, at, length = self._matches[self._current]
        old = (self._messages[message].content or "")[at : at + length]
        new = self.replacement.text()
        self._start = (message, at + len(new))
        self._current = -1
        self.replace_requested.emit(message, Splice(at, old, new))
        self._start_search()

    def replace_all(self) -> None:
        if not self._matches or self._search is not None:
            return
        texts: dict[int, str] = {}
        for message, found in groupby(self._matches, key=itemgetter(0)):
            content, end, pieces = self._messages[message].content or "", 0, list[str]()
            for _, at, length in found:
                pieces += content[end:at], self.replacement.text()
                end = at + length
            texts[message] = "".join((*pieces, content[end:]))
        count = len(self._matches)
        self.replace_all_requested.emit(texts, count)
        self._replaced = f"{count:,} replaced"
        self._update_text()

    def _update_text(self) -> None:
        searching = self._search is not None
        missing = bool(self.line.text()) and not self._matches and not searching
        restyle(self.line, bad=missing and not self._replaced)
        show_or_hide(self._wrong, self._fault)
        self.line.setAccessibleDescription(self._fault)
        if self._fault or not self.line.text():
            self._count.setText("")
        else:
            more = "+" if searching else ""
            of = f"{self._current + 1:,} of " if self._current >= 0 else ""
            found = "no match" if missing else f"{of}{len(self._matches):,}{more}"
            self._count.setText(self._replaced or found)
        self.one.setEnabled(self._current >= 0)
        self.all.setEnabled(bool(self._matches) and not searching)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take Alt+C and Alt+X before a field types the letter."""
        if isinstance(event, QKeyEvent) and event.type() in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            toggle = {Qt.Key.Key_C: self.case, Qt.Key.Key_X: self.regex}.get(Qt.Key(event.key()))
            if toggle is not None and event.modifiers() == Qt.KeyboardModifier.AltModifier:
                event.accept()
                if event.type() == QEvent.Type.KeyPress:
                    toggle.toggle()
                return True
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.key() == Qt.Key.Key_Escape:
            self.close_bar()
        elif enter and not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            if self.replacement.hasFocus():
                self.replace()
            else:
                self.step(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)


def folded(text: str) -> str:
    """Return `text` in lower case with every code point in its place."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    # İ becomes two code points: only its first, the letter, is compared.
    return "".join(character.lower()[:1] or character for character in text)


_TURN_S = 0.008
"""Processor time of a search between two looks at the events that wait, apart from its last slice."""
_SLICES = ((65_535, "(*LIMIT_MATCH=200000)"), (1_024, "(*LIMIT_MATCH=500000)"))
"""Starts of a match that are tried at once, and most steps of PCRE2 in them: about 0.1 s. The second is for expressions
for which the first is too much."""
_EXACT_SLICES = ((1_024, "(*NO_JIT)(*LIMIT_MATCH=20000)"),)
"""With back references each step may compare the whole text, and compiled code does not count all of them."""
_BACK_REFERENCE = re.compile(r"\\[1-9gk]|\(\?P=")


def matches(
    messages: tuple[Message, ...], wanted: str, *, case: bool = False, regex: bool = False
) -> Iterator[Match | None]:
    """Yield every place of `wanted` in the order of the messages, and None while there is none in a long text.

    An empty text, or an empty match, is none. Raises InputError if `wanted` is no regular expression or takes too long.
    """
    if not wanted:
        return
    if regex:
        yield from _regex_matches(messages, wanted, case)
        return
    needle = wanted if case else folded(wanted)
    for index, message in enumerate(messages):
        text = message.content or "" if case else folded(message.content or "")
        at = text.find(needle)
        while at >= 0:
            yield index, at, len(needle)
            at = text.find(needle, at + len(needle))
        yield None


def _regex_matches(messages: tuple[Message, ...], pattern: str, case: bool) -> Iterator[Match | None]:
    # Not Python's re: it has no limit of backtracking, and keeps the window's thread waiting from a worker as well.
    options = _OPTIONS if case else _OPTIONS | QRegularExpression.PatternOption.CaseInsensitiveOption
    typed = QRegularExpression(pattern, options)
    if not typed.isValid():
        raise InputError.of((), f"not a regular expression: {typed.errorString()}")
    # PCRE2 bounds the steps from one start of a match. Here all starts of a slice are one, and so bounded together.
    slices = _EXACT_SLICES if _BACK_REFERENCE.search(pattern) else _SLICES
    sliced = [
        (size, QRegularExpression(rf"{limit}\G(?s:.{{0,{size}}}?)\K(?:{pattern}\E)", options)) for size, limit in slices
    ]
    if not sliced[0][1].isValid():
        raise InputError.of((), f"not supported: {sliced[0][1].errorString()}")
    for index, message in enumerate(messages):
        for start, length in _regex_places(message.content or "", sliced):
            yield (index, start, length) if length else None


def _regex_places(text: str, sliced: list[tuple[int, QRegularExpression]]) -> Iterator[tuple[int, int]]:
    """Yield code point and length of each match, and length 0 while there is none.

    Expressions of `sliced` that take too many steps are removed; at the last one InputError is raised.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    unit = at = offset = 0
    while 2 * offset <= len(units):
        yield at, 0
        size, expression = sliced[0]
        match = expression.match(text, offset)
        if not match.isValid():
            if len(sliced) == 1:
                raise InputError.of((), "too slow: simplify the expression")
            del sliced[0]
        elif not match.hasMatch():
            offset += size
            if units[2 * offset + 1 : 2 * offset + 2] in _LOW:
                offset -= 1
        else:
            found = expression.globalMatch(text, offset)
            while found.hasNext():
                match = found.next()
                start, end = match.capturedStart(), match.capturedEnd()
                if len(units) == 2 * len(text):
                    yield start, end - start
                else:
                    at, unit = at + _code_points(units, unit, start), start
                    yield at, _code_points(units, start, end)
                offset = max(end, start + 1)


def _code_points(units: bytes, start: int, end: int) -> int:
    return len(units[2 * start : 2 * end].decode("utf-16-le", "surrogatepass"))


_LOW = (b"\xdc", b"\xdd", b"\xde", b"\xdf")
"""High bytes of the second half of a surrogate pair."""
_OPTIONS = (
    QRegularExpression.PatternOption.MultilineOption | QRegularExpression.PatternOption.UseUnicodePropertiesOption
)
