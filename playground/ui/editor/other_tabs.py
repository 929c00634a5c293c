"""The tabs behind the first one."""

from __future__ import annotations

from playground.ui.editor.body_tab import BodyTab
from playground.ui.editor.parameters_tab import ParametersTab
from playground.ui.editor.tools_tab import ToolsTab
from playground.ui.editor.variables_tab import VariablesTab
from playground.ui.theme import Theme


class OtherTabs:
    """Variables, tools, parameters and the body."""

    def __init__(self, theme: Theme) -> None:
        self.variables = VariablesTab(theme)
        self.tools = ToolsTab(theme)
        self.parameters = ParametersTab(theme)
        self.body = BodyTab(theme)
        self.pages = (self.variables, self.tools, self.parameters, self.body)

    def set_theme(self, theme: Theme) -> None:
        """Other colours."""
        for page in self.pages:
            page.set_theme(theme)
