"""Theme and text size, the system's or the user's choice; the ring around the focus, and the order of the Tab key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QFont, QGuiApplication, QPainter, QPaintEvent, QPen, QWheelEvent
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget
from shiboken6 import isValid

from playground.storage.settings import Settings
from playground.ui.theme import (
    PROMPT_PX,
    ZOOM,
    apply_colors,
    apply_theme,
    current_theme,
    load_theme,
    mono_font,
    zoom_factor,
)
from playground.ui.widgets.layouts import single_timer

if TYPE_CHECKING:
    from PySide6.QtWidgets import QHeaderView


ZOOMS = (80, 90, 100, 110, 125, 150, 175, 200)
"""Steps of the text size in percent; the bounds of the setting."""
ZOOM_MS = 80
"""Steps of the wheel within this time are one change: the style sheet of the whole window is applied again."""
_APPLIED = "zoomApplied"
"""Property of a widget: the zoom at which its sizes are."""
_UNLIMITED_PX = 16_777_215
"""Qt's maximum size of a widget that has none of its own (QWIDGETSIZE_MAX)."""
MOST_SECTIONS = 64
"""Maximum number of sections of a header that keep their own widths at a zoom."""


class Appearance(QObject):
    """Holds the theme and the text size in use."""

    zoomed = Signal()
    """The size of text has changed."""

    def __init__(self, application: QApplication, settings: Settings) -> None:
        super().__init__()
        self._application, self._settings = application, settings
        self.theme = load_theme(self._wanted())
        """The theme in use."""
        self._scaler: ZoomScaler | None = None
        self._zooming = single_timer(self, ZOOM_MS, self._scale)
        self._set_sizes()
        apply_colors(application, self.theme)
        QGuiApplication.styleHints().colorSchemeChanged.connect(self.refresh)
        settings.subscribe(self._on_setting)
        self._ring: FocusRing | None = None
        application.focusChanged.connect(self._show_focus)

    def _show_focus(self, _before: QWidget | None, focused: QWidget | None) -> None:
        if self._ring is not None and isValid(self._ring):
            self._ring.hide()
            self._ring.deleteLater()
        by_mouse = QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton
        self._ring = None if focused is None or by_mouse or not needs_ring(focused) else FocusRing(focused)

    def _on_setting(self, name: str) -> None:
        if name == "theme":
            self.refresh()
        elif name == "font_size":
            self._application.setProperty(PROMPT_PX, int(self._settings.number("font_size")))
            self.zoomed.emit()
        elif name == "zoom":
            self._zooming.start()

    def _set_sizes(self) -> None:
        self._application.setProperty(PROMPT_PX, int(self._settings.number("font_size")))
        self._application.setProperty(ZOOM, self._settings.number("zoom") / 100)
        if zoom_factor() != 1.0 and self._scaler is None:
            self._scaler = ZoomScaler(self._application)

    def shut_down(self) -> None:
        """Follow the system and filter events no longer: the window is closed."""
        QGuiApplication.styleHints().colorSchemeChanged.disconnect(self.refresh)
        self._application.focusChanged.disconnect(self._show_focus)
        self._zooming.stop()
        if self._scaler is not None:
            self._application.removeEventFilter(self._scaler)
            self._scaler.deleteLater()
            self._scaler = None

    def apply(self) -> None:
        """Apply the theme to the application. Call it once after the window is built: under a style sheet, each widget
        that gets a parent is styled again with all its children."""
        apply_theme(self._application, self.theme)

    def _wanted(self) -> str:
        chosen = str(self._settings.get("theme"))
        if chosen != "system":
            return chosen
        dark = QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return "dark" if dark else "light"

    def refresh(self) -> None:
        wanted = self._wanted()
        if wanted != self.theme.name:
            self.theme = load_theme(wanted)
            self.apply()

    def zoom(self, step: int) -> None:
        """Make all text larger (1) or smaller (-1) by one step, or reset it (0). The size is remembered."""
        percent = int(self._settings.number("zoom"))
        larger, smaller = [at for at in ZOOMS if at > percent], [at for at in ZOOMS if at < percent]
        steps = {1: larger[:1], -1: smaller[-1:], 0: [100]}[step]
        if steps:
            self._settings.set("zoom", steps[0])

    def _scale(self) -> None:
        before = zoom_factor()
        self._set_sizes()
        if zoom_factor() == before:
            return
        if self._scaler is None:
            self._scaler = ZoomScaler(self._application)
        fonts = [(widget, _own_font_px(widget, before)) for widget in self._application.allWidgets()]
        self.apply()
        for widget, px in fonts:
            rescale(widget, px)
            if not (px or widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished)):
                widget.setFont(QFont())  # one that was never displayed has inherited the size from before
        self.zoomed.emit()

    def toggle(self) -> None:
        self._settings.set("theme", "light" if self.theme.dark else "dark")
        self.refresh()


