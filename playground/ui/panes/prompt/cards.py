"""A message as a card: its head (role, tokens, menu) above its text, with fill and left edge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from playground.prompt.document import ROLES, Message, ToolCall
from playground.runs.metrics import counted
from playground.ui.panes.prompt.axis_paint import (
    EDGE_PX,
    SIDE_PX,
    ServedRow,
    boundary_text,
    close_edge,
    fill_color,
    paint_boundary,
    paint_edge,
    paint_served,
)
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.field_text import CallFields
from playground.ui.panes.prompt.marks import TextSpot, gap_px
from playground.ui.theme import GRID, Theme, current_theme, fill_area, mono_font, scaled, ui_font
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.labels import keyed_actions, push_button
from playground.ui.widgets.layouts import STRETCH, column_of, row_of
from playground.ui.widgets.lossless_text import Splice
from playground.ui.widgets.lossless_text_edit import ExactEdit

if TYPE_CHECKING:
    from playground.prefix_cache.stable_end import StableEnd
    from playground.ui.panes.prompt.axis_paint import MessageAxes, Served

HEAD_PX = 30
"""Height of a card's head, and of a collapsed card."""
_LEAST_PART_PX = 5
"""Least height of a part of a collapsed card's fill and edge."""
COUNT_RIGHT_PX = 50
"""Distance of the token counts from the right, all in one column."""


class CardHead(QWidget):
    """Role and menu are buttons; note and counts are painted, so that a new count needs no layout."""

    toggled = Signal()
    """The head was clicked: collapse or expand."""

    def __init__(self) -> None:
        super().__init__()
        self.note = ""
        self.count = ""
        self.fold = icon_button("right", "Expand the message", px=24, clicked=self.toggled)
        self.role = push_button("", "role")
        self.role.setFont(ui_font(bold=True))
        self.menu = icon_button("more", "Message menu", px=24)
        self.menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        items = self.fold, self.role, STRETCH, self.menu
        self.row = row_of(*items, on=self, margins=(SIDE_PX - 5, 0, 18, 0), spacing=2)
        self.fold.hide()
        self.setFixedHeight(HEAD_PX)

    def show_collapsed(self, collapsed: bool) -> None:
        """Show the arrow that expands a collapsed card."""
        self.fold.setVisible(collapsed)
        self.row.setContentsMargins(EDGE_PX + 6 if collapsed else SIDE_PX - 5, 0, 18, 0)

    def show_note(self, note: str, count: str) -> None:
        """Show the note beside the role, and the count at the right, of which the first parts give way."""
        if (note, count) != (self.note, self.count):
            self.note, self.count = note, count
            self.update()

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        self.toggled.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.muted)
        metrics = painter.fontMetrics()
        left = self.role.geometry().right() + GRID // 2
        right = self.menu.x() - GRID
        count = self.count
        while (width := metrics.horizontalAdvance(count)) > right - left and count:
            count = count.partition(" · ")[2]  # the tokens are last
        if count:
            room = QRectF(right - width, 0, width + 1, self.height())
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, count)
        space = right - width - GRID * 2 - left
        if self.note and space > 0:
            painter.setFont(mono_font(12) if self.fold.isVisible() else ui_font(12))
            note = painter.fontMetrics().elidedText(self.note, Qt.TextElideMode.ElideRight, int(space))
            painter.drawText(QRectF(left, 0, space, self.height()), Qt.AlignmentFlag.AlignVCenter, note)


_Key = QKeySequence.StandardKey


def text_menu(text: ExactEdit, card_actions: Sequence[QAction], parent: QWidget) -> QMenu:
    """Return a menu for the present state of `text`; undo and redo are the prompt's."""
    menu = QMenu(parent)
    selected = text.textCursor().hasSelection()
    entries: tuple[tuple[str, _Key, Callable[[], object], bool], ...] = (
        ("Undo", _Key.Undo, text.undo_requested.emit, True),
        ("Redo", _Key.Redo, text.redo_requested.emit, True),
        ("Cut", _Key.Cut, text.cut, selected),
        ("Copy", _Key.Copy, text.copy, selected),
        ("Paste", _Key.Paste, text.paste, text.canPaste()),
        ("Select all", _Key.SelectAll, text.selectAll, bool(text.exact.text)),
    )
    for words, key, act, possible in entries:
        # The key is displayed, not bound: the text handles it.
        shown = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
        menu.addAction(f"{words}\t{shown}", act).setEnabled(possible)
        if words in ("Redo", "Paste"):
            menu.addSeparator()
    menu.addSeparator()
    menu.addActions(list(card_actions))
    return menu


