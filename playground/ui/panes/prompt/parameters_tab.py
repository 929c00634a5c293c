"""Parameters: every documented one; empty is not sent; an invalid one blocks sending."""

from __future__ import annotations

import json

from msgspec.structs import replace
from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QLineEdit, QWidget

from playground.prompt.document import Document, Json
from playground.prompt.limits import (
    EXTRA_FIELDS,
    NAMES,
    NUMBERS,
    PARAMETERS,
    LimitFinding,
    Parameter,
    invalid_errors,
    show,
    with_typed,
    with_typed_extra,
)
from playground.ui.panes.prompt.field_text import FieldText
from playground.ui.panes.prompt.undo import UndoHistory
from playground.ui.theme import GRID, restyle
from playground.ui.widgets.labels import show_or_hide
from playground.ui.widgets.layouts import PageScroll, column_of, grid_of
from playground.ui.widgets.notice import words

NOT_SENT = "not sent"


def range_of(name: str) -> str:
    """Return the range of a parameter's values that Electron takes, or an empty text."""
    limit = NUMBERS.get(name)
    if limit is None or limit.low is None:
        return ""
    return f"at least {limit.low:g}" if limit.high is None else f"Electron: {limit.low:g} to {limit.high:g}"


class _Field(QWidget):
    """One parameter's editor: a line, a few lines, or a list to choose from."""

    typed = Signal(str)

    def __init__(self, parameter: Parameter, history: UndoHistory) -> None:
        super().__init__()
        self._history = history
        self._wrong = words("", "failure")
        self._wrong.hide()
        self.editor = self._make(parameter)
        self.editor.setAccessibleName(parameter.name)
        column_of(self.editor, self._wrong, on=self, margins=0, spacing=2)

    def _make(self, parameter: Parameter) -> QLineEdit | QComboBox | FieldText:
        if parameter.kind in ("choice", "switch"):
            box = QComboBox()
            box.setEditable(parameter.name == "tool_choice")
            box.addItems(["", *parameter.choices])
            box.setItemText(0, "" if box.isEditable() else NOT_SENT)
            if (line := box.lineEdit()) is not None:
                line.setPlaceholderText(NOT_SENT)
                line.setAccessibleName(parameter.name)
            box.currentTextChanged.connect(lambda text: self.typed.emit("" if text == NOT_SENT else text))
            return box
        if parameter.kind == "stop":
            lines = FieldText(self._history, parameter.name, NOT_SENT)
            lines.edited.connect(self.typed)
            return lines
        line = QLineEdit()
        line.setPlaceholderText(NOT_SENT)
        line.textEdited.connect(self.typed)
        return line

    def show_text(self, text: str) -> None:
        """Show a value, unless the typed text already means it."""
        editor = self.editor
        if isinstance(editor, QComboBox):
            with QSignalBlocker(editor):
                editor.setCurrentText(text or editor.itemText(0))
        elif isinstance(editor, FieldText) and editor.exact.strip("\n") != text:
            editor.set_exact(text)
        elif isinstance(editor, QLineEdit) and editor.text() != text:
            editor.setText(text)

    def show_message(self, sentence: str) -> None:
        """Show an error; an empty text removes it."""
        show_or_hide(self._wrong, sentence)
        if isinstance(self.editor, FieldText):
            self.editor.mark(bool(sentence))
        else:
            restyle(self.editor, bad=bool(sentence))