_FIELDS = ("QAbstractSpinBox", "QComboBox", "QLineEdit")
_BUTTONS = ("QPushButton", "QToolButton", "QTabBar")
_TEXTS = ("QPlainTextEdit", "QTextEdit")


def needs_ring(focused: QWidget) -> bool:
    """Return whether neither the style sheet, the widget nor a caret shows that it has the focus."""
    if focused.property("look") == "primary":
        return True
    # By name: the first use of a class builds its enums.
    if any(map(focused.inherits, _FIELDS)):
        return ring_px() > _BORDER_PX  # in large text the border of a field is thin
    if any(map(focused.inherits, _BUTTONS)):
        return False
    if any(map(focused.inherits, _TEXTS)):
        return bool(focused.property("readOnly")) and focused.property("boxed") != "true"
    return bool(focused.focusPolicy() & Qt.FocusPolicy.TabFocus) and not focused.isWindow()


_BORDER_PX = 2
"""Width of the border of a focused widget in the style sheet."""


def ring_px() -> int:
    """Return the width of a ring in the present text size."""
    return max(round(_BORDER_PX * zoom_factor()), _BORDER_PX)


class FocusRing(QWidget):
    """A ring inside the widget that has the focus, over its contents: it moves none of them."""

    def __init__(self, focused: QWidget) -> None:
        super().__init__(focused)
        self._filled = focused.property("look") == "primary"
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        focused.installEventFilter(self)
        self.setGeometry(focused.rect())
        self.show()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        return False

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        # On the accent's own ground the ring has the color of the words.
        width = ring_px()
        inset = width + 2 if self._filled else width // 2
        painter.setPen(QPen(current_theme().on_accent if self._filled else current_theme().accent, width))
        painter.drawRoundedRect(self.rect().adjusted(inset, inset, -inset, -inset), 3, 3)


WHEEL_STEP = 120
"""One notch of a wheel, in eighths of a degree."""


class WheelZoom(QObject):
    """Zooms with Ctrl and the wheel anywhere in a window: its widgets, which would scroll, do not get these events."""

    def __init__(self, window: QWidget, appearance: Appearance) -> None:
        super().__init__(window)
        self._appearance = appearance
        self._turned = 0
        """Eighths of a degree since the last step. A touchpad sends many small ones."""
        if (handle := window.windowHandle()) is not None:
            handle.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the wheel's events with Ctrl."""
        if not isinstance(event, QWheelEvent) or not event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            return super().eventFilter(watched, event)
        self._turned += event.angleDelta().y()
        if abs(self._turned) >= WHEEL_STEP:
            self._appearance.zoom(1 if self._turned > 0 else -1)
            self._turned = 0
        return True


class ZoomScaler(QObject):
    """Scales each new widget before its first display if the text size is not 100 %. Created at the first zoom."""

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        application.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Scale a widget when it is polished, which happens once."""
        if event.type() == QEvent.Type.Polish and isinstance(watched, QWidget):
            rescale(watched)
        return False


def _base(widget: QWidget, name: str, px: int, zoom: float | None = None) -> float:
    """Return at 100 % a size of a widget. It is remembered, so that rounding does not add up.

    `zoom`: at which it has the size; None: the one that was applied to it.
    """
    applied = zoom or float(widget.property(_APPLIED) or 1.0)
    base = float(widget.property(name) or 0.0)
    if round(base * applied) != px:
        base = px / applied
        widget.setProperty(name, base)
    return base


def _own_font_px(widget: QWidget, zoom: float) -> float:
    """Return the size of a widget's own font at 100 %; 0 if it has none. `zoom`: at which all fonts are now."""
    px = widget.font().pixelSize()
    own = px > 0 and widget.testAttribute(Qt.WidgetAttribute.WA_SetFont)
    return _base(widget, "zoomFont", px, zoom) if own else 0.0


