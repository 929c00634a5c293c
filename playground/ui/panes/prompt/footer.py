"""The prompt's ruler and footer: the whole prompt in proportion to its tokens (≈), legend, cache and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QToolTip, QWidget

from playground.prompt.limits import LimitFinding
from playground.runs.metrics import counted
from playground.ui.panes.prompt.axis_paint import (
    EDGE_PX,
    EXPECTED,
    NO_ANSWER,
    NOT_EXPECTED,
    STABLE,
    VARIABLE,
    close_edge,
    fill_color,
    paint_edge,
    paint_swatch,
    served_text,
    whole_words,
)
from playground.ui.theme import GRID, current_theme, fill_area, scaled, ui_font
from playground.ui.widgets.icons import ICON_PX, paint_icon
from playground.ui.widgets.labels import push_button, toned
from playground.ui.widgets.layouts import Panel, column_of, discard, grid_of, row_of
from playground.ui.widgets.notice import field_link, shortened, words
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from playground.ui.panes.prompt.axis_paint import PromptAxes, Served


class ProblemBar(Panel):
    """A message with Dismiss, and with "Send anyway" if the check can be overruled."""

    def __init__(self) -> None:
        super().__init__("error")
        self.words = words("")
        self._overrule: Callable[[], object] | None = None
        self.anyway = push_button("Send anyway", clicked=self._go_on, tip="To see what the server says")
        dismiss = push_button("Dismiss", "quiet", self.hide)
        row_of((self.words, 1), self.anyway, dismiss, on=self, margins=(GRID + 4, GRID // 2, GRID, GRID // 2))
        self.hide()

    def show_message(self, sentence: str, anyway: Callable[[], object] | None = None) -> None:
        """Show a message; `anyway` is offered as a button."""
        self._overrule = anyway
        self.anyway.setVisible(anyway is not None)
        self.words.setText(sentence)
        self.setAccessibleName(f"Not sent: {sentence}")
        self.show()

    def _go_on(self) -> None:
        self.hide()
        if self._overrule is not None:
            self._overrule()


FEW = 2
MOST = 8


class CheckBar(Panel):
    """One row per finding: severity, the field as a link, the message. Hidden without findings."""

    chosen = Signal(object)
    """The Problem whose field was clicked."""

    def __init__(self) -> None:
        super().__init__("checks", "Checks of the prompt")
        self._findings: tuple[LimitFinding, ...] = ()
        self._unfolded = False
        self._rows = QWidget()
        self.more = push_button("", "link", self._fold)
        margins = (GRID + 2, GRID // 2, GRID, GRID // 2)
        self._column = column_of(
            self._rows, (self.more, 0, Qt.AlignmentFlag.AlignLeft), on=self, margins=margins, spacing=0
        )
        self.hide()

    @property
    def text(self) -> str:
        """All findings, one per line."""
        return "\n".join(f"{_sign(finding)} {finding.problem}" for finding in self._findings)

    def show_findings(self, findings: tuple[LimitFinding, ...]) -> None:
        if findings != self._findings:
            self._findings = findings
            self._build()

    def _fold(self) -> None:
        self._unfolded = not self._unfolded
        self._build()

    def _build(self) -> None:
        rows = QWidget()
        grid = grid_of(rows, stretched=2, across=GRID - 2, down=0)
        for row, finding in enumerate(self._findings[: MOST if self._unfolded else FEW]):
            self._add(grid, row, finding)
        self._column.insertWidget(0, rows)
        discard(self._column, self._rows)
        rows.show()
        self._rows = rows
        self._update_text()

    def _add(self, grid: QGridLayout, row: int, finding: LimitFinding) -> None:
        sign = toned(_sign(finding), "failure" if finding.refused else "muted")
        sign.setToolTip("The server refuses this" if finding.refused else "Likely a mistake")
        sign.setAccessibleName(sign.toolTip())
        problem = finding.problem
        link = field_link(problem, self.chosen.emit)
        sign.setFixedHeight(link.sizeHint().height())
        said = words(shortened(f"{problem.message} {problem.hint}".strip()))
        said.setContentsMargins(0, 2, 0, 2)
        for column, widget in enumerate((sign, link, said)):
            grid.addWidget(widget, row, column, Qt.AlignmentFlag.AlignTop)

    def _update_text(self) -> None:
        left, hidden = len(self._findings) - FEW, len(self._findings) - MOST
        fewer = "Show fewer" + (f" ({hidden} more are not shown)" if hidden > 0 else "")
        self.more.setText(fewer if self._unfolded else f"and {left} more")
        self.more.setVisible(left > 0)
        self.setAccessibleDescription(self.text)
        self.setVisible(bool(self._findings))


def _sign(finding: LimitFinding) -> str:
    return "✗" if finding.refused else "⚠"


HEIGHT_PX = 30
_SIDE = 14
_GAP = 12
_MARK_GAP = 6
_SWATCH = 10
NOTHING_VARIABLE = "variable ≈ 0"


_EDGES = {True: "expected from cache", False: "not"}
"""Legend of the edge: warm or not."""


class PromptFooter(Panel):
    """Painted: a new figure at every keystroke needs no layout."""

    def __init__(self) -> None:
        super().__init__("footer", "Structure and cache of the prompt")
        self.structure: tuple[str, str] = ("stable —", "variable —")
        self.state = NO_ANSWER
        self.forecast = ""
        """What the next request is expected to get from the cache, with the same and with new values."""
        self.may_vary = ""
        """Text about values in the stable prefix that may vary; empty if there are none."""
        self._warm, self._basis = False, ""
        self.setFixedHeight(HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Show the figures; None or an empty prompt: unknown."""
        before = (self.structure, self.state, self.forecast)
        if axes is None or axes.neutral:
            self.structure, self.forecast, self._warm = ("stable —", "variable —"), "", False
            self.state = NO_ANSWER
        else:
            self.structure = (f"stable ≈ {axes.stable_tokens:,}", f"variable ≈ {axes.variable_tokens:,}")
            self.state, self._warm = axes.state, axes.warm
            self.forecast = f"next request ≈ {axes.same_values:,} cached"
            if axes.stable_end is not None:  # the values of variables matter
                same, new = f"next, same values ≈ {axes.same_values:,}", f"next, new values ≈ {axes.new_values:,}"
                self.forecast = f"{same} · {new}"
        if (self.structure, self.state, self.forecast) != before:
            self._basis = axes.basis if axes is not None else ""
            self._describe()
            self.update()

    def _describe(self) -> None:
        marked = f"{self.may_vary}: underlined with dots" if self.may_vary else ""
        tip = (self.state, self.forecast, self._basis, STABLE, marked, VARIABLE, EXPECTED, NOT_EXPECTED)
        self.setToolTip(plain_tip("\n".join(line for line in tip if line)))
        stable, variable = self.structure
        parts = (stable, self.may_vary, variable, self.state, self.forecast)
        self.setAccessibleDescription(", ".join(part for part in parts if part))

    def show_marked(self, count: int) -> None:
        """Show how many values of the stable prefix are marked: they look as if they vary."""
        text = f"{counted(count, 'value')} may vary" if count else ""
        if text != self.may_vary:
            self.may_vary = text
            self._describe()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT_PX)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the legend at the left and the cache state at the right; without room the edge's legend goes first."""
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setFont(ui_font(12, tabular=True))
        metrics = QFontMetricsF(painter.font())
        state_px = metrics.horizontalAdvance(self.state) + scaled(ICON_PX) + _MARK_GAP
        words_px = sum(map(metrics.horizontalAdvance, _EDGES.values()))
        x = self._paint_structure(painter, self.displayed_structure(metrics))
        if self.width() - _SIDE - state_px - _GAP - x >= words_px + 2 * (EDGE_PX + _MARK_GAP + _GAP) + _GAP:
            x = self._paint_edges(painter, x)
        self._paint_state(painter, metrics, x)

    def displayed_structure(self, metrics: QFontMetricsF) -> tuple[str, ...]:
        """Return the legend of the structure; without room for the state, it leaves out that nothing is variable."""
        stable, variable = self.structure
        texts = [text for text in (stable, self.may_vary, variable) if text]
        marks = 2 * (scaled(_SWATCH) + _MARK_GAP) + len(texts) * _GAP + scaled(ICON_PX) + _MARK_GAP
        needed = sum(map(metrics.horizontalAdvance, (*texts, self.state))) + marks + 2 * _SIDE
        return (stable,) if needed > self.width() and variable == NOTHING_VARIABLE else self.structure

    def _paint_structure(self, painter: QPainter, structure: Sequence[str]) -> float:
        theme, x, middle, px = current_theme(), float(_SIDE), self.height() / 2, scaled(_SWATCH)
        for variable, text in zip((False, True), structure, strict=False):
            paint_swatch(painter, theme, QRectF(x, middle - px / 2, px, px), variable=variable)
            x = self._text(painter, x + px + _MARK_GAP, text, theme.text) + _GAP
            if not variable and self.may_vary:
                left = x - _GAP + _MARK_GAP
                x = self._text(painter, left, self.may_vary, theme.variable_edge) + _GAP
                under = middle + QFontMetricsF(painter.font()).ascent() / 2 + 2
                painter.setPen(QPen(theme.variable_edge, 2, Qt.PenStyle.DotLine))
                painter.drawLine(QPointF(left, under), QPointF(x - _GAP, under))
        return x

    def _paint_edges(self, painter: QPainter, x: float) -> float:
        theme, middle = current_theme(), self.height() / 2
        painter.setPen(theme.line)
        painter.drawLine(int(x), int(middle - 7), int(x), int(middle + 7))
        x += _GAP
        for warm, text in _EDGES.items():
            area = QRectF(x, middle - 6, EDGE_PX, 12)
            paint_edge(painter, theme, area, warm=warm)
            if not warm:
                painter.translate(x, 0)
                close_edge(painter, theme, area.top())
                close_edge(painter, theme, area.bottom())
                painter.translate(-x, 0)
            x = self._text(painter, x + EDGE_PX + _MARK_GAP, text, theme.text) + _GAP
        return x

    def _text(self, painter: QPainter, x: float, text: str, color: QColor) -> float:
        """Draw a text from `x` on; return where it ends."""
        width = QFontMetricsF(painter.font()).horizontalAdvance(text)
        painter.setPen(color)
        painter.drawText(QRectF(x, 0, width + 1, self.height()), Qt.AlignmentFlag.AlignVCenter, text)
        return x + width

    def displayed_state(self, metrics: QFontMetricsF, room: float) -> str:
        """Return the state of the cache, or its first part ("warm"), or as many of its words as there is room for."""
        for text in (self.state, self.state.partition(",")[0]):
            if metrics.horizontalAdvance(text) <= room:
                return text
        return whole_words(self.state, metrics, room)

    def _paint_state(self, painter: QPainter, metrics: QFontMetricsF, x: float) -> None:
        color = current_theme().warm_edge if self._warm else current_theme().muted
        right, px = self.width() - _SIDE, scaled(ICON_PX)
        text = self.displayed_state(metrics, right - x - px - _MARK_GAP)
        left = right - metrics.horizontalAdvance(text)
        self._text(painter, left, text, color)
        if text and self.forecast:
            paint_icon(painter, "clock", QRectF(left - _MARK_GAP - px, (self.height() - px) / 2, px, px), color)


