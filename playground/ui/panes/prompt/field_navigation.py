"""The way to a field of the prompt: a problem's path, and the widget that edits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playground.prompt.field_errors import FieldError

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
