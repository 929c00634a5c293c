"""What the window says in several places at once is the same thing, and stays true."""

from __future__ import annotations

import re
from functools import partial

from msgspec.structs import replace
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLabel

from playground.cli.selftest import UiDriver
from playground.client.endpoint import ELECTRON_ID, SIMULATOR_ID
from playground.prompt.document import Document, Message
from playground.ui.dialogs.connect import ConnectDialog
from playground.ui.main_window import MainWindow
from playground.ui.session import Session
from tests.ui.conftest import Tell
from tests.ui.test_window import _send

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def copied() -> str:
    return QGuiApplication.clipboard().text()


def _has_rows(window: MainWindow, count: int) -> bool:
    return window.log.model.rowCount() == count


async def test_copy_request_id_in_log_inspector_and_by_key_copies_the_request_on_display(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    window.prompt.set_document(replace(window.prompt.document(), parameters={"max_tokens": 2}))
    ids = []
    for number in range(2):
        await _send(session, hand)
        assert window.requests.current is not None
        ids.append(window.requests.current.run.state.request_id)
        await hand.until(partial(_has_rows, window, number + 1), "the row")
    first, second = ids
    assert first != second
    for run_id, wanted in ((None, second), ("first", first), (None, second)):
        if run_id is not None:
            window.log.table.go_to(1)
            await hand.until(lambda: window.response.from_log.isVisible(), "the logged request")
        elif window.response.from_log.isVisible():
            window.requests.show_current()
        ways = (window.log.copy_button.click, window.inspector.id.copy.click)
        for copy in (*ways, window.actions_table["copy_request_id"].trigger):
            QGuiApplication.clipboard().clear()
            copy()
            assert copied() == wanted
        assert window.log.model.shown_run_id == window.requests.shown_run_id


async def test_request_id_of_a_failed_request_is_displayed_once(session: Session, hand: UiDriver) -> None:
    window = session.window
    document = window.prompt.document()
    window.prompt.set_document(replace(document, parameters={**document.parameters, "simulate": "401"}))
    window.requests.send_or_stop()
    await hand.until(lambda: window.response.notice is not None and not window.requests.running, "the error")
    notice = window.response.notice
    assert notice is not None
    assert not any(UUID.search(label.text()) for label in notice.findChildren(QLabel))
    assert UUID.match(window.inspector.id.id.displayed)
    await hand.until(lambda: window.prompt.axes is not None, "the forecast")
    assert window.prompt.footer.state == "cache: no answer yet"
    # A notice ends with its cause: the next request that is sent.
    window.show_notice("Something to do")
    window.prompt.set_document(document)
    await _send(session, hand)
    assert window.notice_bar.isHidden(), window.notice_bar.words
    assert window.response.notice is None


async def test_edit_endpoint_and_set_a_rate_open_at_the_endpoint_concerned(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    window.choose_endpoint(ELECTRON_ID)
    for open_dialog, wanted in (
        (window.actions_table["connect"].trigger, ELECTRON_ID),
        (window.inspector.cost.set_rate.click, SIMULATOR_ID),  # of the request on display
    ):
        open_dialog()
        dialog = next(one for one in window.findChildren(ConnectDialog) if one.isVisible())
        assert dialog.form.name.text() == session.workspace.endpoints.get(wanted).name
        dialog.reject()


async def test_window_state_is_stored_while_the_window_is_open(session: Session, hand: UiDriver) -> None:
    window, settings = session.window, session.workspace.settings
    rows = window.area.work
    rows.setSizes([400, 300])
    window.places._timer.setInterval(10)
    await hand.until(lambda: settings.number("log_height") == rows.sizes()[1], "the stored height of the log")


def test_requests_after_a_restart_of_the_simulator_are_no_regression(tell: Tell) -> None:
    async def first(session: Session, hand: UiDriver) -> None:
        await _send(session, hand)
        await _send(session, hand)

    async def second(session: Session, hand: UiDriver) -> None:
        window = session.window
        await _send(session, hand)
        current = window.requests.current
        assert current is not None
        assert current.run.state.usage is not None
        assert current.run.state.usage.cached_tokens == 0
        assert current.why is not None
        assert current.why.cause == "first"
        assert window.inspector.advice.boxes == []

    tell(first)
    tell(second)


async def test_inspector_of_an_unsent_tab_has_its_estimates_again_after_a_look_at_a_logged_request(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    await _send(session, hand)
    await hand.until(partial(_has_rows, window, 1), "the row")
    window.files.new()
    window.prompt.set_document(Document(messages=(Message("user", "What is the capital of France, and of Spain?"),)))
    window.requests.refresh_forecast()
    headline, forecast = window.inspector.usage.headline, window.inspector.forecast.rows["forecast"]
    before = headline.text(), forecast.value
    assert all(text.startswith("≈") for text in before), before
    for leave in (window.requests.show_current, partial(_delete_logged, session)):
        window.log.table.go_to(0)
        await hand.until(lambda: window.response.from_log.isVisible(), "the logged request")
        if (work := leave()) is not None:
            await work
        await hand.until(lambda: window.requests.recalled is None, "the unsent prompt")
        assert (headline.text(), forecast.value) == before


async def _delete_logged(session: Session) -> None:
    run_id, log = session.window.requests.shown_run_id, session.workspace.log
    assert run_id is not None
    assert log is not None
    await log.delete([run_id])


async def test_copy_request_id_says_as_the_ticket_does_that_an_unsent_tab_has_no_request(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    await _send(session, hand)
    await hand.until(partial(_has_rows, window, 1), "the row")
    window.files.new()
    QGuiApplication.clipboard().clear()
    window.actions_table["copy_ticket"].trigger()
    words = window.notice_bar.words
    assert words
    window.notice_bar.hide()
    window.actions_table["copy_request_id"].trigger()
    assert (window.notice_bar.isVisible(), window.notice_bar.words) == (True, words)
    assert not window.log.copy_button.isEnabled()
    assert copied() == ""
