"""The pane: found by filter, kept chosen by request, moved through by key, never without words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from playground.prefix_cache.miss_explanation import MissExplanation, MissPosition
from playground.prompt.document import Json
from playground.requestlog.filter import EVERYTHING, LogFilter
from playground.requestlog.log import RequestLog
from playground.requestlog.records import Count, Found, LogRow, StoredRun, Totals
from playground.runs.state import fold
from playground.ui.controllers.log import NARROW_DROPS, ColumnLayout
from playground.ui.panes.log import model
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.panes.log.details import Details
from playground.ui.panes.log.model import PAGE
from playground.ui.panes.log.pane import COPY, COPY_UNSEEN, NO_MATCH, NOTHING_YET, OPENING, SEARCHING
from tests.requestlog.samples import answered, keep, refused
from tests.ui.panes.log import rows_on_show as show
from tests.ui.panes.log.conftest import Stage


class Counting:
    """A real log with its calls and subscribers. While `open` is not set it does not answer."""

    def __init__(self, log: RequestLog) -> None:
        self._log = log
        self.firsts: list[int] = []
        self.counts = 0
        self.listeners = 0
        self.open = asyncio.Event()
        self.open.set()

    def subscribe(self, callback: Callable[[str], None], /) -> Callable[[], None]:
        self.listeners += 1
        unsubscribe = self._log.subscribe(callback)

        def leave() -> None:
            self.listeners -= 1
            unsubscribe()

        return leave

    async def count(self, log_filter: LogFilter, up_to: int | None = None, /) -> Count:
        self.counts += 1
        await self.open.wait()
        return await self._log.count(log_filter, up_to)

    def stop_counting(self) -> None:
        self._log.stop_counting()

    async def rows_at(self, log_filter: LogFilter, first: int, limit: int = PAGE, /) -> list[LogRow]:
        self.firsts.append(first)
        return await self._log.rows_at(log_filter, first, limit)

    async def search(self, log_filter: LogFilter, before: int | None = None, limit: int = PAGE, /) -> Found:
        self.firsts.append(0)
        return await self._log.search(log_filter, before, limit)

    async def totals(self, log_filter: LogFilter, /) -> Totals:
        return await self._log.totals(log_filter)

    async def explanations(self, numbers: Sequence[int], /) -> dict[int, Json]:
        return await self._log.explanations(numbers)

    async def members(self, numbers: Sequence[int], /) -> list[int]:
        return await self._log.members(numbers)

    async def numbers(self, log_filter: LogFilter, /) -> Sequence[int]:
        return await self._log.numbers(log_filter)

    async def request_ids(self, chosen: LogFilter | Sequence[int], /) -> list[str]:
        return await self._log.request_ids(chosen)

    async def get(self, run_id: str, /) -> StoredRun | None:
        return await self._log.get(run_id)


async def started() -> None:
    """Let all started tasks take their first step."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_empty_states_have_words(stage: Stage) -> None:
    pane = stage.pane
    assert pane.empty.words.text() == OPENING
    pane.set_source(None, "The folder cannot be written.")
    assert pane.empty.words.text() == "The folder cannot be written."
    pane.set_source(stage.log)
    await stage.until(lambda: pane.empty.words.text() == NOTHING_YET, "the words for an empty log")
    assert pane.empty.isVisible()
    assert not pane.empty.clear_button.isVisible()
    assert not pane.copy_button.isEnabled()
    assert not pane.copy_request_id()
    await stage.until(lambda: pane.totals.text() == "0 requests · hit rate —", "the totals of nothing")


async def test_nothing_matches_and_the_button_that_clears(stage: Stage) -> None:
    await show.fill_plain(stage.log, 3)
    await stage.shown(3)
    stage.pane.focus_filter()
    QTest.keyClicks(stage.pane.filter_line, "nosuchword")
    await stage.rows(0)
    assert stage.pane.empty.words.text() == NO_MATCH
    button = stage.pane.empty.clear_button
    assert button.isVisible()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    await stage.rows(3)
    assert stage.pane.table.isVisible()
    assert stage.pane.filter_line.text() == ""


async def test_a_filter_finds_and_sums_up(stage: Stage) -> None:
    await show.fill(stage.log)
    await stage.shown(10)
    await stage.until(lambda: stage.pane.totals.text().startswith("10 requests · hit rate 63.8"), "all summed up")
    QTest.keyClicks(stage.pane.filter_line, "status:429")
    await stage.rows(1)
    assert stage.cell(0, "status") == "429"
    await stage.until(lambda: stage.pane.totals.text() == "1 request · hit rate —", "the one summed up")
    QTest.keyClick(stage.pane.filter_line, Qt.Key.Key_Escape)
    await stage.rows(10)


