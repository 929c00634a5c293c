"""A change of theme, in real widgets: visible ones at once, hidden ones at their next show event."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtGui import QPalette, QTextCursor
from PySide6.QtWidgets import QApplication, QFrame, QLabel, QLineEdit, QPlainTextEdit, QTabWidget, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from playground.prompt.diff import DiffRow
from playground.ui.theme import Theme, apply_theme, load_theme, qt_palette
from playground.ui.widgets.highlight import DifferenceView

LIGHT, DARK = load_theme("light"), load_theme("dark")


@pytest.fixture
def application(qapp: QApplication) -> Iterator[QApplication]:
    apply_theme(qapp, LIGHT)
    yield qapp
    apply_theme(qapp, LIGHT)


class Window(QTabWidget):
    def __init__(self) -> None:
        super().__init__()
        self.pages = [_Page(), _Page()]
        for number, page in enumerate(self.pages):
            self.addTab(page, str(number))
        self.resize(300, 200)


class _Page(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.frame, self.label, self.late = QFrame(), QLabel("words"), QFrame()
        self.frame.setProperty("look", "footer")
        self.late.setProperty("look", "footer")
        self.label.setProperty("tone", "failure")
        column = QVBoxLayout(self)
        for widget in (self.frame, self.label, QLineEdit(), self.late):
            column.addWidget(widget)


def _fill(widget: QWidget) -> str:
    image = widget.grab().toImage()
    return image.pixelColor(image.width() // 2, image.height() // 2).name()


def _ink(label: QLabel) -> str:
    return label.palette().color(QPalette.ColorRole.WindowText).name()


def _colors(theme: Theme) -> tuple[str, str]:
    return theme.sunk.name(), theme.failure.name()


def test_apply_theme_visible_widgets_change_at_once(application: QApplication, qtbot: QtBot) -> None:
    window = Window()
    qtbot.addWidget(window)
    window.show()
    page = window.pages[0]
    assert (_fill(page.frame), _ink(page.label)) == _colors(LIGHT)
    apply_theme(application, DARK)
    assert (_fill(page.frame), _ink(page.label)) == _colors(DARK)


def test_apply_theme_hidden_page_changes_when_shown(application: QApplication, qtbot: QtBot) -> None:
    window = Window()
    qtbot.addWidget(window)
    window.show()
    window.setCurrentIndex(1)
    page = window.pages[1]
    page.late.hide()
    window.setCurrentIndex(0)
    apply_theme(application, DARK)
    window.setCurrentIndex(1)
    assert (_fill(page.frame), _ink(page.label)) == _colors(DARK)
    page.late.show()
    assert _fill(page.late) == DARK.sunk.name()


def test_apply_theme_closed_window_changes_when_opened_again(application: QApplication, qtbot: QtBot) -> None:
    window = Window()
    qtbot.addWidget(window)
    window.show()
    window.hide()
    apply_theme(application, DARK)
    apply_theme(application, LIGHT)
    apply_theme(application, DARK)
    window.show()
    page = window.pages[0]
    assert (_fill(page.frame), _ink(page.label)) == _colors(DARK)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_qt_palette_each_role_has_a_color_of_its_own(theme: Theme) -> None:
    palette = qt_palette(theme)
    role = QPalette.ColorRole
    assert palette.color(role.ToolTipText) == theme.variable_edge
    assert palette.color(role.PlaceholderText) == theme.muted
    assert palette.color(QPalette.ColorGroup.Disabled, role.WindowText) == theme.muted


def test_placeholder_text_has_the_muted_color(application: QApplication, qtbot: QtBot) -> None:
    for widget in (QLineEdit(), QPlainTextEdit()):
        qtbot.addWidget(widget)
        widget.ensurePolished()
        assert widget.palette().color(QPalette.ColorRole.PlaceholderText) == LIGHT.muted


def test_apply_theme_difference_has_the_new_colors(application: QApplication, qtbot: QtBot) -> None:
    """Its texts have colors of their own, which neither palette nor style sheet reaches."""
    apply_theme(application, load_theme("light"))
    view = DifferenceView()
    qtbot.addWidget(view)
    view.show_rows([DiffRow("gone", "It is 14:01."), DiffRow("come", "It is 14:02.")])
    view.show()
    apply_theme(application, load_theme("dark"))
    application.processEvents()
    text = view.document().findBlockByNumber(1)
    cursor = QTextCursor(text)
    cursor.movePosition(QTextCursor.MoveOperation.EndOfBlock)
    assert cursor.charFormat().foreground().color() == load_theme("dark").text
    assert text.blockFormat().background().color() == load_theme("dark").selection
