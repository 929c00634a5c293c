"""The label of a request_id in panes of different widths."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QFontMetrics
from pytestqt.qtbot import QtBot

from playground.ui.theme import mono_font
from playground.ui.widgets.labels import IdLabel

REQUEST_ID = "2ae85112-f762-40cc-a714-a4e65fcd8135"


def label_of(qtbot: QtBot, text: str, characters: float, px: int) -> IdLabel:
    """Return a label in which `characters` of the font of `px` pixels fit on a line."""
    label = IdLabel("request_id")
    qtbot.addWidget(label)
    label.show_id(text)
    label.resize(round(QFontMetrics(mono_font(px)).horizontalAdvance("0") * characters), 40)
    return label


def test_id_label_wide_enough_is_one_line(qtbot: QtBot) -> None:
    assert label_of(qtbot, REQUEST_ID, 36.5, 12).lines == (REQUEST_ID,)


def test_id_label_one_character_too_narrow_breaks_after_the_hyphen_in_the_middle(qtbot: QtBot) -> None:
    label = label_of(qtbot, REQUEST_ID, 35.5, 10)
    assert label.lines == ("2ae85112-f762-40cc-", "a714-a4e65fcd8135")
    assert label.whole


@pytest.mark.parametrize("text", ["chatcmpl" * 6, "-" + "x" * 60])
def test_id_label_without_a_hyphen_in_the_middle_wraps_anywhere(qtbot: QtBot, text: str) -> None:
    label = label_of(qtbot, text, 20.5, 10)
    assert "".join(label.lines) == text
    assert label.heightForWidth(label.width()) > 2 * QFontMetrics(mono_font(10)).height()
