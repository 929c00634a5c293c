"""A button that copies one text and says that it did."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPushButton, QWidget


def copy_text(text: str) -> None:
    """Copy the unmodified `text` to the clipboard."""
    QGuiApplication.clipboard().setText(text)


SAYS_COPIED_MS = 1200


class CopyButton(QPushButton):
    """ "copy", then "copied" for a moment. Disabled while there is nothing to copy."""

    def __init__(self, what: str, parent: QWidget | None = None) -> None:
        """`what` names the text for screen readers."""
        super().__init__("copy", parent)
        self._text = ""
        self._what = what
        self.setProperty("look", "link")
        self.setToolTip(f"Copy {what}")
        self.setAccessibleName(f"Copy {what}")
        self.setEnabled(False)
        self._back = QTimer(self)
        self._back.setSingleShot(True)
        self._back.setInterval(SAYS_COPIED_MS)
        self._back.timeout.connect(lambda: self.setText("copy"))
        self.clicked.connect(self._copy)

    @property
    def text_to_copy(self) -> str:
        """What a click puts on the clipboard."""
        return self._text

    def set_text_to_copy(self, text: str) -> None:
        """Empty: there is nothing to copy."""
        if text != self._text:
            self._text = text
            self.setEnabled(bool(text))
            self.setText("copy")

    def _copy(self) -> None:
        copy_text(self._text)
        self.setText("copied")
        self._back.start()
