"""The inspector's figures in their three states, on the real pane."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QScrollArea, QStyle, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from playground.client.endpoint import Rates
from playground.client.events import AttemptStarted, Stopped, Usage
from playground.client.response_decoder import RequestId
from playground.prefix_cache.forecast import Forecast
from playground.runs.metrics import seconds
from playground.runs.state import RunState, fold
from playground.ui.panes.inspector.figures import attempts_text
from playground.ui.panes.inspector.pane import InspectorPane
from playground.ui.widgets.figure_row import FigureRow
from playground.ui.widgets.labels import IdRow
from tests.ui import runs_on_show as runs


@pytest.fixture
def pane(qtbot: QtBot) -> InspectorPane:
    """A pane on the screen, as narrow as it may be."""
    pane = InspectorPane()
    qtbot.addWidget(pane)
    pane.resize(260, 600)
    pane.show()
    qtbot.waitExposed(pane)
    return pane


def test_before_the_first_request_the_outlook(pane: InspectorPane) -> None:
    pane.show_forecast(runs.FORECAST)
    assert pane.usage.headline.text() == "≈ 1,204 in"
    assert pane.forecast.rows["forecast"].value == "≈ 1,152 (1,136 to 1,168)"
    assert pane.forecast.rows["reported"].value == "—"
    assert pane.cost.isVisible()
    assert pane.cost.rows["input"].value == pane.latency.rows["ttft"].value == "—"
    assert not pane.request.isVisible()


def test_all_reported(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done()))
    assert pane.usage.headline.text() == "1,204 in"
    assert pane.usage.note.text() == "1,152 cached · 95.7 %"
    assert [pane.usage.rows[key].value for key in ("cached", "fresh", "output")] == ["1,152", "52", "86"]
    assert [piece.amount for piece in pane.usage.bar.pieces] == [1152, 52, 86]
    assert pane.forecast.rows["reported"].value == "1,152 · as forecast"
    assert [pane.latency.rows[key].value for key in ("ttft", "speed", "total")] == ["212 ms", "614.3 tok/s", "1.1 s"]
    assert pane.cost.rows["input"].value == "$0.000136"
    assert pane.cost.rows["saved"].value == "$0.000346"
    assert pane.cost.rows["output"].value == "not priced"
    assert pane.cost.note.text() == "rates: the vendor's published API schema"
    assert pane.id.id.displayed == runs.REQUEST_ID
    assert pane.id.status.text().endswith(" · 200 finished")
    assert pane.request.rows["attempts"].value == "200 finished"
    assert pane.request.rows["time"].value == "2026-11-23 14:02:11 UTC"


def test_attempt_that_was_stopped_before_its_status_is_named_as_in_the_log() -> None:
    assert attempts_text(fold([AttemptStarted(0.0, 1), Stopped(0.5)])) == "stopped"


def test_unknown_is_a_dash_with_why_and_never_nought(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.stopped()))
    assert pane.usage.headline.text() == "≈ 1,204 in"
    assert pane.usage.rows["output"].value == "≈ 6"
    for row in (pane.usage.rows["cached"], pane.usage.rows["fresh"], pane.cost.rows["input"], pane.cost.rows["saved"]):
        assert row.value == "—"
        assert row.accessibleDescription().startswith("Stopped before")
        assert row.toolTip() == row.accessibleDescription()
    assert pane.usage.bar.pieces == ()
    assert pane.request.rows["attempts"].value == "200 stopped"


def test_a_known_nought_is_a_nought(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done(usage=Usage(1204, 86, 1290, 0))))
    assert pane.usage.rows["cached"].value == "0"
    assert pane.usage.note.text() == "0 cached · 0.0 %"
    assert pane.forecast.rows["reported"].value == "0 · 1,152 under forecast"


def test_more_than_forecast(pane: InspectorPane) -> None:
    forecast = Forecast(100.0, 90.0, 110.0, 1204.0, "none")
    pane.show_model(runs.model(runs.done(), forecast))
    assert pane.forecast.rows["reported"].value == "1,152 · 1,052 over forecast"


def test_cached_alone_not_reported(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done(usage=Usage(1204, 86, 1290, None))))
    assert pane.usage.headline.text() == "1,204 in"
    assert [pane.usage.rows[key].value for key in ("cached", "fresh", "output")] == ["—", "—", "86"]
    assert [piece.role for piece in pane.usage.bar.pieces] == ["muted", "output"]


def test_rates_are_asked_for_and_used(pane: InspectorPane, qtbot: QtBot) -> None:
    pane.show_model(runs.model(runs.done(), rates=Rates()))
    assert [row.value for row in pane.cost.rows.values()] == ["not priced"] * 3
    with qtbot.waitSignal(pane.rates_requested):
        pane.cost.set_rate.click()
    pane.show_model(runs.model(runs.done(), rates=Rates(0.4, 0.1, 1.0, "yours")))
    assert pane.cost.rows["output"].value == "$0.0000860"
    assert not pane.cost.set_rate.isVisible()


def test_attempts_in_their_order(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.retried()))
    assert pane.request.rows["attempts"].value == "503 → 200 finished"


def test_failed_without_output_draws_none(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.refused()))
    assert "output" not in [piece.role for piece in pane.latency.bar.pieces]
    assert pane.latency.rows["ttft"].value == "—"
    assert pane.request.rows["attempts"].value == "400"


def test_why_and_the_way_to_the_place(pane: InspectorPane, qtbot: QtBot) -> None:
    pane.show_model(runs.model(runs.done(), explanation=runs.why()))
    assert pane.why.isVisible()
    assert pane.why.snippets == (runs.why().before, runs.why().after)
    with qtbot.waitSignal(pane.place_requested) as asked:
        pane.why._button.click()
    assert asked.args == [0, 18]
    pane.show_model(runs.model(runs.done()))
    assert not pane.why.isVisible()


def test_a_growing_state_is_taken_in(pane: InspectorPane) -> None:
    state = RunState()
    model = runs.model(state)
    pane.show_model(model)
    assert pane.id.id.displayed == ""
    for event in [*runs.sent(), *runs.deltas(runs.ANSWER), *runs.ending()]:
        state.apply(event)
        pane.show_model(model)
    assert pane.id.id.displayed == runs.REQUEST_ID
    assert pane.request.rows["finish"].value == "stop"
    assert pane.usage.headline.text() == "1,204 in"


def test_a_figure_is_copied_by_one_key(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done()))
    pane.id.id.setFocus()
    QTest.keyClick(pane.id.id, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == runs.REQUEST_ID


def test_every_row_is_reached_and_named(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done()))
    for section in (pane.usage, pane.forecast, pane.latency, pane.cost, pane.request):
        assert section.rows
        for row in section.rows.values():
            assert row.focusPolicy() == Qt.FocusPolicy.StrongFocus
            assert row.accessibleName().endswith(row.value)


def cut_at_max_tokens() -> RunState:
    return runs.grown(RunState(), [*runs.sent(), *runs.deltas("Hello"), *runs.ending("length")])


@pytest.mark.parametrize(
    "state",
    [
        runs.done,
        runs.streaming,
        runs.stopped,
        runs.refused,
        runs.cut,
        runs.calling,
        runs.retried,
        cut_at_max_tokens,
    ],
)
def test_nothing_is_cut_off_at_its_least_width(
    pane: InspectorPane, qtbot: QtBot, state: Callable[[], RunState]
) -> None:
    pane.show_model(runs.model(state(), explanation=runs.why()))
    pane.resize(pane.minimumWidth(), 600)
    scroll = next(area for area in pane.findChildren(QScrollArea) if area.isVisible())
    inside = scroll.widget()
    assert inside is not None
    QApplication.processEvents()  # the layouts follow the new texts
    room = scroll.width() - scroll.verticalScrollBar().sizeHint().width()  # the bar is visible or not
    qtbot.waitUntil(lambda: inside.width() <= scroll.viewport().width())
    assert inside.minimumSizeHint().width() <= room
    assert pane.id.id.whole


def test_each_attempt_has_a_row_with_its_own_id(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done()))
    assert not pane.attempts.isVisibleTo(pane)
    state = runs.retried()
    pane.show_model(runs.model(state))
    assert pane.attempts.isVisibleTo(pane)
    rows = [row for row in pane.attempts.findChildren(FigureRow) if not row.isHidden()]
    assert [row.value.split(" · ")[0] for row in rows] == ["503", "200"]
    shown = [row.id for row in pane.attempts.findChildren(IdRow)]
    assert [label.displayed for label in shown] == [attempt.request_id for attempt in state.attempts]
    for label in shown:
        QGuiApplication.clipboard().clear()
        assert label.focusPolicy() & Qt.FocusPolicy.TabFocus
        QTest.keyClick(label, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert QGuiApplication.clipboard().text() == label.displayed


def test_second_request_id_of_a_gateway_is_shown_with_its_header(pane: InspectorPane) -> None:
    pane.show_model(runs.model(runs.done()))
    assert pane.request.rows["other_id"].isHidden()
    ids = (RequestId("request-id", "gateway-1"), RequestId("llm_provider-x-request-id", "electron-2"))
    state = runs.done(usage=Usage(1204, 86, 1290, 0))
    state.attempts[-1].request_ids = ids
    pane.show_model(runs.model(state))
    row = pane.request.rows["other_id"]
    assert not row.isHidden()
    assert row.value == "electron-2"
    assert "llm_provider-x-request-id" in row.toolTip()


def test_rows_without_an_id_are_not_shown_for_a_moment(pane: InspectorPane) -> None:
    """Each of these moments had the whole inspector laid out, at every frame of a completion."""

    class Shown(QObject):
        count = 0

        def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
            self.count += event.type() == QEvent.Type.ShowToParent
            return False

    pane.show_model(runs.model(runs.streaming()))
    shown = Shown()
    for key in ("other_id", "error_id"):
        pane.request.rows[key].installEventFilter(shown)
    pane.show_model(runs.model(runs.done()))
    assert pane.request.rows["finish"].value == "stop"
    assert shown.count == 0


def test_the_short_inspector_is_visible_while_the_pane_is_hidden_also_if_it_never_was_visible(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    pane = InspectorPane()
    column = QVBoxLayout(holder)
    for widget in (pane, pane.strip):
        column.addWidget(widget)
    pane.setVisible(False)
    holder.show()
    assert pane.strip.isVisible()
    with qtbot.waitSignal(pane.action) as asked:
        pane.strip.details.click()
    assert asked.args == ["toggle_inspector"]
    pane.setVisible(True)
    assert pane.strip.isHidden()


def test_first_forecast_polishes_no_row_twice(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    # QWidget.style() builds 566 members of enumerations.
    asked: list[QWidget] = []

    def style(widget: QWidget) -> QStyle:
        asked.append(widget)
        return QApplication.style()

    monkeypatch.setattr(QWidget, "style", style)
    pane = InspectorPane()
    qtbot.addWidget(pane)
    pane.show_forecast(runs.FORECAST)
    pane.show()
    assert pane.forecast.rows["forecast"].isVisible()
    assert not asked
    pane.show_forecast(None)
    assert asked == [pane.forecast.rows["forecast"]._value]


@pytest.mark.parametrize("clock_s", [0.29, 0.54, 0.895, 12.34])
def test_time_of_a_running_request_is_that_of_log_and_footer(qtbot: QtBot, clock_s: float) -> None:
    """In whole seconds of another clock, it was 0 s beside a first token after 288 ms, and 1 s beside 895 ms."""
    running = replace(runs.model(runs.streaming()), clock_s=clock_s)
    pane = InspectorPane()
    qtbot.addWidget(pane)
    pane.show_model(replace(running, clock_s=0.1))
    pane.show_model(running)
    assert pane.latency.rows["total"].value == f"{seconds(clock_s)} so far"
    assert replace(running, state=runs.done()).elapsed == ""


def test_time_of_a_request_of_another_process_counts_from_its_start() -> None:
    running = replace(runs.model(runs.streaming()), started_utc=datetime.now(UTC) - timedelta(minutes=5))
    assert running.elapsed == "5 min 0 s so far"
