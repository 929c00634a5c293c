"""Column layout of the log: visibility, order and widths, serialised as text for the settings."""

from __future__ import annotations

import json
from collections.abc import Callable

from PySide6.QtCore import QObject, QPoint, Qt, QTimer
from PySide6.QtWidgets import QHeaderView, QMenu

from playground.ui.panes.log.columns import COLUMNS
from playground.ui.theme import scaled, zoom_factor

KEEP_MS = 400
"""After the last drag of a column's edge."""


class Layout(QObject):
    """Layout of one header. Calls `keep` with the serialised layout after each change; "" is the default layout."""

    def __init__(self, header: QHeaderView, keep: Callable[[str], object]) -> None:
        super().__init__(header)
        self._header, self._keep = header, keep
        self._settling = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(KEEP_MS)
        self._timer.timeout.connect(lambda: self._keep(self.text()))
        header.setSectionsMovable(True)
        header.setStretchLastSection(True)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.customContextMenuRequested.connect(lambda place: self.menu().popup(header.mapToGlobal(QPoint(place))))
        self.reset()
        header.sectionMoved.connect(lambda *_: self._changed())
        header.sectionResized.connect(lambda *_: self._changed())

    def reset(self) -> None:
        """Restore the default layout."""
        self._header.setProperty("zoomApplied", zoom_factor())
        self._settling = True
        for number, column in enumerate(COLUMNS):
            self._header.moveSection(self._header.visualIndex(number), number)
            self._header.setSectionHidden(number, not column.shown)
            self._header.resizeSection(number, scaled(column.width))
        self._settling = False
        self._changed()

    def _changed(self) -> None:
        if not self._settling:
            self._timer.start()

    def text(self) -> str:
        """Return the layout as JSON: [title, width, visible] per column, in visual order; "" for the default layout."""
        rows = []
        for place in range(len(COLUMNS)):
            number = self._header.logicalIndex(place)
            shown = not self._header.isSectionHidden(number)
            stretched = not shown or self._is_stretched(number)
            width = 0 if stretched else round(self._header.sectionSize(number) / zoom_factor())
            rows.append([COLUMNS[number].title, width or COLUMNS[number].width, shown])
        made = [[column.title, column.width, column.shown] for column in COLUMNS]
        return "" if rows == made else json.dumps(rows)

    def _is_stretched(self, number: int) -> bool:
        visible = [
            self._header.logicalIndex(place)
            for place in range(len(COLUMNS))
            if not self._header.isSectionHidden(self._header.logicalIndex(place))
        ]
        return visible[-1:] == [number]

    def restore(self, text: str) -> None:
        """Apply a serialised layout. Ignores invalid text; columns missing from it follow the listed ones."""
        try:
            rows = [(str(title), int(width), bool(shown)) for title, width, shown in json.loads(text or "[]")]
        except (ValueError, TypeError, OverflowError, RecursionError):
            return
        numbers = {column.title: number for number, column in enumerate(COLUMNS)}
        known = [row for row in rows if row[0] in numbers]
        if not any(shown for _, _, shown in known):
            return
        self._settling = True
        for place, (title, width, shown) in enumerate(known):
            number = numbers[title]
            self._header.moveSection(self._header.visualIndex(number), place)
            self._header.setSectionHidden(number, not shown)
            self._header.resizeSection(number, scaled(min(max(width, 40), 2_000)))
        self._settling = False

    def menu(self) -> QMenu:
        """Return a menu with one checkable entry per column; the last visible column cannot be hidden."""
        menu = QMenu(self._header)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for number, column in enumerate(COLUMNS):
            action = menu.addAction(column.header)
            action.setCheckable(True)
            action.setChecked(not self._header.isSectionHidden(number))
            action.setToolTip(column.hint)
            action.toggled.connect(lambda shown, number=number: self.show_column(number, shown))
        menu.addSeparator()
        menu.addAction("Reset columns").triggered.connect(lambda _checked: self.reset())
        return menu

    def show_column(self, number: int, shown: bool) -> None:
        """Show or hide a column; one always stays."""
        others = any(not self._header.isSectionHidden(other) for other in range(len(COLUMNS)) if other != number)
        if shown or others:
            self._header.setSectionHidden(number, not shown)
            self._changed()
