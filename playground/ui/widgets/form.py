"""Fields, and a form that shows validation errors at its fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import (
    QColor,
    QInputMethodEvent,
    QPaintEvent,
    QTextBlock,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextLayout,
    QTextOption,
    QValidator,
)
from PySide6.QtWidgets import QFrame, QLabel, QLineEdit, QPlainTextEdit, QTextEdit, QVBoxLayout, QWidget

from playground.prompt.field_errors import InputError
from playground.ui.theme import GRID, mono_font, restyle
from playground.ui.widgets.labels import show_or_hide, toned
from playground.ui.widgets.layouts import column_of

if TYPE_CHECKING:
    from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QListWidget, QProgressBar, QSpinBox

# Classes that the first frame does not need are imported in the functions: PySide builds each with its enums.

Box = TypeVar("Box", "QSpinBox", "QDoubleSpinBox")


class _NoGroups(QValidator):
    """The box's own validation, without the group separators that Qt would remove silently."""

    def __init__(self, box: QSpinBox | QDoubleSpinBox) -> None:
        super().__init__(box)
        self._box = box

    def validate(self, text: str, place: int) -> object:
        return QValidator.State.Invalid if "," in text else self._box.validate(text, place)

    def fixup(self, text: str) -> str:
        return self._box.fixup(text)


def padded(box: Box) -> Box:
    """Return the box, with its figure as far from the edge as in any other field.

    It takes no group separators: `0,7` in a box for whole numbers must not be displayed while another value is used.
    """
    box.lineEdit().setValidator(_NoGroups(box))
    box.lineEdit().setTextMargins(GRID - 2, 0, 0, 0)
    return box


def spin_box(
    low: int, high: int, value: int, name: str = "", *, suffix: str = "", zero: str = "", whole: bool = False
) -> QSpinBox:
    """Return a padded box for a whole number from `low` to `high`; `name` is its accessible name.

    `zero`: what stands for 0. `whole`: a typed number counts when it is complete, else 300 is 3, then 30, on its way.
    """
    from PySide6.QtWidgets import QSpinBox

    box = padded(QSpinBox())
    box.setRange(low, high)
    box.setSuffix(suffix)
    box.setSpecialValueText(zero)
    box.setKeyboardTracking(not whole)
    box.setValue(value)
    box.setAccessibleName(name)
    return box


def line_edit(name: str, placeholder: str = "", text: str = "") -> QLineEdit:
    """Return a field for one line; `name` is its accessible name."""
    line = QLineEdit(text)
    line.setAccessibleName(name)
    line.setPlaceholderText(placeholder)
    return line


def combo_box(name: str, items: Sequence[str] = ()) -> QComboBox:
    """Return a list to choose from; `name` is its accessible name."""
    from PySide6.QtWidgets import QComboBox

    box = QComboBox()
    box.setAccessibleName(name)
    box.addItems(items)
    return box


def list_box(name: str, items: Sequence[str] = (), *, wraps: bool = False) -> QListWidget:
    """Return a list of rows; `name` is its accessible name. `wraps`: long rows wrap instead of scrolling sideways."""
    from PySide6.QtWidgets import QListWidget

    rows = QListWidget()
    rows.setAccessibleName(name)
    rows.addItems(items)
    if wraps:
        rows.setWordWrap(True)
        rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return rows


def aligned(block: QTextBlock) -> QTextLayout:
    """Return the layout of a paragraph, at the right if its first letter is from right to left.

    QPlainTextEdit leaves it at the left, and forgets the alignment when it lays the block out again.
    """
    layout = block.layout()
    if block.textDirection() == Qt.LayoutDirection.RightToLeft:
        option = layout.textOption()
        option.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignAbsolute)
        layout.setTextOption(option)
    return layout


class DirectedEdit(QPlainTextEdit):
    """Aligns each paragraph by its own direction."""

    def paintEvent(self, event: QPaintEvent) -> None:
        block, top = self.firstVisibleBlock(), self.contentOffset().y()
        while block.isValid() and top <= event.rect().bottom():
            top += self.blockBoundingRect(block).height()
            aligned(block)
            block = block.next()
        super().paintEvent(event)


