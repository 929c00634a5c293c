"""The order of the Tab key: by position, rows from top to bottom, and what happens if the focused widget is hidden."""

from __future__ import annotations

from collections.abc import Iterator

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QScrollArea, QWidget


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
