"""The sections of the inspector, lint findings among them; each has its rows and displays one model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QFrame, QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from playground.prefix_cache.forecast import Forecast
from playground.runs.state import RunState
from playground.ui.panes.inspector.figures import (
    UNKNOWN,
    InspectorModel,
    Line,
    attempts_text,
    cost_lines,
    forecast_lines,
    id_missing,
    latency_lines,
    next_line,
    request_lines,
    usage_lines,
)
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, scaled, ui_font
from playground.ui.widgets.figure_row import Bar, FigureRow, Swatch, time_pieces, usage_pieces
from playground.ui.widgets.icons import icon_button, set_icon
from playground.ui.widgets.labels import CopyButton, ElidedLabel, IdLabel, copy_text, push_button, toned
from playground.ui.widgets.layouts import FlowLayout, Space, column_of, row_of, single_timer
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import hairline, plain_tip

if TYPE_CHECKING:
    from playground.lint.model import Evidence, Finding

COPIED_MS = 1_500


class Section(QWidget):
    """Rows by key, in the order that they were added."""

    def __init__(self, caption: str) -> None:
        super().__init__()
        self.setAccessibleName(caption)
        self.rows: dict[str, FigureRow] = {}
        label = QLabel(caption, self)
        label.setProperty("tone", "caption")
        self.column = column_of(hairline(), Space(GRID), label, Space(GRID // 4), on=self, margins=0, spacing=GRID // 4)

    def add_row(self, key: str, name: str, swatch: Swatch | None = None, *, whole: bool = False) -> FigureRow:
        """Add a row."""
        row = FigureRow(name, swatch, whole=whole, parent=self)
        self.rows[key] = row
        self.column.addWidget(row)
        return row

    def show_blank(self, keys: Collection[str]) -> None:
        """Show these rows as unknown: nothing was sent yet. Hide the others."""
        for key, row in self.rows.items():
            # First the tone: Qt polishes a widget when it becomes visible, and would do so again for the tone.
            row.show_value(UNKNOWN, "Nothing was sent yet", "muted")
            row.setVisible(key in keys)

    def show_lines(self, lines: dict[str, Line]) -> None:
        """Show the lines whose keys have a row here."""
        for key, line in lines.items():
            if (row := self.rows.get(key)) is not None:
                row.show_value(line.text, line.why, line.tone)
                row.setVisible(True)


class UsageSection(Section):
    """The headline, the bar and its legend."""

    def __init__(self) -> None:
        super().__init__("Usage")
        self.headline = toned("", "headline")
        self.note = ElidedLabel("Note", Qt.TextElideMode.ElideRight)
        self.note.setProperty("tone", "muted")
        self.note.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row = row_of(self.headline, (self.note, 1), spacing=GRID // 2 + 2)
        self.bar = Bar(10)
        self.column.addLayout(row)
        self.column.addSpacing(GRID // 2)
        self.column.addWidget(self.bar)
        self.column.addSpacing(GRID // 2)
        self.add_row("cached", "cached", Swatch("warm_edge"))
        self.add_row("fresh", "fresh", Swatch("fresh_outline", hollow=True))
        self.add_row("output", "output", Swatch("output"))

    def show_model(self, model: InspectorModel) -> None:
        """Usage as reported, or why there is none."""
        lines = usage_lines(model)
        self._head(lines["input"], lines["note"])
        self.show_lines(lines)
        self.bar.show_pieces(*usage_pieces(model.state.usage))

    def show_forecast(self, forecast: Forecast | None) -> None:
        """Show what the next request is expected to use; nothing of it is reported yet."""
        expected = f"≈ {forecast.prompt_tokens:,.0f} in" if forecast else "— in"
        self._head(Line(expected, "Estimated on this machine"), Line("nothing sent yet"))
        blank = Line("—", "Nothing was sent yet", "muted")
        self.show_lines({"cached": blank, "fresh": blank, "output": blank})
        self.bar.show_pieces(*usage_pieces(None))

    def _head(self, headline: Line, note: Line) -> None:
        if self.headline.text() != headline.text:
            self.headline.setText(headline.text)
        self.headline.setToolTip(plain_tip(headline.why))
        self.headline.setAccessibleDescription(headline.why)
        self.note.set_full_text(note.text, note.why, note.text.rpartition(" · ")[2])  # the tokens are in a row below


class ForecastSection(Section):
    """What was expected of the cache against what the server says it served."""

    def __init__(self) -> None:
        super().__init__("Cache")
        self.add_row("forecast", "forecast")
        self.add_row("reported", "reported")
        for key, name in (("same", "next, same values"), ("new", "next, new values"), ("until", "warm until")):
            self.add_row(key, name).hide()

    def show_next(self, same: Forecast | None, new: Forecast | None, until: Line | None = None) -> None:
        """Show the forecast of the next request: with the same values, with new values, and how long it holds."""
        lines = {"same": next_line(same) if same else None, "new": next_line(new) if new else None, "until": until}
        for key, line in lines.items():
            self.rows[key].setVisible(line is not None)
        self.show_lines({key: line for key, line in lines.items() if line is not None})

    def show_forecast(self, forecast: Forecast | None, state: RunState | None, score: str = "") -> None:
        """`state` is None while nothing was sent. `score`: accuracy of past forecasts, as a tooltip."""
        lines = forecast_lines(forecast, state)
        if score and not lines["reported"].why:
            lines["reported"] = replace(lines["reported"], why=score)
        self.show_lines(lines)


_TIME_LEGEND = (("headers", "muted", False), ("first token", "muted", True), ("output", "output", False))


class LatencySection(Section):
    """Time to first token, output speed, total, and where the time went."""

    def __init__(self) -> None:
        super().__init__("Latency")
        self.add_row("ttft", "time to first token")
        self.add_row("total", "total")
        self.bar = Bar(8)
        self.legend = QWidget()
        row = row_of(on=self.legend, margins=0, spacing=GRID // 2)
        for name, role, hatched in _TIME_LEGEND:
            label = toned(name, "muted")
            row.addWidget(Swatch(role, hatched=hatched))
            row.addWidget(label)
            row.addSpacing(GRID)
        row.addStretch(1)
        self.column.addSpacing(GRID // 4)
        self.column.addWidget(self.bar)
        self.column.addWidget(self.legend)
        self.add_row("speed", "output speed")
        self.add_row("connection", "connection")

    def show_state(self, state: RunState | None, elapsed: str = "") -> None:
        """Show the times as measured on this machine; None: nothing was sent."""
        for widget in (self.bar, self.legend):
            widget.setVisible(state is not None)
        if state is None:
            self.show_blank(("ttft", "total"))
            return
        self.show_lines(latency_lines(state, elapsed))
        self.bar.show_pieces(*time_pieces(state))


class CostSection(Section):
    """Cost at the user's rates; an unpriced value is never 0."""

    def __init__(self) -> None:
        super().__init__("Cost")
        self.add_row("input", "input")
        self.add_row("saved", "saved by the cache")
        output = self.add_row("output", "output")
        self.set_rate = push_button("Set a rate…", "link", name="Set rates for this endpoint")
        output.row.addWidget(self.set_rate)
        self.note = toned("", "muted", wraps=True)
        self.column.addWidget(self.note)

    def show_model(self, model: InspectorModel | None) -> None:
        """Show the cost of a request; None: nothing was sent."""
        self.note.setVisible(model is not None)
        if model is None:
            self.show_blank(("input", "saved"))
            return
        lines = cost_lines(model)
        self.show_lines(lines)
        priced = None not in (model.rates.fresh, model.rates.cached, model.rates.output)
        self.set_rate.setVisible(not priced)
        if self.note.text() != lines["note"].text:
            self.note.setText(lines["note"].text)


