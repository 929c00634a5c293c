"""Markdown as a sequence of small pieces, each rendered alone, so that no step blocks the event loop.

Qt lays out a table as a whole (0.25 ms per cell), so a table over `MOST_CELLS` appears as aligned text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct
from PySide6.QtGui import (
    QColor,
    QTextBlock,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextDocumentFragment,
    QTextFormat,
    QTextTable,
)

from playground.ui.theme import GRID, Theme, mono_font, ui_font
from playground.ui.widgets.highlight import spans

MOST_CELLS = 60
PIECE_CHARS = 1_500
"""A piece ends at the first blank line after this many code points."""
LONGEST_LINE = 3_000
CODE_LINES = 30
"""Lines of one code piece; a longer block continues in the next piece."""
MOST_COLUMN_CHARS = 40
LINE_HEIGHT = 125.0
"""Per cent."""
COPY_CODE = "copy-code:"
"""Scheme of the link over a code block; the rest is the number of the block."""
NOT_COPIED = QTextFormat.Property.UserProperty.value + 1
"""Property of paragraphs that are not part of the answer, such as the heading of a code block."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")
_DELIMITER = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_DEFINITION = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s*\S+")
_CONTINUES = re.compile(r"^(\s+\S|\s*([-*+]|\d{1,9}[.)])\s)")
_FLAGS = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML


class MarkdownPiece(Struct, frozen=True):
    """One rendered step. `text` is Markdown, or the exact code or table text of the other kinds.

    `number` counts code blocks from 0; `opens` and `closes` tell whether a code piece begins and ends its block.
    """

    kind: Literal["markdown", "code", "table"]
    text: str
    language: str = ""
    number: int = 0
    opens: bool = True
    closes: bool = True


def pieces(text: str) -> list[MarkdownPiece]:
    """Split Markdown at its own boundaries. A longer text with the same beginning has the same first pieces."""
    found = list(_pieces(text.split("\n")))
    definitions = "\n".join(line for line in text.split("\n") if _DEFINITION.match(line))
    if not definitions:
        return found
    return [
        MarkdownPiece("markdown", f"{piece.text}\n\n{definitions}")
        if piece.kind == "markdown" and "[" in piece.text and definitions not in piece.text
        else piece
        for piece in found
    ]


def code_blocks(text: str) -> list[str]:
    blocks: list[str] = []
    for piece in pieces(text):
        if piece.kind == "code":
            if piece.opens:
                blocks.append(piece.text)
            else:
                blocks[-1] += "\n" + piece.text
    return blocks


def _pieces(lines: list[str]) -> Iterator[MarkdownPiece]:
    waiting: list[str] = []
    chars = blocks = at = 0

    def markdown() -> Iterator[MarkdownPiece]:
        if any(line.strip() for line in waiting):
            yield MarkdownPiece("markdown", "\n".join(waiting))
        waiting.clear()

    while at < len(lines):
        line = lines[at]
        if fence := _FENCE.match(line):
            yield from markdown()
            chars, end = 0, _fence_end(lines, at, fence[1])
            yield from _code(lines[at + 1 : end], fence[2], blocks)
            blocks, at = blocks + 1, end + 1
            continue
        if "|" in line and at + 1 < len(lines) and _DELIMITER.match(lines[at + 1]) and "-" in lines[at + 1]:
            end = _table_end(lines, at)
            rows = lines[at:end]
            if (len(rows) - 1) * len(_cells(rows[0])) > MOST_CELLS:
                yield from markdown()
                yield from _table_text(rows)
            else:
                waiting.extend(rows)
                yield from markdown()
            chars, at = 0, end
            continue
        if len(line) > LONGEST_LINE:
            yield from markdown()
            yield from (MarkdownPiece("markdown", part) for part in _parts(line))
            chars, at = 0, at + 1
            continue
        waiting.append(line)
        chars += len(line) + 1
        following = lines[at + 1] if at + 1 < len(lines) else ""
        blank = not line.strip()
        if (blank and chars > PIECE_CHARS and not _CONTINUES.match(following)) or chars > 4 * PIECE_CHARS:
            yield from markdown()
            chars = 0
        at += 1
    yield from markdown()


