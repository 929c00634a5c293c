"""The real window on a temporary folder and a real simulator, driven on the one loop that it runs on in the program."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from playground.cli.selftest import UiDriver
from playground.ui.session import Session, make_runner
from playground.ui.theme import BASE_PX, PROMPT_PX, ZOOM, apply_theme, load_theme
from tests.conftest import FAST, PATIENCE_S, Entered


@pytest.fixture(autouse=True)
def garbage_is_collected_here() -> Iterator[None]:
    """Widgets in cycles are destroyed in this thread, as in the program, never in a worker's that allocates."""
    gc.disable()
    yield
    gc.collect(1)


@pytest.fixture(scope="session", autouse=True)
def waits_have_time() -> Iterator[None]:
    """Wait longer for a widget than pytest-qt does by default."""
    with pytest.MonkeyPatch.context() as patch:
        for wait in (QtBot.waitUntil, QtBot.waitSignal, QtBot.waitExposed):
            assert wait.__kwdefaults__ is not None
            patch.setitem(wait.__kwdefaults__, "timeout", int(PATIENCE_S * 1_000))
        yield


Story = Callable[[Session, UiDriver], Coroutine[Any, Any, None]]
Tell = Callable[[Story], None]


@pytest.fixture(scope="session", autouse=True)
def last_closed_window_does_not_quit(qapp: QApplication) -> None:
    """Loops go on when the last window is closed, as the program's does."""
    qapp.setQuitOnLastWindowClosed(False)


_USUAL_SIZES = ((None, None), (1.0, BASE_PX))
"""Zoom and size of prompts, before the first window and after one."""


@pytest.fixture(autouse=True)
def later_tests_have_the_default_size(qapp: QApplication) -> Iterator[None]:
    """The size of text is a property of the application, which all tests of a process share."""
    yield
    if (qapp.property(ZOOM), qapp.property(PROMPT_PX)) not in _USUAL_SIZES:
        for name in (ZOOM, PROMPT_PX):
            qapp.setProperty(name, None)
        apply_theme(qapp, load_theme("light"))


@pytest.fixture
def runner(qapp: QApplication) -> Iterator[asyncio.Runner]:
    """One loop for Qt and asyncio."""
    with make_runner(qapp) as found:
        yield found


@pytest.fixture
def simulator_options() -> tuple[str, ...]:
    """The options of each window's simulator: fast and without limits."""
    return FAST


@asynccontextmanager
async def _opened(qapp: QApplication, folder: Path, simulator_options: tuple[str, ...]) -> AsyncIterator[Session]:
    (folder / "data").mkdir(exist_ok=True)
    opened = Session(qapp, folder / "data", {}, simulator_options=simulator_options)
    try:
        opened.show()
        await UiDriver(opened.window, None).until(opened.ready.is_set, "log and simulator ready")
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def session(
    runner: asyncio.Runner, qapp: QApplication, tmp_path: Path, simulator_options: tuple[str, ...]
) -> Entered[Session]:
    """A window, for an async test."""
    return Entered(_opened(qapp, tmp_path, simulator_options))


@pytest.fixture
def hand(session: Entered[Session]) -> Entered[UiDriver]:
    """What works in the window of the test."""

    @asynccontextmanager
    async def driver() -> AsyncIterator[UiDriver]:
        yield UiDriver(session.value.window, None)

    return Entered(driver())


@pytest.fixture
def tell(runner: asyncio.Runner, qapp: QApplication, tmp_path: Path, simulator_options: tuple[str, ...]) -> Tell:
    """Opens a window, lets a story happen in it, and closes it; the data folder is the same for all of a test."""

    async def told(story: Story) -> None:
        async with _opened(qapp, tmp_path, simulator_options) as opened:
            await story(opened, UiDriver(opened.window, None))

    return lambda story: runner.run(told(story))
