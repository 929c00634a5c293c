"""What a row shows: reported, estimated and unknown are three things, and color is never alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QApplication

from playground.client.endpoint import Rates
from playground.client.errors import cut_error
from playground.client.events import (
    AnyEvent,
    AttemptFailed,
    AttemptStarted,
    Completed,
    ContentDelta,
    HeadersReceived,
    Usage,
)
from playground.prefix_cache.forecast import Forecast
from playground.prompt.document import Json
from playground.requestlog.log import RequestLog
from playground.runs.metrics import output_figure
from playground.runs.state import fold
from playground.ui.panes.inspector.figures import attempts_text
from playground.ui.panes.log.columns import COLUMNS, NOT_REPORTED, status_icon
from playground.ui.panes.log.details import NOTHING, LiveRequests, RowDetail
from playground.ui.theme import apply_colors, current_theme, load_theme
from playground.ui.widgets.row_table import BAR_PX, paint_cached_bar
from tests.requestlog.samples import answered, called, keep, refused, stopped
from tests.ui.panes.log import rows_on_show as show
from tests.ui.panes.log.conftest import Stage

TIP = int(Qt.ItemDataRole.ToolTipRole)
FIGURES = ("in", "cached", "out", "TTFT", "total", "cost")


def before_its_details(stage: Stage, title: str, detail: RowDetail = NOTHING) -> str:
    """Return a cell of the first row while no more of it is read than `detail`."""
    row = stage.pane.model.row(0)
    assert row is not None
    return next(column for column in COLUMNS if column.title == title).cell(row, detail).text


async def test_an_answered_request_shows_what_was_reported(stage: Stage) -> None:
    await keep(stage.log, show.of("When?"), answered())
    await stage.shown(1)
    assert [stage.cell(0, title) for title in ("in", "cached", "out")] == ["1,204", "1,152", "86"]
    assert [stage.cell(0, title) for title in ("TTFT", "total")] == ["300 ms", "1.1 s"]
    assert stage.cell(0, "status") == "200 finished"
    assert stage.cell(0, "cost") == "$0.000136"
    assert "not priced" in stage.cell(0, "cost", TIP)
    assert stage.cell(0, "answer") == "From nine to five."


@pytest.mark.parametrize(("reason", "icon"), [("stop", "check"), ("length", "warn")])
async def test_icon_of_an_answer_with_a_warning_is_another_one(stage: Stage, reason: str, icon: str) -> None:
    await keep(stage.log, show.of("When?"), answered(reason=reason))
    await stage.shown(1)
    row = stage.pane.model.row(0)
    assert row is not None
    assert status_icon(row)[0] == icon


async def test_the_prefix_column_compares_the_report_with_the_forecast(stage: Stage) -> None:
    for name, forecast in (("far", 100.0), ("above", 1_300.0), ("near", 1_136.0), ("none", None)):
        sent = show.of(name)
        expected = None if forecast is None else Forecast(forecast, 0.0, 1_300.0, 1_204.0, "a range")
        sent = replace(sent, forecast=expected)
        await keep(stage.log, sent, answered())
        await stage.log.set_explanation(sent.run_id, {})
    await stage.shown(4)
    assert before_its_details(stage, "prefix") == "", "an explanation that is not read yet is not unknown"
    await stage.until(lambda: all(stage.cell(row, "prefix") for row in range(4)), "explanations")
    told = [stage.cell(row, "prefix") for row in range(4)]
    assert told == ["no miss", "as forecast", "148 under forecast", "1,052 over forecast"]
    assert "≈ 100" in stage.cell(3, "prefix", TIP)


async def test_the_prefix_column_follows_a_corrected_explanation(stage: Stage) -> None:
    sent = show.of("Lost")
    await keep(stage.log, sent, answered())
    first: dict[str, Json] = {"kind": "server", "cause": "server", "reason": "lost", "sentence": "Lost."}
    await stage.log.set_explanation(sent.run_id, first)
    await stage.shown(1)
    await stage.until(lambda: "Lost." in str(stage.cell(0, "prefix", TIP)), "the explanation")
    corrected: dict[str, Json] = {**first, "sentence": "Lost. Corrected: off.", "revised_by": "later", "kept": True}
    await stage.log.set_explanation(sent.run_id, corrected)
    await stage.until(lambda: "Corrected: off." in str(stage.cell(0, "prefix", TIP)), "the correction")


async def test_zero_cached_is_zero_and_no_usage_is_unknown(stage: Stage) -> None:
    await keep(stage.log, show.of("Silent"), answered(usage=None))
    await keep(stage.log, show.of("Cold"), answered(usage=Usage(1206, 91, 1297, 0)))
    await stage.shown(2)
    assert (stage.cell(0, "cached"), stage.cell(1, "cached")) == ("0", "—")
    assert stage.cell(1, "cached", TIP) == NOT_REPORTED
    assert stage.cell(1, "cost") == "—"


async def test_a_stopped_request_is_estimated_where_it_can_be(stage: Stage) -> None:
    await keep(stage.log, show.of("Stop"), stopped("Let me look into that for you, it takes a moment"))
    await stage.shown(1)
    assert stage.cell(0, "status") == "200 stopped"
    assert stage.cell(0, "in") == "≈ 1,204"
    await stage.until(lambda: stage.cell(0, "out").startswith("≈ "), "the estimate for the received part")
    assert 5 <= int(stage.cell(0, "out").removeprefix("≈ ")) <= 25
    assert "no usage was reported" in stage.cell(0, "out", TIP)
    assert stage.cell(0, "cached") == "—"
    assert "ended before" in stage.cell(0, "cached", TIP)
    assert stage.cell(0, "cost") == "—"


async def test_input_is_estimated_only_if_a_server_began_to_answer(stage: Stage) -> None:
    broken = [AttemptStarted(0.0, 1), *stopped("Let me look")[1:-1], AttemptFailed(0.5, cut_error())]
    await keep(stage.log, show.of("Cut"), broken)
    await keep(stage.log, show.of("Refused"), refused(429))
    await keep(stage.log, show.of("No net"), show.unreachable())
    await stage.shown(3)
    assert [stage.cell(row, "in") for row in range(3)] == ["—", "—", "≈ 1,204"]


async def test_a_long_stopped_answer_is_estimated_whole(stage: Stage) -> None:
    await keep(stage.log, show.of("Stop"), stopped("word " * 2000))  # the row itself carries 200 characters
    await stage.shown(1)
    await stage.until(lambda: stage.cell(0, "out") != "—", "the estimate")
    assert int(stage.cell(0, "out").removeprefix("≈ ").replace(",", "")) > 1000


async def test_every_attempt_is_in_the_status(stage: Stage) -> None:
    await keep(stage.log, show.of("Again"), show.answered_at_last())
    await stage.shown(1)
    await stage.until(lambda: "→" in stage.cell(0, "status"), "the attempt before")
    assert stage.cell(0, "status") == "503 → 200 finished"
    assert stage.cell(0, "status", TIP).startswith("2 attempts")
    assert stage.cell(0, "request_id") == show.SECOND_ID
    assert stage.cell(0, "status", int(Qt.ItemDataRole.AccessibleTextRole)) == "status: 503 then 200 finished"


async def test_the_attempts_are_painted_when_they_have_come(stage: Stage) -> None:
    await keep(stage.log, show.of("Again"), show.answered_at_last())
    painted: list[str] = []
    stage.pane.model.dataChanged.connect(lambda *_: painted.append(stage.cell(0, "status")))
    await stage.shown(1)
    await stage.until(lambda: "503 → 200 finished" in painted, "a repaint with the attempts in it")


async def test_the_same_refusal_again_and_again_is_counted(stage: Stage) -> None:
    tries = [show.failed_attempt(503), show.failed_attempt(503), show.failed_attempt(502)]
    events = [*(event for one in tries for event in one), *refused(503)]
    await keep(stage.log, show.of("Again"), events)
    await stage.shown(1)
    assert before_its_details(stage, "status") == "503"
    await stage.until(lambda: "→" in stage.cell(0, "status"), "the attempts before")
    assert stage.cell(0, "status") == attempts_text(fold(events)) == "503 ×2 → 502 → 503"


async def test_the_output_is_unknown_until_a_text_comes(stage: Stage) -> None:
    await show.leave(stage.log, show.of("Now"), [AttemptStarted(0.0, 1)])
    await stage.shown(1)
    live = [LiveRequests(fold([AttemptStarted(0.0, 1)]), 1.0, tokens, "") for tokens in (0.0, 3.0)]
    assert [before_its_details(stage, "out", RowDetail(live=one)) for one in live] == ["—", "≈ 3"]


async def test_the_output_without_a_report_is_estimated_also_of_a_finished_answer(stage: Stage) -> None:
    events: list[AnyEvent] = [AttemptStarted(0.0, 1), ContentDelta(0.2, "Let me look into that for"), Completed(0.5)]
    await keep(stage.log, show.of("Whole"), events)
    await stage.shown(1)
    await stage.until(lambda: stage.cell(0, "out") == "≈ 6", "the estimate")
    assert output_figure(fold(events), "").text == "≈ 6"


async def test_a_request_that_waits_to_be_sent_again_names_what_failed(stage: Stage) -> None:
    await show.leave(stage.log, show.of("Again"), show.failed_attempt(429))
    await stage.shown(1)
    assert stage.cell(0, "status") == "429 → retrying…"


async def test_a_request_that_runs_is_not_said_to_have_ended(stage: Stage) -> None:
    await show.leave(stage.log, show.of("Now"), [AttemptStarted(0.0, 1)])
    await stage.shown(1)
    assert stage.cell(0, "status") == "running…"
    assert stage.cell(0, "in", TIP) == (
        "Estimated on this machine before sending. Not reported yet: the request is still going on"
    )
    assert stage.cell(0, "request_id", TIP) == "No headers have come yet"
    assert stage.cell(0, "total", TIP) == "Not ended"


async def test_failed_requests_show_status_and_title(stage: Stage) -> None:
    await keep(stage.log, show.of("Many"), refused(429))
    await keep(stage.log, show.of("No net"), show.unreachable())
    await stage.shown(2)
    assert (stage.cell(0, "status"), stage.cell(1, "status")) == ("failed", "429")
    assert (stage.cell(0, "answer"), stage.cell(1, "answer")) == (
        "The server cannot be reached",
        "Too many requests",
    )
    assert stage.cell(0, "request_id") == "—"
    for row in (0, 1):
        assert [stage.cell(row, title) for title in ("in", "cached", "out", "cost")] == ["—"] * 4


async def test_an_interrupted_request_says_so(stage: Stage, tmp_path: Path) -> None:
    died = await RequestLog.open(tmp_path / "other")
    events: list[AnyEvent] = [
        AttemptStarted(0.0, 1),
        HeadersReceived(0.1, 200, "id-1", ""),
        ContentDelta(0.2, "One moment"),
    ]
    await show.leave(died, show.of("Killed"), events)
    await died.close()
    again = await RequestLog.open(tmp_path / "other")
    stage.pane.set_source(again)
    await stage.rows(1)
    await stage.until(lambda: stage.cell(0, "out") != "—", "the estimate for the received part")
    assert stage.cell(0, "status") == "200 interrupted"
    assert stage.cell(0, "status", TIP).startswith("The program ended before the request did")
    assert stage.cell(0, "out").startswith("≈ ")
    assert stage.cell(0, "total", TIP).endswith("the end time is unknown")
    stage.pane.set_source(None)
    await again.close()


async def test_tool_calls_stand_for_a_missing_answer(stage: Stage) -> None:
    await keep(stage.log, show.of("Book"), called())
    await stage.shown(1)
    assert stage.cell(0, "answer") == "calls book_visit"


async def test_without_rates_there_is_no_cost(stage: Stage) -> None:
    await keep(stage.log, show.of("Free", rates=Rates()), answered())
    await stage.shown(1)
    assert stage.cell(0, "cost") == "—"
    assert stage.cell(0, "cost", TIP).startswith("Not priced")


async def test_times_are_local_and_the_tooltip_has_utc(stage: Stage) -> None:
    kept = show.of("Now")
    old = replace(show.of("Old"), started_utc=kept.started_utc.replace(year=kept.started_utc.year - 2, month=6, day=15))
    await keep(stage.log, old, answered())
    await keep(stage.log, kept, answered())
    await stage.shown(2)
    assert stage.cell(0, "time") == f"{kept.started_utc.astimezone():%H:%M:%S}"
    assert stage.cell(0, "time", TIP).startswith(f"{kept.started_utc:%Y-%m-%d %H:%M:%S}.")
    assert " UTC" in stage.cell(0, "time", TIP)
    assert stage.cell(1, "time") == f"{old.started_utc.astimezone():%Y-%m-%d}"


async def test_figures_stand_right_and_color_follows_the_theme(stage: Stage) -> None:
    await keep(stage.log, show.of("When?"), answered())
    await stage.shown(1)
    for title in FIGURES:
        assert stage.cell(0, title, int(Qt.ItemDataRole.TextAlignmentRole)) & Qt.AlignmentFlag.AlignRight
    color = int(Qt.ItemDataRole.ForegroundRole)
    assert stage.cell(0, "cached", color) == load_theme("light").warm_edge
    assert stage.cell(0, "status", color) is None
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    apply_colors(application, load_theme("dark"))
    assert stage.cell(0, "cached", color) == QColor(load_theme("dark").warm_edge)
    apply_colors(application, load_theme("light"))


async def test_unknown_is_read_out_as_unknown(stage: Stage) -> None:
    await keep(stage.log, show.of("Stop"), stopped())
    await stage.shown(1)
    spoken = int(Qt.ItemDataRole.AccessibleTextRole)
    assert stage.cell(0, "cached", spoken) == "cached: unknown"
    assert stage.cell(0, "in", spoken) == "in: about 1,204"


def test_the_bar_of_more_cached_tokens_than_the_prompt_has_is_empty(qapp: QApplication) -> None:
    theme, filled = current_theme(), []
    for share in (0.5, 1.0, 50.0):
        image = QImage(BAR_PX, 20, QImage.Format.Format_RGB32)
        painter = QPainter(image)
        paint_cached_bar(painter, 0, 10, share)
        painter.end()
        filled.append(sum(image.pixelColor(x, 10) == theme.warm_edge for x in range(BAR_PX)))
    assert filled == [BAR_PX / 2, BAR_PX, 0]
