"""Speech settings as fields with units: stored, validated, with the vendor's figures as defaults."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from playground.prompt.field_errors import InputError
from playground.storage.settings import Settings
from playground.ui.theme import GRID
from playground.ui.widgets.flow import FlowLayout
from playground.ui.widgets.form import padded
from playground.ui.widgets.notice import words
from playground.voice.speech import DEFAULTS, FASTEST, SpeechSettings, Unit

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
        self.rate.setAccessibleName("Speaking rate a second")
        self.rate.setDecimals(1)
        self.rate.setRange(0.1, FASTEST)
        self.rate.setKeyboardTracking(False)
        self.unit, self.start = QComboBox(), QComboBox()
        self.unit.setAccessibleName("Unit of the speaking rate")
        for name in ("characters", "words"):
            self.unit.addItem(f"{name} a second", name)
        self.start.setAccessibleName("Speech starts after")
        for rule, name in _STARTS.items():
            self.start.addItem(name, rule)
        self.defaults = QPushButton("Vendor's figures")
        self.said = words("", "muted")
        self._lay_out()
        self._show()
        for box in (self.delay, self.pipeline, self.rate):
            box.valueChanged.connect(self._take)
        self.unit.activated.connect(self._other_unit)
        self.start.activated.connect(self._take)
        self.defaults.clicked.connect(self._reset)

    def _lay_out(self) -> None:
        flow = FlowLayout(spacing=GRID)
        flow.add_labelled("Start delay", self.delay)
        flow.add_labelled("Pipeline, to the ear", self.pipeline)
        flow.add_labelled("Starts at", self.start)
        flow.add_labelled("Speaking rate", self.rate, self.unit)
        flow.addWidget(self.defaults)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID // 2)
        column.addLayout(flow)
        column.addWidget(self.said)

    def _show(self) -> None:
        value = self.value
        for box, shown in ((self.delay, value.engine_start_s), (self.pipeline, value.pipeline_s)):
            box.blockSignals(True)
            box.setValue(round(shown * 1000))
            box.blockSignals(False)
        self.rate.blockSignals(True)
        self.rate.setValue(value.rate)
        self.rate.blockSignals(False)
        self.unit.setCurrentIndex(self.unit.findData(value.unit))
        self.start.setCurrentIndex(self.start.findData(value.start))
        self._say()

    def _say(self, problem: str = "") -> None:
        vendors = (self.delay.value(), self.pipeline.value()) == (200, 350)
        self.said.setText(problem or (VENDORS if vendors else OWN))
        self.said.setProperty("tone", "failure" if problem else "muted")
        self.said.style().unpolish(self.said)
        self.said.style().polish(self.said)

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
            self.rate.blockSignals(True)
            self.rate.setValue(rate)
            self.rate.blockSignals(False)
        self._take()

    def _reset(self) -> None:
        self.value = DEFAULTS
        self._show()
        self._take()


def _milliseconds(name: str) -> QSpinBox:
    box = padded(QSpinBox())
    box.setAccessibleName(f"{name}, milliseconds")
    box.setRange(0, 10_000)
    box.setSingleStep(10)
    box.setSuffix(" ms")
    box.setKeyboardTracking(False)  # With tracking, typing 350 would apply 3 and 35 first.
    return box
