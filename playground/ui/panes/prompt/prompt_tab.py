"""The Prompt tab: the tools' card, a card a message, in the order that the cache sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from playground.prompt.document import Document, Message, Role
from playground.prompt.tool_calls import open_calls, with_new_call
from playground.ui.panes.prompt.cards import MessageCard
from playground.ui.panes.prompt.marks import Advised
from playground.ui.panes.prompt.ruler import Ruler
from playground.ui.panes.prompt.tools_head import ToolsHead
from playground.ui.panes.prompt.undo import History
from playground.ui.panes.prompt.zone_paint import BoundaryRow
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.lossless_text import Splice

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast as Outlook
    from playground.prefix_cache.zones import Boundary, Zone, ZoneMap

_ROOM_PX = 40
"""Lines around the cursor that are kept in sight with it."""


class PromptTab(QWidget):
    """Keeps one card a message in step with the history's document."""

    tools_requested = Signal()
    send_requested = Signal()

    def __init__(self, theme: Theme, history: History, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._history = history
        self._boundary: Boundary | None = None
        self._boundary_at: int | None = None
        self.cards: list[MessageCard] = []
        self.tools = ToolsHead(theme)
        self.boundary_row = BoundaryRow(theme)
        self.ruler = Ruler(theme)
        self.add = QPushButton("+ Add message")
        self._page = QWidget()
        self._column = QVBoxLayout(self._page)
        self._build()
        self._connect()

    def _build(self) -> None:
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self.add.setProperty("look", "quiet")
        foot = QHBoxLayout()
        foot.setContentsMargins(GRID - 2, GRID, GRID, GRID)
        foot.addWidget(self.add)
        foot.addStretch(1)
        self._column.addWidget(self.tools)
        self._column.addWidget(self.boundary_row)
        self._column.addLayout(foot)
        self._column.addStretch(1)
        self.boundary_row.hide()
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(self._page)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.area)
        row.addWidget(self.ruler)

    def _connect(self) -> None:
        self.add.clicked.connect(lambda: self.insert(len(self.cards)))
        self.tools.clicked.connect(self.tools_requested)
        self.ruler.place_chosen.connect(self.go_to)
        self.boundary_row.chosen.connect(self._go_to_boundary)
        self._history.spliced.connect(self._on_spliced)
        self._history.replaced.connect(self._on_replaced)

    def _on_replaced(self, _before: Document, after: Document) -> None:
        while len(self.cards) > len(after.messages):
            self._remove_card()
        for index, message in enumerate(after.messages):
            if index == len(self.cards):
                self._append_card()
            card = self.cards[index]
            if card.message is not message or card.text.exact.text != (message.content or ""):
                card.show_message(message)
            card.text.set_values(after.variables)
        self.tools.set_tools(after.tools)

    def _on_spliced(self, index: int, splice: Splice, shown: bool) -> None:
        card, message = self.cards[index], self._history.document.messages[index]
        if shown:
            card.keep(message)
        else:
            card.mirror(message, splice)
            card.set_collapsed(False)
            card.text.setFocus()

    def _append_card(self) -> None:
        card = MessageCard(self._theme)
        index = len(self.cards)
        self.cards.append(card)
        self._column.insertWidget(self._column.count() - 2, card)
        card.open_calls = lambda: open_calls(self._history.document.messages, index)
        card.typed.connect(lambda splice: self._history.splice(index, splice, shown=True))
        card.action.connect(lambda name: self.act(index, name))
        card.role_chosen.connect(lambda role: self._choose_role(index, role))
        card.fields_changed.connect(lambda message: self._change_fields(index, message))
        card.text.undo_requested.connect(self._history.stack.undo)
        card.text.redo_requested.connect(self._history.stack.redo)
        card.text.send_requested.connect(self.send_requested)
        card.text.moved.connect(lambda: self._keep_in_sight(card))
        card.text.leave_requested.connect(lambda step: self._leave(index, step))

    def _remove_card(self) -> None:
        card = self.cards.pop()
        self._column.removeWidget(card)
        card.hide()
        card.deleteLater()

    def act(self, index: int, name: str) -> None:
        """Do what a card's menu offers."""
        messages = list(self._history.document.messages)
        if name == "add":
            self.insert(index + 1)
        elif name == "duplicate":
            self._put([*messages[: index + 1], *messages[index:]], "Duplicate message", index + 1)
        elif name == "delete":
            self._put(messages[:index] + messages[index + 1 :], "Delete message", max(index - 1, 0))
        elif name == "call":
            changed = with_new_call(self._history.document, index)
            self._history.replace(changed, "Add a tool call")
            self.cards[index].calls.calls.setFocus()
        elif name in ("up", "down"):
            self._move(index, index + (-1 if name == "up" else 1))

    def insert(self, index: int) -> None:
        """A new, empty user message at `index`."""
        messages = list(self._history.document.messages)
        self._put([*messages[:index], Message("user", ""), *messages[index:]], "Add message", index)

    def _move(self, index: int, target: int) -> None:
        messages = list(self._history.document.messages)
        if 0 <= target < len(messages):
            messages[index], messages[target] = messages[target], messages[index]
            self._put(messages, "Move message", target)

    def _choose_role(self, index: int, role: Role) -> None:
        message = self._history.document.messages[index]
        # Only a tool message answers a call, and there the field is required (electron-api.md, Request fields).
        answers = (message.tool_call_id or "") if role == "tool" else None
        calls = message.tool_calls if role == "assistant" else ()
        content = message.content if calls or message.content is not None else ""
        changed = replace(message, role=role, tool_call_id=answers, tool_calls=calls, content=content)
        self._history.replace(self._history.document.with_message(index, changed), "Change role")

    def _change_fields(self, index: int, message: Message) -> None:
        self._history.replace(self._history.document.with_message(index, message), "Edit call", f"calls {index}")

    def _put(self, messages: list[Message], label: str, focus: int) -> None:
        self._history.replace(replace(self._history.document, messages=tuple(messages)), label)
        if focus < len(self.cards):
            self.cards[focus].text.setFocus()
        else:
            self.add.setFocus()

    def go_to(self, message: int, start: int, end: int | None = None, *, focus: bool = True) -> None:
        """Put the cursor at a code point of a message's template, or select up to `end`, and show the place."""
        if not 0 <= message < len(self.cards):
            return
        card = self.cards[message]
        card.set_collapsed(False)
        length = len(card.text.exact.text)
        card.text.select(min(start, length), min(start if end is None else end, length))
        if focus:
            card.text.setFocus()
        self._show_cursor(card)

    def _go_to_boundary(self) -> None:
        if self._boundary is not None and self._boundary.message is not None:
            self.go_to(self._boundary.message, self._boundary.offset)
        elif self._boundary is not None and self._boundary.kind != "end":
            self.tools_requested.emit()

    def _leave(self, index: int, step: int) -> None:
        if 0 <= index + step < len(self.cards):
            text = self.cards[index + step].text
            self.go_to(index + step, 0 if step > 0 else len(text.exact.text))

    def _keep_in_sight(self, card: MessageCard) -> None:
        if card.text.hasFocus():
            self._show_cursor(card)

    def _show_cursor(self, card: MessageCard) -> None:
        if not card.isVisible():
            return
        # A card that has just grown stands lower down only when the page is laid out again.
        if self._page.layout() is not None and card.minimumSizeHint().height() > card.height():
            self._column.activate()
        place = card.text.cursorRect()
        corner = card.text.viewport().mapTo(self._page, place.topLeft())
        middle = corner.y() + place.height() // 2
        self.area.ensureVisible(0, middle, 0, place.height() // 2 + _ROOM_PX)

    def focus_editor(self) -> None:
        """The keyboard goes to the text that had it last, or to the first one."""
        last = self._page.focusWidget()
        if last is not None and last.isVisible():
            last.setFocus()
        elif self.cards:
            self.cards[0].text.setFocus()
        else:
            self.add.setFocus()

    def set_outlook(self, outlook: Outlook | None) -> None:
        """Paint the zones on the cards they belong to."""
        document = self._history.document
        if outlook is None or len(outlook.zones.messages) != len(self.cards):
            for card in self.cards:
                card.set_zones(None, (), None)
            self.tools.set_zones((), ())
            self._place_boundary(None)
            self.ruler.set_zones(None, document)
            return
        zones = outlook.zones
        for index, card in enumerate(self.cards):
            card.set_zones(_head_zone(zones, index), zones.messages[index], zones.message_tokens[index])
        self.tools.set_zones(zones.tool_zones, zones.tool_tokens)
        self._place_boundary(zones.boundary if self.cards else None)
        self.ruler.set_zones(zones, document)

    def set_advised(self, advised: Mapping[int, Advised]) -> None:
        """Mark the places that advice is about, by message."""
        for index, card in enumerate(self.cards):
            card.text.set_advised(advised.get(index, ()))

    def _place_boundary(self, boundary: Boundary | None) -> None:
        """Inside a text the card draws it; before a message, over the tools, and at the end it is a row of its own."""
        inside = boundary.message if boundary is not None and boundary.offset > 0 else None
        if inside is not None and boundary is not None:
            content = self.cards[inside].message.content or ""
            inside = inside if boundary.offset <= len(content) else None
        for index, card in enumerate(self.cards):
            card.set_boundary(boundary if index == inside else None)
        alone = boundary if inside is None else None
        if alone is not None:
            self.boundary_row.show_boundary(alone)
            self._seat(self._seat_of(alone))
        self._boundary = boundary
        self.boundary_row.setVisible(alone is not None)

    def _seat_of(self, boundary: Boundary) -> int:
        """The place in the column: over the tools, over a card, or below the last."""
        if boundary.kind == "end":
            return len(self.cards) + 1
        return 0 if boundary.message is None else boundary.message + 1

    def _seat(self, place: int) -> None:
        if place != self._boundary_at or self._column.indexOf(self.boundary_row) != place:
            self._column.removeWidget(self.boundary_row)
            self._column.insertWidget(place, self.boundary_row)
            self._boundary_at = place

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        self.tools.set_theme(theme)
        self.boundary_row.set_theme(theme)
        self.ruler.set_theme(theme)
        for card in self.cards:
            card.set_theme(theme)


def _head_zone(zones: ZoneMap, index: int) -> Zone:
    """The zone of a card's head; below the boundary's row it is the text's, though the role itself still matches."""
    starts_here = zones.boundary.message == index and zones.boundary.offset == 0
    return zones.messages[index][0].zone if starts_here and zones.messages[index] else zones.message_zones[index]
