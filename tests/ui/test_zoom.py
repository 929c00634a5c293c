"""Text size of the whole window: by key and wheel, remembered, exact on the way back, nothing clipped at 150 %."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from itertools import product
from pathlib import Path

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QImage, QPainter, QWheelEvent
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QLabel,
    QListWidget,
    QPushButton,
    QScrollArea,
    QStyle,
    QStyleOptionButton,
    QStyleOptionComboBox,
    QToolButton,
    QWidget,
)

from playground.cli.selftest import StepFailed, UiDriver
from playground.storage.settings import Settings
from playground.ui.appearance import Appearance, ZoomScaler, needs_ring, ring_px
from playground.ui.batch.model import WIDTHS
from playground.ui.dialogs.palette import KeysSheet
from playground.ui.main_window import MainWindow
from playground.ui.panes.inspector.sections import STRIP_PX, InspectorStrip
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.panes.prompt.marks import GAP_PX
from playground.ui.panes.response.pane import FOOTER_PX, ResponseFooter
from playground.ui.session import Session
from playground.ui.theme import PROMPT_PX, ZOOM, scaled, zoom_factor
from playground.ui.widgets.figure_row import Chart, Series
from playground.ui.widgets.icons import IconLabel, paint_row_icon
from playground.ui.widgets.plain_table import ROW_PX, fill_table, plain_table
from tests.conftest import FAST
from tests.ui.conftest import Tell


def sizes(window: MainWindow) -> dict[str, object]:
    """Return fonts and heights of one widget of each kind."""
    table = window.log.table
    return {
        "editor": window.prompt.prompt_tab.cards[0].text.font().pixelSize(),
        "response": window.response.text_tab.text.font().pixelSize(),
        "menu": window.menu_row.menus.font().pixelSize(),
        "top": window.top.height(),
        "status": window.status.height(),
        "rows": table.verticalHeader().defaultSectionSize(),
        "id column": table.horizontalHeader().sectionSize(2),
        "inspector": window.inspector.minimumWidth(),
        "labels": [label.font().pixelSize() for label in window.inspector.findChildren(QLabel)],
    }


def clipped(window: QWidget) -> list[str]:
    """Return the texts of visible buttons and single-line labels that do not fit into their widgets."""
    found = []
    for widget in window.findChildren(QWidget):
        if not isinstance(widget, QPushButton | QLabel) or not widget.isVisible() or not widget.text():
            continue
        lines = widget.text().splitlines()
        metrics = QFontMetrics(widget.font())
        if metrics.height() > widget.height() + 1:
            found.append(f"height: {widget.text()}")
        if isinstance(widget, QPushButton) and max(map(metrics.horizontalAdvance, lines)) > widget.width():
            found.append(f"width: {widget.text()}")
    return found


def _is_zoomed(percent: int) -> bool:
    return zoom_factor() == percent / 100


async def zoom(window: MainWindow, hand: UiDriver, action: str, percent: int) -> None:
    window.actions_table[action].trigger()
    await hand.until(lambda: zoom_factor() == percent / 100, f"{percent} %")


async def test_zoom_in_and_back_restores_every_size(session: Session, hand: UiDriver) -> None:
    window = session.window
    edit = window.prompt.variables.rows["caller_name"].value
    left = edit.x()
    window.resize(1440, 900)
    before = sizes(window)
    await zoom(window, hand, "zoom_in", 110)
    await zoom(window, hand, "zoom_in", 125)
    larger = sizes(window)
    assert larger["editor"] == round(13 * 1.25)
    assert larger["response"] == larger["editor"]
    assert larger["top"] == 55
    assert larger["rows"] == 31
    assert session.workspace.settings.number("zoom") == 125
    # The value of a variable stays beside its name. Without the focus only the first line is visible, and that whole.
    await hand.until(lambda: edit.x() == round(left * 1.25), "the value's place")
    await hand.until(lambda: edit.text.mask().boundingRect().height() >= edit.text.fontMetrics().height(), "a line")
    await zoom(window, hand, "zoom_reset", 100)
    after = sizes(window)
    assert after.pop("id column") == pytest.approx(before.pop("id column"), abs=2)  # the rest of the header's width
    assert after == before


class _Polished(QObject):
    """Counts how often Qt styles widgets again."""

    count = 0

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.StyleChange
        return False


async def test_zoom_styles_no_widget_once_per_ancestor(session: Session, hand: UiDriver, qapp: QApplication) -> None:
    """`QApplication.setStyleSheet` does: 5,000 times for the 460 widgets of a new window."""
    polished = _Polished()
    qapp.installEventFilter(polished)
    await zoom(session.window, hand, "zoom_in", 110)
    await zoom(session.window, hand, "zoom_reset", 100)
    qapp.removeEventFilter(polished)
    assert polished.count <= len(qapp.allWidgets())


async def test_zoom_and_back_restores_the_columns_of_the_log(session: Session, hand: UiDriver) -> None:
    """At 150 % some do not fit and are hidden; no size drifts on the way back."""
    window = session.window
    window.resize(1280, 800)
    header = window.log.table.horizontalHeader()
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")

    def columns() -> list[int]:
        return [header.sectionSize(number) * (not header.isSectionHidden(number)) for number in range(header.count())]

    await hand.until(lambda: header.length() == header.width() > 1000, "the layout")
    before = columns()
    for action, percent in (("zoom_in", 110), ("zoom_in", 125), ("zoom_in", 150), ("zoom_out", 125)):
        await zoom(window, hand, action, percent)
        await hand.until(lambda: header.length() <= header.width(), f"all columns at {percent} %")
    assert columns().count(0) > before.count(0)
    await zoom(window, hand, "zoom_reset", 100)
    await hand.until(lambda: columns() == before, f"the columns {before}")


async def test_the_log_at_150_percent_says_why_tokens_were_not_cached(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1280, 800)
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    session.workspace.settings.set("zoom", 150)
    header = window.log.table.horizontalHeader()

    def shown() -> set[str]:
        return {column.title for number, column in enumerate(COLUMNS) if not header.isSectionHidden(number)}

    wanted = {"time", "status", "request_id", "in", "cached", "prefix"}
    await hand.until(lambda: zoom_factor() == 1.5 and shown() == wanted, "the columns at 150 %")
    assert header.length() <= header.width()
    status = next(number for number, column in enumerate(COLUMNS) if column.title == "status")
    words = QFontMetrics(COLUMNS[status].font().made()).horizontalAdvance("200 finished")
    assert header.sectionSize(status) >= words + scaled(16)


async def test_zoom_at_150_percent_clips_no_control(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1440, 900)
    session.workspace.settings.set("zoom", 150)
    await hand.until(lambda: zoom_factor() == 1.5, "150 %")
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    assert clipped(window) == []
    # Modes and pages that are created at this size use it too.
    for name in ("mode_compare", "mode_batch", "mode_recorder", "cache_lab", "guide"):
        window.actions_table[name].trigger()
        await hand.until(lambda: (shown := window.modes.currentWidget()) is not None and shown.height() > 0, "a page")
        # The bar above the page changes with it, and its layout follows with a later event.
        with contextlib.suppress(StepFailed):
            await hand.until(lambda: not clipped(window), "the layout")
        assert clipped(window) == [], name
    assert window.width() == 1440


def test_zoom_and_size_of_the_settings_are_used_from_the_start(tell: Tell, qapp: QApplication) -> None:
    async def first(session: Session, hand: UiDriver) -> None:
        session.workspace.settings.set("zoom", 125)
        session.workspace.settings.set("font_size", 16)

    async def second(session: Session, hand: UiDriver) -> None:
        assert zoom_factor() == 1.25
        found = sizes(session.window)
        assert (found["editor"], found["response"]) == (round(16 * 1.25), round(16 * 1.25))
        assert (found["top"], found["rows"]) == (55, 31)
        # The strip is built after the first paint.
        await hand.until(lambda: bool(session.window.findChildren(InspectorStrip)), "the strip")
        for kind, px in ((ResponseFooter, FOOTER_PX), (InspectorStrip, STRIP_PX)):
            assert session.window.findChildren(kind)[0].minimumHeight() == round(px * 1.25)

    tell(first)
    for name in (ZOOM, PROMPT_PX):
        qapp.setProperty(name, None)  # as in a new process
    tell(second)


def test_size_chosen_in_the_first_moment_is_that_of_all_labels(
    runner: asyncio.Runner, qapp: QApplication, tmp_path: Path
) -> None:
    async def sizes_of_labels() -> list[dict[str, int]]:
        session = Session(qapp, tmp_path, {}, simulator_options=FAST)
        window, found = session.window, []

        def sizes() -> dict[str, int]:
            labels = (label for pane in (window.response, window.log) for label in pane.findChildren(QLabel))
            return {label.text(): label.font().pixelSize() for label in labels if label.text() and label.isVisible()}

        session.show()
        session.workspace.settings.set("zoom", 150)
        hand = UiDriver(window, None)
        await hand.until(session.ready.is_set, "log and simulator ready")
        for percent in (150, 100, 150):
            session.workspace.settings.set("zoom", percent)
            await hand.until(lambda wanted=percent: zoom_factor() == wanted / 100, "the text size")  # type: ignore[misc]
            found.append(sizes())
        await session.close()
        return found

    first, _, later = runner.run(sizes_of_labels())
    assert len(first) > 8
    assert first == later


async def test_zoom_by_wheel_needs_control(session: Session, hand: UiDriver) -> None:
    window = session.window

    def wheel(pane: QWidget, keys: Qt.KeyboardModifier, steps: float) -> None:
        place = QPointF(pane.mapTo(window, pane.rect().center()))
        screen = QPointF(pane.mapToGlobal(pane.rect().center()))
        button, phase = Qt.MouseButton.NoButton, Qt.ScrollPhase.NoScrollPhase
        event = QWheelEvent(place, screen, QPoint(), QPoint(0, round(120 * steps)), button, keys, phase, False)
        QApplication.sendEvent(window.windowHandle(), event)

    settings = session.workspace.settings
    for pane in (window.log.table.viewport(), window.response.text_tab.text, window.inspector, window.prompt):
        wheel(pane, Qt.KeyboardModifier.NoModifier, 1)
        assert settings.number("zoom") == 100, pane
        wheel(pane, Qt.KeyboardModifier.ControlModifier, 1)
        assert settings.number("zoom") == 110, pane
        wheel(pane, Qt.KeyboardModifier.ControlModifier, -1)
        assert settings.number("zoom") == 100, pane
    for _ in range(9):
        # A touchpad sends parts of a step.
        wheel(window.prompt, Qt.KeyboardModifier.ControlModifier, 0.125)
    assert settings.number("zoom") == 110
    wheel(window.prompt, Qt.KeyboardModifier.ControlModifier, -1.125)
    assert settings.number("zoom") == 100
    await hand.until(lambda: zoom_factor() == 1.0, "100 %")


def test_zoom_closed_window_filters_no_events(tmp_path: Path, qapp: QApplication) -> None:
    """A filter of the application would be called for each event of all later windows."""
    settings = Settings(tmp_path / "settings.json")
    settings.set("zoom", 125)
    appearance = Appearance(qapp, settings)
    try:
        assert len(qapp.findChildren(ZoomScaler)) == 1
        widget = QWidget()
        widget.setFixedHeight(100)
        widget.ensurePolished()
        assert widget.height() == 125
        appearance.shut_down()
        later = QWidget()
        later.setFixedHeight(100)
        later.ensurePolished()
        assert later.height() == 100
        qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        assert qapp.findChildren(ZoomScaler) == []
    finally:
        for name in (ZOOM, PROMPT_PX):
            qapp.setProperty(name, None)


async def test_zoom_of_hidden_modes_is_used_when_they_are_displayed(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    """A style sheet that changes while a widget is hidden resets the widget's own font."""
    rows = tmp_path / "rows.csv"
    rows.write_text("caller_name,question\nPriya,When?\n", "utf-8")
    window = session.window
    window.resize(1600, 1000)
    window.modes.show_mode("compare")
    window.modes.show_mode("batch")
    window.batch.files.open_file(rows)
    batch, compare = window.batch.page, window.compare.page
    await hand.until(lambda: batch.table.model().rowCount() == 1, "the row")
    window.modes.show_mode("prompt")
    session.workspace.settings.set("zoom", 150)
    await hand.until(lambda: zoom_factor() == 1.5, "150 %")
    for mode in ("compare", "batch"):
        window.modes.show_mode(mode)
    assert compare.values.fields["caller_name"].font().pixelSize() == 18
    header, columns = batch.table.horizontalHeader(), [column.kind for column in batch.model.columns]
    assert header.sectionSize(columns.index("request_id")) == scaled(WIDTHS["request_id"]) == 435
    assert batch.table.verticalHeader().defaultSectionSize() == 36
    assert batch.detail.text.font().pixelSize() == 20