async def test_a_pasted_request_id_finds_its_request_by_any_attempt(stage: Stage) -> None:
    await show.fill(stage.log)
    await stage.shown(10)
    QGuiApplication.clipboard().setText(show.FIRST_ID)
    stage.pane.focus_filter()
    stage.pane.filter_line.paste()
    await stage.rows(1)
    assert stage.cell(0, "request_id") == show.SECOND_ID


async def test_a_bad_filter_says_so_and_leaves_the_rows(stage: Stage) -> None:
    await show.fill_plain(stage.log, 3)
    await stage.shown(3)
    line, wrong = stage.pane.filter_line, stage.pane.wrong
    QTest.keyClicks(line, "status:soon")
    QTest.keyClick(line, Qt.Key.Key_Return)  # at once, without the pause after typing
    assert wrong.isVisible()
    assert "status: needs a number or a range, not soon." in wrong.text()
    assert line.accessibleDescription() == wrong.text()
    assert stage.pane.model.rowCount() == 3
    line.clear()
    await stage.until(lambda: not wrong.isVisible(), "the sentence goes with its cause")
    assert stage.pane.model.rowCount() == 3


async def test_a_filter_holds_when_another_log_comes(stage: Stage) -> None:
    await show.fill(stage.log)
    stage.pane.filter_line.setText("status:429")
    QTest.keyClick(stage.pane.filter_line, Qt.Key.Key_Return)  # nothing is left to be applied later
    await stage.shown(1)
    assert stage.cell(0, "status") == "429"


async def test_the_choice_is_a_request_and_moves_with_it(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 4)
    await stage.shown(4)
    stage.pane.table.go_to(1)
    assert stage.pane.current_run_id() == ids[1]
    await show.fill_plain(stage.log, 3)  # the log tells the pane by itself
    await stage.rows(7)
    assert stage.pane.table.currentIndex().row() == 4
    assert stage.pane.current_run_id() == ids[1]


async def test_the_choice_survives_filters_that_keep_it_and_that_hide_it(stage: Stage) -> None:
    kept = show.of("Many")
    await keep(stage.log, kept, refused())
    await show.fill_plain(stage.log, 5)
    await stage.shown(6)
    stage.pane.table.go_to(5)
    line = stage.pane.filter_line
    line.setText("status:429")
    await stage.rows(1)
    assert stage.pane.current_run_id() == kept.run_id
    line.setText("status:200")
    await stage.rows(5)
    assert stage.pane.current_run_id() is None
    line.clear()
    await stage.rows(6)
    assert stage.pane.current_run_id() == kept.run_id
    assert stage.pane.table.currentIndex().row() == 5


async def test_the_choice_survives_deletions_above_it(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 5)
    await stage.shown(5)
    stage.pane.table.go_to(4)
    await stage.log.delete(ids[:2])
    await stage.rows(3)
    assert stage.pane.current_run_id() == ids[4]
    await stage.log.delete([ids[4]])
    await stage.rows(2)
    assert stage.pane.current_run_id() is None


async def test_rows_further_down_stay_in_sight_when_new_ones_come(stage: Stage) -> None:
    await show.fill_plain(stage.log, 200)
    await stage.shown(200)
    table = stage.pane.table
    table.verticalScrollBar().setValue(100)
    await stage.until(lambda: stage.pane.model.row(table.rowAt(5)), "the rows there")
    row = stage.pane.model.row(table.rowAt(5))
    assert row is not None
    await show.fill_plain(stage.log, 3)
    await stage.rows(203)
    now = stage.pane.model.row(table.rowAt(5))
    assert now is not None
    assert now.run_id == row.run_id


async def test_a_new_filter_shows_from_the_newest_on(stage: Stage) -> None:
    await show.fill_plain(stage.log, 100)
    await keep(stage.log, show.of("Many"), refused())
    await stage.shown(101)
    bar = stage.pane.table.verticalScrollBar()
    bar.setValue(50)
    stage.pane.filter_line.setText("status:200")
    await stage.rows(100)
    assert bar.value() == 0


