"""A one-line label that shortens its text to the room it has, and keeps the whole text within reach."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from playground.export.terminal import visible_line
from playground.ui.widgets.id_label import copy_text
from playground.ui.widgets.plain_table import plain_tip


class ElidedLabel(QLabel):
    """Shows `full_text`, elided, with control characters as escapes. The tooltip and Ctrl+C have the whole text."""

    def __init__(
        self, name: str, elide: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._name = name
        self._elide = elide
        self._full = self._displayed = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)

    @property
    def full_text(self) -> str:
        """Return the full text."""
        return self._full

    def set_full_text(self, text: str, why: str = "") -> None:
        """Show `text`; `why` is added to the tooltip and read out, for a figure that is not known."""
        if text == self._full and why == self.accessibleDescription():
            return
        self._full = text
        self._displayed = visible_line(text)
        self.setText(self._displayed)
        self.setToolTip(plain_tip(why or f"{self._name}: {self._displayed}"))
        self.setAccessibleName(f"{self._name}: {self._displayed}")
        self.setAccessibleDescription(why)

    def minimumSizeHint(self) -> QSize:
        """Little: the rest is elided."""
        return QSize(self.fontMetrics().horizontalAdvance("…") * 4, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the elided text, and a line under it while it has the focus."""
        painter = QPainter(self)
        room = self.contentsRect()
        shown = self.fontMetrics().elidedText(self._displayed, self._elide, room.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, int(self.alignment()), shown)
        if self.hasFocus():
            # QStyle has 500 enum members, which take 7 ms of the start.
            from PySide6.QtWidgets import QStyle, QStyleOption

            option = QStyleOption()
            option.initFrom(self)
            self.style().drawPrimitive(QStyle.PrimitiveElement.PE_FrameFocusRect, option, painter, self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the whole text."""
        if event.matches(QKeySequence.StandardKey.Copy):
            copy_text(self._full)
        else:
            super().keyPressEvent(event)
