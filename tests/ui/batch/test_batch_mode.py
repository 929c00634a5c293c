"""Batch mode in the real window against the simulator."""

from __future__ import annotations

import asyncio
import csv
import json
import time
import urllib.request
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication, QTextCursor
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QScrollArea, QWidget
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS, PUBLISHED_RATES, Endpoint, PlanLimits
from playground.client.events import AttemptStarted, Queued
from playground.experiments.batch_job import BatchProgress
from playground.experiments.batch_plan import RowForecast, plan_rows
from playground.experiments.batch_results import BatchTotals, failed_result, format_results
from playground.experiments.batch_rows import BatchRow
from playground.experiments.batch_session import BatchLines, BatchSession, Selection
from playground.prompt.document import Document, Message
from playground.runs.metrics import dollars, percent
from playground.runs.run import Run
from playground.runs.state import fold
from playground.ui.batch.files import MAX_EDITED, PasteRowsDialog
from playground.ui.batch.model import BatchModel, Displayed
from playground.ui.batch.page import BatchDetail, BatchPage
from playground.ui.controllers.batch import BatchController
from playground.ui.session import Session
from playground.ui.widgets.figure_row import FigureRow
from tests.ui.conftest import Tell

PROMPT = Document(
    name="shop",
    messages=(
        Message("system", "You are the agent of {{shop}}. " + "Answer briefly and be kind to every caller. " * 40),
        Message("user", "{{question}}"),
    ),
    parameters={"max_tokens": 12},
)


def data(rows: int, shops: int = 3) -> str:
    lines = [f"shop {n % shops} {'x' * 400},question {n} please" for n in range(rows)]
    return "\n".join(["shop,question", *lines]) + "\n"


def batch_of(session: Session) -> BatchController:
    endpoints = session.workspace.endpoints
    endpoints.change(replace(endpoints.get("simulator"), plan=PLANS["none"]))
    session.window.modes.show_mode("batch")
    return session.window.batch


async def planned(session: Session, hand: UiDriver, tmp_path: Path, rows: int = 12, shops: int = 3) -> BatchController:
    session.window.prompt.set_document(PROMPT)
    file = tmp_path / "callers.csv"
    file.write_text(data(rows, shops), "utf-8")
    batch = batch_of(session)
    batch.files.open_file(file)
    await hand.until(lambda: batch.tools.run.isEnabled(), "the plan")
    return batch


def paste_rows(batch: BatchController) -> PasteRowsDialog:
    """Open the field with the clipboard's text and confirm it."""
    batch.files.paste()
    dialog = next(one for one in batch.page.window().findChildren(PasteRowsDialog) if one.isVisible())
    assert not batch.page.model.lines  # nothing is read before it is confirmed
    dialog.use.click()
    return dialog


async def ended(batch: BatchController, hand: UiDriver) -> None:
    await hand.until(lambda: not batch.running, "the end of the batch")


async def control(session: Session, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    endpoint = session.workspace.endpoints.get("simulator")
    base_url = (await session.workspace.simulation.resolve(endpoint)).base_url
    address = base_url.removesuffix("/waves/v1") + path
    payload = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}

    def call() -> dict[str, Any]:
        with urllib.request.urlopen(urllib.request.Request(address, payload, headers)) as answer:
            value: dict[str, Any] = json.loads(answer.read() or b"{}")
            return value

    return await asyncio.to_thread(call)


def looking_for_unfinished() -> bool:
    return any(task.get_name() == "look for an unfinished batch" for task in asyncio.all_tasks())


async def served(session: Session) -> int:
    return int((await control(session, "/simulator/stats"))["served"])


async def test_batch_every_row_is_sent_warm_first_and_measured(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path)
    page = batch.page
    assert page.setup.isVisible()
    assert page.model.rowCount() == 12 + 3, "three headings of groups"
    assert page.model.line(1).prompt_tokens.state == "estimated"  # type: ignore[union-attr]
    page.setup.concurrency.setValue(2)
    await hand.until(lambda: batch.tools.run.isEnabled(), "the plan")
    session.window.actions_table["send"].trigger()
    await hand.until(lambda: batch.running, "the start")
    await ended(batch, hand)
    assert page.model.lines.counts["done"] == 12
    cached = [line.cached_tokens for line in page.model.lines]
    assert all(figure.state == "reported" for figure in cached)
    assert sum(line.cold for line in page.model.lines) == 3
    assert "Measured" in page.order_text.text()
    assert batch.tools.run.text() == "New batch"
    assert await served(session) == 12


