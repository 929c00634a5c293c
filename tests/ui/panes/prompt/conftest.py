"""The pane as the window makes it, with a opened that looks after every change."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from playground.prefix_cache.forecaster import CacheForecaster
from playground.prefix_cache.index import Sent
from playground.prefix_cache.view import view_of_document
from playground.prompt.document import Document
from playground.ui.panes.prompt.pane import PromptPane
from playground.ui.theme import apply_theme, load_theme

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
NOW = 1_000.0


@dataclass
class OpenPane:
    """A pane with a forecaster of its own. `told`: the documents of its `edited` signals."""

    pane: PromptPane
    forecaster: CacheForecaster
    told: list[Document] = field(default_factory=list)

    def edited(self, document: Document) -> None:
        self.told.append(document)
        self.look()

    def look(self) -> None:
        self.pane.set_forecast(self.forecaster.look(self.pane.document(), "endpoint", "electron"))

    def sent(self, document: Document) -> None:
        """The server took this a moment ago."""
        view = view_of_document(document).view
        self.forecaster.record(
            "endpoint", "electron", Sent("run", "9db74058-2421", NOW - 40, view.text, view, None, None)
        )
        self.look()


@pytest.fixture
def themed(qapp: QApplication) -> QApplication:
    """The application in its light colors."""
    apply_theme(qapp, load_theme("light"))
    return qapp


@pytest.fixture
def open_pane(qtbot: QtBot, themed: QApplication) -> Callable[[Document], OpenPane]:
    """Shows a document in a pane of its own window."""

    def show(document: Document) -> OpenPane:
        pane = PromptPane()
        qtbot.addWidget(pane)
        opened = OpenPane(pane, CacheForecaster(clock=lambda: NOW))
        pane.set_document(document)
        pane.edited.connect(opened.edited)
        pane.resize(560, 640)
        with qtbot.waitExposed(pane):
            pane.show()
        opened.look()
        return opened

    return show
