"""Markdown that asks for things from elsewhere gets nothing."""

from __future__ import annotations

from pathlib import Path
from threading import Thread, current_thread
from time import process_time

import pytest
from PySide6.QtCore import QUrl
from PySide6.QtGui import QColor, QGuiApplication, QImage, QTextCursor, QTextDocument
from pytestqt.qtbot import QtBot

from playground.ui.panes.response import rendered_tab
from playground.ui.panes.response.markdown_view import selected_text
from playground.ui.panes.response.rendered_tab import RenderedTab
from playground.ui.theme import current_theme, load_theme
from playground.ui.widgets import highlight
from tests.ui import runs_on_show as runs


@pytest.fixture
def tab(qtbot: QtBot) -> RenderedTab:
    """The tab on the screen."""
    tab = RenderedTab()
    qtbot.addWidget(tab)
    tab.show()
    return tab


def _all(tab: RenderedTab) -> QTextCursor:
    cursor = QTextCursor(tab.browser.document())
    cursor.select(QTextCursor.SelectionType.Document)
    return cursor


def _table(rows: int, columns: int) -> str:
    lines = ["|".join(f"c{column}" for column in range(columns)), "|".join(["---"] * columns)]
    lines += ["|".join(f"{column}.{row}" for column in range(columns)) for row in range(rows)]
    return "\n".join(f"|{line}|" for line in lines)


@pytest.mark.parametrize(("rows", "columns"), [(10, 200), (8, 100), (200, 10), (2, 2_000)])
def test_rendered_tab_with_a_large_table_takes_short_steps(
    tab: RenderedTab, qtbot: QtBot, rows: int, columns: int
) -> None:
    steps: list[float] = []
    original = tab._step

    def timed() -> None:
        began = process_time()
        original()
        steps.append(process_time() - began)

    tab._timer.timeout.disconnect()
    tab._timer.timeout.connect(timed)
    tab._step = timed  # type: ignore[method-assign]  # measures the real step
    tab.refresh(runs.done(f"before\n\n{_table(rows, columns)}\n\nafter"))
    qtbot.waitUntil(lambda: not tab.busy, timeout=20_000)
    text = selected_text(_all(tab))
    assert text.startswith("before")
    assert text.endswith("after")
    assert f"{columns - 1}.{rows - 1}" in text
    assert max(steps) < 0.1


def test_rendered_tab_selection_while_streaming_is_kept(tab: RenderedTab, qtbot: QtBot) -> None:
    state = runs.streaming("one **two** three")
    tab.refresh(state)
    cursor = tab.browser.textCursor()
    cursor.setPosition(4)
    cursor.setPosition(7, QTextCursor.MoveMode.KeepAnchor)
    tab.browser.setTextCursor(cursor)
    for word in (" four", "\n\n- five", " six"):
        runs.grown(state, runs.deltas(word, 0.5))
        tab._steps = type(tab._steps)()
        tab.refresh(state)
        qtbot.waitUntil(lambda: not tab.busy)
        assert selected_text(tab.browser.textCursor()) == "two"
    assert selected_text(_all(tab)) == "one two three four\nfive six"


def test_rendered_tab_copy_keeps_tables_and_tabs(tab: RenderedTab, qtbot: QtBot) -> None:
    tab.refresh(runs.done("|a|b|\n|---|---|\n|1|2|\n\n```go\n\tx\u00a0:= 1\n```"))
    qtbot.waitUntil(lambda: not tab.busy)
    tab.browser.selectAll()
    tab.browser.copy()
    assert QGuiApplication.clipboard().text() == "a\tb\n1\t2\n\tx\u00a0:= 1"


def test_rendered_tab_copy_code_copies_the_exact_block(tab: RenderedTab) -> None:
    tab.refresh(runs.done("```py\na\n```\n\ntext\n\n```\n\tb\n\n  c\n```"))
    tab.browser.anchorClicked.emit(QUrl("copy-code:1"))
    assert QGuiApplication.clipboard().text() == "\tb\n\n  c"


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
    assert tab.line.text() == "Link copied, not opened: https://example.com/a"
    assert QGuiApplication.clipboard().text() == "https://example.com/a"
    assert tab.browser.toPlainText() == "here"


def test_code_is_colored(tab: RenderedTab, qtbot: QtBot) -> None:
    tab.refresh(runs.done('😀\n\n```python\ndef f():\n    return "😀", 12\n```\n'))
    qtbot.waitUntil(lambda: not tab.busy)
    theme = load_theme("light")
    document = tab.browser.document()
    cursor = document.find("12")
    assert cursor.charFormat().foreground().color() == theme.variable_edge
    cursor = document.find("def")
    assert cursor.charFormat().foreground().color() == theme.output


def test_an_unknown_language_stays_plain(tab: RenderedTab, qtbot: QtBot) -> None:
    tab.refresh(runs.done("```nobodys-language\nx = 1\n```"))
    qtbot.waitUntil(lambda: not tab.busy)
    assert selected_text(_all(tab)) == "x = 1"


def test_the_end_is_always_rendered(tab: RenderedTab) -> None:
    state = runs.streaming("one")
    tab.refresh(state)
    runs.grown(state, [*runs.deltas(" **two**", 0.5), *runs.ending()])
    tab.refresh(state)
    assert tab.browser.toPlainText() == "one two"


def test_rendered_tab_with_code_of_a_new_language_imports_its_lexer_in_another_thread(
    tab: RenderedTab, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(highlight, "_lexers", {})
    threads: list[Thread] = []

    def recorded(language: str) -> object:
        threads.append(current_thread())
        return highlight.load(language)

    monkeypatch.setattr(rendered_tab, "load", recorded)
    tab.refresh(runs.done("before\n\n```python\ndef f(): pass\n```\n\nafter"))
    assert tab.busy
    qtbot.waitUntil(lambda: not tab.busy)
    assert [thread is current_thread() for thread in threads] == [False]
    assert tab.browser.toPlainText().endswith("after")
    cursor = tab.browser.document().find("def")
    assert cursor.charFormat().foreground().color() == current_theme().output


@pytest.mark.parametrize("language", ["no-such-language", ""])
def test_load_of_an_unknown_language_is_remembered(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    monkeypatch.setattr(highlight, "_lexers", {})
    highlight.load(language)
    assert highlight.is_loaded(language)
