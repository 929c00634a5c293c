"""Make pictures from the running program, offscreen, on the simulator. Look at the results.

`python -m tests.pictures` makes those of the documentation, in both themes. `python -m tests.pictures states FOLDER`
makes one of every state of the window, for each size and scale of `VARIANTS`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import httpx
from PySide6.QtWidgets import QDialog, QWidget

from playground.cli import selftest
from playground.cli.selftest import SIMULATOR, Steps, UiDriver
from playground.experiments.lab import plan_repeats
from playground.prompt.document import Document, Message
from playground.prompt.files import sample_document
from playground.ui.session import Session, make_application, make_runner

IMAGES = Path(__file__).parent.parent / "docs" / "images"
STEPS = {"2-zones": "tour-1", "3-streaming": "tour-2", "4-cached": "window", "5-date": "tour-3"}
"""Steps of the self-test and the pictures made from them."""


async def _window(session: Session, folder: Path, theme: str) -> None:
    outcomes = await Steps(session, folder).run()
    assert all(outcome.passed for outcome in outcomes), outcomes
    for step, name in STEPS.items():
        if theme == "light" or name == "window":
            (folder / f"{step}.png").replace(IMAGES / f"{name}-{theme}.png")


async def _agent(session: Session) -> None:
    window = session.window
    window.prompt.set_document(sample_document("acme-billing-agent"))
    dialog = window.chaining.open()
    dialog.start_over()
    dialog.run_or_stop()
    hand = UiDriver(dialog, IMAGES)
    await hand.until(lambda: not dialog.running and len(dialog.cards) > 1, "the end of the agent's run")
    await hand.shoot("agent-light")
    dialog.close()


async def _voice(session: Session) -> None:
    dialog = session.window.voicing.open()
    dialog.play_example()
    await asyncio.gather(*(task for task in dialog.work() if task is not None))
    await UiDriver(dialog, IMAGES).shoot("voice-light")
    dialog.close()


READY_S = 120
"""Time to start on a busy machine."""
VARIANTS = (
    ("light", "1000x700", "1"),
    ("light", "1280x800", "1"),
    ("dark", "1280x800", "1"),
    ("light", "1920x1080", "1"),
    ("light", "1280x720", "1.5"),
    ("dark", "960x540", "2"),
)
"""(theme, size of the window, QT_SCALE_FACTOR); the last two are a screen of 1920×1080."""
ARABIC = Document(
    name="مكالمة",
    messages=(
        Message(
            "system", "أنت وكيل هاتفي لشركة اتصالات. أجب بجملتين على الأكثر، واذكر الأسعار بالدولار: 12.50 $.\n" * 8
        ),
        Message("user", "اسمي {{caller_name}}. لماذا فاتورتي أعلى هذا الشهر؟ رقم حسابي AC-10442."),
    ),
    variables={"caller_name": "ليلى"},
    parameters={"max_tokens": 60},
)


class States:
    """Brings one window into each of its states, and takes a picture of it."""

    def __init__(self, session: Session, folder: Path, prefix: str) -> None:
        self._session, self._window = session, session.window
        self._hand = UiDriver(session.window, folder)
        self._prefix, self._folder = prefix, folder

    async def shoot(self, name: str, shown: QWidget | None = None) -> None:
        """Take a picture of a dialog, or of the window."""
        await asyncio.sleep(0.4)  # fades have ended
        await UiDriver(shown or self._window, self._folder).shoot(f"{self._prefix}-{name}")

    async def send(self, **parameters: str) -> None:
        """Send the prompt with what the simulator is to do, and wait for the end."""
        self.begin(**parameters)
        await self.ended()

    def begin(self, **parameters: str) -> None:
        document = self._window.prompt.document()
        wanted = {**{k: v for k, v in document.parameters.items() if k != "simulate"}, **parameters}
        self._window.prompt.set_document(replace(document, parameters=wanted))
        self._window.requests.send_or_stop()

    async def ended(self) -> None:
        await self._hand.until(lambda: not self._window.requests.running, "the end of the request")

    async def take(self) -> None:
        """Take all pictures."""
        for part in (self.take_requests, self.take_modes, self.take_panels):
            await part()

    async def take_requests(self) -> None:
        """Take the states of a request."""
        window = self._window
        sample = window.prompt.document()
        window.files.new_tab()
        await self.shoot("01-empty")
        window.files.close_tab()
        await self.send()
        first = window.requests.shown_run_id
        await self.shoot("02-first-send")
        await self.send()
        await self.shoot("03-second-send")
        self.begin(simulate="stall=20")
        await self._hand.until(lambda: len(window.response.text_tab.text.toPlainText()) > 20, "text")
        await self.shoot("04-streaming")
        window.requests.stop()
        await self.ended()
        await self.shoot("05-stopped")
        self.begin(simulate="429=6")
        await self._hand.until(lambda: not window.response.text_tab.waiting.isHidden(), "the wait for the next attempt")
        await self.shoot("06-waiting")
        window.requests.stop()
        await self.ended()
        await self.send(simulate="401")
        await self.shoot("07-failed")
        if first is not None:
            window.requests.open_logged(first)
            await self._hand.until(lambda: window.response.from_log.isVisible(), "the logged request")
            await self.shoot("08-from-log")
            window.requests.show_current()
        window.prompt.set_document(sample)

    async def take_panels(self) -> None:
        """Take the side panel's pages, the dialogs, the prompt's other tabs, and a prompt from right to left."""
        window = self._window
        window.files.open_tools_sample()
        await asyncio.sleep(0)
        dialog = window.chaining.open()
        dialog.start_over()
        dialog.run_or_stop()
        await self._hand.until(lambda: not dialog.running and len(dialog.cards) > 1, "the end of the agent's run")
        await self.shoot("15-agent")
        dialog.reject()
        for tab, name in enumerate(("tools", "parameters", "body"), start=1):
            window.prompt.tabs.setCurrentIndex(tab)
            await self.shoot(f"16-{name}")
        window.prompt.tabs.setCurrentIndex(0)
        window.files.close_tab()
        voice = window.voicing.open()
        voice.play_example()
        await asyncio.gather(*(task for task in voice.work() if task is not None))
        await self.shoot("17-voice")
        voice.reject()
        for name in ("versions", "guide"):
            window.actions_table[name].trigger()
            await asyncio.sleep(0.3)
            await self.shoot(f"18-{name}")
            window.area.panel.close_page() if name == "guide" else window.actions_table[name].trigger()
        for name in ("settings", "connect", "palette", "keys", "about"):
            window.actions_table[name].trigger()
            await asyncio.sleep(0.3)
            opened = next(one for one in window.findChildren(QDialog) if one.isVisible() and one.isWindow())
            await self.shoot(f"19-{name}", opened)
            opened.reject()
        window.prompt.set_document(ARABIC)
        await self.send()
        await self.shoot("13-arabic")

    async def take_modes(self) -> None:
        """Take a long prompt, the cache lab, a group in the log, and the other modes."""
        window = self._window
        sample = window.prompt.document()
        long = "\n".join(
            f"{number}. Never promise a date, and name the price of plan {number}." for number in range(400)
        )
        first, *others = sample.messages
        window.prompt.set_document(replace(sample, messages=(replace(first, content=long), *others)))
        await self.send()
        await self.shoot("09-long")
        window.prompt.set_document(sample)
        lab = window.program.cache_lab(window.requests)
        lab.use_plan(plan_repeats(4))
        lab.go.click()
        await self._hand.until(lambda: not lab.running, "the experiment")
        await self.shoot("10-cache-lab")
        window.area.panel.close_page()
        window.log.model.expand_group(next(group.tag for _, group in window.log.model.headings_in_memory()), True)
        await self.shoot("11-group")
        for mode in ("compare", "batch", "recorder"):
            window.modes.show_mode(mode)
            await self.shoot(f"12-{mode}")
            await {"compare": self._compare, "batch": self._batch, "recorder": self._recorder}[mode]()
            await self.shoot(f"12-{mode}-2")
        window.modes.show_mode("prompt")

    async def _compare(self) -> None:
        """Send three columns: the prompt, one with another rule, one with another parameter."""
        compare = self._window.compare
        base = compare.slots[0].variant
        first, *others = base.document.messages
        edited = replace(first, content=(first.content or "").replace("Use the name once", "Use the name twice"))
        for name, document in (
            ("Name twice", replace(base.document, messages=(edited, *others))),
            ("Temperature 0.2", replace(base.document, parameters={**base.document.parameters, "temperature": 0.2})),
        ):
            compare.add(replace(base, document=replace(document, name=name)))
        compare.send()
        await self._hand.until(lambda: not compare.running, "the end of the comparison")

    async def _batch(self) -> None:
        """Send twelve rows."""
        batch = self._window.batch
        callers = ("Priya Sharma", "Arjun Mehta", "Fatima Sheikh", "K. Raghavan")
        questions = ("Is roaming included in Nepal?", "When is my next bill due?", "What is the late fee?")
        lines = [f'"{caller}","{question}"' for caller in callers for question in questions]
        file = Path(tempfile.mkdtemp()) / "callers.csv"
        file.write_text("caller_name,question\n" + "\n".join(lines) + "\n")
        batch.files.open_file(file)
        await self._hand.until(lambda: batch.page.setup.isVisible(), "the plan of the batch")
        await self.shoot("12-batch-setup")
        batch.start_or_pause()
        await self._hand.until(lambda: not batch.running, "the end of the batch")

    async def _recorder(self) -> None:
        """Record ten requests of a program that puts the time in front."""
        recorder = self._window.recorder
        recorder.tools.port.setValue(0)
        recorder.tools.button.click()
        await self._hand.until(lambda: recorder.process is not None, "the recorder's process")
        rules = "You speak with callers of Acme Mobile. Be brief and kind, and read out no lists. " * 30
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            for number in range(10):
                system = f"You are Mira, the phone agent. It is 2026-11-28 14:{number // 3:02}. {rules}"
                messages = [{"role": "system", "content": system}, {"role": "user", "content": f"Question {number}?"}]
                await client.post(
                    f"{recorder.tools.url.text()}/chat/completions",
                    json={"model": "electron", "max_tokens": 20, "messages": messages},
                )
        await self._hand.until(lambda: len(recorder.page.model.rows) == 10, "the recorded requests")
        await asyncio.sleep(3)  # the analysis
        recorder.page.table.selectRow(1)
        await self._hand.until(recorder.page.strip.isVisible, "the difference from the request before")


async def _states(session: Session, theme: str, size: str, scale: str, folder: Path) -> None:
    session.workspace.settings.set("theme", theme)
    session.appearance.refresh()
    try:
        session.show()
        width, _, height = size.partition("x")
        session.window.resize(int(width), int(height))
        await asyncio.wait_for(session.ready.wait(), READY_S)
        await States(session, folder, f"{theme}-{size}-{scale}").take()
    finally:
        await session.close()


async def _pictures(session: Session, theme: str, folder: Path) -> None:
    session.workspace.settings.set("theme", theme)
    session.appearance.refresh()
    try:
        session.show()
        await _window(session, folder, theme)
        if theme == "light":
            await _agent(session)
            await _voice(session)
    finally:
        await session.close()


def _run(story: Callable[[Session, Path], Coroutine[Any, Any, None]], options: Sequence[str] = SIMULATOR) -> None:
    application = make_application()
    environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as steps, make_runner(application) as run:

        async def told() -> None:
            session = Session(application, Path(data), environment, simulator_options=options)
            await story(session, Path(steps))

        run.run(told())


def main(arguments: Sequence[str]) -> None:
    """Make the pictures of the documentation, or of all states; each theme and variant in its own process."""
    command = [sys.executable, "-m", "tests.pictures"]
    match arguments:
        case []:
            for theme in ("light", "dark"):
                subprocess.run([*command, theme], check=True)
        case ["states", folder]:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for theme, size, scale in VARIANTS:
                environment = {**os.environ, "QT_SCALE_FACTOR": scale}
                subprocess.run([*command, "states", folder, theme, size, scale], check=True, env=environment)
        case ["states", folder, theme, size, scale]:
            selftest.PATIENCE_S = READY_S
            options = (*SIMULATOR, "--plan", "none")
            _run(lambda session, _steps: _states(session, theme, size, scale, Path(folder)), options)
        case [theme]:
            _run(lambda session, steps: _pictures(session, theme, steps))


if __name__ == "__main__":
    main(sys.argv[1:])
