"""Rows of the version list: what they say, and how they are painted."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from playground.export.terminal import visible_line
from playground.runs.metrics import UNKNOWN, percent
from playground.ui.theme import Theme, ui_font
from playground.ui.widgets.icons import paint_icon
from playground.versions.git_commits import Commit
from playground.versions.history import Version

Item = Version | Commit
ROW_PX, NUMBER_PX, CACHED_PX, COST_PX = 50, 34, 62, 66
ITEM, FIGURES, STATE = (int(Qt.ItemDataRole.UserRole) + number for number in range(3))
"""Roles of the version or commit, its VersionFigures, and whether it is in the editor."""


def title_of(item: Item) -> str:
    """Return the title of a version or commit on one line."""
    return visible_line(item.subject if isinstance(item, Commit) else item.title)


def number_of(item: Item) -> str:
    """Return what names a version or commit in a sentence."""
    return f"commit {item.id[:7]}" if isinstance(item, Commit) else f"version {item.number}"


class VersionRows(QStyledItemDelegate):
    """Paints two lines per version: number, title, figures; time and number of requests."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme = theme

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(200, ROW_PX)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        item, figures, current = (index.data(role) for role in (ITEM, FIGURES, STATE))
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        theme = self.theme
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.selection)
            painter.fillRect(rect.adjusted(0, 0, 3 - rect.width(), 0), theme.accent)
        painter.setPen(theme.line)
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        upper, lower = rect.adjusted(12, 5, -10, -24), rect.adjusted(12 + NUMBER_PX, 24, -10, -4)
        painter.setPen(theme.text)
        painter.setFont(ui_font(13, bold=True, tabular=True))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        commit = isinstance(item, Commit)
        if not commit:
            painter.drawText(upper, left, str(item.number))
        painter.setFont(ui_font(13, tabular=True))
        if not commit:
            painter.drawText(upper, right, UNKNOWN if figures.per_thousand is None else f"${figures.per_thousand:,.3f}")
            painter.drawText(upper.adjusted(0, 0, -COST_PX, 0), right, percent(figures.cached))
        middle = upper.adjusted(NUMBER_PX, 0, 0 if commit else -(COST_PX + CACHED_PX), 0)
        if not commit and item.label:
            paint_icon(
                painter, "bookmark", QRect(middle.right() - 16, middle.top() + 2, 16, 16).toRectF(), theme.accent
            )
            middle.adjust(0, 0, -20, 0)
        metrics = painter.fontMetrics()
        painter.drawText(middle, left, metrics.elidedText(title_of(item), Qt.TextElideMode.ElideRight, middle.width()))
        painter.setPen(theme.muted)
        painter.setFont(ui_font(12, tabular=True))
        painter.drawText(lower, left, _second_line(item, current=bool(current)))
        painter.restore()


def _second_line(item: Item, *, current: bool) -> str:
    moment = datetime.fromtimestamp(item.at).astimezone()
    today = datetime.now().astimezone().date()
    days = (today - moment.date()).days
    day = "Today" if days == 0 else "Yesterday" if days == 1 else f"{moment:%d %b %Y}"
    if isinstance(item, Commit):
        return f"{day} {moment:%H:%M} · commit {item.id[:7]}"
    sent = f"{len(item.run_ids):,} sent" if item.run_ids else "not sent"
    return f"{day} {moment:%H:%M} · {sent}" + (" · in the editor" if current else "")
