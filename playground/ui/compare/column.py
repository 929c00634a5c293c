"""A column of Compare mode: the variant, its figures, its answer and its actions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import get_args

from PySide6.QtCore import QMimeData, QSize, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QResizeEvent, QTextCharFormat, QTextCursor, QTextDocument, QTextOption
from PySide6.QtWidgets import QFrame, QLabel, QMenu, QStackedWidget

from playground.experiments.comparison import (
    LETTERS,
    WAITED_S,
    Piece,
    RunFigures,
    Variant,
    kind_of,
    parameters_text,
    text_changes,
    variant_changes,
)
from playground.export.terminal import visible, visible_line
from playground.prompt.diff import DiffRow, Sign
from playground.runs.metrics import UNKNOWN, Figure, dollars, finish_text, seconds, speed
from playground.runs.state import RunState
from playground.ui.panes.response.labels import LOOKS, ending, outcome, waiting
from playground.ui.panes.response.live_text import LiveText
from playground.ui.theme import GRID, Recolored, current_theme, mono_font, restyle, scaled, zoom_factor
from playground.ui.widgets.figure_row import Bar, BarPiece
from playground.ui.widgets.form import DirectedEdit
from playground.ui.widgets.highlight import change_format
from playground.ui.widgets.icons import IconLabel, icon_button
from playground.ui.widgets.labels import ElidedLabel, IdRow, push_button, text_data, toned
from playground.ui.widgets.layouts import STRETCH, Panel, column_of, row_of, single_timer
from playground.ui.widgets.notice import words

MOST_PIECES = 4_000
AROUND, LONGEST_LINE = 16, 4_000
"""Characters of unchanged text beside a changed word; length of a line that is compared by words."""
SLICE = 200
"""Pieces that are inserted in one turn of the event loop: a frame."""


class PieceView(Recolored, DirectedEdit):
    """Displays pieces as plain text. Copying leaves out removed parts: they are not in this column's text."""

    def __init__(self, name: str, *, margin: int = GRID * 2) -> None:
        super().__init__()
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.setFont(mono_font())
        self.setProperty("textZoom", True)
        self.document().setDocumentMargin(margin)
        self._pieces: tuple[Piece, ...] = ()
        self._left: list[Piece] = []
        self._next = single_timer(self, 0, self._insert)
        self.colored()

    def recolor(self) -> None:
        pieces, self._pieces = self._pieces, ()
        self._show(pieces)

    def show_pieces(self, pieces: Sequence[Piece]) -> None:
        """Show a difference of two texts, at most MOST_PIECES pieces of it."""
        self._show(tuple(pieces))

    def show_rows(self, rows: Sequence[DiffRow]) -> None:
        """Show a difference of two prompts by lines, and a replaced line by words; unchanged lines are
        left out."""
        changed = [row for row in rows if row.sign in ("head", "gone", "come")]
        signs = "".join(row.sign[0] for row in changed) + "h"
        pieces: list[Piece] = []
        at = 0
        while at < len(changed):
            row, several = changed[at], at > 0 and signs[at - 1] == "g"
            one = not several and signs[at : at + 3] in ("gch", "gcg")
            inside = _by_words(row.text, changed[at + 1].text) if one else []
            at += 2 if inside else 1
            pieces += [*(inside or [row]), Piece("same", "\n")]
        self._show(tuple(pieces[:-1]))

    def createMimeDataFromSelection(self) -> QMimeData:
        selected = QTextDocument()
        QTextCursor(selected).insertFragment(self.textCursor().selection())
        parts: list[str] = []
        block = selected.begin()
        while block.isValid():
            if block.blockNumber() and not block.charFormat().fontStrikeOut():
                parts.append("\n")
            at = block.begin()
            while not at.atEnd():
                if not at.fragment().charFormat().fontStrikeOut():
                    parts.append(at.fragment().text())
                at += 1
            block = block.next()
        return text_data("".join(parts))

    def _show(self, pieces: tuple[Piece, ...]) -> None:
        if pieces == self._pieces:
            return
        self._pieces = pieces
        self.clear()
        shown = list(pieces[:MOST_PIECES])
        if len(pieces) > MOST_PIECES:
            shown.append(Piece("head", f"\n⋯ {len(pieces) - MOST_PIECES:,} more differences"))
        self._left = shown
        self._insert()
        self.moveCursor(QTextCursor.MoveOperation.Start)

    def _insert(self) -> None:
        """Insert the next pieces; the rest follows in later turns of the event loop."""
        formats = {sign: _format(sign) for sign in get_args(Sign)}
        cursor = QTextCursor(self.document())
        cursor.movePosition(QTextCursor.MoveOperation.End)
        cursor.beginEditBlock()
        for piece in self._left[:SLICE]:
            cursor.insertText(visible(piece.text), formats[piece.sign])
        cursor.endEditBlock()
        self._left = self._left[SLICE:]
        if self._left:
            self._next.start()
        else:
            self._next.stop()


