"""The two painted bars of the inspector: tokens by kind, and time by phase."""

from __future__ import annotations

from msgspec import Struct
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from playground.client.events import Usage
from playground.runs.state import RunState
from playground.ui.theme import current_theme

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
