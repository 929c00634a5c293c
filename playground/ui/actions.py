"""Every action of the window, for menus, palette, sheet of keys and shortcuts, the user's own included."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget


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
MENUS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "File",
        (
            "new",
            "new_tab",
            "open",
            RECENT,
            "sample",
            "tools_sample",
            "broken_sample",
            "paste_prompt",
            "|",
            "save",
            "save_as",
            "close_tab",
            "|",
            "import_log",
            "export_log",
            "|",
            "quit",
        ),
    ),
    (
        "Edit",
        (
            "undo",
            "redo",
            "|",
            "find",
            "find_next",
            "find_previous",
            "replace",
            "|",
            "mend",
            "tool_server",
            "|",
            "settings",
        ),
    ),
    (
        "View",
        (
            "filter_log",
            "next_pane",
            "previous_pane",
            "next_tab",
            "previous_tab",
            "toggle_response",
            "toggle_inspector",
            "toggle_log",
            "maximise",
            "versions",
            "|",
            "mode_prompt",
            "mode_compare",
            "mode_batch",
            "mode_recorder",
            "|",
            "voice",
            "|",
            "zoom_in",
            "zoom_out",
            "zoom_reset",
            "theme",
        ),
    ),
    (
        "Request",
        (
            "send",
            "stop",
            "verify",
            "resend",
            "|",
            "chain",
            "repeat",
            "cache_lab",
            "replay",
            "keep_warm",
            "|",
            "copy_request_id",
            "copy_ticket",
            "ticket",
            "copy_curl",
            "copy_powershell",
            "copy_python",
            "copy_httpx",
            "copy_smallestai",
            "copy_javascript",
            "copy_markdown",
            "save_page",
            "|",
            "compare_requests",
            "log_size",
            "|",
            "connect",
            "connect_electron",
        ),
    ),
    ("Help", ("guide", "palette", "keys", "|", "about")),
)
"""The menus by title, with the ids of their actions; | is a separator, `RECENT` the recent files."""


class Actions:
    """The table as QActions on a window, each bound to its handler."""

    def __init__(
        self, owner: QWidget, handlers: Mapping[str, Callable[[], object]], changed: Mapping[str, str] | None = None
    ) -> None:
        """`handlers` has one entry per action; `changed` holds the user's own shortcuts by action id."""
        self._actions: dict[str, QAction] = {}
        for spec in ACTIONS:
            action = QAction(spec.label, owner)
            action.setShortcuts(_sequences((changed or {}).get(spec.id, spec.shortcut)))
            action.triggered.connect(_plain(handlers[spec.id]))
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


def _plain(handler: Callable[[], object]) -> Callable[[bool], None]:
    def run(_checked: bool) -> None:
        handler()

    return run
