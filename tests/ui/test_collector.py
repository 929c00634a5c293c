"""Garbage is collected in the window's thread only."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from playground.ui.session import Collector


class _Knot:
    """Part of a cycle with itself."""

    def __init__(self) -> None:
        self.itself = self


def _allocate() -> None:
    for _ in range(50_000):
        _Knot()


def test_a_thread_that_allocates_collects_nothing(qapp: QApplication, qtbot: QtBot) -> None:
    where: list[int] = []
    collector = Collector()
    collector.start()
    knot = _Knot()
    weakref.finalize(knot, lambda: where.append(threading.get_ident()))
    del knot
    worker = threading.Thread(target=_allocate)
    worker.start()
    worker.join()
    assert where == []
    qtbot.waitUntil(lambda: bool(where))
    assert where == [threading.get_ident()]
    collector.stop()
    assert gc.isenabled()
