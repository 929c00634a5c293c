"""Findings in the window: shown after typing stops, linked to their place, fixed in one step, and dismissed."""

from __future__ import annotations

from msgspec.structs import replace
from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QApplication, QWidget

from playground.cli.selftest import UiDriver
from playground.lint.engine import EXAMPLES
from playground.prompt.document import Document, Message
from playground.requestlog.filter import EVERYTHING
from playground.runs.record import read_explanation
from playground.ui.dialogs.guide import GuideDialog
from playground.ui.dialogs.repeat import RepeatDialog, seconds_of, what_it_takes
from playground.ui.dialogs.rewrite import RewriteDialog
from playground.ui.panes.log.columns import cause_cell
from playground.ui.session import Session
from tests.ui.test_window import _send

RULES = "\n".join(f"{number}. Be kind, be brief, and never promise a date to a caller." for number in range(40))
VOLATILE = Document(
    messages=(Message("system", f"You are Mira. Current time: 14:05.\n{RULES}"), Message("user", "Where is it?")),
    parameters={"max_tokens": 200},
)


def _dialog(kind: type) -> object | None:
    return next((w for w in QApplication.allWidgets() if isinstance(w, kind) and w.isVisible()), None)


async def _advised(session: Session, hand: UiDriver, document: Document, rule: str) -> None:
    window = session.window
    window.prompt.set_document(document, undoable=True, label="Test")
    await hand.until(
        lambda: (
            window.answers.adviser.document is window.prompt.document()
            and any(box.advice.rule == rule for box in window.inspector.advice.boxes)
        ),
        f"advice of {rule}",
    )


