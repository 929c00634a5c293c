"""The key of an endpoint whose server repeats it: in no text of the window, no copy, no telemetry and no file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from msgspec.structs import replace
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPlainTextEdit, QTextEdit, QWidget

from playground.cli.selftest import UiDriver
from playground.client.endpoint import Endpoint
from playground.prompt.document import Document, Json, Message
from playground.ui.main_window import MainWindow
from playground.ui.session import Session
from tests.recorder.test_secrets import Echo, forms, serve
from tests.telemetry.test_reporting import Collector
from tests.ui.conftest import Tell

KEY = "b7xWm2Zq7/Lm2+Xk9T"
COPIES = ("ticket", "markdown", "curl", "python", "httpx", "javascript", "powershell", "smallestai")


@pytest.fixture
def echo() -> Iterator[tuple[Echo, str]]:
    echo = Echo(secret=KEY)
    server = serve(echo)
    yield echo, f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.shutdown()
    server.server_close()


def _texts() -> Iterator[str]:
    for widget in QApplication.allWidgets():
        yield from (widget.windowTitle(), widget.toolTip(), widget.statusTip(), widget.whatsThis())
        yield from (widget.accessibleName(), widget.accessibleDescription(), *_contents(widget))


def _contents(widget: QWidget) -> Iterator[str]:
    if isinstance(widget, QLabel | QLineEdit):
        yield widget.text()
    elif isinstance(widget, QPlainTextEdit | QTextEdit):
        yield widget.toPlainText()


def _has_answered(window: MainWindow, before: str | None) -> bool:
    return not window.requests.running and window.requests.shown_run_id not in (None, before)


def _found(text: str) -> bool:
    return any(form.decode() in text for form in forms(KEY))


MODES = ("stream", "tools", "error", "escaped", "header", "redirect")


def test_repeated_key_is_in_no_output_of_the_window(tell: Tell, echo: tuple[Echo, str], collector: Collector) -> None:
    server, address = echo
    folder = None

    async def story(session: Session, hand: UiDriver) -> None:
        nonlocal folder
        window, workspace = session.window, session.workspace
        folder = workspace.folder
        settings: dict[str, Json] = {"request_lines": True, "request_lines_contents": True}
        settings["otel_collector"] = collector.address
        for name, value in settings.items():
            workspace.settings.set(name, value)
        mine = workspace.endpoints.add(Endpoint("", "Mine", address, "m", needs_key=True))
        workspace.keys.set_session(mine, KEY)
        window.choose_endpoint(mine.id)
        window.prompt.set_document(Document(messages=(Message("user", "Say it"),), id="e"))
        before = None
        for server.mode in MODES:
            server.seen.clear()
            window.requests.send_or_stop()
            await hand.until(partial(_has_answered, window, before), f"the answer of {server.mode}")
            assert server.seen
            run_id = before = window.requests.shown_run_id
            for form in COPIES:
                QGuiApplication.clipboard().clear()
                window.program.copy_request(run_id, form)
                await hand.until(lambda: QGuiApplication.clipboard().text() != "", "a copy")
                assert not _found(QGuiApplication.clipboard().text()), (server.mode, form)
            window.prompt.set_document(replace(window.prompt.document(), name=server.mode), undoable=True, label="Name")
            shown = [text for text in _texts() if text]
            assert len(shown) > 100
            assert [text for text in shown if _found(text)] == [], server.mode
        assert workspace.draft is not None
        await workspace.draft.flush()
        await asyncio.sleep(0)

    tell(story)
    assert folder is not None
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "requests.jsonl" in files
    assert [name for name, data in files.items() if any(form in data for form in forms(KEY))] == []
    spans = b"".join(message.SerializeToString() for message in collector.taken)
    spans += b"".join(message.SerializeToString() for message in collector.metrics)
    assert spans
    assert not any(form in spans for form in forms(KEY))
