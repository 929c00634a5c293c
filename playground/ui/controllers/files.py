"""The prompt's file: new, open, save, watch. Unsaved text is never dropped, and a newer file never overwritten."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QEvent, QFileSystemWatcher, QObject, Signal
from PySide6.QtGui import QDropEvent, QGuiApplication
from PySide6.QtWidgets import QWidget

from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.prompt.files import (
    MAX_FILE_BYTES,
    PROMPT_FORMAT,
    FileFormat,
    OpenedPrompt,
    identified,
    missing_in,
    sample_document,
)
from playground.runs.metrics import counted
from playground.storage.draft import Draft
from playground.storage.json_file import read_regular
from playground.storage.paths import write_shared
from playground.ui.controllers.tabs import (
    NOT_COMPARED,
    PromptTabs,
    absolute_and_open,
    bytes_or_none,
    changed_digest,
    content_of,
    digest_of,
    has_requests,
    is_log,
)
from playground.ui.panes.prompt.undo import PromptFile, PromptPage
from playground.ui.widgets.layouts import single_timer
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.task_dialog import ask_open, ask_which, open_once, read_watched

if TYPE_CHECKING:
    from playground.tasks import Tasks
    from playground.ui.panes.prompt.pane import PromptPane

SUFFIX = ".prompt.json"
PROMPTS, BODIES = f"Prompt files (*{SUFFIX} *.json)", "Request bodies (*.json)"
EXPORTS = {"GitHub Models prompt (*.prompt.yml)": ".prompt.yml", "Prompty (*.prompty)": ".prompty"}
"""Formats of other tools, by name filter: the end of the file's name."""
OTHERS = "Prompts of other tools (*.yml *.yaml *.prompty *.prompt *.sh *.py *.js *.ts *.jsonl)"
FILTER = f"{PROMPTS};;{OTHERS};;All files (*)"
SETTLE_MS = 150
"""Wait after a file system event: an editor that replaces a file causes several."""


