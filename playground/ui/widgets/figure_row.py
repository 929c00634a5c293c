"""A figure with its name and why it is unknown; and bars of figures: tokens by kind, time by phase."""

from __future__ import annotations

from msgspec import Struct
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QAction, QBrush, QColor, QKeyEvent, QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from playground.client.events import Usage
from playground.export.terminal import visible, visible_line
from playground.runs.state import RunState
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID, current_theme, ui_font
from playground.ui.widgets.labels import ElidedLabel, IdLabel, copy_text
from playground.ui.widgets.layouts import column_of, row_of
from playground.ui.widgets.plain_table import plain_tip

SWATCH_PX = 10


class Swatch(QWidget):
    """A legend's square in the color of a theme role: filled, hatched, or an outline."""

    def __init__(self, role: str, *, hollow: bool = False, hatched: bool = False) -> None:
        super().__init__()
        self._role, self._hollow, self._hatched = role, hollow, hatched
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:
        return QSize(SWATCH_PX, SWATCH_PX)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color: QColor = getattr(theme, self._role)
        area = QRectF(0.5, (self.height() - SWATCH_PX) / 2 + 0.5, SWATCH_PX - 1, SWATCH_PX - 1)
        painter.setPen(QPen(color, 1))
        painter.setBrush(theme.line if self._hollow else color)
        painter.drawRoundedRect(area, 2, 2)
        if self._hatched:
            painter.setBrush(QBrush(theme.surface, Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(area, 2, 2)


class FigureRow(QFrame):
    """Name on the left, value on the right in tabular figures. Ctrl+C, or the context menu, copies the value."""

    def __init__(
        self, name: str, swatch: Swatch | None = None, *, whole: bool = False, parent: QWidget | None = None
    ) -> None:
        """`swatch` precedes the name. `whole`: the value is an id that is never shortened, on its own line."""
        super().__init__(parent)
        self._name = name
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setProperty("row", "figure")
        self._caption = QLabel(name, self)
        self._caption.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self._value = ElidedLabel(name, Qt.TextElideMode.ElideMiddle, self)
        self._value.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._value.setFont(ui_font(tabular=True))
        self._value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._id = IdLabel(name) if whole else None
        self.row = row_of(spacing=GRID // 2)
        if swatch is not None:
            self.row.addWidget(swatch)
            self.row.addSpacing(GRID // 2)
        self.row.addWidget(self._caption)
        self.row.addWidget(self._value, 1)
        column = column_of(self.row, on=self, margins=0, spacing=0)
        if self._id is not None:
            policy = self._value.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            self._value.setSizePolicy(policy)
            self._id.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            column.addWidget(self._id)
        copy = QAction(f"Copy {name}", self)
        copy.triggered.connect(self.copy)
        self.addAction(copy)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)

    @property
    def value(self) -> str:
        """The value's text."""
        return self._value.full_text

    def show_value(self, text: str, why: str = "", tone: str = "") -> None:
        """Show `text`; `why` says, in the tooltip and aloud, what an unknown or estimated figure rests on."""
        self._value.set_full_text(text, why)
        if self._id is not None:
            known = text != "—"
            self._value.setVisible(not known)
            self._id.setVisible(known)
            self._id.show_id(text if known else "", why)
        restyle(self._value, tone=tone)
        shown = visible_line(text)
        name = f"{self._name}: {'unknown' if text == '—' else shown}"
        if name != self.accessibleName() or why != self.accessibleDescription():
            self.setAccessibleName(name)
            self.setAccessibleDescription(why)
            self.setToolTip(plain_tip(visible(why) or f"{self._name}: {shown}"))

    def copy(self) -> None:
        """Put the value on the clipboard."""
        copy_text(self.value)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+C copies the value."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)


LEAST_PX = 2.0
GAP_PX = 1.0


class BarPiece(Struct, frozen=True):
    """One stretch of a bar: its share, its color's role in the theme, and whether it is hatched."""

    amount: float
    role: str
    hatched: bool = False
    hollow: bool = False


class Bar(QWidget):
    """Pieces side by side in proportion. A piece that is not 0 is never invisible; no pieces: an empty track."""

    def __init__(self, height: int) -> None:
        super().__init__()
        self._height = height
        self.pieces: tuple[BarPiece, ...] = ()
        """What is drawn."""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("")

    def show_pieces(self, pieces: tuple[BarPiece, ...], words: str) -> None:
        """Draw `pieces`; `words` say the same in the tooltip and aloud."""
        if pieces == self.pieces and words == self.accessibleName():
            return
        self.pieces = pieces
        self.setAccessibleName(words)
        self.setToolTip(words)
        self.update()

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(120, self._height)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the track, then the pieces."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(current_theme().line)
        whole = QRectF(self.rect())
        if not self.pieces:
            painter.setBrush(current_theme().line)
            painter.drawRoundedRect(whole, 2, 2)
            return
        for piece, (left, width) in zip(
            self.pieces, widths([p.amount for p in self.pieces], whole.width()), strict=True
        ):
            if width > 0:
                self._paint(painter, QRectF(left, 0, width, whole.height()), piece)

    def _paint(self, painter: QPainter, rect: QRectF, piece: BarPiece) -> None:
        color: QColor = getattr(current_theme(), piece.role)
        if piece.hollow:
            painter.setBrush(current_theme().line)
            painter.setPen(color)
            painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 2, 2)
            painter.setPen(Qt.PenStyle.NoPen)
            return
        painter.setBrush(color)
        painter.drawRoundedRect(rect, 2, 2)
        if piece.hatched:
            # The second mark beside color, for those who cannot tell amber from teal.
            painter.setBrush(QBrush(current_theme().surface, Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(rect, 2, 2)


def widths(amounts: list[float], room: float) -> list[tuple[float, float]]:
    """(left, width) in pixels of each amount in `room`; 0 takes none, anything above at least LEAST_PX."""
    drawn = [amount for amount in amounts if amount > 0]
    free = room - (GAP_PX + LEAST_PX) * len(drawn) + GAP_PX
    total = sum(drawn)
    left, places = 0.0, []
    for amount in amounts:
        width = LEAST_PX + max(free, 0) * amount / total if amount > 0 else 0.0
        places.append((left, width))
        left += width + (GAP_PX if width else 0)
    return places


def usage_pieces(usage: Usage | None) -> tuple[tuple[BarPiece, ...], str]:
    """Segments cached, fresh and output, from reported figures only. Input with unknown caching is one segment."""
    if usage is None:
        return (), "Usage unknown: nothing to draw"
    pieces: list[BarPiece] = []
    said: list[str] = []
    if usage.cached_tokens is not None and usage.fresh_tokens is not None:
        pieces += [
            BarPiece(usage.cached_tokens, "warm_edge"),
            BarPiece(usage.fresh_tokens, "fresh_outline", hollow=True),
        ]
        said += [f"{usage.cached_tokens:,} cached", f"{usage.fresh_tokens:,} fresh"]
    elif usage.prompt_tokens is not None:
        pieces.append(BarPiece(usage.prompt_tokens, "muted"))
        said.append(f"{usage.prompt_tokens:,} input tokens, cached part unknown")
    if usage.completion_tokens is not None:
        pieces.append(BarPiece(usage.completion_tokens, "output"))
        said.append(f"{usage.completion_tokens:,} output")
    return tuple(pieces), "Tokens: " + ", ".join(said)


def time_pieces(state: RunState) -> tuple[tuple[BarPiece, ...], str]:
    """Earlier attempts, waiting for headers, waiting for the first token, output: in seconds of the newest attempt."""
    if not state.attempts:
        return (), "Nothing was sent"
    newest = state.attempts[-1]
    marks: list[tuple[str, float | None, str, bool]] = [
        ("headers", newest.headers_at, "muted", False),
        ("first token", state.first_token_at, "muted", True),
        ("output", state.ended_at or state.last_token_at, "output", False),
    ]
    pieces, said = [], []
    at = newest.started_at
    if at > state.attempts[0].started_at:
        pieces.append(BarPiece(at - state.attempts[0].started_at, "failure", True))
        said.append(f"earlier attempts {at - state.attempts[0].started_at:.3f} s")
    if state.first_token_at is None:
        # No output: the remainder is the end of a wait.
        marks[1:] = [("until it ended", state.ended_at, "failure" if state.phase == "failed" else "muted", True)]
    for name, end, role, hatched in marks:
        if end is not None and end >= at:
            pieces.append(BarPiece(end - at, role, hatched))
            said.append(f"{name} {end - at:.3f} s")
            at = end
    return tuple(pieces), "Time: " + ", ".join(said)