async def test_the_chosen_request_is_in_sight_when_the_filter_goes(stage: Stage) -> None:
    kept = show.of("Many")
    await keep(stage.log, kept, refused())
    await show.fill_plain(stage.log, 60)
    stage.pane.filter_line.setText("status:429")
    await stage.shown(1)
    stage.pane.take_focus()
    stage.pane.clear_filter()
    await stage.rows(61)
    table = stage.pane.table
    assert stage.pane.current_run_id() == kept.run_id
    assert table.viewport().rect().contains(table.visualRect(table.currentIndex()).center())


async def test_only_what_is_looked_at_is_read_and_a_place_far_down_comes(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 5 * PAGE + 5)
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))
    await stage.rows(len(ids))
    assert set(counting.firsts) == {0}
    stage.pane.take_focus()
    assert stage.cell(len(ids) - 1, "answer") == "…"
    QTest.keyClick(stage.pane.table, Qt.Key.Key_End)
    await stage.until(lambda: stage.pane.current_run_id() == ids[-1], "the oldest request")
    await show.fill_plain(stage.log, 1)
    await stage.rows(len(ids) + 1)
    assert stage.pane.current_run_id() == ids[-1]
    assert not {2 * PAGE, 3 * PAGE} & set(counting.firsts)


async def test_a_letter_on_the_rows_does_not_read_them_all(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 3 * PAGE)
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))
    await stage.rows(len(ids))
    stage.pane.take_focus()
    QTest.keyClick(stage.pane.table, Qt.Key.Key_X)
    await started()
    assert set(counting.firsts) == {0}


async def test_a_burst_of_changes_is_read_a_few_times_and_shown(stage: Stage) -> None:
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))
    await stage.until(lambda: counting.counts == 1, "the first look")
    for _ in range(1000):
        stage.pane.row_changed("any")
    await show.fill_plain(stage.log, 50)
    await stage.rows(50)
    assert counting.counts < 20


async def test_changes_that_never_pause_are_shown_all_the_same(stage: Stage) -> None:
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))

    def restless() -> bool:
        stage.pane.row_changed("any")
        return counting.counts >= 3

    await stage.until(restless, "a look in spite of change upon change")


async def test_what_is_asked_while_an_answer_is_waited_for_is_asked_once(stage: Stage) -> None:
    await show.fill_plain(stage.log, 2)
    counting = Counting(stage.log)
    counting.open.clear()
    stage.pane.set_source(cast("RequestLog", counting))
    await started()
    for _ in range(10):
        stage.pane.model.refresh()
        await started()
    assert counting.counts == 1
    counting.open.set()
    await stage.rows(2)
    await stage.until(lambda: counting.counts == 2, "the one look for all of them")


async def test_an_answer_that_comes_after_its_log_has_gone_is_not_shown(stage: Stage) -> None:
    await show.fill_plain(stage.log, 2)
    counting = Counting(stage.log)
    counting.open.clear()
    stage.pane.set_source(cast("RequestLog", counting))
    await started()
    stage.pane.set_source(None, "Closed.")
    counting.open.set()
    await stage.until(lambda: counting.firsts, "the rows being read")
    await stage.log.count(EVERYTHING)  # the log answers in turn: that answer has come
    await started()
    assert stage.pane.model.rowCount() == 0
    assert stage.pane.empty.words.text() == "Closed."


class Slow(Counting):
    """A log of which a step of a search finds one row when `step` is set; the first step finds none."""

    def __init__(self, log: RequestLog) -> None:
        super().__init__(log)
        self.step = asyncio.Event()

    async def search(self, log_filter: LogFilter, before: int | None = None, limit: int = PAGE, /) -> Found:
        if before is None:
            return Found([], 1 << 40)
        await self.step.wait()
        self.step.clear()
        found = await self._log.search(log_filter, before, 1)
        return replace(found, below=found.rows[-1].number if found.rows else None)


async def test_long_search_shows_that_nothing_is_found_so_far_and_then_rows_as_they_come(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "_SEARCHING_S", -1.0)
    await show.fill_plain(stage.log, 3)
    slow = Slow(stage.log)
    stage.pane.set_source(cast("RequestLog", slow))
    await stage.rows(3)
    counted = slow.counts
    stage.pane.filter_line.setText("status:200")
    await stage.until(lambda: stage.pane.empty.words.text() == SEARCHING, "the words for a search")
    assert not stage.pane.model.shows_filter
    for rows in (1, 2, 3):
        slow.step.set()
        await stage.rows(rows)
    slow.step.set()
    await stage.until(lambda: stage.pane.totals.text().startswith("3 requests"), "the sums at the end")
    await stage.until(lambda: stage.pane.model.shows_filter, "the end of the search")
    assert slow.counts == counted  # the search itself counted its rows


