"""A long text's own painting of its visible blocks gives the same pixels as QPlainTextEdit's."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, QRect
from PySide6.QtGui import QImage, QInputMethodEvent, QPainter, QRegion
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from playground.ui.panes.prompt import card_text
from playground.ui.panes.prompt.card_text import CardText

SHORT = "\n".join(f"{number}. A {{{{variable}}}} in a line that is long enough to be wrapped." for number in range(30))
RIGHT_TO_LEFT = "\n".join(["من اليمين إلى اليسار", "left to right", "", "आप मीरा हैं 🙂"] * 8)


def _pixels(text: CardText, area: QRect) -> QImage:
    image = QImage(area.size(), QImage.Format.Format_ARGB32_Premultiplied)
    image.fill(0xFFFFFFFF)
    painter = QPainter(image)
    text.viewport().render(painter, QPoint(), QRegion(area))
    painter.end()
    return image


@pytest.fixture
def text(qtbot: QtBot, themed: QApplication) -> CardText:
    card = CardText()
    qtbot.addWidget(card)
    card.resize(360, 200)
    card.show()
    return card


def _same(text: CardText, monkeypatch: pytest.MonkeyPatch) -> bool:
    whole = text.viewport().rect()
    areas = [whole, QRect(0, 95, whole.width(), 61), QRect(20, whole.height() - 33, 100, 33)]
    monkeypatch.setattr(card_text, "LONG_BLOCKS", 10_000)
    expected = [_pixels(text, area) for area in areas]
    monkeypatch.setattr(card_text, "LONG_BLOCKS", 1)
    return [_pixels(text, area) for area in areas] == expected


@pytest.mark.parametrize("content", [SHORT, RIGHT_TO_LEFT, "one line"])
def test_paint_visible_blocks_same_pixels(text: CardText, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    text.set_exact(content)
    assert _same(text, monkeypatch)


def test_paint_visible_blocks_selection_same_pixels(text: CardText, monkeypatch: pytest.MonkeyPatch) -> None:
    text.set_exact(SHORT)
    plain = _pixels(text, text.viewport().rect())
    text.select(25, 900)
    assert _same(text, monkeypatch)
    assert _pixels(text, text.viewport().rect()) != plain


def test_paint_visible_blocks_gap_same_pixels(text: CardText, monkeypatch: pytest.MonkeyPatch) -> None:
    text.set_exact(SHORT)
    text.set_gap("boundary", 300)
    assert _same(text, monkeypatch)


def test_paint_visible_blocks_composition_same_pixels(text: CardText, monkeypatch: pytest.MonkeyPatch) -> None:
    text.set_exact(SHORT)
    text.setFocus()
    text.select(40, 40)
    attributes = [QInputMethodEvent.Attribute(QInputMethodEvent.AttributeType.Cursor, 2, 1)]
    QApplication.sendEvent(text, QInputMethodEvent("にほん", attributes))
    assert text.textCursor().block().layout().preeditAreaText() == "にほん"
    assert _same(text, monkeypatch)


def test_paint_visible_blocks_unfocused_after_focus_same_pixels(
    text: CardText, monkeypatch: pytest.MonkeyPatch
) -> None:
    text.set_exact(SHORT)
    text.setFocus()
    text.select(0, 200)
    text.clearFocus()
    QApplication.sendEvent(text, QEvent(QEvent.Type.UpdateRequest))
    assert _same(text, monkeypatch)
