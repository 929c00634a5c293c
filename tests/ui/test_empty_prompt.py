"""Commands that send the prompt say that it is empty, and send nothing."""

from __future__ import annotations

from playground.cli.selftest import UiDriver
from playground.experiments.batch_rows import BatchRow
from playground.prompt.document import Document, Message
from playground.prompt.limits import EMPTY
from playground.requestlog.filter import EVERYTHING
from playground.ui.session import Session


async def test_every_command_that_sends_the_prompt_says_that_it_is_empty(session: Session, hand: UiDriver) -> None:
    window, log = session.window, session.workspace.log
    window.files.new()
    window.actions_table["keep_warm"].trigger()
    assert window.notice_bar.words == EMPTY
    window.actions_table["chain"].trigger()
    agent = window.chaining.dialog
    assert agent is not None
    await hand.until(lambda: not agent.running, "the end of the loop")
    assert EMPTY in agent.state.text()
    repeat = window.program.repeat_dialog(window.prompt, window.requests)
    repeat.go.click()
    await hand.until(lambda: not repeat.running, "the end of the series")
    assert EMPTY in repeat.found.text()
    readiness = window.voicing.open().readiness
    readiness.go.click()
    await hand.until(lambda: not readiness.running, "the end of the measurement")
    assert EMPTY in readiness.said.text()
    window.notice_bar.hide()
    window.modes.show_mode("compare")
    window.compare.send()
    assert window.notice_bar.words == f"Column A: {EMPTY}"
    assert not window.compare.running
    window.modes.show_mode("batch")
    await window.batch.use_rows((BatchRow(0, {"a": "b"}),), "rows")
    window.actions_table["send"].trigger()
    await hand.until(lambda: EMPTY in window.batch.page.setup.error.text(), "the refusal")
    assert not window.batch.page.setup.error.isHidden()
    window.actions_table["send"].trigger()
    assert window.batch.session is None
    window.modes.show_mode("prompt")
    window.prompt.set_document(Document(messages=(Message("user", "{{q}}"),), variables={"q": "\u00a0"}))
    assert not window.top._send.isEnabled()
    window.actions_table["send"].trigger()
    assert window.notice_bar.words == "The prompt is empty: {{q}} has no visible text. Give {{q}} a value."
    assert log is not None
    assert (await log.count(EVERYTHING)).n == 0
