"""The head of a card: who speaks, a note, ≈ tokens, and the card's menu."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QWidget

from playground.ui.editor.card_text import SIDE_PX
from playground.ui.theme import GRID, Theme, ui_font

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
