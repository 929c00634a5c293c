"""The real window on a temporary folder and a real simulator, driven on the one loop that it runs on in the program."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from playground.cli import selftest
from playground.cli.selftest import UiDriver
from playground.ui.session import Session, make_runner


@pytest.fixture(autouse=True)
def garbage_is_collected_here() -> Iterator[None]:
    """Widgets in cycles are destroyed in this thread, as in the program, never in a worker's that allocates."""
    gc.disable()
    yield
    gc.collect(1)


PATIENCE_S = 120.0
"""A step that has not happened by then has failed; 20 s are too few on a machine with a load of 18."""


@pytest.fixture(scope="session", autouse=True)
def steps_have_time() -> Iterator[None]:
    """Wait longer for steps than the self-test does in front of a user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftest, "PATIENCE_S", PATIENCE_S)
        yield


FAST = ("--ttft-ms", "5", "--token-ms", "1", "--plan", "none")
Story = Callable[[Session, UiDriver], Coroutine[Any, Any, None]]


@pytest.fixture(scope="session", autouse=True)
def last_closed_window_does_not_quit(qapp: QApplication) -> None:
    """Loops go on when the last window is closed, as the program's does."""
    qapp.setQuitOnLastWindowClosed(False)


@pytest.fixture
def runner(qapp: QApplication) -> Iterator[asyncio.Runner]:
    """One loop for Qt and asyncio."""
    with make_runner(qapp) as found:
        yield found


@pytest.fixture
def simulator_options() -> tuple[str, ...]:
    """The options of each window's simulator: fast and without limits."""
    return FAST


@pytest.fixture
def tell(
    runner: asyncio.Runner, qapp: QApplication, tmp_path: Path, simulator_options: tuple[str, ...]
) -> Callable[[Story], None]:
    """Opens a window, lets a story happen in it, and closes it; the data folder is the same for all of a test."""

    async def session(story: Story) -> None:
        opened = Session(qapp, tmp_path / "data", {}, simulator_options=simulator_options)
        hand = UiDriver(opened.window, None)
        try:
            opened.show()
            await hand.until(opened.ready.is_set, "log and simulator ready")
            await story(opened, hand)
        finally:
            await opened.close()

    def run(story: Story) -> None:
        (tmp_path / "data").mkdir(exist_ok=True)
        runner.run(session(story))

    return run
