"""The Prompt pane: four tabs over one document and one history, and the forecast of the document."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QStackedWidget, QWidget

from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError
from playground.prompt.limits import invalid_errors
from playground.prompt.request import body_fields, encode
from playground.runs.metrics import counted
from playground.ui.panes.prompt.axis_paint import Served, axes_of, first_difference, served_place
from playground.ui.panes.prompt.card_text import CardText
from playground.ui.panes.prompt.footer import ProblemBar, PromptFooter
from playground.ui.panes.prompt.marks import Advised
from playground.ui.panes.prompt.prompt_tab import PromptTab
from playground.ui.panes.prompt.undo import PromptFile, UndoHistory
from playground.ui.panes.prompt.variables_table import VariablesTable
from playground.ui.theme import GRID
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.labels import CopyButton, ElidedLabel
from playground.ui.widgets.layouts import FlowLayout, Panel, column_of, row_of, scrolled
from playground.ui.widgets.lossless_text import Splice
from playground.ui.widgets.notice import SlimBar
from playground.ui.widgets.plain_table import hairline
from playground.ui.widgets.tab_bar import tab_bar, with_count

if TYPE_CHECKING:
    from playground.lint.model import Finding as LintFinding
    from playground.prefix_cache.forecaster import PromptForecast
    from playground.prefix_cache.zones import ZoneMap
    from playground.prompt.limits import LimitFinding
    from playground.ui.panes.prompt.axis_paint import PromptAxes
    from playground.ui.panes.prompt.find import FindBar
    from playground.ui.panes.prompt.footer import CheckBar
    from playground.ui.panes.prompt.parameters_tab import ParametersTab
    from playground.ui.panes.prompt.tools_tab import ToolsTab


PROMPT, TOOLS, PARAMETERS, BODY = range(4)

_PREFIX_RULE = "prefix-order"


class PromptPane(Panel):
    """Edits one Document. Every change is emitted at once and can be undone."""

    edited = Signal(object)
    """The Document, after every change, also by undo and redo, synchronously."""
    document_shown = Signal(object)
    """The Document that is on display instead of another one, without an edit."""
    send_requested = Signal()
    """Ctrl+Enter in a text of this pane; never during a composition."""
    action_requested = Signal(str)
    """The id of an action of the window."""
    answers_wanted = Signal(str)
    """The mock results of this tool are requested; offered in the tool's menu if the signal is connected."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("pane", "Prompt", parent)
        self._model = "electron"
        self.history = UndoHistory(self)
        self.prompt_tab = PromptTab(self.history)
        self._other_tabs: tuple[ToolsTab, ParametersTab, BodyTab] | None = None
        self._searching: FindBar | None = None
        self.problem_bar = ProblemBar()
        self.file_bar = SlimBar("The prompt's file")
        self.paste_bar = SlimBar("Pasted text")
        self.warm_bar = SlimBar("Keep cache warm")
        self._findings: tuple[LimitFinding, ...] = ()
        self._zones: ZoneMap | None = None
        self._prompt_forecast: PromptForecast | None = None
        self.axes: PromptAxes | None = None
        """What is painted."""
        self._held: PromptAxes | None = None
        self._report: tuple[Document, int | None, int, str] | None = None
        self._served_at: tuple[int, int] | None = None
        self.variables = VariablesTable(self.history)
        self.footer = PromptFooter()
        self.tabs = tab_bar("Parts of the prompt", ("Prompt", "Tools 0", "Parameters 0", "Body"))
        self.tabs.tightens = True
        self._find = icon_button("search", "Find in the prompt (Ctrl+F)")
        self._stack = QStackedWidget(self)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        page = QWidget(self._stack)
        column_of((self.prompt_tab, 1), self.variables, on=page, margins=0, spacing=0)
        self._stack.addWidget(page)
        head = row_of((self.tabs, 1), self._find, margins=(0, 0, 8, 0))
        above = hairline(), self.file_bar, self.paste_bar, self.problem_bar
        below = self.warm_bar, self.footer
        self._column = column_of(head, *above, (self._stack, 1), *below, on=self, margins=0, spacing=0)

    def _connect(self) -> None:
        self.history.spliced.connect(self._on_spliced)
        self.history.replaced.connect(self._on_replaced)
        self.history.changed.connect(self._on_changed)
        self.prompt_tab.send_requested.connect(self.send_requested)
        self.prompt_tab.action.connect(self.action_requested)
        self.prompt_tab.tools_requested.connect(lambda: self.tabs.setCurrentIndex(TOOLS))
        self.tabs.currentChanged.connect(self._show_tab)
        self._find.clicked.connect(lambda: self.show_find())
        self.variables.value_edited.connect(self._set_value)

    @property
    def _others(self) -> tuple[ToolsTab, ParametersTab, BodyTab]:
        """The tabs behind the first one, created on first use: the first paint does not need them."""
        if self._other_tabs is not None:
            return self._other_tabs
        from playground.ui.panes.prompt.parameters_tab import ParametersTab
        from playground.ui.panes.prompt.tools_tab import ToolsTab

        tools, parameters, body = ToolsTab(self.history), ParametersTab(self.history, self._stack), BodyTab()
        tools.tools_edited.connect(
            lambda tools, key: self.history.replace(replace(self.history.document, tools=tools), "Edit tools", key)
        )
        tools.answers_wanted.connect(self.answers_wanted)
        tools.server_wanted.connect(lambda: self.action_requested.emit("tool_server"))
        tools.answers_offered = lambda: self.receivers("2answers_wanted(QString)") > 0
        parameters.edited.connect(lambda document, key: self.history.replace(document, "Set parameter", key))
        self._other_tabs = tools, parameters, body
        for page in self._other_tabs:
            self._stack.addWidget(page)
        document = self.history.document
        tools.show_tools(document.tools)
        tools.show_zones(self._zones)
        parameters.show_document(document)
        parameters.show_findings(self._findings)
        return self._other_tabs

    @cached_property
    def check_bar(self) -> CheckBar:
        """The findings of the check, created with the first finding."""
        from playground.ui.panes.prompt.footer import CheckBar

        bar = CheckBar()
        bar.chosen.connect(self.go_to)
        self._column.insertWidget(self._column.indexOf(self._stack) + 1, bar)
        return bar

    @property
    def find_bar(self) -> FindBar:
        """Find and replace, created on first use."""
        if self._searching is None:
            from playground.ui.panes.prompt.find import FindBar

            bar = self._searching = FindBar()
            bar.found.connect(lambda message, at, size: self.prompt_tab.go_to(message, at, at + size, focus=False))
            bar.closed.connect(self.focus_editor)
            bar.replace_requested.connect(lambda message, splice: self.history.splice(message, splice, shown=False))
            bar.replace_all_requested.connect(self._replace_all)
            self._column.insertWidget(self._column.indexOf(self.footer), bar)
        return self._searching

    def complete(self) -> None:
        """Create the widgets that the first paint did not need."""
        _ = self._others

    @property
    def tools_tab(self) -> ToolsTab:
        return self._others[0]

    @property
    def parameters_tab(self) -> ParametersTab:
        return self._others[1]

    def document(self) -> Document:
        """Return the present document, exact to the character."""
        return self.history.document

    def set_document(
        self, document: Document, *, undoable: bool = False, label: str = "", file: PromptFile | None = None
    ) -> None:
        """Replace the document, as one undoable step or as a new start without a history.

        `file` is the file that Save writes from then on; None keeps the present one.
        """
        self.problem_bar.hide()
        if undoable:
            self.history.replace(document, label, file=file)
        else:
            self.history.reset(document, file)
            self.prompt_tab.collapse(frozenset())  # what was collapsed was another prompt's
            self.document_shown.emit(document)

    def undo(self) -> None:
        self.history.undo()

    def redo(self) -> None:
        self.history.redo()

    def _on_spliced(self, message: int, splice: Splice, shown: bool) -> None:
        if not shown:
            self.tabs.setCurrentIndex(PROMPT)
        # Only where a variable may have come or gone: the rows are not looked through at every keystroke.
        if "{{" in self._around(message, splice):
            self.variables.show_document(self.history.document)

    def _around(self, message: int, splice: Splice) -> str:
        """Return the removed text and the line that a splice changed."""
        text = self.history.document.messages[message].content or ""
        start = text.rfind("\n", 0, splice.at) + 1
        end = text.find("\n", splice.at + len(splice.inserted))
        return splice.removed + text[start : end if end >= 0 else len(text)]

    def _on_replaced(self, before: Document, after: Document) -> None:
        self.variables.show_document(after)
        self.tabs.setTabText(TOOLS, with_count("Tools", len(after.tools), zero=True))
        count = len({*after.parameters, *after.invalid})
        self.tabs.setTabText(PARAMETERS, with_count("Parameters", count, zero=True))
        errors = invalid_errors(after.invalid)
        self.tabs.mark(PARAMETERS, str(errors[0]) if errors else "")
        if self._other_tabs is not None:
            self.parameters_tab.show_document(after)
            if before.tools is not after.tools:
                self.tools_tab.show_tools(after.tools)

    def _on_changed(self, document: Document) -> None:
        self.problem_bar.hide()
        self._show_body()
        if self._searching is not None and self._searching.isVisible():
            self._searching.show_messages(document.messages)
        self.edited.emit(document)

    def _set_value(self, name: str, value: str | None) -> None:
        document = self.history.document
        values = {key: kept for key, kept in document.variables.items() if key != name}
        if value is not None:
            values = {**document.variables, name: value}
        self.history.replace(replace(document, variables=values), f"Set {name}", f"variable {name}")

    def set_forecast(self, prompt_forecast: PromptForecast | None) -> None:
        """Paint the axes of a forecast; a forecast of an older document is ignored, the next one follows."""
        if prompt_forecast is not None and prompt_forecast.view.document is not self.history.document:
            return
        self._prompt_forecast = prompt_forecast
        self._zones = prompt_forecast.zones if prompt_forecast is not None else None
        self.paint_forecast()

    def paint_forecast(self) -> None:
        """Paint the axes of the newest forecast, with what the server reported."""
        prompt_forecast = self._prompt_forecast
        # The server's figure is for the document that it was reported for.
        reported = self._report[2] if self._report is not None and self._report[0] == self.history.document else None
        axes = axes_of(prompt_forecast, reported) if prompt_forecast is not None else None
        if axes is not None and self._held is not None:
            axes = axes.not_warmer_than(self._held)
        self.axes = axes
        self.prompt_tab.show_axes(axes)
        self.variables.show_axes(axes)
        self.footer.show_axes(axes)
        self._show_served()
        if self._other_tabs is not None:
            self.tools_tab.show_zones(self._zones)

    def set_running(self, running: bool) -> None:
        """While a request runs nothing is painted warm that was not expected to be warm before."""
        held, self._held = self._held, self.axes if running else None
        if held is not None and not running:
            self.paint_forecast()

    def _show_served(self) -> None:
        """Show what the server reported, until the text before that place is edited."""
        served = None
        if self._report is not None and self.axes is not None and not self.axes.neutral:
            document, cached, prompt, at = self._report
            changed = first_difference(document, self.history.document)
            if changed is None and cached is not None:
                self._served_at = served_place(self.axes, cached, prompt)
            place = self._served_at
            if place is not None and cached is not None and (changed is None or changed >= place):
                served = Served(cached, at, *place)
        self.prompt_tab.show_served(served)

    def set_advice(self, advice: Sequence[LintFinding], document: Document) -> None:
        """Mark the places in the messages that advice on `document` is about; advice on an older one is left alone."""
        if document is not self.history.document:
            return
        advised: dict[int, Advised] = {}
        typed_in = 0
        for one in advice:
            for place in one.places:
                if place.message is not None and place.start is not None and place.end is not None:
                    mark = (place.start, place.end, f"{one.title}. {one.detail}")
                    advised[place.message] = (*advised.get(place.message, ()), mark)
                    text = document.messages[place.message].content or ""
                    typed_in += one.rule == _PREFIX_RULE and not text.startswith("{{", place.start)
        self.prompt_tab.set_advised(advised)
        self.footer.show_marked(typed_in)

    def set_reported(
        self, cached_tokens: int | None, prompt_tokens: int | None, document: Document | None = None
    ) -> None:
        """Set up to where the server served `document` (None: the present one) from its cache; None: not reported.

        It is painted with the next forecast.
        """
        self._served_at = self._report = None
        if prompt_tokens:
            at = datetime.now().astimezone().strftime("%H:%M:%S")
            self._report = (document or self.history.document, cached_tokens, prompt_tokens, at)

    def set_model(self, model: str) -> None:
        self._model = model
        self._show_body()

    def _show_body(self) -> None:
        if self.tabs.currentIndex() == BODY:
            self._others[2].show_body(self.history.document, self._model)

    def _show_tab(self, index: int) -> None:
        if index != PROMPT:
            self.complete()
        self._stack.setCurrentIndex(index)
        self._show_body()

    def show_problem(self, problem: FieldError) -> None:
        """Show an error and move the cursor to its field."""
        named = problem.path[:1] == ("variables",)  # the message itself names the variable
        self.problem_bar.show_message(str(replace(problem, path=()) if named else problem))
        self.go_to(problem)

    def go_to(self, problem: FieldError) -> None:
        """Show the field that a problem names, and give it the keyboard."""
        head, *rest = problem.path or ("",)
        if head == "messages":
            self.tabs.setCurrentIndex(PROMPT)
            self._go_to_message(rest, problem.offset or 0)
        elif head == "tools":
            self.tabs.setCurrentIndex(TOOLS)
            if rest and isinstance(rest[0], int):
                self.tools_tab.go_to(rest[0])
        elif head == "variables":
            self.tabs.setCurrentIndex(PROMPT)
            if rest:
                self.variables.go_to(str(rest[0]))
        elif head:
            self.tabs.setCurrentIndex(PARAMETERS)
            self.parameters_tab.go_to(str(head))

    def _go_to_message(self, rest: list[str | int], offset: int) -> None:
        tab = self.prompt_tab
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

    def refuse(self, problem: FieldError, anyway: Callable[[], object]) -> None:
        """Show why the prompt is not sent, go to the field, and offer to send it anyway."""
        self.go_to(problem)
        self.problem_bar.show_message(f"The server refuses this, so it was not sent. {problem}", anyway)

    def set_findings(self, findings: tuple[LimitFinding, ...]) -> None:
        """Show the findings of the check under the prompt and at the parameters concerned."""
        if findings == self._findings:
            return
        self._findings = findings
        self.check_bar.show_findings(findings)
        if self._other_tabs is not None:
            self.parameters_tab.show_findings(findings)

    def show_place(self, message: int, offset: int) -> None:
        """Put the cursor at a code point of a message's template."""
        self.tabs.setCurrentIndex(PROMPT)
        self.prompt_tab.go_to(message, offset)

    def show_find(self, *, replacing: bool = False) -> None:
        """Open the find bar at the cursor, with the selected text to search for."""
        self.tabs.setCurrentIndex(PROMPT)
        self.find_bar.show_messages(self.history.document.messages)
        start, selected = self.prompt_tab.selection()
        self.find_bar.open_bar(start, selected, replacing=replacing)

    def find_next(self, step: int = 1) -> None:
        """Go to the next match, also while the find bar is closed."""
        self.find_bar.show_messages(self.history.document.messages)
        if self.find_bar.isVisible():
            self.find_bar.step(step)
        else:
            self.show_find()

    def _replace_all(self, texts: dict[int, str], count: int) -> None:
        messages = list(self.history.document.messages)
        for index, text in texts.items():
            messages[index] = replace(messages[index], content=text)
        label = f"Replace {counted(count, 'match', 'matches')}"
        self.history.replace(replace(self.history.document, messages=tuple(messages)), label)

    def focus_editor(self) -> None:
        self.tabs.setCurrentIndex(PROMPT)
        self.prompt_tab.focus_editor()

    take_focus = focus_editor

    def composing(self) -> bool:
        """Whether an input method is in the middle of a composition."""
        return any(card.text.composing for card in self.prompt_tab.cards)


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
