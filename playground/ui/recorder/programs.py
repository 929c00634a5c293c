"""The list of programs, each with its conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
)

from playground.export.terminal import visible_line
from playground.recorder.programs import Analysis, Figures, Program, figures
from playground.requestlog.records import LogRow
from playground.runs.metrics import counted, percent
from playground.ui.theme import current_theme, scaled, ui_font
from playground.ui.widgets.plain_table import plain_tip

MAX_CONVERSATIONS = 50
"""Newest conversations listed below a program."""
_TALL, _FLAT, _PAD = 48, 28, 12
_KEY = Qt.ItemDataRole.UserRole
_LINES = Qt.ItemDataRole.UserRole + 1
"""(name, hit rate, second line, requests, whether it has leaks)."""

Key = tuple[str, str]
"""("all", ""), ("program", run_id of a request of it) or ("conversation", its id)."""
ALL: Key = ("all", "")


class ProgramList(QTreeWidget):
    """Displays an analysis. Items are changed in place, so that the current one and the scroll position stay."""

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderHidden(True)
        self.setAccessibleName("Programs and conversations")
        self.setIndentation(14)
        self.setRootIsDecorated(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._lines = _Lines(self)
        self.setItemDelegate(self._lines)
        self._items: dict[Key, QTreeWidgetItem] = {}
        self._filled: dict[Key, list[LogRow]] = {}
        """Rows of each conversation when its item was last changed."""
        self._analysis = Analysis()
        self._keys: list[Key] = []
        """Key of each program of the analysis. It stays, also if the analysis no longer has the first requests."""
        self._key_of_run: dict[str, Key] = {}
        self._rows: Mapping[str, LogRow] = {}
        self.currentItemChanged.connect(lambda _now, _before: self.chosen.emit())
        self.itemExpanded.connect(self._fill)

    def show_zoom(self) -> None:
        """Apply the text size."""
        self._lines.show_zoom()
        self.setColumnWidth(0, self.viewport().width())
        self.scheduleDelayedItemsLayout()

    def key(self) -> Key:
        """Return the key of the current item."""
        item = self.currentItem()
        kind, value = item.data(0, _KEY) if item is not None else ALL
        return kind, value

    def show_all(self) -> None:
        """Make "All requests" the current item."""
        self.setCurrentItem(self._items[ALL])

    def name(self) -> str:
        """Return the name of the current item."""
        item = self.currentItem()
        return str(item.data(0, _LINES)[0]) if item is not None else ""

    def program(self) -> int | None:
        """Return the number of the chosen program; of the only one; None for several."""
        kind, value = self.key()
        for number in range(len(self._analysis.programs)):
            if (kind, value) == self._keys[number] or (kind, value) in self._within(number):
                return number
        return 0 if len(self._analysis.programs) == 1 else None

    def _within(self, number: int) -> set[Key]:
        return {("conversation", name) for name in self._analysis.programs[number].conversations}

    def show_programs(self, rows: Sequence[LogRow], whole: Figures, analysis: Analysis) -> None:
        """Show the figures of all rows (`whole`), and of the programs and conversations among them."""
        self._analysis, self._rows = analysis, {row.run_id: row for row in rows}
        self._name_programs()
        current = self.key()
        self.blockSignals(True)
        self._show(ALL, None, "All requests", "", whole, False)
        for number, program in enumerate(analysis.programs):
            key = self._keys[number]
            leaks = sum(leak.program == number for leak in analysis.leaks)
            found = counted(leaks, "leak") if leaks else "no leaks"
            item = self._show(
                key, None, program.name, found, figures(self._known(program.run_ids, program)), bool(leaks)
            )
            conversations = any(program.conversations)
            policy = QTreeWidgetItem.ChildIndicatorPolicy
            item.setChildIndicatorPolicy(policy.ShowIndicator if conversations else policy.DontShowIndicator)
            if item.isExpanded():
                self._fill(item)
        gone = {item for key, item in self._items.items() if key[0] == "program"} - {
            self._items[key] for key in self._keys
        }
        for item in gone:
            self._remove(item)
        self.setCurrentItem(self._items.get(current, self._items[ALL]))
        self.blockSignals(False)
        if self.key() != current:
            self.chosen.emit()

    def _name_programs(self) -> None:
        """Give each program the key that one of its requests had, if no other program has it now."""
        self._keys = []
        for program in self._analysis.programs:
            known = (self._key_of_run[run_id] for run_id in program.run_ids if run_id in self._key_of_run)
            self._keys.append(next((key for key in known if key not in self._keys), ("program", program.run_ids[0])))
        named = zip(self._keys, self._analysis.programs, strict=True)
        self._key_of_run = {run_id: key for key, program in named for run_id in program.run_ids}

    def _fill(self, item: QTreeWidgetItem) -> None:
        """Show the newest conversations below an expanded program."""
        key = tuple(item.data(0, _KEY))
        if key not in self._keys:
            return
        program = self._analysis.programs[self._keys.index(key)]
        newest = [pair for pair in program.conversations.items() if pair[0]][-MAX_CONVERSATIONS:]
        for conversation, run_ids in newest:
            found = self._known(run_ids, program)
            key = ("conversation", conversation)
            if found and found != self._filled.get(key):
                self._filled[key] = found
                name = f"{found[0].started_utc.astimezone():%H:%M:%S}  {conversation}"
                self._show(key, item, name, "", figures(found), False)
        names = {("conversation", conversation) for conversation, _ in newest}
        for place in reversed(range(item.childCount())):
            child = item.child(place)
            if child is not None and child.data(0, _KEY) not in names:
                self._remove(child)

    def _known(self, run_ids: Sequence[str], program: Program) -> list[LogRow]:
        """Return rows; of the attempts of one request, the last one."""
        return [self._rows[run_id] for run_id in run_ids if run_id in self._rows and run_id not in program.retried]

    def _show(
        self, key: Key, parent: QTreeWidgetItem | None, name: str, second: str, found: Figures, leaking: bool
    ) -> QTreeWidgetItem:
        """Update the item of a key, created if it is new."""
        name = visible_line(name)
        count = counted(found.requests, "request")
        lines = (name, percent(found.hit_rate), second, count, leaking)
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = QTreeWidgetItem()
            item.setData(0, _KEY, key)
            (self.invisibleRootItem() if parent is None else parent).addChild(item)
        if item.data(0, _LINES) != lines:
            item.setData(0, _LINES, lines)
            item.setToolTip(0, plain_tip(name))
            spoken = ", ".join(filter(None, (name, f"{lines[1]} cached", second, count)))
            item.setData(0, Qt.ItemDataRole.AccessibleTextRole, spoken)
        return item

    def _remove(self, item: QTreeWidgetItem) -> None:
        for place in reversed(range(item.childCount())):
            child = item.child(place)
            if child is not None:
                self._remove(child)
        key = tuple(item.data(0, _KEY))
        del self._items[key]
        self._filled.pop(key, None)
        (item.parent() or self.invisibleRootItem()).removeChild(item)


class _Lines(QStyledItemDelegate):
    """Draws the name and the hit rate, and below them leaks and the number of requests."""

    def __init__(self, parent: QTreeWidget) -> None:
        super().__init__(parent)
        self.show_zoom()

    def show_zoom(self) -> None:
        """Make the fonts in the text size."""
        self._small, self._strong = ui_font(12, tabular=True), ui_font(13, bold=True, tabular=True)

    def sizeHint(self, _option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        lines = index.data(_LINES)
        return QSize(80, scaled(_TALL if lines and lines[2] else _FLAT))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        theme, rect = current_theme(), QRect(option.rect)
        name, rate, second, count, leaking = index.data(_LINES)
        conversation = index.data(_KEY)[0] == "conversation"
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.selection)
            painter.fillRect(QRect(0, rect.top(), 3, rect.height()), theme.accent)
        painter.setPen(theme.line)
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        room = rect.adjusted(4, 0, -_PAD, 0)
        upper = QRect(
            room.left(),
            room.top() + (scaled(5) if second else 0),
            room.width(),
            scaled(20) if second else room.height(),
        )
        left, right = (Qt.AlignmentFlag.AlignVCenter | side for side in _SIDES)
        painter.setFont(self._small if conversation else self._strong)
        painter.setPen(theme.text)
        painter.drawText(upper, right, rate)
        upper.setRight(upper.right() - painter.fontMetrics().horizontalAdvance(rate) - 10)
        elided = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, upper.width())
        painter.drawText(upper, left, elided)
        if second:
            lower = QRect(room.left(), upper.bottom() + 1, room.width(), scaled(18))
            painter.setFont(self._small)
            painter.setPen(theme.muted)
            painter.drawText(lower, right, count)
            painter.setPen(theme.variable_edge if leaking else theme.muted)
            painter.drawText(lower, left, second)
        painter.restore()


_SIDES = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight)
