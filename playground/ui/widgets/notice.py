"""Notices: within a pane, with what to do next; and on the desktop when long work ends in the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget

from playground.export.terminal import visible, visible_line
from playground.prompt.field_errors import FieldError
from playground.ui.theme import GRID
from playground.ui.widgets.icons import IconLabel, icon
from playground.ui.widgets.labels import push_button
from playground.ui.widgets.layouts import FlowLayout, Panel, column_of, row_of

if TYPE_CHECKING:
    from PySide6.QtWidgets import QSystemTrayIcon

    from playground.runs.run import Run


class SlimBar(Panel):
    """Hidden without a sentence."""

    def __init__(self, name: str) -> None:
        super().__init__("notice")
        self.setAccessibleName(name)
        self.words = ""
        """The whole sentence."""
        self._words = words("")
        self._words.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._row = FlowLayout()
        row_of((self._words, 1), self._row, on=self, margins=(GRID * 2, 3, GRID, 3), spacing=GRID)
        self._buttons: list[QPushButton] = []
        self._handlers: list[Callable[[], object]] = []
        self.hide()

    def show_message(self, sentence: str, actions: Sequence[tuple[str, Callable[[], object]]] = ()) -> None:
        """Show a sentence with buttons; each is (label, handler). Buttons of the same labels stay, with their focus."""
        self.words = sentence
        self._words.setText(visible(sentence))
        self._handlers = [handler for _label, handler in actions]
        labels = [label for label, _handler in actions]
        if labels != [button.text() for button in self._buttons]:
            for button in self._buttons:
                button.deleteLater()
            self._buttons = [self._button(label, place) for place, label in enumerate(labels)]
        self.show()

    def press(self, label: str) -> None:
        """Press the button of that label. Raises StopIteration if no button has it."""
        next(button for button in self._buttons if button.text() == label).click()

    def _button(self, label: str, place: int) -> QPushButton:
        button = push_button(label, "link", lambda: self._handlers[place]())
        self._row.addWidget(button)
        return button


MOST_CHARS = 400


def field_link(problem: FieldError, chosen: Callable[[FieldError], object]) -> QPushButton:
    """Return a link with the path of `problem`, which must have one; a click calls `chosen`."""
    # A & in a button's text is Qt's mark of a shortcut.
    button = push_button(shortened(problem.field).replace("&", "&&"), "link", lambda: chosen(problem))
    button.setAccessibleName(f"Go to {problem.field}")
    button.setAccessibleDescription(problem.message)
    button.setToolTip("Put the cursor there")
    button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
    return button


def shortened(text: str) -> str:
    """At most MOST_CHARS of what a server wrote."""
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + " …"


class Notice(Panel):
    """An error, with a red edge; the title says in words what the color says."""

    action = Signal(str)
    """The name that was given with a button."""

    def __init__(
        self,
        title: str,
        detail: str = "",
        advice: str = "",
        buttons: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`buttons` are (label, action name), the main one first."""
        super().__init__("error")
        self.setAccessibleName(visible(f"{title}. {detail} {advice}".strip()))
        self.column = column_of(on=self, margins=(GRID + 5, GRID * 2, GRID * 2, GRID + 4), spacing=GRID // 2)
        head = row_of(
            (IconLabel("warn", "failure"), 0, Qt.AlignmentFlag.AlignTop), (words(title, "strong"), 1), spacing=GRID
        )
        self.column.addLayout(head)
        for text in (detail, advice):
            if text:
                self.column.addWidget(words(text))
        if buttons:
            self.column.addLayout(self._row(buttons))

    def _row(self, buttons: Sequence[tuple[str, str]]) -> QHBoxLayout:
        row = row_of(margins=(0, GRID // 2, 0, 0), spacing=GRID)
        for place, (label, name) in enumerate(buttons):
            button = push_button(label, clicked=lambda _checked=False, chosen=name: self.action.emit(chosen))
            if not place:
                button.setProperty("look", "primary")
            row.addWidget(button)
        row.addStretch(1)
        return row


def words(text: str, tone: str = "") -> QLabel:
    """Return a label of plain text that wraps, and that mouse and keyboard can select from."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setText(visible(text))
    label.setWordWrap(True)
    if tone:
        label.setProperty("tone", tone)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    return label


@contextmanager
def write_errors(path: object, report: Callable[[str], object]) -> Iterator[None]:
    """Report that a file cannot be written if the body raises OSError, and go on after it."""
    try:
        yield
    except OSError as error:
        report(f"{path} cannot be written: {error.strerror or error}.")


LONG_S = 10.0
SHOWN_MS = 15_000
TASKS = {
    "run a batch": "Batch",
    "send a comparison": "Comparison",
    "cache lab": "Cache lab",
    "repeat the prompt": "Repeat",
    "voice readiness": "Readiness",
    "run until answer": "Agent loop",
    "keep the cache warm": "Keep warm",
}
"""Tasks whose end is notified, by their names in `Tasks`."""


class EndNotice:
    """Marks the window in the task bar, with the number of ends that were not seen as a badge where the desktop has
    one, and shows a message if it has a notification area."""

    def __init__(self, window: QWidget) -> None:
        self._window = window
        self._tray: QSystemTrayIcon | None = None
        self.unseen = 0
        """Number of ends since the window was active."""
        self.last = ""
        """The text of the newest notification."""

    def clear(self) -> None:
        """Remove the badge: the window has become active."""
        if self.unseen:
            self.unseen = 0
            _badge(0)

    def notify_end(self, run: Run) -> None:
        """Notify the user of the end of a run, unless it was short or the window is active."""
        name = visible_line(run.document.name) or "The request"
        self._notify(name, run.state.phase, run.state.ended_at or 0.0)

    def notify_task(self, name: str, seconds: float, finished: bool) -> None:
        """Notify the user of the end of an experiment, by the name of its task."""
        if name in TASKS:
            self._notify(TASKS[name], "done" if finished else "stopped", seconds)

    def _notify(self, name: str, outcome: str, seconds: float) -> None:
        if seconds < LONG_S or self._window.isActiveWindow():
            return
        from PySide6.QtWidgets import QSystemTrayIcon

        self.last = f"{name}: {outcome} after {seconds:.0f} s"
        self.unseen += 1
        _badge(self.unseen)
        QApplication.alert(self._window)
        if QSystemTrayIcon.isSystemTrayAvailable() and QSystemTrayIcon.supportsMessages():
            if self._tray is None:
                self._tray = QSystemTrayIcon(icon("bolt", self._window.palette().windowText().color()), self._window)
                self._tray.messageClicked.connect(self._window.activateWindow)
            self._tray.show()
            self._tray.showMessage("Electron Playground", self.last, self._tray.icon(), SHOWN_MS)

    def shut_down(self) -> None:
        """Remove the icon from the notification area, and the badge."""
        _badge(0)
        if self._tray is not None:
            self._tray.hide()


def _badge(number: int) -> None:
    application = QGuiApplication.instance()
    if isinstance(application, QGuiApplication):
        application.setBadgeNumber(number)
