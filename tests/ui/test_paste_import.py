"""Paste and drop of other tools' prompts in the real window."""

from __future__ import annotations

import json
from pathlib import Path

from PySide6.QtGui import QGuiApplication

from playground.cli.selftest import UiDriver
from playground.prompt.document import Document, Message
from playground.ui.main_window import MainWindow
from playground.ui.session import Session
from tests.ui.conftest import Tell

KEY = "gw-0123456789abcdef"
BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}]}
)
CURL = f"curl https://x.example/v1/chat/completions -H 'Authorization: Bearer {KEY}' -d '{BODY}'"
PYTHON = (
    f'client = OpenAI(api_key="{KEY}")\n'
    'client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Q"}])\n'
)


def paste(window: MainWindow, text: str) -> None:
    QGuiApplication.clipboard().setText(text)
    window.prompt.prompt_tab.cards[-1].text.paste()


def test_paste_into_empty_prompt_opens_it_without_its_key(tell: Tell, tmp_path: Path) -> None:
    async def story(session: Session, hand: UiDriver) -> None:
        window = session.window
        for text in (CURL, PYTHON, BODY, json.dumps(json.loads(BODY)["messages"])):
            window.files.new_tab()
            window.prompt.set_document(Document(messages=(Message("system", ""), Message("user", "")), id="e"))
            assert not window.prompt.paste_bar.isVisible()
            paste(window, text)
            await hand.until(lambda: window.prompt.document().messages[-1].content == "Q", "opened")
            assert window.prompt.paste_bar.isVisible()
            window.prompt.undo()
            assert KEY not in str(window.prompt.document())
        assert session.workspace.draft is not None
        await session.workspace.draft.flush()

    tell(story)
    written = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert written == []


async def test_paste_into_a_prompt_stays_text_and_offers_to_open(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("system", "Rules"), Message("user", "Hi ")), id="e"))
    paste(window, BODY)
    await hand.until(window.prompt.paste_bar.isVisible, "offered")
    assert window.prompt.document().messages[-1].content == BODY + "Hi "  # at the cursor
    assert "gpt-4o" in window.prompt.paste_bar.words
    window.prompt.paste_bar.press("Open as prompt")
    assert [message.content for message in window.prompt.document().messages] == ["S", "Q"]
    window.prompt.undo()
    assert window.prompt.document().messages[0].content == "Rules"


async def test_paste_of_curl_with_an_image_names_the_place(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", ""),), id="e"))
    parts = [{"type": "image_url", "image_url": {"url": "x"}}]
    paste(window, f"curl u -d '{json.dumps({'messages': [{'role': 'user', 'content': parts}]})}'")
    await hand.until(window.prompt.paste_bar.isVisible, "said")
    assert "messages[0].content[0]" in window.prompt.paste_bar.words


async def test_paste_of_plain_text_offers_nothing(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.prompt.set_document(Document(messages=(Message("user", ""),), id="e"))
    for text in ("Call me at 5.", "{name}: prompt", "The curl of a field", f"api_key: {KEY}"):
        paste(window, text)
    assert KEY in (window.prompt.document().messages[0].content or "")
    assert not window.prompt.paste_bar.isVisible()


async def test_drop_of_batch_lines_opens_a_prompt_and_of_log_lines_imports(
    session: Session, hand: UiDriver, tmp_path: Path
) -> None:
    batch, log = tmp_path / "batch.jsonl", tmp_path / "log.jsonl"
    line = {"custom_id": "a", "url": "/v1/chat/completions", "body": json.loads(BODY)}
    batch.write_text(json.dumps(line) + "\n" + json.dumps(line) + "\n")
    log.write_text('{"run": 1}\n')
    window = session.window
    imported: list[Path] = []
    window.prompt.set_document(Document(id="e"))
    window.files.import_requested.disconnect()
    window.files.import_requested.connect(imported.append)
    window.files.open_path(batch)
    await hand.until(lambda: len(window.prompt.document().messages) == 2, "opened")
    window.files.open_path(log)
    await hand.until(lambda: imported == [log], "imported")