def _by_words(before: str, after: str) -> list[Piece]:
    """Return the difference of two lines, with AROUND characters around a change; none for lines unlike each other."""
    if max(len(before), len(after)) > LONGEST_LINE:
        return []
    pieces = text_changes(before, after)
    if 2 * sum(len(piece.text) for piece in pieces if piece.sign == "same") < max(len(before), len(after)):
        return []
    found: list[Piece] = []
    last = len(pieces) - 1
    for at, piece in enumerate(pieces):
        text, sides = piece.text, AROUND * ((at > 0) + (at < last))
        if piece.sign == "same" and len(text) > sides + 1:
            text = (text[:AROUND] if at else "") + "…" + (text[-AROUND:] if at < last else "")
        found.append(Piece(piece.sign, text))
    return found


def _format(sign: str) -> QTextCharFormat:
    form = change_format("skipped" if sign == "head" else sign)
    if sign == "come":
        form.setBackground(current_theme().selection)
    return form


MENU: tuple[tuple[str, str], ...] = (
    ("edit", "Edit…"),
    ("editor", "Copy the prompt from the editor"),
    ("use", "Use in editor"),
    ("open", "Open the request in Prompt"),
    ("", ""),
    ("left", "Move left"),
    ("right", "Move right"),
    ("remove", "Remove the column"),
)
PIECES_LINES, SHORT_LINES, SHORT_PX = 4, 2, 360
"""Lines of a column's differences from A, and those in a column that is lower than SHORT_PX."""
LEAST_PX, WITH_COST_PX, WITH_TTFT_PX = 290, 260, 350


