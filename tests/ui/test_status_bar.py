"""The status bar: a long error is elided, and whole in the tooltip; requests in flight are counted until they end."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.client.endpoint import Endpoint
from playground.requestlog.log import RequestLog
from playground.requestlog.records import EndedRun
from playground.runs.shared_rate_limiter import SharedRateLimiter
from playground.ui.edges import StatusBar
from playground.ui.session import Session
from tests.http_server import serving
from tests.requestlog.samples import answered, record
from tests.ui.conftest import Tell
from tests.ui.test_implausible_reports import Server
from tests.ui.test_window import _send

FULL = "The disk is full: the request log is not being saved. Free some room. Requests continue and stay in memory."


def test_status_bar_error_takes_the_room_of_the_hint_and_has_a_tooltip(qtbot: QtBot) -> None:
    bar = StatusBar()
    qtbot.addWidget(bar)
    bar.show_hint("Ctrl+K Commands")
    bar.resize(500, bar.height())
    bar.show()
    assert bar._hint.isVisible()
    bar.show_error(FULL)
    assert not bar._hint.isVisible()
    assert bar._error.full_text == FULL
    assert FULL in bar._error.toolTip().replace("\n", " ")
    bar.show_error("")
    assert bar._hint.isVisible()


async def test_request_of_another_process_is_in_flight_until_it_ends(session: Session, hand: UiDriver) -> None:
    workspace, bar = session.workspace, session.window.status
    await _send(session, hand)
    endpoint = await workspace.simulation.resolve(workspace.endpoint)
    other = SharedRateLimiter(workspace.folder)
    ticket = await other.acquire(endpoint, lambda _status: None)
    await _send(session, hand)
    assert bar._in_flight.text().startswith("1")
    other.release(endpoint, ticket)
    await other.close()
    await hand.until(lambda: bar._in_flight.text().startswith("0"), "the end of the other request")


async def test_request_that_another_window_logs_is_listed_and_counted(session: Session, hand: UiDriver) -> None:
    workspace, window = session.workspace, session.window
    endpoint = await workspace.simulation.resolve(workspace.endpoint)
    other, limiter = await RequestLog.open(workspace.folder), SharedRateLimiter(workspace.folder)
    await hand.until(lambda: window.log.model.rowCount() == 0, "the empty log")
    ticket = await limiter.acquire(endpoint, lambda _status: None)
    limiter.release(endpoint, ticket)
    await limiter.close()
    await other.add([EndedRun(record(question="Of another window"), tuple(answered()))])
    await other.close()
    await hand.until(lambda: window.log.model.rowCount() == 1, "the request of the other window")
    await hand.until(lambda: window.status._minute.text().startswith("1 "), "its count")


def test_requests_of_the_minute_are_counted_after_a_restart(tell: Tell) -> None:
    with serving(Server) as address:

        async def send(session: Session, hand: UiDriver) -> None:
            mine = session.workspace.endpoints.add(Endpoint("", "Mine", f"{address}/v1", "m", needs_key=False))
            session.window.choose_endpoint(mine.id)
            await _send(session, hand)

        async def look(session: Session, hand: UiDriver) -> None:
            assert session.workspace.endpoint.name == "Mine"
            await hand.until(lambda: session.window.status._minute.text().startswith("1 "), "the count")

        tell(send)
        tell(look)
