"""The catalogue without a tool: what will be there, and ways to begin."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from playground.prompt.document import Tool
from playground.ui.editor.tools_templates import templates
from playground.ui.theme import GRID
from playground.ui.widgets.notice import words

WORDS = (
    "The tools that the model may call will stand here. Every description and schema is input on every turn: one "
    "sentence of intent a tool, short parameter descriptions; examples belong in the system prompt."
)


class NoTools(QWidget):
    """Filled when it is first seen."""

    tool_chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
        self._column.setSpacing(2)
        self._filled = False

    def showEvent(self, event: QShowEvent) -> None:
        """The templates, as links."""
        if not self._filled:
            self._filled = True
            self._column.addWidget(words(WORDS, "muted"))
            self._column.addSpacing(GRID)
            self._column.addWidget(words("Begin with a template:", "strong"))
            for title, tool in templates():
                self._column.addWidget(self._link(title, tool), 0, Qt.AlignmentFlag.AlignLeft)
        super().showEvent(event)

    def _link(self, title: str, tool: Tool) -> QPushButton:
        button = QPushButton(title)
        button.setProperty("look", "link")
        button.setAccessibleName(f"Add a tool: {title}")
        button.clicked.connect(lambda: self.tool_chosen.emit(tool))
        return button
