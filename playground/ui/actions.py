"""Actions of the window: ids, labels, menus and shortcuts, the user's own included; and the handlers by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtGui import QAction, QKeySequence

from playground.export.terminal import visible_line
from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS
from playground.ui.widgets.tab_bar import split

if TYPE_CHECKING:
    from playground.ui.dialogs.repeat import RepeatDialog
    from playground.ui.main_window import MainWindow

NO_REQUEST = "There is no request to copy yet."


class Action(Struct, frozen=True):
    """What a window can do. `shortcut` is in Qt's portable words (Ctrl is Cmd on a Mac)."""

    id: str
    group: str
    label: str
    run: Callable[[MainWindow], object]
    shortcut: str = ""


def _copy(form: str) -> Callable[[MainWindow], object]:
    return lambda w: w.handlers.copy(form)


def _mode(mode: str) -> Callable[[MainWindow], object]:
    return lambda w: w.modes.show_mode(mode)


def _toggle(pane: str) -> Callable[[MainWindow], object]:
    return lambda w: w.places.toggle(pane)


def _actions() -> tuple[Action, ...]:
    return (
        Action("send", "Request", "Send, or stop while running", lambda w: w.send(), "Ctrl+Return"),
        Action("add_to_prompt", "Request", "Add the completion to the prompt", lambda w: w.requests.add_to_prompt()),
        Action("stop", "Request", "Stop", lambda w: w.requests.stop(), "Ctrl+."),
        Action("verify", "Request", "Verify caching: send twice", lambda w: w.requests.verify(), "Ctrl+Alt+Return"),
        Action("chain", "Request", "Run agent loop", lambda w: w.answers and w.chaining.run(), "Ctrl+Shift+Return"),
        Action("repeat", "Request", "Repeat and compare answers…", lambda w: w.handlers.repeat(), "Ctrl+Shift+R"),
        Action("cache_lab", "Request", "Cache lab…", lambda w: w.program.cache_lab(w.requests)),
        Action("replay", "Request", "Cache history…", lambda w: w.program.replay_dialog(w.requests)),
        Action("keep_warm", "Request", "Keep cache warm…", lambda w: w.answers and w.keep_warm.ask()),
        Action("copy_request_id", "Request", "Copy request_id", lambda w: w.handlers.copy_request_id(), "Ctrl+Shift+C"),
        Action("copy_ticket", "Request", "Copy as support ticket", _copy("ticket"), "Ctrl+Shift+T"),
        Action("ticket", "Request", "Support ticket…", lambda w: w.handlers.ticket()),
        Action("copy_curl", "Request", "Copy as curl", _copy("curl")),
        Action("copy_python", "Request", "Copy as Python (openai)", _copy("python")),
        Action("copy_httpx", "Request", "Copy as Python (httpx)", _copy("httpx")),
        Action("copy_javascript", "Request", "Copy as JavaScript", _copy("javascript")),
        Action("copy_powershell", "Request", "Copy as PowerShell", _copy("powershell")),
        Action("copy_smallestai", "Request", "Copy as Python (smallestai)", _copy("smallestai")),
        Action("copy_markdown", "Request", "Copy as Markdown", _copy("markdown")),
        Action("save_page", "Request", "Export request as web page…", lambda w: w.handlers.save_page()),
        Action("compare_requests", "Log", "Compare selected", lambda w: w.answers.log_paths.ask("compare")),
        Action("export_log", "Log", "Export shown requests…", lambda w: w.answers.log_paths.ask("export_shown")),
        Action("import_log", "Log", "Import requests…", lambda w: w.answers.log_paths.ask("import")),
        Action("log_size", "Log", "Log size and retention…", lambda w: w.answers.log_paths.ask("size")),
        Action("new", "Prompt", "New prompt", lambda w: w.files.new(), "Ctrl+N"),
        Action("new_tab", "Prompt", "New tab", lambda w: w.files.new_tab(), "Ctrl+T"),
        Action("close_tab", "Prompt", "Close tab", lambda w: w.files.close_tab(), "Ctrl+W"),
        Action("next_tab", "View", "Next tab", lambda w: w.files.tabs.step(1), "Ctrl+Tab"),
        Action("previous_tab", "View", "Previous tab", lambda w: w.files.tabs.step(-1), "Ctrl+Shift+Tab"),
        Action("sample", "Prompt", "Open the sample prompt", lambda w: w.files.open_sample()),
        Action(
            "tools_sample",
            "Prompt",
            "Open the sample prompt with tools",
            lambda w: w.files.open_tools_sample(),
        ),
        Action(
            "broken_sample",
            "Prompt",
            "Open the sample prompt with a date in its prefix",
            lambda w: w.files.open_broken_sample(),
        ),
        Action("paste_prompt", "Prompt", "Paste a request: curl or JSON", lambda w: w.files.paste()),
        Action("open", "Prompt", "Open…", lambda w: w.files.open(), "Ctrl+O"),
        Action("save", "Prompt", "Save", lambda w: w.files.save(), "Ctrl+S"),
        Action("save_as", "Prompt", "Save as…", lambda w: w.files.save_as(), "Ctrl+Shift+S"),
        Action("mend", "Prompt", "Fix prompt structure…", lambda w: w.answers.adviser.fix(), "Ctrl+M"),
        Action("tool_server", "Prompt", "Tools from an MCP server…", lambda w: w.handlers.tools_of_a_server()),
        Action("undo", "Edit", "Undo", lambda w: w.prompt.undo(), "Ctrl+Z"),
        Action("redo", "Edit", "Redo", lambda w: w.prompt.redo(), "Ctrl+Shift+Z"),
        Action("find", "Edit", "Find in the prompt", lambda w: w.prompt.show_find(), "Ctrl+F"),
        Action("find_next", "Edit", "Find next", lambda w: w.prompt.find_next(), "F3"),
        Action("find_previous", "Edit", "Find previous", lambda w: w.prompt.find_next(-1), "Shift+F3"),
        Action("replace", "Edit", "Replace in the prompt", lambda w: w.prompt.show_find(replacing=True), "Ctrl+H"),
        Action("filter_log", "View", "Filter the request log", lambda w: w.log.focus_filter(), "Ctrl+L"),
        Action("next_pane", "View", "Next pane", lambda w: w.step_pane(1), "F6"),
        Action("previous_pane", "View", "Previous pane", lambda w: w.step_pane(-1), "Shift+F6"),
        Action("voice", "View", "Voice timeline…", lambda w: w.answers and w.voicing.open(), "F8"),
        Action("zoom_in", "View", "Larger text", lambda w: w.appearance.zoom(1), "Ctrl++"),
        Action("zoom_out", "View", "Smaller text", lambda w: w.appearance.zoom(-1), "Ctrl+-"),
        Action("zoom_reset", "View", "Default text size", lambda w: w.appearance.zoom(0), "Ctrl+0"),
        Action("theme", "View", "Switch theme: light or dark", lambda w: w.appearance.toggle(), "Ctrl+Shift+L"),
        Action("connect_electron", "App", "Connect to Electron…", lambda w: w.program.connect_to_electron()),
        Action("resend", "Request", "Send the request on display again", lambda w: w.requests.resend()),
        Action("toggle_response", "View", "Show or hide the response", _toggle("response"), "Ctrl+Alt+R"),
        Action("toggle_inspector", "View", "Show or hide the inspector", _toggle("inspector"), "Ctrl+Alt+I"),
        Action("toggle_log", "View", "Show or hide the request log", _toggle("log"), "Ctrl+Alt+L"),
        Action("maximise", "View", "Maximise or restore the pane", lambda w: w.handlers.maximise(), "Ctrl+Alt+M"),
        Action("versions", "View", "Versions of the prompt", lambda w: w.handlers.toggle_versions(), "Ctrl+Alt+H"),
        Action("mode_prompt", "View", "Prompt mode", _mode("prompt"), "Ctrl+1"),
        Action("mode_compare", "View", "Compare mode", _mode("compare"), "Ctrl+2"),
        Action("mode_batch", "View", "Batch mode", _mode("batch"), "Ctrl+3"),
        Action("mode_recorder", "View", "Recorder mode", _mode("recorder"), "Ctrl+4"),
        Action("about", "Help", "About Electron Playground…", lambda w: w.program.about()),
        Action("connect", "App", "Edit this endpoint…", lambda w: w.program.connect_dialog(), "Ctrl+Shift+E"),
        Action("settings", "App", "Settings…", lambda w: w.program.settings_dialog(), "Ctrl+,"),
        Action("guide", "Help", "Best-practice guide…", lambda w: w.answers.adviser.guide(), "F1"),
        Action("palette", "Help", "All commands…", lambda w: w.program.palette(), "Ctrl+K"),
        Action("keys", "Help", "All keys", lambda w: w.program.keys_sheet(), "Ctrl+/"),
        Action("quit", "App", "Quit", lambda w: w.close(), "Ctrl+Q"),
    )


