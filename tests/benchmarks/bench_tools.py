"""64 tools in the catalogue: shown, moved, opened, and a key typed in a form, each against a frame of 16.7 ms.

Run: QT_QPA_PLATFORM=offscreen python -m tests.benchmarks.bench_tools
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from playground.prompt.document import Document, Message, Tool
from playground.tools.import_definitions import unique_names
from playground.tools.schema import preload
from playground.ui.panes.prompt.pane import TOOLS, PromptPane
from playground.ui.panes.prompt.tools_json import templates
from playground.ui.theme import apply_theme, load_theme

FRAME_MS = 16.7
KEYS = "abcdefghijklmnopqrst"


def catalogue(count: int) -> tuple[Tool, ...]:
    """The templates again and again, each under a name of its own."""
    found: tuple[Tool, ...] = ()
    while len(found) < count:
        found = (*found, *unique_names((templates()[len(found) % len(templates())][1],), found))
    return found


def timed(application: QApplication, what: str, do: Callable[[], object]) -> float:
    """Return the milliseconds of CPU time until it is done and painted."""
    started = time.process_time()
    do()
    application.processEvents()
    ms = (time.process_time() - started) * 1000
    if what:
        print(f"{what}: {ms:.1f} ms, {ms / FRAME_MS:.2f} frames")
    return ms


def main() -> None:
    """Print each figure with its ratio to a frame."""
    application = QApplication([])
    preload()  # as the program does in a worker after the first paint
    theme = load_theme("light")
    apply_theme(application, theme)
    pane = PromptPane()
    pane.resize(560, 640)
    pane.tabs.setCurrentIndex(TOOLS)
    pane.show()
    application.processEvents()
    tab = pane.tools_tab
    document = Document(tools=catalogue(64), messages=(Message("user", "Hello"),))
    timed(application, "64 tools shown", lambda: pane.set_document(document))
    timed(application, "the last moved to the top", lambda: tab.move_tool(63, 0))
    timed(application, "one opened", lambda: tab.go_to(30))
    form = tab.cards[30].form
    assert form is not None
    name = form.name
    typed = sorted(timed(application, "", partial(QTest.keyClicks, name, key)) for key in KEYS)
    print(f"a key in a form, median {typed[len(typed) // 2]:.1f} ms, longest {typed[-1]:.1f} ms")


if __name__ == "__main__":
    main()
