"""The tool catalogue, in the order in which it is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShowEvent
from PySide6.QtWidgets import QFrame, QMenu, QSizePolicy, QWidget

from playground.prompt.document import Tool
from playground.runs.metrics import counted
from playground.tools.import_definitions import unique_names
from playground.ui.panes.prompt.tools_card import DropLine, ToolCard
from playground.ui.panes.prompt.tools_json import blank_tool, hint, moved, templates, warm_after
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID
from playground.ui.widgets.labels import keyed_actions, passing_menu, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, FittedScroll, FlowLayout, column_of, discard, row_of, scrolled
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline

if TYPE_CHECKING:
    from playground.prefix_cache.zones import ZoneMap
    from playground.ui.panes.prompt.tools_json import PasteDialog


WORDS = (
    "Tools that the model may call appear here. Every description and schema is input on every turn: one "
    "sentence of intent a tool, short parameter descriptions; examples belong in the system prompt."
)


class NoTools(QWidget):
    """Filled when it is first seen."""

    tool_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._column = column_of(on=self, margins=(GRID * 2, GRID, GRID * 2, GRID), spacing=2)
        self._filled = False

    def showEvent(self, event: QShowEvent) -> None:
        """Build the templates, as links."""
        if not self._filled:
            self._filled = True
            self._column.addWidget(words(WORDS, "muted"))
            self._column.addSpacing(GRID)
            self._column.addWidget(words("Begin with a template:", "strong"))
            for title, tool in templates():
                link = push_button(title, "link", name=f"Add a tool: {title}")
                link.clicked.connect(lambda _checked, tool=tool: self.tool_chosen.emit(tool))
                self._column.addWidget(link, 0, Qt.AlignmentFlag.AlignLeft)
        super().showEvent(event)


def assigned(cards: Sequence[ToolCard], tools: Sequence[Tool]) -> list[ToolCard | None]:
    """Return a card for each tool, None if a new one is needed. An unchanged tool keeps its
    card; a tool edited in place keeps the card at that index."""
    free = dict(enumerate(cards))
    chosen: list[ToolCard | None] = [None] * len(tools)
    for at, tool in enumerate(tools):
        if at in free and free[at].tool == tool:
            chosen[at] = free.pop(at)
    for at, tool in enumerate(tools):
        if chosen[at] is None:
            same = next((index for index, card in free.items() if card.tool == tool), None)
            chosen[at] = free.pop(same) if same is not None else None
    if len(cards) == len(tools):
        # No additions or removals: remaining tools were edited in place.
        for at in range(len(tools)):
            if chosen[at] is None:
                chosen[at] = free.pop(at, None)
    return chosen


class ToolsBar(QFrame):
    """Stays in sight above the cards."""

    tool_chosen = Signal(object)
    """A blank tool or a template."""
    paste_wanted = Signal()
    server_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.total = toned("", "muted")
        self.collapse = push_button("Collapse all", "quiet")
        kinds = "JSON definitions of OpenAI, Anthropic, Gemini, Bedrock or MCP"
        self.paste = push_button("Paste…", clicked=self.paste_wanted, tip=kinds)
        self.add = push_button("Add a tool", "menu")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill)
        self.add.setMenu(self.menu)
        self.hint = words("", "muted")
        self.moved = words("")
        self.undo = push_button("Undo", "link")
        self.notice = QFrame()
        self._lay_out()
        self.show_moved("")

    def _lay_out(self) -> None:
        row = FlowLayout()
        row.add_all((self.total, self.collapse, self.paste, self.add))
        self.total.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.notice.setProperty("look", "callout")
        items = (self.moved, 1), (self.undo, 0, Qt.AlignmentFlag.AlignTop)
        row_of(*items, on=self.notice, margins=(GRID, GRID // 2, GRID, GRID // 2))
        column_of(row, self.hint, self.notice, on=self, margins=(GRID * 2, GRID, GRID, GRID), spacing=GRID // 2)

    def show_total(self, total: str, hint: str) -> None:
        """How many and how much; what the order costs."""
        self.total.setText(total)
        show_or_hide(self.hint, hint)

    def show_moved(self, sentence: str) -> None:
        """Show the cost of the latest move; empty: nothing was moved."""
        self.moved.setText(sentence)
        self.notice.setVisible(bool(sentence))

    def _fill(self) -> None:
        if not self.menu.isEmpty():
            return
        self.menu.addAction("Blank tool", partial(self.tool_chosen.emit, blank_tool()))
        self.menu.addSeparator()
        for title, tool in templates():
            self.menu.addAction(title, partial(self.tool_chosen.emit, tool))
        self.menu.addSeparator()
        self.menu.addAction("Paste Python or JSON…", self.paste_wanted.emit)
        self.menu.addAction("From an MCP server…", self.server_wanted.emit)


ACTIONS = (
    ("up", "Move up", "Alt+Up"),
    ("down", "Move down", "Alt+Down"),
    ("duplicate", "Duplicate", "Ctrl+D"),
    ("collapse", "Expand or collapse", "Ctrl+-"),
    ("delete", "Delete", "Ctrl+Shift+Backspace"),
)
"""What a tool's menu offers: id, words, key while the card has the focus."""


