"""`electron-playground self-test`: the real window on the simulator and a temporary folder, doing the main job."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QPushButton, QTableView, QWidget

from playground.cli import BAD_INPUT, FAILED, FINISHED
from playground.prompt.field_errors import InputError
from playground.runs.service import PendingRequest
from playground.runs.state import RunState
from playground.ui.session import Session
from playground.ui.startup_checks import (
    LIBRARIES,
    display_reachable,
    missing_libraries,
    missing_sentence,
    skip_unused_imports,
)

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication


PATIENCE_S = 120.0
"""Longest wait for a step: a test machine may run dozens of programs at once."""
LOOK_S = 0.01
"""Seconds between two looks at a condition."""


class StepFailed(Exception):  # noqa: N818 - what a step reports
    """An expected state did not occur; the message describes the actual one."""


def expect(seen: bool, words: str) -> None:
    """Raise StepFailed with `words` unless the condition holds."""
    if not seen:
        raise StepFailed(words)


class UiDriver:
    """Drives one window."""

    def __init__(self, window: QWidget, screenshots: Path | None) -> None:
        self._window, self._screenshots = window, screenshots

    async def until(self, seen: Callable[[], bool], what: str) -> None:
        """Poll until a condition holds. Raises StepFailed after PATIENCE_S seconds."""
        deadline = time.monotonic() + PATIENCE_S
        while not seen():
            expect(time.monotonic() < deadline, f"not seen within {PATIENCE_S:.0f} s: {what}")
            await asyncio.sleep(LOOK_S)

    async def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key in the focused widget."""
        QTest.keyClick(self._window.focusWidget() or self._window, key, modifiers)
        await asyncio.sleep(0)

    async def type(self, text: str) -> None:
        """Type a text into the focused widget."""
        focus = self._window.focusWidget()
        expect(focus is not None, "nothing in the window takes keys")
        QTest.keyClicks(focus, text)
        await asyncio.sleep(0)

    async def shoot(self, name: str) -> None:
        """Save a picture of the window."""
        # The log's rows follow at most four times a second.
        await asyncio.sleep(0.4)
        if self._screenshots is not None:
            path = self._screenshots / f"{name}.png"
            expect(self._window.grab().save(str(path)), f"{path} cannot be written")


DATE = "2026-11-23 "
MANY = 800
"""Minimum number of tokens in the sample's stable prefix."""
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


class StepOutcome(Struct, frozen=True):
    name: str
    passed: bool
    saw: str