class Files(QObject):
    """Opens and saves the prompt. The file's identity is part of the undo history (`PromptFile`)."""

    changed = Signal()
    """The name, the file or the modified state may have changed."""
    replaced = Signal()
    """Another prompt was opened."""
    notice = Signal(str)
    """An error message."""
    saved = Signal(str)
    """The file was saved: its name."""
    file_saved = Signal(object, object)
    """The prompt was saved: the path before (None: it had no file), and the PromptFile."""
    file_used = Signal(object)
    """A prompt file (Path) was opened or saved."""
    rows_requested = Signal(object)
    """The path of a table whose rows are to be opened in Batch mode."""
    import_requested = Signal(object)
    """A file (Path) that is not a prompt but may be a log or HAR."""

    def __init__(self, window: QWidget, draft: Draft, prompt: PromptPane, tasks: Tasks) -> None:
        super().__init__(window)
        self.tabs = PromptTabs(prompt)
        self.tabs.close_requested.connect(self.close_tab)
        self.tabs.switched.connect(lambda _page: self.replaced.emit())
        self.tabs.bar.tabMoved.connect(lambda: self.edited(prompt.document()))
        self.changed.connect(self.tabs.refresh)
        draft.on_notice.subscribe(self.notice.emit)
        self._window, self._draft, self._prompt, self._tasks = window, draft, prompt, tasks
        self._saving = asyncio.Lock()
        self._watcher = QFileSystemWatcher(self)
        self._look = single_timer(self, SETTLE_MS, self._check_disk)
        for signal in (self._watcher.fileChanged, self._watcher.directoryChanged):
            signal.connect(lambda _path: self._look.start())
        prompt.history.file_changed.connect(self._watch)
        self.tabs.switched.connect(lambda _page: prompt.paste_bar.hide())
        prompt.prompt_tab.import_pasted.connect(
            lambda text: tasks.start(self.offer_import(text), "read the pasted text")
        )
        self.sample_shown = False
        """Whether the window started with the sample: there was no draft."""
        window.setAcceptDrops(True)

    @property
    def file(self) -> PromptFile:
        return self._prompt.history.file

    @property
    def name(self) -> str:
        """The prompt's name: its file's name, otherwise its own."""
        return self.tabs.page.name

    @property
    def dirty(self) -> bool:
        """Whether the prompt differs from its file, or from the prompt that was opened."""
        return self.tabs.page.dirty

    def start(self) -> None:
        """Show the draft of the last session, or the sample prompt at a first start."""
        state = self._draft.load()
        self.sample_shown = state is None
        if state is None:
            sample = sample_document()
            self._show(sample, PromptFile(None, PROMPT_FORMAT, sample))
            return
        self.tabs.restore(state)
        self._watch()
        self._check_disk()

    def edited(self, _document: Document) -> None:
        """Save the draft of every tab."""
        self._draft.note(self.tabs.state())
        self.changed.emit()

    def new_tab(self) -> None:
        self.tabs.add()
        self.new()

    def close_tab(self, page: PromptPage | None = None) -> None:
        """Close a tab (None: the one on display) after the question about unsaved changes.

        The last tab gets an empty prompt in place of its own.
        """
        closing = page or self.tabs.page
        if closing.dirty:
            self.tabs.show_page(closing)
        self._ask_then(closing, lambda: self._close(closing))

    def _close(self, page: PromptPage) -> None:
        if page not in self.tabs.pages:
            return
        if len(self.tabs.pages) == 1:
            self.tabs.add()
            self._show(_empty(), PromptFile(saved=_empty()))
        self.tabs.remove(page)
        self.edited(self._prompt.document())

    def new(self) -> None:
        """Start an empty prompt: one system and one user message."""
        self.show_example(_empty())

    def open_sample(self, name: str = "acme-phone-agent") -> None:
        self.show_example(sample_document(name))

    def open_tools_sample(self) -> None:
        self.open_sample("acme-billing-agent")

    def open_broken_sample(self) -> None:
        """Open the sample prompt with a date in its first line: each day it misses the cache."""
        sample = sample_document()
        first, *others = sample.messages
        now = datetime.now().astimezone()
        dated = f"Today is {now.day} {now:%B %Y, %H:%M}.\n\n{first.content}"
        self.show_example(
            replace(sample, name="broken-prefix", id="", messages=(replace(first, content=dated), *others))
        )

    def paste(self) -> None:
        """Open the request on the clipboard: a curl command, a body in JSON, or an array of messages."""
        from playground.client.redact import redact
        from playground.prompt.import_formats import import_kind, mask_secrets

        text = redact(mask_secrets(QGuiApplication.clipboard().text()), None)
        if import_kind(text):
            self._tasks.start(self.offer_import(text), "read the pasted text")
        else:
            self.notice.emit("The clipboard has no request: copy a curl command or a JSON body first.")

    def show_example(self, document: Document) -> None:
        """Open a prompt that has no file, in a new tab unless the one on display is empty."""
        self._need_tab()
        self._show(document, PromptFile(None, PROMPT_FORMAT, document))

    def _need_tab(self) -> None:
        if not self.tabs.blank:
            self.tabs.add()

    def open(self) -> None:
        ask_open(self._window, "Open a prompt file or a request body", FILTER, self.open_path)

    def open_path(self, path: Path) -> None:
        """Open a file in a tab, in the background; logs and HAR files are imported."""
        self._tasks.start(self.open_all([path]), "open a file")

    async def open_all(self, paths: Sequence[Path]) -> None:
        """Open each file in a tab; logs and HAR files are imported, tables are opened in Batch mode.

        Errors are reported through `notice`.
        """
        said: list[str] = []
        self.notice.connect(said.append)
        for path in paths:
            if is_log(path):
                await self._open_lines(path)
            elif path.suffix.lower() in (".csv", ".tsv"):
                self.rows_requested.emit(path)
            else:
                await self.open_file(path)
        self.notice.disconnect(said.append)
        if len(said) > 1:  # each replaced the one before
            self.notice.emit(" ".join(dict.fromkeys(said)))

    async def open_file(self, path: Path) -> None:
        """Display the tab in which a file is open, or open it in a new tab unless the one on display is empty.

        A file that is not a prompt changes nothing. Reports errors through `notice`.
        """
        path, same = await asyncio.to_thread(absolute_and_open, path, [page.file.path for page in self.tabs.pages])
        if (page := self.tabs.find(same or path)) is not None:
            self.tabs.show_page(page)
            return
        read = await self._read(path)
        if read is None:
            return
        self._need_tab()
        opened, digest = read
        # A prompt of another tool gets no file: Save must not replace the other tool's file with this program's format.
        file = PromptFile(None if opened.imported else path, opened.format, opened.document, digest)
        self._show(opened.document, file)
        self.file_used.emit(path)
        for note in opened.notes:
            self.notice.emit(f"{path.name}: {note}")
        if opened.model not in (None, "electron"):
            self.notice.emit(
                f"{path.name} names the model {opened.model}. Saving keeps it; requests use the endpoint's model."
            )

    async def _read(self, path: Path) -> tuple[OpenedPrompt, str] | None:
        def read() -> tuple[OpenedPrompt, str]:
            from playground.prompt.import_formats import open_any_bytes

            data = read_regular(path, MAX_FILE_BYTES)
            return open_any_bytes(data, path.name), digest_of(data)

        return await read_watched(self._window, path, read, self.notice.emit)

    def _show(self, document: Document, file: PromptFile, label: str = "Open") -> None:
        document = identified(document)
        file.saved = document
        if file.path is not None:
            label = f"{label} {file.path.name}"
        # One undoable step: Undo brings the previous prompt back, with its file.
        undoable = bool(self._prompt.document().messages)
        self._prompt.set_document(document, undoable=undoable, label=label, file=file)
        self._prompt.show_place(0, 0)
        self.edited(self._prompt.document())
        self.replaced.emit()

    def save(self) -> None:
        """Save to the prompt's file; ask for one if it has none."""
        path = self.file.path
        if path is None:
            self.save_as()
        else:
            self._tasks.start(self.save_file(path, page=self.tabs.page), "save the prompt")

    def save_as(self) -> None:
        """Ask for a file and a format, and save to it."""
        from PySide6.QtWidgets import QFileDialog  # not for the first frame

        dialog = QFileDialog(self._window, "Save the prompt")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilters([PROMPTS, BODIES, *EXPORTS])
        if self.file.format.kind == "request_body":
            dialog.selectNameFilter(BODIES)
        dialog.setDefaultSuffix("json")
        dialog.selectFile(self.file.path.name if self.file.path else (self.name or "prompt") + SUFFIX)
        dialog.filterSelected.connect(lambda chosen: dialog.setDefaultSuffix(EXPORTS.get(chosen, "json").lstrip(".")))
        dialog.fileSelected.connect(lambda path: self._save_to(Path(path), dialog.selectedNameFilter()))
        open_once(dialog)

    def _save_to(self, path: Path, chosen: str) -> None:
        if chosen in EXPORTS:
            self._tasks.start(self.export_file(path, EXPORTS[chosen]), "export the prompt")
        else:
            saving = self.save_file(path, self._format(chosen), force=True, page=self.tabs.page)
            self._tasks.start(saving, "save the prompt")

    async def export_file(self, path: Path, ending: str) -> None:
        """Write the prompt in another tool's format and report the parts that it lacks. The prompt's file stays."""
        # Imported here: rarely needed.
        from playground.export.snippets import WRITERS, left_out

        document = self._prompt.document()

        def write() -> tuple[str, ...]:
            text = WRITERS[ending](document, "electron")
            write_shared(path, text.encode())
            return left_out(document, text, f"x{ending}")

        with write_errors(path, self.notice.emit):
            lost = await asyncio.to_thread(write)
            self.notice.emit(" ".join((f"Exported to {path.name}.", *lost)))

    def _format(self, name_filter: str) -> FileFormat:
        kept = self.file.format
        if name_filter != BODIES:
            return PROMPT_FORMAT
        return kept if kept.kind == "request_body" else FileFormat("request_body", "electron")

    async def save_file(
        self,
        path: Path,
        file_format: FileFormat | None = None,
        *,
        force: bool = False,
        page: PromptPage | None = None,
    ) -> None:
        """Write a prompt to `path`, completely or not at all. A file that changed on disk is not overwritten, unless
        `force`: the user named the file just now. `page`: the prompt to write; None: the one on display now."""
        from playground.prompt.saved_text import saved_bytes  # not for the first frame

        page = page or self.tabs.page
        # Read before the wait: Undo or Redo may give the page another file meanwhile.
        file, document = page.file, page.document
        async with self._saving:
            if page.file.path == file.path:
                file = page.file  # its digest, if it was saved during the wait
            written = file_format or file.format
            if file.digest == NOT_COMPARED and file is self.file:
                await self.check_disk(while_saving=True)
            known = None if force or path != file.path else file.digest
            other = await self._open_elsewhere(path, page)
            if other is not None and other.dirty:
                self.notice.emit(
                    f"{path.name} was not overwritten: it is open in another tab with unsaved changes. "
                    "Save or close that tab first, or choose another name."
                )
                return

            def write() -> tuple[str | None, str]:
                if (found := changed_digest(path, known)) is not None:
                    return found, ""
                data = saved_bytes(document, written, bytes_or_none(file.path))
                write_shared(path, data)
                return None, digest_of(data)

            try:
                conflict, digest = await asyncio.to_thread(write)
            except OSError as error:
                self.notice.emit(f"{path} cannot be written: {error.strerror or error}. The draft is not affected.")
                return
            if conflict is not None:
                if page in self.tabs.pages:
                    self.tabs.show_page(page)  # the bar's actions are about the prompt on display
                    self._show_conflict(path)
                return
            self._saved(file, PromptFile(path, written, document, digest))
            if other in self.tabs.pages and other is not self.tabs.page:
                self.tabs.remove(other)  # its text is no longer that of the file

    async def _open_elsewhere(self, path: Path, page: PromptPage) -> PromptPage | None:
        """Return another tab in which a file is open, also under another name."""
        others = [other for other in self.tabs.pages if other is not page and other.file.path is not None]
        _, same = await asyncio.to_thread(absolute_and_open, path, [other.file.path for other in others])
        return next((other for other in others if other.file.path in (same, path)), None)

    def _saved(self, before: PromptFile, now: PromptFile) -> None:
        old_path = before.path
        if before.path == now.path:
            before.format, before.digest, before.saved = now.format, now.digest, now.saved
        else:
            self.tabs.rename_file(before, now)
            if self.file is before:
                self._prompt.history.set_file(now)
        self._prompt.file_bar.hide()
        self._watch()
        for message in missing_in(now.saved, now.format):
            self.notice.emit(message)
        self.edited(self._prompt.document())
        if now.path is not None:
            self.file_used.emit(now.path)
            self.saved.emit(now.path.name)
            self.file_saved.emit(old_path, now)

    def _ask_then(self, page: PromptPage, run: Callable[[], None]) -> None:
        if not page.dirty or not any(message.content for message in page.document.messages):
            run()
            return
        path = page.file.path

        def save() -> None:
            if path is None:
                self.save_as()
            else:
                self._tasks.start(self._save_then(path, page, run), "save the prompt")

        ask_which(
            self._window,
            "Unsaved changes",
            f"{page.name or 'This prompt'} has unsaved changes.",
            "Discard loses them.",
            {"Save…" if path is None else "Save": save, "Discard": run},
        )

    async def _save_then(self, path: Path, page: PromptPage, run: Callable[[], None]) -> None:
        self.tabs.show_page(page)
        await self.save_file(path, page=page)
        if not page.dirty:
            run()

    def _watch(self) -> None:
        """Watch the present file, and its folder for editors that replace files."""
        path = self.file.path
        wanted = {str(path), str(path.parent)} if path is not None else set()
        watched = {*self._watcher.files(), *self._watcher.directories()}
        if gone := sorted(watched - wanted):
            self._watcher.removePaths(gone)
        if new := sorted(wanted - watched):
            self._watcher.addPaths(new)
        self._prompt.file_bar.hide()
        self._look.start()
        self.changed.emit()

    def _check_disk(self) -> None:
        if self.file.path is not None:
            self._tasks.start(self.check_disk(), "check the prompt's file")

    async def check_disk(self, *, while_saving: bool = False) -> None:
        """Compare the file on disk with the one that was opened or saved; show a banner if it changed."""
        file = self.file
        if file.path is None or (self._saving.locked() and not while_saving):
            return
        try:
            digest, on_disk = await asyncio.to_thread(content_of, file.path, compared=file.digest != NOT_COMPARED)
        except OSError:
            # Removed or not readable: saving writes it again.
            return
        if file is not self.file or (self._saving.locked() and not while_saving):
            return
        if file.digest == NOT_COMPARED and on_disk == file.saved:
            # After a restart: the file still has the content that was saved.
            file.digest = digest
        if digest not in (file.digest, file.kept):
            self._show_conflict(file.path)
        elif digest == file.digest:
            # The change was undone on disk.
            self._prompt.file_bar.hide()
        if str(file.path) not in self._watcher.files():
            self._watcher.addPath(str(file.path))

    def _show_conflict(self, path: Path) -> None:
        self._prompt.file_bar.show_message(
            f"{path.name} changed on disk.",
            [
                ("Reload", lambda: self._tasks.start(self.reload(), "reload the prompt")),
                ("Keep mine", lambda: self._tasks.start(self.keep_mine(), "keep the prompt")),
                ("Compare", lambda: self._tasks.start(self.compare(), "compare with the file")),
            ],
        )

    async def reload(self) -> None:
        """Replace the prompt by the file on disk; Undo brings the prompt back."""
        page = self.tabs.page
        path = page.file.path
        read = await self._read(path) if path is not None else None
        if path is not None and read is not None and page in self.tabs.pages:
            self.tabs.show_page(page)  # another tab may be on display by now
            self._show(read[0].document, PromptFile(path, read[0].format, read[0].document, read[1]), "Reload")

    async def keep_mine(self) -> None:
        """Keep the prompt as modified; the next Save overwrites the file that was on disk at this moment."""
        file = self.file
        if file.path is None:
            return
        try:
            digest, on_disk = await asyncio.to_thread(content_of, file.path)
        except OSError:
            digest, on_disk = digest_of(b""), None
        file.digest = file.kept = digest
        file.saved = on_disk or Document()
        self._prompt.file_bar.hide()
        self.edited(self._prompt.document())

    async def compare(self) -> None:
        """Show the differences between the file on disk and the prompt."""
        # Imported here: rarely needed.
        from playground.prompt.diff import changes
        from playground.ui.dialogs.rewrite import FileChangesDialog

        path, editor = self.file.path, self._prompt.document()
        read = await self._read(path) if path is not None else None
        if path is not None and read is not None:
            rows = await asyncio.to_thread(changes, read[0].document, editor)
            dialog = FileChangesDialog(path.name, rows, self._window)
            dialog.reload_requested.connect(lambda: self._tasks.start(self.reload(), "reload the prompt"))
            dialog.keep_requested.connect(lambda: self._tasks.start(self.keep_mine(), "keep the prompt"))
            open_once(dialog)

    def take_drop(self, event: QDropEvent) -> None:
        """Accept files that are dragged over the window, and open them when they are dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            if event.type() == QEvent.Type.Drop:
                self._tasks.start(self.open_all(paths), "open files")

    async def offer_import(self, text: str) -> None:
        """Open pasted text of another format as a prompt if the prompt was empty; otherwise offer that."""
        from playground.client.redact import MASK
        from playground.prompt.import_formats import import_kind, open_any

        kind, bar, page = import_kind(text), self._prompt.paste_bar, self.tabs.page
        try:
            opened = await asyncio.to_thread(open_any, text)
        except InputError as bad:
            if "YAML" not in kind and page is self.tabs.page:  # plain text may look like YAML
                bar.show_message(f"The pasted {kind} is not a prompt: {bad.problems[0]}", [("Dismiss", bar.hide)])
            return
        if page is not self.tabs.page:
            return  # another prompt is on display by now
        notes = list(opened.notes)
        if opened.model not in (None, "electron"):
            notes.append(f"The model {opened.model} was replaced by the model of the endpoint.")
        if MASK in text:
            notes.append("API keys in the pasted text were masked.")

        def accept() -> None:
            bar.hide()
            self._show(opened.document, PromptFile(None, PROMPT_FORMAT, opened.document), "Open pasted text")
            report = " ".join(notes) or "Nothing was left out."
            count = len(opened.document.messages)
            bar.show_message(f"{counted(count, 'message')} from the pasted {kind}. {report}", [("Dismiss", bar.hide)])

        document = self._prompt.document()
        whole = "".join(message.content or "" for message in document.messages)
        if not document.tools and whole.strip() in ("", text.strip()):
            accept()
        else:
            found = f"The pasted text is a {kind}."
            bar.show_message(" ".join((found, *notes)), [("Open as prompt", accept), ("Keep as text", bar.hide)])

    async def _open_lines(self, path: Path) -> None:
        """Open JSON lines of requests (OpenAI batch input) as a prompt; import other lines into the log."""
        if path.suffix.lower() == ".jsonl" and await asyncio.to_thread(has_requests, path):
            await self.open_file(path)
        else:
            self.import_requested.emit(path)


def _empty() -> Document:
    return Document(messages=(Message("system", ""), Message("user", "")), id=os.urandom(16).hex())
