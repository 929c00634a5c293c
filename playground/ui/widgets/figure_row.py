"""Figures: a row with its name, or why it is unknown; bars by kind of token and by phase; a small chart."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from PySide6.QtCore import QBuffer, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAction,
    QBrush,
    QColor,
    QImage,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtSvg import QSvgGenerator
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from playground.client.events import Usage
from playground.export.terminal import visible, visible_line
from playground.runs.state import RunState
from playground.storage.paths import write_shared
from playground.tasks import Begin
from playground.ui.theme import GRID, current_theme, restyle, scaled, ui_font
from playground.ui.widgets.labels import ElidedLabel, IdLabel, copy_text
from playground.ui.widgets.layouts import FlowLayout, column_of, row_of
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.plain_table import plain_tip
from playground.ui.widgets.task_dialog import ask_save

SWATCH_PX = 10


class Swatch(QWidget):
    """A legend's square in the color of a theme role: filled, hatched, or an outline."""

    def __init__(self, role: str, *, hollow: bool = False, hatched: bool = False) -> None:
        super().__init__()
        self._role, self._hollow, self._hatched = role, hollow, hatched
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:
        return QSize(SWATCH_PX, SWATCH_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color: QColor = getattr(theme, self._role)
        area = QRectF(0.5, (self.height() - SWATCH_PX) / 2 + 0.5, SWATCH_PX - 1, SWATCH_PX - 1)
        painter.setPen(QPen(color, 1))
        painter.setBrush(theme.line if self._hollow else color)
        painter.drawRoundedRect(area, 2, 2)
        if self._hatched:
            painter.setBrush(QBrush(theme.surface, Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(area, 2, 2)


class FigureRow(QFrame):
    """Name on the left, value on the right in tabular figures. Ctrl+C, or the context menu, copies the value."""

    def __init__(
        self, name: str, swatch: Swatch | None = None, *, whole: bool = False, parent: QWidget | None = None
    ) -> None:
        """`swatch` precedes the name. `whole`: the value is an id that is never shortened, on its own line."""
        super().__init__(parent)
        self._name = name
        self._shown: tuple[str, str, str] | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("row", "figure")
        self._caption = QLabel(name, self)
        self._caption.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self._value = ElidedLabel(name, middle=True, focus=False, parent=self)
        self._value.setFont(ui_font(tabular=True))
        self._value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._id = IdLabel(name) if whole else None
        self.row = FlowLayout(spacing=GRID // 2)
        """Where the figure has no room beside its name, it is below."""
        column = column_of(self.row, on=self, margins=0, spacing=0)
        named: QWidget = self._caption
        if swatch is not None:
            named = QWidget(self)
            row_of(swatch, self._caption, on=named, margins=0, spacing=GRID)
        self.row.add_all((named, self._value))
        if self._id is not None:
            policy = self._value.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            self._value.setSizePolicy(policy)
            self._id.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            column.addWidget(self._id)
        copy = QAction(f"Copy {name}", self)
        copy.triggered.connect(self.copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def value(self) -> str:
        return self._value.full_text

    def show_value(self, text: str, why: str = "", tone: str = "") -> None:
        """Show `text`; `why` says, in the tooltip and aloud, what an unknown or estimated figure rests on."""
        if (text, why, tone) == self._shown:
            return
        self._shown = text, why, tone
        self._value.set_full_text(text, why)
        if self._id is not None:
            known = text != "—"
            self._value.setVisible(not known)
            self._id.setVisible(known)
            self._id.show_id(text if known else "", why)
        restyle(self._value, tone=tone)
        shown = visible_line(text)
        name = f"{self._name}: {'unknown' if text == '—' else shown}"
        self.setAccessibleName(name)
        self.setAccessibleDescription(why)
        self.setToolTip(plain_tip(visible(why) or f"{self._name}: {shown}"))

    def copy(self) -> None:
        copy_text(self.value)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)


LEAST_PX = 2.0
GAP_PX = 1.0


class BarPiece(Struct, frozen=True):
    """One stretch of a bar: its share, its color's role in the theme, and whether it is hatched."""

    amount: float
    role: str
    hatched: bool = False
    hollow: bool = False


class Bar(QWidget):
    """Pieces side by side in proportion. A piece that is not 0 is never invisible; no pieces: an empty track."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self._height = height
        self.pieces: tuple[BarPiece, ...] = ()
        """What is drawn."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("")

    def show_pieces(self, pieces: tuple[BarPiece, ...], words: str) -> None:
        """Draw `pieces`; `words` say the same in the tooltip and aloud."""
        if pieces == self.pieces and words == self.accessibleName():
            return
        self.pieces = pieces
        self.setAccessibleName(words)
        self.setToolTip(words)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(120, self._height)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        theme, whole = current_theme(), QRectF(self.rect())
        if not self.pieces:
            painter.setBrush(theme.line)
            painter.drawRoundedRect(whole, 2, 2)
            return
        for piece, (left, width) in zip(
            self.pieces, widths([p.amount for p in self.pieces], whole.width()), strict=True
        ):
            rect = QRectF(left, 0, width, whole.height())
            color: QColor = getattr(theme, piece.role)
            if piece.hollow:
                rect.adjust(0.5, 0.5, -0.5, -0.5)
            painter.setPen(color if piece.hollow else Qt.PenStyle.NoPen)
            painter.setBrush(theme.line if piece.hollow else color)
            if width > 0:
                painter.drawRoundedRect(rect, 2, 2)
            if width > 0 and piece.hatched:
                # The second mark beside color, for those who cannot tell amber from teal.
                painter.setBrush(QBrush(theme.surface, Qt.BrushStyle.BDiagPattern))
                painter.drawRoundedRect(rect, 2, 2)


def widths(amounts: list[float], room: float) -> list[tuple[float, float]]:
    """(left, width) in pixels of each amount in `room`; 0 takes none, anything above at least LEAST_PX."""
    drawn = [amount for amount in amounts if amount > 0]
    free = room - (GAP_PX + LEAST_PX) * len(drawn) + GAP_PX
    total = sum(drawn)
    left, places = 0.0, []
    for amount in amounts:
        width = LEAST_PX + max(free, 0) * amount / total if amount > 0 else 0.0
        places.append((left, width))
        left += width + (GAP_PX if width else 0)
    return places


def usage_pieces(usage: Usage | None) -> tuple[tuple[BarPiece, ...], str]:
    """Segments cached, fresh and output, from reported figures only. Input with unknown caching is one segment."""
    if usage is None:
        return (), "Usage unknown: nothing to draw"
    pieces: list[BarPiece] = []
    said: list[str] = []
    if usage.cached_tokens is not None and usage.fresh_tokens is not None:
        pieces += [
            BarPiece(usage.cached_tokens, "warm_edge"),
            BarPiece(usage.fresh_tokens, "fresh_outline", hollow=True),
        ]
        said += [f"{usage.cached_tokens:,} cached", f"{usage.fresh_tokens:,} fresh"]
    elif usage.prompt_tokens is not None:
        pieces.append(BarPiece(usage.prompt_tokens, "muted"))
        said.append(f"{usage.prompt_tokens:,} input tokens, cached part unknown")
    if usage.completion_tokens is not None:
        pieces.append(BarPiece(usage.completion_tokens, "output"))
        said.append(f"{usage.completion_tokens:,} output")
    return tuple(pieces), "Tokens: " + ", ".join(said)


def time_pieces(state: RunState) -> tuple[tuple[BarPiece, ...], str]:
    """Earlier attempts, waiting for headers, waiting for the first token, output: in seconds of the newest attempt."""
    if not state.attempts:
        return (), "Nothing was sent"
    newest = state.attempts[-1]
    marks: list[tuple[str, float | None, str, bool]] = [
        ("headers", newest.headers_at, "muted", False),
        ("first token", state.first_token_at, "muted", True),
        ("output", state.ended_at or state.last_token_at, "output", False),
    ]
    pieces, said = [], []
    at = newest.started_at
    if at > state.attempts[0].started_at:
        pieces.append(BarPiece(at - state.attempts[0].started_at, "failure", True))
        said.append(f"earlier attempts {at - state.attempts[0].started_at:.3f} s")
    if state.first_token_at is None:
        # No output: the remainder is the end of a wait.
        marks[1:] = [("until it ended", state.ended_at, "failure" if state.phase == "failed" else "muted", True)]
    for name, end, role, hatched in marks:
        if end is not None and end >= at:
            pieces.append(BarPiece(end - at, role, hatched))
            said.append(f"{name} {end - at:.3f} s")
            at = end
    return tuple(pieces), "Time: " + ", ".join(said)


_LEFT, _BOTTOM, _TOP = 58, 34, 22
_POINT_PX = 3.5
SCALE = 2
"""Pixels of a saved picture per pixel of the chart."""


class Series(Struct, frozen=True):
    """Points in order. `role` is a color of the theme; `hollow` points are the second mark beside color."""

    name: str
    points: tuple[tuple[float, float], ...]
    role: str
    hollow: bool = False
    joined: bool = False


class Chart(QWidget):
    """Axes from 0 to a round number; empty without points."""

    notice = Signal(str)
    """A picture could not be written."""

    def __init__(self, name: str, start: Begin) -> None:
        """`start` runs the writing of a picture beside the event loop."""
        super().__init__()
        self._start = start
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        save = QAction("Save as a picture…", self)
        save.triggered.connect(lambda _checked: self.ask_file())
        self.addAction(save)
        self._series: tuple[Series, ...] = ()
        self._axes = ("", "")
        self.setAccessibleName(name)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_series(self, series: Sequence[Series], across: str, up: str) -> None:
        """Draw these; `across` and `up` name the axes with their units."""
        self._series, self._axes = tuple(series), (across, up)
        described = (f"{one.name}: {len(one.points)} points, {_range(one)}" for one in series if one.points)
        self.setAccessibleDescription(f"{up} over {across}. " + "; ".join(described))
        self.setToolTip(self.accessibleDescription())
        self.update()

    def ask_file(self) -> None:
        ask_save(
            self,
            "Save the chart",
            {"PNG (*.png)": "png", "SVG (*.svg)": "svg"},
            lambda path: self._start(self.save(path), "save a chart"),
        )

    async def save(self, path: Path) -> None:
        """Write the chart as PNG at twice its size, or as SVG if the name ends in .svg. Reports through `notice`."""
        data = self.as_svg() if path.suffix.lower() == ".svg" else self.as_png()
        with write_errors(path, self.notice.emit):
            await asyncio.to_thread(write_shared, path, data)

    def as_png(self) -> bytes:
        image = QImage(self.size() * SCALE, QImage.Format.Format_ARGB32)
        image.setDevicePixelRatio(SCALE)
        with QPainter(image) as painter:
            self._paint(painter)
        buffer = QBuffer()
        buffer.open(QBuffer.OpenModeFlag.WriteOnly)
        image.save(buffer, "PNG")  # type: ignore[call-overload]  # the stubs lack str for the format
        return bytes(buffer.data().data())

    def as_svg(self) -> bytes:
        buffer, generator = QBuffer(), QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self.size())
        generator.setViewBox(self.rect())
        generator.setTitle(self.accessibleName())
        generator.setDescription(self.accessibleDescription())
        with QPainter(generator) as painter:
            self._paint(painter)
        return bytes(buffer.data().data())

    def sizeHint(self) -> QSize:
        return QSize(420, 210)

    def paintEvent(self, _event: QPaintEvent) -> None:
        self._paint(QPainter(self))

    def _paint(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(ui_font(11, tabular=True))
        painter.fillRect(self.rect(), current_theme().surface)
        left, top = scaled(_LEFT), scaled(_TOP)
        area = QRectF(left, top, self.width() - left - GRID * 2, self.height() - top - scaled(_BOTTOM))
        points = [point for one in self._series for point in one.points]
        if not points:
            painter.setPen(current_theme().muted)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Nothing has been measured yet")
            return
        most = round_up(max(x for x, _ in points)), round_up(max(y for _, y in points))
        self._paint_axes(painter, area, most)
        self._paint_legend(painter, area)
        for one in self._series:
            self._paint_series(painter, area, most, one)

    def _paint_axes(self, painter: QPainter, area: QRectF, most: tuple[float, float]) -> None:
        for step in range(5):
            y = area.bottom() - area.height() * step / 4
            painter.setPen(QPen(current_theme().line, 1))
            painter.drawLine(QPointF(area.left(), y), QPointF(area.right(), y))
            painter.setPen(current_theme().muted)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y - scaled(8), area.left() - 6, scaled(16)), right, figure(most[1] * step / 4))
            x = area.left() + area.width() * step / 4
            middle = Qt.AlignmentFlag.AlignHCenter
            painter.drawText(
                QRectF(x - scaled(40), area.bottom() + scaled(3), scaled(80), scaled(14)),
                middle,
                figure(most[0] * step / 4),
            )
        foot = QRectF(area.left(), area.bottom() + scaled(17), area.width(), scaled(16))
        painter.drawText(foot, Qt.AlignmentFlag.AlignHCenter, self._axes[0])

    def _paint_legend(self, painter: QPainter, area: QRectF) -> None:
        x = area.left()
        painter.setPen(current_theme().muted)
        painter.drawText(QPointF(4, scaled(13)), self._axes[1])
        x += painter.fontMetrics().horizontalAdvance(self._axes[1])
        for one in self._series:
            x += GRID * 2
            self._paint_point(painter, QPointF(x, scaled(9)), one)
            painter.setPen(current_theme().text)
            painter.drawText(QPointF(x + 8, scaled(13)), one.name)
            x += painter.fontMetrics().horizontalAdvance(one.name) + 8

    def _paint_series(self, painter: QPainter, area: QRectF, most: tuple[float, float], one: Series) -> None:
        places = [
            QPointF(area.left() + area.width() * x / most[0], area.bottom() - area.height() * y / most[1])
            for x, y in one.points
        ]
        if one.joined:
            painter.setPen(QPen(getattr(current_theme(), one.role), 1.5))
            painter.drawPolyline(QPolygonF(places))
        for place in places:
            self._paint_point(painter, place, one)

    def _paint_point(self, painter: QPainter, place: QPointF, one: Series) -> None:
        color: QColor = getattr(current_theme(), one.role)
        painter.setPen(QPen(color, 1.5))
        painter.setBrush(current_theme().surface if one.hollow else color)
        painter.drawEllipse(place, _POINT_PX, _POINT_PX)


def round_up(value: float) -> float:
    """Return the next of 1, 2, 4, 5, 8 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 4, 5, 8, 10) if power * step >= value * 0.999999)


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _range(one: Series) -> str:
    ups = [y for _, y in one.points]
    return f"from {figure(min(ups))} to {figure(max(ups))}"