class Steps:
    """Steps 2 to 7 of the main job, in order; later steps also run after a failed one."""

    def __init__(self, session: Session, screenshots: Path | None) -> None:
        self._session, self._window = session, session.window
        self._driver = UiDriver(session.window, screenshots)
        self._sent: list[str] = []

    async def run(self) -> list[StepOutcome]:
        steps: tuple[tuple[str, str, Callable[[], Awaitable[str]]], ...] = (
            ("zones of the sample prompt", "2-zones", self._zones),
            ("send and watch it stream", "3-sent", self._send_first),
            ("send again: served from the cache", "4-cached", self._send_again),
            ("a date at the front ends the prefix", "5-date", self._date_in_front),
            ("stop halfway", "6-stopped", self._stop),
            ("find it in the request log", "7-log", self._find),
        )
        outcomes = []
        for name, picture, step in steps:
            try:
                outcome = StepOutcome(name, True, await step())
            except StepFailed as failed:
                outcome = StepOutcome(name, False, str(failed))
            await self._driver.shoot(picture)
            outcomes.append(outcome)
        return outcomes

    async def _zones(self) -> str:
        await self._driver.until(self._session.ready.is_set, "log and simulator ready")
        zones = self._window.requests.refresh_forecast().zones
        expect(zones.stable_tokens >= MANY, f"only ≈ {zones.stable_tokens:.0f} stable tokens")
        expect(zones.boundary.name == "caller_name", f"the boundary is at {zones.boundary.cause}")
        expect(self._window.simulated.isVisible(), "no bar says that replies are simulated")
        return f"≈ {zones.stable_tokens:,.0f} stable tokens; {zones.boundary.cause}"

    async def _send(self) -> PendingRequest:
        """Press Ctrl+Enter and wait until the request_id is visible."""
        before = self._window.requests.current
        await self._driver.press(Qt.Key.Key_Return, CONTROL)
        await self._driver.until(lambda: self._window.requests.current is not before, "a request on its way")
        dispatch = self._window.requests.current
        assert dispatch is not None
        state = dispatch.run.state
        shown = self._window.inspector.id.id
        await self._driver.until(lambda: bool(state.request_id) and shown.displayed == state.request_id, "its id")
        expect(state.first_token_at is None or bool(state.request_id), "text came before the request_id")
        self._sent.append(str(state.request_id))
        return dispatch

    async def _finish(self, dispatch: PendingRequest) -> RunState:
        state = dispatch.run.state
        await self._driver.until(lambda: not self._window.requests.running, "the end of the request")
        expect(state.phase == "done", f"the request ended as {state.phase}")
        return state

    async def _send_first(self) -> str:
        self._window.prompt.focus_editor()
        dispatch = await self._send()
        state = dispatch.run.state
        await self._driver.until(lambda: bool(self._window.response.text_tab.text.exact_text), "streamed text")
        await self._driver.shoot("3-streaming")
        await self._finish(dispatch)
        shown = self._window.response.text_tab.text.exact_text
        expect(shown == state.text, "the text on the screen differs from the received text")
        expect(state.usage is not None, "no usage was reported")
        return f"{self._figures()}; request_id {state.request_id}"

    async def _send_again(self) -> str:
        dispatch = await self._send()
        state = await self._finish(dispatch)
        cached = state.usage.cached_tokens if state.usage else None
        expect(bool(cached), f"cached tokens: {cached}")
        zones = self._window.requests.refresh_forecast().zones
        expect(zones.warm_tokens > 0, "no zone is warm")
        forecast = self._window.inspector.forecast.rows
        return f"forecast {forecast['forecast'].value}, reported {forecast['reported'].value}; {self._figures()}"

    async def _date_in_front(self) -> str:
        self._window.prompt.show_place(0, 0)
        await self._driver.press(Qt.Key.Key_Home, CONTROL)
        await self._driver.type(DATE)
        boundary = self._window.requests.refresh_forecast().zones.boundary
        expect((boundary.message, boundary.offset) == (0, 0), f"the boundary is at {boundary}")
        await self._driver.shoot("5-changed")
        state = await self._finish(await self._send())
        cached = state.usage.cached_tokens if state.usage else None
        expect(cached == 0, f"cached tokens: {cached}")
        why = self._window.inspector.why
        expect(DATE.strip() in why.snippets[1], f"the inspector says: {why.sentence!r}")
        return why.sentence

    async def _stop(self) -> str:
        dispatch = await self._send()
        state = dispatch.run.state
        await self._driver.until(lambda: len(state.text) > 20, "some text")
        await self._driver.press(Qt.Key.Key_Return, CONTROL)
        await self._driver.until(lambda: not self._window.requests.running, "the end of the request")
        expect(state.phase == "stopped", f"the request ended as {state.phase}")
        expect(state.usage is None, "usage was reported for a stopped stream")
        shown = self._window.response.text_tab.text.exact_text
        expect(bool(shown) and shown == state.text, "the text that had come is not on the screen")
        return f"{len(shown)} characters kept, {self._figures()}; request_id {state.request_id}"

    def _figures(self) -> str:
        usage, latency = self._window.inspector.usage, self._window.inspector.latency.rows
        return (
            f"{usage.headline.text()}, cached {usage.rows['cached'].value}, output {usage.rows['output'].value}, "
            f"time to first token {latency['ttft'].value}, {latency['speed'].value}, "
            f"cost {self._window.inspector.cost.rows['input'].value}"
        )

    async def _find(self) -> str:
        table = self._window.log.table
        model = table.model()
        await self._driver.until(lambda: model.rowCount() == len(self._sent), f"{len(self._sent)} rows in the log")
        await self._driver.press(Qt.Key.Key_L, CONTROL)
        line = self._window.focusWidget()
        expect(isinstance(line, QLineEdit), "Ctrl+L does not lead to the filter")
        await self._driver.type("is:stopped")
        await self._driver.until(lambda: model.rowCount() == 1, "one stopped request")
        await self._driver.press(Qt.Key.Key_Escape)
        await self._driver.until(lambda: model.rowCount() == len(self._sent), "all rows again")
        await self._open_oldest(table)
        return f"{len(self._sent)} requests, newest first; opened and copied {self._sent[0]}"

    async def _open_oldest(self, table: QTableView) -> None:
        table.setFocus()
        await self._driver.press(Qt.Key.Key_End)
        await self._driver.until(lambda: self._window.log.current_run_id() is not None, "a row that is chosen")
        await self._driver.press(Qt.Key.Key_Return)
        oldest = self._sent[0]
        await self._driver.until(lambda: self._window.requests.request_id == oldest, "the oldest request in the panes")
        clipboard = QGuiApplication.clipboard()
        clipboard.clear()
        await self._driver.press(Qt.Key.Key_C, CONTROL | SHIFT)
        await self._driver.until(lambda: clipboard.text() == oldest, "its request_id on the clipboard, by key")
        clipboard.clear()
        button = next(one for one in self._window.log.findChildren(QPushButton) if "request_id" in one.text())
        button.click()
        await self._driver.until(lambda: clipboard.text() == oldest, "its request_id on the clipboard, by button")


