"""A field that displays an invalid value: nothing is sent, the tab has a red dot, the field gets the focus."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDoubleSpinBox, QLineEdit, QSpinBox
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.ui.panes.prompt.pane import PARAMETERS, PROMPT
from playground.ui.session import Session
from playground.ui.widgets.form import padded


async def test_an_invalid_parameter_is_not_sent_and_gets_the_focus(session: Session, hand: UiDriver) -> None:
    window = session.window
    for name, text in (("temperature", "0,7"), ("max_tokens", "many")):
        before = window.requests.current
        window.prompt.tabs.setCurrentIndex(PARAMETERS)
        field = next(
            line for line in window.prompt.parameters_tab.findChildren(QLineEdit) if line.accessibleName() == name
        )
        field.clear()
        QTest.keyClicks(field, text)
        assert window.prompt.tabs.marked == {PARAMETERS}
        window.prompt.tabs.setCurrentIndex(PROMPT)
        window.requests.send_or_stop()
        await hand.until(lambda: not window.requests.running, "the refusal")
        assert window.requests.current is before
        assert window.prompt.tabs.currentIndex() == PARAMETERS
        assert window.focusWidget() is field
        assert field.text() == text
        field.clear()
        QTest.keyClicks(field, "1")
        assert window.prompt.tabs.marked == set()
        window.requests.send_or_stop()
        await hand.until(lambda: not window.requests.running, "the answer")
        current = window.requests.current
        assert current is not None
        assert current is not before
        assert current.run.request.fields[name] == 1


@pytest.mark.parametrize("kind", [QSpinBox, QDoubleSpinBox])
@pytest.mark.parametrize("typed", ["0,7", "1,000", "1 000", "1e3", "-0", "+5", "1_000", "abc"])
def test_number_box_uses_the_number_that_it_displays(qtbot: QtBot, kind: Callable[[], QSpinBox], typed: str) -> None:
    box = padded(kind())
    qtbot.addWidget(box)
    box.setRange(0, 600_000)
    box.setSuffix(" ms")
    box.lineEdit().clear()
    QTest.keyClicks(box.lineEdit(), typed)
    shown = box.lineEdit().text().removesuffix(" ms")
    assert "," not in shown
    assert not shown or float(shown) == box.value()