def rescale(widget: QWidget, font_px: float = 0.0) -> None:
    """Scale a widget's fixed and least sizes and sections of headers to the present zoom.

    `font_px`: of its own font at 100 %; 0: its font has its size already.
    """
    zoom = zoom_factor()
    if float(widget.property(_APPLIED) or 1.0) == zoom:
        return
    if widget.property("textZoom"):
        widget.setFont(mono_font())
    elif font_px:
        font = widget.font()
        font.setPixelSize(max(round(font_px * zoom), 1))
        widget.setFont(font)
    from PySide6.QtWidgets import QAbstractScrollArea, QHeaderView

    if isinstance(widget, QHeaderView):
        _rescale_header(widget, zoom)
    elif not (isinstance(widget, QAbstractScrollArea) or widget.property("fitsContents")):
        low, high = widget.minimumSize(), widget.maximumSize()
        if low.height() == high.height() < _UNLIMITED_PX:
            widget.setFixedHeight(round(_base(widget, "zoomHeight", low.height()) * zoom))
        if low.width() == high.width() < _UNLIMITED_PX:
            widget.setFixedWidth(round(_base(widget, "zoomWidth", low.width()) * zoom))
        elif low.width() and not (widget.isWindow() or widget.property("keepsWidth")):
            widget.setMinimumWidth(round(_base(widget, "zoomWidth", low.width()) * zoom))
    widget.setProperty(_APPLIED, zoom)


def _rescale_header(header: QHeaderView, zoom: float) -> None:
    applied = float(header.property(_APPLIED) or 1.0)
    shown = [at for at in range(header.count()) if not header.isSectionHidden(at)]
    sizes = {at: _base(header, f"zoom{at}", header.sectionSize(at)) for at in shown[:MOST_SECTIONS]}
    header.setDefaultSectionSize(round(_base(header, "zoomSection", header.defaultSectionSize()) * zoom))
    if header.orientation() == Qt.Orientation.Horizontal and applied != zoom:
        for at, base in sizes.items():
            header.resizeSection(at, round(base * zoom))


def tab_stops(widget: QWidget) -> Iterator[QWidget]:
    """Yield the widgets inside that Tab reaches: rows from top to bottom, each in the reading direction."""
    for child in _in_reading_order(widget):
        if child.focusPolicy() & Qt.FocusPolicy.TabFocus and child.isEnabled() and child.focusProxy() is None:
            yield child
        yield from tab_stops(child)


def _in_reading_order(widget: QWidget) -> Iterator[QWidget]:
    children = [
        child
        for child in widget.children()
        if isinstance(child, QWidget) and child.isVisible() and not child.isWindow()
    ]
    rows: list[list[QWidget]] = []
    for child in sorted(children, key=lambda one: one.y()):
        row = rows[-1] if rows else []
        if row and child.geometry().center().y() <= row[0].geometry().bottom():
            row.append(child)
        else:
            rows.append([child])
    mirrored = widget.layoutDirection() == Qt.LayoutDirection.RightToLeft
    for row in rows:
        yield from sorted(row, key=lambda one: one.x(), reverse=mirrored)


def move_focus(window: QWidget, *, forward: bool) -> bool:
    """Give the focus to the next or previous widget of a window and scroll to it. Returns whether there is one."""
    stops = list(tab_stops(window))
    focus: QWidget | None = window.focusWidget()
    if not stops:
        return False
    if focus in stops:
        chosen = stops[(stops.index(focus) + (1 if forward else -1)) % len(stops)]
    else:  # it was hidden: Qt asks for another one, which is near
        near: list[QWidget] = []
        while focus is not None and not near:
            focus = focus.parentWidget()
            near = [stop for stop in stops if focus is not None and focus.isAncestorOf(stop)]
        chosen = (near or stops)[0 if forward else -1]
    chosen.setFocus(Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason)
    scroll_to(chosen)
    return True


def scroll_to(widget: QWidget) -> None:
    """Scroll every area around a widget until it is visible."""
    parent: QWidget | None = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            parent.ensureWidgetVisible(widget)
        parent = parent.parentWidget()
