"""The status bar: a long error is elided, and whole in the tooltip; requests in flight are counted until they end."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.runs.shared_rate_limiter import SharedRateLimiter
from playground.ui.edges import StatusBar
from playground.ui.session import Session
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
