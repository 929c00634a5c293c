"""The table of variables below the messages, which can be collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent, QTextOption
from PySide6.QtWidgets import QAbstractButton, QFrame, QSizePolicy, QWidget

from playground.prompt.document import Document, places, render
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import current_theme, mono_font, scaled, ui_font
from playground.ui.widgets.icons import ICON_PX, icon_button, paint_icon
from playground.ui.widgets.labels import toned
from playground.ui.widgets.layouts import Panel, column_of, discard, row_of, scrolled
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from playground.ui.panes.prompt.axis_paint import PromptAxes

HEAD_PX = 32
ROW_PX = 24
_NAME_PX = 118
_TOKENS_PX = 56
_NAME_SHARE, _TOKENS_SHARE = 0.37, 0.2
"""Most of a row's width that name and tokens take with large text; tokens that do not fit are left out."""
_SIDE = 14
_DOTS_PX = 16
MOST_ROWS = 200
"""Variables with a row: each row is an editor."""
MOST_SHARE = 0.45
"""Largest part of the pane's height that the table takes."""


def row_px() -> int:
    """Return the height of a value's row at the present text size."""
    return max(QFontMetrics(mono_font()).height() + 6, ROW_PX)


class _Value(QFrame):
    """A value: one line until it has the focus, then as tall as its text. Exact to the character."""

    resized = Signal()

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("fitsContents", True)
        self.text = CardText(self, sides=(6, 6))
        self.text.setAccessibleName(f"Value of {name}")
        self.text.height_changed.connect(self._fit)
        self.text.installEventFilter(self)
        self._wrap()
        self.missing = False
        self.setFocusProxy(self.text)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(ROW_PX)

    @property
    def open(self) -> bool:
        """Whether the value is edited and shows all its lines."""
        return self.text.hasFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self._wrap()
            self._place()
            self._fit()
            self.update()
        return super().eventFilter(watched, event)

    def _wrap(self) -> None:
        """Without the focus, fill the first line up to the dots, also in the middle of a word."""
        wrap = QTextOption.WrapMode
        self.text.setWordWrapMode(wrap.WrapAtWordBoundaryOrAnywhere if self.open else wrap.WrapAnywhere)

    @property
    def first_line_px(self) -> int:
        """The height of a value's first line: without the focus, no part of the next one is visible."""
        return QFontMetrics(self.text.font()).height() + 1

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()

    def _place(self) -> None:
        """Give the text the width, less the room for the dots of a value that shows only its first line."""
        self.text.setGeometry(0, 3, self.width() - (0 if self.open else _DOTS_PX), self.text.height())
        if self.open:
            self.text.clearMask()
        else:
            self.text.setMask(QRect(0, 0, self.text.width(), self.first_line_px))

    def _fit(self) -> None:
        self._place()
        height = max(self.text.height() + 6 if self.open else 0, row_px())
        if height != self.height():
            self.setFixedHeight(height)
            self.resized.emit()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, self.height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the focus ring; a red border if there is no value; dots if more lines follow."""
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = theme.accent if self.open else theme.failure if self.missing else None
        if color is not None:
            painter.setPen(QPen(color, 2 if self.open else 1))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        if not self.open and self.text.height() > row_px():
            painter.setPen(theme.muted)
            base = self.text.y() + QFontMetrics(self.text.font()).ascent()
            painter.drawText(self.width() - 2 - painter.fontMetrics().horizontalAdvance("…"), base, "…")


class _Row(QWidget):
    value_edited = Signal(str, object)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.tokens = ""
        self.value = _Value(name)
        self.edit = self.value.text
        self._unused = False
        self._remove = icon_button("close", f"Remove {name}: not used in the prompt", px=20)
        self._remove.clicked.connect(lambda: self.value_edited.emit(name, None))
        self.edit.typed.connect(lambda _splice: self.value_edited.emit(name, self.edit.exact.text))
        row_of(self.value, self._remove, on=self, spacing=0)
        self._set_margins()

    def changeEvent(self, event: QEvent) -> None:
        """Another text size needs another room for the name."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self._set_margins()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._set_margins()

    def minimumSizeHint(self) -> QSize:
        """Return no width: with large text the name and the tokens leave room for the value."""
        return QSize(0, super().minimumSizeHint().height())

    def _set_margins(self) -> None:
        self._name_px = min(scaled(_NAME_PX), round(self.width() * _NAME_SHARE))
        self._tokens_px = min(scaled(_TOKENS_PX), round(self.width() * _TOKENS_SHARE))
        if (layout := self.layout()) is not None:
            layout.setContentsMargins(self._name_px, 0, self._tokens_px, 0)

    def show_value(self, value: str | None, where: str, *, unused: bool) -> None:
        """Show the value (None: there is none); `where` names the messages that use it."""
        self._unused = unused
        self._remove.setVisible(unused)
        self.setToolTip(plain_tip(where))
        self.value.missing = value is None
        self.edit.setPlaceholderText("no value: Send asks for one" if value is None else "empty: sent as an empty text")
        self.edit.show_exact(value or "")
        self.value.update()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setPen(theme.line)
        painter.drawLine(0, 0, self.width(), 0)
        painter.setFont(mono_font(12))
        painter.setPen(theme.muted if self._unused else theme.variable_edge)
        name = painter.fontMetrics().elidedText(self.name, Qt.TextElideMode.ElideRight, self._name_px - _SIDE - 6)
        # On the base line of the value's first line.
        base = self.value.y() + self.edit.y() + QFontMetrics(self.edit.font()).ascent()
        painter.drawText(_SIDE, base, name)
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.muted)
        tokens_px = painter.fontMetrics().horizontalAdvance(self.tokens)
        if tokens_px + _SIDE <= self._tokens_px:
            painter.drawText(self.width() - _SIDE - tokens_px, base, self.tokens)


