"""The line icons: 16 px, one stroke, in a color of the theme.

The shapes are in `resources/icons/icons.json` (name to SVG elements). Use `set_icon` for buttons and actions, which
follow a change of theme, and `paint_icon` in custom painting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from math import ceil

from PySide6.QtCore import QByteArray, QEvent, QObject, QRectF, QSize, Qt, SignalInstance
from PySide6.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QAbstractButton, QPushButton, QSizePolicy, QToolButton, QWidget

from playground import asset
from playground.ui.theme import THEME_EVENTS, current_theme, scaled

ICON_PX = 16
HIT_PX = 28
"""Side of an icon button; 24 in dense rows."""
ROW_ICON_PX = 13
_SCALES = (1, 2, 3)
_GAP_PX = 4
"""Room right of an icon that has text beside it, with the 4 px of Qt's styles."""
_LOOK_EVENTS = THEME_EVENTS | {QEvent.Type.DevicePixelRatioChange, QEvent.Type.Polish, QEvent.Type.EnabledChange}


@cache
def shapes() -> dict[str, str]:
    """Return the SVG elements of each icon by name."""
    table: dict[str, str] = json.loads(asset("icons/icons.json").read_text("utf-8"))
    return table


def svg(name: str, color: QColor) -> bytes:
    """Return one icon as an SVG document. Raises KeyError for an unknown name."""
    tint = color.name()
    body = shapes()[name].replace("currentColor", tint)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="{tint}" stroke-width="1.4" '
        f'stroke-linecap="round" stroke-linejoin="round">{body}</svg>'
    ).encode()


@cache
def _pixmap(name: str, tint: str, px: int, scale: int, gap: int = 0) -> QPixmap:
    pixmap = QPixmap((px + gap) * scale, px * scale)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg(name, QColor(tint)))).render(painter, QRectF(0, 0, px * scale, px * scale))
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap


def icon(name: str, color: QColor, px: int = ICON_PX) -> QIcon:
    """Return an icon in one color, sharp at scale factors 1 to 3. Raises KeyError for an unknown name."""
    made = QIcon()
    for scale in _SCALES:
        made.addPixmap(_pixmap(name, color.name(), px, scale))
    return made


def paint_icon(painter: QPainter, name: str, area: QRectF, color: QColor) -> None:
    """Draw an icon into a square of `area`, centred."""
    side = min(area.width(), area.height())
    square = QRectF(area.center().x() - side / 2, area.center().y() - side / 2, side, side)
    QSvgRenderer(QByteArray(svg(name, color))).render(painter, square)


@cache
def row_icon(name: str, tint: str, px: int) -> QIcon:
    return icon(name, QColor(tint), px)


def paint_row_icon(painter: QPainter, name: str, left: int, middle: int, color: QColor) -> int:
    """Draw the icon of a table's row in the present text size, and return its width."""
    px = scaled(ROW_ICON_PX)
    row_icon(name, color.name(), px).paint(painter, left, middle - px // 2, px, px)
    return px


class IconLabel(QWidget):
    """An icon beside text, in the color of a theme role. Decoration: screen readers read the text."""

    def __init__(self, name: str, role: str = "muted") -> None:
        super().__init__()
        self._name, self._role = name, role
        self.setFixedSize(ICON_PX, ICON_PX + 2)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def show_icon(self, name: str, role: str) -> None:
        """Show another icon; an empty name shows none."""
        if (name, role) != (self._name, self._role):
            self._name, self._role = name, role
            self.setVisible(bool(name))
            self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._name:
            area = QRectF(0, 1, self.width(), self.width())
            paint_icon(QPainter(self), self._name, area, getattr(current_theme(), self._role))


class _Tint(QObject):
    """Renders a button's icon again when the theme or the screen's scale changes."""

    def __init__(self, button: QAbstractButton, name: str, role: str) -> None:
        super().__init__(button)
        self._button, self.name, self.role = button, name, role
        self._shown: tuple[object, ...] | None = None
        button.installEventFilter(self)
        self.apply()

    def apply(self, *, polishing: bool = False) -> None:
        """Render the icon in the theme's color of its role, for the screen that shows it.

        Not before Qt polishes the button, which it does before it asks for its size: half of the first frame's buttons
        are hidden or get their text later.
        """
        if not (polishing or self._button.testAttribute(Qt.WidgetAttribute.WA_WState_Polished)):
            return
        theme = current_theme()
        color: str = getattr(theme, self.role).name()
        gap = _GAP_PX if isinstance(self._button, QPushButton) and self._button.text() else 0
        enabled, px, scale = self._button.isEnabled(), scaled(ICON_PX), ceil(self._button.devicePixelRatioF())
        shown = self.name, color, scale, gap, enabled, px
        if self._shown == shown:
            return
        self._shown = shown
        made = QIcon(_pixmap(self.name, color, px, scale, gap)) if self.name else QIcon()
        if self.name and not enabled:
            gray = theme.fresh_outline.name()
            made.addPixmap(_pixmap(self.name, gray, px, scale, gap), QIcon.Mode.Disabled)
        self._button.setIconSize(QSize(px + gap, px))
        self._button.setIcon(made)

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        if event.type() in _LOOK_EVENTS:
            self.apply(polishing=event.type() == QEvent.Type.Polish)
        return False


def set_icon(button: QAbstractButton, name: str, role: str = "muted") -> None:
    """Give a button an icon in the color of a theme role, which follows a change of theme; no name: remove it."""
    tint = button.findChild(_Tint, options=Qt.FindChildOption.FindDirectChildrenOnly)
    if tint is None:
        _Tint(button, name, role)
        return
    tint.name, tint.role = name, role
    tint.apply()


def set_label(button: QAbstractButton, text: str) -> None:
    """Set the text of a button that may have an icon: beside text, the icon has a gap."""
    if text != button.text():
        button.setText(text)
        tint = button.findChild(_Tint, options=Qt.FindChildOption.FindDirectChildrenOnly)
        if tint is not None:
            tint.apply()


def set_compact(button: QAbstractButton, label: str, compact: bool, shown: str = "") -> None:
    """Show a label on a button; if `compact`, `shown` in its place, and the label as its tooltip."""
    set_label(button, shown if compact else label)
    button.setAccessibleName(label)
    button.setToolTip(label if compact else "")


def icon_button(
    name: str,
    label: str,
    role: str = "muted",
    *,
    px: int = HIT_PX,
    clicked: Callable[..., object] | SignalInstance | None = None,
) -> QToolButton:
    """Return a square button that shows only an icon; `label` is its tooltip and accessible name."""
    button = QToolButton()
    button.setProperty("look", "icon")
    button.setFixedSize(px, px)
    button.setToolTip(label)
    button.setAccessibleName(label)
    set_icon(button, name, role)
    if clicked is not None:
        button.clicked.connect(clicked)
    return button
