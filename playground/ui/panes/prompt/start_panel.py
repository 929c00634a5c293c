"""The panel of an empty prompt: samples, files to open, and where to drop one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QWidget

from playground.export.terminal import visible_line
from playground.ui.theme import current_theme, scaled, ui_font
from playground.ui.widgets.icons import ICON_PX, IconLabel, paint_icon
from playground.ui.widgets.labels import push_button, toned
from playground.ui.widgets.layouts import STRETCH, Panel, Space, add_items, column_of, row_of
from playground.ui.widgets.plain_table import plain_tip

_SAMPLES = (
    ("sample", "prompt", "Voice agent", "Long stable prefix, two variables", "Open sample"),
    ("tools_sample", "fix", "Tool-calling agent", "Two tools, filler phrase, agent loop", "Open"),
    ("broken_sample", "warn", "Broken prefix", "A date on line 1: find it and fix it", "Open"),
)
_OWN = (
    ("open", "folder", "Open…"),
    ("paste_prompt", "paste", "Paste curl or JSON"),
    ("import_log", "import", "Import…"),
)
MOST_FILES = 5
_DROP_TEXT = "Drop a prompt, a request or a .har file anywhere in this window"


class _Drop(QWidget):
    """A dashed box: files can be dropped on the whole window."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(40)
        self.setAccessibleName(_DROP_TEXT)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(theme.button_border, 1, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        painter.setFont(ui_font(12))
        width = painter.fontMetrics().horizontalAdvance(_DROP_TEXT)
        icon_px = scaled(ICON_PX)
        left = (self.width() - width - icon_px - 8) / 2
        paint_icon(painter, "import", QRectF(left, (self.height() - icon_px) / 2, icon_px, icon_px), theme.muted)
        painter.setPen(theme.muted)
        area = QRectF(left + icon_px + 8, 0, width + 2, self.height())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, _DROP_TEXT)


class StartPanel(QWidget):
    """Shown under the messages of an empty prompt."""

    action = Signal(str)
    """The id of an action of the window."""
    file_chosen = Signal(object)
    """The Path of a recent file."""

    def __init__(self) -> None:
        super().__init__()
        title = _label("Start with a prompt", "title")
        samples = (self._card(*sample, primary=number == 0) for number, sample in enumerate(_SAMPLES))
        column = column_of(title, *samples, Space(4), on=self, margins=(18, 4, 18, 14), spacing=8)
        own = row_of(*(self._button(action, text, icon) for action, icon, text in _OWN), STRETCH, spacing=8)
        self._files: list[Path] = []
        self._recent = column_of(spacing=2)
        add_items(column, _label("Or bring your own", "caption"), own, self._recent, _Drop())

    def show_files(self, paths: Sequence[Path]) -> None:
        shown = list(paths[:MOST_FILES])
        if shown == self._files:
            return
        self._files = shown
        while (item := self._recent.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        if shown:
            self._recent.addWidget(_label("Recent files", "caption"))
        for path in shown:
            button = push_button(
                visible_line(f"{path.name}   {path.parent}").replace("&", "&&"),
                "link",
                lambda _checked, path=path: self.file_chosen.emit(path),
            )
            button.setToolTip(plain_tip(visible_line(str(path))))
            self._recent.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)

    def _card(self, action: str, icon: str, title: str, text: str, label: str, *, primary: bool) -> QFrame:
        card = Panel("card")
        words = column_of(_label(title, "strong"), _label(text, "muted"), spacing=0)
        button = self._button(action, label)
        button.setAccessibleName(f"{label}: {title}")
        if primary:
            button.setProperty("look", "primary")
        row_of(IconLabel(icon), (words, 1), button, on=card, margins=(14, 8, 12, 8), spacing=12)
        return card

    def _button(self, action: str, text: str, icon: str = "") -> QPushButton:
        return push_button(text, clicked=lambda: self.action.emit(action), icon=(icon, "text") if icon else None)


def _label(text: str, tone: str) -> QLabel:
    label = toned(text, tone)
    label.setWordWrap(tone == "muted")
    return label
