"""The versions in the real window: stored at send and save, compared, restored in one undo step."""

from __future__ import annotations

import json
import time
from pathlib import Path

from msgspec.structs import replace
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QDialog, QLineEdit

from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message
from playground.prompt.files import load
from playground.ui.main_window import MainWindow
from playground.ui.panes.versions import VersionsPanel
from playground.ui.session import Session
from playground.versions.service import VersionStore

RULES = "\n".join(f"{number}. Rule number {number} of the telephone agent of Acme Mobile." for number in range(60))
STABLE = Document(
    "acme",
    messages=(Message("system", RULES), Message("user", "{{question}}")),
    variables={"question": "Why is my bill high?", "today": "Monday"},
    id="acme-1",
)
DATED = STABLE.with_message(0, Message("system", RULES.replace("10. Rule", "Today is {{today}}.\n10. Rule")))


async def send(window: MainWindow, hand: UiDriver, document: Document) -> None:
    if window.prompt.document() != document:
        window.prompt.set_document(document, undoable=True, label="Edit")
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running and window.requests.current is not None, "answered")


async def opened(window: MainWindow, hand: UiDriver, rows: int) -> VersionsPanel:
    if window.versions.panel is None:
        window.actions_table["versions"].trigger()
    panel = window.versions.panel
    assert panel is not None
    await hand.until(lambda: bool(panel.foot.full_text) and panel.list.count() == rows, "listed")
    return panel


