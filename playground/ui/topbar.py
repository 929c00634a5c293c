"""The toolbar: mode, endpoint, prompt file, the one filled button, and the use of the context as bar and table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QBrush, QFontMetricsF, QPainter, QPaintEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QDialog,
    QGridLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from playground.client.endpoint import Endpoint
from playground.ui.theme import GRID, Theme, current_theme, restyle, ui_font
from playground.ui.widgets.icons import icon_button, set_icon, set_label
from playground.ui.widgets.labels import ChoiceButton, add_choice, push_button, toned
from playground.ui.widgets.layouts import STRETCH, Panel, row_of
from playground.ui.widgets.plain_table import plain_tip

if TYPE_CHECKING:
    from playground.prefix_cache.zones import Composition

BAR_PX = 4
BAR_WIDTH_PX = 44
_USUAL_LABEL = "context ≈ 8,888 of 32,768"
"""Room is kept for this text: the controls beside it stay in place when the first figure or a digit is added."""


class ContextMeter(QAbstractButton):
    """Painted: a new figure at every keystroke needs no layout."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: Composition | None = None
        self.label = ""
        """The figure."""
        self._words_shown = True
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.clicked.connect(self.open)

    def show_words(self, shown: bool) -> None:
        """Show the figure beside the bar, or the bar alone; the tooltip has the figure then."""
        if shown != self._words_shown:
            self._words_shown = shown
            self.updateGeometry()
            self.update()

    def show_parts(self, parts: Composition, total: int) -> None:
        """Show a composition, scaled to the prompt's `total` tokens as the other panes show it; 0: as estimated."""
        if total and parts.prompt:
            scale = total / parts.prompt
            scaled = {name: getattr(parts, name) * scale for name in ("tools", "system", "history", "rest")}
            parts = replace(parts, **scaled)
        if parts == self.parts:
            return
        self.parts = parts
        mark = "over the limit: " if parts.over else ""
        room = "—" if parts.room is None else f"{parts.room:,}"
        label = f"{mark}context ≈ {round(parts.prompt):,} of {room}"
        wider = len(label) != len(self.label)
        self.label = label
        self.setToolTip(f"{label}\n{self.words}")
        self.setAccessibleName(label)
        self.setAccessibleDescription(self.words)
        if wider:
            self.updateGeometry()
        self.update()

    @property
    def words(self) -> str:
        if self.parts is None:
            return ""
        lines = [f"{name}: {amount_words(name, amount)}" for name, amount in self.parts.parts if amount]
        return "\n".join([*lines, left_words(self.parts)])

    def sizeHint(self) -> QSize:
        metrics = QFontMetricsF(ui_font(12, tabular=True))
        longest = max(metrics.horizontalAdvance(text) for text in (self.label, _USUAL_LABEL))
        words = round(longest) + GRID + 8 if self._words_shown else 0
        return QSize(words + BAR_WIDTH_PX + GRID, round(metrics.height()) + 13)

    def open(self) -> None:
        if self.parts is None:
            return
        popup = ContextTable(self.parts, self)
        popup.move(self.mapToGlobal(QPoint(0, self.height() + 2)))
        popup.open()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        painter.setFont(ui_font(12, tabular=True))
        painter.setPen(theme.failure if self.parts is not None and self.parts.over else theme.muted)
        if self._words_shown:
            area = QRectF(GRID / 2, 0, self.width() - BAR_WIDTH_PX - GRID * 2, self.height())
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, self.label)
        if self.parts is not None:
            left, top = self.width() - BAR_WIDTH_PX - GRID / 2, (self.height() - BAR_PX) / 2
            paint_parts(painter, theme, QRectF(left, top, BAR_WIDTH_PX, BAR_PX), self.parts)