class ParametersTab(PageScroll):
    """Edits of the document, each with the key under which typing on merges into one undo step."""

    edited = Signal(object, str)

    def __init__(self, history: UndoHistory, parent: QWidget) -> None:
        super().__init__(parent)
        self._history = history
        self._document = Document()
        self._typed_extra: dict[str, Json] = {}
        self._fields: dict[str, _Field] = {}
        self._findings: tuple[LimitFinding, ...] = ()
        self._marked: set[str] = set()
        self._stream = QCheckBox("stream: receive the completion in parts")
        self._usage = QCheckBox("stream_options.include_usage: ask for usage when streaming")
        self._stream.toggled.connect(lambda on: self._change(replace(self._document, stream=on), ""))
        self._usage.toggled.connect(lambda on: self._change(replace(self._document, include_usage=on), ""))
        self._extra = _Field(Parameter("extra fields", "stop", ""), history)
        self._extra.typed.connect(self._extra_typed)
        inside = QWidget()
        self.setWidget(inside)
        self._build(inside)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # its widgets have the focus

    def _build(self, inside: QWidget) -> None:
        margins = (GRID * 2, GRID * 2, GRID * 2, GRID)
        grid = grid_of(inside, stretched=1, across=GRID * 2, down=GRID, margins=margins)
        grid.addWidget(self._stream, 0, 0, 1, 3)
        grid.addWidget(self._usage, 1, 0, 1, 3)
        for row, parameter in enumerate(PARAMETERS, 2):
            field = self._fields[parameter.name] = _Field(parameter, self._history)
            field.setToolTip(parameter.help)
            field.typed.connect(lambda text, chosen=parameter: self._typed(chosen, text))
            grid.addWidget(_label(parameter.name, parameter.help), row, 0)
            grid.addWidget(field, row, 1)
            if span := range_of(parameter.name):
                field.editor.setAccessibleDescription(span)
                label = words(span, "muted")
                label.setWordWrap(False)
                label.setContentsMargins(0, 6, 0, 0)
                grid.addWidget(label, row, 2, Qt.AlignmentFlag.AlignTop)
        last = len(PARAMETERS) + 2
        grid.addWidget(_label("extra fields", "Fields that are not documented, as one JSON object."), last, 0)
        grid.addWidget(self._extra, last, 1)
        grid.setRowStretch(last + 1, 1)

    def show_document(self, document: Document) -> None:
        self._document = document
        for box, on in ((self._stream, document.stream), (self._usage, document.include_usage)):
            with QSignalBlocker(box):
                box.setChecked(on)
        self._usage.setEnabled(document.stream)
        for parameter in PARAMETERS:
            field = self._fields[parameter.name]
            value = document.parameters.get(parameter.name)
            field.show_text(document.invalid.get(parameter.name, show(parameter, value)))
            field.show_message("")
        extra = {name: value for name, value in document.parameters.items() if name not in NAMES}
        if EXTRA_FIELDS in document.invalid:
            self._extra.show_text(document.invalid[EXTRA_FIELDS])
        elif extra != self._typed_extra:
            self._extra.show_text(json.dumps(extra, ensure_ascii=False, indent=1) if extra else "")
        self._typed_extra = extra
        self._extra.show_message("")
        for error in invalid_errors(document.invalid):
            self._fields.get(str(error.path[0]), self._extra).show_message(str(error))
        self.show_findings(self._findings)

    def show_findings(self, findings: tuple[LimitFinding, ...]) -> None:
        """Say at each field what the check of the whole prompt found there; what is typed wrongly is said already."""
        self._findings = findings
        fields = {**self._fields, "extra fields": self._extra}
        found: dict[str, str] = {}
        for problem in (finding.problem for finding in findings if finding.refused):
            head = str(problem.path[0]) if problem.path else ""
            name = head if head in self._fields else "extra fields"
            if head not in self._document.invalid and (name in self._fields or head in self._typed_extra):
                found.setdefault(name, str(problem))
        for name in self._marked.difference(found, self._document.invalid):
            fields[name].show_message("")
        for name, sentence in found.items():
            fields[name].show_message(sentence)
        self._marked = set(found)

    def go_to(self, name: str) -> None:
        boxes: dict[str, QWidget] = {"stream": self._stream, "stream_options": self._usage}
        target = boxes.get(name) or self._fields.get(name, self._extra).editor
        target.setFocus()
        self.ensureWidgetVisible(target)

    def _typed(self, parameter: Parameter, text: str) -> None:
        document, error = with_typed(self._document, parameter, text)
        self._change(document, f"parameter {parameter.name}")
        self._fields[parameter.name].show_message(str(error) if error else "")

    def _extra_typed(self, text: str) -> None:
        document, error = with_typed_extra(self._document, text)
        self._typed_extra = {name: value for name, value in document.parameters.items() if name not in NAMES}
        self._change(document, EXTRA_FIELDS)
        self._extra.show_message(str(error) if error else "")

    def _change(self, document: Document, key: str) -> None:
        self._document = document
        self.edited.emit(document, key)


def _label(name: str, help_text: str) -> QLabel:
    label = QLabel(name)
    label.setProperty("mono", "true")
    label.setToolTip(help_text)
    return label
