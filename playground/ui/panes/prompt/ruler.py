"""The ruler at the prompt's right: the whole prompt in proportion to its tokens (≈), on both axes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import QEvent, QRectF, Qt, Signal
from PySide6.QtGui import QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from playground.ui.panes.prompt.axis_paint import (
    EXPECTED,
    NOT_EXPECTED,
    STABLE,
    VARIABLE,
    fill_color,
    served_text,
)
from playground.ui.theme import current_theme
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from playground.ui.panes.prompt.axes import PromptAxes, Served

WIDTH_PX = 12
_FILL = (5, 5)
"""Left and width of the structure's column."""
_EDGE = (1, 2)
"""Left and width of the cache's column."""


class Stretch(Struct, frozen=True):
    """A piece of the prompt with one structure and one cache state.

    `message` is None for the tools; `offset` and `length` are code points of the message's template.
    """

    variable: bool
    warm: bool
    tokens: float
    message: int | None
    offset: int = 0
    length: int = 0


def stretches(axes: PromptAxes) -> Iterator[Stretch]:
    """Return the pieces of the prompt in order; a message's tokens are shared by length."""
    if axes.tools_tokens:
        yield Stretch(False, axes.tools_warm, axes.tools_tokens, None)
    for index, (message, found) in enumerate(zip(axes.document.messages, axes.messages, strict=True)):
        length = len(message.content or "")
        start = length if found.variable_from is None else found.variable_from
        cuts = sorted({0, min(max(found.warm_to, 0), length), min(start, length), length})
        if length == 0:
            yield Stretch(found.variable_from == 0, found.warm_to >= 0, found.tokens, index)
        for begin, end in pairwise(cuts):
            tokens = found.tokens * (end - begin) / length
            yield Stretch(begin >= start, begin < found.warm_to, tokens, index, begin, end - begin)


class Ruler(QWidget):
    """A click goes to the place."""

    place_chosen = Signal(int, int)
    """Message and code point in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stretches: tuple[Stretch, ...] = ()
        """The pieces that are painted."""
        self._served: Served | None = None
        self._served_share = 0.0
        self.setFixedWidth(WIDTH_PX)
        self.setAccessibleName("Map of the prompt")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Paint these axes; None or a neutral prompt: nothing."""
        found = () if axes is None or axes.neutral else tuple(stretches(axes))
        if found != self.stretches:
            self.stretches = found
            self._describe()

    def show_served(self, served: Served | None, share: float) -> None:
        """Mark the reported end of the served prefix at a share of the prompt; None: no mark."""
        if (served, share) != (self._served, self._served_share):
            self._served, self._served_share = served, share
            self._describe()

    def _describe(self) -> None:
        self.setAccessibleDescription(served_text(self._served) if self._served is not None else "")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.fillRect(self.rect(), theme.surface)
        total = sum(stretch.tokens for stretch in self.stretches)
        top = tokens = 0.0
        # Neighbours that look alike are one rectangle: a prompt of 200 messages has two or three.
        for (variable, warm), alike in groupby(
            self.stretches if total > 0 else (), lambda one: (one.variable, one.warm)
        ):
            tokens += sum(stretch.tokens for stretch in alike)
            bottom = round(tokens * self.height() / total, 1)
            color = theme.variable_edge if variable else theme.stable_edge
            bar = QRectF(_FILL[0], top, _FILL[1], bottom - top)
            painter.fillRect(bar, fill_color(theme, variable=variable))
            painter.setPen(QPen(color, 1, Qt.PenStyle.DotLine if variable else Qt.PenStyle.SolidLine))
            painter.drawLine(bar.topRight(), bar.bottomRight())
            if warm:
                painter.fillRect(QRectF(_EDGE[0], top, _EDGE[1], bottom - top), theme.warm_edge)
            top = bottom
        if self.stretches and self._served is not None:
            y = min(self.height() * self._served_share, self.height() - 1.0)
            painter.fillRect(QRectF(0, y - 1, WIDTH_PX, 2), theme.warm_edge)

    def _at(self, y: float) -> tuple[Stretch, float] | None:
        total = sum(stretch.tokens for stretch in self.stretches)
        tokens = y / max(self.height(), 1) * total
        for stretch in self.stretches:
            if tokens <= stretch.tokens:
                return stretch, tokens / stretch.tokens if stretch.tokens else 0.0
            tokens -= stretch.tokens
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        found = self._at(event.position().y())
        if found is not None and found[0].message is not None:
            stretch, share = found
            self.place_chosen.emit(stretch.message, stretch.offset + int(stretch.length * share))

    def event(self, event: QEvent) -> bool:
        """Explain the piece under the pointer, and the mark."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._at(event.pos().y())
            lines = []
            if found is not None:
                lines = [VARIABLE if found[0].variable else STABLE, EXPECTED if found[0].warm else NOT_EXPECTED]
            if self._served is not None:
                lines.append(served_text(self._served))
            QToolTip.showText(event.globalPos(), plain_tip("\n".join(lines)), self)
            return True
        return super().event(event)
