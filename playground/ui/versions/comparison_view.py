"""The comparison of two versions: the boundary as bars, and the lines with the zone that each is in."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QTextBlockFormat, QTextCharFormat, QTextCursor, QTextOption
from PySide6.QtWidgets import QSizePolicy, QTextEdit, QWidget

from playground.export.terminal import visible_line
from playground.ui.theme import GRID, Recolored, current_theme, mono_font, ui_font
from playground.versions.comparison import VersionBoundary, VersionComparison, VersionRow

MAX_ROWS = 2_000
BAR_PX, ROW_PX, NAME_PX, FIGURE_PX = 10, 20, 72, 110
_UNCHANGED = ("same", "skipped", "head")
_NARROW = 4
"""Digits of a line number."""


class BoundaryBars(QWidget):
    """One bar per version: the stable part, then the variable one, in proportion to the longer prompt."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[tuple[str, VersionBoundary], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_boundaries(self, rows: Sequence[tuple[str, VersionBoundary]]) -> None:
        """Show (name of the version, boundary) pairs."""
        self._rows = tuple(rows)
        texts = [f"{name}: ≈ {edge.tokens:,.0f} of ≈ {edge.total:,.0f} tokens stable" for name, edge in rows]
        self.setAccessibleName("; ".join(texts))
        self.setToolTip("\n".join(texts))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(260, ROW_PX * len(self._rows))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(ui_font(12, tabular=True))
        longest = max((edge.total for _, edge in self._rows), default=0.0) or 1.0
        room = max(self.width() - NAME_PX - FIGURE_PX, 1)
        align = Qt.AlignmentFlag.AlignVCenter
        for number, (name, edge) in enumerate(self._rows):
            top = number * ROW_PX
            painter.setPen(current_theme().text)
            painter.drawText(QRectF(0, top, NAME_PX, ROW_PX), align, name)
            bar = top + (ROW_PX - BAR_PX) / 2
            stable, whole = room * edge.tokens / longest, room * edge.total / longest
            painter.fillRect(QRectF(NAME_PX, bar, whole, BAR_PX), current_theme().variable_edge)
            painter.fillRect(QRectF(NAME_PX, bar, max(stable - 1, 0), BAR_PX), current_theme().stable_edge)
            painter.setPen(current_theme().muted)
            area = QRectF(self.width() - FIGURE_PX, top, FIGURE_PX, ROW_PX)
            painter.drawText(area, align | Qt.AlignmentFlag.AlignRight, f"≈ {edge.tokens:,.0f} stable")


class VersionDiffView(Recolored, QTextEdit):
    """Read-only rows of a comparison. Signs and strokes repeat what the colours say; all text is plain."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: tuple[VersionComparison, str, str] | None = None
        self.setReadOnly(True)
        self.setAccessibleName("Differences of the versions")
        self.setFont(mono_font(12))
        self.setWordWrapMode(QTextOption.WrapMode.NoWrap)
        self.setTabChangesFocus(True)
        self.colored()

    def recolor(self) -> None:
        """Show the same comparison in the colors of the theme."""
        if self._shown is not None:
            self.show_comparison(*self._shown)

    def show_comparison(self, found: VersionComparison, old: str, new: str) -> None:
        """Show a comparison, at most MAX_ROWS rows; `old` and `new` name the versions."""
        self._shown = (found, old, new)
        self.clear()
        cursor = QTextCursor(self.document())
        for number, row in enumerate(found.rows[:MAX_ROWS]):
            if number:
                cursor.insertBlock()
            cursor.setBlockFormat(self._block(row))
            cursor.insertText(_numbers(row), self._form(VersionRow("skipped", "")))
            cursor.insertText(self._text(row, found, old, new), self._form(row))
        if len(found.rows) > MAX_ROWS:
            cursor.insertBlock()
            cursor.insertText(f"{len(found.rows) - MAX_ROWS:,} more rows", self._form(VersionRow("skipped", "")))
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def next_change(self) -> None:
        """Move to the next changed line or boundary; from the last one to the first."""
        if self._shown is None:
            return
        changed = [n for n, row in enumerate(self._shown[0].rows[:MAX_ROWS]) if row.sign not in _UNCHANGED]
        at = self.textCursor().blockNumber()
        # Lines that follow each other are one change.
        starts = [n for n in changed if n - 1 not in changed]
        if starts:
            block = self.document().findBlockByNumber(next((n for n in starts if n > at), starts[0]))
            self.setTextCursor(QTextCursor(block))
            self.ensureCursorVisible()

    def _text(self, row: VersionRow, found: VersionComparison, old: str, new: str) -> str:
        cause = f" · {row.text}" if row.text else ""
        if row.sign == "new_boundary":
            return f"{new}: stable prefix ends · ≈ {found.new.tokens:,.0f} tokens{cause}"
        if row.sign == "old_boundary":
            return f"{old}: stable prefix ended · ≈ {found.old.tokens:,.0f} tokens{cause}"
        if row.sign in ("head", "skipped"):
            return row.text if row.sign == "head" else f"⋯ {row.text}"
        return visible_line(row.text)

    def _block(self, row: VersionRow) -> QTextBlockFormat:
        block = QTextBlockFormat()
        if row.zone == "stable":
            block.setBackground(current_theme().stable)
        elif row.zone == "variable":
            block.setBackground(current_theme().variable)
        if row.sign in ("head", "new_boundary", "old_boundary"):
            block.setTopMargin(GRID / 2)
            block.setBottomMargin(GRID / 2)
        return block

    def _form(self, row: VersionRow) -> QTextCharFormat:
        form = QTextCharFormat()
        form.setForeground(current_theme().muted if row.sign in ("skipped", "old_boundary") else current_theme().text)
        form.setFontStrikeOut(row.sign == "gone")
        form.setFontUnderline(row.sign == "come")
        form.setUnderlineColor(current_theme().accent)
        if row.sign in ("head", "new_boundary"):
            form.setFontWeight(600)
        if row.sign == "new_boundary":
            form.setForeground(current_theme().variable_edge)
        return form


def _numbers(row: VersionRow) -> str:
    """Return line numbers and sign of a row; empty for rows without a line."""
    if row.sign not in ("same", "come", "gone"):
        return ""
    numbers = "".join(f"{line if line is not None else '':>{_NARROW}} " for line in (row.old_line, row.new_line))
    return f"{numbers}{({'come': '+', 'gone': '−'}).get(row.sign, ' ')} "
