"""One figure with its name: reached by the keyboard, copied by one key, read out with why it is unknown."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QWidget

from playground.export.terminal import visible, visible_line
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, ui_font
from playground.ui.widgets.elided_label import ElidedLabel
from playground.ui.widgets.id_label import copy_text
from playground.ui.widgets.plain_table import plain_tip


class FigureRow(QFrame):
    """Name on the left, value on the right in tabular figures. Ctrl+C, or the context menu, copies the value."""

    def __init__(self, name: str, glyph: str = "", parent: QWidget | None = None) -> None:
        """`glyph` precedes the name, so that colour is not the only mark."""
        super().__init__(parent)
        self._name = name
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("row", "figure")
        self._caption = QLabel(name)
        self._caption.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self._value = ElidedLabel(name, Qt.TextElideMode.ElideMiddle)
        self._value.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._value.setFont(ui_font(tabular=True))
        self._value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(GRID // 2)
        self.glyph = QLabel(glyph)
        if not glyph:
            self.glyph.hide()
        self.glyph.setFixedWidth(GRID + 4)
        self.row.addWidget(self.glyph)
        self.row.addWidget(self._caption)
        self.row.addWidget(self._value, 1)
        copy = QAction(f"Copy {name}", self)
        copy.triggered.connect(self.copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def value(self) -> str:
        """The value's text."""
        return self._value.full_text

    def show_value(self, text: str, why: str = "", tone: str = "") -> None:
        """Show `text`; `why` says, in the tooltip and aloud, what an unknown or estimated figure rests on."""
        self._value.set_full_text(text, why)
        if (self._value.property("tone") or "") != tone:
            self._value.setProperty("tone", tone)
            restyle(self._value)
        shown = visible_line(text)
        name = f"{self._name}: {'unknown' if text == '—' else shown}"
        if name != self.accessibleName() or why != self.accessibleDescription():
            self.setAccessibleName(name)
            self.setAccessibleDescription(why)
            self.setToolTip(plain_tip(visible(why) or f"{self._name}: {shown}"))

    def copy(self) -> None:
        """Put the value on the clipboard."""
        copy_text(self.value)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the value."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)