class IdSection(QWidget):
    """The request_id, whole, with time, status and what can be done with the request."""

    action = Signal(str)
    """The id of an action of the window: "ticket", "compare" or "copy_curl"."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("request_id")
        caption = toned("request_id", "caption")
        self.status = ElidedLabel("Time and status", Qt.TextElideMode.ElideRight)
        self.status.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.status.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.status.setProperty("tone", "muted")
        self.status.setFont(ui_font(12, tabular=True))
        self.id = IdLabel("request_id")
        self.copy = icon_button("copy", "Copy request_id", "text", clicked=self._copy)
        self._copied = single_timer(self, COPIED_MS, lambda: self._show_copied(False))
        self.hint = toned(
            "The id that support asks for. It appears here, whole, with each request.", "muted", wraps=True
        )
        head = row_of(caption, (self.status, 1))
        line = row_of((self.id, 1), self.copy, spacing=GRID // 2)
        links = FlowLayout(spacing=0)
        self.links: dict[str, QPushButton] = {}
        for name, label, shape in (
            ("ticket", "Ticket…", "ticket"),
            ("compare_with", "Compare…", "diff"),
            ("copy_curl", "curl", "copy"),
        ):
            button = push_button(label, "link")
            set_icon(button, shape, "accent")
            button.clicked.connect(lambda _checked=False, name=name: self.action.emit(name))
            button.setProperty("flush", "true" if not self.links else "false")
            self.links[name] = button
            links.addWidget(button)
        column_of(head, line, self.hint, links, on=self, margins=0, spacing=2)
        self.show_model(None)

    def show_model(self, model: InspectorModel | None) -> None:
        """Show a request; None: nothing was sent."""
        state = model.state if model is not None else None
        request_id = state.request_id if state is not None else None
        self.id.setVisible(state is not None)
        self.copy.setVisible(bool(request_id))
        self.hint.setVisible(state is None)
        for button in self.links.values():
            button.setVisible(state is not None)
        if model is None or state is None:
            self.status.set_full_text("")
            return
        self.id.show_id(request_id or "", "" if request_id else id_missing(state))
        outcome = attempts_text(state)
        self.status.set_full_text(f"{model.started_utc.astimezone():%H:%M:%S} · {outcome}", short=outcome)
        tone = {"failed": "failure", "stopped": "variable", "interrupted": "variable"}.get(state.phase, "muted")
        restyle(self.status, tone=tone)
        self._request_id = request_id or ""

    def _copy(self) -> None:
        copy_text(self._request_id)
        self._show_copied(True)
        self._copied.start()

    def _show_copied(self, copied: bool) -> None:
        set_icon(self.copy, "check" if copied else "copy", "warm_edge" if copied else "text")
        label = "request_id copied" if copied else "Copy request_id"
        self.copy.setAccessibleName(label)
        self.copy.setToolTip(label)


STRIP_PX = 36
TTFT_PX, CACHED_PX = 470, 300


class InspectorStrip(QFrame):
    """The inspector in one line, for a window too narrow for it: request_id, cached tokens, time to first token."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "footer")
        self.setAccessibleName("Inspector, short")
        self.id = IdLabel("request_id")
        self.cached, self.ttft = QLabel(), QLabel()
        self.details = push_button("Details", "link")
        self.details.setAccessibleName("Show the inspector")
        self.details.setToolTip("Show the inspector: usage, forecast, why tokens were not cached, latency, cost")
        row = row_of(on=self, margins=(GRID * 2, 0, GRID, 0))
        self.setFixedHeight(STRIP_PX)
        row.setSpacing(GRID)
        row.addWidget(self.id, 1)
        for label in (self.cached, self.ttft):
            label.setProperty("tone", "muted")
            label.setFont(ui_font(12, tabular=True))
            row.addWidget(label)
        row.addWidget(self.details)
        self.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave figures out of a narrow strip: the id needs the width."""
        super().resizeEvent(event)
        self.ttft.setVisible(self.width() >= scaled(TTFT_PX))
        self.cached.setVisible(self.width() >= scaled(CACHED_PX))

    def show_model(self, model: InspectorModel | None) -> None:
        """Show a request; None: nothing was sent."""
        state = model.state if model is not None else None
        self.id.show_id(
            (state.request_id or "") if state else "", id_missing(state) if state else "Nothing was sent yet"
        )
        cached = usage_lines(model)["cached"].text if model is not None else UNKNOWN
        self.cached.setText(f"{cached} cached")
        self.ttft.setText(f"TTFT {latency_lines(state)['ttft'].text}" if state else "")


class RequestSection(Section):
    """Further ids, ending, and destination."""

    def __init__(self) -> None:
        super().__init__("Request")
        self._copies: dict[str, CopyButton] = {}
        for key, name in (
            ("other_id", "second request_id"),
            ("error_id", "id in the error body"),
            ("body_id", "body id"),
        ):
            self._add_copy(key, self.add_row(key, name, whole=True), name)
        for key, name in (
            ("finish", "finish reason"),
            ("attempts", "attempts"),
            ("endpoint", "endpoint"),
            ("model", "model"),
            ("time", "sent"),
        ):
            self.add_row(key, name)

    def show_model(self, model: InspectorModel) -> None:
        """Ids, finish reason and endpoint."""
        lines = request_lines(model)
        self.show_lines(lines)
        for key, copy in self._copies.items():
            text = (model.state.body_id or "") if key == "body_id" else lines[key].text
            copy.set_text_to_copy(text)
            copy.setVisible(bool(text))
            self.rows[key].setVisible(key == "body_id" or bool(text))

    def _add_copy(self, key: str, row: FigureRow, name: str) -> None:
        button = CopyButton(f"the {name}")
        row.row.addWidget(button)
        self._copies[key] = button


FEW = 3
SIGNS = {"serious": "✗ serious", "warning": "⚠ warning", "hint": "· hint"}


class AdviceSection(Section):
    """A box a piece of advice. Hidden while there is none."""

    place_requested = Signal(object)
    """The Finding whose place is to be shown."""
    fix_requested = Signal(object)
    dismissed = Signal(object, bool)
    """(Finding, for good)."""
    guide_requested = Signal(str)
    """A rule's name."""
    counted = Signal(int)
    """How many pieces of advice there are now."""

    def __init__(self) -> None:
        super().__init__("Advice")
        self._advice: tuple[Finding, ...] = ()
        self._unfolded = False
        self.boxes: list[AdviceBox] = []
        """What is on show."""
        self.more = push_button("", "link", self._fold)
        self._list = column_of(spacing=GRID)
        self.column.addLayout(self._list)
        self.column.addWidget(self.more)
        self.hide()

    def show_advice(self, advice: Sequence[Finding]) -> None:
        """Show these findings; no effect if unchanged."""
        if tuple(advice) != self._advice:
            self._advice = tuple(advice)
            self._build()
            self.counted.emit(len(self._advice))

    def _fold(self) -> None:
        self._unfolded = not self._unfolded
        self._build()

    def _build(self) -> None:
        for box in self.boxes:
            self._list.removeWidget(box)
            box.hide()
            box.deleteLater()
        self.boxes = [self._box(advice) for advice in self._advice[: None if self._unfolded else FEW]]
        left = len(self._advice) - FEW
        self.more.setText("Show fewer" if self._unfolded else f"and {left} more")
        self.more.setVisible(left > 0)
        self.setVisible(bool(self._advice))

    def _box(self, advice: Finding) -> AdviceBox:
        box = AdviceBox(advice)
        box.show_place.clicked.connect(lambda: self.place_requested.emit(advice))
        box.fix.clicked.connect(lambda: self.fix_requested.emit(advice))
        box.why.clicked.connect(lambda: self.guide_requested.emit(advice.rule))
        box.once.triggered.connect(lambda: self.dismissed.emit(advice, False))
        box.for_good.triggered.connect(lambda: self.dismissed.emit(advice, True))
        self._list.addWidget(box)
        box.show()
        return box