async def test_versions_sent_prompts_are_listed_compared_and_restored(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    for document in (STABLE, STABLE, STABLE, DATED, DATED):
        await send(window, hand, document)
    panel = await opened(window, hand, 2)
    await hand.until(lambda: "moved the boundary up by ≈ " in panel.headline.text(), "compared")
    assert panel.selected is not None
    assert panel.fix.isVisible()
    assert panel.against.isVisible()
    panel.next.click()
    assert panel.diff.textCursor().block().text().startswith("version 2: stable prefix ends")
    assert "Today is {{today}}." in panel.diff.toPlainText()
    assert [len(item.run_ids) for item in panel._items] == [2, 3]  # type: ignore[union-attr]
    figures = window.versions._overview.figures[panel._items[1].id]
    assert figures.cached is not None
    assert figures.cached > 0.8
    assert len(panel.answers.menu().actions()) == 2
    axes = window.prompt.axes
    assert axes is not None
    assert f"version 2: ≈ {axes.stable_tokens:,} of ≈ {axes.total:,} tokens stable" in panel.bars.accessibleName()

    panel.list.setCurrentRow(1)
    panel.restore.click()
    await hand.until(lambda: window.prompt.document() == STABLE, "restored")
    window.prompt.undo()
    assert window.prompt.document() == DATED


async def test_versions_other_values_or_prompts_sent_from_the_log_make_no_version(
    session: Session, hand: UiDriver
) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    await send(window, hand, STABLE)
    await send(window, hand, STABLE.with_variable("question", "Another?"))
    window.prompt.set_document(replace(STABLE, id="other", messages=(Message("user", "x"),)))
    window.requests.resend()
    await hand.until(lambda: not window.requests.running, "sent again")
    panel = await opened(window, hand, 0)
    assert panel.restore.isEnabled() is False
    window.prompt.set_document(STABLE)
    window.files.changed.emit()
    panel = await opened(window, hand, 1)


async def test_versions_draft_saved_to_a_file_keeps_its_history(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    await send(window, hand, STABLE)
    window.prompt.set_document(DATED, undoable=True, label="Edit")
    await window.files.save_file(tmp_path / "acme.prompt.json")
    panel = await opened(window, hand, 2)
    assert [item.reason for item in panel._items] == ["saved", "sent"]  # type: ignore[union-attr]


async def test_versions_panel_closed_gives_the_panes_their_widths_back(session: Session, hand: UiDriver) -> None:
    window = session.window
    before = window._columns.sizes()
    panel = await opened(window, hand, 0)
    assert window.response.isVisible() is False
    panel.close_button.click()
    await hand.until(lambda: window._columns.count() == 3, "closed")
    after = window._columns.sizes()
    assert all(abs(one - other) <= 3 for one, other in zip(before, after, strict=True))  # handles
    assert window.response.isVisible()


async def test_versions_named_version_is_listed_with_its_label(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    await session.workspace.versions.save(window.versions.identity, STABLE, "Baseline", "for <b>release</b> 2")
    panel = await opened(window, hand, 1)
    assert "Baseline" in panel.list.item(0).text()
    await hand.until(lambda: panel.subject.text() == "Version 1", "the only version, without a comparison")
    assert not panel.against.isVisible()
    assert not panel.next.isVisible()
    panel.search.setText("release")
    assert not panel.list.item(0).isHidden()
    panel.search.setText("nothing")
    assert panel.list.item(0).isHidden()
    panel.search.setText("rule number 30")
    await hand.until(lambda: not panel.list.item(0).isHidden(), "found in the prompt")
    panel.search.setText("rule number 99")
    await hand.until(lambda: panel._found[0] == "rule number 99", "searched")
    assert panel.list.item(0).isHidden()


async def test_versions_saved_label_and_note_survive_the_dialog(session: Session, hand: UiDriver) -> None:
    """The dialog is deleted when it closes, possibly before the task that stores the version begins."""
    window = session.window
    window.prompt.set_document(STABLE)
    await session.workspace.versions.save(window.versions.identity, STABLE, "Baseline", "")
    panel = await opened(window, hand, 1)
    window.versions._save()
    (dialog,) = panel.findChildren(QDialog)
    dialog.findChildren(QLineEdit)[0].setText("Release 2")
    dialog.accept()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not panel.findChildren(QDialog)
    await hand.until(lambda: "Release 2" in panel.list.item(0).text(), "the saved version")


async def test_versions_export_writes_every_version(session: Session, hand: UiDriver, tmp_path: Path) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    for document in (STABLE, DATED):
        await send(window, hand, document)
    await opened(window, hand, 2)
    await window.versions.export(tmp_path / "all.jsonl")
    await window.versions.export(tmp_path / "all.md")
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text("utf-8").splitlines()]
    assert [row["requests"] for row in rows] == [1, 1]
    assert [load(json.dumps(row["prompt"])).messages for row in rows] == [STABLE.messages, DATED.messages]
    assert "+ Today is {{today}}." in (tmp_path / "all.md").read_text("utf-8")


async def test_versions_agent_and_batch_note_the_prompt_that_they_send(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    dialog = window.chaining.run()
    await hand.until(lambda: not dialog.running and bool(dialog.conversation.turns), "the agent's answer")
    dialog.close()
    panel = await opened(window, hand, 1)
    assert [len(item.run_ids) for item in panel._items] == [1]  # type: ignore[union-attr]
    window.prompt.set_document(DATED, undoable=True, label="Edit")
    window.modes.show_mode("batch")
    (tmp_path / "rows.csv").write_text("question\nWhy?\nWhen?\n", "utf-8")
    batch = window.batch
    batch.files.open_file(tmp_path / "rows.csv")
    await hand.until(lambda: batch.tools.run.isEnabled(), "the plan")
    batch.start_or_pause()
    await hand.until(lambda: not batch.running, "the batch")
    window.modes.show_mode("prompt")
    panel = await opened(window, hand, 2)
    assert [len(item.run_ids) for item in panel._items] == [2, 1]  # type: ignore[union-attr]


async def test_versions_many_versions_are_shown_without_freezing(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(STABLE)
    key = window.versions.identity.key
    store = VersionStore(session.workspace.folder)
    for number in range(200):
        document = STABLE.with_message(0, Message("system", RULES.replace("Rule number 7 ", f"Rule {number} ")))
        store.record(key, document, "sent")
    window.actions_table["versions"].trigger()
    panel = window.versions.panel
    assert panel is not None
    await hand.until(lambda: panel.list.count() == 200, "listed")
    began = time.thread_time()
    panel.show_history(window.versions._overview, (), "")
    assert time.thread_time() - began < 0.1
