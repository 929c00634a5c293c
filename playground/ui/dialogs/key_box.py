"""The API key of an endpoint: its location, its storage, and a field to paste one that is cleared after use."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QRadioButton, QVBoxLayout
from shiboken6 import isValid

from playground.client.endpoint import ELECTRON_ID, Endpoint
from playground.prompt.field_errors import InputError
from playground.storage.credentials import VARIABLE, Availability, CredentialStore, CredentialStoreError
from playground.ui.stylesheet import restyle
from playground.ui.theme import GRID

Start = Callable[[Coroutine[Any, Any, None], str], object]
SOURCES = {
    "session": "A key is in use for this session only.",
    "key store": "A key is in this system's key store.",
    "SMALLEST_API_KEY": f"The key comes from {VARIABLE}.",
    None: "No key yet.",
}


class KeyBox(QFrame):
    """Accesses the key store in tasks, without blocking the dialog. Saving the endpoint stores a pasted key."""

    changed = Signal()
    """Emitted after a key was stored or removed."""

    def __init__(self, keys: CredentialStore, start: Start) -> None:
        super().__init__()
        self._keys, self._start = keys, start
        self._endpoint: Endpoint | None = None
        self._found: Availability | None = None
        self.setProperty("look", "card")
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText("Paste the API key here")
        self.field.setAccessibleName("API key")
        self.field.textEdited.connect(lambda _text: self._say_place())
        self._reveal = QPushButton("Show")
        self._reveal.setAccessibleName("Show the key")
        self._reveal.setCheckable(True)
        self._reveal.setProperty("look", "quiet")
        self._reveal.toggled.connect(self._show_key)
        self.source = QLabel()
        self.words = QLabel("Looking for a key store…")
        self.in_store = QRadioButton("Keep it in the key store")
        self.in_store.setChecked(True)
        self.for_session = QRadioButton("Use it for this session only")
        self.remove = QPushButton("Remove the key")
        self.remove.setProperty("look", "quiet")
        room = self.remove.sizePolicy()
        room.setRetainSizeWhenHidden(True)  # nothing below moves when a key comes or goes
        self.remove.setSizePolicy(room)
        self.remove.clicked.connect(lambda: self._run(self._delete(), "remove the key"))
        self._build()
        self._run(self._look(), "look for a key store")

    def _build(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.source, 1)
        head.addWidget(self.remove)
        field = QHBoxLayout()
        field.addWidget(self.field, 1)
        field.addWidget(self._reveal)
        places = QHBoxLayout()
        places.setSpacing(GRID * 2)
        for place in (self.in_store, self.for_session):
            places.addWidget(place)
        places.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID + 4)
        column.setSpacing(GRID)
        for row in (head, field, places):
            column.addLayout(row)
        column.addWidget(self.words)
        for label in (self.source, self.words):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
        self.words.setProperty("tone", "muted")

    def _run(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self._start(coroutine, name)

    def _show_key(self, shown: bool) -> None:
        self.field.setEchoMode(QLineEdit.EchoMode.Normal if shown else QLineEdit.EchoMode.Password)
        self._reveal.setText("Hide" if shown else "Show")

    def show_endpoint(self, endpoint: Endpoint) -> None:
        """Show another endpoint's key."""
        self._endpoint = endpoint
        self._forget()
        self._say_place()
        self.source.setText("Looking for its key…")
        self.remove.hide()
        self._run(self._say_source(), "look for the key")

    async def _look(self) -> None:
        found = await self._keys.available()
        if not isValid(self):
            return  # the dialog was closed meanwhile
        self._found = found
        self.in_store.setEnabled(found.usable)
        if not found.usable:
            self.for_session.setChecked(True)
        self._say_place()

    def _say_place(self) -> None:
        self._mark("")
        if self._found is None:
            return
        own = self._endpoint is not None and self._endpoint.id == ELECTRON_ID
        variable = f" {VARIABLE} works as well." if own and VARIABLE not in self._found.sentence else ""
        self._say(self._found.sentence + variable, "muted")

    async def _say_source(self) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        source = await self._keys.source(endpoint)
        if not isValid(self) or endpoint is not self._endpoint:
            return
        unknown = source is None and endpoint.needs_key and self._keys.error
        self.source.setText(f"Not known whether there is a key: {unknown}" if unknown else SOURCES[source])
        self.remove.setVisible(source in ("session", "key store"))

    async def _delete(self) -> None:
        if self._endpoint is None:
            return
        try:
            await self._keys.delete(self._endpoint)
        except CredentialStoreError as error:
            if isValid(self):
                self._say(str(error), "failure")
            return
        if isValid(self):
            self._say("The key is forgotten.", "warm")
            await self._say_source()
            self.changed.emit()

    async def keep_typed(self, endpoint: Endpoint) -> bool:
        """Store the pasted key of `endpoint` in the storage selected below the field.

        Returns True if this succeeded and the dialog is still open, and for an empty field.
        """
        self._endpoint = endpoint
        if not self.field.text().strip():
            return True
        if self._found is None:
            await self._look()
        try:
            await self._keep(endpoint)
        except InputError as bad:
            self._refuse(_sentence(bad))
            return False
        except CredentialStoreError as error:
            self._refuse(str(error))
            return False
        if not isValid(self):
            return False
        self._forget()
        self.changed.emit()
        return True

    async def _keep(self, endpoint: Endpoint) -> None:
        if not isValid(self):
            return
        if self.in_store.isChecked():
            await self._keys.save(endpoint, self.field.text())
        else:
            self._keys.set_session(endpoint, self.field.text())

    def _refuse(self, sentence: str) -> None:
        if isValid(self):
            self._say(sentence, "failure")
            self._mark(sentence)
            self.field.setFocus()

    def _mark(self, wrong: str) -> None:
        """Mark the field as invalid, visually and for screen readers; an empty message removes the mark."""
        self.field.setProperty("bad", "true" if wrong else "false")
        self.field.setAccessibleDescription(wrong)
        restyle(self.field)

    async def forget(self, endpoint: Endpoint) -> None:
        """Forget the key of an endpoint that goes, or goes elsewhere; where the key store refuses, it stays there."""
        with contextlib.suppress(CredentialStoreError):
            await self._keys.delete(endpoint)

    def _forget(self) -> None:
        self.field.clear()
        self._reveal.setChecked(False)

    def _say(self, sentence: str, tone: str) -> None:
        self.words.setText(sentence)
        self.words.setProperty("tone", tone)
        restyle(self.words)


def _sentence(bad: InputError) -> str:
    words = f"{bad.problems[0].message} {bad.problems[0].hint}"
    return words[:1].upper() + words[1:]
