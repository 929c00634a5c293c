"""Pane of tool mocks: list of the prompt's tools, and the form of the selected one."""

from __future__ import annotations

import json

from msgspec.structs import replace
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QDoubleSpinBox, QLabel, QListWidget, QWidget

from playground.agent.tool_mocks import (
    ASK,
    Delay,
    FixedDelay,
    NormalDelay,
    ReplyKind,
    ToolMock,
    ToolMocks,
    UniformDelay,
    dump,
    load,
)
from playground.prompt.document import Document
from playground.prompt.field_errors import InputError
from playground.ui.theme import GRID, mono_font, restyle
from playground.ui.widgets.form import combo_box, padded
from playground.ui.widgets.labels import show_or_hide
from playground.ui.widgets.layouts import STRETCH, column_of, row_of
from playground.ui.widgets.lossless_text_edit import TextBox
from playground.ui.widgets.notice import words

KINDS: dict[ReplyKind, tuple[str, str]] = {
    "ask": ("ask me", "What you will be told when the run waits for you (may be empty)"),
    "fixed": ("this text", '{"balance": 412}'),
    "template": ("a template", '{"account": "{{account}}", "balance": 412}'),
    "error": ("an error", "The account is locked."),
    "http": ("an address of mine", "http://localhost:8000/balance"),
    "mcp": ("a tool server", "python my_server.py, or http://localhost:8000/mcp"),
}
DELAYS = ("at once", "always", "between", "around")
CASES_HINT = '[{"when": {"account": "AC-*"}, "reply": {"kind": "fixed", "text": "…"}}]'
_TOOL = "tool"


class AnswerForm(QWidget):
    """Emits the whole mock if the input is valid; shows the error below the fields otherwise."""

    changed = Signal(object)
    """Emitted with a ToolMock."""

    def __init__(self) -> None:
        super().__init__()
        self._showing = False
        self.kind = combo_box("What a call returns")
        for label, _ in KINDS.values():
            self.kind.addItem(label)
        self.text = TextBox("The result, template, error, address or question", font=mono_font(12))
        self.delay = combo_box("How long it takes", list(DELAYS))
        self.first, self.second = _milliseconds("Milliseconds"), _milliseconds("Milliseconds, the second figure")
        self.between = QLabel("and")
        self.cases = TextBox("Other answers by argument pattern, as JSON", CASES_HINT, mono_font(12))
        self.wrong = words("", "failure")
        self.wrong.hide()
        for edit in (self.text, self.cases):
            edit.textChanged.connect(self._typed)
        for box in (self.kind, self.delay):
            box.currentIndexChanged.connect(self._typed)
        for number in (self.first, self.second):
            number.valueChanged.connect(self._typed)
        self._lay_out()

    def _lay_out(self) -> None:
        returns = row_of(QLabel("Returns"), (self.kind, 1))
        takes = row_of(QLabel("Takes"), self.delay, self.first, self.between, self.second, STRETCH)
        column_of(
            returns,
            (self.text, 2),
            takes,
            words("By argument pattern, the first that fits (JSON, may be empty)", "muted"),
            (self.cases, 1),
            self.wrong,
            on=self,
            margins=0,
            spacing=GRID,
        )

    def show_answer(self, answer: ToolMock) -> None:
        self._showing = True
        reply = answer.otherwise
        self.kind.setCurrentIndex(list(KINDS).index(reply.kind))
        self.text.set_exact(reply.text)
        self._show_delay(reply.delay)
        cases = json.loads(dump(ToolMocks({_TOOL: answer})))["tools"][_TOOL].get("cases", [])
        self.cases.set_exact(json.dumps(cases, ensure_ascii=False, indent=1) if cases else "")
        self._showing = False
        self._show_error(None)
        self._fit()

    def _show_delay(self, delay: Delay) -> None:
        match delay:
            case FixedDelay(ms=ms):
                kind, first, second = ("always" if ms else "at once"), ms, 0.0
            case UniformDelay(low_ms=low, high_ms=high):
                kind, first, second = "between", low, high
            case NormalDelay(mean_ms=mean, deviation_ms=deviation):
                kind, first, second = "around", mean, deviation
        self.delay.setCurrentText(kind)
        self.first.setValue(first)
        self.second.setValue(second)

    def _fit(self) -> None:
        kind = list(KINDS)[self.kind.currentIndex()]
        self.text.setPlaceholderText(KINDS[kind][1])
        delay = self.delay.currentText()
        self.first.setVisible(delay != "at once")
        self.second.setVisible(delay in ("between", "around"))
        self.between.setVisible(delay in ("between", "around"))
        self.between.setText("and" if delay == "between" else "give or take")

    def answer(self) -> ToolMock:
        """Return the mock in the form. Raises InputError with every invalid field."""
        kind = list(KINDS)[self.kind.currentIndex()]
        reply: dict[str, object] = {"kind": kind, "text": self.text.exact.text}
        if (delay := self._delay()) is not None:
            reply["delay"] = delay
        try:
            cases = json.loads(self.cases.exact.text.strip() or "[]")
        except (ValueError, RecursionError) as error:
            raise InputError.of(("cases",), f"this is not JSON: {error}.") from None
        book = {**json.loads(dump(ToolMocks())), "tools": {_TOOL: {"otherwise": reply, "cases": cases}}}
        return load(json.dumps(book)).tools[_TOOL]

    def _delay(self) -> dict[str, object] | None:
        first, second = self.first.value(), self.second.value()
        return {
            "always": {"kind": "fixed", "ms": first},
            "between": {"kind": "uniform", "low_ms": first, "high_ms": second},
            "around": {"kind": "normal", "mean_ms": first, "deviation_ms": second},
        }.get(self.delay.currentText())

    def _typed(self, *_: object) -> None:
        if self._showing:
            return
        self._fit()
        try:
            answer = self.answer()
        except InputError as bad:
            self._show_error(bad)
            return
        self._show_error(None)
        self.changed.emit(answer)

    def _show_error(self, bad: InputError | None) -> None:
        sentences = [_short(str(problem)) for problem in bad.problems] if bad is not None else []
        show_or_hide(self.wrong, "\n".join([*sentences, "The last valid value is kept."]) if sentences else "")
        restyle(self.cases, bad=any("cases" in one for one in sentences))