WIDTH_PX = 12
_FILL = (5, 5)
"""Left and width of the structure's column."""
_EDGE = (1, 2)
"""Left and width of the cache's column."""


class Stretch(Struct, frozen=True):
    """A piece of the prompt with one structure and one cache state.

    `message` is None for the tools; `offset` and `length` are code points of the message's template.
    """

    variable: bool
    warm: bool
    tokens: float
    message: int | None
    offset: int = 0
    length: int = 0


def stretches(axes: PromptAxes) -> Iterator[Stretch]:
    """Return the pieces of the prompt in order; a message's tokens are shared by length."""
    if axes.tools_tokens:
        yield Stretch(False, axes.tools_warm, axes.tools_tokens, None)
    for index, (message, found) in enumerate(zip(axes.document.messages, axes.messages, strict=True)):
        length = len(message.content or "")
        start = length if found.variable_from is None else found.variable_from
        cuts = sorted({0, min(max(found.warm_to, 0), length), min(start, length), length})
        if length == 0:
            yield Stretch(found.variable_from == 0, found.warm_to >= 0, found.tokens, index)
        for begin, end in pairwise(cuts):
            tokens = found.tokens * (end - begin) / length
            yield Stretch(begin >= start, begin < found.warm_to, tokens, index, begin, end - begin)


