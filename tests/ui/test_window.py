"""The window as a whole: what the user does in it, against the simulator over a real socket."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QSplitter, QWidget

from playground.cli.selftest import UiDriver
from playground.client.endpoint import ELECTRON_ID, Endpoint, PlanLimits
from playground.experiments.comparison import figures
from playground.export.log_files import COLUMNS as CSV_COLUMNS
from playground.export.log_files import to_row
from playground.export.ticket import ticket
from playground.prefix_cache.forecaster import PromptForecast
from playground.prompt.document import Document, Message, Tool
from playground.prompt.files import dump, parse_bytes
from playground.prompt.request import body_fields, encode
from playground.requestlog.filter import EVERYTHING
from playground.runs.state import RunState
from playground.storage.endpoints import EndpointStore
from playground.ui.dialogs.palette import CommandPalette
from playground.ui.panes.log.columns import COLUMNS
from playground.ui.panes.response.labels import NEVER_SENT
from playground.ui.session import Session
from tests.conftest import FAST
from tests.ui.conftest import Tell

ODD = "a\u00a0b\u2028c\u2029d\re\r\nf\u200bg\ud83dh\U0001f600 \u0928\u092e\u0938\u094d\u0924\u0947 \u05e9\u05dc\u05d5"


async def _send(session: Session, hand: UiDriver) -> RunState:
    before = session.window.requests.current
    session.window.requests.send_or_stop()
    await hand.until(lambda: not session.window.requests.running, "the end of the request")
    dispatch = session.window.requests.current
    assert dispatch is not None
    assert dispatch is not before
    return dispatch.run.state


async def _logged(session: Session) -> int:
    assert session.workspace.log is not None
    return (await session.workspace.log.count(EVERYTHING)).n


async def test_what_is_opened_is_what_is_sent_to_the_byte(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    document = Document(messages=(Message("system", ODD), Message("user", "{{q}}")), variables={"q": ODD})
    file = tmp_path / "odd.prompt.json"
    file.write_text(dump(document), "utf-8")
    await session.window.files.open_file(file)
    assert session.window.prompt.document().messages == document.messages
    await _send(session, hand)
    dispatch = session.window.requests.current
    assert dispatch is not None
    opened = parse_bytes(file.read_bytes()).document
    assert dispatch.run.request.body == encode(body_fields(opened, "electron"))
    assert session.workspace.log is not None
    stored = await session.workspace.log.get(dispatch.run.id)
    assert stored is not None
    assert stored.record.body == dispatch.run.request.body


async def test_a_missing_value_is_said_and_nothing_is_sent(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", "hello {{nobody}}"),)))
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the refusal")
    assert window.prompt.problem_bar.isVisible()
    assert await _logged(session) == 0


async def test_a_missing_key_is_said_and_nothing_is_sent(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.choose_endpoint(ELECTRON_ID)
    assert "simulated" not in window.simulated.text.full_text
    assert urlsplit(session.workspace.endpoint.base_url).netloc in window.simulated.text.full_text
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the refusal")
    assert window.notice_bar.isVisible()
    assert "no API key for Electron" in window.notice_bar.words
    assert await _logged(session) == 0


async def test_server_that_is_not_there_is_an_error_in_place(session: Session, hand: UiDriver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    mine = session.workspace.endpoints.add(
        Endpoint("", "Mine", f"http://127.0.0.1:{port}/v1", "some-model", needs_key=False)
    )
    session.window.choose_endpoint(mine.id)
    state = await _send(session, hand)
    assert state.phase == "failed"
    assert session.window.response.notice is not None
    assert f"127.0.0.1:{port}" in session.window.response.notice.accessibleName()
    assert await _logged(session) == 1


async def test_the_previous_request_is_not_shown_while_the_next_one_waits_for_its_key(
    session: Session, hand: UiDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = session.window
    await _send(session, hand)
    shown, go_on, send = window.requests.shown_run_id, asyncio.Event(), session.workspace.send

    async def late(*arguments: Any) -> None:
        await go_on.wait()
        await send(*arguments)

    monkeypatch.setattr(session.workspace, "send", late)
    window.requests.send_anyway()
    await hand.until(lambda: window.requests.shown_run_id is None, "the wait in place of the previous request")
    assert window.response.text_tab.words_shown
    assert window.response.text_tab.text.exact_text == ""
    assert window.inspector.id.id.isHidden()
    assert window.inspector.usage.rows["cached"].value == "—"
    window.requests.stop()
    await hand.until(lambda: window.requests.shown_run_id == shown, "the previous request, as nothing was sent")
    window.requests.send_anyway()
    go_on.set()
    await hand.until(lambda: not window.requests.running, "the answer")
    assert window.requests.shown_run_id not in (None, shown)


async def test_a_stop_before_the_first_byte(session: Session, hand: UiDriver) -> None:
    window = session.window
    document = replace(window.prompt.document(), parameters={"simulate": "slow_headers=60000"})
    window.prompt.set_document(document)
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None, "a request on its way")
    window.requests.stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    current = window.requests.current
    assert current is not None
    assert current.run.state.phase == "stopped"
    assert current.run.state.usage is None


def test_the_draft_and_the_log_are_there_again(tell: Tell) -> None:
    async def first(session: Session, hand: UiDriver) -> None:
        session.window.prompt.show_place(0, 0)
        await hand.type("typed and not saved ")
        await _send(session, hand)

    async def second(session: Session, _hand: UiDriver) -> None:
        content = session.window.prompt.document().messages[0].content
        assert content is not None
        assert content.startswith("typed and not saved ")
        assert session.window.files.dirty
        assert await _logged(session) == 1

    tell(first)
    tell(second)


def test_closing_while_it_streams_keeps_what_came(tell: Tell) -> None:
    seen: list[str] = []

    async def first(session: Session, hand: UiDriver) -> None:
        document = session.window.prompt.document()
        session.window.prompt.set_document(replace(document, parameters={"simulate": "stall=9"}))
        session.window.requests.send_or_stop()
        requests = session.window.requests
        await hand.until(lambda: requests.current is not None and bool(requests.current.run.state.text), "some text")
        assert requests.current is not None
        seen.append(requests.current.run.state.text)

    async def second(session: Session, _hand: UiDriver) -> None:
        assert session.workspace.log is not None
        (row,) = await session.workspace.log.page(EVERYTHING)
        stored = await session.workspace.log.get(row.run_id)
        assert row.phase == "stopped"
        assert stored is not None
        assert stored.state().text.startswith(seen[0])

    tell(first)
    tell(second)


async def test_the_completion_is_added_to_the_prompt_as_the_next_message(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    sent, first = window.prompt.document(), window.requests.shown_run_id
    answer = window.response.text_tab.text.toPlainText()
    add = window.response.footer.add
    assert add.isVisible()
    for _ in range(2):  # once, however often
        add.click()
        assert window.prompt.document().messages == (*sent.messages, Message("assistant", answer), Message("user", ""))
    last = window.prompt.prompt_tab.cards[-1].text
    assert window.focusWidget() is last
    QTest.keyClicks(last, "Roaming?")
    await _send(session, hand)
    usage = window.response._state.usage if window.response._state else None
    assert usage is not None
    assert usage.cached_tokens
    assert first is not None
    window.requests.open_logged(first)
    await hand.until(lambda: window.requests.recalled is not None, "the first request")
    add.click()
    assert "another prompt" in window.notice_bar.words
    assert len(window.prompt.document().messages) == len(sent.messages) + 2
    window.prompt.undo()
    window.prompt.undo()
    assert window.prompt.document() == sent


async def test_a_wait_for_the_plan_is_said_and_can_be_stopped(session: Session, hand: UiDriver) -> None:
    mine = session.workspace.endpoint
    session.workspace.endpoints.change(replace(mine, plan=PlanLimits("Custom", 1, 1)))
    await _send(session, hand)
    session.window.requests.send_or_stop()
    text = session.window.response.text_tab
    await hand.until(lambda: "Queued" in text.waiting.title.text(), "why it waits")
    text.waiting.cancel.click()
    await hand.until(lambda: not session.window.requests.running, "the end of the wait")
    current = session.window.requests.current
    assert current is not None
    assert current.run.state.phase == "stopped"
    assert current.run.state.attempts == []
    assert text.ending.text() == NEVER_SENT
    model = session.window.log.model
    place = next(number for number, column in enumerate(COLUMNS) if column.title == "prefix")
    await hand.until(lambda: model.index(0, place).data() == "stopped before it was sent", "the row")
    window, log = session.window, session.workspace.log
    tokens = next(number for number, column in enumerate(COLUMNS) if column.title == "in")
    assert model.index(0, tokens).data() == "—"
    assert window.inspector.usage.headline.text() == "— in"
    assert "before it was sent" in window.inspector.usage.headline.toolTip()
    assert "≈" not in window.response.footer.line
    assert log is not None
    stored = await log.get(current.run.id)
    assert stored is not None
    assert "≈ " not in ticket(stored).partition("≈ is an estimate")[0]
    (cells,) = csv.reader(io.StringIO(to_row(stored), newline=""))
    assert cells[CSV_COLUMNS.index("prompt_tokens_estimated")] == ""
    figures_sent = figures(current.run.id, current.run.state, current.run.endpoint.rates, current.forecast, "")
    assert figures_sent.input.text == "—"
    assert await _logged(session) == 2


async def test_a_logged_prompt_is_used_as_one_step_that_undo_takes_back(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _send(session, hand)
    dispatch = window.requests.current
    assert dispatch is not None
    other = Document(messages=(Message("user", "another prompt"),))
    window.prompt.set_document(other)
    await _send(session, hand)
    window.requests.open_logged(dispatch.run.id)
    await hand.until(lambda: window.response.from_log.isVisible(), "the logged request")
    assert window.requests.request_id == dispatch.run.state.request_id
    assert window.prompt.document() == other
    window.response.from_log.press("Use its prompt")
    assert window.prompt.document().messages == dispatch.run.document.messages
    window.prompt.undo()
    assert window.prompt.document() == other


async def test_a_file_that_is_no_prompt_changes_nothing(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"messages": "none"}), "utf-8")
    before = session.window.prompt.document()
    await session.window.files.open_file(file)
    assert session.window.prompt.document() is before
    assert "other.json was not opened" in session.window.notice_bar.words


def test_the_window_is_the_only_one_that_is_shown(tell: Tell, qapp: QApplication) -> None:
    """A widget that is displayed before it has a parent is a window of its own for a moment, and takes the focus."""
    shown: list[str] = []

    class Watch(QObject):
        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
                shown.append(type(watched).__name__)
            return False

    watch = Watch()
    qapp.installEventFilter(watch)

    async def story(session: Session, hand: UiDriver) -> None:
        await _send(session, hand)
        for index in range(5):
            session.window.prompt.tabs.setCurrentIndex(index)
            session.window.response.show_tab(index)
        session.window.prompt.show_find()
        assert session.window.isActiveWindow()

    tell(story)
    qapp.removeEventFilter(watch)
    assert shown == ["MainWindow"]


def test_saving_keeps_who_may_read_a_file(tell: Tell, tmp_path: Path) -> None:
    file = tmp_path / "shared.prompt.json"
    file.write_text(dump(Document(messages=(Message("user", "hello"),))), "utf-8")
    file.chmod(0o640)

    async def story(session: Session, hand: UiDriver) -> None:
        await session.window.files.open_file(file)
        session.window.prompt.show_place(0, 0)
        await hand.type("well, ")
        assert session.window.files.dirty
        session.window.files.save()
        await hand.until(lambda: not session.window.files.dirty, "the file is saved")

    tell(story)
    assert parse_bytes(file.read_bytes()).document.messages[0].content == "well, hello"
    assert file.stat().st_mode & 0o777 == 0o640


async def test_keys_reach_everything(session: Session, hand: UiDriver) -> None:
    window = session.window
    control = Qt.KeyboardModifier.ControlModifier
    await hand.press(Qt.Key.Key_L, control)
    assert window.focusWidget() is window.log.filter_line
    seen = set()
    for _ in range(4):
        await hand.press(Qt.Key.Key_F6)
        focus = window.focusWidget()
        panes = (window.prompt, window.response, window.inspector, window.log)
        seen |= {pane for pane in panes if focus is not None and pane.isAncestorOf(focus)}
    assert len(seen) == 4
    await hand.press(Qt.Key.Key_K, control)
    palettes = [w for w in QApplication.topLevelWidgets() if isinstance(w, CommandPalette) and w.isVisible()]
    assert len(palettes) == 1
    palettes[0].close()


def test_the_room_is_shared_out_as_it_was(tell: Tell) -> None:
    kept: list[int] = []

    async def first(session: Session, hand: UiDriver) -> None:
        window = session.window
        before = window.log.height()
        rows = next(s for s in window.findChildren(QSplitter) if s.orientation() == Qt.Orientation.Vertical)
        rows.setSizes([400, 400])
        await hand.until(lambda: window.log.height() > before + 50, "a taller log")
        kept.append(window.log.height())
        window.close()

    async def second(session: Session, hand: UiDriver) -> None:
        await hand.until(lambda: abs(session.window.log.height() - kept[0]) <= 2, f"a log {kept[0]} px tall")

    tell(first)
    tell(second)


async def test_both_themes(session: Session, hand: UiDriver) -> None:
    await _send(session, hand)
    before = session.appearance.theme.name
    session.appearance.toggle()
    assert session.appearance.theme.name != before
    shown = session.window.grab().toImage()
    assert shown.pixelColor(5, 40).lightness() == session.appearance.theme.surface.lightness()


async def test_verify_caching_sends_twice_and_says_what_it_proves(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.actions_table["verify"].trigger()
    await hand.until(lambda: window.notice_bar.isVisible(), "the verdict")
    assert "Caching works: 1,280 of 1,281 tokens" in window.notice_bar.words
    assert await _logged(session) == 2
    assert not window.requests.running


async def test_a_request_is_handed_over_as_a_ticket(session: Session, hand: UiDriver, qapp: QApplication) -> None:
    state = await _send(session, hand)
    clipboard = qapp.clipboard()
    clipboard.clear()
    session.window.actions_table["copy_ticket"].trigger()
    await hand.until(lambda: "# Request" in clipboard.text(), "a ticket on the clipboard")
    assert str(state.request_id) in clipboard.text()
    assert "Mira" not in clipboard.text()


MARKUP = "<img src='file:///etc/hostname'><b>bold</b> & more"


async def test_what_others_wrote_is_never_markup(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    file = tmp_path / "<b>name.prompt.json"
    tool = Tool.of({"type": "function", "function": {"name": MARKUP, "description": MARKUP, "parameters": {}}})
    messages = (Message("system", MARKUP), Message("user", f"{MARKUP} {{{{q}}}}"))
    file.write_text(dump(Document(tools=(tool,), messages=messages, variables={"q": MARKUP})), "utf-8")
    window = session.window
    await window.files.open_file(file)
    await _send(session, hand)
    window.prompt.set_document(replace(window.prompt.document(), parameters={"simulate": MARKUP}))
    state = await _send(session, hand)
    assert state.phase == "failed"
    for index in range(5):
        window.prompt.tabs.setCurrentIndex(index)
        window.response.show_tab(index)
    for widget in window.findChildren(QWidget):
        assert "<img" not in widget.toolTip(), widget
        if isinstance(widget, QLabel) and "<img" in widget.text():
            assert widget.textFormat() == Qt.TextFormat.PlainText, widget.text()
    model = window.log.model
    for row in range(model.rowCount()):
        for column in range(model.columnCount()):
            tip = model.data(model.index(row, column), Qt.ItemDataRole.ToolTipRole)
            assert "<img" not in str(tip)


async def test_what_the_server_would_refuse_is_said_while_typing_and_sent_only_anyway(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    wrong = Document(messages=(Message("user", "hello"),), parameters={"temperature": 3, "prompt_logprobs": 1})
    window.prompt.set_document(wrong)
    await hand.until(window.prompt.check_bar.isVisible, "the check")
    assert "temperature: must be a number from 0 to 2." in window.prompt.check_bar.text
    window.requests.send_or_stop()
    assert not window.requests.running
    assert await _logged(session) == 0
    assert "so it was not sent" in window.prompt.problem_bar.words.text()
    window.prompt.problem_bar.anyway.click()
    await hand.until(lambda: not window.requests.running, "the server's answer")
    state = window.requests.current.run.state if window.requests.current else None
    assert state is not None
    assert state.status == 400
    assert state.error is not None
    assert [detail["path"] for detail in state.error.details] == [["temperature"], ["prompt_logprobs"]]


async def test_the_context_meter_says_what_the_prompt_is_made_of(session: Session, hand: UiDriver) -> None:
    window, meter = session.window, session.window.top.context
    tool = Tool.of({"type": "function", "function": {"name": "look_up", "description": "Looks an order up."}})
    talk = (
        Message("system", "You are brief. " * 20),
        Message("user", "Hello"),
        Message("assistant", "Hello! " * 30),
        Message("user", "Where is it?"),
    )
    window.prompt.set_document(Document(tools=(tool,), messages=talk, parameters={"max_tokens": 300}))
    await hand.until(lambda: "tools: " in meter.words, "the composition")
    assert [line.split(":")[0] for line in meter.words.splitlines()][:5] == [
        "tools",
        "system",
        "history",
        "rest",
        "max_tokens",
    ]
    assert meter.parts is not None
    assert not meter.parts.over
    window.prompt.set_document(Document(messages=talk, parameters={"max_tokens": 32_768}))
    await hand.until(lambda: meter.parts is not None and meter.parts.over, "the warning")
    assert "tokens too many" in meter.words
    assert "do not fit into 32,768" in window.prompt.check_bar.text
    window.requests.send_or_stop()
    assert window.requests.running, "an estimate holds nothing back"
    await hand.until(lambda: not window.requests.running, "the end")


async def test_where_usage_is_not_asked_for_it_is_said_to_stay_unknown(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", "hello"),), include_usage=False))
    await hand.until(window.prompt.check_bar.isVisible, "the warning")
    assert "will be unknown" in window.prompt.check_bar.text
    state = await _send(session, hand)
    assert state.phase == "done"
    assert state.usage is None
    assert window.inspector.usage.note.text() == "unknown: not asked for"


async def test_why_is_held_against_another_request_and_the_forecast_is_scored(session: Session, hand: UiDriver) -> None:
    window = session.window
    rules = "You are Mira. Speak in short sentences that sound well on the phone. " * 30
    for ending in ("One", "Two", "Two"):
        messages = (Message("system", f"{rules}{ending}"), Message("user", "Hi"))
        window.prompt.set_document(Document(messages=messages, parameters={"max_tokens": 5}), undoable=True)
        await _send(session, hand)
    window.inspector.why.choices.aboutToShow.emit()
    labels = [action.text() for action in window.inspector.why.choices.actions()]
    assert len(labels) == 2
    assert all("shares" in label for label in labels)
    before = window.requests.current.why if window.requests.current else None
    window.inspector.why.choices.actions()[1].trigger()
    after = window.requests.current.why if window.requests.current else None
    assert after is not None
    assert after != before
    assert (after.before, after.after) != ("", "")
    assert "3 forecasts" in window.inspector.forecast.rows["reported"].accessibleDescription()


def test_the_first_frame_has_the_samples_messages_where_they_stay(
    runner: asyncio.Runner, qapp: QApplication, tmp_path: Path
) -> None:
    """Messages that are collapsed after the first frame would make the layout jump."""

    def places(session: Session) -> list[tuple[bool, int, int]]:
        """Return whether the messages above the question are collapsed, their tops and heights."""
        cards = session.window.prompt.prompt_tab.cards[:-1]
        return [(card.collapsed, card.y(), card.height()) for card in cards]

    async def start() -> None:
        session = Session(qapp, tmp_path, {}, simulator_options=FAST)
        session.window.resize(1280, 800)
        first: list[list[tuple[bool, int, int]]] = []
        session.window.first_painted.connect(lambda: first.append(places(session)))
        try:
            session.show()
            await UiDriver(session.window, None).until(session.ready.is_set, "log and simulator ready")
            assert first == [places(session)]
            assert all(collapsed for collapsed, _top, _height in first[0])
        finally:
            await session.close()

    runner.run(start())


async def test_limits_of_electron_are_not_claimed_of_another_server(session: Session, hand: UiDriver) -> None:
    window = session.window
    messages = tuple(Message("user", f"Question {number}") for number in range(201))
    window.prompt.set_document(Document(messages=messages, parameters={"temperature": 3, "n": 2}))
    window.requests.refresh_forecast()
    said = {finding.problem.path[0]: str(finding.problem) for finding in window.requests._checks[1]}
    assert set(said) == {"messages", "temperature", "n"}
    assert "has 201; Electron takes 1 to 200." in said["messages"]
    assert "history-grows" in {finding.rule for finding in await session.workspace.advice(window.prompt.document())}
    mine = session.workspace.endpoints.add(Endpoint("", "Mine", "http://127.0.0.1:9/v1", "m", needs_key=False))
    window.choose_endpoint(mine.id)
    window.requests.refresh_forecast()
    assert "history-grows" not in {finding.rule for finding in await session.workspace.advice(window.prompt.document())}
    assert window.requests._checks[1] == ()
    assert not window.prompt.check_bar.isVisible()


async def test_endpoint_that_another_window_adds_or_changes_appears(session: Session, hand: UiDriver) -> None:
    workspace = session.workspace
    other = EndpointStore(workspace.folder / "endpoints.json")
    added = other.add(Endpoint("", "Theirs", "http://127.0.0.1:9/v1", "m", needs_key=False))

    def listed() -> list[str]:
        return [action.text() for action in session.window.top._endpoint.menu().actions()]

    await hand.until(lambda: "Theirs" in listed(), "the endpoint")
    mine = workspace.endpoints.add(Endpoint("", "Mine", "http://127.0.0.1:9/v1", "m", needs_key=False))
    session.window.choose_endpoint(added.id)
    other.change(replace(added, model="another-model"))
    await hand.until(lambda: workspace.endpoint.model == "another-model", "the other model")
    assert workspace.endpoints.get(mine.id).name == "Mine"


async def test_forecast_after_an_edit_is_made_on_another_thread(
    session: Session, hand: UiDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, forecaster = session.window, session.workspace.sender.forecaster
    look, threads = forecaster.look, list[int]()

    def noted(document: Document, endpoint_id: str, model: str, since: float | None = None) -> PromptForecast:
        threads.append(threading.get_ident())
        return look(document, endpoint_id, model, since)

    monkeypatch.setattr(forecaster, "look", noted)
    shown = list[PromptForecast]()
    window.requests.forecast_changed.connect(shown.append)
    window.prompt.set_document(Document(messages=(Message("user", "Another question"),)))
    await hand.until(lambda: bool(shown), "the forecast")
    assert shown[-1].view.document is window.prompt.document()
    assert threading.get_ident() not in threads
