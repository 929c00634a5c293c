"""The request log: every request that was sent, newest first, filtered as it is typed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from playground.prompt.problems import BadInput
from playground.requestlog.filter import parse
from playground.runs.figures import percent
from playground.ui.logview.model import LogModel, Start
from playground.ui.logview.source import LogSource
from playground.ui.logview.table import LogTable
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, Theme
from playground.ui.widgets.clipboard import copy_text

TYPING_MS = 120
"""How long after the last key the filter is applied."""
REFRESH_MS = 250
HINT = "status:429 cached:0 since:1h, or any text, or paste request_ids"
NOTHING_YET = "Every request will be listed here with its request_id, what the cache served, and what it cost."


class LogPane(QWidget):
    """Shows a LogSource."""

    open_requested = Signal(str)
    """A run_id."""

    def __init__(
        self, theme: Theme, start: Callable[[Coroutine[Any, Any, None], str], object], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._start: Start = start
        self._source: LogSource | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._generation = 0
        self.model = LogModel(theme, start)
        self.table = LogTable(self.model)
        self.filter_line = QLineEdit()
        self._wrong = QLabel()
        self._wrong.setProperty("tone", "failure")
        self._wrong.setContentsMargins(GRID + 4, 0, GRID, 4)
        self._wrong.hide()
        self._totals = QLabel()
        self._totals.setProperty("tone", "muted")
        self._copy = QPushButton("Copy request_id")
        self._empty = QLabel("The log is being opened…")
        self._clear = QPushButton("Clear the filter")
        self._typing = _timer(self, TYPING_MS, self._apply_filter)
        self._refresh = _timer(self, REFRESH_MS, self._read)
        self._build()
        self._connect()

    def _build(self) -> None:
        title = QLabel("Request log")
        title.setProperty("tone", "strong")
        self.filter_line.setPlaceholderText(HINT)
        self.filter_line.setAccessibleName("Filter the request log")
        self.filter_line.setClearButtonEnabled(True)
        self.filter_line.installEventFilter(self)
        self._copy.setProperty("look", "quiet")
        head = QHBoxLayout()
        head.setContentsMargins(GRID + 4, 5, GRID, 5)
        head.setSpacing(GRID)
        head.addWidget(title)
        head.addWidget(self.filter_line, 1)
        head.addWidget(self._totals)
        head.addWidget(self._copy)
        self._stack = QStackedWidget()
        self._stack.addWidget(self._empty_page())
        self._stack.addWidget(self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self._wrong)
        column.addWidget(self._stack, 1)

    def _empty_page(self) -> QWidget:
        page = QFrame()
        page.setProperty("look", "pane")
        self._empty.setProperty("tone", "muted")
        self._empty.setWordWrap(True)
        self._clear.setProperty("look", "link")
        column = QVBoxLayout(page)
        column.setContentsMargins(GRID + 4, GRID, GRID, GRID)
        column.addWidget(self._empty)
        column.addWidget(self._clear, 0, Qt.AlignmentFlag.AlignLeft)
        column.addStretch(1)
        return page

    def _connect(self) -> None:
        self.filter_line.textEdited.connect(lambda _text: self._typing.start())
        self.filter_line.textChanged.connect(lambda text: None if text else self._typing.start())
        self._clear.clicked.connect(self.filter_line.clear)
        self._copy.clicked.connect(self.copy_request_id)
        self.table.copy_asked.connect(self.copy_request_id)
        self.table.open_asked.connect(self._open)
        self.model.loaded.connect(self._loaded)

    def set_source(self, source: LogSource | None, notice: str = "") -> None:
        """Show a log. None: `notice` says why there is none."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._source = source
        self._unsubscribe = source.subscribe(self.row_changed) if source is not None else None
        self._empty.setText(notice or "The log is being opened…")
        self.model.set_source(source)
        self._read_totals()

    def row_changed(self, _run_id: str) -> None:
        """A request began, went on or ended: read again, at most four times a second."""
        if not self._refresh.isActive():
            self._refresh.start()

    def _read(self) -> None:
        self.model.refresh()
        self._read_totals()

    def _read_totals(self) -> None:
        self._generation += 1
        if self._source is not None:
            self._start(self._load_totals(self._source, self._generation), "sum up the request log")

    async def _load_totals(self, source: LogSource, generation: int) -> None:
        totals = await source.totals(self.model.filter)
        if generation == self._generation:
            requests = f"{totals.requests:,} request{'' if totals.requests == 1 else 's'}"
            self._totals.setText(f"{requests} · hit rate {percent(totals.hit_rate)}")
            self._totals.setToolTip(
                "Cached over prompt tokens, of the requests that reported both."
                if totals.hit_rate is not None
                else "No request has reported both prompt and cached tokens."
            )

    def _apply_filter(self) -> None:
        try:
            chosen = parse(self.filter_line.text(), datetime.now(UTC))
        except BadInput as bad:
            self._say_wrong(str(bad.problems[0]))
            return
        self._say_wrong("")
        self.model.show_filter(chosen)
        self._read_totals()

    def _say_wrong(self, sentence: str) -> None:
        self._wrong.setText(sentence)
        self._wrong.setVisible(bool(sentence))
        self.filter_line.setProperty("bad", "true" if sentence else "false")
        restyle(self.filter_line)

    def _loaded(self) -> None:
        filtered = bool(self.filter_line.text().strip())
        if self._source is not None:
            self._empty.setText("No request matches this filter." if filtered else NOTHING_YET)
        self._clear.setVisible(filtered)
        self._stack.setCurrentIndex(1 if self.model.rowCount() else 0)
        self._copy.setEnabled(self.model.rowCount() > 0)

    def current_run_id(self) -> str | None:
        """The run of the chosen row; None where none is chosen."""
        index = self.table.currentIndex()
        row = self.model.row(index.row()) if index.isValid() else None
        return row.run_id if row is not None else None

    def copy_request_id(self) -> bool:
        """Copy the chosen row's request_id (the newest row's where none is chosen). Returns whether there was one."""
        index = self.table.currentIndex()
        row = self.model.row(index.row() if index.isValid() else 0) if self.model.rowCount() else None
        if row is None or row.request_id is None:
            return False
        copy_text(row.request_id)
        return True

    def _open(self) -> None:
        run_id = self.current_run_id()
        if run_id is not None:
            self.open_requested.emit(run_id)

    def focus_filter(self) -> None:
        """Ctrl+L."""
        self.filter_line.setFocus()
        self.filter_line.selectAll()

    def take_focus(self) -> None:
        """The keyboard comes to the rows, or to the filter where there are none."""
        if self.model.rowCount():
            self.table.setFocus()
            if not self.table.currentIndex().isValid():
                self.table.go_to(0)
        else:
            self.filter_line.setFocus()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self.model.set_theme(theme)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.filter_line and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self.filter_line.clear()
                return True
            if event.key() == Qt.Key.Key_Down:
                self.take_focus()
                return True
        return super().eventFilter(watched, event)


def _timer(owner: QObject, interval_ms: int, handler: Callable[[], object]) -> QTimer:
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    timer.timeout.connect(lambda: handler())
    return timer
