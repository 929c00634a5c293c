"""Every state of the window at three text sizes: nothing is cut, nothing overlaps, the focus is visible and named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QAccessible, QFontMetrics, QImage
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QApplication,
    QCheckBox,
    QLabel,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QSplitterHandle,
    QStyle,
    QStyleOptionComboBox,
    QTabBar,
    QWidget,
)

from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS
from playground.ui.appearance import scroll_to, tab_stops
from playground.ui.panes.prompt.parameters_tab import ParametersTab
from playground.ui.panes.prompt.variables_table import _Value
from playground.ui.session import Session
from playground.ui.theme import PROMPT_PX, ZOOM, apply_theme, load_theme, ui_font, zoom_factor
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.labels import ElidedLabel, IdLabel
from playground.ui.widgets.layouts import FlowLayout
from playground.ui.widgets.plain_table import LEAST_PX, plain_table
from tests.pictures import States

SIZES = ((1280, 800, 150), (1280, 800, 200), (900, 600, 200), (900, 600, 100), (1280, 800, 100))
"""Width and height of the window, text size in percent, which changes twice in each state. Each second state is checked
in the reverse order. The last has the widgets whose focus is checked."""
TURNS = 200
"""Turns of the event loop in which a layout settles; a hidden fault is none of a busy machine."""
LEAST_TARGET_PX = 24
LEAST_CONTRAST, LEAST_PIXELS = 3.0, 10
"""Of a focus indicator: contrast between focused and unfocused (WCAG 2.2, 2.4.13), and the pixels that have it."""


@pytest.fixture(autouse=True)
def later_tests_have_the_defaults(qapp: QApplication) -> Iterator[None]:
    """Size of text and caret are properties of the application, which all tests of a process share."""
    flash = qapp.cursorFlashTime()
    qapp.setCursorFlashTime(0)  # a caret does not blink
    yield
    qapp.setCursorFlashTime(flash)
    for name in (ZOOM, PROMPT_PX):
        qapp.setProperty(name, None)
    apply_theme(qapp, load_theme("light"))


_NO_DIGITS = str.maketrans("", "", "0123456789,.≈")


def _path(widget: QWidget) -> str:
    names: list[str] = []
    at: QWidget | None = widget
    while at is not None and len(names) < 5:
        said = at.accessibleName() or (at.text() if isinstance(at, QLabel | QAbstractButton) else "")
        said = said.partition(":")[0].translate(_NO_DIGITS)[:30]  # the same in each state
        names.append(f"{type(at).__name__}({said})" if said else type(at).__name__)
        at = at.parentWidget()
    return " < ".join(names)


def _cut(widget: QWidget) -> str:
    """Return how the text of a widget is cut; "" if it is not, or if it ends with dots and has a tooltip."""
    if isinstance(widget, IdLabel):
        return "" if widget.whole else "id"
    if isinstance(widget, QPushButton | QCheckBox):
        return "" if widget.sizeHint().width() <= widget.width() + 1 else "button"
    if not isinstance(widget, QLabel) or isinstance(widget, ElidedLabel) or not widget.text():
        return ""
    if widget.wordWrap():
        needed = widget.heightForWidth(widget.width())
        return "" if needed <= widget.height() + 1 else f"height {widget.height()} of {needed}"
    metrics, room = QFontMetrics(widget.font()), widget.contentsRect().width()
    needed = max(map(metrics.horizontalAdvance, widget.text().splitlines()))
    if needed > room + 1:
        return f"width {room} of {needed}"
    return "" if metrics.height() <= widget.height() + 1 else "height"


def _is_small(button: QAbstractButton) -> bool:
    """Return whether a button is smaller than a target has to be (WCAG 2.2, 2.5.8)."""
    return min(button.width(), button.height()) < LEAST_TARGET_PX


def _inside(widget: QWidget) -> bool:
    """Return whether a widget is within its parent, or can be scrolled to."""
    parent = widget.parentWidget()
    if parent is None or widget.isWindow() or isinstance(parent.parentWidget(), QAbstractScrollArea):
        return True
    # Buttons that scroll tabs are parked outside; further lines of a value are visible while it has the focus.
    within = parent.rect().adjusted(-1, -1, 1, 1)
    return isinstance(parent, QTabBar | _Value) or within.contains(widget.geometry())


def faults(top: QWidget, width: int) -> set[str]:
    """Return cut texts and overlapping widgets of a window that has to be usable in `width`."""
    widths = {"least": top.minimumSizeHint().width(), "is": top.width()}
    found = {f"{what} {px}" for what, px in widths.items() if px > width}
    for widget in (top, *top.findChildren(QWidget)):
        if not widget.isVisible() or widget.window() is not top:
            continue
        if cut := _cut(widget):
            found.add(f"cut ({cut}): {_path(widget)}")
        if isinstance(widget, QAbstractButton) and not widget.objectName() and _is_small(widget):
            found.add(f"target {widget.width()} x {widget.height()}: {_path(widget)}")
        if not _inside(widget):
            found.add(f"outside: {_path(widget)}")
        if (layout := widget.layout()) is None:
            continue
        placed = [one for one in widget.children() if isinstance(one, QWidget) and layout.indexOf(one) >= 0]
        shown = [one for one in placed if one.isVisible() and not isinstance(one, QSplitterHandle | QScrollBar)]
        for one, other in combinations(shown, 2):
            if one.geometry().intersects(other.geometry()):
                found.add(f"overlap: {_path(one)} AND {_path(other)}")
    return found


@cache
def _luminance(pixel: int) -> float:
    linear = []
    for shift in (16, 8, 0):
        part = ((pixel >> shift) & 255) / 255
        linear.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _grab(widget: QWidget) -> QImage:
    """Return a picture of the visible part of a widget in its window: a caret inverts the ground, which is not its."""
    at: QWidget | None = widget
    while at is not None:
        if isinstance(at, QScrollArea):
            at.ensureWidgetVisible(widget)
        at = at.parentWidget()
    shown, top = widget.visibleRegion().boundingRect(), widget.window()
    area = QRect(widget.mapTo(top, shown.topLeft()), shown.size())
    return top.grab(area).toImage().convertToFormat(QImage.Format.Format_RGB32)


def contrasting_pixels(one: QImage, other: QImage) -> int:
    """Return how many pixels differ with LEAST_CONTRAST, at most a few more than LEAST_PIXELS."""
    if one.size() != other.size():
        return LEAST_PIXELS
    count = 0
    for y in range(one.height()):
        before, after = (bytes(cast("memoryview", image.constScanLine(y))) for image in (one, other))
        if before == after:
            continue
        for pair in zip(*(memoryview(line).cast("I") for line in (before, after)), strict=True):
            if pair[0] != pair[1]:
                low, high = sorted(map(_luminance, pair))
                count += (high + 0.05) / (low + 0.05) >= LEAST_CONTRAST
        if count >= LEAST_PIXELS:
            break
    return count


def _is_zoomed(percent: int) -> bool:
    return zoom_factor() == percent / 100


class Checked(States):
    """Checks each state in every size, in place of a picture."""

    def __init__(self, session: Session, folder: Path) -> None:
        super().__init__(session, folder, "")
        self._sizes = list(SIZES)
        self.faults: dict[str, set[str]] = {}
        self.unfocused: set[str] = set()
        self.unnamed: set[str] = set()
        self.focused: set[str] = set()

    async def shoot(self, name: str, shown: QWidget | None = None) -> None:
        window = self._session.window
        top = shown or window
        self._sizes.reverse()
        for width, height, percent in self._sizes:
            self._session.workspace.settings.set("zoom", percent)
            await self._hand.until(partial(_is_zoomed, percent), f"{percent} %")
            for _ in range(TURNS):
                window.resize(width, height)  # not before: larger text has a larger minimum
                top.resize(top.size().boundedTo(window.size()))
                if not (wrong := faults(top, width)):
                    break
                await asyncio.sleep(0.005)
            if wrong:
                self.faults[f"{name} {width}x{height} {percent} %"] = wrong
        await self._check_focus(top)

    async def _check_focus(self, top: QWidget) -> None:
        """Look at each focusable widget that was not in an earlier state, in both themes."""
        top.activateWindow()
        keyboard = QApplication.activePopupWidget, QApplication.activeWindow
        await self._hand.until(lambda: top in [find() for find in keyboard], "the keyboard")
        before, known = top.focusWidget(), set(self.focused)
        if known.issuperset(map(_path, tab_stops(top))):
            return
        for _theme in range(2):
            for widget in list(tab_stops(top)):
                if (path := _path(widget)) in known:
                    continue
                self.focused.add(path)
                if not QAccessible.queryAccessibleInterface(widget).text(QAccessible.Text.Name):
                    self.unnamed.add(path)
                widget.clearFocus()
                without = _grab(widget)
                widget.setFocus(Qt.FocusReason.TabFocusReason)
                if not widget.hasFocus() or contrasting_pixels(without, _grab(widget)) < LEAST_PIXELS:
                    self.unfocused.add(f"{self._session.appearance.theme.name} {path}")
            self._session.appearance.toggle()
            await asyncio.sleep(0)
        if before is not None:
            before.setFocus()


@pytest.mark.exhaustive
@pytest.mark.parametrize(("part", "controls"), [("requests", 60), ("modes", 100), ("panels", 100)])
async def test_every_state_of_the_window_fits_shows_its_focus_and_names_it(
    session: Session, tmp_path: Path, part: str, controls: int
) -> None:
    endpoints = session.workspace.endpoints
    endpoints.change(replace(endpoints.get("simulator"), plan=PLANS["none"]))
    checked = Checked(session, tmp_path)
    await getattr(checked, f"take_{part}")()
    assert (checked.faults, checked.unfocused, checked.unnamed) == ({}, set(), set())
    assert len(checked.focused) > controls


def test_flow_layout_height_follows_its_items_and_their_text(qapp: QApplication) -> None:
    holder, flow = QWidget(), FlowLayout()
    holder.setLayout(flow)
    first, second = QLabel("first"), QLabel("second")
    flow.add_all([first, second])
    holder.ensurePolished()
    for label in (first, second):
        label.show()
    width, row = flow.sizeHint().width(), flow.minimumSize().height()
    assert flow.heightForWidth(width) == row
    first.setText("a longer text")
    assert flow.heightForWidth(width) == 2 * row + flow.spacing()
    second.hide()
    assert flow.heightForWidth(width) == row
    second.show()
    assert flow.heightForWidth(width) == 2 * row + flow.spacing()
    flow.removeWidget(second)
    assert flow.heightForWidth(width) == row
    flow.addWidget(second)
    assert flow.heightForWidth(width) == 2 * row + flow.spacing()
    flow.removeWidget(second)
    font = first.font()
    font.setPixelSize(4 * first.fontInfo().pixelSize())  # a style sheet sets pixels, and then there are no points
    first.setFont(font)
    assert flow.heightForWidth(width) == first.sizeHint().height() > 2 * row


def test_a_narrow_table_keeps_its_main_column_and_scrolls(qapp: QApplication) -> None:
    table = plain_table("Causes", ("what ended the prefix", "times", "cost"), 0, {1: 100, 2: 120})
    table.show()
    header = table.horizontalHeader()
    for width, first in ((600, 380), (300, LEAST_PX), (600, 380)):
        table.resize(width, 200)
        assert header.sectionSize(0) - first in range(-4, 1), "less a frame"
        assert (header.length() > table.viewport().width()) == (width == 300)


def _shown_in(widget: QWidget, area: QWidget) -> bool:
    """Return whether a widget is visible to its edges."""
    return widget.isVisible() and widget.visibleRegion().boundingRect() == widget.rect() and area.isAncestorOf(widget)


async def _small(session: Session, hand: UiDriver) -> None:
    endpoints = session.workspace.endpoints
    endpoints.change(replace(endpoints.get("simulator"), plan=PLANS["none"]))
    session.window.resize(900, 600)
    await hand.until(lambda: (session.window.width(), session.window.height()) == (900, 600), "the size")


@pytest.mark.parametrize(("fault", "buttons", "text"), [("401", 2, ""), ("cut=8", 1, "Hello Priya! This is a simula")])
@pytest.mark.parametrize("height", [600, 540])
async def test_a_small_window_shows_the_buttons_of_an_error_and_the_text_before_it(
    session: Session, hand: UiDriver, tmp_path: Path, height: int, fault: str, buttons: int, text: str
) -> None:
    await _small(session, hand)
    session.window.resize(960, height)
    await States(session, tmp_path, "").send(simulate=fault)
    pane = session.window.response
    await hand.until(lambda: pane.notice is not None, "the error")
    assert pane.notice is not None
    found = pane.notice.findChildren(QPushButton)
    assert len(found) == buttons
    await hand.until(lambda: all(_shown_in(button, pane) for button in found), "whole buttons")
    view = pane.text_tab.text
    line = QFontMetrics(view.font()).height()
    assert view.toPlainText() == text
    assert not text or view.visibleRegion().boundingRect().height() > 2 * line


async def test_a_small_window_shows_eight_lines_of_completions_that_are_compared(
    session: Session, hand: UiDriver
) -> None:
    await _small(session, hand)
    session.window.modes.show_mode("compare")
    compare = session.window.compare
    empty = [one for one in tab_stops(compare.page) if isinstance(one, ElidedLabel) and not one.full_text]
    assert empty == []
    base = compare.slots[0].variant
    for name, visible in (("Second", 8), ("Third", 7)):
        compare.add(replace(base, document=replace(base.document, name=name)))
        compare.send()
        await hand.until(lambda: not compare.running and not compare.page.exports[0].isHidden(), "the completions")
        views = [column.answer.currentWidget() for column in compare.page.columns]
        lines = [(view.height(), QFontMetrics(view.font()).lineSpacing()) for view in views if view is not None]
        assert [height // line >= 8 for height, line in lines] == [True] * len(compare.slots)
        seen = [column.answer.visibleRegion().boundingRect().height() for column in compare.page.columns]
        assert [px // line >= visible for px, (_, line) in zip(seen, lines, strict=True)] == [True] * len(lines)
    assert compare.tools._runs_label.isVisible()
    top = {button.y() for button in compare.page.exports}
    assert len(top) == 1  # in one row
    for view in (column.differs for column in compare.page.columns):
        assert 0 <= view.viewport().height() - 2 * QFontMetrics(view.font()).lineSpacing() < 6  # whole lines
    scroll_to(compare.page.summary)
    await hand.until(lambda: _shown_in(compare.page.summary, compare.page), "the summary")


async def test_a_small_window_shows_the_settings_of_a_batch_to_their_edges(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    await _small(session, hand)
    file = tmp_path / "callers.csv"
    file.write_text("caller_name,question\nPriya,Why?\nArjun,When?\n", "utf-8")
    session.window.modes.show_mode("batch")
    batch = session.window.batch
    batch.files.open_file(file)
    await hand.until(lambda: batch.tools.run.isEnabled(), "the plan of the batch")
    setup = batch.page.setup
    boxes = [*setup.combos.values(), setup.order, setup.concurrency, *setup.findChildren(FigureRow)]
    assert len(boxes) == 9
    await hand.until(lambda: all(_shown_in(box, setup) for box in boxes), "whole boxes")
    for box in (*setup.combos.values(), setup.order):
        room = QStyleOptionComboBox()
        box.initStyleOption(room)
        field = box.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, room, QStyle.SubControl.SC_ComboBoxEditField, box
        )
        assert QFontMetrics(box.font()).horizontalAdvance(box.currentText()) <= field.width() - 4  # as ElidedCombo
    heights = {box.height() for box in setup.findChildren(FigureRow)}
    assert len(heights) == 1  # no figure is in a second line
    table = batch.page.table
    titles = {at: one.title for at, one in enumerate(batch.page.model.columns) if one.kind in ("variable", "output")}
    metrics, head = QFontMetrics(ui_font(11)), table.horizontalHeader()
    cut = {title for at, title in titles.items() if metrics.horizontalAdvance(title) + 35 > head.sectionSize(at)}
    assert cut == set(), "whole headings"
    assert table.height() > 5 * batch.page.detail.height(), "without a selected row the detail is one line"


async def test_a_small_window_shows_parameters_and_filters_whole(session: Session, hand: UiDriver) -> None:
    await _small(session, hand)
    session.window.prompt.tabs.setCurrentIndex(2)
    (tab,) = session.window.prompt.findChildren(ParametersTab)
    await hand.until(tab.isVisible, "the parameters")
    assert tab.horizontalScrollBar().maximum() == 0
    for mode in ("batch", "recorder"):
        session.window.modes.show_mode(mode)
    lines = session.window.batch.page.filter, session.window.recorder.page.filter_line
    for line, width in zip(lines, (300, 205), strict=True):
        assert QFontMetrics(line.font()).horizontalAdvance(line.placeholderText()) <= width - 20


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1280, 800)])
async def test_a_first_window_shows_the_request_id_in_one_line_and_the_cost(
    session: Session, hand: UiDriver, width: int, height: int
) -> None:
    window = session.window
    window.resize(width, height)
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the second request")
    label = window.inspector.id.id
    await hand.until(lambda: window.width() == width and label.height() < 2 * label.fontMetrics().height(), "one line")
    assert label.displayed == window.requests.request_id
    if height == 900:
        await hand.until(lambda: _shown_in(window.inspector.cost, window.inspector), "the cost without scrolling")
