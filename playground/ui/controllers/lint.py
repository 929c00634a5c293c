"""Runs the lint rules when the prompt is idle and passes findings to the views, without blocking typing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from playground.prompt.document import Document
from playground.services import AppServices

if TYPE_CHECKING:
    from playground.lint.model import Finding
    from playground.ui.panes.prompt.pane import PromptPane

REST_MS = 400
"""After the last keystroke: advice that came and went with each would be in the way."""


class Adviser(QObject):
    """One a window. Emits the advice with the document it is on."""

    advised = Signal(object, object)
    """(tuple of Finding, Document)."""

    def __init__(self, workspace: AppServices, prompt: PromptPane) -> None:
        super().__init__()
        self._workspace, self._prompt = workspace, prompt
        self._judging = self._resting = False
        self._rest = QTimer(self)
        self._rest.setInterval(REST_MS)
        self._rest.setSingleShot(True)
        self._rest.timeout.connect(self._begin)
        self.advice: tuple[Finding, ...] = ()
        self.document: Document | None = None
        """What `advice` is on."""

    def look_soon(self) -> None:
        """The prompt, the endpoint or a setting has changed. No effect after `rest`."""
        if not self._resting:
            self._rest.start()

    def look_again(self) -> None:
        """The log has something new about the prompt."""
        self._workspace.adviser.forget()
        self.look_soon()

    def rest(self) -> None:
        """Start no further check: tasks that end during the shutdown may still ask for one."""
        self._resting = True
        self._rest.stop()

    def dismiss(self, advice: Finding, *, for_good: bool) -> None:
        """Give it no more: on this prompt, or ever."""
        self._workspace.adviser.dismiss(advice, None if for_good else self._prompt.document())
        self._begin()

    def recall(self) -> None:
        """Give all advice again."""
        self._workspace.adviser.recall()
        self._begin()

    def _begin(self) -> None:
        if self._judging:
            self.look_soon()
            return
        self._judging = True
        self._workspace.tasks.start(self._judge(self._prompt.document()), "advice")

    async def _judge(self, document: Document) -> None:
        try:
            advice = await self._workspace.advice(document)
        finally:
            self._judging = False
        if document is not self._prompt.document():
            return  # edited meanwhile: the next look is on its way
        self.advice, self.document = advice, document
        self.advised.emit(advice, document)
