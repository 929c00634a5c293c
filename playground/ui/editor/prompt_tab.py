"""The Prompt tab: the tools' card, a card a message, in the order that the cache sees them."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from playground.prefix.workbench import Outlook
from playground.prompt.document import Document, Message
from playground.ui.editor.cards import MessageCard
from playground.ui.editor.exact_text import Splice
from playground.ui.editor.undo import History
from playground.ui.theme import GRID, Theme


class PromptTab(QWidget):
    """Keeps one card a message in step with the history's document."""

    tools_requested = Signal()
    send_requested = Signal()

    def __init__(self, theme: Theme, history: History, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._history = history
        self.cards: list[MessageCard] = []
        self._build()
        history.spliced.connect(self._on_spliced)
        history.replaced.connect(self._on_replaced)

    def _build(self) -> None:
        self._page = QWidget()
        self._column = QVBoxLayout(self._page)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        self._add = QPushButton("+ Add message")
        self._add.setProperty("look", "quiet")
        self._add.clicked.connect(lambda: self.insert(len(self.cards)))
        foot = QHBoxLayout()
        foot.setContentsMargins(GRID, GRID, GRID, GRID)
        foot.addWidget(self._add)
        foot.addStretch(1)
        self._column.addLayout(foot)
        self._column.addStretch(1)
        self.scroll = QScrollArea()
        self.scroll.setWidgetResizable(True)
        self.scroll.setWidget(self._page)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.scroll)

    # -- keeping cards and document in step -----------------------------------------------------------------------------

    def _on_replaced(self, _before: Document, after: Document) -> None:
        messages = after.messages
        while len(self.cards) > len(messages):
            self._remove_card()
        for index, message in enumerate(messages):
            if index == len(self.cards):
                self._append_card()
            if self.cards[index].message != message or self.cards[index].text.exact.text != (message.content or ""):
                self.cards[index].show_message(message)

    def _on_spliced(self, index: int, splice: Splice, shown: bool) -> None:
        message = self._history.document.messages[index]
        if shown:
            self.cards[index].keep(message)
            return
        self.cards[index].mirror(message, splice)
        self.cards[index].text.setFocus()

    def _append_card(self) -> None:
        card = MessageCard(self._theme)
        index = len(self.cards)
        self.cards.append(card)
        self._column.insertWidget(index, card)
        card.typed.connect(lambda splice: self._history.splice(index, splice, shown=True))
        card.action.connect(lambda name: self.act(index, name))
        card.role_chosen.connect(lambda role: self._choose_role(index, role))
        card.text.undo_requested.connect(self._history.stack.undo)
        card.text.redo_requested.connect(self._history.stack.redo)
        card.text.send_requested.connect(self.send_requested)

    def _remove_card(self) -> None:
        card = self.cards.pop()
        self._column.removeWidget(card)
        card.hide()
        card.deleteLater()

    # -- what a person does with a card ---------------------------------------------------------------------------------

    def act(self, index: int, name: str) -> None:
        """Do what a card's menu offers."""
        messages = list(self._history.document.messages)
        if name == "add":
            self.insert(index + 1)
        elif name == "duplicate":
            self._put([*messages[: index + 1], *messages[index:]], "Duplicate message")
        elif name == "delete":
            self._put(messages[:index] + messages[index + 1 :], "Delete message")
        elif name in ("up", "down"):
            self._move(index, index + (-1 if name == "up" else 1))

    def insert(self, index: int) -> None:
        """A new, empty user message at `index`."""
        messages = list(self._history.document.messages)
        self._put([*messages[:index], Message("user", ""), *messages[index:]], "Add message")
        self.cards[index].text.setFocus()

    def _move(self, index: int, target: int) -> None:
        messages = list(self._history.document.messages)
        if 0 <= target < len(messages):
            messages[index], messages[target] = messages[target], messages[index]
            self._put(messages, "Move message")
            self.cards[target].text.setFocus()

    def _choose_role(self, index: int, role: str) -> None:
        document = self._history.document
        message = replace(document.messages[index], role=role)  # type: ignore[arg-type]  # from ROLES
        self._history.replace(document.with_message(index, message), "Change role")

    def _put(self, messages: list[Message], label: str) -> None:
        self._history.replace(replace(self._history.document, messages=tuple(messages)), label)

    # -- looks ----------------------------------------------------------------------------------------------------------

    def set_outlook(self, outlook: Outlook | None) -> None:
        """Paint the zones on the cards they belong to."""
        for index, card in enumerate(self.cards):
            if outlook is None or index >= len(outlook.zones.messages):
                card.set_zones(None, (), None)
            else:
                zones = outlook.zones
                card.set_zones(zones.message_zones[index], zones.messages[index], zones.message_tokens[index])

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        for card in self.cards:
            card.set_theme(theme)
