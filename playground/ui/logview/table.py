"""The table itself: keys, context menu, widths, and the rows' looks."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QBrush, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
)

from playground.ui.logview.columns import COLUMNS
from playground.ui.logview.model import LogModel
from playground.ui.theme import Theme

ROW_PX = 25
NARROWEST_PX = 40


class RowLook(QStyledItemDelegate):
    """A hairline under each row; a chosen row keeps the colours of its words."""

    def __init__(self, theme: Theme, parent: QTableView) -> None:
        super().__init__(parent)
        self.theme = theme

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        super().initStyleOption(option, index)
        # The style sheet gives a selected item one colour of text; painted as ordinary, each keeps its own.
        option.state &= ~(QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_HasFocus)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(option.rect, QBrush(self.theme.selection))
        super().paint(painter, option, index)
        painter.setPen(self.theme.line)
        painter.drawLine(option.rect.bottomLeft(), option.rect.bottomRight())


class LogTable(QTableView):
    """Arrows, J and K, Home and End move; Enter opens; Ctrl+C copies the request_id."""

    open_asked = Signal()
    copy_asked = Signal()

    def __init__(self, model: LogModel, theme: Theme) -> None:
        super().__init__()
        self._look = RowLook(theme, self)
        self.setItemDelegate(self._look)
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
        self._build_header()
        self.doubleClicked.connect(lambda _index: self.open_asked.emit())
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._menu)

    def _build_header(self) -> None:
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(NARROWEST_PX)
        header.setStretchLastSection(True)
        for number, column in enumerate(COLUMNS):
            header.resizeSection(number, column.width)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._look.theme = theme
        self.viewport().update()

    def _menu(self, place: QPoint) -> None:
        if not self.currentIndex().isValid():
            return
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

    def keyboardSearch(self, _search: str) -> None:
        """Nothing: Qt's search would read every page of the log. The filter line finds."""

    def rowsInserted(self, parent: QModelIndex | QPersistentModelIndex, start: int, end: int) -> None:
        """New rows on top push nothing away that is being read further down."""
        bar = self.verticalScrollBar()
        top = bar.value()
        super().rowsInserted(parent, start, end)
        if top > 0 and start == 0:
            self.updateGeometries()  # else the bar still has its old end
            bar.setValue(top + end + 1)

    def reset(self) -> None:
        """Other rows altogether, after another filter: from the newest on."""
        super().reset()
        self.scrollToTop()

    def choose(self, row: int) -> None:
        """Choose a row and leave the scrolling alone; -1 chooses none."""
        bar = self.verticalScrollBar()
        top = bar.value()
        self.setCurrentIndex(self.model().index(row, 0))
        bar.setValue(top)

    def go_to(self, row: int) -> None:
        """Choose a row, and show it."""
        if 0 <= row < self.model().rowCount():
            index = self.model().index(row, 0)
            self.setCurrentIndex(index)
            self.scrollTo(index)


def _with_control(event: QKeyEvent) -> bool:
    return bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
