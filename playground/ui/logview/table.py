"""The table itself: keys, context menu, widths."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QMenu, QTableView

from playground.ui.logview.columns import COLUMNS
from playground.ui.logview.model import LogModel

ROW_PX = 25


class LogTable(QTableView):
    """Arrows, J and K, Home and End move; Enter opens; Ctrl+C copies the request_id."""

    open_asked = Signal()
    copy_asked = Signal()

    def __init__(self, model: LogModel) -> None:
        super().__init__()
        self.setModel(model)
        self.setAccessibleName("Logged requests")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setStretchLastSection(True)
        for number, column in enumerate(COLUMNS):
            header.resizeSection(number, column.width)
        self.doubleClicked.connect(lambda _index: self.open_asked.emit())
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)

    def _menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.addAction("Open in the panes").triggered.connect(lambda _checked: self.open_asked.emit())
        menu.addAction("Copy request_id").triggered.connect(lambda _checked: self.copy_asked.emit())
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(self.viewport().mapToGlobal(place))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        last = self.model().rowCount() - 1
        steps = {Qt.Key.Key_J: 1, Qt.Key.Key_K: -1}
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_asked.emit()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not _with_control(event):
            self.open_asked.emit()
        elif event.key() in (Qt.Key.Key_Home, Qt.Key.Key_End):
            self.go_to(0 if event.key() == Qt.Key.Key_Home else last)
        elif event.key() in steps and not event.modifiers():
            current = self.currentIndex().row()
            self.go_to(min(max(current + steps[Qt.Key(event.key())], 0), last))
        else:
            super().keyPressEvent(event)

    def go_to(self, row: int) -> None:
        """Choose a row, and show it."""
        if 0 <= row < self.model().rowCount():
            index = self.model().index(row, 0)
            self.setCurrentIndex(index)
            self.scrollTo(index)


def _with_control(event: QKeyEvent) -> bool:
    return bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
