"""An endpoint's key: where it is, where it can be kept, and a field to paste one. The field forgets it at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout
from shiboken6 import isValid

from playground.client.endpoint import Endpoint
from playground.keystore import VARIABLE, KeyStore, KeyStoreTrouble
from playground.prompt.problems import BadInput
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
    """Asks the key store in tasks; the dialog never waits for it."""

    changed = Signal()
    """A key was kept or removed."""

    def __init__(self, keys: KeyStore, start: Start) -> None:
        super().__init__()
        self._keys, self._start = keys, start
        self._endpoint: Endpoint | None = None
        self._usable = False
        self.setProperty("look", "card")
        self.field = QLineEdit()
        self.field.setEchoMode(QLineEdit.EchoMode.Password)
        self.field.setPlaceholderText("sk_…  paste it here")
        self.field.setAccessibleName("API key")
        self._reveal = QPushButton("Show")
        self._reveal.setCheckable(True)
        self._reveal.setProperty("look", "quiet")
        self._reveal.toggled.connect(self._show_key)
        self.source = QLabel()
        self.words = QLabel("Looking for a key store…")
        self.store = QPushButton("Save in the key store")
        self.session = QPushButton("Use for this session only")
        self.remove = QPushButton("Remove the key")
        self.remove.setProperty("look", "quiet")
        self.store.clicked.connect(lambda: self._run(self._save(), "save the key"))
        self.session.clicked.connect(self._use_for_session)
        self.remove.clicked.connect(lambda: self._run(self._delete(), "remove the key"))
        self._build()
        self._run(self._look(), "look for a key store")

    def _build(self) -> None:
        field = QHBoxLayout()
        field.addWidget(self.field, 1)
        field.addWidget(self._reveal)
        buttons = QHBoxLayout()
        for button in (self.store, self.session, self.remove):
            buttons.addWidget(button)
        buttons.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID, GRID * 2, GRID)
        column.setSpacing(GRID)
        column.addWidget(self.source)
        column.addLayout(field)
        column.addLayout(buttons)
        column.addWidget(self.words)
        self.words.setWordWrap(True)
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
        self.source.setText("Looking for its key…")
        self._run(self._say_source(), "look for the key")

    async def _look(self) -> None:
        found = await self._keys.available()
        if not isValid(self):
            return  # the dialog was closed meanwhile
        self._usable = found.usable
        self.store.setEnabled(found.usable)
        self.store.setToolTip(found.sentence)
        self._say(f"{found.sentence} {VARIABLE} works as well, for Electron's own address.", "muted")

    async def _say_source(self) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            return
        source = await self._keys.source(endpoint)
        if isValid(self) and endpoint is self._endpoint:
            self.source.setText(SOURCES[source])
            self.remove.setEnabled(source in ("session", "key store"))

    async def _save(self) -> None:
        await self._save_typed()

    async def _save_typed(self) -> bool:
        if self._endpoint is None:
            return False
        try:
            await self._keys.save(self._endpoint, self.field.text())
        except BadInput as bad:
            self._say(_sentence(bad), "failure")
        except KeyStoreTrouble as trouble:
            self._say(str(trouble), "failure")
        else:
            await self._kept("The key is in the key store.")
            return True
        return False

    def _use_for_session(self) -> None:
        if self._keep_for_session():
            self._run(self._kept("The key is kept until the program ends."), "say where the key is")

    def _keep_for_session(self) -> bool:
        if self._endpoint is None:
            return False
        try:
            self._keys.set_session(self._endpoint, self.field.text())
        except BadInput as bad:
            self._say(_sentence(bad), "failure")
            return False
        return True

    async def _delete(self) -> None:
        if self._endpoint is None:
            return
        try:
            await self._keys.delete(self._endpoint)
        except KeyStoreTrouble as trouble:
            self._say(str(trouble), "failure")
        else:
            await self._kept("The key is forgotten.")

    async def _kept(self, sentence: str) -> None:
        if not isValid(self):
            return
        self._forget()
        self._say(sentence, "warm")
        await self._say_source()
        self.changed.emit()

    async def keep_typed(self, endpoint: Endpoint) -> bool:
        """Keep what is in the field for `endpoint`: in the key store where there is one, else for this session.

        Returns whether that went well; an empty field is.
        """
        self._endpoint = endpoint
        if not self.field.text().strip():
            return True
        if self._usable:
            return await self._save_typed()
        kept = self._keep_for_session()
        if kept:
            self._forget()
        return kept

    async def forget(self, endpoint: Endpoint) -> None:
        """Forget the key of an endpoint that goes, or goes elsewhere; where the key store refuses, it stays there."""
        with contextlib.suppress(KeyStoreTrouble):
            await self._keys.delete(endpoint)

    def _forget(self) -> None:
        self.field.clear()
        self._reveal.setChecked(False)

    def _say(self, sentence: str, tone: str) -> None:
        self.words.setText(sentence)
        self.words.setProperty("tone", tone)
        restyle(self.words)


def _sentence(bad: BadInput) -> str:
    words = f"{bad.problems[0].message} {bad.problems[0].hint}"
    return words[:1].upper() + words[1:]
