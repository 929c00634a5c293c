"""Page of Batch mode: empty state, settings or progress bar above the table, and the selected row below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from PySide6.QtCore import QRect, Qt, QTimer, Signal
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QFontMetrics, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from playground.experiments.batch_results import BatchTotals
from playground.experiments.batch_session import BatchLine
from playground.export.terminal import visible, visible_line
from playground.runs.metrics import UNKNOWN, counted, dollars, finish_text, percent, seconds
from playground.tasks import Begin
from playground.ui.batch.model import BatchModel, BatchTable
from playground.ui.batch.setup import BatchSetup
from playground.ui.modes import Pane
from playground.ui.theme import GRID, current_theme, mono_font, scaled, ui_font, zoom_factor
from playground.ui.topbar import ModeTools, shortened_name
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.form import DirectedEdit, line_edit
from playground.ui.widgets.icons import set_compact, set_icon, set_label
from playground.ui.widgets.labels import ChoiceButton, ElidedLabel, IdLabel, push_button, toned
from playground.ui.widgets.layouts import (
    STRETCH,
    FittedScroll,
    FlowLayout,
    PageArea,
    Panel,
    Space,
    column_of,
    row_of,
    single_timer,
    split_of,
)
from playground.ui.widgets.notice import SlimBar, words

DETAIL_PX, HINT_PX = 152, 40
"""Least height of the detail of a row; its height while no row is selected."""
_EMPTY_PX = 560
"""Greatest width of the page without a batch."""
TABLE_PX = 90
"""Minimum height of the rows."""
VALUE_CHARS = 60
"""Characters of a variable's value in the detail of a row."""


