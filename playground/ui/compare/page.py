"""Page and toolbar of Compare mode: values, prefixes, columns and summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QSplitter,
    QTableWidget,
    QWidget,
)

from playground.client.endpoint import Endpoint
from playground.experiments.comparison import (
    CACHE_STARTS,
    LETTERS,
    MOST_RUNS,
    ORDERS,
    ComparisonReport,
    Prefix,
    Variant,
    cost_texts,
    prefix_text,
    summary,
)
from playground.ui.compare.column import ColumnView
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.theme import GRID, mono_font, restyle, scaled
from playground.ui.topbar import ModeTools
from playground.ui.widgets.figure_row import Bar, BarPiece
from playground.ui.widgets.form import combo_box, line_edit, padded, spin_box
from playground.ui.widgets.icons import set_compact, set_icon, set_label
from playground.ui.widgets.labels import ElidedLabel, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import (
    STRETCH,
    FittedScroll,
    FlowLayout,
    PageArea,
    Panel,
    column_of,
    row_of,
    scrolled,
    single_timer,
    split_of,
)
from playground.ui.widgets.notice import SlimBar, words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import ask_which, fill_dialog

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.prompt.document import Document
    from playground.ui.modes import Pane

FORECAST_MS = 40
"""After an edit of a column, its forecast follows."""


class VariantDialog(QDialog):
    """Cancel and Escape change nothing, and ask before they discard an edit. `forecast_of`: of a prompt."""

    chosen = Signal(object)
    """The edited Variant."""

    def __init__(
        self,
        letter: str,
        variant: Variant,
        endpoints: Sequence[Endpoint],
        forecast_of: Callable[[Document, Endpoint], PromptForecast],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._forecast_of = forecast_of
        self.setWindowTitle(f"Edit column {letter}")
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self.name = line_edit("Name of the column", text=variant.document.name)
        self.endpoint = combo_box("Endpoint")
        for endpoint in endpoints:
            self.endpoint.addItem(endpoint.name, endpoint.id)
        self.endpoint.setCurrentIndex(max(self.endpoint.findData(variant.endpoint.id), 0))
        self.model = line_edit("Model", text=variant.endpoint.model)
        self.endpoint.activated.connect(
            lambda _index: self.model.setText(self._endpoints[self.endpoint.currentData()].model)
        )
        self.pane = PromptPane()
        self.pane.set_document(variant.document)
        self.pane.set_model(variant.endpoint.model)
        self.pane.complete()
        self.model.textChanged.connect(self.pane.set_model)
        forecast = single_timer(self, FORECAST_MS, self._show_forecast)
        self.pane.edited.connect(lambda _document: forecast.start())
        self.model.textChanged.connect(lambda _text: forecast.start())
        self.endpoint.activated.connect(lambda _index: forecast.start())
        self._show_forecast()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        row = row_of(spacing=GRID)
        for label, field in (("Name", self.name), ("Endpoint", self.endpoint), ("Model", self.model)):
            row.addWidget(QLabel(label))
            row.addWidget(field, 1)
        fill_dialog(self, (900, 640), row, (self.pane, 1), buttons)
        self._before = self._variant()

    def _show_forecast(self) -> None:
        self.pane.set_forecast(self._forecast_of(self.pane.document(), self._endpoint()))

    def _endpoint(self) -> Endpoint:
        chosen = self._endpoints[self.endpoint.currentData()]
        return replace(chosen, model=self.model.text().strip() or chosen.model)

    def _variant(self) -> Variant:
        return Variant(replace(self.pane.document(), name=self.name.text().strip()), self._endpoint())

    def _accept(self) -> None:
        self.chosen.emit(self._variant())
        self.accept()

    def reject(self) -> None:
        """Close without a change of the column; ask first if something was edited."""
        if self._variant() == self._before:
            super().reject()
            return
        question = "The column has changes that are not applied."
        discard = {"Discard": lambda: super(VariantDialog, self).reject()}
        ask_which(self, "Unsaved changes", question, "Discard loses them.", discard)


_ORDER_LABELS = {"together": "All together", "forward": "A first", "backward": "A last"}
_START_LABELS = {"as_is": "Cache unchanged", "cold": "All cold", "warm": "All warm first"}
VALUE_PX, MOST_PX = 120, 116
"""Minimum width of a value; height from which the values scroll."""
_GROWS, _STAYS = QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred


class CompareTools(ModeTools):
    """Toolbar: add a column, display, number of runs, Stop all and Send all."""

    def __init__(self) -> None:
        super().__init__()
        self.add = push_button("Add column", "menu", icon=("plus", "text"))
        self.sources = QMenu(self.add)
        self.add.setMenu(self.sources)
        self.differences = QCheckBox("Word differences from A")
        self.differences.setChecked(True)
        self.runs = spin_box(1, MOST_RUNS, 1, "Runs per column")
        self.runs.setFixedWidth(52)
        self.stop = push_button("Stop all", icon=("stop", "text"))
        self.send = push_button("", "primary")
        self._shortcut, self._level = "", 0
        self._runs_label = QLabel("Runs")
        row_of(
            self.add,
            STRETCH,
            self.differences,
            self._runs_label,
            self.runs,
            self.stop,
            self.send,
            on=self,
            margins=0,
            spacing=GRID,
        )

    def show_compact(self, level: int) -> None:
        """Show all words (0), leave out the shortcut and shorten labels (1), or shorten them more (2)."""
        self._level = level
        compact = level > 0
        self.send.setText((f"Send all  {self._shortcut}", "Send all", "Send")[level])
        self.send.setAccessibleName("Send all")
        set_compact(self.differences, "Word differences from A", compact, ("", "Differences", "Diff")[level])
        self._runs_label.setVisible(level < 2)
        self.runs.setToolTip("Runs per column" if compact else "")
        set_compact(self.add, "Add column", level == 2)
        if level == 1:
            set_label(self.add, "Add")
        set_compact(self.stop, "Stop all", compact)

    def show_running(self, running: bool, shortcut: str) -> None:
        self.stop.setEnabled(running)
        self.send.setEnabled(not running)
        self._shortcut = shortcut
        self.show_compact(self._level)
        set_icon(self.send, "play", "muted" if running else "on_accent")
        self.runs.setEnabled(not running)


PREFIX_PX = 330
"""Minimum width of the words beside a bar."""


class PrefixStrip(Panel):
    """One bar per column: tokens shared with the prefix of A, further stable tokens, variable tokens."""

    def __init__(self) -> None:
        super().__init__("bar")
        self._rows: list[tuple[QLabel, Bar, ElidedLabel]] = []
        title = toned("Prefix", "strong")
        hint = toned("input tokens in the order in which the cache reads them", "muted")
        hint.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        head = FlowLayout()
        head.add_all((title, hint))
        self._legend: list[Bar] = []
        for label, piece in (
            ("stable, as in A", BarPiece(1, "stable_edge")),
            ("stable, but not A's prefix", BarPiece(1, "stable_edge", hollow=True)),
            ("variable", BarPiece(1, "variable_edge")),
        ):
            key = Bar(9)
            key.setFixedSize(12, 9)
            key.show_pieces((piece,), label)
            text = toned(label, "muted")
            holder = QWidget()
            row_of(key, text, on=holder, margins=0, spacing=GRID)
            head.addWidget(holder)
            self._legend.append(key)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(GRID)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 3)
        self._grid.setColumnStretch(2, 1)
        self.costs = words("", "muted")
        column_of(head, self._grid, self.costs, on=self, margins=(14, 6, 14, 6), spacing=4)

    @property
    def texts(self) -> list[str]:
        return [text.full_text for letter, _, text in self._rows if not letter.isHidden()]

    def show_prefixes(self, prefixes: Sequence[Prefix], order: str) -> None:
        """Show the prefixes of all columns, and the sentence about the order of sending."""
        while len(self._rows) < len(prefixes):
            self._add_row(len(self._rows))
        widest = max((prefix.total for prefix in prefixes), default=0.0)
        for index, row in enumerate(self._rows):
            for widget in row:
                widget.setVisible(index < len(prefixes))
            if index < len(prefixes):
                self._show(row, index, prefixes[index], widest)
        show_or_hide(self.costs, "\n".join(filter(None, (*cost_texts(prefixes), order))) if prefixes else "")

    def _add_row(self, index: int) -> None:
        letter = toned(LETTERS[index], "strong")
        row = letter, Bar(10), ElidedLabel(f"Prefix of {LETTERS[index]}")
        row[2].setMinimumWidth(PREFIX_PX)
        for place, widget in enumerate(row):
            self._grid.addWidget(widget, index, place)
        self._rows.append(row)

    def _show(self, row: tuple[QLabel, Bar, ElidedLabel], index: int, prefix: Prefix, widest: float) -> None:
        _, bar, text = row
        shared = 0.0 if prefix.other_cache else prefix.shared
        pieces = (
            BarPiece(shared, "stable_edge"),
            BarPiece(prefix.stable - shared, "stable_edge", hollow=True),
            BarPiece(prefix.total - prefix.stable, "variable_edge"),
            BarPiece(widest - prefix.total, "surface"),
        )
        words_ = prefix_text(index, prefix)
        bar.show_pieces(pieces, f"{LETTERS[index]}: {words_}")
        text.set_full_text(words_)
        tone = "muted" if index == 0 or (prefix.same and not prefix.other_cache) else "boundary"
        restyle(text, tone=tone)


class ValueRow(Panel):
    """Values that all columns share, typed or from a row of data, and the order of sending."""

    value_edited = Signal(str, str)
    """A variable's name and its value."""
    row_chosen = Signal(int)
    """The number of a row of the data, from 0."""

    def __init__(self) -> None:
        super().__init__("bar")
        self.fields: dict[str, QLineEdit] = {}
        self._holders: list[QWidget] = []
        """A label with its field each."""
        self._title = toned("Variables", "strong")
        self.hint = toned("shared by all columns", "muted")
        self.open_rows = push_button("Row from CSV…", "link")
        self.open_rows.setToolTip("Fill the values from a row of a CSV, TSV or JSON lines file")
        self.rows = padded(QSpinBox())
        self.rows.setAccessibleName("Row of the data")
        self.rows.setKeyboardTracking(False)
        self.rows.hide()
        self.rows.valueChanged.connect(self.row_chosen)
        self.order = _choice("Order of sending", _ORDER_LABELS, list(ORDERS.values()))
        self.start = _choice("State of the cache", _START_LABELS, list(CACHE_STARTS.values()))
        inside = QWidget()
        self._flow = FlowLayout()
        column_of(self._flow, on=inside, margins=(14, 4, 14, 4))
        column_of(FittedScroll(inside, most_px=MOST_PX), on=self, margins=0)
        self._place()

    def show_values(self, values: Mapping[str, str | None], *, typed: bool = True) -> None:
        """Show a field per variable; None: no value yet. Fields on display keep their focus.

        `typed`: the field with the focus keeps its text too: the value is the one that is being typed.
        """
        if list(values) != list(self.fields):
            for holder in self._holders:
                holder.deleteLater()
            self._holders = []
            self.fields = {name: self._field(name) for name in values}
            self._place()
        for name, value in values.items():
            field = self.fields[name]
            if field.text() != (value or "") and not (typed and field.hasFocus()):
                field.setText(value or "")
                field.setCursorPosition(0)
            field.setPlaceholderText("no value" if value is None else "")
        self.hint.setText("shared by all columns" if values else "these prompts have no variables")

    def show_rows(self, count: int, name: str) -> None:
        """Offer the rows of a data file. Emits `row_chosen` for the first one."""
        self.rows.blockSignals(True)
        self.rows.setRange(0, count - 1)
        self.rows.setValue(0)
        self.rows.blockSignals(False)
        self.rows.setPrefix("row ")
        self.rows.setSuffix(f" of {count:,}")
        self.rows.setToolTip(f"{name}: rows are counted from 0, as in Batch")
        self.rows.show()
        self.row_chosen.emit(0)

    def _place(self) -> None:
        while self._flow.count():
            self._flow.takeAt(0)
        self.hint.setSizePolicy(_STAYS if self._holders else _GROWS, QSizePolicy.Policy.Preferred)
        self._flow.add_all((self._title, self.hint, *self._holders, self.open_rows, self.rows, self.order, self.start))

    def _field(self, name: str) -> QLineEdit:
        label, field = toned(name, "variable"), line_edit(f"Value of {name}")
        label.setFont(mono_font(12))
        field.setFont(mono_font(12))
        field.setMinimumWidth(VALUE_PX)
        field.textEdited.connect(lambda text: self.value_edited.emit(name, text))
        label.setBuddy(field)
        holder = QWidget()
        holder.setSizePolicy(_GROWS, QSizePolicy.Policy.Preferred)
        row_of(label, (field, 1), on=holder, margins=0)
        self._holders.append(holder)
        return field


