"""The table of recorded requests, its cells, and the bars above it."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from playground.prefix_cache.miss_explanation import MissExplanation
from playground.requestlog.records import LogRow
from playground.ui import theme
from playground.ui.panes.log.details import RowDetail
from playground.ui.recorder import table as recorder_table
from playground.ui.recorder.bars import TokenBars
from playground.ui.recorder.table import ASKS, RecordedModel, RecordedTable
from playground.ui.theme import current_theme
from playground.ui.widgets.icons import ROW_ICON_PX
from playground.ui.widgets.row_table import FIGURE_PAD_PX, FIRST_PAD_PX, PAD_PX, RowFont, paint_text, text_width
from tests.recorder.rows import row


def rows(first: int, last: int) -> list[LogRow]:
    """Return rows, newest first."""
    return [row(number, 1_000, 500) for number in range(last, first - 1, -1)]


def table_of(qtbot: QtBot, made: list[LogRow], width: int = 1_000) -> RecordedTable:
    """Return a visible table of rows."""
    model = RecordedModel()
    table = RecordedTable(model)
    qtbot.addWidget(table)
    table.resize(width, 300)
    table.show()
    model.show_rows(made, {})
    return table


def test_show_rows_at_the_limit_keeps_the_selected_row() -> None:
    model = RecordedModel()
    model.show_rows(rows(1, 10), {})
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    chosen = QPersistentModelIndex(model.index(3, 0))
    assert model.rows[chosen.row()].run_id == "run-7"
    model.show_rows(rows(3, 12), {})
    assert resets == []
    assert model.rows[chosen.row()].run_id == "run-7"
    assert chosen.row() == 5
    assert model.rowCount() == 10
    model.show_rows(rows(20, 25), {})
    assert len(resets) == 1


def test_show_zoom_scales_rows_columns_and_fonts_of_an_open_table(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(qtbot, rows(1, 3), 1_500)
    bars = TokenBars()
    qtbot.addWidget(bars)
    before = table.rowHeight(0), table.columnWidth(2), bars.height()
    monkeypatch.setattr(theme, "zoom_factor", lambda: 1.5)
    table.show_zoom()
    bars.show_zoom()
    after = table.rowHeight(0), table.columnWidth(2), bars.height()
    assert after[:2] == (round(before[0] * 1.5), round(before[1] * 1.5))
    assert after[2] > before[2]
    assert table.recorded.index(0, 2).data(Qt.ItemDataRole.FontRole).pixelSize() == 18
    assert table_of(qtbot, rows(1, 3), 1_500).rowHeight(0) == after[0]


def test_cells_unknown_figures_are_dashes_and_reported_zero_is_zero(qtbot: QtBot) -> None:
    table = table_of(qtbot, [row(2, 900, 0), row(1, None, None, ttft_s=None)])
    texts = [[table.recorded.index(at, column).data() for column in (3, 4, 5)] for at in (0, 1)]
    assert texts == [["900", "0", "300 ms"], ["—", "—", "—"]]
    spoken = table.recorded.index(1, 4).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "cached: unknown"


def test_cell_of_a_cause_changes_when_the_cause_is_known(qtbot: QtBot) -> None:
    made = [row(1, 900, 0)]
    table = table_of(qtbot, made)
    cause = table.recorded.index(0, 6)
    assert cause.data() == ""
    why = MissExplanation("differs", "Nothing behind it matches.", cause="date")
    table.recorded.show_rows(made, {"run-1": RowDetail(explained=True, missed=why)})
    assert cause.data() == "date"
    assert cause.data(Qt.ItemDataRole.ToolTipRole) == "Nothing behind it matches."
    assert cause.data(Qt.ItemDataRole.ForegroundRole) == current_theme().variable_edge


def test_cell_of_a_running_request_has_the_forecast_as_an_estimate(qtbot: QtBot) -> None:
    table = table_of(qtbot, [row(1, phase="streaming", forecast_cached=1_808.0, status=200)])
    assert table.recorded.index(0, 6).data() == "forecast ≈ 1,808 cached"


def test_table_keys_ask_for_every_entry_of_its_menu(qtbot: QtBot) -> None:
    table = table_of(qtbot, rows(1, 3))
    table.selectRow(0)
    asked: list[str] = []
    table.asked.connect(asked.append)
    for _, _, key in ASKS:
        name = {"Enter": Qt.Key.Key_Return, "Ctrl+C": Qt.Key.Key_C}.get(key) or getattr(Qt.Key, f"Key_{key}")
        control = Qt.KeyboardModifier.ControlModifier if key == "Ctrl+C" else Qt.KeyboardModifier.NoModifier
        QTest.keyClick(table, name, control)
    assert asked == [name for name, _, _ in ASKS]
    menu = table.menu()
    for action in menu.actions():
        action.trigger()
    assert asked == [name for name, _, _ in ASKS] * 2


def test_table_keys_move_the_selection_within_the_rows(qtbot: QtBot) -> None:
    table = table_of(qtbot, rows(1, 4))
    table.selectRow(0)
    seen = []
    for key in (Qt.Key.Key_J, Qt.Key.Key_End, Qt.Key.Key_J, Qt.Key.Key_K, Qt.Key.Key_Home, Qt.Key.Key_K):
        QTest.keyClick(table, key)
        current = table.current_row()
        assert current is not None
        seen.append(current.number)
    assert seen == [3, 1, 1, 2, 4, 4]


def test_table_scrolled_down_keeps_its_rows_when_requests_arrive(qtbot: QtBot) -> None:
    table = table_of(qtbot, rows(1, 100))
    qtbot.waitUntil(lambda: table.verticalScrollBar().maximum() > 40)
    table.verticalScrollBar().setValue(40)
    top = table.recorded.rows[table.rowAt(0)].run_id
    table.recorded.show_rows(rows(1, 103), {})
    assert table.recorded.rows[table.rowAt(0)].run_id == top
    table.verticalScrollBar().setValue(0)
    table.recorded.show_rows(rows(1, 104), {})
    assert table.recorded.rows[table.rowAt(0)].run_id == "run-104"


@pytest.mark.parametrize(("width", "hidden"), [(430, [0, 3, 5]), (527, [3, 5]), (600, [5]), (785, [5]), (920, [])])
def test_table_narrow_shows_status_figures_and_the_start_of_the_request_id(
    qtbot: QtBot, width: int, hidden: list[int]
) -> None:
    request_id = "cc011cdd-9474-431b-bf26-144b98289fcd"
    made = [row(1, 31_900, 31_232, request_id=request_id)]
    table = table_of(qtbot, made, width=920)
    table.resize(width, table.height())
    assert [column for column in range(7) if table.isColumnHidden(column)] == hidden
    qtbot.waitUntil(lambda: table.horizontalScrollBar().maximum() == 0)
    assert sum(table.columnWidth(column) for column in range(7)) <= table.viewport().width()
    assert table.columnWidth(6) >= 176
    for column in set(range(5)) - set(hidden):
        text = str(table.recorded.index(0, column).data())
        text = {0: "18:01:48", 1: text.partition(" ")[0], 2: text if width >= 785 else f"{text[:8]}…"}.get(column, text)
        metrics = QFontMetrics(table.recorded.index(0, column).data(Qt.ItemDataRole.FontRole))
        pads = (FIRST_PAD_PX + PAD_PX, 2 * PAD_PX + ROW_ICON_PX + 6, 2 * PAD_PX, *[FIGURE_PAD_PX + PAD_PX] * 2)[column]
        assert table.columnWidth(column) >= metrics.horizontalAdvance(text) + pads, column
    index = table.recorded.index(0, 2)
    assert (index.data(), index.data(Qt.ItemDataRole.ToolTipRole)) == (request_id, request_id)
    tip = table.recorded.index(0, 1).data(Qt.ItemDataRole.ToolTipRole)
    assert f"{table.recorded.index(0, 0).data()} · In 31,900 · cached 31,232 · TTFT 300 ms" in tip


def test_status_that_is_too_long_shows_its_first_words(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[str] = []

    def paint(painter: QPainter, room: QRect, text: str, font: RowFont, color: QColor, *, right: bool) -> None:
        if text.startswith("200"):
            assert text_width(text, font) <= room.width()
            painted.append(text)
        paint_text(painter, room, text, font, color, right=right)

    monkeypatch.setattr(recorder_table, "paint_text", paint)
    table = table_of(qtbot, [row(1, 900, 16, status=200, finish_reason="length")], width=920)
    assert table.recorded.index(0, 1).data() == "200 cut at max_tokens"
    table.grab()
    assert painted
    assert all(text.endswith(" …") for text in painted)


def test_table_in_large_text_shows_the_cause_and_scrolls_to_the_whole_request_id(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theme, "zoom_factor", lambda: 2.0)
    table = table_of(qtbot, [row(1, 900, 16)], width=393)
    assert [column for column in range(7) if not table.isColumnHidden(column)] == [1, 2, 6]
    assert table.columnViewportPosition(6) + table.columnWidth(6) <= table.viewport().width()
    bar = table.horizontalScrollBar()
    bar.setValue(bar.maximum())
    assert table.columnViewportPosition(2) + table.columnWidth(2) == table.viewport().width()
    table.resize(1_900, table.height())
    assert table.horizontalHeader().visualIndex(6) == 6
    assert "request_id" in table.recorded.index(0, 1).data(Qt.ItemDataRole.ToolTipRole)


def heights(bars: TokenBars, color: QColor, x: int) -> int:
    """Return how many pixels of a column have a color."""
    image = bars.grab().toImage()
    ratio = image.devicePixelRatio()
    return sum(image.pixelColor(round(x * ratio), y) == color for y in range(image.height()))


def test_bars_heights_are_reported_tokens_and_unreported_ones_have_no_fill(qtbot: QtBot) -> None:
    theme = current_theme()
    bars = TokenBars()
    qtbot.addWidget(bars)
    bars.resize(800, 150)
    bars.show()
    made = [row(3), row(2, 1_000, 250), row(1, 1_000, 1_000)]
    bars.show_rows(made, "", frozenset())
    # Bars are 36 px wide with 3 px between them, from x = 48; the axis ends at 1,000 tokens.
    whole, quarter, unknown = (heights(bars, theme.warm_edge, 48 + 18 + at * 39) for at in range(3))
    assert whole >= 90
    assert abs(quarter - whole / 4) <= 2
    assert unknown == 0
    assert "1,250 of 2,000 prompt tokens cached" in bars.accessibleDescription()


def test_bars_dot_marks_requests_with_a_leak(qtbot: QtBot) -> None:
    theme = current_theme()
    bars = TokenBars()
    qtbot.addWidget(bars)
    bars.resize(800, 150)
    bars.show()
    bars.show_rows([row(2, 1_000, 0), row(1, 1_000, 0)], "", frozenset(("run-2",)))
    assert heights(bars, theme.variable_edge, 48 + 18) == 0
    assert heights(bars, theme.variable_edge, 48 + 18 + 39) >= 3
    assert "1 with a leak" in bars.accessibleDescription()


def test_bars_without_reports_say_so(qtbot: QtBot) -> None:
    bars = TokenBars()
    qtbot.addWidget(bars)
    bars.show_rows([row(1)], "", frozenset())
    assert bars.accessibleDescription() == "No request has reported cached tokens"
