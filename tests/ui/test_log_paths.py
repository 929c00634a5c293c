"""Logged requests in the real window: found, unfolded, marked, compared, handed on, imported and deleted."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from PySide6.QtCore import QItemSelectionModel, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QInputDialog, QMenu, QMessageBox

from playground.cli.log import _line as log_line
from playground.cli.selftest import CONTROL, SHIFT, UiDriver
from playground.client.endpoint import PlanLimits
from playground.client.events import AnyEvent, AttemptStarted, RetryScheduled
from playground.export.pages import as_markdown
from playground.export.ticket import ticket
from playground.prefix_cache.miss_explanation import MissExplanation, MissPosition
from playground.prompt.document import Document, Json, Message
from playground.requestlog.filter import EVERYTHING, Order
from playground.requestlog.records import EndedRun
from playground.runs.metrics import output_figure
from playground.runs.record import read_explanation
from playground.ui.dialogs.settings import LogSizeDialog
from playground.ui.dialogs.ticket import TicketDialog
from playground.ui.panes.log.columns import COLUMNS, cause_cell
from playground.ui.panes.log.table import ATTEMPT_PX, DAY_PX
from playground.ui.session import Session
from playground.ui.theme import scaled
from playground.ui.widgets.row_table import REQUEST_ROW_PX
from tests.requestlog.samples import answered, body_of, record, refused

TITLES = [column.title for column in COLUMNS]


def _retried() -> list[AnyEvent]:
    later = [replace_at(event, 1.0) for event in answered(request_id="aaaa0000-1111-4222-8333-444455556666")]
    return [*refused(503), RetryScheduled(0.2, 2, 5, 0.8), AttemptStarted(1.0, 2), *later[1:]]


def replace_at(event: AnyEvent, by: float) -> AnyEvent:
    from msgspec.structs import replace as moved

    return moved(event, at=event.at + by)


async def _filled(session: Session, hand: UiDriver) -> list[str]:
    """Four requests of two days, the newest first; the second one was retried."""
    log = session.workspace.log
    assert log is not None
    events = [answered(request_id=f"{n:08x}-0000-4000-8000-000000000000") for n in range(4)]
    events[2] = _retried()
    runs = []
    for number, some in enumerate(events):
        kept = record(question=f"Question {number}", body=body_of(f"Question {number}", "Be kind."), minute=number)
        if number < 2:
            kept = replace(kept, started_utc=kept.started_utc - timedelta(days=1))
        runs.append(EndedRun(kept, tuple(some)))
    await log.add(runs)
    window = session.window
    await hand.until(lambda: window.log.model.rowCount() == 4 and window.log.model.row(0) is not None, "four rows")
    return [run.record.run_id for run in reversed(runs)]


def _dialog(kind: type) -> object | None:
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)


def _choose(session: Session, *rows: int) -> None:
    table = session.window.log.table
    table.setFocus()
    table.go_to(rows[0])
    for row in rows[1:]:
        flags = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        table.selectionModel().select(session.window.log.model.index(row, 0), flags)


def _cell(session: Session, row: int, title: str) -> str:
    model = session.window.log.model
    return str(model.data(model.index(row, TITLES.index(title))))


def _input_and_output(text: str) -> tuple[str, str]:
    """Return the two figures of a table in Markdown."""
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]*) \|$", text, re.MULTILINE))
    return rows["prompt tokens"], rows["completion tokens"]


async def test_tokens_of_a_request_without_usage_are_the_same_in_each_pane_and_copy(
    session: Session, hand: UiDriver
) -> None:
    for fault, asked, known in (
        ("stop", True, "≈"),  # first: no text of another request is displayed
        ("cut=8", True, "≈"),
        ("stream_error=8", True, "≈"),
        ("401", True, "—"),
        ("", False, "≈"),
    ):
        await _assert_same_tokens(session, hand, fault, asked, (known, known))
        session.window.modes.show_mode("prompt")


async def _assert_same_tokens(
    session: Session, hand: UiDriver, fault: str, asked: bool, known: tuple[str, str]
) -> None:
    window, log = session.window, session.workspace.log
    assert log is not None
    faults: dict[str, Json] = {"simulate": "stall=8" if fault == "stop" else fault} if fault else {}
    document = replace(window.prompt.document(), parameters={"max_tokens": 30, **faults}, include_usage=asked)
    window.prompt.set_document(document, undoable=True)
    before = window.requests.shown_run_id
    window.requests.send_or_stop()
    if fault == "stop":
        await hand.until(lambda: len(window.response.text_tab.text.toPlainText()) > 10, "text")
        window.requests.stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    run_id = window.requests.shown_run_id
    assert run_id is not None
    assert run_id != before

    def in_log() -> tuple[str, str]:
        return _cell(session, 0, "in"), _cell(session, 0, "out")

    await hand.until(lambda: tuple(figure[:1] for figure in in_log()) == known, "the figures of the row")
    figures = in_log()
    assert (window.inspector.usage.headline.text(), window.inspector.usage.rows["output"].value) == (
        f"{figures[0]} in",
        figures[1],
    )
    stored, row = await log.get(run_id), window.log.model.row(0)
    assert stored is not None
    assert row is not None
    assert _input_and_output(as_markdown(stored)) == _input_and_output(ticket(stored)) == figures
    line = log_line(row, output_figure(stored.state(), ""))
    assert f"in {figures[0]:>7} " in line
    assert f"out {figures[1]:>5} " in line
    if stored.phase != "failed":
        assert f"{figures[0]} in (— cached)   {figures[1]} out" in window.response.footer.line
    window.modes.show_mode("compare")
    await window.compare.open_logged([run_id])
    column = window.compare.page.columns[0]
    assert column.input.text() == f"{figures[0]} in"
    assert f" · {figures[1]} out" in column.status.full_text


async def test_attempts_unfold_below_their_request_and_fold_again(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    table, model = session.window.log.table, session.window.log.model
    await hand.until(lambda: _cell(session, 1, "status") == "503 → 200 finished", "the attempts")
    _choose(session, 1)
    QTest.keyClick(table, Qt.Key.Key_Right)
    await hand.until(lambda: table.rowHeight(1) == REQUEST_ROW_PX + 2 * ATTEMPT_PX, "room for two attempts")
    row = model.row(1)
    assert row is not None
    first, second = model.detail(row).attempts
    assert (first.status, second.status) == (503, 200)
    assert first.wait_s == pytest.approx(0.8)
    assert second.request_id == "aaaa0000-1111-4222-8333-444455556666"
    assert _cell(session, 1, "time").startswith("▾ ")
    assert first.request_id != second.request_id
    table.customContextMenuRequested.emit(QPoint(5, 5))
    offered = {one.text().rpartition("\t")[2]: one for menu in table.findChildren(QMenu) for one in menu.actions()}
    for attempt in (first, second):
        assert attempt.request_id is not None
        offered[attempt.request_id].trigger()
        assert QGuiApplication.clipboard().text() == attempt.request_id
    QTest.keyClick(table, Qt.Key.Key_Left)
    assert table.rowHeight(1) == REQUEST_ROW_PX
    _choose(session, 0)
    QTest.keyClick(table, Qt.Key.Key_Right)
    assert table.rowHeight(0) == REQUEST_ROW_PX + DAY_PX  # a single attempt stays folded


async def test_days_are_told_apart_in_the_zone_that_is_shown(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    session.window.answers.log_paths.set_clock("utc")
    table = session.window.log.table
    assert list(table.days) == [0, 2]  # both days are over
    high = [REQUEST_ROW_PX + DAY_PX, REQUEST_ROW_PX]
    assert [table.rowHeight(row) for row in range(4)] == [*high, *high]
    table.show_order(Order("in", True))
    await hand.until(lambda: table.rowHeight(2) == REQUEST_ROW_PX, "rows that are not in the order of time")
    table.show_order(None)
    await hand.until(lambda: table.rowHeight(2) == REQUEST_ROW_PX + DAY_PX, "the day again")
    newest = record(question="Now", body=body_of("Now", "Be kind."))
    newest = replace(newest, started_utc=datetime.now(UTC))
    assert session.workspace.log is not None
    await session.workspace.log.add([EndedRun(newest, tuple(answered()))])
    await hand.until(lambda: table.model().rowCount() == 5, "the newest request")
    await hand.until(lambda: list(table.days) == [1, 3], "the days below it")
    assert [table.rowHeight(row) for row in range(5)] == [REQUEST_ROW_PX, *high, *high]
    assert session.workspace.settings.text("log_clock") == "utc"
    session.window.answers.log_paths.set_clock("relative")
    assert _cell(session, 1, "time").endswith("ago") or "in" in _cell(session, 1, "time")


async def test_many_rows_are_copied_marked_and_tagged_at_once(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    table = session.window.log.table
    _choose(session, 0, 2, 3)
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    copied = QGuiApplication.clipboard
    ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in (0, 1, 3)]
    assert copied().text().split("\n") == ids  # at once: no turn of the loop between the key and a paste
    QTest.keyClick(table, Qt.Key.Key_M)
    await hand.until(lambda: _cell(session, 3, "time").endswith("★"), "the marks")
    assert not _cell(session, 1, "time").endswith("★")
    QTest.keyClick(table, Qt.Key.Key_T)
    await hand.until(lambda: _dialog(QInputDialog) is not None, "the question for tags")
    dialog = _dialog(QInputDialog)
    assert isinstance(dialog, QInputDialog)
    dialog.setTextValue("billing, to\x1fdo, ")  # the separator of tags in the log
    dialog.accept()
    await hand.until(lambda: _cell(session, 2, "tags") == "billing, to do", "the tags")
    session.window.log.filter_line.setText("tag:billing is:marked")
    await hand.until(lambda: session.window.log.model.rowCount() == 3, "what is tagged")


async def test_two_requests_are_compared(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    _choose(session, 0, 3)
    QTest.keyClick(session.window.log.table, Qt.Key.Key_C)
    await hand.until(lambda: session.window.modes.current == "compare", "Compare mode")
    compare = session.window.compare
    await hand.until(lambda: len(compare.slots) == 2, "the two requests")
    assert [slot.runs[0].request_id for slot in compare.slots] == [
        "00000000-0000-4000-8000-000000000000",
        "00000003-0000-4000-8000-000000000000",
    ]
    assert [view.input.text() for view in compare.page.columns] == ["1,204 in"] * 2
    assert [slot.running for slot in compare.slots] == [False, False]


async def test_ticket_shortcut_with_several_rows_copies_all_of_them(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    _choose(session, 0, 1, 3)
    QTest.keyClick(session.window.log.table, Qt.Key.Key_T, CONTROL | SHIFT)
    await hand.until(lambda: "ticket of 3 requests" in session.window.notice_bar.words, "the notice")
    heads = re.findall("(?m)^# Request ([0-9a-f]{8})", QGuiApplication.clipboard().text())
    assert heads == ["00000003", "aaaa0000", "00000000"]


async def test_imported_days_between_newer_rows_keep_their_headings(session: Session, hand: UiDriver) -> None:
    log = session.workspace.log
    assert log is not None
    now = datetime.now(UTC)
    old = now - timedelta(days=9)

    async def keep(number: int, started: datetime) -> None:
        events = answered(request_id=f"{number:08x}-0000-4000-8000-000000000000")
        await log.add([EndedRun(replace(record(question=f"{number}"), started_utc=started), tuple(events))])

    table = session.window.log.table
    for number, started in enumerate((now, old, old, now, now)):
        await keep(number, started)
    tall = scaled(REQUEST_ROW_PX + DAY_PX)
    heights = [scaled(REQUEST_ROW_PX), scaled(REQUEST_ROW_PX), tall, scaled(REQUEST_ROW_PX), tall]
    await hand.until(lambda: [table.rowHeight(row) for row in range(5)] == heights, "two days with headings")


async def test_a_ticket_is_looked_at_before_it_is_saved(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    await _filled(session, hand)
    _choose(session, 0, 1)
    session.window.actions_table["ticket"].trigger()
    await hand.until(lambda: _dialog(TicketDialog) is not None, "the ticket")
    dialog = _dialog(TicketDialog)
    assert isinstance(dialog, TicketDialog)
    assert len(re.findall("(?m)^# Request ", dialog.preview.toPlainText())) == 2
    assert "Be kind." not in dialog.preview.toPlainText()
    dialog.contents.setCurrentText("included")
    assert "Be kind." in dialog.preview.toPlainText()
    dialog.workspace.setText("ws-9")
    dialog.save_to(tmp_path / "ticket.zip")
    with zipfile.ZipFile(tmp_path / "ticket.zip") as archive:
        assert "ws-9" in archive.read("ticket.md").decode()
    assert session.workspace.settings.text("ticket_workspace") == "ws-9"
    dialog.close()


async def test_chosen_rows_are_exported_deleted_and_imported_again(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    ids = await _filled(session, hand)
    window = session.window
    file = tmp_path / "some.jsonl"
    _choose(session, 1, 2)
    QTest.keyClick(window.log.table, Qt.Key.Key_E)
    await hand.until(lambda: _dialog(QFileDialog) is not None, "where to")
    dialog = _dialog(QFileDialog)
    assert isinstance(dialog, QFileDialog)
    dialog.fileSelected.emit(str(file))
    dialog.close()
    await hand.until(file.exists, "the file")
    assert [json.loads(line)["record"]["run_id"] for line in file.read_text().splitlines()] == [ids[2], ids[1]]
    QTest.keyClick(window.log.table, Qt.Key.Key_Delete)
    await hand.until(lambda: _dialog(QMessageBox) is not None, "the question")
    box = _dialog(QMessageBox)
    assert isinstance(box, QMessageBox)
    assert "these 2 requests" in box.text()
    box.buttons()[0].click()
    await hand.until(lambda: window.log.model.rowCount() == 2, "two rows less")
    window.answers.log_paths.work.import_from(file)
    await hand.until(lambda: window.log.model.rowCount() == 4, "all rows")
    assert "2 requests imported." in window.notice_bar.words


async def test_pasted_ids_choose_their_rows_and_name_the_others(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    pane = session.window.log
    pane.filter_line.setText(
        "00000003-0000-4000-8000-000000000000\n00000001-0000-4000-8000-000000000000 "
        "deadbeef-0000-4000-8000-000000000000"
    )
    await hand.until(lambda: "1 of 3 ids are not in the log: deadbeef" in pane.wrong.text(), "the missing id")
    await hand.until(lambda: len(pane.table.chosen_rows()) == 2, "two chosen rows")


async def test_completions_come_while_typing_and_filters_are_kept(session: Session, hand: UiDriver) -> None:
    await _filled(session, hand)
    window = session.window
    line = window.log.filter_line
    window.activateWindow()
    line.setFocus()
    QTest.keyClicks(line, "is:f")
    assert line.offered == ["is:failed"]
    QTest.keyClick(line.popup, Qt.Key.Key_Down)
    QTest.keyClick(line.popup, Qt.Key.Key_Return)
    assert line.text() == "is:failed "
    filters = window.answers.log_paths.filters
    filters.keep("What failed")
    line.setText("")
    filters.use("What failed")
    assert line.text() == "is:failed"
    filters.remove("What failed")
    assert filters.all == {}


async def test_columns_are_the_users_and_come_back(session: Session, hand: UiDriver) -> None:
    layout = session.window.answers.log_paths.layout
    header = session.window.log.table.horizontalHeader()
    assert layout.text() == ""
    layout.show_column(TITLES.index("tags"), True)
    layout.show_column(TITLES.index("cost"), False)
    header.moveSection(header.visualIndex(TITLES.index("TTFT")), 0)
    kept = layout.text()
    layout.reset()
    assert layout.text() == ""
    layout.restore(kept)
    assert layout.text() == kept
    assert header.isSectionHidden(TITLES.index("cost"))
    assert header.logicalIndex(0) == TITLES.index("TTFT")
    for wrong in ("no json", "[1]", '[["time", 96, false]]', '[["gone", 10, true]]'):
        layout.reset()
        layout.restore(wrong)
        assert layout.text() == ""


async def test_the_size_is_shown_and_bounds_are_kept(session: Session, hand: UiDriver) -> None:
    ids = await _filled(session, hand)
    log = session.workspace.log
    assert log is not None
    await log.mark(ids[-1:])
    session.window.actions_table["log_size"].trigger()
    await hand.until(lambda: _dialog(LogSizeDialog) is not None, "the dialog")
    dialog = _dialog(LogSizeDialog)
    assert isinstance(dialog, LogSizeDialog)
    assert dialog.size_words.text().startswith("4 requests, 1 of them marked, in ")
    dialog.megabytes.setValue(1)
    assert session.workspace.settings.number("log_keep_mb") == 0
    dialog.apply.click()
    await hand.until(lambda: _dialog(QMessageBox) is not None, "the requests that it would delete")
    box = _dialog(QMessageBox)
    assert isinstance(box, QMessageBox)
    assert "below 1 MB" in box.text()
    box.buttons()[0].click()
    await hand.until(lambda: "0 requests were deleted" in dialog.message.text(), "nothing to delete")
    assert session.workspace.settings.number("log_keep_mb") == 1
    dialog.close()
    assert (await log.count(EVERYTHING)).n == 4


@pytest.mark.parametrize("simulator_options", [("--ttft-ms", "20", "--token-ms", "20", "--plan", "none")])
async def test_what_is_running_is_shown_as_it_comes(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.actions_table["send"].trigger()
    await hand.until(lambda: window.log.model.rowCount() == 1 and _cell(session, 0, "out").startswith("≈ "), "≈ tokens")
    assert _cell(session, 0, "status") == "streaming…"
    window.requests._paint()
    assert window.inspector.id.status.full_text.endswith(f" · {_cell(session, 0, 'status')}")
    assert window.inspector.latency.rows["total"].value.endswith("so far")
    await hand.until(lambda: _cell(session, 0, "status") == "200 finished", "the end")
    assert not _cell(session, 0, "out").startswith("≈")


async def test_a_wait_for_the_plan_is_painted_once_a_second(session: Session, hand: UiDriver) -> None:
    mine, window = session.workspace.endpoint, session.window
    session.workspace.endpoints.change(replace(mine, plan=PlanLimits("Custom", 1, 1)))
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the request before")
    window.requests.send_or_stop()
    title, total = window.response.text_tab.waiting.title, window.inspector.latency.rows["total"]
    await hand.until(lambda: "about" in title.text() and _cell(session, 0, "status").startswith("queued"), "the wait")
    begun, titles, totals, cells = title.text(), set[str](), set[str](), list[str]()
    window.log.model.dataChanged.connect(lambda first, _last: cells.append(COLUMNS[first.column()].title))

    def shown() -> bool:
        titles.add(title.text())
        totals.add(total.value)
        return len(titles - {begun}) == 3

    await hand.until(shown, "three seconds of the countdown")
    assert len(totals) <= len(titles) + 1
    window.log.repaint_live()
    del cells[:]
    window.log.repaint_live()
    assert not cells, "nothing has gone on"
    assert not window.response._tick.isActive()
    window.requests.stop()
    await hand.until(lambda: not window.requests.running, "the end of the wait")


async def test_wait_for_a_retry_is_the_same_in_response_inspector_and_log(session: Session, hand: UiDriver) -> None:
    window = session.window
    document = window.prompt.document()
    window.prompt.set_document(replace(document, parameters={**document.parameters, "simulate": "429=5"}))
    window.actions_table["send"].trigger()
    box, seen = window.response.text_tab.waiting, set()
    await hand.until(lambda: box.isVisible() and "again in" in _cell(session, 0, "status"), "the wait")

    def shown() -> bool:
        """Compare what is displayed after a frame."""
        window.requests._paint()
        left = box.title.text().removeprefix("Retrying in ").partition(":")[0]
        status = _cell(session, 0, "status")
        if "again in" not in status or left == "0 s":
            return True
        assert f"again in {left}" in status
        total = window.response.footer.line.split(" · ")[1]
        assert window.inspector.latency.rows["total"].value == f"{total} so far"
        assert _cell(session, 0, "total") == total
        seen.add(total)
        return False

    await hand.until(shown, "the end of the wait")
    assert len(seen) > 3


DATED = MissPosition("message", 2, 1, 7, "2")
EXPLAINED = (
    MissExplanation("differs", "The date differs.", cause="date", position=replace(DATED, index=0)),
    MissExplanation("differs", "The date differs.", cause="date", position=DATED, last=True),
    MissExplanation("differs", "It differs.", cause="edited", position=DATED, last=True, reason="new_text"),
    MissExplanation("differs", "It differs.", cause="edited", position=DATED).expected_after_fix(),
    MissExplanation("differs", "It differs.", cause="variable", variable="shop", position=DATED, last=True),
    MissExplanation("server", "Other tokens.", cause="unknown", reason="foreign_tokens"),
    MissExplanation("server", "Identical.", cause="server", reason="lost"),
    MissExplanation("parameters", "The model differs.", cause="parameters", reason="parameters"),
    MissExplanation("unknown", "One of two.", cause="unknown", reason="edit_or_lost"),
)


async def _displayed_cause(session: Session, hand: UiDriver, run_id: str) -> tuple[str, bool]:
    window = session.window
    window.requests.open_logged(run_id)
    await hand.until(lambda: window.requests.shown_run_id == run_id, "the logged request")
    why = window.inspector.why
    return why._title.text(), why.property("look") == "callout"


def _is_explained(session: Session, row: int) -> bool:
    return _cell(session, row, "prefix") not in ("", "—")


def _begins(session: Session, words: str) -> bool:
    return _cell(session, 0, "prefix").startswith(words)


async def test_log_and_inspector_name_the_same_cause_in_the_same_words(session: Session, hand: UiDriver) -> None:
    log, model = session.workspace.log, session.window.log.model
    assert log is not None
    runs = [
        EndedRun(record(question=f"{number}", minute=number), tuple(answered())) for number in range(len(EXPLAINED))
    ]
    runs = [replace(run, explanation=msgspec.to_builtins(why)) for run, why in zip(runs, EXPLAINED, strict=True)]
    await log.add(runs)
    await hand.until(lambda: model.rowCount() == len(runs), "the rows")
    for number, run in enumerate(reversed(runs)):
        await hand.until(partial(_is_explained, session, number), "the explanation")
        title, amber = await _displayed_cause(session, hand, run.record.run_id)
        assert _cell(session, number, "prefix").lower() == title.lower()
        assert (cause_cell(EXPLAINED[-1 - number]).tone == "variable_edge") == amber, title


async def test_cause_that_the_inspector_computes_for_an_old_request_is_in_the_log_too(
    session: Session, hand: UiDriver
) -> None:
    run_ids = await _filled(session, hand)
    await hand.until(lambda: _cell(session, 0, "prefix") == "—", "the row that has no stored explanation")
    title, _ = await _displayed_cause(session, hand, run_ids[0])
    assert title
    await hand.until(lambda: _cell(session, 0, "prefix").lower() == title.lower(), "the same cause in the log")


async def test_cause_by_another_earlier_request_is_in_the_log_too(session: Session, hand: UiDriver) -> None:
    window = session.window
    rules = "\n".join(f"Rule {number}: be kind and brief on the phone." for number in range(80))
    for day, hour in ((11, 8), (12, 9), (12, 10)):
        text = f"Today is 2026-11-{day}. Now: {hour}:00.\n{rules}"
        document = Document(messages=(Message("system", text), Message("user", "Hi")), parameters={"max_tokens": 2})
        window.prompt.set_document(document, undoable=True)
        window.requests.send_or_stop()
        await hand.until(lambda: not window.requests.running, "an answer")
    # Row 0 is the second request until the log pane has read the third.
    await hand.until(lambda: window.log.model.rowCount() == 3, "the rows")
    await hand.until(partial(_begins, session, "time in message 1"), "the cause by the newest earlier request")
    why = window.inspector.why
    why._fill()
    log = session.workspace.log
    assert log is not None
    for action, cause in reversed(tuple(zip(why.choices.actions(), ("time", "date"), strict=True))):
        action.trigger()
        await hand.until(partial(_begins, session, f"{cause} in message 1"), "the cause in the log")
        assert why._title.text().lower() == _cell(session, 0, "prefix")
        stored = await log.get(window.requests.shown_run_id or "")
        assert stored is not None
        explanation = read_explanation(stored.explanation)
        assert explanation is not None
        assert explanation.sentence == why.sentence
