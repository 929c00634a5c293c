"""The tabs over a pane: plain words, a count in a pill, an underline under the current one, a red dot for an error."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QTabBar, QWidget

from playground.ui.theme import current_theme, scaled, ui_font

HEIGHT_PX = 34
_SIDE = 14
_GAP, _TIGHT_GAP = 18, 8
_COUNT = re.compile(r"^(.*\S) ([\d,]+)$")
_DOT_PX = 7


class PaneTabs(QTabBar):
    """Texts that end in a number show it as a pill."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._marked: set[int] = set()
        self.tightens = False
        """Whether the tabs move together if they do not fit. Only for a bar as wide as its pane."""
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setElideMode(Qt.TextElideMode.ElideNone)
        self.setUsesScrollButtons(True)

    @property
    def marked(self) -> set[int]:
        """The tabs with a red dot."""
        return self._marked

    def mark(self, index: int, reason: str) -> None:
        """Mark a tab as containing an error, with the reason as its tooltip; an empty reason removes the mark."""
        if bool(reason) != (index in self._marked):
            self._marked ^= {index}
            self.updateGeometry()
            self.update()
        self.setTabToolTip(index, reason)
        self.setAccessibleTabName(index, f"{self.tabText(index)}, has an error" if reason else "")

    @property
    def _gap(self) -> int:
        wide = self.tightens and sum(self._tab_width(index) + _GAP for index in range(self.count())) > self.width()
        return _TIGHT_GAP if wide else _GAP

    def tabSizeHint(self, index: int) -> QSize:
        return QSize(self._tab_width(index) + (_SIDE if index == 0 else self._gap), scaled(HEIGHT_PX))

    def _tab_width(self, index: int) -> int:
        if not self.isTabVisible(index):
            return 0
        title, count = split(self.tabText(index))
        bold = QFontMetricsF(ui_font(bold=True)).horizontalAdvance(title)
        pill = QFontMetricsF(ui_font(12, tabular=True)).horizontalAdvance(count) + 18 if count else 0
        dot = _DOT_PX + 5 if index in self._marked else 0
        return round(bold + pill + dot)

    def minimumTabSizeHint(self, index: int) -> QSize:
        return self.tabSizeHint(index)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        gap = self._gap
        for index in filter(self.isTabVisible, range(self.count())):
            rect = QRectF(self.tabRect(index))
            left = rect.left() + (_SIDE if index == 0 else gap)
            current = index == self.currentIndex()
            title, count = split(self.tabText(index))
            painter.setFont(ui_font(bold=current))
            painter.setPen(theme.text if current else theme.muted)
            width = painter.fontMetrics().horizontalAdvance(title)
            painter.drawText(QRectF(left, 0, width + 2, scaled(HEIGHT_PX)), Qt.AlignmentFlag.AlignVCenter, title)
            end = left + width
            if count:
                painter.setFont(ui_font(12, tabular=True))
                height = scaled(18)
                top = (scaled(HEIGHT_PX) - height) / 2
                pill = QRectF(end + 6, top, painter.fontMetrics().horizontalAdvance(count) + 12, height)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.window)
                painter.drawRoundedRect(pill, height / 2, height / 2)
                painter.setPen(theme.muted)
                painter.drawText(pill, Qt.AlignmentFlag.AlignCenter, count)
                end = pill.right()
            if index in self._marked:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.failure)
                painter.drawEllipse(QRectF(end + 5, scaled(HEIGHT_PX) / 2 - _DOT_PX / 2, _DOT_PX, _DOT_PX))
            if current:
                painter.fillRect(QRectF(left, scaled(HEIGHT_PX) - 2, width, 2), theme.accent)
                if self.hasFocus():
                    painter.setPen(QPen(theme.accent, 2))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawRoundedRect(QRectF(left - 5, 4, end - left + 10, scaled(HEIGHT_PX) - 9), 4, 4)


def tab_bar(name: str, titles: Sequence[str]) -> PaneTabs:
    """Return a tab bar; `name` is its accessible name."""
    bar = PaneTabs()
    bar.setAccessibleName(name)
    for title in titles:
        bar.addTab(title)
    return bar


def split(text: str) -> tuple[str, str]:
    """Return a tab's title and its count, or an empty count."""
    found = _COUNT.match(text)
    return (found[1], found[2]) if found else (text, "")


def counted(title: str, count: int, *, zero: bool = False) -> str:
    """Return a title with its count; 0 is left out unless `zero`."""
    return f"{title} {count:,}" if count or zero else title
