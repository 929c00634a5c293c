"""Dialogs over real files and the real `keyring`, with a key store in memory at its far edge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from PySide6.QtWidgets import QApplication, QWidget

from playground.cli.selftest import UiDriver
from playground.storage.credentials import CredentialStore
from playground.storage.endpoints import EndpointStore
from playground.tasks import Tasks
from playground.ui.dialogs.connect import ConnectDialog
from tests.storage.test_credentials import MemoryKeyring

ConnectStory = Callable[[ConnectDialog, UiDriver], Coroutine[Any, Any, None]]
Connect = Callable[[ConnectStory], None]


@pytest.fixture
def store() -> Iterator[MemoryKeyring]:
    """The key store that `keyring` finds."""
    before = keyring.get_keyring()
    found = MemoryKeyring()
    keyring.set_keyring(found)
    yield found
    keyring.set_keyring(before)


@pytest.fixture
def book(tmp_path: Path) -> EndpointStore:
    """Endpoints in a file."""
    return EndpointStore(tmp_path / "endpoints.json")


@pytest.fixture
def keys(store: MemoryKeyring) -> CredentialStore:
    """Keys in the store in memory; nothing in the environment."""
    return CredentialStore({}, limit_s=5.0)


@pytest.fixture
def connect(runner: asyncio.Runner, qapp: QApplication, book: EndpointStore, keys: CredentialStore) -> Connect:
    """Lets a story happen in the dialog. An error in any task fails the test."""
    errors: list[str] = []

    async def session(story: ConnectStory) -> None:
        tasks = Tasks(lambda name, error: errors.append(f"{name}: {error!r}"))
        host = QWidget()  # qasync's loop ends with the last window
        host.show()
        dialog = ConnectDialog(book, keys, tasks.start, host)
        dialog.open()
        try:
            await story(dialog, UiDriver(dialog, None))
        finally:
            await tasks.close()
            dialog.close()
            host.close()
            host.deleteLater()
            qapp.processEvents()

    def tell(story: ConnectStory) -> None:
        runner.run(session(story))
        assert errors == []

    return tell
