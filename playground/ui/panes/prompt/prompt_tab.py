"""The Prompt tab: the tools and one card per message, in the order of the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QPoint, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QScrollBar, QSizePolicy, QWidget

from playground.prompt.document import Document, Message, Role, Tool, open_calls, with_new_call
from playground.ui.panes.prompt.axis_paint import SIDE_PX, BoundaryRow, ServedRow, paint_edge, whole_words
from playground.ui.panes.prompt.cards import COUNT_RIGHT_PX, HEAD_PX, MessageCard
from playground.ui.panes.prompt.footer import Ruler
from playground.ui.panes.prompt.marks import Advised
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID, current_theme, scaled, ui_font
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import STRETCH, PageScroll, column_of, discard, row_of
from playground.ui.widgets.lossless_text import Splice

if TYPE_CHECKING:
    from playground.prefix_cache.stable_end import StableEnd
    from playground.ui.panes.prompt.axis_paint import PromptAxes, Served
    from playground.ui.panes.prompt.start_panel import StartPanel


class ToolsHead(QAbstractButton):
    def __init__(self) -> None:
        super().__init__()
        self._names = ""
        self._warm: bool | None = None
        self._count = ""
        self.setFixedHeight(HEAD_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setToolTip("Edit the tools. Their position before the messages is an assumption.")
        self.hide()

    def set_tools(self, tools: tuple[Tool, ...]) -> None:
        """Name the tools; hidden if there are none."""
        self._names = ", ".join(tool.name or "(no name)" for tool in tools)
        self.setVisible(bool(tools))
        self.setAccessibleName(f"Tools: {self._names}. Edit")
        self.update()

    def show_axes(self, axes: PromptAxes | None) -> None:
        warm = axes.tools_warm if axes is not None else None
        count = f"≈ {axes.tools_tokens:,}" if axes is not None else ""
        if (warm, count) != (self._warm, self._count):
            self._warm, self._count = warm, count
            words = "expected from the cache" if warm else "not expected from the cache"
            self.setAccessibleDescription(f"stable, {words}, {count} tokens" if axes is not None else "")
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        area = QRectF(self.rect())
        if self._warm is not None:
            painter.fillRect(area, theme.stable)
            paint_edge(painter, theme, area, warm=self._warm)
        inner = area.adjusted(SIDE_PX, 0, -scaled(COUNT_RIGHT_PX), 0)
        painter.setFont(ui_font(bold=True))
        painter.setPen(theme.text)
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, "tools")
        left = inner.left() + QFontMetricsF(painter.font()).horizontalAdvance("tools") + GRID
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.muted)
        metrics = QFontMetricsF(painter.font())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self._count)
        room = inner.right() - metrics.horizontalAdvance(self._count) - GRID * 2 - left
        names = QRectF(left, inner.top(), room, inner.height())
        painter.drawText(names, Qt.AlignmentFlag.AlignVCenter, whole_words(self._names, metrics, room))


_RULES_PX = 44
"""Height of the boundary and of the rule "served from cache to here", which come later."""
_ROOM_PX = 40
"""Space around the cursor that stays visible with it."""


class _ReservedBar(QScrollBar):
    """A scroll bar that keeps its width while it is not needed: another width would lay out every line again."""

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.maximum() > self.minimum():
            super().paintEvent(event)


class PromptTab(QWidget):
    """Keeps one card per message in step with the history's document."""

    tools_requested = Signal()
    action = Signal(str)
    """The id of an action of the window, chosen in the panel of an empty prompt."""
    file_chosen = Signal(object)
    """The Path of a recent file, chosen there."""
    send_requested = Signal()
    import_pasted = Signal(str)
    """Text that appears to be a prompt in another format was pasted into a message."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self._end: StableEnd | None = None
        self._axes: PromptAxes | None = None
        self._served: Served | None = None
        self._start: StartPanel | None = None
        self.recent_files: Callable[[], Sequence[Path]] = tuple
        """Returns the files that the panel of an empty prompt offers."""
        self.cards: list[MessageCard] = []
        self.tools = ToolsHead()
        self.boundary_row = BoundaryRow()
        self.served_row = ServedRow()
        """The rule above the first message: nothing was served."""
        self.ruler = Ruler()
        self.add = push_button("Add message", "quiet", icon=("plus", "muted"))
        self._page, self._foot = QWidget(), QWidget()
        row_of(self.add, STRETCH, on=self._foot, margins=(GRID - 2, GRID, GRID, GRID))
        items = self.served_row, self.tools, self.boundary_row, self._foot, STRETCH
        self._column = column_of(*items, on=self._page, margins=0, spacing=0)
        self.served_row.hide()
        self.boundary_row.hide()
        self.area = PageScroll()
        self.area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its widgets have the focus
        self.area.setVerticalScrollBar(_ReservedBar())
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.area.setWidget(self._page)
        self._at_end = False
        row_of(self.area, self.ruler, on=self, margins=0, spacing=0)
        self._connect()

    def _connect(self) -> None:
        self.add.clicked.connect(lambda: self.insert(len(self.cards)))
        self.tools.clicked.connect(self.tools_requested)
        self.ruler.place_chosen.connect(self.go_to)
        self.boundary_row.chosen.connect(lambda: self.go_to(self._end.message, self._end.offset) if self._end else None)
        bar = self.area.verticalScrollBar()
        bar.valueChanged.connect(lambda value: setattr(self, "_at_end", bar.maximum() > 0 and value >= bar.maximum()))
        bar.rangeChanged.connect(lambda _low, high: bar.setValue(high) if self._at_end else None)
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
            card.message = message
        else:
            card.mirror(message, splice)
            card.set_collapsed(False)
            card.text.setFocus()

    def _append_card(self) -> None:
        card = MessageCard()
        index = len(self.cards)
        self.cards.append(card)
        self._column.insertWidget(self._column.indexOf(self._foot), card)
        card.open_calls = lambda: open_calls(self._history.document.messages, index)
        card.typed.connect(lambda splice: self._history.splice(index, splice, shown=True))
        card.action.connect(lambda name: self.act(index, name))
        card.role_chosen.connect(lambda role: self._choose_role(index, role))
        card.fields_changed.connect(lambda message: self._set(index, message, "Edit call", f"calls {index}"))
        self._history.serve(card.text)
        card.text.send_requested.connect(self.send_requested)
        card.text.import_pasted.connect(self.import_pasted)
        card.text.moved.connect(lambda: self._show_cursor(card) if card.text.hasFocus() else None)
        card.text.caret_moved.connect(self._history.seal)
        card.text.leave_requested.connect(lambda step: self._leave(index, step))

    def _remove_card(self) -> None:
        card = self.cards.pop()
        focus = self._page.focusWidget()
        if focus is not None and card.isAncestorOf(focus):
            (self.cards[-1].text if self.cards and not self.cards[-1].collapsed else self.add).setFocus()
        discard(self._column, card)

    def act_at_cursor(self, name: str) -> None:
        """Run an entry of the menu of the card that had the focus last."""
        index = self.selection()[0][0]
        if index < len(self.cards):
            self.cards[index].act(name)

    def act(self, index: int, name: str) -> None:
        messages = list(self._history.document.messages)
        if name == "add":
            self.insert(index + 1)
        elif name == "duplicate":
            messages.insert(index, messages[index])
            self._put(messages, "Duplicate message", index + 1)
        elif name == "delete":
            del messages[index]
            self._put(messages, "Delete message", max(index - 1, 0))
        elif name == "call":
            self._history.replace(with_new_call(self._history.document, index), "Add a tool call")
            self.cards[index].calls.calls.setFocus()
        elif name in ("up", "down") and 0 <= (target := index + (-1 if name == "up" else 1)) < len(messages):
            messages[index], messages[target] = messages[target], messages[index]
            self._put(messages, "Move message", target)

    def insert(self, index: int) -> None:
        """Insert a new, empty user message at `index`."""
        messages = list(self._history.document.messages)
        messages.insert(index, Message("user", ""))
        self._put(messages, "Add message", index)

    def _choose_role(self, index: int, role: Role) -> None:
        message = self._history.document.messages[index]
        # Only a tool message answers a call, and there the field is required (electron-api.md, Request fields).
        answers = (message.tool_call_id or "") if role == "tool" else None
        calls = message.tool_calls if role == "assistant" else ()
        content = message.content if calls or message.content is not None else ""
        changed = replace(message, role=role, tool_call_id=answers, tool_calls=calls, content=content)
        self._set(index, changed, "Change role")

    def _set(self, index: int, message: Message, label: str, merge: str = "") -> None:
        self._history.replace(self._history.document.with_message(index, message), label, merge)

    def _put(self, messages: list[Message], label: str, focus: int) -> None:
        self._history.replace(replace(self._history.document, messages=tuple(messages)), label)
        (self.cards[focus].text if focus < len(self.cards) else self.add).setFocus()

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

    def _leave(self, index: int, step: int) -> None:
        if 0 <= index + step < len(self.cards):
            text = self.cards[index + step].text
            self.go_to(index + step, 0 if step > 0 else len(text.exact.text))

    def _show_cursor(self, card: MessageCard) -> None:
        if not card.isVisible():
            return
        # A card that has just grown has its new position only after the next layout.
        if self._page.layout() is not None and card.minimumSizeHint().height() > card.height():
            self._column.activate()
        spot = card.text.geometry_of_text.spot(card.text.textCursor().position())
        corner = card.text.viewport().mapTo(self._page, QPoint(0, round(spot.top)))
        half = round(spot.bottom - spot.top) // 2
        self.area.ensureVisible(0, corner.y() + half, 0, half + _ROOM_PX)

    @property
    def collapsed(self) -> frozenset[int]:
        return frozenset(index for index, card in enumerate(self.cards) if card.collapsed)

    def collapse(self, collapsed: frozenset[int]) -> None:
        """Collapse these messages and expand the others."""
        for index, card in enumerate(self.cards):
            if card.collapsed != (index in collapsed):
                card.set_collapsed(index in collapsed)

    def collapse_to_fit(self) -> None:
        """Collapse messages from the first on, but not the last one, until the prompt fits with its two rules."""
        for card in self.cards[:-1]:
            if self._page.sizeHint().height() + _RULES_PX <= self.area.viewport().height():
                break
            card.set_collapsed(True)
            self._column.activate()

    def selection(self) -> tuple[tuple[int, int], str]:
        """Return message and code point of the cursor that had the focus last, and the text that is selected there."""
        focus = self._page.focusWidget()
        for index, card in enumerate(self.cards):
            if card.text is focus:
                start, end = card.text.selection()
                return (index, start), card.text.exact.text[start:end]
        return (0, 0), ""

    def focus_editor(self) -> None:
        """Give the keyboard to the text that had it last, or to the first one."""
        last = self._page.focusWidget()
        if last is not None and last.isVisible():
            last.setFocus()
        else:
            (self.cards[0].text if self.cards else self.add).setFocus()

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Paint structure and cache extent on the cards; None or an empty prompt: neutral."""
        self._axes = axes
        painted = None if axes is None or axes.neutral or len(axes.messages) != len(self.cards) else axes
        end = painted.stable_end if painted is not None else None
        for index, card in enumerate(self.cards):
            inside = end if end is not None and end.message == index and end.offset > 0 else None
            card.show_axes(painted.messages[index] if painted is not None else None, inside)
        self.tools.show_axes(painted)
        self._place_boundary(end, painted)
        self._show_start(axes is not None and axes.neutral)
        self.ruler.show_axes(painted)
        self.show_served(self._served)

    def _show_start(self, shown: bool) -> None:
        """Offer samples and files under an empty prompt."""
        if shown and self._start is None:
            # Imported here: most windows open with a prompt.
            from playground.ui.panes.prompt.start_panel import StartPanel

            start = self._start = StartPanel()
            start.action.connect(self.action)
            start.file_chosen.connect(self.file_chosen)
            self._column.insertWidget(self._column.indexOf(self._foot) + 1, start)
        if self._start is not None:
            if shown:
                self._start.show_files(self.recent_files())
                if self._start.isHidden():
                    # After the layout: the page is shorter than that of the prompt before.
                    QTimer.singleShot(0, self.area, lambda: self.area.verticalScrollBar().setValue(0))
            self._start.setVisible(shown)

    def show_served(self, served: Served | None) -> None:
        """Show the rule "served from cache to here"; None: no rule."""
        self._served = served
        for index, card in enumerate(self.cards):
            card.show_served(served if served is not None and served.message == index else None)
        first = served is not None and served.message < 0
        if first and served is not None:
            self.served_row.show_served(served, variable=None)
        self.served_row.setVisible(first)
        total = self._axes.total if self._axes is not None else 0
        self.ruler.show_served(served, served.tokens / total if served is not None and total else 0.0)

    def set_advised(self, advised: Mapping[int, Advised]) -> None:
        """Mark the places that advice is about, by message."""
        for index, card in enumerate(self.cards):
            card.text.set_advised(advised.get(index, ()))

    def _place_boundary(self, end: StableEnd | None, axes: PromptAxes | None) -> None:
        """Inside a text the card paints the boundary; before a message it is a separate row."""
        self._end = end
        alone = end is not None and end.offset == 0
        if alone and end is not None and axes is not None:
            warm = axes.messages[end.message].warm_head
            if end.message and not warm:
                before = axes.messages[end.message - 1]
                warm = before.warm_to >= len(axes.document.messages[end.message - 1].content or "")
            self.boundary_row.show_boundary(end, warm=warm)
            card = self.cards[end.message]
            if self._column.indexOf(self.boundary_row) != self._column.indexOf(card) - 1:  # directly above it
                self._column.removeWidget(self.boundary_row)
                self._column.insertWidget(self._column.indexOf(card), self.boundary_row)
        self.boundary_row.setVisible(alone)