def _short(sentence: str) -> str:
    return sentence.replace(f"tools.{_TOOL}.", "").replace("otherwise.", "")


def _milliseconds(name: str) -> QDoubleSpinBox:
    box = padded(QDoubleSpinBox())
    box.setRange(0, 600_000)
    box.setDecimals(0)
    box.setSuffix(" ms")
    box.setKeyboardTracking(False)
    box.setAccessibleName(name)
    return box


NOTHING_SAID = ToolMock(ASK)
"""Default mock of a tool without one: ask the user."""


MOST_LIST_PX = 130
"""Maximum height of the list of tools."""


class AnswersPane(QWidget):
    changed = Signal(object)
    """The new ToolMocks."""

    def __init__(self) -> None:
        super().__init__()
        self._book, self._names = ToolMocks(), ()  # type: tuple[ToolMocks, tuple[str, ...]]
        self.list = QListWidget()
        self.list.setAccessibleName("Tools of the prompt")
        self.list.currentRowChanged.connect(lambda _row: self._show())
        self.form = AnswerForm()
        self.form.changed.connect(self._edited)
        self.none = words(
            "The prompt has no tools. Add some in the Tools tab; without them an agent loop is one request."
        )
        column_of(
            words("What a call returns", "strong"),
            self.none,
            self.list,
            (self.form, 1),
            on=self,
            margins=(GRID, GRID + 4, 0, 0),
            spacing=GRID,
        )

    def show_book(self, document: Document, book: ToolMocks) -> None:
        names = tuple(dict.fromkeys(tool.name for tool in document.tools if tool.name))
        chosen = self._names[self.list.currentRow()] if 0 <= self.list.currentRow() < len(self._names) else ""
        self._book, self._names = book, names
        self.list.clear()
        for name in names:
            self.list.addItem(self._label(name))
        self.list.setFixedHeight(min(self.list.sizeHintForRow(0) * len(names) + 4, MOST_LIST_PX))
        for widget in (self.list, self.form):
            widget.setVisible(bool(names))
        self.none.setVisible(not names)
        self.list.setCurrentRow(names.index(chosen) if chosen in names else 0)

    def choose(self, name: str) -> bool:
        """Select a tool. Returns whether the tool exists."""
        if name in self._names:
            self.list.setCurrentRow(self._names.index(name))
        return name in self._names

    def _label(self, name: str) -> str:
        reply = self._book.tools.get(name, NOTHING_SAID).otherwise
        return f"{name}   {KINDS[reply.kind][0]}"

    def _show(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self._names):
            self.form.show_answer(self._book.tools.get(self._names[row], NOTHING_SAID))

    def _edited(self, answer: ToolMock) -> None:
        row = self.list.currentRow()
        if not 0 <= row < len(self._names):
            return
        name = self._names[row]
        self._book = replace(self._book, tools={**self._book.tools, name: answer})
        item = self.list.item(row)
        if item is not None:
            item.setText(self._label(name))
        self.changed.emit(self._book)
