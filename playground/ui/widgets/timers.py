"""Timers that call a handler."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer


def single_timer(owner: QObject, interval_ms: int, handler: Callable[[], object]) -> QTimer:
    """Return a timer that calls `handler` once after each start; another start begins the interval again."""
    timer = repeating_timer(owner, interval_ms, handler)
    timer.setSingleShot(True)
    return timer


def repeating_timer(owner: QObject, interval_ms: int, handler: Callable[[], object]) -> QTimer:
    """Return a timer that calls `handler` at each interval while it runs."""
    timer = QTimer(owner)
    timer.setInterval(interval_ms)
    timer.timeout.connect(handler)
    return timer