SIMULATOR = ("--ttft-ms", "120", "--token-ms", "10")


def self_test(options: argparse.Namespace) -> int:
    """Do every step. Returns 0, or 1 if a step failed; 2 if Qt cannot be loaded. Raises InputError."""
    folder = _screenshot_folder(options.screenshots)
    if sys.platform.startswith("linux"):
        missing = missing_libraries(LIBRARIES)
        if missing:
            print(missing_sentence(missing), file=sys.stderr)
            return BAD_INPUT
        if "QT_QPA_PLATFORM" not in os.environ and not display_reachable(os.environ):
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
    # Imported only now: the platform is chosen when Qt is loaded.
    skip_unused_imports()
    from playground.ui.session import make_application, make_runner

    application = make_application()
    with tempfile.TemporaryDirectory(prefix="electron-playground-") as data, make_runner(application) as runner:
        outcomes = runner.run(_run(application, Path(data), folder, options))
    _print(outcomes, as_json=options.json)
    return FINISHED if all(outcome.passed for outcome in outcomes) else FAILED


def _screenshot_folder(option: str | None) -> Path | None:
    if option is None:
        return None
    folder = Path(option)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{folder} cannot be made: {error.strerror or error}."
        raise InputError.of(("--screenshots",), problem, "Give another folder.") from error
    return folder


async def _run(
    application: QApplication, data: Path, screenshots: Path | None, options: argparse.Namespace
) -> list[StepOutcome]:
    # The self-test must not use the key of the user who runs it.
    environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
    session = Session(application, data, environment, simulator_options=SIMULATOR)
    session.workspace.settings.set("theme", options.theme)
    session.appearance.refresh()
    try:
        session.show()
        return await Steps(session, screenshots).run()
    finally:
        await session.close()


def _print(outcomes: list[StepOutcome], *, as_json: bool) -> None:
    if as_json:
        steps = [{"step": one.name, "passed": one.passed, "saw": one.saw} for one in outcomes]
        print(json.dumps({"passed": all(one.passed for one in outcomes), "steps": steps}, ensure_ascii=True))
        return
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.name}: {outcome.saw}")
