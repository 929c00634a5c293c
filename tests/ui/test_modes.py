"""The mode switch of the window: pages, toolbar, and what Ctrl+Enter does in each."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QStyle, QStyleOptionButton, QWidget

from playground.cli.selftest import UiDriver
from playground.ui.modes import ModeView
from playground.ui.session import Session
from playground.ui.theme import zoom_factor
from playground.ui.topbar import VERIFY, ModeTools


class Tools(ModeTools):
    """Has nothing to make narrower."""

    def show_compact(self, level: int) -> None:
        """Show the same at each level."""


async def test_modes_added_mode_is_built_at_first_display_only(session: Session, hand: UiDriver) -> None:
    modes, top = session.window.modes, session.window.top
    built: list[ModeView] = []
    ran: list[str] = []

    def build() -> ModeView:
        built.append(ModeView(QLabel("page"), Tools(), send=lambda: ran.append("send")))
        return built[-1]

    modes.add("other", "Other", "record", build)
    assert built == []
    assert top.modes.isVisible()
    modes.show_mode("other")
    modes.show_mode("prompt")
    modes.show_mode("other")
    assert len(built) == 1
    assert built[0].page.isVisible()
    tools = built[0].toolbar
    assert tools is not None
    assert tools.isVisible()
    assert not top.context.isVisible()
    session.window.actions_table["send"].trigger()
    assert ran == ["send"]
    assert not session.window.requests.running
    session.window.actions_table["mode_prompt"].trigger()
    assert session.window.prompt.isVisible()
    assert top.context.isVisible()
    assert not tools.isVisible()


class StyleChanges(QObject):
    """Counts how often a widget of the application was styled again."""

    count = 0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        self.count += event.type() == QEvent.Type.StyleChange and isinstance(watched, QWidget)
        return False


@pytest.mark.parametrize("action", ["mode_compare", "mode_batch", "mode_recorder", "voice"])
async def test_first_opening_styles_each_new_widget_few_times(
    session: Session, qapp: QApplication, action: str
) -> None:
    """Placed when they are filled, the parts of a page were styled 5 to 9 times."""
    changes, before = StyleChanges(), len(qapp.allWidgets())
    qapp.installEventFilter(changes)
    session.window.actions_table[action].trigger()
    qapp.removeEventFilter(changes)
    new = len(qapp.allWidgets()) - before
    assert new > 100
    assert changes.count < 4.5 * new


async def test_modes_open_logged_returns_to_the_prompt(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.modes.add("other", "Other", "record", lambda: ModeView(QLabel("page")))
    window.requests.send_or_stop()
    await hand.until(lambda: not window.requests.running, "the end of the request")
    run_id = window.requests.shown_run_id
    assert run_id is not None
    window.modes.show_mode("other")
    window.open_logged(run_id)
    await hand.until(lambda: window.modes.current == "prompt", "the prompt's panes")
    assert window.requests.shown_run_id == run_id


async def test_toolbar_name_of_a_changed_prompt_takes_room_from_the_shortcut_before_a_button_loses_its_word(
    session: Session,
) -> None:
    top = session.window.top
    session.window.resize(1280, 800)
    top.show_file("acme-phone-agent-2", changed=True)
    verify, send = (
        next(button for button in top.findChildren(QPushButton) if button.accessibleName() == name)
        for name in (VERIFY, "Send the prompt")
    )
    assert verify.text() == "Verify"
    assert "Ctrl" not in send.text()


async def test_toolbar_current_mode_has_room_for_its_label_in_bold(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1280, 800)
    for mode in ("mode_batch", "mode_prompt"):
        window.actions_table[mode].trigger()
        current = next(button for button in window.top.modes.findChildren(QPushButton) if button.isChecked())
        option = QStyleOptionButton()
        current.initStyleOption(option)
        room = current.style().subElementRect(QStyle.SubElement.SE_PushButtonContents, option, current).width()
        strong = QFont(current.font())
        strong.setWeight(QFont.Weight.DemiBold)
        needed = current.iconSize().width() + QFontMetrics(strong).horizontalAdvance(current.text())
        assert current.text()
        assert room > needed, current.text()


async def test_toolbar_has_the_same_words_for_the_modes_in_each_of_them(session: Session) -> None:
    window = session.window
    window.resize(1280, 800)
    for mode in ("prompt", "compare", "batch", "recorder"):
        window.actions_table[f"mode_{mode}"].trigger()
        words = [button.text() for button in window.top.modes.findChildren(QPushButton)]
        assert words == ["Prompt", "Compare", "Batch", "Recorder"], mode


async def test_toolbar_places_its_controls_at_once_after_a_change_of_mode(session: Session, hand: UiDriver) -> None:
    window = session.window
    window.resize(1440, 900)
    session.workspace.settings.set("zoom", 150)
    await hand.until(lambda: zoom_factor() == 1.5, "150 %")
    window.actions_table["mode_batch"].trigger()
    # Without a turn of the event loop in between.
    switch = window.top.modes
    assert switch.width() == switch.sizeHint().width()
