"""The command palette: every action by a few of its letters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from PySide6.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QDialog,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QToolButton,
    QWidget,
)

from playground.ui.theme import GRID, scaled, zoom_factor
from playground.ui.widgets.form import line_edit
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import button_box, fill_dialog


class Rebound(Struct, frozen=True):
    """The action's shortcut, and why the requested one was refused (empty: it was not)."""

    shortcut: str
    refusal: str = ""


class KeysSheet(QDialog):
    """Rows are (group, label, shortcut). The key of the selected action can be changed."""

    def __init__(
        self,
        rows: list[tuple[str, str, str]],
        rebind: Callable[[int, str | None], Rebound],
        parent: QWidget | None = None,
    ) -> None:
        """`rebind` sets the key of a row; None: the default."""
        super().__init__(parent)
        self._rebind = rebind
        self.setWindowTitle("All keys")
        self.line = line_edit("Find an action or a key", "Find an action or a key")
        self.line.textChanged.connect(self._filter)
        self.table = plain_table("Actions and their keys", ("group", "action", "key"), 1, {})
        fill_table(self.table, [(group, label, shortcut or "—") for group, label, shortcut in rows])
        for column in (0, 2):
            self.table.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.nothing = toned("No matching action or key", "muted")
        self.nothing.hide()
        close = button_box(self.accept)
        fill_dialog(self, (560, 620), self.line, self.nothing, (self.table, 1), self._editor(), close)

    def _editor(self) -> QWidget:
        self.key = QKeySequenceEdit()
        self.key.setMaximumSequenceLength(1)
        self.key.setAccessibleName("New key for the selected action")
        self.key.setClearButtonEnabled(True)
        for line in self.key.findChildren(QLineEdit):
            line.setAccessibleName(self.key.accessibleName())
            for clear in line.findChildren(QToolButton):
                clear.setAccessibleName("Clear the new key")
        self.set_key = push_button("Set key", clicked=lambda: self._change(self.key.keySequence().toString()))
        self.default = push_button("Default", clicked=lambda: self._change(None))
        self.clash = toned("", "failure", wraps=True)
        self.clash.hide()
        for button in (self.set_key, self.default):
            button.setAutoDefault(False)
            button.setEnabled(False)
        self.table.itemSelectionChanged.connect(self._show_choice)
        editor = QWidget()
        row = row_of(QLabel("New key"), self.key, self.set_key, self.default)
        column_of(row, self.clash, on=editor, margins=0)
        return editor

    def _show_choice(self) -> None:
        chosen = bool(self.table.selectedItems())
        self.set_key.setEnabled(chosen)
        self.default.setEnabled(chosen)
        self.clash.hide()

    def _change(self, shortcut: str | None) -> None:
        row = self.table.currentRow()
        found = self._rebind(row, shortcut)
        show_or_hide(self.clash, found.refusal)
        item = self.table.item(row, 2)
        if not found.refusal and item is not None:
            item.setText(found.shortcut or "—")
            self.key.clear()

    def _filter(self, text: str) -> None:
        wanted, found = text.strip().casefold(), False
        for number in range(self.table.rowCount()):
            items = (self.table.item(number, column) for column in range(3))
            shown = any(item is not None and wanted in item.text().casefold() for item in items)
            self.table.setRowHidden(number, not shown)
            found = found or shown
        self.nothing.setVisible(not found)


Entry = tuple[str, str, Callable[[], object]]
WIDTH, HEIGHT = 520, 380