async def test_a_batch_without_cached_tokens_is_not_compared_with_a_forecast(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path)
    assert batch._prepared is not None
    text = batch._prepared.order_text(BatchTotals(prompt_tokens=10_000, cached_tokens=0), running=False)
    assert text.startswith("Measured: 0.0 % of the prompt tokens were cached, less than forecast.")
    assert "$" not in text


async def test_measured_share_compares_the_cost_of_two_estimates(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    """Reported tokens differ from the estimate in any order, so that no difference of them is a saving."""
    prepared = (await planned(session, hand, tmp_path))._prepared
    assert prepared is not None
    prepared = replace(prepared, endpoint=replace(prepared.endpoint, rates=PUBLISHED_RATES))
    chosen = prepared.plan.forecast
    totals = BatchTotals(prompt_tokens=round(chosen.prompt_tokens * 1.01), cached_tokens=round(chosen.cached_tokens))
    none = replace(chosen, cached_tokens=0)
    saved = dollars(chosen.cached_share * totals.prompt_tokens * 0.3 / 1e6)
    for here, there, said in (
        (chosen, chosen, "as much as in file order"),
        (chosen, none, f"≈ {saved} less than in file order"),
        (none, chosen, f"≈ {saved} more than in file order"),
    ):
        reported = BatchTotals(
            prompt_tokens=totals.prompt_tokens, cached_tokens=0 if here is none else totals.cached_tokens
        )
        plan = replace(prepared.plan, order="warm", forecast=here, file_order=there)
        text = replace(prepared, plan=plan).order_text(reported, running=False)
        shares = f"(forecast: ≈ {percent(here.cached_share)}, file order: ≈ {percent(there.cached_share)})"
        share = percent(reported.cached_share)
        assert text.startswith(f"Measured: {share} of the prompt tokens were cached {shares}, {said}. ")


async def test_batch_start_right_after_a_change_begins_with_the_new_plan(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path)
    batch.page.setup.concurrency.setValue(2)
    assert not batch.tools.run.isEnabled()
    session.window.actions_table["send"].trigger()
    await hand.until(lambda: batch.running, "the start")
    await ended(batch, hand)
    assert batch.page.model.lines.counts["done"] == 12


async def test_batch_column_of_another_name_is_mapped_and_check_results_are_counted(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    session.window.prompt.set_document(PROMPT)
    batch = batch_of(session)
    QGuiApplication.clipboard().setText("store\tquestion\nA\twhy?\nB\twhen?\n")
    paste_rows(batch)
    setup = batch.page.setup
    await hand.until(lambda: setup.error.isVisible(), "the missing column")
    assert not batch.tools.run.isEnabled()
    setup.combos["shop"].setCurrentIndex(setup.combos["shop"].findData("store"))
    check = setup.add_check()
    check.kind.setCurrentText("max-tokens")
    check.value.setText("1")
    check.changed.emit()
    await hand.until(lambda: batch.tools.run.isEnabled(), "the plan")
    assert not setup.error.isVisible()
    batch.start_or_pause()
    await ended(batch, hand)
    assert [line.checks for line in batch.page.model.lines] == [{"max-tokens=1": False}] * 2
    shown, totals = batch.page.totals.full_text, batch.session.totals if batch.session else None
    assert totals is not None
    assert totals.requests == 2
    for part in ("passed 0 of 2", "2 attempts", f"{totals.completion_tokens:,} out"):
        assert part in shown


async def test_batch_failed_rows_alone_are_retried(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    batch = await planned(session, hand, tmp_path)
    await control(session, "/simulator/faults", {"fault": "403", "times": 2})
    batch.start_or_pause()
    await ended(batch, hand)
    model = batch.page.model
    assert model.lines.counts["failed"] == 2
    assert batch.page.retry.isVisible()
    batch.page.filter.setText("status:failed")
    await hand.until(lambda: model.rowCount() == 2, "the filter")
    line = model.line(0)
    assert line is not None
    assert line.output
    assert line.cost is None
    assert model.cell(line, next(c for c in model.columns if c.kind == "in")) == "—"
    sent = await served(session)
    batch.page.retry.click()
    await ended(batch, hand)
    assert model.lines.counts["done"] == 12
    assert await served(session) == sent + 2


async def test_batch_paused_sends_nothing_and_stopped_continues_with_the_rest(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path, rows=30)
    model = batch.page.model
    batch.start_or_pause()
    await hand.until(lambda: model.lines.counts["done"] >= 3, "the first rows")
    batch.start_or_pause()
    await hand.until(lambda: not model.lines.counts["running"], "the requests in flight")
    assert batch.tools.run.text() == "Resume"
    assert {model.cell(line, model.columns[-1]) for line in model.lines if line.status == "queued"} == {"queued"}
    sent = await served(session)
    await asyncio.sleep(0.2)  # longer than several requests take
    assert await served(session) == sent
    batch.start_or_pause()
    await hand.until(lambda: model.lines.counts["done"] >= sent + 2, "more rows")
    batch.stop()
    await ended(batch, hand)
    assert model.lines.counts["queued"] > 0
    assert model.lines.counts["running"] == 0
    assert batch.tools.run.text() == "Continue"
    before = {line.item.row.number: line.request_id for line in model.lines if line.status == "done"}
    batch.start_or_pause()
    await ended(batch, hand)
    assert model.lines.counts["done"] == 30
    after = {line.item.row.number: line.request_id for line in model.lines}
    assert {number: after[number] for number in before} == before


def test_batch_of_closed_window_continues_with_its_own_prompt(tell: Tell, tmp_path: Path) -> None:
    before: dict[int, str | None] = {}

    async def first(session: Session, hand: UiDriver) -> None:
        batch = await planned(session, hand, tmp_path, rows=30)
        batch.start_or_pause()
        await hand.until(lambda: batch.page.model.lines.counts["done"] >= 5, "some rows")

    async def second(session: Session, hand: UiDriver) -> None:
        session.window.prompt.set_document(Document(messages=(Message("user", "another prompt"),)))
        (tmp_path / "callers.csv").unlink()
        log = session.workspace.log
        assert log is not None
        batch = batch_of(session)
        await hand.until(batch.page.notice.isVisible, "the offer")
        batch.page.notice.press("Continue")
        await hand.until(lambda: batch.running, "the start")
        await hand.until(lambda: bool(batch.page.model.lines.counts["done"]), "the earlier results")
        before.update({n.item.row.number: n.request_id for n in batch.page.model.lines if n.status == "done"})
        assert len(before) >= 5
        await ended(batch, hand)
        model = batch.page.model
        assert model.lines.counts["done"] == 30
        after = {line.item.row.number: line.request_id for line in model.lines}
        assert {number: after[number] for number in before} == before
        assert await served(session) <= 30 - len(before) + 4

    async def third(session: Session, hand: UiDriver) -> None:
        batch = batch_of(session)
        await hand.until(lambda: not looking_for_unfinished(), "the end of the search for an unfinished batch")
        assert not batch.page.notice.isVisible()

    tell(first)
    tell(second)
    tell(third)


def test_batch_that_ended_with_failed_rows_is_offered_again_after_a_restart(tell: Tell, tmp_path: Path) -> None:
    async def first(session: Session, hand: UiDriver) -> None:
        batch = await planned(session, hand, tmp_path)
        await control(session, "/simulator/faults", {"fault": "403", "times": 2})
        batch.start_or_pause()
        await ended(batch, hand)
        assert batch.tools.run.text() == "Retry failed"

    async def second(session: Session, hand: UiDriver) -> None:
        batch = batch_of(session)
        await hand.until(batch.page.notice.isVisible, "the offer")
        assert "10 of 12 rows answered, 2 failed" in batch.page.notice.words
        batch.page.notice.press("Retry failed")
        await hand.until(lambda: batch.running, "the start")
        await ended(batch, hand)
        assert batch.page.model.lines.counts["done"] == 12
        assert await served(session) == 2
        assert batch.tools.run.text() == "New batch"

    tell(first)
    tell(second)


async def test_batch_row_opens_in_the_panes_and_exports_keep_the_data_order(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path)
    batch.start_or_pause()
    await ended(batch, hand)
    page = batch.page
    assert batch.session is not None
    for name in ("out.csv", "out.jsonl"):
        batch.files.export(tmp_path / name, batch.session.results)
        await hand.until((tmp_path / name).exists, name)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [int(row["row"]) for row in table] == [row["row"] for row in lines] == list(range(12))
    assert [row["request_id"] for row in table] == [row["request_id"] for row in lines]
    assert all(
        row["usage"]["prompt_tokens"] == int(cells["prompt_tokens"]) for row, cells in zip(lines, table, strict=True)
    )
    page.table.select_number(7)
    page.table.copy_row()
    request_id = lines[7]["request_id"]
    assert QGuiApplication.clipboard().text() == request_id
    QTest.keyClick(page.table, Qt.Key.Key_Return)
    await hand.until(lambda: session.window.requests.request_id == request_id, "the row in the panes")
    assert session.window.modes.current == "prompt"


async def test_batch_rows_of_the_log_have_the_values_of_logged_requests(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    window = session.window
    for question in ("first?", "second?"):
        filled = PROMPT.with_variable("shop", "A").with_variable("question", question)
        window.prompt.set_document(filled)
        window.requests.send_anyway()
        await hand.until(lambda: not window.requests.running, "the request")
    batch = batch_of(session)
    batch.files.open_log("")
    await hand.until(lambda: len(batch.page.model.lines) == 2, "the rows")
    values = [line.item.row.values for line in batch.page.model.lines]
    assert {row["question"] for row in values} == {"first?", "second?"}
    batch.files.open_log("status:nonsense")
    await hand.until(batch.page.notice.isVisible, "the error")
    assert len(batch.page.model.lines) == 2


def _states_gaps(batch: BatchController, expected: str) -> bool:
    return batch.page.gaps.text() == expected


async def test_batch_rows_without_a_value_are_named_before_the_start(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path)
    assert not batch.page.gaps.isVisible()
    file = tmp_path / "rows.jsonl"
    for second, expected in (
        ('{"shop": "B"}', "1 row has no value for question (row 1, counted from 0): sent with an empty text."),
        ('{"shop": ""}', "1 row has no value for shop, question (row 1, counted from 0): sent with an empty text."),
        (
            '{"shop": ""}\n{"shop": "C"}',
            "1 row has no value for shop (row 1, counted from 0): sent with an empty text. "
            "2 rows have no value for question (the first is row 1): sent with an empty text.",
        ),
    ):
        file.write_text(f'{{"shop": "A", "question": "When?"}}\n{second}\n', "utf-8")
        batch.files.open_file(file)
        await hand.until(partial(_states_gaps, batch, expected), "the rows")
    assert batch.page.gaps.isVisible()


async def test_batch_bad_data_is_reported_and_changes_nothing(session: Session, hand: UiDriver) -> None:
    batch = batch_of(session)
    QGuiApplication.clipboard().setText("a,b\n1\n")
    dialog = paste_rows(batch)
    await hand.until(dialog.error.isVisible, "the error")
    for text in ("only a header\n", '{"a": '):
        dialog.text.setPlainText(text)
        assert not dialog.error.isVisible()
        dialog.use.click()
        await hand.until(dialog.error.isVisible, f"the error of {text!r}")
    assert batch.page.stack.currentIndex() == 0
    dialog.text.setPlainText("a,b\n1,2\n")
    assert not dialog.error.isVisible()
    dialog.use.click()
    await hand.until(lambda: len(batch.page.model.lines) == 1, "the row")
    await hand.until(lambda: not session.window.findChildren(PasteRowsDialog), "the end of the dialog")


def test_paste_rows_dialog_uses_all_of_a_text_that_it_shows_in_part(qtbot: QtBot) -> None:
    text, taken = "a\n" + "x\n" * MAX_EDITED, []
    dialog = PasteRowsDialog(text, lambda _dialog, whole: taken.append(whole))
    qtbot.addWidget(dialog)
    assert dialog.text.isReadOnly()
    assert len(dialog.text.toPlainText()) == MAX_EDITED
    dialog.use.click()
    assert taken == [text]
    empty = PasteRowsDialog(" \n", lambda _dialog, whole: taken.append(whole))
    qtbot.addWidget(empty)
    assert not empty.use.isEnabled()


async def test_batch_missing_key_sends_nothing(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    mine = session.workspace.endpoints.add(Endpoint("mine", "Mine", "http://127.0.0.1:9/v1", needs_key=True))
    session.window.choose_endpoint(mine.id)
    batch = await planned(session, hand, tmp_path)
    batch.start_or_pause()
    await ended(batch, hand)
    await hand.until(batch.page.notice.isVisible, "the error")
    assert batch.page.model.lines.counts["queued"] == 12
    assert batch.page.model.lines.counts["failed"] == 0


async def test_batch_plan_limit_bounds_concurrency_and_forecast(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    plan = PlanLimits("Small", 6, 2)
    mine = session.workspace.endpoints.add(
        Endpoint("mine", "Mine", "http://127.0.0.1:9/v1", needs_key=False, plan=plan)
    )
    session.window.choose_endpoint(mine.id)
    batch = await planned(session, hand, tmp_path, rows=18)
    assert batch.page.setup.concurrency.maximum() == 2
    assert batch._prepared is not None
    assert batch._prepared.plan.forecast.seconds >= 120


def test_batch_ten_thousand_rows_plan_filter_and_sort_without_freezing(tell: Tell, tmp_path: Path) -> None:
    async def story(session: Session, hand: UiDriver) -> None:
        longest, last, stop = 0.0, time.thread_time(), False

        async def measure() -> None:
            nonlocal longest, last
            while not stop:
                await asyncio.sleep(0.005)
                now = time.thread_time()  # not the clock: other programs may have the processor
                longest, last = max(longest, now - last), now

        task = asyncio.create_task(measure())
        batch = await planned(session, hand, tmp_path, rows=10_000, shops=100)
        model = batch.page.model
        assert model.rowCount() == 10_000 + 100
        batch.page.filter.setText("9999")
        await hand.until(lambda: model.rowCount() == 1, "the filter")
        batch.page.filter.setText("")
        await hand.until(lambda: model.rowCount() == 10_100, "all rows")
        batch.page.table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
        stop = True
        await task
        assert longest < 1.0

    tell(story)


async def test_batch_every_control_has_an_accessible_name(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    batch = await planned(session, hand, tmp_path)
    batch.page.setup.add_check()
    for root in (batch.page, batch.tools):
        for widget in root.findChildren(QWidget):
            if widget.focusPolicy() & Qt.FocusPolicy.TabFocus and widget.isVisible():
                text = getattr(widget, "text", None)
                assert widget.accessibleName() or (callable(text) and text()), widget


async def test_batch_next_pane_goes_over_settings_rows_and_detail(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    page, window = batch_of(session).page, session.window
    window.modes.setFocus()
    window.actions_table["next_pane"].trigger()
    assert window.focusWidget() is page.first_button
    await planned(session, hand, tmp_path)
    first = page.setup.combos["shop"]
    page.table.setFocus()
    window.actions_table["next_pane"].trigger()
    assert window.focusWidget() is first, "without a selected row there is no detail"
    low = page.detail.height()
    page.table.select_number(0)
    await hand.until(lambda: page.detail.height() > 3 * low, "room for the detail of the row")
    page.table.setFocus()
    seen = []
    for action in (*["next_pane"] * 2, *["previous_pane"] * 2):
        window.actions_table[action].trigger()
        seen.append(window.focusWidget())
    assert seen == [page.detail.text, first, page.detail.text, page.table]
    page.filter.setFocus()
    window.actions_table["next_pane"].trigger()
    assert window.focusWidget() is first


async def test_batch_groups_fold_by_click_and_keys(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    batch = await planned(session, hand, tmp_path)
    model, table = batch.page.model, batch.page.table
    heading = table.visualRect(model.index(0, 1)).center()
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=heading)
    assert model.rowCount() == 12 + 3 - 4
    assert model.is_folded(0)
    assert "folded" in model.data(model.index(0, 0), Qt.ItemDataRole.AccessibleTextRole)
    QTest.keyClick(table, Qt.Key.Key_Space)
    assert model.rowCount() == 12 + 3
    table.select_number(7)
    QTest.keyClick(table, Qt.Key.Key_Left)
    assert model.rowCount() == 12 + 3 - 4
    assert model.line(table.currentIndex().row()) is None, "the heading is the current row"
    QTest.keyClick(table, Qt.Key.Key_Right)
    assert model.row_of(7) is not None
    model.fold_all(True)
    assert model.rowCount() == 3
    batch.page.filter.setText("question 7")
    await hand.until(lambda: model.rowCount() == 1, "the filter, which ignores folded groups")
    batch.page.filter.setText("")
    await hand.until(lambda: model.rowCount() == 3, "the folded groups")


async def test_batch_hidden_page_is_not_updated_and_is_current_when_displayed(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path, rows=60)
    batch.start_or_pause()
    await hand.until(lambda: batch._tick.isActive(), "the tick")
    session.window.modes.show_mode("prompt")
    await hand.until(lambda: not batch._tick.isActive(), "the end of the tick")
    await hand.until(lambda: batch.page.model.lines.counts["done"] >= 8, "some rows")
    session.window.modes.show_mode("batch")
    counts = batch.page.model.lines.counts
    assert batch.page.bar.headline.text() == f"{counts['done'] + counts['failed']:,} of 60"
    await ended(batch, hand)
    assert not batch._tick.isActive()
    assert batch.page.bar.headline.text() == "60 of 60"


async def test_batch_two_thousand_results_of_an_earlier_run_are_shown(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch = await planned(session, hand, tmp_path, rows=2_000, shops=100)
    prepared = batch._prepared
    assert prepared is not None
    saved = await asyncio.to_thread(batch._store.save, prepared.spec)
    values = [dict(row.values) for row in prepared.spec.rows]
    results = [
        {**failed_result(number, values[number], ""), "phase": "done", "error": None, "text": f"answer {number}"}
        for number in range(1_990)
    ]
    saved.results.write_bytes(format_results(results, saved.results))
    batch.new_batch()
    await batch.continue_saved(saved)
    await ended(batch, hand)
    model = batch.page.model
    assert model.lines.counts["done"] == 2_000
    assert await served(session) == 10
    batch.page.filter.setText("answer 1989")
    await hand.until(lambda: model.rowCount() == 1, "the filter")


@pytest.mark.parametrize(
    "text",
    ['name,note\r\na,"1\r\n2"\r\n', "name,note\na,10\u00a0km\n", "name,note\na,x\u2028y\n", "\ufeffname,note\na,b\n"],
)
def test_paste_rows_text_that_is_not_edited_is_used_to_the_character(qtbot: QtBot, text: str) -> None:
    taken: list[str] = []
    dialog = PasteRowsDialog(text, lambda _dialog, whole: taken.append(whole))
    qtbot.addWidget(dialog)
    dialog.use.click()
    assert taken == [text]
    assert not dialog.text.isReadOnly()


def test_paste_rows_typed_no_break_space_is_used(qtbot: QtBot) -> None:
    taken: list[str] = []
    dialog = PasteRowsDialog("name,note\na,10\u00a0km\n", lambda _dialog, whole: taken.append(whole))
    qtbot.addWidget(dialog)
    dialog.text.moveCursor(QTextCursor.MoveOperation.End)
    dialog.text.insertPlainText("b,20\u00a0km")
    QTest.keyClick(dialog.text, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    QTest.keyClicks(dialog.text, "c,x")
    dialog.use.click()
    assert taken == ["name,note\na,10\u00a0km\nb,20\u00a0km\nc,x"]


def test_sums_that_lack_requests_are_minimums_and_attempts_are_named(qtbot: QtBot) -> None:
    page = BatchPage(lambda work, _name: work.close())
    qtbot.addWidget(page)
    totals = BatchTotals(requests=3, prompt_tokens=2_000, cached_tokens=500, completion_tokens=40, cost=0.5, rows=2)
    page.show_totals(totals, 2)
    assert page.totals.full_text == "3 attempts  ·  2,000 in  ·  25.0 % cached  ·  40 out  ·  $0.50"
    totals.unreported = 1
    page.show_totals(totals, 2)
    parts = "3 attempts  ·  ≥ 2,000 in  ·  25.0 % cached  ·  ≥ 40 out  ·  ≥ $0.50  ·  1 not reported"
    assert page.totals.full_text == parts
    page.show_totals(BatchTotals(requests=2, unreported=2, rows=2), 2)
    assert page.totals.full_text == "2 attempts  ·  — in  ·  — cached  ·  — out  ·  —  ·  2 not reported"


def test_drop_of_several_files_is_answered_and_reads_none(qtbot: QtBot) -> None:
    page = BatchPage(lambda work, _name: work.close())
    qtbot.addWidget(page)
    read: list[str] = []
    page.dropped.connect(read.append)
    for names in (["a.csv", "b.csv"], ["a.csv"]):
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(f"/data/{name}") for name in names])
        actions, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        page.dropEvent(QDropEvent(QPointF(5, 5), actions, data, left, none))
        assert "2" in page.notice.words
        assert len(read) == (len(names) == 1)


def test_detail_with_a_scroll_bar_cuts_no_figure(qtbot: QtBot) -> None:
    detail = BatchDetail()
    qtbot.addWidget(detail)
    detail._right.show()
    detail.resize(detail.minimumSizeHint().width(), 60)
    detail.show()
    qtbot.waitExposed(detail)
    (area,) = (one for one in detail.findChildren(QScrollArea) if one.widget() is detail._right)
    detail._right.setMinimumHeight(area.height() + 200)
    qtbot.waitUntil(lambda: area.verticalScrollBar().isVisible())
    area.resize(area.minimumSizeHint().width(), area.height())
    for row in detail._right.findChildren(FigureRow):
        assert row.geometry().right() < area.viewport().width()


async def test_a_row_says_how_long_the_plan_makes_it_wait(session: Session) -> None:
    rows = tuple(BatchRow(number, {"shop": "one", "question": f"{number}"}) for number in range(3))
    plan = plan_rows(PROMPT, rows, {"shop": "shop", "question": "question"}, "file")
    forecasts = tuple(RowForecast(100.0, 0.0, start_s) for start_s in (0.0, 1.0, 7.0))
    lines = BatchLines(plan, forecasts)
    model = BatchModel(session.workspace.tasks.start)
    model.set_lines(lines, (), checked=False, selection=Selection(), displayed=Displayed.of(lines, Selection()))
    model.active = True
    run = SimpleNamespace(id="run", state=fold([Queued(0.0, 1, 1, "10 requests within a minute", 28.0)]))
    run.clock = lambda: 2.0
    lines.set(0, "running", run=cast("Run", run))
    status = model.columns[-1]
    assert [model.cell(line, status) for line in lines] == ["in ≈ 26 s", "in ≈ 26 s", "in ≈ 32 s"]
    assert "10 requests within a minute" in model.data(
        model.index(0, len(model.columns) - 1), Qt.ItemDataRole.ToolTipRole
    )
    batch = BatchSession(cast("Any", SimpleNamespace(lines=lines)), cast("Any", None), cast("Any", None), None)
    batch._job = cast("Any", SimpleNamespace(runner=SimpleNamespace(progress=BatchProgress(3, eta_s=6.0))))
    assert batch.eta_s == 26.0
    run.state.apply(Queued(2.0, 1, 1, "20 requests in flight", None))
    assert (lines.wait_s, model.cell(lines[0], status)) == (0.0, "waits")
    run.state.apply(AttemptStarted(2.0, 1))
    assert model.cell(lines[0], status) == "sending"


@pytest.mark.parametrize("suffix", ["csv", "TSV"])
async def test_table_dropped_in_another_mode_is_planned_with_the_prompts_own_tokens(
    session: Session, hand: UiDriver, tmp_path: Path, suffix: str
) -> None:
    window = session.window
    values = {"shop": "Acme", "question": "When is my next bill due?"}
    window.prompt.set_document(replace(PROMPT, variables=values))
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "a report")
    file = tmp_path / f"rows.{suffix}"
    tab = "\t" if suffix == "TSV" else ","
    file.write_text("\n".join((tab.join(values), *[tab.join(values.values())] * 2)) + "\n", "utf-8")
    dropped = QMimeData()
    dropped.setUrls([QUrl.fromLocalFile(str(file))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(5, 5), Qt.DropAction.CopyAction, dropped, left, none))
    QApplication.sendEvent(window, QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, dropped, left, none))
    await hand.until(lambda: "batch" in window.modes.views, "Batch mode")
    await hand.until(lambda: window.batch.tools.run.isEnabled(), "the plan")
    found = session.workspace.sender.forecast(window.prompt.document(), session.workspace.endpoint).forecast
    assert f"context ≈ {round(found.prompt_tokens):,} of " in window.top.context.label
    figure = window.batch.page.setup._figures["Prompt tokens"]
    assert figure.value == f"≈ {2 * found.prompt_tokens:,.0f}"