class _Head(QAbstractButton):
    """The row over the table: arrow, title, count."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.setCheckable(True)
        self.setChecked(True)
        self.setFixedHeight(HEAD_PX)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("Variables")

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setPen(theme.line)
        painter.drawLine(0, 0, self.width(), 0)
        middle, icon_px, pill_px = self.height() / 2, scaled(ICON_PX), scaled(18)
        box = QRectF(_SIDE, middle - icon_px / 2, icon_px, icon_px)
        paint_icon(painter, "down" if self.isChecked() else "right", box, theme.muted)
        painter.setFont(ui_font(bold=True))
        painter.setPen(theme.text)
        left = _SIDE + icon_px + 6
        painter.drawText(QRectF(left, 0, self.width(), self.height()), Qt.AlignmentFlag.AlignVCenter, "Variables")
        left += painter.fontMetrics().horizontalAdvance("Variables") + 8
        painter.setFont(ui_font(12, tabular=True))
        text = f"{self.count:,}"
        width = painter.fontMetrics().horizontalAdvance(text) + 12
        pill = QRectF(left, middle - pill_px / 2, width, pill_px)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.window)
        painter.drawRoundedRect(pill, pill_px / 2, pill_px / 2)
        painter.setPen(theme.muted)
        painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, text)


class VariablesTable(Panel):
    """One row per variable in the order of their first use; unused values last. Hidden without variables."""

    value_edited = Signal(str, object)
    """Name, and the value or None to remove it."""

    def __init__(self, history: UndoHistory) -> None:
        super().__init__("pane")
        self._history = history
        self.setProperty("fitsContents", True)
        self.rows: dict[str, _Row] = {}
        """The rows by variable name."""
        self._document = Document()
        self._pinned = ""
        """A variable that has a row even if it is not among the first."""
        self.head = _Head()
        self.head.toggled.connect(self._fold)
        self._inside = QWidget()
        self._left_out = toned("", "muted")
        self._left_out.setFixedHeight(ROW_PX)
        self._left_out.setContentsMargins(_SIDE, 0, 0, 0)
        self._left_out.hide()
        self._column = column_of(self._left_out, on=self._inside, margins=0, spacing=0)
        self._area = scrolled(self._inside)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        column_of(self.head, self._area, on=self, margins=0, spacing=0)
        self.hide()

    def show_document(self, document: Document) -> int:
        """Show the document's variables; returns how many there are."""
        self._document = document
        used = _messages_of(document)
        known = list(dict.fromkeys((*used, *document.variables)))
        pinned = [name for name in known[MOST_ROWS:] if name == self._pinned]
        wanted = dict.fromkeys((*known[:MOST_ROWS], *pinned))
        for name in [name for name in self.rows if name not in wanted]:
            discard(self._column, self.rows.pop(name))
        for at, name in enumerate(wanted):
            row = self.rows.get(name) or self._add(name)
            if self._column.indexOf(row) != at:
                self._column.insertWidget(at, row)
            row.show_value(document.variables.get(name), _where(used.get(name, ())), unused=name not in used)
        left_out = len(known) - len(wanted)
        self._left_out.setText(f"{left_out:,} more variables have no row here. Send asks for missing values.")
        self._left_out.setVisible(left_out > 0)
        self.head.count = len(known)
        self.head.update()
        self.setVisible(bool(known))
        self._fit()
        return len(known)

    def _add(self, name: str) -> _Row:
        row = self.rows[name] = _Row(name)
        row.value_edited.connect(self.value_edited)
        self._history.serve(row.edit)
        row.edit.caret_moved.connect(self._history.seal)
        row.value.resized.connect(self._fit)
        return row

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Show the tokens (≈) of each value, as its share of the message that uses it first."""
        figures = _tokens(axes) if axes is not None else {}
        for name, row in self.rows.items():
            text = f"≈ {figures[name]:,}" if name in figures else ""
            if text != row.tokens:
                row.tokens = text
                row.update()

    def _fold(self, shown: bool) -> None:
        self._area.setVisible(shown)
        self._fit()
        self.head.setAccessibleDescription("expanded" if shown else "collapsed")

    def _fit(self) -> None:
        parent = self.parentWidget()
        most = int((parent.height() if parent is not None else 600) * MOST_SHARE)
        rows = sum(max(row.value.height(), row_px()) for row in self.rows.values())
        rows += 0 if self._left_out.isHidden() else ROW_PX
        height = min(rows, max(most, 2 * row_px()))
        self._area.setFixedHeight(height)
        self.setFixedHeight(scaled(HEAD_PX) + (height if self.head.isChecked() else 0))

    def go_to(self, name: str) -> None:
        if name not in self.rows:
            self._pinned = name
            self.show_document(self._document)
        if name in self.rows:
            self.head.setChecked(True)
            self.rows[name].edit.setFocus()
            self._area.ensureWidgetVisible(self.rows[name])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()


def _messages_of(document: Document) -> dict[str, list[int]]:
    """Return the positions of the messages that use each variable, in the order of first use."""
    found: dict[str, list[int]] = {}
    for index, message in enumerate(document.messages):
        for name in dict.fromkeys(place.name for place in places(message.content or "")):
            found.setdefault(name, []).append(index)
    return found


def _tokens(axes: PromptAxes) -> dict[str, int]:
    """Return the tokens of each value, as its share of the message that uses it first."""
    document, lengths, tokens = axes.document, dict[int, int](), dict[str, int]()
    for name, (first, *_) in _messages_of(document).items():
        value = document.variables.get(name)
        if value is None:
            continue
        if first not in lengths:
            lengths[first] = len(render(document.messages[first].content or "", document.variables).text) or 1
        tokens[name] = round(axes.messages[first].tokens * len(value) / lengths[first])
    return tokens


def _where(messages: Sequence[int]) -> str:
    found = [f"message {index + 1}" for index in messages]
    return "in " + ", ".join(found) if found else "not used in the prompt"
