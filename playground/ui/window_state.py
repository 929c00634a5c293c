"""Division of the window between the panes and a side panel, remembered from one start to the next."""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress

from PySide6.QtCore import QByteArray, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QDialog, QMainWindow, QSplitter, QStackedWidget, QWidget
from shiboken6 import isValid

from playground.storage.settings import Settings
from playground.ui.theme import GRID, zoom_factor
from playground.ui.widgets.icons import icon_button
from playground.ui.widgets.layouts import PageArea, Panel, column_of, repeating_timer, row_of
from playground.ui.widgets.tab_bar import tab_bar
from playground.ui.widgets.task_dialog import TaskDialog

COLUMNS = (507, 457, 316)
"""First widths of prompt, response and inspector at 1280: the request_id is in one line."""
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
MIN_WORK_PX = 480
"""Width that the work keeps when a page of the side panel is opened."""
MIN_PANEL_PX = 320
"""Minimum width of the side panel."""
ALONE_PX = 520
"""Below this width at 100 %, which only larger text can give, the side panel takes the place of the work."""
LEAST_PAGE_PX = 340
"""Height at 100 % below which a page of the side panel scrolls, which only larger text can give."""
PANES = {"prompt": 0, "response": 1, "inspector": 2}
"""Places of the panes in the columns."""


class Places:
    """The panes of one window: `columns` holds prompt, response and inspector; `rows` the columns and the log.

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

    def shut_down(self) -> None:
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


class SidePanel(Panel):
    """Pages are dialogs, shown as tabs of the panel. A page that is closed, by any way, leaves it."""

    emptied = Signal()

    def __init__(self) -> None:
        super().__init__("pane", "Side panel")
        self.tabs = tab_bar("Pages of the side panel", ())
        self._stack = QStackedWidget()
        close = icon_button("close", "Close this page", clicked=self.close_page)
        head = row_of((self.tabs, 1), close, margins=(0, 0, GRID, 0))
        column_of(head, (self._stack, 1), on=self, margins=0, spacing=0)
        self.setMinimumWidth(MIN_PANEL_PX)
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)

    @property
    def page(self) -> QWidget | None:
        area = self._stack.currentWidget()
        return area.page if isinstance(area, PageArea) else None

    def show_page(self, page: QDialog) -> None:
        """Add a page, or display it again. Its window title is the tab's label."""
        at = self._at(page)
        if at < 0:
            at = self._add(page)
        self.tabs.setCurrentIndex(at)
        self._stack.setCurrentIndex(at)
        page.show()

    def _add(self, page: QDialog) -> int:
        page.setAttribute(Qt.WidgetAttribute.WA_Moved)  # else a dialog moves to the middle of its parent when shown
        from PySide6.QtWidgets import QDialogButtonBox

        for box in page.findChildren(QDialogButtonBox):
            if (button := box.button(QDialogButtonBox.StandardButton.Close)) is not None:
                button.hide()  # the panel has a button for it
        at = self._stack.addWidget(PageArea(page, LEAST_PAGE_PX, self._stack))
        self.tabs.insertTab(at, page.windowTitle())
        page.windowTitleChanged.connect(lambda title: self.tabs.setTabText(self._at(page), title))
        page.finished.connect(lambda _result: self._remove(page))
        return at

    def _at(self, page: QDialog) -> int:
        areas = [self._stack.widget(at) for at in range(self._stack.count())]
        return next((at for at, area in enumerate(areas) if isinstance(area, PageArea) and area.page is page), -1)

    def _remove(self, page: QDialog) -> None:
        at = self._at(page)
        if at < 0:
            return
        area = self._stack.widget(at)
        page.setParent(self)
        if area is not None:
            self._stack.removeWidget(area)
            area.deleteLater()
        self.tabs.removeTab(at)
        if not isinstance(page, TaskDialog):  # which is deleted when its work has ended
            page.deleteLater()
        if self._stack.count() == 0:
            self.emptied.emit()

    def close_page(self) -> None:
        """Close the page on display; its running work ends."""
        if isinstance(page := self.page, QDialog):
            page.reject()

    def take_focus(self) -> None:
        """Set the focus to the first control of the page on display."""
        page = self.page
        first = page.nextInFocusChain() if page is not None else None
        while first is not None and page is not None and first is not page:
            if page.isAncestorOf(first) and first.focusPolicy() & Qt.FocusPolicy.TabFocus and first.isVisible():
                first.setFocus(Qt.FocusReason.TabFocusReason)
                return
            first = first.nextInFocusChain()
        self.tabs.setFocus(Qt.FocusReason.TabFocusReason)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Close the page on Escape, also with the focus in the tab bar."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_page()
        else:
            super().keyPressEvent(event)