async def test_versions_beside_the_prompt_of_a_low_window_with_large_text_overlap_nothing(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    window.files.open_tools_sample()
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end")
    window.resize(1280, 700)
    window.actions_table["versions"].trigger()
    panel = window.versions.panel
    assert panel is not None
    await hand.until(lambda: panel.list.count() > 0 and panel.isVisible(), "the versions")
    session.workspace.settings.set("zoom", 200)
    await hand.until(lambda: zoom_factor() == 2.0, "the larger text")

    def outside() -> bool:
        window.resize(1280, 700)
        wrong = (panel.restore, panel.close_button, panel.answers, panel.diff)
        holders = [one.parentWidget() for one in wrong]
        return any(
            holder is not None and not holder.rect().contains(one.geometry())
            for one, holder in zip(wrong, holders, strict=True)
        )

    await hand.until(lambda: not outside(), "everything in its place")


async def test_the_boundary_inside_a_message_has_a_row_for_larger_text(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.files.open_tools_sample()

    def gap_is(px: int) -> bool:
        layout = window.prompt.prompt_tab.cards[-1].text.document().firstBlock().layout()
        lines = [layout.lineAt(index) for index in range(layout.lineCount())]
        return bool(lines) and lines[-1].y() - sum(line.height() for line in lines[:-1]) == px

    for percent, px in ((100, GAP_PX), (200, 2 * GAP_PX), (100, GAP_PX)):
        session.workspace.settings.set("zoom", percent)
        await hand.until(partial(gap_is, px), f"a row of {px} px")


@pytest.mark.parametrize(("percent", "px"), [(100, 2), (200, 4)])
async def test_a_field_with_the_focus_has_a_wider_ring_in_large_text(
    session: Session, hand: UiDriver, percent: int, px: int
) -> None:
    """At 100 % its border has the width of a ring."""
    session.workspace.settings.set("zoom", percent)
    await hand.until(lambda: zoom_factor() == percent / 100, "the text size")
    session.window.modes.show_mode("batch")
    page = session.window.batch.page
    for field in (page.setup.order, page.setup.concurrency, page.filter):
        assert (ring_px(), needs_ring(field)) == (px, px > 2), field


async def test_dialogs_that_are_opened_in_large_text_cut_nothing(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1280, 800)
    for percent, action in product((150, 200), ("keys", "connect", "settings")):
        session.workspace.settings.set("zoom", percent)
        await hand.until(partial(_is_zoomed, percent), "the larger text")
        window.actions_table[action].trigger()
        found: list[QDialog] = []

        def opened(found: list[QDialog] = found) -> bool:
            found[:] = [one for one in window.findChildren(QDialog) if one.isVisible() and one.isWindow()]
            return bool(found)

        await hand.until(opened, "the dialog")
        dialog = found[0]
        for area in dialog.findChildren(QScrollArea):
            assert area.horizontalScrollBar().maximum() == 0, action
            page = area.widget()
            assert page is not None
            assert page.minimumSizeHint().width() <= area.viewport().width(), action
        for sections in dialog.findChildren(QListWidget):
            assert sections.sizeHintForColumn(0) <= sections.viewport().width() + 1 or action == "connect"
        if isinstance(dialog, KeysSheet):
            metrics, table = QFontMetrics(dialog.table.font()), dialog.table
            for row in range(table.rowCount()):
                assert table.rowHeight(row) == scaled(ROW_PX)
                for column in range(3):
                    text = str(table.model().index(row, column).data())
                    assert metrics.horizontalAdvance(text) < table.columnWidth(column)
        dialog.reject()
        await hand.until(lambda: not opened(), "no dialog")


async def test_marks_and_new_tables_are_as_large_as_the_text(session: Session, hand: UiDriver) -> None:
    window = session.window
    for mode in ("compare", "prompt"):
        window.modes.show_mode(mode)
    window.prompt.tabs.setCurrentIndex(2)
    box, chosen = window.prompt.parameters_tab._stream, window.compare.page.values.order
    destination = window.simulated.findChild(IconLabel)
    assert destination is not None

    def widths() -> list[int]:
        check, combo = QStyleOptionButton(), QStyleOptionComboBox()
        box.initStyleOption(check)
        chosen.initStyleOption(combo)
        style, arrow = box.style(), QStyle.SubControl.SC_ComboBoxArrow
        tick = QImage(60, 60, QImage.Format.Format_ARGB32)
        painter = QPainter(tick)
        row_px = paint_row_icon(painter, "check", 0, 30, QColor("black"))
        painter.end()
        return [
            style.subElementRect(QStyle.SubElement.SE_CheckBoxIndicator, check, box).width(),
            style.subControlRect(QStyle.ComplexControl.CC_ComboBox, combo, arrow, chosen).width(),
            destination.width(),
            row_px,
        ]

    before = widths()
    session.workspace.settings.set("zoom", 200)
    await hand.until(lambda: zoom_factor() == 2.0, "the larger text")
    window.modes.show_mode("compare")
    assert widths() == [2 * px for px in before]
    table = plain_table("A table", ("what", "figure"), 0, {1: 100})
    fill_table(table, [("rows", "1")])
    table.setParent(window)
    table.show()
    assert (table.rowHeight(0), table.columnWidth(1)) == (2 * ROW_PX, 200)


def test_figures_beside_a_chart_in_large_text_are_whole(qapp: QApplication) -> None:
    qapp.setProperty(ZOOM, 2.0)
    chart = Chart("Tokens", lambda work, _name: work.close())
    chart.resize(600, 300)
    chart.show_series([Series("cached", ((0, 1), (1, 2_000)), "warm_edge")], "min", "tokens")
    image = QImage.fromData(chart.as_png())
    assert len({image.pixel(x, y) for x in range(2) for y in range(image.height())}) == 1


async def test_every_menu_has_room_at_200_percent(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1280, 800)
    session.workspace.settings.set("zoom", 200)
    await hand.until(lambda: zoom_factor() == 2, "200 %")
    menus = window.menu_row.menus

    def all_shown() -> bool:
        hidden = any(more.isVisible() for more in menus.findChildren(QToolButton))
        return not hidden and all(menus.rect().contains(menus.actionGeometry(one)) for one in menus.actions())

    await hand.until(all_shown, "all menus")
    assert window.width() == 1280
    window.resize(900, 600)
    await hand.until(lambda: window.width() == 900 and all_shown(), "all menus of a small window")
