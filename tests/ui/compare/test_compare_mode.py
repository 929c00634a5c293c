"""Compare mode in the real window against the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QMenu, QMessageBox
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS, Endpoint, Rates
from playground.experiments.comparison import Piece, read_tags
from playground.prompt.diff import DiffRow
from playground.prompt.document import Document, Message
from playground.prompt.files import dump
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.records import EndedRun
from playground.ui.compare.column import PieceView
from playground.ui.compare.page import VariantDialog
from playground.ui.controllers.compare import CompareController
from playground.ui.session import Session
from tests.requestlog.samples import answered, body_of, record

SYSTEM = (
    "You are the agent of a phone company.\nQuote prices in rupees.\n" + "Be brief and kind to every caller.\n" * 60
)
PROMPT = Document(
    name="base",
    id="an id",
    messages=(Message("system", SYSTEM), Message("user", "{{question}}")),
    variables={"question": "Why is my bill higher?"},
    parameters={"max_tokens": 12},
)


def compare_of(session: Session, *others: Document) -> CompareController:
    endpoints = session.workspace.endpoints
    rates = Rates(0.4, 0.1, None)
    endpoints.change(replace(endpoints.get("simulator"), plan=PLANS["none"], rates=rates))
    session.window.prompt.set_document(PROMPT)
    session.window.modes.show_mode("compare")
    compare = session.window.compare
    for document in others:
        compare.add(replace(compare.slots[0].variant, document=document))
    return compare


def edited(old: str = "in rupees", new: str = "briefly", name: str = "shorter") -> Document:
    message = replace(PROMPT.messages[0], content=SYSTEM.replace(old, new, 1))
    return replace(PROMPT.with_message(0, message), name=name)


async def sent(compare: CompareController, hand: UiDriver) -> None:
    compare.send_or_stop()
    await hand.until(lambda: not compare.running, "the end of the comparison")
    await hand.until(lambda: not compare.page.exports[0].isHidden(), "the summary")


def cell(compare: CompareController, row: int, column: int) -> str:
    item = compare.page.summary.item(row, column)
    assert item is not None
    return item.text()


async def test_compare_columns_are_sent_and_every_figure_is_reported(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited(), replace(PROMPT, name="cool", parameters={"temperature": 0.2}))
    await hand.until(lambda: len(compare.page.strip.texts) == 3, "the prefixes")
    assert "system, line 2" in compare.page.strip.texts[1]
    assert "same prefix as A" in compare.page.strip.texts[2]
    estimates = [f"≈ {slot.prefix.total:,.0f} in" for slot in compare.slots if slot.prefix is not None]
    assert [view.input.text() for view in compare.page.columns] == estimates
    compare.page.values.order.setCurrentIndex(1)
    await hand.until(lambda: cell(compare, 1, 3) != "≈ 0", "the forecast in this order")
    for at, view in enumerate(compare.page.columns, 1):
        assert f"{cell(compare, 1, at)} cached" == view.cached.text()
    session.window.actions_table["send"].trigger()
    await hand.until(lambda: not compare.running, "the end of the comparison")
    runs = [slot.runs[0] for slot in compare.slots]
    assert [run.phase for run in runs] == ["done"] * 3
    assert len({run.request_id for run in runs}) == 3
    first, second, third = runs
    assert first.cached_tokens is not None
    assert second.cached_tokens is not None
    assert third.cached_tokens is not None
    assert third.cached_tokens > first.cached_tokens
    assert third.cached_tokens > second.cached_tokens
    view = compare.page.columns[2]
    assert view.cached.text() == f"{third.cached_tokens:,} cached"
    assert view.text.exact_text == third.text
    assert view.cost.text().startswith("$")
    assert view.id.copy.text_to_copy == third.request_id
    assert not session.window.requests.running
    log = session.workspace.log
    assert log is not None
    for index, run in enumerate(runs):
        stored = await log.get(run.run_id)
        assert stored is not None
        assert read_tags(stored.tags) == (compare.session.id, index)
        assert stored.record.source == "experiment"


async def test_a_column_without_reported_cached_tokens_has_a_dash_after_the_end(
    session: Session, hand: UiDriver
) -> None:
    compare = compare_of(session, replace(PROMPT, parameters={**PROMPT.parameters, "simulate": "no_usage_details"}))
    await hand.until(lambda: len(compare.page.strip.texts) == 2, "the prefixes")
    assert compare.page.columns[1].cached.text().startswith("≈")
    await sent(compare, hand)
    run = compare.slots[1].runs[0]
    assert (run.phase, run.cached_tokens, run.forecast_cached is None) == ("done", None, False)
    assert compare.page.columns[1].cached.text() == f"{cell(compare, 0, 2)} cached" == "— cached"


async def test_compare_next_pane_goes_from_the_values_over_the_columns_to_the_summary(session: Session) -> None:
    page, window = compare_of(session, edited()).page, session.window
    seen = []
    for action in (*["next_pane"] * 4, "previous_pane"):
        window.actions_table[action].trigger()
        seen.append(window.focusWidget())
    value = page.values.fields["question"]
    columns = [view.more for view in page.columns]
    assert seen == [*columns, page.summary, value, page.summary]


async def test_compare_after_a_change_of_theme_displays_what_is_sent(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    session.window.actions_table["theme"].trigger()
    await sent(compare, hand)
    assert [view.text.exact_text for view in compare.page.columns] == [slot.runs[0].text for slot in compare.slots]


async def test_compare_closed_window_has_no_timer_of_it(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    compare.page.values.order.setCurrentIndex(1)
    assert any(timer.isActive() for timer in compare.findChildren(QTimer))
    session.window.shut_down()
    assert not any(timer.isActive() for timer in compare.findChildren(QTimer))


async def test_compare_cold_and_warm_start_are_fair(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    compare.tools.runs.setValue(2)
    compare.page.values.start.setCurrentIndex(2)
    await sent(compare, hand)
    assert [len(slot.runs) for slot in compare.slots] == [2, 2]
    assert all((run.cached_tokens or 0) > 0 for slot in compare.slots for run in slot.runs)
    assert "(" in cell(compare, 2, 1), "median and range of two runs"
    compare.page.values.start.setCurrentIndex(1)
    await sent(compare, hand)
    assert [run.cached_tokens for slot in compare.slots for run in slot.runs] == [0] * 4
    log = session.workspace.log
    assert log is not None
    assert (await log.count(EVERYTHING)).n == 6 + 4


async def test_compare_stop_one_and_stop_all_keep_the_text(session: Session, hand: UiDriver) -> None:
    long = replace(PROMPT, parameters={"simulate": "stall=12"})
    compare = compare_of(session)
    compare.change(compare.slots[0], replace(compare.slots[0].variant, document=long))
    compare.add(replace(compare.slots[0].variant, document=replace(long, name="other")))
    compare.tools.runs.setValue(3)
    compare.send()
    await hand.until(lambda: all(view.text.exact_text for view in compare.page.columns), "text in both columns")
    compare.page.columns[1].stop.click()
    await hand.until(lambda: len(compare.slots[1].runs) == 1, "the end of B")
    assert compare.slots[1].runs[0].phase == "stopped"
    assert compare.slots[0].running
    session.window.actions_table["send"].trigger()
    await hand.until(lambda: not compare.running, "the end of all")
    for slot, view in zip(compare.slots, compare.page.columns, strict=True):
        assert [run.phase for run in slot.runs] == ["stopped"]
        assert slot.runs[0].text
        assert view.text.exact_text == slot.runs[0].text
        assert view.input.text().startswith(("≈", "—")), "usage is unknown after a stop"
        assert view.cost.text() == "—"


async def test_compare_failed_column_shows_its_error_and_others_go_on(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session)
    closed = Endpoint("closed", "Closed", "http://127.0.0.1:9/v1", needs_key=False)
    keyed = Endpoint("keyed", "Keyed", "http://127.0.0.1:9/v1", needs_key=True)
    session.workspace.sender.retries = replace(session.workspace.sender.retries, attempts=1)
    for endpoint in (closed, keyed):
        compare.add(replace(compare.slots[0].variant, endpoint=endpoint))
    await sent(compare, hand)
    assert compare.slots[0].runs[0].phase == "done"
    assert compare.slots[1].runs[0].phase == "failed"
    assert compare.slots[1].runs[0].error in compare.page.columns[1].status.full_text
    assert compare.slots[2].runs == []
    assert "key" in compare.page.columns[2].status.full_text
    assert cell(compare, 0, 3) == "—"


async def test_compare_differences_of_the_answers_can_be_hidden(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited(name="other"))
    await sent(compare, hand)
    view = compare.page.columns[1]
    await hand.until(lambda: view.answer.currentWidget() is view.pieces, "the difference")
    assert compare.slots[1].changes is not None
    compare.tools.differences.setChecked(False)
    assert view.answer.currentWidget() is view.text


async def test_compare_winner_is_one_undo_step_of_the_editor(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    field = compare.page.values.fields["question"]
    field.setFocus()
    field.end(False)
    QTest.keyClicks(field, "!")
    prompt = session.window.prompt
    before, steps = prompt.document(), prompt.history.stack.count()
    compare.page.columns[1].use.click()
    after = prompt.document()
    assert session.window.modes.current == "prompt"
    assert after.messages == edited().messages
    assert after.variables["question"] == "Why is my bill higher?!"
    assert (after.name, after.id) == (before.name, before.id)
    assert prompt.history.stack.count() == steps + 1
    prompt.undo()
    assert prompt.document() == before


async def test_compare_editor_changes_prompt_parameters_and_model(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, replace(PROMPT, name="b"))
    await sent(compare, hand)
    compare.page.columns[1].asked.emit("edit")
    dialog = compare.dialog
    assert isinstance(dialog, VariantDialog)
    assert dialog.pane.axes is not None
    assert dialog.pane.axes.same_values > 0, "the column was sent"
    dialog.pane.set_document(replace(edited(), parameters={"temperature": 0.2}), undoable=True, label="edit")
    dialog.model.setText("electron-mini")
    dialog.name.setText("mini")
    dialog._accept()
    slot = compare.slots[1]
    assert slot.runs == []
    assert slot.variant.endpoint.model == "electron-mini"
    assert slot.variant.document.name == "mini"
    kind = compare.page.columns[1].kind.text()
    assert kind == "prompt edited · parameter changed · other model"
    assert compare.slots[0].runs, "results of other columns stay"


async def test_compare_editor_asks_only_before_it_discards_an_edit(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, replace(PROMPT, name="b"))
    compare.page.columns[1].asked.emit("edit")
    assert isinstance(compare.dialog, VariantDialog)
    await hand.until(compare.dialog.isVisible, "the editor")
    QTest.keyClick(compare.dialog, Qt.Key.Key_Escape)
    assert not compare.dialog.isVisible()
    compare.page.columns[1].asked.emit("edit")
    dialog = compare.dialog
    assert isinstance(dialog, VariantDialog)
    await hand.until(dialog.isVisible, "the editor")
    dialog.name.setText("mini")
    for label in ("Cancel", "Discard"):
        QTest.keyClick(dialog, Qt.Key.Key_Escape)
        (box,) = [found for found in dialog.findChildren(QMessageBox) if found.isVisible()]
        (button,) = [found for found in box.buttons() if found.text().replace("&", "") == label]
        button.click()
        await hand.until(lambda asked=box: not asked.isVisible(), "the answer")  # type: ignore[misc]
        assert dialog.isVisible() is (label == "Cancel")
    assert compare.slots[1].variant.document.name == "b"


async def test_compare_editor_cuts_no_line_at_its_first_display(session: Session, hand: UiDriver) -> None:
    # 103 characters and a word: between the width of 100 characters and that of the card.
    lines = "\n".join(f"{number:03}. " + "a" * 47 + " " + "b" * 50 + " end" for number in range(60))
    compare = compare_of(session, Document(name="long", messages=(Message("system", lines),)))
    compare.page.columns[1].asked.emit("edit")
    assert isinstance(compare.dialog, VariantDialog)
    text = compare.dialog.pane.prompt_tab.cards[0].text
    await hand.until(text.isVisible, "the editor")
    await hand.until(lambda: text.document().firstBlock().layout().lineCount() > 0, "the lines")
    block, widths = text.document().firstBlock(), set()
    while block.isValid():
        widths |= {round(block.layout().lineAt(at).width()) for at in range(block.layout().lineCount())}
        block = block.next()
    assert widths == {text.viewport().width()}


async def test_compare_column_order_copies_files_and_limit_of_four(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    file = tmp_path / "third.prompt.json"
    file.write_text(dump(replace(PROMPT, name="")), "utf-8")
    compare = compare_of(session, edited())
    compare.page.columns[0].asked.emit("right")
    assert [slot.variant.document.name for slot in compare.slots] == ["shorter", "base"]
    await compare.files.add_file(file)
    compare.add(compare.slots[0].variant)
    compare.add(compare.slots[0].variant)
    assert [slot.variant.document.name for slot in compare.slots] == ["shorter", "base", "third", "shorter 2"]
    assert not compare.tools.add.isEnabled()
    compare.page.columns[3].asked.emit("remove")
    assert len(compare.page.columns) == 3
    said: list[str] = []
    compare.notice.connect(said.append)
    file.write_text("{", "utf-8")
    await compare.files.add_file(file)
    await compare.files.add_file(tmp_path / "absent.json")
    assert len(said) == 2
    assert len(compare.slots) == 3


async def test_compare_comparison_is_reopened_from_the_log(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    compare.tools.runs.setValue(2)
    compare.page.values.start.setCurrentIndex(1)
    await sent(compare, hand)
    before = compare.report()
    run_id = before.columns[1].runs[0].run_id
    compare.change(compare.slots[0], replace(compare.slots[0].variant, document=Document(messages=PROMPT.messages)))
    await compare.open_logged([run_id])
    after = compare.report()
    assert after.id == before.id
    assert after.id in compare.page.caption.full_text
    assert "tag:" not in compare.page.caption.full_text
    assert [column.variant.document.messages for column in after.columns] == [
        PROMPT.messages,
        edited().messages,
    ]
    for one, other in zip(before.columns, after.columns, strict=True):
        assert [run.request_id for run in one.runs] == [run.request_id for run in other.runs]
        assert [run.text for run in one.runs] == [run.text for run in other.runs]
        assert [run.cached_tokens for run in one.runs] == [run.cached_tokens for run in other.runs]
    compare.page.columns[1].open.click()
    await hand.until(lambda: session.window.requests.shown_run_id == after.columns[1].runs[-1].run_id, "the panes")
    assert session.window.modes.current == "prompt"


async def test_compare_logged_requests_without_a_comparison_name_no_tag(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, edited())
    await sent(compare, hand)
    run_ids = [column.runs[0].run_id for column in compare.report().columns]
    compare._set_slots(compare.slots[:1])
    said: list[str] = []
    read = compare.session.read_logged
    nothing_sent = compare.page.caption.full_text

    async def looked(*given: Any) -> Any:
        said.append(compare.page.notice.words)
        assert compare.page.caption.full_text != nothing_sent
        assert not compare.tools.send.isEnabled()
        compare.send()
        assert not compare.running
        return await read(*given)

    compare.session.read_logged = looked  # type: ignore[method-assign,assignment]
    before = compare.page.notice.words
    await compare.open_logged(run_ids)
    assert len(compare.slots) == 2
    assert said != [before]
    assert not compare.session.id
    assert "tag:" not in compare.page.caption.full_text


async def test_compare_export_is_written_and_table_is_copied(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    compare = compare_of(session, edited())
    await sent(compare, hand)
    run = compare.slots[1].runs[0]
    for form, name in (("html", "c.html"), ("markdown", "c.md")):
        await compare.files.export(tmp_path / name, form, compare.report())  # type: ignore[arg-type]
        text = (tmp_path / name).read_text("utf-8")
        assert (run.request_id or "?") in text
        assert "<script" not in text
    compare.page.copy_asked.emit()
    await hand.until(lambda: "Served from cache" in QGuiApplication.clipboard().text(), "the table")
    compare.page.html_asked.emit()
    assert isinstance(compare.files.dialog, QFileDialog)
    compare.files.dialog.reject()
    said: list[str] = []
    compare.notice.connect(said.append)
    await compare.files.export(tmp_path / "absent" / "c.html", "html", compare.report())
    assert len(said) == 1


async def test_compare_single_column_follows_the_editor_until_it_is_sent(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session)
    assert not compare.page.notice.isHidden()
    session.window.modes.show_mode("prompt")
    session.window.prompt.set_document(edited())
    session.window.modes.show_mode("compare")
    assert compare.slots[0].variant.document.messages == edited().messages
    await sent(compare, hand)
    session.window.modes.show_mode("prompt")
    session.window.prompt.set_document(PROMPT)
    session.window.modes.show_mode("compare")
    assert compare.slots[0].variant.document.messages == edited().messages


async def test_compare_http_error_shows_status_and_request_id(session: Session, hand: UiDriver) -> None:
    session.workspace.sender.retries = replace(session.workspace.sender.retries, attempts=1)
    failing = replace(PROMPT, name="failing", parameters={"simulate": "500"})
    compare = compare_of(session, failing)
    await sent(compare, hand)
    run, view = compare.slots[1].runs[0], compare.page.columns[1]
    assert (run.phase, run.status) == ("failed", 500)
    assert run.request_id
    assert "HTTP 500" in view.status.full_text
    assert view.id.copy.text_to_copy == run.request_id
    assert run.error in view.placeholder.text()
    rows = [compare.page.summary.item(row, 0) for row in range(compare.page.summary.rowCount())]
    labels = [item.text() for item in rows if item is not None]
    assert cell(compare, labels.index("Status"), 2) == "500"


async def test_compare_order_is_explained_and_forecast_before_sending(session: Session, hand: UiDriver) -> None:
    compare = compare_of(session, replace(PROMPT, name="copy"))
    await hand.until(lambda: len(compare.page.strip.texts) == 2, "the prefixes")
    assert "do not warm each other" in compare.page.strip.costs.text()
    assert compare.slots[1].expected == 0
    compare.page.values.order.setCurrentIndex(1)
    await hand.until(lambda: bool(compare.slots[1].expected), "the forecast")
    assert "(A, B)" in compare.page.strip.costs.text()
    assert compare.page.columns[1].cached.text() == f"≈ {compare.slots[1].expected:,.0f} cached"
    await sent(compare, hand)
    run = compare.slots[1].runs[0]
    assert run.cached_tokens
    assert run.forecast_cached


async def test_compare_values_are_taken_from_a_row_of_a_file(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    file = tmp_path / "callers.csv"
    file.write_text("caller,question\nAsha,Why?\nRavi,When?\n", "utf-8")
    compare = compare_of(session, edited())
    await compare.files.read_values(file)
    values = compare.page.values
    assert values.fields["question"].text() == "Why?"
    assert (values.rows.minimum(), values.rows.maximum()) == (0, 1)
    values.rows.setValue(1)
    assert values.fields["question"].text() == "When?"
    await sent(compare, hand)
    assert [slot.sent.variables["question"] for slot in compare.slots if slot.sent] == ["When?"] * 2
    said: list[str] = []
    compare.notice.connect(said.append)
    file.write_text("city\nPune\n", "utf-8")
    await compare.files.read_values(file)
    assert "city" in said[0]
    assert values.fields["question"].text() == "When?"


async def test_compare_menu_of_logged_requests_shows_line_ends_and_tabs_of_a_question(session: Session) -> None:
    log = session.workspace.log
    assert log is not None
    await log.add([EndedRun(record(body=body_of("one\ttwo\nthree \u202e four")), tuple(answered()))])
    compare = compare_of(session, edited())
    await compare.files.list_logged()
    (label,) = [action.text() for action in compare.files.logged.actions() if "one" in action.text()]
    assert not {"\t", "\n", "\u202e"} & set(label)


async def test_compare_source_menu_opened_many_times_keeps_one_submenu(session: Session) -> None:
    compare = compare_of(session, edited())
    for _ in range(5):
        compare.files.fill()
        await compare.files.list_logged()
    assert len(compare.tools.sources.findChildren(QMenu)) == 1
    labels = [action.text() for action in compare.tools.sources.actions()]
    assert labels[-1] == "From a logged request"
    assert len(labels) == 5


async def test_compare_hidden_page_is_not_painted_and_is_current_when_displayed(
    session: Session, hand: UiDriver
) -> None:
    compare = compare_of(session, replace(PROMPT, name="slow", parameters={"simulate": "slow_first_byte=3000"}))
    compare.send()
    await hand.until(lambda: bool(compare.slots[0].runs) and compare.slots[1].running, "the answer of A")
    session.window.modes.show_mode("prompt")
    await hand.until(lambda: not compare.painter.frame.isActive(), "the end of the frames")
    await hand.until(lambda: not compare.running, "the answer of B")
    assert not compare.painter.frame.isActive()
    session.window.modes.show_mode("compare")
    for slot, view in zip(compare.slots, compare.page.columns, strict=True):
        await hand.until(lambda s=slot, v=view: v.text.exact_text == s.runs[0].text, "the text")  # type: ignore[misc]
    await hand.until(lambda: not compare.painter.frame.isActive(), "the end of the frames")


def test_piece_view_line_for_line_shows_the_changed_words(qtbot: QtBot) -> None:
    view = PieceView("Differences")
    qtbot.addWidget(view)
    before = (
        "Their name is at the end of the conversation. Use the name once, at the start, and never again in the call."
    )
    rows = [
        DiffRow("head", "message 1"),
        DiffRow("same", "unchanged"),
        DiffRow("gone", before),
        DiffRow("come", before.replace("once", "twice")),
        DiffRow("gone", "Be kind."),
        DiffRow("come", "Answer in German."),
    ]
    view.show_rows(rows)
    head, words, *others = view.toPlainText().split("\n")
    assert head == "message 1"
    assert "oncetwice" in words
    assert words.startswith("…")
    assert words.endswith("…")
    assert len(words) < len(before)
    assert others == ["Be kind.", "Answer in German."]


def test_piece_view_copies_without_the_removed_words(qtbot: QtBot) -> None:
    view = PieceView("Answer")
    qtbot.addWidget(view)
    view.show_pieces(
        [Piece("same", "alpha "), Piece("gone", "beta\nold\n"), Piece("come", "gamma\n"), Piece("same", "end")]
    )
    view.selectAll()
    assert view.createMimeDataFromSelection().text() == "alpha gamma\nend"