class BatchBar(QWidget):
    """Headline, legend and bar of the rows that are finished, failed, running and queued."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Mapping[str, int] = {}
        self.setFixedHeight(42)
        self.headline = toned("", "headline")
        self.eta = toned("", "muted")
        row_of(self.headline, self.eta, STRETCH, on=self, margins=(0, 0, 0, 14), spacing=GRID * 2)

    def show_counts(self, counts: Mapping[str, int]) -> None:
        self._counts = dict(counts)
        said = ", ".join(f"{count:,} {name}" for name, _tone, count in self._parts())
        self.setAccessibleName(said)
        self.setToolTip(said)
        self.update()

    def _parts(self) -> list[tuple[str, str, int]]:
        names = (
            ("finished", "accent", "done"),
            ("failed", "failure", "failed"),
            ("running", "fresh_outline", "running"),
            ("queued", "line", "queued"),
        )
        return [(name, tone, self._counts.get(status, 0)) for name, tone, status in names]

    def legend(self, metrics: QFontMetrics) -> list[tuple[str, str, int]]:
        """Return the parts of the legend: without room for all, those with rows, or none. The tooltip has them."""
        room = self.width() - self.eta.x() - self.eta.sizeHint().width()
        parts = self._parts()
        for shown in (parts, [part for part in parts if part[2]]):
            widths = (metrics.horizontalAdvance(f"{name} {count:,}") for name, _tone, count in shown)
            if sum(widths) + (14 + GRID * 2) * len(shown) <= room:
                return shown
        return []

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setFont(ui_font(12, tabular=True))
        right, metrics = self.width(), painter.fontMetrics()
        for name, tone, count in reversed(self.legend(metrics)):
            text = f"{name} {count:,}"
            right -= metrics.horizontalAdvance(text)
            failed = name == "failed" and count
            painter.setPen(theme.failure if failed else theme.muted)
            painter.drawText(QRect(right, 4, self.width(), scaled(18)), int(Qt.AlignmentFlag.AlignVCenter), text)
            right -= 14
            painter.fillRect(QRect(right, scaled(9), 9, 9), getattr(theme, tone))
            right -= GRID * 2
        total, left, width = sum(count for *_, count in self._parts()) or 1, 0, self.width()
        done = 0
        for _name, tone, count in self._parts():
            done += count
            end = round(width * done / total)
            painter.fillRect(QRect(left, self.height() - 11, end - left, 8), getattr(theme, tone))
            left = end


class BatchDetail(Panel):
    open_asked = Signal()

    def __init__(self) -> None:
        super().__init__("detail")
        self._title = ElidedLabel("Row")
        self.open = push_button("Open in Prompt", "link", self.open_asked)
        self.text = DirectedEdit()
        self.text.setReadOnly(True)
        self.text.setAccessibleName("Completion of the row")
        self.text.setProperty("textZoom", True)
        self.text.setFont(mono_font())
        self.id = IdLabel("request_id")
        self._figures = {
            name: FigureRow(name) for name in ("status", "cached", "cost", "time to first token", "output")
        }
        left = column_of(row_of((self._title, 1), self.open), (self.text, 1))
        self._right = QWidget()
        margins = (0, 0, GRID * 2, 0)  # room for the scroll bar, which would cut the values
        column_of(self.id, *self._figures.values(), STRETCH, on=self._right, margins=margins, spacing=2)
        row_of(
            (left, 3),
            (FittedScroll(self._right), 1, Qt.AlignmentFlag.AlignTop),
            on=self,
            margins=(14, GRID, 14, GRID),
            spacing=GRID * 2,
        )
        self.show_line(None)

    def show_line(self, line: BatchLine | None) -> None:
        """Show a row; None: one line asks to select one, so that the table has the room."""
        result = (line.result if line else None) or {}
        self.text.setVisible(line is not None)
        self.setProperty("zoomApplied", zoom_factor())  # the height is in the present text size
        self.setMinimumHeight(DETAIL_PX if line else scaled(HINT_PX))
        self.setMaximumHeight(10_000 if line else scaled(HINT_PX))
        self.open.setVisible(line is not None)
        self.open.setEnabled(line is not None and line.run_id is not None)
        self._right.setVisible(line is not None)
        self.id.show_id(line.request_id or "" if line else "", "" if line else "no row is selected")
        values = line.item.document.variables if line else {}
        title = [f"Row {line.item.row.number:,}"] if line else ["Select a row to see its completion."]
        title += [f"{name}: {_first_line(value)}" for name, value in values.items()]
        self._title.set_full_text("  ·  ".join(title))
        shown = visible(line.output) if line else ""
        if self.text.toPlainText() != shown:
            self.text.setPlainText(shown)
        prompt, cached = (line.prompt_tokens.text, line.cached_tokens.text) if line else ("—", "—")
        status, finish, ttft = (result.get(key) for key in ("status", "finish_reason", "ttft_ms"))
        output = line.output_tokens.text if line else UNKNOWN
        ended = finish_text(str(finish or "")) if result.get("phase") == "done" else ""
        known = [visible_line(str(value)) for value in (status, ended) if value]
        texts = {
            "status": " ".join(known) or "—",
            "cached": f"{cached} of {prompt}",
            "cost": dollars(line.cost) if line else "—",
            "time to first token": seconds(ttft / 1000) if isinstance(ttft, (int, float)) else "—",
            "output": output if output == UNKNOWN else f"{output} tokens",
        }
        for name, figure in self._figures.items():
            figure.show_value(texts[name], "no result yet" if line and not result else "")


def _first_line(value: str) -> str:
    line = value.partition("\n")[0]
    return value if len(value) <= VALUE_CHARS and line == value else line[:VALUE_CHARS] + " …"


FILTER_MS = 150
QUICK = (("All", ""), ("Failed", "status:failed"), ("Prefix cold", "prefix:cold"))


class BatchPage(QWidget):
    dropped = Signal(str)
    """A file was dropped: its path."""
    open_asked = Signal(str)
    """A logged request is to be opened: its run_id."""
    displayed = Signal()
    """The page became visible."""

    def __init__(self, start: Begin, parent: QWidget | None = None) -> None:
        """`start` starts a task."""
        super().__init__(parent)
        self.setAcceptDrops(True)
        self.model = BatchModel(start)
        self.notice = SlimBar("Batch")
        self.setup = BatchSetup()
        self.table = BatchTable(self.model)
        self.detail = BatchDetail()
        self.detail.open_asked.connect(self._open)
        self.table.open_asked.connect(self._open)
        self._filter_timer = single_timer(self, FILTER_MS, self._apply_filter)
        self._selected: int | None = None
        self.stack = QStackedWidget()
        # Each part is placed while it is empty: with a style sheet, a new parent costs time for every widget below.
        column_of(self.notice, (self.stack, 1), on=self, margins=0, spacing=0)
        empty, page = Panel("pane"), QWidget()
        self.stack.addWidget(empty)
        self.stack.addWidget(PageArea(page))
        self._lay_out_empty(empty)
        self._lay_out_batch(page)
        self.table.selectionModel().currentRowChanged.connect(lambda *_: self.show_selected())
        self.model.modelReset.connect(self._restore_selection)

    def _lay_out_empty(self, page: QWidget) -> None:
        title = toned("Send this prompt for every row of a table", "title", wraps=True)
        text = words(
            "Columns fill the variables of the same name. Before anything is sent, you see the forecast of tokens, "
            "cost and time. Drop a CSV, TSV or JSON lines file here, or:"
        )
        buttons = FlowLayout()
        self.first_button = push_button("Open data file…", icon=("folder", "text"))
        self.paste = push_button("Paste rows…", icon=("paste", "text"))
        self.logged = push_button("Use logged requests…", icon=("history", "text"))
        buttons.add_all((self.first_button, self.paste, self.logged))
        box = column_of(title, text, buttons, spacing=GRID * 2)
        self._holder = QWidget()
        self._holder.setMaximumWidth(scaled(_EMPTY_PX))
        self._holder.setLayout(box)
        middle = row_of(STRETCH, (self._holder, 100), STRETCH)
        column_of(Space(stretch=2), middle, Space(stretch=3), on=page)

    def _lay_out_batch(self, page: QWidget) -> None:
        self.bar = BatchBar()
        self.progress, order = Panel("pane"), Panel("pane")
        self.order_text, self.gaps = words("", "muted"), words("", "variable")
        self.body = split_of(Qt.Orientation.Vertical, self.table, self.detail, sizes=(10_000, HINT_PX), shares=(1, 0))
        self.body.setMinimumHeight(DETAIL_PX + TABLE_PX)
        self.body.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)  # shrinks first
        above = QWidget()
        column_of(FittedScroll(above), (self.body, 1), on=page, margins=0, spacing=0)
        column_of(self.setup, self.progress, order, self._filter_row(), on=above, margins=0, spacing=0)
        column_of(self.bar, on=self.progress, margins=(14, GRID, 14, 0))
        self.progress.hide()
        column_of(self.gaps, self.order_text, on=order, margins=(14, 2, 14, 2), spacing=2)
        self.gaps.hide()

    def panes(self) -> Sequence[Pane]:
        """Return the settings, the rows and the detail of a selected row; without rows, the buttons that add some."""
        column = next(iter(self.setup.combos.values()), self.setup.order)
        return (
            (self.stack.widget(0), self.first_button.setFocus),
            (self.setup, column.setFocus),
            (self.table, self.table.setFocus),
            (self.detail.text, self.detail.text.setFocus),
        )

    def say(self, sentence: str) -> None:
        self.notice.show_message(sentence, [("Dismiss", self.notice.hide)])

    def show_zoom(self) -> None:
        self.table.show_zoom()
        self._holder.setMaximumWidth(scaled(_EMPTY_PX))

    def _filter_row(self) -> QWidget:
        self.filter = line_edit("Filter the rows", "Filter: check:failed cached:0, any text")
        self.filter.setClearButtonEnabled(True)
        self.filter.setFixedWidth(300)
        self.filter.textChanged.connect(lambda _text: self._filter_timer.start())
        frame = Panel("bar")
        row = FlowLayout()
        column_of(row, on=frame, margins=(14, 4, 14, 4))
        row.addWidget(self.filter)
        self.quick: dict[str, QPushButton] = {}
        group = QButtonGroup(self)
        for label, query in QUICK:
            button = ChoiceButton(label)
            button.setChecked(not query)
            button.clicked.connect(lambda _checked=False, query=query: self.filter.setText(query))
            group.addButton(button)
            row.addWidget(button)
            self.quick[label] = button
        self.quick["Prefix cold"].setToolTip("Less than half of the prompt was reported as cached")
        self.totals = ElidedLabel("Totals", "muted")
        self.totals.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.retry = push_button("Retry failed", icon=("restore", "text"))
        self.copy = push_button("Copy request_id", clicked=self.table.copy_row, icon=("copy", "text"))
        together = QWidget()  # in the next row, if there is no room in this one
        together.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row_of((self.totals, 1), self.retry, self.copy, on=together, margins=0, spacing=GRID)
        row.addWidget(together)
        return frame

    def show_counts(self, *, can_retry: bool) -> None:
        """Update everything that depends on the number of rows by status."""
        counts, total = self.model.lines.counts, len(self.model.lines)
        numbers = {"All": total, "Failed": counts["failed"], "Prefix cold": self.model.lines.cold}
        for label, button in self.quick.items():
            button.setText(f"{label} {numbers[label]:,}")
        self.bar.headline.setText(f"{counts['done'] + counts['failed']:,} of {total:,}")
        self.bar.show_counts({str(name): count for name, count in counts.items()})
        self.retry.setVisible(bool(counts["failed"]))
        self.retry.setEnabled(can_retry)

    def show_totals(self, totals: BatchTotals | None, done: int) -> None:
        """Show sums of the reported figures, and the share of completions that passed each check."""
        if totals is None or not totals.rows:
            self.totals.set_full_text("")
            return
        parts = [
            f"{name[:32]} passed {passed:,} of {done:,} ({percent(passed / done if done else None)})"
            for name, passed in totals.passed.items()
        ]
        least = "≥ " if totals.unreported else ""
        prompt, output = (
            UNKNOWN if least and not tokens else f"{least}{tokens:,}"
            for tokens in (totals.prompt_tokens, totals.completion_tokens)
        )
        cost = UNKNOWN if totals.cost is None else f"{least}{dollars(totals.cost)}"
        parts += [counted(totals.requests, "attempt"), f"{prompt} in", f"{percent(totals.cached_share)} cached"]
        parts += [f"{output} out", cost]
        if totals.unreported:
            parts.append(f"{totals.unreported:,} not reported")
        self.totals.set_full_text("  ·  ".join(parts))

    def _apply_filter(self) -> None:
        text = self.filter.text().strip()
        self.model.set_filter(text)
        for label, query in QUICK:
            self.quick[label].setChecked(query == text)

    def show_selected(self) -> None:
        line = self.table.current_line()
        if line is not None:
            self._selected = line.item.row.number
        self.copy.setEnabled(line is not None and bool(line.request_id))
        shown = not self.detail.text.isHidden()
        self.detail.show_line(line)
        if (line is not None) != shown:
            self.body.setSizes((10_000, self.detail.minimumHeight()))
            QTimer.singleShot(0, self.table, lambda: self.table.scrollTo(self.table.currentIndex()))

    def _restore_selection(self) -> None:
        if self._selected is not None:
            self.table.select_number(self._selected)
        self.show_selected()

    def _open(self) -> None:
        line = self.table.current_line()
        if line is not None and line.run_id is not None:
            self.open_asked.emit(line.run_id)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.displayed.emit()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
        if len(paths) == 1:
            self.dropped.emit(paths[0])
        elif paths:
            self.say(f"{len(paths)} files were dropped and none was read: drop the one file that has the rows.")


class BatchTools(ModeTools):
    """Toolbar of Batch mode: prompt and data, export, stop, and the one filled button."""

    _run_state = "Start", True

    def __init__(self) -> None:
        super().__init__()
        tip = "Edit the prompt in Prompt mode"
        self.prompt = push_button("", icon=("file", "text"), tip=tip)
        self.data = push_button("", "menu", icon=("table", "text"), name="Data: rows of the batch")
        self.export = push_button("Export…", icon=("export", "text"))
        self.stop = push_button("Stop", icon=("stop", "text"))
        self.run = push_button("Start", "primary")
        self._with = QLabel("with")
        self._names, self._level = ["", ""], 0
        left, right = (self.prompt, self._with, self.data), (self.export, self.stop, self.run)
        row_of(*left, STRETCH, *right, on=self, margins=0, spacing=GRID)

    def show_compact(self, level: int) -> None:
        """Show the words on Export and Stop (0), icons in their place (1), and the shortest names (2)."""
        self._level = level
        compact = level > 0
        self._show_names()
        self._with.setVisible(not compact)
        set_compact(self.export, "Export…", compact)
        set_compact(self.stop, "Stop", compact)

    def show_prompt(self, name: str) -> None:
        self._names[0] = name or "Untitled"
        self._show_names()

    def show_data(self, name: str) -> None:
        self._names[1] = name
        self._show_names()

    def _show_names(self) -> None:
        for button, name in zip((self.prompt, self.data), self._names, strict=True):
            set_label(button, shortened_name(name, (40, 10, 7)[self._level]))
        if self._level == 2:
            set_label(self.prompt, "")
        run = self._run_state[0]
        self.run.setText(run.partition(" ")[0] if self._level == 2 else run)
        self.run.setAccessibleName(run)
        self.prompt.setAccessibleName(f"Prompt: {self._names[0]}")

    def set_data_menu(self, *entries: tuple[str, Callable[[], object]]) -> None:
        menu = QMenu(self)
        for label, handler in entries:
            menu.addAction(label, handler)
        self.data.setMenu(menu)

    def show_run(self, label: str, *, enabled: bool) -> None:
        if self._run_state != (label, enabled):
            self._run_state = label, enabled
            self._show_names()
            self.run.setEnabled(enabled)
            set_icon(self.run, "pause" if label == "Pause" else "play", "on_accent" if enabled else "muted")