ACTIONS = _actions()


RECENT = "recent"
"""Position of the submenu with recent files."""

MENUS: dict[str, tuple[tuple[str, ...], ...]] = {
    "File": (
        ("new", "new_tab", "open", RECENT, "sample", "tools_sample", "broken_sample", "paste_prompt"),
        ("save", "save_as", "close_tab"),
        ("import_log", "export_log"),
        ("quit",),
    ),
    "Edit": (
        ("undo", "redo"),
        ("find", "find_next", "find_previous", "replace"),
        ("mend", "tool_server"),
        ("settings",),
    ),
    "View": (
        (
            *("filter_log", "next_pane", "previous_pane", "next_tab", "previous_tab"),
            *("toggle_response", "toggle_inspector", "toggle_log", "maximise", "versions"),
        ),
        ("mode_prompt", "mode_compare", "mode_batch", "mode_recorder"),
        ("voice",),
        ("zoom_in", "zoom_out", "zoom_reset", "theme"),
    ),
    "Request": (
        ("send", "stop", "verify", "resend", "add_to_prompt"),
        ("chain", "repeat", "cache_lab", "replay", "keep_warm"),
        (
            *("copy_request_id", "copy_ticket", "ticket"),
            *("copy_curl", "copy_powershell", "copy_python", "copy_httpx", "copy_smallestai", "copy_javascript"),
            *("copy_markdown", "save_page"),
        ),
        ("compare_requests", "log_size"),
        ("connect", "connect_electron"),
    ),
    "Help": (("guide", "palette", "keys"), ("about",)),
}
"""The menus by title: the ids of their actions in groups, between which is a separator."""


