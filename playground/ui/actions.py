"""Actions of the window: ids, labels, menus and shortcuts, the user's own included; and the handlers by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from playground.export.terminal import visible_line
from playground.ui.appearance import Appearance
from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS
from playground.ui.widgets.tab_bar import split

if TYPE_CHECKING:
    from playground.ui.main_window import MainWindow


class ActionSpec(Struct, frozen=True):
    """One action. `shortcut` is in Qt's portable words (Ctrl is Cmd on a Mac)."""

    id: str
    group: str
    label: str
    shortcut: str = ""


ACTIONS = (
    ActionSpec("send", "Request", "Send, or stop while running", "Ctrl+Return"),
    ActionSpec("stop", "Request", "Stop", "Ctrl+."),
    ActionSpec("verify", "Request", "Verify caching: send twice", "Ctrl+Alt+Return"),
    ActionSpec("chain", "Request", "Run agent loop", "Ctrl+Shift+Return"),
    ActionSpec("repeat", "Request", "Repeat and compare answers…", "Ctrl+Shift+R"),
    ActionSpec("cache_lab", "Request", "Cache lab…"),
    ActionSpec("replay", "Request", "Cache history…"),
    ActionSpec("keep_warm", "Request", "Keep cache warm…"),
    ActionSpec("copy_request_id", "Request", "Copy request_id", "Ctrl+Shift+C"),
    ActionSpec("copy_ticket", "Request", "Copy as support ticket", "Ctrl+Shift+T"),
    ActionSpec("ticket", "Request", "Support ticket…"),
    ActionSpec("copy_curl", "Request", "Copy as curl"),
    ActionSpec("copy_python", "Request", "Copy as Python (openai)"),
    ActionSpec("copy_httpx", "Request", "Copy as Python (httpx)"),
    ActionSpec("copy_javascript", "Request", "Copy as JavaScript"),
    ActionSpec("copy_powershell", "Request", "Copy as PowerShell"),
    ActionSpec("copy_smallestai", "Request", "Copy as Python (smallestai)"),
    ActionSpec("copy_markdown", "Request", "Copy as Markdown"),
    ActionSpec("save_page", "Request", "Export request as web page…"),
    ActionSpec("compare_requests", "Log", "Compare selected"),
    ActionSpec("export_log", "Log", "Export shown requests…"),
    ActionSpec("import_log", "Log", "Import requests…"),
    ActionSpec("log_size", "Log", "Log size and retention…"),
    ActionSpec("new", "Prompt", "New prompt", "Ctrl+N"),
    ActionSpec("new_tab", "Prompt", "New tab", "Ctrl+T"),
    ActionSpec("close_tab", "Prompt", "Close tab", "Ctrl+W"),
    ActionSpec("next_tab", "View", "Next tab", "Ctrl+Tab"),
    ActionSpec("previous_tab", "View", "Previous tab", "Ctrl+Shift+Tab"),
    ActionSpec("sample", "Prompt", "Open the sample prompt"),
    ActionSpec("tools_sample", "Prompt", "Open the sample prompt with tools"),
    ActionSpec("broken_sample", "Prompt", "Open the sample prompt with a date in its prefix"),
    ActionSpec("paste_prompt", "Prompt", "Paste a request: curl or JSON"),
    ActionSpec("open", "Prompt", "Open…", "Ctrl+O"),
    ActionSpec("save", "Prompt", "Save", "Ctrl+S"),
    ActionSpec("save_as", "Prompt", "Save as…", "Ctrl+Shift+S"),
    ActionSpec("mend", "Prompt", "Fix prompt structure…", "Ctrl+M"),
    ActionSpec("tool_server", "Prompt", "Tools from an MCP server…"),
    ActionSpec("undo", "Edit", "Undo", "Ctrl+Z"),
    ActionSpec("redo", "Edit", "Redo", "Ctrl+Shift+Z"),
    ActionSpec("find", "Edit", "Find in the prompt", "Ctrl+F"),
    ActionSpec("find_next", "Edit", "Find next", "F3"),
    ActionSpec("find_previous", "Edit", "Find previous", "Shift+F3"),
    ActionSpec("replace", "Edit", "Replace in the prompt", "Ctrl+H"),
    ActionSpec("filter_log", "View", "Filter the request log", "Ctrl+L"),
    ActionSpec("next_pane", "View", "Next pane", "F6"),
    ActionSpec("previous_pane", "View", "Previous pane", "Shift+F6"),
    ActionSpec("voice", "View", "Voice timeline…", "F8"),
    ActionSpec("zoom_in", "View", "Larger text", "Ctrl++"),
    ActionSpec("zoom_out", "View", "Smaller text", "Ctrl+-"),
    ActionSpec("zoom_reset", "View", "Default text size", "Ctrl+0"),
    ActionSpec("theme", "View", "Switch theme: light or dark", "Ctrl+Shift+L"),
    ActionSpec("connect_electron", "App", "Connect to Electron…"),
    ActionSpec("resend", "Request", "Send the request on display again"),
    ActionSpec("toggle_response", "View", "Show or hide the response", "Ctrl+Alt+R"),
    ActionSpec("toggle_inspector", "View", "Show or hide the inspector", "Ctrl+Alt+I"),
    ActionSpec("toggle_log", "View", "Show or hide the request log", "Ctrl+Alt+L"),
    ActionSpec("maximise", "View", "Maximise or restore the pane", "Ctrl+Alt+M"),
    ActionSpec("versions", "View", "Versions of the prompt", "Ctrl+Alt+H"),
    ActionSpec("mode_prompt", "View", "Prompt mode", "Ctrl+1"),
    ActionSpec("mode_compare", "View", "Compare mode", "Ctrl+2"),
    ActionSpec("mode_batch", "View", "Batch mode", "Ctrl+3"),
    ActionSpec("mode_recorder", "View", "Recorder mode", "Ctrl+4"),
    ActionSpec("about", "Help", "About Electron Playground…"),
    ActionSpec("connect", "App", "Edit this endpoint…", "Ctrl+Shift+E"),
    ActionSpec("settings", "App", "Settings…", "Ctrl+,"),
    ActionSpec("guide", "Help", "Best-practice guide…", "F1"),
    ActionSpec("palette", "Help", "All commands…", "Ctrl+K"),
    ActionSpec("keys", "Help", "All keys", "Ctrl+/"),
    ActionSpec("quit", "App", "Quit", "Ctrl+Q"),
)


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
        ("send", "stop", "verify", "resend"),
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

    def __init__(self, owner: QWidget, run: Callable[[str], object], changed: Mapping[str, str]) -> None:
        """`run` is called with the id of a triggered action; `changed` holds the user's own shortcuts by action id."""
        self._actions: dict[str, QAction] = {}
        for spec in ACTIONS:
            action = QAction(spec.label, owner)
            action.setShortcuts(_sequences(changed.get(spec.id, spec.shortcut)))
            action.triggered.connect(lambda _checked, name=spec.id: run(name))
            owner.addAction(action)
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
_MODES = ("prompt", "compare", "batch", "recorder")


