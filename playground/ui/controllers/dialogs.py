"""Opens dialogs, the command palette and the settings; copies requests to the clipboard."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec.structs import replace
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QMainWindow

from playground.client.endpoint import ELECTRON_ID
from playground.prompt.field_errors import InputError
from playground.runs.metrics import counted
from playground.services import AppServices
from playground.storage.paths import write_shared
from playground.ui.actions import ACTIONS, NO_REQUEST, Actions
from playground.ui.appearance import Appearance
from playground.ui.widgets.labels import copy_text
from playground.ui.widgets.notice import write_errors
from playground.ui.widgets.task_dialog import ask_save, open_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from PySide6.QtWidgets import QDialog

    from playground.client.endpoint import Endpoint
    from playground.lint.model import Finding
    from playground.prompt.document import Document, Json, Tool
    from playground.requestlog.records import StoredRun
    from playground.runs.record import GroupKind
    from playground.runs.run import Run
    from playground.runs.service import PendingRequest
    from playground.runs.state import RunState
    from playground.ui.controllers.request import Requests
    from playground.ui.dialogs.cache_lab import CacheLabDialog, ReplayDialog
    from playground.ui.dialogs.connect import ConnectDialog, ProbeResult
    from playground.ui.dialogs.guide import GuideDialog
    from playground.ui.dialogs.palette import Rebound
    from playground.ui.dialogs.repeat import RepeatDialog
    from playground.ui.dialogs.tool_server import ToolServerDialog
    from playground.ui.panes.prompt.pane import PromptPane


_COPIED = {
    "ticket": "Copied as a support ticket. Message contents are left out; a hash and a length stand for each.",
    "curl": "Copied as a curl command. It reads the key from {variable}; the prompt is in it.",
    "powershell": "Copied as PowerShell commands. They read the key from {variable}; the prompt is in them.",
    "smallestai": "Copied as a Python script for smallestai 5, without streaming. It reads SMALLEST_API_KEY.",
    "markdown": "Copied as Markdown. Keys are masked; prompt and answer are in it.",
    "httpx": "Copied as a Python script. It reads the key from {variable}; the prompt is in it.",
    "javascript": "Copied as a JavaScript module. It reads the key from {variable}; the prompt is in it.",
    "python": "Copied as a Python script. It reads the key from {variable}; the prompt is in it.",
}


Page = TypeVar("Page", bound="QDialog")
PAGE_PX = 460
"""Preferred width of a page in the side panel."""


class DialogController(QObject):
    """Opens dialogs with open(), never exec(): exec() stops every other task of the one loop."""

    endpoint_changed = Signal(str)
    endpoint_edited = Signal()
    """An endpoint or a key was changed or removed."""
    notice = Signal(str)

    def __init__(self, window: QMainWindow, workspace: AppServices, appearance: Appearance) -> None:
        super().__init__(window)
        self.window, self._workspace, self._appearance = window, workspace, appearance
        self._actions: Actions | None = None
        self.extra_commands: Callable[[], Sequence[tuple[str, Callable[[], object]]]] = tuple
        """Additional palette entries: (label, callback)."""
        self.show_page: Callable[[QDialog, int], None] = lambda page, _width: page.show()
        """Shows a dialog in the side panel, at a preferred width in device-independent pixels."""
        self._lab_lock = asyncio.Lock()
        self._beside: dict[str, list[Run]] = {}
        """Runs of the cache lab and of *Repeat*, by the kind of their group."""
        self._pages: dict[str, QDialog] = {}

    def use_actions(self, actions: Actions) -> None:
        self._actions = actions

    def shortcuts(self) -> Mapping[str, str]:
        """Return the user's own shortcuts by action id."""
        chosen = self._workspace.settings.get("shortcuts")
        return {str(k): str(v) for k, v in chosen.items()} if isinstance(chosen, dict) else {}

    def copy_request(self, run_id: str | None, form: str) -> None:
        """Copy a logged request in one of its forms: "ticket", "markdown", or a key of `SCRIPTS`."""
        if run_id is None:
            self.notice.emit(NO_REQUEST)
        else:
            self._workspace.tasks.start(self._copy_request(run_id, form), "copy a request")

    async def _copy_request(self, run_id: str, form: str) -> None:
        # Imported on first use, as the dialogs are.
        from playground.export.pages import as_markdown
        from playground.export.snippets import SCRIPTS, key_variable
        from playground.export.ticket import ticket

        stored = await self._stored(run_id)
        if stored is None:
            return
        if form in ("ticket", "markdown"):
            # A long prompt is searched in the server's errors.
            text = await asyncio.to_thread(ticket if form == "ticket" else as_markdown, stored)
        else:
            try:
                text = SCRIPTS[form](stored.record)
            except InputError as refused:
                self.notice.emit(f"Not copied: {refused}")
                return
        copy_text(text)
        sentence = _COPIED[form].format(variable=key_variable(stored.record))
        if form not in ("ticket", "markdown") and stored.record.endpoint_kind == "simulator":
            sentence += " The simulator runs while this window is open, and accepts any key."
        self.notice.emit(sentence)

    async def _stored(self, run_id: str) -> StoredRun | None:
        """Return a logged request; None, and a notice, if it is no longer in the log."""
        recalled = await self._workspace.recall(run_id)
        if recalled is None:
            self.notice.emit("That request is not in the log.")
        return None if recalled is None else recalled.stored

    def save_page(self, run_id: str | None) -> None:
        if run_id is None:
            self.notice.emit("There is no request to export yet.")
            return
        ask_save(
            self.window,
            "Export the request",
            {"Web page (*.html)": "html", "Markdown (*.md)": "md"},
            lambda path: self._workspace.tasks.start(self.write_page(run_id, path), "export a request"),
        )

    async def write_page(self, run_id: str, path: Path) -> None:
        """Write a logged request to a file, as Markdown if its name ends in .md, otherwise as HTML."""
        from playground.export.pages import as_html, as_markdown

        stored = await self._stored(run_id)
        if stored is None:
            return
        text = await asyncio.to_thread(as_markdown if path.suffix.lower() == ".md" else as_html, stored)
        with write_errors(path, self.notice.emit):
            await asyncio.to_thread(write_shared, path, text.encode("utf-8", "replace"))
            self.notice.emit(f"Exported to {path.name}. Keys are masked; prompt and answer are in it.")

    def rewrite_dialog(self, prompt: PromptPane, advice: tuple[Finding, ...]) -> None:
        """Offer ways to fix the prompt; applying one is one step of its undo history."""
        from playground.lint.model import options
        from playground.prefix_cache.rewrites import PromptRewrite

        document = prompt.document()
        found = options(document, advice)
        if not found:
            self.notice.emit("No automatic fix is available for this prompt.")
            return
        from playground.ui.dialogs.rewrite import RewriteDialog

        def apply(option: PromptRewrite) -> None:
            if prompt.document() is document:
                prompt.set_document(option.after, undoable=True, label=option.title)
                prompt.history.page.fixed = option.after
                prompt.focus_editor()  # the link that opened the dialog goes with the advice

        dialog = RewriteDialog(document, found, self._workspace.effect, self.window)
        dialog.chosen.connect(apply)
        dialog.open()

    def _page(self, name: str, make: Callable[[], Page]) -> Page:
        """Show a page in the side panel: the open one while its work runs, else a new one."""
        page = self._pages.get(name)
        if page is not None and not getattr(page, "running", False):
            page.reject()  # close() would not end a page behind another tab
            page = None
        if page is None:
            page = self._pages[name] = make()
            page.finished.connect(lambda _result: self._pages.pop(name, None))
        self.show_page(page, PAGE_PX)
        return cast("Page", page)

    def repeat_dialog(self, prompt: PromptPane, requests: Requests) -> RepeatDialog:
        from playground.ui.dialogs.repeat import RepeatDialog, ahead_of

        workspace, document = self._workspace, prompt.document()
        endpoint = workspace.endpoint
        ahead = ahead_of(workspace, document, requests.current.run.state if requests.current else None)

        async def send(group: str) -> RunState:
            return await self._send_beside(requests, document, endpoint, group)

        queued = partial(self._queued, "repeat")
        return self._page("repeat", lambda: RepeatDialog(ahead, send, queued, workspace.tasks.start, self.window))

    async def _send_beside(
        self, requests: Requests, document: Document, endpoint: Endpoint, group: str, tag: str = ""
    ) -> RunState:
        """Send a request that the log lists in a group; the response pane does not show it."""
        runs = self._beside.setdefault(group.partition(":")[0], [])

        def begun(sending: PendingRequest) -> None:
            runs.append(sending.run)
            requests.sent_beside(sending.run.id)

        sent = await self._workspace.sender.send(document, endpoint, begun, tag=tag, tags=[group])
        return sent.run.state

    def _queued(self, kind: GroupKind) -> str:
        """Return why and how long a request of a kind of group waits for the plan's limits; "" if none does."""
        from playground.ui.panes.response.labels import waiting

        runs = self._beside[kind] = [run for run in self._beside.get(kind, ()) if not run.state.ended]
        return next((waiting(run.state, run.clock()) for run in runs if run.state.queued is not None), "")

    def cache_lab(self, requests: Requests) -> CacheLabDialog:
        from playground.experiments.lab import FILE as LAB_FILE
        from playground.runs.record import group_tag
        from playground.ui.dialogs.cache_lab import CacheLabDialog, CacheLabServices

        workspace, group = self._workspace, group_tag("lab")
        endpoint = workspace.endpoint

        async def send(document: Document) -> RunState:
            return await self._send_beside(requests, document, endpoint, group, "experiment")

        def make() -> CacheLabDialog:
            file = workspace.folder / LAB_FILE
            queued = partial(self._queued, "lab")
            services = CacheLabServices(endpoint, send, queued, file, workspace.tasks.start, self._lab_lock)
            dialog = CacheLabDialog(services, self.window)
            dialog.lifetime_found.connect(
                lambda found: workspace.settings.set("cache_lifetime_s", max(10, min(round(found), 86_400)))
            )
            return dialog

        return self._page("lab", make)

    def replay_dialog(self, requests: Requests) -> ReplayDialog:
        from playground.ui.dialogs.cache_lab import ReplayDialog

        workspace = self._workspace

        def make() -> ReplayDialog:
            dialog = ReplayDialog(workspace.replay, workspace.tasks.start, workspace.endpoint.rates, self.window)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open_requested.connect(requests.open_logged)
            return dialog

        dialog = self._page("history", make)
        dialog.run()
        return dialog

    def tool_server_dialog(
        self, prompt: PromptPane, answered: Callable[[Document, list[str], str], object]
    ) -> ToolServerDialog:
        """Add selected tools of a Model Context Protocol server to the prompt as one undo step.

        `answered` is called with the prompt and the tools that the server executes.
        """
        from playground.ui.dialogs.tool_server import ToolServerDialog

        workspace = self._workspace

        def add(tools: tuple[Tool, ...]) -> None:
            document = prompt.document()
            prompt.set_document(replace(document, tools=(*document.tools, *tools)), undoable=True, label="Add tools")
            answered(prompt.document(), [tool.name for tool in tools], dialog.listed)

        dialog = ToolServerDialog(
            workspace.tool_servers.tools,
            prompt.document,
            workspace.settings,
            workspace.server_secrets,
            workspace.tasks.start,
            self.window,
        )
        dialog.added.connect(add)
        dialog.open()
        return dialog

    async def allow_server(self, server: str) -> bool:
        """Ask whether tools of a tool server may be called in this session."""
        from playground.ui.widgets.task_dialog import asked

        return await asked(
            self.window,
            "Call tools of this server?",
            f"The model asks for a tool of\n\n{server}\n\nIts arguments, which the model wrote, would be sent there. "
            "The answer holds until the program ends.",
            "Call its tools",
        )

    def guide_dialog(self, rule: str) -> GuideDialog:
        from playground.lint.engine import EXAMPLES
        from playground.ui.dialogs.guide import GuideDialog

        dialog = self._page("guide", lambda: GuideDialog(EXAMPLES, self.window))
        if rule:
            dialog.show_rule(rule)
        return dialog

    def connect_dialog(self, endpoint_id: str = "") -> ConnectDialog:
        """Open the endpoints, keys, plan limits and rates at one endpoint; default: the one in use."""
        # Imported on first use: no dialog is needed before the first paint.
        from playground.ui.dialogs.connect import ConnectDialog

        workspace = self._workspace
        known = {endpoint.id for endpoint in workspace.endpoints.all()}
        dialog = ConnectDialog(
            workspace.endpoints,
            workspace.keys,
            workspace.tasks.start,
            self.window,
            shown=endpoint_id if endpoint_id in known else workspace.endpoint.id,
            probe=self._probe,
        )
        dialog.chosen.connect(self.endpoint_changed)
        dialog.changed.connect(self.endpoint_edited)
        dialog.changed.connect(lambda: self.endpoint_changed.emit(workspace.endpoint.id))
        open_once(dialog)
        return dialog

    def connect_to_electron(self) -> ConnectDialog:
        return self.connect_dialog(ELECTRON_ID)

    async def _probe(self, endpoint: Endpoint, typed_key: str | None) -> ProbeResult:
        """Request the list of models. The stored key is only sent to the address that it was stored for."""
        from playground.ui.dialogs.connect import ProbeResult

        workspace, key = self._workspace, typed_key
        from playground.simulator.process import SimulatorError  # not in the first frame

        try:
            endpoint = await workspace.simulation.resolve(endpoint)
        except SimulatorError as failed:
            return ProbeResult(False, str(failed))
        kept = next((one for one in workspace.endpoints.all() if one.id == endpoint.id), None)
        if key is None and endpoint.needs_key and kept is not None and kept.base_url == endpoint.base_url:
            secret = await workspace.keys.get(endpoint)
            key = secret.reveal() if secret is not None else None
        if endpoint.needs_key and key is None:
            return ProbeResult(False, "No key for this address. Paste it above, then test again.")
        found = await workspace.sender.connection.models(endpoint, key)
        if not isinstance(found, tuple):
            reached = found.status in (404, 405, 501)
            text = "The server answers. It has no list of models." if reached else f"{found.title}. {found.advice}"
            return ProbeResult(reached, text)
        names = tuple(model.id for model in found)
        chosen = endpoint.model or (names[0] if names else "")
        length = next((model.context_length for model in found if model.id == chosen), None)
        if names and endpoint.model and endpoint.model not in names:
            return ProbeResult(False, f"The server answers, but offers no model {endpoint.model}.", names)
        return ProbeResult(True, f"Connected. {counted(len(names), 'model')} offered.", names, length)

    def settings_dialog(self, section: str = "") -> None:
        from playground.ui.dialogs.settings import SettingsDialog

        dialog = SettingsDialog(self._workspace.settings, self.window, section=section)
        dialog.finished.connect(lambda _result: self._settings_changed())
        open_once(dialog)

    def _settings_changed(self) -> None:
        self._appearance.refresh()
        self.endpoint_changed.emit(self._workspace.endpoint.id)

    def keys_sheet(self) -> None:
        from playground.ui.dialogs.palette import KeysSheet

        assert self._actions is not None
        open_once(KeysSheet(self._actions.rows(), self._rebind, self.window))

    def _rebind(self, row: int, shortcut: str | None) -> Rebound:
        """Give an action another key and store it, unless another action or a message action has the key."""
        from playground.ui.dialogs.palette import Rebound
        from playground.ui.panes.prompt.cards import ACTIONS as CARD_ACTIONS

        assert self._actions is not None
        spec = ACTIONS[row]
        wanted = spec.shortcut if shortcut is None else shortcut
        cards = {QKeySequence(key).toString(): label for _, label, key in CARD_ACTIONS if key}
        other = self._actions.clash(spec.id, wanted) or cards.get(wanted, "")
        if other and wanted:
            return Rebound(self._actions.shortcut(spec.id), f"{wanted} is the key of “{other}”. Change that one first.")
        self._actions.rebind(spec.id, wanted)
        chosen: dict[str, Json] = {name: key for name, key in self.shortcuts().items() if name != spec.id}
        if wanted != spec.shortcut:
            chosen[spec.id] = wanted
        self._workspace.settings.set("shortcuts", chosen)
        return Rebound(self._actions.shortcut(spec.id))

    def palette(self) -> None:
        from playground.ui.dialogs.palette import CommandPalette
        from playground.ui.dialogs.settings import SECTIONS

        assert self._actions is not None
        actions, workspace = self._actions, self._workspace
        entries: list[tuple[str, str, Callable[[], object]]] = [
            (spec.label, actions.shortcut(spec.id), actions[spec.id].trigger) for spec in ACTIONS
        ]
        entries += [
            (f"Send to {endpoint.name}", "", partial(self.endpoint_changed.emit, endpoint.id))
            for endpoint in workspace.endpoints.all()
            if endpoint.id != workspace.endpoint.id
        ]
        entries += [(f"Settings: {title}", "", partial(self.settings_dialog, title)) for title, _ in SECTIONS]
        entries += [(label, "", run) for label, run in self.extra_commands()]
        kept = workspace.settings.get("command_use")
        counts = kept.items() if isinstance(kept, dict) else ()
        use = {name: int(str(count)) for name, count in counts if str(count).isdigit()}

        def remember(label: str) -> None:
            use[label] = use.get(label, 0) + 1
            workspace.settings.set("command_use", {name: str(count) for name, count in use.items()})

        palette = CommandPalette(entries, self.window, use=use)
        palette.used.connect(remember)
        palette.open_at(self.window)

    def about(self) -> None:
        from playground.ui.dialogs.guide import AboutDialog

        open_once(AboutDialog(self._workspace.folder, self.window))
