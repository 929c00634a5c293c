"""The list of programs with their conversations, and the leaks of one: what varies, its price, and the rewrite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QDialog,
    QFrame,
    QLabel,
    QSizePolicy,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from playground.export.terminal import visible, visible_line
from playground.prompt.diff import DiffRow, changes
from playground.prompt.document import Document
from playground.recorder.programs import ADVICE, Analysis, Figures, Leak, Rewrite, Savings, figures
from playground.requestlog.records import LogRow
from playground.runs.metrics import UNKNOWN, Figure, counted, dollars, percent
from playground.ui.theme import GRID, current_theme, mono_font, restyle, scaled, ui_font
from playground.ui.widgets.form import combo_box
from playground.ui.widgets.highlight import DifferenceView
from playground.ui.widgets.labels import push_button, show_or_hide, toned
from playground.ui.widgets.layouts import STRETCH, FlowLayout, PageScroll, column_of, row_of
from playground.ui.widgets.notice import shortened, words
from playground.ui.widgets.plain_table import hairline, plain_tip
from playground.ui.widgets.task_dialog import button_box, fill_dialog

MAX_CONVERSATIONS = 50
"""Newest conversations listed below a program."""
_TALL, _FLAT, _PAD = 48, 28, 12
_LEAST_NAME = 4
"""Characters of a name that are displayed before the rate is."""
_KEY = Qt.ItemDataRole.UserRole
_LINES = Qt.ItemDataRole.UserRole + 1
"""(name, hit rate, second line, requests, whether it has leaks)."""

Key = tuple[str, str]
"""("all", ""), ("program", run_id of a request of it) or ("conversation", its id)."""
ALL: Key = ("all", "")


class ProgramList(QTreeWidget):
    """Displays an analysis. Items are changed in place, so that the current one and the scroll position stay."""

    chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderHidden(True)
        self.setAccessibleName("Programs and conversations")
        self.setIndentation(14)
        self.setRootIsDecorated(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._lines = _Lines(self)
        self.setItemDelegate(self._lines)
        self._items: dict[Key, QTreeWidgetItem] = {}
        self._filled: dict[Key, list[LogRow]] = {}
        """Rows of each conversation when its item was last changed."""
        self._analysis = Analysis()
        self._keys: list[Key] = []
        """Key of each program of the analysis. It stays, also if the analysis no longer has the first requests."""
        self._key_of_run: dict[str, Key] = {}
        self._rows: Mapping[str, LogRow] = {}
        self.currentItemChanged.connect(lambda _now, _before: self.chosen.emit())
        self.itemExpanded.connect(self._fill)

    def show_zoom(self) -> None:
        self._lines.show_zoom()
        self.scheduleDelayedItemsLayout()

    def key(self) -> Key:
        item = self.currentItem()
        kind, value = item.data(0, _KEY) if item is not None else ALL
        return kind, value

    def show_all(self) -> None:
        self.setCurrentItem(self._items[ALL])

    def name(self) -> str:
        item = self.currentItem()
        return str(item.data(0, _LINES)[0]) if item is not None else ""

    def program(self) -> int | None:
        """Return the number of the chosen program; of the only one; None for several."""
        kind, value = self.key()
        for number in range(len(self._analysis.programs)):
            if (kind, value) == self._keys[number] or (kind, value) in self._within(number):
                return number
        return 0 if len(self._analysis.programs) == 1 else None

    def _within(self, number: int) -> set[Key]:
        return {("conversation", name) for name in self._analysis.programs[number].conversations}

    def show_programs(
        self, rows: Sequence[LogRow], whole: Figures, analysis: Analysis, *, pending: bool = False
    ) -> None:
        """Show the figures of all rows (`whole`), and of the programs and conversations among them.

        `pending`: there are requests that are not analysed yet.
        """
        self._analysis, self._rows = analysis, {row.run_id: row for row in rows}
        self._name_programs()
        current = self.key()
        self.blockSignals(True)
        self._show(ALL, None, "All requests", "", whole, False)
        for number, program in enumerate(analysis.programs):
            key = self._keys[number]
            leaks = sum(leak.program == number for leak in analysis.leaks)
            found = counted(leaks, "leak") if leaks else "being analysed" if pending else "no leaks"
            item = self._show(key, None, program.name, found, figures(self._known(program.run_ids)), bool(leaks))
            conversations = any(program.conversations)
            policy = QTreeWidgetItem.ChildIndicatorPolicy
            item.setChildIndicatorPolicy(policy.ShowIndicator if conversations else policy.DontShowIndicator)
            if item.isExpanded():
                self._fill(item)
        gone = {item for key, item in self._items.items() if key[0] == "program"} - {
            self._items[key] for key in self._keys
        }
        for item in gone:
            self._remove(item)
        self.setCurrentItem(self._items.get(current, self._items[ALL]))
        self.blockSignals(False)
        if self.key() != current:
            self.chosen.emit()

    def _name_programs(self) -> None:
        """Give each program the key that one of its requests had, if no other program has it now."""
        self._keys = []
        for program in self._analysis.programs:
            known = (self._key_of_run[run_id] for run_id in program.run_ids if run_id in self._key_of_run)
            self._keys.append(next((key for key in known if key not in self._keys), ("program", program.run_ids[0])))
        named = zip(self._keys, self._analysis.programs, strict=True)
        self._key_of_run = {run_id: key for key, program in named for run_id in program.run_ids}

    def _fill(self, item: QTreeWidgetItem) -> None:
        """Show the newest conversations below an expanded program."""
        key = tuple(item.data(0, _KEY))
        if key not in self._keys:
            return
        program = self._analysis.programs[self._keys.index(key)]
        newest = [pair for pair in program.conversations.items() if pair[0]][-MAX_CONVERSATIONS:]
        for conversation, run_ids in newest:
            found = self._known(run_ids)
            key = ("conversation", conversation)
            if found and found != self._filled.get(key):
                self._filled[key] = found
                name = f"{found[0].started_utc.astimezone():%H:%M:%S}  {conversation}"
                self._show(key, item, name, "", figures(found), False)
        names = {("conversation", conversation) for conversation, _ in newest}
        for place in reversed(range(item.childCount())):
            child = item.child(place)
            if child is not None and child.data(0, _KEY) not in names:
                self._remove(child)

    def _known(self, run_ids: Sequence[str]) -> list[LogRow]:
        return [self._rows[run_id] for run_id in run_ids if run_id in self._rows]

    def _show(
        self, key: Key, parent: QTreeWidgetItem | None, name: str, second: str, found: Figures, leaking: bool
    ) -> QTreeWidgetItem:
        name = visible_line(name)
        count = counted(found.requests, "request")
        lines = (name, percent(found.hit_rate), second, count, leaking)
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = QTreeWidgetItem()
            item.setData(0, _KEY, key)
            (self.invisibleRootItem() if parent is None else parent).addChild(item)
        if item.data(0, _LINES) != lines:
            item.setData(0, _LINES, lines)
            spoken = ", ".join(filter(None, (name, f"{lines[1]} cached", second, count)))
            item.setToolTip(0, plain_tip(spoken))
            item.setData(0, Qt.ItemDataRole.AccessibleTextRole, spoken)
        return item

    def _remove(self, item: QTreeWidgetItem) -> None:
        for place in reversed(range(item.childCount())):
            child = item.child(place)
            if child is not None:
                self._remove(child)
        key = tuple(item.data(0, _KEY))
        del self._items[key]
        self._filled.pop(key, None)
        (item.parent() or self.invisibleRootItem()).removeChild(item)


class _Lines(QStyledItemDelegate):
    def __init__(self, parent: QTreeWidget) -> None:
        super().__init__(parent)
        self._view = parent.viewport()
        self.show_zoom()

    def show_zoom(self) -> None:
        self._small, self._strong = ui_font(12, tabular=True), ui_font(13, bold=True, tabular=True)

    def sizeHint(self, _option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        lines = index.data(_LINES)
        return QSize(80, scaled(_TALL if lines and lines[2] else _FLAT))

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        theme, rect = current_theme(), QRect(option.rect)
        rect.setRight(self._view.width() - 1)  # the column may be wider
        name, rate, second, count, leaking = index.data(_LINES)
        conversation = index.data(_KEY)[0] == "conversation"
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, theme.selection)
            painter.fillRect(QRect(0, rect.top(), 3, rect.height()), theme.accent)
        painter.setPen(theme.line)
        painter.drawLine(rect.bottomLeft(), rect.bottomRight())
        room = rect.adjusted(4, 0, -_PAD, 0)
        upper = QRect(
            room.left(),
            room.top() + (scaled(5) if second else 0),
            room.width(),
            scaled(20) if second else room.height(),
        )
        left, right = (Qt.AlignmentFlag.AlignVCenter | side for side in _SIDES)
        painter.setFont(self._small if conversation else self._strong)
        painter.setPen(theme.text)
        beside = upper.adjusted(0, 0, -painter.fontMetrics().horizontalAdvance(rate) - 10, 0)
        if beside.width() >= painter.fontMetrics().horizontalAdvance(name[:_LEAST_NAME]):  # else the tooltip has it
            painter.drawText(upper, right, rate)
            upper = beside
        elided = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideRight, upper.width())
        painter.drawText(upper, left, elided)
        if second:
            lower = QRect(room.left(), upper.bottom() + 1, room.width(), scaled(18))
            painter.setFont(self._small)
            painter.setPen(theme.muted)
            if sum(map(painter.fontMetrics().horizontalAdvance, (second, count))) + 10 <= lower.width():
                painter.drawText(lower, right, count)
            painter.setPen(theme.variable_edge if leaking else theme.muted)
            painter.drawText(lower, left, second)
        painter.restore()


_SIDES = (Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight)


WHY_UNKNOWN = "A request reported no cached tokens, or the endpoint has no rates."
_SENTENCE_END = re.compile(r"(?<=[.!?。！？]) +")
_SAMPLES, _SAMPLE_CHARS = 3, 60
MAX_CARDS = 30
"""Most expensive leaks that are listed."""
MAX_PREVIEW_CHARS = 400_000
"""Code points of a body up to which a rewrite is compared with it."""
ANALYSING = "The requests are being analysed."
NONE_YET = "No leaks found. Text that differs between requests of one program is listed here, with its price."


class LeaksPanel(PageScroll):
    """One card per leak, the most expensive first, and totals after all fixes."""

    preview_wanted = Signal(object)
    """A Leak."""
    requests_wanted = Signal(object)
    """A Leak whose requests are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Leaks")
        self.leaks: tuple[Leak, ...] = ()
        self.cards: list[LeakCard] = []
        self.none = words(NONE_YET, "muted")
        self.title, self.lost, self.basis = words("", "strong"), words("", "headline"), words("", "muted")
        self.more = words("", "muted")
        self.totals = _TotalsBox()
        holder = QWidget()
        self._column = column_of(on=holder, margins=(GRID, GRID * 2, GRID, GRID * 2), spacing=GRID // 2)
        for widget in (self.none, self.title, self.lost, self.basis):
            widget.setContentsMargins(GRID, 0, 0, 0)
            self._column.addWidget(widget)
        self.more.setContentsMargins(GRID, 0, 0, 0)
        self._cards_at = self._column.count()
        self._column.addWidget(self.more)
        self._column.addWidget(self.totals)
        self._column.addStretch(1)
        self.setWidget(holder)
        self.show_leaks((), None, 0)

    def show_leaks(self, leaks: Sequence[Leak], saved: Savings | None, requests: int, *, pending: bool = False) -> None:
        """Show these; `saved`: what fixing all of them saves, `requests`: how many were compared.

        `pending`: there are requests that are not analysed yet.
        """
        self.leaks = tuple(leaks)
        shown = self.leaks[:MAX_CARDS]
        self.none.setText(ANALYSING if pending else NONE_YET)
        self.none.setVisible(pending or not leaks)
        for widget in (self.title, self.lost, self.basis):
            widget.setVisible(bool(leaks))
        self.title.setText(f"Leaks found in {counted(requests, 'request')}")
        price = None if saved is None else saved.per_1000(saved.saved_dollars)
        self.lost.setText(UNKNOWN if price is None else f"≈ {dollars(price)}")
        basis = "no rates are set for this endpoint" if price is None else "at the rates of the endpoint"
        self.basis.setText(f"lost per 1,000 requests, {basis}")
        while len(self.cards) < len(shown):
            card = LeakCard()
            card.preview_wanted.connect(self.preview_wanted)
            card.requests_wanted.connect(self.requests_wanted)
            self._column.insertWidget(self._cards_at + len(self.cards), card)
            self.cards.append(card)
        for card, leak in zip(self.cards, shown, strict=False):
            card.show_leak(leak, saved)
        for place, card in enumerate(self.cards):
            card.setVisible(place < len(shown))
        self.more.setVisible(len(leaks) > MAX_CARDS)
        self.more.setText(f"{len(leaks) - MAX_CARDS:,} leaks that cost less are not listed.")
        self.totals.setVisible(bool(leaks) and saved is not None)
        if leaks and saved is not None:
            self.totals.show_savings(saved, len(leaks))

    def show_chosen(self, leak: Leak | None) -> None:
        for card in self.cards:
            card.show_chosen(leak is not None and card.leak is not None and card.leak.key == leak.key)


class LeakCard(QFrame):
    preview_wanted = Signal(object)
    requests_wanted = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.leak: Leak | None = None
        self._state: object = None
        self.title, self.price = words("", "variable"), QLabel()
        self.title.setFont(ui_font(13, bold=True))
        self.samples, self.place, self.tokens, self.blocked = words(""), *(words("", "muted") for _ in range(3))
        self.samples.setFont(mono_font(12))
        self.preview = push_button(
            "Preview fix…", clicked=lambda _checked: self.preview_wanted.emit(self.leak), icon=("fix", "text")
        )
        self.requests = push_button("Show requests", "link", lambda _checked: self.requests_wanted.emit(self.leak))
        head, foot = row_of((self.title, 1), (self.price, 0, Qt.AlignmentFlag.AlignTop)), FlowLayout()
        foot.setContentsMargins(0, 4, 0, 0)
        foot.add_all((self.preview, self.requests))
        column_of(
            hairline(),
            head,
            self.samples,
            self.place,
            self.tokens,
            self.blocked,
            foot,
            on=self,
            margins=(GRID, GRID, GRID // 2, GRID // 2),
            spacing=2,
        )

    def show_leak(self, leak: Leak, saved: Savings | None) -> None:
        """Show a leak with its price per 1,000 of the requests that `saved` is about."""
        if (leak, saved) == self._state:
            return
        self._state, self.leak = (leak, saved), leak
        price = None if saved is None else saved.per_1000(leak.dollars)
        self.title.setText(visible(leak.title))
        self.price.setText(UNKNOWN if price is None else f"≈ {dollars(price)}")
        rates = "No rates are set for this endpoint" if price is None else "Per 1,000 requests, at the endpoint's rates"
        self.price.setToolTip(rates)
        self.samples.setText(_samples(leak.span.samples))
        places = f" and {leak.span.places - 1:,} more places" if leak.span.places > 1 else ""
        self.place.setText(visible(f"{leak.place}{places}"))
        behind = f"{Figure.estimated(leak.span.tokens_behind).text} tokens each"
        self.tokens.setText(f"{leak.span.changes:,} of {counted(leak.span.comparisons, 'comparison')} · {behind}")
        self.tokens.setToolTip(
            "Comparisons of a request with the one before that differ here · tokens behind it that both have"
        )
        blocked = f"Behind “{leak.blocked_by}”: this is saved once that is fixed."
        show_or_hide(self.blocked, blocked if leak.blocked_by else "")
        self.preview.setText("How to fix…" if leak.span.history else "Preview fix…")
        self.preview.setAccessibleName(f"{self.preview.text().rstrip('…')}: {leak.title}, {leak.place}")
        self.requests.setAccessibleName(f"Show the requests in which {leak.title}, {leak.place}, differs")
        self.setAccessibleName(f"{leak.title}, {leak.place}, {self.price.text()} per 1,000 requests")

    def show_chosen(self, chosen: bool) -> None:
        restyle(self, look="callout" if chosen else "")


class _TotalsBox(QFrame):
    """Hit rate, fresh tokens and input cost, as reported and ≈ after all fixes."""

    def __init__(self) -> None:
        super().__init__()
        self.caption, self.note = toned("", "caption"), words("", "muted")
        self.figures: dict[str, QLabel] = {}
        column = column_of(hairline(), self.caption, on=self, margins=(GRID, GRID, GRID // 2, 0), spacing=GRID // 2)
        for name in ("served from cache", "fresh per request", "cost per 1,000"):
            figure = self.figures[name] = QLabel()
            figure.setFont(ui_font(13, tabular=True))
            label, row = QLabel(name), FlowLayout()  # the figure is below the name if there is no room beside it
            label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
            row.add_all((label, figure))
            column.addLayout(row)
        column.addWidget(self.note)

    def show_savings(self, saved: Savings, leaks: int) -> None:
        fixes = "After the fix" if leaks == 1 else f"After the {leaks:,} fixes"
        self.caption.setText(fixes)
        cost, less = saved.per_1000(saved.dollars), saved.per_1000(saved.saved_dollars)
        after = None if cost is None or less is None else cost - less
        fresh = None
        if saved.prompt_tokens is not None and saved.cached_tokens is not None:
            fresh = float(saved.prompt_tokens - saved.cached_tokens)
        pairs = {
            "served from cache": (percent(saved.hit_rate), percent(saved.hit_rate_after)),
            "fresh per request": (
                _each(fresh, saved.requests),
                _each(None if fresh is None else fresh - saved.saved_cached, saved.requests),
            ),
            "cost per 1,000": (dollars(cost), dollars(after)),
        }
        for name, (before, later) in pairs.items():
            known = UNKNOWN not in (before, later)
            self.figures[name].setText(f"{before} → ≈ {later}" if known else before)
            self.figures[name].setToolTip("" if known else WHY_UNKNOWN)
            self.figures[name].setAccessibleName(f"{name}: {before}, {fixes.lower()} about {later}")
        self.note.setText(
            f"Estimated from {counted(saved.requests, 'request')}"
            + (" with reported tokens." if saved.prompt_tokens is not None else "; none with both token counts.")
            + " A fix is a preview; make the change in your program."
        )


def _each(value: float | None, requests: int) -> str:
    return UNKNOWN if value is None or not requests else f"{round(value / requests):,}"


def _samples(samples: Sequence[str]) -> str:
    shown = [" ".join(sample.split())[:_SAMPLE_CHARS] or "nothing" for sample in samples[:_SAMPLES]]
    return visible(shortened(" → ".join(shown)))


class PreviewedRewrite(Struct, frozen=True):
    """A rewrite with its difference; no rows if the body is too long."""

    rewrite: Rewrite
    rows: tuple[DiffRow, ...]


def previews(options: Sequence[Rewrite]) -> tuple[PreviewedRewrite, ...]:
    """Compare each rewrite with the recorded body, sentence by sentence. Slow for long prompts: call it in a worker."""
    return tuple(PreviewedRewrite(option, _rows(option)) for option in options)


def _rows(option: Rewrite) -> tuple[DiffRow, ...]:
    if sum(len(message.content or "") for message in option.before.messages) > MAX_PREVIEW_CHARS:
        return ()
    return changes(_by_sentence(option.before), _by_sentence(option.after))


def _by_sentence(document: Document) -> Document:
    """Return a document with a line for each sentence, so that the diff of a long line is not all of it."""
    messages = (
        message if message.content is None else replace(message, content=_SENTENCE_END.sub("\n", message.content))
        for message in document.messages
    )
    return replace(document, messages=tuple(messages))


class LeakDialog(QDialog):
    """Shows each rewrite of a recorded body as a diff. The user makes the change in the other program."""

    def __init__(self, leak: Leak, options: Sequence[PreviewedRewrite], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Fix: {leak.title}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._options = tuple(options)
        self.choice = combo_box("Rewrites", [option.rewrite.title for option in options])
        self.difference = DifferenceView()
        self.too_long = words("This body is too long for a preview.", "muted")
        samples = words(_samples(leak.span.samples))
        samples.setFont(mono_font(12))
        made = words("The diff of a recorded request. Make the change in your program.", "muted")
        how = words("No edit of one request shows this fix: it is in how the next one is made.", "muted")
        fill_dialog(
            self,
            (820, 520) if options else (560, 180),
            words(f"{leak.place[:1].upper()}{leak.place[1:]}. {ADVICE[leak.span.rewrite]}"),
            *((self.choice, self.too_long, (self.difference, 1), made) if options else (samples, how, STRETCH)),
            button_box(self.reject),
        )
        self.choice.currentIndexChanged.connect(self._show)
        self._show(0)

    def _show(self, index: int) -> None:
        rows = self._options[index].rows if 0 <= index < len(self._options) else ()
        # Without options it is in no layout: shown, it would be a window.
        self.too_long.setVisible(bool(self._options) and not rows)
        self.difference.setVisible(bool(rows))
        self.difference.show_rows(rows)
