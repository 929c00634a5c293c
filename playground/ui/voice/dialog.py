"""Voice timeline window: source selection, speech settings, and one tab per evaluation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QResizeEvent, QShowEvent
from PySide6.QtWidgets import QDoubleSpinBox, QScrollBar, QSpinBox, QTabWidget, QWidget

from playground.agent.service import Example
from playground.prompt.field_errors import InputError
from playground.simulator.process import SimulatorError
from playground.storage.settings import Settings
from playground.ui.controllers.voice import NOTHING, CurrentRun, TimelineSource
from playground.ui.theme import GRID, restyle, scaled
from playground.ui.voice.canvas import Canvas
from playground.ui.voice.picture import EMPTY, brief, milliseconds, picture, rows
from playground.ui.voice.readiness_tab import ReadinessServices, ReadinessTab
from playground.ui.widgets.form import combo_box, padded, spin_box
from playground.ui.widgets.icons import set_icon
from playground.ui.widgets.labels import copy_text, push_button, show_or_hide, toned
from playground.ui.widgets.layouts import FittedScroll, FlowLayout, column_of, row_of, scrolled, single_timer, split_of
from playground.ui.widgets.notice import words
from playground.ui.widgets.plain_table import fill_table, plain_table
from playground.ui.widgets.task_dialog import TaskDialog, button_box, resize_dialog
from playground.voice.speech import DEFAULTS, FASTEST, SpeechSettings, Unit
from playground.voice.timeline import VARIANTS, Comparison, MeasuredTurn, Timeline, Variant, compare, timeline

PERIOD_COLUMNS = ("at", "length", "lane", "what", "known")
FIGURES = (
    ("first sound", "first_sound_at", "first_sound_s"),
    ("answer heard", "answer_heard_at", "answer_s"),
    ("longest silence", "longest_silence_s", "longest_silence_s"),
    ("total silence", "total_silence_s", "total_silence_s"),
)
"""The main figures: name, attribute of a `Timeline`, and attribute of the time saved."""
TABLE_S = 0.5
"""Minimum interval between updates of the table during a run."""
LEGEND = "Solid edge: measured. Dashed edge and ≈: computed from text and speech settings. Arrow keys move, + − 0 zoom."
LEAST_PX = 260
"""Height from which the table and the legend are shown below the picture, at 100 %."""


class TimelineTab(QWidget):
    """Accepts `show_timeline` once per frame."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = EMPTY
        self._filled_at = 0.0
        self.figures = words("", "strong")
        self.canvas = Canvas("Voice timeline")
        self.moment = words(LEGEND, "muted")
        self.bar = QScrollBar(Qt.Orientation.Horizontal)
        self.bar.setAccessibleName("Visible part of the timeline")
        self.table = plain_table("The timeline's figures", PERIOD_COLUMNS, 3, {0: 84, 1: 100, 2: 108, 4: 108})
        self.copy = push_button("Copy the table", clicked=self._copy)
        self.canvas.chosen.connect(lambda said: self.moment.setText(said or LEGEND))
        self.canvas.view_changed.connect(self._show_view)
        self.bar.valueChanged.connect(lambda value: self.canvas.look_from(value / 1000))
        self._lay_out()

    def _lay_out(self) -> None:
        scroll = scrolled(self.canvas, sideways=False)
        upper = QWidget()
        column_of((scroll, 1), self.bar, self.moment, on=upper, margins=0, spacing=GRID // 2)
        halves = split_of(Qt.Orientation.Vertical, upper, self.table, sizes=(370, 150))
        head = row_of((self.figures, 1), self.copy)
        column_of(head, (halves, 1), on=self, margins=(0, GRID, 0, 0))
        self._show_view()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out the table and the legend if there is room for the picture only."""
        super().resizeEvent(event)
        for widget in (self.table, self.copy, self.moment):
            widget.setVisible(self.height() >= scaled(LEAST_PX))

    def show_timeline(self, timeline: Timeline, turns: tuple[MeasuredTurn, ...], *, live: bool) -> None:
        """Draw a timeline. The table is updated less often, and at the end."""
        self.picture = picture(timeline, turns) if turns else EMPTY
        self.figures.setText(headline(timeline) if turns else "No run yet.")
        self.canvas.show_picture(self.picture)
        if not live or time.monotonic() - self._filled_at >= TABLE_S:
            self._filled_at = time.monotonic()
            fill_table(self.table, rows(self.picture))
        self.copy.setEnabled(bool(turns))

    def _show_view(self) -> None:
        begins, length, whole = (round(value * 1000) for value in self.canvas.view)
        with QSignalBlocker(self.bar):
            self.bar.setRange(0, max(whole - length, 0))
            self.bar.setPageStep(max(length, 1))
            self.bar.setSingleStep(max(length // 10, 1))
            self.bar.setValue(begins)
        self.bar.setVisible(whole > length)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [PERIOD_COLUMNS, *rows(self.picture)]))


def headline(timeline: Timeline) -> str:
    said = [f"{name} {milliseconds(getattr(timeline, field), computed=True)}" for name, field, _ in FIGURES]
    return "  ·  ".join(said).capitalize()


NAMES: dict[Variant, str] = {
    "parallel": "Filler, tool in parallel (as measured)",
    "after_speech": "Filler, tool after speech (≈ computed)",
    "no_filler": "No filler (≈ computed)",
}
VARIANT_COLUMNS = ("", "tool in parallel", "tool after speech", "gained", "no filler", "gained")
TABLE = "Time saved by running the tool during the filler"


class SideBySideTab(QWidget):
    """Variants computed from one run's measured times. Sends nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.said = words("")
        self._sentence = ""
        self.canvases = {
            variant: Canvas(NAMES[variant], brief=True, axis=variant == VARIANTS[0]) for variant in VARIANTS
        }
        self.table = plain_table(TABLE, VARIANT_COLUMNS, 0, {1: 140, 2: 148, 3: 104, 4: 104, 5: 104})
        self.table.setFixedHeight(142)
        self.copy = push_button("Copy the table", clicked=self._copy)
        self._rows: list[tuple[str, ...]] = []
        self._lay_out()

    def _lay_out(self) -> None:
        inner = QWidget()
        stack = column_of(on=inner, margins=0)
        for variant, canvas in self.canvases.items():
            stack.addWidget(toned(NAMES[variant], "strong"))
            stack.addWidget(canvas)
            canvas.chosen.connect(lambda text: self.said.setText(text or self._sentence))
        stack.addStretch(1)
        scroll = scrolled(inner, sideways=False)
        head = row_of((self.said, 1), self.copy)
        column_of(head, (scroll, 1), self.table, on=self, margins=(0, GRID, 0, 0))

    def show_turns(self, turns: tuple[MeasuredTurn, ...], settings: SpeechSettings) -> None:
        found = compare(turns, settings)
        self._sentence = sentence(found, turns)
        self.said.setText(self._sentence)
        axis = max(one.ends_at for one in found.timelines.values())
        for variant, canvas in self.canvases.items():
            canvas.show_picture(brief(picture(found.timelines[variant], turns)), axis)
        self._rows = saved_rows(found)
        fill_table(self.table, self._rows)

    def _copy(self) -> None:
        copy_text("\n".join("\t".join(row) for row in [VARIANT_COLUMNS, *self._rows]))


def sentence(found: Comparison, turns: tuple[MeasuredTurn, ...]) -> str:
    if not turns:
        return "No run yet."
    if not any(turn.times.calls for turn in turns):
        return "No tool was called: there is nothing to run beside a filler, and all three are alike."
    if not found.has_filler:
        return "No turn spoke before its call. Ask for a filler in the system prompt; until then all three are alike."
    saved = {one.over: one for one in found.saved}
    after, none = saved["after_speech"], saved["no_filler"]
    return (
        f"The tool beside the filler: the answer is heard {gained(after.answer_s)} than after its speech; "
        f"the filler: the first sound is heard {gained(none.first_sound_s)} than without one."
    )


def gained(value: float | None) -> str:
    """Format as `≈ 853 ms earlier`, or `later`."""
    if value is None:
        return "— (it did not happen)"
    return f"{milliseconds(abs(value), computed=True)} {'later' if value < 0 else 'earlier'}"


def saved_rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return a row for each of FIGURES."""
    saved = {one.over: one for one in found.saved}
    rows: list[tuple[str, ...]] = []
    for name, field, gain in FIGURES:
        times = [milliseconds(getattr(found.timelines[variant], field), computed=True) for variant in VARIANTS]
        after, none = (signed(getattr(saved[over], gain)) for over in ("after_speech", "no_filler"))
        rows.append((name, times[0], times[1], after, times[2], none))
    return rows


def signed(value: float | None) -> str:
    """Format as `≈ +853 ms` for saved time, `≈ −20 ms` for lost time."""
    if value is None:
        return "—"
    size = round(value * 1000)
    return f"≈ {'−' if size < 0 else '+' if size else ''}{abs(size):,} ms"


CHARACTERS_A_WORD = 6.0
"""Characters per word, with the following space: about the English mean."""
_STARTS = {"clause": "a clause", "sentence": "a sentence", "piece": "the first piece"}
VENDORS = "Start delay and pipeline are the vendor's figures (about 200 and 350 ms); the speaking rate is assumed."
OWN = "These figures are yours; the vendor's are 200 ms to first audio and 350 ms in all."


def speech_settings(settings: Settings) -> SpeechSettings:
    """Return the stored settings; the defaults if they are inconsistent."""
    delay_s, whole_s = settings.number("voice_delay_ms") / 1000, settings.number("voice_pipeline_ms") / 1000
    unit: Unit = "words" if settings.text("voice_unit") == "words" else "characters"
    start = settings.text("voice_start")
    try:
        return SpeechSettings(
            delay_s,
            round(whole_s - delay_s, 6),
            settings.number("voice_rate_tenths") / 10,
            unit,
            "sentence" if start == "sentence" else "piece" if start == "piece" else "clause",
        )
    except InputError:
        return DEFAULTS


class SpeechForm(QWidget):
    """Emits SpeechSettings after each change to valid values."""

    changed = Signal(object)

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.value = speech_settings(settings)
        self.delay, self.pipeline = _milliseconds("Start delay of the speech engine"), _milliseconds("Whole pipeline")
        self.rate = padded(QDoubleSpinBox())
        self.rate.setAccessibleName("Speaking rate per second")
        self.rate.setDecimals(1)
        self.rate.setRange(0.1, FASTEST)
        self.rate.setKeyboardTracking(False)
        self.unit, self.start = combo_box("Unit of the speaking rate"), combo_box("Speech starts after")
        for name in ("characters", "words"):
            self.unit.addItem(f"{name} per second", name)
        for rule, name in _STARTS.items():
            self.start.addItem(name, rule)
        self.defaults = push_button("Vendor's figures", clicked=self._reset)
        self.said = words("", "muted")
        self._lay_out()
        self._show()
        for box in (self.delay, self.pipeline, self.rate):
            box.valueChanged.connect(self._take)
        self.unit.activated.connect(self._other_unit)
        self.start.activated.connect(self._take)

    def _lay_out(self) -> None:
        flow = FlowLayout(spacing=GRID)
        flow.add_labelled("Start delay", self.delay)
        flow.add_labelled("Pipeline, to the ear", self.pipeline)
        flow.add_labelled("Starts at", self.start)
        flow.add_labelled("Speaking rate", self.rate)
        flow.addWidget(self.unit)
        flow.addWidget(self.defaults)
        column_of(flow, self.said, on=self, margins=0, spacing=GRID // 2)

    def _show(self) -> None:
        value = self.value
        for box, shown in ((self.delay, value.engine_start_s), (self.pipeline, value.pipeline_s)):
            with QSignalBlocker(box):
                box.setValue(round(shown * 1000))
        with QSignalBlocker(self.rate):
            self.rate.setValue(value.rate)
        self.unit.setCurrentIndex(self.unit.findData(value.unit))
        self.start.setCurrentIndex(self.start.findData(value.start))
        self._say()

    def _say(self, problem: str = "") -> None:
        vendors = (self.delay.value(), self.pipeline.value()) == (200, 350)
        self.said.setText(problem or (VENDORS if vendors else OWN))
        restyle(self.said, tone="failure" if problem else "muted")

    def _take(self, *_: object) -> None:
        delay, whole = self.delay.value(), self.pipeline.value()
        if whole < delay:
            self._say(
                f"The pipeline includes the start delay: enter at least {delay} ms. The last valid values are kept."
            )
            return
        for name, value in (
            ("voice_delay_ms", delay),
            ("voice_pipeline_ms", whole),
            ("voice_rate_tenths", max(round(self.rate.value() * 10), 1)),
            ("voice_unit", str(self.unit.currentData())),
            ("voice_start", str(self.start.currentData())),
        ):
            self._settings.set(name, value)
        self.value = speech_settings(self._settings)
        self._say()
        self.changed.emit(self.value)

    def _other_unit(self) -> None:
        if self.unit.currentData() != self.value.unit:
            to_words = self.unit.currentData() == "words"
            rate = self.value.rate / CHARACTERS_A_WORD if to_words else self.value.rate * CHARACTERS_A_WORD
            with QSignalBlocker(self.rate):
                self.rate.setValue(rate)
        self._take()

    def _reset(self) -> None:
        self.value = DEFAULTS
        self._show()
        self._take()


def _milliseconds(name: str) -> QSpinBox:
    box = spin_box(0, 10_000, 0, f"{name}, milliseconds", suffix=" ms", whole=True)
    box.setSingleStep(10)
    return box


ROOMY_PX = 660
"""Height of the dialog from which the speech settings are open at first."""
FRAME_MS = 16
IDLE_MS = 100
"""Interval of updates while a run produces no events, so that elapsed times advance."""


class VoiceDialog(TaskDialog):
    """Window of the voice timeline; not modal, follows the current run. `play` runs the vendor's example."""

    def __init__(
        self,
        settings: Settings,
        current_run: CurrentRun,
        play: Callable[[], Coroutine[Any, Any, Example]],
        services: ReadinessServices,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Voice timeline")
        self._current_run, self._play, self._start = current_run, play, services.start
        self._source = current_run.source
        self._task: asyncio.Task[None] | None = None
        self.title = words("", "strong")
        self.note = words("", "muted")
        self.current = push_button("Current run", clicked=lambda: self.show_source(current_run.source))
        self.example = push_button("The vendor's example", clicked=self.play_example)
        self.example.setToolTip("Plays filler, tool and answer against the built-in simulator: two requests in the log")
        for button in (self.current, self.example):
            button.setAutoDefault(False)
        self.form = SpeechForm(settings)
        self.form.changed.connect(self._other_speech)
        self.timeline, self.beside = TimelineTab(), SideBySideTab()
        self.tabs = QTabWidget(self)
        self.tabs.setProperty("look", "inside")
        self.tabs.tabBar().setAccessibleName("Views of the voice timeline")
        self.readiness = ReadinessTab(settings, services)
        for tab, title in ((self.timeline, "Timeline"), (self.beside, "Side by side"), (self.readiness, "Readiness")):
            self.tabs.addTab(tab, title)
        self.tabs.currentChanged.connect(self._other_tab)
        self._frame = single_timer(self, FRAME_MS, self.refresh)
        current_run.changed.connect(self._came)
        self.speech = push_button("Speech settings", "link")
        self.speech.setCheckable(True)
        self.speech.setAutoDefault(False)
        self.speech.toggled.connect(self._show_form)
        self._placed = False
        self._lay_out()
        self._show_form(False)
        self.refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Show the speech settings at first if they leave room for the timeline."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            self.speech.setChecked(self.height() >= ROOMY_PX)

    def _show_form(self, shown: bool) -> None:
        self.form.setVisible(shown)
        set_icon(self.speech, "down" if shown else "right", "accent")

    def _lay_out(self) -> None:
        buttons = FlowLayout()
        buttons.add_all((self.current, self.example, self.speech))
        head = QWidget()
        parts = FittedScroll(head), (self.tabs, 1), button_box(self.close)
        column_of(*parts, on=self, margins=GRID * 2, spacing=GRID)
        column_of(self.title, self.note, buttons, self.form, on=head, margins=0, spacing=GRID)
        self.note.hide()
        resize_dialog(self, 1120, 780)

    def _other_tab(self, _index: int) -> None:
        if self.tabs.currentWidget() is self.readiness:
            self.readiness.judge(self.form.value)
        self.refresh()

    def _other_speech(self, value: SpeechSettings) -> None:
        self.readiness.judge(value)
        self.refresh()

    def show_source(self, source: TimelineSource, note: str = "") -> None:
        """Show these turns. Call `refresh_soon` after they change."""
        self._source = source
        show_or_hide(self.note, note)
        self.refresh()

    def refresh_soon(self) -> None:
        """Schedule a redraw in the next frame; repeated calls are merged."""
        if not self._frame.isActive() or self._frame.interval() > FRAME_MS:
            self._frame.start(FRAME_MS)

    def _came(self) -> None:
        if self._task is None:
            # A new run also replaces an example or a conversation on the screen.
            self._source = self._current_run.source
            self.note.hide()
            self.refresh_soon()

    def refresh(self) -> None:
        turns, now = self._source.turns(), self._source.now()
        live = now is not None
        self.title.setText(f"{self._source.title}{' – running' if live else ''}")
        if self.tabs.currentWidget() is self.beside:
            self.beside.show_turns(turns, self.form.value)
        elif self.tabs.currentWidget() is self.timeline:
            self.timeline.show_timeline(timeline(turns, self.form.value, now=now), turns, live=live)
        if live and self.isVisible() and not self._frame.isActive():
            self._frame.start(IDLE_MS)

    def play_example(self) -> None:
        if self._task is None:
            self.example.setEnabled(False)
            self.show_source(TimelineSource("The vendor's example is being played…", NOTHING.turns))
            self._task = self._start(self._played(), "play the vendor's example")

    async def _played(self) -> None:
        try:
            played = await self._play()
        except SimulatorError as failed:
            self.show_source(NOTHING, str(failed))
        else:
            self.show_source(TimelineSource("The vendor's example", lambda: played.scripted), example_note(played))
        finally:
            self._task = None
            self.example.setEnabled(True)

    def work(self) -> tuple[asyncio.Task[None] | None, ...]:
        return (self._task, self.readiness.task)

    def stop_work(self) -> None:
        super().stop_work()
        self._frame.stop()


def example_note(played: Example) -> str:
    """Return a text that compares the measured with the scripted times."""
    if played.error:
        return f"The example failed: {played.error}"
    if len(played.measured) < 2:
        return ""
    first, second = played.measured[:2]
    tool = (first.tools[0].started_at, first.tools[0].ended_at) if first.tools else (None, None)
    moments = first.times.first_content_at, *tool, second.began_at + (second.times.first_content_at or 0.0)
    came = " · ".join(map(milliseconds, moments))
    return (
        "Placed at the moments that the simulator scripted. On this machine they came at "
        f"{came} (first content, tool starts, tool back, answer's first content)."
    )
