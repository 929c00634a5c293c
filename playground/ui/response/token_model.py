"""The tokens as rows: which, how probable, and what might have stood there."""

from __future__ import annotations

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt

from playground.client.events import TokenProbability
from playground.ui.response.token_words import others, percent_text, sentence, visible
from playground.ui.theme import mono_font, ui_font
from playground.ui.widgets.plain_tip import plain_tip

COLUMNS = ("#", "token", "probability", "alternatives")
_RIGHT = (0, 2)
AnyIndex = QModelIndex | QPersistentModelIndex


class TokenModel(QAbstractTableModel):
    """Rows over a run's own list of tokens. Nothing is made into text before its row is painted."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: list[TokenProbability] = []
        self._count = 0
        self._mono, self._figures = mono_font(12), ui_font(12, tabular=True)

    def show_tokens(self, tokens: list[TokenProbability]) -> None:
        """Rows for another run's tokens."""
        self.beginResetModel()
        self._tokens, self._count = tokens, len(tokens)
        self.endResetModel()

    def grow(self) -> None:
        """Rows for the tokens that came since."""
        if len(self._tokens) == self._count:
            return
        self.beginInsertRows(QModelIndex(), self._count, len(self._tokens) - 1)
        self._count = len(self._tokens)
        self.endInsertRows()

    def rowCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Qt's hook."""
        return 0 if parent.isValid() else self._count

    def columnCount(self, parent: AnyIndex = QModelIndex()) -> int:  # noqa: B008
        """Qt's hook."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in _RIGHT:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: AnyIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Qt's hook."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(sentence(self._tokens[index.row()], index.row()))
        if role == Qt.ItemDataRole.FontRole:
            return self._figures if index.column() in _RIGHT else self._mono
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in _RIGHT:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _text(self, row: int, column: int) -> str:
        token = self._tokens[row]
        return (
            f"{row + 1:,}"
            if column == 0
            else visible(token.token)
            if column == 1
            else percent_text(token.logprob)
            if column == 2
            else others(token)
        )
