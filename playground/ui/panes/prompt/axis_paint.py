"""The editor's two axes and their painting: structure (stable, variable), and what the cache is expected to serve.

Structure (the fill) is a property of the text: stable up to the first variable, variable from there on. The cache
extent (the left edge) is an expectation and ends at the first change since the last request. Neither follows from the
other. All token counts are estimates (≈), rounded so that they add up to the total.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.prefix_cache.stable_end import StableEnd, stable_end, tokens_by_message
from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import Document, places, render
from playground.ui.theme import Theme, current_theme, fill_area, mono_font, ui_font

if TYPE_CHECKING:
    from playground.prefix_cache.forecaster import PromptForecast

EDGE_PX = 5
ROW_PX = 22
SIDE_PX = 18
"""Left side of text, edge included."""
RIGHT_PX = 14
_SHORTEST_DASHES = 24
STABLE = "stable: the same in every request of this prompt"
VARIABLE = "variable: from the first variable on, this changes between requests"
EXPECTED = "solid edge: expected from the cache"
NOT_EXPECTED = "hollow edge: not expected from the cache"


def fill_color(theme: Theme, *, variable: bool) -> QColor:
    return theme.variable if variable else theme.stable


def paint_edge(painter: QPainter, theme: Theme, area: QRectF, *, warm: bool) -> None:
    """Paint the left edge: solid teal if expected from the cache, otherwise a hollow grey outline."""
    edge = QRectF(area.left(), area.top(), EDGE_PX, area.height())
    if warm:
        fill_area(painter, edge, theme.warm_edge)
    elif edge.height() > 0:
        fill_area(painter, edge, theme.surface)
        painter.setPen(QPen(theme.fresh_outline, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for x in (edge.left() + 0.5, edge.right() - 0.5):
            painter.drawLine(QPointF(x, edge.top()), QPointF(x, edge.bottom()))


def close_edge(painter: QPainter, theme: Theme, y: float) -> None:
    """Close a hollow edge that begins or ends at `y`."""
    painter.setPen(QPen(theme.fresh_outline, 1))
    painter.drawLine(QPointF(0.5, y), QPointF(EDGE_PX - 0.5, y))


def boundary_text(end: StableEnd) -> str:
    return f"stable prefix ends · ≈ {end.tokens:,} tokens"


def served_text(served: Served, *, inside: bool = False) -> str:
    """Return the text of the served rule. `inside`: it is below a collapsed message in which the served part ends."""
    if not served.tokens:
        return "served from cache · 0"
    return f"served from cache {'into this message' if inside else 'to here'} · {served.tokens:,}"


def whole_words(text: str, metrics: QFontMetricsF, room: float) -> str:
    """Return `text`, or as many of its words as there is room for, and "…"."""
    if metrics.horizontalAdvance(text) <= room:
        return text
    words = text.split(" ")
    while words and metrics.horizontalAdvance(" ".join(words) + " …") > room:
        words.pop()
    return " ".join(words).rstrip("·,;: ") + " …" if words else ""


def paint_boundary(painter: QPainter, theme: Theme, area: QRectF, end: StableEnd, notch: float | None = None) -> None:
    """Paint the boundary row: text, dashed line, the variable's chip; `notch`: x of the character that it is about."""
    painter.setFont(ui_font(12, bold=True, tabular=True))
    painter.setPen(theme.variable_edge)
    inner, start = _begin_row(painter, area, theme.surface, boundary_text(end))
    chip = f"{{{{{end.name}}}}}"
    painter.setFont(mono_font(12))
    metrics = QFontMetricsF(painter.font())
    width, height = metrics.horizontalAdvance(chip) + 8, max(metrics.height(), 18)
    stop = inner.right()
    if stop - start - width > _SHORTEST_DASHES:
        box = QRectF(stop - width, area.center().y() - height / 2, width, height)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.chip)
        painter.drawRoundedRect(box, 3, 3)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
        painter.setPen(theme.variable_edge)
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, chip)
        stop = box.left() - 8
    pen = QPen(theme.variable_edge, 1)
    pen.setDashPattern([4, 3])
    _rule(painter, pen, start, stop, area.center().y() + 1)
    if notch is not None:
        _notch(painter, theme, area, notch)


def paint_served(
    painter: QPainter, theme: Theme, area: QRectF, served: Served, fill: QColor, *, inside: bool = False
) -> None:
    """Paint the served rule: text, thin line, and the time of the report. `inside`: see served_text."""
    font = ui_font(12, tabular=True)
    font.setWeight(QFont.Weight.Medium)
    painter.setFont(font)
    painter.setPen(theme.warm_edge)
    inner, start = _begin_row(painter, area, fill, served_text(served, inside=inside))
    stop = inner.right()
    painter.setFont(ui_font(12, tabular=True))
    time = f"reported, {served.time}"
    width = QFontMetricsF(painter.font()).horizontalAdvance(time)
    if stop - start - width > _SHORTEST_DASHES:
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, time)
        stop -= width + 8
    _rule(painter, QPen(theme.warm_edge, 1), start, stop, area.center().y() + 1)