def _fence_end(lines: list[str], start: int, fence: str) -> int:
    close = re.compile(rf"^ {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    return next((at for at in range(start + 1, len(lines)) if close.match(lines[at])), len(lines))


def _code(lines: list[str], language: str, number: int) -> Iterator[MarkdownPiece]:
    cut = [part for line in lines for part in (_parts(line) if len(line) > LONGEST_LINE else (line,))]
    for at in range(0, max(len(cut), 1), CODE_LINES):
        text = "\n".join(cut[at : at + CODE_LINES])
        yield MarkdownPiece("code", text, language, number, at == 0, at + CODE_LINES >= len(cut))


def _table_end(lines: list[str], start: int) -> int:
    ends = (at for at in range(start + 2, len(lines)) if not lines[at].strip() or _FENCE.match(lines[at]))
    return next(ends, len(lines))


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]


def _table_text(rows: list[str]) -> Iterator[MarkdownPiece]:
    cells = [_cells(row) for number, row in enumerate(rows) if number != 1]
    columns = max(map(len, cells))
    widths = [
        min(MOST_COLUMN_CHARS, max((len(row[column]) for row in cells if column < len(row)), default=0))
        for column in range(columns)
    ]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in cells]
    per_piece = max(1, 4 * PIECE_CHARS // max(map(len, lines)))
    for at in range(0, len(lines), per_piece):
        text = "\n".join(lines[at : at + per_piece])
        yield MarkdownPiece("table", text, opens=at == 0, closes=at + per_piece >= len(lines))


def _parts(line: str) -> Iterator[str]:
    """Wrap a long line for display, at spaces if possible."""
    while len(line) > LONGEST_LINE:
        cut = line.rfind(" ", LONGEST_LINE // 2, LONGEST_LINE) + 1 or LONGEST_LINE
        yield line[:cut]
        line = line[cut:]
    yield line


def insert(cursor: QTextCursor, piece: MarkdownPiece, theme: Theme) -> None:
    """Insert a rendered piece at the cursor, which is at the end of the document."""
    cursor.beginEditBlock()
    if cursor.block().length() > 1:
        cursor.insertBlock(QTextBlockFormat(), QTextCharFormat())
    if piece.kind == "markdown":
        _insert_markdown(cursor, piece.text, theme)
    else:
        _insert_exact(cursor, piece, theme)
    cursor.endEditBlock()


def _insert_markdown(cursor: QTextCursor, text: str, theme: Theme) -> None:
    # Formatted before it is inserted: this document has no layout yet, so that no change is laid out alone.
    document = QTextDocument()
    document.setDefaultFont(ui_font())
    document.setMarkdown(text, _FLAGS)
    _space_out(document, theme.line)
    _name_images(document)
    cursor.insertFragment(QTextDocumentFragment(document))


def _insert_exact(cursor: QTextCursor, piece: MarkdownPiece, theme: Theme) -> None:
    if piece.opens and piece.kind == "code":
        _insert_heading(cursor, piece, theme)
    form = QTextBlockFormat()
    form.setBackground(theme.sunk)
    form.setNonBreakableLines(piece.kind == "table")
    letters = QTextCharFormat()
    letters.setFont(mono_font(12))
    cursor.setBlockFormat(form)
    for text, color in _runs(piece, theme):
        letters.setForeground(color)
        # U+2029 is how Qt spells a new paragraph.
        cursor.insertText(text.replace("\n", "\u2029"), letters)
    if piece.closes:
        form.setBottomMargin(GRID)
        cursor.setBlockFormat(form)


def _insert_heading(cursor: QTextCursor, piece: MarkdownPiece, theme: Theme) -> None:
    form = QTextBlockFormat()
    form.setBackground(theme.sunk)
    form.setProperty(NOT_COPIED, True)
    cursor.setBlockFormat(form)
    letters = QTextCharFormat()
    letters.setFont(ui_font(12))
    letters.setForeground(theme.muted)
    cursor.insertText(f"{piece.language or 'code'}   ", letters)
    letters.setForeground(theme.accent)
    letters.setAnchor(True)
    letters.setAnchorHref(f"{COPY_CODE}{piece.number}")
    cursor.insertText("Copy code", letters)
    cursor.insertBlock(QTextBlockFormat(), QTextCharFormat())


def _runs(piece: MarkdownPiece, theme: Theme) -> Iterator[tuple[str, QColor]]:
    """Split a piece's text where its color changes."""
    found = spans(piece.text, piece.language, theme) if piece.kind == "code" else ()
    encoded, at, cuts = piece.text.encode("utf-16-le", "surrogatepass"), 0, list[tuple[int, int, QColor]]()
    for start, length, color in sorted(found, key=lambda span: span[0]):
        if start < at:
            continue  # nested in the span before
        cuts += (at, start, theme.text), (start, min(start + length, len(encoded) // 2), color)
        at = cuts[-1][1]
    for start, end, color in (*cuts, (at, len(encoded) // 2, theme.text)):
        if end > start:
            yield encoded[2 * start : 2 * end].decode("utf-16-le", "replace"), color


def _space_out(document: QTextDocument, line: QColor) -> None:
    """Set line height and paragraph margins, which Qt's Markdown leaves at 0."""
    cursor = QTextCursor(document)
    cursor.beginEditBlock()
    block = document.begin()
    while block.isValid():
        cursor.setPosition(block.position())
        form = block.blockFormat()
        form.setLineHeight(LINE_HEIGHT, QTextBlockFormat.LineHeightTypes.ProportionalHeight.value)
        if cursor.currentTable() is None:
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
    cursor.endEditBlock()


def _name_images(document: QTextDocument) -> None:
    """Replace each image, which is never loaded, by its address."""
    cursor = QTextCursor(document)
    while not (cursor := document.find("\ufffc", cursor)).isNull():
        form = cursor.charFormat()
        if form.isImageFormat():
            cursor.insertText(f"[image, not loaded: {form.toImageFormat().name()}]", QTextCharFormat())


def selected_text(selection: QTextCursor) -> str:
    """Return the selected text: cells of a table row separated by tabs, headings of code blocks left out."""
    start, end = selection.selectionStart(), selection.selectionEnd()
    document = selection.document()
    block = document.findBlock(start)
    out: list[str] = []
    before: tuple[int, int] | None = None
    while block.isValid() and block.position() < end:
        beside_table = not block.text() and _cell(QTextCursor(block)) is None and _near_table(block)
        if not beside_table and not block.blockFormat().property(NOT_COPIED):
            text = block.text()[max(start - block.position(), 0) : max(end - block.position(), 0)]
            cell = _cell(QTextCursor(block))
            if out:
                same_row = cell is not None and before is not None and cell[0] == before[0]
                out.append("\n" if not same_row else " " if cell == before else "\t")
            out.append(text.replace("\u2028", "\n"))
            before = cell
        block = block.next()
    return "".join(out)


def _near_table(block: QTextBlock) -> bool:
    """Return whether a paragraph before or after is in a table: Qt puts an empty one at each side of it."""
    sides = (block.previous(), block.next())
    return any(side.isValid() and _cell(QTextCursor(side)) is not None for side in sides)


def _cell(cursor: QTextCursor) -> tuple[int, int] | None:
    """Return an id of the table row at the cursor, and the column."""
    table = cursor.currentTable()
    cell = table.cellAt(cursor) if table else None
    return (table.firstPosition() * 100_000 + cell.row(), cell.column()) if cell else None
