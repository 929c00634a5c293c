"""Make all pictures of the documentation from the running program: `python -m tests.pictures`.

The program runs offscreen, on the simulator and a temporary data folder. Look at the results before committing them.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from playground.cli.selftest.run import SIMULATOR
from playground.cli.selftest.steps import Steps, UiDriver
from playground.ui.controllers.files import sample_document
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


def main() -> None:
    """Make the pictures of the theme in the first argument, or of both themes, in one process each."""
    if not sys.argv[1:]:
        for theme in ("light", "dark"):
            subprocess.run([sys.executable, "-m", "tests.pictures", theme], check=True)
        return
    application = make_application()
    environment = {name: value for name, value in os.environ.items() if name != "SMALLEST_API_KEY"}
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as steps, make_runner(application) as run:

        async def story() -> None:
            session = Session(application, Path(data), environment, simulator_options=SIMULATOR)
            await _pictures(session, sys.argv[1], Path(steps))

        run.run(story())


if __name__ == "__main__":
    main()
