"""A figure with its name: reached and copied by keyboard; the accessible text gives the reason if it is unknown."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QAction, QBrush, QColor, QKeyEvent, QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from playground.export.terminal import visible, visible_line
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.widgets.labels import ElidedLabel, IdLabel, copy_text
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.plain_table import plain_tip

SWATCH_PX = 10


class Swatch(QWidget):
    """A legend's square in the color of a theme role: filled, hatched, or an outline."""

    def __init__(self, role: str, *, hollow: bool = False, hatched: bool = False) -> None:
        super().__init__()
        self._role, self._hollow, self._hatched = role, hollow, hatched
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:
        return QSize(SWATCH_PX, SWATCH_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color: QColor = getattr(theme, self._role)
        area = QRectF(0.5, (self.height() - SWATCH_PX) / 2 + 0.5, SWATCH_PX - 1, SWATCH_PX - 1)
        painter.setPen(QPen(color, 1))
        painter.setBrush(theme.line if self._hollow else color)
        painter.drawRoundedRect(area, 2, 2)
        if self._hatched:
            painter.setBrush(QBrush(theme.surface, Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(area, 2, 2)


class FigureRow(QFrame):
    """Name on the left, value on the right in tabular figures. Ctrl+C, or the context menu, copies the value."""

    def __init__(
        self, name: str, swatch: Swatch | None = None, *, whole: bool = False, parent: QWidget | None = None
    ) -> None:
        """`swatch` precedes the name. `whole`: the value is an id that is never shortened, on its own line."""
        super().__init__(parent)
        self._name = name
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("row", "figure")
        self._caption = QLabel(name, self)
        self._caption.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self._value = ElidedLabel(name, Qt.TextElideMode.ElideMiddle, self)
        self._value.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._value.setFont(ui_font(tabular=True))
        self._value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._id = IdLabel(name) if whole else None
        self.row = row_of(spacing=GRID // 2)
        if swatch is not None:
            self.row.addWidget(swatch)
            self.row.addSpacing(GRID // 2)
        self.row.addWidget(self._caption)
        self.row.addWidget(self._value, 1)
        column = column_of(self.row, on=self, margins=0, spacing=0)
        if self._id is not None:
            policy = self._value.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            self._value.setSizePolicy(policy)
            self._id.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            column.addWidget(self._id)
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
        if self._id is not None:
            known = text != "—"
            self._value.setVisible(not known)
            self._id.setVisible(known)
            self._id.show_id(text if known else "", why)
        restyle(self._value, tone=tone)
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
