"""Timeline drawing. Solid edges are measured, dashed edges computed (≈). The arrow keys select items."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.ui.theme import GRID, current_theme, scaled, ui_font
from playground.ui.voice.picture import EMPTY, HEARD, Item, Picture, milliseconds

LEAST_TICK_PX = 84


class Scale(Struct, frozen=True):
    """Maps the seconds from `begins_at` to `ends_at` (greater) to `width` pixels from `left` on."""

    begins_at: float
    ends_at: float
    left: float
    width: float

    def x(self, at: float) -> float:
        """Return the x coordinate of a time; also outside the visible part."""
        return self.left + (at - self.begins_at) / (self.ends_at - self.begins_at) * self.width

    def at(self, x: float) -> float:
        return self.begins_at + (x - self.left) / self.width * (self.ends_at - self.begins_at)

    def ticks(self) -> list[float]:
        """Return times with round values for the axis, at least LEAST_TICK_PX apart."""
        wanted = (self.ends_at - self.begins_at) * LEAST_TICK_PX / max(self.width, LEAST_TICK_PX)
        power = 10.0 ** math.floor(math.log10(wanted))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * 0.999999)
        first, last = math.ceil(self.begins_at / step - 1e-9), math.floor(self.ends_at / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


class CanvasPlace(Struct, frozen=True):
    row: int
    x: float


def pack(wanted: Sequence[tuple[float, float]], left: float, right: float, gap: float = 8.0) -> list[CanvasPlace]:
    """Return positions for labels of (x, width), each in the first row with enough room, inside `left` to `right`."""
    rows: list[list[tuple[float, float]]] = []
    placed: list[CanvasPlace] = []
    for x, width in wanted:
        begins = max(min(x, right - width), left)
        row = next((number for number, taken in enumerate(rows) if _fits(taken, begins, width, gap)), len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append((begins, begins + width))
        placed.append(CanvasPlace(row, begins))
    return placed


def _fits(taken: Sequence[tuple[float, float]], begins: float, width: float, gap: float) -> bool:
    return all(begins >= end + gap or begins + width + gap <= start for start, end in taken)


GUTTER = 96
AXIS_PX, BAR_PX, LANE_PX, CAPTION_PX, LABEL_PX = 24, 22, 32, 15, 16
NO_AXIS_PX = 6
"""Height of the axis without its figures."""
LEAST_S = 0.5
"""Minimum length of the axis, so that a run of one millisecond is still readable."""
MOST_ZOOM = 64.0


class Canvas(QWidget):
    """Draws one timeline.

    `brief`: without events under the lanes. `axis`: with its figures. Keys: arrows, Home and End select an item; + - 0
    zoom.
    """

    chosen = Signal(str)
    """Emitted with the description of the item under the mouse or selected by keyboard; empty without one."""
    view_changed = Signal()

    def __init__(self, name: str, *, brief: bool = False, axis: bool = True) -> None:
        super().__init__()
        self._brief = brief
        self._has_axis = axis
        self._picture = EMPTY
        self._axis_s = 0.0
        self._zoom, self._from = 1.0, 0.0
        self._at: Item | None = None
        self._shown: list[tuple[Item, CanvasPlace]] = []
        """The visible moments with the places of their labels."""
        self.empty = "Send a prompt, or play the vendor's example: its times will be here."
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_picture(self, picture: Picture, axis_s: float | None = None) -> None:
        """Draw a timeline. `axis_s`: minimum length of the axis, so that several canvases share it."""
        self._picture, self._axis_s = picture, max(axis_s or picture.ends_at, LEAST_S) * 1.04
        if self._at is not None and self._at not in picture.items:
            self._at = None
        self._place()
        self.setAccessibleDescription("; ".join(item.label for item in picture.moments) or self.empty)
        self.view_changed.emit()
        self.update()

    @property
    def view(self) -> tuple[float, float, float]:
        """Return, in seconds: start and length of the visible part, and length of the whole axis."""
        return self._from, self._axis_s / self._zoom, self._axis_s

    def look_from(self, at: float) -> None:
        length = self._axis_s / self._zoom
        self._from = max(min(at, self._axis_s - length), 0.0)
        self._place()
        self.view_changed.emit()
        self.update()

    def zoom(self, factor: float, around: float | None = None) -> None:
        """Zoom in by a factor above 1, out below 1; 0 shows the whole axis."""
        held = around if around is not None else self._from + self._axis_s / self._zoom / 2
        share = (held - self._from) * self._zoom / self._axis_s if self._axis_s else 0.0
        self._zoom = 1.0 if factor == 0 else max(1.0, min(self._zoom * factor, MOST_ZOOM))
        self.look_from(held - share * self._axis_s / self._zoom)

    @property
    def _scale(self) -> Scale:
        begins, length, _ = self.view
        return Scale(begins, begins + max(length, 1e-6), scaled(GUTTER), max(self.width() - scaled(GUTTER) - GRID, 1))

    def _place(self) -> None:
        scale, metrics = self._scale, self.fontMetrics()
        shown = [item for item in self._picture.moments if not self._brief and self._visible(scale, item)]
        wanted = [(scale.x(item.starts_at) + 3, metrics.horizontalAdvance(item.label) + 4.0) for item in shown]
        self._shown = list(zip(shown, pack(wanted, scaled(GUTTER), self.width() - 2), strict=True))
        self.setFixedHeight(self.sizeHint().height())

    def _visible(self, scale: Scale, item: Item) -> bool:
        end = scale.ends_at if item.ends_at is None else item.ends_at
        return end >= scale.begins_at and item.starts_at <= scale.ends_at

    def sizeHint(self) -> QSize:
        label_rows = max((place.row for _, place in self._shown), default=-1) + 1
        return QSize(640, int(self._labels_top() + label_rows * scaled(LABEL_PX) + GRID))

    @property
    def _axis_px(self) -> int:
        return scaled(AXIS_PX) if self._has_axis else NO_AXIS_PX

    def _labels_top(self) -> float:
        return self._axis_px + scaled(CAPTION_PX) + len(self._picture.lanes) * scaled(LANE_PX) + GRID

    def _top(self, lane: int) -> float:
        return (
            self._axis_px
            + lane * scaled(LANE_PX)
            + (scaled(CAPTION_PX) if lane > HEARD else 0)
            + (scaled(LANE_PX) - scaled(BAR_PX)) / 2
        )

    def _box(self, scale: Scale, item: Item) -> QRectF:
        begins = max(scale.x(item.starts_at), scaled(GUTTER) - 2.0)
        end = scale.ends_at if item.ends_at is None else item.ends_at
        width = max(min(scale.x(end), self.width() - 2.0) - begins, 2.0)
        return QRectF(begins, self._top(item.lane), width, scaled(BAR_PX))

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(ui_font(11, tabular=True))
        painter.fillRect(self.rect(), current_theme().surface)
        if not self._picture.bars and not self._picture.moments:
            painter.setPen(current_theme().muted)
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.empty)
            return
        scale = self._scale
        self._paint_axis(painter, scale)
        self._paint_moment_lines(painter, scale)
        for item in self._picture.bars:
            if self._visible(scale, item):
                self._paint_bar(painter, scale, item)
        self._paint_captions(painter, scale)
        self._paint_labels(painter)
        self._paint_names(painter)
        self._paint_ring(painter, scale)

    def _paint_axis(self, painter: QPainter, scale: Scale) -> None:
        bottom = self._labels_top()
        for at in scale.ticks():
            x = scale.x(at)
            painter.setPen(QPen(current_theme().line, 1))
            painter.drawLine(QPointF(x, self._axis_px - 4), QPointF(x, bottom))
            if not self._has_axis:
                continue
            painter.setPen(current_theme().muted)
            words = milliseconds(at)
            width = painter.fontMetrics().horizontalAdvance(words) + 2.0
            painter.drawText(QRectF(max(x - width / 2, scaled(GUTTER) - 2), 2, width, self._axis_px - 8), words)

    def _paint_names(self, painter: QPainter) -> None:
        painter.fillRect(QRectF(0, 0, scaled(GUTTER) - 4, self.height()), current_theme().surface)
        side = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        for lane, name in enumerate(self._picture.lanes):
            painter.setFont(ui_font(11, bold=lane == HEARD))
            painter.setPen(current_theme().text if lane == HEARD else current_theme().muted)
            painter.drawText(QRectF(GRID, self._top(lane), scaled(GUTTER) - GRID * 2, scaled(BAR_PX)), side, name)
        if self._shown:
            painter.drawText(
                QRectF(GRID, self._labels_top(), scaled(GUTTER) - GRID * 2, scaled(LABEL_PX)), side, "Moments"
            )
        painter.setFont(ui_font(11, tabular=True))

    def _paint_bar(self, painter: QPainter, scale: Scale, item: Item) -> None:
        box = self._box(scale, item)
        edge = self._edge(item)
        if item.style == "silence":
            painter.fillRect(box, QBrush(current_theme().muted, Qt.BrushStyle.BDiagPattern))
        else:
            fill = QColor(edge)
            fill.setAlpha(48 if item.style in ("speech", "text") else 28)
            painter.fillRect(box, fill)
        painter.setPen(QPen(edge, 1, Qt.PenStyle.DashLine if item.computed else Qt.PenStyle.SolidLine))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(box)
        for at in item.ticks:
            x = scale.x(at)
            if box.left() <= x <= box.right() + 1:
                painter.setPen(QPen(edge, 1))
                painter.drawLine(QPointF(x, box.bottom() - 5), QPointF(x, box.bottom()))
        if item.style != "silence" and box.width() > 24:
            self._paint_words(painter, box, item)

    def _paint_words(self, painter: QPainter, box: QRectF, item: Item) -> None:
        words = f"{item.label} …" if item.ends_at is None else " ".join(item.label.split())
        inner = box.adjusted(5, 0, -3, 0)
        elided = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, int(inner.width()))
        painter.setPen(current_theme().text)
        # A single character and an ellipsis carry no information.
        if len(elided) > 2 or elided == words:
            painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, elided)

    def _edge(self, item: Item) -> QColor:
        if item.style == "error":
            return current_theme().failure
        return current_theme().output if item.style in ("speech", "text", "call") else current_theme().muted

    def _paint_captions(self, painter: QPainter, scale: Scale) -> None:
        silences = [bar for bar in self._picture.bars if bar.style == "silence" and self._visible(scale, bar)]
        metrics = painter.fontMetrics()
        wanted = []
        for item in silences:
            box, width = self._box(scale, item), metrics.horizontalAdvance(item.label) + 4.0
            wanted.append((box.center().x() - width / 2, width))
        painter.setPen(current_theme().text)
        top = self._top(HEARD) + scaled(BAR_PX)
        for item, place, (_, width) in zip(
            silences, pack(wanted, scaled(GUTTER), self.width() - 2), wanted, strict=True
        ):
            if place.row == 0:  # lengths that would overlap are omitted; selection and table show them
                box = QRectF(place.x, top, width, scaled(CAPTION_PX))
                whole = f"{item.label} silence"
                words = whole if metrics.horizontalAdvance(whole) <= self._box(scale, item).width() else item.label
                painter.drawText(
                    box.adjusted(-60, 0, 60, 0) if words is whole else box, Qt.AlignmentFlag.AlignCenter, words
                )

    def _paint_moment_lines(self, painter: QPainter, scale: Scale) -> None:
        for item, place in self._shown:
            x = scale.x(item.starts_at)
            style = Qt.PenStyle.DotLine if item.computed else Qt.PenStyle.SolidLine
            color = QColor(current_theme().failure if item.style == "error" else current_theme().muted)
            color.setAlpha(130)
            painter.setPen(QPen(color, 1, style))
            top = self._top(item.lane) if item.lane <= len(self._picture.lanes) else self._axis_px
            middle = self._labels_top() + place.row * scaled(LABEL_PX) + scaled(LABEL_PX) / 2
            painter.drawLine(QPointF(x, top), QPointF(x, middle))
            if place.x > x + 4:
                painter.drawLine(QPointF(x, middle), QPointF(place.x, middle))

    def _paint_labels(self, painter: QPainter) -> None:
        for item, place in self._shown:
            box = self._label_box(item, place)
            painter.fillRect(box.adjusted(0, 1, 0, -1), current_theme().surface)
            painter.setPen(current_theme().failure if item.style == "error" else current_theme().text)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, item.label)

    def _label_box(self, item: Item, place: CanvasPlace) -> QRectF:
        width = self.fontMetrics().horizontalAdvance(item.label) + 2.0
        return QRectF(place.x, self._labels_top() + place.row * scaled(LABEL_PX), width, scaled(LABEL_PX))

    def _paint_ring(self, painter: QPainter, scale: Scale) -> None:
        if self._at is None or not self._visible(scale, self._at):
            return
        label = next((self._label_box(item, place) for item, place in self._shown if item is self._at), None)
        painter.setPen(QPen(current_theme().accent, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect((label or self._box(scale, self._at)).adjusted(-2, -1, 2, 1))

    def _choose(self, item: Item | None) -> None:
        if item is not self._at:
            self._at = item
            self.chosen.emit("" if item is None else words_of(item))
            self.update()

    def _found(self, place: QPointF) -> Item | None:
        scale = self._scale
        for item, where in self._shown:
            if self._label_box(item, where).contains(place):
                return item
        near = [bar for bar in self._picture.bars if self._box(scale, bar).adjusted(-2, 0, 2, 0).contains(place)]
        return min(near, key=lambda bar: self._box(scale, bar).width(), default=None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        item = self._found(event.position())
        self._choose(item)
        self.setToolTip("" if item is None else words_of(item))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom at the mouse position with Ctrl; otherwise leave the event to the scroll area."""
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier and event.angleDelta().y():
            factor = 1.25 if event.angleDelta().y() > 0 else 0.8
            self.zoom(factor, self._scale.at(event.position().x()))
            event.accept()
        else:
            event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        zooms = {Qt.Key.Key_Plus: 1.5, Qt.Key.Key_Equal: 1.5, Qt.Key.Key_Minus: 1 / 1.5, Qt.Key.Key_0: 0.0}
        if event.key() in zooms:
            self.zoom(zooms[Qt.Key(event.key())])
            return
        items = self._picture.items
        step = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}.get(Qt.Key(event.key()), 0)
        if event.key() in (Qt.Key.Key_Home, Qt.Key.Key_End) and items:
            self._go_to(items[0 if event.key() == Qt.Key.Key_Home else -1])
        elif step and items:
            at = items.index(self._at) + step if self._at in items else (0 if step > 0 else len(items) - 1)
            self._go_to(items[max(0, min(at, len(items) - 1))])
        else:
            super().keyPressEvent(event)

    def _go_to(self, item: Item) -> None:
        if not self._visible(self._scale, item):
            self.look_from(item.starts_at - self._axis_s / self._zoom / 4)
        self._choose(item)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._choose(None)
        super().focusOutEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place()


def words_of(item: Item) -> str:
    """Return time, length and meaning of an item as one sentence."""
    at = milliseconds(item.starts_at, computed=item.computed)
    if item.style in ("moment", "error"):
        length = ""
    elif item.ends_at is None:
        length = ", goes on"
    else:
        end = milliseconds(item.ends_at, computed=item.computed)
        length = f" to {end} ({milliseconds(item.length_s, computed=item.computed)})"
    turn = "" if item.turn < 0 else f"Turn {item.turn + 1}. "
    return f"{at}{length}. {turn}{item.meaning}"