class ToolsTab(QWidget):
    """Keeps one card per tool. A card's form and JSON are made when it is first opened."""

    tools_edited = Signal(object, str)
    """The new tuple of tools, and a key under which typing on merges into one undo step."""
    answers_wanted = Signal(str)
    """What calls of this tool return."""
    server_wanted = Signal()

    def __init__(self, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self._tools: tuple[Tool, ...] = ()
        self._zones: ZoneMap | None = None
        self._cards: list[ToolCard] = []
        self._stale = False
        """Whether the cards do not show the present tools yet."""
        self.answers_offered: Callable[[], bool] = lambda: False
        """Whether `answers_wanted` has a receiver."""
        self.paste_dialog: PasteDialog | None = None
        self.bar = ToolsBar()
        self.empty = NoTools()
        self._inside = QWidget()
        self._column = column_of(self.empty, STRETCH, on=self._inside, margins=0, spacing=0)
        self._line = DropLine(self._inside)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self.area = scrolled(self._inside)
        column_of(FittedScroll(self.bar), hairline(), (self.area, 1), on=self, margins=0, spacing=0)

    def _connect(self) -> None:
        self.bar.tool_chosen.connect(self.add_tool)
        self.empty.tool_chosen.connect(self.add_tool)
        self.bar.paste_wanted.connect(self.open_paste)
        self.bar.server_wanted.connect(self.server_wanted)
        self.bar.undo.clicked.connect(self._history.undo)
        self.bar.collapse.clicked.connect(self._collapse_all)
        keyed_actions(self, ACTIONS, self._act_on_focused)

    @property
    def cards(self) -> list[ToolCard]:
        if self._stale:
            self._show_cards()
        return self._cards

    def show_tools(self, tools: tuple[Tool, ...]) -> None:
        """Show a catalogue; a card stays with its tool. In a hidden tab, cards are made when they are needed."""
        self.bar.show_moved("")
        self._tools, self._stale = tools, True
        if self.isVisible():
            self._update_text()

    def _show_cards(self) -> None:
        self._stale, tools = False, self._tools
        chosen = assigned(self._cards, tools)
        for card in set(self._cards) - {card for card in chosen if card is not None}:
            discard(self._column, card)
        self._cards = [card or self._card(tool) for card, tool in zip(chosen, tools, strict=True)]
        for at, (card, tool) in enumerate(zip(self._cards, tools, strict=True)):
            if self._column.indexOf(card) != at:
                self._column.insertWidget(at, card)
                # Now, not when the layout comes to it: the keyboard is given to it next.
                card.show()
            card.set_tool(tool)
        if len(tools) == 1:
            self._expand(0)
        self.empty.setVisible(not tools)

    def show_zones(self, zones: ZoneMap | None) -> None:
        """Set the estimated tokens and zones; applied when the tab is visible."""
        self._zones = zones
        if self.isVisible():
            self._update_text()

    def showEvent(self, event: QShowEvent) -> None:
        self._update_text()
        super().showEvent(event)

    def _update_text(self) -> None:
        count = len(self._tools)
        zones = self._zones if self._zones is not None and len(self._zones.tool_tokens) == count else None
        for at, card in enumerate(self.cards):
            card.set_tokens(f"{zones.tool_zones[at]} · ≈ {zones.tool_tokens[at]:,.0f}" if zones else "")
        words = counted(count, "tool") if count else "No tools"
        if zones and count:
            words += f" · ≈ {sum(zones.tool_tokens):,.0f} tokens"
        self.bar.show_total(words, hint(zones, count))
        self.bar.collapse.setVisible(sum(card.expanded for card in self.cards) > 1)

    def go_to(self, index: int) -> None:
        if 0 <= index < len(self.cards):
            self._expand(index)
            self.cards[index].take_focus()
            self._reveal(self.cards[index])
        else:
            self.bar.add.setFocus()

    def add_tool(self, tool: Tool) -> None:
        """Add a tool at the end, expanded, with the focus on its name."""
        self.tools_edited.emit((*self._tools, *unique_names((tool,), self._tools)), "")
        self.go_to(len(self.cards) - 1)

    def open_paste(self) -> None:
        """Open the dialog in which Python or JSON becomes tools."""
        # Imported here: reading Python is not needed before.
        from playground.ui.panes.prompt.tools_json import PasteDialog

        dialog = self.paste_dialog = PasteDialog(lambda: self._tools, self.window())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.added.connect(self._pasted)
        dialog.open()

    def _pasted(self, tools: tuple[Tool, ...]) -> None:
        first = len(self._tools)
        self.tools_edited.emit((*self._tools, *tools), "")
        self.cards[first].take_focus()
        self._reveal(self.cards[first])

    def act(self, index: int, name: str) -> None:
        if name in ("up", "down"):
            self.move_tool(index, index + (-1 if name == "up" else 1))
        elif name == "duplicate":
            copy = unique_names((self._tools[index],), self._tools)
            self.tools_edited.emit((*self._tools[: index + 1], *copy, *self._tools[index + 1 :]), "")
            self.go_to(index + 1)
        elif name == "delete":
            self.tools_edited.emit((*self._tools[:index], *self._tools[index + 1 :]), "")
            left = min(index, len(self.cards) - 1)
            (self.cards[left].head.role if left >= 0 else self.bar.add).setFocus()
        elif name == "collapse":
            self.cards[index].set_expanded(not self.cards[index].expanded)
            self._opened(self.cards[index])

    def move_tool(self, index: int, to: int) -> None:
        """Move a tool to another position and show the cost."""
        if not 0 <= to < len(self._tools) or to == index:
            return
        warm = warm_after(self._zones, min(index, to), len(self._tools))
        tools = list(self._tools)
        tools.insert(to, tools.pop(index))
        card = self.cards[index]
        self.tools_edited.emit(tuple(tools), "")
        self.bar.show_moved(moved(card.tool.name, to + 1, warm))
        self._reveal(card)

    def _expand(self, index: int) -> None:
        self.cards[index].set_expanded(True)
        self._opened(self.cards[index])

    def _opened(self, card: ToolCard) -> None:
        card.offer_answers(self.answers_offered())
        self.bar.collapse.setVisible(sum(one.expanded for one in self.cards) > 1)

    def _collapse_all(self) -> None:
        for card in self.cards:
            card.set_expanded(False)
        self.bar.collapse.hide()
        self.bar.add.setFocus()

    def _reveal(self, card: ToolCard) -> None:
        # After the layout: only then it is known where the card is.
        QTimer.singleShot(0, card, lambda: self.area.ensureWidgetVisible(card, 0, 0))

    def _act_on_focused(self, name: str) -> None:
        focus = self.window().focusWidget()
        at = next((at for at, card in enumerate(self.cards) if focus and card.isAncestorOf(focus)), None)
        if at is not None:
            self.act(at, name)

    def _card(self, tool: Tool) -> ToolCard:
        card = ToolCard(self._history, tool)
        card.edited.connect(lambda new, key: self._put(card, new, key))
        card.answers_wanted.connect(lambda: self.answers_wanted.emit(card.tool.name))
        card.menu_wanted.connect(lambda place: self.menu_of(card).popup(place))
        card.head.role.clicked.connect(lambda: self._opened(card))
        card.handle.dragged.connect(self._drag)
        card.handle.dropped.connect(lambda place: self._drop(card, place))
        return card

    def _put(self, card: ToolCard, tool: Tool, key: str) -> None:
        at = self.cards.index(card)
        self.tools_edited.emit((*self._tools[:at], tool, *self._tools[at + 1 :]), f"tool {at} {key}" if key else "")

    def menu_of(self, card: ToolCard) -> QMenu:
        menu = passing_menu(self)
        at = self.cards.index(card)
        useless = {"up": at == 0, "down": at == len(self.cards) - 1}
        for name, label, key in ACTIONS:
            action = menu.addAction(label, QKeySequence(key), partial(self.act, at, name))
            action.setEnabled(not useless.get(name, False))
        if self.answers_offered():
            menu.addAction("What it returns…", card.answers_wanted.emit)
        return menu

    def _place_at(self, place: QPoint) -> int:
        """Before which card a drop would go."""
        y = self._inside.mapFromGlobal(place).y()
        return sum(card.geometry().center().y() < y for card in self.cards)

    def _drag(self, place: QPoint) -> None:
        at = self._place_at(place)
        y = self.cards[at].y() if at < len(self.cards) else self.cards[-1].geometry().bottom() + 1
        self._line.show_at(y)
        self.area.ensureVisible(0, self._inside.mapFromGlobal(place).y(), 0, 40)

    def _drop(self, card: ToolCard, place: QPoint) -> None:
        self._line.hide()
        index, to = self.cards.index(card), self._place_at(place)
        self.move_tool(index, to - 1 if to > index else to)