def _choice(name: str, labels: Mapping[str, str], tips: Sequence[str]) -> QComboBox:
    box = combo_box(name)
    for at, (value, label) in enumerate(labels.items()):
        box.addItem(label, value)
        box.setItemData(at, tips[at], Qt.ItemDataRole.ToolTipRole)
    box.setToolTip(name)
    return box


COLUMNS_PX, SUMMARY_PX = 356, 154
"""Minimum heights of the columns, with eight lines of the completions, and of the summary, with four rows. In a lower
window the page scrolls."""


class _SummaryPane(Panel):
    """The summary, never lower than its title and buttons, which need several lines in large text."""

    def __init__(self) -> None:
        super().__init__("checks")
        self.head = FlowLayout()

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, QEvent.Type.LayoutRequest):
            width = self.head.geometry().width()
            height = max(SUMMARY_PX, self.head.heightForWidth(width) + 2 * GRID)
            self.setMinimumHeight(height)
            if isinstance(body := self.parentWidget(), QSplitter):
                body.setMinimumHeight(COLUMNS_PX + height + 1)
        return super().event(event)


class ComparePage(QWidget):
    copy_asked = Signal()
    html_asked = Signal()
    markdown_asked = Signal()
    displayed = Signal()
    """The page became visible."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice = SlimBar("Compare")
        self.values = ValueRow()
        self.strip = PrefixStrip()
        self.columns: list[ColumnView] = []
        self.row = split_of(Qt.Orientation.Horizontal)
        self.row.setHandleWidth(1)
        self.summary: QTableWidget = plain_table("Summary", ("",), 0, {})
        self.caption = ElidedLabel("Summary", "muted")
        inside = QWidget()
        column_of(PageArea(inside), on=self, margins=0)
        columns = scrolled(self.row)
        columns.setFrameShape(QFrame.Shape.NoFrame)
        self.body = split_of(Qt.Orientation.Vertical, columns, self._summary_pane(), sizes=(600, 150), shares=(1, 0))
        self.body.setHandleWidth(1)
        self.body.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)  # shrinks first
        columns.setMinimumHeight(COLUMNS_PX)
        parts = self.notice, self.values, FittedScroll(self.strip), (self.body, 1)
        column_of(*parts, on=inside, margins=0, spacing=0)

    def _summary_pane(self) -> QFrame:
        pane = _SummaryPane()
        title = toned("Summary", "strong")
        flow = pane.head
        flow.add_all((title, self.caption))
        head = row_of(flow, margins=(14, 4, 14, 0))
        self.exports: list[QPushButton] = []
        for label, icon, signal in (
            ("Copy as table", "copy", self.copy_asked),
            ("Export HTML…", "export", self.html_asked),
            ("Export Markdown…", "export", self.markdown_asked),
        ):
            button = push_button(label, "link", signal, icon=(icon, "accent"))
            flow.addWidget(button)
            self.exports.append(button)
        self.summary.verticalHeader().setDefaultSectionSize(scaled(24))
        column = column_of(head, on=pane, margins=0, spacing=0)
        inset = QHBoxLayout()
        inset.setContentsMargins(3, 0, 0, 0)  # the text of the first column is below the title
        inset.addWidget(self.summary)
        column.addLayout(inset, 1)
        return pane

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.displayed.emit()

    def panes(self) -> Sequence[Pane]:
        value = next(iter(self.values.fields.values()), self.values.order)
        columns = [(view, view.more.setFocus) for view in self.columns]
        return (self.values, value.setFocus), *columns, (self.summary.parentWidget(), self.summary.setFocus)

    def set_columns(self, count: int) -> None:
        while len(self.columns) > count:
            gone = self.columns.pop()
            gone.hide()
            gone.deleteLater()
        while len(self.columns) < count:
            view = ColumnView()
            self.columns.append(view)
            self.row.addWidget(view)
        self.row.setSizes([1_000] * count)

    def show_report(self, report: ComparisonReport, caption: str) -> None:
        rows, columns = summary(report), report.columns
        self.summary.setColumnCount(len(columns) + 1)
        names = [f"{letter} · {column.name}" for letter, column in zip(LETTERS, columns, strict=False)]
        self.summary.setHorizontalHeaderLabels(["", *names])
        header = self.summary.horizontalHeader()
        for at in range(len(columns) + 1):
            header.setSectionResizeMode(at, header.ResizeMode.Stretch if at else header.ResizeMode.Fixed)
        self.summary.setColumnWidth(0, min(scaled(230), self.summary.width() // 4))
        fill_table(self.summary, [(label, *cells) for label, cells in rows])
        self.caption.set_full_text(caption)
        for button in self.exports:
            button.setVisible(any(column.runs for column in columns))
