"""Position of the window and division of its area, remembered from one start to the next."""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress

from PySide6.QtCore import QByteArray
from PySide6.QtWidgets import QMainWindow, QSplitter, QWidget

from playground.storage.settings import Settings
from playground.ui.theme import zoom_factor
from playground.ui.widgets.layouts import repeating_timer

COLUMNS = (520, 470, 290)
"""First widths of prompt, response and inspector, in device-independent pixels at 1280."""
WIDE_COLUMNS = (608, 504, 328)
"""The same from 1400 on."""
WIDEST_COLUMNS = (800, 780, 340)
"""The same from 1800 on: a line of the prompt has at most 100 characters."""
GROWTH = (1, 1, 0)
"""Stretch factors of the columns, of which Qt uses only whether they are 0: the inspector keeps its width."""
ROWS = (560, 182)
"""First heights of the panes and of the log."""
LOG_SHARE = 0.22
"""Share of the log in the height of a taller first window."""
KEEP_EVERY_MS = 2_000
"""Save interval: a session ended by a signal loses at most this much window state."""
LEAST_SCREEN_PX = 860
"""On a narrower screen the window cannot fit: it keeps its size."""
MIN_PROMPT_PX = 320
"""Minimum width of the prompt while a widget is beside it."""
NARROW_PX = 1_150
"""Below this width at 100 % the inspector is a strip under the response."""
LOW_PX = 360
"""Below this height at 100 %, which only larger text can give, the log is hidden."""
ONE_COLUMN_PX = 780
"""Below this width at 100 %, which the work has only beside the side panel, the prompt is the only column."""
PANES = {"prompt": 0, "response": 1, "inspector": 2}


