"""Open prompts as tabs, each with its document, file, undo steps and newest request; files of prompts on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace
from PySide6.QtCore import QObject, QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QTabBar, QWidget

from playground.export.terminal import visible_line
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.prompt.files import MAX_FILE_BYTES, identified, parse_bytes
from playground.prompt.json_text import loads
from playground.storage.draft import DraftState
from playground.storage.json_file import read_regular
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.panes.prompt.undo import PromptFile, PromptPage
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.tab_bar import OverflowTabs

NOT_COMPARED = ""
"""Digest of a file that was not read since the program started."""
_NAME_CHARACTERS = 30


class PromptTabs(QObject):
    """At least one prompt is open. The bar is hidden while there is only one."""

    switched = Signal(object)
    """The PromptPage on display."""
    removed = Signal(object)
    """The PromptPage that was closed."""
    close_requested = Signal(object)
    """The PromptPage whose tab the user wants to close."""

    def __init__(self, prompt: PromptPane) -> None:
        super().__init__(prompt)
        self._prompt = prompt
        self._sending: PromptPage | None = None
        self.bar = OverflowTabs()
        self.bar.setAccessibleName("Open prompts")
        self.bar.setProperty("look", "documents")
        self.bar.setDocumentMode(True)
        self.bar.setMovable(True)
        self.pages: list[PromptPage] = [prompt.history.page]
        self._add_to_bar()
        self.bar.hide()
        self.bar.currentChanged.connect(lambda place: self.show_page(self.pages[place]))
        self.bar.tabMoved.connect(lambda before, after: self.pages.insert(after, self.pages.pop(before)))

    @property
    def page(self) -> PromptPage:
        return self._prompt.history.page

    @property
    def blank(self) -> bool:
        """Whether the prompt on display is empty and has no file: another prompt can take its tab."""
        page = self.page
        return page.file.path is None and not any(message.content for message in page.document.messages)

    def find(self, path: Path) -> PromptPage | None:
        return next((page for page in self.pages if page.file.path == path), None)

    def add(self) -> None:
        page = PromptPage()
        self.pages.append(page)
        self._add_to_bar()
        self.show_page(page)

    def show_page(self, page: PromptPage) -> None:
        if page is not self.page:
            tab = self._prompt.prompt_tab
            self.page.cursor, self.page.collapsed = tab.selection()[0], tab.collapsed
            self._prompt.history.show_page(page)
            tab.collapse(page.collapsed)
            self._prompt.show_place(*page.cursor)
            self._prompt.focus_editor()
            self.switched.emit(page)
        self.refresh()

    def step(self, step: int) -> None:
        self.show_page(self.pages[(self.pages.index(self.page) + step) % len(self.pages)])

    def remove(self, page: PromptPage) -> None:
        """Remove one of several tabs without a question."""
        place = self.pages.index(page)
        if page is self.page:
            self.show_page(self.pages[place - 1 if place else 1])
        del self.pages[place]
        with QSignalBlocker(self.bar):
            self.bar.removeTab(place)
        self.refresh()
        self.removed.emit(page)

    def rename_file(self, before: PromptFile, now: PromptFile) -> None:
        """Give the prompts that belong to one file another one."""
        for page in self.pages:
            if page.file is before and page is not self.page:
                page.file = now

    def show_sending(self, page: PromptPage | None) -> None:
        self._sending = page
        self.refresh()

    def refresh(self) -> None:
        for place, page in enumerate(self.pages):
            name = visible_line(page.name) or "Untitled"
            short = name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 1] + "…"
            sending = ", sending" if page is self._sending else ""
            text = ("▸ " if sending else "") + short.replace("&", "&&") + (" •" if page.dirty else "")
            if text != self.bar.tabText(place):
                self.bar.setTabText(place, text)
                self.bar.setAccessibleTabName(place, name + (", unsaved changes" if page.dirty else "") + sending)
                self.bar.setTabToolTip(place, str(page.file.path or name) + sending)
        with QSignalBlocker(self.bar):
            self.bar.setCurrentIndex(self.pages.index(self.page))
        self.bar.setVisible(len(self.pages) > 1)

    def state(self) -> DraftState:
        """Return every open prompt for the draft."""
        states = [_state(page) for page in self.pages]
        place = self.pages.index(self.page)
        return replace(states[place], others=tuple(states[:place] + states[place + 1 :]), place=place)

    def restore(self, state: DraftState) -> None:
        """Open the prompts of a draft in place of the present one."""
        pages = [PromptPage(other.document, _file(other), restored=True) for other in state.others]
        place = min(state.place, len(pages))
        # Complete before the prompt changes: each change saves the draft of every tab.
        self.pages = [*pages[:place], self.page, *pages[place:]]
        while self.bar.count() < len(self.pages):
            self._add_to_bar()
        self._prompt.set_document(state.document, file=_file(state))
        self._prompt.history.offer_saved()
        self.refresh()

    def _add_to_bar(self) -> None:
        with QSignalBlocker(self.bar):
            place = self.bar.addTab("")
        button = icon_button("close", "Close this prompt")
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self._close_at(button))
        self.bar.setTabButton(place, QTabBar.ButtonPosition.RightSide, button)

    def _close_at(self, button: QWidget) -> None:
        right = QTabBar.ButtonPosition.RightSide
        place = next(place for place in range(self.bar.count()) if self.bar.tabButton(place, right) is button)
        self.close_requested.emit(self.pages[place])


def _state(page: PromptPage) -> DraftState:
    file = page.file
    return DraftState(page.document, str(file.path) if file.path is not None else None, file.saved_text, file.format)


def _file(state: DraftState) -> PromptFile:
    try:
        saved = identified(parse_bytes(state.saved.encode("utf-8", "surrogatepass")).document)
    except InputError:
        saved = Document()
    return PromptFile(Path(state.file) if state.file else None, state.format, saved, NOT_COMPARED)


MAX_FIRST_LINE_BYTES = 4_000_000
"""The first line of a JSON lines file is read up to this size to see whether it is a request."""


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    import hashlib  # loads OpenSSL, which the first frame does not need

    return hashlib.sha256(data).hexdigest()


def is_log(path: Path) -> bool:
    """Return whether a file is imported into the request log when it is opened, and not opened as a prompt."""
    return path.suffix.lower() in (".har", ".jsonl")


def has_requests(path: Path) -> bool:
    """Return whether the first line is a request body, or a line of an OpenAI batch input file."""
    try:
        value = loads(read_regular(path, MAX_FIRST_LINE_BYTES).partition(b"\n")[0])
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and (isinstance(value.get("messages"), list) or "custom_id" in value)


def content_of(path: Path, *, compared: bool = False) -> tuple[str, Document | None]:
    """Return the digest of a file, and its prompt unless it was `compared` already. Raises OSError."""
    data = read_regular(path, MAX_FILE_BYTES)
    try:
        return digest_of(data), None if compared else identified(parse_bytes(data).document)
    except InputError:
        return digest_of(data), None


def absolute_and_open(path: Path, open_paths: Sequence[Path | None]) -> tuple[Path, Path | None]:
    """Return the absolute path, and the path by which the same file, perhaps through a link, is open in a tab."""
    path = path.absolute()
    real = os.path.realpath(path)
    return path, next((other for other in open_paths if other is not None and os.path.realpath(other) == real), None)


def changed_digest(path: Path, known: str | None) -> str | None:
    """Return the digest of the file on disk if it is not `known`. None: unchanged, missing or not to be checked.

    Raises OSError if the file cannot be read.
    """
    if known is None:
        return None
    try:
        found = digest_of(read_regular(path, MAX_FILE_BYTES))
    except FileNotFoundError:
        return None
    return None if found == known else found


def bytes_or_none(path: Path | None) -> bytes | None:
    """Return the content of the prompt's file; None if there is none or it cannot be read."""
    try:
        return None if path is None else read_regular(path, MAX_FILE_BYTES)
    except OSError:
        return None