_NOTE_CHARACTERS = 160

ACTIONS = (
    ("add", "Add a message below", "Alt+Return"),
    ("duplicate", "Duplicate", "Ctrl+D"),
    ("up", "Move up", "Alt+Up"),
    ("down", "Move down", "Alt+Down"),
    ("call", "Add a tool call", ""),
    ("collapse", "Collapse", "Alt+-"),
    ("delete", "Delete", "Ctrl+Shift+Backspace"),
)
"""What a card's menu offers: id, words, key while the card has the focus."""


class MessageCard(QWidget):
    """Displays one message and emits the user's changes, which the prompt's history applies."""

    typed = Signal(object)
    """Splice of the content."""
    role_chosen = Signal(str)
    fields_changed = Signal(object)
    """The message with another tool_call_id or other tool calls."""
    action = Signal(str)
    """One of ACTIONS' ids."""

    def __init__(self) -> None:
        super().__init__()
        self.message = Message("user", "")
        """The message on display."""
        self.axes: MessageAxes | None = None
        """The painted axes."""
        self._painted = (0.0, 0.0)
        """Top of the variable fill and bottom of the solid edge."""
        self.collapsed = False
        self.head = CardHead()
        self.text = CardText()
        self._calls: CallFields | None = None
        self.open_calls: Callable[[], tuple[ToolCall, ...]] = tuple
        """Names the calls that this message could answer."""
        self._end: StableEnd | None = None
        self._served: Served | None = None
        self._served_row: ServedRow | None = None
        self._column = column_of(self.head, self.text, on=self, margins=(0, 0, 0, GRID), spacing=0)
        self._build_menus()
        self.head.toggled.connect(lambda: self.set_collapsed(not self.collapsed))
        self.text.paint_ground = self._paint_ground
        self.text.typed.connect(self._shift)
        self.text.typed.connect(self.typed)
        self.text.menu_requested.connect(self.open_menu)

    def _build_menus(self) -> None:
        roles = QMenu(self)
        for role in ROLES:
            roles.addAction(role, partial(self.role_chosen.emit, role))
        self.head.role.setMenu(roles)
        self.menu = QMenu(self)
        self._actions = keyed_actions(self, ACTIONS, self.act)
        self.menu.addActions(list(self._actions.values()))
        self.head.menu.setMenu(self.menu)

    def act(self, name: str) -> None:
        if name == "collapse":
            self.set_collapsed(not self.collapsed)
        else:
            self.action.emit(name)

    def set_collapsed(self, collapsed: bool) -> None:
        """Hide the text, or show it again; a collapsed card shows its first words as a note."""
        self.collapsed = collapsed
        self.text.setVisible(not collapsed)
        self.head.show_collapsed(collapsed)
        self._column.setContentsMargins(0, 0, 0, 0 if collapsed else GRID)
        self._show_fields()
        self._actions["collapse"].setText("Expand" if collapsed else "Collapse")
        self._update_text()
        self.show_served(self._served)

    @property
    def calls(self) -> CallFields:
        """The fields of tool calls, created on first use: most messages have none."""
        if self._calls is None:
            self._calls = CallFields(lambda: self.open_calls(), self)
            self._calls.changed.connect(self.fields_changed)
            self._column.addWidget(self._calls)
        return self._calls

    def _show_fields(self) -> None:
        if self._calls is not None or self.message.role == "tool" or self.message.tool_calls:
            self.calls.show_message(self.message, visible=not self.collapsed)

    def show_message(self, message: Message) -> None:
        """Show another message: an entirely different text from its start, others by the smallest change."""
        self.message = message
        content, before = message.content or "", self.text.exact
        if before.whole(content).removed == before.text != content:
            self.text.set_exact(content)  # after an insertion the cursor would be at its end
        else:
            self.text.show_exact(content)
        self.head.role.setText(message.role)
        # Only an assistant makes calls.
        self._actions["call"].setVisible(message.role == "assistant")
        empty = _PLACEHOLDERS.get(message.role, f"{message.role} message")
        self.text.setPlaceholderText("No text beside the calls" if message.tool_calls else empty)
        self._show_fields()
        self._update_text()

    def mirror(self, message: Message, splice: Splice) -> None:
        """Show an external change of the text, such as undo, and move the cursor to it."""
        self.message = message
        self._shift(splice)
        self.text.apply(splice)

    def _shift(self, splice: Splice) -> None:
        """Let the axes follow the text until they are known again: the cache serves nothing from the change on."""
        end, delta = splice.at + len(splice.removed), len(splice.inserted) - len(splice.removed)

        def moved(place: int) -> int:
            return place if place <= splice.at else (place + delta if place >= end else splice.at)

        self.text.shift_advised(splice, moved)
        if self.axes is not None:
            start = self.axes.variable_from
            self.axes = replace(
                self.axes,
                variable_from=None if start is None else moved(start) if start else 0,
                warm_to=min(self.axes.warm_to, splice.at),
            )
            self._update_axes()

    def show_axes(self, axes: MessageAxes | None, end: StableEnd | None) -> None:
        """Paint these axes; `end`: the boundary is inside this text. None: neutral."""
        self.text.set_gap("end", None if end is None else self.text.exact.unit(end.offset))
        if (axes, end) != (self.axes, self._end):
            whole = axes is None or self.axes is None or end != self._end
            self.axes, self._end = axes, end
            self.text.set_opaque(axes is not None)
            self.text.setAccessibleDescription("" if end is None else f"{boundary_text(end)}, at {end.name}")
            self._update_text()
            self._update_axes(whole=whole)

    def _update_axes(self, *, whole: bool = False) -> None:
        """Repaint where fill and edge have moved: a keystroke moves them by a line at most, and mostly not at all."""
        before, self._painted = self._painted, (self._fill_top(), self._warm_bottom())
        if whole or self._end is not None or self._served is not None:
            self._update(QRectF(self.rect()))
            return
        fill, warm = (sorted(pair) for pair in zip(before, self._painted, strict=True))
        if fill[0] != fill[1]:
            self._update(QRectF(0, fill[0], self.width(), fill[1] - fill[0]))
        if warm[0] != warm[1]:
            self._update(QRectF(0, warm[0] - EDGE_PX, SIDE_PX, warm[1] - warm[0] + 2 * EDGE_PX))

    def _update(self, area: QRectF) -> None:
        """Repaint an area of the card and of its text, which paints its own fill."""
        rect = area.toAlignedRect()
        self.update(rect)
        viewport = self.text.viewport()
        viewport.update(rect.translated(-viewport.mapTo(self, QPoint(0, 0))))

    def _fill_top(self) -> float:
        """Return the height from which on the fill is that of variable text."""
        start = self.axes.variable_from if self.axes is not None else None
        if start == 0:
            return 0.0
        if start is not None and self.collapsed:
            return self._collapsed_at(start)
        return float(self.height()) if start is None else self.text.y() + self._spot(start).top

    def _collapsed_at(self, offset: int) -> float:
        """Return the height in a collapsed card that stands for a place inside its text: both parts stay visible."""
        head, least = self.head.height(), scaled(_LEAST_PART_PX)
        share = offset / max(len(self.text.exact.text), 1)
        return min(max(round(head * share), least), head - least)

    def show_served(self, served: Served | None) -> None:
        """Show the rule "served from cache to here" after the line that it ends in; None: no rule."""
        if served is None and self._served is None:
            return
        line = None
        if served is not None and served.offset < len(self.text.exact.text):
            line = self.text.geometry_of_text.next_line(self.text.exact.unit(served.offset))
        self.text.set_gap("served", line if served is not None else None)
        self._served = served
        at_end = served is not None and (line is None or self.collapsed)
        if at_end and self._served_row is None:
            self._served_row = ServedRow()
            self._column.insertWidget(2, self._served_row)
        if self._served_row is not None:
            if served is not None:
                variable = None if self.axes is None else self.axes.variable_from is not None
                self._served_row.show_served(served, variable=variable, inside=line is not None)
            self._served_row.setVisible(at_end)
        self.update()

    def _update_text(self) -> None:
        """Show note and counts, and give the text its accessible name."""
        count = "" if self.axes is None else f"≈ {self.axes.tokens:,}"
        note = note_of(self.message)
        if self.collapsed:
            image = self.text.exact.image
            note = note or " ".join(image[:_NOTE_CHARACTERS].split())
            lines = image.count("\n") + 1
            inside = f"stable until {{{{{self._end.name}}}}}" if self._end is not None else ""
            count = " · ".join(part for part in (inside, counted(lines, "line"), count) if part)
        self.head.show_note(note, count)
        self.head.role.setAccessibleName(f"Role: {self.message.role}")
        self.text.setAccessibleName(", ".join((f"Text of the {self.message.role} message", *self._state_words())))

    def _state_words(self) -> list[str]:
        if self.axes is None:
            return []
        start, length = self.axes.variable_from, len(self.text.exact.text)
        structure = "stable" if start is None else "variable" if start == 0 else "stable, then variable"
        warm = self.axes.warm_to
        cached = "not expected from cache" if warm <= 0 < length or not self.axes.warm_head else "expected from cache"
        if 0 < warm < length:
            cached = "in part expected from cache"
        return [structure, cached, f"≈ {self.axes.tokens:,} tokens"]

    def open_menu(self, place: QPoint) -> QMenu:
        """Open the menu of the text and the card at a global place."""
        menu = text_menu(self.text, self.menu.actions(), self)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(place)
        return menu

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint fill, edge and the rows inside the text; head and text are on top."""
        if self.axes is None:
            return
        painter, theme = QPainter(self), current_theme()
        painter.setClipRect(event.rect())
        self._painted = self._fill_top(), self._warm_bottom()
        self._paint_fill(painter, theme)
        whole, warm = QRectF(self.rect()), self._painted[1]
        paint_edge(painter, theme, QRectF(0, 0, EDGE_PX, warm), warm=True)
        paint_edge(painter, theme, whole.adjusted(0, warm, 0, 0), warm=False)
        if 0 < warm < whole.height():
            close_edge(painter, theme, warm)

    def _paint_fill(self, painter: QPainter, theme: Theme) -> None:
        whole, fill = QRectF(self.rect()), self._fill_top()
        fill_area(painter, whole, fill_color(theme, variable=fill == 0.0))
        if 0.0 < fill < whole.height():
            fill_area(painter, whole.adjusted(0, fill, 0, 0), theme.variable)
        if not self.collapsed:
            self._paint_rows(painter, theme)

    def _paint_ground(self, painter: QPainter) -> None:
        """Paint the fill under the text: a blink of the cursor then paints no other widget."""
        place = self.text.viewport().mapTo(self, QPoint(0, 0))
        painter.translate(-place)
        self._paint_fill(painter, current_theme())
        painter.translate(place)

    def _paint_rows(self, painter: QPainter, theme: Theme) -> None:
        top = self.text.gap_top("end")
        if self._end is not None and top is not None:
            row = QRectF(0, self.text.y() + top, self.width(), gap_px())
            paint_boundary(painter, theme, row, self._end, self._spot(self._end.offset).x + SIDE_PX)
        top = self.text.gap_top("served")
        if self._served is not None and top is not None and self.axes is not None:
            variable = self.axes.variable_from is not None and self._served.offset >= self.axes.variable_from
            row = QRectF(0, self.text.y() + top, self.width(), gap_px())
            paint_served(painter, theme, row, self._served, fill_color(theme, variable=variable))

    def _spot(self, offset: int) -> TextSpot:
        return self.text.geometry_of_text.spot(self.text.exact.unit(offset))

    def _warm_bottom(self) -> float:
        """Return the height down to which the edge is solid."""
        if self.axes is None or not self.axes.warm_head:
            return 0.0
        length = len(self.text.exact.text)
        if self.axes.warm_to >= length:
            return float(self.height())
        if self.collapsed:
            return self._collapsed_at(self.axes.warm_to)
        if self.axes.warm_to == 0:
            return float(self.text.y())
        return self.text.y() + self._spot(self.axes.warm_to).bottom


_PLACEHOLDERS = {
    "system": "Instructions for the model: text that every request shares",
    "user": "Text that changes, for example {{question}}",
    "assistant": "Completion",
    "tool": "Result of the call",
}


def note_of(message: Message) -> str:
    if message.tool_calls:
        return "calls " + ", ".join(call.name for call in message.tool_calls)
    if message.role == "tool":
        return f"answers {message.tool_call_id}" if message.tool_call_id else "answers no call yet"
    return ""
