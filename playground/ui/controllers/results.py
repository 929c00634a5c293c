"""Everything that shows answers: response, inspector, log, and the requests behind them.

The first frame shows the prompt; these come right after it, or when something first asks for them.
"""

from __future__ import annotations

from datetime import datetime

from PySide6.QtWidgets import QVBoxLayout, QWidget

from playground.export.terminal import visible_line
from playground.services import AppServices, Recalled
from playground.ui.bars.banner import SlimBar
from playground.ui.controllers.dialogs import DialogController
from playground.ui.controllers.files import Files
from playground.ui.controllers.lint import Adviser
from playground.ui.controllers.lint_paths import AdvicePaths
from playground.ui.controllers.log import LogPaths
from playground.ui.controllers.request import Requests
from playground.ui.panes.inspector.pane import InspectorPane
from playground.ui.panes.log.pane import LogPane
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.panes.prompt.undo import PromptFile
from playground.ui.panes.response.pane import ResponsePane
from playground.ui.theme import Theme


class LookingBack:
    """Shows itself while what the panes show comes from the log."""

    def __init__(self, bar: SlimBar, prompt: PromptPane, requests: Requests) -> None:
        self._bar, self._prompt, self._requests = bar, prompt, requests
        requests.looking_back.connect(self._show)

    def _show(self, recalled: Recalled | None) -> None:
        if recalled is None:
            self._bar.hide()
            return
        when = recalled.stored.record.started_utc.astimezone()
        now = datetime.now().astimezone()
        day = "" if when.date() == now.date() else f"{when:%a %d %b} · "
        name = visible_line(recalled.document.name) or "Untitled"
        self._bar.say(
            f"From the log: {day}{when:%H:%M:%S} · {name}",
            [
                ("Use its prompt", lambda: self._use_prompt(recalled)),
                ("Back to the latest", self._requests.show_current),
            ],
        )

    def _use_prompt(self, recalled: Recalled) -> None:
        self._prompt.set_document(recalled.document, undoable=True, label="Use a logged prompt", file=PromptFile())
        self._bar.say(
            "Its prompt is in the editor. Undo brings yours back.",
            [("Back to the latest", self._requests.show_current)],
        )


class Answers:
    """Built once a window."""

    def __init__(
        self, workspace: AppServices, prompt: PromptPane, theme: Theme, files: Files, program: DialogController
    ) -> None:
        self._theme = theme
        self.response = ResponsePane(theme)
        self.inspector = InspectorPane(theme)
        self.log = LogPane(theme, workspace.tasks.start)
        self.from_log = SlimBar("From the log")
        self.requests = Requests(workspace, prompt, self.response, self.inspector, self.log)
        self.log_paths = LogPaths(program.window, workspace, self.log, lambda: self._theme)
        self.looking_back = LookingBack(self.from_log, prompt, self.requests)
        self.adviser = Adviser(workspace, prompt)
        self.advice = AdvicePaths(self.adviser, self.inspector.advice, self.requests, prompt, files, program)
        self.column = QWidget()
        layout = QVBoxLayout(self.column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.from_log)
        layout.addWidget(self.response, 1)
        layout.addWidget(self.inspector.strip)

    def rest(self) -> None:
        """Stop all timers: the window is about to be deleted."""
        for part in (self.requests, self.adviser, self.log, self.log_paths):
            part.rest()

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        for pane in (self.response, self.inspector, self.log):
            pane.set_theme(theme)