async def test_it_marks_the_place_leads_there_and_is_mended_in_one_step(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _advised(session, hand, VOLATILE, "prefix-order")
    box = next(box for box in window.inspector.advice.boxes if box.advice.rule == "prefix-order")
    text = window.prompt.prompt_tab.cards[0].text
    marks = [text.exact.text[mark.start : mark.end] for mark in text.marks if mark.kind == "advice"]
    assert marks == ["14:05"]
    box.show_place.click()
    assert window.focusWidget() is text
    box.fix.click()
    dialog = _dialog(RewriteDialog)
    assert isinstance(dialog, RewriteDialog)
    assert dialog.list.count() >= 3
    assert dialog.list.currentRow() == dialog.best
    stable = [dialog._effects[row].stable for row in range(dialog.list.count())]
    assert stable[dialog.best] == max(stable) > dialog._now.stable
    marked = [row for row in range(dialog.list.count()) if "recommended" in dialog.list.item(row).text()]
    assert marked == [dialog.best]
    assert window.prompt.footer.may_vary == "1 value may vary"
    assert "Current time: 14:05." in dialog.difference.toPlainText()
    assert dialog.difference.toPlainText().count("14:05") == 2
    before = window.prompt.document()
    dialog.list.setCurrentRow(0)
    dialog.apply.click()
    after = window.prompt.document()
    assert (after.messages[0].content or "").rstrip().endswith("Current time: 14:05.")
    await hand.until(lambda: window.answers.adviser.document is after, "the next look")
    assert "prefix-order" not in {advice.rule for advice in window.answers.adviser.advice}
    assert window.focusWidget() is window.prompt.prompt_tab.cards[0].text
    window.prompt.undo()
    assert window.prompt.document() == before


async def test_first_request_after_a_fix_is_explained_in_grey_and_one_after_an_edit_in_amber(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    why = window.inspector.why
    window.prompt.set_document(replace(VOLATILE, parameters={"max_tokens": 2}), undoable=True, label="Test")
    await _send(session, hand)
    window.program.rewrite_dialog(window.prompt, ())
    dialog = _dialog(RewriteDialog)
    assert isinstance(dialog, RewriteDialog)
    dialog.apply.click()
    await _send(session, hand)
    assert (why.isHidden(), why.property("look")) == (False, "aside")
    after_fix = window.requests.shown_run_id
    document = window.prompt.document()
    first, *others = document.messages
    edited = replace(first, content=f"Now {first.content}")
    window.prompt.set_document(replace(document, messages=(edited, *others)), undoable=True, label="Test")
    await _send(session, hand)
    assert (why.isHidden(), why.property("look")) == (False, "callout")
    after_edit, log, tones = window.requests.shown_run_id, session.workspace.log, []
    assert log is not None
    assert after_fix is not None
    for run_id in (after_fix, after_edit):
        stored = await log.get(run_id or "")
        assert stored is not None
        tones.append(cause_cell(read_explanation(stored.explanation)).tone)
    assert tones == ["muted", "variable_edge"]
    window.requests.open_logged(after_fix)
    await hand.until(lambda: window.requests.shown_run_id == after_fix, "the logged request")
    assert why.property("look") == "aside"
    assert "The fix changed the prefix once" in why.sentence


class _Windows(QObject):
    """Records every window that is displayed."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget) and watched.isWindow():
            self.shown.append(type(watched).__name__)
        return False


async def test_advice_opens_no_window_on_its_way(session: Session, hand: UiDriver) -> None:
    windows = _Windows()
    QApplication.instance().installEventFilter(windows)  # type: ignore[union-attr]
    await _advised(session, hand, VOLATILE, "prefix-order")
    session.window.inspector.advice.more.click()
    await _advised(session, hand, EXAMPLES["tool-description"], "tool-description")
    QApplication.instance().removeEventFilter(windows)  # type: ignore[union-attr]
    assert windows.shown == []


async def test_marks_follow_the_text_and_are_let_go_when_it_is_changed(session: Session, hand: UiDriver) -> None:
    window = session.window
    await _advised(session, hand, VOLATILE, "prefix-order")
    text = window.prompt.prompt_tab.cards[0].text

    def marked() -> list[str]:
        return [text.exact.text[mark.start : mark.end] for mark in text.marks if mark.kind == "advice"]

    window.prompt.show_place(0, 0)
    await hand.type("Hi. ")
    assert marked() == ["14:05"]
    window.prompt.show_place(0, (text.exact.text).index("14:05") + 2)
    await hand.type("9")
    assert marked() == []


async def test_dismissed_on_a_prompt_or_for_good_and_given_again(session: Session, hand: UiDriver) -> None:
    window = session.window
    adviser, section = window.answers.adviser, window.inspector.advice
    await _advised(session, hand, EXAMPLES["output-cap"], "output-cap")
    next(box for box in section.boxes if box.advice.rule == "output-cap").once.trigger()
    await hand.until(lambda: all(advice.rule != "output-cap" for advice in adviser.advice), "it is silent")
    other = Document(name="another", messages=EXAMPLES["output-cap"].messages)
    await _advised(session, hand, other, "output-cap")
    next(box for box in section.boxes if box.advice.rule == "output-cap").for_good.trigger()
    await hand.until(lambda: all(advice.rule != "output-cap" for advice in adviser.advice), "it is silent")
    adviser.recall()
    await hand.until(lambda: any(advice.rule == "output-cap" for advice in adviser.advice), "it speaks again")


async def test_the_guide_loads_an_example(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.actions_table["guide"].trigger()
    dialog = _dialog(GuideDialog)
    assert isinstance(dialog, GuideDialog)
    dialog.show_rule("json-not-set")
    assert dialog.reason.text()
    dialog.example.click()
    await hand.until(lambda: window.prompt.document().messages == EXAMPLES["json-not-set"].messages, "the example")


async def test_nothing_to_mend_is_said(session: Session, hand: UiDriver) -> None:
    window = session.window
    short = Document(messages=(Message("user", "Hi"),), parameters={"max_tokens": 9})
    window.prompt.set_document(short, undoable=True, label="Test")
    await hand.until(lambda: window.answers.adviser.document is window.prompt.document(), "a look")
    window.actions_table["mend"].trigger()
    assert _dialog(RewriteDialog) is None
    assert "No automatic fix" in window.notice_bar.words


async def test_the_prompt_is_repeated_and_its_answers_compared(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", "Hi"),), parameters={"max_tokens": 9}))
    window.actions_table["repeat"].trigger()
    dialog = _dialog(RepeatDialog)
    assert isinstance(dialog, RepeatDialog)
    dialog.times.setValue(4)
    dialog.at_once.setValue(2)
    assert "4 requests" in dialog.cost.text()
    dialog.go.click()
    await hand.until(lambda: not dialog.running and dialog.progress.value() == 4, "four answers")
    assert "4 answers are equal" in dialog.found.text()
    measured = replace(dialog.ahead(), seconds_each=seconds_of(dialog.states))
    assert dialog.cost.text() == what_it_takes(measured, 4, 2) != what_it_takes(dialog.ahead(), 4, 2)
    dialog.copy.click()
    assert len(QApplication.clipboard().text().splitlines()) == 5
    assert session.workspace.log is not None
    assert (await session.workspace.log.count(EVERYTHING)).n == 4
    dialog.times.setValue(50)
    dialog.go.click()
    await hand.until(lambda: dialog.progress.value() > 0, "the first of many")
    dialog.go.click()
    await hand.until(lambda: not dialog.running, "the stop")
    assert dialog.progress.value() < 50
    dialog.close()


async def test_adviser_after_rest_starts_no_check(session: Session, hand: UiDriver) -> None:
    adviser = session.window.answers.adviser
    adviser.shut_down()
    adviser.look_again()
    assert not adviser._rest.isActive()


async def test_advice_changing_text_put_in_front_of_a_sent_prompt_is_serious_and_fixed(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    for _ in range(3):
        window.requests.send_or_stop()
        await hand.until(lambda: not window.requests.running, "the end of a request")
    before = window.prompt.document()
    first, *others = before.messages
    for front, named in (
        ("Today is 2026-11-27 14:02.\n", "2026-11-27 14:02"),
        ("Call 8f14e45f-ceea-467f-a8d2-2f0f5f1d3b1c.\n", "8f14e45f-ceea-467f-a8d2-2f0f5f1d3b1c"),
        ("Today is {{today}}.\n", "today"),
    ):
        changed = replace(before, messages=(replace(first, content=front + (first.content or "")), *others))
        await _advised(session, hand, changed, "prefix-order")
        assert session.workspace.forecast(changed).forecast.cached_tokens == 0
        box = next(box for box in window.inspector.advice.boxes if box.advice.rule == "prefix-order")
        assert box.advice.severity == "serious"
        assert named in box.advice.detail
        box.fix.click()
        dialog = _dialog(RewriteDialog)
        assert isinstance(dialog, RewriteDialog)
        dialog.apply.click()
        content = window.prompt.document().messages[0].content or ""
        assert not content.startswith(front)
        assert content.startswith((first.content or "")[:200])
