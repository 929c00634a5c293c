"""Labels of one line: texts that are shortened to the room they have, ids that are never shortened; small buttons."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Sequence
from functools import cache
from weakref import WeakSet

from PySide6.QtCore import QEvent, QMimeData, QRect, QSize, Qt, SignalInstance
from PySide6.QtGui import (
    QAction,
    QFont,
    QFontMetrics,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from playground.export.terminal import visible_line
from playground.ui.theme import GRID, current_theme, mono_font, zoom_factor
from playground.ui.widgets.icons import set_icon
from playground.ui.widgets.layouts import row_of, single_timer
from playground.ui.widgets.plain_table import plain_tip


def copy_text(text: str) -> None:
    """Copy the unmodified `text` to the clipboard."""
    QGuiApplication.clipboard().setText(text)


_MADE: WeakSet[QMimeData] = WeakSet()


def text_data(text: str) -> QMimeData:
    _release_at_exit()
    data = QMimeData()
    data.setText(text)
    _MADE.add(data)
    return data


@cache
def _release_at_exit() -> None:
    atexit.register(release_clipboard)


def release_clipboard() -> None:
    """Replace data that Python made by a copy of Qt's own.

    A platform without a clipboard keeps it in a static variable: deleted after the interpreter, it ends in a crash.
    """
    if QGuiApplication.instance() is not None and QGuiApplication.clipboard().mimeData() in _MADE:
        copy_text(QGuiApplication.clipboard().text())


def toned(text: str, tone: str, *, wraps: bool = False) -> QLabel:
    label = QLabel(text)
    label.setProperty("tone", tone)
    if wraps:
        label.setWordWrap(True)
    return label


def show_or_hide(label: QLabel, text: str) -> None:
    """Show a text in a label, or hide the label if there is none."""
    label.setText(text)
    label.setVisible(bool(text))


def push_button(
    text: str,
    look: str = "",
    clicked: Callable[..., object] | SignalInstance | None = None,
    *,
    icon: tuple[str, str] | None = None,
    name: str = "",
    tip: str = "",
) -> QPushButton:
    """Return a button in a look of the style sheet.

    `icon`: its name and the role of its color. `name`: the accessible name.
    """
    button = QPushButton(text)
    if look:
        button.setProperty("look", look)
    if clicked is not None:
        button.clicked.connect(clicked)
    if icon is not None:
        set_icon(button, *icon)
    button.setAccessibleName(name)
    button.setToolTip(tip)
    return button


def passing_menu(parent: QWidget, title: str = "") -> QMenu:
    """Return a menu that is deleted when it closes."""
    menu = QMenu(title, parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    return menu


def add_choice(menu: QMenu, label: str, *, checked: bool, chosen: Callable[[], object]) -> QAction:
    """Add a checkable entry to a menu and return it; `chosen` is called when it is triggered."""
    action = menu.addAction(label)
    action.setCheckable(True)
    action.setChecked(checked)
    action.triggered.connect(lambda _checked: chosen())
    return action


def keyed_actions(
    owner: QWidget, table: Sequence[tuple[str, str, str]], act: Callable[[str], object]
) -> dict[str, QAction]:
    """Return an action by name for each (name, label, key); it calls `act` with the name. The keys work in `owner`."""
    actions = {}
    for name, label, key in table:
        actions[name] = action = QAction(label, owner)
        action.setShortcut(QKeySequence(key))
        action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        action.triggered.connect(lambda _checked, name=name: act(name))
        owner.addAction(action)
    return actions


class ChoiceButton(QPushButton):
    """One of several choices side by side. Its label has room in the weight that it has while it is checked."""

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.setProperty("look", "mode")
        self.setCheckable(True)

    def sizeHint(self) -> QSize:
        size, strong = super().sizeHint(), QFont(self.font())
        strong.setWeight(QFont.Weight.DemiBold)
        label, metrics = self.text(), QFontMetrics(strong)
        size.setWidth(size.width() + metrics.horizontalAdvance(label) - self.fontMetrics().horizontalAdvance(label))
        return size


SAYS_COPIED_MS = 1200


class CopyButton(QPushButton):
    """Label "Copy", for a moment "Copied". Disabled while there is nothing to copy."""

    def __init__(self, what: str) -> None:
        """Build the label. `what` names the text for screen readers."""
        super().__init__("Copy")
        self.text_to_copy = ""
        self._what = what
        self.setProperty("look", "link")
        self.setToolTip(f"Copy {what}")
        self.setAccessibleName(f"Copy {what}")
        self.setEnabled(False)
        self._back = single_timer(self, SAYS_COPIED_MS, lambda: self.setText("Copy"))
        self.clicked.connect(self._copy)

    def set_text_to_copy(self, text: str) -> None:
        """Empty: there is nothing to copy."""
        if text != self.text_to_copy:
            self.text_to_copy = text
            self.setEnabled(bool(text))
            self.setText("Copy")

    def _copy(self) -> None:
        copy_text(self.text_to_copy)
        self.setText("Copied")
        self._back.start()


SIZES_PX = (12, 11, 10)
_FLAGS = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


class IdLabel(QWidget):
    """Shows an id whole, with control characters as escapes. Ctrl+C copies the exact id."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name, self._id, self.displayed = name, "", ""
        self._fits: dict[tuple[int, float], tuple[QFont, str, int]] = {}
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setAccessibleName(name)

    @property
    def whole(self) -> bool:
        font, _, needed = self._fitted(self.width())
        return needed <= max(self.height(), QFontMetrics(font).height())

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that are drawn, unless a part that no hyphen ends is wider than the widget."""
        return tuple(self._fitted(self.width())[1].split("\n"))

    def show_id(self, text: str, reason: str = "") -> None:
        """Show an id; `reason` explains a missing one."""
        if text == self._id and reason == self.accessibleDescription():
            return
        self._id, self.displayed = text, visible_line(text)
        self._fits.clear()
        self.setAccessibleName(f"{self._name}: {self.displayed or 'unknown'}")
        self.setAccessibleDescription(reason)
        self.setToolTip(plain_tip(reason or self.displayed))
        self.updateGeometry()
        self.update()

    def _fitted(self, width: int) -> tuple[QFont, str, int]:
        """Return the font and the text for a width, and their height: one line, or two of about the same length that a
        hyphen ends."""
        place = width, zoom_factor()
        if place not in self._fits:  # a layout asks for a few widths, each of them dozens of times
            font, text = self._fit(width)
            room = QRect(0, 0, max(width, 1), 10_000)
            needed = QFontMetrics(font).boundingRect(room, int(Qt.TextFlag.TextWrapAnywhere), text or "—")
            self._fits[place] = font, text, needed.height()
        return self._fits[place]

    def _fit(self, width: int) -> tuple[QFont, str]:
        text = self.displayed
        for px in SIZES_PX:
            font = mono_font(px)
            if QFontMetrics(font).horizontalAdvance(text) <= width:
                return font, text
        hyphens = [at + 1 for at, character in enumerate(text) if character == "-"]
        middle = min(hyphens, key=lambda at: abs(2 * at - len(text)), default=0)
        halves = text[:middle], text[middle:]
        for px in SIZES_PX:
            font = mono_font(px)
            if middle and max(map(QFontMetrics(font).horizontalAdvance, halves)) <= width:
                return font, "\n".join(halves)
        return font, text

    def heightForWidth(self, width: int) -> int:
        return self._fitted(width)[2] + 4

    def sizeHint(self) -> QSize:
        metrics = QFontMetrics(mono_font(SIZES_PX[0]))
        return QSize(metrics.horizontalAdvance(self.displayed), metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the height of the lines at the present width: a full column does not ask for it."""
        one_line = QFontMetrics(mono_font(SIZES_PX[0])).height() + 4
        return QSize(80, max(self.heightForWidth(self.width()), one_line) if self.isVisible() else one_line)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.updateGeometry()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self.updateGeometry()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter, theme = QPainter(self), current_theme()
        font, text, _ = self._fitted(self.width())
        painter.setFont(font)
        painter.setPen(theme.text if self._id else theme.muted)
        painter.drawText(self.rect(), int(_FLAGS) | int(Qt.TextFlag.TextWrapAnywhere), text or "—")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            copy_text(self._id)
        else:
            super().keyPressEvent(event)


