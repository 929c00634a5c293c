"""The tab bar of a pane: words, a count, an underline below the current tab, a red dot for an error."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

from PySide6.QtCore import QPoint, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QMenu, QTabBar, QToolButton

from playground.ui.theme import current_theme, fill_area, scaled, ui_font, zoom_factor
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.labels import add_choice, passing_menu

HEIGHT_PX = 34
_SIDE = 14
_GAP, _TIGHT_GAP = 18, 8
_DOT_PX = 7
MORE_PX = 32
"""Width of the menu button, which Qt keeps free for its two arrows of 16 px."""


_ARROWS = ("ScrollLeftButton", "ScrollRightButton")
"""Names that Qt gives to the arrows."""


class OverflowTabs(QTabBar):
    """Tabs that do not fit are in the menu of a button at the right end, in place of Qt's small arrows."""

    def __init__(self) -> None:
        super().__init__()
        self.more = icon_button("down", "All tabs", clicked=self._show_menu)
        self.more.setParent(self)
        self.more.setProperty("look", "more")
        self.more.setProperty("fitsContents", True)  # as wide as Qt's arrows and as high as the tabs, in any text size
        self.more.hide()
        self.setDrawBase(False)
        self.setExpanding(False)
        self.setUsesScrollButtons(True)

    def tabLayoutChange(self) -> None:
        super().tabLayoutChange()
        self._fit_more()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_more()

    def _fit_more(self) -> None:
        for name in _ARROWS:
            arrow = self.findChild(QToolButton, name)
            if arrow is not None:
                arrow.move(0, -2 * HEIGHT_PX)  # hidden, Qt would not scroll to the current tab
                arrow.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        shown = [self.tabSizeHint(index).width() for index in range(self.count()) if self.isTabVisible(index)]
        self.more.setVisible(sum(shown) > self.width())
        self.more.setFixedSize(MORE_PX, max(self.height() - 2, 1))
        self.more.move(self.width() - MORE_PX, 0)
        self.more.raise_()

    def menu(self) -> QMenu:
        menu = passing_menu(self)
        for index in filter(self.isTabVisible, range(self.count())):
            checked = index == self.currentIndex()
            add_choice(menu, self.tabText(index), checked=checked, chosen=partial(self.setCurrentIndex, index))
        return menu

    def _show_menu(self) -> None:
        menu = self.menu()
        menu.popup(self.more.mapToGlobal(QPoint(self.more.width() - menu.sizeHint().width(), self.more.height())))


class PaneTabs(OverflowTabs):
    """Texts that end in a number show it as a pill."""

    def __init__(self) -> None:
        super().__init__()
        self.marked: set[int] = set()
        """The tabs with a red dot."""
        self.tightens = False
        """Whether the tabs move together if they do not fit. Only for a bar as wide as its pane."""
        self.setElideMode(Qt.TextElideMode.ElideNone)

    def mark(self, index: int, reason: str) -> None:
        """Mark a tab as containing an error, with the reason as its tooltip; an empty reason removes the mark."""
        if bool(reason) != (index in self.marked):
            self.marked ^= {index}
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
        dot = _DOT_PX + 5 if index in self.marked else 0
        return round(_text_width(self.tabText(index), zoom_factor()) + dot)

    minimumTabSizeHint = tabSizeHint

    def displayed(self, index: int) -> tuple[str, str]:
        """Return the title and count that are drawn: a tab that is partly in view ends, or begins, with an ellipsis; of
        one with room for the ellipsis only, nothing is drawn."""
        title, count = split(self.tabText(index))
        end = self.more.x() if self.more.isVisibleTo(self) else self.width()
        rect, gap = self.tabRect(index), _SIDE if index == 0 else self._gap
        left, right = rect.left() + gap, rect.left() + gap + self._tab_width(index)
        if left >= 0 and right <= end:
            return title, count
        side = Qt.TextElideMode.ElideLeft if left < 0 else Qt.TextElideMode.ElideRight
        metrics = QFontMetricsF(ui_font(bold=index == self.currentIndex()))
        shown = metrics.elidedText(title, side, min(right, end) - max(left, 0))
        return "" if shown == "…" else shown, ""

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        gap = self._gap
        for index in filter(self.isTabVisible, range(self.count())):
            rect = QRectF(self.tabRect(index))
            left = max(rect.left() + (_SIDE if index == 0 else gap), 0.0)
            current = index == self.currentIndex()
            title, count = self.displayed(index)
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
            if index in self.marked:
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(theme.failure)
                painter.drawEllipse(QRectF(end + 5, scaled(HEIGHT_PX) / 2 - _DOT_PX / 2, _DOT_PX, _DOT_PX))
            if current:
                fill_area(painter, QRectF(left, scaled(HEIGHT_PX) - 2, width, 2), theme.accent)
                if self.hasFocus():
                    painter.setPen(QPen(theme.accent, 2))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawRoundedRect(QRectF(left - 5, 4, end - left + 10, scaled(HEIGHT_PX) - 9), 4, 4)


@lru_cache(512)
def _text_width(text: str, _zoom: float) -> float:
    """Return the width of a tab's title and count. Qt asks for it several times in each layout."""
    title, count = split(text)
    pill = QFontMetricsF(ui_font(12, tabular=True)).horizontalAdvance(count) + 18 if count else 0
    return QFontMetricsF(ui_font(bold=True)).horizontalAdvance(title) + pill


def tab_bar(name: str, titles: Sequence[str]) -> PaneTabs:
    """Return a tab bar; `name` is its accessible name."""
    bar = PaneTabs()
    bar.setAccessibleName(name)
    for title in titles:
        bar.addTab(title)
    return bar


def split(text: str) -> tuple[str, str]:
    """Return a tab's title and its count, or an empty count."""
    title, _, count = text.rpartition(" ")
    return (title, count) if title.strip() and count.replace(",", "").isdecimal() else (text, "")


def with_count(title: str, count: int, *, zero: bool = False) -> str:
    """Return a title with its count; 0 is left out unless `zero`."""
    return f"{title} {count:,}" if count or zero else title
