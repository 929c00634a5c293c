"""A long text's own painting of its visible blocks gives the same pixels as QPlainTextEdit's. A text that paints the
fill of its card itself gives the same pixels as one that is painted over the card.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt
from PySide6.QtGui import QImage, QInputMethodEvent, QPainter, QRegion
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from playground.prefix_cache.stable_end import StableEnd
from playground.prompt.document import Message
from playground.ui.panes.prompt import card_text
from playground.ui.panes.prompt.axis_paint import NOT_WARM, MessageAxes, Served, ServedRow, served_text
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.cards import MessageCard
from playground.ui.theme import current_theme
from playground.ui.widgets.form import PlainEdit
from playground.ui.widgets.lossless_text_edit import TextBox

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


AXES = [
    MessageAxes(None, NOT_WARM),
    MessageAxes(0, 0),
    MessageAxes(300, 150),
    MessageAxes(300, len(SHORT)),
]


@pytest.fixture
def card(qtbot: QtBot, themed: QApplication) -> MessageCard:
    found = MessageCard()
    qtbot.addWidget(found)
    found.resize(400, 900)
    found.show_message(Message("user", SHORT))
    found.show_axes(AXES[0], None)
    found.show()
    return found


class Painted(QObject):
    """Records the paint events of some widgets."""

    def __init__(self, *widgets: QWidget) -> None:
        super().__init__(widgets[0])
        self.widgets: list[QObject] = []
        for widget in widgets:
            widget.installEventFilter(self)

    def eventFilter(self, widget: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            self.widgets.append(widget)
        return False


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("inside", [False, True])
def test_card_opaque_text_same_pixels(card: MessageCard, axes: MessageAxes, inside: bool) -> None:
    card.show_axes(axes, StableEnd(0, 300, "variable", 70) if inside else None)
    card.show_served(Served(40, "12:00:00", 0, 150) if inside else None)
    opaque = card.grab().toImage()
    card.text.set_opaque(False)
    assert card.grab().toImage() == opaque


def test_card_collapsed_says_that_the_served_part_ends_inside(card: MessageCard) -> None:
    card.show_served(Served(40, "12:00:00", 0, 150))
    assert card.text.gap_top("served") is not None
    assert card.findChild(ServedRow) is None
    card.set_collapsed(True)
    row = card.findChild(ServedRow)
    assert row is not None
    assert row.isVisible()
    assert row.accessibleName() == served_text(Served(40, "12:00:00", 0, 150), inside=True) + ", reported 12:00:00"
    card.set_collapsed(False)
    assert not row.isVisible()


def test_card_collapsed_shows_that_the_stable_prefix_ends_inside(card: MessageCard) -> None:
    length = len(SHORT)
    card.show_axes(MessageAxes(length // 2, length // 2, 40), StableEnd(0, 300, "today", length // 2))
    card.set_collapsed(True)
    card.resize(card.width(), card.head.height())
    theme, image = current_theme(), card.grab().toImage()
    at = image.width() - 4, image.height()
    assert [image.pixelColor(at[0], y).name() for y in (1, at[1] - 2)] == [
        theme.stable.name(),
        theme.variable.name(),
    ]
    assert [image.pixelColor(2, y).name() for y in (1, at[1] - 2)] == [theme.warm_edge.name(), theme.surface.name()]
    assert card.head.count.startswith("stable until {{today}} · ")
    card.set_collapsed(False)
    assert "stable until" not in card.head.count


def test_card_blink_paints_the_text_alone(card: MessageCard, qtbot: QtBot) -> None:
    viewport = card.text.viewport()
    QApplication.processEvents()
    painted = Painted(viewport, card, card.text)
    viewport.update(QRect(10, 10, 8, 20))
    qtbot.waitUntil(lambda: viewport in painted.widgets)
    assert painted.widgets == [viewport]


def test_card_axes_changed_repaints_the_text(card: MessageCard, qtbot: QtBot) -> None:
    viewport = card.text.viewport()
    QApplication.processEvents()
    painted = Painted(viewport, card)
    card.show_axes(MessageAxes(300, NOT_WARM), None)
    qtbot.waitUntil(lambda: viewport in painted.widgets and card in painted.widgets)
    QApplication.processEvents()
    painted.widgets.clear()
    card.show_axes(MessageAxes(300, NOT_WARM, 99), None)
    QApplication.processEvents()
    assert viewport not in painted.widgets


def test_card_without_axes_text_is_transparent_and_style_keeps_opaque(card: MessageCard) -> None:
    attribute = Qt.WidgetAttribute.WA_OpaquePaintEvent
    viewport = card.text.viewport()
    card.text.setStyleSheet("QPlainTextEdit { background: transparent; }")
    assert viewport.testAttribute(attribute)
    card.show_axes(None, None)
    assert not viewport.testAttribute(attribute)


@pytest.mark.parametrize("made", [CardText, partial(TextBox, "Rows")])
@pytest.mark.parametrize("composed", ["にほんご", "مرحبا", "नमस्ते"])
def test_composition_in_an_empty_text_hides_the_placeholder(
    qtbot: QtBot, themed: QApplication, made: Callable[[], PlainEdit], composed: str
) -> None:
    """Qt 6.11 would paint one over the other."""
    edit = made()
    qtbot.addWidget(edit)
    edit.resize(360, 60)
    edit.show()
    edit.setFocus()

    def compose(text: str) -> QImage:
        cursor = QInputMethodEvent.Attribute(QInputMethodEvent.AttributeType.Cursor, len(text), 1)
        QApplication.sendEvent(edit, QInputMethodEvent(text, [cursor] if text else []))
        return edit.grab().toImage()

    alone = compose(composed)
    candidates = edit.inputMethodQuery(Qt.InputMethodQuery.ImCursorRectangle)
    empty = compose("")
    edit.setPlaceholderText("Instructions for the model")
    assert compose("") != empty
    assert compose(composed) == alone
    # The window of an input method is placed here: inside the text, after a composition that runs to the right.
    assert edit.inputMethodQuery(Qt.InputMethodQuery.ImCursorRectangle) == candidates
    assert edit.rect().contains(candidates.toRect().topLeft())
    assert (candidates.x() > 20) == (composed != "مرحبا")
    edit.setPlaceholderText("Another hint")
    assert compose(composed) == alone
    assert compose("") != empty
    assert edit.placeholderText() == "Another hint"
