"""The panel beside the prompt: its versions, and the comparison of two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QTextCursor
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from playground.export.terminal import visible_line
from playground.requestlog.records import LogRow
from playground.runs.metrics import dollars, percent
from playground.ui.theme import GRID, current_theme, scaled, ui_font
from playground.ui.widgets.elided_combo import ElidedCombo
from playground.ui.widgets.form import line_edit
from playground.ui.widgets.highlight import MOST_ROWS, DifferenceView, DiffLine
from playground.ui.widgets.icons import ICON_PX, icon_button, paint_icon
from playground.ui.widgets.labels import ElidedLabel, push_button, toned
from playground.ui.widgets.layouts import (
    STRETCH,
    FittedScroll,
    FlowLayout,
    Panel,
    column_of,
    row_of,
    single_timer,
    split_of,
)
from playground.ui.widgets.layouts import Item as LayoutItem
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline, plain_tip
from playground.ui.widgets.row_table import LEFT, RIGHT
from playground.versions.comparison import VersionBoundary, VersionComparison, VersionRow
from playground.versions.history import Version
from playground.versions.service import Commit, Overview, VersionFigures

BAR_PX, EDGE_PX, NAME_PX, FIGURE_PX = 10, 20, 72, 110
_UNCHANGED = ("same", "skipped", "head")
_NARROW = 4
"""Digits of a line number."""


class BoundaryBars(QWidget):
    """One bar per version: the stable part, then the variable one, in proportion to the longer prompt."""

    def __init__(self) -> None:
        super().__init__()
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
        return QSize(260, scaled(EDGE_PX) * len(self._rows))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        edge_px, name_px, figure_px = map(scaled, (EDGE_PX, NAME_PX, FIGURE_PX))
        painter.setFont(ui_font(12, tabular=True))
        longest = max((edge.total for _, edge in self._rows), default=0.0) or 1.0
        room = max(self.width() - name_px - figure_px, 1)
        align = Qt.AlignmentFlag.AlignVCenter
        for number, (name, edge) in enumerate(self._rows):
            top = number * edge_px
            painter.setPen(current_theme().text)
            painter.drawText(QRectF(0, top, name_px, edge_px), align, name)
            bar = top + (edge_px - BAR_PX) / 2
            stable, whole = room * edge.tokens / longest, room * edge.total / longest
            painter.fillRect(QRectF(name_px, bar, whole, BAR_PX), current_theme().variable_edge)
            painter.fillRect(QRectF(name_px, bar, max(stable - 1, 0), BAR_PX), current_theme().stable_edge)
            painter.setPen(current_theme().muted)
            area = QRectF(self.width() - figure_px, top, figure_px, edge_px)
            painter.drawText(area, align | Qt.AlignmentFlag.AlignRight, f"≈ {edge.tokens:,.0f} stable")


class VersionDiffView(DifferenceView):
    """Rows of a comparison with line numbers, boundaries, and the grounds of stable and variable text."""

    def __init__(self) -> None:
        super().__init__("Differences of the versions", wraps=False)
        self._found: VersionComparison | None = None

    def show_comparison(self, found: VersionComparison, old: str, new: str) -> None:
        """Show a comparison; `old` and `new` name the versions."""
        self._found = found
        self.show_lines(
            [DiffLine(row.sign, _numbers(row), self._text(row, found, old, new), row.zone or "") for row in found.rows]
        )

    def next_change(self) -> None:
        """Move to the next changed line or boundary; from the last one to the first."""
        if self._found is None:
            return
        changed = [n for n, row in enumerate(self._found.rows[:MOST_ROWS]) if row.sign not in _UNCHANGED]
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
        return {"head": row.text, "skipped": f"⋯ {row.text}"}.get(row.sign) or visible_line(row.text)


def _numbers(row: VersionRow) -> str:
    """Return line numbers and sign of a row; empty for rows without a line."""
    if row.sign not in ("same", "come", "gone"):
        return ""
    numbers = "".join(f"{line if line is not None else '':>{_NARROW}} " for line in (row.old_line, row.new_line))
    return f"{numbers}{({'come': '+', 'gone': '−'}).get(row.sign, ' ')} "


Item = Version | Commit
ROW_PX, NUMBER_PX, CACHED_PX, COST_PX = 50, 28, 54, 64
ITEM, FIGURES, STATE = (int(Qt.ItemDataRole.UserRole) + number for number in range(3))
"""Roles of the version or commit, its VersionFigures, and whether it is in the editor."""


def title_of(item: Item) -> str:
    """Return the title of a version or commit on one line."""
    return visible_line(item.subject if isinstance(item, Commit) else item.title)


def number_of(item: Item) -> str:
    """Return what names a version or commit in a sentence."""
    return f"commit {item.id[:7]}" if isinstance(item, Commit) else f"version {item.number}"


class VersionRows(QStyledItemDelegate):
    """Paints two lines per version: number, title, figures; time and number of requests."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(200, scaled(ROW_PX))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        item, figures, current = (index.data(role) for role in (ITEM, FIGURES, STATE))
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        theme = current_theme()
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.selection)
            painter.fillRect(rect.adjusted(0, 0, 3 - rect.width(), 0), theme.accent)
        painter.setPen(theme.line)
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        number_px, cached_px, cost_px = map(scaled, (NUMBER_PX, CACHED_PX, COST_PX))
        half = scaled(24)
        upper, lower = rect.adjusted(12, 5, -10, -half), rect.adjusted(12 + number_px, half, -10, -4)
        painter.setPen(theme.text)
        middle = upper.adjusted(number_px, 0, 0, 0)
        if isinstance(item, Version):
            painter.setFont(ui_font(13, bold=True, tabular=True))
            painter.drawText(upper, LEFT, str(item.number))
            painter.setFont(ui_font(13, tabular=True))
            painter.drawText(upper, RIGHT, dollars(figures.per_thousand))
            painter.drawText(upper.adjusted(0, 0, -cost_px, 0), RIGHT, percent(figures.cached))
            middle.adjust(0, 0, -(cost_px + cached_px), 0)
            if item.label:
                mark_px = scaled(ICON_PX)
                mark = QRect(middle.right() - mark_px, middle.top() + 2, mark_px, mark_px)
                paint_icon(painter, "bookmark", mark.toRectF(), theme.accent)
                middle.adjust(0, 0, -mark_px - 4, 0)
        painter.setFont(ui_font(13, tabular=True))
        title = painter.fontMetrics().elidedText(title_of(item), Qt.TextElideMode.ElideRight, middle.width())
        painter.drawText(middle, LEFT, title)
        painter.setPen(theme.muted)
        painter.setFont(ui_font(12, tabular=True))
        painter.drawText(lower, LEFT, _second_line(item, current=bool(current)))
        painter.restore()


