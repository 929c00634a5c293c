"""The Rendered tab: the completion as Markdown; links and images load nothing."""

from __future__ import annotations

from threading import Thread
from time import perf_counter

from PySide6.QtCore import QEvent, QMimeData, Qt, QUrl, Signal
from PySide6.QtGui import QImage, QTextDocument
from PySide6.QtWidgets import QFrame, QTextBrowser

from playground.runs.state import RunState
from playground.ui.panes.response.labels import placeholder
from playground.ui.panes.response.live_text import FollowEnd, SlowSteps, displayed
from playground.ui.panes.response.markdown_view import (
    COPY_CODE,
    MarkdownPiece,
    code_blocks,
    insert,
    pieces,
    selected_text,
)
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.widgets.form import cursor_over
from playground.ui.widgets.highlight import is_loaded, load
from playground.ui.widgets.labels import copy_text, show_or_hide, text_data, toned
from playground.ui.widgets.layouts import Panel, column_of, single_timer

LONGEST = 200_000
"""Code points; a longer text is only in the Text tab."""
STEP_S = 0.008
"""Half a frame at 60 Hz: pieces are rendered for this long, then the event loop gets its turn."""

LEXER_WAIT_MS = 10
"""Interval at which a code piece checks whether the lexer of its language is loaded."""


class SafeBrowser(QTextBrowser):
    """Shows a document and fetches nothing: no image, no style, no page, neither remote nor local."""

    link_chosen = Signal(str)

    def __init__(self, name: str) -> None:
        super().__init__()
        self._clear = QImage(1, 1, QImage.Format.Format_ARGB32)
        self._clear.fill(0)
        self.setAccessibleName(name)
        self.setOpenLinks(False)
        self.setOpenExternalLinks(False)
        self.setUndoRedoEnabled(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFont(ui_font())
        self.document().setDocumentMargin(GRID * 2)
        self.anchorClicked.connect(lambda url: self.link_chosen.emit(url.toString()))

    def loadResource(self, kind: int, _name: QUrl | str) -> object:
        """Return a transparent point for an image, nothing for other resources."""
        # Without an image as answer, Qt's image handler opens a local file of that name itself.
        return self._clear if kind == QTextDocument.ResourceType.ImageResource.value else b"\0"

    def doSetSource(self, _name: QUrl | str, _kind: QTextDocument.ResourceType = ...) -> None:
        """Open no page."""

    def createMimeDataFromSelection(self) -> QMimeData:
        """Copy the original text: tabs between table cells; tabs and no-break spaces are preserved."""
        return text_data(selected_text(self.textCursor()))


class RenderedTab(Panel):
    """Renders in steps of at most `STEP_S` (one piece at least) and skips unchanged pieces."""

    finished = Signal()
    """All of the text so far is rendered."""

    def __init__(self) -> None:
        super().__init__("pane")
        self._source: str | None = None
        self._state: RunState | None = None
        self._steps = SlowSteps()
        self._shown: list[tuple[MarkdownPiece, int]] = []
        """Each rendered piece with its start in the document."""
        self._waiting: list[MarkdownPiece] = []
        self._selection: tuple[int, int] | None = None
        self._loading: Thread | None = None
        self.browser = SafeBrowser("Completion, rendered as Markdown")
        self.browser.link_chosen.connect(self._open_link)
        self._follow = FollowEnd(self.browser)
        self.line = toned("", "muted", wraps=True)
        self.line.setTextFormat(Qt.TextFormat.PlainText)
        self.line.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID // 2)
        self.line.setVisible(False)
        self._timer = single_timer(self, 0, self._step)
        column_of((self.browser, 1), self.line, on=self, margins=0, spacing=0)

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        if state is not self._state:
            self._state, self._source, self._steps = state, None, SlowSteps()
            self._follow.following = state is not None and not state.ended
        text = state.text if state else ""
        if not text:
            self._source = None
            self._update_text(placeholder(state, elapsed_s))
            return
        if text != self._source:
            ended = state is None or state.ended
            self._steps.run(lambda: self._render(text), now=ended or self._source is None)

    def _update_text(self, text: str) -> None:
        self._show_below("")
        self._drop()
        if self.browser.toPlainText() != text:
            self.browser.setPlainText(text)

    def _drop(self) -> None:
        self._shown, self._waiting, self._selection = [], [], None
        self._timer.stop()

    def _render(self, text: str) -> None:
        fresh = self._source is None
        self._source = text
        self._show_below("")
        if len(text) > LONGEST:
            said = f"{len(text):,} characters: too long to render as Markdown. The Text tab shows all of it."
            self._update_text(said)
            return
        if fresh:
            self._drop()
            self.browser.clear()
        found = pieces(displayed(text))
        kept = 0
        while kept < min(len(found), len(self._shown)) and found[kept] == self._shown[kept][0]:
            kept += 1
        self._waiting = found[kept:]
        if kept < len(self._shown):
            self._cut(self._shown[kept][1])
            del self._shown[kept:]
        self._step()

    def _cut(self, start: int) -> None:
        """Remove the document from `start` on, and remember a selection that reaches into it."""
        mine = self.browser.textCursor()
        if self._selection is None and max(mine.position(), mine.anchor()) > start:
            self._selection = mine.anchor(), mine.position()
        document = self.browser.document()
        cursor_over(document, start, document.characterCount() - 1).removeSelectedText()

    def _step(self) -> None:
        began = perf_counter()
        theme, document = current_theme(), self.browser.document()
        while self._waiting and self._can_insert(self._waiting[0]):
            cursor = cursor_over(document, document.characterCount() - 1)
            piece = self._waiting.pop(0)
            self._shown.append((piece, cursor.position()))
            insert(cursor, piece, theme)
            if perf_counter() - began > STEP_S:
                break
        self._restore_selection()
        if self._waiting:
            self._timer.start(0 if self._loading is None else LEXER_WAIT_MS)
        else:
            self.finished.emit()

    def _can_insert(self, piece: MarkdownPiece) -> bool:
        """Return whether a piece can be inserted without an import; start the import of its lexer if not."""
        if self._loading is not None and not self._loading.is_alive():
            self._loading = None
        if piece.kind != "code" or is_loaded(piece.language):
            return True
        if self._loading is None:
            self._loading = Thread(target=load, args=(piece.language,), name="lexer", daemon=True)
            self._loading.start()
        return False

    def _restore_selection(self) -> None:
        end = self.browser.document().characterCount() - 1
        if self._selection is None or (self._waiting and max(self._selection) > end):
            return
        anchor, position = (min(place, end) for place in self._selection)
        self._selection = None
        bar = self.browser.verticalScrollBar()
        top = bar.value()
        self.browser.setTextCursor(cursor_over(self.browser.document(), anchor, position))
        bar.setValue(top)

    def changeEvent(self, event: QEvent) -> None:
        """Render again in the colors of another theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self._source is not None:
            text, self._source = self._source, None
            self._render(text)

    def _open_link(self, url: str) -> None:
        if not url.startswith(COPY_CODE):
            copy_text(url)
            self._show_below(f"Link copied, not opened: {url}")
            return
        blocks = code_blocks(self._source or "")
        number = int(url.removeprefix(COPY_CODE)) if url.removeprefix(COPY_CODE).isdigit() else len(blocks)
        if number < len(blocks):
            copy_text(blocks[number])
            self._show_below("Code copied")

    def _show_below(self, text: str) -> None:
        show_or_hide(self.line, text)
