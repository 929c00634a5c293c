"""Recorder mode around its tables: toolbar, bars of tokens, how to connect, what changed since the last request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from msgspec import Struct
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from playground import asset
from playground.experiments.comparison import Piece
from playground.recorder.difference import RequestDifference
from playground.requestlog.records import LogRow
from playground.runs.metrics import Figure, counted
from playground.ui.compare.column import PieceView
from playground.ui.theme import GRID, current_theme, mono_font, restyle, scaled, ui_font, zoom_factor
from playground.ui.topbar import ModeTools
from playground.ui.widgets.figure_row import figure, round_up
from playground.ui.widgets.form import combo_box, line_edit, spin_box
from playground.ui.widgets.icons import IconLabel, set_icon, set_label
from playground.ui.widgets.labels import CopyButton, ElidedLabel, push_button, toned
from playground.ui.widgets.layouts import STRETCH, FlowLayout, Panel, column_of, row_of, single_timer
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import words

_URL_PX, _LEAST_URL_PX = 256, 60
"""Width of a whole address with a port of five digits; least width in a window without room. Copy has the whole one."""
_FORWARDS_PX = 780
"""Least width with the name of the endpoint beside the address."""


class RecorderTools(ModeTools):
    """Displays the state; emits what the user wants."""

    start_wanted = Signal()
    stop_wanted = Signal()
    pause_wanted = Signal()
    """Pause or resume the display."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = IconLabel("record", "failure")
        self.state = QLabel("Not recording")
        self.url = line_edit("Base URL for your program")
        self.url.setReadOnly(True)
        self.url.setFont(mono_font(12))
        self.copy = CopyButton("the base URL")
        self.forwards = toned("", "muted")
        self.port = spin_box(0, 65_535, 8788, "Port of the Recorder; 0 takes a free one")
        self.port.setPrefix("Port ")
        self.port.setSpecialValueText("Any free port")
        self.pause = push_button("Pause", clicked=lambda _checked: self.pause_wanted.emit())
        self.button = push_button(
            "", clicked=lambda _checked: (self.stop_wanted if self._running else self.start_wanted).emit()
        )
        self._level = 0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        row_of(
            STRETCH,
            self.mark,
            self.state,
            self.url,
            self.copy,
            self.forwards,
            self.port,
            self.pause,
            self.button,
            on=self,
            margins=0,
            spacing=GRID,
        )
        self._running = self._paused = False
        self.show_state("Not recording", "", "", running=False, busy=False)
        self.show_paused(False)

    def show_state(self, state: str, url: str, forwards: str, *, running: bool, busy: bool) -> None:
        """Show the state in words, the base URL ("" without one), and the endpoint that requests go to."""
        self._running = running
        self.state.setText(state)
        tone = "failure" if running else "muted"
        restyle(self.state, tone=tone)
        self.mark.setVisible(running)
        if self.url.text() != url:
            self.url.setText(url)
            self.url.setCursorPosition(0)
        self.url.setVisible(bool(url))
        self.copy.set_text_to_copy(url)
        self.copy.setVisible(bool(url))
        self.forwards.setText(f"forwards to {forwards}" if forwards else "")
        self.url.setToolTip(f"{url}\nForwards to {forwards}" if forwards else url)
        self._fit()
        self.port.setVisible(not running)
        self.pause.setVisible(running)
        self.button.setEnabled(not busy)
        set_icon(self.button, "stop" if running else "record", "text" if running else "on_accent")
        restyle(self.button, look="" if running else "primary")
        self.show_compact(self._level)

    def show_paused(self, paused: bool) -> None:
        self._paused = paused
        self.show_compact(self._level)
        set_icon(self.pause, "play" if paused else "pause", "text")
        tip = "Show the requests that arrived meanwhile" if paused else "Keep the rows in place; recording continues"
        self.pause.setToolTip(tip)
        self.pause.setAccessibleName("Resume the display" if paused else "Pause the display")

    def show_compact(self, level: int) -> None:
        """Show all (0), leave out words (1), or also shorten the address (2)."""
        self._level, compact = level, level > 0
        self.state.setVisible(level < 2)  # the button says it, too
        self.url.setMaximumWidth(scaled(_URL_PX))
        self.url.setMinimumWidth(scaled(_URL_PX if level < 2 else _LEAST_URL_PX))
        if self.url.property("zoomApplied") != zoom_factor():  # width and font are in the present text size
            self.url.setProperty("zoomApplied", zoom_factor())
            self.url.setFont(mono_font(12))
        set_label(self.pause, "" if compact else "Resume" if self._paused else "Pause")
        start = "Record" if compact else "Start recording"
        set_label(self.button, start if not self._running else "" if compact else "Stop")
        self.button.setAccessibleName("Stop" if self._running else "Start recording")
        self.button.setToolTip("Stop" if self._running and compact else "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.forwards.setVisible(bool(self.forwards.text()) and self.width() >= scaled(_FORWARDS_PX))


SNIPPETS: dict[str, str] = json.loads(asset("recorder_clients.json").read_text("utf-8"))
"""Client to code; `{url}` is the base URL of the Recorder."""


class ConnectPanel(QWidget):
    """Shows the snippet of the chosen client."""

    def __init__(self) -> None:
        super().__init__()
        self._url = ""
        self.client = combo_box("Client library", list(SNIPPETS))
        self.code = TextBox("Code that sends requests to the Recorder", font=mono_font(12))
        self.code.setReadOnly(True)
        self.code.setMaximumHeight(170)
        self.copy = CopyButton("the code")
        row = row_of((self.client, 1), self.copy)
        column = column_of(words("Connect your program", "strong"), on=self, margins=GRID * 2, spacing=GRID)
        note = "Change the base URL. The key, body and stream pass through unchanged; the key is not stored."
        column.addWidget(words(note, "muted"))
        column.addLayout(row)
        column.addWidget(self.code)
        column.addStretch(1)
        self.client.currentTextChanged.connect(lambda _name: self._show())
        self._show()

    def show_url(self, url: str) -> None:
        """Use this base URL of the Recorder, which may not have started yet."""
        if url != self._url:
            self._url = url
            self._show()

    def _show(self) -> None:
        code = SNIPPETS[self.client.currentText()].format(url=self._url)
        self.code.set_exact(code)
        self.copy.set_text_to_copy(code)


MOST_BARS = 120
AFTER_TABLE_MS = 20
"""New bars are painted in the frame after the rows of the table, so that neither frame is late."""
_LEFT, _TOP, _BOTTOM, _GAP = 48, 24, 28, 3
_WIDEST = 36
_MEANING = "prompt tokens per request"
_HEIGHT, _LOW = 150, 104
"""Pixels of the bars, with legend and times in a text of 100 %, in a high page and in a low one."""


class TokenBars(QWidget):
    """One bar per request, oldest left: cached solid, fresh hollow; dashed if the tokens are not reported.

    A dot below a bar marks a request that a leak made more expensive.
    """

    chosen = Signal(str)
    """The run_id of a bar that was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[LogRow, ...] = ()
        self._selected = ""
        self._leaking: frozenset[str] = frozenset()
        self._low = False
        self._repaint = single_timer(self, AFTER_TABLE_MS, self.update)
        self.setAccessibleName("Cached and fresh prompt tokens over time")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.show_zoom()

    def show_rows(self, rows: Sequence[LogRow], selected: str, leaking: frozenset[str]) -> None:
        """Show these, newest first, with a dot at `leaking`. Repeated calls give one repaint."""
        shown = tuple(reversed(rows[:MOST_BARS]))
        if (shown, selected, leaking) == (self._rows, self._selected, self._leaking):
            return
        self._rows, self._selected, self._leaking = shown, selected, leaking
        both = self._reported()
        cached, prompt = sum(cached for _, cached in both), sum(prompt for prompt, _ in both)
        leaks = sum(row.run_id in leaking for row in shown)
        text = f"{counted(len(shown), 'request')}, {cached:,} of {prompt:,} prompt tokens cached, {leaks} with a leak"
        text = text if both else "No request has reported cached tokens"
        self.setAccessibleDescription(text)
        self.setToolTip(text)
        self._repaint.start()

    def show_low(self, low: bool) -> None:
        """Draw lower bars in a low page."""
        if low != self._low:
            self._low = low
            self.show_zoom()

    def show_zoom(self) -> None:
        """Apply the text size. Bars keep their height; lines of text need more room."""
        self.setProperty("zoomApplied", zoom_factor())  # the height is not scaled as a whole
        self._font = ui_font(11, tabular=True)
        self._top, self._bottom, self._left = scaled(_TOP), scaled(_BOTTOM), scaled(_LEFT)
        self.setFixedHeight((_LOW if self._low else _HEIGHT) + self._top + self._bottom - _TOP - _BOTTOM)
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(400, self.height())

    def _reported(self) -> list[tuple[int, int]]:
        pairs = ((row.prompt_tokens, row.cached_tokens) for row in self._rows)
        return [(prompt, cached) for prompt, cached in pairs if prompt is not None and cached is not None]

    def _place(self, number: int) -> QRectF:
        width = self.width() - self._left - 8
        step = min(_WIDEST + _GAP, width / max(len(self._rows), 1))
        gap = _GAP if step > 2 * _GAP else 1
        return QRectF(
            self._left + number * step, self._top, max(step - gap, 1), self.height() - self._top - self._bottom
        )

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self._font)
        painter.fillRect(self.rect(), current_theme().surface)
        most = round_up(max((prompt for prompt, _ in self._reported()), default=0))
        self._paint_legend(painter)
        if self._rows:
            self._paint_axis(painter, most)
            self._paint_bars(painter, most)

    def _paint_legend(self, painter: QPainter) -> None:
        both = self._reported()
        cached = sum(cached for _, cached in both)
        fresh = sum(prompt for prompt, _ in both) - cached
        x, base = float(self._left), float(scaled(15))
        for label, solid in ((f"cached {cached:,}", True), (f"fresh {fresh:,}", False)):
            if x + 14 + painter.fontMetrics().horizontalAdvance(label) > self.width():
                return  # the tooltip has it
            mark = QRectF(x, base - 9, 9, 9)
            painter.setPen(QPen(current_theme().warm_edge if solid else current_theme().fresh_outline, 1))
            painter.setBrush(current_theme().warm_edge if solid else current_theme().line)
            painter.drawRect(mark)
            painter.setPen(current_theme().muted)
            painter.drawText(QPointF(x + 14, base), label if both else f"{label.split()[0]} —")
            x += 34 + painter.fontMetrics().horizontalAdvance(label)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        fits = x + 14 + painter.fontMetrics().horizontalAdvance("leak") <= self.width()
        if fits and any(row.run_id in self._leaking for row in self._rows):
            self._paint_dots(painter, [QPointF(x + 4, base - 4)])
            painter.setPen(current_theme().muted)
            painter.drawText(QPointF(x + 14, base), "leak")
            x += 34 + painter.fontMetrics().horizontalAdvance("leak")
        if x + painter.fontMetrics().horizontalAdvance(_MEANING) <= self.width():
            painter.drawText(QPointF(x, base), _MEANING)

    def _paint_dots(self, painter: QPainter, centers: list[QPointF]) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(current_theme().variable_edge, 5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPoints(centers)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _paint_axis(self, painter: QPainter, most: float) -> None:
        area = QRectF(self._left, self._top, self.width() - self._left - 8, self.height() - self._top - self._bottom)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for part in (0, 0.5, 1):
            y = area.bottom() - area.height() * part
            painter.setPen(current_theme().line)
            painter.drawLine(QPointF(area.left() - 2, y), QPointF(area.right(), y))
            painter.setPen(current_theme().muted)
            painter.drawText(QRectF(0, y - scaled(8), self._left - 8, scaled(16)), right, figure(most * part))
        painter.drawText(QPointF(area.left(), self.height() - 5), f"{self._rows[0].started_utc.astimezone():%H:%M:%S}")
        last = f"{self._rows[-1].started_utc.astimezone():%H:%M:%S}"
        if len(self._rows) > 1:
            end = self._place(len(self._rows) - 1).right()
            at = max(end - painter.fontMetrics().horizontalAdvance(last), area.left() + scaled(70))
            if at + painter.fontMetrics().horizontalAdvance(last) <= self.width():
                painter.drawText(QPointF(at, self.height() - 5), last)

    def _paint_bars(self, painter: QPainter, most: float) -> None:
        """Draw all bars of one kind at once: one call for each bar takes three times as long."""
        theme, nothing = current_theme(), Qt.BrushStyle.NoBrush
        fresh: list[QRectF] = []
        cached: list[QRectF] = []
        unknown: list[QRectF] = []
        for number, row in enumerate(self._rows):
            place, bottom = self._place(number), self.height() - self._bottom
            if row.prompt_tokens is None or row.cached_tokens is None:
                unknown.append(QRectF(place.left(), bottom - 14, place.width(), 14))
                continue
            whole, solid = (place.height() * tokens / most for tokens in (row.prompt_tokens, row.cached_tokens))
            fresh.append(QRectF(place.left(), bottom - whole, place.width(), whole))
            cached.append(QRectF(place.left(), bottom - solid, place.width() + 0.5, solid))
        for rects, pen, brush in (
            (fresh, QPen(theme.fresh_outline, 1), theme.line),
            (cached, QPen(Qt.PenStyle.NoPen), theme.warm_edge),
            (unknown, QPen(theme.fresh_outline, 1, Qt.PenStyle.DashLine), nothing),
        ):
            painter.setPen(pen)
            painter.setBrush(brush)
            painter.drawRects(rects)
        painter.setBrush(nothing)
        leaks: list[QPointF] = []
        for number, row in enumerate(self._rows):
            if row.run_id in self._leaking or row.run_id == self._selected:
                place = self._place(number)
                if row.run_id in self._leaking:
                    leaks.append(QPointF(place.center().x(), place.bottom() + 6))
                if row.run_id == self._selected:
                    painter.setPen(QPen(theme.accent, 2))
                    painter.drawRect(place.adjusted(-2, -2, 2, 1))
        self._paint_dots(painter, leaks)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        x = event.position().x()
        for number, row in enumerate(self._rows):
            place = self._place(number)
            if place.left() <= x <= place.right() + _GAP:
                self.chosen.emit(row.run_id)


LINES, LOW_LINES, LOWEST_LINES = 3, 2, 1
"""Lines of the text at a difference, by the height of the page."""
_NOTABLE = 64
"""Tokens from which a report contradicts the estimate."""


class Compared(Struct, frozen=True):
    """A request, the one that it is compared with, and their difference. `within`: "conversation" or "program"."""

    row: LogRow
    earlier: LogRow
    within: str
    difference: RequestDifference
    pieces: Sequence[Piece] = ()


class DifferenceStrip(Panel):
    """Hidden without two requests to compare."""

    earlier_wanted = Signal(str)
    """The run_id of the earlier request, which is to be selected."""
    compare_wanted = Signal(list)
    """run_ids of both requests, the earlier first."""

    def __init__(self) -> None:
        super().__init__("footer", "Difference from the request before")
        self.compared: Compared | None = None
        self.title = ElidedLabel("Compared requests", "strong")
        self.title.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.place = ElidedLabel("First difference", "muted")
        self.place.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.pieces = PieceView("Text at the first difference", margin=0)
        self.pieces.setFont(mono_font(12))
        self._lines = LINES
        self.pieces.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.pieces.setStyleSheet("background: transparent;")
        self.note = words("", "muted")
        self._run_ids: list[str] = []
        self._place = self._note = ""
        earlier = push_button(
            "Show earlier",
            "link",
            lambda _checked: self.earlier_wanted.emit(self._run_ids[0]),
            name="Select the earlier request",
        )
        compare = push_button(
            "Compare…",
            "link",
            lambda _checked: self.compare_wanted.emit(self._run_ids),
            icon=("diff", "accent"),
            name="Compare both requests in Compare mode",
        )
        said, head = QWidget(), FlowLayout()  # the buttons are below the words if there is no room beside them
        said.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        row_of(self.title, (self.place, 1), on=said, margins=0, spacing=GRID)
        self._buttons = QWidget()
        row_of(earlier, compare, on=self._buttons, margins=0, spacing=GRID)
        head.add_all((said, self._buttons))
        column_of(head, self.pieces, self.note, on=self, margins=(GRID * 2, 6, GRID, 6), spacing=4)
        self.show_zoom()
        self.hide()

    def show_compared(self, compared: Compared | None) -> None:
        if compared == self.compared:
            return
        self.compared = compared
        self.setVisible(compared is not None)
        if compared is None:
            return
        found = compared.difference
        self._run_ids = [compared.earlier.run_id, compared.row.run_id]
        times = [f"{row.started_utc.astimezone():%H:%M:%S}" for row in (compared.row, compared.earlier)]
        self.title.set_full_text(f"{times[0]} {'differs from' if found.place else 'continues'} {times[1]}")
        shared = f"{Figure.estimated(found.shared_tokens).text} tokens shared"
        self._place = found.place or found.words
        self.place.set_full_text(f"{self._place} · {shared}", short=self._place)
        self.title.setToolTip(f"Compared with the request before in its {compared.within}")
        self.pieces.setVisible(bool(found.place))
        self.pieces.show_pieces(compared.pieces)
        self._note = note(compared)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Show the place of the difference beside the title, or before the note if there is no room for it."""
        taken = self.title.sizeHint().width() + self._buttons.sizeHint().width() + 5 * GRID
        fits = self.width() - taken >= self.place.fontMetrics().horizontalAdvance(self._place)
        self.place.setVisible(fits)
        self.note.setText(self._note if fits or not self._place else f"{self._place}: {self._note}")

    def show_lines(self, lines: int) -> None:
        """Show as many lines of text; in the lowest page without the buttons, which the menu of the row has, too."""
        if lines != self._lines:
            self._lines = lines
            self._buttons.setVisible(lines > LOWEST_LINES)
            self.show_zoom()

    def show_zoom(self) -> None:
        """Keep room for the same number of lines after the text size has changed."""
        self.pieces.setFixedHeight(self.pieces.fontMetrics().lineSpacing() * self._lines + 2)
        self._fit()


def note(compared: Compared) -> str:
    """Return what the difference costs, with the reported figures."""
    row, found = compared.row, compared.difference
    if row.phase == "failed":
        return "This request failed: no tokens were reported, and it does not change the cache."
    cached, prompt = Figure.reported(row.cached_tokens).text, Figure.reported(row.prompt_tokens).text
    reported = f"Reported: {cached} of {prompt} prompt tokens cached."
    if row.cached_tokens is not None and row.cached_tokens > found.shared_tokens * 1.25 + _NOTABLE:
        return f"{reported} Another earlier request shares more with this one."
    if not found.place:
        return reported
    repeated = Figure.estimated(found.repeated_tokens).text
    return f"{found.words}. {repeated} unchanged tokens behind it were sent again. {reported}"