class ReadOnlyText(DirectedEdit):
    """A text to read, to select from and to copy. Text can be appended while the user reads it."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setUndoRedoEnabled(False)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.setAccessibleName(name)
        self.setFont(mono_font())
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.document().setDocumentMargin(GRID * 2)

    @contextmanager
    def appending(self) -> Iterator[QTextCursor]:
        """Give a cursor at the end. Afterwards caret, selection and place of the view are as before."""
        mine = self.textCursor()
        anchor, position = mine.anchor(), mine.position()
        cursor = cursor_over(self.document(), self.document().characterCount() - 1)
        cursor.beginEditBlock()
        yield cursor
        cursor.endEditBlock()
        # Qt has moved a caret that was at the end along with the text.
        if (self.textCursor().anchor(), self.textCursor().position()) != (anchor, position):
            place = self.verticalScrollBar().value()
            self.setTextCursor(cursor_over(self.document(), anchor, position))
            self.verticalScrollBar().setValue(place)


def cursor_over(document: QTextDocument, start: int, end: int | None = None) -> QTextCursor:
    """Return a cursor that selects from one position of a document to another; None: at the first."""
    cursor = QTextCursor(document)
    cursor.setPosition(start)
    if end is not None:
        cursor.setPosition(end, QTextCursor.MoveMode.KeepAnchor)
    return cursor


def marked(
    cursor: QTextCursor, *, ink: QColor | None = None, wave: QColor | None = None, ground: QColor | None = None
) -> QTextEdit.ExtraSelection:
    """Return a mark over the selection of a cursor: the color of the text, of a wave under it, and of its ground."""
    mark, look = QTextEdit.ExtraSelection(), QTextCharFormat()
    if ink is not None:
        look.setForeground(ink)
    if wave is not None:
        look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.WaveUnderline)
        look.setUnderlineColor(wave)
    if ground is not None:
        look.setBackground(ground)
    mark.cursor, mark.format = cursor, look
    return mark


class PlainEdit(DirectedEdit):
    """Hides its placeholder during a composition: Qt 6.11 paints it below the text of the input method."""

    _hidden = ""

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        super().inputMethodEvent(event)
        composing = bool(self.document().firstBlock().layout().preeditAreaText())
        if composing and self.placeholderText():
            self._hidden = self.placeholderText()
            super().setPlaceholderText("")
        elif not composing and self._hidden:
            self.setPlaceholderText(self._hidden)

    def setPlaceholderText(self, text: str) -> None:
        self._hidden = ""
        super().setPlaceholderText(text)


def progress_bar(name: str) -> QProgressBar:
    """Return a bar without a text; `name` is its accessible name."""
    from PySide6.QtWidgets import QProgressBar

    bar = QProgressBar()
    bar.setTextVisible(False)
    bar.setAccessibleName(name)
    return bar


class Form(QWidget):
    """Labelled fields, each with an error line."""

    def __init__(self) -> None:
        from PySide6.QtWidgets import QFormLayout

        super().__init__()
        self._fields: dict[str, tuple[QWidget, QLabel]] = {}
        self._last: QVBoxLayout | None = None
        self.general = _wrong_label()
        self._rows = QFormLayout()
        self._rows.setHorizontalSpacing(GRID * 2)
        self._rows.setVerticalSpacing(GRID)
        self._rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column_of(self._rows, self.general, on=self, margins=0)

    def add(self, name: str, label: str, field: QWidget) -> None:
        """Add a field under the name that problems name it by."""
        from PySide6.QtWidgets import QCheckBox, QComboBox, QSpinBox

        field.setAccessibleName(label)
        for box in (field, *field.findChildren(QWidget)):
            if isinstance(box, QComboBox | QSpinBox):
                box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                box.installEventFilter(self)
            if isinstance(box, QSpinBox):
                # The style sheet's padding does not reach the line inside a spin box without buttons.
                box.lineEdit().setTextMargins(GRID - 2, 0, 0, 0)
        if isinstance(field, QCheckBox):
            field.setMinimumHeight(28)  # as high as other fields: labels are centred beside them
        wrong = _wrong_label()
        holder = QWidget()
        column = column_of(field, wrong, on=holder, margins=0, spacing=2)
        self._rows.addRow(label, holder)
        self._fields[name] = (field, wrong)
        self._last = column

    def add_words(self, label: QWidget) -> None:
        """Add a description under the previous field, with the same visibility."""
        assert self._last is not None, "words belong to a field"
        self._last.addWidget(label)

    def set_shown(self, name: str, shown: bool) -> None:
        holder = self._fields[name][0].parentWidget()
        if holder is not None:
            self._rows.setRowVisible(holder, shown)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ignore the wheel, so that scrolling the form changes no value that it passes over."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    def show_errors(self, bad: InputError | None) -> None:
        """Show each error at its field (at the end without one); None clears all errors."""
        for field, wrong in self._fields.values():
            mark_field(field, wrong, "")
        self.general.hide()
        for problem in bad.problems if bad is not None else ():
            name = ".".join(str(step) for step in problem.path)
            words = f"{problem.message} {problem.hint}".strip()
            if name in self._fields:
                field, wrong = self._fields[name]
                mark_field(field, wrong, words[:1].upper() + words[1:])
                field.setFocus()
            else:
                self.general.setText(words[:1].upper() + words[1:])
                self.general.show()

    def sentence(self, name: str) -> str:
        """Return the error shown at a field; "" without one."""
        wrong = self._fields[name][1]
        return wrong.text() if not wrong.isHidden() else ""


def _wrong_label() -> QLabel:
    label = toned("", "failure", wraps=True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.hide()
    return label


def mark_field(field: QWidget, wrong: QLabel, words: str) -> None:
    """Mark a field as invalid, and show why in a label; an empty text removes both."""
    show_or_hide(wrong, words)
    field.setAccessibleDescription(words)
    restyle(field, bad=bool(words))
