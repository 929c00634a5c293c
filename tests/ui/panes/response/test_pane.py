"""The response pane in every state, on real widgets, fed through RunState.apply."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication, QTextDocument
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from playground.client.errors import http_error
from playground.client.events import (
    ApiError,
    AttemptFailed,
    AttemptStarted,
    Completed,
    ContentDelta,
    HeadersReceived,
    RetryScheduled,
    ToolCallDelta,
)
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError
from playground.runs.record import Asked
from playground.runs.state import RunState
from playground.ui.panes.inspector.figures import latency_lines
from playground.ui.panes.response.labels import EMPTY, NO_CONTENT, STOPPED
from playground.ui.panes.response.pane import EVENTS, JSON, RENDERED, REQUEST, TOOLS, ResponsePane
from playground.ui.panes.response.raw_tabs import DisplayedRequest
from playground.ui.theme import GRID, apply_colors, load_theme
from tests.ui import runs_on_show as runs


@pytest.fixture
def pane(qtbot: QtBot) -> ResponsePane:
    """A pane on the screen, with nothing sent."""
    pane = ResponsePane()
    qtbot.addWidget(pane)
    pane.resize(500, 500)
    pane.show()
    qtbot.waitExposed(pane)
    return pane


def _button(pane: ResponsePane, label: str) -> QPushButton:
    assert pane.notice is not None
    return next(button for button in pane.notice.findChildren(QPushButton) if button.text() == label)


def test_empty_says_how_to_begin(pane: ResponsePane) -> None:
    assert pane.text_tab.words_shown == EMPTY
    assert pane.footer.line == "nothing sent"


def test_words_in_place_of_a_completion_begin_where_it_does(pane: ResponsePane) -> None:
    state = RunState()
    state.apply(runs.sent()[0])
    pane.show_state(state)
    label = next(one for one in pane.text_tab.findChildren(QLabel) if one.text().startswith("Sent"))
    assert label.contentsRect().topLeft() == QPoint(GRID * 2, GRID * 2)


def test_the_wait_for_a_later_attempt_names_it(pane: ResponsePane) -> None:
    state = runs.grown(RunState(), [AttemptStarted(0.0, 1), HeadersReceived(0.03, 503, "x", "application/json")])
    pane.show_state(runs.grown(state, [AttemptStarted(0.3, 2)]))
    assert pane.text_tab.words_shown.startswith("Attempt 2: sent")


def test_from_sending_to_the_end(pane: ResponsePane) -> None:
    state = RunState()
    pane.show_state(state)
    assert pane.text_tab.words_shown.startswith("Waiting to be sent… ")
    sent, headers = runs.sent()
    state.apply(sent)
    pane.refresh()
    assert pane.text_tab.words_shown.startswith("Sent · waiting for the first token…")
    state.apply(headers)
    pane.refresh()
    for event in runs.deltas(runs.ANSWER):
        state.apply(event)
        pane.refresh()
    assert pane.text_tab.text.exact_text == runs.ANSWER
    assert pane.footer.line.startswith("streaming · ")
    runs.grown(state, runs.ending())
    pane.refresh()
    assert pane.footer.line == "finished · 1.1 s   614.3 tok/s   1,204 in (1,152 cached)   86 out"
    assert pane.text_tab.ending.text() == ""
    assert pane.notice is None


def test_footer_shows_the_figures_that_fit_beside_the_longest_one_that_does_not(pane: ResponsePane) -> None:
    state = runs.grown(RunState(), [*runs.sent(), *runs.deltas(runs.ANSWER), *runs.ending()])
    pane.show_state(state)
    footer, widths = pane.footer, []
    for width in range(footer.width(), 100, -8):
        footer.setFixedWidth(width)
        QApplication.processEvents()
        widths.append([label.text() for label in footer.findChildren(QLabel) if label.isVisible() and label.text()])
    assert ["finished · 1.1 s", "86 out"] in widths


def test_the_wait_is_counted_without_events(pane: ResponsePane, qtbot: QtBot) -> None:
    pane.show_state(runs.grown(RunState(), runs.sent()[:1]))
    first = pane.text_tab.words_shown
    qtbot.waitUntil(lambda: pane.text_tab.words_shown != first)


def test_stopped_keeps_text_and_id_and_says_unknown(pane: ResponsePane) -> None:
    pane.show_state(runs.stopped())
    assert pane.text_tab.text.exact_text == "Let me look into that for"
    assert pane.text_tab.ending.text() == STOPPED
    assert pane.footer.line == "stopped · 600 ms   — tok/s   — in (— cached)   ≈ 6 out"


def test_unreported_usage_is_never_nought(pane: ResponsePane) -> None:
    pane.show_state(runs.done(usage=None))
    assert pane.footer.line == "finished · 1.1 s   — tok/s   — in (— cached)   ≈ 30 out"


def test_interrupted(pane: ResponsePane) -> None:
    state = runs.streaming()
    state.phase = "interrupted"
    pane.show_state(state)
    assert pane.text_tab.ending.text().startswith("Interrupted")
    assert pane.footer.line.startswith("interrupted · —")


def test_nothing_was_said(pane: ResponsePane) -> None:
    pane.show_state(runs.grown(RunState(), [*runs.sent(), *runs.ending()]))
    assert pane.text_tab.words_shown == NO_CONTENT


def test_error_names_fields(pane: ResponsePane) -> None:
    pane.show_state(runs.refused())
    assert pane.notice is not None
    assert pane.notice.isVisible()
    said = "\n".join(label.text() for label in pane.notice.findChildren(QLabel))
    for words in ("status 400 · type invalid_request_error", "Invalid enum value"):
        assert words in said
    assert _button(pane, "messages[3].role").accessibleName() == "Go to messages[3].role"
    assert runs.REQUEST_ID not in said  # once, in the inspector
    assert pane.footer.line == "failed · 400 · 200 ms"


def test_fields_named_in_the_detail_are_not_named_twice(pane: ResponsePane) -> None:
    details: tuple[dict[str, object], ...] = ({"path": ["messages", 0, "role"], "message": "bad"},)
    error = ApiError("http", "Refused", "messages[0].role: bad", status=400, details=details)
    pane.show_state(runs.grown(RunState(), [*runs.sent(status=400), AttemptFailed(0.2, error)]))
    assert pane.notice is not None
    labels, buttons = pane.notice.findChildren(QLabel), pane.notice.findChildren(QPushButton)
    said = [label.text() for label in labels] + [button.text() for button in buttons]
    assert sum("messages[0].role" in text for text in said) == 1


def test_a_click_on_a_field_asks_for_its_place(pane: ResponsePane, qtbot: QtBot) -> None:
    pane.show_state(runs.refused())
    with qtbot.waitSignal(pane.place_requested) as asked:
        _button(pane, "temperature").click()
    assert asked.args == [FieldError(("temperature",), "Number must be less than or equal to 2")]


def test_a_path_that_is_written_out_and_openais_param_lead_there_too(pane: ResponsePane, qtbot: QtBot) -> None:
    for sent, path in (
        ({"message": "bad", "details": [{"path": "messages.3.role", "message": "bad"}]}, ("messages", 3, "role")),
        ({"message": "bad", "param": "messages[1].content"}, ("messages", 1, "content")),
    ):
        error = http_error(400, {}, json.dumps({"error": sent}), None)
        pane.show_state(runs.grown(RunState(), [*runs.sent(status=400), AttemptFailed(0.2, error)]))
        assert pane.notice is not None
        links = [b for b in pane.notice.findChildren(QPushButton) if b.accessibleName().startswith("Go to")]
        with qtbot.waitSignal(pane.place_requested) as asked:
            links[0].click()
        assert asked.args is not None
        assert asked.args[0].path == path


def test_stopped_shows_the_estimated_input_as_estimated(pane: ResponsePane) -> None:
    pane.show_state(runs.stopped(), estimated_prompt_tokens=1204.4)
    assert pane.footer.line == "stopped · 600 ms   — tok/s   ≈ 1,204 in (— cached)   ≈ 6 out"
    pane.show_state(runs.done(), estimated_prompt_tokens=7.0)
    assert "1,204 in (1,152 cached)" in pane.footer.line


def test_arguments_are_held_against_their_schema(pane: ResponsePane) -> None:
    schema: Json = {
        "type": "object",
        "properties": {"account_id": {"type": "integer"}},
        "required": ["account_id", "kind"],
    }
    pane.show_state(runs.calling(), asked=Asked(schemas={"get_account_info": schema}))
    pane.show_tab(TOOLS)
    card = pane.tools_tab.cards[0]
    assert card.mark.text() == "✗ does not fit its schema"
    problems = card.problems.text().split("\n")
    assert sorted(problems) == ["account_id: should be a whole number, is a string", "kind: is required and missing"]
    pane.show_state(runs.calling(), asked=Asked(schemas={"get_account_info": {"type": "object"}}))
    assert pane.tools_tab.cards[0].mark.text() == "✓ complete, fits its schema"
    assert pane.tools_tab.cards[0].problems.text() == ""
    pane.show_state(runs.calling(), asked=Asked(schemas={"another": None}))
    assert pane.tools_tab.cards[0].mark.text() == "✗ no tool of this name was sent"


def test_a_very_long_detail_leaves_room_for_the_rest(pane: ResponsePane) -> None:
    error = ApiError("http", "Refused", "a field\n" * 500, status=400)
    pane.show_state(runs.grown(RunState(), [*runs.sent(status=400), AttemptFailed(0.2, error)]))
    assert pane.notice is not None
    assert pane.notice.sizeHint().height() < 300


def test_error_after_some_text_is_below_it(pane: ResponsePane, qtbot: QtBot) -> None:
    pane.show_state(runs.cut())
    assert pane.text_tab.text.exact_text == "Let me look into"
    assert pane.notice is not None
    notice, text = pane.notice, pane.text_tab.text
    qtbot.waitUntil(lambda: notice.mapTo(pane, QPoint()).y() >= text.mapTo(pane, QPoint(0, text.height())).y() > 0)


def test_buttons_ask_for_actions(pane: ResponsePane, qtbot: QtBot) -> None:
    error = ApiError("http", "The key is not valid", status=401)
    pane.show_state(runs.grown(RunState(), [*runs.sent(status=401), AttemptFailed(0.2, error)]))
    with qtbot.waitSignal(pane.notice_action) as asked:
        _button(pane, "Set the key…").click()
    assert asked.args == ["connect"]
    with qtbot.waitSignal(pane.notice_action) as asked:
        _button(pane, "Send again").click()
    assert asked.args == ["send"]


def test_the_notice_goes_with_its_run(pane: ResponsePane) -> None:
    pane.show_state(runs.refused())
    pane.show_state(runs.done())
    assert pane.notice is None


def test_notice_retry_scheduled_after_a_displayed_failure_removes_it(pane: ResponsePane) -> None:
    state = RunState()
    pane.show_state(state)
    error = ApiError("http", "Too many requests", status=429, retry_after_s=6.0)
    for event in (AttemptStarted(0.0, 1), AttemptFailed(0.2, error)):
        state.apply(event)
    pane.refresh()
    failed = pane.notice
    state.apply(RetryScheduled(0.2, 2, 5, 6.0))
    pane.refresh()
    assert failed is not None
    assert pane.notice is None
    assert not pane.text_tab.waiting.isHidden()


def test_tool_calls_assemble_and_the_filler_is_marked(pane: ResponsePane) -> None:
    state = runs.calling(whole=False)
    pane.show_state(state)
    pane.show_tab(TOOLS)
    card = pane.tools_tab.cards[0]
    assert card.arguments.exact_text == '{"account'
    assert card.mark.text() == "… assembling"
    assert pane.tools_tab.filler.text() == "Let me check that for you, one moment."
    state.apply(ToolCallDelta(0.6, 0, None, None, '_id": 1}'))
    pane.refresh()
    assert card.arguments.exact_text == '{"account_id": 1}'
    assert card.mark.text() == "✓ complete"
    assert pane.tabs.tabText(TOOLS) == "Tool calls 1"


def test_arguments_that_never_became_json(pane: ResponsePane) -> None:
    state = runs.calling(whole=False)
    state.apply(Completed(1.0))
    pane.show_state(state)
    pane.show_tab(TOOLS)
    assert pane.tools_tab.cards[0].mark.text() == "✗ not a JSON object"


def test_the_text_leads_to_its_tool_calls(pane: ResponsePane) -> None:
    pane.show_state(runs.calling())
    assert pane.text_tab.calls.text.full_text == '◆ get_account_info({"account_id": "AC-10442"})'
    pane.text_tab.calls.show_requested.emit()
    assert pane.tabs.currentIndex() == TOOLS


def test_events_are_rows_with_times(pane: ResponsePane) -> None:
    state = runs.streaming("Hello there")
    pane.show_state(state)
    pane.show_tab(EVENTS)
    model = pane.events_tab.model
    rows = [[model.index(row, column).data() for column in range(4)] for row in range(model.rowCount())]
    assert rows == [["0.212 s", "", "text", '"Hello"'], ["0.222 s", "10 ms", "text", '" there"']]
    runs.grown(state, runs.ending())
    pane.refresh()
    assert model.rowCount() == 3
    assert model.index(2, 2).data() == "[DONE]"
    assert pane.events_tab.merged.exact_text == "Hello there"
    assert pane.tabs.tabText(EVENTS) == "Events 3"


def test_the_first_event_comes_at_the_time_to_first_token_of_its_attempt(pane: ResponsePane) -> None:
    state = runs.grown(
        RunState(), [AttemptStarted(0.03, 1), AttemptStarted(0.3, 2), *runs.sent()[1:], *runs.deltas("Hello", 0.5)]
    )
    pane.show_state(state)
    pane.show_tab(EVENTS)
    model = pane.events_tab.model
    assert state.ttft_s == pytest.approx(0.2)
    assert model.index(0, 0).data() == "0.200 s"
    tip = model.headerData(0, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
    assert tip == latency_lines(state)["ttft"].why


def test_events_are_copied_as_they_came(pane: ResponsePane) -> None:
    state = runs.done("Hi")
    pane.show_state(state)
    pane.show_tab(EVENTS)
    pane.events_tab.table.selectRow(0)
    QTest.keyClick(pane.events_tab.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == state.raw[0].data


def test_json_is_put_together(pane: ResponsePane) -> None:
    pane.show_state(runs.calling())
    pane.show_tab(JSON)
    assert pane.json_tab.what.text() == "Put together from 9 events"
    assert '"cached_tokens": 1152' in pane.json_tab.text.exact_text
    assert '"name": "get_account_info"' in pane.json_tab.text.exact_text


def test_json_of_an_error_is_its_body(pane: ResponsePane) -> None:
    pane.show_state(runs.refused())
    pane.show_tab(JSON)
    assert pane.json_tab.what.text() == "The error's body, as received"
    assert '"type": "invalid_request_error"' in pane.json_tab.text.exact_text


def test_hidden_tabs_are_not_touched(pane: ResponsePane) -> None:
    state = runs.streaming()
    pane.show_state(state)
    state.apply(ContentDelta(1.0, "more"))
    pane.refresh()
    assert pane.events_tab.model.rowCount() == 0
    assert pane.rendered_tab.browser.toPlainText() == ""


def test_both_themes_on_every_tab(pane: ResponsePane, qtbot: QtBot, qapp: QApplication) -> None:
    pane.show_state(runs.done("```python\nx = 1\n```"))
    for tab in range(7):
        pane.show_tab(tab)
        apply_colors(qapp, load_theme("dark"))
        apply_colors(qapp, load_theme("light"))
    qtbot.waitUntil(lambda: not pane.rendered_tab.busy)
    assert pane.rendered_tab.browser.toPlainText().endswith("x = 1")


def test_every_control_has_a_name(pane: ResponsePane) -> None:
    pane.show_state(runs.calling())
    for tab in (TOOLS, RENDERED, EVENTS, JSON):
        pane.show_tab(tab)
    nameless = [button for button in pane.findChildren(QPushButton) if not (button.accessibleName() or button.text())]
    assert nameless == []


def test_sent_again_after_a_first_attempt(pane: ResponsePane) -> None:
    state = runs.retried()
    pane.show_state(state)
    state.apply(AttemptStarted(2.0, 3))
    assert state.request_id is None


BODY = (
    b'{"model": "electron", "messages": [{"role": "user", "content": "Why?"}], "temperature": 0.5, "tools": [{"x": 1}]}'
)


def test_request_tab_shows_messages_tools_and_parameters_and_the_exact_body(pane: ResponsePane) -> None:
    sent = DisplayedRequest(BODY, "http://127.0.0.1/v1", "Mine", datetime(2026, 11, 27, tzinfo=UTC), keyed=True)
    pane.show_state(runs.done(), sent=sent)
    pane.show_tab(REQUEST)
    shown = pane.request_tab.text.exact_text
    assert shown.startswith("── user\nWhy?")
    assert "── tools · 1" in shown
    assert "temperature: 0.5" in shown
    pane.request_tab.exact.click()
    exact = pane.request_tab.text.exact_text
    assert exact.startswith("POST http://127.0.0.1/v1/chat/completions\n")
    assert "Authorization: Bearer (hidden)" in exact
    assert exact.endswith(BODY.decode())
    pane.show_state(None)
    assert pane.request_tab.text.exact_text == ""


def test_tooltip_of_an_event_displays_markup_of_the_server_literally(pane: ResponsePane) -> None:
    content = "<b>bold</b>"  # one delta: the sample cuts at spaces
    state = runs.streaming(content)
    pane.show_state(state)
    pane.show_tab(EVENTS)
    tip = pane.events_tab.model.index(0, 4).data(Qt.ItemDataRole.ToolTipRole)
    shown = QTextDocument()
    shown.setHtml(tip)
    assert "<b>bold</b>" in shown.toPlainText()
