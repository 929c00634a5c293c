"""All keys: every action with its shortcut, searchable."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from playground.ui.theme import GRID


class KeysSheet(QDialog):
    """Rows are (group, label, shortcut)."""

    def __init__(self, rows: list[tuple[str, str, str]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("All keys")
        self.line = QLineEdit()
        self.line.setPlaceholderText("Find an action or a key")
        self.line.setAccessibleName("Find an action or a key")
        self.line.textChanged.connect(self._filter)
        self.table = QTableWidget(len(rows), 3)
        self.table.setAccessibleName("Actions and their keys")
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.setHorizontalHeaderLabels(["group", "action", "key"])
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.setColumnWidth(2, 140)
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                self.table.setItem(number, column, QTableWidgetItem(text or "—"))
        self.table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.nothing = QLabel("No action and no key has these letters.")
        self.nothing.setProperty("tone", "muted")
        self.nothing.hide()
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.accept)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        layout.addWidget(self.line)
        layout.addWidget(self.nothing)
        layout.addWidget(self.table, 1)
        layout.addWidget(close)
        self.resize(560, 620)

    def _filter(self, text: str) -> None:
        wanted, found = text.strip().casefold(), False
        for number in range(self.table.rowCount()):
            items = (self.table.item(number, column) for column in range(3))
            shown = any(item is not None and wanted in item.text().casefold() for item in items)
            self.table.setRowHidden(number, not shown)
            found = found or shown
        self.nothing.setVisible(not found)