def paint_parts(painter: QPainter, theme: Theme, area: QRectF, parts: Composition) -> None:
    """Paint the prompt in proportion to the whole context, and max_tokens hatched; all red over the limit."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.fillRect(area, theme.line)
    if parts.over:
        painter.fillRect(area, theme.failure)
        return
    if parts.room is None:
        return
    left = area.left()
    for amount, brush in (
        (parts.prompt, QBrush(theme.text)),
        (float(parts.max_tokens), QBrush(theme.muted, Qt.BrushStyle.BDiagPattern)),
    ):
        width = max(area.width() * amount / parts.room, 1.0) if amount else 0.0
        painter.fillRect(QRectF(left, area.top(), width, area.height()), brush)
        left += width


def amount_words(name: str, amount: float) -> str:
    """Return a part's tokens: max_tokens is exact, everything else an estimate."""
    return f"{amount:,.0f}" if name == "max_tokens" else f"≈ {amount:,.0f}"


def left_words(parts: Composition) -> str:
    """Return the text about the tokens that are left, or about those that do not fit."""
    if parts.left is None:
        return "The context length of this endpoint is not known: set it in the endpoint's settings."
    source = f"\nContext length: {parts.room:,} tokens, {parts.source}" if parts.source else ""
    if parts.left < 0:
        return f"≈ {-parts.left:,.0f} tokens too many: the server will refuse this{source}"
    return f"≈ {parts.left:,.0f} tokens left{source}"


_MEANINGS = {
    "tools": "the catalogue, sent on every turn",
    "system": "system messages",
    "history": "turns before this one",
    "rest": "this turn's question and all after it",
    "max_tokens": "kept for the answer",
}


class ContextTable(QDialog):
    def __init__(self, parts: Composition, parent: ContextMeter) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setProperty("look", "popup")
        self.setWindowTitle("Context")
        self.setAccessibleName("What the context holds")
        self.setAccessibleDescription(parent.words)
        grid = QGridLayout(self)
        grid.setContentsMargins(GRID * 2, GRID + 4, GRID * 2, GRID + 4)
        grid.setHorizontalSpacing(GRID * 2)
        for row, (name, amount) in enumerate(parts.parts):
            text = amount_words(name, amount) if amount or name != "max_tokens" else "not set"
            for column, (words, tone) in enumerate(((name, ""), (text, ""), (_MEANINGS[name], "muted"))):
                grid.addWidget(_label(words, tone, right=column == 1), row, column)
        last = _label(left_words(parts), "failure" if parts.over else "strong")
        grid.addWidget(last, len(parts.parts), 0, 1, 3)
        limit = f"Input and output together are at most {parts.room:,} tokens. " if parts.room else ""
        note = f"{limit}≈ is this program's estimate."
        grid.addWidget(_label(note, "muted"), len(parts.parts) + 1, 0, 1, 3)


def _label(text: str, tone: str, *, right: bool = False) -> QLabel:
    label = toned(text, tone)
    label.setFont(ui_font(13, tabular=True))
    if right:
        label.setAlignment(Qt.AlignmentFlag.AlignRight)
    return label


HEIGHT_PX = 44
LEAST_PX = 860
COMPACT = range(9)
"""Levels of compactness: 0 all words; 1 "Verify" for "Verify caching"; 2 without Send's keys; 3 fewer words in a
mode's tools, none for Verify; 4 none for the modes, which look the same in all modes if these words fit; 5 none for the
context; 6 names shortened, 7 more so; 8 most of all, an icon for the endpoint, small gaps and the fewest words in a
mode's tools, for text of 200 % in 900 pixels."""
VERIFY = "Verify caching"
_NAME_CHARACTERS, _FEW_CHARACTERS = 40, (14, 10, 6)


