"""Painting of the log's rows: one pass over the visible rows, without an item delegate's work per cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QFont, QFontMetrics, QIcon, QPainter
from PySide6.QtWidgets import QTableView

from playground.export.terminal import visible_line
from playground.requestlog.records import LogRow
from playground.ui.panes.log.columns import COLUMNS, Column, attempt_cell, status_icon
from playground.ui.panes.log.details import AttemptLine
from playground.ui.panes.log.model import LogModel
from playground.ui.theme import current_theme, mono_font, scaled, ui_font
from playground.ui.widgets.icons import icon
from playground.ui.widgets.row_table import BAR_PX, FIRST_PAD_PX, LEFT, MARK_PX, PAD_PX, RIGHT, ROW_PX, paint_cached_bar

ATTEMPT_PX = 20
DAY_PX = 22
"""Height of the row of a day, above the first of its requests."""
_ICON_PX, _ICON_GAP_PX, _INDENT_PX = 13, 6, 14


@dataclass(frozen=True, slots=True)
class _Column:
    """A visible column: its number, where its text is, and how it is drawn."""

    number: int
    left: int
    width: int
    column: Column
    font: QFont
    key: str
    flags: int


class RowPainter:
    """Paints rows of a log table. `fresh` returns how strongly a row is highlighted as new, from 0 to 1; `day` the
    text of the day above a row, empty if its row is not the first of a day."""

    def __init__(
        self, table: QTableView, model: LogModel, fresh: Callable[[int], float], day: Callable[[int], str]
    ) -> None:
        self._table, self._model, self._fresh, self._day = table, model, fresh, day

    def paint(self, painter: QPainter, area: QRect) -> None:
        """Paint the rows within an area of the viewport."""
        table, count = self._table, self._model.rowCount()
        first, last = table.rowAt(area.top()), table.rowAt(area.bottom())
        if first < 0:
            return
        columns = self._columns(area)
        for number in range(first, (count if last < 0 else last + 1)):
            place = QRect(0, table.rowViewportPosition(number), table.viewport().width(), table.rowHeight(number))
            self._paint_row(painter, number, place, columns)

    def _columns(self, area: QRect) -> list[_Column]:
        """Return the columns within an area."""
        table, found = self._table, []
        for number, column in enumerate(COLUMNS):
            left, width = table.columnViewportPosition(number), table.columnWidth(number)
            if not table.isColumnHidden(number) and left < area.right() and left + width > area.left():
                font = self._model.font_of(column)
                key = f"{font.key()} {font.pixelSize()}"
                pad = PAD_PX if left + table.horizontalOffset() else FIRST_PAD_PX
                flags = (RIGHT if column.figure else LEFT).value
                found.append(_Column(number, left + pad, width - pad - PAD_PX, column, font, key, flags))
        return found

    def _paint_row(self, painter: QPainter, number: int, place: QRect, columns: Sequence[_Column]) -> None:
        row = self._model.row(number)
        if day := self._day(number):
            self._paint_day(painter, QRect(place.left(), place.top(), place.width(), scaled(DAY_PX)), day)
            place = place.adjusted(0, scaled(DAY_PX), 0, 0)
        top = place.top()
        self._paint_ground(painter, number, place, row)
        high, attempts = scaled(ROW_PX), scaled(ATTEMPT_PX)
        unfolded = self._model.detail(row).attempts if row is not None and place.height() > high else ()
        for at in columns:
            text, color = self._model.painted(number, at.number)
            indent = 0
            if row is not None and row.group is None:
                if at.column.title == "status":
                    indent = _ICON_PX + _ICON_GAP_PX
                    name, role = status_icon(row)
                    drawn = _icon(name, getattr(current_theme(), role).name())
                    drawn.paint(painter, at.left, top + (high - _ICON_PX) // 2, _ICON_PX, _ICON_PX)
                elif at.column.title == "time" and self._model.is_member(row):
                    indent = _INDENT_PX
            if text:
                painter.setFont(at.font)
                painter.setPen(color or current_theme().text)
                shown = _elide(text, at.key, at.width - indent, _Font(at.font))
                painter.drawText(at.left + indent, top, at.width - indent, high, at.flags, shown)
            if row is not None and at.column.title == "cached":
                self._paint_cached(painter, at, top + high // 2, row)
            for line, attempt in enumerate(unfolded):
                self._paint_attempt(
                    painter, QRect(at.left, top + high + line * attempts, at.width, attempts), at, attempt
                )
        painter.setPen(current_theme().line)
        painter.drawLine(place.bottomLeft(), place.bottomRight())

    def _paint_day(self, painter: QPainter, place: QRect, day: str) -> None:
        theme = current_theme()
        painter.fillRect(place, theme.sunk)
        painter.setFont(ui_font(12))
        painter.setPen(theme.muted)
        painter.drawText(place.adjusted(FIRST_PAD_PX, 0, 0, 0), LEFT, day)
        painter.setPen(theme.line)
        painter.drawLine(place.bottomLeft(), place.bottomRight())

    def _paint_ground(self, painter: QPainter, number: int, place: QRect, row: LogRow | None) -> None:
        strength = self._fresh(number)
        if self._table.selectionModel().isRowSelected(number):
            painter.fillRect(place, current_theme().selection)
        elif strength:
            color = QColor(current_theme().selection)
            color.setAlphaF(strength)
            painter.fillRect(place, color)
        shown = self._model.shown_run_id
        if row is not None and shown is not None and row.run_id == shown:
            painter.fillRect(QRect(place.left(), place.top(), MARK_PX, place.height()), current_theme().accent)

    def _paint_cached(self, painter: QPainter, at: _Column, middle: int, row: LogRow) -> None:
        """Draw the cached share of the prompt as a bar before its figure; nothing if it was not reported."""
        cached, prompt = row.cached_tokens, row.prompt_tokens
        if row.group is not None:
            cached, prompt = row.group.compared_cached_tokens, row.group.compared_prompt_tokens
        if cached is None or not prompt or at.width + 2 * PAD_PX < BAR_PX + scaled(50):
            return
        paint_cached_bar(painter, at.left, middle, cached / prompt)

    def _paint_attempt(self, painter: QPainter, place: QRect, at: _Column, attempt: AttemptLine) -> None:
        cell = attempt_cell(at.column.title, attempt)
        font = mono_font(11) if at.column.mono else ui_font(11, tabular=at.column.figure)
        painter.setFont(font)
        painter.setPen(getattr(current_theme(), cell.tone) if cell.tone else current_theme().muted)
        text = _elide(visible_line(cell.text), f"{font.key()} {font.pixelSize()}", place.width(), _Font(font))
        painter.drawText(place, at.flags, text)


@lru_cache(maxsize=64)
def _icon(name: str, color: str) -> QIcon:
    return icon(name, QColor(color), _ICON_PX)


class _Font:
    """A font that takes no part in the cache's key: its key and size do."""

    __slots__ = ("font",)

    def __init__(self, font: QFont) -> None:
        self.font = font

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Font)


@lru_cache(maxsize=1_024)
def _elide(text: str, _key: str, width: int, font: _Font) -> str:
    """`_key`: of the font."""
    return QFontMetrics(font.font).elidedText(text, Qt.TextElideMode.ElideRight, width)