class WindowActions:
    """What the actions of one window do. Parts that the first frame does not need are read when an action runs."""

    def __init__(self, window: MainWindow, appearance: Appearance) -> None:
        self._window, self._appearance = window, appearance

    def table(self) -> dict[str, Callable[[], object]]:
        """Return the handler of each action of `ui/actions.py`."""
        window, files, prompt, program = self._window, self._window.files, self._window.prompt, self._window.program
        return {
            **{f"copy_{form}": partial(self.copy_request, form) for form in COPY_FORMS},
            **{f"mode_{mode}": partial(window.modes.show_mode, mode) for mode in _MODES},
            "send": window.send,
            "stop": lambda: window.requests.stop(),
            "verify": lambda: window.requests.verify(),
            "resend": lambda: window.requests.resend(),
            "chain": lambda: window.answers and window.chaining.run(),
            "repeat": lambda: program.repeat_dialog(prompt, window.requests),
            "cache_lab": lambda: program.cache_lab(window.requests),
            "replay": lambda: program.replay_dialog(window.requests),
            "keep_warm": lambda: window.answers and window.keep_warm.ask(),
            "copy_request_id": self.copy_request_id,
            "ticket": self._ticket,
            "save_page": lambda: program.save_page(self.current_run_id()),
            "compare_requests": lambda: window.answers.log_paths.ask("compare"),
            "export_log": lambda: window.answers.log_paths.ask("export_shown"),
            "import_log": lambda: window.answers.log_paths.ask("import"),
            "log_size": lambda: window.answers.log_paths.ask("size"),
            "new": files.new,
            "new_tab": files.new_tab,
            "close_tab": files.close_tab,
            "next_tab": lambda: files.tabs.step(1),
            "previous_tab": lambda: files.tabs.step(-1),
            "sample": files.open_sample,
            "tools_sample": files.open_tools_sample,
            "broken_sample": files.open_broken_sample,
            "paste_prompt": files.paste,
            "open": files.open,
            "save": files.save,
            "save_as": files.save_as,
            "mend": lambda: window.answers.adviser.fix(),
            "tool_server": self._tools_of_a_server,
            "undo": prompt.undo,
            "redo": prompt.redo,
            "find": prompt.show_find,
            "find_next": prompt.find_next,
            "find_previous": lambda: prompt.find_next(-1),
            "replace": lambda: prompt.show_find(replacing=True),
            "filter_log": lambda: window.log.focus_filter(),
            "next_pane": lambda: window.step_pane(1),
            "previous_pane": lambda: window.step_pane(-1),
            "voice": lambda: window.answers and window.voicing.open(),
            "toggle_response": lambda: window.places.toggle("response"),
            "toggle_inspector": lambda: window.places.toggle("inspector"),
            "toggle_log": lambda: window.places.toggle("log"),
            "maximise": self._maximise,
            "versions": self._toggle_versions,
            "zoom_in": lambda: self._appearance.zoom(1),
            "zoom_out": lambda: self._appearance.zoom(-1),
            "zoom_reset": lambda: self._appearance.zoom(0),
            "theme": self._appearance.toggle,
            "connect": lambda: program.connect_dialog(),
            "connect_electron": program.connect_to_electron,
            "settings": program.settings_dialog,
            "about": program.about,
            "guide": lambda: window.answers.adviser.guide(),
            "palette": program.palette,
            "keys": program.keys_sheet,
            "quit": window.close,
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
            has_rows = self._window.log.table.model().rowCount() > 0
            reason = "Select a row of the log first." if has_rows else "There is no request for a ticket yet."
            self._window.show_notice(reason)
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
