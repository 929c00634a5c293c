"""Pane of tool mocks: list of the prompt's tools, and the form of the selected one."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QListWidget, QVBoxLayout, QWidget

from playground.agent.tool_mocks import ToolMock, ToolMocks
from playground.prompt.document import Document
from playground.ui.agent.tool_mock_form import KINDS, NOTHING_SAID, AnswerForm
from playground.ui.theme import GRID
from playground.ui.widgets.notice import words


class AnswersPane(QWidget):
    """Shows and edits the mocks of a document's tools."""

    changed = Signal(object)
    """The new ToolMocks."""

    def __init__(self) -> None:
        super().__init__()
        self._book, self._names = ToolMocks(), ()  # type: tuple[ToolMocks, tuple[str, ...]]
        self.list = QListWidget()
        self.list.setAccessibleName("Tools of the prompt")
        self.list.currentRowChanged.connect(lambda _row: self._show())
        self.list.setMaximumHeight(130)
        self.form = AnswerForm()
        self.form.changed.connect(self._edited)
        self.none = words("The prompt has no tools. Add some in the Tools tab; without them a chain is one request.")
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID, 0, 0, 0)
        column.setSpacing(GRID)
        column.addWidget(words("What a call returns", "strong"))
        column.addWidget(self.none)
        column.addWidget(self.list)
        column.addWidget(self.form, 1)

    def show_book(self, document: Document, book: ToolMocks) -> None:
        """Show the mocks of this prompt's tools."""
        names = tuple(dict.fromkeys(tool.name for tool in document.tools if tool.name))
        chosen = self._names[self.list.currentRow()] if 0 <= self.list.currentRow() < len(self._names) else ""
        self._book, self._names = book, names
        self.list.clear()
        for name in names:
            self.list.addItem(self._label(name))
        for widget in (self.list, self.form):
            widget.setVisible(bool(names))
        self.none.setVisible(not names)
        self.list.setCurrentRow(names.index(chosen) if chosen in names else 0)

    def choose(self, name: str) -> bool:
        """Select a tool. Returns whether the tool exists."""
        if name in self._names:
            self.list.setCurrentRow(self._names.index(name))
        return name in self._names

    def _label(self, name: str) -> str:
        reply = self._book.tools.get(name, NOTHING_SAID).otherwise
        return f"{name}   {KINDS[reply.kind][0]}"

    def _show(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._names):
            self.form.show_answer(self._book.tools.get(self._names[row], NOTHING_SAID))

    def _edited(self, answer: ToolMock) -> None:
        row = self.list.currentRow()
        if not 0 <= row < len(self._names):
            return
        name = self._names[row]
        self._book = replace(self._book, tools={**self._book.tools, name: answer})
        item = self.list.item(row)
        if item is not None:
            item.setText(self._label(name))
        self.changed.emit(self._book)