class Places:
    """Of one window: `columns` holds prompt, response and inspector; `rows` these and the log.

    Which panes are visible follows from the width, the user's choice, the maximised pane, and a widget beside the
    prompt, which takes the place of response and inspector.
    """

    def __init__(self, window: QMainWindow, columns: QSplitter, rows: QSplitter, settings: Settings) -> None:
        self._window, self._columns, self._rows, self._settings = window, columns, rows, settings
        self._maximised = settings.text("maximised_pane")
        self._chosen: dict[str, bool] = dict.fromkeys(filter(None, settings.text("hidden_panes").split(",")), False)
        """Panes that the user has shown or hidden."""
        self._fitting = frozenset((*PANES, "log"))
        self._beside: QWidget | None = None
        self._sizes: list[int] = []
        self._kept: object = None
        self._timer = repeating_timer(window, KEEP_EVERY_MS, self._keep_if_changed)

    def _state(self) -> tuple[object, ...]:
        return self._columns.sizes(), self._rows.sizes(), self._window.geometry().getRect(), self._window.isMaximized()

    def _keep_if_changed(self) -> None:
        if self._window.isVisible() and self._state() != self._kept:
            self.keep()

    def keep(self) -> None:
        self._kept = self._state()
        if not self._maximised and self._beside is None and all(self._columns.sizes()):
            self._settings.set("splitter_sizes", list(self._columns.sizes()))
        if not self._maximised and self._rows.sizes()[1]:
            self._settings.set("log_height", min(self._rows.sizes()[1], 10_000))
        self._settings.set("window_geometry", b64encode(self._window.saveGeometry().data()).decode())

    def restore(self) -> None:
        """Apply the stored sizes, or the defaults for this width. The window fits the screen."""
        screen = self._window.screen().availableGeometry()
        with suppress(ValueError):
            if kept := str(self._settings.get("window_geometry") or ""):
                self._window.restoreGeometry(QByteArray(b64decode(kept, validate=False)))
        if screen.width() >= LEAST_SCREEN_PX:
            self._window.resize(self._window.size().boundedTo(screen.size()))
        widths = self._settings.get("splitter_sizes")
        if isinstance(widths, list) and len(widths) == len(COLUMNS):
            self._columns.setSizes([int(width) for width in widths if isinstance(width, int)])
        else:
            width = self._window.width()
            self._columns.setSizes(WIDEST_COLUMNS if width >= 1800 else WIDE_COLUMNS if width >= 1400 else COLUMNS)
        log_height = int(self._settings.number("log_height"))
        log_height = log_height or max(ROWS[1], round(self._window.height() * LOG_SHARE))
        self._rows.setSizes([max(self._window.height() - log_height, 1), log_height])
        self._timer.start()

    def rest(self) -> None:
        self._timer.stop()

    def fit(self, width: int) -> None:
        """Show the panes that fit into a width, in device-independent pixels."""
        few = width < NARROW_PX * zoom_factor()
        panes = (self._pane("prompt"), self._pane("response"))
        both = sum(max(pane.minimumWidth(), pane.minimumSizeHint().width()) for pane in panes)
        with_panel = width < self._window.width()
        one = width < max(ONE_COLUMN_PX * (zoom_factor() if with_panel else 1), both)
        narrow = {"response", "inspector"} if one else {"inspector"} if few else set()
        if self._window.height() < LOW_PX * zoom_factor():
            narrow.add("log")
        fitting = frozenset((*PANES, "log")) - narrow
        if fitting != self._fitting:
            self._fitting = fitting
            # What the user chose to show for another width need not fit into this one.
            self._chosen = {name: shown for name, shown in self._chosen.items() if not shown}
            self.note_sizes()
            self.show_panes()
            if self._beside is None:
                self._columns.setSizes(self._sizes if fitting.issuperset(PANES) and self._sizes else list(COLUMNS))

    def note_sizes(self) -> None:
        """Remember the widths of the columns, for `share`."""
        if self._beside is None and all(self._columns.sizes()):
            self._sizes = self._columns.sizes()

    def share(self) -> None:
        """Divide the present width in the remembered proportions."""
        if self._beside is not None:
            self._share_with_widget()
        elif self._sizes:
            panes = [self._columns.widget(place) for place in range(len(self._sizes))]
            shown = [0 if pane is None or pane.isHidden() else px for pane, px in zip(panes, self._sizes, strict=True)]
            scale = self._columns.width() / (sum(shown) or 1)
            self._columns.setSizes([round(px * scale) for px in shown])

    def toggle(self, name: str) -> None:
        """Show or hide the response, the inspector or the log. A maximised pane is restored first."""
        if self._maximised:
            self.maximise("")
        shown = self._pane(name).isHidden()
        self._chosen.pop(name, None)
        if shown != (name in self._fitting):
            self._chosen[name] = shown
        self._settings.set("hidden_panes", ",".join(sorted(one for one, shown in self._chosen.items() if not shown)))
        self.show_panes()

    def maximise(self, name: str) -> None:
        """Give all of the area to one pane; with a pane maximised, restore all of them."""
        self._maximised = "" if self._maximised else name
        self._settings.set("maximised_pane", self._maximised)
        self.show_panes()

    def show_panes(self) -> None:
        for name in (*PANES, "log"):
            if self._maximised:
                shown = name == self._maximised
            else:
                beside = self._beside is not None and name in ("response", "inspector")
                shown = not beside and self._chosen.get(name, name in self._fitting)
            self._pane(name).setVisible(shown)
        self._columns.setVisible(self._maximised != "log")

    def _pane(self, name: str) -> QWidget:
        pane = self._rows.widget(1) if name == "log" else self._columns.widget(PANES[name])
        assert pane is not None, "the splitters are filled at their creation"
        return pane

    def show_beside(self, widget: QWidget | None) -> None:
        """Show a widget beside the prompt, in place of response and inspector; None: show these again."""
        if self._maximised:
            self.maximise("")
        if widget is not None:
            self._sizes, self._beside = self._columns.sizes(), widget
            self.show_panes()
            self._columns.addWidget(widget)
            self._share_with_widget()
        elif self._beside is not None:
            self._beside.setParent(None)
            self._beside = None
            self.show_panes()
            self._columns.setSizes(self._sizes)

    def _share_with_widget(self) -> None:
        """Divide the present width between the prompt and the widget beside it."""
        width = self._columns.width()
        prompt = max(min(self._sizes[0] * 4 // 5, width // 2), MIN_PROMPT_PX)
        self._columns.setSizes([prompt, 0, 0, max(width - prompt, 1)])
