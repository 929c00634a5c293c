"""A section of the inspector: a caption in capitals and its rows."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from playground.ui.inspector.lines import Line
from playground.ui.theme import GRID
from playground.ui.widgets.figure_row import FigureRow


class Section(QWidget):
    """Rows by key, in the order that they were added."""

    def __init__(self, caption: str) -> None:
        super().__init__()
        self.setAccessibleName(caption.capitalize())
        self.rows: dict[str, FigureRow] = {}
        label = QLabel(caption.upper())
        label.setProperty("tone", "caption")
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(0, 0, 0, 0)
        self.column.setSpacing(GRID // 4)
        self.column.addWidget(label)
        self.column.addSpacing(GRID // 4)

    def add_row(self, key: str, name: str, glyph: str = "", tone: str = "") -> FigureRow:
        """A row; `glyph` in `tone` stands before its name."""
        row = FigureRow(name, glyph)
        if tone:
            row.glyph.setProperty("tone", tone)
        self.rows[key] = row
        self.column.addWidget(row)
        return row

    def show_lines(self, lines: dict[str, Line]) -> None:
        """Show the lines whose keys have a row here."""
        for key, row in self.rows.items():
            line = lines[key]
            row.show_value(line.text, line.why, line.tone)

    def clear_rows(self) -> None:
        """Nothing in any row."""
        for row in self.rows.values():
            row.show_value("")