class WorkArea(QSplitter):
    """The work with the side panel at its right. `work_resized` has the width that the work has or is about to get."""

    work_resized = Signal(int)
    opening = Signal()
    focus_lost = Signal()
    """The panel was closed and the widget that had the focus before it is gone."""
    divided = Signal()
    """The work has another width because the panel was opened or closed."""

    def __init__(self, settings: Settings, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._settings = settings
        self._focus_before: QWidget | None = None
        self.work = QSplitter(Qt.Orientation.Vertical, self)
        self.panel = SidePanel()
        self.setHandleWidth(1)
        self.setChildrenCollapsible(False)
        self.addWidget(self.panel)
        self.setStretchFactor(0, 1)
        self.setStretchFactor(1, 0)
        self.panel.hide()
        self.panel.emptied.connect(self._close)
        self.splitterMoved.connect(self._moved)

    def show_page(self, page: QDialog, width: int) -> None:
        """Show a page in the panel. `width`: of the panel in device-independent pixels, if the user has set none."""
        opening = self.panel.isHidden()
        wanted = int(self._settings.number("side_width")) or width
        if not opening:
            wanted = max(self.panel.width(), 0 if self._settings.number("side_width") else width)
        panel = max(min(wanted, self.width() - MIN_WORK_PX), MIN_PANEL_PX)
        if opening:
            self._focus_before = self.window().focusWidget()
            self.opening.emit()
        # Panes are hidden first: with their minimum widths the panel would make the window wider.
        self.work_resized.emit(self.width() - panel)
        self.panel.show_page(page)
        self.panel.show()
        self._fit(self.width())
        self.setSizes([self.width() - panel, panel])
        if opening:
            self.divided.emit()
        self.panel.take_focus()

    def _close(self) -> None:
        self.panel.hide()
        self._fit(self.width())
        self.refresh()  # lays out at once, so that the panes get their sizes within the full width
        self.work_resized.emit(self.width())
        self.divided.emit()
        before, self._focus_before = self._focus_before, None
        if before is not None and isValid(before) and before.isVisible() and not self.panel.isAncestorOf(before):
            before.setFocus()
        else:
            self.focus_lost.emit()

    def _fit(self, width: int) -> None:
        """Show the work, unless the panel needs all of the width."""
        self.work.setVisible(self.panel.isHidden() or width >= ALONE_PX * zoom_factor())

    def minimumSizeHint(self) -> QSize:
        """Return a width at which panes are hidden: they would keep the window from becoming narrower."""
        return QSize(min(super().minimumSizeHint().width(), MIN_WORK_PX), super().minimumSizeHint().height())

    def announce_width(self) -> None:
        """Announce the width of the work again: the panes need another one."""
        self._fit(self.width())
        self.work_resized.emit(self.width() - (0 if self.panel.isHidden() else self.panel.minimumWidth()))

    def _moved(self, _place: int, _index: int) -> None:
        self._settings.set("side_width", self.panel.width())
        self.work_resized.emit(self.work.width())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Announce the width of the work: before it shrinks, after it has grown."""
        self._fit(event.size().width())
        beside = 0 if self.panel.isHidden() else self.panel.width()
        growing = event.size().width() > event.oldSize().width()
        if growing:
            super().resizeEvent(event)
        self.work_resized.emit(event.size().width() - beside)
        if not growing:
            super().resizeEvent(event)