class ColumnView(Panel):
    asked = Signal(str)
    """A name of MENU, or "stop"."""

    def __init__(self) -> None:
        super().__init__("pane")
        self._running = False
        self.letter, self.kind = toned("", "strong"), toned("", "muted")
        self.name = ElidedLabel("Column", "strong")
        self.more = icon_button("more", "Column menu")
        self.caption = toned("", "caption")
        self.differs = PieceView("Differences from A", margin=2)
        self.differs.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.input, self.cached, self.ttft, self.cost = toned("", "strong"), QLabel(), QLabel(), QLabel()
        self.bar = Bar(8)
        self.id = IdRow("request_id")
        self.icon = IconLabel("")
        self.icon.hide()
        self.placeholder = words("", "muted")
        self.placeholder.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.placeholder.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, 0)
        self.text = LiveText("Completion")
        self.text.setProperty("textZoom", True)
        self.pieces = PieceView("Completion, differences from A")
        self.answer = QStackedWidget()
        for widget in (self.placeholder, self.text, self.pieces):
            self.answer.addWidget(widget)
        self.status = ElidedLabel("Status")
        self.open = push_button("Open", "link", lambda: self.asked.emit("open"))
        self.use = push_button("Use in editor", "link", lambda: self.asked.emit("use"))
        self.stop = push_button("Stop", "link", lambda: self.asked.emit("stop"), icon=("stop", "accent"))
        self._changes: tuple[Piece, ...] | None = None
        self._differences = True
        self._lay_out()

    def _lay_out(self) -> None:
        self.menu = QMenu(self)
        for action, label in MENU:
            if action:
                self.menu.addAction(label, partial(self.asked.emit, action))
            else:
                self.menu.addSeparator()
        self.more.setMenu(self.menu)
        self.more.setPopupMode(self.more.ToolButtonPopupMode.InstantPopup)
        head = row_of(self.letter, (self.name, 1), self.kind, self.more, margins=(14, 4, GRID, 4), spacing=GRID)
        about = column_of(self.caption, self.differs, margins=(14, 4, 14, 4), spacing=2)
        band = Panel("footer")
        figures = row_of(self.input, self.cached, self.ttft, STRETCH, self.cost, spacing=GRID + 4)
        column_of(figures, self.bar, self.id, on=band, margins=(14, 6, 14, 4), spacing=4)
        footer = Panel("footer")
        row_of(self.icon, (self.status, 1), self.open, self.use, self.stop, on=footer, margins=(14, 2, GRID, 2))
        column_of(head, about, band, (self.answer, 1), footer, on=self, margins=0, spacing=0)

    def minimumSizeHint(self) -> QSize:
        """Return a width in which the request_id is complete: four columns fit into 1,280 pixels."""
        return QSize(scaled(LEAST_PX), super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        for figure, least_px in ((self.ttft, WITH_TTFT_PX), (self.cost, WITH_COST_PX)):
            figure.setVisible(self.width() >= scaled(least_px))  # the summary has them too
        self.differs.setProperty("zoomApplied", zoom_factor())  # the height is in the present text size
        lines = PIECES_LINES if self.height() >= scaled(SHORT_PX) else SHORT_LINES
        margin = 2 * self.differs.document().documentMargin()
        self.differs.setFixedHeight(ceil(lines * QFontMetricsF(self.differs.font()).lineSpacing() + margin))

    def show_variant(self, index: int, variant: Variant, first: Variant) -> None:
        """Show the prompt's name and what differs from the first column."""
        letter, name = LETTERS[index], variant.document.name or "Untitled"
        kind = kind_of(variant, first)
        self.setAccessibleName(f"Column {letter}: {visible_line(name)}, {kind}")
        self.letter.setText(letter)
        self.name.set_full_text(name)
        self.kind.setText(kind)
        self.more.setAccessibleName(f"Menu of column {letter}")
        self.caption.setText("Baseline" if index == 0 else "Differs from A")
        rows = variant_changes(variant, first) if index else ()
        if rows:
            self.differs.show_rows(rows)
            return
        where = f"{variant.endpoint.name} · {variant.endpoint.model}"
        same = "" if index == 0 else "Nothing yet: edit this column from its menu.\n"
        self.differs.show_pieces(
            (Piece("same", f"{same}{where}\n{parameters_text(dict(variant.document.parameters))}"),)
        )

    def show_place(self, index: int, count: int) -> None:
        """Enable the menu's items that apply at this position."""
        enabled = {"left": index > 0, "right": index < count - 1, "remove": count > 1}
        for (action, _), item in zip(MENU, self.menu.actions(), strict=True):
            item.setEnabled(enabled.get(action, True))

    def show_text(self, text: str) -> None:
        """Show the text of a request in flight; `show_run` shows its figures."""
        self.text.show_text(text, final=False)
        self._show_answer()

    def show_run(
        self,
        state: RunState | None,
        run: RunFigures | None,
        elapsed_s: float,
        note: str,
        expected: float | None = None,
        tokens: float | None = None,
    ) -> None:
        """Show a request, live or ended. `note` replaces the status if nothing was sent; `expected` is then the
        forecast of cached tokens, and `tokens` the estimate of prompt tokens."""
        running = state is not None and not state.ended
        text = run.text if run is not None else ""
        if running and state is not None:
            text = state.text
        self.text.show_text(text, final=not running)
        if self._running and not running:
            self.text.scroll_to_start()  # columns are compared from their first words on
        self._running = running
        if not text:
            self.placeholder.setText(waiting(state, elapsed_s) if running and state else note or _empty(run))
        self._show_answer()
        self._show_figures(run, expected, tokens, ended=run is not None and not running)
        self._show_status(state, run, elapsed_s, note)

    def _show_figures(
        self, run: RunFigures | None, expected_now: float | None, tokens: float | None, *, ended: bool
    ) -> None:
        cached = run.cached_tokens if run else None
        forecast = run.forecast_cached if run else expected_now
        expected = "" if forecast is None else f"Forecast: ≈ {forecast:,.0f} tokens cached"
        text = UNKNOWN if forecast is None or ended else f"≈ {forecast:,.0f}"
        text = f"{text if cached is None else f'{cached:,}'} cached"
        estimate = UNKNOWN if tokens is None else Figure.estimated(tokens).text
        self.input.setText(f"{run.input.text if run else estimate} in")
        self.cached.setText(text)
        self.cached.setToolTip(expected)
        restyle(self.cached, tone="warm" if cached else "muted")
        self.ttft.setText(f"TTFT {seconds(run.ttft_s if run else None)}")
        self.cost.setText(dollars(run.input_cost if run else None))
        self.cost.setToolTip("Input cost at the endpoint's rates")
        prompt = run.prompt_tokens if run else None
        pieces: tuple[BarPiece, ...] = ()
        if cached is not None and prompt and cached <= prompt:
            pieces = (BarPiece(cached, "warm_edge"), BarPiece(prompt - cached, "fresh_outline", hollow=True))
        unknown = "cached tokens were not reported" if ended else "cached tokens are not known yet"
        self.bar.show_pieces(pieces, f"{cached:,} of {prompt:,} cached" if pieces else unknown)
        request_id = (run.request_id if run else None) or ""
        self.id.show_id(request_id, "" if request_id else "no response yet")

    def _show_status(self, state: RunState | None, run: RunFigures | None, elapsed_s: float, note: str) -> None:
        running, short = state is not None and not state.ended, ""
        if run is None and not running:
            status = note
        elif running and state is not None:
            status = f"{outcome(state)} · {seconds(elapsed_s)}{_speed(run)}"
        else:
            assert run is not None
            done = visible_line(finish_text(run.finish_reason)) if run.phase == "done" else run.phase
            end = run.error or (ending(state) if state is not None else "")
            http = f" · HTTP {run.status}" if run.phase == "failed" and run.status is not None else ""
            waited_s = run.waited_s if run.waited_s is not None and run.waited_s >= WAITED_S else 0.0
            sent_s = None if run.total_s is None else run.total_s - waited_s
            status = f"{done}{http} · {seconds(sent_s)} · {run.output.text} out"
            status += f" · {end}" if end else ""
            if waited_s:
                status += f" · waited {seconds(waited_s)} to be sent"
                short = f"{done}{http} · {seconds(sent_s)} · waited {seconds(waited_s)}"
        phase = state.phase if running and state is not None else run.phase if run is not None else None
        self.icon.show_icon(*LOOKS[phase][:2])
        self.status.set_full_text(status, short=short)
        self.stop.setVisible(running)
        self.use.setVisible(not running)
        self.open.setVisible(not running and run is not None)

    def show_changes(self, changes: tuple[Piece, ...] | None) -> None:
        """Set the answer's difference from A; None: there is no difference to show."""
        self._changes = changes
        if changes is not None:
            self.pieces.show_pieces(changes)
        self._show_answer()

    def set_differences(self, shown: bool) -> None:
        """Show differences in the answer, or the answer alone."""
        self._differences = shown
        self._show_answer()

    def _show_answer(self) -> None:
        if not self.text.exact_text and not (self._changes and self._differences):
            shown: object = self.placeholder
        else:
            shown = self.pieces if self._differences and self._changes is not None else self.text
        if shown is not self.answer.currentWidget():
            self.answer.setCurrentWidget(shown)  # type: ignore[arg-type]


def _empty(run: RunFigures | None) -> str:
    if run is None:
        return "Not sent yet."
    return "\n".join(filter(None, (run.error, run.error_detail))) or "The response has no text."


def _speed(run: RunFigures | None) -> str:
    return f" · {speed(run.tokens_per_s)}" if run is not None and run.tokens_per_s else ""
