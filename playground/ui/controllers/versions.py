"""Versions of the prompt in the window: stores them at send and save, and fills the panel beside the prompt."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QWidget

from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted, dollars, percent
from playground.services import AppServices
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.task_dialog import ask_save, ask_which, open_once

if TYPE_CHECKING:
    from playground.ui.controllers.files import Files
    from playground.ui.panes.prompt.pane import PromptPane
    from playground.ui.panes.prompt.undo import PromptFile
    from playground.ui.panes.versions import VersionsPanel
    from playground.versions.comparison import VersionComparison
    from playground.versions.history import Version
    from playground.versions.service import Commit, Overview, PromptIdentity, VersionForm

EXPORT_SUFFIXES = {"JSON lines (*.jsonl)": "jsonl", "Markdown (*.md)": "md"}
MIN_DOLLARS = 0.0005
"""Differences of cost below this amount are not shown."""


class VersionPaths(QObject):
    """Connects the prompt, its file and the panel with the stored versions."""

    notice = Signal(str)
    open_logged = Signal(str)
    """The run_id of a logged request to display."""

    fix_requested = Signal()
    """Fixes of the prompt's structure are requested."""

    def __init__(
        self,
        workspace: AppServices,
        prompt: PromptPane,
        files: Files,
        show: Callable[[QWidget | None], None],
    ) -> None:
        """`show` puts the panel beside the prompt; None removes it."""
        super().__init__(prompt)
        self._workspace, self._prompt, self._files = workspace, prompt, files
        self._show, self._start = show, workspace.tasks.start
        self.panel: VersionsPanel | None = None
        """The panel, while it is open."""
        self._commits: list[Commit] = []
        self._reading = 0
        files.file_saved.connect(self._saved)
        files.changed.connect(self._file_changed)
        self._displayed: PromptIdentity | None = None
        """The prompt whose history is displayed."""

    @cached_property
    def _overview(self) -> Overview:
        from playground.versions.service import Overview  # 20 ms, after the panes are on display

        return Overview()

    @property
    def identity(self) -> PromptIdentity:
        from playground.versions.service import PromptIdentity

        page = self._prompt.history.page
        return PromptIdentity(page.file.path, page.document.id)

    def sent(self, document: Document, run_id: str) -> None:
        """Store that the prompt in the editor was sent as `run_id`. Other prompts (sent again from the log) are not."""
        identity = self.identity_of(document)
        if identity is not None:
            self.note_sent(identity, document, (run_id,))

    def identity_of(self, document: Document) -> PromptIdentity | None:
        """Return the identity of a document if it is the prompt in the editor."""
        identity = self.identity
        return identity if document.id == identity.document_id else None

    def note_sent(self, identity: PromptIdentity, document: Document, run_ids: Sequence[str]) -> None:
        self._workspace.versions.note(identity, document, "sent", run_ids)
        self.refresh_soon()

    def _saved(self, old_path: Path | None, now: PromptFile) -> None:
        from playground.versions.service import PromptIdentity

        document = now.saved
        old, new = PromptIdentity(old_path, document.id), PromptIdentity(now.path, document.id)
        self._workspace.versions.note(new, document, "saved", previous=old)
        self.refresh_soon(commits=True)

    def _file_changed(self) -> None:
        # At every keystroke: the key itself would resolve the path on the disk.
        if self.panel is not None and self.identity != self._displayed:
            self.refresh_soon(commits=True)

    def toggle(self) -> None:
        if self.panel is not None:
            self._show(None)
            self.panel.deleteLater()
            self.panel = None
            return
        from playground.ui.panes.versions import VersionsPanel

        panel = self.panel = VersionsPanel()
        panel.close_button.clicked.connect(self.toggle)
        panel.save.clicked.connect(self._save)
        panel.delete_requested.connect(self._delete)
        panel.export_requested.connect(self._ask_export)
        panel.search_requested.connect(lambda text: self._start(self._search(text), "search the versions"))
        panel.label_requested.connect(self._label)
        panel.restore_requested.connect(lambda item: self._start(self._restore(item), "restore a version"))
        panel.comparison_requested.connect(lambda a, b: self._start(self._compare(a, b), "compare versions"))
        panel.fix.clicked.connect(self.fix_requested)
        panel.answer_requested.connect(self._show_answer)
        self._show(panel)
        panel.list.setFocus(Qt.FocusReason.OtherFocusReason)
        self.refresh_soon(commits=True)

    def refresh_soon(self, *, commits: bool = False) -> None:
        """Update the panel, if it is open. `commits`: see `refresh`."""
        if self.panel is not None:
            self._start(self.refresh(commits=commits), "read the versions")

    async def refresh(self, *, commits: bool = False) -> None:
        """Read the history and show it. `commits`: also ask Git, which a request does not change."""
        self._reading += 1
        reading, identity = self._reading, self.identity
        versions = self._workspace.versions
        try:
            overview = await versions.overview(identity, self._prompt.document(), self._workspace.log)
        except OSError as error:
            self.notice.emit(f"The version history cannot be read: {error.strerror or error}.")
            return
        known = self._commits
        if commits or identity != self._displayed:
            known = await versions.commits(identity.file)
        if self.panel is None or reading != self._reading:
            return  # closed, or read again meanwhile
        self._displayed, self._overview, self._commits = identity, overview, known
        name = self._files.name or "Untitled"
        count = len(overview.versions)
        foot = f"{name} · {counted(count, 'version')}, stored on this computer"
        foot += f" · {counted(len(known), 'Git commit')}" if known else ""
        foot += f" · {overview.damaged:,} damaged entries" if overview.damaged else ""
        self.panel.show_history(overview, known, foot)

    @property
    def _shown(self) -> PromptIdentity:
        return self._displayed or self.identity

    async def _search(self, text: str) -> None:
        try:
            found = await self._workspace.versions.search(self._shown, text) if text else set()
        except OSError as error:
            self.notice.emit(f"The version history cannot be read: {error.strerror or error}.")
            return
        if self.panel is not None:
            self.panel.show_found(text, frozenset(found))

    def _ask_export(self) -> None:
        ask_save(
            self.panel,
            "Export the versions",
            EXPORT_SUFFIXES,
            lambda path: self._start(self.export(path), "export the versions"),
        )

    async def export(self, path: Path) -> None:
        """Write all versions to a file: Markdown for .md, else JSON lines."""
        form: VersionForm = "markdown" if path.suffix.lower() in (".md", ".markdown") else "jsonl"
        name = self._files.name or "Untitled"
        with write_errors(path, self.notice.emit):
            count = await self._workspace.versions.export(self._shown, path, form, name, self._overview)
            self.notice.emit(f"{counted(count, 'version')} exported to {path}.")

    async def _document(self, item: Version | Commit) -> Document | None:
        """Return the content of a version or commit; None, and a message, if it cannot be read."""
        from playground.versions.history import Version

        try:
            if isinstance(item, Version):
                found = await self._workspace.versions.document(self._shown, item.id)
            else:
                path = self._shown.file
                opened = await self._workspace.versions.opened_commit(path, item.id) if path is not None else None
                found = opened.document if opened is not None else None
        except (OSError, InputError) as error:
            self.notice.emit(f"The version cannot be read: {error}")
            return None
        if found is None:
            self.notice.emit("This version is damaged and cannot be read.")
        return found

    async def _compare(self, old: Version | Commit, new: Version | Commit) -> None:
        before, after = await self._document(old), await self._document(new)
        if self.panel is None or self.panel.selected != new or self.panel.base != old:
            return
        if before is None or after is None:
            self.panel.show_nothing("One of these versions cannot be read.")
            return
        endpoint = self._workspace.endpoint
        look = partial(self._workspace.sender.forecaster.look, endpoint_id=endpoint.id, model=endpoint.model)
        # With the values in the editor, so that its figures and these agree.
        after = replace(after, variables={**after.variables, **self._prompt.document().variables})
        found = await self._workspace.versions.compare(before, after, look)
        if self.panel is not None and self.panel.selected == new and self.panel.base == old:
            self.panel.show_comparison(found, headline(found), self._reported(found, old, new))

    def _reported(self, found: VersionComparison, old: Version | Commit, new: Version | Commit) -> str:
        from playground.versions.service import VersionFigures

        changed = f"{counted(found.added, 'line')} added, {found.removed:,} removed."
        one, other = (self._overview.figures.get(item.id, VersionFigures()) for item in (old, new))
        if one.cached is None or other.cached is None:
            return changed
        text = f"{changed} Reported: {percent(other.cached)} cached, {percent(one.cached)} in {_name(old)}."
        if one.per_thousand is not None and other.per_thousand is not None:
            more = other.per_thousand - one.per_thousand
            text += (
                ""
                if abs(more) < MIN_DOLLARS
                else f" {dollars(abs(more))} {'more' if more >= 0 else 'less'} per 1,000 requests."
            )
        return text

    async def _restore(self, item: Version | Commit) -> None:
        page = self._files.tabs.page
        document = await self._document(item)
        if document is None or page is not self._files.tabs.page:
            return  # gone, or another prompt is on display by now
        now = self._prompt.document()
        values = {**document.variables, **now.variables}
        restored = replace(document, id=now.id, name=now.name, variables=values)
        self._prompt.set_document(restored, undoable=True, label=f"Restore {_name(item)}")
        await self.refresh()

    def _save(self) -> None:
        self._ask("Save version", "", "", self._save_named)

    def _label(self, version: Version) -> None:
        async def store(label: str, note: str) -> None:
            await self._workspace.versions.annotate(self._shown, version.id, label, note)

        self._ask("Label and note", version.label, version.note, store)

    async def _save_named(self, label: str, note: str) -> None:
        await self._workspace.versions.save(self.identity, self._prompt.document(), label or "Saved version", note)

    def _ask(self, title: str, label: str, note: str, store: Callable[[str, str], Coroutine[Any, Any, None]]) -> None:
        from PySide6.QtWidgets import QDialog, QDialogButtonBox, QFormLayout, QLineEdit

        dialog = QDialog(self.panel)
        dialog.setWindowTitle(title)
        form = QFormLayout(dialog)
        name, text = QLineEdit(label), TextBox("Note")
        text.set_exact(note)
        form.addRow("Label", name)
        form.addRow("Note", text)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(dialog.accept)
        buttons.rejected.connect(dialog.reject)
        form.addRow(buttons)

        async def write(label: str, note: str) -> None:
            try:
                await store(label, note)
            except OSError as error:
                self.notice.emit(f"The version was not stored: {error.strerror or error}.")
            self.refresh_soon()

        def accept() -> None:  # reads the fields at once: the dialog may be deleted before the task begins
            self._start(write(name.text().strip(), text.exact.text.strip()), "store a version")

        dialog.accepted.connect(accept)
        open_once(dialog)

    def _delete(self) -> None:
        async def work() -> None:
            try:
                await self._workspace.versions.delete(self._shown)
            except OSError as error:
                self.notice.emit(f"The history was not deleted: {error.strerror or error}.")
            await self.refresh()

        ask_which(
            self.panel,
            "Delete the version history",
            "Delete all stored versions of this prompt?",
            "The prompt, its file, Git commits and logged requests are unchanged.",
            {"Delete history": lambda: self._start(work(), "delete a history")},
        )

    def _show_answer(self, run_id: str) -> None:
        self.toggle()
        self.open_logged.emit(run_id)


def _name(item: Version | Commit) -> str:
    from playground.versions.history import Version

    return f"version {item.number}" if isinstance(item, Version) else f"commit {item.id[:7]}"


def headline(found: VersionComparison) -> str:
    """Return in a sentence by how much an edit moved the boundary."""
    moved = found.moved_tokens
    if not moved:
        return "The boundary of the stable prefix did not move"
    direction = "down" if moved > 0 else "up"
    return f"This edit moved the boundary {direction} by ≈ {counted(abs(moved), 'token')}"