async def test_refreshing_without_end_still_shows_what_came(stage: Stage) -> None:
    await show.fill_plain(stage.log, 2)
    stage.pane.set_source(stage.log)

    def impatient() -> bool:
        stage.pane.model.refresh()  # before any answer can have come
        return stage.pane.model.rowCount() == 2

    await stage.until(impatient, "rows in spite of being asked again and again")


async def test_keys_move_open_and_copy(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 4)
    await stage.shown(4)
    pane, table = stage.pane, stage.pane.table
    opened: list[str] = []
    pane.table.open_asked.connect(opened.append)
    pane.take_focus()
    steps = [(Qt.Key.Key_J, 1), (Qt.Key.Key_Down, 2), (Qt.Key.Key_K, 1), (Qt.Key.Key_Up, 0), (Qt.Key.Key_K, 0)]
    for key, row in [*steps, (Qt.Key.Key_End, 3), (Qt.Key.Key_J, 3), (Qt.Key.Key_Home, 0), (Qt.Key.Key_J, 1)]:
        QTest.keyClick(table, key)
        assert table.currentIndex().row() == row
    QTest.keyClick(table, Qt.Key.Key_Return)
    assert opened == [ids[1]]
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == stage.cell(1, "request_id")


async def test_a_double_click_opens(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 3)
    await stage.shown(3)
    opened: list[str] = []
    stage.pane.table.open_asked.connect(opened.append)
    table = stage.pane.table
    place = table.visualRect(stage.pane.model.index(2, 1)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert opened == [ids[2]]


async def test_the_button_copies_says_so_and_knows_where_there_is_nothing(stage: Stage) -> None:
    await keep(stage.log, show.of("No net"), show.unreachable())
    await keep(stage.log, show.of("When?"), answered(request_id=show.SECOND_ID))
    await stage.shown(2)
    button = stage.pane.copy_button
    assert not button.isEnabled()  # none chosen, and none on display
    assert not stage.pane.copy_request_id()
    stage.pane.table.go_to(0)
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == show.SECOND_ID
    assert button.text() == "request_id copied"
    stage.pane.table.go_to(1)
    assert not button.isEnabled()
    assert button.toolTip() == "This request has no request_id"
    assert not stage.pane.copy_request_id()


async def test_copy_of_400_selected_rows_copies_400_request_ids_newest_first(stage: Stage) -> None:
    await show.fill_plain(stage.log, 400)
    await stage.shown(400)
    stage.pane.table.selectAll()
    assert stage.pane.copy_button.text() == "Copy 400 request_ids"
    QTest.mouseClick(stage.pane.copy_button, Qt.MouseButton.LeftButton)
    await stage.until(lambda: stage.pane.copy_button.text() == "400 request_ids copied", "the ids")
    copied = QGuiApplication.clipboard().text().split("\n")
    rows = await stage.log.rows_at(EVERYTHING, 0, 400)
    assert copied == [row.request_id for row in rows]
    assert len(set(copied)) == 400


async def test_selected_row_is_previewed_and_a_shown_row_is_marked_and_selected(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 4)
    await stage.shown(4)
    pane = stage.pane
    previewed: list[object] = []
    left: list[object] = []
    pane.previewed.connect(previewed.append)
    pane.table.left.connect(lambda: left.append(True))
    place = pane.table.visualRect(pane.model.index(2, 1)).center()
    QTest.mouseClick(pane.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert previewed == [ids[2]]
    pane.show_shown(ids[0], "shown-id")
    assert previewed == [ids[2]]
    assert pane.current_run_id() == ids[0]
    assert pane.copy_request_id()
    assert QGuiApplication.clipboard().text() == "shown-id"
    QTest.keyClick(pane.table, Qt.Key.Key_Escape)
    assert left == [True]


async def test_shown_request_that_is_not_in_the_log_yet_is_selected_when_it_comes(stage: Stage) -> None:
    await show.fill_plain(stage.log, 2)
    await stage.shown(2)
    record = show.of("new")
    stage.pane.show_shown(record.run_id, None)
    await keep(stage.log, record, answered())
    await stage.rows(3)
    assert stage.pane.current_run_id() == record.run_id


async def test_from_the_filter_down_to_the_rows(stage: Stage) -> None:
    await show.fill_plain(stage.log, 2)
    await stage.shown(2)
    stage.pane.focus_filter()
    QTest.keyClick(stage.pane.filter_line, Qt.Key.Key_Down)
    assert stage.pane.table.currentIndex().row() == 0


@pytest.mark.parametrize("stays", [True, False])
async def test_a_log_that_is_taken_away_is_no_longer_listened_to(stage: Stage, stays: bool) -> None:
    await show.fill_plain(stage.log, 2)
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))
    await stage.rows(2)
    assert counting.listeners == 1
    stage.pane.set_source(stage.log if stays else None, "Closed.")
    await stage.rows(2 if stays else 0)
    assert counting.listeners == 0


