"""Settings: each change is stored at once, and a failure to store it is reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QLineEdit, QSpinBox
from pytestqt.qtbot import QtBot

from playground.storage.settings import SETTINGS, Settings
from playground.ui.appearance import Appearance
from playground.ui.dialogs.settings import SettingsDialog


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """In a file of its own."""
    return Settings(tmp_path / "settings.json")


@pytest.fixture
def dialog(settings: Settings, qtbot: QtBot) -> SettingsDialog:
    """On show."""
    found = SettingsDialog(settings)
    qtbot.addWidget(found)
    found.show()
    return found


def test_every_setting_with_a_label_has_a_named_field(dialog: SettingsDialog) -> None:
    assert set(dialog.fields) == {setting.name for setting in SETTINGS if setting.label}
    assert all(field.accessibleName() for field in dialog.fields.values())


def test_a_theme_is_seen_as_soon_as_it_is_chosen(
    dialog: SettingsDialog, settings: Settings, qapp: QApplication
) -> None:
    settings.set("theme", "light")
    appearance = Appearance(qapp, settings)
    theme = dialog.fields["theme"]
    assert isinstance(theme, QComboBox)
    theme.setCurrentText("dark")
    assert appearance.theme.dark
    theme.setCurrentText("light")
    assert not appearance.theme.dark


def test_changes_are_on_disk(dialog: SettingsDialog, tmp_path: Path) -> None:
    theme, size = dialog.fields["theme"], dialog.fields["font_size"]
    switch, file = dialog.fields["turn_limit"], dialog.fields["ca_file"]
    assert isinstance(theme, QComboBox)
    assert isinstance(size, QSpinBox)
    assert isinstance(switch, QCheckBox)
    assert isinstance(file, QLineEdit)
    theme.setCurrentText("dark")
    size.setValue(18)
    switch.click()
    file.setText("/somewhere/ca.pem")
    file.editingFinished.emit()
    kept = Settings(tmp_path / "settings.json")
    assert (kept.text("theme"), kept.number("font_size")) == ("dark", 18)
    assert (kept.flag("turn_limit"), kept.text("ca_file")) == (True, "/somewhere/ca.pem")


def test_a_number_is_kept_when_it_is_whole(dialog: SettingsDialog, settings: Settings) -> None:
    heard: list[float] = []
    settings.subscribe(lambda name: heard.append(settings.number(name)))
    field = dialog.fields["cache_lifetime_s"]
    assert isinstance(field, QSpinBox)
    field.setFocus()
    field.selectAll()
    QTest.keyClicks(field, "3600")
    assert heard == []
    QTest.keyClick(field, Qt.Key.Key_Tab)
    assert heard == [3600]


def test_a_file_that_cannot_be_written_is_said(
    dialog: SettingsDialog, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings._file, "write", _full)  # a full disk, at the edge
    field = dialog.fields["turn_limit"]
    assert isinstance(field, QCheckBox)
    field.click()
    assert "No space left" in dialog.form.general.text()
    assert dialog.form.general.isVisible()


def _full(_value: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_wheel_that_passes_over_changes_nothing(dialog: SettingsDialog) -> None:
    for name in ("theme", "font_size"):
        field = dialog.fields[name]
        field.clearFocus()
        before = _value(field)
        middle = QPointF(field.rect().center())
        down = QPoint(0, -120)
        wheel = QWheelEvent(
            middle,
            QPointF(field.mapToGlobal(field.rect().center())),
            QPoint(),
            down,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(field, wheel)
        assert _value(field) == before


def _value(field: object) -> object:
    if isinstance(field, QComboBox):
        return field.currentText()
    assert isinstance(field, QSpinBox)
    return field.value()


def test_search_finds_settings_of_all_sections(dialog: SettingsDialog) -> None:
    dialog.search.setText("retries")
    shown = {name for name, field in dialog.fields.items() if field.isVisible()}
    assert "turn_limit" in shown
    assert "theme" not in shown
    dialog.search.setText("no such setting")
    assert dialog.nothing.isVisible()
