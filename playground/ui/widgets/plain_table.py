"""Tables to read, tooltips of untrusted text, rules. Tables of requests: `row_table`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame

from playground.export.terminal import visible
from playground.ui.theme import scaled, zoom_factor
from playground.ui.widgets.layouts import Panel

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QTableView, QTableWidget

# Imported in the functions: the first frame has no table.

ROW_PX = 26


def plain_tip(text: str) -> str:
    """Return `text` for a tooltip, displayed literally.

    Qt takes a tooltip that looks like markup for markup, and would load the file that an <img> in a completion names.
    """
    if "<" not in text and "&" not in text:
        return text
    # Imported here: few texts need it, and its table of entities is a millisecond of the start.
    from html import escape

    return f'<p style="white-space: pre-wrap">{escape(text)}</p>'


def hairline() -> QFrame:
    """Return a line of one pixel in the theme's line color, as wide as its place."""
    return Panel("hairline")


def show_as_list(table: QTableView, name: str, row_px: int) -> None:
    """Make a table a list of rows `row_px` high at 100 %: no grid, whole rows are selected, Tab leaves it."""
    from PySide6.QtWidgets import QTableView

    table.setAccessibleName(name)
    table.setShowGrid(False)
    table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
    table.setTabKeyNavigation(False)
    table.horizontalHeader().setTextElideMode(Qt.TextElideMode.ElideRight)
    rows = table.verticalHeader()
    rows.hide()
    rows.setProperty("zoomApplied", zoom_factor())  # else the height is scaled again at the first display
    rows.setDefaultSectionSize(scaled(row_px))


def set_list_look(table: QTableView, name: str, row_px: int, widths: Sequence[int]) -> None:
    """Give a table over a model the look of a list of rows: its name, height of a row, widths of its first columns."""
    from PySide6.QtWidgets import QHeaderView

    show_as_list(table, name, row_px)
    table.setProperty("look", "pane")
    table.setWordWrap(False)
    table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    header.ensurePolished()  # scales the sections that it has
    for column, width in enumerate(widths):
        header.resizeSection(column, scaled(width))
    header.setStretchLastSection(True)


LEAST_PX = 128
"""Least width of the column that takes the room that is left; in a narrower table the columns scroll sideways."""


@cache
def _table_class(stretched: int) -> type[QTableWidget]:
    from PySide6.QtWidgets import QHeaderView, QTableWidget

    modes = QHeaderView.ResizeMode

    class Table(QTableWidget):
        is_narrow = False

        def resizeEvent(self, event: QResizeEvent) -> None:
            super().resizeEvent(event)
            header = self.horizontalHeader()
            if not self.is_narrow and header.sectionResizeMode(stretched) != modes.Stretch:
                return  # an owner divides the room
            others = sum(header.sectionSize(at) for at in range(header.count()) if at != stretched)
            narrow = self.viewport().width() - others < scaled(LEAST_PX)
            if narrow != self.is_narrow:
                self.is_narrow = narrow
                header.setSectionResizeMode(stretched, modes.Interactive if narrow else modes.Stretch)
            if narrow:
                header.resizeSection(stretched, scaled(LEAST_PX))

    return Table


def plain_table(name: str, columns: Sequence[str], stretched: int, widths: Mapping[int, int]) -> QTableWidget:
    """`stretched` is the column that takes the room that is left; `widths` are others' in device-independent pixels."""
    from PySide6.QtWidgets import QHeaderView, QTableWidget

    table = _table_class(stretched)(0, len(columns))
    show_as_list(table, name, ROW_PX)
    table.setWordWrap(False)  # a row has one line
    # Names of fields are written as in the protocol.
    table.setHorizontalHeaderLabels([one if "_" in one else one[:1].upper() + one[1:] for one in columns])
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    header = table.horizontalHeader()
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
    header.ensurePolished()  # scales the sections that it has
    for column, width in widths.items():
        table.setColumnWidth(column, scaled(width))
    header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
    return table


def fill_table(table: QTableWidget, rows: Sequence[Sequence[str]]) -> None:
    """Replace the rows. Control characters are displayed as escapes."""
    from PySide6.QtWidgets import QTableWidgetItem

    table.setRowCount(len(rows))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            item = QTableWidgetItem(visible(text))
            item.setToolTip(plain_tip(item.text()))
            table.setItem(number, column, item)
