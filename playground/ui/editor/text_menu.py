"""The menu of a card's text: what one does with text, then what one does with its message."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu, QWidget

from playground.ui.editor.exact_edit import ExactEdit

_Key = QKeySequence.StandardKey


def text_menu(text: ExactEdit, card_actions: Sequence[QAction], parent: QWidget) -> QMenu:
    """A menu for `text` as it is now; undo and redo are asked of the prompt."""
    menu = QMenu(parent)
    selected = text.textCursor().hasSelection()
    entries: tuple[tuple[str, _Key, Callable[[], object], bool], ...] = (
        ("Undo", _Key.Undo, text.undo_requested.emit, True),
        ("Redo", _Key.Redo, text.redo_requested.emit, True),
        ("Cut", _Key.Cut, text.cut, selected),
        ("Copy", _Key.Copy, text.copy, selected),
        ("Paste", _Key.Paste, text.paste, text.canPaste()),
        ("Select all", _Key.SelectAll, text.selectAll, bool(text.exact.text)),
    )
    for words, key, act, possible in entries:
        # The key is shown, not bound: the text has it already.
        shown = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
        action = menu.addAction(f"{words}\t{shown}")
        action.setEnabled(possible)
        action.triggered.connect(lambda _checked=False, act=act: act())
        if words in ("Redo", "Paste"):
            menu.addSeparator()
    menu.addSeparator()
    menu.addActions(list(card_actions))
    return menu
