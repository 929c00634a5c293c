"""Highlighted code and differences: colors of the theme by kind of token, signs and underlines beside colors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from PySide6.QtGui import (
    QColor,
    QSyntaxHighlighter,
    QTextBlockFormat,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextOption,
)
from PySide6.QtWidgets import QTextEdit

from playground.prompt.diff import DiffRow
from playground.runs.metrics import counted
from playground.ui.theme import GRID, Recolored, Theme, current_theme, mono_font

_SIGNS = {"head": "", "same": "   ", "gone": "−  ", "come": "+  ", "skipped": "⋯  "}
MOST_ROWS = 2_000
_WRAP = QTextOption.WrapMode


class DiffLine(Struct, frozen=True):
    """A line of a difference: `lead` is muted, `ground` is a role of the theme."""

    sign: str
    lead: str
    text: str
    ground: str = ""


def change_format(sign: str) -> QTextCharFormat:
    """Return the look of unchanged, removed ("gone") or added ("come") text: strokes repeat what the colors say."""
    theme, form = current_theme(), QTextCharFormat()
    form.setForeground(theme.muted if sign in ("gone", "skipped", "old_boundary") else theme.text)
    form.setFontStrikeOut(sign == "gone")
    if sign == "come":
        form.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
        form.setUnderlineColor(theme.accent)
    if sign in ("head", "new_boundary"):
        form.setFontWeight(600)
    if sign == "new_boundary":
        form.setForeground(theme.variable_edge)
    return form


class DifferenceView(Recolored, QTextEdit):
    """Read-only. Text is inserted as plain text, never as markup."""

    def __init__(self, name: str = "What changes", *, wraps: bool = True) -> None:
        super().__init__()
        self._lines: tuple[DiffLine, ...] = ()
        self.setReadOnly(True)
        self.setAccessibleName(name)
        self.setFont(mono_font(12))
        self.setWordWrapMode(_WRAP.WrapAtWordBoundaryOrAnywhere if wraps else _WRAP.NoWrap)
        self.setTabChangesFocus(True)
        self.colored()

    def recolor(self) -> None:
        self.show_lines(self._lines)

    def show_rows(self, rows: Sequence[DiffRow]) -> None:
        self.show_lines(
            [DiffLine(row.sign, _SIGNS[row.sign], row.text, "selection" if row.sign == "come" else "") for row in rows]
        )

    def show_lines(self, lines: Sequence[DiffLine]) -> None:
        """Show lines, at most MOST_ROWS of them."""
        self._lines = tuple(lines)
        more = len(lines) - MOST_ROWS
        last = (DiffLine("skipped", "⋯  ", f"{counted(more, 'line')} more"),) if more > 0 else ()
        self.clear()
        cursor = QTextCursor(self.document())
        for number, line in enumerate((*self._lines[:MOST_ROWS], *last)):
            if number:
                cursor.insertBlock()
            cursor.setBlockFormat(_block(line))
            cursor.insertText(line.lead, change_format("skipped"))
            cursor.insertText(line.text, change_format(line.sign))
        self.moveCursor(QTextCursor.MoveOperation.Start)


def _block(line: DiffLine) -> QTextBlockFormat:
    block = QTextBlockFormat()
    if line.ground:
        block.setBackground(getattr(current_theme(), line.ground))
    if line.sign in ("head", "new_boundary", "old_boundary"):
        block.setTopMargin(GRID / 2)
        block.setBottomMargin(GRID / 2)
    return block


LONGEST = 20_000
"""Code points; longer code stays plain, so that no frame waits for a lexer."""
_IN_STRING = 1


def units(text: str) -> int:
    """Return the length in UTF-16 units, which Qt counts."""
    return len(text) + sum(char > "\uffff" for char in text)


def spans(code: str, language: str, theme: Theme) -> Iterator[tuple[int, int, QColor]]:
    """Yield (start, length, color) in UTF-16 units of each colored span; nothing for an unknown language."""
    lexer = _lexers[language] if language in _lexers else load(language)
    if lexer is None or len(code) > LONGEST:
        return
    at = 0
    for kind, value in lexer.get_tokens(code):
        length = units(value)
        color = _color(str(kind), theme)
        if color is not None and value.strip():
            yield at, length, color
        at += length


_lexers: dict[str, Any] = {}
"""Lexers by language; None for an unknown language."""
_MOST_LEXERS = 100
"""Names of languages come from completions: their number is not limited otherwise."""


def is_loaded(language: str) -> bool:
    """Return whether `spans` can color this language without an import."""
    return language in _lexers


def load(language: str) -> Any:
    """Import a language's lexer and return it: 0.03 to 0.2 s, and 0.1 s for pygments. Any thread may call it."""
    if len(_lexers) >= _MOST_LEXERS:
        _lexers.clear()
    lexer = None
    try:
        from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
        from pygments.util import ClassNotFound  # type: ignore[import-untyped]

        with suppress(ClassNotFound):
            lexer = get_lexer_by_name(language or "text", stripnl=False, ensurenl=False)
    finally:
        _lexers[language] = lexer
    return lexer


def _color(kind: str, theme: Theme) -> QColor | None:
    for prefix, color in (
        ("Token.Name.Tag", theme.accent),
        ("Token.Name.Function", theme.accent),
        ("Token.Name.Class", theme.accent),
        ("Token.Keyword", theme.output),
        ("Token.Literal.String", theme.warm_edge),
        ("Token.Literal.Number", theme.variable_edge),
        ("Token.Comment", theme.muted),
    ):
        if kind.startswith(prefix):
            return color
    return None


class JsonHighlighter(QSyntaxHighlighter):
    """Colors JSON by paragraph. A string may continue in paragraphs that are separate for display only."""

    def __init__(self, document: QTextDocument) -> None:
        super().__init__(document)

    def highlightBlock(self, text: str) -> None:
        inside = self.previousBlockState() == _IN_STRING
        open_at_end = _string_open(text, inside)
        self.setCurrentBlockState(_IN_STRING if open_at_end else 0)
        if inside and open_at_end and '"' not in text:
            self._paint(0, units(text), current_theme().warm_edge)
            return
        code = ('"' if inside else "") + text + ('"' if open_at_end else "")
        shift = 1 if inside else 0
        for start, length, color in spans(code, "json", current_theme()):
            self._paint(max(start - shift, 0), length, color)

    def _paint(self, start: int, length: int, color: QColor) -> None:
        form = QTextCharFormat()
        form.setForeground(color)
        self.setFormat(start, length, form)


def _string_open(text: str, inside: bool) -> bool:
    escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and inside:
            escaped = True
        elif char == '"':
            inside = not inside
    return inside