class ModeSwitch(Panel):
    """Prompt and the other modes; hidden while there is one mode only."""

    chosen = Signal(str)
    """A mode's id."""

    def __init__(self) -> None:
        super().__init__("modes", "Mode")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        self._row = row_of(on=self, margins=1, spacing=1)
        self._worded: bool | None = None
        """Whether all buttons show their words; None: not all were asked to."""
        self.hide()

    def add_mode(self, mode: str, label: str, icon: str) -> None:
        """Add a mode with the name of its icon; the first one added is current."""
        button = ChoiceButton(label)
        button.setChecked(not self._buttons)
        set_icon(button, icon, "muted" if self._buttons else "accent")
        button.toggled.connect(lambda on, button=button: set_icon(button, icon, "accent" if on else "muted"))
        button.clicked.connect(lambda: self.chosen.emit(mode))
        self._group.addButton(button)
        self._row.addWidget(button)
        self._buttons[mode] = button
        self._worded = None
        self.setVisible(len(self._buttons) > 1)

    def show_mode(self, mode: str) -> None:
        self._buttons[mode].setChecked(True)

    def show_words(self, shown: bool) -> None:
        """Show labels beside the icons, or icons only with the labels as tooltips."""
        if shown == self._worded:
            return
        self._worded = shown
        for mode, button in self._buttons.items():
            label = button.accessibleName() or button.text()
            button.setAccessibleName(label)
            button.setToolTip("" if shown else label)
            set_label(button, label if shown else "")
            button.setProperty("mode", mode)


class ModeTools(QWidget):
    """The controls of a mode, in place of the prompt's."""

    def show_compact(self, level: int) -> None:
        """Show all words (0), fewer (1), or the fewest (2)."""
        raise NotImplementedError