async def test_the_newest_rows_of_a_filter_come_before_they_are_counted(stage: Stage) -> None:
    await show.fill_plain(stage.log, PAGE * 2 + 5)
    counting = Counting(stage.log)
    stage.pane.set_source(cast("RequestLog", counting))
    await stage.rows(PAGE * 2 + 5)
    counting.open.clear()
    stage.pane.filter_line.setText("is:done")
    await stage.until(lambda: stage.pane.model.rowCount() == PAGE, "the newest rows, not counted yet")
    stage.pane.table.go_to(3)
    chosen = stage.pane.current_run_id()
    counting.open.set()
    await stage.rows(PAGE * 2 + 5)
    assert stage.pane.table.currentIndex().row() == 3
    assert stage.pane.current_run_id() == chosen


async def test_new_row_selected_by_the_program_while_ctrl_is_held_is_the_only_one(stage: Stage) -> None:
    await show.fill_plain(stage.log, 3)
    await stage.shown(3)
    table = stage.pane.table
    QTest.keyPress(table, Qt.Key.Key_Control, Qt.KeyboardModifier.ControlModifier)
    for row in (2, 1, 0):
        table.choose(row)
    QTest.keyRelease(table, Qt.Key.Key_Control)
    assert [index.row() for index in table.selectionModel().selectedRows()] == [0]


async def test_attempts_expanded_are_part_of_the_accessible_text(stage: Stage) -> None:
    await keep(stage.log, show.of("Hello?"), show.answered_at_last())
    await stage.shown(1)
    stage.pane.table.go_to(0)
    QTest.keyClick(stage.pane.table, Qt.Key.Key_Right)
    spoken = Qt.ItemDataRole.AccessibleTextRole
    await stage.until(lambda: "attempt 2" in stage.cell(0, "status", spoken), "the attempts")
    assert "attempt 1: 503" in stage.cell(0, "status", spoken)
    assert stage.cell(0, "time", spoken).startswith("time: ")
    QTest.keyClick(stage.pane.table, Qt.Key.Key_Left)
    assert "attempt 1" not in stage.cell(0, "status", spoken)


async def test_a_narrow_log_leaves_out_figures_and_keeps_the_layout(stage: Stage) -> None:
    await keep(stage.log, show.of("When?"), answered())
    await stage.shown(1)
    header = stage.pane.table.horizontalHeader()
    layout = ColumnLayout(header, lambda _text: None)

    def hidden() -> set[str]:
        return {
            column.title for number, column in enumerate(COLUMNS) if header.isSectionHidden(number) and column.shown
        }

    stage.pane.resize(1_500, 240)
    await stage.until(lambda: not hidden(), "all columns")
    stage.pane.resize(980, 240)
    await stage.until(lambda: hidden() == {"answer", "cost", "total", "TTFT"}, "what fits")
    assert layout.text() == ""
    stage.pane.resize(480, 240)
    await stage.until(lambda: hidden() == {*NARROW_DROPS}, "time, status and request_id")
    assert stage.pane.table.horizontalScrollBar().maximum() == 0
    assert header.sectionSize(2) >= COLUMNS[2].width
    assert layout.text() == ""
    stage.pane.resize(1_500, 240)
    await stage.until(lambda: not hidden(), "all columns again")
    assert [header.sectionSize(number) for number in (0, 1, 2)] == [column.width for column in COLUMNS[:3]]