class IdRow(QWidget):
    """An id, whole, and a button that copies it."""

    def __init__(self, what: str) -> None:
        """Build both. `what` names the id for screen readers."""
        super().__init__()
        self.id, self.copy = IdLabel(what), CopyButton(what)
        row_of((self.id, 1), self.copy, on=self, margins=0, spacing=GRID)

    def show_id(self, text: str, reason: str = "") -> None:
        """Show an id; `reason` explains a missing one."""
        self.id.show_id(text, reason)
        self.copy.set_text_to_copy(text)


class ElidedLabel(QLabel):
    """Shows `full_text`, elided, with control characters as escapes. The tooltip and Ctrl+C have the whole text."""

    def __init__(
        self, name: str, tone: str = "", *, middle: bool = False, focus: bool = True, parent: QWidget | None = None
    ) -> None:
        """`middle`: elided in the middle, else at the end. `focus`: whether the keyboard can reach it."""
        super().__init__(parent)
        self._name = name
        self._elide = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
        if tone:
            self.setProperty("tone", tone)
        self._full = self._displayed = self._short = ""
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if focus else Qt.FocusPolicy.NoFocus)
        self.setEnabled(False)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)

    @property
    def full_text(self) -> str:
        return self._full

    def set_full_text(self, text: str, why: str = "", short: str = "") -> None:
        """Show `text`, or `short` where there is no room for it.

        `why` is added to the tooltip and read out, for a figure that is not known.
        """
        if self._short != visible_line(short):
            self._short = visible_line(short)
            self.update()
        if text == self._full and why == self.accessibleDescription():
            return
        self._full = text
        self._displayed = visible_line(text)
        self.setText(self._displayed)
        self.setEnabled(bool(text))  # the keyboard does not stop at an empty one
        self.setToolTip(plain_tip(why or f"{self._name}: {self._displayed}"))
        self.setAccessibleName(f"{self._name}: {self._displayed}")
        self.setAccessibleDescription(why)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance("…") * 4, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        room, metrics = self.contentsRect(), self.fontMetrics()
        fits = not self._short or metrics.horizontalAdvance(self._displayed) <= room.width()
        shown = metrics.elidedText(self._displayed if fits else self._short, self._elide, room.width())
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, int(self.alignment()), shown)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            copy_text(self._full)
        else:
            super().keyPressEvent(event)
