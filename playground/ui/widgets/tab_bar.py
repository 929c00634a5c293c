"""The row of plain words over a pane, an underline under the chosen one."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTabBar


def tab_bar(name: str, titles: Sequence[str]) -> QTabBar:
    """A tab bar; `name` is for those who cannot see what it stands over."""
    bar = QTabBar()
    bar.setAccessibleName(name)
    bar.setDrawBase(False)
    bar.setExpanding(False)
    bar.setElideMode(Qt.TextElideMode.ElideNone)
    for title in titles:
        bar.addTab(title)
    return bar


def counted(title: str, count: int) -> str:
    """A title with how many there are, where there are any."""
    return f"{title} {count:,}" if count else title
