"""Side panel of Prompt mode: tools that stay open beside the work (cache lab, guide, voice timeline, …), as tabs."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QDialog, QSplitter, QStackedWidget, QWidget
from shiboken6 import isValid

from playground.storage.settings import Settings
from playground.ui.theme import GRID, zoom_factor
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.layouts import PageArea, Panel, column_of, row_of
from playground.ui.widgets.tab_bar import tab_bar
from playground.ui.widgets.task_dialog import TaskDialog

MIN_WORK_PX = 480
"""Width that the work keeps when a page is opened."""


MIN_PANEL_PX = 320
ALONE_PX = 520
"""Below this width at 100 %, which only larger text can give, the panel takes the place of the work."""


LEAST_PAGE_PX = 340
"""Height at 100 % below which a page scrolls, which only larger text can give."""


class SidePanel(Panel):
    """Pages are dialogs, shown as tabs of the panel. A page that is closed, by any way, leaves it."""

    emptied = Signal()

    def __init__(self) -> None:
        super().__init__("pane", "Side panel")
        self.tabs = tab_bar("Pages of the side panel", ())
        self._stack = QStackedWidget()
        close = icon_button("close", "Close this page", clicked=self.close_page)
        head = row_of((self.tabs, 1), close, margins=(0, 0, GRID, 0))
        column_of(head, (self._stack, 1), on=self, margins=0, spacing=0)
        self.setMinimumWidth(MIN_PANEL_PX)
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)

    @property
    def page(self) -> QWidget | None:
        area = self._stack.currentWidget()
        return area.page if isinstance(area, PageArea) else None

    def show_page(self, page: QDialog) -> None:
        """Add a page, or display it again. Its window title is the tab's label."""
        at = self._at(page)
        if at < 0:
            at = self._add(page)
        self.tabs.setCurrentIndex(at)
        self._stack.setCurrentIndex(at)
        page.show()

    def _add(self, page: QDialog) -> int:
        page.setAttribute(Qt.WidgetAttribute.WA_Moved)  # else a dialog moves to the middle of its parent when shown
        from PySide6.QtWidgets import QDialogButtonBox

        for box in page.findChildren(QDialogButtonBox):
            if (button := box.button(QDialogButtonBox.StandardButton.Close)) is not None:
                button.hide()  # the panel has a button for it
        at = self._stack.addWidget(PageArea(page, LEAST_PAGE_PX, self._stack))
        self.tabs.insertTab(at, page.windowTitle())
        page.windowTitleChanged.connect(lambda title: self.tabs.setTabText(self._at(page), title))
        page.finished.connect(lambda _result: self._remove(page))
        return at

    def _at(self, page: QDialog) -> int:
        areas = [self._stack.widget(at) for at in range(self._stack.count())]
        return next((at for at, area in enumerate(areas) if isinstance(area, PageArea) and area.page is page), -1)

    def _remove(self, page: QDialog) -> None:
        at = self._at(page)
        if at < 0:
            return
        area = self._stack.widget(at)
        page.setParent(self)
        if area is not None:
            self._stack.removeWidget(area)
            area.deleteLater()
        self.tabs.removeTab(at)
        if not isinstance(page, TaskDialog):  # which is deleted when its work has ended
            page.deleteLater()
        if self._stack.count() == 0:
            self.emptied.emit()

    def close_page(self) -> None:
        """Close the page on display; its running work ends."""
        if isinstance(page := self.page, QDialog):
            page.reject()

    def take_focus(self) -> None:
        """Set the focus to the first control of the page on display."""
        page = self.page
        first = page.nextInFocusChain() if page is not None else None
        while first is not None and page is not None and first is not page:
            if page.isAncestorOf(first) and first.focusPolicy() & Qt.FocusPolicy.TabFocus and first.isVisible():
                first.setFocus(Qt.FocusReason.TabFocusReason)
                return
            first = first.nextInFocusChain()
        self.tabs.setFocus(Qt.FocusReason.TabFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close the page on Escape, also with the focus in the tab bar."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_page()
        else:
            super().keyPressEvent(event)


class WorkArea(QSplitter):
    """The work with the side panel at its right. `work_resized` has the width that the work has or is about to get."""

    work_resized = Signal(int)
    opening = Signal()
    focus_lost = Signal()
    """The panel was closed and the widget that had the focus before it is gone."""
    divided = Signal()
    """The work has another width because the panel was opened or closed."""

    def __init__(self, settings: Settings, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._settings = settings
        self._focus_before: QWidget | None = None
        self.work = QSplitter(Qt.Orientation.Vertical, self)
        self.panel = SidePanel()
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        self.addWidget(self.panel)
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 0)
        self.panel.hide()
        self.panel.emptied.connect(self._close)
        self.splitterMoved.connect(self._moved)

    def show_page(self, page: QDialog, width: int) -> None:
        """Show a page in the panel. `width`: of the panel in device-independent pixels, if the user has set none."""
        opening = self.panel.isHidden()
        wanted = int(self._settings.number("side_width")) or width
        if not opening:
            wanted = max(self.panel.width(), 0 if self._settings.number("side_width") else width)
        panel = max(min(wanted, self.width() - MIN_WORK_PX), MIN_PANEL_PX)
        if opening:
            self._focus_before = self.window().focusWidget()
            self.opening.emit()
        # Panes are hidden first: with their minimum widths the panel would make the window wider.
        self.work_resized.emit(self.width() - panel)
        self.panel.show_page(page)
        self.panel.show()
        self._fit(self.width())
        self.setSizes([self.width() - panel, panel])
        if opening:
            self.divided.emit()
        self.panel.take_focus()

    def _close(self) -> None:
        self.panel.hide()
        self._fit(self.width())
        self.refresh()  # lays out at once, so that the panes get their sizes within the full width
        self.work_resized.emit(self.width())
        self.divided.emit()
        before, self._focus_before = self._focus_before, None
        if before is not None and isValid(before) and before.isVisible() and not self.panel.isAncestorOf(before):
            before.setFocus()
        else:
            self.focus_lost.emit()

    def _fit(self, width: int) -> None:
        """Show the work, unless the panel needs all of the width."""
        self.work.setVisible(self.panel.isHidden() or width >= ALONE_PX * zoom_factor())

    def minimumSizeHint(self) -> QSize:
        """Return a width at which panes are hidden: they would keep the window from becoming narrower."""
        return QSize(min(super().minimumSizeHint().width(), MIN_WORK_PX), super().minimumSizeHint().height())

    def announce_width(self) -> None:
        """Announce the width of the work again: the panes need another one."""
        self._fit(self.width())
        self.work_resized.emit(self.width() - (0 if self.panel.isHidden() else self.panel.minimumWidth()))

    def _moved(self, _place: int, _index: int) -> None:
        self._settings.set("side_width", self.panel.width())
        self.work_resized.emit(self.work.width())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Announce the width of the work: before it shrinks, after it has grown."""
        self._fit(event.size().width())
        beside = 0 if self.panel.isHidden() else self.panel.width()
        growing = event.size().width() > event.oldSize().width()
        if growing:
            super().resizeEvent(event)
        self.work_resized.emit(event.size().width() - beside)
        if not growing:
            super().resizeEvent(event)
