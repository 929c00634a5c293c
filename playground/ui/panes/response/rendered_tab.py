"""The Rendered tab: the completion as Markdown, in a browser that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
    QTextTable,
)
from PySide6.QtWidgets import QFrame, QLabel, QTextBrowser, QVBoxLayout

from playground.runs.state import RunState
from playground.ui.panes.response.labels import placeholder
from playground.ui.panes.response.live_text import SlowSteps
from playground.ui.theme import GRID, Theme, mono_font, ui_font
from playground.ui.widgets.copy_button import copy_text
from playground.ui.widgets.highlight import spans, units

LONGEST = 200_000
"""Code points; Qt's Markdown takes 105 ms for 100 KB (spikes.md), so longer text stays in the Text tab."""


DEAR_S = 0.012
"""Seconds. Once a step takes longer, the rest waits for the end, so that the stream and the keys do not wait for it."""
LINE_HEIGHT = 125.0
"""Per cent."""


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
        """A clear point for an image, nothing for all else."""
        # Where the answer is no image, Qt's image handler goes and opens a local file of that name itself.
        return self._clear if kind == QTextDocument.ResourceType.ImageResource.value else b"\0"

    def doSetSource(self, _name: QUrl | str, _kind: QTextDocument.ResourceType = ...) -> None:
        """No page is ever opened."""


class RenderedTab(QFrame):
    """Renders at the end, and in slow steps while the text comes."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("look", "pane")
        self._theme = theme
        self._shown: str | None = None
        self._state: RunState | None = None
        self._steps = SlowSteps()
        self.browser = SafeBrowser("Completion, rendered as Markdown")
        self.browser.link_chosen.connect(self._copy_link)
        self._line = QLabel()
        self._line.setTextFormat(Qt.TextFormat.PlainText)
        self._line.setWordWrap(True)
        self._line.setProperty("tone", "muted")
        self._line.setContentsMargins(GRID * 2, GRID // 2, GRID * 2, GRID // 2)
        self._line.setVisible(False)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.browser, 1)
        column.addWidget(self._line)

    @property
    def line_shown(self) -> str:
        """The line under the document."""
        return self._line.text()

    def refresh(self, state: RunState | None, elapsed_s: float = 0.0) -> None:
        """Render what is new, when it is due."""
        if state is not self._state:
            self._state, self._shown, self._steps = state, None, SlowSteps()
        text = state.text if state else ""
        if not text:
            self._shown = None
            self._say(placeholder(state, elapsed_s))
            return
        ended = state is None or state.ended
        if text == self._shown:
            return
        if not ended and self._steps.last_s > DEAR_S:
            self._say_below("Rendered as far as this; the rest at the end of the response. The Text tab has it live.")
            return
        self._steps.run(lambda: self._render(text), now=ended or not self._shown)

    def set_theme(self, theme: Theme) -> None:
        """Render again in the new colours."""
        self._theme = theme
        if self._shown is not None:
            self._render(self._shown)

    def _say(self, words: str) -> None:
        self._say_below("")
        if self.browser.toPlainText() != words:
            self.browser.setPlainText(words)

    def _render(self, text: str) -> None:
        self._shown = text
        self._say_below("")
        if len(text) > LONGEST:
            self._say(f"{len(text):,} characters: too long to render as Markdown here. The Text tab has it all.")
            return
        bar = self.browser.verticalScrollBar()
        place, follow = bar.value(), bar.value() >= bar.maximum() > 0
        document = self.browser.document()
        document.setMarkdown(
            text,
            QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML,
        )
        _space_out(document, self._theme.line)
        _name_images(document)
        for block, language in _code_blocks(document):
            self._paint_code(block, language)
        bar.setValue(bar.maximum() if follow else place)

    def _paint_code(self, blocks: list[QTextBlock], language: str) -> None:
        code = "\n".join(block.text() for block in blocks)
        cursor = QTextCursor(blocks[0])
        cursor.setPosition(blocks[-1].position() + blocks[-1].length() - 1, QTextCursor.MoveMode.KeepAnchor)
        ground = QTextCharFormat()
        ground.setFont(mono_font(12))
        cursor.mergeCharFormat(ground)
        for block in blocks:
            paragraph = QTextCursor(block)
            form = paragraph.blockFormat()
            form.setBackground(self._theme.sunk)
            form.setBottomMargin(0 if block is not blocks[-1] else GRID)
            # A taller line would leave stripes between the lines' grounds.
            form.setLineHeight(0, QTextBlockFormat.LineHeightTypes.SingleHeight.value)
            form.setLeftMargin(0)
            paragraph.setBlockFormat(form)
        begin = blocks[0].position()
        for start, length, color in spans(code, language, self._theme):
            cursor.setPosition(begin + start)
            cursor.setPosition(begin + min(start + length, units(code)), QTextCursor.MoveMode.KeepAnchor)
            form_color = QTextCharFormat()
            form_color.setForeground(color)
            cursor.mergeCharFormat(form_color)

    def _copy_link(self, url: str) -> None:
        copy_text(url)
        self._say_below(f"Link copied, not opened: {url}")

    def _say_below(self, words: str) -> None:
        if words != self._line.text():
            self._line.setText(words)
        self._line.setVisible(bool(words))


def _space_out(document: QTextDocument, line: QColor) -> None:
    """Air between paragraphs; Qt's Markdown sets them solid."""
    block = document.begin()
    while block.isValid():
        cursor = QTextCursor(block)
        form = block.blockFormat()
        form.setLineHeight(LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        if not cursor.currentTable():
            form.setTopMargin(GRID if form.headingLevel() else 0)
            form.setBottomMargin(GRID // 4 if block.textList() else GRID)
        cursor.setBlockFormat(form)
        block = block.next()
    for frame in document.rootFrame().childFrames():
        if isinstance(frame, QTextTable):
            look = frame.format()
            look.setCellPadding(GRID // 2)
            look.setCellSpacing(0)
            look.setBorderCollapse(True)
            look.setBorder(1)
            look.setBorderBrush(line)
            look.setBottomMargin(GRID)
            frame.setFormat(look)


def _name_images(document: QTextDocument) -> None:
    """Words in the place of each image, which is never loaded."""
    cursor = QTextCursor(document)
    while not (cursor := document.find("\ufffc", cursor)).isNull():
        form = cursor.charFormat()
        if form.isImageFormat():
            cursor.insertText(f"[image, not loaded: {form.toImageFormat().name()}]", QTextCharFormat())


def _code_blocks(document: QTextDocument) -> Iterator[tuple[list[QTextBlock], str]]:
    """Each fenced stretch of code as its paragraphs, and the language that its fence names."""
    run: list[QTextBlock] = []
    language = ""
    block = document.begin()
    while block.isValid():
        form = block.blockFormat()
        fenced = form.hasProperty(QTextFormat.Property.BlockCodeFence) or form.hasProperty(
            QTextFormat.Property.BlockCodeLanguage
        )
        named = form.stringProperty(QTextFormat.Property.BlockCodeLanguage)
        if run and (not fenced or named != language):
            yield run, language
            run = []
        if fenced:
            run.append(block)
            language = named
        block = block.next()
    if run:
        yield run, language