def _second_line(item: Item, *, current: bool) -> str:
    moment = datetime.fromtimestamp(item.at).astimezone()
    today = datetime.now().astimezone().date()
    day = {0: "Today", 1: "Yesterday"}.get((today - moment.date()).days) or f"{moment:%d %b %Y}"
    if isinstance(item, Commit):
        return f"{day} {moment:%H:%M} · commit {item.id[:7]}"
    sent = f"{len(item.run_ids):,} sent" if item.run_ids else "not sent"
    return f"{day} {moment:%H:%M} · {sent}" + (" · in the editor" if current else "")


SEARCH_MS = 200
TALL_PX = 620
"""Minimum height of a narrow panel for the note about the figures; it is also the tooltip of the list."""
NARROW_PX = 720
"""Below this width the comparison is under the list."""
NOTE = (
    "A version is stored at every send and save that changed the prompt. “Cached” is the share of input tokens that "
    "the server reported as cached, first requests excluded; “per 1,000” is the input cost of 1,000 requests."
)


class VersionsPanel(Panel):
    """Displays versions; the controller reads and stores them."""

    delete_requested = Signal()
    export_requested = Signal()
    search_requested = Signal(str)
    """The text to be found in the prompts of the versions; call `show_found` with the result."""
    label_requested = Signal(object)
    """The Version whose label and note are to be edited."""
    restore_requested = Signal(object)
    """The Version or Commit to restore."""
    comparison_requested = Signal(object, object)
    """(old, new), each a Version or Commit."""
    answer_requested = Signal(str)
    """The run_id of the request to display."""

    def __init__(self) -> None:
        super().__init__("pane", "Versions")
        self._items: list[Item] = []
        self._placed = False
        self._rows: Mapping[str, LogRow] = {}
        self._found: tuple[str, frozenset[str]] = ("", frozenset())
        """The newest search and the ids of the versions whose prompt has its text."""
        self.search = line_edit("Search the versions", "Search versions")
        self.search.setToolTip("Searches labels, notes and prompts")
        self.search.setClearButtonEnabled(True)
        self._search_timer = single_timer(
            self, SEARCH_MS, lambda: self.search_requested.emit(self.search.text().strip())
        )
        self.save = push_button("Save version…", icon=("bookmark", "muted"))
        self.more = icon_button("more", "More")
        self.close_button = icon_button("close", "Close the versions")
        self.list = QListWidget()
        self.list.setAccessibleName("Versions, newest first")
        self.list.setItemDelegate(VersionRows(self.list))
        self.against = ElidedCombo()
        self.against.setAccessibleName("Compare against")
        self.against.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.subject = QLabel()
        self.answers = push_button("Answers", "menu")
        self.answers.setMenu(QMenu(self.answers))
        self.restore = push_button("Restore", icon=("restore", "muted"))
        for button in (self.answers, self.restore):
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            button.setEnabled(False)
        self.headline, self.detail = words("", "strong"), words("", "muted")
        self.bars = BoundaryBars()
        self.fix = push_button("Fix prompt structure…", "link", icon=("fix", "accent"))
        self.next = push_button("Next change", "link", icon=("down", "accent"))
        self.fix.hide()
        self.diff = VersionDiffView()
        self.foot = ElidedLabel("History", middle=True)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        self._note = words(NOTE, "muted")
        self._note.setContentsMargins(GRID, GRID, GRID, GRID)
        self.list.setToolTip(NOTE)
        left, right, bar, head = (QWidget() for _ in range(4))
        search = _row((self.search, 1), self.save, self.more)
        items = search, hairline(), _head(), hairline(), (self.list, 1), self._note
        column_of(*items, on=left, margins=0, spacing=0)
        top = FlowLayout()
        self.against.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        top.add_all((self.subject, self.against, self.answers, self.restore, self.close_button))
        column_of(top, on=bar, margins=(GRID, GRID // 2, GRID, GRID // 2))
        margins = (GRID * 2, GRID, GRID * 2, GRID)
        column_of(self.headline, self.detail, self.bars, on=head, margins=margins, spacing=GRID)
        self.diff.setMinimumHeight(30)
        self.diff.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)  # shrinks first
        actions = _row(STRETCH, self.fix, self.next)
        found = bar, hairline(), FittedScroll(head), actions, hairline(), (self.diff, 1)
        column_of(*found, on=right, margins=0, spacing=0)
        self._split = split_of(Qt.Orientation.Horizontal, left, right, shares=(4, 6))
        self._split.setHandleWidth(1)
        column_of((self._split, 1), hairline(), _row((self.foot, 1)), on=self, margins=0, spacing=0)

    def _connect(self) -> None:
        self.search.textChanged.connect(lambda _text: self._searched())
        self.next.clicked.connect(self.diff.next_change)
        self.list.currentRowChanged.connect(lambda _row: self._chosen())
        self.list.itemActivated.connect(lambda _item: self._edit_label())
        self.against.activated.connect(lambda _index: self._compare())
        self.restore.clicked.connect(self._restore)
        menu = QMenu(self.more)
        menu.addAction("Label and note…", self._edit_label)
        menu.addAction("Export versions…", self.export_requested.emit)
        menu.addAction("Delete this history…", self.delete_requested.emit)
        self.more.setMenu(menu)
        self.more.setPopupMode(self.more.ToolButtonPopupMode.InstantPopup)

    @property
    def selected(self) -> Item | None:
        entry = self.list.currentItem()
        found: Item | None = entry.data(ITEM) if entry is not None else None
        return found

    @property
    def base(self) -> Item | None:
        """The version or commit that the selected one is compared against."""
        found: Item | None = self.against.currentData()
        return found

    def show_history(self, overview: Overview, commits: Sequence[Commit], foot: str) -> None:
        """Show versions and commits, newest first."""
        chosen, base = self.selected, self.base
        self._rows = overview.rows
        self._items = sorted([*overview.versions, *commits], key=lambda item: item.at, reverse=True)
        self.foot.set_full_text(foot)
        self.list.blockSignals(True)
        self.list.clear()
        for item in self._items:
            entry = QListWidgetItem(f"{number_of(item)}: {title_of(item)}")
            entry.setData(ITEM, item)
            entry.setData(FIGURES, overview.figures.get(item.id, VersionFigures()))
            entry.setData(STATE, item.id == overview.current_id)
            note = item.note.splitlines() if isinstance(item, Version) else ()
            entry.setToolTip(plain_tip("\n".join([title_of(item), *map(visible_line, note)])))
            self.list.addItem(entry)
        self._searched()
        ids = [item.id for item in self._items]
        self.list.setCurrentRow(ids.index(chosen.id) if chosen is not None and chosen.id in ids else 0 if ids else -1)
        self.list.blockSignals(False)
        if base is not None and base.id in ids and chosen is not None:
            self._choose_base(base.id)
        self._chosen(keep_base=chosen is not None)

    def _searched(self) -> None:
        self._search()
        if self.search.text().strip():
            self._search_timer.start()

    def show_found(self, text: str, ids: frozenset[str]) -> None:
        """Show the versions whose prompt has a text, beside those whose label or note has it."""
        self._found = text, ids
        self._search()

    def _search(self) -> None:
        wanted = self.search.text().strip().casefold()
        found = self._found[1] if self._found[0].casefold() == wanted else frozenset()
        for number, item in enumerate(self._items):
            more = f" {item.summary} {item.note}" if isinstance(item, Version) else ""
            about = f"{number_of(item)} {title_of(item)}{more}".casefold()
            self.list.item(number).setHidden(wanted not in about and item.id not in found)

    def _chosen(self, *, keep_base: bool = False) -> None:
        selected, base = self.selected, self.base
        self.against.clear()
        others = [item for item in self._items if selected is not None and item.id != selected.id]
        for item in others:
            number = item.id[:7] if isinstance(item, Commit) else item.number
            self.against.addItem(f"{number} · {title_of(item)}"[:60], item)
        if not keep_base or base is None:
            base = next((item for item in others if selected is not None and item.at <= selected.at), None)
        if base is not None:
            self._choose_base(base.id)
        self.restore.setEnabled(selected is not None)
        name = "" if selected is None else number_of(selected).capitalize()
        self.subject.setText(f"{name} against" if name and self.base is not None else name)
        self._show_answers(selected)
        self._compare()

    def _choose_base(self, id_: str) -> None:
        for index in range(self.against.count()):
            if self.against.itemData(index).id == id_:
                self.against.setCurrentIndex(index)

    def _show_answers(self, selected: Item | None) -> None:
        run_ids = selected.run_ids if isinstance(selected, Version) else ()
        found = [self._rows[run_id] for run_id in reversed(run_ids) if run_id in self._rows]
        menu = self.answers.menu()
        menu.clear()
        for row in found[:20]:
            text = visible_line(row.answer or row.error_title or row.called or "no text")[:60].replace("&", "&&")
            label = f"{row.started_utc.astimezone():%d %b %H:%M:%S}  {text}"
            menu.addAction(label, partial(self.answer_requested.emit, row.run_id))
        self.answers.setEnabled(bool(found))

    def _compare(self) -> None:
        selected, base = self.selected, self.base
        for widget in (self.against, self.next):
            widget.setVisible(selected is not None and base is not None)
        if selected is not None and base is not None:
            self.comparison_requested.emit(base, selected)
        else:
            only = "This is the only version." if selected is not None else "No version is stored yet: send or save."
            self.show_nothing(only)

    def show_nothing(self, text: str) -> None:
        """Show a sentence in place of a comparison."""
        self.headline.setText(text)
        self.detail.setText("")
        self.fix.hide()
        self.bars.show_boundaries(())
        self.diff.clear()

    def show_comparison(self, found: VersionComparison, headline: str, detail: str) -> None:
        """Show the comparison of `base` and `selected`."""
        if self.base is None or self.selected is None:
            return
        names = number_of(self.base), number_of(self.selected)
        self.headline.setText(headline)
        self.detail.setText(detail)
        # A fix applies to the prompt in the editor.
        current = self.list.currentItem()
        self.fix.setVisible(found.moved_tokens < 0 and current is not None and bool(current.data(STATE)))
        self.bars.show_boundaries(list(zip(names, (found.old, found.new), strict=True)))
        self.diff.show_comparison(found, *names)

    def _restore(self) -> None:
        if self.selected is not None:
            self.restore_requested.emit(self.selected)

    def _edit_label(self) -> None:
        if isinstance(self.selected, Version):
            self.label_requested.emit(self.selected)

    def resizeEvent(self, event: object) -> None:
        """Put the comparison under the list if the panel is narrow."""
        narrow = self.width() < scaled(NARROW_PX)
        way = Qt.Orientation.Vertical if narrow else Qt.Orientation.Horizontal
        if way != self._split.orientation() or not self._placed:
            self._placed = True
            self._split.setOrientation(way)
            self._split.setSizes([400, 600])  # shares of the room, by the stretch factors
        self._note.setVisible(not narrow or self.height() >= scaled(TALL_PX))
        super().resizeEvent(event)  # type: ignore[arg-type]  # a QResizeEvent


def _head() -> QHBoxLayout:
    names = [words("Version", "muted"), toned("Cached", "muted"), toned("per 1,000", "muted")]
    for name, width in zip(names[1:], (CACHED_PX, COST_PX), strict=True):
        name.setAlignment(Qt.AlignmentFlag.AlignRight)
        name.setFixedWidth(width)
    return row_of((names[0], 1), *names[1:], margins=(12, 2, 10, 2), spacing=0)


def _row(*items: LayoutItem) -> QHBoxLayout:
    return row_of(*items, margins=(GRID, GRID // 2, GRID, GRID // 2), spacing=GRID)
