"""Markdown that asks for things from elsewhere gets nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QColor, QGuiApplication, QImage, QTextDocument
from pytestqt.qtbot import QtBot

from playground.ui.panes.response.rendered_tab import RenderedTab
from playground.ui.theme import load_theme
from tests.ui import runs_on_show as runs


@pytest.fixture
def tab(qtbot: QtBot) -> RenderedTab:
    """The tab on the screen."""
    tab = RenderedTab(load_theme("light"))
    qtbot.addWidget(tab)
    tab.show()
    return tab


def test_no_image_is_loaded_not_even_a_local_one(tab: RenderedTab, tmp_path: Path) -> None:
    image = QImage(8, 8, QImage.Format.Format_RGB32)
    image.fill(QColor("red"))
    path = tmp_path / "picture.png"
    assert image.save(str(path))
    url = QUrl.fromLocalFile(str(path))
    tab.refresh(runs.done(f"see ![it]({url.toString()})"))
    assert tab.browser.toPlainText() == f"see [image, not loaded: {url.toString()}]"
    loaded = tab.browser.document().resource(QTextDocument.ResourceType.ImageResource.value, url)
    assert isinstance(loaded, QImage)
    assert loaded.width() == 1


def test_another_run_never_shows_the_last_ones_text(tab: RenderedTab) -> None:
    tab.refresh(runs.done("one " * 20_000))
    tab.refresh(runs.streaming("two"))
    assert tab.browser.toPlainText() == "two"


def test_html_is_shown_as_it_is_written(tab: RenderedTab) -> None:
    tab.refresh(runs.done('<img src="http://example.com/x.png"> <b>bold</b>'))
    assert "<b>bold</b>" in tab.browser.toPlainText()


def test_a_link_is_copied_not_opened(tab: RenderedTab) -> None:
    tab.refresh(runs.done("[here](https://example.com/a)"))
    tab.browser.anchorClicked.emit(QUrl("https://example.com/a"))
    assert tab.line_shown == "Link copied, not opened: https://example.com/a"
    assert QGuiApplication.clipboard().text() == "https://example.com/a"
    assert tab.browser.toPlainText() == "here"


def test_code_is_coloured(tab: RenderedTab) -> None:
    tab.refresh(runs.done('😀\n\n```python\ndef f():\n    return "😀", 12\n```\n'))
    theme = load_theme("light")
    document = tab.browser.document()
    cursor = document.find("12")
    assert cursor.charFormat().foreground().color() == theme.variable_edge
    cursor = document.find("def")
    assert cursor.charFormat().foreground().color() == theme.output


def test_an_unknown_language_stays_plain(tab: RenderedTab) -> None:
    tab.refresh(runs.done("```nobodys-language\nx = 1\n```"))
    assert tab.browser.toPlainText() == "x = 1"


def test_the_end_is_always_rendered(tab: RenderedTab) -> None:
    state = runs.streaming("one")
    tab.refresh(state)
    runs.grown(state, [*runs.deltas(" **two**", 0.5), *runs.ending()])
    tab.refresh(state)
    assert tab.browser.toPlainText() == "one two"