class CommandPalette(QDialog):
    """Entries are (label, shortcut, callback)."""

    used = Signal(str)
    """The label of the command that runs."""

    def __init__(
        self, entries: Sequence[Entry], parent: QWidget | None = None, *, use: Mapping[str, int] | None = None
    ) -> None:
        """`use` has how often each command was run, by label: of equal matches, the most used is first."""
        super().__init__(parent, Qt.WindowType.Popup | Qt.WindowType.FramelessWindowHint)
        self._entries = tuple(entries)
        self._zoom = zoom_factor()
        self._use = dict(use or {})
        self.setAccessibleName("All commands")
        self.setProperty("look", "popup")
        self.line = line_edit("Command", "Type a few letters of a command")
        self.line.installEventFilter(self)
        self.list = QListWidget()
        self.list.setAccessibleName("Commands")
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.nothing = toned("No matching command", "muted")
        self.nothing.setContentsMargins(GRID, 0, GRID, 0)
        self.line.textChanged.connect(self._fill)
        self.list.currentRowChanged.connect(self._show_current)
        self.list.itemClicked.connect(lambda _item: self._run())
        column_of(self.line, self.nothing, (self.list, 1), on=self, margins=GRID)
        self.resize(scaled(WIDTH), scaled(HEIGHT))
        self._fill("")

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and self._zoom != zoom_factor():
            self._zoom = zoom_factor()
            self.resize(scaled(WIDTH), scaled(HEIGHT))
            self._fill(self.line.text())

    def open_at(self, window: QWidget) -> None:
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        corner = window.mapToGlobal(window.rect().topLeft())
        self.move(corner.x() + (window.width() - self.width()) // 2, corner.y() + 80)
        self.show()
        self.line.setFocus()

    def _fill(self, text: str) -> None:
        self.list.clear()
        scored = ((score(text, label), number) for number, (label, _, _) in enumerate(self._entries))
        ranked = sorted(
            ((found, self._use.get(self._entries[number][0], 0), -number) for found, number in scored if found),
            reverse=True,
        )
        for _, _, place in ranked:
            number = -place
            label, shortcut, _ = self._entries[number]
            item = QListWidgetItem()
            item.setSizeHint(QSize(scaled(WIDTH - 40), scaled(28)))
            item.setData(Qt.ItemDataRole.UserRole, number)
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{label} {shortcut}".strip())
            self.list.addItem(item)
            self.list.setItemWidget(item, _row(label, shortcut))
        self.nothing.setVisible(not self.list.count())
        self.list.setCurrentRow(0)

    def _show_current(self, row: int) -> None:
        """Announce the command that Enter will run; the line keeps the focus."""
        item = self.list.item(row)
        words = str(item.data(Qt.ItemDataRole.AccessibleTextRole)) if item is not None else self.nothing.text()
        self.line.setAccessibleDescription(words)

    def _run(self) -> None:
        if not self.list.count():
            return
        number = int(self.list.currentItem().data(Qt.ItemDataRole.UserRole))
        self.used.emit(self._entries[number][0])
        self.close()
        # Run after the popup closes: the command may open a dialog or take the focus.
        QTimer.singleShot(0, self._entries[number][2])

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            steps = {Qt.Key.Key_Down: 1, Qt.Key.Key_Up: -1}
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run()
                return True
            if event.key() in steps and self.list.count():
                step = steps[Qt.Key(event.key())]
                self.list.setCurrentRow((self.list.currentRow() + step) % self.list.count())
                return True
        return super().eventFilter(watched, event)


def score(wanted: str, label: str) -> tuple[int, int] | None:
    """Return how well `label` matches; higher is better, None without a match.

    Best is a label that begins with `wanted`, then one with a word that begins with it, then the first letters of
    words, then a label that contains it, then one that has its letters in order.
    """
    wanted, label = " ".join(wanted.casefold().split()), label.casefold()
    words = [(found.start(), found[0][0]) for found in re.finditer(r"[^\W_]+", label)]
    kinds = (
        label.startswith(wanted),
        any(label.startswith(wanted, start) for start, _ in words),
        wanted in "".join(letter for _, letter in words),
        wanted in label,
    )
    if any(kinds):
        return len(kinds) - kinds.index(True), 0
    at, points, begins = -1, 0, {start for start, _ in words}
    for letter in wanted.replace(" ", ""):
        found = label.find(letter, at + 1)
        if found < 0:
            return None
        points += 3 if found in begins else (2 if found == at + 1 else 1)
        at = found
    return 0, points


def _row(label: str, shortcut: str) -> QWidget:
    holder = QWidget()
    # The list takes its own padding from the height of the row.
    row_of((QLabel(label), 1), toned(shortcut, "muted"), on=holder, margins=(GRID, 0, GRID, 0))
    return holder
