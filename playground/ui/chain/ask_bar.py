"""Where a person types what a tool returns while the run waits for them."""

from __future__ import annotations

import asyncio

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPlainTextEdit, QPushButton, QVBoxLayout

from playground.chains.answering import AnswerFailed, Question
from playground.ui.chain.words import pretty
from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.notice import words


class AskBar(QFrame):
    """One question after the other; each waits for its own answer. Hidden while there is none."""

    waiting = Signal(int)
    """How many questions are open."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("look", "callout")
        self._open: list[tuple[Question, asyncio.Future[str]]] = []
        self._shown: Question | None = None
        self.question = words("", "strong")
        self.hint = words("", "muted")
        self.text = QPlainTextEdit()
        self.text.setFont(mono_font(12))
        self.text.setTabChangesFocus(True)
        self.text.setMaximumHeight(90)
        self.text.setAccessibleName("What the tool returns")
        self.give = QPushButton("Return this")
        self.give.setProperty("look", "primary")
        self.give.clicked.connect(lambda: self._answer(failed=False))
        self.fail = QPushButton("Return it as an error")
        self.fail.clicked.connect(lambda: self._answer(failed=True))
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(self.fail)
        row.addWidget(self.give)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID + 4, GRID, GRID, GRID)
        for widget in (self.question, self.hint, self.text):
            column.addWidget(widget)
        column.addLayout(row)
        self.hide()

    async def ask(self, question: Question) -> str:
        """What the person returns. Raises AnswerFailed for an error that they return."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._open.append((question, answer))
        self._show()
        try:
            return await answer
        finally:
            self._open = [pair for pair in self._open if pair[1] is not answer]
            self._show()

    def _show(self) -> None:
        self.setVisible(bool(self._open))
        self.waiting.emit(len(self._open))
        if not self._open:
            return
        question = self._open[0][0]
        if question is not self._shown:
            # What was typed for another question is no answer to this one.
            self.text.clear()
            self._shown = question
        more = f" ({len(self._open) - 1} more wait)" if len(self._open) > 1 else ""
        self.question.setText(f"{question.call.name}({pretty(question.call.arguments)}) waits for you{more}")
        self.hint.setText(question.hint)
        self.hint.setVisible(bool(question.hint))
        self.text.setFocus()

    def _answer(self, *, failed: bool) -> None:
        if not self._open:
            return
        _, answer = self._open[0]
        text = self.text.toPlainText()
        self.text.clear()
        if answer.done():
            return
        if failed:
            answer.set_exception(AnswerFailed(text or "The tool failed."))
        else:
            answer.set_result(text)
