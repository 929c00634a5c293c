"""One message as a card: its head (role, ≈ tokens, menu) over its text, on the ground of its zones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from playground.prompt.document import ROLES, Message, ToolCall
from playground.ui.panes.prompt.call_fields import CallFields
from playground.ui.panes.prompt.card_text import SIDE_PX, CardText
from playground.ui.panes.prompt.geometry import GAP_PX
from playground.ui.panes.prompt.zone_paint import Band, paint_bands, paint_boundary, words_of
from playground.ui.theme import GRID, Theme, ui_font
from playground.ui.widgets.lossless_text import Splice
from playground.ui.widgets.lossless_text_edit import ExactEdit

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Boundary, Zone, ZoneSpan


HEAD_PX = 28
"""Height of a card's head."""
COUNT_RIGHT_PX = 44
"""Where the token counts end, from the right: all of them in one column."""


class CardHead(QWidget):
    """Role and menu are buttons; note and token count are painted, so that a new count lays nothing out anew."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.note = ""
        self.count = ""
        self.role = QPushButton()
        self.role.setProperty("look", "role")
        self.role.setFont(ui_font(bold=True))
        self.menu = QToolButton()
        self.menu.setText("⋯")
        self.menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu.setAccessibleName("Message menu")
        row = QHBoxLayout(self)
        row.setContentsMargins(SIDE_PX - 5, 2, GRID // 2, 0)
        row.addWidget(self.role)
        row.addStretch(1)
        row.addWidget(self.menu)
        self.setFixedHeight(HEAD_PX)

    def say(self, note: str, count: str) -> None:
        """Show the note beside the role, and the count at the right."""
        if (note, count) != (self.note, self.count):
            self.note, self.count = note, count
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Note and count."""
        painter = QPainter(self)
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(self._theme.muted)
        metrics = painter.fontMetrics()
        right = self.width() - COUNT_RIGHT_PX
        width = metrics.horizontalAdvance(self.count)
        room = QRectF(right - width, 1, width, self.height())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, self.count)
        left = self.role.geometry().right() + GRID // 2
        space = right - width - GRID * 2 - left
        if self.note and space > 0:
            note = metrics.elidedText(self.note, Qt.TextElideMode.ElideRight, int(space))
            painter.drawText(QRectF(left, 1, space, self.height()), Qt.AlignmentFlag.AlignVCenter, note)


_Key = QKeySequence.StandardKey


