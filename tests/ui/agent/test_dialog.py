"""Agent loops in the real window with a real simulator: run, questions, edits, continuation, tag in the log."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QPlainTextEdit

from playground.agent.conversation import Conversation, Result, Turn, from_fields, to_fields
from playground.agent.service import tag_of
from playground.agent.tool_mocks import FixedDelay, MockReply, ToolMock, ToolMocks
from playground.cli.selftest import UiDriver
from playground.client.endpoint import PLANS
from playground.prompt.document import Document, ToolCall
from playground.prompt.field_errors import FieldError
from playground.requestlog.filter import parse
from playground.ui.agent.dialog import AgentDialog
from playground.ui.agent.view import EditDialog, TurnCard, WholeText, result_words
from playground.ui.panes.response.pane import TOOLS
from playground.ui.session import Session
from playground.ui.widgets.lossless_text import LONG
from playground.ui.widgets.lossless_text_edit import ExactEdit, TextBox
from tests.agent.dialogue import ANSWER, BOOK, calls, prompt, says
from tests.ui.conftest import Tell

FILLED = [[says(1, "One sec!"), calls(5, "get_balance")], ANSWER]


async def _opened(session: Session, document: Document, book: ToolMocks = BOOK) -> AgentDialog:
    window = session.window
    window.prompt.set_document(replace(document, name="test"))
    assert window.answers
    dialog = window.chaining.open()
    dialog.start_over()
    dialog.answers.changed.emit(book)
    return dialog


async def _run(dialog: AgentDialog, hand: UiDriver, limit: int = 5) -> None:
    dialog.limit.setValue(limit)
    dialog.go.click()
    assert dialog.go.text() == "Stop"
    await hand.until(lambda: not dialog.running, "the end of the chain")


async def test_filler_call_result_and_answer_are_shown_and_tied_in_the_log(session: Session, hand: UiDriver) -> None:
    dialog = await _opened(session, prompt(FILLED))
    assert dialog.empty.isVisible()
    await _run(dialog, hand)
    assert not dialog.empty.isVisible()
    assert dialog.state.text() == "Answered, after 2 requests."
    first, second = dialog.cards
    ids = [turn.request_id or "" for turn in dialog.conversation.turns.values()]
    assert [card.request_id.id.displayed for card in dialog.cards] == ids == [str(UUID(one)) for one in ids]
    QTest.keyClick(second.request_id.id, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == ids[1]
    assert first.text.text() == "One sec!"
    assert not first.filler.isHidden()
    (call,) = first.call_rows
    assert call.head.text() == "calls get_balance"
    assert json.loads(call.result.text()) == {"account": "AC-1", "balance": 412}
    assert call.state.text().startswith("returned in ")
    assert second.text.text() == "It is ₹412. Anything else?"
    assert "keeps it" in second.prefix.text()
    assert "forecast ≈" in second.figures.text()
    assert dialog.totals.text().startswith("2 requests · ")
    log = session.workspace.log
    assert log is not None
    tag = tag_of(dialog.conversation.id)
    chosen = parse(f"tag:{tag}", datetime.now(UTC))
    assert len(await log.page(chosen)) == 2


def test_words_of_a_result_name_a_placeholder_without_an_argument() -> None:
    problems = (FieldError(("gone.x",), "is missing."),)
    result = Result("c", "get", "{{gone.x}}", problems=problems, started_at=0.0, ended_at=0.5)
    assert result_words(result, 1.0) == (
        "returned in 500 ms; {{gone.x}} of the template was no argument and is sent as written"
    )


@pytest.mark.parametrize(("own", "words"), [("", "the model sent none"), ("same", "the model used same before")])
async def test_changed_id_of_a_call_is_mentioned_and_kept(own: str, words: str, session: Session) -> None:
    call = ToolCall("call_0", "get_balance", "{}")
    turn = Turn("t", None, prompt(FILLED), calls=(call,), changed_ids={"call_0": own})
    conversation = from_fields(to_fields(Conversation(turn.document, {"t": turn})))
    assert conversation.turns["t"].changed_ids == {"call_0": own}
    card = TurnCard(1, "t")
    card.show_turn(conversation.turns["t"], figures="", prefix="", added="", coming="", now=0.0, running=False)
    assert card.call_rows[0].head.text() == f"calls get_balance with the id call_0: {words}"


async def test_the_limit_ends_a_chain_that_never_does(session: Session, hand: UiDriver) -> None:
    dialog = await _opened(session, prompt("no_end"))
    dialog.answers.changed.emit(ToolMocks({"get_balance": ToolMock(MockReply("fixed", "{}"))}))
    await _run(dialog, hand, limit=3)
    assert dialog.state.text().startswith("Ended at the limit")
    assert len(dialog.cards) == 3


async def test_a_tool_that_hangs_is_stopped_and_answered_by_hand(session: Session, hand: UiDriver) -> None:
    hangs = ToolMocks({"get_balance": ToolMock(MockReply("fixed", "late", FixedDelay(600_000)))})
    dialog = await _opened(session, prompt(FILLED), hangs)
    dialog.go.click()
    await hand.until(
        lambda: bool(dialog.cards) and any("runs, " in row.state.text() for row in dialog.cards[0].call_rows),
        "the running tool",
    )
    dialog.go.click()
    await hand.until(lambda: not dialog.running, "the stop")
    assert dialog.state.text() == "Stopped, after 1 request."
    dialog.cards[0].call_rows[0].edit.click()
    edit = _dialog(EditDialog)
    assert isinstance(edit, EditDialog)
    edit.text.setPlainText('{"balance": 1}')
    edit.branch.click()
    assert dialog.branch.count() == 2
    dialog.cards[0].go_on.click()
    await hand.until(lambda: not dialog.running, "the answer")
    assert dialog.state.text().startswith("Answered")
    assert dialog.cards[0].call_rows[0].state.text() == "returns what you typed"


async def test_a_call_waits_for_the_person_and_what_they_type_goes_back(session: Session, hand: UiDriver) -> None:
    asks = ToolMocks({"get_balance": ToolMock(MockReply("ask", "Look into the ledger"))})
    dialog = await _opened(session, prompt(FILLED), asks)
    dialog.go.click()
    await hand.until(dialog.ask.isVisible, "the question")
    assert dialog.ask.question.text() == 'get_balance({"account": "AC-1"}) waits for you'
    assert dialog.ask.hint.text() == "Look into the ledger"
    await hand.until(lambda: dialog.state.text() == "Running: request 1 of at most 5 · waits for you", "the step")
    assert dialog.cards[0].call_rows[0].edit.isHidden()
    dialog.ask.text.setPlainText("412 rupees")
    dialog.ask.give.click()
    await hand.until(lambda: not dialog.running, "the answer")
    assert not dialog.ask.isVisible()
    assert dialog.cards[0].call_rows[0].result.text() == "412 rupees"


async def test_a_wrong_call_is_shown_and_answered_with_an_error(session: Session, hand: UiDriver) -> None:
    for name, arguments, word in (
        ("get_balance", '{"account": }', "its arguments are not valid JSON"),
        ("get_balance", '{"account": 7}', "its arguments do not fit its schema"),
        ("get_weather", "{}", "there is no such tool"),
    ):
        dialog = await _opened(session, prompt([[calls(1, name, arguments)], ANSWER]))
        await _run(dialog, hand)
        (call,) = dialog.cards[0].call_rows
        assert call.state.text().endswith(word)  # it was not called: no duration
        assert "error" in json.loads(call.result.text())
        assert dialog.state.text().startswith("Answered")
        dialog.close()


async def test_two_calls_at_once_and_the_conversation_goes_on(session: Session, hand: UiDriver) -> None:
    script = [[calls(1, "get_balance"), calls(2, "get_plan")], ANSWER]
    dialog = await _opened(session, prompt(script))
    await _run(dialog, hand)
    assert [row.call.name for row in dialog.cards[0].call_rows] == ["get_balance", "get_plan"]
    dialog.reply.setText("And the plan?")
    dialog.send_reply.click()
    await hand.until(lambda: not dialog.running, "the next answer")
    assert any(card.added.text() == "user: And the plan?" for card in dialog.cards)
    turns = len(dialog.cards)
    dialog.ways["trim"].click()
    assert len(dialog.cards) == turns - 1


async def test_a_conversation_becomes_the_prompt_a_file_and_code(
    session: Session, hand: UiDriver, tmp_path: Any
) -> None:
    window = session.window
    dialog = await _opened(session, prompt(FILLED))
    await _run(dialog, hand)
    dialog.ways["prompt"].click()
    roles = [message.role for message in window.prompt.document().messages]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    window.chaining.save_to(tmp_path / "talk.prompt.json", dialog.document)
    assert json.loads((tmp_path / "talk.prompt.json").read_text())["messages"][3]["role"] == "tool"
    dialog.ways["code"].click()
    script = QGuiApplication.clipboard().text()
    compile(script, "script", "exec")
    assert "def get_plan(**arguments: object) -> str:\n    return 'Plus'" in script


def test_the_conversation_and_the_answers_come_back_after_a_restart(tell: Tell) -> None:
    said: list[list[str]] = []

    async def first(session: Session, hand: UiDriver) -> None:
        dialog = await _opened(session, prompt(FILLED))
        await _run(dialog, hand)
        said.append([card.text.text() for card in dialog.cards])

    async def second(session: Session, hand: UiDriver) -> None:
        assert session.window.answers
        dialog = session.window.chaining.open()
        said.append([card.text.text() for card in dialog.cards])
        assert dialog.book == BOOK

    tell(first)
    tell(second)
    assert said[0] == said[1]
    assert len(said[0]) == 2


class _Own(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert "Authorization" not in self.headers
        answer = json.dumps({"of": body["account"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("text", ["x" * 90_000, "The quick\tbrown fox.\r\n" * 3_000], ids=["line", "lines"])
async def test_long_result_is_cut_in_its_card_whole_in_its_dialogs_and_sent_whole(
    text: str, session: Session, hand: UiDriver
) -> None:
    dialog = await _opened(session, prompt(FILLED), ToolMocks({"get_balance": ToolMock(MockReply("fixed", text))}))
    dialog.show_prompt()
    await _run(dialog, hand)
    (row,) = dialog.cards[0].call_rows
    assert len(row.result.text()) < 2_100
    assert row.result.text().count("\n") < 41
    assert f"{len(text):,}" in row.result.all.text()
    assert dialog.state.text() == "Answered, after 2 requests."
    assert (dialog.document.messages[-2].content == text) is True  # no diff of long texts
    row.result.all.click()
    whole = _dialog(WholeText)
    assert isinstance(whole, WholeText)
    await hand.until(lambda: whole.text.exact_text == text, "the whole text")
    assert whole.text.document().findBlockByNumber(0).length() < 2_300  # Qt lays out a paragraph at once
    whole.reject()
    form = dialog.answers.form
    assert (form.answer().otherwise.text == text) is True
    assert form.text.document().findBlockByNumber(0).length() < 2_300
    row.edit.click()
    editor = _dialog(EditDialog)
    assert isinstance(editor, EditDialog)
    editor.text.select(len(text), len(text))
    editor.text.insert_exact("!")
    editor.branch.click()
    assert (dialog.conversation.turns[dialog.cards[-1].turn_id].results[0].text == text + "!") is True


async def test_a_line_of_a_megabyte_is_pasted_in_pieces_and_undone(session: Session, hand: UiDriver) -> None:
    dialog = await _opened(session, prompt(FILLED))
    dialog.show_prompt()
    box = dialog.answers.form.text
    before, prompt_before = box.exact.text, session.window.prompt.document()
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    line = "\u00a0{}x" * 250_000
    QGuiApplication.clipboard().setText(line)
    QTest.keyClick(box, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    block, longest = box.document().firstBlock(), 0
    while block.isValid():  # Qt lays out a paragraph at once
        longest, block = max(longest, block.length()), block.next()
    assert longest <= LONG + 1
    assert (dialog.book.tools["get_balance"].otherwise.text == line) is True
    QTest.keyClick(box, Qt.Key.Key_End, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClicks(box, "end")
    assert (dialog.book.tools["get_balance"].otherwise.text == line + "end") is True
    for expected in (line, before):
        QTest.keyClick(box, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert (dialog.book.tools["get_balance"].otherwise.text == expected) is True
    QTest.keyClick(box, Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert (dialog.book.tools["get_balance"].otherwise.text == line) is True
    assert session.window.prompt.document() == prompt_before


async def test_every_field_of_several_lines_takes_long_lines(session: Session, hand: UiDriver) -> None:
    dialog = await _opened(session, prompt(FILLED))
    await _run(dialog, hand)
    dialog.cards[0].call_rows[0].edit.click()
    for mode in ("compare", "batch", "recorder", "prompt"):
        session.window.modes.show_mode(mode)
    boxes = [box for shown in QApplication.topLevelWidgets() for box in shown.findChildren(QPlainTextEdit)]
    fields = [box for box in boxes if not box.isReadOnly()]
    assert len([box for box in fields if isinstance(box, TextBox)]) >= 3
    assert [box.accessibleName() for box in fields if not isinstance(box, ExactEdit)] == []


@pytest.mark.parametrize("agree", [True, False])
def test_an_address_of_the_persons_own_is_called_after_consent_only(tell: Tell, agree: bool) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Own)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/balance"

    async def story(session: Session, hand: UiDriver) -> None:
        book = ToolMocks({"get_balance": ToolMock(MockReply("http", url))})
        two = [calls(1, "get_balance"), calls(2, "get_balance")]
        dialog = await _opened(session, prompt([two, ANSWER]), book)
        questions: list[QMessageBox] = []
        asked = session.window.chaining.service.allow_address

        async def counted(url: str) -> bool:
            asking = asyncio.ensure_future(asked(url))
            await asyncio.sleep(0)
            box = _dialog(QMessageBox)
            assert isinstance(box, QMessageBox)
            questions.append(box)
            return await asking

        session.window.chaining.service.allow_address = counted
        dialog.go.click()
        await hand.until(lambda: bool(questions), "the question")
        (box,) = questions
        assert url in box.text()
        box.buttons()[0 if agree else 1].click()
        await hand.until(lambda: not dialog.running, "the answer")
        assert len(questions) == 1
        for call in dialog.cards[0].call_rows:
            if agree:
                assert json.loads(call.result.text()) == {"of": "AC-1"}
            else:
                assert "no consent" in call.result.text()

    tell(story)
    server.shutdown()
    server.server_close()


async def test_what_was_typed_for_one_question_is_no_answer_to_another(session: Session, hand: UiDriver) -> None:
    asks = ToolMocks({"get_balance": ToolMock(MockReply("ask")), "get_plan": ToolMock(MockReply("ask"))})
    dialog = await _opened(session, prompt([[calls(1, "get_balance"), calls(2, "get_plan")], ANSWER]), asks)
    dialog.go.click()
    await hand.until(lambda: "(1 more wait)" in dialog.ask.question.text(), "two questions")
    dialog.ask.text.setPlainText("meant for the balance")
    dialog.go.click()
    await hand.until(lambda: not dialog.running, "the stop")
    assert not dialog.ask.isVisible()
    dialog.cards[0].go_on.click()
    await hand.until(dialog.ask.isVisible, "a question again")
    assert dialog.ask.text.toPlainText() == ""
    dialog.stop()
    await hand.until(lambda: not dialog.running, "the stop")


async def test_a_turn_is_kept_and_tied_before_the_chain_has_ended(
    session: Session, hand: UiDriver, tmp_path: Any
) -> None:
    asks = ToolMocks({"get_balance": ToolMock(MockReply("ask"))})
    dialog = await _opened(session, prompt(FILLED), asks)
    dialog.go.click()
    await hand.until(dialog.ask.isVisible, "the question")
    file = session.workspace.folder / "conversation.json"
    await hand.until(lambda: file.exists() and "One sec!" in file.read_text("utf-8"), "the turn on disk")
    log = session.workspace.log
    assert log is not None
    chosen = parse(f"tag:{tag_of(dialog.conversation.id)}", datetime.now(UTC))
    assert len(await log.page(chosen)) == 1
    dialog.stop()
    await hand.until(lambda: not dialog.running, "the stop")


async def test_answers_are_edited_and_bad_ones_are_named_and_not_kept(session: Session, hand: UiDriver) -> None:
    dialog = await _opened(session, prompt(FILLED))
    dialog.answers.show_book(dialog.conversation.root, dialog.book)
    dialog.answers.choose("get_plan")
    form = dialog.answers.form
    assert form.text.toPlainText() == "Plus"
    form.text.setPlainText("Family")
    assert dialog.book.tools["get_plan"].otherwise.text == "Family"
    form.delay.setCurrentText("between")
    form.first.setValue(100)
    form.second.setValue(50)
    assert "high_ms" in form.wrong.text()
    form.second.setValue(200)
    assert form.wrong.isHidden()
    form.cases.setPlainText('[{"when": {"account": "AC-*"}, "reply": {"kind": "error", "text": "Locked"}}]')
    assert dialog.book.tools["get_plan"].reply({"account": "AC-9"}).text == "Locked"
    form.cases.setPlainText("[{")
    assert "not JSON" in form.wrong.text()
    assert dialog.book.tools["get_plan"].reply({"account": "AC-9"}).text == "Locked"
    form.kind.setCurrentIndex(4)
    form.cases.setPlainText("")
    form.text.setPlainText("http://example.com/x")
    assert "not this machine" in form.wrong.text()


async def test_a_response_that_calls_tools_leads_to_the_chain(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.files.open_tools_sample()
    window.requests.send_or_stop()
    await hand.until(lambda: window.requests.current is not None and not window.requests.running, "the response")
    window.response.show_tab(TOOLS)
    assert not window.response.tools_tab.run.isHidden()
    window.response.tools_tab.run.click()
    dialog = window.chaining.dialog
    assert dialog is not None
    await hand.until(lambda: not dialog.running, "the answer")
    assert dialog.state.text().startswith("Answered")


async def test_the_sample_with_tools_runs_to_an_answer(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.files.open_tools_sample()
    assert window.answers
    dialog = window.chaining.run()
    await hand.until(lambda: not dialog.running, "the answer")
    assert dialog.state.text().startswith("Answered, after 2 requests.")
    assert dialog.cards[0].call_rows[0].call.name == "get_balance"
    assert "412" in dialog.cards[0].call_rows[0].result.text()
    pane = window.prompt
    await hand.until(lambda: pane.axes is not None and pane.axes.state.startswith("warm"), "the loop's requests")
    dialog.ways["timeline"].click()
    assert window.voicing.dialog is not None
    assert len(dialog.measured()) == 2


def _dialog(kind: type) -> object | None:
    return next((w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()), None)


async def test_the_newest_turn_stays_visible_unless_the_user_scrolled_up(session: Session, hand: UiDriver) -> None:
    endpoints = session.workspace.endpoints
    endpoints.change(replace(endpoints.get("simulator"), plan=PLANS["none"]))  # 12 requests are above a minute's
    dialog = await _opened(session, prompt("no_end"))
    bar = dialog.view.verticalScrollBar()
    await _run(dialog, hand, limit=6)
    await hand.until(lambda: bar.maximum() > 0 and bar.value() == bar.maximum(), "the newest turn")
    assert not dialog.send_reply.isEnabled()
    dialog.reply.setText("  ")
    assert not dialog.send_reply.isEnabled()
    dialog.reply.setText(" And then? ")
    assert dialog.send_reply.isEnabled()
    bar.setValue(0)
    dialog.send_reply.click()
    await hand.until(lambda: bar.value() == bar.maximum(), "the turn that the user asked for")
    bar.setValue(0)
    await hand.until(lambda: not dialog.running, "the end of the chain")
    await asyncio.sleep(0)
    assert bar.value() == 0
    assert dialog.conversation.added(dialog.cards[6].turn_id)[-1].content == " And then? "
    dialog.close()
