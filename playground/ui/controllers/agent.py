"""Agent loops in the window: the dialog, and the paths from it to the editor, files, the log and the voice timeline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QDialog, QWidget

from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import dump
from playground.services import AppServices
from playground.storage.paths import write_shared
from playground.ui.controllers.files import FILTER, SUFFIX, Files
from playground.ui.controllers.voice import VoiceController
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.task_dialog import ask_save

if TYPE_CHECKING:
    from playground.agent.service import AgentService
    from playground.agent.tool_mocks import ToolMocks
    from playground.ui.agent.dialog import AgentDialog
    from playground.ui.panes.prompt.pane import PromptPane


WIDTH_PX = 560


class Chaining(QObject):
    """One a window."""

    notice = Signal(str)
    prompt_sent = Signal(object, str)
    """The first request of a conversation was sent: its prompt, a Document, and its run_id."""

    def __init__(
        self,
        window: QWidget,
        workspace: AppServices,
        prompt: PromptPane,
        files: Files,
        voicing: VoiceController,
        show_page: Callable[[QDialog, int], None],
    ) -> None:
        """`show_page` shows a dialog in the side panel, at a preferred width in device-independent pixels."""
        super().__init__(window)
        self._show_page = show_page
        self._window, self._workspace, self._prompt, self._files = window, workspace, prompt, files
        self._voicing = voicing
        self.dialog: AgentDialog | None = None

    @cached_property
    def service(self) -> AgentService:
        from playground.agent.service import AgentService

        service = AgentService(self._workspace)
        service.allow_address = self._allow
        service.on_prompt_sent.subscribe(self.prompt_sent.emit)
        return service

    def answer_by_server(self, document: Document, names: list[str], server: str) -> None:
        """Let a tool server answer these tools of a prompt from now on."""
        from playground.agent.service import with_tool_servers

        try:
            self.service.keep_book(document, with_tool_servers(self.service.book(document), names, server))
        except OSError as error:
            self.notice.emit(f"The tools' answers cannot be kept: {error.strerror or error}.")
        if self.dialog is not None:
            self.dialog.show_prompt()

    def open(self) -> AgentDialog:
        if self.dialog is None:
            self.dialog = self._made()
        self.dialog.show_prompt()
        self._show_page(self.dialog, WIDTH_PX)
        return self.dialog

    def run(self) -> AgentDialog:
        """Open the dialog and run the current prompt, unless a run is in progress."""
        dialog = self.open()
        if not dialog.running:
            dialog.run_or_stop()
        return dialog

    def show_answers(self, tool: str) -> AgentDialog:
        dialog = self.open()
        if not dialog.answers.choose(tool):
            dialog.state.setText(f"{tool} is no tool of this conversation: Start over takes the current prompt.")
        dialog.answers.form.kind.setFocus()
        return dialog

    def _made(self) -> AgentDialog:
        # Imported on first use, as the dialogs are.
        from playground.ui.agent.dialog import AgentDialog

        dialog = AgentDialog(self.service, self._workspace, self._prompt.document, self._window)
        dialog.finished.connect(self._gone)
        dialog.document_wanted.connect(
            lambda document, label: self._prompt.set_document(document, undoable=True, label=label)
        )
        dialog.save_wanted.connect(self._save)
        dialog.code_wanted.connect(self._copy_code)
        dialog.timeline_wanted.connect(self._show_timeline)
        dialog.notice.connect(self.notice)
        dialog.turn_began.connect(self._voicing.speak_turn)
        return dialog

    def _gone(self, _result: int) -> None:
        self.dialog = None

    async def _allow(self, url: str) -> bool:
        from playground.ui.widgets.task_dialog import asked

        return await asked(
            self.dialog or self._window,
            "Call this address?",
            f"A tool of this prompt answers with what\n\n{url}\n\nreturns. The arguments, which the model wrote, would "
            "be sent there. The answer holds for this prompt and address until the program ends.",
            "Call it",
        )

    def _save(self, document: Document) -> None:
        suffixes = dict.fromkeys(FILTER.split(";;"), SUFFIX[1:])
        title = "Save the conversation as a prompt file"
        ask_save(self._window, title, suffixes, lambda path: self.save_to(path, document))

    def save_to(self, path: Path, document: Document) -> None:
        """Write a conversation as a prompt file, whole or not at all."""
        with write_errors(path, self.notice.emit):
            write_shared(path, dump(document).encode())

    def _copy_code(self, document: Document, book: ToolMocks, limit: int) -> None:
        from playground.export.snippets import as_loop

        endpoint = self._workspace.endpoint
        try:
            copy_text(as_loop(document, book, endpoint.base_url, endpoint.model, limit))
        except InputError as bad:
            self.notice.emit(str(bad.problems[0]))
        else:
            self.notice.emit("Copied as a Python script that runs until there is an answer; the prompt is in it.")

    def _show_timeline(self) -> None:
        from playground.ui.controllers.voice import TimelineSource

        if self.dialog is not None:
            dialog = self.dialog
            self._voicing.open().show_source(TimelineSource("The conversation", dialog.measured, dialog.now))
