"""Modes of the window: Prompt, and the ones that replace its panes with their own (Compare, Batch, Recorder)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace
from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from playground.prompt.document import Document
from playground.ui.topbar import ModeTools, TopBar

if TYPE_CHECKING:
    from playground.ui.main_window import MainWindow

PROMPT = "prompt"
Pane: TypeAlias = tuple[QWidget | None, Callable[[], object]]
"""A pane with the function that gives it the focus."""
MAX_LEAST_PX = 380
"""The window fits a screen of 1920×1080 at a scale factor of 2."""


def _nothing() -> None:
    pass


class ModeView(Struct, frozen=True):
    """Widgets of one mode. `toolbar` takes the place of the prompt's controls; None leaves the toolbar empty there."""

    page: QWidget
    toolbar: ModeTools | None = None
    send: Callable[[], object] = _nothing
    """Runs on Ctrl+Enter while the mode is current."""
    take_focus: Callable[[], object] = _nothing
    """Called whenever the mode becomes current."""
    panes: Callable[[], Sequence[Pane] | None] = _nothing
    """Returns the panes between which the focus moves, in this order; None: the window's."""
    take_zoom: Callable[[], object] = _nothing
    """Called after a change of the text size, for fonts and sizes of painted widgets."""
    close: Callable[[], object] = _nothing
    """Stops the mode's timers and processes: called when the window is about to be deleted."""
    commands: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    """Handlers of the window's actions (by action id) that mean something else while the mode is current."""


class Modes(QStackedWidget):
    """Stack of the modes' pages. A mode other than Prompt is built the first time it is displayed."""

    changed = Signal(str)
    """The id of the mode that is now current."""

    def __init__(self, prompt_page: Callable[[QWidget], QWidget], top: TopBar, parent: QWidget) -> None:
        """`prompt_page` makes the page of Prompt mode below a parent."""
        super().__init__(parent)
        self._top = top
        self._builders: dict[str, Callable[[], ModeView]] = {}
        page = prompt_page(self)
        self.views: dict[str, ModeView] = {PROMPT: ModeView(page)}
        self.current = PROMPT
        self.addWidget(page)
        self.currentChanged.connect(lambda _index: self.updateGeometry())
        top.modes.add_mode(PROMPT, "Prompt", "prompt")
        top.modes.chosen.connect(self.show_mode)

    def minimumSizeHint(self) -> QSize:
        """Return the least size of the page on display, which a low screen may squeeze."""
        page = self.currentWidget()
        size = super().minimumSizeHint() if page is None else page.minimumSizeHint()
        return QSize(size.width(), min(size.height(), MAX_LEAST_PX))

    def add(self, mode: str, label: str, icon: str, build: Callable[[], ModeView]) -> None:
        """Add a mode to the switch. `build` is called once, when the mode is first displayed."""
        self._builders[mode] = build
        self._top.modes.add_mode(mode, label, icon)

    def show_mode(self, mode: str) -> None:
        """Display a mode. Raises KeyError for a mode that was not added."""
        view = self._view(mode)
        if mode != self.current:
            self.current = mode
            self.setCurrentWidget(view.page)
            self._top.show_tools(view.toolbar, prompt=mode == PROMPT)
            self.changed.emit(mode)
        self._top.modes.show_mode(mode)
        view.take_focus()

    def send(self) -> bool:
        """Run the current mode's command for Ctrl+Enter. Returns False in Prompt mode, which has none."""
        self.views[self.current].send()
        return self.current != PROMPT

    def run(self, action_id: str, default: Callable[[], object]) -> object:
        """Run the current mode's handler of an action, or the window's own."""
        return self.views[self.current].commands.get(action_id, default)()

    def panes(self) -> Sequence[Pane] | None:
        """Return the panes of the current mode; None: it has the window's."""
        return self.views[self.current].panes()

    def show_zoom(self) -> None:
        for view in self.views.values():
            view.take_zoom()

    def shut_down(self) -> None:
        for view in self.views.values():
            view.close()

    def _view(self, mode: str) -> ModeView:
        if mode not in self.views:
            view = self.views[mode] = self._builders[mode]()
            self.addWidget(view.page)
        return self.views[mode]


class OtherModes:
    """Builds Compare, Batch and Recorder mode for a window when they are first displayed, and connects them."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        window.modes.add("compare", "Compare", "cols", self._compare_mode)
        window.modes.add("batch", "Batch", "table", self._batch_mode)
        window.modes.add("recorder", "Recorder", "record", self._recorder_mode)

    def _compare_mode(self) -> ModeView:
        # Imported here: the first frame does not show it.
        from playground.ui.controllers.compare import CompareController

        window = self._window
        compare = window.compare = CompareController(
            window,
            window.modes,
            window.workspace,
            window.prompt.document,
            window.actions_table.shortcut("send"),
        )
        compare.notice.connect(window.show_notice)
        compare.use_asked.connect(self._use_column)
        compare.open_asked.connect(window.open_logged)
        compare.row_logged.connect(lambda run_id: window.requests.sent_beside(run_id))
        return compare.view()

    def _use_column(self, document: Document) -> None:
        """Put a column's prompt into the editor as one undo step; name, id and file of the prompt stay."""
        before = self._window.prompt.document()
        self._window.prompt.set_document(
            replace(document, name=before.name, id=before.id), undoable=True, label="Use a compared prompt"
        )
        self._window.modes.show_mode("prompt")

    def compare_logged(self, run_ids: list[str]) -> None:
        self._window.modes.show_mode("compare")
        self._window.workspace.tasks.start(self._window.compare.open_logged(run_ids), "compare logged requests")

    def _batch_mode(self) -> ModeView:
        # Imported here: the first frame does not show it.
        from playground.ui.controllers.batch import BatchController

        window = self._window
        batch = window.batch = BatchController(
            window,
            window.modes,
            window.workspace,
            prompt=window.prompt.document,
            prompt_name=lambda: window.files.name,
            open_prompt=lambda: window.modes.show_mode("prompt"),
            open_logged=window.open_logged,
            row_logged=lambda run_id: window.requests.sent_beside(run_id),
            identify=lambda document: window.versions.identity_of(document) if window.has_answers else None,
            prompt_sent=lambda identity, document, run_ids: window.versions.note_sent(identity, document, run_ids),
        )
        window.prompt.edited.connect(lambda _document: batch.prompt_changed())
        return batch.view()

    def _recorder_mode(self) -> ModeView:
        # Imported here: the first frame does not show it.
        from playground.ui.controllers.recorder import RecorderController

        window = self._window
        recorder = window.recorder = RecorderController(window, window.modes, window.workspace)
        recorder.notice.connect(window.show_notice)
        recorder.open_wanted.connect(window.open_logged)
        recorder.prompt_wanted.connect(self._open_recorded)
        recorder.ticket_wanted.connect(window.handlers.ticket_of)
        recorder.copy_wanted.connect(window.program.copy_request)
        recorder.resend_wanted.connect(self._resend_recorded)
        recorder.compare_wanted.connect(self.compare_logged)
        recorder.rates_wanted.connect(window.program.connect_dialog)
        return recorder.view()

    def _resend_recorded(self, run_id: str) -> None:
        self._window.modes.show_mode("prompt")
        self._window.requests.resend_logged(run_id)

    def _open_recorded(self, document: Document) -> None:
        self._window.modes.show_mode("prompt")
        self._window.files.show_example(document)
