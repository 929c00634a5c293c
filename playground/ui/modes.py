"""Modes of the window: Prompt, and the ones that replace its panes with their own (Compare, Batch, Recorder)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from PySide6.QtCore import QSize, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

from playground.ui.bars.topbar import TopBar

PROMPT = "prompt"
MAX_LEAST_PX = 380
"""The window fits a screen of 1920×1080 at a scale factor of 2."""


@dataclass(frozen=True, slots=True)
class ModeView:
    """Widgets of one mode. `toolbar` takes the place of the prompt's controls; None leaves the toolbar empty there."""

    page: QWidget
    toolbar: QWidget | None = None
    send: Callable[[], object] | None = None
    """Runs on Ctrl+Enter while the mode is current; None: the key does nothing there."""
    take_focus: Callable[[], object] | None = None
    """Called whenever the mode becomes current."""
    take_theme: Callable[[], object] | None = None
    """Called after a change of theme, for what the style sheet does not reach."""
    take_zoom: Callable[[], object] | None = None
    """Called after a change of the text size, for fonts and sizes of painted widgets."""
    close: Callable[[], object] | None = None
    """Stops the mode's timers and processes: called when the window is about to be deleted."""
    commands: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    """Handlers of the window's actions (by action id) that mean something else while the mode is current."""


class Modes(QStackedWidget):
    """Stack of the modes' pages. A mode other than Prompt is built the first time it is displayed."""

    changed = Signal(str)
    """The id of the mode that is now current."""

    def __init__(self, prompt_page: Callable[[QWidget], QWidget], top: TopBar, parent: QWidget | None = None) -> None:
        """`prompt_page` makes the page of Prompt mode below a parent."""
        super().__init__(parent)
        self._top = top
        self._builders: dict[str, Callable[[], ModeView]] = {}
        page = prompt_page(self)
        self._views: dict[str, ModeView] = {PROMPT: ModeView(page)}
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
        if view.take_focus is not None:
            view.take_focus()

    def view(self, mode: str) -> ModeView | None:
        """Return the widgets of a mode, or None before it was first displayed."""
        return self._views.get(mode)

    def send(self) -> bool:
        """Run the current mode's command for Ctrl+Enter. Returns False in Prompt mode, which has none."""
        view = self._views[self.current]
        if view.send is not None:
            view.send()
        return self.current != PROMPT

    def run(self, action_id: str, default: Callable[[], object]) -> object:
        """Run the current mode's handler of an action, or the window's own."""
        return self._views[self.current].commands.get(action_id, default)()

    def show_theme(self) -> None:
        """Pass a change of theme to every mode that has been built."""
        for view in self._views.values():
            if view.take_theme is not None:
                view.take_theme()

    def show_zoom(self) -> None:
        """Pass a change of the text size to every mode that has been built."""
        for view in self._views.values():
            if view.take_zoom is not None:
                view.take_zoom()

    def rest(self) -> None:
        """Stop the timers and processes of every mode that has been built."""
        for view in self._views.values():
            if view.close is not None:
                view.close()

    def _view(self, mode: str) -> ModeView:
        if mode not in self._views:
            view = self._views[mode] = self._builders[mode]()
            self.addWidget(view.page)
        return self._views[mode]