def _begin_row(painter: QPainter, area: QRectF, fill: QColor, text: str) -> tuple[QRectF, float]:
    """Paint the ground and the text of a row; return the room for its contents, and where the text ends."""
    painter.setLayoutDirection(Qt.LayoutDirection.LeftToRight)
    fill_area(painter, area.adjusted(EDGE_PX, 0, 0, 0), fill)
    inner, metrics = area.adjusted(SIDE_PX, 0, -RIGHT_PX, 0), QFontMetricsF(painter.font())
    text = whole_words(text, metrics, inner.width())
    painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter, text)
    return inner, inner.left() + metrics.horizontalAdvance(text) + 8


def _rule(painter: QPainter, pen: QPen, start: float, stop: float, y: float) -> None:
    if stop > start:
        painter.setPen(pen)
        painter.drawLine(QLineF(start, round(y) - 0.5, stop, round(y) - 0.5))


def _notch(painter: QPainter, theme: Theme, area: QRectF, x: float) -> None:
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.variable_edge)
    bottom = area.bottom()
    painter.drawPolygon(QPolygonF([QPointF(x - 4, bottom - 5), QPointF(x + 4, bottom - 5), QPointF(x, bottom)]))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


def paint_swatch(painter: QPainter, theme: Theme, area: QRectF, *, variable: bool) -> None:
    """Paint a legend's square in the fill of stable or variable text."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(theme.variable_edge if variable else theme.stable_edge, 1))
    painter.setBrush(fill_color(theme, variable=variable))
    painter.drawRoundedRect(area.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)


class _AxisRow(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(ROW_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)


class BoundaryRow(_AxisRow):
    chosen = Signal()
    """Clicked: go to the variable."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[StableEnd, bool] | None = None
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def show_boundary(self, end: StableEnd, *, warm: bool) -> None:
        """Show this boundary; `warm`: the cache is expected to serve beyond it."""
        if (end, warm) != self._shown:
            self._shown = end, warm
            self.setAccessibleName(f"{boundary_text(end)}, at {end.name}")
            self.setToolTip(f"Everything from {{{{{end.name}}}}} on changes when its value changes")
            self.update()

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        self.chosen.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._shown is not None:
            painter, theme, area, (end, warm) = QPainter(self), current_theme(), QRectF(self.rect()), self._shown
            paint_edge(painter, theme, area, warm=warm)
            paint_boundary(painter, theme, area, end)


class ServedRow(_AxisRow):
    """The served rule at a message's end, or above the first message."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Served, bool | None, bool] | None = None

    def show_served(self, served: Served, *, variable: bool | None, inside: bool = False) -> None:
        """Show the rule on the fill of stable or variable text, or on none. `inside`: see served_text."""
        if (served, variable, inside) != self._shown:
            self._shown = served, variable, inside
            self.setAccessibleName(f"{served_text(served, inside=inside)}, reported {served.time}")
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._shown is not None:
            theme, (served, variable, inside) = current_theme(), self._shown
            fill = theme.surface if variable is None else fill_color(theme, variable=variable)
            paint_served(QPainter(self), theme, QRectF(self.rect()), served, fill, inside=inside)


NOT_WARM = -1


class MessageAxes(Struct, frozen=True):
    """One message. Offsets are code points of its template.

    Attributes:
        variable_from: where the variable fill starts; 0 includes the head, None: the whole message is stable.
        warm_to: up to where the cache is expected to serve it; NOT_WARM excludes the head.
    """

    variable_from: int | None
    warm_to: int
    tokens: int = 0

    @property
    def warm_head(self) -> bool:
        """Whether the cache is expected to serve the message's head at least."""
        return self.warm_to != NOT_WARM


NO_ANSWER = "cache: no answer yet"
"""State of a cache of which no answer tells anything; a request that failed may have been sent."""


class PromptAxes(Struct, frozen=True):
    """Structure, cache extent and figures of one document. `neutral`: the prompt has no text, nothing is painted."""

    document: Document
    messages: tuple[MessageAxes, ...]
    tools_tokens: int
    tools_warm: bool
    stable_end: StableEnd | None
    total: int
    same_values: int
    new_values: int
    state: str
    warm: bool
    basis: str = ""

    @property
    def neutral(self) -> bool:
        """Whether there is nothing to judge yet."""
        return not self.document.tools and not any(message.content for message in self.document.messages)

    @property
    def stable_tokens(self) -> int:
        return self.total if self.stable_end is None else self.stable_end.tokens

    @property
    def variable_tokens(self) -> int:
        return self.total - self.stable_tokens

    def not_warmer_than(self, other: PromptAxes) -> PromptAxes:
        """Return these axes no warmer than `other`: while a request runs, neither text nor state turns warm."""
        if len(other.messages) != len(self.messages):
            return self
        messages = tuple(
            replace(mine, warm_to=min(mine.warm_to, theirs.warm_to))
            for mine, theirs in zip(self.messages, other.messages, strict=True)
        )
        state, warm = (self.state, self.warm) if other.warm else (other.state, False)
        return replace(self, messages=messages, tools_warm=self.tools_warm and other.tools_warm, state=state, warm=warm)


