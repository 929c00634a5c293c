"""The prompt in hand as a file: new, open, save; what has not been saved is never dropped silently."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QMessageBox, QWidget

from playground.assets import asset
from playground.prompt.document import Document, Message
from playground.prompt.field_errors import InputError
from playground.prompt.files import PROMPT_FORMAT, FileFormat, content_id, dump, missing_in, parse_bytes
from playground.storage.draft import Draft, DraftState
from playground.storage.paths import write_shared

if TYPE_CHECKING:
    from playground.ui.panes.prompt.pane import PromptPane

SUFFIX = ".prompt.json"
FILTER = f"Prompts (*{SUFFIX} *.json);;All files (*)"


def sample_document(name: str = "acme-phone-agent") -> Document:
    """A shipped prompt; the voice-agent prompt that a first start shows where none is named."""
    return parse_bytes(asset(f"prompts/{name}.prompt.json").read_bytes()).document


class Files(QObject):
    """Which file the prompt came from, and whether it has changed since."""

    changed = Signal()
    replaced = Signal()
    """Another prompt has been put in place."""
    trouble = Signal(str)

    def __init__(self, window: QWidget, draft: Draft, prompt: PromptPane) -> None:
        super().__init__(window)
        draft.on_trouble = self.trouble.emit
        self._window, self._draft, self._prompt = window, draft, prompt
        self._file: str | None = None
        self._saved = ""
        self._format = PROMPT_FORMAT
        """How the prompt's file is written; saving keeps it."""

    def start(self) -> None:
        """Show the draft of last time, or the sample prompt at a first start."""
        state = self._draft.load()
        if state is None:
            self._replace(sample_document(), None)
            return
        self._file, self._saved, self._format = state.file, state.saved, state.format
        self._prompt.set_document(state.document)

    @property
    def name(self) -> str:
        """The prompt's name: its file's, or its own."""
        if self._file:
            return Path(self._file).name.removesuffix(".json")
        return self._prompt.document().name

    @property
    def dirty(self) -> bool:
        """Whether the prompt differs from what was last saved or opened."""
        return dump(self._prompt.document()) != self._saved

    def edited(self, document: Document) -> None:
        """Keep the draft."""
        self._draft.note(DraftState(document, self._file, self._saved, self._format))
        self.changed.emit()

    def new(self) -> None:
        """An empty prompt: one system and one user message."""
        empty = Document(messages=(Message("system", ""), Message("user", "")), id=uuid.uuid4().hex)
        self._ask_then(lambda: self._replace(empty, None))

    def open_sample(self) -> None:
        """The sample prompt again."""
        self._ask_then(lambda: self._replace(sample_document(), None))

    def open_tools_sample(self) -> None:
        """The sample prompt with tools, for a chain of turns."""
        self._ask_then(lambda: self._replace(sample_document("acme-billing-agent"), None))

    def show_example(self, document: Document) -> None:
        """An example of the guide, as a prompt without a file."""
        self._ask_then(lambda: self._replace(document, None))

    def open(self) -> None:
        """Ask for a file and open it."""
        dialog = QFileDialog(self._window, "Open a prompt file or a request body")
        dialog.setNameFilter(FILTER)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self._ask_then(lambda: self.open_path(Path(path))))
        dialog.open()

    def open_path(self, path: Path) -> None:
        """Open a file; where it is not a prompt, say so and change nothing."""
        try:
            opened = parse_bytes(path.read_bytes())
        except InputError as bad:
            self.trouble.emit(f"{path.name} was not opened: {bad.problems[0]}")
        except OSError as error:
            self.trouble.emit(f"{path} cannot be read: {error.strerror or error}.")
        else:
            self._replace(opened.document, str(path), opened.format)
            for note in opened.notes:
                self.trouble.emit(f"{path.name}: {note}")
            if opened.model not in (None, "electron"):
                self.trouble.emit(
                    f"{path.name} names the model {opened.model}. Saving keeps it; requests use the endpoint's model."
                )

    def _replace(self, document: Document, file: str | None, file_format: FileFormat = PROMPT_FORMAT) -> None:
        # Tool mocks and consents belong to the id: a prompt with the same name has another.
        document = replace(document, id=document.id or content_id(document))
        self._file, self._saved, self._format = file, dump(document), file_format
        # One undoable step: what was there before is one Ctrl+Z away.
        self._prompt.set_document(document, undoable=bool(self._prompt.document().messages), label="Open")
        self.edited(self._prompt.document())
        self.replaced.emit()

    def save(self) -> None:
        """Save to the prompt's file; ask for one where it has none."""
        if self._file is None:
            self.save_as()
        else:
            self.save_path(Path(self._file))

    def save_as(self) -> None:
        """Ask for a file and save to it."""
        dialog = QFileDialog(self._window, "Save the prompt")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter(FILTER)
        dialog.setDefaultSuffix(SUFFIX[1:])
        dialog.selectFile((self.name or "prompt") + ".json")
        dialog.fileSelected.connect(lambda path: self.save_path(Path(path)))
        dialog.open()

    def save_path(self, path: Path) -> None:
        """Write the prompt to `path`, whole or not at all."""
        document = self._prompt.document()
        try:
            write_shared(path, dump(document, self._format).encode())
        except OSError as error:
            self.trouble.emit(f"{path} cannot be written: {error.strerror or error}. The draft is kept.")
            return
        self._file, self._saved = str(path), dump(document)
        for loss in missing_in(document, self._format):
            self.trouble.emit(loss)
        self.edited(self._prompt.document())

    def _ask_then(self, run: Callable[[], None]) -> None:
        if not self.dirty:
            run()
            return
        box = QMessageBox(self._window)
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setText(f"{self.name or 'This prompt'} has changes that are in no file.")
        box.setInformativeText("Undo brings them back after the other prompt is opened.")
        go_on = box.addButton("Open the other prompt", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.buttonClicked.connect(lambda button: run() if button is go_on else None)
        box.open()