async def test_prefix_column_shows_the_stored_explanation_and_the_error_of_a_failed_request(stage: Stage) -> None:
    first, second = show.of("One"), show.of("Two")
    await keep(stage.log, first, answered())
    await keep(stage.log, second, answered())
    place = MissPosition("message", 0, 1, 7, "2")
    missed = MissExplanation("differs", "The date differs.", cause="date", position=place)
    await stage.log.set_explanation(first.run_id, {})
    await stage.log.set_explanation(second.run_id, msgspec.to_builtins(missed))
    await keep(stage.log, show.of("Three"), refused())
    await stage.shown(3)
    await stage.until(lambda: stage.cell(2, "prefix") == "as forecast", "the first explanation")
    assert stage.cell(1, "prefix") == "date in message 1, line 1"
    assert stage.cell(1, "prefix", Qt.ItemDataRole.ToolTipRole) == "The date differs."
    assert (stage.cell(0, "prefix"), stage.cell(0, "answer")) == ("too many requests", "Too many requests")
    # An explanation that is stored after the row was displayed is read too.
    late = show.of("Four")
    await keep(stage.log, late, answered())
    await stage.shown(4)
    await stage.until(lambda: stage.cell(0, "prefix") == "—", "no explanation")
    await stage.log.set_explanation(late.run_id, {})
    await stage.until(lambda: stage.cell(0, "prefix") == "as forecast", "the explanation")


async def test_an_explanation_that_is_stored_during_a_read_is_displayed(stage: Stage) -> None:
    reading, stored = asyncio.Event(), asyncio.Event()

    async def slow(numbers: Sequence[int]) -> dict[int, Json]:
        found = await stage.log.explanations(numbers)
        reading.set()
        await stored.wait()
        return found

    request = show.of("Hello")
    await keep(stage.log, request, answered())
    (row,) = await stage.log.page(EVERYTHING)
    came: list[str] = []
    details = Details(lambda reads, _what: asyncio.ensure_future(reads), came.append)
    details.set_source(cast("RequestLog", SimpleNamespace(explanations=slow)))
    assert not details.of(row).explained
    await reading.wait()
    await stage.log.set_explanation(request.run_id, {})
    details.forget_unexplained(request.run_id)
    stored.set()
    await stage.until(lambda: came, "the details")
    assert details.of(row).explained


async def test_output_is_estimated_of_a_request_that_was_read_before_its_end_was_stored(stage: Stage) -> None:
    request, events = show.of("Hello"), answered(usage=None)
    await stage.log.begin(request)
    await stage.shown(1)
    for event in events:
        stage.log.note(request.run_id, event)
    await stage.until(lambda: stage.cell(0, "out") and stage.pane.model.details._known, "a row with all events")
    await stage.log.finish(request.run_id, fold(events))
    await stage.until(lambda: stage.cell(0, "out").startswith("≈"), "an estimate")


async def test_a_hidden_log_repaints_nothing(stage: Stage) -> None:
    running = stage.pane._live
    stage.pane.row_changed("one")
    assert running.isActive()
    stage.pane.hide()
    assert not running.isActive()
    stage.pane.row_changed("one")
    assert not running.isActive()


async def test_copy_button_names_a_request_on_display_that_the_filter_hides(stage: Stage) -> None:
    ids = await show.fill_plain(stage.log, 4)
    await stage.shown(4)
    pane = stage.pane
    pane.show_shown(ids[0], "shown-id")
    assert pane.copy_button.text() == COPY
    pane.filter_line.setText("status:500")
    await stage.shown(0)
    assert pane.copy_button.text() == COPY_UNSEEN
    pane.clear_filter()
    await stage.shown(4)
    assert pane.copy_button.text() == COPY


@pytest.mark.parametrize("duration_ms", [200, 0])
async def test_new_row_fades_unless_motion_is_reduced(stage: Stage, duration_ms: int) -> None:
    table = stage.pane.table
    await keep(stage.log, show.of("One"), answered())
    await stage.shown(1)
    table.setStyleSheet(f"QTableView {{ widget-animation-duration: {duration_ms}; }}")
    await keep(stage.log, show.of("Two"), answered())
    await stage.rows(2)
    assert table._fading.isActive() == bool(duration_ms)


@pytest.mark.parametrize("text", ["status:", "bogus:1", "in:abc"])
async def test_filter_that_cannot_be_read_marks_rows_as_those_of_the_last_valid_one(stage: Stage, text: str) -> None:
    pane = stage.pane
    await stage.shown(0)
    await stage.until(lambda: pane.totals.text(), "totals")
    valid = pane.totals.text()
    pane.filter_line.setText(text)
    QTest.keyClick(pane.filter_line, Qt.Key.Key_Return)
    await stage.until(lambda: pane.totals.text() == f"Last valid filter: {valid}", "the mark")
    assert pane.totals.isVisible()
    pane.filter_line.clear()
    await stage.until(lambda: pane.totals.text() == valid, "no mark")
