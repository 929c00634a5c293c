"""Dialogs over real files and the real `keyring`, with a key store in memory at its far edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import keyring
import pytest
from PySide6.QtWidgets import QApplication, QWidget

from playground.storage.credentials import CredentialStore
from playground.storage.endpoints import EndpointStore
from playground.tasks import Tasks
from playground.ui.dialogs.connect import ConnectDialog
from tests.conftest import Entered
from tests.storage.test_credentials import MemoryKeyring


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


OpenDialog = Callable[[], ConnectDialog]


@asynccontextmanager
async def _dialogs(book: EndpointStore, keys: CredentialStore) -> AsyncIterator[OpenDialog]:
    errors: list[str] = []
    tasks = Tasks(lambda name, error: errors.append(f"{name}: {error!r}"))
    host = QWidget()  # qasync's loop ends with the last window
    host.show()

    def opened() -> ConnectDialog:
        dialog = ConnectDialog(book, keys, tasks.start, host)
        dialog.open()
        return dialog

    try:
        yield opened
    finally:
        await tasks.close()
        for dialog in host.findChildren(ConnectDialog):
            dialog.close()
        host.close()
        host.deleteLater()
        QApplication.processEvents()
    assert errors == []


@pytest.fixture
def open_dialog(runner: asyncio.Runner, book: EndpointStore, keys: CredentialStore) -> Entered[OpenDialog]:
    """Opens the dialog, in an async test. An error in any task fails the test."""
    return Entered(_dialogs(book, keys))


@pytest.fixture
def dialog(open_dialog: Entered[OpenDialog]) -> Entered[ConnectDialog]:
    """The dialog, open."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[ConnectDialog]:
        yield open_dialog.value()

    return Entered(opened())