def text_menu(text: ExactEdit, card_actions: Sequence[QAction], parent: QWidget) -> QMenu:
    """A menu for `text` as it is now; undo and redo are asked of the prompt."""
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
        # The key is shown, not bound: the text has it already.
        shown = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
        action = menu.addAction(f"{words}\t{shown}")
        action.setEnabled(possible)
        action.triggered.connect(lambda _checked=False, act=act: act())
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
    """Shows one message. Says what the person did; the prompt's history decides what becomes of it."""

    typed = Signal(object)
    """Splice of the content."""
    role_chosen = Signal(str)
    fields_changed = Signal(object)
    """The message with another tool_call_id or other tool calls."""
    action = Signal(str)
    """One of ACTIONS' ids."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._message = Message("user", "")
        self._spans: tuple[ZoneSpan, ...] = ()
        self._head_zone: Zone | None = None
        self._tokens: float | None = None
        self.collapsed = False
        self.head = CardHead(theme)
        self.text = CardText(theme)
        self._calls: CallFields | None = None
        self.open_calls: Callable[[], tuple[ToolCall, ...]] = tuple
        """Names the calls that this message could answer."""
        self._boundary: Boundary | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, GRID)
        self._column.setSpacing(0)
        self._column.addWidget(self.head)
        self._column.addWidget(self.text)
        self._build_menus()
        self.text.typed.connect(self._on_typed)
        self.text.menu_requested.connect(self.open_menu)

    def _build_menus(self) -> None:
        roles = QMenu(self)
        for role in ROLES:
            roles.addAction(role).triggered.connect(partial(self._choose_role, role))
        self.head.role.setMenu(roles)
        self.menu = QMenu(self)
        for name, words, key in ACTIONS:
            action = self.menu.addAction(words)
            action.triggered.connect(partial(self._act, name))
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            self.addAction(action)
        names = [name for name, _, _ in ACTIONS]
        self._collapse = self.menu.actions()[names.index("collapse")]
        self._add_call = self.menu.actions()[names.index("call")]
        self.head.menu.setMenu(self.menu)

    def _choose_role(self, role: str, _checked: bool = False) -> None:
        self.role_chosen.emit(role)

    def _act(self, name: str, _checked: bool = False) -> None:
        if name == "collapse":
            self.set_collapsed(not self.collapsed)
        else:
            self.action.emit(name)

    def set_collapsed(self, collapsed: bool) -> None:
        """Hide the text, or show it again; the first line stays as a note."""
        self.collapsed = collapsed
        self.text.setVisible(not collapsed)
        self._show_fields()
        self._collapse.setText("Expand" if collapsed else "Collapse")
        self._say()

    @property
    def message(self) -> Message:
        """What the card shows."""
        return self._message

    @property
    def calls(self) -> CallFields:
        """The fields of tool calls; made when they are first wanted, as most messages have none."""
        if self._calls is None:
            self._calls = CallFields(lambda: self.open_calls(), self)
            self._calls.changed.connect(self.fields_changed)
            self._column.addWidget(self._calls)
        return self._calls

    def _show_fields(self) -> None:
        if self._calls is not None or self._message.role == "tool" or self._message.tool_calls:
            self.calls.show_message(self._message, visible=not self.collapsed)

    def show_message(self, message: Message) -> None:
        """Show another message; the text is mirrored by its smallest change, so that the cursor stays."""
        self._message = message
        content = message.content or ""
        splice = self.text.exact.whole(content)
        if splice.removed or splice.inserted:
            self.text.apply(splice, select=False)
        self.head.role.setText(message.role)
        # Only an assistant makes calls.
        self._add_call.setVisible(message.role == "assistant")
        self.text.setPlaceholderText(_placeholder(message))
        self._show_fields()
        self._say()

    def mirror(self, message: Message, splice: Splice) -> None:
        """The text changed elsewhere (undo): show the change, and where it was."""
        self._message = message
        self._shift(splice)
        self.text.apply(splice)

    def _on_typed(self, splice: Splice) -> None:
        self._shift(splice)
        self.typed.emit(splice)

    def keep(self, message: Message) -> None:
        """The message as it is after what was typed here."""
        self._message = message

    def _shift(self, splice: Splice) -> None:
        """Let the zones follow the text until they are known anew."""
        end, delta = splice.at + len(splice.removed), len(splice.inserted) - len(splice.removed)

        def moved(place: int) -> int:
            return place if place <= splice.at else (place + delta if place >= end else splice.at)

        self.text.shift_advised(splice, moved)
        moved_spans = (replace(span, start=moved(span.start), end=moved(span.end)) for span in self._spans)
        self._spans = tuple(span for span in moved_spans if span.end > span.start)

    def set_zones(self, head: Zone | None, spans: tuple[ZoneSpan, ...], tokens: float | None) -> None:
        """Paint these zones, and say these ≈ tokens; nothing happens where they are the same."""
        if (head, spans) != (self._head_zone, self._spans):
            self._head_zone, self._spans = head, spans
            self.update()
        if tokens != self._tokens:
            self._tokens = tokens
            self._say()

    def set_boundary(self, boundary: Boundary | None) -> None:
        """The boundary that stands inside this card's text, if one does."""
        if boundary is None:
            self.text.set_gap(None)
        else:
            self.text.set_gap(self.text.exact.unit(boundary.offset), boundary.cause)
        if boundary != self._boundary:
            self._boundary = boundary
            self.text.setAccessibleDescription("" if boundary is None else " ".join(words_of(boundary)))
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.head.set_theme(theme)
        self.text.set_theme(theme)
        self.update()

    def _say(self) -> None:
        count = "" if self._tokens is None else f"≈ {self._tokens:,.0f} tokens"
        note = note_of(self._message)
        if self.collapsed:
            note = note or " ".join(self.text.exact.image[:_NOTE_CHARACTERS].split())
        self.head.say(note, count)
        self.head.role.setAccessibleName(f"Role: {self._message.role}")
        self.text.setAccessibleName(f"Text of the {self._message.role} message, {count}")

    def open_menu(self, place: QPoint) -> QMenu:
        """The menu of the text and the card at a global place."""
        menu = text_menu(self.text, self.menu.actions(), self)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.popup(place)
        return menu

    @property
    def spans(self) -> tuple[ZoneSpan, ...]:
        """The zones of the text as they are painted."""
        return self._spans

    def bands(self) -> list[Band]:
        """The zones as they lie on this card."""
        if self._head_zone is None:
            return []
        bands = [Band(self._head_zone, 0, 0, 0)]
        for span in () if self.collapsed else self._spans:
            if span.zone == bands[-1].zone:
                continue
            if span.start == 0:
                bands.append(Band(span.zone, 0, self.text.y(), self.text.y()))
                continue
            spot = self.text.geometry_of_text.spot(self.text.exact.unit(span.start))
            y = self.text.y()
            bands.append(Band(span.zone, spot.x + SIDE_PX, spot.top + y, spot.bottom + y, spot.rtl))
        return bands

    def paintEvent(self, event: QPaintEvent) -> None:
        """The zones; the head and the text stand on them."""
        painter = QPainter(self)
        painter.setClipRect(event.rect())
        paint_bands(painter, self._theme, QRectF(self.rect()), self.bands())
        if self._boundary is not None and not self.collapsed:
            spot = self.text.geometry_of_text.spot(self.text.exact.unit(self._boundary.offset))
            row = QRectF(0, self.text.y() + spot.top - GAP_PX, self.width(), GAP_PX)
            paint_boundary(painter, self._theme, row, self._boundary, spot.x + SIDE_PX)


def _placeholder(message: Message) -> str:
    if message.tool_calls:
        return "no text beside the calls"
    return "what the call returned" if message.role == "tool" else f"what the {message.role} says"


def note_of(message: Message) -> str:
    """What a card says beside the role."""
    if message.tool_calls:
        return "calls " + ", ".join(call.name for call in message.tool_calls)
    if message.role == "tool":
        return f"answers {message.tool_call_id}" if message.tool_call_id else "answers no call yet"
    return ""