def axes_of(prompt_forecast: PromptForecast, reported_total: int | None) -> PromptAxes:
    """Return the axes of a forecast. `reported_total`: prompt tokens that the server reported for this document."""
    document, zones, forecast = prompt_forecast.view.document, prompt_forecast.zones, prompt_forecast.forecast
    total = reported_total or round(forecast.prompt_tokens or zones.total_tokens)
    tokens = tokens_by_message(prompt_forecast, total)
    tools, *counts = tokens
    end = stable_end(document, tokens)
    messages = []
    for index, (zone, warm_to) in enumerate(zip(zones.message_zones, prompt_forecast.cache.messages, strict=True)):
        variable_from = None if end is None or index < end.message else end.offset if index == end.message else 0
        messages.append(MessageAxes(variable_from, warm_to if zone == "warm" or warm_to else NOT_WARM, counts[index]))
    same = round(forecast.cached_tokens)
    return PromptAxes(
        document=document,
        messages=tuple(messages),
        tools_tokens=tools,
        tools_warm=prompt_forecast.cache.tools == "warm",
        stable_end=end,
        total=total,
        same_values=same,
        new_values=round(prompt_forecast.new_values.cached_tokens),
        state=_state(prompt_forecast, time.time()),
        warm=same > 0,
        basis="\n".join(line for line in (forecast.basis, prompt_forecast.clock.basis) if line),
    )


def _state(prompt_forecast: PromptForecast, now: float) -> str:
    # Imported here: the first frame shows no forecast.
    from playground.prefix_cache.forecast import clock_time, left

    forecast, clock = prompt_forecast.forecast, prompt_forecast.clock
    if forecast.cached_tokens >= 0.5:
        until = clock.warm_until_unix
        if clock.cold_since_unix is not None:
            return f"warm or cold: lifetime ended {clock_time(clock.cold_since_unix)}"
        return f"warm, {left(until - now)} left" if until is not None else "warm, lifetime not known"
    if forecast.run_id is None:
        return NO_ANSWER
    if clock.cold_since_unix is not None:
        return f"cold since {clock_time(clock.cold_since_unix)}"
    return f"cold, {forecast.basis}" if forecast.basis else "cold"


class Served(Struct, frozen=True):
    """What the server reported as served from its cache: tokens, the time, and where in the prompt that ends."""

    tokens: int
    time: str
    message: int
    offset: int


def served_place(axes: PromptAxes, cached: int, prompt: int) -> tuple[int, int]:
    """Return message and template offset up to which `cached` of `prompt` reported tokens reach; (-1, 0): none."""
    rest = cached * axes.total / (prompt or 1) - axes.tools_tokens
    if cached <= 0 or rest < 0:
        return -1, 0
    for index, (message, part) in enumerate(zip(axes.document.messages, axes.messages, strict=True)):
        if rest < part.tokens:
            rendered = render(message.content or "", axes.document.variables)
            inside = round(len(rendered.text) * rest / (part.tokens or 1))
            return index, len(message.content or "") if inside >= len(rendered.text) else rendered.to_template(inside)
        rest -= part.tokens
    return len(axes.messages) - 1, len(axes.document.messages[-1].content or "") if axes.messages else 0


def first_difference(before: Document, after: Document) -> tuple[int, int] | None:
    """Return message and offset of the first difference that a cache would see; None: there is none."""
    if before.tools != after.tools:
        return -1, 0
    for index, (one, other) in enumerate(zip(before.messages, after.messages, strict=False)):
        if one == other and _values(one.content, before) == _values(other.content, after):
            continue
        if replace(one, content="") != replace(other, content=""):
            return index, 0
        mine, theirs = one.content or "", other.content or ""
        if mine != theirs:
            return index, common_prefix(mine, theirs)
        changed = (
            place.start for place in places(mine) if before.variables.get(place.name) != after.variables.get(place.name)
        )
        return index, next(changed, 0)
    if len(before.messages) != len(after.messages):
        return min(len(before.messages), len(after.messages)), 0
    return None


def _values(content: str | None, document: Document) -> list[str | None]:
    return [document.variables.get(place.name) for place in places(content or "")]
