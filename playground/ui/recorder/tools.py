"""The Recorder's controls in the toolbar: state, address, port, Pause, Start and Stop."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QSizePolicy, QSpinBox, QWidget

from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, current_theme, mono_font
from playground.ui.widgets.form import padded
from playground.ui.widgets.icons import icon, set_icon
from playground.ui.widgets.labels import CopyButton

_URL_PX = 248
_FORWARDS_PX = 780
"""Least width with the name of the endpoint beside the address."""


class RecorderTools(QWidget):
    """Displays the state; emits what the user wants."""

    start_wanted = Signal()
    stop_wanted = Signal()
    pause_wanted = Signal()
    """Pause or resume the display."""

    def __init__(self) -> None:
        super().__init__()
        self.mark = QLabel()
        self.state = QLabel("Not recording")
        self.url = QLineEdit()
        self.url.setReadOnly(True)
        self.url.setFont(mono_font(12))
        self.url.setAccessibleName("Base URL for your program")
        self.url.setFixedWidth(_URL_PX)
        self.copy = CopyButton("the base URL")
        self.forwards = QLabel()
        self.forwards.setProperty("tone", "muted")
        self.port = padded(QSpinBox())
        self.port.setRange(0, 65_535)
        self.port.setValue(8788)
        self.port.setPrefix("Port ")
        self.port.setSpecialValueText("Any free port")
        self.port.setAccessibleName("Port of the Recorder; 0 takes a free one")
        self.pause = QPushButton("Pause")
        self.pause.clicked.connect(lambda _checked: self.pause_wanted.emit())
        self.button = QPushButton()
        self.button.clicked.connect(lambda _checked: self._clicked())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(GRID)
        row.addStretch(1)
        for widget in (self.mark, self.state, self.url, self.copy, self.forwards, self.port, self.pause, self.button):
            row.addWidget(widget)
        self._running = False
        self.show_state("Not recording", "", "", running=False, busy=False)
        self.show_paused(False)

    def show_state(self, state: str, url: str, forwards: str, *, running: bool, busy: bool) -> None:
        """Show the state in words, the base URL ("" without one), and the endpoint that requests go to."""
        self._running = running
        self.state.setText(state)
        tone = "failure" if running else "muted"
        if self.state.property("tone") != tone:
            self.state.setProperty("tone", tone)
            restyle(self.state)
        self.mark.setVisible(running)
        if self.url.text() != url:
            self.url.setText(url)
            self.url.setCursorPosition(0)
            self.show_theme()
        self.url.setVisible(bool(url))
        self.copy.set_text_to_copy(url)
        self.copy.setVisible(bool(url))
        self.forwards.setText(f"forwards to {forwards}" if forwards else "")
        self.url.setToolTip(f"Forwards to {forwards}" if forwards else "")
        self._fit()
        self.port.setVisible(not running)
        self.pause.setVisible(running)
        self.button.setEnabled(not busy)
        look = "" if running else "primary"
        self.button.setText("Stop" if running else "Start recording")
        set_icon(self.button, "stop" if running else "record", "text" if running else "on_accent")
        if (self.button.property("look") or "") != look:
            self.button.setProperty("look", look)
            restyle(self.button)

    def show_paused(self, paused: bool) -> None:
        """Show Resume instead of Pause."""
        self.pause.setText("Resume" if paused else "Pause")
        set_icon(self.pause, "play" if paused else "pause", "text")
        tip = "Show the requests that arrived meanwhile" if paused else "Keep the rows in place; recording continues"
        self.pause.setToolTip(tip)
        self.pause.setAccessibleName("Resume the display" if paused else "Pause the display")

    def show_theme(self) -> None:
        """Draw the mark in the color of the current theme."""
        self.mark.setPixmap(icon("record", current_theme().failure, 14).pixmap(14, 14))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.forwards.setVisible(bool(self.forwards.text()) and self.width() >= _FORWARDS_PX)

    def _clicked(self) -> None:
        (self.stop_wanted if self._running else self.start_wanted).emit()
