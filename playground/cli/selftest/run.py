"""`electron-playground self-test`: the real window on the simulator and a temporary folder, doing the main job."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playground.cli.exit_status import BAD_INPUT, FAILED, FINISHED
from playground.prompt.field_errors import FieldError, InputError
from playground.ui.startup_checks import LIBRARIES, display_reachable, missing_libraries, missing_sentence

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from playground.cli.selftest.steps import StepOutcome

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
    from playground.ui.startup_patches import lean_imports

    lean_imports()
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
        raise InputError(FieldError(("--screenshots",), problem, "Give another folder.")) from error
    return folder


async def _run(
    application: QApplication, data: Path, screenshots: Path | None, options: argparse.Namespace
) -> list[StepOutcome]:
    from playground.cli.selftest.steps import Steps
    from playground.ui.session import Session

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
        steps = [{"step": o.name, "passed": o.passed, "saw": o.saw} for o in outcomes]
        print(json.dumps({"passed": all(o.passed for o in outcomes), "steps": steps}, ensure_ascii=True))
        return
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.name}: {outcome.saw}")
