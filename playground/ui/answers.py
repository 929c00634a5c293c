"""Everything that shows answers: response, inspector, log, and the requests behind them.

The first frame shows the prompt; these come right after it, or when something first asks for them.
"""

from __future__ import annotations

from PySide6.QtWidgets import QVBoxLayout, QWidget

from playground.ui.advice_paths import AdvicePaths
from playground.ui.adviser import Adviser
from playground.ui.bars.slim import SlimBar
from playground.ui.editor.pane import PromptPane
from playground.ui.files import Files
from playground.ui.inspector.pane import InspectorPane
from playground.ui.log_paths import LogPaths
from playground.ui.logview.pane import LogPane
from playground.ui.looking_back import LookingBack
from playground.ui.program import Program
from playground.ui.requests import Requests
from playground.ui.response.pane import ResponsePane
from playground.ui.theme import Theme
from playground.workspace import Workspace


class Answers:
    """Built once a window."""

    def __init__(self, workspace: Workspace, prompt: PromptPane, theme: Theme, files: Files, program: Program) -> None:
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

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        self._theme = theme
        for pane in (self.response, self.inspector, self.log):
            pane.set_theme(theme)
