"""Settings, made from the table that declares them. Each is applied as it is changed."""

from __future__ import annotations

from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from playground.prompt.problems import BadInput, Problem
from playground.settings import SETTINGS, Setting, Settings
from playground.ui.dialogs.form import Form
from playground.ui.theme import GRID


class SettingsDialog(QDialog):
    """Everything with a label."""

    def __init__(self, settings: Settings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Settings")
        self.form = Form()
        self.fields: dict[str, QComboBox | QSpinBox | QCheckBox | QLineEdit] = {}
        for setting in SETTINGS:
            if setting.label:
                self._add(setting)
        close = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close.rejected.connect(self.accept)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.setSpacing(GRID * 2)
        self.form.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID)
        scroll = QScrollArea()
        scroll.setWidget(self.form)
        scroll.setWidgetResizable(True)
        column.addWidget(scroll, 1)
        column.addWidget(close)
        self.resize(560, 640)

    def _add(self, setting: Setting) -> None:
        field = self.fields[setting.name] = self._field(setting)
        self.form.add(setting.name, setting.label, field)
        words = QLabel(setting.help)
        words.setProperty("tone", "muted")
        words.setWordWrap(True)
        self.form.add_words(words)

    def _field(self, setting: Setting) -> QComboBox | QSpinBox | QCheckBox | QLineEdit:
        value = self._settings.get(setting.name)
        if setting.choices:
            box = QComboBox()
            box.addItems(list(setting.choices))
            box.setCurrentText(str(value))
            box.currentTextChanged.connect(lambda text: self._set(setting.name, text))
            return box
        if isinstance(value, str):
            line = QLineEdit(value)
            line.editingFinished.connect(lambda: self._set(setting.name, line.text()))
            return line
        if isinstance(value, bool):
            switch = QCheckBox("on")
            switch.setChecked(value)
            switch.toggled.connect(lambda on: self._set(setting.name, on))
            return switch
        number = QSpinBox()
        number.setRange(setting.minimum or 0, setting.maximum or 0)
        number.setSuffix(f" {setting.unit}" if setting.unit else "")
        number.setKeyboardTracking(False)  # 300 is not 3, then 30, on its way
        number.setValue(int(self._settings.number(setting.name)))
        number.valueChanged.connect(lambda chosen: self._set(setting.name, chosen))
        return number

    def _set(self, name: str, value: str | int | bool) -> None:
        try:
            self._settings.set(name, value)
        except BadInput as bad:
            self.form.say(bad)
        else:
            notice = self._settings.notice
            self.form.say(BadInput(Problem((), notice)) if notice else None)