class TopBar(Panel):
    """Emits the user's choices; the window acts on them."""

    send_clicked = Signal()
    endpoint_chosen = Signal(str)
    """An endpoint's id."""

    def __init__(self, action: Callable[[str], QAction], parent: QWidget | None = None) -> None:
        """Build the toolbar. `action` finds an action of the window by its id."""
        super().__init__("bar", parent=parent)
        self.setFixedHeight(HEIGHT_PX)
        self._action = action
        self._running = False
        self._refusal = ""
        self.modes = ModeSwitch()
        self._endpoint = _menu_button("Endpoint: where requests are sent")
        self.file_button = _menu_button("Prompt file")
        set_icon(self.file_button, "file", "text")
        self.new = icon_button("plus", "New prompt")
        self.context = ContextMeter()
        self._send = push_button("", "primary", self.send_clicked)
        self._verify = QPushButton(VERIFY)
        self._fitted_px = 0
        self._names = "", ""
        self._shortcut = ""
        # Else the words would keep the window from becoming narrow.
        self.setMinimumWidth(LEAST_PX)
        self.setProperty("keepsWidth", True)  # larger text takes the place of words
        set_icon(self._verify, "check", "text")
        self._verify.setToolTip("Send the prompt twice; the second shows whether the cache works")
        self._verify.clicked.connect(lambda: action("verify").trigger())
        left: tuple[QWidget, ...] = (self.modes, self._endpoint, self.file_button, self.new)
        right: tuple[QWidget, ...] = (self.context, self._verify, self._send)
        self._row = row_of(*left, STRETCH, *right, on=self, margins=(GRID + 4, 0, GRID + 4, 0), spacing=GRID)
        self._prompt_tools = (self.file_button, self.new, *right)
        self._mode_tools: ModeTools | None = None

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out words in a window too narrow for them."""
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QEvent) -> bool:
        """Follow a control that has become wider or narrower."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest and self._row.sizeHint().width() != self._fitted_px:
            self._fit()
        return done

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Find the lowest level at which the controls fit; before the first show event, only set the words."""
        if not self.isVisible():
            self._show_level(0)
            return
        for level in COMPACT:
            self._show_level(level)
            for part in (self.modes, self._mode_tools):
                if part is not None and (inner := part.layout()) is not None:
                    inner.activate()  # else its size is the one before the change
                    part.updateGeometry()
            self._fitted_px = self._row.sizeHint().width()
            if self._fitted_px <= self.width():
                break
        self._row.activate()  # else one frame has the new words in the old places

    def _show_level(self, level: int) -> None:
        set_label(self._verify, (VERIFY, "Verify", "Verify", "")[min(level, 3)])
        self._verify.setAccessibleName(VERIFY)
        self.modes.show_words(level < 4)
        self.context.show_words(level < 5)
        label = "Stop" if self._running else "Send"
        set_label(self._send, f"{label}  {self._shortcut}" if level < 2 else label)
        if self._mode_tools is not None:
            self._mode_tools.show_compact((level >= 3) + (level >= 8))
        most = _FEW_CHARACTERS[level - 6] if level >= 6 else _NAME_CHARACTERS
        for button, name in zip((self._endpoint, self.file_button), self._names, strict=True):
            set_label(button, shortened_name(name, most))
        if level == COMPACT[-1]:
            set_label(self._endpoint, "")
        self._row.setSpacing(GRID if level < COMPACT[-1] else GRID // 2)
        set_icon(self._endpoint, "bolt" if level == COMPACT[-1] else "", "text")

    def show_tools(self, tools: ModeTools | None, *, prompt: bool) -> None:
        """Display the prompt's controls, or those of another mode in their place."""
        if self._mode_tools is not None:
            self._mode_tools.hide()
        for widget in self._prompt_tools:
            widget.setVisible(prompt)
        self._mode_tools = tools
        if tools is not None:
            self._row.addWidget(tools, 1000)  # takes the room of the stretch before it
            tools.show()
        self._fit()

    def show_endpoints(self, endpoints: Sequence[Endpoint], chosen: Endpoint) -> None:
        """List all endpoints in the menu, with the chosen one's name on the button."""
        menu = QMenu(self._endpoint)
        for endpoint in endpoints:
            choose = partial(self.endpoint_chosen.emit, endpoint.id)
            action = add_choice(menu, endpoint.name, checked=endpoint.id == chosen.id, chosen=choose)
            action.setToolTip(plain_tip(endpoint.name))
        menu.addSeparator()
        menu.addAction(self._action("connect"))
        self._endpoint.setMenu(menu)
        self._names = chosen.name, self._names[1]
        self._fit()
        self._endpoint.setToolTip(
            plain_tip(f"Requests go to {chosen.name} · model {chosen.model} · {chosen.plan.name}")
        )

    def show_file(self, name: str, changed: bool) -> None:
        """Show the prompt's name; a dot marks unsaved changes."""
        shown = f"{name or 'Untitled'}{' •' if changed else ''}"
        if shown != self._names[1]:
            self._names = self._names[0], shown
            self._fit()
        self.file_button.setToolTip("Unsaved changes; a draft is on disk" if changed else name or "Untitled")

    def show_running(self, running: bool, shortcut: str) -> None:
        """Show Send, or Stop while a request runs, in the same place."""
        self._running, self._shortcut = running, shortcut
        self._fit()
        self._send.setAccessibleName("Stop the request" if running else "Send the prompt")
        restyle(self._send, look="stop" if running else "primary")
        self._show_refusal()

    def show_refusal(self, reason: str) -> None:
        """Disable Send with the reason as its tooltip; an empty reason enables it."""
        if reason != self._refusal:
            self._refusal = reason
            self._show_refusal()

    def _show_refusal(self) -> None:
        enabled = self._running or not self._refusal
        self._send.setEnabled(enabled)
        self._send.setToolTip("" if enabled else self._refusal)
        role = "failure" if self._running else "on_accent" if enabled else "muted"
        set_icon(self._send, "stop" if self._running else "play", role)
        self._verify.setEnabled(not self._running and not self._refusal)


def shortened_name(name: str, most: int) -> str:
    """Return a name for a button, at most `most` characters of it."""
    # A & in a button's text would be taken for a mnemonic. The mark of unsaved changes is not cut.
    mark = " •" if name.endswith(" •") else ""
    bare = name.removesuffix(mark)
    shown = (bare if len(bare) <= most else bare[: most - 1] + "…") + mark
    return shown.replace("&", "&&")


def _menu_button(name: str) -> QPushButton:
    return push_button("", "menu", name=name, tip=name)
