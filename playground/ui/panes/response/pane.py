"""The response pane: the completion as it streams, the request that it answers, and how the request ended."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from playground.runs.expected_reply import Asked
from playground.runs.state import RunState
from playground.ui.panes.response.error_view import trouble_notice
from playground.ui.panes.response.events_tab import EventsTab
from playground.ui.panes.response.footer import ResponseFooter
from playground.ui.panes.response.json_tab import JsonTab
from playground.ui.panes.response.live_text import SlowSteps
from playground.ui.panes.response.probabilities_tab import ProbabilitiesTab
from playground.ui.panes.response.rendered_tab import RenderedTab
from playground.ui.panes.response.request_tab import RequestTab, SentRequest
from playground.ui.panes.response.text_tab import TextTab
from playground.ui.panes.response.tools_tab import ToolCallsTab
from playground.ui.theme import Theme
from playground.ui.widgets.notice import Notice
from playground.ui.widgets.rule import hairline
from playground.ui.widgets.tab_bar import counted, tab_bar

TICK_MS = 100
TEXT, REQUEST, RENDERED, TOOLS, EVENTS, JSON, PROBABILITIES = range(7)


class _Tab(Protocol):
    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None: ...


class ResponsePane(QFrame):
    """Shows the state of one run. The run changes the state; `refresh` updates the view."""

    notice_action = Signal(str)
    """The name of an action that a button in the trouble notice asks for: "send" or "connect"."""

    left = Signal()
    """Escape: back from a logged request."""
    place_requested = Signal(object)
    """A Problem whose path names the field of the prompt that the cursor is to go to."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("look", "pane")
        self.setAccessibleName("Response")
        self._state: RunState | None = None
        self._estimated: float | None = None
        self._notice: Notice | None = None
        self._phase: str | None = None
        self._since = QElapsedTimer()
        self._labels = SlowSteps()
        self.text_tab = TextTab()
        self.request_tab = RequestTab()
        self.rendered_tab = RenderedTab()
        self.tools_tab = ToolCallsTab()
        self.tools_tab.run_requested.connect(lambda: self.notice_action.emit("chain"))
        self.events_tab = EventsTab()
        self.json_tab = JsonTab(theme)
        self.probabilities_tab = ProbabilitiesTab(theme)
        self.footer = ResponseFooter()
        titles = ("Text", "Request", "Rendered", "Tool calls", "Events", "JSON", "Probabilities")
        self.tabs = tab_bar("Views of the response", titles)
        self._stack = QStackedWidget()
        for tab in self._tabs():
            self._stack.addWidget(tab)
        self._column = self._lay_out()
        self.tabs.currentChanged.connect(self._choose)
        # Nothing comes while the first token is awaited; the wait is counted all the same.
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._tick.timeout.connect(self.refresh)
        self.text_tab.waiting.cancelled.connect(lambda: self.notice_action.emit("stop"))
        self.text_tab.calls.show_requested.connect(lambda: self.show_tab(TOOLS))
        self.show_state(None)

    @property
    def notice(self) -> Notice | None:
        """The trouble notice, while there is one."""
        return self._notice

    def show_state(
        self,
        state: RunState | None,
        *,
        sent: SentRequest | None = None,
        asked: Asked | None = None,
        estimated_prompt_tokens: float | None = None,
    ) -> None:
        """Show another run from here on; None: nothing was sent yet.

        Args:
            sent: the request, for the Request tab.
            asked: the form of answer that the request asks for.
            estimated_prompt_tokens: the forecast's, shown with ≈ if the server reports none.
        """
        self._state, self._estimated = state, estimated_prompt_tokens
        self.request_tab.show_request(sent)
        self.tools_tab.set_asked(asked)
        self.json_tab.set_asked(asked)
        self._since.start()
        self._drop_notice()
        self._labels = SlowSteps()
        self.refresh()

    def refresh(self) -> None:
        """Take in what the shown state gained. Cheap: at most 60 times a second; hidden tabs are not touched."""
        state = self._state
        running = state is not None and not state.ended
        elapsed = self._since.elapsed() / 1000 if running else 0.0
        self._current().refresh(state, elapsed)
        phase = state.phase if state else None
        self._labels.run(self._refresh_labels, now=not running or phase != self._phase)
        self._phase = phase
        if running:
            self._drop_notice()  # a retry was scheduled after the failure was displayed
        elif state is not None and self._notice is None:
            self._show_notice(trouble_notice(state, self.place_requested.emit))
        if running != self._tick.isActive():
            self._tick.start() if running else self._tick.stop()

    def set_theme(self, theme: Theme) -> None:
        """Apply a theme."""
        self.json_tab.set_theme(theme)
        self.probabilities_tab.set_theme(theme)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Escape: back from a logged request."""
        if event.key() == Qt.Key.Key_Escape:
            self.left.emit()
        else:
            super().keyPressEvent(event)

    def take_focus(self) -> None:
        """The keyboard comes to the tab in front."""
        self.tabs.setFocus()

    def show_tab(self, index: int) -> None:
        """Bring a tab to the front: TEXT, RENDERED, TOOLS, EVENTS, JSON or, where any came, PROBABILITIES."""
        self.tabs.setCurrentIndex(index)

    def _tabs(self) -> tuple[TextTab, RequestTab, RenderedTab, ToolCallsTab, EventsTab, JsonTab, ProbabilitiesTab]:
        return (
            self.text_tab,
            self.request_tab,
            self.rendered_tab,
            self.tools_tab,
            self.events_tab,
            self.json_tab,
            self.probabilities_tab,
        )

    def _current(self) -> _Tab:
        return self._tabs()[self._stack.currentIndex()]

    def _choose(self, index: int) -> None:
        self._stack.setCurrentIndex(index)
        self.refresh()

    def _refresh_labels(self) -> None:
        state = self._state
        running = state is not None and not state.ended
        self.footer.show_state(state, self._since.elapsed() / 1000 if running else 0.0, self._estimated)
        calls = len(state.tool_calls) if state else 0
        events = len(state.raw) if state else 0
        tokens = state.probabilities_came if state else 0
        for index, text in (
            (TOOLS, counted("Tool calls", calls)),
            (EVENTS, counted("Events", events)),
            (JSON, self.json_tab.title(state)),
            (PROBABILITIES, counted("Probabilities", tokens)),
        ):
            if self.tabs.tabText(index) != text:
                self.tabs.setTabText(index, text)
        # Who looks at it while the next answer is awaited is not sent away before it is known that none come.
        stays = running and self.tabs.currentIndex() == PROBABILITIES
        self.tabs.setTabVisible(PROBABILITIES, tokens > 0 or stays)

    def _lay_out(self) -> QVBoxLayout:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.tabs)
        column.addWidget(hairline())
        column.addWidget(self._stack, 1)
        column.addWidget(self.footer)
        return column

    def _show_notice(self, notice: Notice | None) -> None:
        if notice is None or self._state is None:
            return
        self._notice = notice
        notice.action.connect(self.notice_action)
        # Where it happened: after the text that had come, or in the place where text would be.
        above = self._stack if not self._state.text else self.footer
        self._column.insertWidget(self._column.indexOf(above), notice)
        notice.show()

    def _drop_notice(self) -> None:
        if self._notice is not None:
            self._column.removeWidget(self._notice)
            self._notice.hide()
            self._notice.deleteLater()
            self._notice = None
