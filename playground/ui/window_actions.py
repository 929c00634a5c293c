"""Handlers of the window's actions, by action id, and the palette's further commands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from playground.export.terminal import visible_line
from playground.ui.appearance import Appearance
from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS
from playground.ui.widgets.tab_bar import split

if TYPE_CHECKING:
    from playground.ui.main_window import MainWindow


class WindowActions:
    """What the actions of one window do. Parts that the first frame does not need are read when an action runs."""

    def __init__(self, window: MainWindow, appearance: Appearance) -> None:
        self._window, self._appearance = window, appearance

    def table(self) -> dict[str, Callable[[], object]]:
        """Return the handler of each action of `ui/actions.py`."""
        return {
            "send": self._window.send,
            "stop": lambda: self._window.requests.stop(),
            "verify": lambda: self._window.requests.verify(),
            "chain": lambda: self._window.answers and self._window.chaining.run(),
            "repeat": lambda: self._window.program.repeat_dialog(self._window.prompt, self._window.requests),
            "cache_lab": lambda: self._window.program.cache_lab(self._window.requests),
            "replay": lambda: self._window.program.replay_dialog(self._window.requests),
            "keep_warm": lambda: self._window.answers and self._window.keep_warm.ask(),
            "copy_request_id": self.copy_request_id,
            "copy_ticket": lambda: self.copy_request("ticket"),
            "ticket": self._ticket,
            "compare_requests": lambda: self._window.answers.log_paths.ask("compare"),
            "export_log": lambda: self._window.answers.log_paths.ask("export_shown"),
            "import_log": lambda: self._window.answers.log_paths.ask("import"),
            "log_size": lambda: self._window.answers.log_paths.ask("size"),
            "copy_curl": lambda: self.copy_request("curl"),
            "copy_python": lambda: self.copy_request("python"),
            "copy_httpx": lambda: self.copy_request("httpx"),
            "copy_javascript": lambda: self.copy_request("javascript"),
            "copy_powershell": lambda: self.copy_request("powershell"),
            "copy_smallestai": lambda: self.copy_request("smallestai"),
            "copy_markdown": lambda: self.copy_request("markdown"),
            "save_page": lambda: self._window.program.save_page(self.current_run_id()),
            "new": self._window.files.new,
            "new_tab": self._window.files.new_tab,
            "close_tab": self._window.files.close_tab,
            "next_tab": lambda: self._window.files.tabs.step(1),
            "previous_tab": lambda: self._window.files.tabs.step(-1),
            "sample": self._window.files.open_sample,
            "tools_sample": self._window.files.open_tools_sample,
            "broken_sample": self._window.files.open_broken_sample,
            "paste_prompt": self._window.files.paste,
            "open": self._window.files.open,
            "save": self._window.files.save,
            "save_as": self._window.files.save_as,
            "mend": lambda: self._window.answers.advice.fix(),
            "tool_server": self._tools_of_a_server,
            "undo": self._window.prompt.undo,
            "redo": self._window.prompt.redo,
            "find": self._window.prompt.show_find,
            "find_next": self._window.prompt.find_next,
            "find_previous": lambda: self._window.prompt.find_next(-1),
            "replace": self._window.prompt.show_replace,
            "filter_log": lambda: self._window.log.focus_filter(),
            "next_pane": lambda: self._step_pane(1),
            "previous_pane": lambda: self._step_pane(-1),
            "voice": lambda: self._window.answers and self._window.voicing.open(),
            "zoom_in": lambda: self._appearance.zoom(1),
            "zoom_out": lambda: self._appearance.zoom(-1),
            "zoom_reset": lambda: self._appearance.zoom(0),
            "theme": self._appearance.toggle,
            "mode_prompt": lambda: self._window.modes.show_mode("prompt"),
            "mode_compare": lambda: self._window.modes.show_mode("compare"),
            "mode_batch": lambda: self._window.modes.show_mode("batch"),
            "mode_recorder": lambda: self._window.modes.show_mode("recorder"),
            "connect": lambda: self._window.program.connect_dialog(),
            "connect_electron": self._window.program.connect_to_electron,
            "resend": lambda: self._window.requests.resend(),
            "toggle_response": lambda: self._window.places.toggle("response"),
            "toggle_inspector": lambda: self._window.places.toggle("inspector"),
            "toggle_log": lambda: self._window.places.toggle("log"),
            "maximise": self._maximise,
            "versions": self._toggle_versions,
            "about": self._window.program.about,
            "settings": self._window.program.settings_dialog,
            "guide": lambda: self._window.answers.advice.guide(),
            "palette": self._window.program.palette,
            "keys": self._window.program.keys_sheet,
            "quit": self._window.close,
        }

    def more_commands(self) -> list[tuple[str, Callable[[], object]]]:
        """Return the palette's entries for open prompts, recent files, views and message actions."""
        files, prompt, response = self._window.files, self._window.prompt, self._window.response
        found: list[tuple[str, Callable[[], object]]] = [
            (f"Go to prompt: {visible_line(page.name) or 'Untitled'}", partial(files.tabs.show_page, page))
            for page in files.tabs.pages
            if page is not files.tabs.page
        ]
        found += [
            (f"Open {visible_line(path.name)}", partial(files.open_path, path)) for path in self._window.recent.paths
        ]
        for name, tabs in (
            ("Prompt", prompt.tabs),
            ("Response", response.tabs),
            ("Inspector", self._window.inspector.tabs),
        ):
            found += [
                (f"{name}: {split(tabs.tabText(place))[0]}", partial(tabs.setCurrentIndex, place))
                for place in range(tabs.count())
                if tabs.isTabVisible(place)
            ]
        found += [
            (f"Message: {label}", partial(prompt.prompt_tab.act_at_cursor, name)) for name, label, _key in CARD_ACTIONS
        ]
        return found

    def copy_request_id(self) -> None:
        """Copy the request_id on display; with several rows selected in the log, all of theirs."""
        if not self._window.log.copy_request_id():
            self._window.show_notice("The request on display has no request_id.")

    def ask_of_request(self, name: str, run_id: str) -> None:
        """Do with a logged request what the log's menu asks for: send it again, or copy it in a form."""
        if name == "resend":
            self._window.requests.resend_logged(run_id)
        else:
            self._window.program.copy_request(run_id, name)

    def copy_request(self, form: str) -> None:
        """Copy the current request in one of its forms; as a ticket, all selected rows of the log."""
        if form == "ticket" and self._several_chosen():
            self._window.answers.log_paths.ask("copy_ticket")
        else:
            self._window.program.copy_request(self.current_run_id(), form)

    def _several_chosen(self) -> bool:
        """Return whether the focus is in the log and several of its requests are selected."""
        log = self._window.log
        return log.table.chosen_requests() > 1 and log.isAncestorOf(self._window.focusWidget())

    def _tools_of_a_server(self) -> None:
        """Add tools of an MCP server, which then executes them."""
        if self._window.answers:
            self._window.program.tool_server_dialog(self._window.prompt, self._window.chaining.answer_by_server)

    def current_run_id(self) -> str | None:
        """Return the run on display; without one, the selected row's."""
        return self._window.requests.shown_run_id or self._window.log.current_run_id()

    def _ticket(self) -> None:
        """Open the ticket of the current request, or of all selected rows of the log."""
        run_id = self.current_run_id()
        if self._several_chosen():
            self._window.answers.log_paths.ask("ticket")
        elif run_id is None or self._window.workspace.log is None:
            self._window.show_notice("There is no request for a ticket yet.")
        else:
            self.ticket_of(run_id)

    def ticket_of(self, run_id: str) -> None:
        """Open the support ticket of a request."""
        self._window.workspace.tasks.start(self._window.answers.log_paths.work.ticket_of([run_id]), "make a ticket")

    def _maximise(self) -> None:
        focus = self._window.focusWidget()
        panes = (
            ("response", self._window.answers.column),
            ("inspector", self._window.inspector),
            ("log", self._window.log),
        )
        names = (name for name, pane in panes if focus is not None and pane.isAncestorOf(focus))
        self._window.places.maximise(next(names, "prompt"))

    def _toggle_versions(self) -> None:
        """Open the versions beside the prompt, or close them."""
        self._window.modes.show_mode("prompt")
        if self._window.answers:
            self._window.versions.toggle()

    def _step_pane(self, step: int) -> None:
        panes = [
            pane
            for pane in (
                self._window.prompt,
                self._window.response,
                self._window.inspector,
                self._window.area.panel,
                self._window.log,
            )
            if pane.isVisible() or pane is self._window.prompt
        ]
        focus = self._window.focusWidget()
        at = next((i for i, pane in enumerate(panes) if focus is not None and pane.isAncestorOf(focus)), 0)
        panes[(at + step) % len(panes)].take_focus()
