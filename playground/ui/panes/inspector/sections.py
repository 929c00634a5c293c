"""The sections of the inspector, lint findings among them; each has its rows and displays one model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QLabel, QMenu, QSizePolicy, QWidget

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
from playground.ui.theme import GRID, restyle, scaled, ui_font
from playground.ui.widgets.figure_row import Bar, FigureRow, Swatch, time_pieces, usage_pieces
from playground.ui.widgets.icons import icon_button, set_icon
from playground.ui.widgets.labels import CopyButton, ElidedLabel, IdLabel, copy_text, push_button, toned
from playground.ui.widgets.layouts import (
    STRETCH,
    FlowLayout,
    Panel,
    Space,
    add_items,
    column_of,
    discard,
    row_of,
    single_timer,
)
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
        items = hairline(), Space(GRID), toned(caption, "caption"), Space(GRID // 4)
        self.column = column_of(*items, on=self, margins=0, spacing=GRID // 4)

    def add_row(self, key: str, name: str, swatch: Swatch | None = None, *, whole: bool = False) -> FigureRow:
        row = self.rows[key] = FigureRow(name, swatch, whole=whole, parent=self)
        self.column.addWidget(row)
        return row

    def add_rows(self, names: dict[str, str]) -> None:
        """Add rows: key to name."""
        for key, name in names.items():
            self.add_row(key, name)

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
        self.note = ElidedLabel("Note", "muted", focus=False)
        self.bar = Bar(10)
        add_items(
            self.column,
            row_of(self.headline, (self.note, 1), spacing=GRID // 2 + 2),
            Space(GRID // 2),
            self.bar,
            Space(GRID // 2),
        )
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
        self.headline.setText(headline.text)
        self.headline.setToolTip(plain_tip(headline.why))
        self.headline.setAccessibleDescription(headline.why)
        self.note.set_full_text(note.text, note.why, note.text.rpartition(" · ")[2])  # the tokens are in a row below


class ForecastSection(Section):
    """What was expected of the cache against what the server says it served."""

    def __init__(self) -> None:
        super().__init__("Cache")
        self.add_rows({"forecast": "forecast", "reported": "reported"})
        self.add_rows({"same": "next, same values", "new": "next, new values", "until": "warm until"})
        for key in ("same", "new", "until"):
            self.rows[key].hide()

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
        self.add_rows({"ttft": "time to first token", "total": "total"})
        self.bar = Bar(8)
        self.legend = QWidget()
        row = FlowLayout(spacing=GRID + GRID // 2)
        self.legend.setLayout(row)
        for name, role, hatched in _TIME_LEGEND:
            part = QWidget()
            row_of(Swatch(role, hatched=hatched), toned(name, "muted"), on=part, margins=0, spacing=GRID // 2)
            row.addWidget(part)
        add_items(self.column, Space(GRID // 4), self.bar, self.legend)
        self.more = QWidget()
        """Rows that are below the cost: it is visible without scrolling in a window of 1440×900."""
        rows = [self.add_row(key, name) for key, name in (("speed", "output speed"), ("connection", "connection"))]
        column_of(*rows, on=self.more, margins=0, spacing=GRID // 4)

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
        self.add_rows({"input": "input", "saved": "saved by the cache", "output": "output"})
        self.set_rate = push_button("Set a rate…", "link", name="Set rates for this endpoint")
        self.rows["output"].row.addWidget(self.set_rate)
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
        self.set_rate.setVisible(None in (model.rates.fresh, model.rates.cached, model.rates.output))
        self.note.setText(lines["note"].text)


_LINKS = (("ticket", "Ticket…", "ticket"), ("compare_with", "Compare…", "diff"), ("copy_curl", "curl", "copy"))
"""What can be done with a request: an action of the window, or "compare_with"; a label, an icon."""


class IdSection(QWidget):
    """The request_id, whole, with time, status and what can be done with the request."""

    action = Signal(str)
    """The id of an action of the window: "ticket", "compare" or "copy_curl"."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("request_id")
        self.status = ElidedLabel("Time and status", "muted", focus=False)
        self.status.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.status.setFont(ui_font(12, tabular=True))
        self.id = IdLabel("request_id")
        self.copy = icon_button("copy", "Copy request_id", "text", clicked=self._copy)
        self._copied = single_timer(self, COPIED_MS, lambda: self._show_copied(False))
        hint = "The id that support asks for. It appears here, whole, with each request."
        self.hint = toned(hint, "muted", wraps=True)
        head = row_of(toned("request_id", "caption"), (self.status, 1))
        line = row_of((self.id, 1), self.copy, spacing=GRID // 2)
        self.links = {
            name: push_button(label, "link", lambda _checked, name=name: self.action.emit(name), icon=(shape, "accent"))
            for name, label, shape in _LINKS
        }
        self.links["ticket"].setProperty("flush", "true")
        links = FlowLayout(spacing=0)
        links.add_all(list(self.links.values()))
        column_of(head, line, self.hint, links, on=self, margins=0, spacing=2)
        self.show_model(None)

    def show_model(self, model: InspectorModel | None) -> None:
        """Show a request; None: nothing was sent."""
        state = model.state if model is not None else None
        self._request_id = (state and state.request_id) or ""
        for widget in (self.id, *self.links.values()):
            widget.setVisible(state is not None)
        self.copy.setVisible(bool(self._request_id))
        self.hint.setVisible(state is None)
        if model is None or state is None:
            self.status.set_full_text("")
            return
        self.id.show_id(self._request_id, "" if self._request_id else id_missing(state))
        outcome = attempts_text(state)
        self.status.set_full_text(f"{model.started_utc.astimezone():%H:%M:%S} · {outcome}", short=outcome)
        tone = {"failed": "failure", "stopped": "variable", "interrupted": "variable"}.get(state.phase, "muted")
        restyle(self.status, tone=tone)

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


class InspectorStrip(Panel):
    """The inspector in one line, for a window too narrow for it: request_id, cached tokens, time to first token."""

    def __init__(self) -> None:
        super().__init__("footer", "Inspector, short")
        self.id = IdLabel("request_id")
        self.cached, self.ttft = QLabel(), QLabel()
        tip = "Show the inspector: usage, forecast, why tokens were not cached, latency, cost"
        self.details = push_button("Details", "link", name="Show the inspector", tip=tip)
        for label in (self.cached, self.ttft):
            label.setProperty("tone", "muted")
            label.setFont(ui_font(12, tabular=True))
        items = (self.id, 1), self.cached, self.ttft, self.details
        row_of(*items, on=self, margins=(GRID * 2, 0, GRID, 0), spacing=GRID)
        self.setFixedHeight(STRIP_PX)
        self.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave figures out of a narrow strip: the id needs the width."""
        super().resizeEvent(event)
        self.ttft.setVisible(self.width() >= scaled(TTFT_PX))
        self.cached.setVisible(self.width() >= scaled(CACHED_PX))

    def show_model(self, model: InspectorModel | None) -> None:
        """Show a request; None: nothing was sent."""
        state = model.state if model is not None else None
        self.id.show_id((state and state.request_id) or "", id_missing(state) if state else "Nothing was sent yet")
        cached = usage_lines(model)["cached"].text if model is not None else UNKNOWN
        self.cached.setText(f"{cached} cached")
        self.ttft.setText(f"TTFT {latency_lines(state)['ttft'].text}" if state else "")


class RequestSection(Section):
    """Further ids, ending, and destination. `more`: rows of another section, which come first."""

    def __init__(self, more: QWidget) -> None:
        super().__init__("Request")
        self.column.addWidget(more)
        self._copies: dict[str, CopyButton] = {}
        ids = {"other_id": "second request_id", "error_id": "id in the error body", "body_id": "body id"}
        for key, name in ids.items():
            self._copies[key] = CopyButton(f"the {name}")
            self.add_row(key, name, whole=True).row.addWidget(self._copies[key])
        self.add_rows({"finish": "finish reason", "attempts": "attempts"})
        self.add_rows({"endpoint": "endpoint", "model": "model", "time": "sent"})

    def show_model(self, model: InspectorModel) -> None:
        """Ids, finish reason and endpoint."""
        lines = request_lines(model)
        absent = {key for key in self._copies if key != "body_id" and not lines[key].text}
        # A row that is shown and hidden again has the whole inspector laid out twice.
        self.show_lines({key: line for key, line in lines.items() if key not in absent})
        for key, copy in self._copies.items():
            text = (model.state.body_id or "") if key == "body_id" else lines[key].text
            copy.set_text_to_copy(text)
            copy.setVisible(bool(text))
            self.rows[key].setVisible(key not in absent)


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
            discard(self._list, box)
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


class AdviceBox(Panel):
    def __init__(self, advice: Finding) -> None:
        look = {"serious": "error", "warning": "callout", "hint": "aside"}[advice.severity]
        super().__init__(look, f"{advice.severity}: {advice.title}")
        self.advice = advice
        self.setAccessibleDescription(advice.detail)
        self.show_place, self.fix, self.why, self.dismiss = buttons = [
            push_button(text, "link") for text in ("Show", "Fix…", "Why", "Dismiss")
        ]
        for button in buttons:
            # As narrow as its word: the inspector is a narrow column.
            button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(1)
            button.setAccessibleDescription(advice.title)
        menu = QMenu(self)
        self.once, self.for_good = menu.addAction("On this prompt"), menu.addAction("For good")
        self.dismiss.setMenu(menu)
        said = [words(SIGNS[advice.severity], "muted"), words(advice.title, "strong"), words(advice.detail)]
        if figures := " · ".join(_figure(item) for item in advice.evidence):
            said.append(words(figures, "muted"))
        margins = (GRID + 2, GRID // 2, GRID, GRID // 2)
        column_of(*said, row_of(*buttons, STRETCH, spacing=0), on=self, margins=margins, spacing=2)
        # Only after layout: a visible widget without a parent becomes a separate window.
        self.show_place.setVisible(any(place.path for place in advice.places))
        self.fix.setVisible(advice.fix is not None)


def _figure(item: Evidence) -> str:
    unit = " tokens" if item.unit == "tokens" and item.value is not None else ""
    return f"{item.label} {item.text}{unit}"
