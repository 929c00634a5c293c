"""What can be done with recorded requests in Recorder mode: pause, filter, difference, leaks, and one request."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel

from playground.cli.selftest import UiDriver
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.miss_sentences import Candidate
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.records import LogRow
from playground.runs.record import read_explanation
from playground.ui.recorder.programs import LeaksPanel
from playground.ui.recorder.table import ASKS
from playground.ui.session import Session
from playground.ui.theme import scaled
from playground.ui.widgets.row_table import PAD_PX, REQUEST_ROW_PX
from playground.ui.widgets.tab_bar import PaneTabs
from tests.conftest import PATIENCE_S
from tests.ui.recorder.test_recorder_mode import analysed, body, ended, post, record, recording


async def test_recorder_mode_paused_keeps_rows_counts_arrivals_and_records_on(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    first = await record(recorder, hand, 2)
    QTest.mouseClick(recorder.tools.pause, Qt.MouseButton.LeftButton)
    assert recorder.tools.pause.text() == "Resume"
    later = [(await post(recorder, body(number))).headers["x-request-id"] for number in (2, 3)]
    await hand.until(lambda: "2 new requests" in page.paused.words, "the count")
    assert [row.request_id for row in page.model.rows] == first[::-1]
    page.paused.press("Resume")
    await hand.until(lambda: ended(recorder, 4), "all rows")
    assert not page.paused.isVisible()
    assert [row.request_id for row in page.model.rows] == [*later[::-1], *first[::-1]]
    assert recorder.tools.pause.text() == "Pause"


async def test_recorder_mode_filter_lists_matches_and_says_what_is_wrong(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    await record(recorder, hand, 2)
    await post(recorder, body(2), **{"X-Simulate": "503"})
    await hand.until(lambda: ended(recorder, 3), "the rows")
    page.filter_line.setText("status:503")
    await hand.until(lambda: len(page.model.rows) == 1, "the failed request")
    assert page.model.rows[0].status == 503
    assert "1 request · hit rate —" in page.summary.text()
    page.filter_line.setText("source:window")
    await hand.until(page.no_match.isVisible, "no match")
    assert not page.table.isVisible()
    page.filter_line.setText("status:abc")
    await hand.until(page.wrong.isVisible, "the reason")
    assert page.filter_line.accessibleDescription() == page.wrong.text()
    page.no_match.clear_button.click()
    await hand.until(lambda: len(page.model.rows) == 3, "all rows")
    assert not page.wrong.isVisible()
    page.filter_line.setText("is:failed")
    await hand.until(lambda: len(page.model.rows) == 1, "the failed request")
    await post(recorder, body(3), **{"X-Simulate": "503"})
    await hand.until(lambda: len(page.model.rows) == 2, "the next failed request, live")


async def test_recorder_mode_selected_request_shows_its_difference_from_the_one_before(
    session: Session, hand: UiDriver
) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    await record(recorder, hand, 3)
    await hand.until(lambda: analysed(recorder) == 3, "the analysis")
    page.table.selectRow(0)
    await hand.until(lambda: page.strip.compared is not None, "the difference")
    compared = page.strip.compared
    assert compared is not None
    assert (compared.row, compared.earlier) == (page.model.rows[0], page.model.rows[1])
    assert compared.within == "program"
    one, other = (str(body(number)["messages"][0]["content"]) for number in (1, 2))
    character = next(at for at, pair in enumerate(zip(one, other, strict=True), 1) if pair[0] != pair[1])
    assert compared.difference.place == f"system message 1, line 1, character {character}"
    signs = [(piece.sign, piece.text) for piece in compared.pieces if piece.sign != "same"]
    assert tuple(sign for sign, _ in signs[:2]) == ("gone", "come")
    prompt = compared.row.prompt_tokens
    assert prompt is not None
    assert compared.difference.shared_tokens + compared.difference.repeated_tokens < prompt
    assert page.strip.isVisible()
    QTest.keyClick(page.table, Qt.Key.Key_P)
    await hand.until(lambda: page.strip.compared not in (compared, None), "the difference of the request before")
    assert page.table.current_row() == page.model.rows[1]
    page.table.selectRow(2)
    await hand.until(lambda: not page.strip.isVisible(), "nothing before the first request")


async def test_recorder_mode_leak_lists_its_requests_and_totals_after_the_fix(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    await record(recorder, hand, 4)
    await hand.until(lambda: analysed(recorder) == 4 and bool(page.leaks.leaks), "the leak")
    panel: LeaksPanel = page.leaks
    saved = page.analysis.saved(None)
    assert saved is not None
    reported = [(row.prompt_tokens or 0, row.cached_tokens or 0) for row in page.model.rows]
    before = sum(cached for _, cached in reported) / sum(prompt for prompt, _ in reported)
    assert saved.hit_rate == pytest.approx(before)
    shown = panel.totals.figures["served from cache"].text()
    assert shown.startswith(f"{before * 100:.1f} % → ≈ ")
    inside, least = panel.widget(), page.tabs.minimumWidth()
    assert inside is not None
    # In the narrowest window nothing is cut at the right edge.
    assert inside.minimumSizeHint().width() <= least
    panel.cards[0].requests.click()
    assert [row.run_id for row in page.model.rows] == list(panel.leaks[0].run_ids)[::-1]
    assert len(page.model.rows) == 3
    assert page.scope.isVisible()
    page.scope.click()
    assert len(page.model.rows) == 4


async def test_recorder_mode_request_is_sent_again_compared_and_made_a_ticket_by_keyboard(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    recorder = await recording(session, hand)
    page = recorder.page
    await record(recorder, hand, 2)
    await hand.until(lambda: analysed(recorder) == 2, "the analysis")
    page.take_focus()
    QTest.keyClick(page.table, Qt.Key.Key_C)
    await hand.until(lambda: window.modes.current == "compare" and len(window.compare.slots) == 2, "two columns")
    window.modes.show_mode("recorder")
    QTest.keyClick(page.table, Qt.Key.Key_S)
    await hand.until(lambda: window.answers.log_paths.work.dialog is not None, "the ticket")
    window.modes.show_mode("recorder")
    QTest.keyClick(page.table, Qt.Key.Key_R)
    await hand.until(lambda: window.requests.running, "the request")
    assert window.modes.current == "prompt"
    await hand.until(lambda: not window.requests.running, "its end")


async def test_recorder_mode_hidden_reads_nothing_and_catches_up(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    await record(recorder, hand, 1)
    assert recorder._timer.isActive()
    session.window.modes.show_mode("prompt")
    assert not recorder._timer.isActive()
    await post(recorder, body(1))
    log = session.workspace.log
    assert log is not None
    async with asyncio.timeout(PATIENCE_S):
        while sum(row.phase == "done" for row in await log.page(EVERYTHING)) < 2:  # noqa: ASYNC110 - no event for the log of another process
            await asyncio.sleep(0.01)
    assert len(recorder.page.model.rows) == 1
    session.window.modes.show_mode("recorder")
    await hand.until(lambda: ended(recorder, 2), "both rows")


async def test_recorder_mode_unrecorded_requests_are_counted_until_dismissed(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    notice = recorder.page.notice
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(2):
            await client.post(f"{recorder.tools.url.text()}/chat/completions", content=b"no JSON")
    await hand.until(lambda: "2 requests are not recorded" in notice.words, "the count")
    notice.press("Dismiss")
    assert not notice.isVisible()


async def test_recorder_mode_without_a_log_says_that_nothing_is_recorded(session: Session, hand: UiDriver) -> None:
    log, session.workspace.log = session.workspace.log, None
    session.workspace.log_notice = "The log is of a newer version."
    try:
        session.window.actions_table["mode_recorder"].trigger()
        notice = session.window.recorder.page.notice
        await hand.until(notice.isVisible, "the notice")
        assert "nothing is recorded" in notice.words
        assert "newer version" in notice.words
        session.workspace.log = log
        await hand.until(lambda: not notice.isVisible(), "no notice with a log")
    finally:
        session.workspace.log = log


async def test_recorder_mode_without_a_selected_row_asks_to_select_one(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    ids = await record(recorder, hand, 1)

    def shown() -> list[str]:
        found = []
        for tab in (page.request, page.inspector):
            page.tabs.setCurrentWidget(tab)
            found.append(" ".join(label.text() for label in tab.findChildren(QLabel) if label.isVisibleTo(tab)))
        return found

    unselected = [
        "Select a request to see its messages, tools, parameters and exact body.",
        "Select a request to see its figures.",
    ]
    page.table.clearSelection()
    assert shown() == unselected
    page.table.selectRow(0)
    await hand.until(lambda: page.inspector.id.id.displayed == ids[0], "the request")
    assert not set(unselected) & set(shown())
    page.table.clearSelection()
    await hand.until(lambda: page.request.sent is None, "no request")
    assert shown() == unselected


async def test_recorder_mode_window_actions_act_on_the_selected_recorded_request(
    session: Session, hand: UiDriver
) -> None:
    window, actions = session.window, session.window.actions_table
    window.resize(1280, 800)
    recorder = await recording(session, hand)
    page = recorder.page
    ids = await record(recorder, hand, 2)
    page.table.selectRow(1)
    actions["copy_request_id"].trigger()
    assert QGuiApplication.clipboard().text() == ids[0]
    page.more.menu().aboutToShow.emit()
    entries = page.more.menu().actions()
    assert [entry.isEnabled() for entry in entries] == [True] * len(ASKS)
    next(entry for entry in entries if entry.text().startswith("Select the request before")).trigger()
    actions["filter_log"].trigger()
    assert window.focusWidget() is page.filter_line
    page.tabs.setCurrentWidget(page.request)
    await hand.until(lambda: page.request.sent is not None, "the request")
    assert page.request.sent is not None
    assert "Question 0?" in page.request.sent.text
    page.tabs.setCurrentWidget(page.inspector)
    page.table.selectRow(0)
    await hand.until(lambda: page.request.sent is not None and "Question 1?" in page.request.sent.text, "the other")
    assert page.inspector.id.id.displayed == ids[1]
    seen = []
    for _ in range(3):
        actions["next_pane"].trigger()
        seen.append(window.focusWidget())
    assert seen == [page.tabs.tabBar(), page.programs, page.table]
    window.modes.show_mode("prompt")
    actions["filter_log"].trigger()
    assert window.focusWidget() is window.log.filter_line


async def test_recorder_mode_window_of_1000_px_shows_all_tabs_whole(session: Session, hand: UiDriver) -> None:
    session.window.resize(1000, 700)
    recorder = await recording(session, hand)
    await record(recorder, hand, 4)
    page = recorder.page
    await hand.until(lambda: analysed(recorder) == 4, "the analysis")
    page.tabs.setCurrentWidget(page.inspector)
    page.table.selectRow(0)
    await hand.until(lambda: page.inspector.isVisible(), "the tab")
    assert session.window.width() == 1000
    bar = page.tabs.tabBar()
    assert isinstance(bar, PaneTabs)
    assert not bar.more.isVisible()
    assert bar.tabRect(bar.count() - 1).right() < bar.width()


async def test_recorder_mode_table_and_inspector_show_the_stored_cause_also_after_a_correction(
    session: Session, hand: UiDriver
) -> None:
    recorder = await recording(session, hand)
    page, log = recorder.page, session.workspace.log
    assert log is not None
    for order in ("roam bill cancel plan", "bill plan roam cancel", "plan cancel bill roam", "roam plan cancel bill"):
        functions = [{"name": name, "description": f"Return the {name} of a caller. " * 12} for name in order.split()]
        tools = [{"type": "function", "function": function} for function in functions]
        await post(recorder, body(0, tools=tools))
    await hand.until(lambda: ended(recorder, 4) and analysed(recorder) == 4, "the requests and their analysis")
    await hand.until(lambda: all(page.model.index(at, 6).data() not in ("", "—") for at in range(4)), "the causes")
    page.tabs.setCurrentWidget(page.inspector)

    async def shown(row: LogRow) -> tuple[str, MissExplanation | None]:
        page.select(row.run_id)
        await hand.until(lambda: page.inspector.id.id.displayed == row.request_id, "the request")
        return str(page.model.index(page.model.rows.index(row), 6).data()), page.inspector.why._why

    for row in list(page.model.rows):
        cause, why = await shown(row)
        stored = await log.explanations([row.number])
        assert why == read_explanation(stored[row.number])
        assert why is not None
        assert cause == why.title[:1].lower() + why.title[1:]
    first = page.model.rows[0]  # one that a leak has made expensive
    _, why = await shown(first)
    assert why is not None
    recorder._follow.details.pop(first.run_id)  # it is read as if the server had given several reasons
    several = replace(why, cause="server", candidates=(Candidate("restart"), Candidate("bypassed")))
    await log.set_explanation(first.run_id, msgspec.to_builtins(several))
    await hand.until(lambda: page.inspector.why._why == several, "the explanation")
    assert page.model.index(0, 6).data().lower() == several.title.lower()
    session.window.modes.show_mode("prompt")
    table = session.window.log.model
    headers = [table.headerData(at, Qt.Orientation.Horizontal) for at in range(table.columnCount())]

    def logged() -> str:
        return str(table.index(0, headers.index("Prefix")).data()).lower()

    await hand.until(lambda: logged() == several.title.lower(), "the cause in the log")
    corrected = replace(several, kept=True, sentence=f"{why.sentence} Corrected.")
    await log.set_explanation(first.run_id, msgspec.to_builtins(corrected))  # as the recording process does
    await hand.until(lambda: logged() == corrected.title.lower(), "the correction in the log")
    session.window.modes.show_mode("recorder")
    await hand.until(lambda: page.inspector.why._why == corrected, "the correction")
    assert page.model.index(0, 6).data() == "probably cached, yet not served"


async def test_recorder_mode_in_text_of_200_percent_fits_860_px_with_requests_a_leak_and_a_notice(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    recorder = await recording(session, hand)
    await record(recorder, hand, 4)
    page = recorder.page
    await hand.until(lambda: analysed(recorder) == 4, "the leak")
    session.workspace.settings.set("zoom", 200)
    await hand.until(lambda: page.table.rowHeight(0) > 40, "large text")
    page.leaks.cards[0].requests.click()
    page.notice.show_message("The Recorder did not start. Port 8788 is in use.", [(name, str) for name in NOTICE])
    await hand.until(lambda: page.scope.isVisible() and page.notice.isVisible(), "filter and notice")
    window.resize(860, 700)
    await hand.until(lambda: window.width() == 860, "860 px")
    assert window.minimumSizeHint().width() <= 860
    assert recorder.tools.url.font().pixelSize() == 24
    assert not page.table.isColumnHidden(2)
    session.workspace.settings.set("zoom", 100)
    await hand.until(lambda: page.table.rowHeight(0) < 40, "small text")


NOTICE = ("Try again", "Use a free port", "Dismiss")


async def test_recorder_mode_narrow_window_has_the_programs_in_a_tab(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    await record(recorder, hand, 2)
    page, window = recorder.page, session.window
    window.resize(1280, 800)
    await hand.until(lambda: page.tabs.indexOf(page.programs) == -1, "the wide page")
    page.programs.setFocus()
    window.resize(900, 600)
    await hand.until(lambda: page.tabs.currentWidget() is page.programs, "the tab")
    assert window.focusWidget() is page.programs
    window.actions_table["next_pane"].trigger()
    assert window.focusWidget() is page.table
    window.resize(1280, 800)
    await hand.until(lambda: page.tabs.indexOf(page.programs) == -1, "the wide page")
    assert page.programs.isVisible()


@pytest.mark.parametrize(("zoom", "rows"), [(100, 6), (150, 3)])
async def test_recorder_mode_at_900_by_600_px_shows_whole_headings_rows_and_the_place_of_the_difference(
    session: Session, hand: UiDriver, zoom: int, rows: int
) -> None:
    recorder = await recording(session, hand)
    await record(recorder, hand, 2)
    page = recorder.page
    try:
        session.workspace.settings.set("zoom", zoom)
        session.window.resize(900, 600)
        page.table.selectRow(0)
        await hand.until(page.strip.isVisible, "the difference")
        await hand.until(lambda: page.table.rowHeight(0) == scaled(REQUEST_ROW_PX), "the text size")
        await hand.until(lambda: page.table.viewport().height() >= rows * page.table.rowHeight(0), "the rows")
        assert page.bars.isVisible() == (zoom == 100), "the rows have the room of the bars"
        assert page.strip.compared is not None
        assert page.strip.compared.difference.place in page.strip.note.text()
        session.window.resize(1920, 1080)
        await hand.until(page.strip.place.isVisible, "the place beside the title")
        assert page.strip.compared.difference.place not in page.strip.note.text()
        session.window.resize(900, 600)
        await hand.until(page.strip.place.isHidden, "the place in the note")
        header = page.table.horizontalHeader()
        shown = [column for column in range(7) if not page.table.isColumnHidden(column)]
        assert shown == ([0, 1, 2, 4, 6] if zoom == 100 else [1, 2, 6])
        room = {column: page.table.columnWidth(column) - 2 * scaled(PAD_PX) for column in shown}
        needed = {column: header.fontMetrics().horizontalAdvance(page.model.titles[column]) for column in shown}
        assert {column: px for column, px in needed.items() if px > room[column]} == {}
    finally:
        session.workspace.settings.set("zoom", 100)  # of all windows of the process
    await hand.until(lambda: page.table.rowHeight(0) == REQUEST_ROW_PX, "the text size of other tests")