class Actions:
    """The table as QActions on a window."""

    def __init__(self, window: MainWindow, changed: Mapping[str, str]) -> None:
        """Make the actions. `changed` holds the user's own shortcuts by action id."""
        self._actions: dict[str, QAction] = {}
        for spec in ACTIONS:
            action = QAction(spec.label, window)
            action.setShortcuts(_sequences(changed.get(spec.id, spec.shortcut)))
            action.triggered.connect(lambda _checked, spec=spec: window.modes.run(spec.id, partial(spec.run, window)))
            window.addAction(action)
            self._actions[spec.id] = action

    def __getitem__(self, action_id: str) -> QAction:
        return self._actions[action_id]

    def shortcut(self, action_id: str) -> str:
        """Return the first shortcut as this platform writes it; empty if there is none."""
        shortcut = self._actions[action_id].shortcut()
        return shortcut.toString(QKeySequence.SequenceFormat.NativeText).replace("Return", "Enter")

    def rebind(self, action_id: str, shortcut: str) -> None:
        """Give an action another shortcut; an empty text removes it."""
        self._actions[action_id].setShortcuts(_sequences(shortcut))

    def clash(self, action_id: str, shortcut: str) -> str:
        """Return the label of another action that has this shortcut; empty if there is none."""
        wanted = {keys.toString() for keys in _sequences(shortcut)}
        for spec in ACTIONS:
            taken = {keys.toString() for keys in self._actions[spec.id].shortcuts()}
            if spec.id != action_id and wanted & taken:
                return spec.label
        return ""

    def rows(self) -> list[tuple[str, str, str]]:
        """Return (group, label, shortcut) of every action, in the table's order."""
        return [(spec.group, spec.label, self.shortcut(spec.id)) for spec in ACTIONS]


