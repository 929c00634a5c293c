"""Recorder mode: the real window, the real recorder in its process, the simulator behind it, and an httpx client."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any

import httpx
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from playground.cli.selftest import UiDriver
from playground.client.endpoint import Endpoint
from playground.recorder.capture import SEVERAL_KEYS
from playground.requestlog.records import LogRow
from playground.ui.controllers.recorder import RecorderController
from playground.ui.recorder.bars import SNIPPETS
from playground.ui.session import Session
from tests.ui.conftest import Tell

RULES = "You speak with callers of Acme Mobile. Be brief and kind, and read out no lists. " * 30


def body(number: int, **fields: Any) -> dict[str, Any]:
    system = f"You are Mira, the phone agent. It is 2026-11-{number + 10} today. {RULES}"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Question {number}?"}]
    return {"model": "electron", "max_tokens": 4, "messages": messages, **fields}


async def recording(session: Session, hand: UiDriver, port: int = 0) -> RecorderController:
    session.window.actions_table["mode_recorder"].trigger()
    recorder = session.window.recorder
    recorder.tools.port.setValue(port)
    recorder.tools.button.click()
    await hand.until(lambda: recorder.process is not None, "the recorder's process")
    return recorder


async def post(recorder: RecorderController, sent: dict[str, Any], **headers: str) -> httpx.Response:
    url = f"{recorder.tools.url.text()}/chat/completions"
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.post(url, json=sent, headers={"Authorization": "Bearer sk_caller", **headers})


def ended(recorder: RecorderController, count: int) -> bool:
    rows = recorder.page.model.rows
    return len(rows) == count and all(row.phase in ("done", "failed") for row in rows)


def analysed(recorder: RecorderController) -> int:
    return sum(len(program.run_ids) for program in recorder.page.analysis.programs)


async def record(recorder: RecorderController, hand: UiDriver, count: int) -> list[str]:
    """Send requests that differ by a date in front of stable text. Returns their request_ids, oldest first."""
    ids = [(await post(recorder, body(number))).headers["x-request-id"] for number in range(count)]
    await hand.until(lambda: ended(recorder, count), "the rows")
    return ids


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_recorder_mode_before_start_is_empty_and_focuses_start(session: Session, hand: UiDriver) -> None:
    assert "recorder" not in session.window.modes.views
    session.window.actions_table["mode_recorder"].trigger()
    recorder = session.window.recorder
    assert recorder.page.start_button.isVisible()
    assert session.window.focusWidget() is recorder.page.start_button
    assert not recorder.tools.url.isVisible()
    assert recorder.process is None


async def test_recorder_mode_without_a_request_says_what_it_waits_for(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    await hand.until(lambda: recorder.tools.url.text() in recorder.page.steps.text(), "the address")
    assert recorder.page.empty_title.text() == "Waiting for the first request"
    assert not recorder.page.start_button.isVisible()


async def test_recorder_mode_records_rows_totals_causes_and_leaks(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    page = recorder.page
    ids = await record(recorder, hand, 5)
    assert [row.request_id for row in page.model.rows] == ids[::-1]
    assert {(row.finish_reason, row.warning) for row in page.model.rows} == {("length", "")}  # max_tokens 4
    reported = [(row.prompt_tokens, row.cached_tokens) for row in page.model.rows]
    prompt, cached = sum(p or 0 for p, _ in reported), sum(c or 0 for _, c in reported)
    assert prompt > 2_000
    assert f"hit rate {cached / prompt * 100:.1f} %" in page.summary.text()
    await hand.until(lambda: session.workspace.load().this_minute == 5, "the requests of this minute")
    await hand.until(lambda: analysed(recorder) == 5, "the leak")
    # As the process does when a request begins; the log has it when it has ended.
    workspace = session.workspace
    workspace.rate_limiter.count(await workspace.simulation.resolve(workspace.endpoint))
    await hand.until(lambda: workspace.load().this_minute == 6, "a request that is not in the log")
    (leak,) = page.leaks.leaks
    assert (leak.span.kind, leak.span.index, leak.span.changes) == ("date", 0, 4)
    assert leak.place == "system message 1, line 1"
    assert len(page.analysis.programs) == 1
    cause = page.model.index(0, 6)
    await hand.until(lambda: cause.data() == "date in message 1, line 1", "the cause")
    assert page.programs.topLevelItemCount() == 2
    program = page.programs.topLevelItem(1)
    assert program is not None
    program.setExpanded(True)
    conversation = program.child(0)
    assert conversation is not None
    page.programs.setCurrentItem(conversation)
    assert len(page.model.rows) == 1
    recorder._begin(recorder._preview(leak), "preview")
    await hand.until(lambda: recorder.dialog is not None, "the preview")
    assert recorder.dialog is not None
    assert "2026-11-10" in recorder.dialog.difference.toPlainText()
    recorder.dialog.close()


async def test_recorder_mode_unreported_tokens_are_unknown(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    assert (await post(recorder, body(0), **{"X-Simulate": "503"})).status_code == 503
    await hand.until(lambda: ended(recorder, 1), "the row")
    assert "hit rate — · TTFT cold —, warm — · input cost —" in recorder.page.summary.text()
    index = recorder.page.model.index(0, 4)
    assert recorder.page.model.data(index) == "—"


async def test_recorder_mode_request_opens_by_keyboard_and_as_prompt_with_variables(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    recorder = await recording(session, hand)
    ids = await record(recorder, hand, 3)
    page = recorder.page
    await hand.until(lambda: analysed(recorder) == 3, "the analysis")
    page.take_focus()
    row = page.table.current_row()
    assert isinstance(row, LogRow)
    QTest.keyClick(page.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == ids[-1]
    QTest.keyClick(page.table, Qt.Key.Key_Return)
    await hand.until(lambda: window.requests.shown_run_id == row.run_id, "the request in the panes")
    assert window.modes.current == "prompt"
    window.modes.show_mode("recorder")
    page.buttons["prompt"].click()
    await hand.until(lambda: "date" in window.prompt.document().variables, "the prompt")
    document = window.prompt.document()
    assert document.variables["date"] == "2026-11-12"
    assert document.messages[0].content == (f"You are Mira, the phone agent. It is {{{{date}}}} today. {RULES}")
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")


async def test_recorder_mode_port_in_use_offers_a_free_one(session: Session, hand: UiDriver) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        session.window.actions_table["mode_recorder"].trigger()
        recorder = session.window.recorder
        recorder.tools.port.setValue(port)
        recorder.tools.button.click()
        await hand.until(recorder.page.notice.isVisible, "the notice")
        assert str(port) in recorder.page.notice.words
        recorder.page.notice.press("Use a free port")
        await hand.until(lambda: recorder.process is not None, "the recorder")
        assert str(port) not in recorder.tools.url.text()


async def test_recorder_mode_killed_process_is_reported_and_restarts_on_its_port(
    session: Session, hand: UiDriver
) -> None:
    recorder = await recording(session, hand)
    url = recorder.tools.url.text()
    assert recorder.process is not None
    os.kill(recorder.process.pid, signal.SIGKILL)
    await hand.until(lambda: recorder.process is None, "its end")
    assert recorder.page.notice.isVisible()
    assert not recorder.tools.url.isVisible()
    recorder.page.notice.press("Start again")
    await hand.until(lambda: recorder.process is not None, "the restarted recorder")
    assert recorder.tools.url.text() == url
    assert (await post(recorder, body(0))).status_code == 200


async def test_recorder_mode_unreadable_body_is_forwarded_and_reported(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{recorder.tools.url.text()}/chat/completions", content=b"no JSON")
    assert answer.status_code == 400
    await hand.until(recorder.page.notice.isVisible, "the notice")
    assert "not recorded" in recorder.page.notice.words


async def test_recorder_mode_says_that_requests_come_with_several_keys(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    async with httpx.AsyncClient(trust_env=False) as client:
        for key in ("key-of-the-first-program", "key-of-the-second-program"):
            headers = {"Authorization": f"Bearer {key}"}
            await client.post(f"{recorder.tools.url.text()}/chat/completions", json=body(0), headers=headers)
    await hand.until(recorder.page.notice.isVisible, "the notice")
    assert recorder.page.notice.words == SEVERAL_KEYS
    await hand.until(lambda: len(recorder.page.model.rows) == 2, "both requests")


def test_recorder_mode_stop_and_close_end_the_process(tell: Tell) -> None:
    pids: list[int] = []

    async def story(session: Session, hand: UiDriver) -> None:
        recorder = await recording(session, hand)
        assert recorder.process is not None
        pids.append(recorder.process.pid)
        recorder.tools.button.click()
        await hand.until(lambda: recorder.process is None, "the end of the process")
        assert not recorder.page.notice.isVisible()
        assert not alive(pids[0])
        recorder.tools.button.click()
        await hand.until(lambda: recorder.process is not None, "the second process")
        pids.append(recorder.process.pid)

    async def later(_session: Session, hand: UiDriver) -> None:
        await hand.until(lambda: not alive(pids[1]), "the end of the second process")

    tell(story)
    tell(later)


async def test_recorder_mode_snippets_before_the_start_have_the_path_of_the_endpoint(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    mine = session.workspace.endpoints.add(Endpoint("", "Mine", "http://127.0.0.1:9/v1", "m", needs_key=False))
    window.choose_endpoint(mine.id)
    window.actions_table["mode_recorder"].trigger()
    panel = window.recorder.page.connect_panel
    port = window.recorder.tools.port.value()
    await hand.until(lambda: f"http://127.0.0.1:{port}/v1" in panel.copy.text_to_copy, "the endpoint's path")
    assert "/waves" not in panel.copy.text_to_copy


async def test_recorder_mode_snippets_have_the_base_url(session: Session, hand: UiDriver) -> None:
    recorder = await recording(session, hand)
    panel, url = recorder.page.connect_panel, recorder.tools.url.text()
    for client in SNIPPETS:
        panel.client.setCurrentText(client)
        assert url in panel.copy.text_to_copy
    await asyncio.sleep(0)