class Ruler(QWidget):
    """A click goes to the place."""

    place_chosen = Signal(int, int)
    """Message and code point in it."""

    def __init__(self) -> None:
        super().__init__()
        self.stretches: tuple[Stretch, ...] = ()
        """The pieces that are painted."""
        self._served: Served | None = None
        self._served_share = 0.0
        self.setFixedWidth(WIDTH_PX)
        self.setAccessibleName("Map of the prompt")
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_axes(self, axes: PromptAxes | None) -> None:
        """Paint these axes; None or a neutral prompt: nothing."""
        found = () if axes is None or axes.neutral else tuple(stretches(axes))
        if found != self.stretches:
            self.stretches = found
            self._describe()

    def show_served(self, served: Served | None, share: float) -> None:
        """Mark the reported end of the served prefix at a share of the prompt; None: no mark."""
        if (served, share) != (self._served, self._served_share):
            self._served, self._served_share = served, share
            self._describe()

    def _describe(self) -> None:
        self.setAccessibleDescription(served_text(self._served) if self._served is not None else "")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        fill_area(painter, self.rect(), theme.surface)
        total = sum(stretch.tokens for stretch in self.stretches)
        top = tokens = 0.0
        # Neighbours that look alike are one rectangle: a prompt of 200 messages has two or three.
        for (variable, warm), alike in groupby(
            self.stretches if total > 0 else (), lambda one: (one.variable, one.warm)
        ):
            tokens += sum(stretch.tokens for stretch in alike)
            bottom = round(tokens * self.height() / total, 1)
            color = theme.variable_edge if variable else theme.stable_edge
            bar = QRectF(_FILL[0], top, _FILL[1], bottom - top)
            fill_area(painter, bar, fill_color(theme, variable=variable))
            painter.setPen(QPen(color, 1, Qt.PenStyle.DotLine if variable else Qt.PenStyle.SolidLine))
            painter.drawLine(bar.topRight(), bar.bottomRight())
            if warm:
                fill_area(painter, QRectF(_EDGE[0], top, _EDGE[1], bottom - top), theme.warm_edge)
            top = bottom
        if self.stretches and self._served is not None:
            y = min(self.height() * self._served_share, self.height() - 1.0)
            fill_area(painter, QRectF(0, y - 1, WIDTH_PX, 2), theme.warm_edge)

    def _at(self, y: float) -> tuple[Stretch, float] | None:
        total = sum(stretch.tokens for stretch in self.stretches)
        tokens = y / max(self.height(), 1) * total
        for stretch in self.stretches:
            if tokens <= stretch.tokens:
                return stretch, tokens / stretch.tokens if stretch.tokens else 0.0
            tokens -= stretch.tokens
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        found = self._at(event.position().y())
        if found is not None and found[0].message is not None:
            stretch, share = found
            self.place_chosen.emit(stretch.message, stretch.offset + int(stretch.length * share))

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            found = self._at(event.pos().y())
            lines = []
            if found is not None:
                lines = [VARIABLE if found[0].variable else STABLE, EXPECTED if found[0].warm else NOT_EXPECTED]
            if self._served is not None:
                lines.append(served_text(self._served))
            QToolTip.showText(event.globalPos(), plain_tip("\n".join(lines)), self)
            return True
        return super().event(event)