def _sequences(shortcut: str) -> list[QKeySequence]:
    if not shortcut:
        return []
    sequences = [QKeySequence(shortcut)]
    if shortcut == "Ctrl++":
        # On most keyboards + is Shift and another key, whose key alone is pressed as often.
        sequences.append(QKeySequence("Ctrl+="))
    if "Return" in shortcut:
        # The keypad's Enter is another key to Qt.
        sequences.append(QKeySequence(shortcut.replace("Return", "Enter")))
    return sequences


COPY_FORMS = ("ticket", "curl", "python", "httpx", "javascript", "powershell", "smallestai", "markdown")
"""Forms in which a request is copied, each by the action `copy_FORM`."""


class WindowActions:
    """Actions of one window that need more than one of its parts."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window

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
            known = self.current_run_id() is not None
            self._window.show_notice("The request on display has no request_id." if known else NO_REQUEST)

    def ask_of_request(self, name: str, run_id: str) -> None:
        """Do with a logged request what the log's menu asks for: send it again, or copy it in a form."""
        if name == "resend":
            self._window.requests.resend_logged(run_id)
        else:
            self._window.program.copy_request(run_id, name)

    def repeat(self) -> RepeatDialog:
        return self._window.program.repeat_dialog(self._window.prompt, self._window.requests)

    def save_page(self) -> None:
        self._window.program.save_page(self.current_run_id())

    def copy(self, form: str) -> None:
        """Copy the current request in one of its forms; as a ticket, all selected rows of the log."""
        if form == "ticket" and self._several_chosen():
            self._window.answers.log_paths.ask("copy_ticket")
        else:
            self._window.program.copy_request(self.current_run_id(), form)

    def _several_chosen(self) -> bool:
        """Return whether the focus is in the log and several of its requests are selected."""
        log = self._window.log
        return log.table.chosen_requests() > 1 and log.isAncestorOf(self._window.focusWidget())

    def tools_of_a_server(self) -> None:
        if self._window.answers:
            self._window.program.tool_server_dialog(self._window.prompt, self._window.chaining.answer_by_server)

    def current_run_id(self) -> str | None:
        """Return the run on display; without one, the selected row's."""
        return self._window.requests.shown_run_id or self._window.log.current_run_id()

    def ticket(self) -> None:
        """Open the ticket of the current request, or of all selected rows of the log."""
        run_id = self.current_run_id()
        if self._several_chosen():
            self._window.answers.log_paths.ask("ticket")
        elif run_id is None or self._window.workspace.log is None:
            has_rows = self._window.log.table.model().rowCount() > 0
            reason = "Select a row of the log first." if has_rows else "There is no request for a ticket yet."
            self._window.show_notice(reason)
        else:
            self.ticket_of(run_id)

    def ticket_of(self, run_id: str) -> None:
        self._window.workspace.tasks.start(self._window.answers.log_paths.work.ticket_of([run_id]), "make a ticket")

    def maximise(self) -> None:
        focus = self._window.focusWidget()
        panes = (
            ("response", self._window.answers.column),
            ("inspector", self._window.inspector),
            ("log", self._window.log),
        )
        names = (name for name, pane in panes if focus is not None and pane.isAncestorOf(focus))
        self._window.places.maximise(next(names, "prompt"))

    def toggle_versions(self) -> None:
        self._window.modes.show_mode("prompt")
        if self._window.answers:
            self._window.versions.toggle()