class AdviceBox(QFrame):
    """One piece of advice."""

    def __init__(self, advice: Finding) -> None:
        super().__init__()
        self.advice = advice
        self.setProperty("look", "error" if advice.severity == "serious" else "callout")
        if advice.severity == "hint":
            self.setProperty("look", "aside")
        self.setAccessibleName(f"{advice.severity}: {advice.title}")
        self.setAccessibleDescription(advice.detail)
        column = column_of(
            words(SIGNS[advice.severity], "muted"),
            words(advice.title, "strong"),
            words(advice.detail),
            on=self,
            margins=(GRID + 2, GRID // 2, GRID, GRID // 2),
            spacing=2,
        )
        if figures := " · ".join(_figure(item) for item in advice.evidence):
            column.addWidget(words(figures, "muted"))
        self.show_place, self.fix, self.why, self.dismiss = (_link(text) for text in ("Show", "Fix…", "Why", "Dismiss"))
        menu = QMenu(self)
        self.once = menu.addAction("On this prompt")
        self.for_good = menu.addAction("For good")
        self.dismiss.setMenu(menu)
        row = row_of(spacing=0)
        for button in (self.show_place, self.fix, self.why, self.dismiss):
            button.setAccessibleDescription(advice.title)
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        # Only after layout: a visible widget without a parent becomes a separate window.
        self.show_place.setVisible(any(place.path for place in advice.places))
        self.fix.setVisible(advice.fix is not None)


def _link(text: str) -> QPushButton:
    button = push_button(text, "link")
    # As narrow as its word: the inspector is a narrow column.
    button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(1)
    return button


def _figure(item: Evidence) -> str:
    unit = " tokens" if item.unit == "tokens" and item.value is not None else ""
    return f"{item.label} {item.text}{unit}"
