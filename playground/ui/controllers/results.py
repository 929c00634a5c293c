"""Connects what shows results: response, inspector, log, and the lint findings with their fixes (`Adviser`).

The first frame shows the prompt; these come right after it, or when something first asks for them.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QSplitter, QWidget

from playground.export.terminal import visible_line
from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError
from playground.services import AppServices, Recalled
from playground.ui.controllers.dialogs import DialogController
from playground.ui.controllers.files import Files
from playground.ui.controllers.log import LogPaths
from playground.ui.controllers.request import PaintClock, Requests
from playground.ui.panes.inspector.pane import InspectorPane
from playground.ui.panes.inspector.sections import AdviceSection
from playground.ui.panes.log.pane import LogPane
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.panes.prompt.undo import PromptFile
from playground.ui.panes.response.pane import ResponsePane
from playground.ui.widgets.layouts import column_of, single_timer

if TYPE_CHECKING:
    from playground.lint.model import Finding


REST_MS = 400
"""After the last keystroke: advice that came and went with each would be in the way."""


class Adviser(QObject):
    """Looks at the prompt when it rests, and passes the advice to everything that shows or uses it. One per window."""

    def __init__(
        self,
        workspace: AppServices,
        prompt: PromptPane,
        section: AdviceSection,
        requests: Requests,
        files: Files,
        program: DialogController,
    ) -> None:
        super().__init__()
        self._workspace, self._prompt, self._section = workspace, prompt, section
        self._files, self._program = files, program
        self._judging = self._is_shut_down = False
        self._rest = single_timer(self, REST_MS, self._begin)
        self.advice: tuple[Finding, ...] = ()
        self.document: Document | None = None
        """What `advice` is on."""
        prompt.edited.connect(self.look_soon)
        requests.settled.connect(self.look_again)
        section.place_requested.connect(self._show_place)
        section.fix_requested.connect(lambda advice: self._apply_fixes((advice,)))
        section.dismissed.connect(lambda advice, for_good: self.dismiss(advice, for_good=for_good))
        section.guide_requested.connect(self.guide)

    def look_soon(self) -> None:
        """Schedule advice after a change of the prompt, the endpoint or a setting. No effect after `rest`."""
        if not self._is_shut_down:
            self._rest.start()

    def look_again(self) -> None:
        """Read the history again: the log has new requests of the prompt."""
        self._workspace.adviser.forget()
        self.look_soon()

    def shut_down(self) -> None:
        """Start no further check: tasks that end during the shutdown may still ask for one."""
        self._is_shut_down = True
        self._rest.stop()

    def dismiss(self, advice: Finding, *, for_good: bool) -> None:
        self._workspace.adviser.dismiss(advice, None if for_good else self._prompt.document())
        self._begin()

    def recall(self) -> None:
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
        self._section.show_advice(advice)
        self._prompt.set_advice(advice, document)

    def fix(self) -> None:
        self._apply_fixes(self.advice if self._current else ())

    def guide(self, rule: str = "") -> None:
        dialog = self._program.guide_dialog(rule)
        dialog.recall.clicked.connect(self.recall)
        dialog.example_requested.connect(self._files.show_example)

    @property
    def _current(self) -> bool:
        """Whether the findings are about the prompt on display, and not about another one or an earlier text."""
        return self.document is self._prompt.document()

    def _show_place(self, advice: Finding) -> None:
        if not self._current:
            return
        place = next(place for place in advice.places if place.path)
        self._prompt.go_to(FieldError(place.path, advice.title, offset=place.start))

    def _apply_fixes(self, advice: tuple[Finding, ...]) -> None:
        if advice and not self._current:
            return  # the next check is on its way
        self._program.rewrite_dialog(self._prompt, advice)


class Answers:
    """The panes of the response, the inspector and the log, in the splitters `columns` and `rows`."""

    def __init__(
        self,
        workspace: AppServices,
        prompt: PromptPane,
        files: Files,
        program: DialogController,
        *,
        columns: QSplitter,
        rows: QSplitter,
    ) -> None:
        # Each pane is placed while it is empty: with a style sheet, a new parent costs time for every widget below.
        self.column = QWidget()
        _place(columns, 1, self.column)
        self.response = ResponsePane(self.column)
        self.inspector = InspectorPane(partial(_place, columns, 2))
        self.log = LogPane(workspace.tasks.start, partial(_place, rows, 1))
        paint_clock = PaintClock()
        self.requests = Requests(workspace, prompt, self.response, self.inspector, self.log, paint_clock)
        self.log_paths = LogPaths(program.window, workspace, self.log, paint_clock)
        self._prompt = prompt
        self.requests.looking_back.connect(self._show_looking_back)
        self.adviser = Adviser(workspace, prompt, self.inspector.advice, self.requests, files, program)
        column_of((self.response, 1), self.inspector.strip, on=self.column, margins=0, spacing=0)

    def _show_looking_back(self, recalled: Recalled | None) -> None:
        """Show in the bar over a request from the log its time, its prompt and the way back."""
        bar, back = self.response.from_log, ("Back to the latest", self.requests.show_current)
        if recalled is None:
            bar.hide()
            return

        def use_prompt() -> None:
            self._prompt.set_document(recalled.document, undoable=True, label="Use a logged prompt", file=PromptFile())
            bar.show_message("Its prompt is in the editor. Undo brings yours back.", [back])

        when = recalled.stored.record.started_utc.astimezone()
        day = "" if when.date() == datetime.now().astimezone().date() else f"{when:%a %d %b} · "
        name = visible_line(recalled.document.name) or "Untitled"
        bar.show_message(f"{day}{when:%H:%M:%S} · {name}", [("Use its prompt", use_prompt), back])

    def shut_down(self) -> None:
        for part in (self.requests, self.adviser, self.log, self.log_paths):
            part.shut_down()


def _place(splitter: QSplitter, index: int, pane: QWidget) -> None:
    """Replace the blank frame at `index`; the sizes stay."""
    sizes = splitter.sizes()
    blank = splitter.replaceWidget(index, pane)
    if blank is not None:
        blank.deleteLater()
    splitter.setSizes(sizes)
