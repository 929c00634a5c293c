"""Over the catalogue: how many tools, what they weigh, ways to add, and what their order costs."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QMenu, QPushButton, QVBoxLayout

from playground.prompt.document import Tool
from playground.ui.editor.tools_templates import blank_tool, templates
from playground.ui.theme import GRID
from playground.ui.widgets.notice import words


class ToolsBar(QFrame):
    """Stays in sight above the cards."""

    tool_chosen = Signal(object)
    """A blank tool or a template."""
    paste_wanted = Signal()
    server_wanted = Signal()
    collapse_wanted = Signal()
    undo_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.total = QLabel()
        self.total.setProperty("tone", "muted")
        self.collapse = _button("Collapse all", "quiet")
        self.collapse.clicked.connect(self.collapse_wanted)
        self.paste = _button("Paste…", "")
        self.paste.setToolTip("Python functions, or JSON of OpenAI, Anthropic, Gemini and others")
        self.paste.clicked.connect(self.paste_wanted)
        self.add = _button("Add a tool", "menu")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill)
        self.add.setMenu(self.menu)
        self.hint = words("", "muted")
        self._moved = words("")
        self._undo = _button("Undo", "link")
        self._undo.clicked.connect(self.undo_wanted)
        self.notice = QFrame()
        self._lay_out()
        self.say_moved("")

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.addWidget(self.total, 1)
        for button in (self.collapse, self.paste, self.add):
            row.addWidget(button)
        self.notice.setProperty("look", "callout")
        inner = QHBoxLayout(self.notice)
        inner.setContentsMargins(GRID, GRID // 2, GRID, GRID // 2)
        inner.addWidget(self._moved, 1)
        inner.addWidget(self._undo, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID, GRID, GRID)
        column.setSpacing(GRID // 2)
        column.addLayout(row)
        column.addWidget(self.hint)
        column.addWidget(self.notice)

    def say(self, total: str, hint: str, *, full: bool) -> None:
        """How many and how much; what the order costs; whether there is room for another."""
        if self.total.text() != total:
            self.total.setText(total)
        if self.hint.text() != hint:
            self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        for button in (self.add, self.paste):
            button.setEnabled(not full)

    def say_moved(self, sentence: str) -> None:
        """What the move just made costs; empty: nothing was moved."""
        self._moved.setText(sentence)
        self.notice.setVisible(bool(sentence))

    @property
    def moved_words(self) -> str:
        """What is said of the move."""
        return self._moved.text()

    def _fill(self) -> None:
        if not self.menu.isEmpty():
            return
        self._offer("Blank tool", blank_tool())
        self.menu.addSeparator()
        for title, tool in templates():
            self._offer(title, tool)
        self.menu.addSeparator()
        self.menu.addAction("Paste Python or JSON…").triggered.connect(lambda: self.paste_wanted.emit())
        self.menu.addAction("From an MCP server…").triggered.connect(lambda: self.server_wanted.emit())

    def _offer(self, title: str, tool: Tool) -> None:
        self.menu.addAction(title).triggered.connect(lambda: self.tool_chosen.emit(tool))


def _button(label: str, look: str) -> QPushButton:
    button = QPushButton(label)
    if look:
        button.setProperty("look", look)
    return button
