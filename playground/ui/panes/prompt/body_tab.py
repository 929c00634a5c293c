"""The Body tab: the bytes that Send would send of the draft."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QCheckBox, QWidget

from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError
from playground.prompt.request import body_fields, encode
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.theme import GRID
from playground.ui.widgets.labels import CopyButton, ElidedLabel
from playground.ui.widgets.layouts import FlowLayout, column_of, row_of, scrolled

if TYPE_CHECKING:
    from playground.ui.panes.prompt.pane import PromptPane
    from playground.ui.panes.prompt.prompt_tab import PromptTab


def go_to_field(pane: PromptPane, problem: FieldError, tabs: dict[str, int]) -> None:
    """Show the field that a problem names, and give it the keyboard. `tabs`: index of tools, variables, parameters."""
    head, *rest = problem.path or ("",)
    if head == "messages":
        pane.tabs.setCurrentIndex(tabs["messages"])
        _go_to_message(pane.prompt_tab, rest, problem.offset or 0)
    elif head == "tools":
        pane.tabs.setCurrentIndex(tabs["tools"])
        if rest and isinstance(rest[0], int):
            pane.tools_tab.go_to(rest[0])
    elif head == "variables":
        pane.tabs.setCurrentIndex(tabs["variables"])
        if rest:
            pane.variables.go_to(str(rest[0]))
    elif head:
        pane.tabs.setCurrentIndex(tabs["parameters"])
        pane.parameters_tab.go_to(str(head))


def _go_to_message(tab: PromptTab, rest: list[str | int], offset: int) -> None:
    if not rest or not isinstance(rest[0], int) or rest[0] >= len(tab.cards):
        tab.add.setFocus()
        return
    index, field = rest[0], rest[1] if len(rest) > 1 else "content"
    card = tab.cards[index]
    if field == "role":
        card.head.role.setFocus()
    elif field == "tool_call_id" and card.message.role == "tool":
        card.set_collapsed(False)
        card.calls.answers.setFocus()
    elif field == "tool_calls" and card.message.tool_calls:
        card.set_collapsed(False)
        card.calls.calls.setFocus()
    else:
        tab.go_to(index, offset)
        return
    tab.area.ensureWidgetVisible(card.calls if field != "role" else card.head)


class BodyTab(QWidget):
    """Built only while visible: a body may have hundreds of kilobytes."""

    def __init__(self) -> None:
        super().__init__()
        self._document: Document | None = None
        self._model = "electron"
        self._size = ElidedLabel("Request body", "muted", focus=False)
        self._pretty = QCheckBox("indented, to read")
        self._pretty.toggled.connect(self._show)
        self._copy = CopyButton("the exact request body")
        self._text = CardText()
        self._text.setAccessibleName("Request body")
        self._text.setReadOnly(True)
        scroll = scrolled(self._text)
        flow = FlowLayout()
        flow.add_all((self._size, self._pretty, self._copy))
        head = row_of(flow, margins=(GRID * 2, GRID, GRID, 0))
        column_of(head, (scroll, 1), on=self, margins=0)

    def show_body(self, document: Document, model: str) -> None:
        if document is not self._document or model != self._model:
            self._document, self._model = document, model
            self._show()

    def _show(self) -> None:
        if self._document is None:
            return
        fields, pretty = body_fields(self._document, self._model), self._pretty.isChecked()
        body = encode(fields)
        text = body.decode("utf-8", "surrogatepass")
        self._size.set_full_text("indented" if pretty else f"{len(body):,} bytes, as Send would send it")
        self._copy.set_text_to_copy(text)
        self._text.set_exact(json.dumps(fields, ensure_ascii=False, indent=2) if pretty else text)
